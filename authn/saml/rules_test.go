package saml

import (
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

// backed are the checks behind which something stands that cannot be left out:
// that nothing is believed but what is signed, that what cannot be read is not, and
// that a key has to fit.
var backed = []string{"signed"}

// TestEveryCheckKeepsAnAttackAway leaves the checks out that refuse an attack, one
// after the other, until it is let through. So every check is there for something
// that no other check before it sees, and every attack is one: but for that check,
// it would be believed.
func TestEveryCheckKeepsAnAttackAway(t *testing.T) {
	now := time.Now()
	first, through := map[string][]string{}, map[string]bool{}
	for _, a := range attacktest.Attacks() {
		var spec tenants.SAMLSpec
		if a.Set != nil {
			a.Set(&spec)
		}
		raw := a.Forge(t, testFlight(now))
		var left []string
		var by string
		for {
			var err error
			if by, err = try(t, raw, spec, now, left); err == nil {
				break
			}
			if len(left) == 0 {
				refusal, _ := errors.AsType[*authn.Refusal](err)
				if by != a.By || refusal.Reason != a.Want {
					t.Errorf("%s: refused by %s: %v; want %s, %s", a.Name, by, err, a.By, a.Want)
				}
				first[by] = append(first[by], a.Name)
			}
			if strings.HasPrefix(by, "!") {
				break
			}
			if slices.Contains(left, by) {
				t.Fatalf("%s: %s refuses though it is left out", a.Name, by)
			}
			left = append(left, by)
		}
		t.Logf("%s: %s %s", a.Name, strings.Join(left, ", "), by)
		if by == "" && len(left) > 0 {
			through[left[0]] = true
		}
	}
	for _, name := range strict.names() {
		if len(first[name]) == 0 {
			t.Errorf("%s: no attack is refused by it", name)
		} else if !through[name] && !slices.Contains(backed, name) {
			t.Errorf("%s: leaving it out lets nothing through: %v", name, first[name])
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
