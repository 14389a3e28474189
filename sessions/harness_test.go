package sessions_test

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

	"gatehouse/audit"
	"gatehouse/directory"
	"gatehouse/identity"
	"gatehouse/internal/store"
	"gatehouse/internal/store/postgrestest"
	"gatehouse/sessions"
)

const (
	acme   identity.TenantID = "ten_acme"
	globex identity.TenantID = "ten_globex"

	chrome = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36"
)

// testKeys derives keys from names, and seals by marking.
type testKeys struct{}

func (testKeys) Derive(_ context.Context, tenant identity.TenantID, purpose string, size int) ([]byte, error) {
	var key []byte
	for i := 0; len(key) < size; i++ {
		sum := sha256.Sum256(fmt.Appendf(nil, "%s %s %d", tenant, purpose, i))
		key = append(key, sum[:]...)
	}
	return key[:size], nil
}

func (testKeys) Seal(_ context.Context, tenant identity.TenantID, purpose string, plaintext []byte) ([]byte, error) {
	return fmt.Appendf(nil, "%s|%s|%x", tenant, purpose, plaintext), nil
}

func (testKeys) Open(_ context.Context, tenant identity.TenantID, purpose string, sealed []byte) ([]byte, error) {
	var plaintext []byte
	_, err := fmt.Sscanf(string(sealed), string(tenant)+"|"+purpose+"|%x", &plaintext)
	return plaintext, err
}

// journal keeps events in memory and can be told to refuse them. Before each
// event is kept, before (if set) sees the moment just ahead of the effect.
type journal struct {
	mu     sync.Mutex
	events []audit.Event
	broken error
	after  func(audit.Event)
}

func (j *journal) Commit(_ context.Context, e audit.Event) (audit.Receipt, error) {
	j.mu.Lock()
	broken, after := j.broken, j.after
	if broken == nil {
		j.events = append(j.events, e)
	}
	j.mu.Unlock()
	if after != nil {
		after(e)
	}
	return audit.Receipt{}, broken
}

func (j *journal) count(t audit.Type) (n int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, e := range j.events {
		if e.Type == t {
			n++
		}
	}
	return n
}

// first gives the first event of a type.
func (j *journal) first(t audit.Type) audit.Event {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, e := range j.events {
		if e.Type == t {
			return e
		}
	}
	return audit.Event{}
}

// revoked gives the first event of a revocation that has this reason.
func (j *journal) revoked(reason string) audit.Event {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, e := range j.events {
		if e.Type == audit.SessionsRevoked && e.Reason == reason {
			return e
		}
	}
	return audit.Event{}
}

func (j *journal) last() audit.Event {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.events[len(j.events)-1]
}

var errBroken = errors.New("broken")

// world is a service over a real database, which outlives the service.
type world struct {
	*sessions.Service
	t       testing.TB
	db      *store.DB
	dir     string
	journal *journal

	mu     sync.Mutex
	limits sessions.Limits
}

func newWorld(t testing.TB) *world {
	t.Helper()
	return newWorldOn(t, postgrestest.Or(t, "sqlite://"+t.TempDir()))
}

