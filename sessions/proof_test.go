package sessions_test

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/identity"
	"gatehouse/sessions"
)

// lease is a proof that the test sets.
type lease struct {
	fresh atomic.Bool
	now   atomic.Int64
}

func (l *lease) Fresh() bool        { return l.fresh.Load() }
func (l *lease) Now() time.Duration { return time.Duration(l.now.Load()) }

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func a(id string) *sessions.Live {
	return sessions.NewLive(sessions.Session{ID: identity.SessionID(id), Tenant: acme, User: "usr_a", SeenAt: time.Now()}, sessions.TokenHash{id[0], id[len(id)-1]})
}

// TestCurrent: a session is entered only while what is known of it counts.
func TestCurrent(t *testing.T) {
	enters := func(l *sessions.Live) bool {
		leave, ok := l.Enter(&conn{})
		leave()
		if ok != l.Current() {
			t.Errorf("entered %t, current %t", ok, l.Current())
		}
		return ok
	}
	if !enters(a("local")) {
		t.Error("a session without a proof is always good")
	}
	proof := &lease{}
	l := a("shared").Under(proof)
	if enters(l) {
		t.Error("served without a proof")
	}
	l.Prove(2 * time.Second)
	l.Prove(time.Second) // takes nothing back
	proof.now.Store(int64(2*time.Second - 1))
	if !enters(l) {
		t.Error("not served though proven")
	}
	proof.now.Store(int64(2 * time.Second))
	if enters(l) {
		t.Error("served after the proof's end")
	}
	proof.fresh.Store(true)
	if !enters(l) {
		t.Error("not served though fresh")
	}
	r := sessions.NewLocal("n1", quiet())
	if err := r.Load(t.Context(), acme, each(l)); err != nil {
		t.Fatal(err)
	}
	if _, err := r.End(t.Context(), acme, sessions.Selector{All: true}, nil, "test"); err != nil || enters(l) {
		t.Errorf("served after the end (%v)", err)
	}
}

func each(lives ...*sessions.Live) func(func(*sessions.Live, error) bool) {
	return func(yield func(*sessions.Live, error) bool) {
		for _, l := range lives {
			if !yield(l, nil) {
				return
			}
		}
	}
}

// TestKeepAndEvict: a registry may hold a part of the sessions.
func TestKeepAndEvict(t *testing.T) {
	ctx := context.Background()
	r := sessions.NewLocal("n1", quiet())
	if _, err := r.Keep(a("x")); !errors.Is(err, sessions.ErrNotLoaded) {
		t.Errorf("keep: %v", err)
	}
	if err := r.Load(ctx, acme, each()); err != nil {
		t.Fatal(err)
	}
	busy, first, second := a("busy"), a("idle"), a("idle")
	for _, l := range []*sessions.Live{busy, first} {
		if kept, err := r.Keep(l); kept != l || err != nil {
			t.Fatalf("kept %p, %v", kept, err)
		}
	}
	if kept, _ := r.Keep(second); kept != first {
		t.Error("one session is held twice")
	}
	leave, _ := busy.Enter(passing{})
	if r.Len() != 2 || !r.Evict() || r.Len() != 1 || r.Evict() {
		t.Errorf("%d sessions are held, want the busy one", r.Len())
	}
	if _, ok := first.Enter(&conn{}); ok {
		t.Error("entered after it was dropped: no revocation would find it")
	}
	if kept, _ := r.Keep(second); kept != second {
		t.Error("not held again")
	}
	// One whose streams have not left does not come back beside them.
	lives, err := r.Select(acme, sessions.Selector{Session: "busy"})
	if err != nil {
		t.Fatal(err)
	}
	wait := r.Shut(ctx, acme, lives, "test")
	if kept, err := r.Keep(a("busy")); kept != nil || err != nil {
		t.Errorf("kept %p, %v beside streams that have not left", kept, err)
	}
	leave()
	if ended := wait(); ended.Lingering != 0 || len(ended.Sessions) != 1 {
		t.Errorf("%+v", ended)
	}
	if kept, _ := r.Keep(a("busy")); kept == nil {
		t.Error("not held though they have left")
	}
}

// TestRecord: SQL is asked for one session, or for many.
func TestRecord(t *testing.T) {
	w := newWorld(t)
	user := w.user(acme, "ann")
	live := w.find(acme, w.signIn(acme, signIn(user)).Token)
	dead := w.find(acme, w.signIn(acme, signIn(user)).Token)
	w.revoke(acme, sessions.Selector{Session: dead.Session().ID})
	r := sessions.NewRecord(w.db)
	for _, c := range []struct {
		tenant identity.TenantID
		hash   sessions.TokenHash
		is     bool
	}{{acme, live.Hash(), true}, {acme, dead.Hash(), false}, {globex, live.Hash(), false}, {acme, sessions.TokenHash{1}, false}} {
		got, err := r.Live(t.Context(), c.tenant, c.hash)
		if err != nil || (got != nil) != c.is || got != nil && got.Session().ID != live.Session().ID {
			t.Errorf("%s %x: %v, %v", c.tenant, c.hash[:4], got, err)
		}
		which, err := r.Which(t.Context(), c.tenant, []sessions.TokenHash{c.hash, {2}})
		if err != nil || which[c.hash] != c.is || which[sessions.TokenHash{2}] {
			t.Errorf("%s %x: %v, %v", c.tenant, c.hash[:4], which, err)
		}
	}
	if which, err := r.Which(t.Context(), acme, nil); len(which) != 0 || err != nil {
		t.Errorf("asked for none: %v, %v", which, err)
	}
	w.activate(acme, user, false)
	if got, err := r.Live(t.Context(), acme, live.Hash()); got != nil || err != nil {
		t.Errorf("of an inactive person: %v, %v", got, err)
	}
}
