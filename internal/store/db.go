package store

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"time"

	"gatehouse/identity"
)

// KeySource derives the keys that databases are encrypted with.
type KeySource interface {
	Derive(ctx context.Context, tenant identity.TenantID, purpose string, size int) ([]byte, error)
}

// Options shape a [DB].
type Options struct {
	// Keys encrypts each tenant's file under its own key, and the file of the
	// system under a key of [identity.Platform], which must exist already.
	Keys KeySource
	// MaxOpen bounds how many tenants' databases are open at once; default 64.
	MaxOpen int
	// IdleAfter is how long an unused database stays open; default 5 minutes.
	IdleAfter time.Duration
	// Environment is stamped into a new database; the data of another
	// environment is refused.
	Environment string
}

const (
	defaultMaxOpen   = 64
	defaultIdleAfter = 5 * time.Minute
)

// DB is the whole database of one gateway: the system's part and one part per
// tenant. It is safe for concurrent use.
type DB struct{ backend backend }

// Open opens or creates the database at a URL, "sqlite:///directory", and
// brings the system's part to the newest form.
func Open(ctx context.Context, rawURL string, o Options) (*DB, error) {
	if o.Keys == nil {
		return nil, errors.New("store: no source of keys")
	}
	if o.MaxOpen <= 0 {
		o.MaxOpen = defaultMaxOpen
	}
	if o.IdleAfter <= 0 {
		o.IdleAfter = defaultIdleAfter
	}
	u, err := url.Parse(rawURL)
	if err != nil {
		// The parser's error quotes the URL, and database URLs hold passwords.
		return nil, errors.New("store: the database URL cannot be parsed")
	}
	if u.Scheme != "sqlite" || u.Host != "" || !filepath.IsAbs(u.Path) {
		return nil, fmt.Errorf("store: %q is not a database URL of the form sqlite:///directory", u.Redacted())
	}
	b, err := openSQLite(ctx, filepath.Clean(u.Path), o)
	if err != nil {
		return nil, err
	}
	return &DB{backend: b}, nil
}

// Tenant is the handle on one tenant's data. It costs nothing, and the tenant
// need not exist: using the handle then is a fault of kind Unavailable.
func (d *DB) Tenant(id identity.TenantID) Tenant { return Tenant{backend: d.backend, id: id} }

// System is the handle on what belongs to no tenant.
func (d *DB) System() System { return System{backend: d.backend} }

// Create makes a tenant's database, empty and in the newest form. It is the
// only call that does; one that exists already is left as it is.
func (d *DB) Create(ctx context.Context, id identity.TenantID) error {
	return d.backend.create(ctx, id)
}

// Drop removes a tenant's database once the transactions under way have ended.
// One that is gone already is no error.
func (d *DB) Drop(ctx context.Context, id identity.TenantID) error { return d.backend.drop(ctx, id) }

// Check reports whether a tenant's database and the system's are within reach:
// nil, or a fault of kind Unavailable (promise P7). It costs a stat of each, or a
// look at the file's header if it is not open, and never waits for a query.
func (d *DB) Check(ctx context.Context, id identity.TenantID) error { return d.backend.check(ctx, id) }

// Run closes what has been idle for long, until ctx ends.
func (d *DB) Run(ctx context.Context) error { return d.backend.run(ctx) }

// Close waits for the transactions under way and closes everything; later uses
// are faults of kind Unavailable.
func (d *DB) Close() error { return d.backend.close() }
