package authn_test

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"gatehouse/audit"
	"gatehouse/authn/setup"
	"gatehouse/directory"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/internal/httpkit"
	"gatehouse/sessions"
	"gatehouse/tenants"
)

var operator = audit.Cause{Actor: audit.Actor{Kind: identity.KindOperator, ID: "local", Name: "the operator"}}

// link makes one for the connection corp, and gives where it leads to.
func (w *world) link(t *testing.T, terms setup.Terms) (l setup.Link, path string) {
	t.Helper()
	l, token, err := w.setup.Create(t.Context(), operator, acme, "corp", terms, time.Hour)
	check(t, err)
	return l, setup.Path + "?" + url.Values{"token": {token}}.Encode()
}

// begin presses the button to which a link leads.
func (b *browser) begin(path string) page {
	b.t.Helper()
	_, token, _ := strings.Cut(path, "token=")
	b.open(path).has(b.t, http.StatusOK, "Connect your identity provider", `action="/.gatehouse/setup/begin"`)
	return b.post(setup.Path+"/begin", url.Values{"token": {token}})
}

// enter fills in what the provider gives.
func (b *browser) enter(idp *issuer) page {
	b.t.Helper()
	return b.post(setup.Path+"/save", url.Values{"provider": {"keycloak"}, "issuer": {idp.URL}, "client_id": {clientID}, "client_secret": {clientSecret}, "groups": {"groups"}})
}

// Somebody without an account connects their provider, step by step: nobody gets
// in before it was tried with success and switched on, and then under the terms of
// who made the link.
func TestAnOrganisationConnectsItsProviderByALink(t *testing.T) {
	w, idp := newWorld(t), newIssuer(t)
	_, path := w.link(t, setup.Terms{DisplayName: "Acme corporate", DefaultRole: "member"})
	b := w.browser()
	b.begin(path).has(t, http.StatusOK, "Which identity provider do you have?", "Okta", "Microsoft Entra ID", "AD FS")
	b.open(setup.Path+"?provider=keycloak").has(t, http.StatusOK, "Connect Keycloak", w.url+"/.gatehouse/oidc/corp/callback", "Group Membership mapper", `placeholder="https://KEYCLOAK-HOST/realms/YOUR-REALM"`)
	b.post(setup.Path+"/save", url.Values{"provider": {"keycloak"}, "issuer": {"nonsense"}, "client_id": {"x"}}).has(t, http.StatusBadRequest, "issuer is an https URL", `role="alert"`)
	b.post(setup.Path+"/test", url.Values{}).has(t, http.StatusConflict, "Enter what your identity provider gives you first")
	p := b.enter(idp)
	p.has(t, http.StatusOK, "What you entered is kept", "Try the connection", `value="`+idp.URL+`"`)
	if strings.Contains(p.body, clientSecret) || strings.Contains(p.body, "Switch it on") {
		t.Errorf("the page shows too much: %s", p.body)
	}
	w.browser().open("/.gatehouse/login").has(t, http.StatusNotFound, "Nobody can sign in here yet")
	b.post(setup.Path+"/finish", nil).has(t, http.StatusConflict, "Try the connection first")

	b.open(refreshOf(t, b.post(setup.Path+"/test", url.Values{"provider": {"keycloak"}}))).has(t, http.StatusOK, "Acme corporate works", "ann@acme.example", "Back to the set-up")
	b.open(setup.Path+"?provider=keycloak").has(t, http.StatusOK, "It works", "Switch it on")
	b.enter(idp) // changed since: what was tried was another
	b.post(setup.Path+"/finish", nil).has(t, http.StatusConflict, "Try the connection first")
	b.open(refreshOf(t, b.post(setup.Path+"/test", url.Values{"provider": {"keycloak"}}))).has(t, http.StatusOK, "works")
	b.post(setup.Path+"/finish", nil).has(t, http.StatusOK, "Your people can sign in now")

	w.browser().open("/x").has(t, http.StatusOK, "app /x for ann@acme.example")
	c, err := w.connections.Connection(t.Context(), acme, "corp")
	check(t, err)
	if !c.Enabled || c.DefaultRole != "member" || c.OIDC.Claims.Groups != "groups" || c.OIDC.ClientSecret != clientSecret {
		t.Errorf("connected %+v %+v", c, c.OIDC)
	}
	for _, step := range []audit.Type{audit.SetupLinkCreated, audit.SetupLinkBegun, audit.SetupLinkFinished} {
		if n := len(w.journal.all(step)); n != 1 {
			t.Errorf("%s: %d records", step, n)
		}
	}
	tested := w.journal.all(audit.ConnectionTested)
	if len(tested) != 2 || tested[0].Actor.Kind != identity.KindSetupLink {
		t.Errorf("tests: %+v", tested)
	}
	// The link is spent, in this browser as in any other.
	b.open(setup.Path).has(t, http.StatusForbidden, "used already")
	b.enter(idp).has(t, http.StatusForbidden, "used already")
	b.begin(path).has(t, http.StatusForbidden, "used already")
}

