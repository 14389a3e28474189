package tenants_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse/audit"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/internal/store"
	"gatehouse/tenants"
)

func TestThePlatformIsATenantFromTheStart(t *testing.T) {
	h := newHouse(t)
	for _, when := range []string{"first start", "restart"} {
		p, ok := h.service.ByHost("admin.example.com")
		if !ok || p.ID != identity.Platform || p.Name != identity.PlatformName || p.Status != tenants.Active {
			t.Fatalf("%s: %+v", when, p)
		}
		if _, n := h.journal.last(); n != 1 {
			t.Errorf("%s: %d events", when, n)
		}
		must(t, h.db.Tenant(identity.Platform).Read(t.Context(), func(*store.Tx) error { return nil }))
		h.open(t)
	}
	_, err := h.service.Update(t.Context(), cause, identity.Platform, 0, func(p *tenants.Tenant) error { p.Hosts = nil; return nil })
	wantFault(t, "other hosts", err, fault.Invalid)
	_, err = h.service.Update(t.Context(), cause, identity.Platform, 0, func(p *tenants.Tenant) error { p.Status = tenants.Suspended; return nil })
	wantFault(t, "suspend", err, fault.Conflict)
	wantFault(t, "delete", h.service.Delete(t.Context(), cause, identity.Platform, 0), fault.Conflict)

	moved := h.config()
	moved.PlatformHost = "Operators.Example.com:8443"
	s, err := tenants.New(t.Context(), moved)
	must(t, err)
	if _, ok := s.ByHost("operators.example.com"); !ok {
		t.Error("another host in the configuration is not taken over")
	}
	h.add(t, "acme", "acme.example.com")
	moved.PlatformHost = "acme.example.com"
	_, err = tenants.New(t.Context(), moved)
	wantFault(t, "a tenant's host", err, fault.Conflict)
}

func TestATenantIsFoundByHostIDAndNameAcrossRestarts(t *testing.T) {
	h := newHouse(t)
	made, err := h.service.Create(t.Context(), cause, tenants.Tenant{ID: "ten_forged", Version: 7, Name: "acme", DisplayName: "Acme Inc.",
		Hosts:    []string{"Login.ACME.example.com.", "acme.example.com:8443"},
		Settings: tenants.Settings{Session: tenants.SessionSettings{Idle: tenants.Duration(time.Hour)}}})
	must(t, err)
	if made.ID == "ten_forged" || made.Version != 1 || made.Status != tenants.Active || made.CreatedAt.IsZero() {
		t.Errorf("made %+v", made)
	}
	if want := []string{"login.acme.example.com", "acme.example.com"}; !slices.Equal(made.Hosts, want) {
		t.Errorf("hosts %q, want %q", made.Hosts, want)
	}
	e, _ := h.journal.last()
	if e.Tenant != identity.Platform || e.Type != audit.TenantCreated || e.Target.ID != string(made.ID) || e.Actor != cause.Actor || e.RequestID != "req_1" {
		t.Errorf("journalled %+v", e)
	}
	for _, when := range []string{"made", "restarted"} {
		for _, host := range []string{"acme.example.com", "ACME.example.com", "acme.example.com:443", "acme.example.com.", "login.acme.example.com"} {
			if got, ok := h.service.ByHost(host); !ok || got.ID != made.ID {
				t.Errorf("%s: %s is %+v", when, host, got)
			}
		}
		byID, _ := h.service.ByID(made.ID)
		byName, _ := h.service.ByName("acme")
		if byID == nil || byID != byName || !sameTenant(byID, made) {
			t.Errorf("%s: %+v and %+v", when, byID, byName)
		}
		for _, host := range []string{"", "example.com", "xacme.example.com", "acme.example.com/", "acme.example.com:x", "[::1]"} {
			if got, ok := h.service.ByHost(host); ok {
				t.Errorf("%s: %q is %+v", when, host, got)
			}
		}
		if list := h.service.List(); len(list) != 2 || list[0].Name != "acme" || list[1].Name != "platform" {
			t.Errorf("%s: list %v", when, list)
		}
		h.open(t)
	}
}

// sameTenant compares times to the millisecond, which is what is stored.
func sameTenant(a, b *tenants.Tenant) bool {
	cut := func(t tenants.Tenant) tenants.Tenant {
		t.CreatedAt, t.UpdatedAt = t.CreatedAt.Truncate(time.Millisecond), t.UpdatedAt.Truncate(time.Millisecond)
		return t
	}
	return reflect.DeepEqual(cut(*a), cut(*b))
}

