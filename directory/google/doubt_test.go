package google_test

import (
	"slices"
	"strings"
	"testing"

	"gatehouse/directory/google"
	"gatehouse/directory/google/googletest"
)

// lies has an answer whose path ends so be another one, so many times (-1: always).
func (h *house) lies(suffix, answer string, times int) {
	h.google.Mangle(func(path string, body []byte) []byte {
		if times == 0 || !strings.HasSuffix(path, suffix) {
			return body
		}
		times--
		return []byte(answer)
	})
}

const noMembers = `{"kind":"admin#directory#members"}`

// A list that Google has lost looks like that of an empty group: the group's own count says
// which it is, also where the list breaks off behind a page.
func TestAnEmptyListEmptiesNoGroup(t *testing.T) {
	h := newHouse(t)
	h.google.PageSize = 2
	h.staff(3)
	h.google.SetGroup("201", "all@acme.example", "All", "1000", "1001", "1002")
	h.a.put(google.Settings{})
	h.a.reads(google.SyncCounts{People: 3, Created: 3, Groups: 1, GroupsChanged: 1, MembersAdded: 3})
	for _, answer := range []string{noMembers, `{"kind":"admin#directory#members","members":[]}`, `{"kind":"admin#directory#members","members":null}`} {
		h.lies("/members", answer, -1)
		h.a.reads(google.SyncCounts{People: 3, Groups: 1, Skipped: 1})
	}
	pages := 0
	h.google.Mangle(func(path string, body []byte) []byte {
		if strings.HasSuffix(path, "/members") {
			if pages++; pages == 2 {
				return []byte(noMembers)
			}
		}
		return body
	})
	h.a.reads(google.SyncCounts{People: 3, Groups: 1, Skipped: 1})
	// A count that is missing agrees with nothing.
	h.google.Mangle(func(path string, body []byte) []byte {
		switch {
		case strings.HasSuffix(path, "/members"):
			return []byte(noMembers)
		case strings.HasSuffix(path, "/groups/201"):
			return []byte(`{"kind":"admin#directory#group","id":"201","email":"all@acme.example"}`)
		}
		return body
	})
	h.a.reads(google.SyncCounts{People: 3, Groups: 1, Skipped: 1})
	if s := h.a.status().Skipped; len(s) != 1 || s[0].Email != "all@acme.example" || !strings.Contains(s[0].Reason, "stays as it is") {
		t.Errorf("%+v", s)
	}
	// Members of no type are not passed over.
	h.lies("/members", `{"kind":"admin#directory#members","members":[{"id":"1000"}]}`, -1)
	h.a.fails("google-answer-unknown")
	h.a.hasGroups("All: P 000 P 001 P 002")
	h.google.Mangle(nil)
	h.google.SetGroup("201", "all@acme.example", "All")
	h.a.reads(google.SyncCounts{People: 3, Groups: 1, MembersRemoved: 3})
	h.a.hasGroups("All:")
}

// Who is in the groups that were chosen, in one within them too, has not left because a list
// does not say so: Google is asked about each, and whom it does not tell of is looked for
// in the lists once more.
func TestAnEmptyListLetsNobodyLeaveChosenGroups(t *testing.T) {
	h := newHouse(t)
	h.staff(4)
	h.google.SetGroup("203", "inner@acme.example", "Inner", "1001", "1002")
	h.google.SetGroup("201", "app@acme.example", "App", "1000", "203")
	h.a.put(google.Settings{Groups: []string{"app@acme.example"}})
	h.a.reads(google.SyncCounts{People: 3, Created: 3, Groups: 2, GroupsChanged: 2, MembersAdded: 4})
	all, groups := h.a.people(), h.a.groups()
	same := func() {
		t.Helper()
		h.a.has(all...)
		h.a.hasGroups(groups...)
	}
	h.lies("/members", noMembers, -1)
	h.a.fails("google-answer-unknown")
	same()
	short := `{"kind":"admin#directory#members","members":[{"id":"1000","type":"USER"}]}`
	h.google.Asked()
	h.lies("/members", short, 1)
	if o := h.a.read(); o.Result != google.Done || o.Counts.Deactivated != 0 {
		t.Errorf("%+v", o)
	}
	same()
	if !slices.Contains(h.google.Asked(), "/admin/directory/v1/groups/app@acme.example/hasMember/1002") {
		t.Error("Google was not asked whether they are members")
	}
	h.google.Foreign = map[string]bool{"1001": true, "1002": true}
	h.lies("/members", short, 1)
	if o := h.a.read(); o.Result != google.Done || o.Counts.Deactivated != 0 {
		t.Errorf("%+v", o)
	}
	same()
	h.google.Foreign = nil
	h.google.SetGroup("203", "inner@acme.example", "Inner", "1001")
	h.lies("/hasMember/1002", `{}`, -1)
	h.a.fails("google-answer-unknown")
	h.google.Mangle(nil)
	if o := h.a.read(); o.Result != google.Done || o.Counts.Deactivated != 1 {
		t.Errorf("%+v", o)
	}
	h.a.has("-p002@acme.example", "p000@acme.example", "p001@acme.example")
}

// A field that is missing says nothing, and somebody else's 404 is not Google's.
func TestWhatIsNotSaidIsNotGone(t *testing.T) {
	h := newHouse(t)
	for id, name := range map[string]string{"101": "ada", "102": "bob", "103": "cid"} {
		h.google.SetUser(id, name+"@acme.example", object{"orgUnitPath": "/Sales", "relations": []object{{"type": "manager", "value": "ada@acme.example"}}})
	}
	h.google.SetUser("102", "bob@acme.example", object{"suspended": true})
	h.a.put(google.Settings{OrgUnits: []string{"/Sales"}})
	h.a.reads(google.SyncCounts{People: 3, Created: 3})
	cid := string(h.a.person("cid@acme.example").Attributes)
	h.google.Mangle(func(path string, body []byte) []byte { // its tests are of JSON without spaces
		return []byte(strings.NewReplacer(`"orgUnitPath":"/Sales",`, "", `"suspended":true`, `"suspended":null`).Replace(string(body)))
	})
	h.a.reads(google.SyncCounts{People: 3, Skipped: 3})
	h.google.Mangle(func(path string, body []byte) []byte {
		return []byte(strings.NewReplacer(`,"suspended":true`, "").Replace(string(body)))
	})
	h.a.reads(google.SyncCounts{People: 3, Skipped: 1})
	h.a.has("-bob@acme.example", "ada@acme.example", "cid@acme.example")
	if now := string(h.a.person("cid@acme.example").Attributes); now != cid {
		t.Errorf("%s was %s", now, cid)
	}
	h.google.Mangle(nil)
	h.google.DeleteUser("103")
	for _, f := range []googletest.Failure{{Status: 404, Reason: "notFound", Foreign: true}, {Status: 404, Reason: "other"}} {
		h.google.Before(func(path string) {
			if strings.HasSuffix(path, "/users/103") {
				h.google.Fail(f)
			}
		})
		h.a.fails("google-answer-unknown")
	}
	h.google.Before(nil)
	h.a.reads(google.SyncCounts{People: 2, Deactivated: 1})
}
