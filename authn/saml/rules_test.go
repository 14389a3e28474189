package saml

import (
	"cmp"
	"crypto/rsa"
	"errors"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse/authn"
	"gatehouse/authn/saml/attacktest"
	"gatehouse/tenants"
)

const (
	testACS      = "https://acme.example/acs"
	testAudience = "https://acme.example/metadata"
	testRequest  = "id-1"
)

// names are those of all checks, in their order.
func (r *rules) names() (all []string) {
	lists := reflect.ValueOf(*r)
	for i := range lists.NumField() {
		for j := range lists.Field(i).Len() {
			all = append(all, lists.Field(i).Index(j).FieldByName("name").String())
		}
	}
	return all
}

// without leaves out the checks of these names, and says which of the others is
// the first to refuse.
func without(names []string, refused *string) *rules {
	left := strict
	left.size = watched(left.size, names, refused)
	left.tokens = watched(left.tokens, names, refused)
	left.message = watched(left.message, names, refused)
	left.sealed = watched(left.sealed, names, refused)
	left.assertion = watched(left.assertion, names, refused)
	left.signature = watched(left.signature, names, refused)
	left.trust = watched(left.trust, names, refused)
	left.profile = watched(left.profile, names, refused)
	return &left
}

func watched[T any](list []check[T], names []string, refused *string) []check[T] {
	var left []check[T]
	for _, c := range list {
		if !slices.Contains(names, c.name) {
			left = append(left, check[T]{c.name, func(to T) error {
				err := c.apply(to)
				if err != nil {
					*refused = c.name
				}
				return err
			}})
		}
	}
	return left
}

// flight is a sign-in under way, with a key of ours to encrypt for.
func testFlight(now time.Time) attacktest.Flight {
	return attacktest.Flight{Message: attacktest.Answer(testRequest, testACS, testAudience, now), Certificate: spKey().Cert}
}

var spKey = sync.OnceValue(func() attacktest.Signer {
	s, err := attacktest.NewSigner(time.Now().Add(time.Hour))
	if err != nil {
		panic(err)
	}
	return s
})

var testProvider = sync.OnceValues(func() (*provider, error) {
	return parseMetadata([]byte(attacktest.Metadata("https://idp.acme.example/sso", attacktest.OurKey())))
})

func testVerification(t testing.TB, spec tenants.SAMLSpec, now time.Time) *verification {
	t.Helper()
	idp, err := testProvider()
	if err != nil {
		t.Fatal(err)
	}
	return &verification{rules: &strict, spec: spec, idp: idp, requestID: testRequest, now: now,
		endpoints: authn.Endpoints{Callback: testACS, Metadata: testAudience},
		keys:      func() ([]*rsa.PrivateKey, error) { return []*rsa.PrivateKey{spKey().Private()}, nil }}
}

// try verifies a response by some of the rules, and says who refused it: a check,
// or what cannot be left out.
func try(t testing.TB, raw string, spec tenants.SAMLSpec, now time.Time, left []string) (by string, err error) {
	t.Helper()
	v := testVerification(t, spec, now)
	v.rules = without(left, &by)
	if err = v.verify([]byte(raw)); err == nil {
		_, err = v.person()
	}
	refusal, ok := errors.AsType[*authn.Refusal](err)
	switch {
	case err == nil:
		return "", nil
	case !ok:
		t.Fatalf("refused without a reason: %v", err)
	case strings.Contains(err.Error(), "panicked") && by != "library":
		t.Fatalf("a library panicked before the last check: %v", err)
	case refusal.Reason == authn.Encrypted && err.Error() == unopened().Error():
		by = "!sealed" // the inner scan's own rules do not show
	case by == "":
		by = map[authn.Reason]string{authn.WrongKey: "!signature", authn.SignatureInvalid: "!signature", authn.SignatureMissing: "!believed"}[refusal.Reason]
		if by == "" {
			by = "!read"
		}
	}
	return by, err
}

// checks are the names of all checks that there have to be, in their order. They are
// written down here once more, so that one that is gone is missed.
var checks = []string{
	// size
	"size",
	// tokens
	"depth", "elements", "attributes", "attribute-twice", "one-document", "text-outside", "comment", "document-type", "instruction",
	// message
	"response", "version", "ids", "response-place", "encrypted-part", "assertion-place", "signature-place", "status",
	"one-assertion", "response-signature-once", "encryption-wanted",
	// sealed
	"encryption-form", "cipher", "key-transport", "cbc-signed",
	// assertion
	"assertion-version", "subject-place", "conditions-place", "subject", "name", "subject-parts", "confirmation",
	"confirmation-data", "conditions", "conditions-known", "authentication", "assertion-signature-once", "signed",
	// signature
	"signature-parts", "signed-info", "reference", "reference-parts", "transforms", "canonicalization", "signature-method",
	"digest-method",
	// trust
	"signed-as-wanted",
	// profile
	"response-issuer", "issuer", "destination", "request", "confirmation-method", "recipient", "confirmation-request",
	"confirmation-limits", "confirmation-end", "conditions-limits", "conditions-end", "conditions-begin", "issued-ahead",
	"issued-long-ago", "provider-session", "audience", "audience-named", "context", "name-text", "name-lasting",
	"name-qualifier", "sp-name-qualifier", "library",
}

