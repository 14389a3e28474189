package authz_test

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"gatehouse/audit"
	"gatehouse/authz"
	"gatehouse/directory"
	"gatehouse/identity"
	"gatehouse/internal/fault"
)

func TestBuiltInRoles(t *testing.T) {
	w := newWorld(t)
	payments := w.team(acme, "payments")
	w.team(acme, "search")
	for _, c := range []struct {
		role  string
		team  identity.TeamID
		may   string // what, at account level
		in    string // what, in payments
		in2   string // what, in search
		mayNo string
		inNo  string
		in2No string
	}{
		{role: authz.Owner, may: "billing:read gatehouse.users:write gatehouse.roles:delete", in: "alerts:delete", in2: "alerts:write", mayNo: "gatehouse.tenants:write"},
		{role: authz.Admin, may: "gatehouse.users:write gatehouse.sessions:delete", in: "alerts:delete", in2: "alerts:write", mayNo: "billing:read gatehouse.tenants:read"},
		{role: authz.Member, in: "alerts:read alerts:write", in2: "alerts:write", mayNo: "billing:read gatehouse.users:read", inNo: "alerts:delete gatehouse.assignments:write"},
		{role: authz.Viewer, in: "alerts:read", in2: "alerts:read", mayNo: "billing:read gatehouse.me:read", inNo: "alerts:write"},
		{role: authz.TeamAdmin, team: payments, in: "alerts:read alerts:write alerts:delete", mayNo: "billing:read gatehouse.users:read", inNo: "gatehouse.assignments:write", in2No: "alerts:read"},
		{role: authz.TeamMember, team: payments, in: "alerts:read alerts:write", mayNo: "billing:read", inNo: "alerts:delete", in2No: "alerts:read"},
		{role: authz.TeamViewer, team: payments, in: "alerts:read", mayNo: "billing:read", inNo: "alerts:write", in2No: "alerts:read"},
	} {
		p := w.user(acme, "has-"+c.role)
		w.assign(acme, authz.Assignment{Role: c.role, User: p.User, Team: c.team})
		check := func(list, team string, want bool) {
			t.Helper()
			for text := range strings.FieldsSeq(list) {
				d := w.decide(p, acme, text, team)
				if d.Allowed != want {
					t.Errorf("%s: %s in %q allowed %t, want %t", c.role, text, team, d.Allowed, want)
				}
				if want && (d.Role != c.role || d.Reason != authz.ReasonRole || d.Via != "user") || !want && d.Reason != authz.ReasonNoRole {
					t.Errorf("%s: %s: %+v", c.role, text, d)
				}
			}
		}
		check(c.may, "", true)
		check(c.in, "payments", true)
		check(c.in2, "search", true)
		check(c.mayNo, "", false)
		check(c.inNo, "payments", false)
		check(c.in2No, "search", false)
	}
}

