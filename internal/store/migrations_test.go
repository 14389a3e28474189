package store_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gatehouse/identity"
	"gatehouse/internal/store"
)

// Whoever was in the group of a rule before it was noted how anybody came there counts
// as put there by it, in every tenant; nobody else does.
func TestMembersFromBeforeRulesWereNoted(t *testing.T) {
	text := func(dialect string) string {
		t.Helper()
		raw, err := os.ReadFile(filepath.Join("migrations", dialect, "tenant", "00022_rules_from_before.sql"))
		must(t, err)
		return string(raw)
	}
	t.Run("SQLite", func(t *testing.T) {
		_, statement, _ := strings.Cut(text("sqlite"), "UPDATE") // a tenant's handle takes that alone
		db := open(t, t.TempDir(), store.Options{Keys: fixedKeys("k"), Environment: "test"})
		memberships(t, db, func() {
			for _, tenant := range []identity.TenantID{acme, globex} {
				must(t, db.Tenant(tenant).Write(t.Context(), func(tx *store.Tx) error {
					_, err := tx.Exec(t.Context(), "UPDATE "+strings.TrimSuffix(strings.TrimSpace(statement), ";"))
					return err
				}))
			}
		})
	})
	t.Run("PostgreSQL", func(t *testing.T) {
		database := sharedServer(t).Database(t)
		db := openPostgres(t, database.Application, store.Options{})
		memberships(t, db, func() {
			owner := connect(t, database.Owner)
			tx, err := owner.Begin(t.Context())
			must(t, err)
			_, err = tx.Exec(t.Context(), `SET LOCAL search_path TO gatehouse; `+text("postgres"))
			must(t, err)
			must(t, tx.Commit(t.Context()))
		})
		// Which a table that does not keep tenants apart would refuse.
		openPostgres(t, database.Application, store.Options{})
	})
}

func memberships(t *testing.T, db *store.DB, migrate func()) {
	t.Helper()
	create(t, db, acme, globex)
	groups := []struct {
		id, name, source, connection string
		ruled                        bool
	}{
		{"named", "Finance", "signin", "hr", true},
		{"cased", "ÄRZTE", "signin", "hr", true},
		{"unnamed", "developers", "signin", "hr", false},
		{"elsewhere", "sales", "signin", "okta", false},
		{"provisioned", "tax", "scim", "", false},
	}
	for _, tenant := range []identity.TenantID{acme, globex} {
		must(t, db.Tenant(tenant).Write(t.Context(), func(tx *store.Tx) error {
			return fill(t.Context(), tx, func(put func(text string, args ...any)) {
				put(`INSERT INTO users (id, user_name, user_key, external_id, email, display_name, display_key, active, source, attributes, version, created_at, updated_at)
					VALUES ('ann', 'ann', 'ann', '', '', '', '', TRUE, 'admin', '{}', 1, 0, 0)`)
				put(`INSERT INTO connections (id, name, type, spec, enabled, version, created_at, updated_at) VALUES ('hr', 'hr', 'oidc', $1, TRUE, 1, 0, 0), ('okta', 'okta', 'oidc', '{}', TRUE, 1, 0, 0)`,
					`{"group_rules":[{"claim":"d","values":["x"],"group":" FINANCE "},{"claim":"d","values":["y"],"group":"tax"},{"claim":"d","values":["z"],"group":"ÄRZTE"},{"claim":"d","values":["z"],"group":"sales"}]}`)
				for _, g := range groups {
					put(`INSERT INTO groups (id, display_name, name_key, external_id, source, connection_id, version, created_at, updated_at) VALUES ($1, $2, $3, '', $4, $5, 1, 0, 0)`, g.id, g.name, strings.ToLower(g.name), g.source, g.connection)
					put(`INSERT INTO group_members (group_id, user_id) VALUES ($1, 'ann')`, g.id)
				}
			})
		}))
	}
	migrate()
	for _, tenant := range []identity.TenantID{acme, globex} {
		for _, g := range groups {
			must(t, db.Tenant(tenant).Read(t.Context(), func(tx *store.Tx) error {
				ruled, err := store.One(t.Context(), tx, store.Scalar[bool], `SELECT ruled FROM group_members WHERE group_id = $1`, g.id)
				if err == nil && ruled != g.ruled {
					t.Errorf("%s, %s: ruled is %t", tenant, g.id, ruled)
				}
				return err
			}))
		}
	}
}

