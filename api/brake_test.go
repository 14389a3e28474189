package api

import (
	"context"
	"net/http"
	"testing"
	"time"

	"gatehouse/audit"
	"gatehouse/authz"
	"gatehouse/directory"
	"gatehouse/directory/brake"
	"gatehouse/identity"
	"gatehouse/tenants"
)

// brakeRules are what a tenant has set, as the wiring reads them.
func (h *house) brakeRules(tenant identity.TenantID) brake.Rules {
	t, _ := h.tenants.ByID(tenant)
	share, window, least := t.Settings.SCIM.Brake.Limits()
	return brake.Rules{Off: t.Settings.SCIM.Brake.Off, Share: share, Window: window, Least: least}
}

var provider = audit.Cause{Actor: audit.Actor{Kind: identity.KindSCIMToken, ID: "tok_okta", Name: "okta"}}

// leavers are people whom a provider takes out until it is held: all but the last.
func (h *house) leavers(tenant *tenants.Tenant, count int) {
	h.t.Helper()
	for i := range count {
		u, err := h.people.CreateUser(h.t.Context(), audit.SystemCause(), tenant.ID, directory.User{UserName: string(identity.NewUserID()), Active: true, Source: directory.SourceSCIM})
		if err != nil {
			h.t.Fatal(err)
		}
		if err := h.people.DeleteUser(h.t.Context(), provider, tenant.ID, u.ID, 0); (err != nil) != (i == count-1) {
			h.t.Fatalf("number %d: %v", i, err)
		}
	}
}

func TestAHeldBrakeIsReleasedOrRejected(t *testing.T) {
	h := newHouse(t)
	admin := h.signIn(h.acme, "admin", "admin")
	open := into[scimBrake](admin.do("GET", "scim/brake", nil).want(http.StatusOK))
	if open.State != brake.Open || open.Since != nil || open.People != 1 || open.Limit != 10 || open.Share != 20 || open.Least != 10 || open.Window.String() != "1h0m0s" {
		t.Errorf("at first it is %+v", open)
	}
	h.leavers(h.acme, 11)
	r := admin.do("GET", "scim/brake", nil).want(http.StatusOK)
	held := into[scimBrake](r)
	if held.State != brake.Held || held.Departures != 10 || held.Limit != 10 || held.Token != "okta" || held.TokenID != "tok_okta" || held.EventID == "" || held.Since == nil || held.Until != nil {
		t.Errorf("held as %+v", held)
	}
	if globex := into[scimBrake](h.signIn(h.globex, "owner", "owner").do("GET", "scim/brake", nil).want(http.StatusOK)); globex.State != brake.Open || globex.Departures != 0 {
		t.Errorf("another tenant's is %+v", globex)
	}

	rejected := into[scimBrake](admin.do("POST", "scim/brake/reject", map[string]any{"until": time.Now().Add(time.Hour)}, "If-Match", r.header.Get("ETag")).want(http.StatusOK))
	if rejected.State != brake.Rejected || rejected.Until == nil || rejected.DecidedBy != admin.user.Email {
		t.Errorf("rejected as %+v", rejected)
	}
	admin.do("POST", "scim/brake/release", nil, "If-Match", r.header.Get("ETag")).problem(http.StatusPreconditionFailed, "changed-meanwhile")
	released := into[scimBrake](admin.do("POST", "scim/brake/release", nil).want(http.StatusOK))
	if released.State != brake.Released || released.Until == nil || released.Until.Sub(*released.Since) != time.Hour {
		t.Errorf("released as %+v", released)
	}
	again := into[scimBrake](admin.do("POST", "scim/brake/reset", nil).want(http.StatusOK))
	if again.State != brake.Open || again.Token != "" {
		t.Errorf("reset to %+v", again)
	}
	admin.do("POST", "scim/brake/release", map[string]any{"until": time.Now().Add(-time.Hour)}).problem(http.StatusBadRequest, "bad-until")
	admin.do("POST", "scim/brake/release", map[string]any{"until": "soon"}).problem(http.StatusUnprocessableEntity, "invalid-request")
	for _, kind := range []audit.Type{audit.BrakeHeld, audit.BrakeRejected, audit.BrakeReleased, audit.BrakeReset} {
		if told := h.recorded(h.acme, kind); len(told) != 1 || kind != audit.BrakeHeld && told[0].Actor.ID != string(admin.user.ID) {
			t.Errorf("%s: told as %+v", kind, told)
		}
	}
}

