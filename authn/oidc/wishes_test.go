package oidc

import (
	"net/url"
	"slices"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"gatehouse/authn"
	"gatehouse/tenants"
)

func TestWhatTheProviderIsAskedFor(t *testing.T) {
	many := &provider{issuers: issuers{template: "https://login.example/{tenantid}/v2.0"}}
	one := &provider{}
	for name, c := range map[string]struct {
		idp  *provider
		spec tenants.OIDCSpec
		step authn.Step
		want url.Values
	}{
		"nothing":          {one, tenants.OIDCSpec{}, authn.Step{}, url.Values{}},
		"what is set":      {one, tenants.OIDCSpec{Prompt: []string{"select_account", "consent"}}, authn.Step{}, url.Values{"prompt": {"select_account consent"}}},
		"a fresh sign-in":  {one, tenants.OIDCSpec{}, authn.Step{MaxAge: time.Minute}, url.Values{"prompt": {"login"}, "max_age": {"60"}}},
		"both":             {one, tenants.OIDCSpec{Prompt: []string{"consent"}}, authn.Step{MaxAge: time.Minute}, url.Values{"prompt": {"login consent"}, "max_age": {"60"}}},
		"both, with login": {one, tenants.OIDCSpec{Prompt: []string{"consent", "login"}}, authn.Step{MaxAge: time.Minute}, url.Values{"prompt": {"consent login"}, "max_age": {"60"}}},
		"for somebody":     {one, tenants.OIDCSpec{}, authn.Step{LoginHint: "ann@acme.example"}, url.Values{"login_hint": {"ann@acme.example"}}},
		"at Entra ID":      {many, tenants.OIDCSpec{}, authn.Step{LoginHint: "ann@acme.example"}, url.Values{"login_hint": {"ann@acme.example"}, "domain_hint": {"acme.example"}}},
		"again, at Google": {one, tenants.OIDCSpec{Issuer: googleIssuer, Recheck: 1}, authn.Step{}, url.Values{"access_type": {"offline"}}},
		"again, elsewhere": {one, tenants.OIDCSpec{Issuer: "https://idp.example", Recheck: 1}, authn.Step{}, url.Values{}},
	} {
		u, err := url.Parse((&oauth2.Config{}).AuthCodeURL("s", wishes(c.idp, &c.spec, c.step)...))
		if err != nil {
			t.Fatal(err)
		}
		got := u.Query()
		for _, always := range []string{"client_id", "response_type", "state"} {
			got.Del(always)
		}
		if got.Encode() != c.want.Encode() {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

func TestScopesForARefreshToken(t *testing.T) {
	for name, c := range map[string]struct {
		spec    tenants.OIDCSpec
		offered []string
		want    []string
	}{
		"none":              {tenants.OIDCSpec{}, nil, []string{"openid", "email", "profile"}},
		"not said":          {tenants.OIDCSpec{Recheck: 1}, nil, []string{"openid", "email", "profile", "offline_access"}},
		"offered":           {tenants.OIDCSpec{Recheck: 1}, []string{"openid", "offline_access"}, []string{"openid", "email", "profile", "offline_access"}},
		"not offered":       {tenants.OIDCSpec{Recheck: 1}, []string{"openid"}, []string{"openid", "email", "profile"}},
		"asked for already": {tenants.OIDCSpec{Recheck: 1, Scopes: []string{"openid", "offline_access"}}, nil, []string{"openid", "offline_access"}},
	} {
		if got := (&provider{metadata: metadata{Scopes: c.offered}}).scopes(&c.spec); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}
