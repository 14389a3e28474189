package tenants_test

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"gatehouse/audit"
	"gatehouse/identity"
	"gatehouse/internal/dnstest"
	"gatehouse/internal/fault"
	"gatehouse/internal/keys"
	"gatehouse/internal/store"
	"gatehouse/internal/store/postgrestest"
	"gatehouse/tenants"
)

// recorder keeps what was journalled, for real, and can refuse to.
type recorder struct {
	journal *audit.Journal

	mu     sync.Mutex
	events []audit.Event
	err    error
	leave  context.CancelFunc // the caller goes away with the record; nil: stays

	dropped []identity.TenantID
}

func (r *recorder) Commit(ctx context.Context, e audit.Event) (audit.Receipt, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil {
		return audit.Receipt{}, r.err
	}
	receipt, err := r.journal.Commit(ctx, e)
	if err == nil {
		r.events = append(r.events, e)
	}
	if r.leave != nil {
		r.leave()
	}
	return receipt, err
}

func (r *recorder) Drop(tenant identity.TenantID) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.dropped = append(r.dropped, tenant)
	return r.journal.Drop(tenant)
}

func (r *recorder) refuse(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.err = err
}

// last returns the newest event and how many there are.
func (r *recorder) last() (audit.Event, int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.events) == 0 {
		return audit.Event{}, 0
	}
	return r.events[len(r.events)-1], len(r.events)
}

var errJournal = errors.New("the journal is full")

// rooms is what is above this room: it notes what it is asked for, and looks at
// that moment whether what must have come before is there.
type rooms struct {
	h *house
	t *testing.T

	ended     []string
	forgotten []identity.TenantID

	restricted  atomic.Int64
	reconnected []identity.TenantID
	lost        identity.TenantID // whose row is gone, and not by a deletion
	err         error
}

func (r *rooms) EndTenant(ctx context.Context, _ audit.Cause, tenant identity.TenantID, reason string) error {
	if has, err := r.h.ring.Has(ctx, tenant); !has || err != nil {
		r.t.Errorf("%s: ended when the key was gone already: %v", reason, err)
	}
	if kept := r.h.kept(r.t, tenant); kept == tenants.Active {
		r.t.Errorf("%s: ended while the tenant was active", reason)
	}
	r.ended = append(r.ended, string(tenant)+" "+reason)
	return r.err
}

func (r *rooms) Restrict(_ context.Context, _ audit.Cause, tenant identity.TenantID) error {
	if t, ok := r.h.service.ByID(tenant); !ok || t.Status != tenants.Active {
		r.t.Error("restricted though it is not active")
	}
	r.restricted.Add(1)
	return r.err
}

func (r *rooms) Reconnect(tenant identity.TenantID) { r.reconnected = append(r.reconnected, tenant) }

func (r *rooms) Forget(tenant identity.TenantID) {
	if has, err := r.h.ring.Has(r.t.Context(), tenant); has != (tenant == r.lost) || err != nil {
		r.t.Errorf("forgotten while the key was there: %v", err)
	}
	r.forgotten = append(r.forgotten, tenant)
}

// house is the room with real parts beneath, in one directory.
type house struct {
	dir     string
	url     string // of the store
	ring    *keys.Ring
	db      *store.DB
	journal *recorder
	rooms   *rooms
	dns     *dnstest.Server
	service *tenants.Service
}

func newHouse(t *testing.T) *house {
	t.Helper()
	h := &house{dir: t.TempDir(), dns: dnstest.Start(t)}
	h.url = postgrestest.Or(t, "sqlite://"+h.dir)
	h.rooms = &rooms{h: h, t: t}
	kek, err := keys.OpenFileKEK(filepath.Join(h.dir, "kek.key"), true)
	must(t, err)
	vault, err := keys.OpenDirVault(filepath.Join(h.dir, "keys"))
	must(t, err)
	h.ring = keys.NewRing(kek, vault)
	must(t, h.ring.Create(t.Context(), identity.Platform))
	journal, err := audit.Open(audit.Options{Dir: filepath.Join(h.dir, "journal"), Node: "node", Keys: h.ring})
	must(t, err)
	t.Cleanup(func() { must(t, journal.Close()) })
	h.journal = &recorder{journal: journal}
	h.open(t)
	return h
}

// open is a start of the gateway; a second one is a restart.
func (h *house) open(t *testing.T) {
	t.Helper()
	if h.db != nil {
		must(t, h.db.Close())
	}
	db, err := store.Open(t.Context(), h.url, store.Options{Keys: h.ring, Environment: "test"})
	must(t, err)
	t.Cleanup(func() { must(t, db.Close()) })
	h.db = db
	h.service, err = tenants.New(t.Context(), h.config())
	must(t, err)
}

func (h *house) config() tenants.Config {
	return tenants.Config{Store: h.db, Keys: h.ring, Journal: h.journal, Rooms: h.rooms, PlatformHost: "admin.example.com", Resolver: h.dns.Resolver()}
}

// several reports whether more than one node can be on the store.
func (h *house) several() bool { return strings.HasPrefix(h.url, "postgres") }

// kept is a tenant's status in the database; empty if it is not there.
func (h *house) kept(t *testing.T, id identity.TenantID) (status tenants.Status) {
	t.Helper()
	err := h.db.System().Read(context.Background(), func(tx *store.Tx) (err error) {
		status, err = store.One(context.Background(), tx, store.Scalar[tenants.Status], `SELECT status FROM tenants WHERE id = $1`, id)
		return err
	})
	if err != nil && !errors.Is(err, store.ErrNoRows) {
		t.Fatal(err)
	}
	return status
}

func (h *house) exec(t *testing.T, query string, args ...any) {
	t.Helper()
	must(t, h.db.System().Write(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(t.Context(), query, args...)
		return err
	}))
}

func (h *house) add(t *testing.T, name string, hosts ...string) *tenants.Tenant {
	t.Helper()
	made, err := h.service.Create(t.Context(), cause, tenants.Tenant{Name: name, Hosts: hosts})
	must(t, err)
	return made
}

var cause = audit.Cause{Actor: audit.Actor{Kind: identity.KindOperator, ID: "root", Name: "root"}, RequestID: "req_1"}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantFault(t *testing.T, what string, err error, kind fault.Kind) {
	t.Helper()
	if !fault.Is(err, kind) {
		t.Errorf("%s: got %v, want a fault of kind %d", what, err, kind)
	}
}
