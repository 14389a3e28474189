package tenants_test

import (
	"testing"

	"gatehouse/audit"
	"gatehouse/internal/fault"
	"gatehouse/tenants"
)

const personal = "9188040d-6c67-4c5b-b112-36a304b66dad" // Entra ID's directory of personal accounts

// Where anybody can make an account, whoever has one comes in only if somebody says so
// in so many words, however the provider is entered.
func TestWhereAnybodyHasAnAccountPeopleAreBounded(t *testing.T) {
	h := newHouse(t)
	ctx, acme := t.Context(), h.add(t, "acme")
	issuer := func(issuer string, directories ...string) tenants.Connection {
		c := oidc("door")
		c.Link, c.Admits, c.Unknown = tenants.LinkNever, tenants.Admission{}, tenants.MakeUnknown
		c.OIDC.Issuer, c.OIDC.EntraTenants = issuer, directories
		return c
	}
	addresses := func(change func(*tenants.OAuth2Spec)) tenants.Connection {
		c := oauth2("door")
		change(c.OAuth2)
		return c
	}
	open := map[string]tenants.Connection{
		"Google":                       issuer("https://accounts.google.com"),
		"Google, in capitals":          issuer("https://Accounts.Google.com"),
		"Google, from the root":        issuer("https://accounts.google.com."),
		"Google, at a port":            issuer("https://accounts.google.com:443"),
		"gitlab.com":                   issuer("https://gitlab.com"),
		"Apple":                        issuer("https://appleid.apple.com"),
		"LinkedIn":                     issuer("https://www.linkedin.com/oauth"),
		"Facebook":                     issuer("https://www.facebook.com"),
		"personal accounts":            issuer("https://login.microsoftonline.com/" + personal + "/v2.0"),
		"personal accounts, elsewhere": issuer("https://sts.windows.net/" + personal + "/"),
		"personal accounts of many":    issuer("https://login.microsoftonline.com/common/v2.0", directory, personal),
		"the preset":                   addresses(func(s *tenants.OAuth2Spec) { *s = *github().OAuth2 }),
		"GitHub by its addresses": addresses(func(s *tenants.OAuth2Spec) {
			s.AuthorizationURL, s.TokenURL, s.UserinfoURL = "https://github.com/login/oauth/authorize", "https://github.com/login/oauth/access_token", "https://api.github.com/user"
		}),
		"GitHub by one of them": addresses(func(s *tenants.OAuth2Spec) { s.UserinfoURL = "https://api.github.com/user" }),
		"Live":                  addresses(func(s *tenants.OAuth2Spec) { s.TokenURL = "https://login.live.com/oauth20_token.srf" }),
		"many directories":      addresses(func(s *tenants.OAuth2Spec) { s.TokenURL = "https://login.microsoftonline.com/common/oauth2/v2.0/token" }),
		"personal accounts' tokens": addresses(func(s *tenants.OAuth2Spec) {
			s.TokenURL = "https://login.microsoftonline.com/Consumers/oauth2/v2.0/token"
		}),
	}
	for name, c := range open {
		put := func(what string, change func(*tenants.Connection), ok bool) {
			t.Helper()
			c := c
			change(&c)
			_, err := h.service.PutConnection(ctx, cause, acme.ID, c)
			if (err == nil) != ok || err != nil && (!fault.Is(err, fault.Invalid) || fault.As(err).Field != "allowed_domains") {
				t.Errorf("%s, %s: %v", name, what, err)
			}
		}
		put("as it is", func(*tenants.Connection) {}, false)
		put("switched off", func(c *tenants.Connection) { c.Enabled = false }, false)
		put("whom nobody knows refused, and linked", func(c *tenants.Connection) { c.Unknown, c.Link = tenants.RefuseUnknown, tenants.LinkByEmail }, false)
		put("linked", func(c *tenants.Connection) { c.Link = tenants.LinkByEmail }, false)
		put("with domains", func(c *tenants.Connection) { c.Admits.Domains = []string{"acme.example"} }, true)
		put("with groups", func(c *tenants.Connection) { c.Admits.Groups = []string{"acme"} }, true)
		put("whom nobody knows refused", func(c *tenants.Connection) { c.Unknown = tenants.RefuseUnknown }, true)
		put("for anybody", func(c *tenants.Connection) { c.Anybody = true }, true)
		if e, _ := h.journal.last(); e.Type != audit.ConnectionChanged || e.Details["anybody"] != "true" {
			t.Errorf("%s: recorded %v", name, e.Details)
		}
		h.open(t)
		if kept, err := h.service.Connection(ctx, acme.ID, "door"); err != nil || !kept.Anybody {
			t.Errorf("%s: kept %+v, %v", name, kept, err)
		}
		must(t, h.service.DeleteConnection(ctx, cause, acme.ID, "door", 0))
	}
	for name, c := range map[string]tenants.Connection{
		"a provider of one's own": issuer("https://idp.example.com"),
		"GitLab of one's own":     issuer("https://gitlab.acme.example"),
		"a name alike":            issuer("https://accounts.google.com.acme.example"),
		"one directory":           issuer("https://login.microsoftonline.com/" + directory + "/v2.0"),
		"directories":             issuer("https://login.microsoftonline.com/organizations/v2.0", directory),
		"a directory's tokens": addresses(func(s *tenants.OAuth2Spec) {
			s.TokenURL = "https://login.microsoftonline.com/" + directory + "/oauth2/v2.0/token"
		}),
	} {
		if _, err := h.service.PutConnection(ctx, cause, acme.ID, c); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What was kept before there was the rule can still be closed.
func TestP2_WhatAnybodyCameByCanBeClosed(t *testing.T) {
	h := newHouse(t)
	ctx, acme := t.Context(), h.add(t, "acme")
	c := oidc("okta")
	c.Link, c.Admits = tenants.LinkNever, tenants.Admission{}
	_, err := h.service.PutConnection(ctx, cause, acme.ID, c)
	must(t, err)
	h.earlier(t, acme, `UPDATE connections SET spec = REPLACE(spec, '`+c.OIDC.Issuer+`', 'https://accounts.google.com')`)
	kept, err := h.service.Connection(ctx, acme.ID, "okta")
	if err != nil || kept.OIDC.Issuer != "https://accounts.google.com" {
		t.Fatalf("%+v, %v", kept.OIDC, err)
	}
	renamed := kept
	renamed.DisplayName = "Google"
	_, err = h.service.PutConnection(ctx, cause, acme.ID, renamed)
	wantFault(t, "changed and still for everybody", err, fault.Invalid)
	kept.Enabled = false
	closed, err := h.service.PutConnection(ctx, cause, acme.ID, kept)
	if err != nil || closed.Enabled {
		t.Errorf("closed: %+v, %v", closed, err)
	}
}
