package api

import (
	"context"
	"net/http"
	"time"

	"gatehouse/audit"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/sessions"
)

// endedByReset is the reason of sessions that end with their person's factors.
const endedByReset = "factors-reset"

// Factors keeps what people prove themselves with beside their identity provider.
type Factors interface {
	Held(ctx context.Context, tenant identity.TenantID, user identity.UserID) (FactorsHeld, error)
	// Reset takes all away. It does not end sessions, and may be repeated.
	Reset(ctx context.Context, cause audit.Cause, tenant identity.TenantID, user identity.UserID) (int, error)
}

// FactorsHeld is all that a person has.
type FactorsHeld struct {
	Items         []Factor `json:"items"`
	RecoveryCodes int      `json:"recovery_codes" doc:"How many recovery codes are left"`
}

// Factor is one second factor.
type Factor struct {
	ID         string    `json:"id"`
	Kind       string    `json:"kind" enum:"totp,passkey"`
	Name       string    `json:"name" doc:"As its person calls it"`
	Host       string    `json:"host,omitempty" doc:"Where a passkey counts"`
	CreatedAt  time.Time `json:"created_at"`
	LastUsedAt time.Time `json:"last_used_at"`
}

func (a *API) registerFactors() {
	register(a, operation{id: "list-factors", method: http.MethodGet, path: "/users/{id}/factors", tag: "Users", needs: reads("users"),
		summary: "List a person's second factors"}, a.listFactors)
	register(a, operation{id: "reset-factors", method: http.MethodDelete, path: "/users/{id}/factors", tag: "Users", needs: writes("users"),
		status: http.StatusOK, summary: "Take all second factors and recovery codes from a person, who sets up new ones at the next sign-in that asks for one; ends all sessions before the answer"}, a.resetFactors)
}

func (a *API) listFactors(ctx context.Context, c *call, in *ByID[identity.UserID]) (*bodyOutput[FactorsHeld], error) {
	if _, err := a.cfg.People.User(ctx, c.tenant(), in.ID); err != nil {
		return nil, err
	}
	held, err := a.cfg.Factors.Held(ctx, c.tenant(), in.ID)
	if err != nil {
		return nil, err
	}
	return &bodyOutput[FactorsHeld]{held}, nil
}

var errOwnFactors = fault.New(fault.Denied, "own-factors", "Your own second factors are changed at /.gatehouse/mfa, by showing one of them. If you have lost them, ask somebody else.")

// resetFactors lets somebody in by their identity provider alone until they have set
// up another factor: so it is for who could give them all that they have, and for
// nobody themselves, whose session somebody else may have got hold of.
func (a *API) resetFactors(ctx context.Context, c *call, in *ByID[identity.UserID]) (*bodyOutput[revocation], error) {
	person, err := a.cfg.People.Person(ctx, c.tenant(), in.ID)
	if err != nil {
		return nil, err
	}
	if c.principal.User == in.ID {
		return nil, errOwnFactors
	}
	if err := a.mayMove(ctx, c, heldBy(in.ID, person.Groups)); err != nil {
		return nil, err
	}
	if _, err := a.cfg.Factors.Reset(ctx, c.cause, c.tenant(), in.ID); err != nil {
		return nil, err
	}
	return a.revoke(ctx, c, sessions.Selector{User: in.ID}, endedByReset)
}
