package api

import (
	"context"
	"net/http"
	"slices"
	"time"

	"gatehouse/identity"
	"gatehouse/internal/fault"
)

type createTokenInput struct {
	Body struct {
		Name    string `json:"name" minLength:"1" maxLength:"100"`
		Scope   string `json:"scope" enum:"api,scim"`
		Role    string `json:"role,omitempty" maxLength:"63" doc:"Account-wide role; needed for scope api"`
		Expires int    `json:"expires_in_days,omitempty" minimum:"1" maximum:"365" default:"90"`
	}
}

// createdToken is the one answer that holds the secret.
type createdToken struct {
	Token
	Secret string `json:"secret" doc:"Shown once; it cannot be read again"`
}

func (a *API) registerTokens() {
	register(a, operation{id: "list-tokens", method: http.MethodGet, path: "/tokens", tag: "Tokens", needs: reads("tokens"),
		summary: "List API and SCIM tokens"}, a.listTokens)
	register(a, operation{id: "create-token", method: http.MethodPost, path: "/tokens", tag: "Tokens", needs: writes("tokens"), secret: true,
		status: http.StatusCreated, summary: "Make a token; the secret is in this answer only. A SCIM token takes the right to make owners, an API token that to give its role"}, a.createToken)
	register(a, operation{id: "revoke-token", method: http.MethodDelete, path: "/tokens/{id}", tag: "Tokens", needs: deletes("tokens"),
		summary: "Revoke a token at once"}, a.revokeToken)
}

func (a *API) listTokens(ctx context.Context, c *call, in *Paging) (*pageOutput[Token], error) {
	found, err := a.cfg.Tokens.List(ctx, c.tenant())
	if err != nil {
		return nil, err
	}
	return pageWithin(*in, found, func(x Token) string { return string(x.ID) }, func(t Token) Token { return t }), nil
}

func (a *API) createToken(ctx context.Context, c *call, in *createTokenInput) (*bodyOutput[createdToken], error) {
	wanted := Token{Name: in.Body.Name, Scope: in.Body.Scope, Role: in.Body.Role}
	switch {
	case wanted.Scope == "api" && wanted.Role == "":
		return nil, fault.New(fault.Invalid, "role-needed", "An API token needs a role: what its bearer may do.")
	case wanted.Scope == "scim" && wanted.Role != "":
		return nil, fault.New(fault.Invalid, "role-not-allowed", "A SCIM token has no role: it can provision people and nothing else.")
	case wanted.Scope == "scim":
		if err := a.mayMakeOwners(ctx, c, "Who provisions people can put anybody into any group."); err != nil {
			return nil, err
		}
	default:
		if err := a.cfg.Policy.MayGrant(ctx, c.principal, c.tenant(), wanted.Role, ""); err != nil {
			return nil, err
		}
	}
	wanted.ExpiresAt = timestamp(time.Now().AddDate(0, 0, in.Body.Expires))
	made, secret, err := a.cfg.Tokens.Create(ctx, c.cause, c.tenant(), wanted)
	if err != nil {
		return nil, err
	}
	return &bodyOutput[createdToken]{createdToken{Token: made, Secret: secret}}, nil
}

func (a *API) revokeToken(ctx context.Context, c *call, in *ByID[identity.TokenID]) (*struct{}, error) {
	found, err := a.cfg.Tokens.List(ctx, c.tenant())
	if err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(found, func(t Token) bool { return t.ID == in.ID }) {
		return nil, fault.New(fault.NotFound, "no-such-token", "There is no such token.")
	}
	return nil, a.cfg.Tokens.Revoke(ctx, c.cause, c.tenant(), in.ID)
}
