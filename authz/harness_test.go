package authz_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"
	"testing"

	"gatehouse/audit"
	"gatehouse/authz"
	"gatehouse/directory"
	"gatehouse/identity"
	"gatehouse/internal/store"
	"gatehouse/internal/store/postgrestest"
)

const (
	acme   identity.TenantID = "ten_acme"
	globex identity.TenantID = "ten_globex"
)

// keys derives keys from names.
type keys struct{}

func (keys) Derive(_ context.Context, tenant identity.TenantID, purpose string, size int) ([]byte, error) {
	var key []byte
	for i := 0; len(key) < size; i++ {
		sum := sha256.Sum256(fmt.Appendf(nil, "%s %s %d", tenant, purpose, i))
		key = append(key, sum[:]...)
	}
	return key[:size], nil
}

// journal keeps events in memory and can be told to refuse them.
type journal struct {
	mu     sync.Mutex
	events []audit.Event
	broken error
	hold   func() // what a record waits for, if set
}

func (j *journal) Commit(_ context.Context, e audit.Event) (audit.Receipt, error) {
	if j.hold != nil {
		j.hold()
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.broken == nil {
		j.events = append(j.events, e)
	}
	return audit.Receipt{}, j.broken
}

var errBroken = errors.New("broken")

// nobody has sessions here.
type nobody struct{}

func (nobody) EndUser(context.Context, audit.Cause, identity.TenantID, identity.UserID, string) (int, error) {
	return 0, nil
}

// world is an engine over a real database and a real directory.
type world struct {
	*authz.Engine
	t       testing.TB
	db      *store.DB
	people  *directory.Service
	journal *journal
}

func newWorld(t testing.TB) *world {
	t.Helper()
	ctx := context.Background()
	db, err := store.Open(ctx, postgrestest.Or(t, "sqlite://"+t.TempDir()), store.Options{Keys: keys{}, Environment: "test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	for _, tenant := range []identity.TenantID{acme, globex} {
		if err := db.Create(ctx, tenant); err != nil {
			t.Fatal(err)
		}
	}
	w := &world{t: t, db: db, journal: &journal{}}
	w.people = directory.New(directory.Config{Store: db, Journal: &journal{}, Sessions: nobody{}, Withdraw: authz.Withdraw})
	w.Engine = authz.New(authz.Config{Store: db, Journal: w.journal, People: w.people})
	return w
}

func must[T any](t testing.TB) func(v T, err error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func (w *world) user(tenant identity.TenantID, name string) *identity.Principal {
	w.t.Helper()
	u := must[directory.User](w.t)(w.people.CreateUser(context.Background(), audit.SystemCause(), tenant,
		directory.User{UserName: name, DisplayName: name, Active: true, Source: directory.SourceAdmin}))
	return &identity.Principal{Kind: identity.KindUser, Tenant: tenant, ID: string(u.ID), User: u.ID}
}

func (w *world) group(tenant identity.TenantID, name string, members ...*identity.Principal) identity.GroupID {
	w.t.Helper()
	g := must[directory.Group](w.t)(w.people.CreateGroup(context.Background(), audit.SystemCause(), tenant,
		directory.Group{DisplayName: name, Source: directory.SourceAdmin}))
	var ids []identity.UserID
	for _, p := range members {
		ids = append(ids, p.User)
	}
	if err := w.people.AddMembers(context.Background(), audit.SystemCause(), tenant, g.ID, ids); err != nil {
		w.t.Fatal(err)
	}
	return g.ID
}

func (w *world) team(tenant identity.TenantID, name string) identity.TeamID {
	w.t.Helper()
	return must[directory.Team](w.t)(w.people.CreateTeam(context.Background(), audit.SystemCause(), tenant,
		directory.Team{Name: name, DisplayName: name})).ID
}

func (w *world) assign(tenant identity.TenantID, a authz.Assignment) authz.Assignment {
	w.t.Helper()
	return must[authz.Assignment](w.t)(w.Assign(context.Background(), audit.SystemCause(), tenant, a))
}

func (w *world) activate(p *identity.Principal, active bool) {
	w.t.Helper()
	must[directory.User](w.t)(w.people.UpdateUser(context.Background(), audit.SystemCause(), p.Tenant, p.User, 0,
		func(u *directory.User) error { u.Active = active; return nil }))
}

func permission(t testing.TB, text string) authz.Permission {
	t.Helper()
	return must[authz.Permission](t)(authz.ParsePermission(text))
}

// decide asks about an object and action, in a team if there is one.
func (w *world) decide(p *identity.Principal, tenant identity.TenantID, text, team string) authz.Decision {
	w.t.Helper()
	permit, d, err := w.Decide(context.Background(), p, authz.Query{Tenant: tenant, Permission: permission(w.t, text), Team: team})
	if err != nil {
		w.t.Fatal(err)
	}
	if permit.Valid(tenant) != d.Allowed || permit.Valid("ten_other") {
		w.t.Fatalf("permit valid %t for %+v", permit.Valid(tenant), d)
	}
	return d
}
