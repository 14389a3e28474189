package saml

import (
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"gatehouse/authn"
	"gatehouse/authn/saml/attacktest"
)

func seeds(t testing.TB) map[string][]byte {
	t.Helper()
	files, err := filepath.Glob("testdata/*.xml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no seeds: %v", err)
	}
	all := map[string][]byte{}
	for _, name := range files {
		raw, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		all[strings.TrimSuffix(filepath.Base(name), ".xml")] = raw
	}
	return all
}

// ours is a verification as it begins.
func ours(idp *provider) *verification {
	return &verification{rules: &strict, idp: idp, requestID: "id-1", now: time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC),
		endpoints: authn.Endpoints{Callback: "https://acme.example/acs", Metadata: "https://acme.example/metadata"},
		keys:      func() ([]*rsa.PrivateKey, error) { return []*rsa.PrivateKey{spKey().Private()}, nil }}
}

// admitted gives a message whose shape is the one that is accepted, as far as can
// be told without a key.
func admitted(raw []byte) (*verification, error) {
	v := ours(nil)
	if err := v.read(raw); err != nil {
		return nil, err
	}
	if err := pass(strict.message, v); err != nil {
		return nil, err
	}
	found := v.response.all(nsAssertion, "Assertion")
	if len(found) == 0 {
		return nil, authn.Refuse(authn.Encrypted, "It is encrypted.")
	}
	v.assertion = found[0]
	if signature := v.response.one(nsSignature, "Signature"); signature != nil {
		v.signedResponse = v.doc.Root() // as if it were
	}
	return v, pass(strict.assertion, v)
}

func TestAdmissionOfTheSeeds(t *testing.T) {
	want := map[string]authn.Reason{
		"plain": "", "unsigned": authn.SignatureMissing, "sealed": authn.Encrypted, "xsw1": authn.Malformed, "xsw3": authn.Malformed, "xsw7": authn.Malformed,
		"xsw8": authn.Malformed, "dtd": authn.Malformed, "comment-in-nameid": authn.Malformed, "two-references": "",
		"two-signatures-one-within-what-the-other-covers": authn.SignatureAmbiguous, "an-xmlid": authn.Malformed, "encrypted-garbage": authn.Encrypted,
		"two-encrypted-keys": authn.Encrypted, "aes-cbc": authn.Encrypted, "two-subjects": authn.SubjectUnusable,
	}
	for name, raw := range seeds(t) {
		_, err := admitted(raw)
		refusal, refused := errors.AsType[*authn.Refusal](err)
		switch reason, known := want[name]; {
		case !known:
			t.Errorf("%s: no expectation", name)
		case reason == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case reason != "" && (!refused || refusal.Reason != reason):
			t.Errorf("%s: %v, want %q", name, err, reason)
		}
	}
}

// FuzzAdmission: what is admitted has one Response with one Assertion and one
// NameID, and what is refused is refused by name; and no library
// panics on any of it or accepts it, clear or encrypted, since nobody has the key.
func FuzzAdmission(f *testing.F) {
	for _, raw := range seeds(f) {
		f.Add(raw)
	}
	at := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	for _, a := range append(attacktest.Attacks(), attacktest.Controls()...) {
		if raw := a.Forge(f, testFlight(at)); len(raw) < 10<<10 {
			f.Add([]byte(raw))
		}
	}
	idp, err := parseMetadata([]byte(testMetadata(f)))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		if err := ours(idp).verify(raw); err == nil {
			t.Fatal("verified without a signature of ours")
		} else {
			refusedByName(t, err)
		}
		v, err := admitted(raw)
		if err != nil {
			refusedByName(t, err)
			return
		}
		counts := map[string]int{}
		_ = v.response.walk(func(e *element) error { counts[e.name.Local]++; return nil })
		for _, name := range []string{"Response", "Assertion", "Subject", "Conditions"} {
			if counts[name] != 1 {
				t.Fatalf("admitted with %d elements %s", counts[name], name)
			}
		}
		if counts["Signature"] < 1 || counts["Signature"] > 2 {
			t.Fatalf("admitted with %d signatures", counts["Signature"])
		}
	})
}

// FuzzMetadata: what is taken describes one provider with a few strong keys, and
// reads the same again; what has to be signed is not taken, since nobody has the key;
// and what is refused does not panic.
func FuzzMetadata(f *testing.F) {
	good := testMetadata(f)
	f.Add([]byte(good))
	f.Add([]byte(attacktest.SignedMetadata(f, attacktest.OurKey(), good, nil)))
	f.Add([]byte(strings.Replace(good, "entityID=", `validUntil="2026-01-01T00:00:00Z" entityID=`, 1)))
	f.Add([]byte("<!DOCTYPE x>" + good))
	for _, raw := range seeds(f) {
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		if _, err := parsePinned(raw, strings.Repeat("00", 32), time.Unix(0, 0)); err == nil {
			t.Fatal("believed by a fingerprint that nothing has")
		}
		p, err := parseMetadata(raw)
		if err != nil {
			return
		}
		if p.metadata.EntityID == "" || len(p.keys) == 0 || len(p.keys) > maxKeys || slices.ContainsFunc(p.keys, func(c *x509.Certificate) bool { return !strong(c) }) {
			t.Fatalf("taken: %q with %d keys", p.metadata.EntityID, len(p.keys))
		}
		again, err := parseMetadata(raw)
		if err != nil || again.metadata.EntityID != p.metadata.EntityID || !again.sameKeys(p) || !again.until.Equal(p.until) {
			t.Fatalf("read another way: %v", err)
		}
	})
}

func testMetadata(t testing.TB) string {
	t.Helper()
	raw, err := os.ReadFile("testdata/metadata/idp.xml")
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func TestMetadataIsChecked(t *testing.T) {
	good := testMetadata(t)
	if _, err := parseMetadata([]byte(good)); err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string]string{
		"nothing":        "",
		"not metadata":   "<html/>",
		"no entity id":   strings.Replace(good, "entityID=", "entityid=", 1),
		"no keys":        strings.ReplaceAll(good, `use="signing"`, `use="encryption"`),
		"not a key":      strings.Replace(good, "<X509Certificate>", "<X509Certificate>!", 1),
		"document type":  "<!DOCTYPE x>" + good,
		"several people": `<EntitiesDescriptor xmlns="urn:oasis:names:tc:SAML:2.0:metadata">` + strings.TrimPrefix(good, `<?xml version="1.0"?>`) + `</EntitiesDescriptor>`,
	} {
		if _, err := parseMetadata([]byte(bad)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// Blanks that are none to XML are part of a name: two people are two.
func TestNamesThatDifferStayDifferent(t *testing.T) {
	for _, c := range [][2]string{{" ann\r\n\t", "ann"}, {"ann\u00a0", "ann\u00a0"}, {"\u2003ann", "\u2003ann"}, {"ann\u0085", "ann\u0085"}} {
		if got := (&element{text: []byte(c[0])}).plainText(); got != c[1] {
			t.Errorf("%q is read as %q", c[0], got)
		}
	}
}
