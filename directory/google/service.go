package google

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"gatehouse/audit"
	"gatehouse/directory"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/internal/store"
)

// Keys seals what a tenant keeps.
type Keys interface {
	Seal(ctx context.Context, tenant identity.TenantID, purpose string, plaintext []byte) ([]byte, error)
	Open(ctx context.Context, tenant identity.TenantID, purpose string, sealed []byte) ([]byte, error)
}

// SCIM is the one way of writing people: a request from inside ([scim.Service.Do]).
type SCIM interface {
	Do(ctx context.Context, caller *identity.Principal, method, path string, body []byte) (status int, answer []byte, err error)
}

// Config is what the service works with; all of it is required, save where it says so.
type Config struct {
	Store   directory.Stores
	Keys    Keys
	Journal audit.Recorder
	SCIM    SCIM
	// Client reaches Google. It must be the guarded one.
	Client *http.Client
	// Tenants are all that are served, for [Service.Run], and Serves tells whether one is:
	// of one that is not, nothing is read, and what is being read ends.
	Tenants func() []identity.TenantID
	Serves  func(identity.TenantID) bool
	Log     *slog.Logger
	// API and Token are where Google is; "": where it is. For tests.
	API, Token string
	// Lease is after how long of silence another node takes over; 0: a minute.
	Lease time.Duration
	Now   func() time.Time                                 // nil: [time.Now]
	Wait  func(ctx context.Context, d time.Duration) error // before asking Google again; nil: by the clock
}

// Service reads the accounts of all tenants. It is safe for concurrent use and has
// nothing to close; [Service.Run] must run beside it.
type Service struct {
	Config

	asked chan identity.TenantID
	seen  sightings
	under readings

	mu      sync.Mutex
	failing map[identity.TenantID]*SyncOutcome // of those that this node knows of
}

// New makes the service.
func New(c Config) *Service {
	c.API, c.Token, c.Lease = cmp.Or(c.API, apiURL), cmp.Or(c.Token, tokenURL), cmp.Or(c.Lease, time.Minute)
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Wait == nil {
		c.Wait = waitFor
	}
	return &Service{Config: c, asked: make(chan identity.TenantID, 64), seen: sightings{of: map[identity.TenantID]sighting{}}, failing: map[identity.TenantID]*SyncOutcome{}}
}

func (s *Service) now() time.Time { return s.Now().UTC().Truncate(time.Millisecond) }

const (
	sealPurpose = "google service account"
	// effectTime bounds what follows a record, whose caller may go away.
	effectTime = 10 * time.Second
)

// Status tells how the reading stands; NotFound if no account is read.
func (s *Service) Status(ctx context.Context, tenant identity.TenantID) (Status, error) {
	var shown Status
	err := s.Store.Tenant(tenant).Read(ctx, func(tx *store.Tx) error {
		r, err := load(ctx, tx)
		if err != nil {
			return err
		}
		shown = Status{Settings: r.spec.Settings, ServiceAccount: r.spec.Account, Version: r.version, Running: r.holder != "", Last: r.outcome}
		if !r.spec.Paused {
			shown.Due = r.due
		}
		shown.Skipped, err = skips(ctx, tx)
		return err
	})
	return shown, err
}

// Put has an account be read, beginning at once, or changes how it is. keyFile is the
// service account's; empty: the one there is. ifVersion, unless 0, must be the present
// version (fault Precondition).
func (s *Service) Put(ctx context.Context, cause audit.Cause, tenant identity.TenantID, set Settings, keyFile []byte, ifVersion uint64) (Status, error) {
	if err := set.check(); err != nil {
		return Status{}, err
	}
	before, err := s.current(ctx, tenant, ifVersion)
	exists := err == nil
	if err != nil && (!fault.Is(err, fault.NotFound) || ifVersion != 0) {
		return Status{}, err
	}
	wanted, sealed := spec{Settings: set, Account: before.spec.Account}, before.sealed
	if len(keyFile) > 0 {
		k, err := readKey(keyFile, s.Token)
		if err != nil {
			return Status{}, err
		}
		if sealed, err = s.Keys.Seal(ctx, tenant, sealPurpose, keyFile); err != nil {
			return Status{}, err
		}
		wanted.Account = k.ServiceAccount
	} else if !exists {
		return Status{}, invalid("key", "key is missing: the JSON file of a service account's key.")
	}
	text, err := json.Marshal(wanted)
	if err != nil {
		return Status{}, err
	}
	e := s.event(cause, tenant, audit.SyncChanged, wanted.Account)
	e.Details = map[string]string{"change": "changed", "key": wanted.Account.KeyID, "admin": set.Admin}
	if !exists {
		e.Details["change"] = "created"
	}
	err = s.effect(ctx, e, func(ctx context.Context, tx *store.Tx) error {
		// Whoever reads by the old settings stops with its next page.
		_, err := tx.Exec(ctx, `INSERT INTO google_sync (id, spec, key_sealed, version, changed_at, account, run, due_at, holder, beats, outcome)
			VALUES (1, $1, $2, 1, $3, '', 0, $3, '', 0, '')
			ON CONFLICT (id) DO UPDATE SET spec = excluded.spec, key_sealed = excluded.key_sealed, version = google_sync.version + 1, changed_at = excluded.changed_at,
				due_at = excluded.due_at, holder = '', beats = google_sync.beats + 1`, string(text), sealed, store.Millis(s.now()))
		return err
	}, tenant, ifVersion)
	if err != nil {
		return Status{}, err
	}
	s.ask(tenant)
	return s.Status(ctx, tenant)
}