// What a test shows to who holds a link is the same whoever is known here, and whatever
// has become of them; also where the address is asserted by a provider of the holder's.
func TestASetupLinkTellsNothingOfPeople(t *testing.T) {
	for name, try := range map[string]struct {
		terms setup.Terms
		says  string
	}{
		"newcomers are made":         {setup.Terms{DefaultRole: "member"}, "The rules of this connection let people like this one in. A person whose address"},
		"addresses are linked":       {setup.Terms{Link: tenants.LinkByEmail}, "The rules of this connection let people like this one in. A person whose address"},
		"unknown people are refused": {setup.Terms{Unknown: tenants.RefuseUnknown}, "if an administrator, or provisioning, has added them before"},
	} {
		t.Run(name, func(t *testing.T) {
			w, idp := newWorld(t), newIssuer(t)
			_, path := w.link(t, try.terms)
			b := w.browser()
			b.begin(path)
			b.enter(idp).has(t, http.StatusOK, "What you entered is kept")
			shows := func(when string) {
				t.Helper()
				p := b.open(refreshOf(t, b.post(setup.Path+"/test", url.Values{"provider": {"keycloak"}})))
				p.has(t, http.StatusOK, "The connection corp works", try.says, "ann@acme.example", "Whether that is so is not shown here")
				if strings.Contains(p.body, "known here, who") || strings.Contains(p.body, "would be made") || strings.Contains(p.body, "account-exists") {
					t.Errorf("%s: %s", when, p.body)
				}
			}
			shows("nobody is known")
			ann, err := w.directory.CreateUser(t.Context(), audit.SystemCause(), acme,
				directory.User{UserName: "ann@acme.example", Email: "ann@acme.example", DisplayName: "Somebody's name here", Active: true, Source: directory.SourceAdmin})
			check(t, err)
			shows("somebody has the address")
			_, err = w.directory.UpdateUser(t.Context(), audit.SystemCause(), acme, ann.ID, 0, func(u *directory.User) error { u.Active = false; return nil })
			check(t, err)
			shows("and is not active")
			for _, e := range w.journal.all(audit.ConnectionTested) {
				if e.Outcome != audit.Success || e.Message != "" {
					t.Errorf("recorded %+v", e)
				}
			}
			// What the rules say counts.
			w.grants.err = fault.New(fault.NotFound, "role-not-found", "There is no such role.")
			c, err := w.connections.Connection(t.Context(), acme, "corp")
			check(t, err)
			if c.DefaultRole != "" {
				b.open(refreshOf(t, b.post(setup.Path+"/test", url.Values{"provider": {"keycloak"}}))).has(t, http.StatusOK, "does not let this person in", "default-role-unusable")
			}
		})
	}
}

// A link is good once, in one browser, for as long as its maker said and until it
// is taken back; what another site sends, or who has none, does nothing.
func TestASetupLinkIsForOneBrowser(t *testing.T) {
	w, idp := newWorld(t), newIssuer(t)
	l, path := w.link(t, setup.Terms{})
	his, other := w.browser(), w.browser()
	his.open(path).has(t, http.StatusOK, "Begin") // as programs that look through mail do
	other.begin(path).has(t, http.StatusOK, "Which identity provider")
	his.begin(path).has(t, http.StatusForbidden, "used already")
	his.open(setup.Path).has(t, http.StatusForbidden, "used already")
	for _, cookie := range []string{"", "x", strings.Repeat("A", 43)} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.url+setup.Path, nil)
		check(t, err)
		r.AddCookie(&http.Cookie{Name: httpkit.SetupCookie, Value: cookie})
		his.read(his.Do(r)).has(t, http.StatusForbidden, "used already")
	}
	if resp := other.sendFromElsewhere(w.url+setup.Path+"/save", url.Values{"provider": {"okta"}, "issuer": {idp.URL}, "client_id": {"x"}}); resp.StatusCode != http.StatusForbidden {
		t.Errorf("a form of another site: %s", resp.Status)
	}
	_, err := w.connections.Connection(t.Context(), acme, "corp")
	if err == nil {
		t.Error("something was entered")
	}
	other.enter(idp).has(t, http.StatusOK, "is kept")
	check(t, w.setup.Delete(t.Context(), operator, acme, l.ID))
	other.enter(idp).has(t, http.StatusForbidden, "taken back")
	if all, err := w.setup.List(t.Context(), acme); err != nil || len(all) != 0 {
		t.Errorf("%v, %v", all, err)
	}
	_, path = w.link(t, setup.Terms{})
	w.advance(61 * time.Minute)
	w.browser().begin(path).has(t, http.StatusForbidden, "run out")
	w.browser().post(setup.Path+"/save", url.Values{"metadata": {strings.Repeat("x", 2<<20)}}).has(t, http.StatusBadRequest, "too long")
}

