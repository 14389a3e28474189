package authn_test

import (
	"net/http"
	"net/url"
	"sync/atomic"
	"testing"

	"gatehouse/authn"
	"gatehouse/internal/httpkit"
)

// TestAMixUpGivesNobodyACode: a provider that sends the browser on to another one is
// given none of that one's codes (RFC 9700 §4.4): what comes back by the other's address
// belongs to no sign-in there, and what comes back by its own says who it is from.
func TestAMixUpGivesNobodyACode(t *testing.T) {
	w, honest, evil := newWorld(t), newIssuer(t), newIssuer(t)
	w.connections.put(honest.connection())
	other := evil.connection()
	other.Name = "evil"
	w.connections.put(other)
	var asked atomic.Int64
	for _, i := range []*issuer{honest, evil} {
		i.token = func(http.ResponseWriter) bool { asked.Add(1); return false }
	}
	for name, c := range map[string]struct {
		back, iss string
		want      authn.Reason
	}{
		"by the other's address":                   {"/.gatehouse/oidc/idp/callback", honest.URL, "other-connection"},
		"by the other's, in its own name":          {"/.gatehouse/oidc/idp/callback", evil.URL, "other-connection"},
		"by its own address":                       {"/.gatehouse/oidc/evil/callback", honest.URL, authn.WrongIssuer},
		"by its own, in no name":                   {"/.gatehouse/oidc/evil/callback", "", authn.WrongIssuer},
		"by its own, in a name that passes for it": {"/.gatehouse/oidc/evil/callback", evil.URL + "/", authn.WrongIssuer},
	} {
		t.Run(name, func(t *testing.T) {
			b := w.browser()
			b.t = t
			at, err := url.Parse(b.look("/.gatehouse/login?connection=evil").header.Get("Location"))
			check(t, err)
			// The code is the other's: the browser is signed in there, and asked nothing.
			answer := url.Values{"code": {"c0de"}, "state": {at.Query().Get("state")}}
			if c.iss != "" {
				answer.Set("iss", c.iss)
			}
			b.open(c.back+"?"+answer.Encode()).has(t, http.StatusForbidden, "You are not signed in")
			if got := w.journal.lastRefusal(t); got != c.want || b.cookie(httpkit.SessionCookie) != "" {
				t.Errorf("reason %q, want %q", got, c.want)
			}
		})
	}
	if n := asked.Load(); n != 0 {
		t.Errorf("a code went out %d times", n)
	}
}