func TestTenantsAreChecked(t *testing.T) {
	h := newHouse(t)
	h.add(t, "acme", "acme.example.com")
	hour, day := tenants.Duration(time.Hour), tenants.Duration(24*time.Hour)
	session := func(idle, absolute tenants.Duration) tenants.Settings {
		return tenants.Settings{Session: tenants.SessionSettings{Idle: idle, Absolute: absolute}}
	}
	for what, c := range map[string]struct {
		tenant tenants.Tenant
		kind   fault.Kind
	}{
		"no name":                   {tenants.Tenant{}, fault.Invalid},
		"upper case":                {tenants.Tenant{Name: "Acme"}, fault.Invalid},
		"underscore":                {tenants.Tenant{Name: "a_b"}, fault.Invalid},
		"hyphen first":              {tenants.Tenant{Name: "-a"}, fault.Invalid},
		"hyphen last":               {tenants.Tenant{Name: "a-"}, fault.Invalid},
		"long name":                 {tenants.Tenant{Name: strings.Repeat("a", 64)}, fault.Invalid},
		"reserved":                  {tenants.Tenant{Name: "platform"}, fault.Invalid},
		"name taken":                {tenants.Tenant{Name: "acme"}, fault.Conflict},
		"host taken":                {tenants.Tenant{Name: "b", Hosts: []string{"ACME.example.com:1"}}, fault.Conflict},
		"operators' host":           {tenants.Tenant{Name: "b", Hosts: []string{"admin.example.com"}}, fault.Conflict},
		"host twice":                {tenants.Tenant{Name: "b", Hosts: []string{"b.example.com", "B.example.com."}}, fault.Invalid},
		"host with path":            {tenants.Tenant{Name: "b", Hosts: []string{"b.example.com/x"}}, fault.Invalid},
		"host not ASCII":            {tenants.Tenant{Name: "b", Hosts: []string{"bücher.example.com"}}, fault.Invalid},
		"wildcard":                  {tenants.Tenant{Name: "b", Hosts: []string{"*.example.com"}}, fault.Invalid},
		"many hosts":                {tenants.Tenant{Name: "b", Hosts: make([]string, 51)}, fault.Invalid},
		"status":                    {tenants.Tenant{Name: "b", Status: "deleting"}, fault.Invalid},
		"display name":              {tenants.Tenant{Name: "b", DisplayName: "a\nb"}, fault.Invalid},
		"long display name":         {tenants.Tenant{Name: "b", DisplayName: strings.Repeat("ä", 201)}, fault.Invalid},
		"idle over absolute":        {tenants.Tenant{Name: "b", Settings: session(day, hour)}, fault.Invalid},
		"idle over the default":     {tenants.Tenant{Name: "b", Settings: session(8*day, 0)}, fault.Invalid},
		"idle too short":            {tenants.Tenant{Name: "b", Settings: session(1, 0)}, fault.Invalid},
		"negative":                  {tenants.Tenant{Name: "b", Settings: session(-hour, 0)}, fault.Invalid},
		"absolute longer than life": {tenants.Tenant{Name: "b", Settings: session(0, 10000*day)}, fault.Invalid},
	} {
		_, err := h.service.Create(t.Context(), cause, c.tenant)
		wantFault(t, what, err, c.kind)
	}
	if _, n := h.journal.last(); n != 2 {
		t.Errorf("%d events, but only the platform and acme were made", n)
	}
	if n := len(h.service.List()); n != 2 {
		t.Errorf("%d tenants", n)
	}
}

