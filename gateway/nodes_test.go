package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse/audit"
	"gatehouse/authn/token"
	"gatehouse/authz"
	"gatehouse/directory"
	"gatehouse/identity"
	"gatehouse/internal/cluster"
	"gatehouse/internal/cluster/redistest"
	"gatehouse/internal/fault"
	"gatehouse/internal/store/postgrestest"
	"gatehouse/tenants"
)

// street is two gateways on one database and one Redis.
type street struct {
	*testing.T
	a, b  *house
	redis *redistest.Server
	sql   *postgrestest.Server
}

func newStreet(t *testing.T, more ...map[string]string) *street {
	t.Helper()
	if testing.Short() {
		t.Skip("needs PostgreSQL and Redis")
	}
	t.Parallel()
	s := &street{T: t, redis: redistest.Start(t), sql: postgrestest.Start(t)}
	database, dir := s.sql.Database(t), t.TempDir()
	keys := map[string]string{
		"store": database.Application, "registry": s.redis.URL(),
		"keys": "file://" + filepath.Join(dir, "kek.key"), "data_keys": filepath.Join(dir, "keys"),
	}
	for _, m := range more {
		maps.Copy(keys, m)
	}
	s.a = emptyHouse(t, keys)
	s.b = emptyHouse(t, keys)
	for _, h := range []*house{s.a, s.b} {
		h.serve()
	}
	s.fresh()
	return s
}

// fresh waits until both nodes answer from memory.
func (s *street) fresh() {
	s.Helper()
	s.both("fresh", cluster.ModeFresh)
	for _, h := range []*house{s.a, s.b} {
		h.soon("ready", func() bool { status, _ := h.ops("/readyz"); return status == http.StatusOK })
	}
}

