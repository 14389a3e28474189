package shared

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"gatehouse/identity"
	"gatehouse/internal/cluster"
	"gatehouse/internal/cluster/redistest"
	"gatehouse/internal/fault"
	"gatehouse/sessions"
)

const acme identity.TenantID = "ten_acme"

func hashOf(n int) (hash sessions.TokenHash) {
	// Spread as the hashes of random tokens are.
	binary.LittleEndian.PutUint64(hash[:], uint64(n)*0x9e3779b97f4a7c15) // #nosec G115 -- a number of a test
	binary.LittleEndian.PutUint64(hash[8:], uint64(n))                   // #nosec G115
	return hash
}

func live(n int) *sessions.Live {
	now := time.Now()
	return sessions.NewLive(sessions.Session{ID: identity.SessionID(fmt.Sprintf("ses_%022d", n)), Tenant: acme, User: "usr_a",
		Device: identity.DeviceID(fmt.Sprintf("dev_%022d", n)), Connection: "con_oidc", IDPSubject: "00u1a2b3c4d5e6f7g8h9",
		AMR: []string{"pwd", "otp"}, UserAgent: "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36",
		AuthAt: now, CreatedAt: now, SeenAt: now}, hashOf(n))
}

// table is a record of sessions by number, with something to happen while it is
// being asked.
type table struct {
	all   map[sessions.TokenHash]int
	while func()
}

func (r *table) Live(_ context.Context, _ identity.TenantID, hash sessions.TokenHash) (*sessions.Live, error) {
	n, ok := r.all[hash]
	if r.while != nil {
		r.while()
	}
	if !ok {
		return nil, nil
	}
	return live(n), nil
}

// Lives asks for one after the other.
func (r *table) Lives(ctx context.Context, tenant identity.TenantID, hashes []sessions.TokenHash) (lives []*sessions.Live, err error) {
	for _, hash := range hashes {
		if live, _ := r.Live(ctx, tenant, hash); live != nil {
			lives = append(lives, live)
		}
	}
	return lives, nil
}

func (r *table) Which(_ context.Context, _ identity.TenantID, hashes []sessions.TokenHash) (map[sessions.TokenHash]bool, error) {
	found := map[sessions.TokenHash]bool{}
	for _, hash := range hashes {
		_, found[hash] = r.all[hash]
	}
	return found, nil
}

// After gives nothing: what these tests put into Redis they put there themselves.
func (r *table) After(context.Context, identity.TenantID, sessions.Place, int) ([]*sessions.Live, sessions.Place, bool, error) {
	return nil, sessions.Place{}, false, nil
}

// alone is a registry of one node, which knows acme and no session.
func alone(t testing.TB, url string, r Record, capacity int) *Registry {
	t.Helper()
	bus := cluster.NewAlone("n1")
	t.Cleanup(func() { _ = bus.Close() })
	return at(t, bus, url, r, capacity)
}

// at is a registry on a bus, which knows acme and no session.
func at(t testing.TB, bus cluster.Bus, url string, r Record, capacity int) *Registry {
	t.Helper()
	client, err := cluster.Connect(url, 16)
	if err != nil {
		t.Fatal(err)
	}
	reg := New(Options{Node: "n1", Environment: "test", Bus: bus, Redis: client, Keys: plain{}, Record: r, Capacity: capacity, Log: slog.New(slog.DiscardHandler)})
	t.Cleanup(func() {
		if err := errors.Join(reg.Close(), client.Close()); err != nil {
			t.Error(err)
		}
	})
	if err := reg.Load(context.Background(), acme, func(func(*sessions.Live, error) bool) {}); err != nil {
		t.Fatal(err)
	}
	return reg
}

// plain seals nothing.
type plain struct{}

func (plain) Seal(_ context.Context, _ identity.TenantID, _ string, text []byte) ([]byte, error) {
	return text, nil
}

func (plain) Open(_ context.Context, _ identity.TenantID, _ string, text []byte) ([]byte, error) {
	return text, nil
}

// nowhere is the URL of a Redis that is not there.
const nowhere = "redis://127.0.0.1:1"

