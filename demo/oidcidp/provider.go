package oidcidp

import (
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net/http"

	"github.com/zitadel/oidc/v3/pkg/op"

	"gatehouse/demo/idp"
)

const (
	maxFormBytes = 64 << 10
	signedOut    = "/signed-out"
)

// Provider is an OpenID provider for a handful of accounts.
type Provider struct {
	mux      http.ServeMux
	store    *storage
	callback func(ctx context.Context, id string) string
	accounts idp.Accounts
	issuer   string
	back     http.RoundTripper
	log      *slog.Logger
}

// Options say what a provider is made of.
type Options struct {
	Issuer   string            // such as http://127.0.0.1:9100, the base of all its URLs
	Key      *ecdsa.PrivateKey // P-256; signs ID tokens (ES256)
	Accounts idp.Accounts
	// BackChannel is the way to the clients that are told of sign-outs; nil means
	// [http.DefaultTransport].
	BackChannel http.RoundTripper
	Log         *slog.Logger
}

// New makes a provider; it serves nothing before [Provider.Register].
func New(o Options) (*Provider, error) {
	key, err := newSigningKey(o.Key)
	if err != nil {
		return nil, err
	}
	p := &Provider{store: newStorage(key, o.Accounts), accounts: o.Accounts, issuer: o.Issuer, back: o.BackChannel, log: o.Log}
	if p.back == nil {
		p.back = http.DefaultTransport
	}
	p.store.tell = p.tell
	config := &op.Config{BackChannelLogoutSupported: true, BackChannelLogoutSessionSupported: true,
		CodeMethodS256: true, AuthMethodPost: true, DefaultLogoutRedirectURI: signedOut,
		SupportedScopes: []string{"openid", "email", "profile", "groups"}}
	_, _ = rand.Read(config.CryptoKey[:]) // never fails: crypto/rand aborts the program instead
	provider, err := op.NewProvider(config, p.store, op.StaticIssuer(o.Issuer),
		op.WithAllowInsecure(), op.WithLogger(o.Log)) // http is fine on loopback
	if err != nil {
		return nil, fmt.Errorf("oidc provider: %w", err)
	}
	p.mux.HandleFunc("GET "+loginPath, p.form)
	p.mux.HandleFunc("POST "+loginPath, p.signIn)
	p.mux.HandleFunc("GET "+signOutPath, askToSignOut)
	p.mux.HandleFunc("POST "+signOutPath, p.signOut)
	p.mux.HandleFunc("GET "+signedOut, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("You are signed out.\n"))
	})
	p.mux.Handle("/", provider)
	p.callback = func(ctx context.Context, id string) string {
		// The library puts the issuer into the context for its own routes alone.
		return op.AuthCallbackURL(provider)(op.ContextWithIssuer(ctx, o.Issuer), id)
	}
	return p, nil
}

// Register makes a client known, or changes it.
func (p *Provider) Register(c Client) { p.store.register(c) }

// ServeHTTP serves the protocol and the sign-in form.
func (p *Provider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxFormBytes)
	p.mux.ServeHTTP(w, r)
}

func (p *Provider) form(w http.ResponseWriter, r *http.Request) {
	p.writeForm(w, r.FormValue("id"), "", false)
}

func (p *Provider) signIn(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		http.Error(w, "The form cannot be read.", http.StatusBadRequest)
		return
	}
	id := r.PostForm.Get("id")
	account, ok := p.accounts.Check(r.PostForm.Get("username"), r.PostForm.Get("password"))
	if !ok {
		p.writeForm(w, id, r.PostForm.Get("username"), true)
		return
	}
	session, ok := p.store.finish(id, account.Subject)
	if !ok {
		http.Error(w, "This sign-in has expired. Go back to the app and start again.", http.StatusBadRequest)
		return
	}
	http.SetCookie(w, &http.Cookie{Name: sessionCookie, Value: session, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode}) // #nosec G124 -- plain HTTP on loopback
	http.Redirect(w, r, p.callback(r.Context(), id), http.StatusFound)
}

func (p *Provider) writeForm(w http.ResponseWriter, id, username string, refused bool) {
	err := idp.Write(w, idp.Form{Provider: "Demo identity provider (OpenID Connect)", Action: loginPath,
		Hidden: map[string]string{"id": id}, Username: username, Refused: refused, Accounts: p.accounts})
	if err != nil {
		http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
	}
}
