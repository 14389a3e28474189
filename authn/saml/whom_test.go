package saml

import "testing"

// A request to end names a person as a sign-in does: what XML counts as white space is
// nothing of a name, and everything else is.
func TestASignOutNamesWhomTheSignInNamed(t *testing.T) {
	for _, c := range [][2]string{{"ann", "ann"}, {" ann\n\t", "ann"}, {"ann\u00a0", "ann\u00a0"}, {"\u3000ann", "\u3000ann"}, {"\u2003ann", "\u2003ann"}} {
		root, err := scan([]byte(`<samlp:LogoutRequest xmlns:samlp="` + nsProtocol + `" xmlns:saml="` + nsAssertion + `"><saml:NameID>` + c[0] + `</saml:NameID></samlp:LogoutRequest>`))
		if err != nil {
			t.Fatal(err)
		}
		got, refusal := whom(root)
		if refusal != nil || got != c[1] || got != root.one(nsAssertion, "NameID").plainText() {
			t.Errorf("%+q is read as %+q, want %+q; %v", c[0], got, c[1], refusal)
		}
	}
}