func TestWhoDecisionsAreAbout(t *testing.T) {
	w := newWorld(t)
	ann, gone := w.user(acme, "ann"), w.user(acme, "gone")
	w.assign(acme, authz.Assignment{Role: authz.Owner, User: ann.User})
	w.assign(acme, authz.Assignment{Role: authz.Owner, User: gone.User})
	w.decide(gone, acme, "billing:read", "")
	w.activate(gone, false)
	token := func(kind identity.Kind, role string) *identity.Principal {
		return &identity.Principal{Kind: kind, Tenant: acme, ID: "tok_1", Role: role}
	}
	for _, c := range []struct {
		name   string
		p      *identity.Principal
		tenant identity.TenantID
		access authz.Access
		what   string
		want   bool
		reason string
	}{
		{"owner", ann, acme, authz.NeedPermission, "billing:read", true, authz.ReasonRole},
		{"signed in", ann, acme, authz.NeedSignIn, "", true, authz.ReasonSignedIn},
		{"public", ann, acme, authz.Public, "", true, authz.ReasonPublic},
		{"nobody, public", nil, acme, authz.Public, "", true, authz.ReasonPublic},
		{"nobody, signed in", nil, acme, authz.NeedSignIn, "", false, authz.ReasonAnonymous},
		{"nobody", nil, acme, authz.NeedPermission, "billing:read", false, authz.ReasonAnonymous},
		{"anonymous", &identity.Principal{Kind: identity.KindAnonymous, Tenant: acme}, acme, authz.NeedSignIn, "", false, authz.ReasonAnonymous},
		{"P3 elsewhere", ann, globex, authz.NeedPermission, "billing:read", false, authz.ReasonWrongTenant},
		{"P3 elsewhere, signed in", ann, globex, authz.NeedSignIn, "", false, authz.ReasonWrongTenant},
		{"P3 elsewhere, public", ann, globex, authz.Public, "", false, authz.ReasonWrongTenant},
		{"inactive", gone, acme, authz.NeedPermission, "billing:read", false, authz.ReasonInactive},
		{"inactive, signed in", gone, acme, authz.NeedSignIn, "", false, authz.ReasonInactive},
		{"unknown person", &identity.Principal{Kind: identity.KindUser, Tenant: acme, ID: "usr_x", User: "usr_x"}, acme, authz.NeedSignIn, "", false, authz.ReasonInactive},
		{"unknown kind", &identity.Principal{Kind: "robot", Tenant: acme, ID: "x"}, acme, authz.NeedSignIn, "", false, authz.ReasonNoRole},
		{"unknown access", ann, acme, 99, "billing:read", false, authz.ReasonNoRole},
		{"no permission named", ann, acme, authz.NeedPermission, "", false, authz.ReasonNoRole},
		{"operator", &identity.Principal{Kind: identity.KindOperator, Tenant: identity.Platform}, acme, authz.NeedPermission, "gatehouse.tenants:write", true, authz.ReasonOperator},
		{"token", token(identity.KindAPIToken, authz.Admin), acme, authz.NeedPermission, "gatehouse.users:read", true, authz.ReasonRole},
		{"token, too much", token(identity.KindAPIToken, authz.Admin), acme, authz.NeedPermission, "billing:read", false, authz.ReasonNoRole},
		{"token, signed in", token(identity.KindAPIToken, authz.Viewer), acme, authz.NeedSignIn, "", true, authz.ReasonSignedIn},
		{"token with a team role", token(identity.KindAPIToken, authz.TeamAdmin), acme, authz.NeedSignIn, "", false, authz.ReasonNoRole},
		{"token with no role", token(identity.KindAPIToken, ""), acme, authz.NeedPermission, "billing:read", false, authz.ReasonNoRole},
		{"scim", token(identity.KindSCIMToken, ""), acme, authz.NeedPermission, "gatehouse.scim:write", true, authz.ReasonSCIM},
		{"fetched", token(identity.KindSync, ""), acme, authz.NeedPermission, "gatehouse.scim:write", true, authz.ReasonSCIM},
		{"fetched, anything else", token(identity.KindSync, authz.Owner), acme, authz.NeedPermission, "billing:read", false, authz.ReasonNoRole},
		{"scim with a role", token(identity.KindSCIMToken, authz.Owner), acme, authz.NeedPermission, "billing:read", false, authz.ReasonNoRole},
		{"scim, signed in", token(identity.KindSCIMToken, ""), acme, authz.NeedSignIn, "", false, authz.ReasonNoRole},
	} {
		q := authz.Query{Tenant: c.tenant, Access: c.access}
		if c.what != "" {
			q.Permission = permission(t, c.what)
		}
		for range 2 { // the second is remembered
			permit, d, err := w.Decide(t.Context(), c.p, q)
			if err != nil || d.Allowed != c.want || permit.Valid(c.tenant) != c.want || d.Reason != c.reason || d.Message == "" {
				t.Errorf("%s: %+v, %v; want %t, %s", c.name, d, err, c.want, c.reason)
			}
		}
	}
	if (authz.Permit{}).Valid("") || (authz.Permit{}).Valid(acme) {
		t.Error("the zero permit is valid")
	}
}

func TestRolesComeByGroups(t *testing.T) {
	w := newWorld(t)
	ann := w.user(acme, "ann")
	payments := w.team(acme, "payments")
	ops := w.group(acme, "ops", ann)
	made := w.assign(acme, authz.Assignment{Name: "ops-on-payments", Role: authz.TeamAdmin, Team: payments, Group: ops})
	d := w.decide(ann, acme, "alerts:delete", "payments")
	if !d.Allowed || d.Via != "ops" || d.Role != authz.TeamAdmin || d.PolicyVersion != 1 {
		t.Errorf("%+v", d)
	}
	got, err := w.Explain(t.Context(), acme, ann.User, authz.Query{Tenant: acme, Permission: permission(t, "alerts:delete"), Team: "payments"})
	want := []authz.Link{{Kind: "user", ID: ann.ID, Name: "ann"}, {Kind: "group", ID: string(ops), Name: "ops"},
		{Kind: "assignment", ID: made.ID, Name: "ops-on-payments"}, {Kind: "role", Name: authz.TeamAdmin}, {Kind: "permission", Name: "team/*:*"}}
	if err != nil || !slices.Equal(got.Chain, want) {
		t.Errorf("chain %+v, %v; want %+v", got.Chain, err, want)
	}
	profile, err := w.Profile(t.Context(), ann)
	if err != nil || len(profile.Roles) != 0 || len(profile.Teams) != 1 || profile.Teams[0].Team != "payments" ||
		!slices.Equal(profile.Teams[0].Roles, []string{authz.TeamAdmin}) || profile.Version != w.Version(acme) {
		t.Errorf("profile %+v, %v", profile, err)
	}
	// Leaving the group takes it away, with nothing else changed.
	if err := w.people.RemoveMembers(t.Context(), audit.SystemCause(), acme, ops, []identity.UserID{ann.User}); err != nil {
		t.Fatal(err)
	}
	if profile.Version == w.Version(acme) {
		t.Error("the version stayed when the directory changed")
	}
	if d := w.decide(ann, acme, "alerts:delete", "payments"); d.Allowed {
		t.Errorf("after leaving the group: %+v", d)
	}
	if d, err := w.Explain(t.Context(), acme, ann.User, authz.Query{Tenant: acme, Permission: permission(t, "alerts:delete"), Team: "payments"}); err != nil || d.Allowed || d.Reason != authz.ReasonNoRole {
		t.Errorf("explained: %+v, %v", d, err)
	}
}

