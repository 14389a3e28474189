package tenants_test

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"gatehouse/tenants"
)

const directory = "72f988bf-86f1-41af-91ab-2d7cd011db47"

// entra is a connection to Entra ID for several directories, with all that a
// connection by OpenID Connect can have.
func entra(name string) tenants.Connection {
	c := oidc(name)
	c.OIDC.Issuer = "https://login.microsoftonline.com/organizations/v2.0"
	c.OIDC.ClientAuth, c.OIDC.Prompt = tenants.PrivateKeyJWT, []string{"login", "consent"}
	c.OIDC.MaxAge = tenants.Duration(12 * time.Hour)
	c.OIDC.Recheck, c.OIDC.RecheckGrace = tenants.Duration(time.Hour), tenants.Duration(2*time.Hour)
	c.OIDC.EntraTenants, c.OIDC.GroupsURL = []string{directory}, "https://graph.microsoft.us/v1.0/me/memberOf"
	return c
}

func TestOIDCSettingsAreChecked(t *testing.T) {
	h := newHouse(t)
	acme := h.add(t, "acme")
	kept, err := h.service.PutConnection(t.Context(), cause, acme.ID, entra("entra"))
	must(t, err)
	h.open(t)
	again, err := h.service.Connection(t.Context(), acme.ID, "entra")
	must(t, err)
	if !reflect.DeepEqual(again.OIDC, kept.OIDC) || !reflect.DeepEqual(kept.OIDC, entra("").OIDC) {
		t.Errorf("kept %+v", again.OIDC)
	}
	for what, spoil := range map[string]func(*tenants.OIDCSpec){
		"unknown client_auth":     func(s *tenants.OIDCSpec) { s.ClientAuth = "client_secret_jwt" },
		"basic without a secret":  func(s *tenants.OIDCSpec) { s.ClientAuth, s.ClientSecret = tenants.ClientSecretBasic, "" },
		"post without a secret":   func(s *tenants.OIDCSpec) { s.ClientAuth, s.ClientSecret = tenants.ClientSecretPost, "" },
		"prompt none":             func(s *tenants.OIDCSpec) { s.Prompt = []string{"none"} },
		"prompt twice":            func(s *tenants.OIDCSpec) { s.Prompt = []string{"login", "login"} },
		"prompt of two words":     func(s *tenants.OIDCSpec) { s.Prompt = []string{"login consent"} },
		"max_age of a moment":     func(s *tenants.OIDCSpec) { s.MaxAge = tenants.Duration(time.Minute - time.Second) },
		"max_age of years":        func(s *tenants.OIDCSpec) { s.MaxAge = tenants.Duration(1000 * time.Hour) },
		"negative max_age":        func(s *tenants.OIDCSpec) { s.MaxAge = -tenants.Duration(time.Hour) },
		"max_age with a fraction": func(s *tenants.OIDCSpec) { s.MaxAge = tenants.Duration(time.Hour + time.Millisecond) },
		"recheck all the time":    func(s *tenants.OIDCSpec) { s.Recheck = tenants.Duration(time.Minute) },
		"recheck never again":     func(s *tenants.OIDCSpec) { s.Recheck = tenants.Duration(1000 * time.Hour) },
		"negative recheck":        func(s *tenants.OIDCSpec) { s.Recheck = -1 },
		"grace shorter than that": func(s *tenants.OIDCSpec) { s.RecheckGrace = tenants.Duration(time.Minute) },
		"grace without recheck":   func(s *tenants.OIDCSpec) { s.Recheck = 0 },
		"grace for ever":          func(s *tenants.OIDCSpec) { s.RecheckGrace = tenants.Duration(1000 * time.Hour) },
		"everybody":               func(s *tenants.OIDCSpec) { s.EntraTenants = nil },
		"everybody, by common": func(s *tenants.OIDCSpec) {
			s.EntraTenants, s.Issuer = nil, "https://LOGIN.microsoftonline.com/Common/v2.0"
		},
		"everybody, by consumers": func(s *tenants.OIDCSpec) {
			s.EntraTenants, s.Issuer = nil, "https://login.microsoftonline.com/consumers/v2.0"
		},
		"no directory":              func(s *tenants.OIDCSpec) { s.EntraTenants = []string{"contoso.com"} },
		"a directory in capitals":   func(s *tenants.OIDCSpec) { s.EntraTenants = []string{strings.ToUpper(directory)} },
		"many directories":          func(s *tenants.OIDCSpec) { s.EntraTenants = slices.Repeat([]string{directory}, 101) },
		"directories of one issuer": func(s *tenants.OIDCSpec) { s.Issuer = "https://login.microsoftonline.com/" + directory + "/v2.0" },
		"groups by http":            func(s *tenants.OIDCSpec) { s.GroupsURL = "http://graph.example.com" },
	} {
		c := entra("entra")
		spoil(c.OIDC)
		_, err := h.service.PutConnection(t.Context(), cause, acme.ID, c)
		wantRefused(t, what, err)
	}
}

