package store

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
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
	// PostgreSQL has no use for it.
	Keys KeySource
	// MaxOpen bounds how many tenants' files are open at once; default 64.
	MaxOpen int
	// IdleAfter is how long an unused file stays open; default 5 minutes.
	IdleAfter time.Duration
	// Owner is the URL of PostgreSQL for the role that owns the tables, which
	// brings them to the newest form. Without it they must be in that form.
	Owner string
	// Alone says that no other gateway may work with PostgreSQL meanwhile, because
	// this one keeps to itself what it knows of sessions. A second one is refused.
	Alone bool
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

// Open opens the database at a URL and brings it to the newest form:
// "sqlite:///directory", which is created if it is not there, or
// "postgres://role:password@host/database". No error holds the password.
func Open(ctx context.Context, rawURL string, o Options) (*DB, error) {
	b, err := open(ctx, rawURL, o)
	if err != nil {
		return nil, err
	}
	if err := stamp(ctx, b, o.Environment); err != nil {
		return nil, errors.Join(fmt.Errorf("open store: %w", err), b.close())
	}
	return &DB{backend: b}, nil
}

func open(ctx context.Context, rawURL string, o Options) (backend, error) {
	if isPostgres(rawURL) {
		return openPostgres(ctx, rawURL, o)
	}
	dir, err := sqliteDir(rawURL)
	if err != nil {
		return nil, err
	}
	return openSQLite(ctx, dir, o)
}

func isPostgres(rawURL string) bool {
	return strings.HasPrefix(rawURL, "postgres://") || strings.HasPrefix(rawURL, "postgresql://")
}

func sqliteDir(rawURL string) (string, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		// The parser's error quotes the URL, and database URLs hold passwords.
		return "", errURL
	}
	if u.Scheme != "sqlite" || u.Host != "" || !filepath.IsAbs(u.Path) {
		return "", fmt.Errorf("store: %q is not a database URL of the form sqlite:///directory or postgres://role@host/database", u.Redacted())
	}
	return filepath.Clean(u.Path), nil
}

var errURL = errors.New("store: the database URL cannot be parsed")

// stamp writes the environment into a new database and refuses another's.
func stamp(ctx context.Context, b backend, environment string) error {
	return b.systemTx(ctx, true, func(tx *Tx) error {
		const name = "environment"
		found, err := One(ctx, tx, Scalar[string], `SELECT value FROM meta WHERE name = $1`, name)
		switch {
		case errors.Is(err, ErrNoRows):
			_, err = tx.Exec(ctx, `INSERT INTO meta (name, value) VALUES ($1, $2)`, name, environment)
			return err
		case err != nil:
			return err
		case found != environment:
			return fmt.Errorf("the data is of environment %q, but the configuration says %q", found, environment)
		}
		return nil
	})
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

// Drop removes a tenant's database once the writers under way have ended. One
// that is gone already is no error; one that was cut short is to be repeated.
func (d *DB) Drop(ctx context.Context, id identity.TenantID) error { return d.backend.drop(ctx, id) }

// Check reports whether a tenant's database and the system's are within reach:
// nil, or a fault of kind Unavailable (promise P7). It costs a stat of each file,
// or a look at the header of one that is not open; of PostgreSQL it tells what
// was seen less than a second ago. It never waits for a query.
func (d *DB) Check(ctx context.Context, id identity.TenantID) error { return d.backend.check(ctx, id) }

// Run closes what has been idle for long, until ctx ends.
func (d *DB) Run(ctx context.Context) error { return d.backend.run(ctx) }

// Close waits for the transactions under way and closes everything; later uses
// are faults of kind Unavailable.
func (d *DB) Close() error { return d.backend.close() }
