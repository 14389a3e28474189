package directory_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"gatehouse/audit"
	"gatehouse/directory"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/internal/store"
)

func TestUserRoundTrip(t *testing.T) {
	b := newBench(t)
	made := b.create(t, directory.User{UserName: " Ada@Acme.Example ", ExternalID: "00u1", Email: "Ada@Acme.Example", DisplayName: "Ada Lovelace",
		Active: true, Source: directory.SourceSCIM, OtherEmails: []string{"ADA@home.example", "ada@acme.example"}, Attributes: []byte(`{"title":"Countess"}`)})
	got, err := b.User(t.Context(), b.tenant, made.ID)
	must(t, err)
	if got.UserName != "Ada@Acme.Example" || got.Email != "ada@acme.example" || !slices.Equal(got.OtherEmails, []string{"ada@home.example"}) ||
		string(got.Attributes) != `{"title":"Countess"}` || !got.Active || got.Version != 1 || got.CreatedAt.IsZero() || !got.CreatedAt.Equal(made.CreatedAt) {
		t.Fatalf("read back %+v", got)
	}
	p, err := b.Person(t.Context(), b.tenant, made.ID)
	must(t, err)
	if p.Email != "ada@acme.example" || p.Name != "Ada Lovelace" || !p.Active {
		t.Fatalf("person %+v", p)
	}
}

func TestUserNamesAreUniqueWhateverTheirCase(t *testing.T) {
	b := newBench(t)
	b.create(t, directory.User{UserName: "ada@acme.example"})
	bob := b.create(t, directory.User{UserName: "bob@acme.example"})
	b.took()
	_, err := b.CreateUser(t.Context(), cause, b.tenant, directory.User{UserName: "ADA@ACME.example"})
	wantFault(t, err, fault.Conflict, "uniqueness")
	_, err = b.UpdateUser(t.Context(), cause, b.tenant, bob.ID, 0, func(u *directory.User) error { u.UserName = "Ada@acme.example"; return nil })
	wantFault(t, err, fault.Conflict, "uniqueness")
	wantSteps(t, b) // what is refused is not announced
	if _, err = b.CreateUser(t.Context(), cause, b.other, directory.User{UserName: "ada@acme.example"}); err != nil {
		t.Fatalf("another tenant's person of the same name: %v", err)
	}
}

func TestHostileNamesAreRefused(t *testing.T) {
	b := newBench(t)
	for name, u := range map[string]directory.User{
		"empty":               {UserName: "  "},
		"two @":               {UserName: "ada@acme.example@evil.example"},
		"space in address":    {UserName: "ada @acme.example"},
		"NUL":                 {UserName: "ada\x00"},
		"line feed":           {UserName: "ada\nroot"},
		"bidi override":       {UserName: "ada\u202egpj"},
		"zero width":          {UserName: "a\u200bda"},
		"Kelvin sign":         {UserName: "\u212aevin@acme.example"},
		"not UTF-8":           {UserName: "ada\xff"},
		"too long":            {UserName: strings.Repeat("a", 257)},
		"email two @":         {UserName: "a", Email: "ada@acme.example@evil.example"},
		"email comment":       {UserName: "a", Email: "ada(evil)@acme.example"},
		"email quoted":        {UserName: "a", Email: `"ada@evil.example"@acme.example`},
		"email list":          {UserName: "a", Email: "ada@acme.example,eve@evil.example"},
		"email Kelvin":        {UserName: "a", Email: "\u212aevin@acme.example"},
		"email long s":        {UserName: "a", Email: "\u017fam@acme.example"},
		"email dotless i":     {UserName: "a", Email: "\u0131da@acme.example"},
		"email dotted I":      {UserName: "a", Email: "\u0130da@acme.example"},
		"email to the root":   {UserName: "a", Email: "ada@acme.example."},
		"long s":              {UserName: "\u017fam@acme.example"},
		"email no domain":     {UserName: "a", Email: "ada@"},
		"display bidi":        {UserName: "a", DisplayName: "ada\u2066"},
		"external id newline": {UserName: "a", ExternalID: "x\ny"},
		"other email":         {UserName: "a", OtherEmails: []string{"nonsense"}},
	} {
		if _, err := b.CreateUser(t.Context(), cause, b.tenant, u); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: got %v, want Invalid", name, err)
		}
	}
	wantSteps(t, b)
	_, err := b.CreateUser(t.Context(), cause, b.tenant, directory.User{UserName: "a", Attributes: make([]byte, 64<<10+1)})
	wantFault(t, err, fault.TooLarge, "attributes-too-large")
}

