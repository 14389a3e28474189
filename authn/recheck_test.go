package authn_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"gatehouse/audit"
	"gatehouse/authn"
	"gatehouse/internal/httpkit"
	"gatehouse/sessions"
)

func TestARecheckBringsUpToDate(t *testing.T) {
	for name, shape := range map[string]func(*issuer){
		"with rotation":    func(*issuer) {},
		"without rotation": func(i *issuer) { i.offline.keeps = true },
		"by userinfo": func(i *issuer) {
			i.offline.bare = true
			i.userinfo = map[string]any{"sub": "subject-1", "email": "ann@acme.example", "email_verified": true, "name": "Ann B.", "groups": []string{"dev"}}
		},
		"with the nonce of the sign-in": func(i *issuer) {
			i.offline.claims = func(c jwt.MapClaims) { c["nonce"] = i.nonce }
		},
	} {
		t.Run(name, func(t *testing.T) {
			w, idp := newWorld(t), newIssuer(t)
			w.connections.put(idp.rechecked())
			shape(idp)
			b := w.browser()
			b.open("/").has(t, http.StatusOK, "called Ann")
			before := b.cookie(httpkit.SessionCookie)
			idp.mu.Lock()
			idp.claims = func(c jwt.MapClaims) { c["name"], c["groups"] = "Ann B.", []string{"dev"} }
			idp.mu.Unlock()
			w.rechecking()
			for round := range 3 {
				w.later(idp, time.Hour)
				soon(t, "a refresh", func() bool { renewed, _ := idp.counts(); return renewed == round+1 })
				soon(t, "the end of it", func() bool { return w.held() == 0 })
			}
			b.open("/").has(t, http.StatusOK, "called Ann B.")
			if groups := w.groupsOfAnn(); !slices.Equal(groups, []string{"dev"}) {
				t.Errorf("in %v", groups)
			}
			if _, reused := idp.counts(); reused != 0 || b.cookie(httpkit.SessionCookie) != before || len(w.ended()) != 0 {
				t.Errorf("%d reused, ended for %v", reused, w.ended())
			}
		})
	}
}

// A provider that cannot be asked, or that says nothing about the person, ends
// nobody's session, until it has been so for too long.
func TestP7_AProviderThatCannotBeAskedAgain(t *testing.T) {
	for name, c := range map[string]struct {
		answer func(w http.ResponseWriter, r *http.Request) bool
		want   authn.Reason
	}{
		"broken": {says500, authn.ProviderUnreachable},
		"too busy": {func(w http.ResponseWriter, _ *http.Request) bool {
			w.WriteHeader(http.StatusTooManyRequests)
			return true
		}, authn.ProviderUnreachable},
		"a page":          {func(w http.ResponseWriter, _ *http.Request) bool { _, _ = w.Write([]byte("<html>")); return true }, authn.ProviderUnreachable},
		"our fault":       {saysError("invalid_client"), authn.ProviderUnusable},
		"not for clients": {saysError("unauthorized_client"), authn.ProviderUnusable},
	} {
		t.Run(name, func(t *testing.T) {
			w, idp := newWorld(t), newIssuer(t)
			w.connections.put(idp.rechecked())
			b := w.browser()
			b.open("/").has(t, http.StatusOK)
			idp.change(func(o *offline) { o.instead = c.answer })
			w.rechecking()
			w.later(idp, time.Hour)
			failed := func() []audit.Event { return w.journal.all(audit.SessionRechecked) }
			soon(t, "the record of it", func() bool { return len(failed()) > 0 })
			if e := failed()[0]; e.Reason != string(c.want) || e.Outcome != audit.Failed || strings.Contains(e.Message, "refresh-1") {
				t.Errorf("recorded as %+v", e)
			}
			for range 3 {
				w.later(idp, time.Hour)
				soon(t, "the end of a try", func() bool { return w.held() == 0 })
				b.open("/").has(t, http.StatusOK)
			}
			if n := len(failed()); n != 1 {
				t.Errorf("recorded %d times", n)
			}
			w.later(idp, 2*time.Hour)
			soon(t, "the end of the session", func() bool { return !b.signedIn() })
			soon(t, "its record", func() bool { return slices.Contains(w.ended(), "recheck-overdue") })
		})
	}
}

// TestOneNodeAsksAboutASession at a time: a provider that sees a refresh token twice
// takes the second one for a thief's.
func TestOneNodeAsksAboutASession(t *testing.T) {
	w, idp := newWorld(t), newIssuer(t)
	w.connections.put(idp.rechecked())
	browsers := make([]*browser, 12)
	for i := range browsers {
		browsers[i] = w.browser()
		browsers[i].open("/").has(t, http.StatusOK)
	}
	for range 4 {
		w.rechecking()
	}
	for round := range 3 {
		w.later(idp, time.Hour)
		soon(t, "a refresh of each", func() bool { renewed, _ := idp.counts(); return renewed == (round+1)*len(browsers) })
		soon(t, "the end of them", func() bool { return w.held() == 0 })
	}
	if _, reused := idp.counts(); reused != 0 {
		t.Errorf("%d tokens were used twice", reused)
	}
	for _, b := range browsers {
		if !b.signedIn() {
			t.Error("a session has ended")
		}
	}
}

func TestRecheckTakesARefreshToken(t *testing.T) {
	w, idp := newWorld(t), newIssuer(t)
	c := idp.rechecked()
	idp.offline = nil
	w.connections.put(c)
	b := w.browser()
	b.open("/").has(t, http.StatusForbidden, "not set up correctly")
	if got := w.journal.lastRefusal(t); got != authn.RefreshMissing || b.cookie(httpkit.SessionCookie) != "" {
		t.Errorf("reason %q", got)
	}
	w.connections.put(idp.connection()) // which asks for none
	b.open("/").has(t, http.StatusOK)
	if scope := idp.lastAsked().Get("scope"); strings.Contains(scope, "offline") || w.kept() != 0 {
		t.Errorf("asked for %q, %d kept", scope, w.kept())
	}
}

// A provider whose next refresh token cannot be kept is not asked by the old one again,
// which it may take for a thief's: the session ends, and the journal says why.
func TestP7_ARefreshTokenThatCannotBeKeptEndsTheSession(t *testing.T) {
	w, idp := newWorld(t), newIssuer(t)
	w.connections.put(idp.rechecked())
	b := w.browser()
	b.open("/").has(t, http.StatusOK)
	asked := 0
	idp.change(func(o *offline) {
		o.instead = func(rw http.ResponseWriter, _ *http.Request) bool {
			asked++
			reply(rw, map[string]any{"access_token": "t0ken", "token_type": "Bearer", "refresh_token": strings.Repeat("r", sessions.MaxRefresh)})
			return true
		}
	})
	w.rechecking()
	w.later(idp, time.Hour)
	soon(t, "the end of the session", func() bool { return len(w.journal.all(audit.SessionsRevoked)) == 1 && w.kept() == 0 })
	if ended := w.journal.all(audit.SessionsRevoked)[0]; ended.Reason != sessions.ReasonRecheckOverdue {
		t.Errorf("ended for %s", ended.Reason)
	}
	said := w.journal.all(audit.SessionRechecked)
	if len(said) != 1 || said[0].Outcome != audit.Failed || said[0].Reason != string(authn.RefreshUnkeepable) {
		t.Errorf("recorded %+v", said)
	}
	idp.mu.Lock()
	defer idp.mu.Unlock()
	if asked != 1 {
		t.Errorf("asked %d times", asked)
	}
}
