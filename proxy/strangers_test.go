package proxy

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"gatehouse/audit"
	"gatehouse/internal/fault"
	"gatehouse/internal/httpkit"
)

func TestStrangersInAHurryAreHeldBack(t *testing.T) {
	unknown := []string{"Authorization", "Bearer gh_unknown"}
	for _, test := range []struct {
		path   string
		header []string
		status int // to those who are in no hurry
	}{
		{"/public/x", nil, http.StatusOK},
		{"/.gatehouse/jwks.json", nil, http.StatusOK},
		{"/.gatehouse/api/v1/users", unknown, http.StatusOK}, // which the test's own endpoints let in
		{"/scim/v2/Users", unknown, http.StatusOK},
		{"/", unknown, http.StatusUnauthorized},
	} {
		t.Run(test.path, func(t *testing.T) {
			w := newWorld(t, func(c *Config) { c.Limits.StrangerRate = 1 })
			p := w.signIn("mia")
			c := w.client(false)
			for range 50 * burstSeconds { // a slow machine earns some more on the way
				answer := w.get(c, test.path, nil, test.header...)
				w.body(answer)
				if answer.StatusCode == test.status {
					continue
				}
				if answer.StatusCode != http.StatusTooManyRequests || answer.Header.Get("Retry-After") == "" {
					t.Fatalf("%d, Retry-After %q", answer.StatusCode, answer.Header.Get("Retry-After"))
				}
				for range 3 * burstSeconds { // those who are known do not pay
					for _, path := range []string{"/public/x", "/scim/v2/Users"} {
						for _, answer := range []*http.Response{w.get(c, path, &p), w.get(c, path, nil, bearer...)} {
							if w.body(answer); answer.StatusCode != http.StatusOK {
								t.Fatalf("%s: a known caller got %d", path, answer.StatusCode)
							}
						}
					}
				}
				return
			}
			t.Error("nobody was held back")
		})
	}
}

// Finding out who a stranger is counts as well, and once with the request.
func TestAStrangersRequestIsCountedOnce(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.Limits.StrangerRate = 1 })
	v := w.gate.begin(nobodyWriter{http.Header{}}, w.request(http.MethodGet, "https://acme.test/", nil, nil))
	for range 2 * burstSeconds {
		w.must(httpkit.Haste(v.r.Context()))
		w.must(v.Haste())
	}
	for range burstSeconds - 1 {
		next := w.gate.begin(nobodyWriter{http.Header{}}, v.r)
		next.Start = v.Start
		w.must(next.Haste())
	}
	late := w.gate.begin(nobodyWriter{http.Header{}}, v.r)
	late.Start = v.Start
	if err := httpkit.Haste(late.r.Context()); !fault.Is(err, fault.TooMany) {
		t.Errorf("got %v", err)
	}
}

func TestRecordsOfStrangersAreSmall(t *testing.T) {
	w := newWorld(t, nil)
	p := w.signIn("mia")
	path, agent := "/public/"+strings.Repeat("a", 2000), strings.Repeat("b", 2000)
	for _, test := range []struct {
		p           *person
		path, agent int
	}{{nil, 256, 256}, {&p, 1024, 768}} {
		w.body(w.get(w.client(false), path, test.p, "User-Agent", agent))
		if e := w.lastRecord(w.acme.ID); e.Type != audit.AccessAllowed || len(e.Path) != test.path || len(e.UserAgent) != test.agent {
			t.Errorf("%d and %d bytes, want %d and %d", len(e.Path), len(e.UserAgent), test.path, test.agent)
		}
	}
}

// Another tenant's host is the same site, so a browser sends the cookie along.
func TestP3_OtherOriginsDoNotActInASession(t *testing.T) {
	w := newWorld(t, nil)
	p := w.signIn("mia")
	socket := []string{"Connection", "Upgrade", "Upgrade", "websocket", "Sec-WebSocket-Version", "13", "Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="}
	for _, test := range []struct {
		name   string
		method string
		header []string
		passes bool
	}{
		{"a program", http.MethodPost, nil, true},
		{"our own page", http.MethodPost, []string{"Origin", "https://acme.test", "Sec-Fetch-Site", "same-origin"}, true},
		{"our own page, old browser", http.MethodPost, []string{"Origin", "https://acme.test"}, true},
		{"a link of another site", http.MethodGet, []string{"Sec-Fetch-Site", "cross-site"}, true},
		{"a tenant's form", http.MethodPost, []string{"Origin", "https://globex.test", "Sec-Fetch-Site", "same-site"}, false},
		{"a tenant's fetch", http.MethodDelete, []string{"Sec-Fetch-Site", "same-site"}, false},
		{"a stranger's form", http.MethodPut, []string{"Origin", "null", "Sec-Fetch-Site", "cross-site"}, false},
		{"a tenant's form, old browser", http.MethodPatch, []string{"Origin", "https://globex.test"}, false},
		{"a program's socket", http.MethodGet, socket, true},
		{"our own socket", http.MethodGet, append([]string{"Origin", "https://acme.test"}, socket...), true},
		{"a tenant's socket", http.MethodGet, append([]string{"Origin", "https://globex.test"}, socket...), false},
		{"another port's socket", http.MethodGet, append([]string{"Origin", "https://acme.test:8443"}, socket...), false},
		{"a plain page's socket", http.MethodGet, append([]string{"Origin", "http://acme.test"}, socket...), false},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := w.client(false)
			for _, path := range []string{"/a", "/public/a"} {
				answer, err := c.Do(w.request(test.method, "https://acme.test"+path, nil, &p, test.header...))
				w.must(err)
				_, _ = io.Copy(io.Discard, answer.Body)
				w.must(answer.Body.Close())
				if passed := len(w.app.take()) > 0; passed != test.passes || !passed && answer.StatusCode != http.StatusForbidden {
					t.Errorf("%s: %d, the app saw it: %v", path, answer.StatusCode, passed)
				}
				if !test.passes {
					if e := w.lastRecord(w.acme.ID); e.Type != audit.AccessRefused || e.Reason != "cross-origin" || e.Session != p.session.ID {
						t.Errorf("recorded as %+v", e)
					}
				}
			}
			if test.method == http.MethodGet || len(test.header) == 0 {
				return
			}
			answer, err := c.Do(w.request(test.method, "https://acme.test/a", nil, nil, append(test.header, "Authorization", "Bearer "+ownerToken)...))
			w.must(err)
			if w.body(answer); answer.StatusCode != http.StatusOK {
				t.Errorf("a token is sent by no other page's doing, but got %d", answer.StatusCode)
			}
			w.app.take()
		})
	}
}
