package oidc

import (
	"context"
	"crypto"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	gooidc "github.com/coreos/go-oidc/v3/oidc"
	"github.com/golang-jwt/jwt/v5"

	"gatehouse/authn"
	"gatehouse/tenants"
)

var b64 = base64.RawURLEncoding.EncodeToString

// signIn is a sign-in under way at a provider that offers RS256 alone, though its
// keys could do more.
func signIn() *idVerification {
	k := idpKeys()
	now := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	idp := &provider{algorithms: []string{gooidc.RS256}, keys: &gooidc.StaticKeySet{PublicKeys: []crypto.PublicKey{&k.rsa.PublicKey, &k.ec.PublicKey}}}
	return &idVerification{checks: idTokenChecks, nonce: "the-nonce", classes: []string{"mfa"}, maxAge: time.Hour, verification: verification{
		what: "id token", idp: idp, issuers: issuers{one: "https://idp.example"}, clientID: "gatehouse", now: now, config: configOf(idp, "gatehouse", now)}}
}

const accessToken = "an-access-token"

// good are claims that nothing is wrong with.
func (v *idVerification) good() jwt.MapClaims {
	sum := sha256.Sum256([]byte(accessToken))
	return jwt.MapClaims{"iss": v.issuers.one, "aud": v.clientID, "sub": "ann", "nonce": v.nonce, "acr": "mfa", "at_hash": b64(sum[:16]),
		"auth_time": v.now.Add(-time.Hour - skew).Unix(), "iat": v.now.Unix(), "exp": v.now.Add(time.Minute).Unix()}
}

// bare are good claims that say nothing of the access token.
func (v *idVerification) bare() jwt.MapClaims {
	c := v.good()
	delete(c, "at_hash")
	return c
}

// with are good claims but for one.
func with(name string, value any) func(*idVerification) string {
	return func(v *idVerification) string {
		c := v.good()
		if c[name] = value; value == nil {
			delete(c, name)
		}
		return signedBy(jwt.SigningMethodRS256, idpKeys().rsa, nil, c)
	}
}

func at(name string, offset time.Duration) func(*idVerification) string {
	return func(v *idVerification) string { return with(name, v.now.Add(offset).Unix())(v) }
}

func signedBy(method jwt.SigningMethod, key any, head map[string]any, c jwt.MapClaims) string {
	token := jwt.NewWithClaims(method, c)
	for name, value := range head {
		token.Header[name] = value
	}
	raw, err := token.SignedString(key)
	if err != nil {
		panic(err)
	}
	return raw
}

func headed(name string, value any) func(*idVerification) string {
	return func(v *idVerification) string {
		return signedBy(jwt.SigningMethodRS256, idpKeys().rsa, map[string]any{name: value}, v.good())
	}
}

// naive is a library that takes whatever secret it finds for the key: a public one
// for HS256, and none for none.
type naive struct{ public []byte }

func (n naive) VerifySignature(_ context.Context, raw string) ([]byte, error) {
	parts := strings.Split(raw, ".")
	var h header
	if _, err := h.members().read(parts[0]); err != nil {
		return nil, err
	}
	mac := hmac.New(sha256.New, n.public)
	mac.Write([]byte(parts[0] + "." + parts[1]))
	if h.Algorithm != "none" && (h.Algorithm != "HS256" || parts[2] != b64(mac.Sum(nil))) {
		return nil, errors.New("not signed")
	}
	return base64.RawURLEncoding.DecodeString(parts[1])
}