func TestRoleNetworksAreChecked(t *testing.T) {
	h := newHouse(t)
	acme := h.add(t, "acme", "acme.example.com")
	inside := []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	many := map[string][]netip.Prefix{}
	for i := range 21 {
		many[fmt.Sprint("role", i)] = inside
	}
	for what, wrong := range map[string]tenants.SessionSettings{
		"no network":    {RoleNetworks: map[string][]netip.Prefix{"owner": {}}},
		"no role":       {RoleNetworks: map[string][]netip.Prefix{"": inside}},
		"no name":       {RoleNetworks: map[string][]netip.Prefix{"Owner of all": inside}},
		"a long name":   {RoleNetworks: map[string][]netip.Prefix{strings.Repeat("a", 64): inside}},
		"a host's bits": {RoleNetworks: map[string][]netip.Prefix{"owner": {netip.MustParsePrefix("192.0.2.1/24")}}},
		"no range":      {RoleNetworks: map[string][]netip.Prefix{"owner": {{}}}},
		"many networks": {RoleNetworks: map[string][]netip.Prefix{"owner": slices.Repeat(inside, 101)}},
		"many roles":    {RoleNetworks: many},
		"at once":       {ReauthAge: tenants.Duration(time.Second)},
		"never":         {ReauthAge: tenants.Duration(30 * 24 * time.Hour)},
		"negative":      {ReauthAge: tenants.Duration(-time.Hour)},
	} {
		_, err := h.service.Update(t.Context(), cause, acme.ID, 0, func(x *tenants.Tenant) error { x.Settings.Session = wrong; return nil })
		wantFault(t, what, err, fault.Invalid)
	}
	if now, _ := h.service.ByID(acme.ID); now.Version != acme.Version {
		t.Errorf("changed to %+v", now)
	}
}

func TestUpdateChangesWhatItIsGivenAndNoMore(t *testing.T) {
	h := newHouse(t)
	acme := h.add(t, "acme", "acme.example.com")
	h.add(t, "globex", "globex.example.com")
	changed, err := h.service.Update(t.Context(), cause, acme.ID, acme.Version, func(c *tenants.Tenant) error {
		c.ID, c.Name, c.Version, c.CreatedAt = "ten_x", "x", 99, time.Time{}
		c.Status = tenants.Suspended
		c.Hosts[0] = "NEW.example.com"
		return nil
	})
	must(t, err)
	if changed.ID != acme.ID || changed.Name != "acme" || changed.Version != 2 || !changed.CreatedAt.Equal(acme.CreatedAt) {
		t.Errorf("changed to %+v", changed)
	}
	if acme.Hosts[0] != "acme.example.com" {
		t.Error("the value handed out before was changed")
	}
	e, events := h.journal.last()
	if e.Tenant != acme.ID || e.Type != audit.TenantChanged || e.Details["changed"] != "hosts status" || e.Details["status"] != "suspended" {
		t.Errorf("journalled %+v", e)
	}
	for _, when := range []string{"changed", "restarted"} {
		if got, ok := h.service.ByHost("new.example.com"); !ok || got.Status != tenants.Suspended || got.Version != 2 {
			t.Errorf("%s: %+v", when, got)
		}
		if _, ok := h.service.ByHost("acme.example.com"); ok {
			t.Errorf("%s: the old host is still served", when)
		}
		h.open(t)
	}

	same, err := h.service.Update(t.Context(), cause, acme.ID, 0, func(*tenants.Tenant) error { return nil })
	if err != nil || same.Version != 2 {
		t.Errorf("a change of nothing: %+v, %v", same, err)
	}
	own := errors.New("the caller's own")
	_, err = h.service.Update(t.Context(), cause, acme.ID, 0, func(*tenants.Tenant) error { return own })
	if !errors.Is(err, own) {
		t.Errorf("got %v", err)
	}
	_, err = h.service.Update(t.Context(), cause, acme.ID, 1, func(c *tenants.Tenant) error { c.DisplayName = "old"; return nil })
	wantFault(t, "an old version", err, fault.Precondition)
	_, err = h.service.Update(t.Context(), cause, acme.ID, 0, func(c *tenants.Tenant) error { c.Hosts = []string{"globex.example.com"}; return nil })
	wantFault(t, "another's host", err, fault.Conflict)
	_, err = h.service.Update(t.Context(), cause, "ten_none", 0, func(*tenants.Tenant) error { return nil })
	wantFault(t, "nobody", err, fault.NotFound)
	if _, n := h.journal.last(); n != events {
		t.Errorf("%d events were journalled for nothing", n-events)
	}
}

func TestConcurrentUpdatesAllCount(t *testing.T) {
	h := newHouse(t)
	acme := h.add(t, "acme")
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			_, err := h.service.Update(t.Context(), cause, acme.ID, 0, func(c *tenants.Tenant) error { c.DisplayName += "x"; return nil })
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if got, _ := h.service.ByID(acme.ID); got.DisplayName != "acmexxxxxxxx" || got.Version != 9 {
		t.Errorf("%+v", got)
	}
}

