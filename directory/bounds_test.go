package directory_test

import (
	"slices"
	"strconv"
	"sync"
	"testing"

	"gatehouse/authz"
	"gatehouse/directory"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/internal/store"
)

// Who asks in how many groups somebody is must not wait for ever: there is an end to
// groups in groups.
func TestATenantHasNoMoreNestingsThanItMay(t *testing.T) {
	b := newBench(t)
	const most = 2000
	must(t, b.db.Tenant(b.tenant).Write(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(t.Context(), `INSERT INTO groups (id, display_name, name_key, external_id, source, connection_id, version, created_at, updated_at)
			WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000)
			SELECT 'grp_' || i, 'g' || i, 'g' || i, '', 'scim', '', 1, 0, 0 FROM n`)
		return err
	}))
	g := b.grouped(t, "outer")
	var all []string
	for i := range most {
		all = append(all, "grp_"+strconv.Itoa(i+1))
	}
	_, err := b.edit(t.Context(), b.Service, g.ID, func(m *directory.MemberChange) { m.Add(directory.GroupMember, all...) })
	must(t, err)
	other := b.grouped(t, "other")
	add := func(m *directory.MemberChange) { m.Add(directory.GroupMember, "grp_1") }
	_, err = b.edit(t.Context(), b.Service, other.ID, add)
	wantFault(t, err, fault.Invalid, "too-many-nestings")
	_, err = b.edit(t.Context(), b.Service, g.ID, func(m *directory.MemberChange) { m.Remove(directory.GroupMember, "grp_1") })
	must(t, err)
	_, err = b.edit(t.Context(), b.Service, other.ID, add)
	must(t, err)
}

// Of two nodes that say at the same time who is in a group, and nobody else, one comes
// after the other.
func TestNodesThatReplaceOneGroupComeOneAfterTheOther(t *testing.T) {
	b := newBench(t)
	ids := b.crowd(t, 3)
	g := b.grouped(t, "g", ids[0])
	nodes := []*directory.Service{b.Service, directory.New(directory.Config{Store: b.db, Journal: b, Sessions: b, Withdraw: authz.Withdraw})}
	for range 20 {
		var all sync.WaitGroup
		for i, s := range nodes {
			all.Go(func() {
				if _, err := b.edit(t.Context(), s, g.ID, func(m *directory.MemberChange) {
					m.RemoveAll(directory.AnyMember)
					m.Add(directory.AnyMember, ids[0], ids[1+i])
				}); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		got := b.in(t, g.ID)
		if !slices.Equal(got, []string{ids[0], ids[1]}) && !slices.Equal(got, []string{ids[0], ids[2]}) {
			t.Fatalf("%v are in it", got)
		}
		_, err := b.edit(t.Context(), b.Service, g.ID, func(m *directory.MemberChange) { m.Remove(directory.AnyMember, ids[1], ids[2]) })
		must(t, err)
	}
}

// Whoever is taken back was never there: nobody has left, whatever holds back departures.
func TestTakingBackAsksNoBrake(t *testing.T) {
	b := newBench(t)
	u := b.create(t, directory.User{UserName: "ada", Active: true})
	must(t, b.TakeBackUser(t.Context(), cause, b.tenant, u.ID))
	_, err := b.User(t.Context(), b.tenant, u.ID)
	wantFault(t, err, fault.NotFound, "user-unknown")
	wantFault(t, b.TakeBackUser(t.Context(), cause, b.tenant, identity.UserID("usr_none")), fault.NotFound, "user-unknown")
}
