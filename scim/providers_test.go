package scim_test

import (
	"testing"
)

// The sequences below have the shape of what the providers send; each step is
// followed by a look at what it left behind.

func TestOktaCycle(t *testing.T) {
	b := newBench(t)
	b.do(t, "GET", `/Users?filter=userName+eq+%22Isaac%40acme.example%22&startIndex=1&count=100`, "").wants(200).same(`0`, "totalResults")
	made := b.do(t, "POST", "/Users", `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"isaac@acme.example",
		"name":{"givenName":"Isaac","familyName":"Brock"},"emails":[{"primary":true,"value":"isaac@acme.example","type":"work"}],
		"displayName":"Isaac Brock","locale":"en-US","externalId":"00ujl29u0le5T6Aj10h7","groups":[],"password":"1mz050nq","active":true}`).wants(201)
	id := made.id()
	b.do(t, "GET", `/Users?filter=userName+eq+%22ISAAC%40acme.example%22&startIndex=1&count=100`, "").wants(200).same(`1`, "totalResults")

	b.do(t, "PUT", "/Users/"+id, `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"id":"`+id+`","userName":"isaac@acme.example",
		"name":{"givenName":"Isaac","familyName":"Newton"},"emails":[{"primary":true,"value":"newton@acme.example","type":"work"}],
		"displayName":"Isaac Newton","active":true,"groups":[],"meta":{"resourceType":"User"}}`).wants(200).same(`"Newton"`, "name", "familyName")

	session := b.signIn(t, id)
	b.do(t, "PATCH", "/Users/"+id, patch(`{"op":"replace","value":{"active":false}}`)).wants(200).same(`false`, "active").same(`"Isaac Newton"`, "displayName")
	if b.signedIn(t, session) {
		t.Fatal("still signed in")
	}
	b.do(t, "GET", "/Users/"+id, "").wants(200).same(`false`, "active") // not deleted
	b.do(t, "PATCH", "/Users/"+id, patch(`{"op":"replace","value":{"active":true}}`)).wants(200).same(`true`, "active")
	if b.signedIn(t, session) {
		t.Fatal("activating a person revived a session")
	}

	other := b.user(t, "other@acme.example", "")
	group := "/Groups/" + b.group(t, "Test SCIMv2", id)
	b.do(t, "PATCH", group, patch(`{"op":"replace","value":{"id":"`+group[8:]+`","displayName":"Renamed"}}`)).wants(204)
	b.do(t, "GET", group, "").wants(200).same(`"Renamed"`, "displayName").members(id) // a rename leaves the members
	b.do(t, "PATCH", group, patch(`{"op":"remove","path":"members[value eq \"`+id+`\"]"},{"op":"add","path":"members","value":[{"value":"`+other+`","display":"other@acme.example"}]}`)).wants(204)
	b.do(t, "GET", group, "").members(other)
	b.do(t, "PATCH", group, patch(`{"op":"replace","path":"members","value":[{"value":"`+id+`"},{"value":"`+other+`"}]}`)).wants(204)
	b.do(t, "GET", group, "").members(id, other)
	b.do(t, "PATCH", group, patch(`{"op":"replace","value":{"members":[{"value":"`+other+`"}]}}`)).wants(204)
	b.do(t, "GET", group, "").members(other)
	b.do(t, "PATCH", group, patch(`{"op":"replace","path":"members","value":[]}`)).wants(204)
	b.do(t, "GET", group, "").same(`"Renamed"`, "displayName").members()
	b.do(t, "DELETE", group, "").wants(204)
	b.do(t, "DELETE", group, "").wants(404)
}

