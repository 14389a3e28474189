package authn_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"gatehouse/audit"
	"gatehouse/authn"
)

// forged is an id token of these claims with whatever stands in its header, signed
// by a key and method of the attacker's choice.
func forged(t *testing.T, header map[string]any, method jwt.SigningMethod, key any) func(*issuer) {
	return func(i *issuer) {
		i.sign = func(c jwt.MapClaims) (string, error) {
			token := jwt.NewWithClaims(method, c)
			token.Header["kid"] = "k1"
			for name, value := range header {
				if token.Header[name] = value; value == nil {
					delete(token.Header, name)
				}
			}
			if key == nil {
				key = i.key
			}
			text, err := token.SigningString()
			check(t, err)
			signature, err := method.Sign(text, key)
			check(t, err)
			return text + "." + base64.RawURLEncoding.EncodeToString(signature), nil
		}
	}
}

// segments changes the three parts of a token that is good.
func segments(change func(header, payload, signature string) string) func(*issuer) {
	return func(i *issuer) {
		i.sign = func(c jwt.MapClaims) (string, error) {
			good, err := i.signed(jwt.SigningMethodES256, i.key, c)
			if err != nil {
				return "", err
			}
			parts := strings.Split(good, ".")
			return change(parts[0], parts[1], parts[2]), nil
		}
	}
}

// payload changes the text of a token's claims, after its signature was made or, if
// signed, before.
func payload(t *testing.T, signed bool, change func(claims string) string) func(*issuer) {
	return func(i *issuer) {
		i.sign = func(c jwt.MapClaims) (string, error) {
			good, err := i.signed(jwt.SigningMethodES256, i.key, c)
			check(t, err)
			parts := strings.Split(good, ".")
			claims, err := base64.RawURLEncoding.DecodeString(parts[1])
			check(t, err)
			parts[1] = base64.RawURLEncoding.EncodeToString([]byte(change(string(claims))))
			if signed {
				signature, err := jwt.SigningMethodES256.Sign(parts[0]+"."+parts[1], i.key)
				check(t, err)
				parts[2] = base64.RawURLEncoding.EncodeToString(signature)
			}
			return strings.Join(parts, "."), nil
		}
	}
}

func claimed(name string, value any) func(*issuer) {
	return func(i *issuer) {
		i.claims = func(c jwt.MapClaims) {
			if c[name] = value; value == nil {
				delete(c, name)
			}
		}
	}
}

func answered(change func(url.Values)) func(*issuer) {
	return func(i *issuer) { i.answer = change }
}

func redeemed(status int, header http.Header, body string) func(*issuer) {
	return func(i *issuer) {
		i.token = func(w http.ResponseWriter) bool {
			for name, values := range header {
				w.Header()[name] = values
			}
			w.WriteHeader(status)
			_, _ = w.Write([]byte(body))
			return true
		}
	}
}

var asJSON = http.Header{"Content-Type": {"application/json"}}

