package keyset

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"
)

// Keys that are too short verify nothing, and the others of the same set do.
func TestShortKeysAreNotBelieved(t *testing.T) {
	t.Setenv("GODEBUG", "rsa1024min=0") // so that there is one to refuse
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	must(t, err)
	almost, err := rsa.GenerateKey(rand.Reader, 2040)
	must(t, err)
	large, err := rsa.GenerateKey(rand.Reader, 2048)
	must(t, err)
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{
			{Key: &small.PublicKey, KeyID: "small", Algorithm: "RS256", Use: "sig"}, {Key: &almost.PublicKey, KeyID: "almost", Use: "sig"},
			{Key: &large.PublicKey, KeyID: "large", Algorithm: "RS256", Use: "sig"}, {Key: &curve.PublicKey, KeyID: "curve", Algorithm: "ES256", Use: "sig"}}})
	}))
	defer server.Close()
	keys, err := Fetch(t.Context(), server.Client(), server.URL)
	must(t, err)
	for _, c := range []struct {
		kid    string
		method jwt.SigningMethod
		key    any
		good   bool
	}{
		{"small", jwt.SigningMethodRS256, small, false}, {"small", jwt.SigningMethodPS256, small, false}, {"almost", jwt.SigningMethodRS512, almost, false}, {"", jwt.SigningMethodRS256, small, false},
		{"large", jwt.SigningMethodRS256, large, true}, {"", jwt.SigningMethodRS256, large, true}, {"curve", jwt.SigningMethodES256, curve, true},
	} {
		token := jwt.NewWithClaims(c.method, jwt.MapClaims{})
		if c.kid != "" {
			token.Header["kid"] = c.kid
		}
		raw, err := token.SignedString(c.key)
		must(t, err)
		asked := Asked{KeySet: keys}
		if _, err := asked.VerifySignature(t.Context(), raw); (err == nil) != c.good {
			t.Errorf("%s by %q: %v", c.method.Alg(), c.kid, err)
		}
	}
}

// What are no keys is said to be none, and not read as none that are strong.
func TestWhatAreNoKeysStaysSo(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"keys":7}`)) }))
	defer server.Close()
	if _, err := Fetch(t.Context(), server.Client(), server.URL); err == nil {
		t.Error("no error")
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
