// Package sessiontest holds what every registry of sessions must do, as tests
// that any of them can be put through.
//
// It exists so that the in-process registry and those that span nodes keep the
// same promises in the same words. It must not reach into a registry.
package sessiontest

import (
	"context"
	"errors"
	"iter"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/identity"
	"gatehouse/sessions"
)

const (
	acme   identity.TenantID = "ten_acme"
	globex identity.TenantID = "ten_globex"
)

// Registry puts registries made by open, fresh and empty each, through the
// suite. The suite closes them.
func Registry(t *testing.T, open func(t *testing.T) sessions.Registry) {
	t.Helper()
	for name, check := range map[string]func(*testing.T, sessions.Registry){
		"a tenant that was not loaded is unknown":          notLoaded,
		"a load that fails leaves the tenant unknown":      failedLoad,
		"what was loaded or added is found":                found,
		"P3 a token is good in its own tenant alone":       ownTenant,
		"each selector ends exactly what it selects":       selectors,
		"P2 ending tells every stream once and waits":      streams,
		"P2 nobody enters once ending has returned":        noEntry,
		"P2 a stream that stays is owned up to and kept":   lingering,
		"P2 the stream that asks is spared":                spared,
		"P2 two that end each other need not wait":         mutual,
		"the sessions in use are known without the others": inUse,
		"a tenant that was forgotten is unknown and over":  forgotten,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := open(t)
			t.Cleanup(func() {
				if err := r.Close(); err != nil {
					t.Errorf("close: %v", err)
				}
			})
			check(t, r)
		})
	}
}

// hashes gives every session of the suite a token hash of its own, spread as
// the hashes of random tokens are.
var hashes atomic.Uint64

func live(tenant identity.TenantID, user identity.UserID) *sessions.Live {
	n := hashes.Add(1)
	var hash sessions.TokenHash
	for i := range hash {
		hash[i] = byte(n * 0x9e3779b97f4a7c15 >> (i % 8 * 8)) // #nosec G115 -- one byte of it is meant
	}
	now := time.Now()
	return sessions.NewLive(sessions.Session{
		ID: identity.NewSessionID(), Tenant: tenant, User: user, Device: identity.NewDeviceID(),
		Connection: "con_" + identity.ConnectionID(user), IDPSubject: "sub", IDPSession: "sid" + strconv.FormatUint(n, 10), CreatedAt: now, SeenAt: now,
	}, hash)
}

func load(t *testing.T, r sessions.Registry, tenant identity.TenantID, lives ...*sessions.Live) {
	t.Helper()
	if err := r.Load(t.Context(), tenant, each(lives)); err != nil {
		t.Fatalf("load: %v", err)
	}
}

func inUse(t *testing.T, r sessions.Registry) {
	idle, used := live(acme, "usr_a"), live(acme, "usr_a")
	load(t, r, acme, idle, used)
	for range 2 { // it comes and goes
		if n := len(slices.Collect(r.Active(acme))); n != 0 {
			t.Errorf("%d sessions are in use, and nothing is open", n)
		}
		mine := served(t, r, used)
		leave, ok := mine.Enter(&stays{})
		if !ok {
			t.Fatal("not entered")
		}
		if got := slices.Collect(r.Active(acme)); len(got) != 1 || got[0] != mine {
			t.Errorf("%d sessions are in use, want the one", len(got))
		}
		leave()
	}
}

type stays struct{ _ byte }

func (*stays) Terminate(string) {}

func each(lives []*sessions.Live) iter.Seq2[*sessions.Live, error] {
	return func(yield func(*sessions.Live, error) bool) {
		for _, l := range lives {
			if !yield(l, nil) {
				return
			}
		}
	}
}

// is reports whether the registry finds the session.
func is(t *testing.T, r sessions.Registry, l *sessions.Live) bool {
	t.Helper()
	got, err := r.Find(t.Context(), l.Session().Tenant, l.Hash())
	if err != nil {
		t.Fatalf("find: %v", err)
	}
	if got != nil && got.Session().ID != l.Session().ID {
		t.Fatalf("found session %s, want %s", got.Session().ID, l.Session().ID)
	}
	return got != nil
}

// served gives the registry's own value for the session: what requests enter.
func served(t *testing.T, r sessions.Registry, l *sessions.Live) *sessions.Live {
	t.Helper()
	got, err := r.Find(t.Context(), l.Session().Tenant, l.Hash())
	if err != nil || got == nil {
		t.Fatalf("find: %v, %v", got, err)
	}
	return got
}

