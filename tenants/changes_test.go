package tenants_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"gatehouse/internal/fault"
	"gatehouse/internal/store"
	"gatehouse/tenants"
)

// TestAHangingChangeHoldsUpNobodyElse: a tenant's database hangs while one of its
// connections is changed. The others are changed, made and deleted meanwhile; who
// waits for the tenant that hangs can leave; and in the end it goes on.
func TestAHangingChangeHoldsUpNobodyElse(t *testing.T) {
	h := newHouse(t)
	acme, globex, initech := h.add(t, "acme", "acme.example.com"), h.add(t, "globex", "globex.example.com"), h.add(t, "initech")
	hangs, release := make(chan struct{}), make(chan struct{})
	var all sync.WaitGroup
	all.Go(func() {
		err := h.db.Tenant(acme.ID).Write(t.Context(), func(*store.Tx) error {
			close(hangs)
			<-release
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	})
	<-hangs
	all.Go(func() {
		if _, err := h.service.PutConnection(context.Background(), cause, acme.ID, oidc("okta")); err != nil {
			t.Errorf("the change that hung: %v", err)
		}
	})

	_, err := h.service.PutConnection(t.Context(), cause, globex.ID, oidc("okta"))
	must(t, err)
	_, err = h.service.Update(t.Context(), cause, globex.ID, 0, func(x *tenants.Tenant) error { x.DisplayName = "Globex"; return nil })
	must(t, err)
	must(t, h.service.Delete(t.Context(), cause, initech.ID, 0))
	h.add(t, "initrode", "initrode.example.com")

	close(release)
	all.Wait()
	if c, err := h.service.Connection(t.Context(), acme.ID, "okta"); err != nil || c.Version != 1 {
		t.Errorf("%+v, %v", c, err)
	}
}

// TestChangesOfATenantWaitForEachOther, and whoever waits can leave.
func TestChangesOfATenantWaitForEachOther(t *testing.T) {
	h := newHouse(t)
	acme := h.add(t, "acme", "acme.example.com")
	inside, release := make(chan struct{}), make(chan struct{})
	var all sync.WaitGroup
	all.Go(func() {
		_, err := h.service.Update(context.Background(), cause, acme.ID, 0, func(x *tenants.Tenant) error {
			close(inside)
			<-release
			x.DisplayName = "first"
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	})
	<-inside
	gone, leave := context.WithCancel(t.Context())
	leave()
	_, err := h.service.Update(gone, cause, acme.ID, 0, suspend)
	if !fault.Is(err, fault.Unavailable) && !errors.Is(err, context.Canceled) {
		t.Errorf("who left while waiting: %v", err)
	}
	close(release)
	all.Wait()
	if got, _ := h.service.ByID(acme.ID); got.DisplayName != "first" || got.Status != tenants.Active || got.Version != 2 {
		t.Errorf("kept %+v", got)
	}
}

// TestANameIsGivenOnce, however many ask for it at once and on which node, and
// the journal tells of one.
func TestANameIsGivenOnce(t *testing.T) {
	h := newHouse(t)
	nodes := []*tenants.Service{h.service}
	if h.several() {
		other, _ := h.neighbour(t)
		nodes = append(nodes, other)
	}
	const each = 8
	var all sync.WaitGroup
	var mu sync.Mutex
	made, begin := 0, make(chan struct{})
	for _, s := range nodes {
		for i := range each {
			all.Go(func() {
				<-begin
				name, host := "acme", fmt.Sprintf("acme-%d.example.com", i)
				if i%2 == 0 {
					name, host = fmt.Sprintf("other-%d-%p", i, s)[:9], "acme.example.com"
				}
				_, err := s.Create(context.Background(), cause, tenants.Tenant{Name: name, Hosts: []string{host}})
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					made++
				} else if !fault.Is(err, fault.Conflict) {
					t.Error(err)
				}
			})
		}
	}
	close(begin)
	all.Wait()
	if made != 2 {
		t.Errorf("one name and one host were given %d times", made)
	}
	for _, s := range nodes {
		must(t, s.Refresh(t.Context()))
		if got := len(s.List()); got != 3 { // and the platform
			t.Errorf("%d tenants", got)
		}
	}
}