func TestEntraCycle(t *testing.T) {
	b := newBench(t)
	const enterprise = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
	b.do(t, "GET", `/Users?filter=externalId+eq+%220a21f0f2%22`, "").wants(200).same(`0`, "totalResults")
	id := b.do(t, "POST", "/Users", `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User","`+enterprise+`"],"externalId":"0a21f0f2","userName":"Test_User@acme.example",
		"active":"True","emails":[{"primary":true,"type":"work","value":"test_user@acme.example"}],"meta":{"resourceType":"User"},
		"name":{"formatted":"givenName familyName","familyName":"familyName","givenName":"givenName"},"roles":[],"`+enterprise+`":{"manager":"26118915"}}`, "Content-Type", "application/scim+json; charset=utf-8").
		wants(201).same(`true`, "active").same(`{"value":"26118915"}`, enterprise, "manager").id()
	user := "/Users/" + id

	steps := []struct{ name, operations, at, want string }{
		{"capitalised op, multi-valued sub-attribute", `{"op":"Replace","path":"emails[type eq \"work\"].value","value":"updated@acme.example"}`, "emails", `[{"primary":true,"type":"work","value":"updated@acme.example"}]`},
		{"adding an element that is not there", `{"op":"Add","path":"emails[type eq \"home\"].value","value":"home@acme.example"}`, "emails", `[{"primary":true,"type":"work","value":"updated@acme.example"},{"type":"home","value":"home@acme.example"}]`},
		{"phone number by type", `{"op":"Add","path":"phoneNumbers[type eq \"mobile\"].value","value":"+1 201"}`, "phoneNumbers", `[{"type":"mobile","value":"+1 201"}]`},
		{"dotted path", `{"op":"Replace","path":"name.familyName","value":"Updated"}`, "name", `{"formatted":"givenName familyName","familyName":"Updated","givenName":"givenName"}`},
		{"dotted keys without a path", `{"op":"replace","value":{"name.givenName":"Given","displayName":"Shown","emails[type eq \"home\"].value":"new@acme.example"}}`, "displayName", `"Shown"`},
		{"URN keys without a path", `{"op":"Add","value":{"` + enterprise + `:department":"Tours","` + enterprise + `:employeeNumber":"7"}}`, enterprise, `{"manager":{"value":"26118915"},"department":"Tours","employeeNumber":"7"}`},
		{"the extension's object without a path", `{"op":"Replace","value":{"` + enterprise + `":{"department":"Sales"}}}`, enterprise, `{"manager":{"value":"26118915"},"department":"Sales","employeeNumber":"7"}`},
		{"the extension as path", `{"op":"add","path":"` + enterprise + `","value":{"costCenter":"4130"}}`, enterprise, `{"manager":{"value":"26118915"},"department":"Sales","employeeNumber":"7","costCenter":"4130"}`},
		{"URN path", `{"op":"Remove","path":"` + enterprise + `:costCenter"}`, enterprise, `{"manager":{"value":"26118915"},"department":"Sales","employeeNumber":"7"}`},
		{"manager as a string", `{"op":"Add","path":"` + enterprise + `:manager","value":"99"}`, enterprise, `{"manager":{"value":"99"},"department":"Sales","employeeNumber":"7"}`},
		{"manager by filter", `{"op":"Remove","path":"` + enterprise + `:manager[value eq \"99\"]"}`, enterprise, `{"department":"Sales","employeeNumber":"7"}`},
		{"removing what is not there", `{"op":"Remove","path":"` + enterprise + `:manager"}`, enterprise, `{"department":"Sales","employeeNumber":"7"}`},
		{"removing the extension", `{"op":"Remove","path":"` + enterprise + `"}`, enterprise, `null`},
		{"removing an element", `{"op":"Remove","path":"emails[type eq \"home\"]"}`, "emails", `[{"primary":true,"type":"work","value":"updated@acme.example"}]`},
		{"null removes", `{"op":"Replace","path":"phoneNumbers","value":null}`, "phoneNumbers", `null`},
		{"a new primary", `{"op":"Add","path":"emails","value":[{"type":"other","value":"p@acme.example","primary":"True"}]}`, "emails", `[{"primary":false,"type":"work","value":"updated@acme.example"},{"primary":true,"type":"other","value":"p@acme.example"}]`},
		{"the same value twice", `{"op":"Add","path":"emails","value":[{"type":"other","value":"p@acme.example","primary":true}]}`, "emails", `[{"primary":false,"type":"work","value":"updated@acme.example"},{"primary":true,"type":"other","value":"p@acme.example"}]`},
		{"boolean as a string", `{"op":"Replace","path":"active","value":"False"}`, "active", `false`},
		{"core URN path", `{"op":"Replace","path":"urn:ietf:params:scim:schemas:core:2.0:User:active","value":"True"}`, "active", `true`},
		{"user name", `{"op":"Replace","path":"userName","value":"renamed@acme.example"}`, "userName", `"renamed@acme.example"`},
	}
	for _, s := range steps {
		b.do(t, "PATCH", user, patch(s.operations)).wants(200)
		if got := b.do(t, "GET", user, "").wants(200); t.Run(s.name, func(t *testing.T) { got.t = t; got.same(s.want, s.at) }) == false {
			return
		}
	}
	b.do(t, "GET", user, "").same(`"Shown"`, "displayName").same(`{"formatted":"givenName familyName","familyName":"Updated","givenName":"Given"}`, "name")

	other := b.user(t, "other@acme.example", "")
	group := "/Groups/" + b.group(t, "Group1", id, other)
	b.do(t, "GET", "/Groups?excludedAttributes=members&filter=displayName+eq+%22Group1%22", "").wants(200).same(`1`, "totalResults")
	b.do(t, "PATCH", group, patch(`{"op":"Remove","path":"members","value":[{"value":"`+id+`"}]}`)).wants(204)
	b.do(t, "GET", group, "").members(other) // those members, not all
	b.do(t, "PATCH", group, patch(`{"op":"Remove","path":"members","value":[{"$ref":null,"value":"`+id+`"}]}`)).wants(204)
	b.do(t, "GET", group, "").members(other)
	b.do(t, "PATCH", group, patch(`{"op":"Add","path":"members","value":[{"$ref":null,"value":"`+id+`"},{"value":"`+id+`"}]}`)).wants(204)
	b.do(t, "GET", group, "").members(id, other)
	b.do(t, "PATCH", group, patch(`{"op":"Replace","path":"displayName","value":"Group2"}`)).wants(204)
	b.do(t, "GET", group, "").same(`"Group2"`, "displayName").members(id, other)
	b.do(t, "PATCH", group, patch(`{"op":"Remove","path":"members"}`)).wants(204)
	b.do(t, "GET", group, "").members()
	b.do(t, "DELETE", user, "").wants(204)
	b.do(t, "GET", user, "").wants(404)
}

