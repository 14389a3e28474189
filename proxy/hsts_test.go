package proxy

import (
	"context"
	"net/http"
	"testing"
	"time"

	"gatehouse/audit"
	"gatehouse/tenants"
)

// Browsers are told to come by TLS alone, by whatever answers at a tenant's host; what
// the app says of it wins, and nothing is said at hosts of this machine.
func TestBrowsersComeByTLSAlone(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.HSTS = HSTS{MaxAge: 365 * 24 * time.Hour} })
	_, err := w.tenants.Create(context.Background(), audit.SystemCause(),
		tenants.Tenant{Name: "here", Hosts: []string{"here.localhost", "localhost"}, Status: tenants.Active})
	w.must(err)
	p := w.signIn("mia")
	c := w.client(false)
	said := func(what string, r *http.Request, want ...string) {
		t.Helper()
		answer, err := c.Do(r)
		w.must(err)
		w.body(answer)
		got := answer.Header["Strict-Transport-Security"]
		if len(got) != len(want) || len(want) > 0 && got[0] != want[0] {
			t.Errorf("%s: %d with %q, want %q", what, answer.StatusCode, got, want)
		}
	}
	get := func(url string, p *person) *http.Request { return w.request(http.MethodGet, url, nil, p) }
	const year = "max-age=31536000"
	said("forwarded", get("https://acme.test/", &p), year)
	said("our own", get("https://acme.test/.gatehouse/x", nil), year)
	said("refused", get("https://acme.test/", nil), year)
	said("the operators'", get("https://admin.test/", nil), year)
	said("nobody's host", get("https://unknown.test/", nil))
	said("of this machine", get("https://here.localhost/public/x", nil))
	said("localhost", get("https://localhost/public/x", nil))
	w.app.handle(func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Strict-Transport-Security", "max-age=0")
	})
	said("the app's", get("https://acme.test/", &p), "max-age=0")
	w.app.handle(func(http.ResponseWriter, *http.Request) {})

	settings := w.gate.settings.Load().Settings
	settings.HSTS = HSTS{MaxAge: time.Hour, Subdomains: true}
	w.must(w.gate.Apply(settings))
	said("changed", get("https://acme.test/", &p), "max-age=3600; includeSubDomains")
	settings.HSTS = HSTS{}
	w.must(w.gate.Apply(settings))
	said("switched off", get("https://acme.test/", &p))
}

func TestWhatHostsBrowsersRemember(t *testing.T) {
	for host, want := range map[string]bool{
		"acme.example.com": true, "localhost.example.com": true, "notlocalhost": true, "10.example": true,
		"localhost": false, "localhost.": false, "acme.localhost": false, "a.b.localhost.": false, "127.0.0.1": false, "192.0.2.1": false, "[::1]": false, "::1": false, "[2001:db8::1]": false,
	} {
		if lasting(host) != want {
			t.Errorf("%s: %t", host, !want)
		}
	}
}
