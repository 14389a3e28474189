package tenants_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"gatehouse/tenants"
)

func oauth2(name string) tenants.Connection {
	return tenants.Connection{Name: name, Type: tenants.OAuth2, Enabled: true, OAuth2: &tenants.OAuth2Spec{
		Issuer: "https://hub.example.com", AuthorizationURL: "https://hub.example.com/authorize?lang=en", TokenURL: "https://hub.example.com/token",
		UserinfoURL: "https://api.hub.example.com/user", EmailsURL: "https://api.hub.example.com/emails", RevocationURL: "https://hub.example.com/revoke",
		GroupsFrom: []tenants.GroupSource{{URL: "https://api.hub.example.com/teams", Name: []string{"org.login", "slug"}}},
		ClientID:   "gatehouse", ClientSecret: secret, ClientAuth: tenants.ClientSecretPost, Scopes: []string{"user", "read:org"},
		Claims: tenants.OAuth2Claims{Subject: "data.id", Name: "data.name"}}}
}

func github() tenants.Connection {
	return tenants.Connection{Name: "github", Type: tenants.OAuth2, Enabled: true, Admits: tenants.Admission{Groups: []string{"acme"}},
		OAuth2: &tenants.OAuth2Spec{Preset: tenants.PresetGitHub, ClientID: "Iv1.x", ClientSecret: secret}}
}

func TestOAuth2ConnectionsAreKeptWholeAcrossRestarts(t *testing.T) {
	h := newHouse(t)
	acme := h.add(t, "acme")
	for _, want := range []tenants.Connection{oauth2("hub"), github()} {
		_, err := h.service.PutConnection(t.Context(), cause, acme.ID, want)
		must(t, err)
		for _, when := range []string{"cached", "restarted"} {
			got, err := h.service.Connection(t.Context(), acme.ID, want.Name)
			must(t, err)
			if !reflect.DeepEqual(got.OAuth2, want.OAuth2) || !got.Same(want) || !got.HasSecret() {
				t.Errorf("%s: %+v", when, got.OAuth2)
			}
			if len(got.OAuth2.GroupsFrom) > 0 { // what is handed out is the caller's own
				got.OAuth2.GroupsFrom[0].Name[0], got.OAuth2.Scopes[0] = "changed", "changed"
			}
			h.open(t)
		}
		if text := fmt.Sprintf("%v %+v %v", want, want, *want.OAuth2); strings.Contains(text, secret) {
			t.Errorf("printed: %s", text)
		}
	}
}

func TestOAuth2ConnectionsAreChecked(t *testing.T) {
	h := newHouse(t)
	acme := h.add(t, "acme")
	for what, spoil := range map[string]func(s *tenants.OAuth2Spec){
		"unknown preset":              func(s *tenants.OAuth2Spec) { s.Preset = "gitlab" },
		"no authorization_url":        func(s *tenants.OAuth2Spec) { s.AuthorizationURL = "" },
		"no token_url":                func(s *tenants.OAuth2Spec) { s.TokenURL = "" },
		"no userinfo_url":             func(s *tenants.OAuth2Spec) { s.UserinfoURL = "" },
		"plain http":                  func(s *tenants.OAuth2Spec) { s.TokenURL = "http://hub.example.com/token" },
		"plain http for addresses":    func(s *tenants.OAuth2Spec) { s.EmailsURL = "http://hub.example.com/emails" },
		"plain http for the end":      func(s *tenants.OAuth2Spec) { s.RevocationURL = "http://hub.example.com/revoke" },
		"plain http for groups":       func(s *tenants.OAuth2Spec) { s.GroupsFrom[0].URL = "http://10.0.0.1/teams" },
		"fragment":                    func(s *tenants.OAuth2Spec) { s.AuthorizationURL += "#x" },
		"user in the URL":             func(s *tenants.OAuth2Spec) { s.UserinfoURL = "https://u:p@hub.example.com/" },
		"state in the URL":            func(s *tenants.OAuth2Spec) { s.AuthorizationURL += "&state=x" },
		"redirect_uri in the URL":     func(s *tenants.OAuth2Spec) { s.AuthorizationURL += "&redirect_uri=https%3A%2F%2Fevil.example" },
		"a query of nothing":          func(s *tenants.OAuth2Spec) { s.AuthorizationURL += "&%zz" },
		"query in the issuer":         func(s *tenants.OAuth2Spec) { s.Issuer += "?a=b" },
		"issuer by http":              func(s *tenants.OAuth2Spec) { s.Issuer = "http://hub.example.com" },
		"no client":                   func(s *tenants.OAuth2Spec) { s.ClientID = "" },
		"long secret":                 func(s *tenants.OAuth2Spec) { s.ClientSecret = strings.Repeat("x", 5000) },
		"another way to show it":      func(s *tenants.OAuth2Spec) { s.ClientAuth = "private_key_jwt" },
		"plain PKCE":                  func(s *tenants.OAuth2Spec) { s.PKCE = "plain" },
		"neither PKCE nor secret":     func(s *tenants.OAuth2Spec) { s.PKCE, s.ClientSecret = tenants.WithoutPKCE, "" },
		"scope with a space":          func(s *tenants.OAuth2Spec) { s.Scopes = []string{"a b"} },
		"many scopes":                 func(s *tenants.OAuth2Spec) { s.Scopes = make([]string, 33) },
		"no subject":                  func(s *tenants.OAuth2Spec) { s.Claims.Subject = "" },
		"a path without a name":       func(s *tenants.OAuth2Spec) { s.Claims.Subject = "data..id" },
		"a path with a line end":      func(s *tenants.OAuth2Spec) { s.Claims.Name = "a\nb" },
		"a path that is too deep":     func(s *tenants.OAuth2Spec) { s.Claims.Name = strings.Repeat("a.", 8) + "a" },
		"emails from two sides":       func(s *tenants.OAuth2Spec) { s.Claims.Email = "email" },
		"a word on them from two":     func(s *tenants.OAuth2Spec) { s.Claims.EmailVerified = "verified" },
		"groups from two sides":       func(s *tenants.OAuth2Spec) { s.Claims.Groups = "groups" },
		"many groups":                 func(s *tenants.OAuth2Spec) { s.GroupsFrom = make([]tenants.GroupSource, 6) },
		"a group's name of nothing":   func(s *tenants.OAuth2Spec) { s.GroupsFrom[0].Name = nil },
		"a group's name of no path":   func(s *tenants.OAuth2Spec) { s.GroupsFrom[0].Name = []string{"login", ""} },
		"a group's name of five":      func(s *tenants.OAuth2Spec) { s.GroupsFrom[0].Name = strings.Split("a,b,c,d,e", ",") },
		"a preset and a bad address":  func(s *tenants.OAuth2Spec) { *s = *github().OAuth2; s.TokenURL = "http://github.com/" },
		"a preset without its client": func(s *tenants.OAuth2Spec) { *s = *github().OAuth2; s.ClientID = "" },
	} {
		c := oauth2("hub")
		spoil(c.OAuth2)
		_, err := h.service.PutConnection(t.Context(), cause, acme.ID, c)
		wantRefused(t, what, err)
	}
	for what, spoil := range map[string]func(c *tenants.Connection){
		"no settings":             func(c *tenants.Connection) { c.OAuth2 = nil },
		"another type's settings": func(c *tenants.Connection) { c.Type = tenants.OIDC },
		"settings of two types":   func(c *tenants.Connection) { c.OIDC = oidc("x").OIDC },
	} {
		c := oauth2("hub")
		spoil(&c)
		_, err := h.service.PutConnection(t.Context(), cause, acme.ID, c)
		wantRefused(t, what, err)
	}
}