func end(t *testing.T, r sessions.Registry, sel sessions.Selector) sessions.Ended {
	t.Helper()
	ended, err := r.End(t.Context(), acme, sel, nil, "test")
	if err != nil {
		t.Fatalf("end %+v: %v", sel, err)
	}
	if len(ended.Nodes) == 0 {
		t.Fatalf("end %+v named no node", sel)
	}
	return ended
}

func notLoaded(t *testing.T, r sessions.Registry) {
	l := live(acme, "usr_a")
	if _, err := r.Find(t.Context(), acme, l.Hash()); !errors.Is(err, sessions.ErrNotLoaded) {
		t.Errorf("find: %v, want ErrNotLoaded", err)
	}
	if err := r.Add(t.Context(), l); !errors.Is(err, sessions.ErrNotLoaded) {
		t.Errorf("add: %v, want ErrNotLoaded", err)
	}
	want := sessions.ErrNotLoaded
	if r.Partial() { // others may have them
		want = nil
	}
	if _, err := r.End(t.Context(), acme, sessions.Selector{All: true}, nil, "test"); !errors.Is(err, want) {
		t.Errorf("end: %v, want %v", err, want)
	}
	if r.Loaded(acme) || len(r.Tenants()) != 0 {
		t.Error("a fresh registry claims to know a tenant")
	}
}

func failedLoad(t *testing.T, r sessions.Registry) {
	l, broken := live(acme, "usr_a"), errors.New("broken")
	err := r.Load(t.Context(), acme, func(yield func(*sessions.Live, error) bool) {
		_ = yield(l, nil) && yield(nil, broken)
	})
	if !errors.Is(err, broken) {
		t.Errorf("load: %v, want the error of its source", err)
	}
	if _, err := r.Find(t.Context(), acme, l.Hash()); r.Loaded(acme) || !errors.Is(err, sessions.ErrNotLoaded) {
		t.Errorf("after a failed load: loaded %t, find %v", r.Loaded(acme), err)
	}
}

func found(t *testing.T, r sessions.Registry) {
	loaded, added := live(acme, "usr_a"), live(acme, "usr_a")
	load(t, r, acme, loaded)
	if is(t, r, added) {
		t.Error("found before it was added")
	}
	if err := r.Add(t.Context(), added); err != nil {
		t.Fatal(err)
	}
	if !is(t, r, loaded) || !is(t, r, added) {
		t.Error("not found")
	}
	n := 0
	for range r.All(acme) {
		n++
	}
	if n != 2 {
		t.Errorf("All gives %d sessions, want 2", n)
	}
}

func ownTenant(t *testing.T, r sessions.Registry) {
	ours, theirs := live(acme, "usr_a"), live(globex, "usr_a")
	load(t, r, acme, ours)
	load(t, r, globex, theirs)
	if got, err := r.Find(t.Context(), globex, ours.Hash()); got != nil || err != nil {
		t.Errorf("acme's token at globex: %v, %v", got, err)
	}
	end(t, r, sessions.Selector{All: true})
	if is(t, r, ours) || !is(t, r, theirs) {
		t.Error("ending acme's sessions must end those and no others")
	}
}

