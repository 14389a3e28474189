package authn_test

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"

	"gatehouse/internal/store"
	"gatehouse/tenants"
)

// byKey is a connection that shows who it is by a key, at a provider that takes
// nothing else.
func (i *issuer) byKey() tenants.Connection {
	c := i.rechecked()
	c.OIDC.ClientSecret, c.OIDC.ClientAuth = "", tenants.PrivateKeyJWT
	return c
}

const keysOfIDP = "/.gatehouse/oidc/idp/jwks.json"

// clientKeys are our keys, as a provider fetches them.
func (w *world) clientKeys() (set jose.JSONWebKeySet) {
	w.t.Helper()
	p := w.browser().open(keysOfIDP)
	p.has(w.t, http.StatusOK)
	if p.header.Get("Content-Type") != "application/jwk-set+json" || !strings.Contains(p.header.Get("Cache-Control"), "max-age=3600") || strings.Contains(p.body, `"d"`) {
		w.t.Errorf("%v: %s", p.header, p.body)
	}
	check(w.t, json.Unmarshal([]byte(p.body), &set))
	return set
}

// verified reads the assertion of a token request (RFC 7523 §3).
func verified(set jose.JSONWebKeySet, form url.Values, now time.Time) (*jwt.RegisteredClaims, string, error) {
	if form.Get("client_assertion_type") != "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" || form.Has("client_secret") || form.Get("client_id") != clientID {
		return nil, "", errors.New("the form is not that of private_key_jwt")
	}
	claims := new(jwt.RegisteredClaims)
	token, err := jwt.ParseWithClaims(form.Get("client_assertion"), claims, func(t *jwt.Token) (any, error) {
		kid, _ := t.Header["kid"].(string)
		found := set.Key(kid)
		if len(found) != 1 {
			return nil, errors.New("no such key")
		}
		key, ok := found[0].Key.(*rsa.PublicKey)
		if !ok {
			return nil, errors.New("another kind of key")
		}
		return key, nil
	}, jwt.WithValidMethods([]string{"RS256"}), jwt.WithTimeFunc(func() time.Time { return now }), jwt.WithIssuedAt(), jwt.WithExpirationRequired())
	if err != nil {
		return nil, "", err
	}
	kid, _ := token.Header["kid"].(string)
	return claims, kid, nil
}

