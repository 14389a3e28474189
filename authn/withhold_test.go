package authn_test

import (
	"net/http"
	"testing"
	"time"

	"gatehouse/audit"
	"gatehouse/directory"
	"gatehouse/identity"
	"gatehouse/internal/httpkit"
	"gatehouse/sessions"
)

// A sign-in that waits for its factor is over with the sessions of its person: it
// would be one more of them afterwards.
func TestP2_AFactorStepEndsWithTheSessions(t *testing.T) {
	ended := func(of func(w *world, user identity.UserID) sessions.Selector) func(*testing.T, *world, identity.UserID) {
		return func(t *testing.T, w *world, user identity.UserID) {
			t.Helper()
			_, err := w.sessions.Revoke(t.Context(), audit.SystemCause(), acme, of(w, user), "stolen")
			check(t, err)
		}
	}
	for name, try := range map[string]struct {
		end  func(*testing.T, *world, identity.UserID)
		over bool
	}{
		"deactivated and back": {func(t *testing.T, w *world, user identity.UserID) {
			for _, active := range []bool{false, true} {
				_, err := w.directory.UpdateUser(t.Context(), audit.SystemCause(), acme, user, 0, func(u *directory.User) error {
					u.Active = active
					return nil
				})
				check(t, err)
			}
		}, true},
		"the person's": {ended(func(_ *world, user identity.UserID) sessions.Selector {
			return sessions.Selector{User: user}
		}), true},
		"a group's": {ended(func(w *world, user identity.UserID) sessions.Selector {
			g, err := w.directory.CreateGroup(w.t.Context(), audit.SystemCause(), acme, directory.Group{DisplayName: "Staff", Source: directory.SourceAdmin,
				Members: []directory.Member{{User: user}}})
			check(w.t, err)
			return sessions.Selector{Group: g.ID}
		}), true},
		"the connection's": {ended(func(*world, identity.UserID) sessions.Selector {
			return sessions.Selector{Connection: "con_idp"}
		}), true},
		"those from before": {ended(func(*world, identity.UserID) sessions.Selector {
			return sessions.Selector{Before: time.Now().Add(time.Hour)}
		}), true},
		"all": {ended(func(*world, identity.UserID) sessions.Selector { return sessions.Selector{All: true} }), true},
		"somebody else's": {ended(func(*world, identity.UserID) sessions.Selector {
			return sessions.Selector{User: identity.NewUserID()}
		}), false},
		"another connection's": {ended(func(*world, identity.UserID) sessions.Selector {
			return sessions.Selector{Connection: identity.NewConnectionID()}
		}), false},
	} {
		t.Run(name, func(t *testing.T) {
			w, _, key, _ := alwaysAsked(t)
			b := w.browser()
			asked := b.open("/reports")
			try.end(t, w, w.user(t))
			p := b.post(factors, form(asked, "kind", "totp", "code", w.digits(key)))
			if !try.over {
				p.has(t, http.StatusOK, "app /reports")
				return
			}
			if p.status != http.StatusForbidden || b.cookie(httpkit.SessionCookie) != "" || w.journal.lastRefusal(t) != "unsolicited" {
				t.Errorf("%d, refused for %s\n%s", p.status, w.journal.lastRefusal(t), p.body)
			}
		})
	}
}