func TestUpdateSaysWhatChangedButNotTheValues(t *testing.T) {
	b := newBench(t)
	u := b.create(t, directory.User{UserName: "ada", DisplayName: "Ada", Active: true, Attributes: []byte(`{"title":"secret title","locale":"en"}`)})
	after, err := b.UpdateUser(t.Context(), cause, b.tenant, u.ID, u.Version, func(u *directory.User) error {
		u.DisplayName, u.Attributes = "Hidden Name", []byte(`{"locale":"en","nickName":"hidden nick"}`)
		return nil
	})
	must(t, err)
	if after.Version != 2 {
		t.Fatalf("version %d", after.Version)
	}
	e := b.lastEvent()
	if e.Type != audit.UserChanged || e.Details["changed"] != "display_name,nickName,title" || e.Target.ID != string(u.ID) || e.RequestID != "req_1" {
		t.Fatalf("event %+v", e)
	}
	for k, v := range e.Details {
		if strings.Contains(strings.ToLower(v), "hidden") || strings.Contains(v, "secret") {
			t.Errorf("detail %s holds a value: %s", k, v)
		}
	}
	if after, err = b.UpdateUser(t.Context(), cause, b.tenant, u.ID, 2, func(*directory.User) error { return nil }); err != nil || after.Version != 2 {
		t.Fatalf("a change of nothing gave version %d, %v", after.Version, err)
	}
}

func TestUpdateHonoursTheVersion(t *testing.T) {
	b := newBench(t)
	u := b.create(t, directory.User{UserName: "ada"})
	_, err := b.UpdateUser(t.Context(), cause, b.tenant, u.ID, 7, func(*directory.User) error { t.Error("edited"); return nil })
	wantFault(t, err, fault.Precondition, "version-changed")
	_, err = b.UpdateUser(t.Context(), cause, b.tenant, "usr_nobody", 0, func(*directory.User) error { return nil })
	wantFault(t, err, fault.NotFound, "user-unknown")
	own := errors.New("own")
	if _, err = b.UpdateUser(t.Context(), cause, b.tenant, u.ID, 0, func(*directory.User) error { return own }); !errors.Is(err, own) {
		t.Fatalf("got %v", err)
	}
}

func TestP1_NothingChangesWithoutTheJournal(t *testing.T) {
	b := newBench(t)
	u := b.create(t, directory.User{UserName: "ada", Active: true})
	g, err := b.CreateGroup(t.Context(), cause, b.tenant, directory.Group{DisplayName: "ops"})
	must(t, err)
	b.journal = errors.New("disk full")
	version := b.Version(b.tenant)
	_, err = b.CreateUser(t.Context(), cause, b.tenant, directory.User{UserName: "bob"})
	wantError(t, err, b.journal)
	_, err = b.UpdateUser(t.Context(), cause, b.tenant, u.ID, 0, func(u *directory.User) error { u.Active = false; return nil })
	wantError(t, err, b.journal)
	wantError(t, b.DeleteUser(t.Context(), cause, b.tenant, u.ID, 0), b.journal)
	wantError(t, b.AddMembers(t.Context(), cause, b.tenant, g.ID, []identity.UserID{u.ID}), b.journal)
	wantError(t, b.DeleteGroup(t.Context(), cause, b.tenant, g.ID, 0), b.journal)
	_, err = b.CreateTeam(t.Context(), cause, b.tenant, directory.Team{Name: "payments"})
	wantError(t, err, b.journal)
	_, _, err = b.SignIn(t.Context(), cause, b.tenant, directory.SignIn{Connection: "con_1", Subject: "s", Email: "eve@x.example", CreateMissing: true})
	wantError(t, err, b.journal)
	if b.Version(b.tenant) != version {
		t.Error("the version moved")
	}
	page, err := b.Users(t.Context(), b.tenant, directory.UserQuery{Count: 10})
	must(t, err)
	if page.Total != 1 || !page.Items[0].Active || len(page.Items[0].Groups) != 0 {
		t.Fatalf("people are %+v", page.Items)
	}
}

func wantError(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("got %v, want %v", err, want)
	}
}