func publicPEM() []byte {
	der, err := x509.MarshalPKIXPublicKey(&idpKeys().rsa.PublicKey)
	if err != nil {
		panic(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

// attacks are by the check that is there to refuse them.
var attacks = map[string][]struct {
	name  string
	token func(*idVerification) string
	want  authn.Reason
	naive bool // the library is
}{
	"size": {{name: "a megabyte of claims", token: with("x", strings.Repeat("x", 1<<20)), want: authn.TooLarge}},
	"form": {
		{name: "a line within", token: func(v *idVerification) string {
			return strings.Replace(with("x", "y")(v), ".", ".\n", 1)
		}, want: authn.Malformed},
		{name: "a line at its end", token: func(v *idVerification) string { return with("x", "y")(v) + "\r\n" }, want: authn.Malformed},
	},
	"algorithm": {
		{name: "an algorithm that is not offered", token: func(v *idVerification) string {
			return signedBy(jwt.SigningMethodPS256, idpKeys().rsa, nil, v.good())
		}, want: authn.WrongAlgorithm},
		{name: "a kind of key that is not offered", token: func(v *idVerification) string {
			return signedBy(jwt.SigningMethodES256, idpKeys().ec, nil, v.good())
		}, want: authn.WrongAlgorithm},
		{name: "HS256 with the public key", token: func(v *idVerification) string {
			return signedBy(jwt.SigningMethodHS256, publicPEM(), nil, v.bare())
		}, want: authn.WrongAlgorithm, naive: true},
		{name: "none", token: func(v *idVerification) string {
			return signedBy(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, nil, v.bare())
		}, want: authn.WrongAlgorithm, naive: true},
	},
	"type": {
		{name: "an access token", token: headed("typ", "at+jwt"), want: authn.Malformed},
		{name: "a logout token", token: headed("typ", "logout+jwt"), want: authn.Malformed},
		{name: "a security event", token: headed("typ", "application/secevent+jwt"), want: authn.Malformed},
	},
	"issuer": {
		{name: "another", token: with("iss", "https://evil.example"), want: authn.WrongIssuer},
		{name: "none", token: with("iss", nil), want: authn.WrongIssuer},
		{name: "with a slash", token: with("iss", "https://idp.example/"), want: authn.WrongIssuer},
	},
	"audience": {
		{name: "another", token: with("aud", "another"), want: authn.WrongAudience},
		{name: "none", token: with("aud", nil), want: authn.WrongAudience},
		{name: "ours in capitals", token: with("aud", "GATEHOUSE"), want: authn.WrongAudience},
	},
	"authorised party": {
		{name: "another", token: with("azp", "another"), want: authn.WrongAudience},
		{name: "none of several", token: with("aud", []string{"gatehouse", "another"}), want: authn.WrongAudience},
	},
	"expiry": {
		{name: "yesterday", token: at("exp", -24*time.Hour), want: authn.Expired},
		{name: "a second beyond the skew", token: at("exp", -skew-time.Second), want: authn.Expired},
		{name: "never", token: with("exp", nil), want: authn.Expired},
	},
	"time of issue": {
		{name: "in the future", token: at("iat", time.Hour), want: authn.NotYetValid},
		{name: "not said", token: with("iat", nil), want: authn.NotYetValid},
	},
	"not before": {{name: "in three minutes", token: at("nbf", 3*time.Minute), want: authn.NotYetValid}},
	"nonce": {
		{name: "of another sign-in", token: with("nonce", "another"), want: authn.WrongNonce},
		{name: "none", token: with("nonce", nil), want: authn.WrongNonce},
	},
	"subject": {
		{name: "none", token: with("sub", nil), want: authn.SubjectUnusable},
		{name: "too long", token: with("sub", strings.Repeat("s", maxSubject+1)), want: authn.SubjectUnusable},
	},
	"signature": {
		{name: "by another key", token: func(v *idVerification) string {
			return signedBy(jwt.SigningMethodRS256, idpKeys().otherRSA, nil, v.good())
		}, want: authn.WrongKey},
		{name: "by the key that it brings", token: func(v *idVerification) string {
			return signedBy(jwt.SigningMethodRS256, idpKeys().otherRSA, map[string]any{"jwk": map[string]string{
				"kty": "RSA", "n": b64(idpKeys().otherRSA.N.Bytes()), "e": "AQAB"}}, v.good())
		}, want: authn.WrongKey},
		{name: "by a key at its own address", token: func(v *idVerification) string {
			return signedBy(jwt.SigningMethodRS256, idpKeys().otherRSA, map[string]any{"jku": "https://evil.example/keys", "x5u": "https://evil.example/cert"}, v.good())
		}, want: authn.WrongKey},
		{name: "none", token: func(v *idVerification) string {
			raw := with("x", "y")(v)
			return raw[:strings.LastIndexByte(raw, '.')+1]
		}, want: authn.WrongKey},
		{name: "of other claims", token: func(v *idVerification) string {
			parts := strings.Split(with("sub", "boss")(v), ".")
			signature := strings.Split(with("sub", "ann")(v), ".")[2]
			return parts[0] + "." + parts[1] + "." + signature
		}, want: authn.WrongKey},
	},
	"access token": {
		{name: "of somebody else", token: with("at_hash", b64(make([]byte, 16))), want: authn.SignatureInvalid},
		{name: "half of it", token: func(v *idVerification) string {
			half, _ := v.good()["at_hash"].(string)
			return with("at_hash", half[:10])(v)
		}, want: authn.SignatureInvalid},
	},
	"context": {
		{name: "a weaker one", token: with("acr", "pwd"), want: authn.WrongContext},
		{name: "none", token: with("acr", nil), want: authn.WrongContext},
		{name: "a list", token: with("acr", []string{"mfa"}), want: authn.WrongContext},
	},
	"authentication": {
		{name: "long ago", token: at("auth_time", -24*time.Hour), want: authn.AuthenticationTooOld},
		{name: "a second beyond the skew", token: at("auth_time", -time.Hour-skew-time.Second), want: authn.AuthenticationTooOld},
		{name: "in the future", token: at("auth_time", skew+time.Second), want: authn.AuthenticationUndated},
		{name: "not said", token: with("auth_time", nil), want: authn.AuthenticationUndated},
		{name: "zero", token: with("auth_time", 0), want: authn.AuthenticationUndated},
		{name: "negative", token: with("auth_time", -1), want: authn.AuthenticationUndated},
		{name: "as text", token: func(v *idVerification) string { return with("auth_time", strconv.FormatInt(v.now.Unix(), 10))(v) }, want: authn.AuthenticationUndated},
		{name: "a list", token: func(v *idVerification) string { return with("auth_time", []int64{v.now.Unix()})(v) }, want: authn.AuthenticationUndated},
		{name: "in another case", token: func(v *idVerification) string {
			c := v.good()
			c["Auth_Time"] = v.now.Unix()
			delete(c, "auth_time")
			return signedBy(jwt.SigningMethodRS256, idpKeys().rsa, nil, c)
		}, want: authn.AuthenticationUndated},
	},
}

// goOIDCs are the checks that go-oidc makes as well: leaving them out takes leaving
// out its part.
var goOIDCs = map[string]func(*idVerification){
	"issuer":   func(v *idVerification) { v.config.SkipIssuerCheck = true },
	"audience": func(v *idVerification) { v.config.SkipClientIDCheck = true },
	"expiry":   func(v *idVerification) { v.config.SkipExpiryCheck = true },
	"algorithm": func(v *idVerification) {
		v.config.SupportedSigningAlgs = []string{"RS256", "PS256", "ES256", "HS256", "none"}
	},
}

// leaveOut is the verification without one check. The signature's gives us the
// token as well, and is left out within.
func (v *idVerification) leaveOut(name string) {
	if name == "signature" {
		v.config.InsecureSkipSignatureCheck = true
		return
	}
	if skip := goOIDCs[name]; skip != nil {
		skip(v)
	}
	v.checks = slices.DeleteFunc(slices.Clone(v.checks), func(c idTokenCheck) bool { return c.name == name })
}

// TestEveryCheckIsNeeded: each check refuses attacks that get through without it,
// whatever the others do.
func TestEveryCheckIsNeeded(t *testing.T) {
	v := signIn()
	if id, err := v.verify(t.Context(), with("x", "y")(v), accessToken); err != nil || id.Subject != "ann" {
		t.Fatalf("the control is refused: %v", err)
	}
	for _, c := range idTokenChecks {
		if c.name == "reading" {
			continue // what cannot be read says nothing
		}
		if len(attacks[c.name]) == 0 {
			t.Errorf("nothing shows that the check of the %s is needed", c.name)
		}
		for _, attack := range attacks[c.name] {
			t.Run(c.name+"/"+attack.name, func(t *testing.T) {
				v := signIn()
				if attack.naive {
					v.idp.keys = naive{publicPEM()}
				}
				raw := attack.token(v)
				_, err := v.verify(t.Context(), raw, accessToken)
				if refusal, ok := errors.AsType[*authn.Refusal](err); !ok || refusal.Reason != attack.want {
					t.Errorf("with the check: %v, want %s", err, attack.want)
				}
				v.leaveOut(c.name)
				if id, err := v.verify(t.Context(), raw, accessToken); err != nil || id == nil {
					t.Errorf("without the check it is refused all the same: %v", err)
				}
			})
		}
	}
	for name := range attacks {
		if !slices.ContainsFunc(idTokenChecks, func(c idTokenCheck) bool { return c.name == name }) {
			t.Errorf("there is no check of the %s", name)
		}
	}
}

func TestEveryCheckOfAnAnswerIsNeeded(t *testing.T) {
	const ours = "https://idp.example"
	attacks := map[string][]url.Values{
		"issuer": {
			{"code": {"c"}, "iss": {"https://evil.example"}},
			{"code": {"c"}},
			{"code": {"c"}, "iss": {ours, "https://evil.example"}},
		},
		"error":    {{"code": {"c"}, "iss": {ours}, "error": {"access_denied"}}, {"code": {"c"}, "iss": {ours}, "error": {""}}},
		"one code": {{"code": {"c", "d"}, "iss": {ours}}},
	}
	idp := &provider{issuers: issuers{one: ours}, metadata: metadata{NamesItself: true}}
	if code, err := authorised(answerChecks, &http.Request{Form: url.Values{"code": {"c"}, "iss": {ours}}}, idp); err != nil || code != "c" {
		t.Fatalf("the control is refused: %v", err)
	}
	for i, c := range answerChecks {
		if len(attacks[c.name]) == 0 {
			t.Errorf("nothing shows that the check of the %s is needed", c.name)
		}
		for _, form := range attacks[c.name] {
			r := &http.Request{Form: form}
			if _, err := authorised(answerChecks, r, idp); err == nil {
				t.Errorf("%s: %v is believed", c.name, form)
			}
			if code, err := authorised(slices.Delete(slices.Clone(answerChecks), i, i+1), r, idp); err != nil || code != "c" {
				t.Errorf("without the check of the %s, %v is refused all the same: %v", c.name, form, err)
			}
		}
	}
}

// FuzzIDToken: nothing is believed but what the provider has signed for us.
func FuzzIDToken(f *testing.F) {
	v := signIn()
	good := map[string]bool{}
	for _, raw := range []string{with("x", "y")(v), with("aud", []string{v.clientID})(v), with("at_hash", nil)(v)} {
		if _, err := v.verify(f.Context(), raw, accessToken); err != nil {
			f.Fatal(err)
		}
		good[raw[:strings.LastIndexByte(raw, '.')]] = true
		f.Add(raw)
	}
	for _, of := range attacks {
		for _, attack := range of {
			if raw := attack.token(v); len(raw) < maxToken {
				f.Add(raw)
			}
		}
	}
	f.Fuzz(func(t *testing.T, raw string) {
		v.seen = &authn.Reading{}
		id, err := v.verify(t.Context(), raw, accessToken)
		if shown := fmt.Sprint(*v.seen); err == nil && !v.seen.Believed || len(v.seen.Claims) > authn.MaxClaims || strings.Contains(shown, raw[strings.LastIndexByte(raw, '.')+1:]) && strings.Count(raw, ".") == 2 && len(raw)-strings.LastIndexByte(raw, '.') > 40 {
			t.Errorf("a test shows %s", shown)
		}
		if err == nil && (!good[raw[:strings.LastIndexByte(raw, '.')]] || id.Subject != "ann" || id.Nonce != v.nonce) {
			t.Errorf("believed: %s", raw)
		}
		if _, ok := errors.AsType[*authn.Refusal](err); err != nil && !ok {
			t.Errorf("%v is no refusal", err)
		}
	})
}

// FuzzDiscovery: what is read of a provider's settings by ourselves leads nowhere
// but over TLS, and to no algorithm that is not accepted.
func FuzzDiscovery(f *testing.F) {
	f.Add(`{"jwks_uri":"https://idp.example/keys","end_session_endpoint":"https://idp.example/out","id_token_signing_alg_values_supported":["RS256","none"]}`)
	f.Add(`{"end_session_endpoint":"javascript:alert(1)","jwks_uri":"http://10.0.0.1/"}`)
	f.Add(`{"end_session_endpoint":"https://user:pass@idp.example/\u0000","token_endpoint_auth_methods_supported":null}`)
	f.Fuzz(func(t *testing.T, text string) {
		var m metadata
		if json.Unmarshal([]byte(text), &m) != nil {
			return
		}
		for _, a := range m.algorithms() {
			if !strings.ContainsAny(a[:1], "RPE") {
				t.Errorf("accepts %q", a)
			}
		}
		p := &provider{metadata: m}
		to, err := p.signOut(tenants.Connection{Name: "idp", OIDC: &tenants.OIDCSpec{ClientID: "gatehouse"}}, "hint", "https://app.example/out")
		if err != nil || to == "" {
			return
		}
		u, err := url.Parse(to)
		if err != nil || !safe(to) || u.Query().Get("post_logout_redirect_uri") != "https://app.example/out" || len(u.Query()["id_token_hint"]) != 1 {
			t.Errorf("%q leads to %q", text, to)
		}
	})
}

// BenchmarkIDToken verifies an id token alone (RS256, 2,048 bits).
func BenchmarkIDToken(b *testing.B) {
	v := signIn()
	raw := with("x", "y")(v)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := v.verify(b.Context(), raw, accessToken); err != nil {
			b.Fatal(err)
		}
	}
}
