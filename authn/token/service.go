package token

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"gatehouse/audit"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/internal/store"
	"gatehouse/internal/throttle"
	"gatehouse/tenants"
)

const (
	// maxTokens bounds the tokens of one tenant that are good.
	maxTokens = 1000
	// maxOwned bounds those of one person, which all end at once when they leave.
	maxOwned = 50
	// effectTime bounds what follows a record. Its caller may go away, it goes
	// on: what the journal says must come true.
	effectTime = 10 * time.Second
)

// Stores gives the handle on one tenant's data.
type Stores interface {
	Tenant(id identity.TenantID) store.Tenant
}

// Streams are the requests and connections that are open now, on every node.
type Streams interface {
	// End closes what some tokens have open, and returns once it is closed and no node goes by
	// what it remembers of the tenant's tokens.
	End(ctx context.Context, tenant identity.TenantID, principals ...string) error
}

// Connections are the tenants' identity providers.
type Connections interface {
	ConnectionByID(ctx context.Context, tenant identity.TenantID, id identity.ConnectionID) (tenants.Connection, error)
}

// Throttle limits how often something may be done.
type Throttle interface {
	Allow(ctx context.Context, key string, limit throttle.Limit) (ok bool, retryAfter time.Duration)
}

// Config names what the service is built of.
type Config struct {
	Store   Stores
	Journal audit.Recorder
	Streams Streams // nil: nothing is ever open
	// Connections are asked whether that of a token is there and enabled. Nil: there are
	// none.
	Connections Connections
	// Announce has the other nodes read a tenant's tokens anew ([Service.Refresh]), and
	// returns once they do. Nil: there are none.
	Announce func(ctx context.Context, tenant identity.TenantID) error
	// Throttle limits how often a client is given an access token. Nil: nothing does.
	Throttle Throttle
	// Tenants are those that are looked through for what a crash or time has left. Nil:
	// none is.
	Tenants func() []identity.TenantID
	Log     *slog.Logger     // nil: nothing is told
	Now     func() time.Time // nil: [time.Now]
}

// Service keeps the tokens of every tenant.
type Service struct {
	stores      Stores
	journal     audit.Recorder
	streams     Streams
	connections Connections
	announce    func(context.Context, identity.TenantID) error
	throttle    Throttle
	tenants     func() []identity.TenantID
	log         *slog.Logger
	now         func() time.Time
	cache       *cache
}

