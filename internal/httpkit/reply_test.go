package httpkit

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"gatehouse/internal/fault"
)

// ask sends a request of acme's through h, with header fields in pairs.
func ask(h http.Handler, method, target string, fields ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, http.NoBody)
	for i := 0; i+1 < len(fields); i += 2 {
		r.Header.Set(fields[i], fields[i+1])
	}
	r = r.WithContext(WithRequest(r.Context(), &Request{ID: "req_1", TenantName: "acme", TenantTitle: "Acme Ltd"}))
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestRoutedAnswersForAddressesThatThereAreNot(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /things", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("POST /things", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("DELETE /things/{id}", func(http.ResponseWriter, *http.Request) {})
	h := Routed(mux)
	for _, c := range []struct {
		method, target string
		status         int
		allow, code    string
	}{
		{"GET", "/things", 200, "", ""},
		{"PUT", "/things", 405, "GET, HEAD, POST", "method-not-allowed"},
		{"OPTIONS", "/things", 405, "GET, HEAD, POST", "method-not-allowed"},
		{"get", "/things", 405, "GET, HEAD, POST", "method-not-allowed"},
		{"GET", "/things/1", 405, "DELETE", "method-not-allowed"},
		{"GET", "/nothing", 404, "", "nothing-here"},
		{"GET", "/nothing//at/all", 404, "", "nothing-here"},
		{"DELETE", "/", 404, "", "nothing-here"},
	} {
		w := ask(h, c.method, c.target)
		if w.Code != c.status || w.Header().Get("Allow") != c.allow {
			t.Errorf("%s %s: status %d, Allow %q", c.method, c.target, w.Code, w.Header().Get("Allow"))
		}
		if c.code == "" {
			continue
		}
		var p Problem
		if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || p.Type != "urn:gatehouse:problem:"+c.code || p.Status != c.status || p.RequestID != "req_1" ||
			w.Header().Get("Content-Type") != "application/problem+json" || !slices.Equal(w.Header()["Cache-Control"], []string{"no-store"}) {
			t.Errorf("%s %s: %v, %s", c.method, c.target, w.Header(), w.Body)
		}
		page := ask(h, c.method, c.target, "Sec-Fetch-Mode", "navigate")
		if page.Code != c.status || page.Header().Get("Allow") != c.allow || !strings.HasPrefix(page.Header().Get("Content-Type"), "text/html") || !strings.Contains(page.Body.String(), "<h1>") {
			t.Errorf("%s %s by a browser: %d %v", c.method, c.target, page.Code, page.Header())
		}
	}
}

func TestErrorsCarryWhatGoesWithTheirStatus(t *testing.T) {
	away := fault.New(fault.Unavailable, "away", "It is away.")
	away.RetryAfter = 1500 * time.Millisecond
	for _, c := range []struct {
		err             error
		status          int
		retry, question string
	}{
		{fault.New(fault.Unauthenticated, "who", "Sign in."), 401, "", `Bearer realm="gatehouse"`},
		{away, 503, "2", ""},
		{fault.New(fault.Unavailable, "away", "It is away."), 503, "1", ""},
		{errors.New("cause"), 500, "", ""},
	} {
		h := Handle(func(w http.ResponseWriter, _ *http.Request) error {
			w.Header().Set("Content-Length", "3")
			w.Header().Set("ETag", `"1"`)
			return c.err
		})
		for _, w := range []*httptest.ResponseRecorder{ask(h, "GET", "/"), ask(h, "GET", "/", "Accept", "text/html")} {
			got := w.Header()
			if w.Code != c.status || got.Get("Retry-After") != c.retry || got.Get("WWW-Authenticate") != c.question || got.Get("ETag") != "" || got.Get("Content-Length") == "3" {
				t.Errorf("%v: %d %v", c.err, w.Code, got)
			}
			if strings.Contains(w.Body.String(), "cause") {
				t.Errorf("the cause is in the answer: %s", w.Body)
			}
		}
	}
}

func TestErrorPagesNameTheTenant(t *testing.T) {
	refuse := Handle(func(http.ResponseWriter, *http.Request) error {
		return fault.New(fault.Denied, "not-allowed", "You may not do this.").WithEvent("evt_1")
	})
	page := ask(refuse, "GET", "/", "Accept", "text/html").Body.String()
	for _, want := range []string{`<p class="tenant">Acme Ltd</p>`, "You may not do this", "evt_1", "Sign in as somebody else"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %s: %s", want, page)
		}
	}
}
