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
