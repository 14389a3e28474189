package authn_test

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"gatehouse/audit"
	"gatehouse/authn/token"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/internal/httpkit"
	"gatehouse/tenants"
)

func TestCallerIsNeverGuessed(t *testing.T) {
	w, idp := newWorld(t), newIssuer(t)
	w.connections.put(idp.connection())
	b := w.browser()
	b.open("/").has(t, http.StatusOK)
	session := httpkit.SessionCookie + "=" + b.cookie(httpkit.SessionCookie)
	_, secret, err := w.tokens.Create(t.Context(), audit.SystemCause(), acme, token.Spec{Name: "ci", Scope: token.ScopeAPI, Role: "viewer", Expires: time.Now().Add(time.Hour)})
	check(t, err)

	for name, c := range map[string]struct {
		cookie  string
		auth    []string
		kind    identity.Kind // "": anonymous
		refused bool
	}{
		"nothing":                 {},
		"session":                 {cookie: session, kind: identity.KindUser},
		"session among others":    {cookie: "a=b; " + session + "; c=d", kind: identity.KindUser},
		"token":                   {auth: []string{"Bearer " + secret}, kind: identity.KindAPIToken},
		"token, other case":       {auth: []string{"bearer  " + secret + " "}, kind: identity.KindAPIToken},
		"the app's own":           {cookie: session, auth: []string{"Bearer eyJhbGciOi"}, kind: identity.KindUser},
		"the app's own alone":     {auth: []string{"Basic YTpi"}},
		"unknown session":         {cookie: httpkit.SessionCookie + "=" + strings.Repeat("A", 43)},
		"garbage session":         {cookie: httpkit.SessionCookie + "=; DROP"},
		"unknown token":           {auth: []string{"Bearer gh_" + strings.Repeat("A", 43)}, refused: true},
		"garbage token":           {auth: []string{"Bearer gh_"}, refused: true},
		"two tokens in one":       {auth: []string{"Bearer " + secret + ", Bearer " + secret}, refused: true},
		"session twice":           {cookie: session + "; " + session, refused: true},
		"session and a stale one": {cookie: session + "; " + httpkit.SessionCookie + "=x", refused: true},
		"session and token":       {cookie: session, auth: []string{"Bearer " + secret}, refused: true},
		"two headers":             {auth: []string{"Bearer " + secret, "Basic YTpi"}, refused: true},
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			if c.cookie != "" {
				r.Header.Set("Cookie", c.cookie)
			}
			r.Header["Authorization"] = c.auth
			caller, err := w.Caller(w.passed(r))
			if c.refused {
				if !fault.Is(err, fault.Unauthenticated) || caller.Principal != nil {
					t.Fatalf("%+v, %v", caller, err)
				}
				return
			}
			check(t, err)
			if c.kind == "" && caller.Principal != nil || c.kind != "" && (caller.Principal == nil || caller.Principal.Kind != c.kind) {
				t.Errorf("principal %+v", caller.Principal)
			}
			if (caller.Live != nil) != (c.kind == identity.KindUser) {
				t.Errorf("caller %+v", caller)
			}
		})
	}
}

func TestSignInURLComesBackToWhatCanBeAskedAgain(t *testing.T) {
	w := newWorld(t)
	for target, want := range map[string]string{
		"/":                             "/.gatehouse/login",
		"/a/b?c=d&e=f":                  "/.gatehouse/login?return_to=%2Fa%2Fb%3Fc%3Dd%26e%3Df",
		"/.gatehouse/console/":          "/.gatehouse/login?return_to=%2F.gatehouse%2Fconsole%2F",
		"/.gatehouse/logout":            "/.gatehouse/login",
		"/" + strings.Repeat("a", 3000): "/.gatehouse/login",
	} {
		if got := w.SignInURL(httptest.NewRequest(http.MethodGet, target, nil)); got != want {
			t.Errorf("%.40s: %s", target, got)
		}
	}
	if got := w.SignInURL(httptest.NewRequest(http.MethodPost, "/a", nil)); got != "/.gatehouse/login" {
		t.Errorf("POST: %s", got)
	}
}