// What cannot be journalled does not happen.
func TestP1_NothingChangesWithoutItsRecord(t *testing.T) {
	h := newHouse(t)
	acme := h.add(t, "acme", "acme.example.com")
	kept, err := h.service.PutConnection(t.Context(), cause, acme.ID, oidc("okta"))
	must(t, err)
	h.journal.refuse(errJournal)
	change := kept
	change.Enabled = false
	for what, try := range map[string]func() error{
		"create": func() error {
			_, err := h.service.Create(t.Context(), cause, tenants.Tenant{Name: "globex", Hosts: []string{"globex.example.com"}})
			return err
		},
		"update": func() error {
			_, err := h.service.Update(t.Context(), cause, acme.ID, 0, func(c *tenants.Tenant) error { c.Status = tenants.Suspended; return nil })
			return err
		},
		"delete": func() error { return h.service.Delete(t.Context(), cause, acme.ID, 0) },
		"new connection": func() error {
			_, err := h.service.PutConnection(t.Context(), cause, acme.ID, oidc("other"))
			return err
		},
		"change connection": func() error { _, err := h.service.PutConnection(t.Context(), cause, acme.ID, change); return err },
		"delete connection": func() error { return h.service.DeleteConnection(t.Context(), cause, acme.ID, "okta", 0) },
	} {
		if err := try(); !errors.Is(err, errJournal) {
			t.Errorf("%s: %v", what, err)
		}
	}
	h.journal.refuse(nil)
	for _, when := range []string{"afterwards", "restarted"} {
		if got, ok := h.service.ByHost("acme.example.com"); !ok || got.Status != tenants.Active || len(h.service.List()) != 2 {
			t.Errorf("%s: %+v of %d", when, got, len(h.service.List()))
		}
		all, err := h.service.Connections(t.Context(), acme.ID)
		if err != nil || len(all) != 1 || !all[0].Enabled || all[0].Version != 1 {
			t.Errorf("%s: connections %+v, %v", when, all, err)
		}
		h.open(t)
	}
	left, err := os.ReadDir(filepath.Join(h.dir, "keys"))
	if err != nil || len(left) != 2 {
		t.Errorf("keys: %v, %v", left, err)
	}
}

// What is journalled comes true, also when the caller goes away with the record.
func TestP1_WhatIsRecordedHappens(t *testing.T) {
	h := newHouse(t)
	acme := h.add(t, "acme", "acme.example.com")
	leaving := func(try func(context.Context) error) {
		t.Helper()
		ctx, leave := context.WithCancel(t.Context())
		h.journal.leave = leave
		must(t, try(ctx))
		h.journal.leave = nil
		if ctx.Err() == nil {
			t.Error("nothing was recorded")
		}
	}
	leaving(func(ctx context.Context) error {
		_, err := h.service.Create(ctx, cause, tenants.Tenant{Name: "globex"})
		return err
	})
	leaving(func(ctx context.Context) error {
		_, err := h.service.PutConnection(ctx, cause, acme.ID, oidc("okta"))
		return err
	})
	leaving(func(ctx context.Context) error {
		return h.service.DeleteConnection(ctx, cause, acme.ID, "okta", 0)
	})
	if all, err := h.service.Connections(t.Context(), acme.ID); err != nil || len(all) != 0 {
		t.Errorf("connections %+v, %v", all, err)
	}
	leaving(func(ctx context.Context) error {
		_, err := h.service.Update(ctx, cause, acme.ID, 0, suspend)
		return err
	})
	leaving(func(ctx context.Context) error { return h.service.Delete(ctx, cause, acme.ID, 0) })
	h.open(t)
	if list := h.service.List(); len(list) != 2 || list[0].Name != "globex" {
		t.Errorf("after a restart: %v", list)
	}
}

