package sessions_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse/audit"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/internal/store"
	"gatehouse/internal/store/postgrestest"
	"gatehouse/sessions"
)

// eventually waits for what happens elsewhere.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	deadline := time.NewTimer(2 * time.Minute)
	defer deadline.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !is() {
		select {
		case <-deadline.C:
			t.Fatalf("not in time: %s", what)
		case <-tick.C:
		}
	}
}

func (w *world) ended(token sessions.Created) (ended bool) {
	w.t.Helper()
	err := w.db.Tenant(acme).Read(context.Background(), func(tx *store.Tx) (err error) {
		ended, err = store.One(context.Background(), tx, store.Scalar[bool], `SELECT ended_at IS NOT NULL FROM sessions WHERE id = $1`, token.Session.ID)
		return err
	})
	return err == nil && ended
}

func (w *world) unauthenticated(token string) bool {
	_, err := w.Find(context.Background(), acme, token)
	return fault.Is(err, fault.Unauthenticated)
}

// run has the service do what it does by itself, until the test ends or stop.
func (w *world) run() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	stop = func() {
		cancel()
		if err := <-done; err != nil {
			w.t.Error(err)
		}
		done <- nil
	}
	w.t.Cleanup(stop)
	return stop
}

// TestP8_RevokedWithoutSQL: a revocation that SQL could not be told of holds,
// through a crash as well, and SQL gets it when it is back; who signs in later is
// not touched by it.
func TestP8_RevokedWithoutSQL(t *testing.T) {
	if testing.Short() {
		t.Skip("needs PostgreSQL")
	}
	server := postgrestest.Start(t)
	for name, crash := range map[string]bool{"the process goes on": false, "it is killed meanwhile": true} {
		t.Run(name, func(t *testing.T) {
			w := newWorldOn(t, server.Database(t).Application)
			ann, bob := w.user(acme, "ann"), w.user(acme, "bob")
			dead, live := w.signIn(acme, signIn(ann)), w.signIn(acme, signIn(bob))
			open := open(t, w.find(acme, dead.Token))
			w.signIn(globex, signIn(w.user(globex, "carl")))
			stop := w.run()
			if err := server.Stop(); err != nil {
				t.Fatal(err)
			}
			done := w.revoke(acme, sessions.Selector{User: ann})
			if !done.Deferred || done.Sessions != 1 || done.Devices != 1 || done.Connections != 1 || !done.Confirmed() {
				t.Errorf("%+v", done)
			}
			if !open.left.Load() || !w.unauthenticated(dead.Token) {
				t.Error("it does not hold")
			}
			if w.Unsettled() != 1 || w.journal.count(audit.RevocationDeferred) != 1 || w.journal.count(audit.SessionsRevoked) != 1 {
				t.Errorf("%d owed, %d and %d records", w.Unsettled(), w.journal.count(audit.RevocationDeferred), w.journal.count(audit.SessionsRevoked))
			}
			w.sealed(ann)
			again := w.revoke(acme, sessions.Selector{User: ann})
			if !again.Deferred || again.Sessions+again.Devices+again.Connections != 0 {
				t.Errorf("again: %+v", again)
			}
			if crash {
				stop()
				w.reopen()
			}
			server.Restart(t)
			if crash {
				// The first that reads the tenant's sessions finds none of hers.
				eventually(t, "the sessions can be read", func() bool { _, err := w.Find(t.Context(), acme, live.Token); return err == nil })
				if !w.unauthenticated(dead.Token) {
					t.Error("a revoked session is back")
				}
				w.run()
			}
			eventually(t, "SQL has got it", func() bool { return w.ended(dead) && w.Unsettled() == 0 })
			if n := w.journal.count(audit.RevocationSettled); n != 2 {
				t.Errorf("%d records of two that were settled", n)
			}
			if files, err := os.ReadDir(w.dir); err != nil || len(files) > 0 {
				t.Errorf("left on disk: %v, %v", files, err)
			}
			if !w.unauthenticated(dead.Token) || w.unauthenticated(live.Token) {
				t.Error("ended the wrong one")
			}
			later := w.signIn(acme, signIn(ann))
			if w.unauthenticated(later.Token) {
				t.Error("a later sign-in is over")
			}
		})
	}
}

// sealed checks that what is on disk tells nobody anything (P6, P10).
func (w *world) sealed(secret any) {
	w.t.Helper()
	files, err := os.ReadDir(w.dir)
	if err != nil || len(files) != 1 {
		w.t.Fatalf("%v, %v", files, err)
	}
	text, err := os.ReadFile(filepath.Join(w.dir, files[0].Name()))
	if err != nil || len(text) == 0 || strings.Contains(string(text), fmt.Sprint(secret)) {
		w.t.Errorf("%v: %s", err, text)
	}
}

