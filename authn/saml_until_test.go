package authn_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/beevik/etree"

	"gatehouse/authn/saml/attacktest"
	"gatehouse/internal/httpkit"
)

// A session by SAML ends with the one at the provider, if that says when: with the
// first of several, and as much later as clocks may differ.
func TestASAMLSessionEndsWithTheProviders(t *testing.T) {
	w := newWorld(t)
	w.connections.put(samlConnection(ourKey()))
	until := func(ends ...time.Time) time.Time {
		t.Helper()
		b := w.browser()
		f := b.samlFlight()
		a := attacktest.Attack{With: func(t testing.TB, flight attacktest.Flight, doc *etree.Document) {
			statement := assertionOf(doc).SelectElement("AuthnStatement")
			for i, end := range ends {
				if i > 0 {
					statement = statement.Copy()
					assertionOf(doc).AddChild(statement)
				}
				statement.CreateAttr("SessionNotOnOrAfter", end.Format(time.RFC3339))
			}
			attacktest.SignAssertion(t, flight, doc)
		}}
		b.postFromElsewhere(f.acs, f.form([]byte(a.Forge(t, attacktest.Flight{Message: f.message})))).has(t, http.StatusOK, "app /reports")
		live, err := w.sessions.Find(t.Context(), acme, b.cookie(httpkit.SessionCookie))
		check(t, err)
		return live.Session().Until
	}
	soon := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	if got := until(); !got.IsZero() {
		t.Errorf("without a word of it: %v", got)
	}
	for _, ends := range [][]time.Time{{soon}, {soon.Add(time.Hour), soon}} {
		if got := until(ends...); !got.Equal(soon.Add(time.Minute)) {
			t.Errorf("ends with %v, want %v and a minute", got, soon)
		}
	}
}
