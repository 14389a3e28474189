package authn_test

import (
	"net/http"
	"testing"

	"github.com/golang-jwt/jwt/v5"

	"gatehouse/audit"
	"gatehouse/directory"
	"gatehouse/internal/httpkit"
	"gatehouse/sessions"
	"gatehouse/tenants"
)

// A tenant moves to another provider: the first sign-in there is refused, and its record
// holds what an admin links it to the person by, who comes in with all that they had.
func TestPeopleMoveToAnotherProvider(t *testing.T) {
	w, idp, other := newWorld(t), newIssuer(t), newIssuer(t)
	w.connections.put(idp.connection())
	first := w.browser()
	first.open("/.gatehouse/login?connection=idp")
	ann := w.user(t)

	second := other.connection()
	second.Name, second.Link = "second", tenants.LinkByEmail // which takes over nobody whom a sign-in has made
	w.connections.put(second)
	other.claims = func(c jwt.MapClaims) { c["sub"], c["email"] = "another|1", "Ann@ACME.example" }
	b := w.browser()
	b.open("/.gatehouse/login?connection=second").has(t, http.StatusForbidden, "Ask your admin to link this sign-in to that person")
	refused := w.journal.all(audit.SignInRefused)
	e := refused[len(refused)-1]
	if e.Reason != "account-exists" || e.Connection != "con_second" || e.Details["subject"] != "another|1" || e.Details["email"] != "ann@acme.example" {
		t.Fatalf("recorded %+v", e)
	}
	check(t, w.directory.Link(t.Context(), audit.SystemCause(), acme, ann, directory.Namer{}, e.Connection, e.Details["subject"]))
	b.open("/.gatehouse/login?connection=second&return_to=/x").has(t, http.StatusOK, "app /x for ann@acme.example")
	people, err := w.directory.Users(t.Context(), acme, directory.UserQuery{})
	check(t, err)
	if people.Total != 1 || len(w.journal.all(audit.UserCreated)) != 1 {
		t.Errorf("%d people", people.Total)
	}

	// An address that nobody has verified is no help to whoever links.
	second.Unknown = tenants.RefuseUnknown
	w.connections.put(second)
	other.mu.Lock()
	other.claims = func(c jwt.MapClaims) { c["sub"], c["email_verified"] = "another|2", false }
	other.mu.Unlock()
	w.browser().open("/.gatehouse/login?connection=second")
	refused = w.journal.all(audit.SignInRefused)
	if e := refused[len(refused)-1]; e.Reason != "person-unknown" || e.Details["subject"] != "another|2" || e.Details["email"] != "" {
		t.Errorf("recorded %+v", e)
	}
	// What was not believed names nobody.
	other.mu.Lock()
	other.claims = func(c jwt.MapClaims) { c["aud"] = "another" }
	other.mu.Unlock()
	w.browser().open("/.gatehouse/login?connection=second")
	refused = w.journal.all(audit.SignInRefused)
	if e := refused[len(refused)-1]; e.Reason != "wrong-audience" || e.Details["subject"] != "" || e.Details["email"] != "" {
		t.Errorf("recorded %+v", e)
	}
}

// A sign-in under way does not outlive its identity: who unlinks it ends its sessions,
// maybe just before this one.
func TestP2_ASignInUnderWayEndsWithItsIdentity(t *testing.T) {
	w, idp := newWorld(t), newIssuer(t)
	w.connections.put(idp.connection())
	b := w.browser()
	b.open("/.gatehouse/login?connection=idp")
	ann := w.user(t)
	w.journal.on(audit.SignInSucceeded, func() {
		unlinked, err := w.directory.Unlink(t.Context(), audit.SystemCause(), acme, ann, "con_idp", "subject-1")
		check(t, err)
		_, err = w.sessions.Revoke(t.Context(), audit.SystemCause(), acme, sessions.Selector{Connection: "con_idp", IDPSubject: "subject-1"}, "identity-unlinked")
		check(t, err)
		if !unlinked {
			t.Error("it was not linked")
		}
	})
	late := w.browser()
	late.open("/.gatehouse/login?connection=idp").has(t, http.StatusForbidden, "took this way of signing in from your account")
	if late.cookie(httpkit.SessionCookie) != "" || w.journal.lastRefusal(t) != "identity-unlinked" {
		t.Errorf("refused for %s", w.journal.lastRefusal(t))
	}
	live, _, err := w.sessions.List(t.Context(), acme, sessions.Filter{State: sessions.StateLive})
	if err != nil || len(live) != 0 {
		t.Errorf("%d sessions, %v", len(live), err)
	}
}
