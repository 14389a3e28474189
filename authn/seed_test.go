package authn_test

import (
	"flag"
	"os"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write the seeds of the SAML fuzz test anew")

// TestSeeds makes the messages in saml/testdata, which begin the fuzzing of the
// admission. Signatures differ every time, so only what is unsigned is compared.
func TestSeeds(t *testing.T) {
	at := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	const acs = "https://acme.example/acs"
	m := message{Issuer: idpEntity, Destination: acs, InResponseTo: "id-1", Version: "2.0", AssertionIssuer: idpEntity, AssertionID: "_a", NameID: "gil",
		Format: "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent", Method: "urn:oasis:names:tc:SAML:2.0:cm:bearer",
		Recipient: acs, SubjectInResponseTo: "id-1", Audience: "https://acme.example/metadata", Email: "gil@globex.example",
		Status: "urn:oasis:names:tc:SAML:2.0:status:Success", Issued: at, Authenticated: at, NotBefore: at, NotOnOrAfter: at.Add(5 * time.Minute), ConfirmUntil: at.Add(5 * time.Minute)}
	doc := m.document(t)
	seeds := map[string]string{"unsigned": string(bytesOf(t, doc))}
	signAssertion(t, doc)
	plain := string(bytesOf(t, doc))
	seeds["plain"], seeds["doctype"] = plain, "<!DOCTYPE r>"+plain
	seeds["encrypted"] = strings.Replace(plain, "<saml:Assertion ", "<saml:EncryptedAssertion>garbage</saml:EncryptedAssertion><saml:Assertion ", 1)
	wrappings["XSW8"].change(t, doc)
	seeds["wrapped"] = string(bytesOf(t, doc))
	seeds["metadata/idp"] = idpMetadata("https://idp.acme.example/sso", otherKey())

	for name, content := range seeds {
		file := "saml/testdata/" + name + ".xml"
		if *update {
			check(t, os.WriteFile(file, []byte(content), 0o600))
		}
		stored, err := os.ReadFile(file)
		check(t, err)
		if name == "unsigned" && string(stored) != content {
			t.Errorf("%s is not what is generated; run the test with -update", file)
		}
	}
}
