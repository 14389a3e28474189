package authn_test

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"gatehouse/audit"
	"gatehouse/authn"
	"gatehouse/directory"
	"gatehouse/identity"
	"gatehouse/internal/store"
	"gatehouse/tenants"
)

func TestP2_ARefusedRefreshEndsTheSession(t *testing.T) {
	for _, refusal := range []string{"invalid_grant", "interaction_required", "access_denied"} {
		t.Run(refusal, func(t *testing.T) {
			w, idp := newWorld(t), newIssuer(t)
			w.connections.put(idp.rechecked())
			b := w.browser()
			b.open("/").has(t, http.StatusOK)
			if scope := idp.lastAsked().Get("scope"); !strings.HasSuffix(scope, " offline_access") {
				t.Errorf("asked for %q", scope)
			}
			open := b.stream()
			w.rechecking()
			idp.change(func(o *offline) { o.refuses = refusal })
			w.later(idp, time.Hour)
			soon(t, "the end of the session", func() bool { return !b.signedIn() })
			soon(t, "its record", func() bool { return len(w.ended()) > 0 })
			if e := w.journal.all(audit.SessionsRevoked)[0]; e.Reason != "refresh-refused" || e.Actor.Kind != identity.KindIDP || e.Target.Kind != "session" {
				t.Errorf("recorded as %+v", e)
			}
			soon(t, "the end of what was open", open.cut.Load)
			if n := w.kept(); n != 0 {
				t.Errorf("%d refresh tokens are kept", n)
			}
			if renewed, reused := idp.counts(); renewed+reused != 0 {
				t.Errorf("%d renewed, %d reused", renewed, reused)
			}
		})
	}
}

// What comes of a refresh is believed as little as what comes of a sign-in (OpenID
// Connect Core §12.2). Whoever it is about, they are not signed in.
func TestHostileRefreshes(t *testing.T) {
	set := func(name string, value any) func(*issuer) {
		return func(i *issuer) { i.offline.claims = func(c jwt.MapClaims) { c[name] = value } }
	}
	for name, c := range map[string]struct {
		attack func(*issuer)
		ends   bool
		want   authn.Reason
	}{
		"about another":      {set("sub", "boss"), true, ""},
		"about nobody":       {set("sub", nil), true, ""},
		"of another issuer":  {set("iss", "https://evil.example"), false, authn.WrongIssuer},
		"for another":        {set("aud", "another"), false, authn.WrongAudience},
		"used by another":    {set("azp", "another"), false, authn.WrongAudience},
		"of another sign-in": {set("nonce", "another"), false, authn.WrongNonce},
		"expired":            {set("exp", 1), false, authn.Expired},
		"of a later time":    {set("iat", 1<<35), false, authn.NotYetValid},
		"signed by nobody":   {forged(t, map[string]any{"alg": "none"}, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType), false, authn.WrongAlgorithm},
		"of another key":     {segments(func(h, p, _ string) string { return h + "." + p + "." + strings.Repeat("A", 86) }), false, authn.WrongKey},
		"userinfo of another": {func(i *issuer) {
			i.offline.bare, i.userinfo = true, map[string]any{"sub": "boss", "email": "boss@acme.example"}
		}, true, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w, idp := newWorld(t), newIssuer(t)
			w.connections.put(idp.rechecked())
			b := w.browser()
			b.open("/").has(t, http.StatusOK)
			idp.mu.Lock()
			c.attack(idp)
			idp.mu.Unlock()
			w.rechecking()
			w.later(idp, time.Hour)
			if c.ends {
				soon(t, "the end of the session", func() bool { return !b.signedIn() })
				soon(t, "its record", func() bool { return slices.Equal(w.ended(), []string{"refresh-refused"}) })
				return
			}
			soon(t, "the record of it", func() bool { return len(w.journal.all(audit.SessionRechecked)) > 0 })
			if e := w.journal.all(audit.SessionRechecked)[0]; e.Reason != string(c.want) {
				t.Errorf("recorded as %+v", e)
			}
			// The token that came with it is kept all the same: the old one is used up.
			idp.mu.Lock()
			idp.sign, idp.offline.claims = nil, nil
			idp.mu.Unlock()
			w.later(idp, time.Hour)
			soon(t, "a refresh that is good", func() bool { renewed, _ := idp.counts(); return renewed >= 2 })
			soon(t, "the end of it", func() bool { return w.held() == 0 })
			if _, reused := idp.counts(); reused != 0 || !b.signedIn() {
				t.Errorf("%d reused, signed in %t", reused, b.signedIn())
			}
		})
	}
}

