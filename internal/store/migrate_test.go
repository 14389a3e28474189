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