// fill runs statements until one fails.
func fill(ctx context.Context, tx *store.Tx, all func(put func(text string, args ...any))) (err error) {
	all(func(text string, args ...any) {
		if err == nil {
			_, err = tx.Exec(ctx, text, args...)
		}
	})
	return err
}

// People from before are found by their attributes as they are answered, and no text
// among these holds NUL any more, which PostgreSQL could not look into.
func TestPeopleFromBeforeTheyWereSearched(t *testing.T) {
	text := func(dialect string) string {
		t.Helper()
		raw, err := os.ReadFile(filepath.Join("migrations", dialect, "tenant", "00031_search.sql"))
		must(t, err)
		return string(raw)
	}
	t.Run("SQLite", func(t *testing.T) {
		db := open(t, t.TempDir(), store.Options{Keys: fixedKeys("k"), Environment: "test"})
		searched(t, db, func() {
			for _, tenant := range []identity.TenantID{acme, globex} {
				must(t, db.Tenant(tenant).Write(t.Context(), func(tx *store.Tx) error {
					return fill(t.Context(), tx, func(put func(text string, args ...any)) {
						for _, statement := range strings.Split(text("sqlite"), ";") { // a tenant's handle takes updates alone
							if _, update, ok := strings.Cut(statement, "UPDATE"); ok {
								put("UPDATE" + update)
							}
						}
					})
				}))
				must(t, store.RunProgramOf(t.Context(), db, tenant, "00053_search_letters.sql"))
			}
		})
	})
	t.Run("PostgreSQL", func(t *testing.T) {
		database := sharedServer(t).Database(t)
		db := openPostgres(t, database.Application, store.Options{})
		searched(t, db, func() {
			owner := connect(t, database.Owner)
			tx, err := owner.Begin(t.Context())
			must(t, err)
			_, err = tx.Exec(t.Context(), `SET LOCAL search_path TO gatehouse; DROP INDEX users_display, users_updated; ALTER TABLE users DROP COLUMN search; `+text("postgres"))
			must(t, err)
			must(t, tx.Commit(t.Context()))
			must(t, store.RunProgram(t.Context(), ownerOf(t, database), "00053_search_letters.sql"))
		})
		openPostgres(t, database.Application, store.Options{}) // which still keeps tenants apart
	})
}

func searched(t *testing.T, db *store.DB, migrate func()) {
	t.Helper()
	create(t, db, acme, globex)
	people := []struct{ id, email, attributes, path, want string }{
		{"bare", "ann@acme.example", `{}`, "value", "ann@acme.example"},
		{"given", "ann@acme.example", `{"title":"CHIEF"}`, "type", "work"},
		{"own", "ann@acme.example", `{"emails":[{"value":"Ann@Home.example","type":"HOME"}]}`, "value", "ann@home.example"},
		{"none", "", `{}`, "value", ""},
		{"capitals", "", `{"emails":[{"value":"ÄRZTE İ\u2028ſK"}]}`, "value", strings.ToLower("ÄRZTE İ\u2028ſK")},
		{"no nul", "", `{"emails":[{"value":"\\u0000 \\\u0000"}]}`, "value", "\\u0000 \\\ufffd"},
		{"nul", "", `{"title":"a\u0000b","emails":[{"value":"\u0000"}]}`, "value", "\ufffd"},
	}
	for _, tenant := range []identity.TenantID{acme, globex} {
		must(t, db.Tenant(tenant).Write(t.Context(), func(tx *store.Tx) error {
			return fill(t.Context(), tx, func(put func(text string, args ...any)) {
				for _, p := range people {
					put(`INSERT INTO users (id, user_name, user_key, external_id, email, display_name, display_key, active, source, attributes, version, created_at, updated_at)
						VALUES ($1, $1, $1, '', $2, '', '', TRUE, 'scim', $3, 1, 0, 0)`, p.id, p.email, p.attributes)
				}
			})
		}))
	}
	migrate()
	for _, tenant := range []identity.TenantID{acme, globex} {
		for _, p := range people {
			must(t, db.Tenant(tenant).Read(t.Context(), func(tx *store.Tx) error {
				j := tx.JSON()
				got, err := store.One(t.Context(), tx, store.Scalar[string], `SELECT coalesce((SELECT `+j.Text(j.Element("e"), "$1")+` FROM `+j.Elements("u.search", "$2", "e")+`), '') FROM users u WHERE id = $3`,
					j.Path(p.path), j.Path("emails"), p.id)
				if err == nil && got != p.want {
					t.Errorf("%s, %s: found by %q, want %q", tenant, p.id, got, p.want)
				}
				return err
			}))
		}
	}
}
