package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
)

// migrationLock is held by the one node of several that changes the tables.
const migrationLock = 0x676174656b656570

// migratePostgres brings the tables to the newest form as their owner, and lets
// the application's role use them. One node at a time does so.
func migratePostgres(ctx context.Context, ownerURL, application string) (err error) {
	config, err := parsePostgres(ownerURL)
	if err != nil {
		return errors.New("store: the owner's database URL cannot be parsed")
	}
	if config.User == application {
		return fmt.Errorf("store and store_owner both name the role %q: the role that serves requests must not own the tables", application)
	}
	config.RuntimeParams = map[string]string{"application_name": "gatehouse", "search_path": params["search_path"]}
	db := stdlib.OpenDB(*config)
	defer func() { err = errors.Join(err, db.Close()) }()
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }() // with it the lock goes
	if _, err := conn.ExecContext(ctx, `SELECT pg_advisory_lock($1)`, migrationLock); err != nil {
		return err
	}
	if err := createSchema(ctx, db); err != nil {
		return err
	}
	for _, s := range []schema{postgresSystem, postgresTenant} {
		if err := s.migrate(ctx, db); err != nil {
			return err
		}
	}
	return grant(ctx, db, application)
}

// createSchema asks first: CREATE SCHEMA IF NOT EXISTS takes the right to create
// one even where it is.
func createSchema(ctx context.Context, db *sql.DB) error {
	var exists bool
	err := db.QueryRowContext(ctx, `SELECT to_regnamespace($1) IS NOT NULL`, postgresSchema).Scan(&exists)
	if err != nil || exists {
		return err
	}
	_, err = db.ExecContext(ctx, `CREATE SCHEMA `+postgresSchema)
	return err
}

// grant gives the application's role what it needs and no more.
func grant(ctx context.Context, db *sql.DB, application string) error {
	role := pgx.Identifier{application}.Sanitize()
	for _, statement := range []string{
		`GRANT USAGE ON SCHEMA ` + postgresSchema + ` TO ` + role,
		`GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA ` + postgresSchema + ` TO ` + role,
		`REVOKE INSERT, UPDATE, DELETE ON ` + postgresSystem.table + `, ` + postgresTenant.table + ` FROM ` + role,
	} {
		if _, err := db.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("let the role %s use the tables: %w", role, err)
		}
	}
	return nil
}

// isDialing tells that there was no connection to begin with.
func isDialing(err error) bool {
	_, ok := errors.AsType[*pgconn.ConnectError](err)
	return ok
}

// checkPostgres refuses to work where the server would not keep the tenants
// apart (promise P3): with tables in another form than this program knows, with
// a role that stands above row-level security, or with a table that is not
// under it.
func checkPostgres(ctx context.Context, db *sql.DB) error {
	for _, s := range []schema{postgresSystem, postgresTenant} {
		version, latest, err := s.versions(ctx, db)
		if err != nil {
			return err
		}
		if version < latest {
			return fmt.Errorf("the tables are in form %d and not yet in form %d: give store_owner the URL of the role that owns them, or start one gateway that has it", version, latest)
		}
	}
	for _, c := range []struct{ query, refusal string }{
		{`SELECT pg_encoding_to_char(encoding) FROM pg_database WHERE datname = current_database() AND pg_encoding_to_char(encoding) <> 'UTF8'`,
			"the database has the encoding %s: make one with UTF8"},
		{`SELECT rolname FROM pg_roles WHERE pg_has_role(session_user, oid, 'MEMBER') AND (rolsuper OR rolbypassrls OR rolcreaterole) LIMIT 1`,
			"the role of the store is, or is a member of, %s, which is a superuser, may bypass row-level security or may make roles: use one that is not"},
		{`SELECT nspname FROM pg_namespace WHERE nspname = current_schema()
			AND (pg_has_role(session_user, nspowner, 'MEMBER') OR has_schema_privilege(session_user, oid, 'CREATE'))`,
			"the role of the store owns the schema %s, is a member of its owner, or may create in it: use another role, and name the owner in store_owner"},
		{`SELECT relname FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND pg_has_role(session_user, relowner, 'MEMBER')
			UNION ALL SELECT proname FROM pg_proc WHERE pronamespace = current_schema()::regnamespace AND pg_has_role(session_user, proowner, 'MEMBER') LIMIT 1`,
			"the role of the store owns %s, or is a member of its owner: use another role, and name the owner in store_owner"},
		{`SELECT relname FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p')
			AND has_table_privilege(session_user, oid, 'TRUNCATE, REFERENCES, TRIGGER') LIMIT 1`,
			"the role of the store has a right on the table %s that row-level security does not bound (TRUNCATE, REFERENCES or TRIGGER): revoke it"},
	} {
		var found string
		switch err := db.QueryRowContext(ctx, c.query).Scan(&found); {
		case err == nil:
			return fmt.Errorf(c.refusal, found)
		case !errors.Is(err, sql.ErrNoRows):
			return err
		}
	}
	return checkPolicies(ctx, db)
}

// policies are the two conditions that a table can be under, as the server
// writes them, less blanks, brackets and casts: own and apart of the migrations.
var policies = map[string]bool{
	`tenant_id=nullifcurrent_setting'gatehouse.tenant',true,''`: true,
	`coalescecurrent_setting'gatehouse.tenant',true,''=''`:      true,
}

var plain = strings.NewReplacer(" ", "", "(", "", ")", "", "::text", "")

// checkPolicies wants every table to be under exactly one of the policies, also
// for its owner. A second one would widen it; a view cannot be under any.
func checkPolicies(ctx context.Context, db *sql.DB) error {
	rows, err := db.QueryContext(ctx, `SELECT c.relname,
			c.relrowsecurity AND c.relforcerowsecurity AND p.polpermissive AND p.polcmd = '*' AND p.polroles = '{0}'
				AND NOT EXISTS (SELECT 1 FROM pg_policy o WHERE o.polrelid = c.oid AND o.oid <> p.oid),
			pg_get_expr(p.polqual, c.oid), pg_get_expr(p.polwithcheck, c.oid)
		FROM pg_class c LEFT JOIN pg_policy p ON p.polrelid = c.oid
		WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND c.relname NOT IN ($1, $2)`,
		postgresSystem.table, postgresTenant.table)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }() // rows.Err below tells of any failure
	for rows.Next() {
		var table string
		var forced sql.NullBool
		var using, check sql.NullString
		if err := rows.Scan(&table, &forced, &using, &check); err != nil {
			return err
		}
		using.String = plain.Replace(strings.ToLower(using.String))
		check.String = plain.Replace(strings.ToLower(check.String))
		if !forced.Bool || !policies[using.String] || using.String != check.String {
			return fmt.Errorf("the table %s is not under the row-level security that it was made with: restore its policy, or the database from a backup", table)
		}
	}
	return rows.Err()
}
