package oauth2

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"gatehouse/authn"
	"gatehouse/authn/oauth2/oauth2test"
	"gatehouse/internal/httpkit"
	"gatehouse/tenants"
)

func newProtocol(patience time.Duration) *Protocol {
	egress := httpkit.NewEgress(httpkit.EgressOptions{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
	return New(Config{Client: egress.Client(), Patience: patience, Log: slog.New(slog.DiscardHandler)})
}

var step = authn.Step{Tenant: "ten_acme", Token: strings.Repeat("s", 43), Endpoints: authn.Endpoints{Callback: "https://acme.example/.gatehouse/oauth2/hub/callback"}}

// signIn goes the way of a browser: there, and back with the answer.
func (p *Protocol) signIn(t *testing.T, c tenants.Connection) (authn.Assertion, error) {
	t.Helper()
	there, err := p.Start(t.Context(), c, step)
	if err != nil {
		t.Fatal(err)
	}
	stay := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := stay.Get(there.URL)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	r := httptest.NewRequest(http.MethodGet, resp.Header.Get("Location"), nil)
	if err := r.ParseForm(); err != nil || p.Token(r) != step.Token {
		t.Fatalf("came back with %v: %v", r.Form, err)
	}
	return p.Finish(t.Context(), c, step, there.Private, r)
}

// names lists the checks in order.
func (c checks) names() (all []string) {
	v := reflect.ValueOf(c)
	for i := range v.NumField() {
		for j := range v.Field(i).Len() {
			all = append(all, v.Field(i).Index(j).FieldByName("name").String())
		}
	}
	return all
}

func leaveOut[T any](list []check[T], name string) []check[T] {
	return slices.DeleteFunc(slices.Clone(list), func(c check[T]) bool { return c.name == name })
}

// without is all checks but one.
func (c checks) without(name string) checks {
	return checks{leaveOut(c.responses, name), leaveOut(c.replies, name), leaveOut(c.documents, name), leaveOut(c.grants, name), leaveOut(c.subjects, name),
		leaveOut(c.pages, name), leaveOut(c.addresses, name), leaveOut(c.groups, name), leaveOut(c.answers, name)}
}

// TestEachCheckIsNeeded: whatever one check refuses gets in once that check is left
// out, and every check has something that it alone refuses.
func TestEachCheckIsNeeded(t *testing.T) {
	names := allChecks.names()
	needed := map[string]bool{}
	for name, attack := range oauth2test.Attacks() {
		if attack.Check == "" {
			continue
		}
		if !slices.Contains(names, attack.Check) {
			t.Errorf("%s: there is no check %q", name, attack.Check)
		}
		needed[attack.Check] = true
		t.Run(name, func(t *testing.T) {
			try := func(of checks) error {
				hub := oauth2test.New(t)
				attack.Do(hub, oauth2test.NewThief(t))
				c := hub.Connection()
				if attack.Connection != nil {
					attack.Connection(c.OAuth2)
				}
				p := newProtocol(0)
				p.checks = of
				_, err := p.signIn(t, c)
				return err
			}
			if refusal, ok := errors.AsType[*authn.Refusal](try(allChecks)); !ok || refusal.Reason != attack.Want {
				t.Errorf("with every check: %v", refusal)
			}
			if err := try(allChecks.without(attack.Check)); err != nil {
				t.Errorf("without the check %q: %v", attack.Check, err)
			}
		})
	}
	for i, name := range names {
		if !needed[name] || slices.Index(names, name) != i {
			t.Errorf("no attack shows what the check %q is for, or there are two of it", name)
		}
	}
}

// TestOnlyPKCEStopsAnInjectedCode: to switch it off for a provider that refuses it
// has that price.
func TestOnlyPKCEStopsAnInjectedCode(t *testing.T) {
	hub := oauth2test.New(t)
	oauth2test.Attacks()["a code of another sign-in"].Do(hub, nil)
	c := hub.Connection()
	if _, err := newProtocol(0).signIn(t, c); err == nil {
		t.Error("a code of another sign-in was redeemed")
	}
	c.OAuth2.PKCE = tenants.WithoutPKCE
	if _, err := newProtocol(0).signIn(t, c); err != nil || hub.Asked().Has("code_challenge") {
		t.Errorf("without PKCE: %v, asked %v", err, hub.Asked())
	}
}

// TestAProviderThatHangsIsNotWaitedFor: whichever of its endpoints it is, before
// the answer, within it or a byte at a time.
func TestAProviderThatHangsIsNotWaitedFor(t *testing.T) {
	hang := map[string]func(w http.ResponseWriter, over <-chan struct{}){
		"says nothing": func(_ http.ResponseWriter, over <-chan struct{}) { <-over },
		"says the half": func(w http.ResponseWriter, over <-chan struct{}) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write([]byte(`{"id":1,`))
			_ = http.NewResponseController(w).Flush()
			<-over
		},
		"says more and more": func(w http.ResponseWriter, over <-chan struct{}) {
			w.Header().Set("Content-Type", "application/json")
			for {
				if _, err := w.Write([]byte(" ")); err != nil || http.NewResponseController(w).Flush() != nil {
					return
				}
				select {
				case <-over:
					return
				case <-time.After(20 * time.Millisecond):
				}
			}
		},
	}
	for _, path := range []string{oauth2test.Token, oauth2test.User, oauth2test.Emails, oauth2test.Orgs, oauth2test.Teams} {
		for how, answer := range hang {
			t.Run(path+" "+how, func(t *testing.T) {
				hub := oauth2test.New(t)
				hub.Instead(path, func(w http.ResponseWriter, r *http.Request) {
					_ = r.ParseForm() // so that the server sees the client go
					answer(w, r.Context().Done())
				})
				p := newProtocol(300 * time.Millisecond)
				p.client.Timeout = 0 // what one request may take is not what bounds it
				p.client.Transport = http.DefaultTransport
				_, err := p.signIn(t, hub.Connection())
				if refusal, ok := errors.AsType[*authn.Refusal](err); !ok || refusal.Reason != authn.ProviderUnreachable || !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("%v", err)
				}
			})
		}
	}
}