// TestP2_OvertakenAnswers: what SQL said before an end is not held after it.
func TestP2_OvertakenAnswers(t *testing.T) {
	for name, c := range map[string]struct {
		happens func(*Registry) error
		served  bool
	}{
		"nothing": {func(*Registry) error { return nil }, true},
		"its end here": {func(r *Registry) error {
			_, err := r.End(t.Context(), acme, sessions.Selector{User: "usr_a"}, nil, "test")
			return err
		}, false},
		"its end elsewhere": {func(r *Registry) error {
			r.apply(t.Context(), cluster.Message{Tenant: acme, Body: []byte(`{"from":"n2","selector":{"All":true}}`)})
			return nil
		}, false},
		"another's end": {func(r *Registry) error {
			_, err := r.End(t.Context(), acme, sessions.Selector{User: "usr_b"}, nil, "test")
			return err
		}, true},
		"more ends than are known": {func(r *Registry) error {
			for range remembered + 1 {
				r.ledger.ended("ten_globex", sessions.Selector{All: true})
			}
			return nil
		}, false},
		"a gap": {func(r *Registry) error { return r.verify(t.Context()) }, false},
	} {
		t.Run(name, func(t *testing.T) {
			record := &table{all: map[sessions.TokenHash]int{hashOf(1): 1}}
			r := alone(t, nowhere, record, 0)
			record.while = func() {
				if err := c.happens(r); err != nil {
					t.Error(err)
				}
			}
			got, err := r.Find(t.Context(), acme, hashOf(1))
			if (got != nil) != c.served || (err == nil) != c.served {
				t.Errorf("found %v, %v", got, err)
			}
			if !c.served && !errors.Is(err, errOvertaken) {
				t.Errorf("%v, want %v", err, errOvertaken)
			}
			if held := r.cache.Len() == 1; held != c.served {
				t.Errorf("held %t", held)
			}
			// Then SQL is asked anew.
			record.while = nil
			if got, err := r.Find(t.Context(), acme, hashOf(1)); got == nil || err != nil {
				t.Errorf("later: %v, %v", got, err)
			}
		})
	}
}

// TestP2_GapIsVerified: what SQL does not call live any more is over after a gap.
func TestP2_GapIsVerified(t *testing.T) {
	record := &table{all: map[sessions.TokenHash]int{}}
	r := alone(t, nowhere, record, 0)
	const n = 2*sessions.MaxAsked + 10
	for i := range n {
		record.all[hashOf(i)] = i
		if got, err := r.Find(t.Context(), acme, hashOf(i)); got == nil || err != nil {
			t.Fatalf("%v, %v", got, err)
		}
	}
	gone, err := r.Find(t.Context(), acme, hashOf(n-1))
	if err != nil {
		t.Fatal(err)
	}
	delete(record.all, hashOf(n-1))
	if err := r.verify(t.Context()); err != nil {
		t.Fatal(err)
	}
	if gone.Current() || r.cache.Len() != n-1 {
		t.Errorf("current %t, %d are held", gone.Current(), r.cache.Len())
	}
}

// TestP2_GapTakesCopiesOut: who ended a session may have died before it did so.
func TestP2_GapTakesCopiesOut(t *testing.T) {
	record := &table{all: map[sessions.TokenHash]int{hashOf(1): 1, hashOf(2): 2}}
	r := alone(t, redistest.Start(t).URL(), record, 0)
	for n := 1; n <= 2; n++ {
		if got, err := r.Find(t.Context(), acme, hashOf(n)); got == nil || err != nil {
			t.Fatal(got, err)
		}
		r.copies.add(t.Context(), live(n), true)
	}
	delete(record.all, hashOf(1))
	if err := r.verify(t.Context()); err != nil {
		t.Fatal(err)
	}
	for n, want := range map[int]bool{1: false, 2: true} {
		if got, err := r.copies.get(t.Context(), acme, hashOf(n)); err != nil || (got.live != nil) != want {
			t.Errorf("copy %d: %v, %v", n, got.live != nil, err)
		}
	}
}

