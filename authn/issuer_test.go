package authn_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"gatehouse/tenants"
)

func insecure() *tls.Config {
	return &tls.Config{InsecureSkipVerify: true, ClientSessionCache: tickets}
}

// tickets spare the second browser of a test what a handshake costs with RSA.
var tickets = tls.NewLRUClientSessionCache(1)

const clientID, clientSecret = "gatehouse", "a secret with: odd/chars"

// issuer is an OpenID provider that says whatever a test wants.
type issuer struct {
	*httptest.Server
	key *ecdsa.PrivateKey

	mu        sync.Mutex
	asked     url.Values // the last authentication request
	challenge string
	nonce     string
	claims    func(jwt.MapClaims)                 // changes the id token's claims
	sign      func(jwt.MapClaims) (string, error) // signs it, if not as it should be
	answer    func(url.Values)                    // changes the authorisation response
	token     func(w http.ResponseWriter) bool    // answers the token request, if true
	userinfo  map[string]any
	before    func() // is waited for by those who discover
	signedOut url.Values
	keys      func(http.ResponseWriter)   // answers for the keys, if there is one
	front     map[string]http.HandlerFunc // answers at these paths instead
	offline   *offline                    // gives refresh tokens, if there is one
	ahead     time.Duration               // its clock is
	keysAsked atomic.Int64
}

func newIssuer(t testing.TB) *issuer {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	i := &issuer{key: key}
	mux := http.NewServeMux()
	i.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		i.mu.Lock()
		instead := i.front[r.URL.Path]
		i.mu.Unlock()
		if instead != nil {
			instead(w, r)
			return
		}
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(i.Close)
	mux.HandleFunc("/.well-known/openid-configuration", i.discovery)
	mux.HandleFunc("/jwks", i.jwks)
	mux.HandleFunc("/authorize", i.authorize)
	mux.HandleFunc("/token", i.redeem)
	mux.HandleFunc("/userinfo", func(w http.ResponseWriter, _ *http.Request) { reply(w, i.userinfo) })
	mux.HandleFunc("/signout", func(w http.ResponseWriter, r *http.Request) {
		i.mu.Lock()
		i.signedOut = r.URL.Query()
		i.mu.Unlock()
		http.Redirect(w, r, r.URL.Query().Get("post_logout_redirect_uri"), http.StatusFound)
	})
	return i
}

// answerKeys has the keys be answered for otherwise; nil: as it should be.
func (i *issuer) answerKeys(keys func(http.ResponseWriter)) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.keys = keys
}

// rollKey has what is signed from now on be signed with a new key.
func (i *issuer) rollKey(t testing.TB) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	i.mu.Lock()
	defer i.mu.Unlock()
	i.key = key
}

// withoutKeys are the ways in which a provider's keys are not to be had.
var withoutKeys = map[string]func(http.ResponseWriter){
	"cut off": func(http.ResponseWriter) { panic(http.ErrAbortHandler) },
	"broken":  func(w http.ResponseWriter) { w.WriteHeader(http.StatusInternalServerError) },
	"cut short": func(w http.ResponseWriter) {
		w.Header().Set("Content-Length", "99")
		_, _ = w.Write([]byte(`{"keys":[`))
	},
	"not keys": func(w http.ResponseWriter) { _, _ = w.Write([]byte("<html>")) },
}

func reply(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}

func (i *issuer) connection() tenants.Connection {
	return tenants.Connection{Name: "idp", Type: tenants.OIDC, Enabled: true, DefaultRole: "member",
		OIDC: &tenants.OIDCSpec{Issuer: i.URL, ClientID: clientID, ClientSecret: clientSecret}}
}

func (i *issuer) discovery(w http.ResponseWriter, _ *http.Request) {
	i.mu.Lock()
	before := i.before
	i.mu.Unlock()
	if before != nil {
		before()
	}
	reply(w, i.settings())
}

