package directory

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse/identity"
	"gatehouse/internal/fault"
)

const acme, globex identity.TenantID = "ten_acme", "ten_globex"

// TestRememberedUntilAChangeIsAboutThem: and what was read before a change of
// anybody is not remembered after it.
func TestRememberedUntilAChangeIsAboutThem(t *testing.T) {
	var m memory
	ann, bob := identity.Person{ID: "usr_ann"}, identity.Person{ID: "usr_bob"}
	all := func() {
		for _, tenant := range []identity.TenantID{acme, globex} {
			version := m.version(tenant)
			m.put(tenant, version, ann, false)
			m.put(tenant, version, bob, false)
		}
	}
	know := func(what string, want ...bool) {
		t.Helper()
		var got []bool
		n := 0
		for _, tenant := range []identity.TenantID{acme, globex} {
			for _, p := range []identity.Person{ann, bob} {
				_, ok := m.get(tenant, p.ID)
				if got = append(got, ok); ok {
					n++
				}
			}
		}
		if fmt.Sprint(got) != fmt.Sprint(want) || m.people != n {
			t.Errorf("%s: %v are known, want %v; counted %d", what, got, want, m.people)
		}
	}
	know("nothing read", false, false, false, false)
	all()
	know("read", true, true, true, true)
	for _, c := range []struct {
		what   string
		change func()
		known  []bool
	}{
		{"a change about nobody", func() { m.change(acme, nil) }, []bool{true, true, true, true}},
		{"about Ann, and one who is not known", func() { m.change(acme, []identity.UserID{"usr_eve", ann.ID}) }, []bool{false, true, true, true}},
		{"about everybody", func() { m.change(acme, Everybody) }, []bool{false, false, true, true}},
		{"everywhere", func() { m.changeEverywhere() }, []bool{false, false, false, false}},
		{"a tenant that goes", func() { m.drop(acme) }, []bool{false, false, true, true}},
	} {
		all()
		before := m.version(acme)
		c.change()
		know(c.what, c.known...)
		if m.version(acme) == before {
			t.Errorf("%s: the version is the same", c.what)
		}
		m.put(acme, before, ann, false)
		if c.known[0] {
			continue
		}
		know(c.what+", and read before it", c.known...)
	}
}

// TestRememberedPeopleAreBounded over all tenants together.
func TestRememberedPeopleAreBounded(t *testing.T) {
	var m memory
	for i := range maxPeople + 100 {
		tenant := []identity.TenantID{acme, globex}[i%2]
		m.put(tenant, m.version(tenant), identity.Person{ID: identity.UserID(fmt.Sprint("usr_", i))}, false)
	}
	if n := len(m.tenants[acme].people) + len(m.tenants[globex].people); n != maxPeople || m.people != n {
		t.Errorf("%d are remembered, counted %d", n, m.people)
	}
}

// TestOneQuestionForAll who ask the same at the same time, and none soon after one
// that nobody could answer.
func TestOneQuestionForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		away := fault.New(fault.Unavailable, "away", "Away.")
		for name, c := range map[string]struct {
			err    error
			second int // how often is asked when all ask a second time at once
		}{
			"an answer": {nil, 2}, "there is nobody": {fault.New(fault.NotFound, "unknown", "Unknown."), 2}, "nobody knows": {away, 1},
		} {
			var q questions
			asked := 0
			ask := func() {
				var all sync.WaitGroup
				for range 32 {
					all.Go(func() {
						p, err := q.share(t.Context(), personKey{acme, "usr_ann", 1}, true, func() (identity.Person, error) {
							asked++
							<-time.After(time.Second / 4)
							return identity.Person{ID: "usr_ann"}, c.err
						})
						if err != c.err || p.ID != "usr_ann" { //nolint:errorlint // the very same
							t.Errorf("%s: %v, %v", name, p, err)
						}
					})
				}
				all.Wait()
			}
			ask()
			if asked != 1 {
				t.Errorf("%s: asked %d times", name, asked)
			}
			ask()
			if asked != c.second {
				t.Errorf("%s: asked %d times by the second", name, asked)
			}
			<-time.After(unknownRest)
			ask()
			if asked != c.second+1 {
				t.Errorf("%s: asked %d times by the third", name, asked)
			}
			if len(q.all) > 1 {
				t.Errorf("%s: %d questions are kept", name, len(q.all))
			}
		}
		// Who does not want to wait need not, and nobody waits for one that panicked.
		var q questions
		key := personKey{acme, "usr_ann", 1}
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := q.share(gone, personKey{acme, "usr_bob", 1}, true, nil); !errors.Is(err, context.Canceled) {
			t.Errorf("who has gone asks: %v", err)
		}
		func() {
			defer func() { _ = recover() }()
			_, _ = q.share(t.Context(), key, true, func() (identity.Person, error) {
				if _, err := q.share(gone, key, true, nil); !errors.Is(err, context.Canceled) {
					t.Errorf("who has gone: %v", err)
				}
				panic("asking")
			})
		}()
		if _, err := q.share(t.Context(), key, true, func() (identity.Person, error) { return identity.Person{}, nil }); err != nil {
			t.Error(err)
		}
	})
}
