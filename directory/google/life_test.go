package google_test

import (
	"encoding/json"
	"strings"
	"testing"

	"gatehouse/audit"
	"gatehouse/directory/google"
	"gatehouse/identity"
)

// The whole life of an account, one reading after the other.
func TestTheLifeOfAnAccount(t *testing.T) {
	h := newHouse(t)
	n, g := h.a, h.google
	g.PageSize = 2
	g.SetUser("101", "ada@acme.example", object{
		"name":          object{"givenName": "Ada", "familyName": "Lovelace", "fullName": "Ada Lovelace"},
		"emails":        []object{{"address": "ada@acme.example", "primary": true}, {"address": "countess@acme.example", "type": "home"}, {"address": "ada@acme.example.test-google-a.com"}},
		"phones":        []object{{"value": "+44 1", "type": "mobile"}, {"value": "+44 2", "type": "work_fax", "primary": true}},
		"organizations": []object{{"title": "Guest", "department": "None"}, {"title": "Analyst", "department": "Engines", "costCenter": "C7", "primary": true}},
		"externalIds":   []object{{"value": "E-1", "type": "organization"}},
		"relations":     []object{{"type": "manager", "value": "zoe@acme.example"}},
	})
	g.SetUser("102", "bob@acme.example", object{"name": object{"fullName": "Bob"}})
	g.SetUser("103", "cid@acme.example", object{"suspended": true, "name": object{"fullName": "Cid"}})
	g.SetUser("104", "zoe@acme.example", object{"name": object{"fullName": "Zoe"}})
	g.SetGroup("201", "all@acme.example", "All")
	g.SetGroup("202", "dev@acme.example", "Dev", "101", "102")
	g.SetGroup("201", "all@acme.example", "All", "202", "104", "999")
	n.put(google.Settings{})

	n.reads(google.SyncCounts{People: 4, Created: 4, Groups: 2, GroupsChanged: 2, MembersAdded: 4})
	n.has("-cid@acme.example", "ada@acme.example", "bob@acme.example", "zoe@acme.example")
	n.hasGroups("All: Dev Zoe", "Dev: Ada Lovelace Bob")
	ada, zoe := n.person("ada@acme.example"), n.person("zoe@acme.example")
	var kept object
	must(t, json.Unmarshal(ada.Attributes, &kept))
	extension, _ := json.Marshal(kept["urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"])
	for _, want := range []string{`"costCenter":"C7"`, `"department":"Engines"`, `"employeeNumber":"E-1"`, `"value":"` + string(zoe.ID) + `"`} {
		if !strings.Contains(string(extension), want) {
			t.Errorf("%s is not in %s", want, extension)
		}
	}
	phones, _ := json.Marshal(kept["phoneNumbers"])
	if ada.ExternalID != "101" || ada.DisplayName != "Ada Lovelace" || ada.Email != "ada@acme.example" || kept["title"] != "Analyst" || len(ada.OtherEmails) != 1 ||
		!strings.Contains(string(phones), `"fax"`) {
		t.Errorf("%+v\n%s", ada, ada.Attributes)
	}
	if e := n.events(audit.UserCreated)[0]; e.Actor.Kind != identity.KindSync || e.Actor.Name != "Google Workspace" || e.RequestID == "" {
		t.Errorf("%+v", e)
	}

	// Nothing is written where nothing has changed.
	before := len(n.events(audit.UserChanged, audit.GroupChanged, audit.AccessAllowed))
	n.reads(google.SyncCounts{People: 4, Groups: 2})
	if after := len(n.events(audit.UserChanged, audit.GroupChanged, audit.AccessAllowed)); after != before {
		t.Errorf("%d requests of a reading that found nothing new", after-before)
	}

	// Renamed, promoted, and with another manager.
	g.SetUser("102", "robert@acme.example", object{"relations": []object{{"type": "manager", "value": "ada@acme.example"}}})
	g.SetUser("101", "ada@acme.example", object{"organizations": []object{{"title": "Chief"}}, "relations": nil})
	g.SetGroup("202", "dev@acme.example", "Developers", "102", "104")
	n.reads(google.SyncCounts{People: 4, Changed: 2, Groups: 2, GroupsChanged: 1, MembersAdded: 1, MembersRemoved: 1})
	n.hasGroups("All: Developers Zoe", "Developers: Bob Zoe")
	if bob := n.person("robert@acme.example"); !strings.Contains(string(bob.Attributes), string(ada.ID)) || bob.ExternalID != "102" {
		t.Errorf("%s", bob.Attributes)
	}
	if now := n.person("ada@acme.example"); now.ID != ada.ID || strings.Contains(string(now.Attributes), "manager") || strings.Contains(string(now.Attributes), "Engines") {
		t.Errorf("%s", now.Attributes)
	}

	// Gone, and a group with them.
	g.DeleteUser("102")
	g.DeleteGroup("201")
	n.reads(google.SyncCounts{People: 3, Deactivated: 1, Groups: 1, GroupsChanged: 1, MembersRemoved: 1})
	n.has("-cid@acme.example", "-robert@acme.example", "ada@acme.example", "zoe@acme.example")
	n.hasGroups("All:", "Developers: Zoe")
	n.reads(google.SyncCounts{People: 3, Groups: 1})

	// Back, as who they were.
	bob := n.person("robert@acme.example")
	g.SetUser("102", "robert@acme.example", object{"name": object{"fullName": "Bob"}})
	g.SetGroup("201", "all@acme.example", "All", "102")
	g.SetUser("103", "cid@acme.example", object{"suspended": false})
	n.reads(google.SyncCounts{People: 4, Changed: 2, Groups: 2, MembersAdded: 1})
	if now := n.person("robert@acme.example"); now.ID != bob.ID || !now.Active {
		t.Errorf("%+v", now)
	}
	n.has("ada@acme.example", "cid@acme.example", "robert@acme.example", "zoe@acme.example")
	n.reads(google.SyncCounts{People: 4, Groups: 2})

	ends := n.events(audit.SyncFinished)
	if e := ends[0]; len(ends) != 7 || e.Details["created"] != "4" || e.Target.Name != "reader@acme.iam.gserviceaccount.com" {
		t.Errorf("%d ends: %+v", len(ends), e)
	}
}

// P9: who is suspended at Google is out when the reading has seen it.
func TestP9_WhoIsSuspendedIsOut(t *testing.T) {
	h := newHouse(t)
	h.staff(3)
	h.a.put(google.Settings{})
	h.a.reads(google.SyncCounts{People: 3, Created: 3})
	suspended, archived, gone := h.a.signIn(h.a.person("p000@acme.example")), h.a.signIn(h.a.person("p001@acme.example")), h.a.signIn(h.a.person("p002@acme.example"))
	h.google.SetUser("1000", "p000@acme.example", object{"suspended": true})
	h.a.reads(google.SyncCounts{People: 3, Deactivated: 1})
	if suspended() || !archived() {
		t.Error("who is suspended is signed in, or who is not is out")
	}
	h.google.SetUser("1001", "p001@acme.example", object{"archived": true})
	h.google.DeleteUser("1002")
	h.google.SetUser("1003", "p003@acme.example", nil)
	h.a.reads(google.SyncCounts{People: 3, Created: 1, Deactivated: 2})
	if archived() || gone() {
		t.Error("who is archived or deleted is signed in")
	}
	h.google.SetUser("1000", "p000@acme.example", object{"suspended": false})
	h.a.reads(google.SyncCounts{People: 3, Changed: 1})
	if suspended() {
		t.Error("a session has come back to life")
	}
}