// Remove has an account be read no more, and forgets its key. Whom it has brought stay as
// they are.
func (s *Service) Remove(ctx context.Context, cause audit.Cause, tenant identity.TenantID, ifVersion uint64) error {
	before, err := s.current(ctx, tenant, ifVersion)
	if err != nil {
		return err
	}
	e := s.event(cause, tenant, audit.SyncDeleted, before.spec.Account)
	err = s.effect(ctx, e, func(ctx context.Context, tx *store.Tx) error {
		for _, table := range []string{"google_sync", "google_people", "google_groups"} {
			if _, err := tx.Exec(ctx, `DELETE FROM `+table); err != nil {
				return err
			}
		}
		return nil
	}, tenant, ifVersion)
	if err == nil {
		s.note(tenant, nil)
	}
	return err
}

// Ask has an account be read now.
func (s *Service) Ask(ctx context.Context, tenant identity.TenantID) (Status, error) {
	err := s.Store.Tenant(tenant).Write(ctx, func(tx *store.Tx) error {
		r, err := load(ctx, tx)
		if err == nil && r.spec.Paused {
			err = fault.New(fault.Conflict, "directory-sync-paused", "It is paused: set it to go on first.")
		}
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `UPDATE google_sync SET due_at = $1 WHERE id = 1`, store.Millis(s.now()))
		return err
	})
	if err != nil {
		return Status{}, err
	}
	s.ask(tenant)
	return s.Status(ctx, tenant)
}

// GoOn has an account be read now of which the brake has held somebody: an admin has
// decided about that. A reading that is under way may have met it, and is followed by
// another one. Of any other account, and of none, nothing becomes.
func (s *Service) GoOn(ctx context.Context, tenant identity.TenantID) error {
	goes := false
	err := s.Store.Tenant(tenant).Write(ctx, func(tx *store.Tx) error {
		r, err := load(ctx, tx)
		if err != nil {
			return err
		}
		if goes = !r.spec.Paused && (r.holder != "" || r.outcome != nil && r.outcome.Result == Held); !goes {
			return nil
		}
		_, err = tx.Exec(ctx, `UPDATE google_sync SET due_at = $1 WHERE id = 1`, store.Millis(s.now()))
		return err
	})
	if fault.Is(err, fault.NotFound) {
		return nil
	}
	if err == nil && goes {
		s.ask(tenant)
	}
	return err
}

// ask tells this node's [Service.Run], which finds out by itself a little later.
func (s *Service) ask(tenant identity.TenantID) {
	select {
	case s.asked <- tenant:
	default:
	}
}

// key gives the key to read with: of the file, or the one that is kept.
func (s *Service) key(ctx context.Context, tenant identity.TenantID, file []byte) (*key, error) {
	if len(file) > 0 {
		return readKey(file, s.Token)
	}
	r, err := s.current(ctx, tenant, 0)
	if err != nil {
		return nil, err
	}
	if file, err = s.Keys.Open(ctx, tenant, sealPurpose, r.sealed); err != nil {
		return nil, err
	}
	return readKey(file, s.Token)
}

func (s *Service) reader(k *key, admin string) *reader {
	return &reader{client: s.Client, api: s.API, token: s.Token, key: k, admin: admin, now: s.Now, wait: s.Wait}
}

// current loads what is kept, if it is of this version.
func (s *Service) current(ctx context.Context, tenant identity.TenantID, ifVersion uint64) (r record, err error) {
	err = s.Store.Tenant(tenant).Read(ctx, func(tx *store.Tx) error {
		r, err = load(ctx, tx)
		return err
	})
	if err == nil && ifVersion != 0 && r.version != ifVersion {
		err = errVersion()
	}
	return r, err
}

func errVersion() error {
	return fault.New(fault.Precondition, "changed-meanwhile", "It was changed since you read it. Read it again and repeat your change.")
}

func (s *Service) event(cause audit.Cause, tenant identity.TenantID, what audit.Type, a ServiceAccount) audit.Event {
	e := cause.Event(tenant, what, audit.Success)
	e.Target = audit.Target{Kind: "directory_sync", ID: caller(tenant).ID, Name: a.Email}
	return e
}

// effect makes a change of the settings, once it is recorded (P1).
func (s *Service) effect(ctx context.Context, e audit.Event, write func(context.Context, *store.Tx) error, tenant identity.TenantID, ifVersion uint64) error {
	if _, err := s.Journal.Commit(ctx, e); err != nil {
		return fmt.Errorf("google: journal %s: %w", e.Type, err)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), effectTime)
	defer cancel()
	s.under.halt(ctx, tenant)
	err := s.Store.Tenant(tenant).Write(ctx, func(tx *store.Tx) error {
		if ifVersion != 0 {
			if r, err := load(ctx, tx); err != nil || r.version != ifVersion {
				return cmp.Or(err, errVersion())
			}
		}
		return write(ctx, tx)
	})
	if err != nil {
		e.Outcome, e.Reason = audit.Failed, "store-failed"
		e.Message = "The change was announced by an earlier record of this request, but could not be stored."
		_, _ = s.Journal.Commit(ctx, e) // the caller already reports the failure that matters
	}
	return err
}

// caller is who brings what was read.
func caller(tenant identity.TenantID) *identity.Principal {
	return &identity.Principal{Kind: identity.KindSync, Tenant: tenant, ID: "google", Name: "Google Workspace"}
}

func customer(s *Settings) string { return cmp.Or(s.Customer, "my_customer") }

func errNoGroup(cause error, name string) error {
	return fault.Wrap(cause, fault.Invalid, "google-no-such-group", "There is no group %s at Google, or the admin may not read it. Nobody counts as gone because of it.", name)
}
