package google_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"gatehouse/directory/google"
	"gatehouse/directory/google/googletest"
)

func TestATestChangesNothing(t *testing.T) {
	h := newHouse(t)
	h.staff(12)
	h.google.SetGroup("201", "all@acme.example", "All", "1000")
	found, err := h.a.google.Try(t.Context(), h.tenant, google.Settings{Admin: h.google.Admin}, h.google.Key())
	must(t, err)
	if len(found.People) != 10 || found.People[0].Name != "P 000" || len(found.Groups) != 1 || !found.People[0].Active {
		t.Errorf("%+v", found)
	}
	h.a.has()
	if _, err := h.a.google.Try(t.Context(), h.tenant, google.Settings{Admin: h.google.Admin}, nil); err == nil {
		t.Error("tried without a key")
	}
	if _, err := h.a.google.Try(t.Context(), h.tenant, google.Settings{Admin: h.google.Admin, Groups: []string{"none@acme.example"}}, h.google.Key()); err == nil || !strings.Contains(err.Error(), "none@acme.example") {
		t.Error(err)
	}
	h.google.Delegate(false)
	if _, err := h.a.google.Try(t.Context(), h.tenant, google.Settings{Admin: h.google.Admin}, h.google.Key()); err == nil || !strings.Contains(err.Error(), "google-not-delegated") {
		t.Error(err)
	}
}

// tries gives whom a test finds by these settings.
func (n *node) tries(set google.Settings) (people []string, found google.SyncPreview) {
	n.t.Helper()
	set.Admin = n.house.google.Admin
	found, err := n.google.Try(n.t.Context(), n.tenant, set, n.house.google.Key())
	must(n.t, err)
	for _, p := range found.People {
		people = append(people, p.Email)
	}
	return people, found
}

// What a test shows is what a reading brings.
func TestATestTellsWhoWouldBeBrought(t *testing.T) {
	h := newHouse(t)
	h.google.PageSize = 3
	h.staff(20)
	h.google.SetUser("2001", "sales@acme.example", object{"orgUnitPath": "/Sales"})
	h.google.SetUser("2002", "zoe@acme.example", object{"orgUnitPath": "/Sales"})
	h.google.SetGroup("203", "inner@acme.example", "Inner", "2002", "1019")
	h.google.SetGroup("201", "app@acme.example", "App", "999", "1018", "203") // 999 is of another account
	h.google.SetGroup("203", "inner@acme.example", "Inner", "2002", "1019", "201")
	for name, c := range map[string]struct {
		set  google.Settings
		want []string
	}{
		"a unit whose people come late": {google.Settings{OrgUnits: []string{"/Sales"}}, []string{"sales@acme.example", "zoe@acme.example"}},
		"a group and the groups in it":  {google.Settings{Groups: []string{"app@acme.example"}}, []string{"p018@acme.example", "p019@acme.example", "zoe@acme.example"}},
		"a unit within a group":         {google.Settings{Groups: []string{"app@acme.example"}, OrgUnits: []string{"/Sales"}}, []string{"zoe@acme.example"}},
	} {
		people, found := h.a.tries(c.set)
		if slices.Sort(people); !slices.Equal(people, c.want) || found.Partial {
			t.Errorf("%s: %q, want %q; %+v", name, people, c.want, found)
		}
	}
	h.a.put(google.Settings{Groups: []string{"app@acme.example"}})
	h.a.read()
	h.a.has("p018@acme.example", "p019@acme.example", "zoe@acme.example")
	h.google.SetGroup("202", "void@acme.example", "Void")
	if people, _ := h.a.tries(google.Settings{Groups: []string{"void@acme.example"}}); people != nil {
		t.Errorf("%q of a group without members", people)
	}
}

// A test ends soon, and tells that it has not seen all.
func TestATestIsBounded(t *testing.T) {
	h := newHouse(t)
	h.google.PageSize = 1
	h.staff(40)
	members := make([]string, 40)
	for i := range members {
		members[i] = fmt.Sprintf("1%03d", i)
	}
	h.google.SetGroup("201", "all@acme.example", "All", members...)
	for _, set := range []google.Settings{{OrgUnits: []string{"/None"}}, {OrgUnits: []string{"/None"}, Groups: []string{"all@acme.example"}}} {
		h.google.Asked()
		if people, found := h.a.tries(set); people != nil || !found.Partial {
			t.Errorf("%+v", found)
		}
		if asked := h.google.Asked(); len(asked) > 45 {
			t.Errorf("%d questions", len(asked))
		}
	}
	if _, found := h.a.tries(google.Settings{}); len(found.People) != 10 || found.Partial {
		t.Errorf("%+v", found)
	}
}

// A reading needs the right to read members, whatever is set, and an answer.
func TestATestTriesEveryRight(t *testing.T) {
	h := newHouse(t)
	h.staff(1)
	h.google.SetGroup("201", "app@acme.example", "App", "1000")
	for _, groups := range [][]string{nil, {"app@acme.example"}} {
		for part, code := range map[string]string{"/members": "google-forbidden", "/groups": "google-forbidden", "/users": "google-forbidden"} {
			h.google.Before(func(path string) {
				if strings.HasSuffix(path, part) {
					h.google.Fail(googletest.Failure{Status: http.StatusForbidden, Reason: "forbidden"})
				}
			})
			if part == "/groups" && groups != nil {
				continue // the list of all is not read
			}
			_, err := h.a.google.Try(t.Context(), h.tenant, google.Settings{Admin: h.google.Admin, Groups: groups}, h.google.Key())
			if err == nil || !strings.Contains(err.Error(), code) {
				t.Errorf("%s, groups %q: %v", part, groups, err)
			}
		}
	}
	h.google.Before(nil)
	h.google.Fail(googletest.Failure{Status: http.StatusServiceUnavailable})
	if _, err := h.a.google.Try(t.Context(), h.tenant, google.Settings{Admin: h.google.Admin}, h.google.Key()); err == nil || !strings.Contains(err.Error(), "google-unreachable") {
		t.Errorf("Google gave no answer: %v", err)
	}
}