// members checks who is in the group that was answered, in any order.
func (a answer) members(want ...string) answer {
	a.t.Helper()
	list, _ := a.body["members"].([]any)
	got := make(map[any]bool)
	for _, v := range list {
		if m, ok := v.(map[string]any); ok {
			got[m["value"]] = true
		}
	}
	for _, id := range want {
		if !got[id] {
			a.t.Errorf("%s is no member", id)
		}
	}
	if len(got) != len(want) || len(list) != len(want) {
		a.t.Errorf("%d members, want %d: %s", len(list), len(want), a.raw)
	}
	return a
}

func TestPatchThatIsNotUnderstoodChangesNothing(t *testing.T) {
	b := newBench(t)
	id := b.do(t, "POST", "/Users", bjensen).wants(201).id()
	user := "/Users/" + id
	before := b.do(t, "GET", user, "").raw
	good := `{"op":"replace","path":"title","value":"Changed"},`
	for _, c := range []struct{ operation, scimType string }{
		{`{"op":"move","path":"title"}`, "invalidSyntax"},
		{`{"path":"title","value":"x"}`, "invalidSyntax"},
		{`5`, "invalidSyntax"},
		{`{"op":"remove"}`, "noTarget"},
		{`{"op":"replace","path":"title"}`, "invalidValue"},
		{`{"op":"add","path":"title","value":null}`, "invalidValue"},
		{`{"op":"replace","path":5,"value":"x"}`, "invalidPath"},
		{`{"op":"replace","path":"nonsense","value":"x"}`, "invalidPath"},
		{`{"op":"replace","path":"password","value":"x"}`, "invalidPath"},
		{`{"op":"replace","path":"name.nonsense","value":"x"}`, "invalidPath"},
		{`{"op":"replace","path":"title[value eq \"x\"]","value":"x"}`, "invalidPath"},
		{`{"op":"replace","path":"emails.value[type eq \"x\"]","value":"x"}`, "invalidPath"},
		{`{"op":"replace","path":"emails[","value":"x"}`, "invalidPath"},
		{`{"op":"replace","path":"emails[nonsense eq \"x\"].value","value":"x"}`, "invalidPath"},
		{`{"op":"remove","path":"emails[not (type eq 5)]"}`, "invalidFilter"},
		{`{"op":"remove","path":"emails[not (primary eq \"perhaps\")]"}`, "invalidFilter"},
		{`{"op":"replace","path":"emails[type eq \"none\"].value","value":"x@acme.example"}`, "noTarget"},
		{`{"op":"add","path":"emails[type ne \"work\" and type ne \"home\"].value","value":"x@acme.example"}`, "noTarget"},
		{`{"op":"replace","path":"emails.value","value":"x@acme.example"}`, "noTarget"},
		{`{"op":"replace","value":"x"}`, "invalidValue"},
		{`{"op":"replace","value":{}}`, "invalidValue"},
		{`{"op":"replace","value":{"schemas":["x"]}}`, "invalidValue"},
		{`{"op":"replace","value":{"nonsense":"x"}}`, "invalidPath"},
		{`{"op":"replace","value":{"title":"x","nonsense":"x"}}`, "invalidPath"},
		{`{"op":"replace","value":{"id":"usr_other"}}`, "mutability"},
		{`{"op":"replace","path":"id","value":"usr_other"}`, "mutability"},
		{`{"op":"replace","path":"meta.version","value":"x"}`, "mutability"},
		{`{"op":"add","path":"groups","value":[{"value":"x"}]}`, "mutability"},
		{`{"op":"remove","path":"userName"}`, "mutability"},
		{`{"op":"remove","path":"active"}`, "mutability"},
		{`{"op":"replace","path":"active","value":null}`, "mutability"},
		{`{"op":"replace","path":"active","value":"perhaps"}`, "invalidValue"},
		{`{"op":"replace","path":"userName","value":["x","y"]}`, "invalidValue"},
		{`{"op":"replace","path":"userName","value":[{"display":"x"}]}`, "invalidValue"},
		{`{"op":"replace","path":"emails","value":[{"colour":"blue"}]}`, "invalidValue"},
		{`{"op":"add","path":"emails","value":""}`, "invalidValue"},
		{`{"op":"remove","path":"emails","value":[]}`, "invalidValue"},
		{`{"op":"remove","path":"emails","value":""}`, "invalidValue"},
		{`{"op":"replace","value":"{\"title\":\"x\",\"title\":\"y\"}"}`, "invalidValue"},
		{`{"op":"replace","value":[{"title":"x"},{"title":"y"}]}`, "invalidValue"},
		{`{"op":"replace","path":"emails","value":[{"value":5}]}`, "invalidValue"},
		{`{"op":"replace","path":"emails","value":[{"value":"a@x.example","primary":true},{"value":"b@x.example","primary":true}]}`, "invalidValue"},
		{`{"op":"replace","path":"userName","value":"two@ats@acme.example"}`, "invalidValue"},
	} {
		t.Run(c.operation, func(t *testing.T) {
			b.do(t, "PATCH", user, patch(good+c.operation)).wants(400, c.scimType)
			if after := b.do(t, "GET", user, "").raw; after != before {
				t.Errorf("it changed\n%s\ninto\n%s", before, after)
			}
		})
	}
	group := "/Groups/" + b.group(t, "ops", id)
	for _, operation := range []string{`{"op":"replace","path":"members[value eq \"` + id + `\"].value","value":"usr_x"}`, `{"op":"add","path":"members","value":["usr_nobody"]}`,
		`{"op":"remove","path":"displayName"}`, `{"op":"add","path":"members","value":[{"display":"x"}]}`} {
		b.do(t, "PATCH", group, patch(`{"op":"remove","path":"members"},`+operation)).wants(400)
		b.do(t, "GET", group, "").members(id)
	}
}