// backed are the checks that do not stand alone: whoever takes only one of these away
// lets no attack through, since it is refused a second time by the others named here
// (one of ours, or what the library verifies once more at the end), and gets in only
// where those are away as well. Every check that is not in this list stands between
// an attack and a session by itself.
//
// What begins with "!" cannot be left out: that nothing is believed but what is
// signed, that what cannot be read is not, and that a key has to fit. A check before
// it gives the clear reason, and what hostile input is spared.
var backed = map[string][]string{
	"response": {"library"}, "status": {"library"}, "one-assertion": {"subject-place", "conditions-place"}, "response-signature-once": {"library"},
	"cipher": {"cbc-signed"}, "subject": {"name", "confirmation", "name-text"}, "confirmation-data": {"library"},
	"conditions": {"conditions-limits", "audience-named"}, "assertion-signature-once": {"library"}, "signed": {"!believed"},
	"response-issuer": {"library"}, "destination": {"library"}, "request": {"library"}, "recipient": {"library"},
	"confirmation-request": {"library"}, "conditions-limits": {"library"}, "issued-long-ago": {"library"},
}

// way is which checks have to be away for an attack, and what it meets then: nothing,
// or something that cannot be left out.
type way struct {
	left []string
	stop string
}

// before reports whether a way is the easier one.
func (w way) before(o way) bool {
	if through := w.stop == ""; through != (o.stop == "") {
		return through
	}
	return cmp.Or(cmp.Compare(len(w.left), len(o.left)), slices.Compare(w.left, o.left), cmp.Compare(w.stop, o.stop)) < 0
}

// behind are what stands behind the first check of a way.
func (w way) behind() []string {
	if w.stop != "" {
		return append(slices.Clone(w.left[1:]), w.stop)
	}
	return w.left[1:]
}

// wayOf leaves out the checks that refuse an attack, one after the other, until it is
// let through or meets what cannot be left out.
func wayOf(t testing.TB, a attacktest.Attack, now time.Time) (w way) {
	t.Helper()
	var spec tenants.SAMLSpec
	if a.Set != nil {
		a.Set(&spec)
	}
	raw := a.Forge(t, testFlight(now))
	for {
		by, err := try(t, raw, spec, now, w.left)
		if len(w.left) == 0 {
			if err == nil {
				t.Errorf("%s: accepted, with every check in its place; want %s, %s", a.Name, a.By, a.Want)
				return w
			}
			if refusal, _ := errors.AsType[*authn.Refusal](err); by != a.By || refusal.Reason != a.Want {
				t.Errorf("%s: refused by %s: %v; want %s, %s", a.Name, by, err, a.By, a.Want)
			}
		}
		if err == nil || strings.HasPrefix(by, "!") {
			w.stop = by
			return w
		}
		if slices.Contains(w.left, by) {
			t.Fatalf("%s: %s refuses though it is left out", a.Name, by)
		}
		w.left = append(w.left, by)
	}
}

// TestEveryCheckKeepsAnAttackAway leaves the checks out that refuse an attack, one
// after the other, until it is let through. So every check is there for something
// that no other check before it sees, and every attack is one: but for that check,
// and for what is known to back it, it would be believed.
func TestEveryCheckKeepsAnAttackAway(t *testing.T) {
	now := time.Now()
	if got := strict.names(); !slices.Equal(got, checks) {
		t.Errorf("the checks are\n%q, want\n%q", got, checks)
	}
	easiest := map[string]way{}
	for _, a := range attacktest.Attacks() {
		w := wayOf(t, a, now)
		t.Logf("%s: %s %s", a.Name, strings.Join(w.left, ", "), w.stop)
		if len(w.left) == 0 {
			continue
		}
		if known, ok := easiest[w.left[0]]; !ok || w.before(known) {
			easiest[w.left[0]] = w
		}
	}
	for _, name := range checks {
		if w, ok := easiest[name]; !ok {
			t.Errorf("%s: no attack is refused by it", name)
		} else if got := w.behind(); !slices.Equal(got, backed[name]) {
			t.Errorf("%s: behind it stand %q, want %q", name, got, backed[name])
		}
	}
	for name := range backed {
		if !slices.Contains(checks, name) {
			t.Errorf("%s is backed, and no check", name)
		}
	}
	if n := len(attacktest.Attacks()); n < 100 {
		t.Errorf("%d attacks", n)
	}
}

// What is not an attack is let through, under the settings that attacks are refused by.
func TestControlsAreAccepted(t *testing.T) {
	now := time.Now()
	for _, c := range attacktest.Controls() {
		t.Run(c.Name, func(t *testing.T) {
			var spec tenants.SAMLSpec
			if c.Set != nil {
				c.Set(&spec)
			}
			if by, err := try(t, c.Forge(t, testFlight(now)), spec, now, nil); err != nil {
				t.Errorf("refused by %s: %v", by, err)
			}
		})
	}
}
