package tenants_test

import (
	"errors"
	"slices"
	"testing"

	"gatehouse/audit"
	"gatehouse/internal/fault"
	"gatehouse/tenants"
)

func suspend(t *tenants.Tenant) error { t.Status = tenants.Suspended; return nil }
func resume(t *tenants.Tenant) error  { t.Status = tenants.Active; return nil }

func rename(to string) func(*tenants.Tenant) error {
	return func(t *tenants.Tenant) error { t.DisplayName = to; return nil }
}

// TestP2_SuspendedMeansOut: whoever suspends a tenant, and however often, what
// it has open has ended when the call returns; whatever got in meanwhile ends
// before the tenant is served again.
func TestP2_SuspendedMeansOut(t *testing.T) {
	h := newHouse(t)
	acme := h.add(t, "acme", "acme.example.com")
	stuck := errors.New("a stream stays")
	for i, step := range []struct {
		err    error
		change func(*tenants.Tenant) error
		ended  int
		status tenants.Status
	}{
		{stuck, suspend, 1, tenants.Suspended},
		{nil, suspend, 2, tenants.Suspended},
		{nil, rename("Acme"), 3, tenants.Suspended},
		{stuck, resume, 4, tenants.Suspended},
		{nil, resume, 5, tenants.Active},
		{nil, rename("Acme Inc."), 5, tenants.Active},
	} {
		h.rooms.err = step.err
		if _, err := h.service.Update(t.Context(), cause, acme.ID, 0, step.change); !errors.Is(err, step.err) {
			t.Errorf("step %d: %v, want %v", i, err, step.err)
		}
		if len(h.rooms.ended) != step.ended || h.rooms.ended[step.ended-1] != string(acme.ID)+" tenant-suspended" {
			t.Errorf("step %d: ended %v", i, h.rooms.ended)
		}
		if now, _ := h.service.ByID(acme.ID); now.Status != step.status || h.kept(t, acme.ID) != step.status {
			t.Errorf("step %d: the tenant is %s", i, now.Status)
		}
	}
}

// TestP10_DeletionGoesInOrder: the record, out of sight, the end of what is
// open, then data and key, and what is in memory last. While something stays
// open nothing is destroyed, the tenant is seen to be going, and the deletion
// can be repeated.
func TestP10_DeletionGoesInOrder(t *testing.T) {
	h := newHouse(t)
	acme := h.add(t, "acme", "acme.example.com")
	h.rooms.err = errors.New("a stream stays")
	wantFault(t, "an old version", h.service.Delete(t.Context(), cause, acme.ID, acme.Version+1), fault.Precondition)
	for range 2 {
		if err := h.service.Delete(t.Context(), cause, acme.ID, 0); !errors.Is(err, h.rooms.err) {
			t.Fatalf("got %v", err)
		}
		if _, ok := h.service.ByHost("acme.example.com"); ok {
			t.Error("still served")
		}
		if now, ok := h.service.ByName("acme"); !ok || now.Status != tenants.Deleting || len(now.Hosts) != 0 || h.kept(t, acme.ID) != tenants.Deleting {
			t.Errorf("seen as %+v", now)
		}
		_, err := h.service.Update(t.Context(), cause, acme.ID, 0, resume)
		wantFault(t, "resumed", err, fault.Conflict)
	}
	h.add(t, "globex", "acme.example.com") // the host is free at once
	records := func() (n int) {
		for _, e := range h.journal.events {
			if e.Type == audit.TenantDeleted {
				n++
			}
		}
		return n
	}
	h.rooms.err = nil
	must(t, h.service.Delete(t.Context(), cause, acme.ID, 0))
	if n := len(h.rooms.ended); n != 3 || records() != 1 || !slices.Contains(h.rooms.forgotten, acme.ID) || h.kept(t, acme.ID) != "" {
		t.Errorf("ended %d times, %d records, forgotten %v, kept as %q", n, records(), h.rooms.forgotten, h.kept(t, acme.ID))
	}
	wantFault(t, "again", h.service.Delete(t.Context(), cause, acme.ID, 0), fault.NotFound)
}
