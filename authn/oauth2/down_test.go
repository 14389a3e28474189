package oauth2

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/authn"
	"gatehouse/authn/oauth2/oauth2test"
)

// TestP7_TenThousandFailedAnswers at a provider that hangs, refuses or is gone: each
// ends by itself with its reason, and nothing grows. What a sign-in keeps besides is
// tried in authn.
func TestP7_TenThousandFailedAnswers(t *testing.T) {
	const atOnce = 128
	hub := oauth2test.New(t)
	c := hub.Connection()
	hanging, patient := newProtocol(100*time.Millisecond), newProtocol(0)
	try := func(p *Protocol) (reason authn.Reason) {
		there, err := p.Start(t.Context(), c, step)
		if err != nil {
			return authn.Reason(err.Error())
		}
		r := httptest.NewRequest(http.MethodGet, "https://acme.example/.gatehouse/oauth2/hub/callback?"+url.Values{"code": {"c0de"}, "state": {step.Token}}.Encode(), nil)
		if err := r.ParseForm(); err != nil {
			return authn.Reason(err.Error())
		}
		_, err = p.Finish(t.Context(), c, step, there.Private, r)
		if refusal, ok := errors.AsType[*authn.Refusal](err); ok {
			return refusal.Reason
		}
		return authn.Reason("no refusal")
	}
	before, heap := runtime.NumGoroutine(), heapNow()
	var most atomic.Int64
	times := 0
	for _, way := range []struct {
		how   string
		times int
		by    *Protocol
		begin func()
		want  authn.Reason
	}{
		{"hangs", 2000, hanging, func() {
			hub.Instead(oauth2test.Token, func(_ http.ResponseWriter, r *http.Request) {
				_ = r.ParseForm() // so that the server sees the client go
				<-r.Context().Done()
			})
		}, authn.ProviderUnreachable},
		{"fails", 2000, patient, func() {
			hub.Instead(oauth2test.Token, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
		}, authn.ProviderUnreachable},
		{"refuses", 2000, patient, func() {
			hub.Instead(oauth2test.Token, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(http.StatusBadRequest)
				_, _ = w.Write([]byte(`{"error":"invalid_grant"}`))
			})
		}, authn.CodeRejected},
		{"is gone", 4000, patient, func() { hub.CloseClientConnections(); _ = hub.Listener.Close() }, authn.ProviderUnreachable},
	} {
		way.begin()
		var all sync.WaitGroup
		var next atomic.Int64
		for range atOnce {
			all.Go(func() {
				for next.Add(1) <= int64(way.times) {
					if got := try(way.by); got != way.want {
						t.Errorf("%s: refused for %q", way.how, got)
						return
					}
					if now := int64(runtime.NumGoroutine()); now > most.Load() {
						most.Store(now)
					}
				}
			})
		}
		all.Wait()
		times += way.times
	}
	if times != 10_000 {
		t.Errorf("%d attempts", times)
	}
	// Both ends of a connection are in this program.
	if grown := most.Load() - int64(before); grown > 8*atOnce {
		t.Errorf("%d goroutines more", grown)
	}
	if grown := heapNow() - heap; grown > 16<<20 {
		t.Errorf("%d bytes more", grown)
	}
}

func heapNow() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc) // #nosec G115 -- no heap is that large
}