// Who may not delete people decides nothing about it, nor by the settings.
func TestABrakeIsSetByWhoMayDeletePeople(t *testing.T) {
	h := newHouse(t)
	if _, err := h.authz.PutRole(t.Context(), audit.SystemCause(), h.acme.ID, authz.Role{Name: "clerk",
		Permissions: []string{"gatehouse.settings:write", "gatehouse.settings:read", "gatehouse.users:write", "gatehouse.users:read"}}, 0); err != nil {
		t.Fatal(err)
	}
	clerk, admin := h.signIn(h.acme, "clerk", "clerk"), h.signIn(h.acme, "admin", "admin")
	h.leavers(h.acme, 11)
	clerk.do("GET", "scim/brake", nil).want(http.StatusOK)
	for _, what := range []string{"release", "reject", "reset"} {
		clerk.do("POST", "scim/brake/"+what, nil).problem(http.StatusForbidden, "not-allowed")
	}
	off := map[string]any{"display_name": "Acme", "scim": map[string]any{"brake": map[string]any{"off": true}}}
	if p := clerk.do("PUT", "settings", off).problem(http.StatusForbidden, "not-allowed"); p.EventID == "" {
		t.Error("the refusal has no record")
	}
	clerk.do("PUT", "settings", map[string]any{"display_name": "Acme Corp"}).want(http.StatusOK)
	for _, wrong := range []map[string]any{{"share": 0}, {"share": 101}, {"share": "20"}, {"window": "30s"}, {"window": "8000h"}, {"least": 0}, {"least": -1}, {"most": 5}} {
		if r := admin.do("PUT", "settings", map[string]any{"display_name": "x", "scim": map[string]any{"brake": wrong}}); r.status != http.StatusBadRequest && r.status != http.StatusUnprocessableEntity {
			t.Errorf("%v: status %d: %s", wrong, r.status, r.body)
		}
	}
	admin.do("PUT", "settings", off).want(http.StatusOK)
	if now := into[scimBrake](admin.do("GET", "scim/brake", nil).want(http.StatusOK)); now.State != brake.Off {
		t.Errorf("switched off it is %+v", now)
	}
	admin.do("POST", "scim/brake/release", nil).problem(http.StatusConflict, "brake-off")
	// Who leaves it as it is needs no more than to write settings.
	clerk.do("PUT", "settings", off).want(http.StatusOK)
	set := map[string]any{"share": 5, "window": "24h0m0s", "least": 1}
	admin.do("PUT", "settings", map[string]any{"display_name": "Acme", "scim": map[string]any{"brake": set}}).want(http.StatusOK)
	if now := into[scimBrake](admin.do("GET", "scim/brake", nil).want(http.StatusOK)); now.State != brake.Held || now.Share != 5 || now.Least != 1 || now.Window.String() != "24h0m0s" {
		t.Errorf("switched on again it is %+v", now)
	}
}

func TestABrakeIsAppliedAndExported(t *testing.T) {
	h := newHouse(t)
	operator := h.signIn(h.platform, "root", "owner")
	document := map[string]any{"kind": "Tenant", "name": "acme", "spec": map[string]any{"hosts": []string{"acme.localhost"},
		"settings": map[string]any{"scim": map[string]any{"brake": map[string]any{"share": 7, "window": "2h0m0s", "least": 5}}}}}
	apply := func(want action) {
		t.Helper()
		got := into[applyResult](operator.do("POST", "platform/apply", map[string]any{"documents": []any{document}}).want(http.StatusOK))
		if got.Failed || len(got.Results) != 1 || got.Results[0].Action != want {
			t.Errorf("applied as %+v, not %s", got, want)
		}
	}
	apply(changed)
	apply(unchanged)
	if rules := h.brakeRules(h.acme.ID); rules != (brake.Rules{Share: 7, Window: 2 * time.Hour, Least: 5}) {
		t.Errorf("applied as %+v", rules)
	}
	exported := into[exportResult](operator.do("GET", "platform/export?tenant=acme", nil).want(http.StatusOK))
	operator.do("POST", "platform/apply", map[string]any{"documents": []any{map[string]any{"kind": "Tenant", "name": "acme", "spec": map[string]any{"hosts": []string{"acme.localhost"}}}}}).want(http.StatusOK)
	if rules := h.brakeRules(h.acme.ID); rules.Share != 20 {
		t.Errorf("left out it is %+v", rules)
	}
	operator.do("POST", "platform/apply", map[string]any{"documents": exported.Documents}).want(http.StatusOK)
	if rules := h.brakeRules(h.acme.ID); rules.Share != 7 || rules.Least != 5 {
		t.Errorf("exported and applied again it is %+v", rules)
	}
}

// late is a policy that takes its time: something else comes true before it answers.
type late struct {
	Policy
	meanwhile func()
}

func (l *late) Decide(ctx context.Context, p *identity.Principal, q authz.Query) (authz.Permit, authz.Decision, error) {
	permit, decision, err := l.Policy.Decide(ctx, p, q)
	if do := l.meanwhile; q.Permission == deletes("users") && do != nil {
		l.meanwhile = nil
		do()
	}
	return permit, decision, err
}

// Whether somebody leaves the brake as it is, is said of the moment in which they do.
func TestABrakeThatIsSetMeanwhileIsNotSetBack(t *testing.T) {
	h := newHouse(t)
	if _, err := h.authz.PutRole(t.Context(), audit.SystemCause(), h.acme.ID, authz.Role{Name: "clerk", Permissions: []string{"gatehouse.settings:write", "gatehouse.settings:read"}}, 0); err != nil {
		t.Fatal(err)
	}
	clerk, admin := h.signIn(h.acme, "clerk", "clerk"), h.signIn(h.acme, "admin", "admin")
	strict := map[string]any{"display_name": "Acme", "scim": map[string]any{"brake": map[string]any{"share": 1, "least": 1}}}
	h.api.cfg.Policy = &late{h.api.cfg.Policy, func() { admin.do("PUT", "settings", strict).want(http.StatusOK) }}
	clerk.do("PUT", "settings", map[string]any{"display_name": "Acme Corp"}).problem(http.StatusForbidden, "not-allowed")
	if rules := h.brakeRules(h.acme.ID); rules.Share != 1 {
		t.Errorf("it is set back to %+v", rules)
	}
}
