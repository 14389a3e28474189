package authn_test

import (
	"net/http"
	"testing"

	"gatehouse/audit"
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
