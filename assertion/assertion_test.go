package assertion_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"gatehouse/assertion"
)

const issuer = "https://acme.test"

type signer struct {
	key *ecdsa.PrivateKey
	jwk assertion.JWK
}

func newSigner(t testing.TB) signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	jwk, err := assertion.NewJWK(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return signer{key, jwk}
}

func (s signer) set(t testing.TB) *assertion.KeySet {
	t.Helper()
	set, err := assertion.ParseKeySet(document(t, s.jwk))
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func document(t testing.TB, keys ...assertion.JWK) []byte {
	t.Helper()
	raw, err := json.Marshal(map[string]any{"keys": keys})
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func claims() assertion.Claims {
	now := time.Now().UTC().Truncate(time.Second)
	return assertion.Claims{
		Issuer: issuer, Subject: "usr_1", Kind: "user", TenantID: "ten_1", TenantName: "acme", Session: "ses_1",
		Email: "a@acme.test", Name: "Änne", Groups: []string{"ops"}, Roles: []string{"member"},
		Teams: map[string][]string{"payments": {"team_admin"}}, AuthTime: now.Add(-time.Hour), AMR: []string{"pwd"}, ACR: "1",
		ID: "id", IssuedAt: now, Expires: now.Add(time.Minute),
	}
}

// sign makes a token as the gate would, after spoil has changed it.
func (s signer) sign(t testing.TB, c assertion.Claims, spoil func(*jwt.Token)) string {
	t.Helper()
	token := jwt.NewWithClaims(jwt.SigningMethodES256, c.ToWire())
	token.Header["kid"] = s.jwk.ID
	if spoil != nil {
		spoil(token)
	}
	text, err := token.SignedString(s.key)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestP5_AGenuineAssertionSaysWhatTheGateSaid(t *testing.T) {
	s := newSigner(t)
	v, err := assertion.NewVerifier(assertion.Options{Keys: s.set(t)})
	if err != nil {
		t.Fatal(err)
	}
	want := claims()
	got, err := v.Verify(t.Context(), s.sign(t, want, nil), assertion.Expected{Issuer: issuer, Tenant: "acme"})
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestP5_OtherAssertionsAreRefused(t *testing.T) {
	s, stranger := newSigner(t), newSigner(t)
	v, err := assertion.NewVerifier(assertion.Options{Keys: s.set(t)})
	if err != nil {
		t.Fatal(err)
	}
	change := func(f func(*assertion.Claims)) string {
		c := claims()
		f(&c)
		return s.sign(t, c, nil)
	}
	genuine := s.sign(t, claims(), nil)
	parts := strings.Split(genuine, ".")
	none := jwt.NewWithClaims(jwt.SigningMethodNone, claims().ToWire())
	none.Header["kid"] = s.jwk.ID
	unsigned, err := none.SignedString(jwt.UnsafeAllowNoneSignatureType)
	if err != nil {
		t.Fatal(err)
	}
	hmac := jwt.NewWithClaims(jwt.SigningMethodHS256, claims().ToWire())
	hmac.Header["kid"] = s.jwk.ID
	confused, err := hmac.SignedString([]byte(s.jwk.X))
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]string{
		"empty":              "",
		"garbage":            "a.b.c",
		"too large":          strings.Repeat("a", 20<<10),
		"many dots":          strings.Repeat(".", 10<<10),
		"unsigned":           unsigned,
		"HMAC":               confused,
		"no signature":       parts[0] + "." + parts[1] + ".",
		"other signature":    parts[0] + "." + parts[1] + "." + strings.Split(s.sign(t, assertion.Claims{Subject: "x"}, nil), ".")[2],
		"other key":          stranger.sign(t, claims(), func(j *jwt.Token) { j.Header["kid"] = s.jwk.ID }),
		"unknown key":        stranger.sign(t, claims(), nil),
		"no key id":          s.sign(t, claims(), func(j *jwt.Token) { delete(j.Header, "kid") }),
		"key id no string":   s.sign(t, claims(), func(j *jwt.Token) { j.Header["kid"] = 1 }),
		"expired":            change(func(c *assertion.Claims) { c.Expires = c.IssuedAt.Add(-time.Second) }),
		"not yet":            change(func(c *assertion.Claims) { c.IssuedAt = c.IssuedAt.Add(time.Hour) }),
		"other issuer":       change(func(c *assertion.Claims) { c.Issuer = "https://globex.test" }),
		"other tenant":       change(func(c *assertion.Claims) { c.TenantName = "globex" }),
		"nobody":             change(func(c *assertion.Claims) { c.Subject = "" }),
		"no tenant":          change(func(c *assertion.Claims) { c.TenantID = "" }),
		"for another reader": s.sign(t, claims(), func(j *jwt.Token) { j.Claims.(*assertion.Wire).Audience = jwt.ClaimStrings{"other"} }), //nolint:errcheck // ToWire's own type
		"without end":        s.sign(t, claims(), func(j *jwt.Token) { j.Claims.(*assertion.Wire).ExpiresAt = nil }),                      //nolint:errcheck // ToWire's own type
	}
	for name, token := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := v.Verify(t.Context(), token, assertion.Expected{Issuer: issuer, Tenant: "acme"})
			if !errors.Is(err, assertion.ErrInvalid) || !reflect.DeepEqual(got, assertion.Claims{}) {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
}

func TestP5_RequestsNeedOneAssertionForTheirHost(t *testing.T) {
	s := newSigner(t)
	v, err := assertion.NewVerifier(assertion.Options{Keys: s.set(t)})
	if err != nil {
		t.Fatal(err)
	}
	token := s.sign(t, claims(), nil)
	for _, test := range []struct {
		host  string
		lines []string
		ok    bool
	}{
		{"acme.test", []string{token}, true}, {"ACME.test", []string{token}, true}, {"acme.test:443", []string{token}, true},
		{"globex.test", []string{token}, false}, {"acme.test:8443", []string{token}, false},
		{"acme.test", nil, false}, {"acme.test", []string{token, token}, false},
	} {
		r := httptest.NewRequest(http.MethodGet, "http://"+test.host+"/", http.NoBody)
		r.Header[assertion.Header] = test.lines
		if _, err := v.Request(r); (err == nil) != test.ok {
			t.Errorf("host %s with %d lines: %v", test.host, len(test.lines), err)
		}
	}
}

// roundTrip is a client without a network, so that time can be turned.
type roundTrip func() (status int, body []byte)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) {
	status, body := f()
	rec := httptest.NewRecorder()
	rec.WriteHeader(status)
	_, _ = rec.Write(body)
	answer := rec.Result()
	answer.Request = r
	return answer, nil
}

func TestKeysAreFetchedWhenTheyChangeAndNotOftener(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first, second := newSigner(t), newSigner(t)
		var fetches atomic.Int64
		published := document(t, first.jwk)
		v, err := assertion.NewVerifier(assertion.Options{URL: "https://acme.test/.gatehouse/jwks.json",
			Client: &http.Client{Transport: roundTrip(func() (int, []byte) { fetches.Add(1); return http.StatusOK, published })}})
		if err != nil {
			t.Fatal(err)
		}
		verify := func(s signer) error {
			_, err := v.Verify(t.Context(), s.sign(t, claims(), nil), assertion.Expected{Issuer: issuer})
			return err
		}
		for range 3 {
			if err := verify(first); err != nil {
				t.Fatal(err)
			}
		}
		for range 100 {
			if err := verify(second); !errors.Is(err, assertion.ErrInvalid) {
				t.Fatalf("an unknown key: %v", err)
			}
		}
		if n := fetches.Load(); n != 1 {
			t.Errorf("%d fetches within a moment", n)
		}
		published = document(t, first.jwk, second.jwk)
		time.Sleep(11 * time.Second)
		if err := verify(second); err != nil {
			t.Errorf("after the rotation: %v", err)
		}
	})
}

func TestKeySetsAreChecked(t *testing.T) {
	good := newSigner(t).jwk
	with := func(f func(*assertion.JWK)) []byte {
		k := good
		f(&k)
		return document(t, k)
	}
	for name, raw := range map[string][]byte{
		"not JSON":        []byte("{"),
		"empty":           []byte(`{"keys":[]}`),
		"not on curve":    with(func(k *assertion.JWK) { k.X = k.Y }),
		"short":           with(func(k *assertion.JWK) { k.X = "AA" }),
		"not base64":      with(func(k *assertion.JWK) { k.X = "=" }),
		"another kind":    with(func(k *assertion.JWK) { k.Type = "oct" }),
		"for encryption":  with(func(k *assertion.JWK) { k.Use = "enc" }),
		"another use":     with(func(k *assertion.JWK) { k.Algorithm = "ES512" }),
		"without an id":   with(func(k *assertion.JWK) { k.ID = "" }),
		"the same id":     document(t, good, good),
		"a flood of keys": document(t, make([]assertion.JWK, 100)...),
	} {
		if _, err := assertion.ParseKeySet(raw); err == nil {
			t.Errorf("%s: passes", name)
		}
	}
}

func FuzzVerify(f *testing.F) {
	s := newSigner(f)
	v, err := assertion.NewVerifier(assertion.Options{Keys: s.set(f)})
	if err != nil {
		f.Fatal(err)
	}
	genuine := s.sign(f, claims(), nil)
	f.Add(genuine)
	f.Add(strings.ToUpper(genuine))
	f.Add("e30.e30.")
	f.Fuzz(func(t *testing.T, token string) {
		if _, err := v.Verify(t.Context(), token, assertion.Expected{Issuer: issuer}); err == nil && token != genuine {
			t.Fatalf("a token that nobody signed passes: %q", token)
		}
	})
}
