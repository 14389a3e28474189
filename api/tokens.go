package api

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"time"

	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/tenants"
)

type createTokenInput struct {
	Body struct {
		Name       string   `json:"name" minLength:"1" maxLength:"100"`
		Scope      string   `json:"scope" enum:"api,scim"`
		Kind       string   `json:"kind,omitempty" enum:"token,client" default:"token" doc:"client: an OAuth client for SCIM, which gets access tokens by its id and secret"`
		Role       string   `json:"role,omitempty" maxLength:"63" doc:"Account-wide role; needed for scope api"`
		Connection string   `json:"connection,omitempty" maxLength:"63" doc:"Name of the connection whose provider is to use it, for scope scim"`
		Access     []string `json:"access,omitempty" maxItems:"6" enum:"users:read,users:write,users:delete,groups:read,groups:write,groups:delete" doc:"What of SCIM it may use, each word for itself; absent: all"`
		Expires    int      `json:"expires_in_days,omitempty" minimum:"1" maximum:"365" default:"90"`
	}
}

// createdToken is the one answer that holds the secret.
type createdToken struct {
	Token
	Secret string `json:"secret" doc:"Shown once; it cannot be read again"`
}

func (a *API) registerTokens() {
	register(a, operation{id: "list-tokens", method: http.MethodGet, path: "/tokens", tag: "Tokens", needs: reads("tokens"),
		summary: "List API and SCIM tokens, and OAuth clients"}, a.listTokens)
	register(a, operation{id: "create-token", method: http.MethodPost, path: "/tokens", tag: "Tokens", needs: writes("tokens"), secret: true,
		status: http.StatusCreated, summary: "Make a token or OAuth client; the secret is in this answer only. One for SCIM takes the right to make owners, an API token that to give its role"}, a.createToken)
	register(a, operation{id: "rotate-token", method: http.MethodPost, path: "/tokens/{id}/rotate", tag: "Tokens", needs: writes("tokens"), secret: true,
		status: http.StatusCreated, summary: "Make a SCIM token, or another secret of an OAuth client, that takes the place of this one, which stays good for the overlap; the secret is in this answer only. It takes the right to make owners"}, a.rotateToken)
	register(a, operation{id: "take-over-token", method: http.MethodPost, path: "/tokens/{id}/take-over", tag: "Tokens", needs: writes("tokens"),
		status: http.StatusOK, summary: "Make an API token end with you, and no more with whose it was. It takes the right to give its role"}, a.takeOverToken)
	register(a, operation{id: "revoke-token", method: http.MethodDelete, path: "/tokens/{id}", tag: "Tokens", needs: deletes("tokens"),
		summary: "Revoke a token at once"}, a.revokeToken)
}

func (a *API) listTokens(ctx context.Context, c *call, in *Paging) (*pageOutput[Token], error) {
	found, err := a.cfg.Tokens.List(ctx, c.tenant())
	if err == nil {
		err = a.nameConnections(ctx, c.tenant(), found)
	}
	if err != nil {
		return nil, err
	}
	return pageWithin(*in, found, func(x Token) string { return string(x.ID) }, func(t Token) Token { return t }), nil
}

// nameConnections says of which connections tokens are.
func (a *API) nameConnections(ctx context.Context, tenant identity.TenantID, tokens []Token) error {
	if !slices.ContainsFunc(tokens, func(t Token) bool { return t.ConnectionID != "" }) {
		return nil
	}
	all, err := a.cfg.Connections.Connections(ctx, tenant)
	for _, connection := range all {
		for i := range tokens {
			if t := &tokens[i]; t.ConnectionID == connection.ID {
				t.Connection = connection.Name
			}
		}
	}
	return err
}