func TestP9_DeactivationEndsSessionsAfterItIsStored(t *testing.T) {
	b := newBench(t)
	u := b.create(t, directory.User{UserName: "ada", Active: true})
	b.took()
	b.onCommit = func(audit.Event) {
		if got, err := b.User(t.Context(), b.tenant, u.ID); err != nil || !got.Active {
			t.Errorf("the change took effect before its record: %+v, %v", got, err)
		}
	}
	b.onEnd = func(id identity.UserID) {
		if got, err := b.User(t.Context(), b.tenant, id); err != nil || got.Active {
			t.Errorf("sessions ended while the person could still sign in: %+v, %v", got, err)
		}
	}
	deactivate := func(u *directory.User) error { u.Active = false; return nil }
	_, err := b.UpdateUser(t.Context(), cause, b.tenant, u.ID, 0, deactivate)
	must(t, err)
	wantSteps(t, b, "journal user.deactivated", "end "+string(u.ID))

	b.onCommit = nil
	_, err = b.UpdateUser(t.Context(), cause, b.tenant, u.ID, 0, deactivate)
	must(t, err)
	wantSteps(t, b, "end "+string(u.ID)) // a retry after a crash converges

	_, err = b.UpdateUser(t.Context(), cause, b.tenant, u.ID, 0, func(u *directory.User) error { u.Active = true; return nil })
	must(t, err)
	wantSteps(t, b, "end "+string(u.ID), "journal user.activated") // what a crash left must not come back
}

func TestP9_DeletionEndsSessionsEvenOnRetry(t *testing.T) {
	b := newBench(t)
	u := b.create(t, directory.User{UserName: "ada", Active: true})
	b.took()
	b.sessions = errors.New("registry away")
	wantError(t, b.DeleteUser(t.Context(), cause, b.tenant, u.ID, 0), b.sessions)
	wantSteps(t, b, "journal user.deleted", "end "+string(u.ID))
	b.sessions = nil
	wantFault(t, b.DeleteUser(t.Context(), cause, b.tenant, u.ID, 0), fault.NotFound, "user-unknown")
	wantSteps(t, b, "end "+string(u.ID))
}

func TestP9_AFailureToEndSessionsIsNotAnsweredWithSuccess(t *testing.T) {
	b := newBench(t)
	u := b.create(t, directory.User{UserName: "ada", Active: true})
	b.sessions = errors.New("registry away")
	_, err := b.UpdateUser(t.Context(), cause, b.tenant, u.ID, 0, func(u *directory.User) error { u.Active = false; return nil })
	wantError(t, err, b.sessions)
}

func TestP3_IdsOfAnotherTenantAreUnknown(t *testing.T) {
	b := newBench(t)
	u := b.create(t, directory.User{UserName: "ada", Active: true})
	_, err := b.User(t.Context(), b.other, u.ID)
	wantFault(t, err, fault.NotFound, "user-unknown")
	_, err = b.Person(t.Context(), b.tenant, u.ID)
	must(t, err) // now cached
	_, err = b.Person(t.Context(), b.other, u.ID)
	wantFault(t, err, fault.NotFound, "user-unknown")
	_, err = b.CreateGroup(t.Context(), cause, b.other, directory.Group{DisplayName: "ops", Members: []directory.Member{{User: u.ID}}})
	wantFault(t, err, fault.Invalid, "unknown-member")
}

func TestVersionMovesWithEveryChangeAndPersonFollows(t *testing.T) {
	b := newBench(t)
	u := b.create(t, directory.User{UserName: "ada", Active: true})
	other := b.Version(b.other)
	last := b.Version(b.tenant)
	moved := func(what string) {
		t.Helper()
		if v := b.Version(b.tenant); v == last {
			t.Errorf("%s left the version alone", what)
		} else {
			last = v
		}
	}
	g, err := b.CreateGroup(t.Context(), cause, b.tenant, directory.Group{DisplayName: "ops"})
	must(t, err)
	moved("creating a group")
	if p, err := b.Person(t.Context(), b.tenant, u.ID); err != nil || len(p.Groups) != 0 {
		t.Fatalf("%+v, %v", p, err)
	}
	must(t, b.AddMembers(t.Context(), cause, b.tenant, g.ID, []identity.UserID{u.ID}))
	moved("adding a member")
	if p, err := b.Person(t.Context(), b.tenant, u.ID); err != nil || len(p.Groups) != 1 || p.Groups[0].Name != "ops" {
		t.Fatalf("%+v, %v", p, err)
	}
	team, err := b.CreateTeam(t.Context(), cause, b.tenant, directory.Team{Name: "payments"})
	must(t, err)
	moved("creating a team")
	must(t, b.DeleteTeam(t.Context(), cause, b.tenant, team.ID, 0))
	moved("deleting a team")
	must(t, b.DeleteUser(t.Context(), cause, b.tenant, u.ID, 0))
	moved("deleting a person")
	if _, err := b.Person(t.Context(), b.tenant, u.ID); !fault.Is(err, fault.NotFound) {
		t.Errorf("a deleted person is still there: %v", err)
	}
	b.Forget(b.tenant)
	moved("forgetting the tenant")
	if b.Version(b.other) != other {
		t.Error("another tenant's version moved")
	}
}