// Held counts every role, wherever it is held and however it has come, and costs
// nothing once it is known.
func TestHeldRoles(t *testing.T) {
	w := newWorld(t)
	ann, payments := w.user(acme, "ann"), w.team(acme, "payments")
	held := func(p *identity.Principal, want ...string) {
		t.Helper()
		for range 2 { // found out, and remembered
			if got, err := w.Held(t.Context(), p); err != nil || !slices.Equal(got, want) {
				t.Errorf("%s holds %v, %v; want %v", p.ID, got, err, want)
			}
		}
	}
	held(ann)
	w.assign(acme, authz.Assignment{Name: "a", Role: authz.Viewer, User: ann.User})
	held(ann, authz.Viewer)
	w.assign(acme, authz.Assignment{Name: "b", Role: authz.Owner, Group: w.group(acme, "ops", ann)})
	w.assign(acme, authz.Assignment{Name: "c", Role: authz.TeamAdmin, Team: payments, User: ann.User})
	w.assign(acme, authz.Assignment{Name: "d", Role: authz.Viewer, Group: w.group(acme, "all", ann)})
	held(ann, authz.Owner, authz.TeamAdmin, authz.Viewer)
	if n := testing.AllocsPerRun(100, func() { _, _ = w.Held(t.Context(), ann) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	for _, role := range []string{authz.Admin, "gone"} {
		held(&identity.Principal{Kind: identity.KindAPIToken, Tenant: acme, ID: "tok_1", Role: role}, role)
	}
	held(&identity.Principal{Kind: identity.KindUser, Tenant: globex, ID: ann.ID, User: ann.User}) // is nobody there
	w.activate(ann, false)
	held(ann)
	w.activate(ann, true)
	held(ann, authz.Owner, authz.TeamAdmin, authz.Viewer)
	if err := w.db.Close(); err != nil {
		t.Fatal(err)
	}
	w.people.Refresh(acme, directory.Everybody)
	if got, err := w.Held(t.Context(), ann); !fault.Is(err, fault.Unavailable) || got != nil {
		t.Errorf("without the database: %v, %v", got, err)
	}
}

// TestTeamsNameComesBack: whoever had a role in a deleted team has none in the
// next one of its name.
func TestDecisionsNameThePerson(t *testing.T) {
	w := newWorld(t)
	p := w.user(acme, "mira")
	for _, text := range []string{"billing:read", "billing:read"} { // evaluated, then remembered
		if d := w.decide(p, acme, text, ""); !strings.Contains(d.Subject, "mira") {
			t.Errorf("a record would call her %q", d.Subject)
		}
	}
	w.activate(p, false)
	if d := w.decide(p, acme, "billing:read", ""); d.Reason != authz.ReasonInactive || !strings.Contains(d.Subject, "mira") {
		t.Errorf("deactivated: %+v", d)
	}
}

func TestTeamsNameComesBack(t *testing.T) {
	w := newWorld(t)
	ann := w.user(acme, "ann")
	old := w.team(acme, "payments")
	w.assign(acme, authz.Assignment{Role: authz.TeamAdmin, Team: old, User: ann.User})
	if !w.decide(ann, acme, "alerts:read", "payments").Allowed {
		t.Fatal("not allowed")
	}
	if err := w.people.DeleteTeam(t.Context(), audit.SystemCause(), acme, old, 0); err != nil {
		t.Fatal(err)
	}
	w.team(acme, "payments")
	if d := w.decide(ann, acme, "alerts:read", "payments"); d.Allowed {
		t.Errorf("%+v", d)
	}
}

// TestUnknownTeams: account-wide roles reach teams that only the app knows, and
// however many names somebody tries, they are one remembered decision.
func TestUnknownTeams(t *testing.T) {
	w := newWorld(t)
	ann, bob := w.user(acme, "ann"), w.user(acme, "bob")
	w.assign(acme, authz.Assignment{Role: authz.Viewer, User: ann.User})
	w.assign(acme, authz.Assignment{Role: authz.TeamViewer, Team: w.team(acme, "payments"), User: bob.User})
	for i := range 50 {
		name := fmt.Sprint("unknown-", i)
		d := w.decide(ann, acme, "alerts:read", name)
		if !d.Allowed || strings.Contains(d.Message, name) {
			t.Errorf("%+v", d)
		}
		if w.decide(bob, acme, "alerts:read", name).Allowed {
			t.Error("a team role reaches another team")
		}
	}
	for _, name := range []string{"account", "*", "team:", "Payments"} {
		if w.decide(bob, acme, "alerts:read", name).Allowed {
			t.Errorf("a team role reaches %q", name)
		}
	}
}

func TestPolicyChangesAreVersionedAndJournalled(t *testing.T) {
	w := newWorld(t)
	ann := w.user(acme, "ann")
	cause := audit.Cause{Actor: audit.Actor{Kind: identity.KindUser, ID: "usr_boss", Name: "boss"}}
	role := must[authz.Role](t)(w.PutRole(t.Context(), cause, acme, authz.Role{Name: "auditor", Permissions: []string{"gatehouse.audit:read", "account/billing:read"}}, 0))
	first := must[authz.Assignment](t)(w.Assign(t.Context(), cause, acme, authz.Assignment{Role: "auditor", User: ann.User}))
	again := must[authz.Assignment](t)(w.Assign(t.Context(), cause, acme, authz.Assignment{Name: first.Name, Role: "auditor", User: ann.User}))
	if role.Version != 1 || first.Version != 2 || again.ID != first.ID || again.Version != 2 {
		t.Errorf("role %+v, assignment %+v, again %+v", role, first, again)
	}
	if !w.decide(ann, acme, "billing:read", "").Allowed || !w.decide(ann, acme, "gatehouse.audit:read", "").Allowed || w.decide(ann, acme, "billing:read", "x").Allowed {
		t.Error("the role does not do what it says")
	}
	if err := w.DeleteRole(t.Context(), cause, acme, "auditor", 0); !fault.Is(err, fault.Conflict) {
		t.Errorf("a role in use: %v, want Conflict", err)
	}
	if err := w.Unassign(t.Context(), cause, acme, first.ID); err != nil {
		t.Fatal(err)
	}
	if w.decide(ann, acme, "billing:read", "").Allowed {
		t.Error("allowed after the role was taken away")
	}
	if err := w.DeleteRole(t.Context(), cause, acme, "auditor", 0); err != nil {
		t.Fatal(err)
	}
	versions, err := w.PolicyVersions(t.Context(), acme, 0, 0)
	var ops []string
	for _, v := range versions {
		ops = append(ops, fmt.Sprint(v.Number, v.Change.Op))
		if v.Actor.Name != "boss" || v.At.IsZero() {
			t.Errorf("%+v", v)
		}
	}
	if want := []string{"4role.deleted", "3assignment.deleted", "2assignment.put", "1role.put"}; err != nil || !slices.Equal(ops, want) {
		t.Fatalf("versions %v, %v; want %v", ops, err, want)
	}
	if before := versions[0].Change.RoleBefore; before == nil || !slices.Equal(before.Permissions, role.Permissions) {
		t.Errorf("a deleted role cannot be made again from %+v", versions[0].Change)
	}
	if below, err := w.PolicyVersions(t.Context(), acme, 3, 1); err != nil || len(below) != 1 || below[0].Number != 2 {
		t.Errorf("below 3: %+v, %v", below, err)
	}
	if len(w.journal.events) != 4 || w.journal.events[0].Type != audit.PolicyChanged || w.journal.events[0].Target.ID != "auditor" {
		t.Errorf("events %+v", w.journal.events)
	}
}

// TestWhoGoesTakesTheirRolesAlong: no role outlives whom it was given to or what
// it was given for, and the policy's versions tell whose deletion took it.
func TestWhoGoesTakesTheirRolesAlong(t *testing.T) {
	w := newWorld(t)
	cause := audit.Cause{Actor: audit.Actor{Kind: identity.KindUser, ID: "usr_boss", Name: "boss"}}
	must[authz.Role](t)(w.PutRole(t.Context(), cause, acme, authz.Role{Name: "auditor", Permissions: []string{"billing:read"}}, 0))
	ann, bob := w.user(acme, "ann"), w.user(acme, "bob")
	ops, payments := w.group(acme, "ops", ann), w.team(acme, "payments")
	for _, a := range []authz.Assignment{
		{Name: "of-bob", Role: "auditor", User: bob.User},
		{Name: "of-ops", Role: "auditor", Group: ops},
		{Name: "in-payments", Role: "auditor", Team: payments, User: ann.User},
		{Name: "stays", Role: authz.Viewer, User: ann.User},
	} {
		w.assign(acme, a)
	}
	for _, gone := range []struct {
		assignment string
		remove     func() error
	}{
		{"in-payments", func() error { return w.people.DeleteTeam(t.Context(), cause, acme, payments, 0) }},
		{"of-bob", func() error { return w.people.DeleteUser(t.Context(), cause, acme, bob.User, 0) }},
		{"of-ops", func() error { return w.people.DeleteGroup(t.Context(), cause, acme, ops, 0) }},
	} {
		named := func(a authz.Assignment) bool { return a.Name == gone.assignment }
		if !slices.ContainsFunc(must[[]authz.Assignment](t)(w.Assignments(t.Context(), acme)), named) {
			t.Fatalf("%s is not there", gone.assignment)
		}
		if err := gone.remove(); err != nil {
			t.Fatal(err)
		}
		if all := must[[]authz.Assignment](t)(w.Assignments(t.Context(), acme)); slices.ContainsFunc(all, named) {
			t.Errorf("%s outlives what it names: %+v", gone.assignment, all)
		}
		last := must[[]authz.PolicyVersion](t)(w.PolicyVersions(t.Context(), acme, 0, 1))[0]
		if before := last.Change.AssignmentBefore; last.Change.Op != "assignment.deleted" || before == nil || before.Name != gone.assignment || last.Actor.Name != "boss" {
			t.Errorf("%s: the newest version tells %+v by %+v", gone.assignment, last.Change, last.Actor)
		}
	}
	if all := must[[]authz.Assignment](t)(w.Assignments(t.Context(), acme)); len(all) != 1 || all[0].Name != "stays" {
		t.Errorf("left: %+v", all)
	}
	if err := w.DeleteRole(t.Context(), cause, acme, "auditor", 0); err != nil {
		t.Errorf("nobody has it any more: %v", err)
	}
}

func TestARoleIsChangedAndDeletedAtItsVersionAlone(t *testing.T) {
	w := newWorld(t)
	cause, role := audit.SystemCause(), authz.Role{Name: "auditor", Permissions: []string{"billing:read"}}
	if _, err := w.PutRole(t.Context(), cause, acme, role, 1); !fault.Is(err, fault.Precondition) {
		t.Errorf("a role that is not there: %v", err)
	}
	first := must[authz.Role](t)(w.PutRole(t.Context(), cause, acme, role, 0))
	role.Description = "Looks"
	second := must[authz.Role](t)(w.PutRole(t.Context(), cause, acme, role, first.Version))
	if _, err := w.PutRole(t.Context(), cause, acme, role, first.Version); !fault.Is(err, fault.Precondition) {
		t.Errorf("put again at the old version: %v", err)
	}
	if err := w.DeleteRole(t.Context(), cause, acme, role.Name, first.Version); !fault.Is(err, fault.Precondition) {
		t.Errorf("deleted at the old version: %v", err)
	}
	if err := w.DeleteRole(t.Context(), cause, acme, role.Name, second.Version); err != nil {
		t.Error(err)
	}
}

// TestP1_NoPolicyChangeWithoutRecord: with a journal that refuses, nothing
// changes.
func TestP1_NoPolicyChangeWithoutRecord(t *testing.T) {
	w := newWorld(t)
	ann := w.user(acme, "ann")
	w.journal.broken = errBroken
	if _, err := w.Assign(t.Context(), audit.SystemCause(), acme, authz.Assignment{Role: authz.Owner, User: ann.User}); err == nil {
		t.Error("assigned")
	}
	if _, err := w.PutRole(t.Context(), audit.SystemCause(), acme, authz.Role{Name: "x", Permissions: []string{"*:*"}}, 0); err == nil {
		t.Error("put")
	}
	versions, err := w.PolicyVersions(t.Context(), acme, 0, 0)
	if err != nil || len(versions) != 0 || w.decide(ann, acme, "billing:read", "").Allowed {
		t.Errorf("%+v, %v", versions, err)
	}
}

func TestWhatIsRefused(t *testing.T) {
	w := newWorld(t)
	ann := w.user(acme, "ann")
	payments := w.team(acme, "payments")
	elsewhere := w.user(globex, "eve")
	for _, a := range []authz.Assignment{
		{Role: authz.Owner},
		{Role: authz.Owner, User: ann.User, Group: "grp_x"},
		{Role: "none", User: ann.User},
		{Role: authz.TeamAdmin, User: ann.User},
		{Role: authz.Member, User: ann.User, Team: payments},
		{Role: authz.TeamAdmin, User: ann.User, Team: "tea_none"},
		{Role: authz.Owner, User: "usr_none"},
		{Role: authz.Owner, User: elsewhere.User}, // P3
		{Role: authz.Owner, Group: "grp_none"},
		{Role: authz.Owner, User: ann.User, Name: "Not A Name"},
	} {
		if _, err := w.Assign(t.Context(), audit.SystemCause(), acme, a); !fault.Is(err, fault.Invalid) && !fault.Is(err, fault.NotFound) {
			t.Errorf("%+v: %v", a, err)
		}
	}
	for _, r := range []authz.Role{
		{Name: "", Permissions: []string{"a:b"}},
		{Name: authz.Owner, Permissions: []string{"a:b"}},
		{Name: "x"},
		{Name: "x", Permissions: []string{"a"}},
		{Name: "x", Permissions: []string{"a:b c"}},
		{Name: "x", Permissions: []string{"teams/a:b"}},
		{Name: "x", Permissions: []string{"a*:b"}},
		{Name: "x", Permissions: make([]string, 201)},
		{Name: "x", Permissions: []string{"a:b"}, Description: strings.Repeat("x", 501)},
	} {
		if _, err := w.PutRole(t.Context(), audit.SystemCause(), acme, r, 0); !fault.Is(err, fault.Invalid) && !fault.Is(err, fault.Conflict) {
			t.Errorf("%+v: %v", r, err)
		}
	}
	for name, kind := range map[string]fault.Kind{authz.Viewer: fault.Conflict, "none": fault.NotFound} {
		if err := w.DeleteRole(t.Context(), audit.SystemCause(), acme, name, 0); !fault.Is(err, kind) {
			t.Errorf("delete %s: %v", name, err)
		}
	}
	if err := w.Unassign(t.Context(), audit.SystemCause(), acme, "asg_none"); !fault.Is(err, fault.NotFound) {
		t.Errorf("%v", err)
	}
	if len(w.journal.events) != 0 {
		t.Errorf("journalled what did not happen: %+v", w.journal.events)
	}
}

func TestLastOwnerStays(t *testing.T) {
	w := newWorld(t)
	ann, bob := w.user(acme, "ann"), w.user(acme, "bob")
	mine := w.assign(acme, authz.Assignment{Name: "ann-owns", Role: authz.Owner, User: ann.User})
	lastOwner := func(when string) {
		t.Helper()
		err := w.Unassign(t.Context(), audit.SystemCause(), acme, mine.ID)
		if !fault.Is(err, fault.Conflict) || fault.As(err).Code != "last-owner" {
			t.Errorf("%s: %v, want the last owner to stay", when, err)
		}
		if _, err := w.Assign(t.Context(), audit.SystemCause(), acme, authz.Assignment{Name: "ann-owns", Role: authz.Viewer, User: ann.User}); !fault.Is(err, fault.Conflict) {
			t.Errorf("%s: replaced: %v, want Conflict", when, err)
		}
	}
	lastOwner("alone")
	w.activate(bob, false)
	ops := w.group(acme, "ops", bob)
	w.assign(acme, authz.Assignment{Role: authz.Owner, Group: ops})
	w.assign(acme, authz.Assignment{Role: authz.Owner, User: bob.User})
	lastOwner("with an inactive one")
	w.activate(bob, true)
	mine = w.assign(acme, authz.Assignment{Name: "ann-owns", Role: authz.Viewer, User: ann.User})
	if err := w.Unassign(t.Context(), audit.SystemCause(), acme, mine.ID); err != nil {
		t.Error(err)
	}
}

func TestNobodyGivesWhatTheyLack(t *testing.T) {
	w := newWorld(t)
	payments := w.team(acme, "payments")
	w.team(acme, "search")
	who := map[string]*identity.Principal{
		"operator": {Kind: identity.KindOperator, Tenant: identity.Platform},
		"nobody":   nil,
		"token":    {Kind: identity.KindAPIToken, Tenant: acme, ID: "tok_1", Role: authz.Member},
		"globex":   w.user(globex, "eve"),
	}
	w.assign(globex, authz.Assignment{Role: authz.Owner, User: who["globex"].User})
	for _, role := range []string{authz.Owner, authz.Admin, authz.Member, authz.TeamAdmin} {
		who[role] = w.user(acme, role)
		a := authz.Assignment{Role: role, User: who[role].User}
		if role == authz.TeamAdmin {
			a.Team = payments
		}
		w.assign(acme, a)
	}
	must[authz.Role](t)(w.PutRole(t.Context(), audit.SystemCause(), acme, authz.Role{Name: "billing", Permissions: []string{"account/billing:read"}}, 0))
	for _, c := range []struct {
		who, role, team string
		want            bool
	}{
		{"operator", authz.Owner, "", true},
		{authz.Owner, authz.Owner, "", true},
		{authz.Owner, "billing", "", true},
		{authz.Admin, authz.Admin, "", true},
		{authz.Admin, authz.Member, "", true},
		{authz.Admin, authz.TeamAdmin, "payments", true},
		{authz.Admin, authz.Owner, "", false},
		{authz.Admin, "billing", "", false},
		{authz.Member, authz.Viewer, "", true},
		{authz.Member, authz.TeamMember, "search", true},
		{authz.Member, authz.Admin, "", false},
		{authz.Member, authz.TeamAdmin, "payments", false},
		{"token", authz.Member, "", true},
		{"token", authz.Admin, "", false},
		{authz.TeamAdmin, authz.TeamAdmin, "payments", true},
		{authz.TeamAdmin, authz.TeamViewer, "search", false},
		{authz.TeamAdmin, authz.Viewer, "", false},
		{"nobody", authz.Viewer, "", false},
		{"globex", authz.Viewer, "", false}, // P3
	} {
		err := w.MayGrant(t.Context(), who[c.who], acme, c.role, c.team)
		if (err == nil) != c.want || err != nil && !fault.Is(err, fault.Denied) {
			t.Errorf("%s gives %s in %q: %v, want allowed %t", c.who, c.role, c.team, err, c.want)
		}
	}
	for permission, want := range map[string]bool{"team/alerts:delete": true, "gatehouse.users:read": true, "gatehouse.*:*": true, "alerts:read": false, "*:*": false, "account/*:read": false} {
		err := w.MayDefine(t.Context(), who[authz.Admin], acme, authz.Role{Name: "x", Permissions: []string{permission}})
		if (err == nil) != want {
			t.Errorf("an admin defines %s: %v, want allowed %t", permission, err, want)
		}
	}
	for _, c := range [][2]string{{"none", ""}, {authz.TeamAdmin, "none"}} {
		if err := w.MayGrant(t.Context(), who[authz.Owner], acme, c[0], c[1]); !fault.Is(err, fault.NotFound) {
			t.Errorf("%v: %v, want NotFound", c, err)
		}
	}
}

func TestDefaultRoleIsGivenOnce(t *testing.T) {
	w := newWorld(t)
	ann := w.user(acme, "ann")
	for range 2 {
		if err := w.GrantDefault(t.Context(), audit.SystemCause(), acme, ann.User, authz.Member); err != nil {
			t.Fatal(err)
		}
	}
	all, err := w.Assignments(t.Context(), acme)
	if err != nil || len(all) != 1 || all[0].Role != authz.Member || all[0].User != ann.User {
		t.Errorf("%+v, %v", all, err)
	}
	// What would be refused is known before there is anybody to refuse it to.
	for role, ok := range map[string]bool{authz.Member: true, "none": false, authz.TeamAdmin: false} {
		given, foreseen := w.GrantDefault(t.Context(), audit.SystemCause(), acme, ann.User, role), w.CheckDefault(t.Context(), acme, role)
		if (given == nil) != ok || (foreseen == nil) != ok {
			t.Errorf("%s: given %v, foreseen %v", role, given, foreseen)
		}
	}
}

// TestTenantsInMemoryAreBounded, and one that was dropped answers the same.
func TestTenantsInMemoryAreBounded(t *testing.T) {
	w := newWorld(t)
	ann, eve := w.user(acme, "ann"), w.user(globex, "eve")
	w.assign(acme, authz.Assignment{Role: authz.Owner, User: ann.User})
	w.Engine = authz.New(authz.Config{Store: w.db, Journal: w.journal, People: w.people, MaxTenants: 1})
	for range 3 {
		if !w.decide(ann, acme, "billing:read", "").Allowed || w.decide(eve, globex, "billing:read", "").Allowed {
			t.Error("another answer after the policy was read again")
		}
		if n := w.Kept(); n != 1 {
			t.Errorf("%d tenants kept, want 1", n)
		}
	}
	before := w.Version(globex)
	w.Forget(globex)
	if w.Kept() != 0 || w.Version(globex) == before {
		t.Error("forgotten, and yet there")
	}
}

// TestP7_NoPolicyNoPermit: when the policy or the person cannot be read, there
// is an error and no permit.
func TestP7_NoPolicyNoPermit(t *testing.T) {
	w := newWorld(t)
	ann := w.user(acme, "ann")
	w.assign(acme, authz.Assignment{Role: authz.Owner, User: ann.User})
	w.Forget(acme)
	q := authz.Query{Tenant: acme, Permission: permission(t, "billing:read")}
	check := func(what string, e *authz.Engine) {
		t.Helper()
		permit, d, err := e.Decide(t.Context(), ann, q)
		if err == nil || permit.Valid(acme) || d.Allowed {
			t.Errorf("%s: %+v, %v", what, d, err)
		}
	}
	check("people", authz.New(authz.Config{Store: w.db, Journal: w.journal, People: brokenPeople{}}))
	if err := w.db.Close(); err != nil {
		t.Fatal(err)
	}
	check("store", w.Engine)
}

type brokenPeople struct{}

func (brokenPeople) Person(context.Context, identity.TenantID, identity.UserID) (identity.Person, error) {
	return identity.Person{}, errBroken
}
func (brokenPeople) Version(identity.TenantID) uint64 { return 1 }

var _ authz.People = (*directory.Service)(nil)

// Whoever needs the policy while a change of it hangs gets an answer, and other
// tenants notice nothing.
func TestP7_AChangeThatHangsHoldsNobodyUp(t *testing.T) {
	w := newWorld(t)
	w.team(acme, "payments")
	ann, gil := w.user(acme, "ann"), w.user(globex, "gil")
	holding, release := make(chan struct{}), make(chan struct{})
	w.journal.hold = func() { close(holding); <-release }
	changed := make(chan error, 1)
	go func() {
		_, err := w.Assign(context.Background(), audit.SystemCause(), acme, authz.Assignment{Role: authz.Viewer, User: ann.User})
		changed <- err
	}()
	<-holding
	w.decide(gil, globex, "alerts:read", "")

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	answers := make(chan error, 2)
	go func() {
		_, _, err := w.Decide(ctx, ann, authz.Query{Tenant: acme, Permission: permission(t, "alerts:read")})
		answers <- err
	}()
	go func() {
		_, err := w.Assign(ctx, audit.SystemCause(), acme, authz.Assignment{Role: authz.Member, User: ann.User})
		answers <- err
	}()
	for range 2 {
		select {
		case err := <-answers:
			if !fault.Is(err, fault.Unavailable) {
				t.Errorf("%v, want Unavailable", err)
			}
		case <-time.After(2 * time.Minute):
			t.Error("no answer")
		}
	}
	w.journal.hold = nil
	close(release)
	if err := <-changed; err != nil {
		t.Error(err)
	}
	if d := w.decide(ann, acme, "alerts:read", "payments"); !d.Allowed {
		t.Errorf("the change that hung is not in force: %+v", d)
	}
}

// The journal alone says who was made what, and by which change.
func TestTheJournalTellsWhatAChangeOfThePolicyDid(t *testing.T) {
	w := newWorld(t)
	kept, err := audit.Open(audit.Options{Dir: t.TempDir(), Node: "n1", Keys: keys{}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := kept.Close(); err != nil {
			t.Error(err)
		}
	})
	engine := authz.New(authz.Config{Store: w.db, Journal: kept, People: w.people})
	ann, payments := w.user(acme, "ann"), w.team(acme, "payments")
	ops := w.group(acme, "Ops", ann)
	by := audit.Cause{Actor: audit.Actor{Kind: identity.KindUser, ID: "usr_boss", Name: "boss"}}
	put := func(permissions ...string) {
		must[authz.Role](t)(engine.PutRole(t.Context(), by, acme, authz.Role{Name: "auditor", Permissions: permissions}, 0))
	}
	put("billing:read", "logs:read")
	put("billing:read", "logs:write")
	must[authz.Assignment](t)(engine.Assign(t.Context(), by, acme, authz.Assignment{Name: "lead", Role: authz.TeamAdmin, Team: payments, Group: ops}))
	made := must[authz.Assignment](t)(engine.Assign(t.Context(), by, acme, authz.Assignment{Name: "lead", Role: authz.Owner, User: ann.User}))
	must[authz.Assignment](t)(engine.Assign(t.Context(), by, acme, authz.Assignment{Name: "second", Role: authz.Owner, Group: ops}))
	for _, err := range []error{engine.Unassign(t.Context(), by, acme, made.ID), engine.DeleteRole(t.Context(), by, acme, "auditor", 0)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	user, group, team := string(ann.User), string(ops), string(payments)
	want := []map[string]string{
		{"change": "role.put", "version": "1", "role": "auditor", "permissions": "billing:read logs:read"},
		{"change": "role.put", "version": "2", "role": "auditor", "permissions": "billing:read logs:write", "added": "logs:write", "removed": "logs:read"},
		{"change": "assignment.put", "version": "3", "assignment": "lead", "role": "team_admin", "team": team, "team_name": "payments",
			"subject_kind": "group", "subject": group, "subject_name": "Ops"},
		{"change": "assignment.put", "version": "4", "assignment": "lead", "role": "owner", "subject_kind": "user", "subject": user, "subject_name": "ann",
			"role_before": "team_admin", "team_before": team, "team_name_before": "payments",
			"subject_kind_before": "group", "subject_before": group, "subject_name_before": "Ops"},
		{"change": "assignment.put", "version": "5", "assignment": "second", "role": "owner", "subject_kind": "group", "subject": group, "subject_name": "Ops"},
		{"change": "assignment.deleted", "version": "6", "assignment": "lead", "role": "owner", "subject_kind": "user", "subject": user, "subject_name": "ann"},
		{"change": "role.deleted", "version": "7", "role": "auditor", "permissions": "billing:read logs:write"},
	}
	var got []map[string]string
	for e, err := range kept.All(t.Context(), acme) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Type != audit.PolicyChanged || e.Actor.Name != "boss" || e.Reason != e.Details["change"] {
			t.Errorf("%+v", e)
		}
		got = append(got, e.Details)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("the journal tells\n%v, want\n%v", got, want)
	}
	versions := must[[]authz.PolicyVersion](t)(engine.PolicyVersions(t.Context(), acme, 0, 1))
	if versions[0].Number != 7 || versions[0].Change.Op != "role.deleted" {
		t.Errorf("the newest version: %+v", versions[0])
	}
}