// TestHostileProvidersSignNobodyIn: what a provider, or somebody between it and the
// browser, makes up of tokens, answers and addresses. Each has its own reason in the
// journal, and none leaves a session.
func TestHostileProvidersSignNobodyIn(t *testing.T) {
	w := newWorld(t)
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	point, err := other.PublicKey.Bytes()
	check(t, err)
	b64 := base64.RawURLEncoding.EncodeToString
	jwk := map[string]string{"kty": "EC", "crv": "P-256", "kid": "k1", "x": b64(point[1:33]), "y": b64(point[33:])}
	var stolen atomic.Int64 // what arrived at an address that a provider has named
	thief := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		stolen.Add(1)
		reply(w, map[string]any{"keys": []any{jwk}})
	}))
	t.Cleanup(thief.Close)
	es256 := jwt.SigningMethodES256
	withKey := func(name string, value any) func(*issuer) {
		return forged(t, map[string]any{name: value}, es256, other)
	}
	hmacOf := func(text func(*issuer) []byte) func(*issuer) {
		return func(i *issuer) { forged(t, nil, jwt.SigningMethodHS256, text(i))(i) }
	}
	for name, c := range map[string]struct {
		attack func(*issuer)
		want   authn.Reason
	}{
		// Whose key: never one that the token brings or names itself (RFC 8725 §3.10).
		"its own key":              {withKey("jwk", jwk), authn.WrongKey},
		"where its key is":         {withKey("jku", thief.URL), authn.WrongKey},
		"where its certificate is": {withKey("x5u", thief.URL), authn.WrongKey},
		"its own certificate":      {withKey("x5c", []string{"MIIB"}), authn.WrongKey},
		"a key that nobody has":    {forged(t, map[string]any{"kid": "k9"}, es256, nil), authn.WrongKey},
		"a key by a path":          {forged(t, map[string]any{"kid": "../../k1"}, es256, other), authn.WrongKey},
		"no key's name":            {forged(t, map[string]any{"kid": nil}, es256, other), authn.WrongKey},
		// What kind of signature (RFC 8725 §3.1).
		"HS256 with the public key in PEM": {hmacOf(func(i *issuer) []byte {
			der, err := x509.MarshalPKIXPublicKey(&i.key.PublicKey)
			check(t, err)
			return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
		}), authn.WrongAlgorithm},
		"HS256 with the public key in DER": {hmacOf(func(i *issuer) []byte {
			der, err := x509.MarshalPKIXPublicKey(&i.key.PublicKey)
			check(t, err)
			return der
		}), authn.WrongAlgorithm},
		"HS256 with nothing":       {hmacOf(func(*issuer) []byte { return []byte{} }), authn.WrongAlgorithm},
		"none, in other letters":   {forged(t, map[string]any{"alg": "nOnE"}, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType), authn.WrongAlgorithm},
		"ES256, in small letters":  {forged(t, map[string]any{"alg": "es256"}, es256, nil), authn.WrongAlgorithm},
		"an algorithm not offered": {forged(t, map[string]any{"alg": "ES384"}, es256, nil), authn.WrongAlgorithm},
		"another kind of key":      {forged(t, map[string]any{"alg": "RS256"}, es256, nil), authn.WrongAlgorithm},
		"no algorithm":             {forged(t, map[string]any{"alg": nil}, es256, nil), authn.WrongAlgorithm},
		"an algorithm as a list":   {forged(t, map[string]any{"alg": []string{"ES256"}}, es256, nil), authn.Malformed},
		"what must be understood":  {forged(t, map[string]any{"crit": []string{"x-unheard-of"}, "x-unheard-of": true}, es256, nil), authn.WrongKey},
		// The token's form.
		"no signature":            {segments(func(h, p, _ string) string { return h + "." + p + "." }), authn.WrongKey},
		"half a signature":        {segments(func(h, p, s string) string { return h + "." + p + "." + s[:43] }), authn.WrongKey},
		"a signature of zeros":    {segments(func(h, p, _ string) string { return h + "." + p + "." + b64(make([]byte, 64)) }), authn.WrongKey},
		"four parts":              {segments(func(h, p, s string) string { return h + "." + p + "." + s + "." }), authn.Malformed},
		"padded parts":            {segments(func(h, p, s string) string { return h + "=." + p + "." + s }), authn.Malformed},
		"a line within":           {segments(func(h, p, s string) string { return h + ".\n" + p + "." + s }), authn.Malformed},
		"claims of somebody else": {payload(t, false, func(c string) string { return strings.Replace(c, "subject-1", "subject-2", 1) }), authn.WrongKey},
		"claims that are a list":  {payload(t, true, func(string) string { return "[]" }), authn.Malformed},
		"claims that are nothing": {payload(t, true, func(string) string { return "null" }), authn.WrongIssuer},
		"claims and more":         {payload(t, true, func(c string) string { return c + "{}" }), authn.Malformed},
		"deep claims":             {payload(t, true, func(string) string { return strings.Repeat("[", 20_000) }), authn.Malformed},
		// Who has issued it, for whom, when.
		"an issuer with a slash": {func(i *issuer) { claimed("iss", i.URL+"/")(i) }, authn.WrongIssuer},
		"an issuer in capitals":  {func(i *issuer) { claimed("iss", strings.ToUpper(i.URL))(i) }, authn.WrongIssuer},
		"no issuer":              {claimed("iss", nil), authn.WrongIssuer},
		"two issuers": {payload(t, true, func(c string) string {
			return `{"iss":"https://evil.example",` + c[1:len(c)-1] + `,"iss":"https://evil.example"}`
		}), authn.WrongIssuer},
		"no audience":                  {claimed("aud", nil), authn.WrongAudience},
		"an empty audience":            {claimed("aud", []string{}), authn.WrongAudience},
		"an audience in capitals":      {claimed("aud", strings.ToUpper(clientID)), authn.WrongAudience},
		"an audience with more":        {claimed("aud", clientID+" "), authn.WrongAudience},
		"an audience that is a number": {claimed("aud", 7), authn.Malformed},
		"expires at a text":            {claimed("exp", "tomorrow"), authn.Malformed},
		"expires before all time":      {claimed("exp", -1e300), authn.Expired},
		"expired to the second":        {claimed("exp", time.Now().Add(-time.Minute-time.Second).Unix()), authn.Expired},
		"a subject that is too long":   {claimed("sub", strings.Repeat("s", 256)), authn.SubjectUnusable},
		"no subject at all":            {claimed("sub", nil), authn.SubjectUnusable},
		"a nonce of nothing":           {claimed("nonce", ""), authn.WrongNonce},
		// A logout token is signed by the same key for the same client, and is no id
		// token: it has no nonce (OpenID Connect Back-Channel Logout §2.4).
		"a logout token": {func(i *issuer) {
			i.claims = func(c jwt.MapClaims) {
				delete(c, "nonce")
				c["events"] = map[string]any{"http://schemas.openid.net/event/backchannel-logout": map[string]any{}}
			}
		}, authn.WrongNonce},
		// The authorisation response (RFC 6749 §4.1.2, RFC 9207).
		"two codes":           {answered(func(v url.Values) { v.Add("code", "other") }), authn.Malformed},
		"two issuers' answer": {answered(func(v url.Values) { v.Add("iss", "https://evil.example") }), authn.WrongIssuer},
		"a token, no code":    {answered(func(v url.Values) { v.Del("code"); v.Set("id_token", "a.b.c"); v.Set("access_token", "at") }), authn.Malformed},
		"a code and an error": {answered(func(v url.Values) { v.Set("error", "server_error") }), authn.ProviderRefused},
		"an error in markup":  {answered(func(v url.Values) { v.Set("error", "<script>alert(1)</script>") }), authn.ProviderRefused},
		"an empty code":       {answered(func(v url.Values) { v.Set("code", "") }), authn.Malformed},
		// The token endpoint.
		"sends the code elsewhere": {redeemed(http.StatusTemporaryRedirect, http.Header{"Location": {thief.URL}}, ""), authn.ProviderUnreachable},
		"sends us elsewhere":       {redeemed(http.StatusSeeOther, http.Header{"Location": {thief.URL}}, ""), authn.ProviderUnreachable},
		"answers with a page":      {redeemed(http.StatusOK, http.Header{"Content-Type": {"text/html"}}, "<html>"), authn.ProviderUnreachable},
		"answers with nothing":     {redeemed(http.StatusOK, asJSON, ""), authn.ProviderUnreachable},
		"answers without a token":  {redeemed(http.StatusOK, asJSON, `{}`), authn.ProviderUnreachable},
		"an id token that is none": {redeemed(http.StatusOK, asJSON, `{"access_token":"at","token_type":"Bearer","id_token":{"sub":"subject-1"}}`), authn.SignatureMissing},
		"an error with markup":     {redeemed(http.StatusBadRequest, asJSON, `{"error":"<script>"}`), authn.CodeRejected},
	} {
		t.Run(name, func(t *testing.T) {
			p := w.turnsAway(t, c.attack, c.want)
			if strings.Contains(p.body, "<script>") {
				t.Error("what a stranger wrote stands in the page")
			}
			if n := stolen.Load(); n != 0 {
				t.Errorf("%d requests went where the provider, or its token, said", n)
			}
		})
	}
}

