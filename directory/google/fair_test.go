package google_test

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse/directory/google"
)

// As many large accounts as a node reads at a time do not keep others from being read.
func TestLargeAccountsLetOthersBeRead(t *testing.T) {
	h := newHouse(t)
	h.staff(1)
	for i := range 5 {
		h.google.SetGroup(fmt.Sprint("20", i), fmt.Sprintf("g%d@acme.example", i), fmt.Sprint("G", i), "1000")
	}
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	began, last, reached := make(chan struct{}, 4), make(chan struct{}), make(chan struct{})
	once := sync.OnceFunc(func() { close(reached) })
	h.google.Before(func(path string) {
		switch {
		case strings.HasSuffix(path, "/groups/g4@acme.example"):
			once()
		case strings.Contains(path, "@") && !strings.Contains(path, "/hasMember"):
			began <- struct{}{}
		case strings.HasSuffix(path, "/users"):
			select { // they hold their places until the last one waits for its own
			case <-last:
			case <-ctx.Done():
			}
		}
	})
	h.google.Mangle(func(path string, body []byte) []byte {
		select {
		case <-reached:
			return body
		default:
		}
		if strings.HasSuffix(path, "/users") { // there are always more
			return []byte(strings.Replace(string(body), "{", `{"nextPageToken":"`+nextToken()+`",`, 1))
		}
		return body
	})
	var work sync.WaitGroup
	defer work.Wait()
	defer stop()
	work.Go(func() { _ = h.a.google.Run(ctx) })
	for i := range 5 {
		set := google.Settings{Admin: h.google.Admin, Groups: []string{fmt.Sprintf("g%d@acme.example", i)}}
		_, err := h.a.google.Put(ctx, admin, h.neighbour(), set, h.google.Key(), 0)
		must(t, err)
		if i < 4 {
			<-began
		}
	}
	close(last)
	select {
	case <-reached:
	case <-h.a.ended:
		select {
		case <-reached:
		default:
			t.Error("it had to wait for the end of another one")
		}
	case <-ctx.Done():
		t.Error("nobody else was read")
	}
}

// nextToken is another one each time, behind all that there is.
var nextToken = func() func() string {
	n := 1000
	return func() string { // by one at a time: the account is held
		n++
		return strconv.Itoa(n)
	}
}()