func TestDeletionsAtAnOldVersionChangeNothing(t *testing.T) {
	b := newBench(t)
	u := b.create(t, directory.User{UserName: "ada", Active: true})
	g, err := b.CreateGroup(t.Context(), cause, b.tenant, directory.Group{DisplayName: "ops"})
	must(t, err)
	team, err := b.CreateTeam(t.Context(), cause, b.tenant, directory.Team{Name: "payments"})
	must(t, err)
	b.took()
	for _, c := range []struct {
		table   string
		version uint64
		remove  func(version uint64) error
	}{
		{"users", u.Version, func(v uint64) error { return b.DeleteUser(t.Context(), cause, b.tenant, u.ID, v) }},
		{"groups", g.Version, func(v uint64) error { return b.DeleteGroup(t.Context(), cause, b.tenant, g.ID, v) }},
		{"teams", team.Version, func(v uint64) error { return b.DeleteTeam(t.Context(), cause, b.tenant, team.ID, v) }},
	} {
		wantFault(t, c.remove(c.version+1), fault.Precondition, "version-changed")
		wantSteps(t, b)
		// Nor is one deleted that another node changes after it was looked at.
		b.onCommit = func(audit.Event) {
			b.onCommit = nil
			must(t, b.db.Tenant(b.tenant).Write(t.Context(), func(tx *store.Tx) error {
				_, err := tx.Exec(t.Context(), `UPDATE `+c.table+` SET version = version + 1`)
				return err
			}))
		}
		wantFault(t, c.remove(c.version), fault.Precondition, "version-changed")
		c.version++
		b.took()
		must(t, c.remove(c.version))
		b.took()
	}
}

// A record of success is followed by its effect, whether or not the caller
// waits for it.
func TestP1_WhatIsRecordedComesTrueWithoutTheCaller(t *testing.T) {
	b := newBench(t)
	team, err := b.CreateTeam(t.Context(), cause, b.tenant, directory.Team{Name: "red", DisplayName: "Red"})
	must(t, err)
	group, err := b.CreateGroup(t.Context(), cause, b.tenant, directory.Group{DisplayName: "Ops", Source: directory.SourceAdmin})
	must(t, err)
	bob := b.create(t, directory.User{UserName: "bob", DisplayName: "Bob", Active: true, Source: directory.SourceAdmin})
	var user directory.User
	for name, change := range map[string]func(context.Context) error{
		"create": func(ctx context.Context) (err error) {
			user, err = b.CreateUser(ctx, cause, b.tenant, directory.User{UserName: "ann", DisplayName: "Ann", Active: true, Source: directory.SourceAdmin})
			return err
		},
		"update": func(ctx context.Context) error {
			_, err := b.UpdateUser(ctx, cause, b.tenant, bob.ID, 0, func(u *directory.User) error { u.DisplayName = "Robert"; return nil })
			return err
		},
		"group": func(ctx context.Context) error {
			return b.AddMembers(ctx, cause, b.tenant, group.ID, []identity.UserID{bob.ID})
		},
		"team": func(ctx context.Context) error { return b.DeleteTeam(ctx, cause, b.tenant, team.ID, 0) },
		"link": func(ctx context.Context) error {
			return b.Link(ctx, cause, b.tenant, bob.ID, directory.Namer{}, "con_1", "bob")
		},
		"sign-in": func(ctx context.Context) error { // several records
			_, _, err := b.SignIn(ctx, cause, b.tenant, directory.SignIn{Connection: "con_1", Subject: "cy", Name: "Cy", Groups: []string{"Dev"}, CreateMissing: true})
			return err
		},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		b.onCommit = func(audit.Event) { cancel() }
		if err := change(ctx); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if e := b.lastEvent(); e.Outcome != audit.Success {
			t.Errorf("%s: %+v", name, e)
		}
		cancel()
	}
	if _, err := b.User(t.Context(), b.tenant, user.ID); err != nil {
		t.Error(err)
	}
	if u, err := b.User(t.Context(), b.tenant, bob.ID); err != nil || u.DisplayName != "Robert" || len(u.Groups) != 1 {
		t.Errorf("%+v, %v", u, err)
	}
	if _, err := b.Team(t.Context(), b.tenant, team.ID); !fault.Is(err, fault.NotFound) {
		t.Error("the team is still there:", err)
	}
	if _, created, err := b.SignIn(t.Context(), cause, b.tenant, directory.SignIn{Connection: "con_1", Subject: "cy", Name: "Cy"}); err != nil || created {
		t.Errorf("who signed in is not there: %v", err)
	}
}
