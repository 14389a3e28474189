package setup

import (
	"net/url"
	"slices"
	"strings"
	"testing"

	"gatehouse/tenants"
)

// FuzzEntered: whatever is entered by a set-up link, its maker's terms stay, nobody can
// sign in by it yet, and a secret goes to nobody but whom it was entered for.
func FuzzEntered(f *testing.F) {
	known := tenants.Providers()
	for i := range known {
		for _, seed := range []string{"issuer=https://idp.example&client_id=gate&client_secret=", "issuer=https://idp.example&client_id=gate&client_secret=new", "issuer=https://evil.example&client_id=gate", "client_id=gate",
			"client_id=other", "issuer=+https://idp.example+&client_id=+gate+", "metadata_url=https://idp.example/m&metadata=<x/>", "metadata=%0a<x/>%0a", "allowed_domains=a.example,+b.example%0ac.example&allowed_groups=+ops+%0d%0a%0d%0adev",
			"default_role=owner&link=email&unknown=&enabled=true&name=other&version=1", "email=a&name=b&groups=c&email=d", "%"} {
			f.Add(seed, uint8(i))
		}
	}
	l := Link{Connection: "corp", Terms: Terms{DisplayName: "Corp", DefaultRole: "viewer", Link: tenants.LinkByEmail, Unknown: tenants.RefuseUnknown}}
	kept := []tenants.Connection{{Version: tenants.NoConnection},
		{ID: "con_1", Name: "corp", Type: tenants.OIDC, Version: 7, OIDC: &tenants.OIDCSpec{Issuer: "https://idp.example", ClientID: "gate", ClientSecret: "kept"}},
		{ID: "con_1", Name: "corp", Type: tenants.OAuth2, Version: 8, OAuth2: &tenants.OAuth2Spec{Preset: tenants.PresetGitHub, ClientID: "gate", ClientSecret: "kept"}},
		{ID: "con_1", Name: "corp", Type: tenants.SAML, Version: 9, SAML: &tenants.SAMLSpec{}}}
	f.Fuzz(func(t *testing.T, text string, which uint8) {
		form, err := url.ParseQuery(text)
		if err != nil {
			return
		}
		p := known[int(which)%len(known)]
		for _, current := range kept {
			c := entered(l, current, p, form)
			terms := Terms{DisplayName: c.DisplayName, DefaultRole: c.DefaultRole, Link: c.Link, Unknown: c.Unknown}
			if terms != l.Terms || c.Name != l.Connection || c.Enabled || c.Type != p.Type || c.Version != current.Version || len(c.GroupRules) > 0 {
				t.Errorf("%q makes %+v", text, c)
			}
			if (c.OIDC != nil) != (p.Type == tenants.OIDC) || (c.OAuth2 != nil) != (p.Type == tenants.OAuth2) || (c.SAML != nil) != (p.Type == tenants.SAML) {
				t.Errorf("%q as %s makes %+v", text, p.ID, c)
			}
			if o := c.OIDC; o != nil && o.ClientSecret == "kept" && form.Get("client_secret") == "" && (current.OIDC == nil || o.Issuer != current.OIDC.Issuer || o.ClientID != current.OIDC.ClientID) {
				t.Errorf("%q takes the secret to %s", text, o.Issuer)
			}
			if o := c.OAuth2; o != nil && o.ClientSecret == "kept" && form.Get("client_secret") == "" && (current.OAuth2 == nil || o.Preset != current.OAuth2.Preset || o.ClientID != current.OAuth2.ClientID) {
				t.Errorf("%q takes the secret to %s", text, o.Preset)
			}
			if s := c.SAML; s != nil && s.IDPMetadata.URL != "" && s.IDPMetadata.XML != "" {
				t.Errorf("%q has two kinds of metadata", text)
			}
			for _, name := range slices.Concat(c.Admits.Domains, c.Admits.Groups) {
				if name == "" || strings.TrimSpace(name) != name || strings.Contains(name, "\n") {
					t.Errorf("%q admits %q", text, name)
				}
			}
		}
	})
}