// What the tenant's settings do not allow is refused, with its reason: other
// networks for people and API tokens, and a session without its device.
func TestSettingsSayWhereASessionCounts(t *testing.T) {
	w, idp := newWorld(t), newIssuer(t)
	w.connections.put(idp.connection())
	b := w.browser()
	b.open("/").has(t, http.StatusOK)
	session, device := httpkit.SessionCookie+"="+b.cookie(httpkit.SessionCookie), httpkit.DeviceCookie+"="+b.cookie(httpkit.DeviceCookie)
	secrets := map[token.Scope]string{}
	for _, scope := range []token.Scope{token.ScopeAPI, token.ScopeSCIM} {
		spec := token.Spec{Name: "ci", Scope: scope, Expires: time.Now().Add(time.Hour)}
		if scope == token.ScopeAPI {
			spec.Role = "viewer"
		}
		_, secret, err := w.tokens.Create(t.Context(), audit.SystemCause(), acme, spec)
		check(t, err)
		secrets[scope] = secret
	}
	who, err := w.sessions.Find(t.Context(), acme, b.cookie(httpkit.SessionCookie))
	check(t, err)
	w.grants.held = map[identity.UserID][]string{who.Principal().User: {"admin", "member"}}
	ask := func(cookie, secret string) string {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("Cookie", cookie)
		if secret != "" {
			r.Header.Set("Authorization", "Bearer "+secret)
		}
		caller, err := w.Caller(w.passed(r))
		switch {
		case err != nil:
			if caller.Principal != nil {
				t.Error("somebody who is refused")
			}
			return fault.As(err).Code
		case caller.Principal == nil:
			return "nobody"
		}
		return ""
	}
	set := func(s tenants.SessionSettings) {
		w.connections.mu.Lock()
		defer w.connections.mu.Unlock()
		w.connections.tenant.Settings.Session = s
	}
	for _, try := range []struct {
		settings                      tenants.SessionSettings
		alone, withDevice, robot, idp string
	}{
		{tenants.SessionSettings{}, "", "", "", ""},
		{tenants.SessionSettings{BindDevice: true}, "device-mismatch", "", "", ""},
		{tenants.SessionSettings{Networks: []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}}, "", "", "", ""},
		{tenants.SessionSettings{Networks: []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}}, "network-not-allowed", "network-not-allowed", "network-not-allowed", ""},
		{tenants.SessionSettings{RoleNetworks: elsewhere("owner")}, "", "", "", ""},
		{tenants.SessionSettings{RoleNetworks: elsewhere("viewer")}, "", "", "network-not-allowed-for-role", ""},
		{tenants.SessionSettings{RoleNetworks: elsewhere("admin", "viewer")}, "network-not-allowed-for-role", "network-not-allowed-for-role", "network-not-allowed-for-role", ""},
		{tenants.SessionSettings{RoleNetworks: map[string][]netip.Prefix{"admin": here, "viewer": here}}, "", "", "", ""},
		{tenants.SessionSettings{Networks: elsewhere("")[""], RoleNetworks: map[string][]netip.Prefix{"admin": here}}, "network-not-allowed", "network-not-allowed", "network-not-allowed", ""},
	} {
		set(try.settings)
		for what, got := range map[string][2]string{
			"a session alone": {ask(session, ""), try.alone}, "with its device": {ask(session+"; "+device, ""), try.withDevice},
			"an API token": {ask("", secrets[token.ScopeAPI]), try.robot}, "a SCIM token": {ask("", secrets[token.ScopeSCIM]), try.idp},
		} {
			if got[0] != got[1] {
				t.Errorf("%+v: %s: %q, want %q", try.settings, what, got[0], got[1])
			}
		}
	}
	// Nor does anybody sign in from there.
	page := w.browser().open("/")
	page.has(t, http.StatusForbidden)
	if reason := w.journal.lastRefusal(t); reason != "network-not-allowed" {
		t.Errorf("recorded as %q", reason)
	}
	set(tenants.SessionSettings{RoleNetworks: elsewhere("admin")})
	signedIn := len(w.journal.all(audit.SignInSucceeded))
	w.browser().open("/").has(t, http.StatusForbidden, "one of your roles")
	if reason := w.journal.lastRefusal(t); reason != "network-not-allowed-for-role" || len(w.journal.all(audit.SignInSucceeded)) != signedIn {
		t.Errorf("recorded as %q, and signed in %d times", reason, len(w.journal.all(audit.SignInSucceeded)))
	}
	// Whoever is in gets out from there.
	b.open("/").has(t, http.StatusForbidden)
	b.open("/.gatehouse/logout").has(t, http.StatusOK, "This ends your session")
	w.grants.mu.Lock()
	w.grants.err = fault.New(fault.Unavailable, "policy-unavailable", "Not now.")
	w.grants.mu.Unlock()
	if got := ask(session+"; "+device, ""); got != "policy-unavailable" {
		t.Errorf("with roles that cannot be known: %q", got)
	}
	b.post("/.gatehouse/logout", nil)
	if _, err := w.sessions.Find(t.Context(), acme, strings.TrimPrefix(session, httpkit.SessionCookie+"=")); !fault.Is(err, fault.Unauthenticated) {
		t.Errorf("after signing out from a network that is not allowed: %v", err)
	}
}

// here is where requests of these tests come from, and elsewhere a network for
// each of these roles that is not.
var here = []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}

func elsewhere(roles ...string) map[string][]netip.Prefix {
	all := map[string][]netip.Prefix{}
	for _, role := range roles {
		all[role] = []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}
	}
	return all
}
