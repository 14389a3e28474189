package api

import (
	"context"
	"net/http"
	"testing"

	"gatehouse/audit"
	"gatehouse/authn/mfa"
	"gatehouse/identity"
	"gatehouse/internal/store"
	"gatehouse/sessions"
	"gatehouse/tenants"
)

// factors speaks the API's form of them over the room, as the wiring does.
type factors struct{ service *mfa.Service }

func (f factors) Held(ctx context.Context, tenant identity.TenantID, user identity.UserID) (FactorsHeld, error) {
	held, err := f.service.Held(ctx, tenant, user)
	view := FactorsHeld{Items: []Factor{}, RecoveryCodes: held.RecoveryCodes}
	for _, one := range held.Factors {
		view.Items = append(view.Items, Factor{ID: one.ID, Kind: string(one.Kind), Name: one.Name, CreatedAt: one.Created, LastUsedAt: one.Used})
	}
	return view, err
}

func (f factors) Reset(ctx context.Context, cause audit.Cause, tenant identity.TenantID, user identity.UserID) (int, error) {
	return f.service.Reset(ctx, cause, tenant, user)
}

// factor gives a person a factor that nobody can show.
func (h *house) factor(tenant identity.TenantID, user identity.UserID) {
	h.t.Helper()
	err := h.db.Tenant(tenant).Write(h.t.Context(), func(tx *store.Tx) error {
		if _, err := tx.Exec(h.t.Context(), `INSERT INTO factors (id, user_id, kind, name, rp_id, secret, used_step, created_at, used_at)
			VALUES ($1, $2, 'totp', 'phone', '', $3, 0, 1, 1)`, "fac_"+string(user), user, []byte("x")); err != nil {
			return err
		}
		_, err := tx.Exec(h.t.Context(), `INSERT INTO recovery_codes (user_id, code_hash) VALUES ($1, $2)`, user, []byte("x"))
		return err
	})
	if err != nil {
		h.t.Fatal(err)
	}
}

// An admin's reset takes the factors, ends the sessions before the answer, and is in
// the journal; it is not for those whose roles the admin could not give.
func TestP2_FactorsAreReset(t *testing.T) {
	h := newHouse(t)
	owner, admin, member := h.signIn(h.acme, "owner", "owner"), h.signIn(h.acme, "admin", "admin"), h.signIn(h.acme, "member", "member")
	for _, one := range []*visitor{owner, admin, member} {
		h.factor(h.acme.ID, one.user.ID)
	}
	path := func(v *visitor) string { return "users/" + string(v.user.ID) + "/factors" }
	held := into[FactorsHeld](admin.do("GET", path(member), nil).want(http.StatusOK))
	if len(held.Items) != 1 || held.Items[0].Kind != "totp" || held.Items[0].Name != "phone" || held.RecoveryCodes != 1 {
		t.Errorf("held: %+v", held)
	}
	member.do("GET", path(admin), nil).problem(http.StatusForbidden, "not-allowed")
	member.do("DELETE", path(admin), nil).problem(http.StatusForbidden, "not-allowed")
	admin.do("DELETE", path(owner), nil).problem(http.StatusForbidden, "more-than-you-have")
	if p := admin.do("DELETE", path(admin), nil).problem(http.StatusForbidden, "own-factors"); p.EventID == "" {
		t.Errorf("their own: %+v", p)
	}
	admin.do("DELETE", "users/usr_nobody/factors", nil).want(http.StatusNotFound)
	h.signIn(h.globex, "other", "owner").do("DELETE", path(member), nil).want(http.StatusNotFound)
	if left := into[FactorsHeld](owner.do("GET", path(owner), nil).want(http.StatusOK)); len(left.Items) != 1 {
		t.Errorf("the owner has %+v", left)
	}
	done := into[revocation](admin.do("DELETE", path(member), nil).want(http.StatusOK))
	if done.Sessions != 1 {
		t.Errorf("ended %+v", done)
	}
	if live, _, err := h.sessions.List(t.Context(), h.acme.ID, sessions.Filter{User: member.user.ID, State: sessions.StateLive}); err != nil || len(live) != 0 {
		t.Errorf("%+v live, %v", live, err)
	}
	if left := into[FactorsHeld](admin.do("GET", path(member), nil).want(http.StatusOK)); len(left.Items) != 0 || left.RecoveryCodes != 0 {
		t.Errorf("left are %+v", left)
	}
	var reset []audit.Event
	for e, err := range h.journal.All(t.Context(), h.acme.ID) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Type == audit.FactorsReset {
			reset = append(reset, e)
		}
	}
	if len(reset) != 1 || reset[0].Actor.ID != string(admin.user.ID) || reset[0].Target.ID != string(member.user.ID) || reset[0].Details["factors"] != "1" {
		t.Errorf("recorded as %+v", reset)
	}
	owner.do("DELETE", path(admin), nil).want(http.StatusOK)
}

func TestSecondFactorSettings(t *testing.T) {
	h := newHouse(t)
	admin := h.signIn(h.acme, "admin", "admin")
	set := map[string]any{"display_name": "Acme", "second_factor": map[string]any{"policy": "unless_provider", "acr_values": []string{"urn:mfa"}}}
	admin.do("PUT", "settings", set).want(http.StatusOK)
	kept := into[tenantSettings](admin.do("GET", "settings", nil).want(http.StatusOK))
	if !kept.SecondFactor.Equal(tenants.SecondFactor{Policy: tenants.FactorUnlessProvider, ACRValues: []string{"urn:mfa"}}) {
		t.Errorf("kept %+v", kept)
	}
	set["second_factor"] = map[string]any{"policy": "sometimes"}
	if got := admin.do("PUT", "settings", set); got.status != http.StatusUnprocessableEntity && got.status != http.StatusBadRequest {
		t.Errorf("another policy: %d", got.status)
	}
	set["second_factor"] = map[string]any{"acr_values": []string{"a b"}}
	admin.do("PUT", "settings", set).problem(http.StatusBadRequest, "bad-settings")
}
