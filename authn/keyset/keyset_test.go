package keyset

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"
)

// Strangers use up how often keys are asked for; a token by a key that was only
// just published must not be taken for a forged one.
func TestKeysAreAskedForSeldom(t *testing.T) {
	var asked atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		_, _ = w.Write([]byte(`{"keys":[]}`))
	}))
	defer server.Close()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := jwt.NewWithClaims(jwt.SigningMethodES256, jwt.MapClaims{}).SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	remote, err := Fetch(t.Context(), server.Client(), server.URL)
	if err != nil {
		t.Fatal(err)
	}
	for range 30 {
		before := asked.Load()
		keys := Asked{KeySet: remote}
		_, err := keys.VerifySignature(t.Context(), raw)
		tooOften := err != nil && strings.Contains(err.Error(), ErrTooOften.Error())
		// Who asks while an answer is being handed out has that one, and asks nothing.
		if err == nil || keys.Unfetched != tooOften || tooOften && asked.Load() > before {
			t.Fatalf("%v, unfetched %t, asked %d times", err, keys.Unfetched, asked.Load()-before)
		}
	}
	if n, most := asked.Load(), fetches+1+int64(time.Since(begun)/time.Second); n < fetches || n > most {
		t.Errorf("asked %d times, at most %d are wanted", n, most)
	}
}

// What is not published anywhere is no key set, and what was is good while nothing
// can be fetched.
func TestP7_KeysAreFetchedBeforeTheyAreNeeded(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	published, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "1", Algorithm: "ES256", Use: "sig"}}})
	if err != nil {
		t.Fatal(err)
	}
	var down atomic.Bool
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if down.Load() {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		_, _ = w.Write(published)
	}))
	defer server.Close()
	keys, err := Fetch(t.Context(), server.Client(), server.URL)
	if err != nil {
		t.Fatal(err)
	}
	down.Store(true)
	token := jwt.NewWithClaims(jwt.SigningMethodES256, jwt.MapClaims{})
	token.Header["kid"] = "1"
	raw, err := token.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := keys.VerifySignature(t.Context(), raw); err != nil {
		t.Errorf("by keys that were published: %v", err)
	}
	if _, err := Fetch(t.Context(), server.Client(), server.URL); err == nil {
		t.Error("no keys, and no error")
	}
}
