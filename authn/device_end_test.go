package authn_test

import (
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"gatehouse/audit"
	"gatehouse/directory"
	"gatehouse/internal/fault"
	"gatehouse/internal/httpkit"
	"gatehouse/sessions"
	"gatehouse/tenants"
)

// What ends a person's sessions ends those of their programs, and nothing else does.
func TestP2_AProgramsSessionEndsAsAnyOther(t *testing.T) {
	revoke := func(w *world, sel sessions.Selector) {
		w.t.Helper()
		_, err := w.sessions.Revoke(w.t.Context(), audit.SystemCause(), acme, sel, "admin")
		check(w.t, err)
	}
	for name, c := range map[string]struct {
		end  func(*world, *browser, *program, string)
		ends bool
	}{
		"the browser signs out": {func(w *world, b *browser, _ *program, _ string) {
			b.post("/.gatehouse/logout", nil)
		}, false},
		"the browser's session is revoked": {func(w *world, b *browser, _ *program, _ string) {
			revoke(w, sessions.Selector{Session: b.principal().Session})
		}, false},
		"the provider's session is over": {func(w *world, b *browser, _ *program, _ string) {
			revoke(w, sessions.Selector{Connection: "con_idp", IDPSessions: []string{"idp-session"}})
		}, false},
		"on the page of devices": {func(w *world, b *browser, _ *program, token string) {
			live, err := w.sessions.FindProgram(w.t.Context(), acme, token)
			check(w.t, err)
			b.post("/.gatehouse/devices", url.Values{"device": {string(live.Principal().Device)}}).has(w.t, http.StatusOK, "Your devices")
		}, true},
		"everywhere else": {func(w *world, b *browser, _ *program, _ string) {
			b.post("/.gatehouse/devices", url.Values{"others": {"yes"}})
		}, true},
		"by user": {func(w *world, b *browser, _ *program, _ string) {
			revoke(w, sessions.Selector{User: b.principal().User})
		}, true},
		"by connection": {func(w *world, _ *browser, _ *program, _ string) { revoke(w, sessions.Selector{Connection: "con_idp"}) }, true},
		"by subject": {func(w *world, b *browser, _ *program, _ string) {
			live, err := w.sessions.Find(w.t.Context(), acme, b.cookie(httpkit.SessionCookie))
			check(w.t, err)
			revoke(w, sessions.Selector{Connection: "con_idp", IDPSubject: live.Session().IDPSubject})
		}, true},
		"P9 the person is deactivated": {func(w *world, b *browser, _ *program, _ string) { w.deactivate(b.principal().User) }, true},
		"the device is blocked": {func(w *world, _ *browser, _ *program, token string) {
			live, err := w.sessions.FindProgram(w.t.Context(), acme, token)
			check(w.t, err)
			_, err = w.sessions.UpdateDevice(w.t.Context(), audit.SystemCause(), acme, live.Principal().Device, func(d *sessions.Device) error { d.Blocked = true; return nil })
			check(w.t, err)
		}, true},
		"by the program": {func(w *world, _ *browser, p *program, token string) {
			if a := p.post(atRevoke, url.Values{"client_id": {"gatehouse-cli"}, "token": {token}}, nil); a.status != http.StatusOK || a.Error != "" {
				w.t.Errorf("revoking answers %d %s", a.status, a.Error)
			}
		}, true},
		"programs are refused from now on": {func(w *world, _ *browser, _ *program, _ string) {
			w.connections.set(tenants.SessionSettings{DeviceLogin: tenants.RefuseDeviceLogin})
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			w, b, p, token := signedIn(t)
			p.wantsAs(token, http.StatusOK)
			c.end(w, b, p, token)
			status, _ := p.as(token, "/x")
			if ended := status == http.StatusUnauthorized || status == http.StatusForbidden; ended != c.ends {
				t.Errorf("the token is answered %d", status)
			}
		})
	}
}

