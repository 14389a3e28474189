package gateway

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// patiently gives a program whose connections last as long as something may take to
// come.
func (p *plant) patiently() *client {
	c := p.client(false, nil)
	dial := c.transport.DialTLSContext
	c.transport.DialTLSContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return conn, conn.SetDeadline(time.Now().Add(patience))
	}
	return c
}

// flood is strangers who show one random token after the other.
type flood struct {
	p       *plant
	all     sync.WaitGroup
	over    atomic.Bool
	held    atomic.Int64  // of how many tokens the server has not said anything yet
	release chan struct{} // and when it does
}

// newFlood has the server know the tokens of billing, which are good ones, and think
// long about all others.
func newFlood(p *plant) *flood {
	f := &flood{p: p, release: make(chan struct{})}
	p.as.answers(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.PostFormValue("token"), "good-") {
			answerJSON(w, p.said("billing", nil))
			return
		}
		f.held.Add(1)
		defer f.held.Add(-1)
		select {
		case <-f.release:
			answerJSON(w, map[string]any{"active": false})
		case <-r.Context().Done():
		}
	})
	p.t.Cleanup(func() {
		f.over.Store(true)
		close(f.release)
		f.all.Wait()
	})
	return f
}

// from has a stranger at an address join, who shows more at once than all the places
// that there are.
func (f *flood) from(ip string) {
	c := f.p.patiently()
	for i := range 20 {
		f.all.Go(func() {
			for n := 0; !f.over.Load(); n++ {
				got := c.get("/", "Authorization", fmt.Sprintf("Bearer evil-%s-%d-%d", ip, i, n), "X-Forwarded-For", ip)
				if got.Status == http.StatusOK {
					f.p.t.Errorf("a stranger came in: %+v", got)
				}
			}
		})
	}
}

// holds waits until the server thinks about so many.
func (f *flood) holds(n int64) {
	f.p.t.Helper()
	f.p.soon(fmt.Sprint(n, " answers that are waited for"), func() bool { return f.held.Load() >= n })
}

// A stranger's random tokens, which the server thinks long about, keep no service out,
// neither by the token that it had nor by a new one; and those of many networks none by
// the one that it had.
func TestP7_IntrospectionUnderFlood(t *testing.T) {
	p := newPlantWith(t, map[string]string{"listen.trusted_proxies": `["127.0.0.1/32"]`})
	p.hire("billing", "viewer", p.asked("billing"))
	f := newFlood(p)
	in := func(token string) {
		t.Helper()
		if got := p.patiently().get("/", "Authorization", "Bearer "+token, "X-Forwarded-For", "192.0.2.1"); got.Status != http.StatusOK || got.Name != "billing" {
			t.Errorf("%s: %+v", token, got)
		}
	}
	// again has it asked about anew, whose it is.
	again := func(token string) {
		t.Helper()
		before := p.as.asked.Load()
		p.rooms.machines.Refresh(p.acme.ID)
		if in(token); p.as.asked.Load() == before {
			t.Errorf("nobody was asked about %s", token)
		}
	}
	in("good-0")
	f.from("198.51.100.1")
	for i := range 10 {
		f.holds(4)
		again("good-0")
		in(fmt.Sprint("good-", i+1))
	}
	f.from("198.51.100.2")
	f.from("198.51.100.3")
	for i := range 10 {
		f.holds(8)
		again(fmt.Sprint("good-", i))
	}
}
