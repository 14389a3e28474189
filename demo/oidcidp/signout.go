package oidcidp

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/zitadel/oidc/v3/pkg/crypto"
	"github.com/zitadel/oidc/v3/pkg/oidc"
)

const (
	signOutPath   = "/sign-out"
	sessionCookie = "demo_oidc_session"
	// tokenWait bounds how long a client may take to end its sessions.
	tokenWait       = 10 * time.Second
	logoutTokenLife = 2 * time.Minute
)

const signOutPage = `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>Sign out · Demo identity provider</title></head>
<body><h1>Sign out</h1>
<p>This ends your session at the demo identity provider, and at the app that you signed in to last.</p>
<form method="post" action="` + signOutPath + `"><button type="submit">Sign out</button></form></body>
</html>
`

func askToSignOut(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write([]byte(signOutPage)) // the reader may be gone
}

// signOut ends the browser's last session.
func (p *Provider) signOut(w http.ResponseWriter, r *http.Request) {
	if c, err := r.Cookie(sessionCookie); err == nil {
		p.store.end(r.Context(), c.Value)
		http.SetCookie(w, &http.Cookie{Name: sessionCookie, Path: "/", MaxAge: -1, HttpOnly: true, SameSite: http.SameSiteLaxMode}) // #nosec G124 -- plain HTTP on loopback
	}
	http.Redirect(w, r, signedOut, http.StatusSeeOther)
}

// tell has the client of a session that is over end its own. The person is
// signed out here whatever comes of it.
func (p *Provider) tell(ctx context.Context, s session) {
	p.store.mu.Lock()
	to := p.store.clients[s.client].BackChannelURI
	p.store.mu.Unlock()
	if to == "" {
		return
	}
	token, err := p.LogoutToken(s.client, s.subject, s.id)
	if err == nil {
		err = p.send(ctx, to, token)
	}
	if err != nil {
		p.log.Warn("a client was not told of a sign-out", "client", s.client, "error", err)
	}
}

// send makes a logout request (OpenID Connect Back-Channel Logout 1.0 §2.5).
func (p *Provider) send(ctx context.Context, to, token string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tokenWait)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to, strings.NewReader(url.Values{"logout_token": {token}}.Encode()))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := p.back.RoundTrip(req)
	if err != nil {
		return err
	}
	_ = resp.Body.Close() // the status says it all
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("answered %s", resp.Status)
	}
	return nil
}

// LogoutToken is what tells a client that a session is over, or without one, all
// of the subject's (§2.4).
func (p *Provider) LogoutToken(client, subject, session string) (string, error) {
	key := p.store.key
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: key.key, KeyID: key.id}},
		(&jose.SignerOptions{}).WithType("logout+jwt"))
	if err != nil {
		return "", fmt.Errorf("oidc provider: %w", err)
	}
	return crypto.Sign(oidc.NewLogoutTokenClaims(p.issuer, subject, oidc.Audience{client}, time.Now().Add(logoutTokenLife), rand.Text(), session, 0), signer)
}
