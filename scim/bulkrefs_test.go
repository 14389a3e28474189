package scim_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"gatehouse/audit"
	"gatehouse/directory"
	"gatehouse/scim"
)

func TestRFC7644_3_7_2_References(t *testing.T) {
	b := newBench(t)
	ops := b.group(t, "Ops")
	results := b.bulk(t, bulk("",
		// Before what they refer to, and behind it.
		newGroup("g1", "Guides", "bulkId:u1", "bulkId:u2"),
		newUser("u1", "ann"), newReport("u3", "cy", "u2"), newUser("u2", "bob"),
		operation("PATCH", "/Groups/bulkId:g1", "", patch(`{"op":"add","path":"members","value":[{"value":"bulkId:u3"}]}`)),
		operation("PATCH", "/Groups/"+ops, "", patch(`{"op":"add","value":{"members":[{"value":"bulkId:u1"},{"value":"bulkId:u2"}]}}`)),
		operation("PATCH", "/Groups/"+ops, "", patch(`{"op":"remove","path":"members[value eq \"bulkId:u1\"]"}`)),
		operation("PATCH", "/Users/bulkId:u1", "", patch(`{"op":"add","path":"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager","value":"bulkId:u2"}`)),
		operation("PUT", "/Users/bulkId:u2", "", `{`+asUser+`,"userName":"bob","title":"bulkId:u1"}`),
		newUser("u4", "dan"), operation("DELETE", "/Users/bulkId:u4", "", ""),
	), "201", "201", "201", "201", "204", "204", "204", "200", "200", "201", "204")
	ann, cy, bob := results[1].id(), results[2].id(), results[3].id()
	members := func(group string) []string {
		var names []string
		list, _ := b.do(t, "GET", "/Groups/"+group, "").wants(200).at("members").([]any)
		for _, m := range list {
			id, _ := m.(map[string]any)["value"].(string)
			names = append(names, id)
		}
		slices.Sort(names)
		return names
	}
	all := []string{ann, bob, cy}
	slices.Sort(all)
	if got := members(results[0].id()); !slices.Equal(got, all) {
		t.Errorf("the guides are %v, want %v", got, all)
	}
	if got := members(ops); !slices.Equal(got, []string{bob}) {
		t.Errorf("ops are %v, want %s", got, bob)
	}
	for id, manager := range map[string]string{ann: bob, cy: bob} {
		b.do(t, "GET", "/Users/"+id, "").wants(200).same(`{"value":"`+bob+`"}`, "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User", "manager")
		if manager != bob {
			t.Error(manager)
		}
	}
	// Where no id can stand, the text is one like any other.
	b.do(t, "GET", "/Users/"+bob, "").wants(200).same(`"bulkId:u1"`, "title")
	b.do(t, "GET", "/Users?count=0", "").wants(200).same(`3`, "totalResults")
}

// TestBulkReferencesInEveryFormOfAPatch: what PATCH understands has its references
// replaced, in whatever form it comes.
func TestBulkReferencesInEveryFormOfAPatch(t *testing.T) {
	b := newBench(t)
	ops := "/Groups/" + b.group(t, "Ops")
	results := b.bulk(t, bulk("", newUser("u1", "ann"), newUser("u2", "bob"), newUser("u3", "cy"),
		operation("PATCH", ops, "", patch(`{"op":"add","value":[{"members":[{"value":"bulkId:u1"}]}]},{"op":"add","value":"{\"members\":[{\"value\":\"bulkId:u2\"},{\"value\":\"bulkId:u3\"}]}"}`)),
		operation("PATCH", ops, "", patch(`{"op":"remove","path":"members[value eq \"bulkId:\\u0075\\u0032\"]"}`)),
		operation("PATCH", "/Users/bulkId:u1", "", patch(`{"op":"add","path":"`+enterpriseURN+`","value":"{\"manager\":\"bulkId:u2\"}"}`)),
		operation("PATCH", "/Users/bulkId:u2", "", patch(`{"op":"add","value":{"`+enterpriseURN+`":[{"manager":{"value":"bulkId:u3"}}]}}`)),
	), "201", "201", "201", "204", "204", "200", "200")
	ann, bob, cy := results[0].id(), results[1].id(), results[2].id()
	b.do(t, "GET", ops, "").wants(200).members(ann, cy)
	b.do(t, "GET", "/Users/"+ann, "").wants(200).same(`"`+bob+`"`, enterpriseURN, "manager", "value")
	b.do(t, "GET", "/Users/"+bob, "").wants(200).same(`"`+cy+`"`, enterpriseURN, "manager", "value")
}

func TestRFC7644_3_7_2_ReferencesToWhatIsNotMade(t *testing.T) {
	b := newBench(t)
	ada := b.user(t, "ada", "")
	results := b.bulk(t, bulk("",
		newGroup("g1", "one", "bulkId:nobody"),
		newGroup("g2", "two", "bulkId:u1"), newUser("u1", ""),
		operation("PATCH", "/Groups/bulkId:g2", "", patch(`{"op":"add","path":"members","value":[{"value":"`+ada+`"}]}`)),
		operation("DELETE", "/Groups/bulkId:g1", "", ""),
		newReport("u2", "cy", "u1"),
		operation("PATCH", "/Users/"+ada, "named", patch(`{"op":"add","path":"title","value":"x"}`)),
		newGroup("g3", "three", "bulkId:named"),
		newGroup("g4", "four", ada),
	), "400", "409", "400", "409", "409", "409", "200", "400", "201")
	results[0].wants(t, "invalidValue", "nobody")
	results[1].wants(t, nil, "u1", "failed")
	results[3].wants(t, nil, "g2", "failed")
	results[7].wants(t, "invalidValue", "named")
	b.do(t, "GET", "/Groups", "").wants(200).same(`1`, "totalResults")
	b.do(t, "GET", "/Users", "").wants(200).same(`1`, "totalResults")
}