func (s *street) both(what string, mode cluster.Mode) {
	s.Helper()
	for _, h := range []*house{s.a, s.b} {
		h.soon(what, func() bool { return h.rooms.nodes.bus.State().Mode == mode })
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

var cause = audit.SystemCause()

// Whatever is changed by one node, the other goes by when the call has returned:
// with Redis, and without it.
func TestP2_WhatOneNodeChangesHoldsOnTheOther(t *testing.T) {
	s := newStreet(t)
	s.walk("acme")
	s.redis.Kill()
	s.both("life by SQL", cluster.ModeSQLOnly)
	s.walk("globex")
	s.redis.Restart()
	s.fresh()
	s.walk("initech")
}

// walk is the life of a tenant. Only one host is asked for: it is given to each
// tenant in turn.
func (s *street) walk(name string) {
	t, ctx, a, b := s.T, s.Context(), s.a, s.b
	t.Helper()
	services := a.Services()
	want := func(what string, want int, header ...string) {
		t.Helper()
		if status, text := b.ask(http.MethodGet, "/", "", header...); status != want {
			t.Errorf("%s, %s: the other node answers %d, not %d: %s", name, what, status, want, text)
		}
	}
	acme, err := services.Tenants.Create(ctx, cause, tenants.Tenant{Name: name, DisplayName: "Acme", Hosts: []string{"acme.test"}, Status: tenants.Active})
	must(t, err)
	want("a new tenant", http.StatusOK)
	status := func(to tenants.Status) {
		t.Helper()
		_, err := services.Tenants.Update(ctx, cause, acme.ID, 0, func(t *tenants.Tenant) error { t.Status = to; return nil })
		must(t, err)
	}
	status(tenants.Suspended)
	want("suspended", http.StatusForbidden)
	status(tenants.Active)
	want("resumed", http.StatusOK)

	_, err = services.Authz.PutRole(ctx, cause, acme.ID, authz.Role{Name: "reader", Permissions: []string{"reports:read"}}, 0)
	must(t, err)
	made, secret, err := services.Tokens.Create(ctx, cause, acme.ID, token.Spec{Name: "robot", Scope: token.ScopeAPI, Role: "reader", Expires: time.Now().Add(time.Hour)})
	must(t, err)
	bearer := []string{"Authorization", "Bearer " + secret}
	me := func(want int) {
		t.Helper()
		if status, text := b.ask(http.MethodGet, "/.gatehouse/api/v1/users", "", bearer...); status != want {
			t.Errorf("%s: the other node answers the token with %d, not %d: %s", name, status, want, text)
		}
	}
	me(http.StatusForbidden)
	_, err = services.Authz.PutRole(ctx, cause, acme.ID, authz.Role{Name: "reader", Permissions: []string{"gatehouse.users:read"}}, 0)
	must(t, err)
	me(http.StatusOK)

	networks := func(all ...netip.Prefix) {
		t.Helper()
		_, err := services.Tenants.Update(ctx, cause, acme.ID, 0, func(t *tenants.Tenant) error { t.Settings.Session.Networks = all; return nil })
		must(t, err)
	}
	networks(netip.MustParsePrefix("198.51.100.0/24"))
	me(http.StatusForbidden)
	networks()
	me(http.StatusOK)

	held := b.hold(bearer...)
	if held == nil {
		t.Fatal("the app was not reached")
	}
	must(t, services.Tokens.Revoke(ctx, cause, acme.ID, made.ID))
	me(http.StatusUnauthorized)
	if !ended(held) {
		t.Errorf("%s: what the token had open on the other node still is", name)
	}

	held = b.hold()
	if held == nil {
		t.Fatal("the app was not reached")
	}
	must(t, services.Tenants.Delete(ctx, cause, acme.ID, 0))
	want("deleted", 0) // nor has it a certificate
	if !ended(held) {
		t.Errorf("%s: what the tenant had open on the other node still is", name)
	}
	for _, h := range []*house{a, b} {
		if _, err := os.Stat(filepath.Join(JournalDir(h.dir), string(acme.ID))); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: the deleted tenant's journal: %v", name, err)
		}
	}
}

// Without Redis and PostgreSQL nothing is served. With one of them what is known
// goes on, and with both all does.
func TestP7_ANodeThatCanAskNobodyServesNothing(t *testing.T) {
	s := newStreet(t)
	acme, err := s.a.Services().Tenants.Create(s.Context(), cause, tenants.Tenant{Name: "acme", Hosts: []string{"acme.test"}, Status: tenants.Active})
	must(t, err)
	_, secret, err := s.a.Services().Tokens.Create(s.Context(), cause, acme.ID, token.Spec{Name: "robot", Scope: token.ScopeAPI, Role: "owner", Expires: time.Now().Add(time.Hour)})
	must(t, err)
	bearer := []string{"Authorization", "Bearer " + secret}
	everywhere := func(what string, want int) {
		t.Helper()
		for _, h := range []*house{s.a, s.b} {
			h.soon(what, func() bool { return h.status("/", bearer...) == want && h.status("/") == want })
		}
	}
	everywhere("both", http.StatusOK)

	s.sql.Pause(t)
	s.both("fresh without SQL", cluster.ModeFresh)
	everywhere("Redis alone", http.StatusOK)
	if _, err := s.a.Services().Tenants.Update(s.Context(), cause, acme.ID, 0, func(t *tenants.Tenant) error { t.Status = tenants.Suspended; return nil }); !fault.Is(err, fault.Unavailable) {
		t.Errorf("a change without SQL: %v", err)
	}
	s.redis.Pause()
	held := s.b.hold(bearer...)
	s.both("lost", cluster.ModeLost)
	everywhere("neither", http.StatusServiceUnavailable)
	if held != nil && !ended(held) {
		t.Error("what a token had open goes on")
	}
	for _, h := range []*house{s.a, s.b} {
		if status, text := h.ops("/readyz"); status != http.StatusServiceUnavailable || !strings.Contains(text, `"mode":"lost"`) {
			t.Errorf("readyz: %d %s", status, text)
		}
	}

	s.sql.Continue(t)
	s.both("SQL alone", cluster.ModeSQLOnly)
	everywhere("SQL alone", http.StatusOK)
	s.redis.Continue()
	s.fresh()
	everywhere("both again", http.StatusOK)
}

// TestP2_WhatIsOwedIsSaid though something else of the tenant could be said since.
func TestP2_WhatIsOwedIsSaid(t *testing.T) {
	bus := &mute{Bus: cluster.NewAlone("a"), silent: true}
	n := newNodes(bus, &rooms{}, slog.New(slog.DiscardHandler))
	const acme identity.TenantID = "ten_acme"
	if err := n.AnnouncePeople(t.Context(), acme, true, []identity.UserID{"usr_x"}); err == nil {
		t.Fatal("said, though nobody can hear it")
	}
	bus.silent = false
	for _, user := range []identity.UserID{"usr_y", "usr_z"} {
		must(t, n.AnnouncePeople(t.Context(), acme, true, []identity.UserID{user}))
	}
	must(t, n.AnnouncePolicy(t.Context(), acme, true))
	n.repeat(t.Context())
	if last := bus.said[len(bus.said)-1]; last.About != aboutPeople || !slices.Equal(last.People, directory.Everybody) {
		t.Errorf("said at last: %+v", last)
	}
	count := len(bus.said)
	n.repeat(t.Context())
	must(t, n.AnnouncePeople(t.Context(), acme, false, nil))
	if len(bus.said) != count {
		t.Errorf("said again: %+v", bus.said[count:])
	}
}

// mute is a bus on which nobody can be told anything while it is silent.
type mute struct {
	cluster.Bus
	silent bool
	said   []word
}

// Publish implements [cluster.Bus].
func (b *mute) Publish(_ context.Context, m cluster.Message) ([]cluster.Confirmation, error) {
	if b.silent {
		return nil, errors.New("neither Redis nor SQL")
	}
	var w word
	err := json.Unmarshal(m.Body, &w)
	b.said = append(b.said, w)
	return nil, err
}

// Without SQL, whether it refuses or is silent, a node learns from another who
// somebody is; not of another tenant's, and not what an answer to another question
// says. What it learnt is worth nothing once SQL can be asked.
func TestP8_WhoIsKnownElsewhere(t *testing.T) {
	type act = func(*postgrestest.Server, testing.TB)
	for name, c := range map[string]struct{ lose, back act }{
		"refuses":   {(*postgrestest.Server).Kill, (*postgrestest.Server).Restart},
		"is silent": {(*postgrestest.Server).Pause, (*postgrestest.Server).Continue},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStreet(t)
			back := sync.OnceFunc(func() { c.back(s.sql, t) })
			made := func(tenant string) (identity.TenantID, []identity.UserID) {
				created, err := s.a.Services().Tenants.Create(s.Context(), cause, tenants.Tenant{Name: tenant, Hosts: []string{tenant + ".test"}, Status: tenants.Active})
				must(t, err)
				var people []identity.UserID
				for i := range 20 {
					u, err := s.a.rooms.directory.CreateUser(s.Context(), cause, created.ID, directory.User{
						UserName: fmt.Sprintf("user%d@secret.example", i), Email: fmt.Sprintf("user%d@secret.example", i), Active: true})
					must(t, err)
					_, err = s.b.rooms.directory.Person(s.Context(), created.ID, u.ID)
					must(t, err)
					people = append(people, u.ID)
				}
				return created.ID, people
			}
			acme, people := made("acme")
			globex, _ := made("globex")
			c.lose(s.sql, t)
			defer back()
			<-time.After(3 * cluster.Lease)
			s.both("fresh without SQL", cluster.ModeFresh)
			var all sync.WaitGroup
			for i, id := range people {
				all.Go(func() {
					p, err := s.a.rooms.directory.Person(s.Context(), acme, id)
					if err != nil || p.Email != fmt.Sprintf("user%d@secret.example", i) {
						t.Errorf("%+v, %v", p, err)
					}
				})
			}
			all.Wait()
			if p, err := s.a.rooms.directory.Person(s.Context(), globex, people[0]); !fault.Is(err, fault.Unavailable) {
				t.Errorf("another tenant's: %+v, %v", p, err)
			}
			s.redis.Do("CONFIG", "SET", "rdbcompression", "no")
			keys, _ := s.redis.Do("KEYS", "*").([]any)
			for _, key := range keys {
				if kept := fmt.Sprint(s.redis.Do("DUMP", key)); strings.Contains(kept, "secret.example") {
					t.Errorf("%v holds a person's name", key)
				}
			}
			back()
			s.a.soon("SQL counts again", func() bool { _, known := s.a.rooms.directory.Remembered(acme, people[0]); return !known })
			s.fresh()
		})
	}
}
