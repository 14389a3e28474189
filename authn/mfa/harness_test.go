package mfa_test

import (
	"context"
	"encoding/json"
	"errors"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"gatehouse/audit"
	"gatehouse/authn"
	"gatehouse/authn/mfa"
	"gatehouse/authn/mfa/mfatest"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/internal/keys"
	"gatehouse/internal/store"
	"gatehouse/internal/store/postgrestest"
)

const (
	acme   identity.TenantID = "ten_acme"
	globex identity.TenantID = "ten_globex"
	origin                   = "https://acme.test:8443"
	host                     = "acme.test"
)

// journal keeps events in memory and can be told to refuse them.
type journal struct {
	mu     sync.Mutex
	events []audit.Event
	broken error
}

func (j *journal) Commit(_ context.Context, e audit.Event) (audit.Receipt, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.broken == nil {
		j.events = append(j.events, e)
	}
	return audit.Receipt{}, j.broken
}

func (j *journal) fail(err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.broken = err
}

func (j *journal) all(t audit.Type) (found []audit.Event) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, e := range j.events {
		if e.Type == t {
			found = append(found, e)
		}
	}
	return found
}

// world is the room over a real store, as two nodes.
type world struct {
	*mfa.Service

	t       testing.TB
	other   *mfa.Service // on another node
	db      *store.DB
	journal *journal
	mu      sync.Mutex
	at      time.Time
}

func newWorld(t testing.TB) *world {
	t.Helper()
	dir := t.TempDir()
	kek, err := keys.OpenFileKEK(filepath.Join(dir, "kek.key"), true)
	must(t, err)
	vault, err := keys.OpenDirVault(filepath.Join(dir, "keys"))
	must(t, err)
	ring := keys.NewRing(kek, vault)
	w := &world{t: t, journal: &journal{}, at: time.Now()}
	for _, id := range []identity.TenantID{identity.Platform, acme, globex} {
		must(t, ring.Create(t.Context(), id))
	}
	w.db, err = store.Open(t.Context(), postgrestest.Or(t, "sqlite://"+filepath.Join(dir, "db")), store.Options{Keys: ring, Environment: "test"})
	must(t, err)
	t.Cleanup(func() { must(t, w.db.Close()) })
	for _, id := range []identity.TenantID{acme, globex} {
		must(t, w.db.Create(t.Context(), id))
		for _, user := range []string{"usr_ann", "usr_ben"} {
			w.exec(id, `INSERT INTO users (id, user_name, user_key, external_id, email, display_name, display_key, active, source, attributes, version, created_at, updated_at)
				VALUES ($1, $1, $1, '', '', '', '', TRUE, 'admin', '{}', 1, 0, 0)`, user)
		}
	}
	config := mfa.Config{Store: w.db, Keys: ring, Journal: w.journal, Now: w.clock}
	w.Service, w.other = mfa.New(config), mfa.New(config)
	return w
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.at
}

func (w *world) advance(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.at = w.at.Add(d)
}

func (w *world) exec(tenant identity.TenantID, query string, args ...any) {
	w.t.Helper()
	must(w.t, w.db.Tenant(tenant).Write(context.Background(), func(tx *store.Tx) error {
		_, err := tx.Exec(context.Background(), query, args...)
		return err
	}))
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func holder(tenant identity.TenantID, user identity.UserID) authn.Holder {
	return authn.Holder{Tenant: tenant, User: user, Name: string(user) + "@acme.example", Issuer: "Acme", Origin: origin}
}

var ann, ben = holder(acme, "usr_ann"), holder(acme, "usr_ben")

// code is what an app with this key shows, some periods from now.
func (w *world) code(key string, periods int) string {
	w.t.Helper()
	code, err := totp.GenerateCode(key, w.clock().Add(time.Duration(periods)*30*time.Second))
	must(w.t, err)
	return code
}

// app adds an authenticator app, and moves on to its next code.
func (w *world) app(h authn.Holder, name string) (key string, codes []string) {
	w.t.Helper()
	offer, err := w.Offer(w.t.Context(), h, authn.TOTP, nil)
	must(w.t, err)
	codes, _, err = w.Enrol(w.t.Context(), audit.SystemCause(), h, authn.Enrolment{Private: offer.Private, Name: name,
		Proof: authn.Proof{Kind: authn.TOTP, Value: w.code(offer.Key, 0)}})
	must(w.t, err)
	w.advance(30 * time.Second)
	return offer.Key, codes
}

// passkey adds a passkey.
func (w *world) passkey(h authn.Holder, name string) (*mfatest.Passkey, []string) {
	w.t.Helper()
	p := mfatest.New(w.t, origin, host)
	codes, err := w.enrolPasskey(h, p, name)
	must(w.t, err)
	return p, codes
}

func (w *world) enrolPasskey(h authn.Holder, p *mfatest.Passkey, name string) ([]string, error) {
	w.t.Helper()
	offer, err := w.Offer(w.t.Context(), h, authn.Passkey, nil)
	must(w.t, err)
	codes, _, err := w.Enrol(w.t.Context(), audit.SystemCause(), h, authn.Enrolment{Private: offer.Private, Name: name,
		Proof: authn.Proof{Kind: authn.Passkey, Value: p.Create(offer.Options)}})
	return codes, err
}

func (w *world) enter(h authn.Holder, kind authn.FactorKind, code string) error {
	_, err := w.Verify(w.t.Context(), h, nil, authn.Proof{Kind: kind, Value: code})
	return err
}

func (w *world) show(h authn.Holder, p *mfatest.Passkey) (authn.Shown, error) {
	w.t.Helper()
	asked, err := w.Ask(w.t.Context(), h)
	must(w.t, err)
	return w.Verify(w.t.Context(), h, asked.Private, authn.Proof{Kind: authn.Passkey, Value: p.Get(asked.Options)})
}

// reasonOf is why something does not count.
func reasonOf(err error) string {
	if refusal, ok := errors.AsType[*authn.Refusal](err); ok {
		return string(refusal.Reason)
	}
	if f, ok := errors.AsType[*fault.Fault](err); ok {
		return f.Code
	}
	if err != nil {
		return err.Error()
	}
	return ""
}

func (w *world) held(h authn.Holder) authn.Held {
	w.t.Helper()
	held, err := w.Held(w.t.Context(), h.Tenant, h.User)
	must(w.t, err)
	return held
}

func fields(t *testing.T, raw []byte) map[string]any {
	t.Helper()
	var all map[string]any
	must(t, json.Unmarshal(raw, &all))
	return all
}
