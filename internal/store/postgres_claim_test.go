package store_test

import (
	"strings"
	"testing"

	"gatehouse/internal/fault"
	"gatehouse/internal/store"
)

// A gateway that keeps its sessions to itself cannot tell another one that they
// ended (promise P2), so there is no other one.
func TestP2_AGatewayThatMustBeAloneIs(t *testing.T) {
	database := sharedServer(t).Database(t)
	refused := func(when string, alone bool) {
		t.Helper()
		db, err := store.Open(t.Context(), database.Application, store.Options{Environment: "test", Alone: alone})
		if err == nil {
			must(t, db.Close())
		}
		if err == nil || !strings.Contains(err.Error(), "registry: local") {
			t.Errorf("%s: %v, want a refusal that says why", when, err)
		}
	}
	first, err := store.Open(t.Context(), database.Application, store.Options{Environment: "test", Alone: true})
	must(t, err)
	create(t, first, acme)
	refused("a second one", true)
	refused("one that shares its sessions", false)
	must(t, first.Close())

	openPostgres(t, database.Application, store.Options{})
	shared, err := store.Open(t.Context(), database.Application, store.Options{Environment: "test"})
	must(t, err)
	must(t, shared.Close())
	refused("one that must be alone beside others", true)
}

// The lock is taken again before anything is done, unless another gateway was
// alone meanwhile: then this one's memory cannot be trusted.
func TestP2_ALostClaimIsTakenAgainOrTheStoreIsShut(t *testing.T) {
	database := sharedServer(t).Database(t)
	first := openPostgres(t, database.Application, store.Options{Alone: true})
	create(t, first, acme)
	const lockers = ` FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`
	admin := connect(t, database.Admin)
	execute(t, database.Admin, `SELECT pg_terminate_backend(pid)`+lockers)
	eventually(t, "the lock is held again", func() bool {
		var held int
		must(t, admin.QueryRow(t.Context(), `SELECT count(*)`+lockers+` AND granted`).Scan(&held))
		return held == 1 && first.Check(t.Context(), acme) == nil
	})
	must(t, addTeam(t.Context(), first.Tenant(acme), "x"))

	// Another one gets between: it waits for the lock when it is lost.
	begun, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		close(begun)
		for {
			db, err := store.Open(t.Context(), database.Application, store.Options{Environment: "test", Alone: true})
			if err == nil {
				err = db.Close()
				ended <- err
				return
			}
			if t.Context().Err() != nil {
				ended <- err
				return
			}
		}
	}()
	<-begun
	eventually(t, "it waits", func() bool {
		var waiting int
		must(t, admin.QueryRow(t.Context(), `SELECT count(*)`+lockers+` AND NOT granted`).Scan(&waiting))
		if waiting == 1 {
			_, err := admin.Exec(t.Context(), `SELECT pg_terminate_backend(pid)`+lockers+` AND granted`)
			must(t, err)
		}
		return waiting == 1
	})
	must(t, <-ended)
	eventually(t, "the first one sees that it was not alone", func() bool {
		err := first.Check(t.Context(), acme)
		return err != nil && strings.Contains(fault.As(err).Error(), "restart it")
	})
	_, err := countTeams(t.Context(), first.Tenant(acme))
	wantOutOfReach(t, "after another one", err)
}
