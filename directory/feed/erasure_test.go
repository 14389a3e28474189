package feed_test

import (
	"strings"
	"testing"

	"gatehouse/directory"
	"gatehouse/directory/feed"
	"gatehouse/internal/store"
)

// Who is erased is told to be gone, and not by name.
func TestWhoIsErasedHasNoName(t *testing.T) {
	h := newHouse(t, 0)
	n := h.a
	from := n.begin()
	ada, err := n.CreateUser(t.Context(), admin, n.tenant, directory.User{UserName: "ada@acme.example", ExternalID: "x-ada", Active: true, Source: directory.SourceSCIM})
	must(t, err)
	bob := n.person("bob@acme.example")
	must(t, n.DeleteUser(t.Context(), admin, n.tenant, ada.ID, 0))
	must(t, n.DeleteUser(t.Context(), admin, n.tenant, bob.ID, 0))
	if all, _ := n.since(from); !strings.Contains(text(t, all), "ada@acme") {
		t.Fatalf("told before: %s", text(t, all))
	}
	must(t, n.db.Tenant(n.tenant).Write(t.Context(), func(tx *store.Tx) error { return feed.Erase(t.Context(), tx, ada.ID) }))
	all, _ := n.since(from)
	if got := text(t, all); strings.Contains(got, "ada@acme") || strings.Contains(got, "x-ada") || !strings.Contains(got, string(ada.ID)) || !strings.Contains(got, "bob@acme") {
		t.Errorf("told: %s", got)
	}
}
