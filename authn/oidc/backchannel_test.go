package oidc

import (
	"crypto"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	gooidc "github.com/coreos/go-oidc/v3/oidc"
	"github.com/golang-jwt/jwt/v5"

	"gatehouse/authn"
)

// A token that nobody could verify may be good: it must not be refused as forged.
func TestKeysThatCannotBeHadAreNoWrongKey(t *testing.T) {
	key := fixedEC("provider")
	now := time.Now()
	client := &http.Client{Transport: unreachable{}}
	v := verification{what: "token", issuers: issuers{one: "https://idp.example"}, clientID: "gatehouse", now: now, idp: &provider{algorithms: []string{gooidc.ES256},
		keys: gooidc.NewRemoteKeySet(gooidc.ClientContext(t.Context(), client), "https://idp.example/keys")}}
	v.config = configOf(v.idp, v.clientID, now)
	raw, err := jwt.NewWithClaims(jwt.SigningMethodES256, jwt.MapClaims{"iss": v.issuers.one, "aud": v.clientID, "sub": "s", "jti": "j",
		"iat": now.Unix(), "exp": now.Add(time.Minute).Unix(), "events": map[string]any{logoutEvent: map[string]any{}}}).SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	signIn := idVerification{verification: v, checks: idTokenChecks}
	_, atSignIn := signIn.verify(t.Context(), raw, "")
	_, atSignOut := v.verifyLogout(t.Context(), raw)
	for _, err := range []error{atSignIn, atSignOut} {
		refusal, ok := errors.AsType[*authn.Refusal](err)
		if !ok || refusal.Reason != authn.ProviderUnreachable || !strings.Contains(err.Error(), errUnreachable.Error()) {
			t.Errorf("refused as %v", err)
		}
	}
}

var errUnreachable = errors.New("nobody is there")

type unreachable struct{}

func (unreachable) RoundTrip(*http.Request) (*http.Response, error) { return nil, errUnreachable }

// FuzzLogoutToken: nothing but what the provider has signed for us is believed.
func FuzzLogoutToken(f *testing.F) {
	key := idpKeys().ec
	now := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	v := verification{what: "logout token", issuers: issuers{one: "https://idp.example"}, clientID: "gatehouse", now: now,
		idp: &provider{algorithms: []string{gooidc.ES256}, keys: &gooidc.StaticKeySet{PublicKeys: []crypto.PublicKey{&key.PublicKey}}}}
	v.config = configOf(v.idp, v.clientID, now)
	signed := func(kind string, change func(jwt.MapClaims)) string {
		claims := jwt.MapClaims{"iss": v.issuers.one, "aud": v.clientID, "sub": "s", "sid": "1", "jti": "j", "iat": now.Unix(), "exp": now.Add(time.Minute).Unix(),
			"events": map[string]any{logoutEvent: map[string]any{}}}
		change(claims)
		token := jwt.NewWithClaims(jwt.SigningMethodES256, claims)
		token.Header["typ"] = kind
		raw, err := token.SignedString(key)
		if err != nil {
			f.Fatal(err)
		}
		return raw
	}
	good := map[string]bool{}
	for _, raw := range []string{
		signed("logout+jwt", func(jwt.MapClaims) {}),
		signed("JWT", func(c jwt.MapClaims) { delete(c, "sid") }),
		signed("application/LOGOUT+jwt", func(c jwt.MapClaims) { delete(c, "sub") }),
	} {
		if _, err := v.verifyLogout(f.Context(), raw); err != nil {
			f.Fatalf("%v: %s", err, raw)
		}
		good[raw[:strings.LastIndexByte(raw, '.')]] = true
		f.Add(raw)
	}
	for _, raw := range []string{
		signed("at+jwt", func(jwt.MapClaims) {}),
		signed("", func(c jwt.MapClaims) { c["nonce"] = nil }),
		signed("", func(c jwt.MapClaims) { c["iat"] = -1e300 }),
		signed("", func(c jwt.MapClaims) { c["events"] = map[string]any{logoutEvent: []any{}} }),
		"", "..", "e30.e30.", "e30.bnVsbA.AA",
	} {
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		token, err := v.verifyLogout(t.Context(), raw)
		if err != nil {
			return
		}
		if !good[raw[:strings.LastIndexByte(raw, '.')]] || token.TokenID != "j" || token.Subject == "" && token.SessionID == "" {
			t.Errorf("believed: %s", raw)
		}
	})
}