func (a *API) createToken(ctx context.Context, c *call, in *createTokenInput) (*bodyOutput[createdToken], error) {
	wanted := Token{Name: in.Body.Name, Scope: in.Body.Scope, Role: in.Body.Role, Kind: in.Body.Kind, Connection: in.Body.Connection, Access: in.Body.Access}
	switch {
	case wanted.Scope == "api" && wanted.Role == "":
		return nil, fault.New(fault.Invalid, "role-needed", "An API token needs a role: what its bearer may do.")
	case wanted.Scope == "scim" && wanted.Role != "":
		return nil, fault.New(fault.Invalid, "role-not-allowed", "A SCIM token has no role: it can provision people and nothing else.")
	}
	if err := a.mayMake(ctx, c, wanted); err != nil {
		return nil, err
	}
	if wanted.Connection != "" {
		connection, err := a.cfg.Connections.Connection(ctx, c.tenant(), wanted.Connection)
		if fault.Is(err, fault.NotFound) {
			err = fault.New(fault.Invalid, "no-such-connection", "There is no such connection.").At("connection")
		}
		if err != nil {
			return nil, err
		}
		wanted.ConnectionID = connection.ID
	}
	if wanted.Scope == "api" {
		var err error
		if wanted.Owner, err = a.owner(ctx, c); err != nil {
			return nil, err
		}
	}
	wanted.ExpiresAt = timestamp(time.Now().AddDate(0, 0, in.Body.Expires))
	made, secret, err := a.cfg.Tokens.Create(ctx, c.cause, c.tenant(), wanted)
	if err != nil {
		return nil, err
	}
	made.Connection = wanted.Connection
	return &bodyOutput[createdToken]{createdToken{Token: made, Secret: secret}}, nil
}

// mayMake refuses a token to whoever has not the rights that it gives.
func (a *API) mayMake(ctx context.Context, c *call, t Token) error {
	if t.Scope == "scim" {
		return a.mayMakeOwners(ctx, c, "Who provisions people can put anybody into any group.")
	}
	return a.cfg.Policy.MayGrant(ctx, c.principal, c.tenant(), t.Role, "")
}

// owner is whose a token is that the caller makes: of a person, theirs. What a token
// makes is whose the token is, so that nobody outlives themselves by it; a service, which
// is disabled and deleted as well, could leave one behind that is nobody's.
func (a *API) owner(ctx context.Context, c *call) (identity.UserID, error) {
	switch p := c.principal; {
	case p == nil || p.Tenant != c.tenant():
		return "", nil // an operator
	case p.Kind == identity.KindService:
		return "", fault.New(fault.Denied, "person-needed", "A service makes no API tokens, since they would outlive it. Sign in, or let the program be a service of its own.")
	case p.Kind == identity.KindAPIToken:
		own, err := a.cfg.Tokens.Find(ctx, c.tenant(), identity.TokenID(p.ID))
		return own.Owner, err
	default:
		return p.User, nil
	}
}

type rotateTokenInput struct {
	ByID[identity.TokenID]
	Body *struct {
		Overlap tenants.Duration `json:"overlap,omitzero" doc:"How long the old one stays good, from 1m to 168h; absent: 24h"`
		Expires int              `json:"expires_in_days,omitempty" minimum:"1" maximum:"365" default:"90"`
	}
}

func (a *API) rotateToken(ctx context.Context, c *call, in *rotateTokenInput) (*bodyOutput[createdToken], error) {
	old, err := a.changeable(ctx, c, in.ID)
	if err != nil {
		return nil, err
	}
	days, overlap := 90, time.Duration(0)
	if in.Body != nil {
		days, overlap = cmp.Or(in.Body.Expires, days), time.Duration(in.Body.Overlap)
	}
	made, secret, err := a.cfg.Tokens.Rotate(ctx, c.cause, c.tenant(), in.ID, overlap, time.Now().AddDate(0, 0, days))
	if err != nil {
		return nil, err
	}
	made.Connection = old.Connection
	return &bodyOutput[createdToken]{createdToken{Token: made, Secret: secret}}, nil
}

func (a *API) takeOverToken(ctx context.Context, c *call, in *ByID[identity.TokenID]) (*bodyOutput[Token], error) {
	if _, err := a.changeable(ctx, c, in.ID); err != nil {
		return nil, err
	}
	taken, err := a.cfg.Tokens.TakeOver(ctx, c.cause, c.tenant(), in.ID, c.principal.User)
	if err != nil {
		return nil, err
	}
	return &bodyOutput[Token]{taken}, nil
}

// changeable finds a token that the caller might have made.
func (a *API) changeable(ctx context.Context, c *call, id identity.TokenID) (Token, error) {
	found, err := a.cfg.Tokens.Find(ctx, c.tenant(), id)
	if err == nil {
		err = a.mayMake(ctx, c, found)
	}
	if err != nil {
		return Token{}, err
	}
	one := []Token{found}
	err = a.nameConnections(ctx, c.tenant(), one)
	return one[0], err
}

func (a *API) revokeToken(ctx context.Context, c *call, in *ByID[identity.TokenID]) (*struct{}, error) {
	return nil, a.cfg.Tokens.Revoke(ctx, c.cause, c.tenant(), in.ID)
}
