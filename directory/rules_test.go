package directory_test

import (
	"context"
	"fmt"
	"testing"

	"gatehouse/audit"
	"gatehouse/directory"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/internal/store"
)

// A group is left with the rule that has put somebody there, and not by whom the
// provider itself, or an admin, has put there.
func TestARuleThatGoesTakesItsMembersAlong(t *testing.T) {
	b := newBench(t)
	arrive := func(subject string, groups []string, rules map[string]bool) directory.User {
		in := okta(subject, subject+"@acme.example")
		in.Groups, in.Rules = groups, rules
		return b.signIn(t, in)
	}
	both := map[string]bool{"finance": true, "tax": true}
	ruled, named := arrive("ruled", nil, both), arrive("named", []string{"Finance"}, both)
	// Said by a rule at first, and then by the provider; and the other way round.
	arrive("later", nil, both)
	later := arrive("later", []string{"finance"}, both)
	arrive("before", []string{"finance"}, both)
	before := arrive("before", []string{}, both)
	appointed := b.create(t, directory.User{UserName: "appointed", Active: true, Source: directory.SourceAdmin})
	for _, g := range ruled.Groups {
		must(t, b.AddMembers(t.Context(), cause, b.tenant, g.ID, []identity.UserID{appointed.ID}))
	}
	elsewhere := okta("elsewhere", "elsewhere@acme.example")
	elsewhere.Connection, elsewhere.Rules = "con_other", map[string]bool{"sales": true}
	other := b.signIn(t, elsewhere)
	want := func(u directory.User, groups string) {
		t.Helper()
		is, err := b.User(t.Context(), b.tenant, u.ID)
		must(t, err)
		if got := groupNames(is.Groups); got != groups {
			t.Errorf("%s is in %q, want %q", u.UserName, got, groups)
		}
	}
	b.took()
	version := b.Version(b.tenant)
	must(t, b.DropRules(t.Context(), cause, b.tenant, "con_okta", []string{"TAX"}))
	wantSteps(t, b, "journal group.changed")
	if e := b.lastEvent(); e.Reason != "rule-ended" || e.Connection != "con_okta" || e.Details["removed"] != "2" || e.Target.Name != "Finance" && e.Target.Name != "finance" {
		t.Errorf("recorded %+v", e)
	}
	if b.Version(b.tenant) == version {
		t.Error("decisions go by who people were")
	}
	want(ruled, "tax")
	want(before, "tax")
	want(named, "finance,tax")
	want(later, "finance,tax")
	want(appointed, "finance,tax")
	want(other, "sales")
	must(t, b.DropRules(t.Context(), cause, b.tenant, "con_okta", []string{"tax"}))
	wantSteps(t, b) // there is nothing left to do

	// Where the change could not do so, the next sign-in does.
	want(arrive("ruled", nil, nil), "")
	want(arrive("named", nil, nil), "finance")
	left := okta("before", "before@acme.example")
	left.Unsaid = []string{"tax"}
	want(b.signIn(t, left), "tax")
}

// All groups of a connection that is deleted are emptied, however many there are, and
// stay.
func TestAConnectionThatGoesEmptiesItsGroups(t *testing.T) {
	b := newBench(t)
	in := okta("s1", "ada@acme.example")
	for i := range 230 {
		in.Groups = append(in.Groups, fmt.Sprintf("group %03d", i))
	}
	in.Rules = map[string]bool{"finance": true}
	ada := b.signIn(t, in)
	in.Connection, in.Groups, in.Rules = "con_other", []string{"others"}, nil
	in.Subject, in.Email = "s2", "bob@acme.example"
	bob := b.signIn(t, in)
	b.took()
	must(t, b.DropConnection(t.Context(), cause, b.tenant, "con_okta"))
	if n := len(b.took()); n != 231 {
		t.Errorf("%d records", n)
	}
	for u, want := range map[identity.UserID]string{ada.ID: "", bob.ID: "others"} {
		is, err := b.User(t.Context(), b.tenant, u)
		must(t, err)
		if got := groupNames(is.Groups); got != want {
			t.Errorf("%s is in %q", is.UserName, got)
		}
	}
	page, err := b.Groups(t.Context(), b.tenant, directory.GroupQuery{})
	must(t, err)
	if page.Total != 232 {
		t.Errorf("%d groups are left", page.Total)
	}
}

// A sign-in that was verified before a rule went does not bring its group back, whether
// it would put somebody there or say who else has.
func TestNobodyIsPutBackByRulesThatAreGone(t *testing.T) {
	b := newBench(t)
	write := func(text string, args ...any) {
		t.Helper()
		must(t, b.db.Tenant(b.tenant).Write(t.Context(), func(tx *store.Tx) error {
			_, err := tx.Exec(t.Context(), text, args...)
			return err
		}))
	}
	version := func(v int) {
		t.Helper()
		write(`INSERT INTO connections (id, name, type, spec, enabled, version, created_at, updated_at)
			VALUES ('con_okta', 'okta', 'oidc', '{}', TRUE, $1, 0, 0) ON CONFLICT (id) DO UPDATE SET version = excluded.version`, v)
	}
	version(1)
	in := okta("s1", "ada@acme.example")
	in.Version = 1
	ada := b.signIn(t, in)
	want := func(groups string) {
		t.Helper()
		is, err := b.User(t.Context(), b.tenant, ada.ID)
		must(t, err)
		if got := groupNames(is.Groups); got != groups {
			t.Errorf("in %q, want %q", got, groups)
		}
	}
	overtaken := func(of audit.Type, by func()) {
		t.Helper()
		b.onCommit = func(e audit.Event) { // the sign-in was planned
			if e.Type == of && e.Outcome == audit.Success {
				by()
			}
		}
		_, _, err := b.SignIn(context.WithoutCancel(t.Context()), cause, b.tenant, in)
		b.onCommit = nil
		wantFault(t, err, fault.Denied, "connection-changed")
	}
	in.Rules = map[string]bool{"finance": true}
	overtaken(audit.GroupCreated, func() { version(2) })
	want("")
	in.Version = 2
	b.signIn(t, in)
	want("finance")

	// By the provider itself as well from now on, says a sign-in of before.
	in.Groups, in.Name = []string{"finance"}, "Ada Lovelace"
	overtaken(audit.UserChanged, func() {
		version(3)
		write(`DELETE FROM group_members WHERE ruled`)
	})
	want("")
	in.Version = 3
	b.signIn(t, in)
	want("finance")
}
