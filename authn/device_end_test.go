package authn_test

import (
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"testing"

	"gatehouse/audit"
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

// Whoever is no longer to come in by the time that the program asks does not.
func TestP2_NoProgramOutrunsWhatEndsItsPerson(t *testing.T) {
	for name, c := range map[string]struct {
		between func(*world, *browser)
		reason  string
	}{
		"P9 deactivated": {func(w *world, b *browser) { w.deactivate(b.principal().User) }, "allowing-session-over"},
		"signed out":     {func(w *world, b *browser) { b.post("/.gatehouse/logout", nil) }, "allowing-session-over"},
		"all revoked": {func(w *world, b *browser) {
			_, err := w.sessions.Revoke(w.t.Context(), audit.SystemCause(), acme, sessions.Selector{User: b.principal().User}, "admin")
			check(w.t, err)
		}, "allowing-session-over"},
		"as by a directory that dies before it ends the sessions": {func(w *world, b *browser) {
			w.connections.write(`UPDATE users SET active = FALSE WHERE id = $1`, b.principal().User)
		}, "user-inactive"},
		"stepped up, and then ended": {func(w *world, b *browser) {
			w.stepsUp(b)
			_, err := w.sessions.Revoke(w.t.Context(), audit.SystemCause(), acme, sessions.Selector{User: b.principal().User}, "admin")
			check(w.t, err)
		}, "allowing-session-over"},
		"from another network": {func(w *world, _ *browser) {
			w.connections.set(tenants.SessionSettings{Networks: []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}})
		}, "network-not-allowed"},
		"refused by now": {func(w *world, _ *browser) {
			w.connections.set(tenants.SessionSettings{DeviceLogin: tenants.RefuseDeviceLogin})
		}, "device-login-refused"},
		"the connection is closed": {func(w *world, b *browser) {
			w.connections.write(`UPDATE connections SET enabled = FALSE`)
		}, "connection-disabled"},
		"the connection is gone":  {func(w *world, _ *browser) { w.connections.remove("idp") }, "no-connection"},
		"the tenant is suspended": {func(w *world, _ *browser) { w.connections.setStatus(tenants.Suspended) }, "tenant-suspended"},
	} {
		t.Run(name, func(t *testing.T) {
			w, _, b := deviceWorld(t)
			p := w.asks()
			b.allows(p.User)
			c.between(w, b)
			p.wants("access_denied")
			if got := w.reasons(); len(got) != 1 || got[0] != c.reason {
				t.Errorf("refused for %v", got)
			}
			p.wants("invalid_grant")
		})
	}
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
