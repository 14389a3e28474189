package postgrestest

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"gatehouse/internal/store"
)

// Database is a database on a server, by the roles that come to it.
type Database struct {
	Application string // may use the tables
	Owner       string // owns them
	Admin       string // is above everything
}

// template is the database that others are copied from: in the newest form.
const template = "gatehouse"

// prepare makes the roles and the template.
func (s *Server) prepare() error {
	ctx, cancel := context.WithTimeout(context.Background(), startWait)
	defer cancel()
	err := s.admin(ctx,
		`CREATE ROLE gatehouse_owner LOGIN PASSWORD '`+ownerPassword+`'`,
		`CREATE ROLE gatehouse_app LOGIN PASSWORD '`+ApplicationPassword+`'`,
		`CREATE DATABASE `+template+` OWNER gatehouse_owner`)
	if err != nil {
		return err
	}
	d := s.named(template)
	db, err := store.Open(ctx, d.Application, store.Options{Owner: d.Owner, Environment: "test"})
	if err != nil {
		return err
	}
	return db.Close()
}

func (s *Server) admin(ctx context.Context, statements ...string) error {
	conn, err := pgx.Connect(ctx, s.url("postgres", adminPassword, "postgres"))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }() // nothing is under way
	for _, statement := range statements {
		if _, err := conn.Exec(ctx, statement); err != nil {
			return fmt.Errorf("%s: %w", statement, err)
		}
	}
	return nil
}

func (s *Server) named(database string) Database {
	return Database{
		Application: s.url("gatehouse_app", ApplicationPassword, database),
		Owner:       s.url("gatehouse_owner", ownerPassword, database),
		Admin:       s.url("postgres", adminPassword, database),
	}
}

// Database makes a database with its tables in the newest form, for an
// environment named "test".
func (s *Server) Database(t testing.TB) Database {
	t.Helper()
	return s.make(t, template)
}

// Empty makes a database without tables.
func (s *Server) Empty(t testing.TB) Database {
	t.Helper()
	return s.make(t, "template1")
}

func (s *Server) make(t testing.TB, from string) Database {
	t.Helper()
	s.mu.Lock()
	s.made++
	name := fmt.Sprintf("test_%d", s.made)
	s.mu.Unlock()
	if err := s.admin(context.Background(), `CREATE DATABASE `+name+` TEMPLATE `+from+` OWNER gatehouse_owner`); err != nil {
		t.Fatal(err)
	}
	return s.named(name)
}

var shared = sync.OnceValues(func() (*Server, error) { return start("remove", "off") })

// Borrow gives a database in the newest form until the test ends: one that another
// has used and left clean if there is any, since making one takes a while.
func (s *Server) Borrow(t testing.TB) Database {
	t.Helper()
	s.mu.Lock()
	var d Database
	if n := len(s.free); n > 0 {
		d, s.free = s.free[n-1], s.free[:n-1]
	}
	s.mu.Unlock()
	if d == (Database{}) {
		d = s.Database(t)
	}
	t.Cleanup(func() {
		if err := clean(d); err != nil {
			t.Error(err)
			return
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.free = append(s.free, d)
	})
	return d
}

// clean leaves a database as [Server.Database] makes it.
func clean(d Database) error {
	ctx, cancel := context.WithTimeout(context.Background(), startWait)
	defer cancel()
	conn, err := pgx.Connect(ctx, d.Admin)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }() // nothing is under way
	_, err = conn.Exec(ctx, `DO $$ DECLARE name regclass; BEGIN
		FOR name IN SELECT polrelid FROM pg_policy LOOP EXECUTE format('DELETE FROM %s', name); END LOOP;
		INSERT INTO gatehouse.meta (name, value) VALUES ('environment', 'test');
		END $$`)
	return err
}

// Shared is the server of all tests of a binary, started by the first that asks.
func Shared(t testing.TB) *Server {
	t.Helper()
	s, err := shared()
	if err != nil {
		t.Fatal(err)
	}
	return s
}