// TestWhatIsSaidWinsOverAPreset, and what is not is GitHub's.
func TestWhatIsSaidWinsOverAPreset(t *testing.T) {
	whole := github().OAuth2.Whole()
	if whole.TokenURL != "https://github.com/login/oauth/access_token" || whole.Claims.Subject != "id" || whole.ClientAuth != tenants.ClientSecretPost ||
		len(whole.GroupsFrom) != 2 || len(whole.Scopes) != 3 || whole.EmailsURL == "" {
		t.Errorf("%+v", whole)
	}
	whole.GroupsFrom[0].Name[0] = "changed" // which is not the preset's
	said := tenants.OAuth2Spec{Preset: tenants.PresetGitHub, TokenURL: "https://ghe.example/token", Scopes: []string{"user"},
		Claims: tenants.OAuth2Claims{Subject: "node_id", Email: "email", Groups: "teams"}}
	whole = said.Whole()
	if whole.TokenURL != said.TokenURL || whole.Claims.Subject != "node_id" || len(whole.Scopes) != 1 || whole.EmailsURL != "" || whole.GroupsFrom != nil {
		t.Errorf("%+v", whole)
	}
	if got := github().OAuth2.Whole().GroupsFrom[0].Name[0]; got != "login" {
		t.Errorf("the preset was changed: %q", got)
	}
}

func TestWhomAnOAuth2ConnectionTrusts(t *testing.T) {
	for what, c := range map[string]struct {
		change func(s *tenants.OAuth2Spec)
		anew   bool
	}{
		"secret":          {func(s *tenants.OAuth2Spec) { s.ClientSecret = "other" }, false},
		"how it is shown": {func(s *tenants.OAuth2Spec) { s.ClientAuth = tenants.ClientSecretBasic }, false},
		"scopes":          {func(s *tenants.OAuth2Spec) { s.Scopes = nil }, false},
		"client":          {func(s *tenants.OAuth2Spec) { s.ClientID = "other" }, true},
		"issuer":          {func(s *tenants.OAuth2Spec) { s.Issuer = "" }, true},
		"authorization":   {func(s *tenants.OAuth2Spec) { s.AuthorizationURL += "x" }, true},
		"token":           {func(s *tenants.OAuth2Spec) { s.TokenURL += "x" }, true},
		"userinfo":        {func(s *tenants.OAuth2Spec) { s.UserinfoURL += "x" }, true},
		"emails":          {func(s *tenants.OAuth2Spec) { s.EmailsURL = "" }, true},
		"who gets tokens": {func(s *tenants.OAuth2Spec) { s.RevocationURL += "x" }, true},
		"groups":          {func(s *tenants.OAuth2Spec) { s.GroupsFrom[0].Name = []string{"slug"} }, true},
		"no PKCE":         {func(s *tenants.OAuth2Spec) { s.PKCE = tenants.WithoutPKCE }, true},
		"subject":         {func(s *tenants.OAuth2Spec) { s.Claims.Subject = "login" }, true},
	} {
		before, after := oauth2("hub"), oauth2("hub")
		c.change(after.OAuth2)
		if after.TrustsAnew(before) != c.anew {
			t.Errorf("%s: trusts anew is %t", what, !c.anew)
		}
		if after.Same(before) {
			t.Errorf("%s: the same as before", what)
		}
	}
	said := github()
	said.OAuth2.Preset, *said.OAuth2 = "", said.OAuth2.Whole()
	if said.TrustsAnew(github()) {
		t.Error("to write out what a preset says is to trust somebody else")
	}
	if !oauth2("hub").TrustsAnew(oidc("hub")) {
		t.Error("another protocol is no other trust")
	}
}