func TestP10_DeletedTenantsAreGone(t *testing.T) {
	h := newHouse(t)
	acme, globex := h.add(t, "acme", "acme.example.com"), h.add(t, "globex", "globex.example.com")
	_, err := h.service.PutConnection(t.Context(), cause, acme.ID, oidc("okta"))
	must(t, err)
	must(t, h.service.Delete(t.Context(), cause, acme.ID, 0))
	e, _ := h.journal.last()
	if e.Tenant != identity.Platform || e.Type != audit.TenantDeleted || e.Target.ID != string(acme.ID) {
		t.Errorf("journalled %+v", e)
	}
	for _, when := range []string{"deleted", "restarted"} {
		_, byHost := h.service.ByHost("acme.example.com")
		_, byID := h.service.ByID(acme.ID)
		if byHost || byID {
			t.Errorf("%s: still found", when)
		}
		_, err := h.service.Connections(t.Context(), acme.ID)
		wantFault(t, when+": connections", err, fault.NotFound)
		if has, err := h.ring.Has(t.Context(), acme.ID); has || err != nil {
			t.Errorf("%s: key %v, %v", when, has, err)
		}
		if _, err := os.Stat(filepath.Join(h.dir, "tenants", string(acme.ID))); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: data: %v", when, err)
		}
		if got, ok := h.service.ByHost("globex.example.com"); !ok || got.ID != globex.ID {
			t.Errorf("%s: the other tenant: %+v", when, got)
		}
		wantFault(t, when+": again", h.service.Delete(t.Context(), cause, acme.ID, 0), fault.NotFound)
		h.open(t)
	}
	if again := h.add(t, "acme", "acme.example.com"); again.ID == acme.ID {
		t.Error("the new tenant has the old one's id, and so its key")
	}
}

// A deletion that fails half-way leaves nobody served, and is finished by
// repeating it or by the next start.
func TestP10_ABrokenDeletionConverges(t *testing.T) {
	for name, finish := range map[string]func(t *testing.T, h *house, broken *brokenStore, id identity.TenantID){
		"by repeating it": func(t *testing.T, h *house, broken *brokenStore, id identity.TenantID) {
			broken.err = nil
			must(t, h.service.Delete(t.Context(), cause, id, 0))
		},
		"by the next start": func(t *testing.T, h *house, _ *brokenStore, _ identity.TenantID) { h.open(t) },
		"after a start that could not": func(t *testing.T, h *house, broken *brokenStore, id identity.TenantID) {
			config := h.config()
			config.Store = broken
			var err error
			h.service, err = tenants.New(t.Context(), config)
			must(t, err)
			if left, ok := h.service.ByID(id); !ok || left.Status != tenants.Deleting {
				t.Errorf("left as %+v", left)
			}
			broken.err = nil
			must(t, h.service.Delete(t.Context(), cause, id, 0))
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			acme := h.add(t, "acme", "acme.example.com")
			broken := &brokenStore{DB: h.db, err: errors.New("the disk says no")}
			config := h.config()
			config.Store = broken
			var err error
			h.service, err = tenants.New(t.Context(), config)
			must(t, err)
			if err := h.service.Delete(t.Context(), cause, acme.ID, 0); !errors.Is(err, broken.err) {
				t.Fatalf("got %v", err)
			}
			if _, ok := h.service.ByHost("acme.example.com"); ok {
				t.Error("still served")
			}
			if has, err := h.ring.Has(t.Context(), acme.ID); has || err != nil || len(h.rooms.ended) != 1 || len(h.rooms.forgotten) != 0 {
				t.Errorf("the key is still there (%v), or ended %v, forgotten %v", err, h.rooms.ended, h.rooms.forgotten)
			}
			finish(t, h, broken, acme.ID)
			if _, err := os.Stat(filepath.Join(h.dir, "tenants", string(acme.ID))); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("data: %v", err)
			}
			if len(h.rooms.ended) != 1 {
				t.Error("what it had open was ended again, with its key gone")
			}
			h.add(t, "acme", "acme.example.com")
		})
	}
}

type brokenStore struct {
	*store.DB
	err error
}

func (b *brokenStore) Drop(ctx context.Context, id identity.TenantID) error {
	if b.err != nil {
		return b.err
	}
	return b.DB.Drop(ctx, id)
}

func (b *brokenStore) Create(ctx context.Context, id identity.TenantID) error {
	if b.err != nil {
		return b.err
	}
	return b.DB.Create(ctx, id)
}

func TestAFailedCreationLeavesNothing(t *testing.T) {
	h := newHouse(t)
	broken := &brokenStore{DB: h.db, err: errors.New("the disk says no")}
	config := h.config()
	config.Store = broken
	s, err := tenants.New(t.Context(), config)
	must(t, err)
	if _, err := s.Create(t.Context(), cause, tenants.Tenant{Name: "acme", Hosts: []string{"acme.example.com"}}); !errors.Is(err, broken.err) {
		t.Fatalf("got %v", err)
	}
	if _, ok := s.ByName("acme"); ok {
		t.Error("listed")
	}
	broken.err = nil
	if _, err := s.Create(t.Context(), cause, tenants.Tenant{Name: "acme", Hosts: []string{"acme.example.com"}}); err != nil {
		t.Errorf("again: %v", err)
	}
}
