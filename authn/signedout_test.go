package authn_test

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"

	"gatehouse/audit"
	"gatehouse/internal/fault"
	"gatehouse/internal/httpkit"
	"gatehouse/tenants"
)

// A provider is told that its sessions are over, so none may begin afterwards
// that it had vouched for before.
func TestP2_ASignInDoesNotOutliveItsSignOut(t *testing.T) {
	w := newWorld(t)
	w.connections.put(samlWithLogout(ourKey()))
	for name, c := range map[string]struct {
		indexes []string
		whom    string
		goesOn  bool
	}{
		"the session":     {[]string{"s0", "s1"}, "gil", false},
		"the person":      {nil, "gil", false},
		"another session": {[]string{"s2"}, "gil", true},
		"another person":  {nil, "ann", true},
	} {
		t.Run(name, func(t *testing.T) {
			for range 2 { // the sign-out before is no news to the next sign-in
				b := w.browser()
				b.t = t
				step := b.samlVerified("adfs", "gil", "s1")
				w.browser().send(w.logoutRequest(c.whom, c.indexes...), redirectBind, "").has(t, http.StatusSeeOther)
				p := b.open(step)
				if b.signedIn() != c.goesOn {
					t.Fatalf("signed in %t: %d", !c.goesOn, p.status)
				}
				if refused := w.journal.all(audit.SignInRefused); !c.goesOn && (len(refused) == 0 || last(refused).Reason != "signed-out-meanwhile") {
					t.Errorf("refused as %+v", refused)
				}
			}
			w.browser().samlSignIn("adfs", "gil", "s1") // nor does it stand in the way of one
			w.endAll(t)
		})
	}
}

// The index means the same with the spaces that somebody writes around it.
func TestP2_ASessionIndexIsTheSameAtSignInAndSignOut(t *testing.T) {
	w := newWorld(t)
	w.connections.put(samlWithLogout(ourKey()))
	b := w.browser()
	b.samlSignIn("adfs", "gil", " s1 ")
	w.browser().send(w.logoutRequest("gil", " s1 "), redirectBind, "").has(t, http.StatusSeeOther)
	if b.signedIn() {
		t.Error("still signed in")
	}
}

// The gate lets nobody in from where their session does not count; but a sign-out
// must not be lost for the cookie of the browser that brings it.
func TestP2_ASignOutComesInFromAnyNetwork(t *testing.T) {
	w := newWorld(t)
	w.connections.put(samlWithLogout(ourKey()))
	b := w.browser()
	b.samlSignIn("adfs", "gil", "s1")
	w.connections.set(tenants.SessionSettings{Networks: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}})
	for path, denied := range map[string]bool{
		"/": true, "/.gatehouse/saml/adfs/acs": true, "/.gatehouse/logout/": true, "/slo": true, "/.gatehouse/oidc/idp/slo": true,
		slo: false, "/.gatehouse/oidc/idp/backchannel-logout": false, "/.gatehouse/signals/idp": false,
	} {
		r := httptest.NewRequest(http.MethodGet, w.url+path, http.NoBody)
		r.AddCookie(&http.Cookie{Name: httpkit.SessionCookie, Value: b.cookie(httpkit.SessionCookie)})
		caller, err := w.Caller(w.passed(r))
		if fault.Is(err, fault.Denied) != denied || (err == nil) == denied || caller.Principal != nil {
			t.Errorf("%s: %+v, %v", path, caller, err)
		}
	}
	b.send(w.logoutRequest("gil", "s1"), redirectBind, "").has(t, http.StatusSeeOther)
	if b.signedIn() {
		t.Error("still signed in")
	}
}
