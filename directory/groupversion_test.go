package directory_test

import (
	"testing"

	"gatehouse/directory"
	"gatehouse/identity"
)

// TestAGroupsVersionMovesWithWhoSignsIn: a sign-in moves the version of the groups that it
// brings somebody into or takes them out of, and of no other.
func TestAGroupsVersionMovesWithWhoSignsIn(t *testing.T) {
	b := newBench(t)
	signIn := func(subject string, groups ...string) directory.User {
		in := okta(subject, subject+"@acme.example")
		in.Groups = groups
		return b.signIn(t, in)
	}
	is := func(what string, want map[string]uint64) {
		t.Helper()
		all, err := b.Groups(t.Context(), b.tenant, directory.GroupQuery{Count: 10})
		must(t, err)
		for _, g := range all.Items {
			if g.Version != want[g.DisplayName] {
				t.Errorf("%s: %s has version %d, want %d", what, g.DisplayName, g.Version, want[g.DisplayName])
			}
		}
		if len(all.Items) != len(want) {
			t.Errorf("%s: %d groups", what, len(all.Items))
		}
	}
	ada := signIn("ada", "ops", "dev")
	is("who makes them", map[string]uint64{"ops": 1, "dev": 1})
	signIn("bob", "ops")
	is("who comes", map[string]uint64{"ops": 2, "dev": 1})
	signIn("bob", "ops")
	is("who stays", map[string]uint64{"ops": 2, "dev": 1})
	signIn("bob", "dev")
	is("who goes over", map[string]uint64{"ops": 3, "dev": 2})
	_, err := b.Unlink(t.Context(), cause, b.tenant, ada.ID, "con_okta", "ada")
	must(t, err)
	is("who has no identity any more", map[string]uint64{"ops": 4, "dev": 3})
	must(t, b.DropConnection(t.Context(), cause, b.tenant, identity.ConnectionID("con_okta")))
	is("a connection that is gone", map[string]uint64{"ops": 4, "dev": 4})
}
