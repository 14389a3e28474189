package gateway

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse/machines"
)

func (p *plant) asked(client string) machines.Credential {
	return machines.Credential{Introspection: &machines.Introspection{Endpoint: p.as.URL + "/introspect", AuthClientID: "gate", AuthClientSecret: "odd: s3cret/&",
		Claims: machines.Claims{Audience: "app", ClientID: client}}}
}

// said is what the server says of a good token.
func (p *plant) said(client string, changes map[string]any) map[string]any {
	said := map[string]any{"active": true, "aud": "app", "client_id": client, "iss": p.as.URL, "token_type": "Bearer", "exp": time.Now().Add(time.Minute).Unix()}
	maps.Copy(said, changes)
	for name, v := range changes {
		if v == nil {
			delete(said, name)
		}
	}
	return said
}

// An opaque token makes a program who it is as its server says, which is asked once
// for many requests, also if they come at once.
func TestAServiceCallsByAnOpaqueToken(t *testing.T) {
	p := newPlant(t)
	billing := p.hire("billing", "viewer", p.asked("billing"))
	p.as.knows("opaque-1", p.said("billing", nil))
	c := p.client(true, nil)
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if got := c.bear("/", "opaque-1"); got.Status != http.StatusOK || got.User != string(billing.ID) || got.Authorization != "" {
				t.Errorf("%+v", got)
			}
		})
	}
	all.Wait()
	if n := p.as.asked.Load(); n != 1 {
		t.Errorf("asked %d times", n)
	}
	if p.as.credential != "gate odd%3A+s3cret%2F%26" { // RFC 6749 §2.3.1
		t.Errorf("asked by %q", p.as.credential)
	}
	for range 5 {
		if got := c.bear("/", "opaque-2"); got.Status != http.StatusUnauthorized {
			t.Errorf("unknown: %+v", got)
		}
	}
	if n := p.as.asked.Load(); n != 2 {
		t.Errorf("asked %d times", n)
	}
	// A change of the service lets go of what was remembered.
	p.hire("billing", "viewer", p.asked("somebody"))
	if got := c.bear("/", "opaque-1"); got.Status != http.StatusUnauthorized {
		t.Errorf("after a change: %+v", got)
	}
	// A token of another form is shown to nobody.
	before := p.as.asked.Load()
	for name, raw := range map[string]string{"with spaces": "a b", "with quotes": `a"b`, "padding alone": "==", "without end": strings.Repeat("a", 20<<10)} {
		if got := c.bear("/", raw); got.Status != http.StatusUnauthorized {
			t.Errorf("%s: %+v", name, got)
		}
	}
	if n := p.as.asked.Load(); n != before {
		t.Errorf("asked %d times", n-before)
	}
	// Nor is a signed one whose issuer's tokens a service shows.
	p.hire("signed", "viewer", p.signed("signed"))
	forged := p.as.token("signed")
	if got := c.bear("/", forged[:len(forged)-4]+"AAAA"); got.Status != http.StatusUnauthorized || p.as.asked.Load() != before {
		t.Errorf("a signed one: %+v, asked %d times", got, p.as.asked.Load()-before)
	}
}

