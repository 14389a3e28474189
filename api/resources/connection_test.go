package resources

import (
	"reflect"
	"testing"

	"gatehouse/tenants"
)

// Whatever is put comes back: a field that one of the ways forgets would be lost
// with the next export and apply.
func TestEveryFieldOfASAMLConnectionComesBack(t *testing.T) {
	want := ConnectionSpec{Type: tenants.SAML, IDPMetadata: &Metadata{URL: "https://idp.example/metadata", Fingerprint: "ab"},
		Attributes: &NamesMap{Email: "mail"}, IDPInitiated: true, Signed: tenants.SignedBoth, Encryption: tenants.EncryptionRequired,
		AllowSHA1: true, AllowCBC: true, ClockSkew: 90, SignRequests: true, ForceAuthn: true, AuthnContexts: []string{"a"}, NameIDFormat: tenants.NameIDEmail,
		Binding: tenants.RequestPost}
	v := reflect.ValueOf(want)
	for i := range v.NumField() {
		if field := v.Type().Field(i); field.Tag.Get("of") == "saml" && v.Field(i).IsZero() {
			t.Errorf("the test leaves out %s", field.Name)
		}
	}
	c, err := want.Connection("adfs", tenants.Connection{})
	if err != nil {
		t.Fatal(err)
	}
	if got := SpecOfConnection(c); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}
