package oidcidp_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"gatehouse/demo/browse"
	"gatehouse/demo/idp"
	"gatehouse/demo/oidcidp"
)

var accounts = idp.Accounts{{Subject: "u-1", Email: "member@acme.example", Name: "Mira Member", Password: "right", Groups: []string{"ops"}}}

// party is a relying party: the provider, a client of it, and a browser.
type party struct {
	issuer   string
	provider *oidc.Provider
	oauth    oauth2.Config
	browser  *http.Client
	landed   chan url.Values // what the client's addresses received
}

func start(t *testing.T) *party {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	var handler http.Handler
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { handler.ServeHTTP(w, r) }))
	t.Cleanup(server.Close)
	provider, err := oidcidp.New(oidcidp.Options{Issuer: server.URL, Key: key, Accounts: accounts, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	handler = provider

	p := &party{issuer: server.URL, landed: make(chan url.Values, 8)}
	client := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		p.landed <- r.Form
	}))
	t.Cleanup(client.Close)
	provider.Register(oidcidp.Client{ID: "acme", Secret: "s3cret", RedirectURIs: []string{client.URL + "/cb"}, SignedOutURIs: []string{client.URL + "/bye"},
		BackChannelURI: client.URL + "/back"})
	if p.provider, err = oidc.NewProvider(t.Context(), server.URL); err != nil {
		t.Fatal(err)
	}
	p.oauth = oauth2.Config{ClientID: "acme", ClientSecret: "s3cret", Endpoint: p.provider.Endpoint(),
		RedirectURL: client.URL + "/cb", Scopes: []string{"openid", "email", "profile"}}
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	p.browser = &http.Client{Jar: jar}
	return p
}

func (p *party) signIn(t *testing.T, password, verifier string) *http.Response {
	t.Helper()
	resp, err := browse.SignIn(t.Context(), p.browser, p.oauth.AuthCodeURL("the-state", oidc.Nonce("the-nonce"), oauth2.S256ChallengeOption(verifier)), accounts[0].Email, password)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	return resp
}

func TestCodeFlowWithPKCE(t *testing.T) {
	p := start(t)
	verifier := oauth2.GenerateVerifier()
	p.signIn(t, "right", verifier)
	query := <-p.landed
	if query.Get("state") != "the-state" {
		t.Fatalf("landed with %v", query)
	}
	if _, err := p.oauth.Exchange(t.Context(), query.Get("code"), oauth2.VerifierOption(oauth2.GenerateVerifier())); err == nil {
		t.Error("a wrong code_verifier was accepted")
	}

	p.signIn(t, "right", verifier)
	query = <-p.landed
	token, err := p.oauth.Exchange(t.Context(), query.Get("code"), oauth2.VerifierOption(verifier))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.oauth.Exchange(t.Context(), query.Get("code"), oauth2.VerifierOption(verifier)); err == nil {
		t.Error("a code was accepted twice")
	}
	raw, _ := token.Extra("id_token").(string)
	idToken, err := p.provider.Verifier(&oidc.Config{ClientID: "acme", SupportedSigningAlgs: []string{"ES256"}}).Verify(t.Context(), raw)
	if err != nil {
		t.Fatal(err)
	}
	var claims struct {
		Email, Name, Nonce string
		SID                string
		EmailVerified      bool `json:"email_verified"`
		Groups, AMR        []string
	}
	if err := idToken.Claims(&claims); err != nil {
		t.Fatal(err)
	}
	if idToken.Subject != "u-1" || claims.Email != accounts[0].Email || !claims.EmailVerified || claims.Name != "Mira Member" ||
		claims.Nonce != "the-nonce" || len(claims.Groups) != 1 || len(claims.AMR) != 1 {
		t.Errorf("sub %q, claims %+v", idToken.Subject, claims)
	}
	info, err := p.provider.UserInfo(t.Context(), oauth2.StaticTokenSource(token))
	if err != nil || info.Subject != "u-1" || info.Email != accounts[0].Email {
		t.Errorf("userinfo %+v, %v", info, err)
	}

	bye := strings.Replace(p.oauth.RedirectURL, "/cb", "/bye", 1)
	resp, err := browse.Open(t.Context(), p.browser, p.issuer+"/end_session?"+url.Values{
		"id_token_hint": {raw}, "post_logout_redirect_uri": {bye}, "state": {"over"}}.Encode())
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	p.told(t, claims.SID)
	if query := <-p.landed; query.Get("state") != "over" {
		t.Errorf("after sign-out: %v", query)
	}
}