// What the server says is held to what it should say; what it does not say clearly is
// no answer (P7).
func TestP7_AnswersAboutTokens(t *testing.T) {
	p := newPlant(t)
	withIssuer := p.asked("billing")
	withIssuer.Introspection.Issuer = p.as.URL
	p.hire("billing", "owner", withIssuer)
	c := p.client(true, nil)
	now := time.Now()
	n := 0
	ask := func(answer http.HandlerFunc, said map[string]any) answered {
		n++
		token := fmt.Sprint("token-", n)
		p.as.knows(token, said)
		p.as.answers(answer)
		defer p.as.answers(nil)
		return c.bear("/", token)
	}
	if got := ask(nil, p.said("billing", nil)); got.Status != http.StatusOK {
		t.Fatalf("%+v", got)
	}
	_, seq := p.refusals(p.acme.ID, 0)
	for name, w := range map[string]struct {
		changes map[string]any
		reason  string
	}{
		"not active":             {map[string]any{"active": false}, "token-inactive"},
		"for another app":        {map[string]any{"aud": "other"}, "wrong-audience"},
		"for nobody":             {map[string]any{"aud": nil}, "wrong-audience"},
		"of another client":      {map[string]any{"client_id": "somebody"}, "unknown-client"},
		"of two clients":         {map[string]any{"azp": "somebody"}, "unknown-client"},
		"of another server":      {map[string]any{"iss": "https://elsewhere.example"}, "wrong-issuer"},
		"of no server":           {map[string]any{"iss": nil}, "wrong-issuer"},
		"expired":                {map[string]any{"exp": now.Add(-time.Second).Unix()}, "expired"},
		"expiring by a text":     {map[string]any{"exp": "never"}, "malformed"},
		"not good yet":           {map[string]any{"nbf": now.Add(time.Hour).Unix()}, "not-yet-valid"},
		"not good yet, for ever": {map[string]any{"nbf": now.Add(time.Hour).Unix(), "exp": nil}, "not-yet-valid"},
		"of another type":        {map[string]any{"token_type": "DPoP"}, "wrong-type"},
		"bound to a key":         {map[string]any{"cnf": map[string]string{"jkt": "x"}}, "wrong-binding"},
	} {
		got := ask(nil, p.said("billing", w.changes))
		if got.Status != http.StatusUnauthorized || !strings.Contains(got.Header.Get("WWW-Authenticate"), `error="invalid_token"`) {
			t.Errorf("%s: %+v", name, got)
		}
		var reasons []string
		if reasons, seq = p.refusals(p.acme.ID, seq); len(reasons) != 1 || reasons[0] != w.reason {
			t.Errorf("%s: recorded as %q, want %q", name, reasons, w.reason)
		}
	}
	write := func(text string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, text) }
	}
	for name, answer := range map[string]http.HandlerFunc{
		"away":             func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"broken":           func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) },
		"not believing us": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) },
		"redirecting": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, p.as.URL+"/elsewhere", http.StatusTemporaryRedirect)
		},
		"another page":     write("<html>"),
		"nothing":          write(""),
		"no word of it":    write(`{"aud":"app","client_id":"billing"}`),
		"active as a text": write(`{"active":"true","aud":"app","client_id":"billing"}`),
		"active twice":     write(`{"active":false,"active":true,"aud":"app","client_id":"billing"}`),
		"without end":      write(`{"active":true,"aud":"app","x":"` + strings.Repeat("x", 70<<10) + `"}`),
		"a list":           write(`[{"active":true}]`),
		"cut short": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "99")
			_, _ = io.WriteString(w, `{"active":true`)
		},
	} {
		if got := ask(answer, nil); got.Status != http.StatusServiceUnavailable || got.Header.Get("Retry-After") == "" || got.User != "" {
			t.Errorf("%s: %+v", name, got)
		}
	}
	// A failure is not remembered.
	if got := ask(nil, p.said("billing", nil)); got.Status != http.StatusOK {
		t.Errorf("afterwards: %+v", got)
	}
}

// A server that hangs holds up those who show its tokens, for as long as they are
// bounded, and nobody else.
func TestP7_AServerThatHangs(t *testing.T) {
	p := newPlant(t)
	p.hire("billing", "viewer", p.asked("billing"))
	other := newAuthServer(t)
	theirs := p.hireAt(p.globex.ID, machines.Machine{Name: "billing", Role: "viewer", Enabled: true, Credentials: []machines.Credential{
		{Introspection: &machines.Introspection{Endpoint: other.URL + "/introspect", AuthClientID: "g", AuthClientSecret: "s", Claims: machines.Claims{Audience: "app", ClientID: "billing"}}}}})
	p.as.knows("good", p.said("billing", nil))
	other.knows("theirs", p.said("billing", nil))
	c := p.client(true, nil)
	if got := c.bear("/", "good"); got.Status != http.StatusOK {
		t.Fatalf("%+v", got)
	}
	p.as.answers(func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body); <-r.Context().Done() })
	var all sync.WaitGroup
	for i := range 40 {
		all.Go(func() {
			if got := c.bear("/", fmt.Sprint("hanging-", i)); got.Status != http.StatusServiceUnavailable {
				t.Errorf("%+v", got)
			}
		})
	}
	if got := c.bear("globex.test/", "theirs"); got.Status != http.StatusOK || got.User != string(theirs.ID) {
		t.Errorf("another tenant's: %+v", got)
	}
	if got := c.bear("/", "good"); got.Status != http.StatusOK {
		t.Errorf("one that is known: %+v", got)
	}
	all.Wait()
	if n := p.as.asked.Load(); n > 17 {
		t.Errorf("asked %d times at once", n)
	}
}