// New makes the service. [Service.Run] must run beside it.
func New(c Config) *Service {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Announce == nil {
		c.Announce = func(context.Context, identity.TenantID) error { return nil }
	}
	if c.Tenants == nil {
		c.Tenants = func() []identity.TenantID { return nil }
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return &Service{stores: c.Store, journal: c.Journal, streams: c.Streams, connections: c.Connections, announce: c.Announce,
		throttle: c.Throttle, tenants: c.Tenants, log: c.Log, now: c.Now, cache: newCache()}
}

// Create makes a token, or an OAuth client. The secret is in the answer and nowhere
// else.
func (s *Service) Create(ctx context.Context, cause audit.Cause, tenant identity.TenantID, spec Spec) (Token, string, error) {
	now := s.now().UTC().Truncate(time.Millisecond)
	if err := spec.check(now); err != nil {
		return Token{}, "", err
	}
	if spec.Connection != "" {
		if err := s.checkConnection(ctx, tenant, spec.Connection); err != nil {
			return Token{}, "", err
		}
	}
	t := Token{ID: identity.NewTokenID(), Name: spec.Name, Scope: spec.Scope, Role: spec.Role, Connection: spec.Connection, Access: spec.Access, Owner: spec.Owner,
		CreatedBy: creator(cause.Actor), CreatedAt: now, ExpiresAt: spec.Expires.UTC().Truncate(time.Millisecond)}
	if spec.Client {
		t.ClientID = string(t.ID)
	}
	if err := s.stores.Tenant(tenant).Read(ctx, func(tx *store.Tx) error { return room(ctx, tx, now, t.Owner) }); err != nil {
		return Token{}, "", unavailable(err)
	}
	secret, hash := newSecret()
	e := cause.Event(tenant, audit.TokenCreated, audit.Success)
	e.Target = target(t)
	e.Details = details(t)
	e.Details["expires"] = t.ExpiresAt.Format(time.RFC3339)
	err := s.change(ctx, tenant, e, func(ctx context.Context, tx *store.Tx) error { return insert(ctx, tx, t, hash) })
	if err != nil {
		return Token{}, "", err
	}
	return t, secret, nil
}

// change records what is to be done and does it (P1): its caller may go away meanwhile.
// Of what could not be done a second record says so.
func (s *Service) change(ctx context.Context, tenant identity.TenantID, e audit.Event, write func(context.Context, *store.Tx) error) error {
	if _, err := s.journal.Commit(ctx, e); err != nil {
		return unavailable(err)
	}
	effect, cancel := context.WithTimeout(context.WithoutCancel(ctx), effectTime)
	defer cancel()
	err := s.stores.Tenant(tenant).Write(effect, func(tx *store.Tx) error { return write(effect, tx) })
	if err == nil {
		return nil
	}
	err = unavailable(err)
	e.Outcome, e.Reason = audit.Failed, fault.As(err).Code
	e.Message = "The change was announced by an earlier record of this request, but could not be made."
	after, cancel := context.WithTimeout(context.WithoutCancel(ctx), effectTime)
	defer cancel()
	_, _ = s.journal.Commit(after, e) // the caller hears of the failure that matters
	return err
}

// room refuses another token where there are too many, of the tenant or of whose it is.
func room(ctx context.Context, tx *store.Tx, now time.Time, owner identity.UserID) error {
	n, err := store.One(ctx, tx, store.Scalar[int64], countGood, store.Millis(now))
	if err == nil && n >= maxTokens {
		err = fault.New(fault.Conflict, "too-many-tokens", "There are 1000 tokens already. Revoke some that are not used.")
	}
	if err != nil || owner == "" {
		return err
	}
	return roomOf(ctx, tx, now, owner)
}

const countGood = `SELECT count(*) FROM tokens WHERE revoked_at IS NULL AND expires_at > $1`

func roomOf(ctx context.Context, tx *store.Tx, now time.Time, owner identity.UserID) error {
	n, err := store.One(ctx, tx, store.Scalar[int64], countGood+` AND owner_id = $2 AND owner_id <> ''`, store.Millis(now), string(owner))
	if err == nil && n >= maxOwned {
		err = fault.New(fault.Conflict, "too-many-tokens", "One person has up to 50 API tokens. Revoke some that are not used, or have somebody else take some over.")
	}
	return err
}

// insert keeps a token, where there is still room. A person who is deactivated by now
// gets none: with them all of theirs have ended.
func insert(ctx context.Context, tx *store.Tx, t Token, hash digest) error {
	if err := room(ctx, tx, t.CreatedAt, t.Owner); err != nil {
		return err
	}
	n, err := tx.Exec(ctx, `INSERT INTO tokens (id, name, scope, role, hash, created_by, created_at, expires_at, last_used_at, client_id, connection_id, access, owner_id)
		SELECT $1, $2, $3, $4, $5, $6, $7, $8, 0, $9, $10, $11, $12 WHERE `+ownerActive("$12"),
		string(t.ID), t.Name, string(t.Scope), t.Role, hash[:], t.CreatedBy, store.Millis(t.CreatedAt), store.Millis(t.ExpiresAt),
		t.ClientID, string(t.Connection), t.Access.String(), string(t.Owner))
	if err == nil && n == 0 {
		err = errOwnerGone
	}
	return err
}

func creator(a audit.Actor) string {
	if a.ID != "" {
		return a.ID
	}
	return a.Name
}

func target(t Token) audit.Target {
	return audit.Target{Kind: "token", ID: string(t.ID), Name: t.Name}
}

// details are what every record of a token tells of it.
func details(t Token) map[string]string {
	d := map[string]string{"scope": string(t.Scope), "role": t.Role}
	for name, value := range map[string]string{"client": t.ClientID, "connection": string(t.Connection), "access": t.Access.String(), "owner": string(t.Owner)} {
		if value != "" {
			d[name] = value
		}
	}
	return d
}

const columns = `id, name, scope, role, client_id, connection_id, access, created_by, owner_id, created_at, expires_at, last_used_at, revoked_at, successor_id`

func scan(row store.Row) (t Token, err error) {
	var created, expires, used int64
	var revoked *int64
	var access string
	err = row.Scan(&t.ID, &t.Name, &t.Scope, &t.Role, &t.ClientID, &t.Connection, &access, &t.CreatedBy, &t.Owner, &created, &expires, &used, &revoked, &t.Successor)
	if err == nil {
		t.Access, err = readAccess(access)
	}
	t.CreatedAt, t.ExpiresAt, t.LastUsedAt = store.Time(created), store.Time(expires), store.Time(used)
	if revoked != nil {
		t.RevokedAt = store.Time(*revoked)
	}
	return t, err
}

// readAccess reads what is kept. Words of a later version are no reason to allow all.
func readAccess(text string) (identity.Access, error) {
	a, ok := identity.ParseAccess(text)
	if !ok {
		return nil, fmt.Errorf("token: unknown access %q", text)
	}
	return a, nil
}

// List gives the tokens that are good, newest first, and then those that are
// not, as far as they are among the newest 1000.
func (s *Service) List(ctx context.Context, tenant identity.TenantID) (all []Token, err error) {
	err = s.stores.Tenant(tenant).Read(ctx, func(tx *store.Tx) (err error) {
		all, err = store.All(ctx, tx, scan, `SELECT `+columns+` FROM tokens
			ORDER BY CASE WHEN revoked_at IS NULL AND expires_at > $1 THEN 0 ELSE 1 END, created_at DESC, id DESC LIMIT $2`,
			store.Millis(s.now()), maxTokens)
		return err
	})
	return all, unavailable(err)
}

// Refresh has a tenant's tokens read anew: another node has changed them.
func (s *Service) Refresh(tenant identity.TenantID) { s.cache.forget(tenant) }

// RefreshAll is [Service.Refresh] for every tenant.
func (s *Service) RefreshAll() { s.cache.forgetAll() }

// Forget drops what is kept of a tenant that is deleted.
func (s *Service) Forget(tenant identity.TenantID) {
	s.cache.forget(tenant)
	s.cache.dropUses(tenant)
}

func unavailable(err error) error {
	return fault.OutOfReach(err, "tokens-unavailable", "Tokens cannot be checked or changed right now. Try again in a moment.")
}