// A connection that is in use is none of a link's, whichever came first.
func TestASetupLinkChangesNothingInUse(t *testing.T) {
	w, idp := newWorld(t), newIssuer(t)
	_, path := w.link(t, setup.Terms{})
	b := w.browser()
	b.begin(path)
	b.enter(idp)
	c, err := w.connections.Connection(t.Context(), acme, "corp")
	check(t, err)
	c.Enabled = true
	w.connections.put(c)
	for _, action := range []string{"save", "test", "finish"} {
		b.post(setup.Path+"/"+action, url.Values{"provider": {"okta"}, "issuer": {"https://evil.example"}, "client_id": {"x"}}).has(t, http.StatusConflict, "is in use already")
	}
	if now, _ := w.connections.Connection(t.Context(), acme, "corp"); now.Version != c.Version+1 || now.OIDC.Issuer != idp.URL {
		t.Errorf("changed to %+v", now.OIDC)
	}
	_, _, err = w.setup.Create(t.Context(), operator, acme, "corp", setup.Terms{}, time.Hour)
	if err == nil {
		t.Error("a link for a connection in use was made")
	}
	for name, bad := range map[string]setup.Terms{"link": {Link: "always"}, "role": {DefaultRole: "a b"}, "unknown": {Unknown: "maybe"}} {
		if _, _, err := w.setup.Create(t.Context(), operator, acme, "new", bad, time.Hour); err == nil {
			t.Errorf("terms with a wrong %s were taken", name)
		}
	}
	if live, _, err := w.sessions.List(t.Context(), acme, sessions.Filter{}); err != nil || len(live) != 0 {
		t.Errorf("%v, %v", live, err)
	}
}

// Where anybody can have an account, a link connects nobody before it is said who of
// them may come in.
func TestASetupLinkLetsNotEverybodyIn(t *testing.T) {
	w := newWorld(t)
	_, path := w.link(t, setup.Terms{DefaultRole: "member"})
	b := w.browser()
	b.begin(path)
	google := url.Values{"provider": {"google"}, "issuer": {"https://accounts.google.com"}, "client_id": {"x"}, "client_secret": {"y"}}
	b.open(setup.Path+"?provider=google").has(t, http.StatusOK, "anybody can have an account there")
	b.post(setup.Path+"/save", google).has(t, http.StatusBadRequest, "say which domains may sign in here")
	github := url.Values{"provider": {"github"}, "client_id": {"x"}, "client_secret": {"y"}, "allowed_domains": {"acme.example"}}
	b.open(setup.Path+"?provider=github").has(t, http.StatusOK, w.url+"/.gatehouse/oauth2/corp/callback")
	b.post(setup.Path+"/save", github).has(t, http.StatusBadRequest, "say which groups may sign in here")
	// Whatever it is called on the form.
	for _, issuer := range []string{"https://accounts.google.com", "https://gitlab.com"} {
		other := url.Values{"provider": {"oidc"}, "issuer": {issuer}, "client_id": {"x"}, "client_secret": {"y"}}
		b.post(setup.Path+"/save", other).has(t, http.StatusBadRequest, "anybody can have an account at its provider")
		other.Set("provider", "okta")
		b.post(setup.Path+"/save", other).has(t, http.StatusBadRequest, "anybody can have an account at its provider")
	}
	if _, err := w.connections.Connection(t.Context(), acme, "corp"); err == nil {
		t.Error("something was kept")
	}
	github.Set("allowed_groups", "acme\n\n acme/platform team \n")
	b.post(setup.Path+"/save", github).has(t, http.StatusOK, "is kept", "acme/platform team")
	c, err := w.connections.Connection(t.Context(), acme, "corp")
	check(t, err)
	if c.OAuth2 == nil || c.OAuth2.Preset != "github" || c.OAuth2.ClientSecret != "y" || len(c.Admits.Groups) != 2 || c.Admits.Groups[1] != "acme/platform team" {
		t.Errorf("kept %+v %+v", c, c.OAuth2)
	}
	google.Set("allowed_domains", "acme.example, acme.test")
	b.post(setup.Path+"/save", google).has(t, http.StatusOK, "is kept", `value="acme.example acme.test"`)
}

// What has its record is done, though whoever asked for it is gone by then.
func TestP1_ASetupLinkOfARecordIsThere(t *testing.T) {
	w := newWorld(t)
	ctx, leave := context.WithCancel(t.Context())
	w.journal.on(audit.SetupLinkCreated, leave)
	if _, _, err := w.setup.Create(ctx, operator, acme, "corp", setup.Terms{}, time.Hour); err != nil {
		t.Error(err)
	}
	if all, err := w.setup.List(t.Context(), acme); err != nil || len(all) != 1 || len(w.journal.all(audit.SetupLinkCreated)) != 1 {
		t.Errorf("%v, %v", all, err)
	}
}
