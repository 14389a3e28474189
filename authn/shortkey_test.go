package authn_test

import (
	"crypto/rand"
	"crypto/rsa"
	"net/http"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"

	"gatehouse/authn"
	"gatehouse/internal/httpkit"
)

// A provider whose key is too short signs nobody in, whoever has found out the other
// half of it (RFC 7518 §3.3).
func TestAShortKeySignsNobodyIn(t *testing.T) {
	t.Setenv("GODEBUG", "rsa1024min=0") // so that there is one
	for bits, good := range map[int]bool{1024: false, 2048: true} {
		key, err := rsa.GenerateKey(rand.Reader, bits)
		check(t, err)
		w, idp := newWorld(t), newIssuer(t)
		settings := idp.settings()
		settings["id_token_signing_alg_values_supported"] = []string{"RS256"}
		idp.front = map[string]http.HandlerFunc{"/.well-known/openid-configuration": func(w http.ResponseWriter, _ *http.Request) { reply(w, settings) }}
		idp.keys = func(w http.ResponseWriter) {
			reply(w, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: &key.PublicKey, KeyID: "k", Algorithm: "RS256", Use: "sig"}}})
		}
		idp.sign = func(claims jwt.MapClaims) (string, error) {
			token := jwt.NewWithClaims(jwt.SigningMethodRS256, claims)
			token.Header["kid"] = "k"
			return token.SignedString(key)
		}
		w.connections.put(idp.connection())
		b := w.browser()
		p := b.open("/")
		if good {
			p.has(t, http.StatusOK, "app /")
			continue
		}
		p.has(t, http.StatusForbidden)
		if reason := w.journal.lastRefusal(t); reason != authn.WrongKey || b.cookie(httpkit.SessionCookie) != "" {
			t.Errorf("refused for %s", reason)
		}
	}
}