// told checks what the client was told of a session that is over.
func (p *party) told(t *testing.T, session string) {
	t.Helper()
	over, err := p.provider.Verifier(&oidc.Config{ClientID: "acme", SupportedSigningAlgs: []string{"ES256"}}).VerifyLogout(t.Context(), (<-p.landed).Get("logout_token"))
	if err != nil {
		t.Fatal(err)
	}
	if session == "" || over.SessionID != session || over.Subject != "u-1" {
		t.Errorf("told of %+v, want session %q", over, session)
	}
}

func TestSigningOutHereTellsTheClient(t *testing.T) {
	p := start(t)
	verifier := oauth2.GenerateVerifier()
	p.signIn(t, "right", verifier)
	token, err := p.oauth.Exchange(t.Context(), (<-p.landed).Get("code"), oauth2.VerifierOption(verifier))
	if err != nil {
		t.Fatal(err)
	}
	raw, _ := token.Extra("id_token").(string)
	idToken, err := p.provider.Verifier(&oidc.Config{ClientID: "acme", SupportedSigningAlgs: []string{"ES256"}}).Verify(t.Context(), raw)
	if err != nil {
		t.Fatal(err)
	}
	var claims struct{ SID string }
	if err := idToken.Claims(&claims); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time there is nothing to tell
		resp, err := p.browser.PostForm(p.issuer+"/sign-out", nil)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
	}
	p.told(t, claims.SID)
	if len(p.landed) != 0 {
		t.Errorf("told once more: %v", <-p.landed)
	}
}

func TestWrongPasswordAsksAgain(t *testing.T) {
	p := start(t)
	resp := p.signIn(t, "wrong", oauth2.GenerateVerifier())
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusUnauthorized || !strings.Contains(string(body), "is wrong") {
		t.Errorf("status %d, %v: %s", resp.StatusCode, err, body)
	}
	if len(p.landed) > 0 {
		t.Error("a wrong password reached the client")
	}
}

func TestEveryVisitAsksForThePassword(t *testing.T) {
	p := start(t)
	verifier := oauth2.GenerateVerifier()
	p.signIn(t, "right", verifier)
	<-p.landed
	resp, err := browse.Open(t.Context(), p.browser, p.oauth.AuthCodeURL("s", oauth2.S256ChallengeOption(verifier)))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if !strings.HasPrefix(resp.Request.URL.String(), p.issuer+"/login") {
		t.Errorf("the second visit went to %s", resp.Request.URL)
	}
}

func TestRefusedRequestsNeverReachTheClient(t *testing.T) {
	p := start(t)
	p.browser.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	for name, change := range map[string]func(url.Values){
		"unknown client":       func(v url.Values) { v.Set("client_id", "globex") },
		"foreign redirect":     func(v url.Values) { v.Set("redirect_uri", "https://evil.example/cb") },
		"without PKCE":         func(v url.Values) { v.Del("code_challenge") },
		"plain code challenge": func(v url.Values) { v.Set("code_challenge_method", "plain") },
		"silent":               func(v url.Values) { v.Set("prompt", "none") },
	} {
		target, err := url.Parse(p.oauth.AuthCodeURL("s", oauth2.S256ChallengeOption(oauth2.GenerateVerifier())))
		if err != nil {
			t.Fatal(err)
		}
		query := target.Query()
		change(query)
		target.RawQuery = query.Encode()
		resp, err := browse.Open(t.Context(), p.browser, target.String())
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if location := resp.Header.Get("Location"); strings.Contains(location, "/login") || strings.Contains(location, "evil") || strings.Contains(location, "code=") {
			t.Errorf("%s: %d to %q", name, resp.StatusCode, location)
		}
	}
}

func TestFormOfAnUnknownRequestIsRefused(t *testing.T) {
	p := start(t)
	resp, err := p.browser.PostForm(p.issuer+"/login", url.Values{"id": {"guess"}, "username": {accounts[0].Email}, "password": {"right"}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusBadRequest {
		t.Errorf("status %d", resp.StatusCode)
	}
}