func TestADisplayNameThatWeMadeFollowsTheName(t *testing.T) {
	b := newBench(t)
	user := "/Users/" + b.user(t, "ada", `,"name":{"givenName":"Ada","familyName":"King"}`)
	b.do(t, "GET", user, "").wants(200).same(`"Ada King"`, "displayName")
	b.do(t, "PATCH", user, patch(`{"op":"replace","path":"name.familyName","value":"Lovelace"}`)).wants(200).same(`"Ada Lovelace"`, "displayName")
	b.do(t, "PATCH", user, patch(`{"op":"add","path":"displayName","value":"Countess"}`)).wants(200).same(`"Countess"`, "displayName")
	b.do(t, "PATCH", user, patch(`{"op":"replace","path":"name.familyName","value":"Byron"}`)).wants(200).same(`"Countess"`, "displayName")
}

func TestAnAddressThatWeMadeFollowsTheUserName(t *testing.T) {
	b := newBench(t)
	user := "/Users/" + b.user(t, "ada@acme.example", "")
	made := b.do(t, "GET", user, "").wants(200).same(`[{"value":"ada@acme.example","type":"work","primary":true}]`, "emails")
	b.do(t, "PATCH", user, patch(`{"op":"replace","path":"title","value":"Countess"}`)).wants(200).same(made.json("emails"), "emails")
	b.do(t, "PATCH", user, patch(`{"op":"replace","path":"userName","value":"king@acme.example"}`)).wants(200).
		same(`[{"value":"king@acme.example","type":"work","primary":true}]`, "emails")
	// What a client has written is its own, although it is the same.
	other := "/Users/" + b.user(t, "grace@acme.example", "")
	b.do(t, "PUT", other, `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"grace@acme.example",
		"emails":[{"value":"grace@acme.example","type":"work","primary":true}]}`).wants(200)
	b.do(t, "PATCH", other, patch(`{"op":"replace","path":"userName","value":"hopper@acme.example"}`)).wants(200).
		same(`[{"value":"grace@acme.example","type":"work","primary":true}]`, "emails")
	// The client sees the address that we made, and so can change it.
	b.do(t, "PATCH", user, patch(`{"op":"replace","path":"emails[type eq \"work\"].value","value":"own@acme.example"}`)).wants(200)
	b.do(t, "PATCH", user, patch(`{"op":"replace","path":"userName","value":"lovelace@acme.example"}`)).wants(200).
		same(`[{"value":"own@acme.example","type":"work","primary":true}]`, "emails")
}
