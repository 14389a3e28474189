package tenants_test

import (
	"testing"

	"gatehouse/internal/fault"
	"gatehouse/internal/store"
	"gatehouse/tenants"
)

// earlier has a tenant's connections be what an earlier release kept.
func (h *house) earlier(t *testing.T, tenant *tenants.Tenant, statement string) {
	t.Helper()
	must(t, h.db.Tenant(tenant.ID).Write(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(t.Context(), statement)
		return err
	}))
	h.open(t)
}

// What was kept under earlier rules can be closed under those of today, and nothing
// else can be made of it.
func TestP2_WhatWasKeptOnceCanBeClosed(t *testing.T) {
	h := newHouse(t)
	ctx := t.Context()
	for name, c := range map[string]struct{ statement, called string }{
		"a name that is taken by now": {`UPDATE connections SET name = 'local'`, "local"},
		"a name that is none":         {`UPDATE connections SET name = 'Okta_1'`, "Okta_1"},
		"a spec against the rules":    {`UPDATE connections SET spec = '{"oidc":{"issuer":"http://idp.example.com","client_id":""},"link":"ever"}'`, "okta"},
	} {
		tenant := h.add(t, "t"+string(rune('a'+len(h.service.List()))))
		_, err := h.service.PutConnection(ctx, cause, tenant.ID, oidc("okta"))
		must(t, err)
		h.earlier(t, tenant, c.statement)
		kept, err := h.service.Connection(ctx, tenant.ID, c.called)
		must(t, err)

		for what, spoil := range map[string]func(*tenants.Connection){
			"as it is":             func(*tenants.Connection) {},
			"with something else":  func(c *tenants.Connection) { c.Enabled, c.DefaultRole = false, "admin" },
			"with another secret":  func(c *tenants.Connection) { c.Enabled, c.OIDC.ClientSecret = false, "other" },
			"without what it says": func(c *tenants.Connection) { c.Enabled, c.OIDC = false, nil },
		} {
			wanted, err := h.service.Connection(ctx, tenant.ID, c.called)
			must(t, err)
			spoil(&wanted)
			_, err = h.service.PutConnection(ctx, cause, tenant.ID, wanted)
			wantFault(t, name+", "+what, err, fault.Invalid)
			wantFault(t, name+", checked "+what, wanted.Check(kept), fault.Invalid)
		}

		kept.Enabled = false
		must(t, kept.Check(kept))
		closed, err := h.service.PutConnection(ctx, cause, tenant.ID, kept)
		must(t, err)
		again, err := h.service.PutConnection(ctx, cause, tenant.ID, closed) // as deleting it does once more
		if err != nil || again.Enabled || again.ID != kept.ID || again.Version != 3 {
			t.Errorf("%s: %+v, %v", name, again, err)
		}
		again.Enabled = true
		_, err = h.service.PutConnection(ctx, cause, tenant.ID, again)
		wantFault(t, name+", opened again", err, fault.Invalid)
		must(t, h.service.DeleteConnection(ctx, cause, tenant.ID, c.called, closed.Version+1))
	}
	// One that is not there is made by the rules, disabled or not.
	tenant := h.add(t, "new")
	_, err := h.service.PutConnection(ctx, cause, tenant.ID, tenants.Connection{})
	wantFault(t, "nothing", err, fault.Invalid)
	made := oidc("local")
	made.Enabled = false
	_, err = h.service.PutConnection(ctx, cause, tenant.ID, made)
	wantFault(t, "a new one", err, fault.Invalid)
}

// The same for a whole tenant.
func TestP2_ATenantAgainstTodaysRulesIsSuspended(t *testing.T) {
	h := newHouse(t)
	tenant := h.add(t, "acme", "acme.example.com")
	h.exec(t, `UPDATE tenants SET display_name = $1, settings = '{"session":{"idle":"1s"}}' WHERE id = $2`, "Acme\n", tenant.ID)
	h.open(t)
	rename := func(t *tenants.Tenant) error {
		t.DisplayName, t.Status = "Acme\t", tenants.Suspended
		return nil
	}
	_, err := h.service.Update(t.Context(), cause, tenant.ID, 0, rename)
	wantFault(t, "suspended and renamed", err, fault.Invalid)
	suspended, err := h.service.Update(t.Context(), cause, tenant.ID, 0, suspend)
	if err != nil || suspended.Status != tenants.Suspended || len(h.rooms.ended) != 1 {
		t.Fatalf("%+v, %v; ended %v", suspended, err, h.rooms.ended)
	}
	_, err = h.service.Update(t.Context(), cause, tenant.ID, 0, resume)
	wantFault(t, "resumed", err, fault.Invalid)
	must(t, h.service.Delete(t.Context(), cause, tenant.ID, suspended.Version))
}
