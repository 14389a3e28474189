package store

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/hex"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// A file that an older gatehouse has made comes to the form of one that is made now,
// by the same steps one after the other.
func TestEveryFormBecomesTheNewest(t *testing.T) {
	for name, s := range map[string]schema{"system": sqliteSystem, "tenant": sqliteTenant} {
		t.Run(name, func(t *testing.T) {
			steps, err := s.steps()
			if err != nil {
				t.Fatal(err)
			}
			want := formOf(t, nil, s) // by goose, from nothing
			if len(want) < 2*len(steps) {
				t.Fatalf("%d steps, and this is all there is: %q", len(steps), want)
			}
			for n := range len(steps) + 1 {
				old := s
				old.steps = func() ([]step, error) { return steps[:n], nil }
				if got := formOf(t, &old, s); !slices.Equal(got, want) {
					t.Errorf("from the first %d of %d steps:\n%q\nwant\n%q", n, len(steps), got, want)
				}
			}
		})
	}
}

// formOf makes a file in an old form, brings it to a new one, and gives what is in it.
func formOf(t *testing.T, old *schema, s schema) (form []string) {
	t.Helper()
	path, key := filepath.Join(t.TempDir(), "a.db"), bytes.Repeat([]byte("key"), keySize)[:keySize]
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	if old != nil {
		if err := writeSchema(ctx, path, key, *old); err != nil {
			t.Fatal(err)
		}
	}
	db, err := openConns(path, hex.EncodeToString(key), `PRAGMA synchronous = off`)
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	defer func() { _ = db.Close() }()
	if err := s.migrate(ctx, db); err != nil {
		t.Fatal(err)
	}
	rows, err := db.QueryContext(ctx, `SELECT name || ': ' || sql FROM sqlite_schema WHERE sql IS NOT NULL
		UNION ALL SELECT 'form ' || version_id || ' ' || is_applied FROM `+s.table+` ORDER BY 1`)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var line sql.NullString
		if err := rows.Scan(&line); err != nil {
			t.Fatal(err)
		}
		form = append(form, line.String)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return form
}

// A file from before comes to small letters by the step that is for it, however many
// people are in it, and one that has been there already is left alone.
func TestCapitalLettersFromBefore(t *testing.T) {
	steps, err := sqliteTenant.steps()
	if err != nil {
		t.Fatal(err)
	}
	at := slices.IndexFunc(steps, func(s step) bool { return s.program != nil })
	if at < 0 {
		t.Fatal("no step has anything to do in Go")
	}
	ctx, path, key := t.Context(), filepath.Join(t.TempDir(), "a.db"), bytes.Repeat([]byte("key"), keySize)[:keySize]
	old := sqliteTenant
	old.steps = func() ([]step, error) { return steps[:at], nil }
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := writeSchema(ctx, path, key, old); err != nil {
		t.Fatal(err)
	}
	db, err := openConns(path, hex.EncodeToString(key), `PRAGMA synchronous = off`)
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	defer func() { _ = db.Close() }()
	const people = 2*lettersAtOnce + 1
	if _, err := db.ExecContext(ctx, `WITH RECURSIVE n (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
		INSERT INTO users (id, user_name, user_key, external_id, email, display_name, display_key, active, source, attributes, version, created_at, updated_at, search)
		SELECT 'usr_' || i, i, i, '', '', '', '', TRUE, 'scim', '{}', 1, 0, 0, '{"title":"Ärztin"}' FROM n`, people); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := sqliteTenant.migrate(ctx, db); err != nil {
			t.Fatal(err)
		}
		var small int
		if err := db.QueryRowContext(ctx, `SELECT count(*) FROM users WHERE search = '{"title":"ärztin"}'`).Scan(&small); err != nil || small != people {
			t.Errorf("%d of %d people are found by small letters, %v", small, people, err)
		}
	}
}