// TestUnreadableMessage is not confirmed.
func TestUnreadableMessage(t *testing.T) {
	r := alone(t, nowhere, &table{}, 0)
	wait := r.apply(t.Context(), cluster.Message{Tenant: acme, Body: []byte("{")})
	if _, err := wait(t.Context()); err == nil {
		t.Error("confirmed")
	}
}

// TestCapacity: sessions with nothing open make room, and nobody loses a stream.
func TestCapacity(t *testing.T) {
	record := &table{all: map[sessions.TokenHash]int{}}
	r := alone(t, nowhere, record, 10)
	for i := range 50 {
		record.all[hashOf(i)] = i
	}
	var open []*sessions.Live
	for i := range 10 {
		l, err := r.Find(t.Context(), acme, hashOf(i))
		if err != nil {
			t.Fatal(err)
		}
		if i%2 == 0 {
			if _, ok := l.Enter(&staying{}); !ok {
				t.Fatal("not entered")
			}
			open = append(open, l)
		}
	}
	for i := range 50 {
		if l, err := r.Find(t.Context(), acme, hashOf(i)); l == nil || err != nil || r.cache.Len() > 10 {
			t.Fatalf("session %d: %v, %v, with %d held", i, l, err, r.cache.Len())
		}
	}
	for _, l := range open {
		if !l.Current() {
			t.Error("a session with something open was dropped")
		}
	}
}

type staying struct{ _ byte }

func (*staying) Terminate(string) {}

// TestP8_Copies: a copy in Redis stays out, or goes, whenever it may be wrong.
func TestP8_Copies(t *testing.T) {
	server := redistest.Start(t)
	for name, c := range map[string]struct {
		happens func(*copies) error
		kept    bool // what was there before
		filled  bool // what is put in after
	}{
		"nothing":           {func(*copies) error { return nil }, true, true},
		"an end":            {func(c *copies) error { return c.remove(t.Context(), acme, []sessions.TokenHash{hashOf(3)}) }, true, false},
		"its end":           {func(c *copies) error { return c.remove(t.Context(), acme, []sessions.TokenHash{hashOf(1)}) }, false, false},
		"an end that fails": {func(c *copies) error { c.distrust(acme); return nil }, false, false},
		"a flush":           {func(*copies) error { server.Do("FLUSHALL"); return nil }, false, false},
		"another process":   {func(c *copies) error { server.Do("HSET", c.key(acme), "run", "0123"); return nil }, false, false},
		"another epoch":     {func(c *copies) error { c.bus = later{c.bus}; return nil }, false, false},
		"its tenant goes":   {func(c *copies) error { return c.forget(t.Context(), acme) }, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			server.Do("FLUSHALL")
			r := alone(t, server.URL(), &table{}, 0)
			put := func(n int, rev string) {
				t.Helper()
				if _, err := r.copies.fill(t.Context(), acme, rev, live(n)); err != nil {
					t.Fatal(err)
				}
			}
			get := func(n int) part {
				t.Helper()
				got, err := r.copies.get(t.Context(), acme, hashOf(n))
				if err != nil || got.rev == "" || got.live != nil && got.live.Session().ID != live(n).Session().ID {
					t.Fatalf("%+v, %v", got, err)
				}
				return got
			}
			rev := get(1).rev
			put(1, rev)
			if get(1).live == nil {
				t.Fatal("not kept")
			}
			if err := c.happens(r.copies); err != nil {
				t.Fatal(err)
			}
			put(2, rev)
			if kept, filled := get(1).live != nil, get(2).live != nil; kept != c.kept || filled != c.filled {
				t.Errorf("kept %t, filled %t; want %t, %t", kept, filled, c.kept, c.filled)
			}
			rev = get(1).rev
			if put(2, rev); get(2).live == nil {
				t.Error("not kept any more")
			}
		})
	}
}

// later is a bus in the next epoch.
type later struct{ cluster.Bus }

func (b later) State() cluster.State {
	s := b.Bus.State()
	s.Epoch++
	return s
}