func TestWhatAConnectionTrustsAnew(t *testing.T) {
	for what, c := range map[string]struct {
		change func(*tenants.OIDCSpec)
		anew   bool
	}{
		"the way to show the secret": {func(s *tenants.OIDCSpec) { s.ClientAuth = "" }, false},
		"the prompt":                 {func(s *tenants.OIDCSpec) { s.Prompt = nil }, false},
		"the age of a sign-in":       {func(s *tenants.OIDCSpec) { s.MaxAge = 0 }, false},
		"how often it is asked":      {func(s *tenants.OIDCSpec) { s.Recheck, s.RecheckGrace = 0, 0 }, false},
		"a directory more":           {func(s *tenants.OIDCSpec) { s.EntraTenants = append(s.EntraTenants, directory[:35]+"8") }, true},
		"who tells of groups":        {func(s *tenants.OIDCSpec) { s.GroupsURL = "" }, true},
		"the issuer":                 {func(s *tenants.OIDCSpec) { s.Issuer = "https://login.microsoftonline.com/common/v2.0" }, true},
	} {
		before, after := entra("entra"), entra("entra")
		c.change(after.OIDC)
		if got := after.TrustsAnew(before); got != c.anew {
			t.Errorf("%s: trusts anew: %t", what, got)
		}
		if after.Same(before) {
			t.Errorf("%s: counts as no change", what)
		}
	}
}

// How people are sent to a SAML provider changes nothing about whom is believed.
func TestHowRequestsGoTrustsNobodyAnew(t *testing.T) {
	for what, change := range map[string]func(*tenants.SAMLSpec){
		"the binding":          func(s *tenants.SAMLSpec) { s.RequestBinding = tenants.RequestPost },
		"signed requests":      func(s *tenants.SAMLSpec) { s.SignRequests = !s.SignRequests },
		"a fresh sign-in":      func(s *tenants.SAMLSpec) { s.ForceAuthn = !s.ForceAuthn },
		"the name's format":    func(s *tenants.SAMLSpec) { s.NameIDFormat = tenants.NameIDPersistent },
		"what is asked for":    func(s *tenants.SAMLSpec) { s.AuthnContexts = []string{"a"} },
		"an offered key":       func(s *tenants.SAMLSpec) { s.Encryption = tenants.EncryptionOffered },
		"sign-ins begun there": func(s *tenants.SAMLSpec) { s.IDPInitiated = !s.IDPInitiated },
	} {
		before, after := saml("adfs"), saml("adfs")
		for _, of := range []*tenants.SAMLSpec{before.SAML, after.SAML} {
			of.RequestBinding, of.Encryption = "", tenants.EncryptionNotOffered
		}
		change(after.SAML)
		if after.Same(before) {
			t.Errorf("%s: counts as no change", what)
		}
		if after.TrustsAnew(before) {
			t.Errorf("%s: trusts anew", what)
		}
	}
	before, after := saml("adfs"), saml("adfs")
	after.SAML.AllowSHA1 = !before.SAML.AllowSHA1
	if !after.TrustsAnew(before) {
		t.Error("weaker signatures trust nothing anew")
	}
}

