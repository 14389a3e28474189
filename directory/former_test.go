package directory_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"gatehouse/audit"
	"gatehouse/authz"
	"gatehouse/directory"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/internal/store"
)

// retain has the bench's tenant keep records of who was deleted.
func (b *bench) retain(keep time.Duration) {
	b.Service = directory.New(directory.Config{Store: b.db, Journal: b, Sessions: b, Withdraw: authz.Withdraw,
		Erase: func(_ context.Context, _ *store.Tx, id identity.UserID) error {
			b.erased = append(b.erased, id)
			return nil
		},
		Retain: func(tenant identity.TenantID) time.Duration {
			if tenant != b.tenant {
				return 0
			}
			return keep
		}})
}

func (b *bench) former(t *testing.T, q directory.FormerQuery) (names []string, next string) {
	t.Helper()
	page, err := b.FormerUsers(t.Context(), b.tenant, q)
	must(t, err)
	for _, f := range page.Items {
		names = append(names, f.UserName)
	}
	return names, page.Next
}

// Who is deleted is nobody any more, wherever one looks, and a record of them stays;
// whoever comes by the same names is somebody else.
func TestARecordStaysOfWhoWasDeleted(t *testing.T) {
	b := newBench(t)
	b.retain(48 * time.Hour)
	ann := b.create(t, directory.User{UserName: "Ann", Email: "ann@acme.example", DisplayName: "Ann Bee", ExternalID: "e1", Active: true, Source: directory.SourceSCIM})
	must(t, b.Link(t.Context(), cause, b.tenant, ann.ID, directory.Namer{}, "con_1", "ann"))
	g, err := b.CreateGroup(t.Context(), cause, b.tenant, directory.Group{DisplayName: "staff", Members: []directory.Member{{User: ann.ID}}})
	must(t, err)
	b.took()
	must(t, b.DeleteUser(t.Context(), cause, b.tenant, ann.ID, 0))
	wantSteps(t, b, "journal user.deleted", "end "+string(ann.ID))
	if e := b.lastEvent(); e.Details["retained_until"] == "" {
		t.Errorf("recorded %+v", e)
	}
	_, err = b.User(t.Context(), b.tenant, ann.ID)
	wantFault(t, err, fault.NotFound, "user-unknown")
	_, err = b.Person(t.Context(), b.tenant, ann.ID)
	wantFault(t, err, fault.NotFound, "user-unknown")
	_, err = b.UpdateUser(t.Context(), cause, b.tenant, ann.ID, 0, func(u *directory.User) error { u.Active = true; return nil })
	wantFault(t, err, fault.NotFound, "user-unknown")
	wantFault(t, b.DeleteUser(t.Context(), cause, b.tenant, ann.ID, 0), fault.NotFound, "user-unknown")
	if g, err = b.Group(t.Context(), b.tenant, g.ID, true); err != nil || len(g.Members) > 0 {
		t.Errorf("%+v, %v", g, err)
	}
	_, _, err = b.SignIn(t.Context(), cause, b.tenant, directory.SignIn{Connection: "con_1", Subject: "ann", Email: "ann@acme.example", EmailVerified: true, LinkByEmail: true})
	wantFault(t, err, fault.Denied, "person-unknown")

	again := b.create(t, directory.User{UserName: "ann", Email: "ann@acme.example", ExternalID: "e1", Active: true, Source: directory.SourceSCIM})
	if again, err = b.User(t.Context(), b.tenant, again.ID); err != nil || again.ID == ann.ID || len(again.Groups) > 0 {
		t.Errorf("%+v, %v", again, err)
	}
	if all, err := b.Identities(t.Context(), b.tenant, again.ID); err != nil || len(all) > 0 {
		t.Errorf("%+v, %v", all, err)
	}
	f, err := b.FormerUser(t.Context(), b.tenant, ann.ID)
	must(t, err)
	if f.UserName != "Ann" || f.Email != "ann@acme.example" || f.DisplayName != "Ann Bee" || f.ExternalID != "e1" || f.Source != directory.SourceSCIM ||
		!f.CreatedAt.Equal(ann.CreatedAt) || f.DeletedBy != cause.Actor || f.Until.Sub(f.DeletedAt) != 48*time.Hour || time.Since(f.DeletedAt) > time.Minute {
		t.Errorf("%+v", f)
	}
	_, err = b.FormerUser(t.Context(), b.other, ann.ID)
	wantFault(t, err, fault.NotFound, "former-user-unknown")
}