// TestRevokingWithoutSQLHasItsLimits: what only SQL knows fails, and closes nothing
// unawares; so does what SQL refuses.
func TestRevokingWithoutSQLHasItsLimits(t *testing.T) {
	if testing.Short() {
		t.Skip("needs PostgreSQL")
	}
	server := postgrestest.Start(t)
	w := newWorldOn(t, server.Database(t).Application)
	made := w.signIn(acme, signIn(w.user(acme, "ann")))
	if err := server.Stop(); err != nil {
		t.Fatal(err)
	}
	for _, sel := range []sessions.Selector{{Group: "grp_a"}, {Team: "tea_a"}} {
		if done, err := w.Revoke(t.Context(), audit.SystemCause(), acme, sel, "admin"); !fault.Is(err, fault.Unavailable) || done.Deferred {
			t.Errorf("%+v: %+v, %v", sel, done, err)
		}
	}
	w.journal.mu.Lock()
	w.journal.broken = errBroken
	w.journal.mu.Unlock()
	if _, err := w.Revoke(t.Context(), audit.SystemCause(), acme, sessions.Selector{All: true}, "admin"); err == nil {
		t.Error("revoked without a record")
	}
	if w.Unsettled() != 0 {
		t.Errorf("%d owed", w.Unsettled())
	}
	if w.unauthenticated(made.Token) {
		t.Error("ended without a record")
	}
	server.Restart(t)
}

// TestUntilSparesLaterSessions: SQL and the registry agree on whom a selector with
// an end spares.
func TestUntilSparesLaterSessions(t *testing.T) {
	w := newWorld(t)
	user := w.user(acme, "ann")
	var all []sessions.Created
	for i := range 3 {
		made := w.signIn(acme, signIn(user))
		w.exec(acme, `UPDATE sessions SET created_at = $1, ip = '192.0.2.7' WHERE id = $2`, 1_000*(i+1), made.Session.ID)
		all = append(all, made)
	}
	w.limit(0, 0)
	for _, sel := range []sessions.Selector{
		{All: true}, {User: user}, {Connection: "con_oidc"}, {Connection: "con_oidc", IDPSubject: "sub"},
		{Network: netip.MustParsePrefix("192.0.2.0/24")}, {Before: time.UnixMilli(10_000)},
	} {
		w.exec(acme, `UPDATE sessions SET ended_at = NULL, end_reason = NULL`)
		w.reopen()
		sel.Until = time.UnixMilli(2_000)
		if done := w.revoke(acme, sel); done.Sessions != 2 {
			t.Errorf("%+v: %+v", sel, done)
		}
		served := []bool{!w.unauthenticated(all[0].Token), !w.unauthenticated(all[1].Token), !w.unauthenticated(all[2].Token)}
		if !slices.Equal(served, []bool{false, false, true}) {
			t.Errorf("%+v: served %v", sel, served)
		}
	}
}

// settling is a registry that goes by one revocation until SQL has got it.
type settling struct {
	sessions.Registry
	u    sessions.Unsettled
	over chan bool // what Settled was told
	once sync.Once
}

func (r *settling) Withheld() []sessions.Unsettled { return []sessions.Unsettled{r.u} }

func (r *settling) Settled(_ sessions.Unsettled, ended bool) { r.once.Do(func() { r.over <- ended }) }

// TestP8_WhoMayVouchForTheCopies: nodes that write a revocation to SQL at once share
// out what takes more than one statement, so none of them knows that the copies of
// all of its sessions are gone.
func TestP8_WhoMayVouchForTheCopies(t *testing.T) {
	for many, vouches := range map[int]bool{0: false, 1: true, 1000: false} {
		w := newWorld(t)
		user := w.user(acme, "ann")
		if many > 0 {
			made := w.signIn(acme, signIn(user))
			w.copies(made.Session.ID, many-1)
		}
		r := &settling{Registry: sessions.NewLocal("n1", slog.New(slog.DiscardHandler)), over: make(chan bool, 1),
			u: sessions.Unsettled{ID: "u", Tenant: acme, Selector: sessions.Selector{User: user, Until: time.Now().Add(time.Minute)}, Reason: "admin"}}
		s := sessions.New(sessions.Config{Store: w.db, Keys: testKeys{}, Journal: w.journal, Node: "n2", Registry: r, Limits: func(identity.TenantID) sessions.Limits { return sessions.Limits{} }})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- s.Run(ctx) }()
		if told := <-r.over; told != vouches {
			t.Errorf("%d sessions: vouches for their copies: %t", many, told)
		}
		cancel()
		if err := errors.Join(<-done, s.Close()); err != nil {
			t.Error(err)
		}
	}
}