func newWorldOn(t testing.TB, url string) *world {
	t.Helper()
	ctx := context.Background()
	db, err := store.Open(ctx, url, store.Options{Keys: testKeys{}, Environment: "test"})
	if err != nil {
		t.Fatal(err)
	}
	for _, tenant := range []identity.TenantID{acme, globex} {
		if err := db.Create(ctx, tenant); err != nil {
			t.Fatal(err)
		}
	}
	w := &world{t: t, db: db, dir: t.TempDir(), journal: &journal{}, limits: sessions.Limits{Idle: 8 * time.Hour, Absolute: 168 * time.Hour}}
	for _, tenant := range []identity.TenantID{acme, globex} {
		w.exec(tenant, `INSERT INTO connections (id, name, type, spec, enabled, version, created_at, updated_at)
			VALUES ('con_oidc', 'oidc', 'oidc', '{}', TRUE, 1, 0, 0)`)
	}
	w.reopen()
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

// reopen starts a service that knows only what the database holds, as after
// kill -9 of the one before.
func (w *world) reopen() {
	w.Service = sessions.New(sessions.Config{Store: w.db, Keys: testKeys{}, Journal: w.journal, Node: "n1", Dir: w.dir,
		Limits: func(identity.TenantID) sessions.Limits {
			w.mu.Lock()
			defer w.mu.Unlock()
			return w.limits
		}})
}

func (w *world) limit(idle, absolute time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.limits.Idle, w.limits.Absolute = idle, absolute
}

func (w *world) exec(tenant identity.TenantID, query string, args ...any) int64 {
	w.t.Helper()
	var n int64
	err := w.db.Tenant(tenant).Write(context.Background(), func(tx *store.Tx) (err error) {
		n, err = tx.Exec(context.Background(), query, args...)
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return n
}

func (w *world) user(tenant identity.TenantID, name string) identity.UserID {
	w.t.Helper()
	people := directory.New(directory.Config{Store: w.db, Journal: &journal{}, Sessions: w.Service})
	user, err := people.CreateUser(context.Background(), audit.SystemCause(), tenant,
		directory.User{UserName: name, DisplayName: name, Active: true, Source: directory.SourceAdmin})
	if err != nil {
		w.t.Fatal(err)
	}
	return user.ID
}

// activate changes a person as a directory does whose gateway then dies, or
// just ahead of ending the sessions.
func (w *world) activate(tenant identity.TenantID, user identity.UserID, active bool) {
	w.t.Helper()
	w.exec(tenant, `UPDATE users SET active = $1 WHERE id = $2`, active, user)
}

// enable changes acme's connection as [world.activate] does a person.
func (w *world) enable(enabled bool) {
	w.t.Helper()
	w.exec(acme, `UPDATE connections SET enabled = $1`, enabled)
}

func signIn(user identity.UserID) sessions.NewSession {
	return sessions.NewSession{User: user, Connection: "con_oidc", ConnectionVersion: 1, IDPSubject: "sub", UserAgent: chrome,
		IP: netip.MustParseAddr("192.0.2.7"), AMR: []string{"pwd", "otp"}, ACR: "2"}
}

func (w *world) signIn(tenant identity.TenantID, n sessions.NewSession) sessions.Created {
	w.t.Helper()
	made, err := w.Create(context.Background(), audit.SystemCause(), tenant, n)
	if err != nil {
		w.t.Fatal(err)
	}
	return made
}

func (w *world) find(tenant identity.TenantID, token string) *sessions.Live {
	w.t.Helper()
	live, err := w.Find(context.Background(), tenant, token)
	if err != nil {
		w.t.Fatal(err)
	}
	return live
}

func (w *world) revoke(tenant identity.TenantID, sel sessions.Selector) sessions.Revocation {
	w.t.Helper()
	done, err := w.Revoke(context.Background(), audit.SystemCause(), tenant, sel, "admin")
	if err != nil {
		w.t.Fatal(err)
	}
	return done
}

// copies makes sessions like one, and gives their tokens.
func (w *world) copies(of identity.SessionID, n int) map[identity.SessionID]string {
	w.t.Helper()
	tokens := map[identity.SessionID]string{}
	err := w.db.Tenant(acme).Write(context.Background(), func(tx *store.Tx) error {
		for range n {
			id, raw := identity.NewSessionID(), make([]byte, 32)
			_, _ = rand.Read(raw)
			tokens[id] = base64.RawURLEncoding.EncodeToString(raw)
			hash := sha256.Sum256([]byte(tokens[id]))
			if _, err := tx.Exec(context.Background(), `INSERT INTO sessions
				(id, token_hash, user_id, device_id, connection_id, idp_subject, idp_session, logout_hint, amr, acr,
					ip, user_agent, auth_at, created_at, seen_at, expires_at, ended_at, end_reason)
				SELECT $1, $2, user_id, device_id, connection_id, idp_subject, idp_session, logout_hint, amr, acr,
					ip, user_agent, auth_at, created_at, seen_at, expires_at, ended_at, end_reason
				FROM sessions WHERE id = $3`, id, hash[:], of); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.reopen()
	return tokens
}