func TestFormerPeopleAreListedAndErased(t *testing.T) {
	b := newBench(t)
	b.retain(48 * time.Hour)
	var ids []identity.UserID
	for i := range 5 {
		u := b.create(t, directory.User{UserName: fmt.Sprint("P%_", i), DisplayName: "Ümit", Active: i%2 == 0})
		ids = append(ids, u.ID)
		must(t, b.DeleteUser(t.Context(), cause, b.tenant, u.ID, u.Version))
	}
	var all []string
	for q := (directory.FormerQuery{Count: 2}); ; {
		names, next := b.former(t, q)
		all = append(all, names...)
		if q.After = next; next == "" {
			break
		}
	}
	if slices.Sort(all); !slices.Equal(all, []string{"P%_0", "P%_1", "P%_2", "P%_3", "P%_4"}) {
		t.Errorf("listed %q", all)
	}
	for search, want := range map[string]int{"p%_3": 1, "ÜMIT": 5, string(ids[2]): 1, "%": 5, "x": 0, "": 5} {
		if names, _ := b.former(t, directory.FormerQuery{Search: search, Count: 10}); len(names) != want {
			t.Errorf("%q finds %q", search, names)
		}
	}
	_, err := b.FormerUsers(t.Context(), b.tenant, directory.FormerQuery{After: "x", Count: 1})
	wantFault(t, err, fault.Invalid, "cursor-invalid")

	b.took()
	must(t, b.EraseFormerUser(t.Context(), cause, b.tenant, ids[0]))
	wantSteps(t, b, "journal user.erased")
	if !slices.Equal(b.erased, ids[:1]) {
		t.Errorf("what else named them was removed of %q", b.erased)
	}
	if e := b.lastEvent(); e.Reason != "by-hand" || e.Target.Name != "" || e.Target.ID != string(ids[0]) {
		t.Errorf("recorded %+v", e)
	}
	wantFault(t, b.EraseFormerUser(t.Context(), cause, b.tenant, ids[0]), fault.NotFound, "former-user-unknown")
	b.journal = fault.New(fault.Unavailable, "journal-unavailable", "No.")
	if err := b.EraseFormerUser(t.Context(), cause, b.tenant, ids[1]); err == nil {
		t.Error("erased without a record")
	}
	b.journal = nil

	// Of the four that are left, the time of two is over.
	must(t, b.db.Tenant(b.tenant).Write(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(t.Context(), `UPDATE former_users SET until_at = 1 WHERE id IN ($1, $2)`, ids[1], ids[4])
		return err
	}))
	b.took()
	b.erased = nil
	must(t, b.EraseOverdue(t.Context(), b.tenant))
	wantSteps(t, b, "journal user.erased", "journal user.erased")
	if len(b.erased) != 2 {
		t.Errorf("what else named them was removed of %q", b.erased)
	}
	if e := b.lastEvent(); e.Reason != "retention-over" || e.Outcome != audit.Success {
		t.Errorf("recorded %+v", e)
	}
	must(t, b.EraseOverdue(t.Context(), b.tenant))
	wantSteps(t, b)
	if names, _ := b.former(t, directory.FormerQuery{Count: 10}); len(names) != 2 {
		t.Errorf("%q are left", names)
	}
}

// Nothing stays where the tenant says so, nor of somebody whom a request has made and
// taken back, nor of a deletion that does not come about.
func TestNoRecordStaysOfWhoWasNeverHere(t *testing.T) {
	b := newBench(t)
	ann := b.create(t, directory.User{UserName: "ann", Active: true})
	must(t, b.DeleteUser(t.Context(), cause, b.tenant, ann.ID, 0))
	b.retain(48 * time.Hour)
	bob := b.create(t, directory.User{UserName: "bob", Active: true})
	must(t, b.TakeBackUser(t.Context(), cause, b.tenant, bob.ID))
	cy := b.create(t, directory.User{UserName: "cy", Active: true})
	wantFault(t, b.DeleteUser(t.Context(), cause, b.tenant, cy.ID, 7), fault.Precondition, "version-changed")
	b.onCommit = func(audit.Event) { // another node changes them meanwhile
		b.onCommit = nil
		must(t, b.db.Tenant(b.tenant).Write(t.Context(), func(tx *store.Tx) error {
			_, err := tx.Exec(t.Context(), `UPDATE users SET version = version + 1`)
			return err
		}))
	}
	wantFault(t, b.DeleteUser(t.Context(), cause, b.tenant, cy.ID, cy.Version), fault.Precondition, "version-changed")
	if names, _ := b.former(t, directory.FormerQuery{Count: 10}); len(names) > 0 {
		t.Errorf("kept %q", names)
	}
}

// Whoever is made and deleted over and over fills no disk: the oldest records go, each
// with what else names whom it is of, and is told of.
func TestNoMoreFormerPeopleAreKeptThanMayBe(t *testing.T) {
	b := newBench(t)
	const most, all = 3, 107 // so that it takes more than one step
	b.Service = directory.New(directory.Config{Store: b.db, Journal: b, Sessions: b, Withdraw: authz.Withdraw, MaxFormer: most,
		Erase: func(_ context.Context, _ *store.Tx, id identity.UserID) error {
			b.erased = append(b.erased, id)
			return nil
		},
		Retain: func(identity.TenantID) time.Duration { return 48 * time.Hour }})
	must(t, b.db.Tenant(b.tenant).Write(t.Context(), func(tx *store.Tx) error {
		for i := range all {
			if _, err := tx.Exec(t.Context(), `INSERT INTO former_users (id, user_name, external_id, email, display_name, search_key, source, created_at, deleted_at, until_at, actor_kind, actor_id, actor_name)
				VALUES ($1, $1, '', '', '', $1, 'scim', 1, $2, $3, 'user', 'usr_1', '')`, fmt.Sprintf("usr_%03d", i), 1000+i, time.Now().Add(time.Hour).UnixMilli()); err != nil {
				return err
			}
		}
		return nil
	}))
	must(t, b.EraseOverdue(t.Context(), b.tenant))
	names, next := b.former(t, directory.FormerQuery{Count: 50})
	if want := []string{"usr_106", "usr_105", "usr_104"}; !slices.Equal(names, want) || next != "" {
		t.Errorf("%q are kept, want %q", names, want)
	}
	if e := b.lastEvent(); len(b.erased) != all-most || e.Type != audit.UserErased || e.Reason != "too-many-kept" {
		t.Errorf("%d were erased, and told of as %+v", len(b.erased), e)
	}
	b.took()
	must(t, b.EraseOverdue(t.Context(), b.tenant))
	wantSteps(t, b)
}