// Without a journal no session ends (P1), and the provider is asked once more.
func TestP1_ARefusedRefreshIsRecordedFirst(t *testing.T) {
	w, idp := newWorld(t), newIssuer(t)
	w.connections.put(idp.rechecked())
	b := w.browser()
	b.open("/").has(t, http.StatusOK)
	asked := make(chan struct{})
	var once sync.Once
	idp.change(func(o *offline) {
		o.instead = func(w http.ResponseWriter, _ *http.Request) bool {
			once.Do(func() { close(asked) })
			return saysError("invalid_grant")(w, nil)
		}
	})
	w.journal.fail(errors.New("disk full"))
	w.rechecking()
	w.later(idp, time.Hour)
	<-asked
	if !b.signedIn() {
		t.Error("the session has ended without a record")
	}
	w.journal.mend()
	w.later(idp, 10*time.Minute) // the lease is over
	soon(t, "the end of the session", func() bool { return !b.signedIn() })
}

// TestARecheckOfSomebodyWhoIsGone ends the session, as a sign-in would be refused.
func TestARecheckOfSomebodyWhoIsGone(t *testing.T) {
	w, idp := newWorld(t), newIssuer(t)
	w.connections.put(idp.rechecked())
	b := w.browser()
	b.open("/").has(t, http.StatusOK)
	// The identity is another person's by now.
	other, err := w.directory.CreateUser(t.Context(), audit.SystemCause(), acme, directory.User{UserName: "other", Active: true, Source: directory.SourceAdmin})
	check(t, err)
	check(t, w.db.Tenant(acme).Write(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(t.Context(), `UPDATE identities SET user_id = $1`, other.ID)
		return err
	}))
	w.rechecking()
	w.later(idp, time.Hour)
	soon(t, "the end of the session", func() bool { return !b.signedIn() })
	if !slices.Equal(w.ended(), []string{"refresh-refused"}) {
		t.Errorf("ended for %v", w.ended())
	}
}

// Who may use a connection is asked again with everything else: somebody who may
// not any more is out. What an answer leaves out is no reason.
func TestP2_ARecheckHeedsTheRules(t *testing.T) {
	for name, try := range map[string]struct {
		then  func(jwt.MapClaims)
		ended bool
		in    []string
	}{
		"as before":                       {func(c jwt.MapClaims) { c["groups"], c["dept"] = []string{"app"}, "Tax" }, false, []string{"app", "money"}},
		"nothing said":                    {func(c jwt.MapClaims) { delete(c, "email"); delete(c, "groups") }, false, []string{"app", "money"}},
		"another group":                   {func(c jwt.MapClaims) { c["groups"], c["dept"] = []string{"other"}, "Tax" }, true, nil},
		"another domain":                  {func(c jwt.MapClaims) { c["groups"], c["email"] = []string{"app"}, "ann@globex.example" }, true, nil},
		"an address that nobody verified": {func(c jwt.MapClaims) { c["groups"], c["email_verified"] = []string{"app"}, false }, true, nil},
		"another claim":                   {func(c jwt.MapClaims) { c["groups"], c["dept"] = []string{"app"}, "Sales" }, false, []string{"app"}},
	} {
		t.Run(name, func(t *testing.T) {
			w, idp := newWorld(t), newIssuer(t)
			c := idp.rechecked()
			c.Admits = tenants.Admission{Domains: []string{"acme.example"}, Groups: []string{"app"}}
			c.GroupRules = []tenants.GroupRule{{Claim: "dept", Values: []string{"Tax"}, Group: "money"}}
			w.connections.put(c)
			idp.userinfo = map[string]any{"sub": "subject-1"}
			idp.claims = func(c jwt.MapClaims) { c["groups"], c["dept"] = []string{"app"}, "Tax" }
			b := w.browser()
			b.open("/").has(t, http.StatusOK, "called Ann")
			idp.mu.Lock()
			idp.claims = try.then
			idp.mu.Unlock()
			w.rechecking()
			w.later(idp, time.Hour)
			if try.ended {
				soon(t, "the end", func() bool { return len(w.ended()) == 1 })
				soon(t, "that nothing is served", func() bool { return !b.signedIn() })
				return
			}
			soon(t, "a refresh", func() bool { renewed, _ := idp.counts(); return renewed == 1 })
			soon(t, "the end of it", func() bool { return w.held() == 0 })
			groups := w.groupsOfAnn()
			slices.Sort(groups)
			if !slices.Equal(groups, try.in) || len(w.ended()) != 0 {
				t.Errorf("in %v, ended %v", groups, w.ended())
			}
		})
	}
}