func selectors(t *testing.T, r sessions.Registry) {
	a, b, c := live(acme, "usr_a"), live(acme, "usr_a"), live(acme, "usr_b")
	load(t, r, acme, a, b, c)
	for _, step := range []struct {
		sel  sessions.Selector
		ends []*sessions.Live
	}{
		{sessions.Selector{Session: a.Session().ID}, []*sessions.Live{a}},
		{sessions.Selector{Device: b.Session().Device}, []*sessions.Live{b}},
		{sessions.Selector{User: "usr_a"}, []*sessions.Live{a, b}},
		{sessions.Selector{Connection: "con_usr_b"}, []*sessions.Live{c}},
		{sessions.Selector{Connection: "con_usr_a", IDPSubject: "sub"}, []*sessions.Live{a, b}},
		{sessions.Selector{Connection: "con_usr_a", IDPSubject: "sub", IDPSessions: []string{b.Session().IDPSession}}, []*sessions.Live{b}},
		{sessions.Selector{Connection: "con_usr_a", IDPSessions: []string{a.Session().IDPSession, c.Session().IDPSession}}, []*sessions.Live{a}},
		{sessions.Selector{Connection: "con_usr_a", IDPSubject: "other"}, nil},
		{sessions.Selector{User: "usr_a", Except: b.Session().ID}, []*sessions.Live{a}},
		{sessions.Selector{All: true, Except: a.Session().ID}, []*sessions.Live{b, c}},
		{sessions.Selector{All: true}, []*sessions.Live{a, b, c}},
		{sessions.Selector{User: "usr_nobody"}, nil},
		{sessions.Selector{}, nil},
	} {
		all := []*sessions.Live{live(acme, "usr_a"), live(acme, "usr_a"), live(acme, "usr_b")}
		for i, old := range []*sessions.Live{a, b, c} {
			s := old.Session()
			all[i] = sessions.NewLive(s, all[i].Hash()) // the same sessions, as they were before any end
		}
		load(t, r, acme, all...)
		ended := end(t, r, step.sel)
		if len(ended.Sessions) != len(step.ends) {
			t.Errorf("%+v ended %d sessions, want %d", step.sel, len(ended.Sessions), len(step.ends))
		}
		for i, old := range []*sessions.Live{a, b, c} {
			wanted := true
			for _, e := range step.ends {
				wanted = wanted && e != old
			}
			if is(t, r, all[i]) != wanted {
				t.Errorf("%+v: session %d found %t, want %t", step.sel, i, !wanted, wanted)
			}
		}
		end(t, r, sessions.Selector{All: true})
	}
}

// stream is what a request is to its session.
type stream struct {
	leave func()
	told  atomic.Int32
	stays bool
}

// Terminate implements [sessions.Stream].
func (s *stream) Terminate(string) {
	s.told.Add(1)
	if !s.stays {
		s.leave()
	}
}

func enter(t *testing.T, l *sessions.Live, stays bool) *stream {
	t.Helper()
	s := &stream{stays: stays}
	var ok bool
	if s.leave, ok = l.Enter(s); !ok {
		t.Fatal("a live session was not entered")
	}
	return s
}

func streams(t *testing.T, r sessions.Registry) {
	ours, other := live(acme, "usr_a"), live(acme, "usr_b")
	load(t, r, acme, ours, other)
	in, out, elsewhere := enter(t, served(t, r, ours), false), enter(t, served(t, r, ours), false), enter(t, served(t, r, other), false)
	out.leave()
	out.leave() // leaving twice is leaving once
	ended := end(t, r, sessions.Selector{User: "usr_a"})
	if len(ended.Sessions) != 1 || ended.Connections != 1 || ended.Lingering != 0 || !ended.Nodes[0].Confirmed {
		t.Errorf("ended %+v, want one session, one connection, confirmed", ended)
	}
	if in.told.Load() != 1 || out.told.Load() != 0 || elsewhere.told.Load() != 0 {
		t.Errorf("told %d, %d, %d times; want 1, 0, 0", in.told.Load(), out.told.Load(), elsewhere.told.Load())
	}
	again := end(t, r, sessions.Selector{User: "usr_a"})
	if len(again.Sessions) != 0 || again.Connections != 0 || in.told.Load() != 1 {
		t.Errorf("ending again did something: %+v", again)
	}
	elsewhere.leave()
}

func noEntry(t *testing.T, r sessions.Registry) {
	const trials = 200
	load(t, r, acme)
	for range trials {
		l := live(acme, "usr_a")
		if err := r.Add(t.Context(), l); err != nil {
			t.Fatal(err)
		}
		var over atomic.Bool
		var late atomic.Int32
		var hammer sync.WaitGroup
		for range 4 {
			hammer.Go(func() {
				for {
					wasOver := over.Load()
					got, err := r.Find(t.Context(), acme, l.Hash())
					if err != nil || got == nil {
						if wasOver {
							return
						}
						continue
					}
					s := &stream{stays: true} // leaves by itself, as a request does
					leave, ok := got.Enter(s)
					if ok && wasOver {
						late.Add(1)
					}
					leave()
				}
			})
		}
		end(t, r, sessions.Selector{Session: l.Session().ID})
		over.Store(true)
		hammer.Wait()
		if n := late.Load(); n > 0 {
			t.Fatalf("%d requests entered after the end had returned", n)
		}
		if _, ok := l.Enter(&stream{}); ok {
			t.Fatal("an ended session was entered")
		}
	}
}