// Whoever a rule has put into a group stays there only if what is there now would have
// put them there too.
func TestWhoIsStillRuled(t *testing.T) {
	rule := func(claim, group string, values ...string) tenants.GroupRule {
		return tenants.GroupRule{Claim: claim, Group: group, Values: values}
	}
	rules := func(all ...tenants.GroupRule) func(*tenants.Connection) {
		return func(c *tenants.Connection) { c.GroupRules = all }
	}
	tax, lead, fin := rule("dept", "Finance", "tax"), rule("lead", "heads", "yes"), rule("dept", "finance ", "fin", "books")
	for what, c := range map[string]struct {
		change func(*tenants.Connection)
		want   string
	}{
		"nothing":                   {rules(tax, lead, fin), "finance heads"},
		"their order":               {rules(fin, lead, tax), "finance heads"},
		"a rule more":               {rules(tax, lead, fin, rule("x", "heads", "y"), rule("x", "new", "y")), "finance heads"},
		"a value more":              {rules(rule("dept", "FINANCE", "audit", "tax"), lead, fin), "finance heads"},
		"a value":                   {rules(rule("dept", "Finance", "audit"), lead, fin), "heads"},
		"a value less":              {rules(tax, lead, rule("dept", "finance", "books")), "heads"},
		"the claim":                 {rules(tax, rule("boss", "heads", "yes"), fin), "finance"},
		"one of a group's rules":    {rules(tax, lead), "heads"},
		"the groups, crosswise":     {rules(rule("dept", "heads", "tax"), rule("lead", "finance", "yes")), ""},
		"all of them":               {rules(), ""},
		"what has nothing to do":    {func(c *tenants.Connection) { c.OIDC.Scopes, c.DefaultRole, c.Link = nil, "", tenants.LinkByExternalID }, "finance heads"},
		"the provider":              {func(c *tenants.Connection) { c.OIDC.Issuer = "https://other.example.com" }, ""},
		"the protocol":              {func(c *tenants.Connection) { c.OIDC, c.Type, c.SAML = nil, tenants.SAML, &tenants.SAMLSpec{} }, ""},
		"whether it lets people in": {func(c *tenants.Connection) { c.Enabled = false }, ""},
	} {
		before, after := oidc("okta"), oidc("okta")
		rules(tax, lead, fin)(&before)
		rules(tax, lead, fin)(&after)
		c.change(&after)
		if got := strings.Join(after.StillRuled(before), " "); got != c.want {
			t.Errorf("%s changed: still ruled are %q, not %q", what, got, c.want)
		}
		before.Enabled = false
		if got := after.StillRuled(before); got != nil {
			t.Errorf("%s changed while it was off: still ruled are %q", what, got)
		}
	}
}

func TestIssuersForManyDirectories(t *testing.T) {
	for issuer, want := range map[string]string{
		"https://login.microsoftonline.com/common/v2.0":                 "https://login.microsoftonline.com/{tenantid}/v2.0",
		"https://login.microsoftonline.us/organizations/v2.0":           "https://login.microsoftonline.us/{tenantid}/v2.0",
		"http://127.0.0.1:8080/common/v2.0":                             "http://127.0.0.1:8080/{tenantid}/v2.0",
		"https://login.microsoftonline.com/" + directory + "/v2.0":      "",
		"https://idp.example.com/tenants/common":                        "",
		"https://login.microsoftonline.com":                             "",
		"https://login.microsoftonline.com/common%2Fx/v2.0":             "",
		"https://login.microsoftonline.com/organizations.evil.com/v2.0": "",
	} {
		if got := (&tenants.OIDCSpec{Issuer: issuer, EntraTenants: []string{directory}}).IssuerTemplate(); got != want {
			t.Errorf("%s: %q, want %q", issuer, got, want)
		}
	}
	if got := (&tenants.OIDCSpec{Issuer: "https://login.microsoftonline.com/common/v2.0"}).IssuerTemplate(); got != "" {
		t.Errorf("of no directory: %q", got)
	}
}
