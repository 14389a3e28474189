package authz_test

import (
	"context"
	"fmt"
	"reflect"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"gatehouse/audit"
	"gatehouse/authz"
	"gatehouse/identity"
)

var (
	someRoles   = []string{authz.Owner, authz.Admin, authz.Member, authz.Viewer, "billing", "everything-in-account"}
	teamRoles   = []string{authz.TeamAdmin, authz.TeamMember, authz.TeamViewer, "billing"}
	someActions = []string{"read", "write", "delete", "approve"}
	someObjects = []string{"alerts", "billing", "gatehouse.users", "gatehouse.tenants", "gatehouse"}
)

// cast is two tenants with the same people, groups and teams by name.
type cast struct {
	*world
	people map[identity.TenantID][]*identity.Principal
	groups map[identity.TenantID][]identity.GroupID
	teams  map[identity.TenantID][]identity.TeamID
}

func newCast(t testing.TB) *cast {
	c := &cast{world: newWorld(t), people: map[identity.TenantID][]*identity.Principal{},
		groups: map[identity.TenantID][]identity.GroupID{}, teams: map[identity.TenantID][]identity.TeamID{}}
	for _, tenant := range []identity.TenantID{acme, globex} {
		for i := range 3 {
			c.people[tenant] = append(c.people[tenant], c.user(tenant, fmt.Sprint("u", i)))
			c.teams[tenant] = append(c.teams[tenant], c.team(tenant, fmt.Sprint("t", i)))
		}
		c.groups[tenant] = []identity.GroupID{c.group(tenant, "g0", c.people[tenant][:2]...), c.group(tenant, "g1", c.people[tenant][2])}
		for name, text := range map[string]string{"billing": "billing:*", "everything-in-account": "account/*:*"} {
			must[authz.Role](t)(c.PutRole(context.Background(), audit.SystemCause(), tenant, authz.Role{Name: name, Permissions: []string{text}}, 0))
		}
		// Somebody else owns each, so that any other owner may come and go.
		c.assign(tenant, authz.Assignment{Name: "founder", Role: authz.Owner, User: c.user(tenant, "founder").User})
	}
	return c
}

func (c *cast) query(t *rapid.T, tenant identity.TenantID) authz.Query {
	return authz.Query{Tenant: tenant,
		Permission: authz.Permission{Object: rapid.SampledFrom(someObjects).Draw(t, "object"), Action: rapid.SampledFrom(someActions).Draw(t, "action")},
		Team:       rapid.SampledFrom([]string{"", "t0", "t1", "t2", "unknown"}).Draw(t, "team")}
}

