package oidc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"

	gooidc "github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"gatehouse/authn"
	"gatehouse/identity"
	"gatehouse/sessions"
	"gatehouse/tenants"
)

// refresh is what is kept, sealed, to ask the provider again about somebody.
type refresh struct {
	Token string `json:"token"`
	// Of the sign-in, which what comes later must be about (OpenID Connect Core §12.2).
	Subject string `json:"sub"`
	Issuer  string `json:"iss"`
	Nonce   string `json:"nonce"`
}

// keptFor makes what is kept of a sign-in.
func keptFor(token *oauth2.Token, id *gooidc.IDToken, nonce string) (string, error) {
	if token.RefreshToken == "" {
		return "", authn.Refuse(authn.RefreshMissing, "The connection has recheck set, and the identity provider gave no refresh token: it may have to allow the client offline access, or need prompt: [consent].")
	}
	return refresh{Token: token.RefreshToken, Subject: id.Subject, Issuer: id.Issuer, Nonce: nonce}.text()
}

func (r refresh) text() (string, error) {
	text, err := json.Marshal(r)
	if err != nil {
		return "", fmt.Errorf("oidc: keep the refresh token: %w", err)
	}
	if len(text) > sessions.MaxRefresh {
		return "", authn.Refuse(authn.TooLarge, "The identity provider's refresh token is longer than %d bytes.", sessions.MaxRefresh)
	}
	return string(text), nil
}

// Recheck implements [authn.Rechecker] by a refresh (OpenID Connect Core §12).
func (p *Protocol) Recheck(ctx context.Context, tenant identity.TenantID, c tenants.Connection, text string) (authn.Rechecked, error) {
	var kept refresh
	if err := json.Unmarshal([]byte(text), &kept); err != nil {
		return authn.Rechecked{}, fmt.Errorf("oidc: read what was kept for a refresh: %w", err)
	}
	idp, err := p.providers.Of(ctx, tenant, c)
	if err != nil {
		return authn.Rechecked{}, err
	}
	// A parameter without a value counts as left out (RFC 6749 §3.2): so do the code
	// and the scope, which stays as it was (§6).
	token, err := p.redeem(ctx, tenant, c, idp, "", "", oauth2.SetAuthURLParam("grant_type", "refresh_token"), oauth2.SetAuthURLParam("refresh_token", kept.Token))
	if err != nil {
		return authn.Rechecked{}, refreshFailed(err)
	}
	var now authn.Rechecked
	if token.RefreshToken != "" && token.RefreshToken != kept.Token {
		kept.Token = token.RefreshToken
		if now.Refresh, err = kept.text(); err != nil {
			// The old one may be of no use any more, and showing it once more look like theft
			// (RFC 9700 §4.14.2).
			return authn.Rechecked{}, authn.Refuse(authn.RefreshUnkeepable, "The identity provider's next refresh token cannot be kept, so nobody can be asked about the person again.").Because(err)
		}
	}
	now.Assertion, err = p.rechecked(ctx, c, idp, kept, token)
	return now, err
}

// rechecked is what a refresh says of the person.
func (p *Protocol) rechecked(ctx context.Context, c tenants.Connection, idp *provider, kept refresh, token *oauth2.Token) (*authn.Assertion, error) {
	raw, _ := token.Extra("id_token").(string)
	if raw == "" {
		return p.asked(ctx, c, idp, kept, token)
	}
	v := idVerification{verification: p.verifying(anIDToken, idp, c.OIDC), checks: idTokenChecks, nonce: kept.Nonce, subject: kept.Subject, issuer: kept.Issuer}
	id, err := v.verify(ctx, raw, token.AccessToken)
	if err != nil {
		return nil, err
	}
	a, err := p.person(ctx, c, idp, id, token)
	return &a, err
}

// asked is the same where the refresh brought no id token.
func (p *Protocol) asked(ctx context.Context, c tenants.Connection, idp *provider, kept refresh, token *oauth2.Token) (*authn.Assertion, error) {
	if idp.UserInfoEndpoint() == "" {
		return nil, nil
	}
	said := claims{}
	if err := p.ask(ctx, idp, kept.Subject, token, said); err != nil {
		return nil, err
	}
	a := said.assertion(kept.Subject, c.OIDC.Claims)
	a.Issuer = kept.Issuer
	return &a, nil
}

// refusals are the answers to a refresh that are about the person, or about what they
// have allowed (RFC 6749 §5.2, OpenID Connect Core §3.1.2.6).
var refusals = []string{"invalid_grant", "access_denied", "interaction_required", "login_required", "consent_required", "account_selection_required"}

// refreshFailed tells a refusal from a provider that is not there, or not for us.
func refreshFailed(err error) error {
	if ours(err) {
		return err
	}
	answered, ok := errors.AsType[*oauth2.RetrieveError](err)
	switch {
	case !ok || answered.Response == nil, answered.Response.StatusCode >= http.StatusInternalServerError, answered.Response.StatusCode == http.StatusTooManyRequests:
		return authn.Refuse(authn.ProviderUnreachable, "The identity provider did not answer about the person.").Because(unquoted(err))
	case slices.Contains(refusals, answered.ErrorCode):
		return authn.Refuse(authn.RefreshRefused, "The identity provider refused the refresh with the error %s.", answered.ErrorCode)
	}
	return authn.Refuse(authn.ProviderUnusable, "The identity provider answered a refresh with the error %s.", errorName(answered.ErrorCode))
}