// TestCopiesOfALaterEpoch are not for who lags behind.
func TestCopiesOfALaterEpoch(t *testing.T) {
	server := redistest.Start(t)
	r := alone(t, server.URL(), &table{}, 0)
	server.Do("HSET", r.copies.key(acme), "epoch", "7", "run", "x", "rev", "y")
	if _, err := r.copies.get(t.Context(), acme, hashOf(1)); err == nil || !strings.Contains(err.Error(), "EPOCH") {
		t.Errorf("%v", err)
	}
	if server.Do("HGET", r.copies.key(acme), "rev") != "y" {
		t.Error("the part was dropped")
	}
}

// TestHostileCopies: what stands in Redis is read with care.
func TestHostileCopies(t *testing.T) {
	server := redistest.Start(t)
	r := alone(t, server.URL(), &table{}, 0)
	if _, err := r.copies.get(t.Context(), acme, hashOf(1)); err != nil {
		t.Fatal(err)
	}
	hash := hashOf(1)
	own := string(hash[:])
	other := hashOf(2)
	for _, text := range []string{"{", own + "{", own + `{}`, own + `{"ID":"ses_1","Tenant":"ten_globex"}`, own + `{"Tenant":"ten_acme"}`,
		string(other[:]) + `{"ID":"ses_1","Tenant":"ten_acme"}`, `{}`, `{"ID":"ses_1","Tenant":"ten_globex"}`, `{"Tenant":"ten_acme"}`, strings.Repeat(" ", maxCopy) + "{}"} {
		server.Do("HSET", r.copies.key(acme), hash[:], text)
		if got, err := r.copies.get(t.Context(), acme, hash); err == nil || got.live != nil {
			t.Errorf("%.40q: %+v", text, got)
		}
		if len(text) > maxCopy {
			continue // Redis answers nonsense, and nothing of it counts
		}
		away := context.DeadlineExceeded // a SQL that is silent
		if _, err := r.copied(t.Context(), acme, hash, away); fault.As(err).Kind != fault.Unavailable || !errors.Is(err, away) {
			t.Errorf("%.40q, without SQL: %v", text, err)
		}
		// SQL knows of no such session.
		if got, err := r.Find(t.Context(), acme, hash); got != nil || err != nil {
			t.Errorf("%.40q: %v, %v", text, got, err)
		}
		if left := server.Do("HEXISTS", r.copies.key(acme), hash[:]); left != int64(0) {
			t.Errorf("%.40q stays in Redis: %v", text, left)
		}
	}
}

func owed(n int) sessions.Unsettled {
	return sessions.Unsettled{ID: fmt.Sprint("u", n), Tenant: acme, Reason: "test",
		Selector: sessions.Selector{Session: live(n).Session().ID, Until: time.Now().Add(time.Minute)}}
}

// TestP8_WithheldIsKept: what SQL has not got counts until SQL has it and no copy
// in Redis can tell otherwise.
func TestP8_WithheldIsKept(t *testing.T) {
	server := redistest.Start(t)
	for name, c := range map[string]struct {
		settled func(*Registry, *keeping)
		kept    bool // the copy of the session that was withheld
		others  bool // those of others
		listed  bool
	}{
		"SQL has not got it":                {func(*Registry, *keeping) {}, true, true, true},
		"whoever ended it took out a copy":  {func(r *Registry, _ *keeping) { r.Settled(owed(1), true) }, true, true, false},
		"another did, and may be at it":     {func(r *Registry, _ *keeping) { r.Settled(owed(1), false) }, true, true, true},
		"another did, and has not finished": {func(r *Registry, _ *keeping) { r.withheld.settle(owed(1), r.proof.Now()-cleanTime, false) }, false, false, false},
		"another did, and is done": {func(r *Registry, bus *keeping) {
			r.Settled(owed(1), false)
			bus.kept = ""
		}, true, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			server.Do("FLUSHALL")
			record := &table{all: map[sessions.TokenHash]int{hashOf(1): 1, hashOf(2): 2}}
			r := alone(t, server.URL(), record, 0)
			bus := &keeping{Bus: r.bus}
			r.bus = bus
			for n := 1; n <= 2; n++ {
				if got, err := r.Find(t.Context(), acme, hashOf(n)); got == nil || err != nil {
					t.Fatal(got, err)
				}
				r.copies.add(t.Context(), live(n), true)
			}
			if err := r.Withhold(t.Context(), owed(1)); err != nil {
				t.Fatal(err)
			}
			if _, err := r.End(t.Context(), acme, owed(1).Selector, nil, "test"); err != nil {
				t.Fatal(err)
			}
			if got, err := r.Find(t.Context(), acme, hashOf(1)); got != nil || err != nil {
				t.Errorf("SQL says that it lives, and it is found: %v, %v", got, err)
			}
			c.settled(r, bus)
			r.release(t.Context())
			got, err := r.copies.get(t.Context(), acme, hashOf(1))
			other, err2 := r.copies.get(t.Context(), acme, hashOf(2))
			if err != nil || err2 != nil || (got.live != nil) != c.kept || (other.live != nil) != c.others {
				t.Errorf("its copy %t, another's %t: %v, %v", got.live != nil, other.live != nil, err, err2)
			}
			s := live(1).Session()
			if listed := bus.kept != ""; listed != c.listed || r.withheld.covers(&s) != c.listed {
				t.Errorf("kept %t, counts %t, want %t", listed, r.withheld.covers(&s), c.listed)
			}
		})
	}
}