func lingering(t *testing.T, r sessions.Registry) {
	l := live(acme, "usr_a")
	load(t, r, acme, l)
	s := enter(t, served(t, r, l), true)
	this := sessions.Selector{Session: l.Session().ID}
	ended := end(t, r, this)
	if len(ended.Sessions) != 1 || ended.Connections != 0 || ended.Lingering != 1 || ended.Nodes[0].Confirmed {
		t.Errorf("with a stream that stays: %+v, want one lingering, unconfirmed", ended)
	}
	if is(t, r, l) {
		t.Error("the session is still served")
	}
	// Whoever asks again is not told that all is well until it is.
	if again := end(t, r, this); again.Lingering != 1 || again.Nodes[0].Confirmed || len(again.Sessions) != 0 {
		t.Errorf("asked again: %+v, want one lingering, unconfirmed", again)
	}
	s.leave()
	if last := end(t, r, this); last.Lingering != 0 || !last.Nodes[0].Confirmed {
		t.Errorf("after it left: %+v, want confirmed", last)
	}
	if s.told.Load() != 1 {
		t.Errorf("told %d times, want once", s.told.Load())
	}
}

func spared(t *testing.T, r sessions.Registry) {
	l := live(acme, "usr_a")
	load(t, r, acme, l)
	asks, other := enter(t, served(t, r, l), true), enter(t, served(t, r, l), false)
	this := sessions.Selector{Session: l.Session().ID}
	ended, err := r.End(sessions.Calling(t.Context(), asks), acme, this, nil, "test")
	if err != nil || len(ended.Sessions) != 1 || ended.Connections != 1 || ended.Lingering != 0 || !ended.Nodes[0].Confirmed {
		t.Errorf("ended %+v, %v; want one session, one connection, confirmed", ended, err)
	}
	if asks.told.Load() != 0 || other.told.Load() != 1 {
		t.Errorf("told %d, %d times; want 0, 1", asks.told.Load(), other.told.Load())
	}
	asks.leave() // having left already by the end
	if is(t, r, l) {
		t.Error("the session is still served")
	}
}

// mutual has two requests end each other's sessions: each is cut while it
// waits for the other, and nobody is left to wait for. Who waits all the same
// does so for a second, each time; who does not may be slow for another reason.
func mutual(t *testing.T, r sessions.Registry) {
	load(t, r, acme)
	var took time.Duration
	for range 10 {
		if took = endEachOther(t, r); took < time.Second/2 {
			return
		}
	}
	t.Errorf("they waited %v for each other", took)
}

func endEachOther(t *testing.T, r sessions.Registry) time.Duration {
	t.Helper()
	a, b := live(acme, "usr_a"), live(acme, "usr_b")
	for _, l := range []*sessions.Live{a, b} {
		if err := r.Add(t.Context(), l); err != nil {
			t.Fatal(err)
		}
	}
	var asking sync.WaitGroup
	begin := make(chan struct{})
	ask := func(mine, theirs *sessions.Live) {
		ctx, cancel := context.WithCancel(t.Context())
		s := &asker{cut: cancel}
		leave, ok := served(t, r, mine).Enter(s)
		if !ok {
			t.Fatal("a live session was not entered")
		}
		asking.Go(func() {
			defer leave()
			<-begin
			// What follows a record in the journal is not stopped by its caller's leaving.
			ctx := context.WithoutCancel(sessions.Calling(ctx, s))
			if _, err := r.End(ctx, acme, sessions.Selector{Session: theirs.Session().ID}, nil, "test"); err != nil {
				t.Error(err)
			}
		})
	}
	ask(a, b)
	ask(b, a)
	start := time.Now()
	close(begin)
	asking.Wait()
	took := time.Since(start)
	if is(t, r, a) || is(t, r, b) {
		t.Error("a session is still served")
	}
	return took
}

// asker is the stream of a request that waits, until it is cut.
type asker struct{ cut func() }

// Terminate implements [sessions.Stream].
func (a *asker) Terminate(string) { a.cut() }

func forgotten(t *testing.T, r sessions.Registry) {
	ours, other := live(acme, "usr_a"), live(globex, "usr_a")
	load(t, r, acme, ours)
	load(t, r, globex, other)
	got := served(t, r, ours)
	r.Forget(acme)
	if _, err := r.Find(t.Context(), acme, ours.Hash()); !errors.Is(err, sessions.ErrNotLoaded) {
		t.Errorf("find: %v, want ErrNotLoaded", err)
	}
	if _, ok := got.Enter(&stream{}); ok {
		t.Error("a session of a forgotten tenant was entered")
	}
	if !is(t, r, other) {
		t.Error("another tenant's session is gone")
	}
}
