package api

import (
	"context"
	"net/http"
	"time"

	"gatehouse/audit"
	"gatehouse/authz"
	"gatehouse/directory/brake"
	"gatehouse/identity"
	"gatehouse/tenants"
)

// Brake holds back SCIM tokens that take out many people at once. until may be the zero
// time.
type Brake interface {
	Standing(ctx context.Context, tenant identity.TenantID) (brake.Standing, error)
	Release(ctx context.Context, cause audit.Cause, tenant identity.TenantID, ifVersion uint64, until time.Time) (brake.Standing, error)
	Reject(ctx context.Context, cause audit.Cause, tenant identity.TenantID, ifVersion uint64, until time.Time) (brake.Standing, error)
	Reset(ctx context.Context, cause audit.Cause, tenant identity.TenantID, ifVersion uint64) (brake.Standing, error)
}

// scimBrake is how the brake stands.
type scimBrake struct {
	State      brake.State      `json:"state" enum:"off,open,held,released,rejected" doc:"off: by the settings. open: departures are counted, and go through. held: too many, so that none goes through until somebody decides. released: all go through. rejected: none goes through"`
	Since      *time.Time       `json:"since,omitempty" doc:"When it came to be so; absent: ever since"`
	Until      *time.Time       `json:"until,omitempty" doc:"When it is open again, and departures count anew; absent: somebody has to decide"`
	Departures int              `json:"departures" doc:"How many people SCIM tokens and Google Workspace have deactivated, deleted or left without a role within the window, or since it was released or reset; while it is held, as it was when that began"`
	People     int              `json:"people" doc:"Of how many: those who are active, and those who have left, as they were last counted"`
	Limit      int              `json:"limit" doc:"How many may"`
	Share      int              `json:"share" doc:"Percent of the people who may leave within the window"`
	Window     tenants.Duration `json:"window"`
	Least      int              `json:"least" doc:"How many may in any case"`
	TokenID    identity.TokenID `json:"token_id,omitempty" doc:"The token by which it was held last"`
	Token      string           `json:"token,omitempty" doc:"Its name"`
	DecidedBy  string           `json:"decided_by,omitempty" doc:"Who has released, rejected or reset it"`
	EventID    identity.EventID `json:"event_id,omitempty" doc:"The record by which it is in this state"`
}

// What it takes to let go on, or to hold back, who leaves: it is the right to delete
// people. Which people, the token says, whose maker had the right to make owners.
func (a *API) registerBrake() {
	register(a, operation{id: "get-scim-brake", method: http.MethodGet, path: "/scim/brake", tag: "SCIM", needs: reads("users"),
		summary: "Show whether the brake on mass changes by SCIM is held, and how many people have left"}, a.getBrake)
	register(a, operation{id: "release-scim-brake", method: http.MethodPost, path: "/scim/brake/release", tag: "SCIM", needs: deletes("users"),
		status: http.StatusOK, summary: "Let SCIM tokens deactivate and delete anybody for a while, however many; they are counted anew after that"}, a.releaseBrake)
	register(a, operation{id: "reject-scim-brake", method: http.MethodPost, path: "/scim/brake/reject", tag: "SCIM", needs: deletes("users"),
		status: http.StatusOK, summary: "Let SCIM tokens deactivate and delete nobody; all else that they do goes on"}, a.rejectBrake)
	register(a, operation{id: "reset-scim-brake", method: http.MethodPost, path: "/scim/brake/reset", tag: "SCIM", needs: deletes("users"),
		status: http.StatusOK, summary: "Take back what was decided, or that it is held: who leaves is counted anew"}, a.resetBrake)
}

type decideBrakeInput struct {
	Condition
	Body *struct {
		Until *time.Time `json:"until,omitempty" doc:"At most 7 days from now. Absent: a release is over after one window, and a rejection when somebody decides otherwise"`
	}
}

// decision is the version that the caller knows, and until when what they decide holds.
func (in *decideBrakeInput) decision() (version uint64, until time.Time, err error) {
	if in.Body != nil && in.Body.Until != nil {
		until = *in.Body.Until
	}
	version, err = in.version()
	return version, until, err
}

func shownBrake(s brake.Standing, err error) (*versioned[scimBrake], error) {
	if err != nil {
		return nil, err
	}
	return withVersion(s.Version, scimBrake{State: s.State, Since: timestamp(s.Since), Until: timestamp(s.Until), Departures: s.Departures, People: s.People,
		Limit: s.Limit, Share: s.Rules.Share, Window: tenants.Duration(s.Rules.Window), Least: s.Rules.Least,
		TokenID: identity.TokenID(s.Token.ID), Token: s.Token.Name, DecidedBy: s.DecidedBy, EventID: s.Event}), nil
}

func (a *API) getBrake(ctx context.Context, c *call, _ *struct{}) (*versioned[scimBrake], error) {
	return shownBrake(a.cfg.Brake.Standing(ctx, c.tenant()))
}

func (a *API) releaseBrake(ctx context.Context, c *call, in *decideBrakeInput) (*versioned[scimBrake], error) {
	version, until, err := in.decision()
	if err != nil {
		return nil, err
	}
	return shownBrake(a.cfg.Brake.Release(ctx, c.cause, c.tenant(), version, until))
}

func (a *API) rejectBrake(ctx context.Context, c *call, in *decideBrakeInput) (*versioned[scimBrake], error) {
	version, until, err := in.decision()
	if err != nil {
		return nil, err
	}
	return shownBrake(a.cfg.Brake.Reject(ctx, c.cause, c.tenant(), version, until))
}

func (a *API) resetBrake(ctx context.Context, c *call, in *struct{ Condition }) (*versioned[scimBrake], error) {
	version, err := in.version()
	if err != nil {
		return nil, err
	}
	return shownBrake(a.cfg.Brake.Reset(ctx, c.cause, c.tenant(), version))
}

// mayBrake gives why a caller may not set the brake otherwise than it is when that is done:
// whoever may not release it. refusal is nil if they may.
func (a *API) mayBrake(ctx context.Context, c *call) (refusal, err error) {
	query := authz.Query{Tenant: c.tenant(), Access: authz.NeedPermission, Permission: deletes("users")}
	permit, _, err := a.cfg.Policy.Decide(ctx, c.principal, query)
	if err == nil && !permit.Valid(c.tenant()) {
		refusal = query.Refusal(c.principal)
	}
	return refusal, err
}