// settings are what the discovery document says.
func (i *issuer) settings() map[string]any {
	return map[string]any{
		"issuer": i.URL, "authorization_endpoint": i.URL + "/authorize", "token_endpoint": i.URL + "/token",
		"jwks_uri": i.URL + "/jwks", "userinfo_endpoint": i.URL + "/userinfo", "end_session_endpoint": i.URL + "/signout",
		"id_token_signing_alg_values_supported": []string{"ES256", "HS256", "none"}, "authorization_response_iss_parameter_supported": true,
		"claims_supported": []string{"sub", "email", "auth_time"},
	}
}

func (i *issuer) jwks(w http.ResponseWriter, _ *http.Request) {
	i.keysAsked.Add(1)
	i.mu.Lock()
	keys, key := i.keys, i.key
	i.mu.Unlock()
	if keys != nil {
		keys(w)
		return
	}
	point, err := key.PublicKey.Bytes()
	if err != nil {
		panic(err)
	}
	b64 := base64.RawURLEncoding.EncodeToString
	reply(w, map[string]any{"keys": []any{map[string]string{"kty": "EC", "crv": "P-256", "kid": "k1", "alg": "ES256", "use": "sig",
		"x": b64(point[1:33]), "y": b64(point[33:])}}})
}

func (i *issuer) authorize(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	i.mu.Lock()
	i.asked = q
	i.challenge, i.nonce = q.Get("code_challenge"), q.Get("nonce")
	back := url.Values{"code": {"c0de"}, "state": {q.Get("state")}, "iss": {i.URL}}
	if i.answer != nil {
		i.answer(back)
	}
	i.mu.Unlock()
	http.Redirect(w, r, q.Get("redirect_uri")+"?"+back.Encode(), http.StatusFound)
}

func (i *issuer) redeem(w http.ResponseWriter, r *http.Request) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.token != nil && i.token(w) {
		return
	}
	sum := sha256.Sum256([]byte(r.PostFormValue("code_verifier")))
	if i.offline != nil && r.PostFormValue("grant_type") == "refresh_token" {
		i.renew(w, r)
		return
	}
	user, password, _ := r.BasicAuth()
	unescaped, _ := url.QueryUnescape(password)
	if base64.RawURLEncoding.EncodeToString(sum[:]) != i.challenge || user != clientID || unescaped != clientSecret || r.PostFormValue("code") != "c0de" {
		w.WriteHeader(http.StatusBadRequest)
		reply(w, map[string]string{"error": "invalid_grant"})
		return
	}
	claims := i.claimsNow()
	claims["nonce"] = i.nonce
	answer := map[string]any{"access_token": "at", "token_type": "Bearer", "expires_in": 60, "id_token": i.idToken(claims)}
	if i.offline != nil {
		answer["refresh_token"] = i.offline.begin(i.nonce)
	}
	reply(w, answer)
}

// claimsNow are the claims of an id token, but for the nonce.
func (i *issuer) claimsNow() jwt.MapClaims {
	now := time.Now().Add(i.ahead)
	return jwt.MapClaims{"iss": i.URL, "aud": clientID, "sub": "subject-1", "exp": now.Add(time.Minute).Unix(), "iat": now.Unix(),
		"email": "ann@acme.example", "email_verified": true, "name": "Ann", "sid": "idp-session", "amr": []string{"pwd"}, "groups": []string{"ops"}}
}

func (i *issuer) idToken(claims jwt.MapClaims) string {
	if i.claims != nil {
		i.claims(claims)
	}
	sign := i.sign
	if sign == nil {
		sign = func(c jwt.MapClaims) (string, error) { return i.signed(jwt.SigningMethodES256, i.key, c) }
	}
	raw, err := sign(claims)
	if err != nil {
		panic(err)
	}
	return raw
}

func (i *issuer) signed(method jwt.SigningMethod, key any, c jwt.MapClaims) (string, error) {
	t := jwt.NewWithClaims(method, c)
	t.Header["kid"] = "k1"
	return t.SignedString(key)
}
