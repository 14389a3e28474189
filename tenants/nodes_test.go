package tenants_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/identity"
	"gatehouse/tenants"
)

// sayings are what is announced, and whether it fails.
type sayings struct {
	mu   sync.Mutex
	said []bool // changed
	err  error
}

func (s *sayings) announce(_ context.Context, _ identity.TenantID, changed bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.said = append(s.said, changed)
	return s.err
}

// neighbour is another node on the same database.
func (h *house) neighbour(t *testing.T) (*tenants.Service, *sayings) {
	t.Helper()
	said := &sayings{}
	config := h.config()
	config.Announce = said.announce
	s, err := tenants.New(t.Context(), config)
	must(t, err)
	said.said = nil
	return s, said
}

// TestP2_RefreshNeverGoesBack: what was in force when a Refresh had returned is
// not undone by another that read before it.
func TestP2_RefreshNeverGoesBack(t *testing.T) {
	h := newHouse(t)
	acme := h.add(t, "acme", "acme.example.com")
	other, _ := h.neighbour(t)
	var over atomic.Bool
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for !over.Load() {
				if err := other.Refresh(context.Background()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	defer readers.Wait()
	defer over.Store(true)
	for round := range 60 {
		u, err := h.service.Update(t.Context(), cause, acme.ID, 0, func(x *tenants.Tenant) error { x.DisplayName = fmt.Sprint("n", round); return nil })
		must(t, err)
		must(t, other.Refresh(t.Context()))
		for range 2000 {
			if got, _ := other.ByID(acme.ID); got.Version < u.Version {
				t.Fatalf("round %d: version %d was in force, and now %d is", round, u.Version, got.Version)
			}
		}
	}
}

// TestP2_WhatIsSuspendedEndsUntold: it ends here at least, and a repeated call
// tells the others, though there is nothing left to change.
func TestP2_WhatIsSuspendedEndsUntold(t *testing.T) {
	h := newHouse(t)
	acme := h.add(t, "acme", "acme.example.com")
	s, said := h.neighbour(t)
	said.err = errors.New("nobody hears it")
	for round := 1; round <= 2; round++ {
		if _, err := s.Update(t.Context(), cause, acme.ID, 0, suspend); !errors.Is(err, said.err) {
			t.Errorf("untold: %v", err)
		}
		if len(h.rooms.ended) != round {
			t.Errorf("%d calls have ended what is open %d times", round, len(h.rooms.ended))
		}
	}
	said.err = nil
	_, err := s.Update(t.Context(), cause, acme.ID, 0, suspend)
	must(t, err)
	if fmt.Sprint(said.said) != "[true false false]" {
		t.Errorf("announced %v", said.said)
	}
	c, err := s.PutConnection(t.Context(), cause, acme.ID, oidc("okta"))
	must(t, err)
	said.err = errors.New("nobody hears it")
	c.Enabled = false
	if kept, err := s.PutConnection(t.Context(), cause, acme.ID, c); !errors.Is(err, said.err) || kept.ID != c.ID || kept.Version != c.Version+1 {
		t.Errorf("kept %+v, %v", kept, err)
	}
}

// What is open asks anew where others are let in than before, on every node that
// learns of it, and nowhere else: not for another name, nor in another tenant.
func TestP2_WhatIsOpenIsJudgedByNewSettings(t *testing.T) {
	h := newHouse(t)
	acme := h.add(t, "acme", "acme.example.com")
	h.add(t, "globex")
	other, _ := h.neighbour(t)
	learn := func(what string, by func() error, counts bool) {
		t.Helper()
		h.rooms.reconnected = nil
		must(t, by())
		if got := h.rooms.reconnected; len(got) > 1 || len(got) == 1 != counts || counts && got[0] != acme.ID {
			t.Errorf("%s: %v asked anew", what, got)
		}
	}
	inside := []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	for _, change := range []struct {
		what   string
		counts bool
		make   func(*tenants.Tenant)
	}{
		{"networks", true, func(x *tenants.Tenant) { x.Settings.Session.Networks = inside }},
		{"a name", false, func(x *tenants.Tenant) { x.DisplayName = "Acme Corp" }},
		{"a limit", false, func(x *tenants.Tenant) { x.Settings.Session.MaxPerPerson = 3 }},
		{"the same", false, func(x *tenants.Tenant) { x.Settings.Session.Networks = slices.Clone(inside) }},
		{"a role's networks", true, func(x *tenants.Tenant) {
			x.Settings.Session.RoleNetworks = map[string][]netip.Prefix{"owner": inside}
		}},
		{"devices", true, func(x *tenants.Tenant) { x.Settings.Session.BindDevice = true }},
		{"a recent sign-in", true, func(x *tenants.Tenant) { x.Settings.Session.ReauthAge = tenants.Duration(time.Hour) }},
		{"programs", true, func(x *tenants.Tenant) { x.Settings.Session.DeviceLogin = tenants.RefuseDeviceLogin }},
		{"all of it", true, func(x *tenants.Tenant) { x.Settings = tenants.Settings{} }},
	} {
		learn(change.what, func() error {
			_, err := h.service.Update(t.Context(), cause, acme.ID, 0, func(x *tenants.Tenant) error { change.make(x); return nil })
			return err
		}, change.counts)
		learn(change.what+", on another node", func() error { return other.Refresh(t.Context()) }, change.counts)
		learn(change.what+", known already", func() error { return h.service.Refresh(t.Context()) }, false)
	}
}

// TestP10_ALostRowIsNoDeletion: where another node has deleted a tenant, this one
// removes its journal; where only the row is gone, it does not.
func TestP10_ALostRowIsNoDeletion(t *testing.T) {
	h := newHouse(t)
	gone, lost := h.add(t, "gone"), h.add(t, "lost")
	other, _ := h.neighbour(t)
	h.journal.dropped = nil
	must(t, h.service.Delete(t.Context(), cause, gone.ID, 0))
	h.journal.dropped = nil // by the node that has deleted it
	h.rooms.lost = lost.ID
	h.exec(t, `DELETE FROM tenants WHERE id = $1`, lost.ID)
	must(t, other.Refresh(t.Context()))
	if _, ok := other.ByID(lost.ID); ok || len(h.journal.dropped) != 1 || h.journal.dropped[0] != gone.ID {
		t.Errorf("dropped the journals of %v", h.journal.dropped)
	}
	if _, err := os.Stat(filepath.Join(h.dir, "keys", string(lost.ID)+".key")); err != nil {
		t.Errorf("the key of the lost one: %v", err)
	}
}
