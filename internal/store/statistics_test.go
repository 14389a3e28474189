package store_test

import (
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"gatehouse/identity"
	"gatehouse/internal/store"
)

// TestAFirstLoadIsPlannedForOnPostgres: what is known of users grows with them, in the
// transaction that brings them in, so that what refers to one of them is not looked for
// among all of the tenant.
func TestAFirstLoadIsPlannedForOnPostgres(t *testing.T) {
	d := sharedServer(t).Database(t)
	db := openPostgres(t, d.Application, store.Options{Environment: "test"})
	tenant := identity.NewTenantID()
	must(t, db.Create(t.Context(), tenant))
	// The form in which PostgreSQL itself asks for whom a row refers to, as it was planned
	// by a connection that was there before.
	conn := connect(t, d.Owner)
	_, err := conn.Exec(t.Context(), `SET search_path = gatehouse; SET plan_cache_mode = force_generic_plan;
		PREPARE refers (text, text) AS SELECT 1 FROM ONLY users x WHERE tenant_id = $1 AND id = $2 FOR KEY SHARE OF x`)
	must(t, err)
	plan := func() string {
		t.Helper()
		rows, err := conn.Query(t.Context(), `EXPLAIN EXECUTE refers('a', 'b')`)
		must(t, err)
		lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
		must(t, err)
		return strings.Join(lines, "\n")
	}
	before := plan()
	must(t, db.Tenant(tenant).Write(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(t.Context(), `INSERT INTO users (id, user_name, user_key, external_id, email, display_name, display_key, active, source, attributes, version, created_at, updated_at)
			SELECT 'usr_' || n, 'name' || n, 'name' || n, '', '', '', '', TRUE, 'scim', $1, 1, 0, 0 FROM generate_series(1, 2000) n`, strings.Repeat("x", 500))
		return err
	}))
	if after := plan(); !strings.Contains(after, "users_pkey") {
		t.Errorf("the plan was\n%s\nand is\n%s", before, after)
	}
}