// TestOnlyTheWantedContextCounts: the provider is asked for it, and not believed to
// have heeded it; nor does the userinfo endpoint say how somebody authenticated.
func TestOnlyTheWantedContextCounts(t *testing.T) {
	const strong, stronger = "urn:example:mfa", "phrh"
	for name, c := range map[string]struct {
		say func(*issuer)
		in  bool
	}{
		"the most wanted":         {claimed("acr", stronger), true},
		"the next best":           {claimed("acr", strong), true},
		"another":                 {claimed("acr", "pwd"), false},
		"in other letters":        {claimed("acr", strings.ToUpper(strong)), false},
		"all of them as one text": {claimed("acr", stronger+" "+strong), false},
		"a list":                  {claimed("acr", []string{strong}), false},
		"none":                    {claimed("acr", nil), false},
		"said by userinfo": {func(i *issuer) {
			claimed("email", nil)(i)
			i.userinfo = map[string]any{"sub": "subject-1", "email": "ann@acme.example", "acr": strong}
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			w, idp := newWorld(t), newIssuer(t)
			c.say(idp)
			connection := idp.connection()
			connection.OIDC.ACRValues = []string{stronger, strong}
			w.connections.put(connection)
			p := w.browser().open("/")
			if asked := idp.asked.Get("acr_values"); asked != stronger+" "+strong {
				t.Errorf("asked for %q", asked)
			}
			if c.in {
				p.has(t, http.StatusOK, "for ann@acme.example")
				return
			}
			p.has(t, http.StatusForbidden, "a stronger sign-in")
			if got := w.journal.lastRefusal(t); got != authn.WrongContext || len(w.journal.all(audit.SignInSucceeded)) != 0 {
				t.Errorf("reason %q", got)
			}
		})
	}
}

