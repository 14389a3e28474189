package upstream

import (
	"context"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"gatehouse/internal/fault"
)

func TestSeveralTargets(t *testing.T) {
	hits := map[string]*atomic.Int64{}
	var urls []string
	for range 2 {
		n := new(atomic.Int64)
		s := app(t, func(http.ResponseWriter, *http.Request) { n.Add(1) })
		hits[s.URL] = n
		urls = append(urls, s.URL)
	}
	dead, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	urls = append(urls, "http://"+dead.Addr().String())
	_ = dead.Close()
	p := newPool(t, Config{URLs: urls})
	for range 30 {
		if _, _, err := fetch(p, ask("POST", "/", strings.NewReader("x"), 1)); err != nil {
			t.Fatalf("with one of three targets dead: %v", err)
		}
	}
	for url, n := range hits {
		if n.Load() < 10 {
			t.Errorf("%s got %d of 30", url, n.Load())
		}
	}
	if !p.targets[2].resting.Load() {
		t.Error("the dead target is still in turn")
	}
}

func TestATargetComesBackInTurn(t *testing.T) {
	server := app(t, func(http.ResponseWriter, *http.Request) {})
	p, err := New(Config{URLs: []string{server.URL, server.URL}})
	if err != nil {
		t.Fatal(err)
	}
	for range failuresToRest {
		p.targets[0].failed()
	}
	if !p.targets[0].resting.Load() {
		t.Fatal("it does not rest")
	}
	p.probe(t.Context(), p.targets[0])
	if p.targets[0].resting.Load() {
		t.Error("it still rests after a good probe")
	}
	p.config.HealthPath = "/health"
	server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) })
	p.probe(t.Context(), p.targets[0])
	if !p.targets[0].resting.Load() {
		t.Error("a failing health path leaves it in turn")
	}
}

func TestTheLimitOfConnectionsIsKept(t *testing.T) {
	release := make(chan struct{})
	server := app(t, func(http.ResponseWriter, *http.Request) { <-release })
	p := newPool(t, Config{URLs: []string{server.URL}, MaxOpen: 1})
	x := p.NewExchange()
	started := make(chan error, 1)
	go func() {
		_, err := x.Do(context.Background(), ask("GET", "/", nil, 0))
		started <- err
	}()
	for p.targets[0].open.Load() == 0 {
		select {
		case err := <-started:
			t.Fatal(err)
		default:
		}
	}
	_, _, err := fetch(p, ask("GET", "/", nil, 0))
	if !fault.Is(err, fault.Unavailable) {
		t.Errorf("got %v", err)
	}
	close(release)
	if err := <-started; err != nil {
		t.Error(err)
	}
	x.Finish()
}

func TestConfigurationIsChecked(t *testing.T) {
	for _, c := range []Config{
		{}, {URLs: []string{"ftp://x"}}, {URLs: []string{"http://x/path"}}, {URLs: []string{"http://u:p@x"}}, {URLs: []string{"x"}},
		{URLs: []string{"http://x?q"}}, {URLs: []string{"http://x"}, HealthPath: "health"},
	} {
		if _, err := New(c); err == nil {
			t.Errorf("%+v passes", c)
		}
	}
	if _, err := New(Config{URLs: []string{"http://u:secret@x"}}); strings.Contains(err.Error(), "secret") {
		t.Errorf("the error tells the password: %v", err)
	}
}
