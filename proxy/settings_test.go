package proxy

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse/authz/routes"
	"gatehouse/proxy/upstream"
)

// patience is how long something may take to come that comes by itself.
const patience = 2 * time.Minute

// settings are what the world's gate goes by now, to be changed and applied.
func (w *world) settings() Settings { return w.gate.settings.Load().Settings }

// terms likewise.
func (w *world) terms() Terms { return w.server.terms.Load().Terms }

func TestARequestGoesByTheSettingsItCameInWith(t *testing.T) {
	w := newWorld(t, nil)
	entered := make(chan struct{}, 1)
	w.app.handle(func(rw http.ResponseWriter, r *http.Request) {
		entered <- struct{}{}
		_, _ = io.Copy(rw, r.Body)
	})
	body, rest := io.Pipe()
	first := make(chan *http.Response, 1)
	go func() {
		defer close(first)
		answer, err := w.client(false).Do(w.request(http.MethodPost, "https://acme.test/public/x", body, nil))
		if err != nil {
			t.Error(err)
			return
		}
		first <- answer
	}()
	_, err := io.WriteString(rest, "one ")
	w.must(err)
	<-entered

	another := newRawApp(t)
	pool, err := upstream.New(upstream.Config{URLs: []string{"http://" + another.addr}})
	w.must(err)
	next := w.settings()
	next.App, next.Limits.BodyBytes = pool, 2
	next.Routes, err = routes.Compile([]routes.Spec{{Path: "/new", Access: "public"}})
	w.must(err)
	w.must(w.gate.Apply(next))
	if answer := w.get(w.client(false), "/new", nil); answer.StatusCode != http.StatusOK || len(another.take()) != 1 {
		t.Errorf("after the change: %s", answer.Status)
	}
	if answer := w.get(w.client(false), "/public/x", nil); answer.StatusCode != http.StatusForbidden {
		t.Errorf("the old route: %s", answer.Status)
	}
	answer, err := w.client(false).Do(w.request(http.MethodPost, "https://acme.test/new", strings.NewReader("three"), nil))
	w.must(err)
	if answer.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("over the new limit: %s", answer.Status)
	}

	_, err = io.WriteString(rest, "and two")
	w.must(err)
	w.must(rest.Close())
	if answer := <-first; answer == nil || answer.StatusCode != http.StatusOK || w.body(answer) != "one and two" {
		t.Errorf("the request from before: %+v", answer)
	}
	if err := w.gate.Apply(Settings{}); err == nil {
		t.Error("settings without an app are taken")
	}
}

func TestWhatStrangersUsedUpStaysUsedUp(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.Limits.StrangerRate = 1 })
	c := w.client(true)
	ask := func() int { return w.get(c, "/public/x", nil).StatusCode }
	for ask() == http.StatusOK {
	}
	w.must(w.gate.Apply(w.settings()))
	if got := ask(); got != http.StatusTooManyRequests {
		t.Errorf("after a change of something else: %d", got)
	}
	next := w.settings()
	next.Limits.StrangerRate = 100
	w.must(w.gate.Apply(next))
	if got := ask(); got != http.StatusOK {
		t.Errorf("after the rate was raised: %d", got)
	}
}

// New terms hold for connections that come, while what is under way on the old
// ones finishes, also when the gate stops meanwhile.
func TestNewTermsAreForNewConnections(t *testing.T) {
	w := newWorld(t, nil)
	entered, release := make(chan struct{}), make(chan struct{})
	w.app.handle(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/public/slow" {
			entered <- struct{}{}
			<-release
		}
	})
	slow := make(chan string, 2)
	for _, http2 := range []bool{false, true} {
		go func() {
			answer, err := w.client(http2).Do(w.request(http.MethodGet, "https://acme.test/public/slow", nil, nil))
			if err != nil {
				slow <- err.Error()
				return
			}
			slow <- answer.Status
		}()
		<-entered
	}
	old := w.tlsConfig("http/1.1")
	old.MaxVersion = tls.VersionTLS12
	idle, err := tls.Dial("tcp", w.addr, old)
	w.must(err)
	defer func() { _ = idle.Close() }()
	const request = "GET /public/x HTTP/1.1\r\nHost: acme.test\r\n\r\n"
	_, err = io.WriteString(idle, request)
	w.must(err)
	br := bufio.NewReader(idle)
	answer, err := http.ReadResponse(br, nil)
	w.must(err)
	w.body(answer)

	next := w.terms()
	next.MinTLS = tls.VersionTLS13
	w.server.Apply(next)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		c, err := tls.Dial("tcp", w.addr, old)
		if err != nil {
			break
		}
		_ = c.Close()
		if ctx.Err() != nil {
			t.Fatal("TLS 1.2 is still accepted")
		}
	}
	w.must(idle.SetDeadline(time.Now().Add(patience)))
	_, err = io.WriteString(idle, request)
	w.must(err)
	if answer, err = http.ReadResponse(br, nil); err != nil || answer.StatusCode != http.StatusOK || !answer.Close {
		t.Errorf("the next request on an old connection: %+v, %v", answer, err)
	}
	stopped := make(chan struct{})
	go func() { defer close(stopped); w.stop() }()
	for ctx.Err() == nil { // until nothing is accepted any more
		c, err := tls.Dial("tcp", w.addr, w.tlsConfig())
		if err != nil {
			break
		}
		_ = c.Close()
	}
	close(release)
	for range 2 {
		if got := <-slow; got != "200 OK" {
			t.Errorf("a request under way ended with %s", got)
		}
	}
	<-stopped
}

func TestNoRequestIsLostWhileTermsChange(t *testing.T) {
	w := newWorld(t, nil)
	ctx, stop := context.WithCancel(t.Context())
	var clients sync.WaitGroup
	served := make(chan struct{}, 64)
	for i := range 4 {
		c := w.client(i%2 == 0)
		clients.Go(func() {
			for ctx.Err() == nil {
				answer, err := c.Do(w.request(http.MethodGet, "https://acme.test/public/x", nil, nil))
				if err == nil && answer.StatusCode != http.StatusOK {
					err = errors.New(answer.Status)
				}
				if err != nil {
					t.Error(err)
					return
				}
				w.body(answer)
				select {
				case served <- struct{}{}:
				default:
				}
			}
		})
	}
	for i := range 20 {
		next, settings := w.terms(), w.settings()
		next.IdleTimeout = time.Duration(i+1) * time.Minute
		settings.Limits.Requests = 1000 + i
		w.must(w.gate.Apply(settings))
		w.server.Apply(next)
		for range 5 {
			<-served
		}
	}
	stop()
	clients.Wait()
}

func TestTheDrainTimeIsThatOfTheEnd(t *testing.T) {
	w := newWorld(t, nil)
	entered := make(chan struct{}, 1)
	w.app.handle(func(_ http.ResponseWriter, r *http.Request) { entered <- struct{}{}; <-r.Context().Done() })
	cut := make(chan error, 1)
	go func() {
		_, err := w.client(true).Do(w.request(http.MethodGet, "https://acme.test/public/x", nil, nil))
		cut <- err
	}()
	<-entered
	next := w.terms()
	next.Drain = 24 * time.Hour
	w.server.Apply(next)
	next.Drain = 10 * time.Millisecond
	w.server.Apply(next)
	if len(w.server.changed) != 0 {
		t.Error("connections are closed for the drain time")
	}
	w.stop()
	if err := <-cut; err == nil {
		t.Error("the request outlived the drain")
	}
	if got := fmt.Sprint(w.server.Close()); got != "<nil>" {
		t.Errorf("closing once more: %s", got)
	}
}