// TestHonestProvidersInOddForms is the control: none of this is an attack.
func TestHonestProvidersInOddForms(t *testing.T) {
	for name, odd := range map[string]func(*issuer){
		"nothing odd":            func(*issuer) {},
		"no key's name":          forged(t, map[string]any{"kid": nil}, jwt.SigningMethodES256, nil),
		"no type":                forged(t, map[string]any{"typ": nil}, jwt.SigningMethodES256, nil),
		"a list of one audience": claimed("aud", []string{clientID}),
		"several, and who uses it": func(i *issuer) {
			i.claims = func(c jwt.MapClaims) { c["aud"], c["azp"] = []string{"other", clientID}, clientID }
		},
		"expired just now":      claimed("exp", time.Now().Add(-30*time.Second).Unix()),
		"a clock ahead of ours": claimed("iat", time.Now().Add(30*time.Second).Unix()),
		"times with fractions":  claimed("exp", float64(time.Now().Add(time.Minute).UnixMilli())/1000),
		"more in the answer":    answered(func(v url.Values) { v.Set("session_state", "x.y") }),
		"claims of its own":     claimed("https://idp.example/deep", json.RawMessage(strings.Repeat("[", 100)+strings.Repeat("]", 100))),
	} {
		t.Run(name, func(t *testing.T) {
			w, idp := newWorld(t), newIssuer(t)
			odd(idp)
			w.connections.put(idp.connection())
			w.browser().open("/").has(t, http.StatusOK, "for ann@acme.example")
		})
	}
}

// TestATokenOfAnotherSignIn is refused, though it is good: that of the same browser
// a moment ago, and that of another browser (RFC 9700 §4.5).
func TestATokenOfAnotherSignIn(t *testing.T) {
	w, idp := newWorld(t), newIssuer(t)
	w.connections.put(idp.connection())
	var earlier string
	idp.sign = func(c jwt.MapClaims) (string, error) {
		var err error
		earlier, err = idp.signed(jwt.SigningMethodES256, idp.key, c)
		return earlier, err
	}
	another, same := w.browser(), w.browser()
	another.open("/").has(t, http.StatusOK)
	same.open("/").has(t, http.StatusOK)
	idp.sign = func(jwt.MapClaims) (string, error) { return earlier, nil }
	for who, b := range map[string]*browser{"the same": same, "another": another} {
		answer := w.beginElsewhere(t, b)
		b.open("/.gatehouse/oidc/idp/callback?"+answer.Encode()).has(t, http.StatusForbidden, "You are not signed in")
		if got := w.journal.lastRefusal(t); got != authn.WrongNonce {
			t.Errorf("%s: %q", who, got)
		}
	}
}
