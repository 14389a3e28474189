package directory_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"gatehouse/audit"
	"gatehouse/authz"
	"gatehouse/directory"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/internal/store"
)

func people(names ...string) (all []directory.User) {
	for _, name := range names {
		all = append(all, directory.User{UserName: name, Email: name + "@acme.example", OtherEmails: []string{name + "@home.example", name + "@old.example"}, Active: true, Source: directory.SourceSCIM})
	}
	return all
}

// outcome tells of each whether they are there, and why not.
func outcome(made []directory.Creation) (all []string) {
	for _, m := range made {
		if m.Err != nil {
			all = append(all, fault.As(m.Err).Code)
		} else {
			all = append(all, m.User.UserName)
		}
	}
	return all
}

func wantOutcome(t *testing.T, made []directory.Creation, want ...string) {
	t.Helper()
	if got := outcome(made); !slices.Equal(got, want) {
		t.Fatalf("made %q, want %q", got, want)
	}
}

func (b *bench) createAll(t *testing.T, failAfter int, names ...string) []directory.Creation {
	t.Helper()
	return b.CreateUsers(t.Context(), cause, b.tenant, people(names...), failAfter)
}

func TestPeopleAreCreatedTogether(t *testing.T) {
	b := newBench(t)
	b.create(t, directory.User{UserName: "ada", Active: true})
	b.took()
	before := b.Version(b.tenant)
	made := b.createAll(t, 0, "bob", "ADA", "cy", "Bob", "two@at@signs", "dan")
	wantOutcome(t, made, "bob", "uniqueness", "cy", "uniqueness", "invalid-user-name", "dan")
	wantSteps(t, b, "journal user.created", "journal user.created", "journal user.created")
	if b.Version(b.tenant) == before {
		t.Error("the version stayed")
	}
	for _, i := range []int{0, 2, 5} {
		u, err := b.User(t.Context(), b.tenant, made[i].User.ID)
		must(t, err)
		if u.UserName != made[i].User.UserName || u.Version != 1 || u.CreatedAt.IsZero() || !u.Active || u.Email != u.UserName+"@acme.example" || !slices.Equal(u.OtherEmails, []string{u.UserName + "@home.example", u.UserName + "@old.example"}) || !u.CreatedAt.Equal(made[i].User.CreatedAt) {
			t.Errorf("%+v, told as %+v", u, made[i].User)
		}
	}
	if e := b.lastEvent(); e.Target.ID != string(made[5].User.ID) || e.Target.Name != "dan" || e.RequestID != cause.RequestID || e.Details["source"] != "scim" {
		t.Errorf("recorded %+v", e)
	}
	wantOutcome(t, b.createAll(t, 0))
	wantOutcome(t, b.createAll(t, 0, "ada", ""), "uniqueness", "user-name-missing")
	wantSteps(t, b)
}

func TestCreationsEndAfterSoManyRefusals(t *testing.T) {
	b := newBench(t)
	b.create(t, directory.User{UserName: "ada", Active: true})
	wantOutcome(t, b.createAll(t, 2, "bob", "ada", "cy", "", "dan"), "bob", "uniqueness", "cy", "user-name-missing")
	wantOutcome(t, b.createAll(t, 1, "ada", "dan"), "uniqueness")
	wantOutcome(t, b.createAll(t, 1, "dan"), "dan")
}

// Another node takes a name between the look at it and the writing.
func TestANameThatIsTakenMeanwhileTakesNobodyAlong(t *testing.T) {
	b := newBench(t)
	b.onCommit = func(audit.Event) {
		b.onCommit = nil
		must(t, b.db.Tenant(b.tenant).Write(t.Context(), func(tx *store.Tx) error {
			_, err := tx.Exec(t.Context(), `INSERT INTO users (id, user_name, user_key, external_id, email, display_name, display_key, active, source, attributes, version, created_at, updated_at)
				VALUES ('usr_x', 'bob', 'bob', '', '', '', '', TRUE, 'scim', '{}', 1, 0, 0)`)
			return err
		}))
	}
	made := b.createAll(t, 0, "ann", "bob", "cy")
	wantOutcome(t, made, "ann", "uniqueness", "cy")
	wantSteps(t, b, "journal user.created", "journal user.created", "journal user.created", "journal user.created")
	if e := b.lastEvent(); e.Outcome != audit.Failed || e.Target.Name != "bob" || e.Reason != "store-failed" {
		t.Errorf("the record of what did not happen is %+v", e)
	}
	if _, err := b.User(t.Context(), b.tenant, made[2].User.ID); err != nil {
		t.Error(err)
	}
}

func TestP1_NobodyIsCreatedWithoutTheJournal(t *testing.T) {
	b := newBench(t)
	b.onCommit = func(audit.Event) {
		page, err := b.Users(t.Context(), b.tenant, directory.UserQuery{Start: 0, Count: 10})
		if err != nil || page.Total != 0 {
			t.Errorf("there before the record: %+v, %v", page, err)
		}
	}
	wantOutcome(t, b.createAll(t, 0, "ann", "bob"), "ann", "bob")
	b.onCommit = nil
	b.journal = fault.New(fault.Unavailable, "journal-unavailable", "No.")
	wantOutcome(t, b.createAll(t, 0, "cy", "ann", "dan"), "journal-unavailable", "uniqueness", "journal-unavailable")
	b.journal = nil
	wantOutcome(t, b.createAll(t, 0, "cy"), "cy")
}

// What was made and could not be told to the other nodes is an error, as of one.
func TestCreationsAreAnnouncedOnce(t *testing.T) {
	b := newBench(t)
	deaf := errors.New("nobody hears it")
	told := 0
	b.Service = directory.New(directory.Config{Store: b.db, Journal: b, Sessions: b, Withdraw: authz.Withdraw,
		Announce: b.announcement(&told, &deaf)})
	for _, m := range b.createAll(t, 0, "ann", "bob") {
		if !errors.Is(m.Err, deaf) {
			t.Error(m.Err)
		}
	}
	deaf = nil
	wantOutcome(t, b.createAll(t, 0, "cy", "dan"), "cy", "dan")
	if told != 2 {
		t.Errorf("announced %d times", told)
	}
}

func TestP3_PeopleAreCreatedInTheirTenant(t *testing.T) {
	b := newBench(t)
	names := make([]string, 150)
	for i := range names {
		names[i] = fmt.Sprint("user-", i)
	}
	wantOutcome(t, b.createAll(t, 0, names...), names...)
	for tenant, want := range map[identity.TenantID]int{b.tenant: 150, b.other: 0} {
		page, err := b.Users(t.Context(), tenant, directory.UserQuery{Count: 1})
		if err != nil || page.Total != want {
			t.Errorf("%d people, %v", page.Total, err)
		}
	}
}

func (b *bench) announcement(told *int, err *error) directory.Announcement {
	return func(context.Context, identity.TenantID, bool, []identity.UserID) error {
		*told++
		return *err
	}
}
