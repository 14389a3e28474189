package oidc

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"gatehouse/authn"
)

// TestNamesThatDifferInCaseAlone: a claim that a provider lets somebody name "Sub" does
// not stand for the subject, nor any other for one that go-oidc would take it for. What
// it does not read, and what is read here by its exact name, may be called anything.
func TestNamesThatDifferInCaseAlone(t *testing.T) {
	v := signIn()
	for _, name := range []string{"Email", "SID", "TID", "Events", "Jti", "AZP", "Acr", "Groups", "_Claim_names"} {
		id, err := v.verify(t.Context(), with(name, map[string]any{})(v), accessToken)
		if err != nil || id.Subject != "ann" {
			t.Errorf("a claim %s, which decides nothing: %v", name, err)
		}
	}
	for _, name := range []string{"Sub", "SUB", "\u017fub", "Iss", "aUd", "Exp", "IAT", "Nbf", "Nonce", "At_hash"} {
		_, err := v.verify(t.Context(), with(name, v.good()["sub"])(v), accessToken)
		if refusal, ok := errors.AsType[*authn.Refusal](err); !ok || refusal.Reason != authn.Malformed {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, name := range []string{"sub", "iss", "aud", "exp", "iat", "nonce", "acr"} { // another is none of it
		c := v.good()
		c[strings.ToUpper(name)] = c[name]
		delete(c, name)
		if _, err := v.verify(t.Context(), signedBy(jwt.SigningMethodRS256, idpKeys().rsa, nil, c), accessToken); err == nil {
			t.Errorf("%s in capitals stands for it", name)
		}
	}
	// A context that counts is not said by another name than its own.
	c := v.good()
	c["acr"], c["Acr"], c["Azp"] = "pwd", "mfa", v.clientID
	_, err := v.verify(t.Context(), signedBy(jwt.SigningMethodRS256, idpKeys().rsa, nil, c), accessToken)
	if refusal, ok := errors.AsType[*authn.Refusal](err); !ok || refusal.Reason != authn.WrongContext {
		t.Errorf("acr beside Acr: %v", err)
	}
	// Nor the type and algorithm in the header.
	for name, value := range map[string]any{"Typ": "at+jwt", "ALG": "none"} {
		if _, err := v.verify(t.Context(), headed(name, value)(v), accessToken); err != nil {
			t.Errorf("%s in the header, which is not read: %v", name, err)
		}
	}
	if _, err := v.verify(t.Context(), signedBy(jwt.SigningMethodRS256, idpKeys().rsa, map[string]any{"typ": "at+jwt", "Typ": "JWT"}, v.good()), accessToken); err == nil {
		t.Error("an access token passes for an id token by a second type")
	}
	// Tokens about sign-outs have names of their own.
	logout := jwt.MapClaims{"iss": v.issuers.one, "aud": v.clientID, "sub": "ann", "jti": "j", "iat": v.now.Unix(), "exp": v.now.Add(time.Minute).Unix(),
		"events": map[string]any{logoutEvent: map[string]any{}}}
	key := idpKeys().rsa
	for _, name := range []string{"", "SID", "Jti", "Events", "Sub", "Nonce", "Tid", "Acr"} {
		decides := name != "" && name != "Tid" && name != "Acr"
		if name != "" {
			logout[name] = "owner"
		}
		_, err := v.verifyLogout(t.Context(), signedBy(jwt.SigningMethodRS256, key, nil, logout))
		if refusal, ok := errors.AsType[*authn.Refusal](err); (err != nil) != decides || decides && (!ok || refusal.Reason != authn.Malformed) {
			t.Errorf("a sign-out with %q: %v", name, err)
		}
		delete(logout, name)
	}
}

// FuzzIDTokenClaims: whatever a provider signs, it is believed to sign somebody in only
// if its claims, read by their exact names, are of this sign-in and say who that is.
func FuzzIDTokenClaims(f *testing.F) {
	v, key := signIn(), idpKeys().rsa
	for _, of := range attacks {
		for _, attack := range of {
			parts := strings.Split(attack.token(v), ".")
			if payload, err := base64.RawURLEncoding.DecodeString(parts[min(1, len(parts)-1)]); err == nil && len(payload) < 4<<10 {
				f.Add(string(payload))
			}
		}
	}
	good, err := json.Marshal(v.good())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(good))
	for _, more := range []string{`"Sub":"owner"`, `"SUB":"owner"`, `"ſub":"owner"`, `"sub":"owner"`, `"Nonce":"x"`, `"AUD":[]`, `"exp":1e300`, `"EXP":1e300`, `"azp":"gatehouse"`,
		`"Acr":"mfa"`, `"at_Hash":""`, `"Iss":"https://idp.evil.example"`, `"iat":-1`, `"nbf":"0"`, `"aud":["gatehouse","x"]`, `"aud":["gatehouse"]`} {
		f.Add(string(good[:len(good)-1]) + "," + more + "}")
		f.Add("{" + more + "," + string(good[1:]))
	}
	f.Fuzz(func(t *testing.T, payload string) {
		text := b64([]byte(`{"alg":"RS256"}`)) + "." + b64([]byte(payload))
		signature, err := jwt.SigningMethodRS256.Sign(text, key)
		if err != nil {
			t.Fatal(err)
		}
		id, err := v.verify(t.Context(), text+"."+b64(signature), accessToken)
		if err != nil {
			if _, ok := errors.AsType[*authn.Refusal](err); !ok {
				t.Errorf("%v is no refusal", err)
			}
			return
		}
		said := map[string]any{}
		if err := json.Unmarshal([]byte(payload), &said); err != nil {
			t.Fatalf("believed, and not JSON: %q", payload)
		}
		audience, many := said["aud"].([]any)
		if !many {
			audience = []any{said["aud"]}
		}
		azp, expires, issued := said["azp"], number(said["exp"]), number(said["iat"])
		switch {
		case said["iss"] != v.issuers.one, said["nonce"] != v.nonce, !slices.Contains(audience, any(v.clientID)),
			azp != nil && azp != "" && azp != v.clientID, len(audience) > 1 && azp != v.clientID,
			expires <= float64(v.now.Add(-skew).Unix()), issued == 0, issued > float64(v.now.Add(skew).Unix()),
			number(said["nbf"]) > float64(v.now.Add(skew+time.Second).Unix()):
			t.Errorf("believed: %s", payload)
		case id.Subject == "" || said["sub"] != id.Subject || len(id.Subject) > maxSubject:
			t.Errorf("%q signs in by %s", id.Subject, payload)
		}
		if hash := said["at_hash"]; hash != nil && hash != "" && hash != v.good()["at_hash"] {
			t.Errorf("believed with another access token: %s", payload)
		}
	})
}

func number(v any) float64 {
	n, _ := v.(float64)
	return n
}
