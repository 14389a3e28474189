package directory_test

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"gatehouse/audit"
	"gatehouse/authz"
	"gatehouse/directory"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/internal/keys"
	"gatehouse/internal/store"
	"gatehouse/internal/store/postgrestest"
)

// bench is a directory on a real, encrypted store, with what it tells the
// journal and the sessions written down in the order in which it happened.
type bench struct {
	*directory.Service
	db     *store.DB
	ring   *keys.Ring
	tenant identity.TenantID
	other  identity.TenantID

	mu       sync.Mutex
	steps    []string // "journal user.created", "end usr_..."
	events   []audit.Event
	journal  error // what the journal answers
	sessions error // what ending sessions answers
	onCommit func(audit.Event)
	onEnd    func(identity.UserID)
	erased   []identity.UserID // of whom what else names them was removed
}

func newBench(t *testing.T) *bench {
	t.Helper()
	dir := t.TempDir()
	kek, err := keys.OpenFileKEK(filepath.Join(dir, "kek.key"), true)
	must(t, err)
	vault, err := keys.OpenDirVault(filepath.Join(dir, "keys"))
	must(t, err)
	ring := keys.NewRing(kek, vault)
	b := &bench{ring: ring, tenant: identity.NewTenantID(), other: identity.NewTenantID()}
	for _, id := range []identity.TenantID{identity.Platform, b.tenant, b.other} {
		must(t, ring.Create(t.Context(), id))
	}
	b.db, err = store.Open(t.Context(), postgrestest.Or(t, "sqlite://"+filepath.Join(dir, "db")), store.Options{Keys: ring, Environment: "test"})
	must(t, err)
	t.Cleanup(func() { must(t, b.db.Close()) })
	must(t, b.db.Create(t.Context(), b.tenant))
	must(t, b.db.Create(t.Context(), b.other))
	b.Service = directory.New(directory.Config{Store: b.db, Journal: b, Sessions: b, Withdraw: authz.Withdraw})
	return b
}

func (b *bench) Commit(ctx context.Context, e audit.Event) (audit.Receipt, error) {
	if err := ctx.Err(); err != nil {
		return audit.Receipt{}, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.journal != nil {
		return audit.Receipt{}, b.journal
	}
	b.steps = append(b.steps, "journal "+string(e.Type))
	b.events = append(b.events, e)
	if b.onCommit != nil {
		b.onCommit(e)
	}
	return audit.Receipt{}, nil
}

func (b *bench) EndUser(_ context.Context, _ audit.Cause, tenant identity.TenantID, user identity.UserID, _ string) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if tenant != b.tenant {
		return 0, errors.New("another tenant's sessions")
	}
	b.steps = append(b.steps, "end "+string(user))
	if b.onEnd != nil {
		b.onEnd(user)
	}
	return 1, b.sessions
}

// took gives the steps since it was last asked.
func (b *bench) took() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	steps := b.steps
	b.steps = nil
	return steps
}

func (b *bench) lastEvent() audit.Event {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.events[len(b.events)-1]
}

func (b *bench) create(t *testing.T, u directory.User) directory.User {
	t.Helper()
	u, err := b.CreateUser(t.Context(), cause, b.tenant, u)
	must(t, err)
	return u
}

var cause = audit.Cause{Actor: audit.Actor{Kind: identity.KindSCIMToken, ID: "tok_1"}, RequestID: "req_1"}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantFault(t *testing.T, err error, kind fault.Kind, code string) {
	t.Helper()
	if f := fault.As(err); err == nil || f.Kind != kind || f.Code != code {
		t.Fatalf("got %v, want a fault of kind %d with code %q", err, kind, code)
	}
}

func wantSteps(t *testing.T, b *bench, want ...string) {
	t.Helper()
	if got := b.took(); !slices.Equal(got, want) {
		t.Fatalf("took the steps %q, want %q", got, want)
	}
}
