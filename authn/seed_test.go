package authn_test

import (
	"flag"
	"os"
	"strings"
	"testing"
	"time"

	"gatehouse/authn/saml/attacktest"
)

var update = flag.Bool("update", false, "write the seeds of the SAML fuzz test anew")

// seeded are the attacks that begin the fuzzing: of each kind one.
var seeded = []string{"XSW1", "XSW3", "XSW7", "XSW8", "DTD", "comment in NameID", "two references", "two signatures, one within what the other covers",
	"an xml:id", "encrypted garbage", "two encrypted keys", "AES-CBC", "two subjects"}

// TestSeeds makes the messages in saml/testdata, which begin the fuzzing of the
// admission. Signatures differ every time, so only what is unsigned is compared.
func TestSeeds(t *testing.T) {
	at := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	const acs = "https://acme.example/acs"
	m := attacktest.Answer("id-1", acs, "https://acme.example/metadata", at)
	doc := m.Document(t)
	seeds := map[string]string{"unsigned": string(bytesOf(t, doc))}
	for _, attack := range attacktest.Attacks() {
		for _, name := range seeded {
			if attack.Name == name {
				seeds[seedName(name)] = attack.Forge(t, attacktest.Flight{Message: m, Certificate: otherKey().Cert})
			}
		}
	}
	seeds["plain"] = attacktest.Attack{}.Forge(t, attacktest.Flight{Message: m})
	seeds["sealed"] = attacktest.Attack{With: attacktest.Sealing{}.Encrypt}.Forge(t, attacktest.Flight{Message: m, Certificate: otherKey().Cert})
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

func seedName(attack string) string {
	return strings.Map(func(r rune) rune {
		switch r {
		case ' ':
			return '-'
		case ',', ':':
			return -1
		}
		return r
	}, strings.ToLower(attack))
}
