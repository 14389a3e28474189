package store_test

import (
	"database/sql"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"

	"gatehouse/identity"
	"gatehouse/internal/store"
	"gatehouse/internal/store/postgrestest"
)

// Names from before are compared as those from now are, in every tenant. Of two people
// whose names are one by that, one has the key, and nobody is lost.
func TestNamesFromBeforeTheyWereComposed(t *testing.T) {
	t.Run("SQLite", func(t *testing.T) {
		db := open(t, t.TempDir(), store.Options{Keys: fixedKeys("k"), Environment: "test"})
		named(t, db, func() {
			for _, tenant := range []identity.TenantID{acme, globex} {
				must(t, store.RunProgramOf(t.Context(), db, tenant, "00054_name_keys.sql"))
			}
		})
	})
	t.Run("PostgreSQL", func(t *testing.T) {
		database := sharedServer(t).Database(t)
		db := openPostgres(t, database.Application, store.Options{})
		named(t, db, func() {
			must(t, store.RunProgram(t.Context(), ownerOf(t, database), "00054_name_keys.sql"))
		})
		openPostgres(t, database.Application, store.Options{}) // which still keeps tenants apart
	})
}

// ownerOf is a pool of the owner of the tables.
func ownerOf(t *testing.T, database postgrestest.Database) *sql.DB {
	t.Helper()
	config, err := pgx.ParseConfig(database.Owner)
	must(t, err)
	config.RuntimeParams["search_path"] = "gatehouse"
	owner := stdlib.OpenDB(*config)
	t.Cleanup(func() { must(t, owner.Close()) })
	return owner
}

func named(t *testing.T, db *store.DB, migrate func()) {
	t.Helper()
	create(t, db, acme, globex)
	people := []struct{ id, name, was, is string }{ // was: in lower case
		{"ascii", "Ada", "ada", "ada"},
		{"wide", "\uff21da", "\uff41da", "\uff41da"}, // has no name to be found by: "ada" has it
		{"composed", "Jos\u00e9", "jos\u00e9", "jos\u00e9"},
		{"an earlier one", "Jose\u0301", "jose\u0301", "jose\u0301"},
		{"first", "E\u0301va", "e\u0301va", "\u00e9va"},
		{"second", "\uff25\u0301va", "\uff45\u0301va", "\uff45\u0301va"},
		{"alone", "Rene\u0301", "rene\u0301", "ren\u00e9"},
		{"dotted", "I\u0307rem", "i\u0307rem", "i\u0307rem"},
	}
	for _, tenant := range []identity.TenantID{acme, globex} {
		must(t, db.Tenant(tenant).Write(t.Context(), func(tx *store.Tx) error {
			return fill(t.Context(), tx, func(put func(text string, args ...any)) {
				for _, p := range people {
					put(`INSERT INTO users (id, user_name, user_key, external_id, email, display_name, display_key, active, source, attributes, version, created_at, updated_at)
						VALUES ($1, $2, $3, $2, '', $2, $3, TRUE, 'scim', '{}', 1, 0, 0)`, p.id, p.name, p.was)
					put(`INSERT INTO groups (id, display_name, name_key, external_id, source, connection_id, version, created_at, updated_at) VALUES ($1, $2, $3, $2, 'scim', '', 1, 0, 0)`, p.id, p.name, p.was)
					put(`INSERT INTO former_users (id, user_name, external_id, email, display_name, search_key, source, created_at, deleted_at, until_at, actor_kind, actor_id, actor_name)
						VALUES ($1, $2, '', '', '', $3, 'scim', 0, 0, 0, '', '', '')`, p.id, p.name, p.was)
				}
				for i := range 2500 { // more than are read at once
					put(`INSERT INTO users (id, user_name, user_key, external_id, email, display_name, display_key, active, source, attributes, version, created_at, updated_at)
						VALUES ('o' || $1, 'o' || $2 || $1, 'o' || $2 || $1, '', '', '', '', TRUE, 'scim', '{}', 1, 0, 0)`, fmt.Sprint(i), "\u0308")
				}
			})
		}))
	}
	migrate()
	migrate() // again it finds nothing to do
	for _, tenant := range []identity.TenantID{acme, globex} {
		must(t, db.Tenant(tenant).Read(t.Context(), func(tx *store.Tx) error {
			for _, p := range people {
				for query, want := range map[string]string{
					`SELECT user_key FROM users WHERE id = $1`:          p.is,
					`SELECT name_key FROM groups WHERE id = $1`:         p.is,
					`SELECT display_key FROM users WHERE id = $1`:       identity.NameKey(p.name),
					`SELECT search_key FROM former_users WHERE id = $1`: identity.NameKey(p.name),
					`SELECT user_name FROM users WHERE id = $1`:         p.name,
					`SELECT external_id FROM users WHERE id = $1`:       p.name,
				} {
					got, err := store.One(t.Context(), tx, store.Scalar[string], query, p.id)
					if err != nil {
						return err
					}
					if got != want {
						t.Errorf("%s, %s: %s gives %+q, want %+q", tenant, p.id, query, got, want)
					}
				}
			}
			n, err := store.One(t.Context(), tx, store.Scalar[int], `SELECT count(*) FROM users WHERE user_key >= $1 AND user_key < $2`, "\u00f6", "\u00f7")
			if err == nil && n != 2500 {
				t.Errorf("%s: %d of 2500 are composed", tenant, n)
			}
			return err
		}))
	}
}
