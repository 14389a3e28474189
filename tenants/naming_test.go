package tenants

import "testing"

// What is kept with people must not change with the program: they would all be unknown.
func TestNamingStays(t *testing.T) {
	for _, c := range []struct {
		of   Connection
		want string
	}{
		{Connection{Type: OIDC, OIDC: &OIDCSpec{Issuer: "https://idp.example", ClientID: "a"}}, "ddf5bfcaff5704fc7f01c83916f6c542"},
		{Connection{Type: SAML, SAML: &SAMLSpec{IDPMetadata: MetadataSource{URL: "https://idp.example/metadata"}}}, "1d106acf8e5fddeceab50570c64808de"},
		{Connection{Type: OAuth2, OAuth2: &OAuth2Spec{Preset: PresetGitHub, ClientID: "a"}}, "158f922cbcc6c4991c1bac3af6ff8b9f"},
		{Connection{Type: Local}, ""},
	} {
		if got := c.of.Naming(); got != c.want {
			t.Errorf("%s: %s, want %s", c.of.Type, got, c.want)
		}
	}
	other := Connection{Type: OIDC, OIDC: &OIDCSpec{Issuer: "https://idp.example", ClientID: "b", MaxAge: 1, Claims: AttributeMap{Email: "mail"}}}
	if first := (Connection{Type: OIDC, OIDC: &OIDCSpec{Issuer: "https://idp.example"}}); first.Naming() != other.Naming() {
		t.Error("it hangs on more than who names people")
	}
}