// TestDecisionsUnderChange: while policy and directory of one tenant change at
// random, what is remembered equals what is evaluated anew; account-wide roles
// reach every team, team roles their own alone; and (P3) the other tenant's
// answers never change.
func TestDecisionsUnderChange(t *testing.T) {
	c := newCast(t)
	ctx := context.Background()
	rapid.Check(t, func(t *rapid.T) {
		p, foreign := rapid.SampledFrom(c.people[acme]).Draw(t, "person"), rapid.SampledFrom(c.people[globex]).Draw(t, "foreigner")
		theirs := c.query(t, globex)
		_, before, err := c.Decide(ctx, foreign, theirs)
		if err != nil {
			t.Fatal(err)
		}

		a := authz.Assignment{Name: "varies"}
		if rapid.Bool().Draw(t, "for a team") {
			a.Role, a.Team = rapid.SampledFrom(teamRoles).Draw(t, "role"), rapid.SampledFrom(c.teams[acme]).Draw(t, "team")
		} else {
			a.Role = rapid.SampledFrom(someRoles).Draw(t, "role")
		}
		if rapid.Bool().Draw(t, "to a group") {
			a.Group = rapid.SampledFrom(c.groups[acme]).Draw(t, "group")
		} else {
			a.User = rapid.SampledFrom(c.people[acme]).Draw(t, "user").User
		}
		if _, err := c.Assign(ctx, audit.SystemCause(), acme, a); err != nil {
			t.Fatal(err)
		}
		for range 4 {
			q := c.query(t, acme)
			permit, d, err := c.Decide(ctx, p, q)
			if err != nil {
				t.Fatal(err)
			}
			anew, err := c.DecideAnew(ctx, p, q)
			if err != nil || !reflect.DeepEqual(d, anew) || permit.Valid(acme) != d.Allowed {
				t.Fatalf("%+v: remembered %+v, anew %+v, %v", q, d, anew, err)
			}
			explained, err := c.Explain(ctx, acme, p.User, q)
			if err != nil || explained.Allowed != d.Allowed || explained.Role != d.Role {
				t.Fatalf("%+v: decided %+v, explained %+v, %v", q, d, explained, err)
			}
			if own := a.Team == "" || q.Team != "" && c.teams[acme][q.Team[len(q.Team)-1]%3] == a.Team; d.Allowed && !own {
				t.Fatalf("%+v reached %+v: %+v", a, q, d)
			}
			if d.Allowed && q.Permission.Object == "gatehouse.tenants" {
				t.Fatalf("%+v reached the operators' business", a)
			}
			if d.Allowed && a.Team == "" && q.Team != "" && q.Permission.Object == "alerts" {
				for _, team := range []string{"t0", "t1", "t2", "unknown"} {
					q.Team = team
					if _, there, err := c.Decide(ctx, p, q); err != nil || !there.Allowed {
						t.Fatalf("account-wide %+v does not reach %s: %+v, %v", a, team, there, err)
					}
				}
			}
		}
		_, after, err := c.Decide(ctx, foreign, theirs)
		if err != nil || !reflect.DeepEqual(before, after) {
			t.Fatalf("a change at acme changed globex: %+v, then %+v, %v", before, after, err)
		}
		if _, d, err := c.Decide(ctx, foreign, c.query(t, acme)); err != nil || d.Reason != authz.ReasonWrongTenant {
			t.Fatalf("somebody of globex at acme: %+v, %v", d, err)
		}
	})
}

// TestDecideWhileThePolicyChanges: decisions are right at every moment of a
// change, and the change is in force when its call returns.
func TestDecideWhileThePolicyChanges(t *testing.T) {
	c := newCast(t)
	p := c.people[acme][0]
	ctx, stop := context.WithCancel(t.Context())
	var readers sync.WaitGroup
	for range 3 {
		readers.Go(func() {
			for ctx.Err() == nil {
				_, d, err := c.Decide(context.Background(), p, authz.Query{Tenant: acme, Permission: authz.Permission{Object: "alerts", Action: "read"}, Team: "t0"})
				if err != nil || d.Allowed && d.Role != authz.Viewer {
					t.Errorf("%+v, %v", d, err)
					return
				}
			}
		})
	}
	for range 20 {
		made := c.assign(acme, authz.Assignment{Role: authz.Viewer, User: p.User})
		if !c.decide(p, acme, "alerts:read", "t0").Allowed {
			t.Error("given, and not in force")
		}
		if err := c.Unassign(t.Context(), audit.SystemCause(), acme, made.ID); err != nil {
			t.Fatal(err)
		}
		if c.decide(p, acme, "alerts:read", "t0").Allowed {
			t.Error("taken away, and in force")
		}
	}
	stop()
	readers.Wait()
}

func FuzzParsePermission(f *testing.F) {
	for _, seed := range []string{"alerts:read", "*:*", "gatehouse.*:*", "a.b-c_d:x", ":", "a:", ":b", "a:b:c", "A:b", ".*:x", "a..b:*", "a*:b", "a:\x00"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := authz.ParsePermission(text)
		if err != nil {
			if p != (authz.Permission{}) {
				t.Errorf("%q was refused with %v", text, p)
			}
			return
		}
		if p.String() != text {
			t.Errorf("%q reads as %q", text, p)
		}
	})
}

func BenchmarkDecide(b *testing.B) {
	c := newCast(b)
	p := c.people[acme][0]
	c.assign(acme, authz.Assignment{Role: authz.Viewer, User: p.User})
	q := authz.Query{Tenant: acme, Permission: authz.Permission{Object: "alerts", Action: "read"}, Team: "t0"}
	ctx := b.Context()
	b.Run("remembered", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if permit, _, err := c.Decide(ctx, p, q); err != nil || !permit.Valid(acme) {
				b.Fatal(err)
			}
		}
	})
	b.Run("anew", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if d, err := c.DecideAnew(ctx, p, q); err != nil || !d.Allowed {
				b.Fatal(err)
			}
		}
	})
}