// An operation that refers to what is not made is admitted and recorded before it is
// refused, as every other one; who may not do it at all hears nothing else.
func TestP1_OperationsThatReferToNothing(t *testing.T) {
	b := newBench(t)
	ada := b.user(t, "ada", "")
	message := bulk("",
		newGroup("g1", "one", "bulkId:nobody"),
		operation("DELETE", "/Users/bulkId:nobody", "", ""),
		operation("PATCH", "/Users/"+ada, "", patch(`{"op":"add","path":"manager","value":"bulkId:nobody"}`)),
		newUser("u1", ""), newGroup("g2", "two", "bulkId:u1"), operation("PUT", "/Groups/bulkId:g2", "", `{}`),
	)
	told := func(from int) (told []string) {
		for _, e := range b.events(t)[from:] {
			told = append(told, string(e.Type)+" "+e.Method+" "+e.Path)
		}
		return told
	}
	before := len(b.events(t))
	results := b.bulk(t, message, "400", "400", "400", "400", "409", "409")
	if got, want := told(before), []string{"access.allowed POST /scim/v2/Bulk",
		"access.allowed POST /scim/v2/Groups", "access.allowed DELETE /scim/v2/Users/bulkId:nobody", "access.allowed PATCH /scim/v2/Users/" + ada,
		"access.allowed POST /scim/v2/Users", "access.allowed POST /scim/v2/Groups", "access.allowed PUT /scim/v2/Groups/bulkId:g2",
	}; !slices.Equal(got, want) {
		t.Errorf("the journal tells %q, want %q", got, want)
	}
	// RFC 7644 §3.7: an address is told of what has one.
	for i, want := range []string{"", "", base + "/Users/" + ada, "", "", ""} {
		if results[i].Location != want {
			t.Errorf("operation %d is at %q, want %q", i+1, results[i].Location, want)
		}
	}
	before = len(b.events(t))
	b.do(t, "POST", "/Bulk", message, "Authorization", "Bearer "+b.limited(t, "users:write")).wants(200).
		same(`"403"`, "Operations", "0", "status").same(`"403"`, "Operations", "1", "status").same(`"400"`, "Operations", "2", "status")
	refused := 0
	for _, line := range told(before) {
		if strings.HasPrefix(line, "access.refused") {
			refused++
		}
	}
	if refused != 4 {
		t.Errorf("%d refusals are recorded, want 4", refused)
	}
}

func TestRFC7644_3_7_1_Circles(t *testing.T) {
	b := newBench(t)
	manager := func(of, is done) {
		t.Helper()
		b.do(t, "GET", "/Users/"+of.id(), "").wants(200).same(`"`+is.id()+`"`, "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User", "manager", "value").
			same(string(must2(json.Marshal(of.Version))), "meta", "version")
	}
	two := b.bulk(t, bulk("", newReport("a", "ann", "b"), newReport("b", "bob", "a")), "201", "201")
	manager(two[0], two[1])
	manager(two[1], two[0])
	// Three in a row, each of the next; and one of themselves.
	three := b.bulk(t, bulk("", newReport("a", "cy", "b"), newReport("c", "dan", "a"), newReport("b", "eve", "c"), newReport("d", "fay", "d")), "201", "201", "201", "201")
	manager(three[0], three[2])
	manager(three[1], three[0])
	manager(three[2], three[1])
	manager(three[3], three[3])
	// A circle that cannot be closed, and who refers to it.
	b.user(t, "taken", "")
	results := b.bulk(t, bulk("",
		newGroup("g", "Guides", "bulkId:x"),
		newReport("x", "xin", "y"), newReport("y", "taken", "z"), newReport("z", "zoe", "x"), newReport("w", "wim", "z"), newUser("v", "val"),
	), "409", "409", "409", "409", "409", "201")
	results[2].wants(t, "uniqueness")
	b.do(t, "GET", "/Users", "").wants(200).same(`8`, "totalResults")
	b.do(t, "GET", "/Groups", "").wants(200).same(`0`, "totalResults")
	b.do(t, "GET", "/Users?filter="+escape(`userName eq "zoe"`), "").wants(200).same(`0`, "totalResults")
}

func must2(text []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return text
}

// A circle that cannot be closed and not be undone either is told of as what it is.
func TestWhatIsLeftOfACircleIsToldOf(t *testing.T) {
	b := newBench(t)
	b.handler = scim.New(scim.Config{Directory: b.directory, Tokens: b.tokens, Keys: b.keys, Refusals: audit.NewRefusals(b.journal), Permissions: b.roles,
		Journal: &closing{b.journal, 3}}).Handler()
	results := b.bulk(t, bulk("", newReport("x", "xin", "y"), newReport("y", "yan", "x"), newUser("z", "zoe")), "503", "500", "503")
	results[1].wants(t, nil, "taken away again")
	page, err := b.directory.Users(t.Context(), b.acme.id, directory.UserQuery{Count: 10})
	if must(t, err); page.Total != 1 || page.Items[0].UserName != "yan" {
		t.Errorf("there are %+v", page)
	}
}