// keeping is a bus that keeps the last message that is to be kept.
type keeping struct {
	cluster.Bus
	kept string
}

// Publish implements [cluster.Bus].
func (b *keeping) Publish(ctx context.Context, m cluster.Message) ([]cluster.Confirmation, error) {
	if m.Keep != "" {
		b.kept = m.Keep
	}
	return b.Bus.Publish(ctx, m)
}

// Kept implements [cluster.Bus].
func (b *keeping) Kept(_ context.Context, name string) (bool, error) { return b.kept == name, nil }

// Unkeep implements [cluster.Bus].
func (b *keeping) Unkeep(_ context.Context, name string) error {
	if b.kept == name {
		b.kept = ""
	}
	return nil
}

// TestP8_WithheldIsVerified: what is held of a session that was withheld meanwhile
// goes when it is made sure of, whatever SQL says.
func TestP8_WithheldIsVerified(t *testing.T) {
	r := alone(t, redistest.Start(t).URL(), &table{all: map[sessions.TokenHash]int{hashOf(1): 1, hashOf(2): 2}}, 0)
	for n := 1; n <= 2; n++ {
		if got, err := r.Find(t.Context(), acme, hashOf(n)); got == nil || err != nil {
			t.Fatal(got, err)
		}
	}
	body, err := json.Marshal(withholding{From: "n2", What: owed(1)})
	if err != nil {
		t.Fatal(err)
	}
	if wait := r.hearWithheld(t.Context(), cluster.Message{Tenant: acme, Body: body}); wait != nil {
		t.Fatal("something to wait for")
	}
	if err := r.verify(t.Context()); err != nil {
		t.Fatal(err)
	}
	if r.cache.Len() != 1 || len(r.Withheld()) != 1 {
		t.Errorf("%d are held, %d withheld", r.cache.Len(), len(r.Withheld()))
	}
	if got, err := r.Find(t.Context(), acme, hashOf(1)); got != nil || err != nil {
		t.Errorf("%v, %v", got, err)
	}
	r.Forget(acme)
	if len(r.Withheld()) != 0 || r.withheld.n != 0 {
		t.Error("a deleted tenant's are kept")
	}
}

// TestWithheldIsBounded: what cannot be read, or is one too many, is not confirmed.
func TestWithheldIsBounded(t *testing.T) {
	r := alone(t, nowhere, &table{}, 0)
	for _, body := range []string{"{", `{"from":"n2","what":{"id":"x","tenant":"ten_globex"}}`} {
		wait := r.hearWithheld(t.Context(), cluster.Message{Tenant: acme, Body: []byte(body)})
		if wait == nil {
			t.Fatalf("%s was taken in", body)
		}
		if _, err := wait(t.Context()); err == nil {
			t.Errorf("%s was confirmed", body)
		}
	}
	for n := range sessions.MaxUnsettled {
		if err := r.withhold(owed(n)); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.Withhold(t.Context(), owed(sessions.MaxUnsettled)); !errors.Is(err, errTooMany) {
		t.Errorf("one more: %v", err)
	}
}