// Whoever is no longer to come in by the time that the program asks does not; nor does
// anybody else come in by what one person has allowed. A step-up in between changes
// nothing of that.
func TestP2_NoProgramOutrunsWhatEndsItsPerson(t *testing.T) {
	revoke := func(sel func(b *browser) sessions.Selector) func(*world, *issuer, *browser) {
		return func(w *world, _ *issuer, b *browser) {
			_, err := w.sessions.Revoke(w.t.Context(), audit.SystemCause(), acme, sel(b), "admin")
			check(w.t, err)
		}
	}
	over := map[string]func(*world, *issuer, *browser){
		"P9 deactivated": func(w *world, _ *issuer, b *browser) { w.deactivate(b.principal().User) },
		"P9 deactivated, and back": func(w *world, _ *issuer, b *browser) {
			user := b.principal().User
			w.deactivate(user)
			_, err := w.directory.UpdateUser(w.t.Context(), audit.SystemCause(), acme, user, 0, func(u *directory.User) error { u.Active = true; return nil })
			check(w.t, err)
		},
		"P9 deleted": func(w *world, _ *issuer, b *browser) {
			check(w.t, w.directory.DeleteUser(w.t.Context(), audit.SystemCause(), acme, b.principal().User, 0))
		},
		"signed out": func(_ *world, _ *issuer, b *browser) { b.post("/.gatehouse/logout", nil) },
		"all of theirs are revoked": revoke(func(b *browser) sessions.Selector {
			return sessions.Selector{User: b.principal().User}
		}),
		"the session is revoked": revoke(func(b *browser) sessions.Selector {
			return sessions.Selector{Session: b.principal().Session}
		}),
		"the browser is signed out": revoke(func(b *browser) sessions.Selector {
			return sessions.Selector{Device: b.principal().Device}
		}),
		"whoever was signed in before is": revoke(func(*browser) sessions.Selector {
			return sessions.Selector{Before: time.Now().Add(time.Second)}
		}),
		"the provider's session is over": revoke(func(*browser) sessions.Selector {
			return sessions.Selector{Connection: "con_idp", IDPSessions: []string{"idp-session"}}
		}),
		"the browser is blocked": func(w *world, _ *issuer, b *browser) {
			_, err := w.sessions.UpdateDevice(w.t.Context(), audit.SystemCause(), acme, b.principal().Device, func(d *sessions.Device) error { d.Blocked = true; return nil })
			check(w.t, err)
		},
		"signed in anew": func(w *world, idp *issuer, b *browser) {
			idp.is("subject-1", "ann@acme.example")
			b.signsInAnew(w)
		},
		"somebody else has signed in there": func(w *world, idp *issuer, b *browser) {
			idp.is("subject-2", "bob@acme.example")
			b.signsInAnew(w)
			b.open("/").has(w.t, http.StatusOK, "for bob@acme.example")
		},
		"somebody else has signed in there and stepped up": func(w *world, idp *issuer, b *browser) {
			idp.is("subject-2", "bob@acme.example")
			b.signsInAnew(w)
			w.stepsUp(b)
			b.open("/").has(w.t, http.StatusOK, "for bob@acme.example")
		},
	}
	cases := map[string]struct {
		between func(*world, *issuer, *browser)
		reason  string
	}{
		"as by a directory that dies before it ends the sessions": {func(w *world, _ *issuer, b *browser) {
			w.connections.write(`UPDATE users SET active = FALSE WHERE id = $1`, b.principal().User)
		}, "user-inactive"},
		"from another network": {func(w *world, _ *issuer, _ *browser) {
			w.connections.set(tenants.SessionSettings{Networks: []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}})
		}, "network-not-allowed"},
		"refused by now": {func(w *world, _ *issuer, _ *browser) {
			w.connections.set(tenants.SessionSettings{DeviceLogin: tenants.RefuseDeviceLogin})
		}, "device-login-refused"},
		"the connection is closed": {func(w *world, _ *issuer, _ *browser) {
			w.connections.write(`UPDATE connections SET enabled = FALSE`)
		}, "connection-disabled"},
		"the connection is gone":  {func(w *world, _ *issuer, _ *browser) { w.connections.remove("idp") }, "no-connection"},
		"the tenant is suspended": {func(w *world, _ *issuer, _ *browser) { w.connections.setStatus(tenants.Suspended) }, "tenant-suspended"},
	}
	for name, end := range over {
		between := cases[name]
		between.between, between.reason = end, "allowing-session-over"
		cases[name] = between
		between.between = func(w *world, idp *issuer, b *browser) { w.stepsUp(b); end(w, idp, b) }
		cases["stepped up, and then: "+name] = between
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			w, idp, b := deviceWorld(t)
			p := w.asks()
			b.allows(p.User)
			c.between(w, idp, b)
			before := len(w.journal.all(audit.SignInSucceeded))
			p.wants("access_denied")
			if got := w.reasons(); len(got) != 1 || got[0] != c.reason {
				t.Errorf("refused for %v", got)
			}
			if made := w.journal.all(audit.SignInSucceeded)[before:]; c.reason == "allowing-session-over" && len(made) > 0 {
				t.Errorf("recorded as signed in: %+v", made)
			}
			p.wants("invalid_grant")
		})
	}
}

// signsInAnew has whoever the provider takes them for sign in once more in the browser.
func (b *browser) signsInAnew(w *world) {
	w.t.Helper()
	before := b.principal().Session
	b.open("/.gatehouse/login?fresh=yes").has(w.t, http.StatusOK)
	if b.principal().Session == before {
		w.t.Fatal("the session is the one before")
	}
}

// is has the provider take everybody for somebody, who has just authenticated.
func (i *issuer) is(subject, email string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.claims = func(c jwt.MapClaims) { c["sub"], c["email"], c["auth_time"] = subject, email, time.Now().Unix() }
}

// The session in which a program was allowed has to live in the statement that
// makes the program's, whatever was seen of it before.
func TestP2_TheAllowingSessionEndsJustBefore(t *testing.T) {
	w, _, b := deviceWorld(t)
	p := w.asks()
	b.allows(p.User)
	who := b.principal()
	_, err := w.sessions.Create(t.Context(), audit.SystemCause(), acme, sessions.NewSession{User: who.User, Connection: who.Connection, ConnectionVersion: 1,
		Program: &sessions.Program{Name: "x", AllowedBy: "ses_none"}})
	if f, ok := errors.AsType[*fault.Fault](err); !ok || f.Code != "allowing-session-over" {
		t.Errorf("allowed by no session: %v", err)
	}
	p.wants("")
}