// TestPrivateKeyJWT signs in, asks again and rolls the key over, at a provider that
// verifies each assertion by the keys that it fetched when it last had to.
func TestPrivateKeyJWT(t *testing.T) {
	w, idp := newWorld(t), newIssuer(t)
	w.connections.put(idp.byKey())
	set, ids, kids := w.clientKeys(), map[string]bool{}, map[string]bool{}
	if len(set.Keys) != 1 {
		t.Fatalf("%d keys", len(set.Keys))
	}
	var mu sync.Mutex // of all these: the issuer answers from goroutines of its own
	var refused error
	idp.mu.Lock()
	idp.front = map[string]http.HandlerFunc{"/token": func(w2 http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		check(t, r.ParseForm())
		claims, kid, err := verified(set, r.PostForm, w.clock())
		switch {
		case err != nil:
		case claims.Issuer != clientID || claims.Subject != clientID || len(claims.Audience) != 1 || claims.Audience[0] != idp.URL+"/token":
			err = errors.New("it is not ours, or not for here")
		case claims.ExpiresAt.Sub(claims.IssuedAt.Time) > 5*time.Minute || claims.ID == "" || ids[claims.ID]:
			err = errors.New("it lives too long, or is a replay")
		}
		if err != nil {
			if !errors.Is(err, jwt.ErrTokenExpired) { // a day may have passed while a recheck was on its way
				refused = err
			}
			replyError(w2, http.StatusUnauthorized, "invalid_client")
			return
		}
		ids[claims.ID], kids[kid] = true, true
		r.SetBasicAuth(clientID, url.QueryEscape(clientSecret)) // what this issuer knows clients by otherwise
		idp.redeem(w2, r)
	}}
	idp.mu.Unlock()
	b := w.browser()
	b.open("/").has(t, http.StatusOK, "for ann@acme.example")
	w.rechecking()
	w.later(idp, time.Hour)
	soon(t, "a refresh", func() bool { renewed, _ := idp.counts(); return renewed == 1 })

	// The next key is made, published for a day, and used; nothing is refused meanwhile
	// though the provider fetches our keys but once a day.
	for day := range 94 {
		w.later(idp, 24*time.Hour)
		if day >= 88 {
			next := w.clientKeys()
			mu.Lock()
			set = next
			mu.Unlock()
			w.browser().open("/").has(t, http.StatusOK, "for ann@acme.example")
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if refused != nil || len(kids) != 2 || len(set.Keys) != 1 {
		t.Errorf("refused: %v; %d keys were used, %d are published", refused, len(kids), len(set.Keys))
	}
	// At rest it is sealed.
	check(t, w.db.Tenant(acme).Read(t.Context(), func(tx *store.Tx) error {
		keys, err := store.All(t.Context(), tx, store.Scalar[[]byte], `SELECT private_key FROM oidc_keys`)
		for _, key := range keys {
			if _, err := x509.ParsePKCS8PrivateKey(key); err == nil {
				t.Error("a key is not sealed")
			}
		}
		return err
	}))
}

func TestOnlyConnectionsThatNeedKeysHaveThem(t *testing.T) {
	w, idp := newWorld(t), newIssuer(t)
	w.connections.put(idp.connection())
	w.connections.put(samlConnection(ourKey()))
	for _, path := range []string{keysOfIDP, "/.gatehouse/oidc/adfs/jwks.json", "/.gatehouse/oidc/nobody/jwks.json"} {
		w.browser().open(path).has(t, http.StatusNotFound)
	}
	check(t, w.db.Tenant(acme).Read(t.Context(), func(tx *store.Tx) error {
		n, err := store.One(t.Context(), tx, store.Scalar[int64], `SELECT count(*) FROM oidc_keys`)
		if n != 0 {
			t.Errorf("%d keys were made", n)
		}
		return err
	}))
}

// TestTheWayToShowTheSecret is the one that is set, and else the one that the
// provider takes.
func TestTheWayToShowTheSecret(t *testing.T) {
	for name, c := range map[string]struct {
		set   tenants.ClientAuth
		takes []string
		basic bool
	}{
		"by default":                      {"", nil, true},
		"as the provider takes it":        {"", []string{"client_secret_post"}, false},
		"where it takes both":             {"", []string{"client_secret_post", "client_secret_basic"}, true},
		"basic, whatever it says":         {tenants.ClientSecretBasic, []string{"client_secret_post"}, true},
		"post, whatever it says":          {tenants.ClientSecretPost, []string{"client_secret_basic"}, false},
		"post, where it says nothing":     {tenants.ClientSecretPost, nil, false},
		"by default, if it takes neither": {"", []string{"private_key_jwt"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			w, idp := newWorld(t), newIssuer(t)
			connection := idp.connection()
			connection.OIDC.ClientAuth = c.set
			w.connections.put(connection)
			var basic, post bool
			idp.mu.Lock()
			idp.front = map[string]http.HandlerFunc{
				"/token": func(w http.ResponseWriter, r *http.Request) {
					_, _, basic = r.BasicAuth()
					post = r.PostFormValue("client_secret") == clientSecret
					r.SetBasicAuth(clientID, url.QueryEscape(clientSecret))
					idp.redeem(w, r)
				},
				"/.well-known/openid-configuration": func(w http.ResponseWriter, _ *http.Request) {
					settings := idp.settings()
					if c.takes != nil {
						settings["token_endpoint_auth_methods_supported"] = c.takes
					}
					reply(w, settings)
				},
			}
			idp.mu.Unlock()
			w.browser().open("/").has(t, http.StatusOK, "for ann@acme.example")
			if basic != c.basic || post == c.basic {
				t.Errorf("basic %t, post %t", basic, post)
			}
		})
	}
}
