package authn_test

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"gatehouse/authn"
	"gatehouse/authn/saml"
	"gatehouse/tenants"
)

// anotherNode is signing in on another node: it shares the database, and nothing in
// memory.
func (w *world) anotherNode(t *testing.T) *authn.Service {
	t.Helper()
	s := authn.New(authn.Config{
		Store: w.db, Keys: w.keys, Journal: w.journal, Refusals: w.journal, Tenants: w.connections, Directory: w.directory,
		Sessions: w.sessions, Devices: w.sessions, Tokens: w.tokens, Roles: w.grants, Now: w.clock, Log: slog.New(slog.DiscardHandler),
		Protocols: map[tenants.ConnectionType]authn.Protocol{tenants.SAML: saml.New(saml.Config{Store: w.db, Keys: w.keys, Journal: w.journal, Client: w.egress, Now: w.clock})},
	})
	t.Cleanup(s.Close)
	return s
}

// at sends an answer to a node.
func (b *browser) at(node *authn.Service, f flight, form url.Values) *httptest.ResponseRecorder {
	req := httptest.NewRequestWithContext(b.t.Context(), http.MethodPost, f.acs, strings.NewReader(form.Encode()))
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for _, c := range b.Jar.Cookies(req.URL) {
		req.AddCookie(c)
	}
	answer := httptest.NewRecorder()
	node.Handler().ServeHTTP(answer, b.w.passed(req))
	return answer
}

func TestSAMLReplayOnAnotherNodeIsRefused(t *testing.T) {
	w := newWorld(t)
	c := samlConnection(ourKey())
	c.SAML.IDPInitiated = true
	w.connections.put(c)
	other := w.anotherNode(t)
	b := w.browser()
	replay := func(name string, f flight, form url.Values, want int, reason authn.Reason) {
		t.Helper()
		if answer := b.at(other, f, form); answer.Code != want || reason != "" && w.journal.lastRefusal(t) != reason {
			t.Errorf("%s: %d %s", name, answer.Code, answer.Body)
		}
	}
	// A sign-in that is begun on one node ends on another, once.
	f := b.samlFlight()
	form := f.form(honest(t, f))
	replay("control", f, form, http.StatusSeeOther, "")
	replay("the step", f, form, http.StatusForbidden, "replayed")
	refused(t, b, f, form, "replayed")
	// The same assertion for another request.
	g := b.samlFlight()
	g.message.AssertionID = f.message.AssertionID
	replay("the assertion", g, g.form(honest(t, g)), http.StatusForbidden, "replayed")
	// One that nobody asked for.
	u, form := b.unasked("_once", "/", nil)
	b.postFromElsewhere(u.acs, form).has(t, http.StatusOK)
	replay("unasked", u, form, http.StatusForbidden, "replayed")
}
