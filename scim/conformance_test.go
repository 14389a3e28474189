package scim_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"gatehouse/authn/token"
)

const base = "https://acme.example/scim/v2"

const bjensen = `{
	"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User", "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"],
	"externalId": "701984", "userName": "bjensen@acme.example",
	"name": {"formatted": "Ms. Barbara J Jensen, III", "familyName": "Jensen", "givenName": "Barbara"},
	"emails": [{"value": "Bjensen@acme.example", "type": "work", "primary": true}, {"value": "babs@jensen.example", "type": "home"}],
	"phoneNumbers": [{"value": "tel:+1-201-555-0123", "type": "work"}],
	"title": "Tour Guide", "nickName": null, "addresses": [], "unknownAttribute": {"a": 1}, "password": "t1meMa$heen",
	"id": "made-up", "meta": {"version": "W/\"99\""}, "groups": [{"value": "made-up"}],
	"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": {"department": "Tours", "employeeNumber": "701984", "manager": {"value": "26118915"}}
}`

// tours is a service with one person, in one group.
type tours struct {
	*bench
	made               answer // to creating the person
	id, person, guides string // the person's id, and where the two are
}

func newTours(t *testing.T) tours {
	t.Helper()
	b := newBench(t)
	made := b.do(t, "POST", "/Users", bjensen).wants(201)
	return tours{bench: b, made: made, id: made.id(), person: "/Users/" + made.id(), guides: "/Groups/" + b.group(t, "Tour Guides", made.id())}
}

// The tests below name the section of RFC 7643 (what a resource is) or RFC 7644
// (how it is asked for) that they hold the service to.

func TestRFC7643_2_5_UnassignedValues(t *testing.T) {
	b := newTours(t)
	for _, name := range []string{"nickName", "addresses"} {
		if _, ok := b.made.body[name]; ok {
			t.Errorf("%s is there", name)
		}
	}
}

func TestRFC7643_3_Schemas(t *testing.T) {
	b := newTours(t)
	b.made.same(`["urn:ietf:params:scim:schemas:core:2.0:User","urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"]`, "schemas")
	b.made.same(`"Tours"`, "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User", "department")
}

func TestRFC7643_3_1_CommonAttributes(t *testing.T) {
	b := newTours(t)
	b.made.same(`"701984"`, "externalId").same(`"User"`, "meta", "resourceType").same(`"W/\"1\""`, "meta", "version")
	if b.made.at("meta", "created") == nil || b.made.at("meta", "lastModified") == nil {
		t.Error("no times")
	}
}

func TestRFC7643_4_1_1_APasswordIsNeitherKeptNorReturned(t *testing.T) {
	b := newTours(t)
	if strings.Contains(b.do(t, "GET", b.person, "").raw, "t1meMa") {
		t.Error("the password is returned")
	}
}

func TestRFC7643_4_1_2_GroupsOfAPerson(t *testing.T) {
	b := newTours(t)
	got := b.do(t, "GET", b.person, "").wants(200)
	if !strings.Contains(got.raw, base+b.guides) || !strings.Contains(got.raw, `"display":"Tour Guides"`) {
		t.Error(got.raw)
	}
	b.do(t, "GET", b.guides, "").wants(200).same(`[{"value":"`+b.id+`","type":"User","display":"Ms. Barbara J Jensen, III","$ref":"`+base+b.person+`"}]`, "members")
}

func TestRFC7643_8_7_1_ValuesAreWhatTheSchemaSays(t *testing.T) {
	b := newTours(t)
	for _, field := range []string{`"userName":5`, `"userName":null`, `"userName":""`, `"name":"x"`, `"name":{"givenName":[]}`, `"emails":5`, `"emails":[5]`,
		`"emails":[{"value":7}]`, `"active":"perhaps"`, `"active":1`, `"emails":[{"value":"a@x.example","primary":true},{"value":"b@x.example","primary":true}]`,
		`"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":5`, `"externalId":{}`} {
		body := `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],` + field + `}`
		if !strings.HasPrefix(field, `"userName"`) {
			body = strings.Replace(body, `],`, `],"userName":"fresh",`, 1)
		}
		b.do(t, "POST", "/Users", body).wants(400)
	}
}

func TestRFC7644_3_1_ContentTypes(t *testing.T) {
	b := newTours(t)
	for _, media := range []string{"text/plain", "", "application/xml", "application/json; charset=utf-16", "multipart/form-data"} {
		b.do(t, "POST", "/Users", bjensen, "Content-Type", media).wants(415)
		b.do(t, "PATCH", b.person, patch(`{"op":"remove","path":"title"}`), "Content-Type", media).wants(415)
	}
	b.do(t, "PATCH", b.person, `{}`, "Content-Type", "application/json; charset=UTF-8").wants(400)
}

func TestRFC7644_3_3_Creating(t *testing.T) {
	b := newTours(t)
	t.Run("a created resource is answered with Location", func(t *testing.T) {
		if got := b.made.header.Get("Location"); got != base+b.person || b.made.at("meta", "location") != got {
			t.Errorf("Location %q, meta.location %v", got, b.made.at("meta", "location"))
		}
	})
	t.Run("read-only and unknown attributes are passed over", func(t *testing.T) {
		if b.id == "made-up" || b.made.body["unknownAttribute"] != nil || b.made.body["groups"] != nil {
			t.Errorf("answered %s", b.made.raw)
		}
	})
	t.Run("a message must say what it is", func(t *testing.T) {
		b.do(t, "POST", "/Users", `{"userName":"x"}`).wants(400, "invalidSyntax")
		b.do(t, "POST", "/Groups", `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"displayName":"x"}`).wants(400, "invalidSyntax")
		b.do(t, "PATCH", b.person, `{"Operations":[{"op":"remove","path":"title"}]}`).wants(400, "invalidSyntax")
	})
}

func TestRFC7644_3_3_1_Uniqueness(t *testing.T) {
	b := newTours(t)
	b.do(t, "POST", "/Users", strings.Replace(bjensen, "bjensen@", "BJensen@", 1)).wants(409, "uniqueness")
}

func TestRFC7644_3_4_1_Reading(t *testing.T) {
	b := newTours(t)
	got := b.do(t, "GET", b.person, "").wants(200)
	if got.id() != b.id || got.header.Get("ETag") != `W/"1"` {
		t.Errorf("%s, ETag %s", got.raw, got.header.Get("ETag"))
	}
	got.same(`"Ms. Barbara J Jensen, III"`, "displayName").same(`true`, "active")
}

func TestRFC7644_3_4_2_Listing(t *testing.T) {
	b := newTours(t)
	t.Run("a list", func(t *testing.T) {
		got := b.do(t, "GET", "/Users", "").wants(200).same(`["urn:ietf:params:scim:api:messages:2.0:ListResponse"]`, "schemas").
			same(`1`, "totalResults").same(`1`, "startIndex").same(`1`, "itemsPerPage")
		if got.names("id") != b.id {
			t.Error(got.raw)
		}
	})
	t.Run("a list of nothing has 200 and an empty array", func(t *testing.T) {
		b.do(t, "GET", "/Users?filter=userName+eq+%22nobody%22", "").wants(200).same(`0`, "totalResults").same(`[]`, "Resources")
	})
}

func TestRFC7644_3_4_2_4_OddPaging(t *testing.T) {
	b := newTours(t)
	b.do(t, "GET", "/Users?startIndex=-3&count=-1", "").wants(200).same(`1`, "startIndex").same(`1`, "totalResults").same(`[]`, "Resources")
	b.do(t, "GET", "/Users?count=0", "").wants(200).same(`1`, "totalResults").same(`0`, "itemsPerPage")
	b.do(t, "GET", "/Users?startIndex=2", "").wants(200).same(`2`, "startIndex").same(`[]`, "Resources")
	b.do(t, "GET", "/Users?count=many", "").wants(400, "invalidValue")
	b.do(t, "GET", "/Users?count=1.5", "").wants(400, "invalidValue")
	for _, huge := range []string{"2147483647", "3000000000", "99999999999999999999"} { // a whole number like any other
		b.do(t, "GET", "/Users?count="+huge, "").wants(200).same(`1`, "itemsPerPage")
		b.do(t, "GET", "/Users?startIndex="+huge, "").wants(200).same(`[]`, "Resources").same(`1`, "totalResults")
		b.do(t, "GET", "/Users?count=-"+huge, "").wants(200).same(`0`, "itemsPerPage").same(`1`, "totalResults")
		b.do(t, "GET", "/Users?startIndex=-"+huge, "").wants(200).same(`1`, "startIndex").same(`1`, "itemsPerPage")
		b.do(t, "POST", "/Users/.search", search(`,"count":`+huge)).wants(200).same(`1`, "itemsPerPage")
	}
}

// People are deleted between the pages: those who are left come all, and once.
func TestRFC7644_3_4_2_4_NobodyIsPassedOver(t *testing.T) {
	b := newBench(t)
	for i := range 10 {
		b.user(t, fmt.Sprint("user-", i), "")
	}
	b.group(t, "one")
	b.group(t, "two")
	const query = "&filter=userName+sw+%22user%22&attributes=userName&count=2"
	page := func(start int, more ...string) answer {
		return b.do(t, "GET", fmt.Sprint("/Users?startIndex=", start, query), "", more...).wants(200).same(fmt.Sprint(start), "startIndex")
	}
	all := strings.Fields(b.do(t, "GET", "/Users", "").wants(200).names("id"))
	remove := func(places ...int) {
		for _, i := range places {
			b.do(t, "DELETE", "/Users/"+all[i], "").wants(204)
		}
	}
	is := func(got answer, total string, places ...int) {
		t.Helper()
		want := make([]string, len(places))
		for i, place := range places {
			want[i] = all[place]
		}
		if got.names("id") != strings.Join(want, " ") {
			t.Errorf("read %s, want %s", got.names("id"), want)
		}
		got.same(total, "totalResults")
	}

	is(page(1), "10", 0, 1)
	remove(0, 1)
	is(page(3), "10", 2, 3)
	remove(3, 7)                                                  // one is read already, one is not
	b.do(t, "GET", "/Groups?startIndex=1&count=1", "").wants(200) // other readings
	b.do(t, "GET", "/Users?startIndex=1&count=1", "").wants(200)
	is(page(5), "9", 4, 5)
	is(page(7), "9", 6, 8)
	is(page(9), "9", 9) // whoever counts up to totalResults comes here, and stops
	is(page(10), "9")
	is(page(20), "6") // a jump goes by the index

	is(page(1), "6", 2, 4) // a new reading
	remove(2)
	other := "Bearer " + b.newToken(t, b.acme.id, token.ScopeSCIM, "")
	is(page(3, "Authorization", other), "5", 6, 8) // read nothing before: by the index
	is(page(3), "6", 5, 6)
	remove(5)
	is(page(3), "5", 6, 8) // asked for again
	is(page(5), "5", 9)
}

func TestRFC7644_3_9_Projection(t *testing.T) {
	b := newTours(t)
	t.Run("attributes", func(t *testing.T) {
		got := b.do(t, "GET", b.person+"?attributes=userName,name.givenName,emails.value,urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department", "").wants(200)
		got.same(`{"givenName":"Barbara"}`, "name").same(`[{"value":"Bjensen@acme.example"},{"value":"babs@jensen.example"}]`, "emails")
		got.same(`{"department":"Tours"}`, "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User")
		if len(got.body) != 6 || got.body["id"] != b.id || got.body["schemas"] == nil {
			t.Error(got.raw)
		}
	})
	t.Run("excludedAttributes", func(t *testing.T) {
		got := b.do(t, "GET", b.person+"?excludedAttributes=emails,name.familyName,id,schemas,urn:ietf:params:scim:schemas:extension:enterprise:2.0:User", "").wants(200)
		got.same(`{"formatted":"Ms. Barbara J Jensen, III","givenName":"Barbara"}`, "name")
		if got.body["emails"] != nil || got.body["id"] != b.id || got.body["schemas"] == nil || strings.Contains(got.raw, "Tours\"") {
			t.Error(got.raw)
		}
		b.do(t, "GET", b.guides+"?excludedAttributes=members", "").wants(200).same(`null`, "members")
		b.do(t, "GET", "/Groups?excludedAttributes=members", "").wants(200)
		b.do(t, "GET", b.person+"?attributes=userName&excludedAttributes=emails", "").wants(400, "invalidValue")
	})
}

// The answer to what is made or replaced has what was asked for, and the change is whole all
// the same.
func TestRFC7644_3_9_ProjectionOfWhatIsWritten(t *testing.T) {
	b := newBench(t)
	ada := b.do(t, "POST", "/Users?attributes=title", `{`+asUser+`,"userName":"ada","title":"x","nickName":"a"}`).wants(201).same(`"x"`, "title").same(`null`, "userName").same(`null`, "nickName")
	bob := b.do(t, "POST", "/Users?excludedAttributes=title,name.givenName", `{`+asUser+`,"userName":"bob","title":"x","name":{"givenName":"B","familyName":"O"}}`).wants(201).
		same(`"bob"`, "userName").same(`null`, "title").same(`{"familyName":"O"}`, "name")
	group := b.do(t, "POST", "/Groups?attributes=displayName", `{`+asGroup+`,"displayName":"ops","members":[{"value":"`+ada.id()+`"}]}`).wants(201).same(`"ops"`, "displayName").same(`null`, "members").same(`null`, "meta")
	b.do(t, "POST", "/Groups?excludedAttributes=members", `{`+asGroup+`,"displayName":"dev","members":[{"value":"`+ada.id()+`"}]}`).wants(201).same(`"dev"`, "displayName").same(`null`, "members")
	b.do(t, "GET", "/Users/"+ada.id(), "").wants(200).same(`"ada"`, "userName").same(`"a"`, "nickName")
	b.do(t, "GET", "/Users/"+bob.id(), "").wants(200).same(`"x"`, "title")
	b.do(t, "GET", "/Groups/"+group.id(), "").wants(200).same(`"`+ada.id()+`"`, "members", "0", "value")

	whole := `{` + asUser + `,"userName":"ada","title":"y","nickName":"b"}`
	b.do(t, "PUT", "/Users/"+ada.id()+"?attributes=title", whole).wants(200).same(`"y"`, "title").same(`null`, "nickName").same(`null`, "meta")
	b.do(t, "PUT", "/Users/"+ada.id()+"?excludedAttributes=title,groups", whole).wants(200).same(`null`, "title").same(`"b"`, "nickName").same(`null`, "groups")
	b.do(t, "PATCH", "/Users/"+ada.id()+"?attributes=title", patch(`{"op":"add","path":"nickName","value":"c"}`)).wants(200).same(`"y"`, "title").same(`null`, "nickName")
	b.do(t, "GET", "/Users/"+ada.id(), "").wants(200).same(`"c"`, "nickName").same(`"y"`, "title")

	// Both are refused, and nothing is done.
	const both = "?attributes=title&excludedAttributes=nickName"
	b.do(t, "POST", "/Users"+both, `{`+asUser+`,"userName":"eve"}`).wants(400, "invalidValue")
	b.do(t, "POST", "/Groups"+both, `{`+asGroup+`,"displayName":"eve"}`).wants(400, "invalidValue")
	b.do(t, "PUT", "/Users/"+ada.id()+both, `{`+asUser+`,"userName":"eve"}`).wants(400, "invalidValue")
	b.do(t, "PATCH", "/Users/"+ada.id()+both, patch(`{"op":"replace","path":"userName","value":"eve"}`)).wants(400, "invalidValue")
	b.do(t, "GET", "/Users", "").wants(200).same(`2`, "totalResults")
	b.do(t, "GET", "/Users/"+ada.id(), "").wants(200).same(`"ada"`, "userName")

	// Operations of a Bulk have no answers of which something could be left out.
	b.bulk(t, bulk("", newUser("x", "xin"), operation("PUT", "/Users/"+bob.id(), "", `{`+asUser+`,"userName":"bob","title":"z"}`)), "201", "200")
	got := b.do(t, "POST", "/Bulk?attributes=title", bulk("", newUser("y", "yan"))).wants(200).same(`"201"`, "Operations", "0", "status")
	if at, _ := got.at("Operations", "0", "location").(string); at == "" || got.at("Operations", "0", "version") != `W/"1"` || got.at("Operations", "0", "response") != nil {
		t.Error(got.raw)
	}
}

// RFC 7644 §3.5.2.2: a person is active or not, and cannot be neither. The schema says so in
// words, as a POST and a PUT may leave it out.
func TestRFC7644_3_5_2_2_ActiveIsNotRemoved(t *testing.T) {
	b := newBench(t)
	id := b.user(t, "ada", "")
	for _, o := range []string{`{"op":"remove","path":"active"}`, `{"op":"Remove","path":"` + userURN + `:active"}`, `{"op":"replace","path":"active","value":null}`, `{"op":"replace","value":{"active":null}}`} {
		if got := b.do(t, "PATCH", "/Users/"+id, patch(o)).wants(400, "mutability"); !strings.Contains(got.raw, "set it to false") {
			t.Error(got.raw)
		}
	}
	b.do(t, "GET", "/Users/"+id, "").wants(200).same(`true`, "active").same(`"W/\"1\""`, "meta", "version")
	attributes, _ := b.do(t, "GET", "/Schemas/"+userURN, "").wants(200).at("attributes").([]any)
	for _, v := range attributes {
		if a, _ := v.(map[string]any); a["name"] == "active" {
			if text, _ := a["description"].(string); a["required"] != false || !strings.Contains(text, "not removed") {
				t.Errorf("published as %v", a)
			}
			return
		}
	}
	t.Error("active is not published")
}

func TestRFC7644_3_12_Errors(t *testing.T) {
	b := newTours(t)
	t.Run("an unknown id is 404", func(t *testing.T) {
		for _, path := range []string{"/Users/usr_nobody", "/Groups/grp_none", "/Users/" + strings.Repeat("x", 500), "/Nothing", "/Users/a/b"} {
			for _, method := range []string{"GET", "DELETE"} {
				b.do(t, method, path, "").wants(404)
			}
		}
		b.do(t, "PATCH", "/Users/usr_nobody", patch(`{"op":"replace","path":"active","value":false}`)).wants(404)
		b.do(t, "PUT", "/Users/usr_nobody", bjensen).wants(404)
	})
	t.Run("methods", func(t *testing.T) {
		for path, methods := range map[string]string{"/Users": "GET, HEAD, POST", b.person: "GET, HEAD, PUT, PATCH, DELETE", "/Schemas": "GET, HEAD", "/ServiceProviderConfig": "GET, HEAD"} {
			got := b.do(t, "OPTIONS", path, "").wants(405)
			if got.header.Get("Allow") != methods {
				t.Errorf("%s allows %q", path, got.header.Get("Allow"))
			}
		}
		b.do(t, "DELETE", "/Users", "").wants(405)
		b.do(t, "GET", "/Me", "").wants(501)
	})
	t.Run("errors are SCIM's", func(t *testing.T) {
		b.do(t, "GET", "/Users?filter=%28%28", "").wants(400, "invalidFilter").same(`"400"`, "status")
		b.do(t, "GET", "/Users?count=1&count=2", "").wants(400)
		b.do(t, "GET", "/Users?a=%zz", "").wants(400)
	})
}

func TestRFC7644_3_14_Versions(t *testing.T) {
	b := newTours(t)
	t.Run("If-None-Match", func(t *testing.T) {
		if got := b.do(t, "GET", b.person, "", "If-None-Match", `W/"1"`).wants(304); got.raw != "" || got.header.Get("ETag") != `W/"1"` {
			t.Errorf("%q", got.raw)
		}
		b.do(t, "GET", b.person, "", "If-None-Match", `W/"7", "8"`).wants(200)
	})
	t.Run("If-Match", func(t *testing.T) {
		rename := patch(`{"op":"replace","path":"title","value":"Guide"}`)
		for _, tag := range []string{`W/"7"`, `"7", W/"8"`, `nonsense`, `1`} {
			b.do(t, "PATCH", b.person, rename, "If-Match", tag).wants(412)
			b.do(t, "PUT", b.person, bjensen, "If-Match", tag).wants(412)
			b.do(t, "DELETE", b.person, "", "If-Match", tag).wants(412)
			b.do(t, "DELETE", b.guides, "", "If-Match", tag).wants(412)
		}
		other := "/Users/" + b.user(t, "if-match", "")
		b.do(t, "PATCH", other, rename, "If-Match", `W/"1"`).wants(200).same(`"W/\"2\""`, "meta", "version")
		b.do(t, "PATCH", other, rename, "If-Match", `"4", "2"`).wants(200)
		b.do(t, "DELETE", other, "", "If-Match", `*`).wants(204)
	})
}

func TestRFC7644_4_Discovery(t *testing.T) {
	b := newTours(t)
	t.Run("ServiceProviderConfig tells the truth", func(t *testing.T) {
		got := b.do(t, "GET", "/ServiceProviderConfig", "").wants(200)
		got.same(`{"supported":true}`, "patch").same(`{"supported":true}`, "etag").same(`{"supported":true}`, "sort").
			same(`{"supported":false}`, "changePassword").same(`{"supported":true,"maxOperations":1000,"maxPayloadSize":8388608}`, "bulk").same(`200`, "filter", "maxResults")
		got.same(`{"cursor":true,"index":true,"defaultPaginationMethod":"index","defaultPageSize":100,"maxPageSize":200,"cursorTimeout":3600}`, "pagination")
		if strings.Contains(got.raw, `""`) {
			t.Errorf("an empty value: %s", got.raw)
		}
	})
	t.Run("ResourceTypes and Schemas", func(t *testing.T) {
		b.do(t, "GET", "/ResourceTypes", "").wants(200).same(`2`, "totalResults")
		b.do(t, "GET", "/ResourceTypes/User", "").wants(200).same(`"/Users"`, "endpoint").same(`"`+base+`/ResourceTypes/User"`, "meta", "location").
			same(`[{"schema":"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User","required":false}]`, "schemaExtensions")
		b.do(t, "GET", "/ResourceTypes/Device", "").wants(404)
		b.do(t, "GET", "/Schemas", "").wants(200).same(`3`, "totalResults")
		got := b.do(t, "GET", "/Schemas/urn:ietf:params:scim:schemas:core:2.0:User", "").wants(200)
		if !strings.Contains(got.raw, `"name":"userName"`) || strings.Contains(got.raw, "password") {
			t.Error(got.raw)
		}
		b.do(t, "GET", "/Schemas/urn:none", "").wants(404)
	})
}

func TestRFC7644_3_5_1_ReplaceIsWhole(t *testing.T) {
	b := newBench(t)
	made := b.do(t, "POST", "/Users", bjensen).wants(201)
	user := "/Users/" + made.id()
	got := b.do(t, "PUT", user, `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"bjensen@acme.example","nickName":"Babs","active":true}`).wants(200)
	got.same(`"Babs"`, "nickName").same(`null`, "title").same(`null`, "name").same(`null`, "externalId").
		same(`"bjensen@acme.example"`, "displayName").same(`"W/\"2\""`, "meta", "version").same(made.json("meta", "created"), "meta", "created")

	b.do(t, "PATCH", user, patch(`{"op":"replace","path":"active","value":false}`)).wants(200)
	b.do(t, "PUT", user, `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"bjensen@acme.example"}`).wants(200).
		same(`false`, "active") // leaving it out must not let anybody in again

	ada := b.user(t, "ada", "")
	group := "/Groups/" + b.group(t, "ops", made.id())
	b.do(t, "PUT", group, `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group"],"displayName":"Ops","members":[{"value":"`+ada+`"}]}`).wants(200).same(`"Ops"`, "displayName")
	b.do(t, "GET", "/Groups?filter=members+eq+%22"+ada+"%22", "").wants(200).same(`1`, "totalResults")
	b.do(t, "PUT", group, `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group"],"displayName":"Ops"}`).wants(200).same(`null`, "members")
	b.do(t, "PUT", group, `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group"],"displayName":"Ops","members":[{"value":"usr_nobody"}]}`).wants(400, "invalidValue")
	b.do(t, "PUT", group, `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group"],"displayName":"Ops","members":[{"display":"x"}]}`).wants(400, "invalidValue")
	b.do(t, "DELETE", group, "").wants(http.StatusNoContent)
}

func TestRFC7644_3_4_2_2_Filters(t *testing.T) {
	b := newBench(t)
	b.do(t, "POST", "/Users", bjensen).wants(201)
	ada := b.user(t, "ada", `,"displayName":"Ada \"Countess\" Lovelace","active":false,"externalId":"EXT","emails":[{"value":"ada@home.example","type":"home"}]`)
	b.group(t, "Ops", ada)
	const both, none = "bjensen@acme.example ada", ""
	for filter, want := range map[string]string{
		`userName eq "BJENSEN@acme.example"`:                           "bjensen@acme.example",
		`USERNAME Eq "ada"`:                                            "ada",
		`urn:ietf:params:scim:schemas:core:2.0:User:userName eq "ada"`: "ada",
		`userName ne "ada"`:                                            "bjensen@acme.example",
		`userName co "JENSEN"`:                                         "bjensen@acme.example",
		`userName sw "a"`:                                              "ada",
		`userName ew ".example"`:                                       "bjensen@acme.example",
		`userName gt "b"`:                                              "bjensen@acme.example",
		`userName le "ada"`:                                            "ada",
		`externalId eq "EXT"`:                                          "ada",
		`externalId eq "ext"`:                                          none,
		`externalId pr`:                                                both,
		`id eq "` + ada + `"`:                                          "ada",
		`active eq true`:                                               "bjensen@acme.example",
		`active eq "False"`:                                            "ada",
		`not (active eq true)`:                                         "ada",
		`displayName eq "ada \"countess\" lovelace"`:                   "ada",
		`displayName eq "\u0061da \"Countess\" Lovelace"`:              "ada",
		`displayName sw "\u0041\u0064\u0061\u0020\u0022\u0043\u006F\u0075"`: "ada",
		`displayName sw "\u0041\u0064\u0061\u0020\u0022\u0043\u006f\u0075"`: "ada",
		`emails[value co "h\u006fme" and type eq "h\u006Fme"]`:              "ada",
		`displayName co "\\u006f"`:                                          none,
		`emails eq "ada@home.example"`:                                      "ada",
		`emails.value eq "BABS@jensen.example"`:                             "bjensen@acme.example",
		`emails[value eq "babs@jensen.example"]`:                            "bjensen@acme.example",
		`emails co "@acme."`:                                                "bjensen@acme.example",
		`meta.created gt "2020-01-01T00:00:00Z"`:                            both,
		`meta.lastModified lt "2020-01-01T00:00:00.000+02:00"`:              none,
		`userName eq "ada" or userName sw "b"`:                              both,
		`userName eq "ada" and active eq true`:                              none,
		`userName eq "ada" and (active eq true or externalId pr)`:           "ada",
		`userName eq "x" or userName eq "y" or userName eq "ada"`:           "ada",
		`groups.value pr`:                                                   "ada",
	} {
		got := b.do(t, "GET", "/Users?filter="+escape(filter), "").wants(200)
		if got.names("userName") != want {
			t.Errorf("%s: found %q, want %q", filter, got.names("userName"), want)
		}
	}
	for filter, want := range map[string]int{
		`displayName eq "OPS"`: 1, `members.value eq "` + ada + `"`: 1, `members[value eq "` + ada + `"]`: 1, `members eq "x"`: 0, `externalId pr`: 0,
	} {
		if got := b.do(t, "GET", "/Groups?filter="+escape(filter), "").wants(200).at("totalResults"); got != float64(want) {
			t.Errorf("%s: found %v, want %d", filter, got, want)
		}
	}
	for _, filter := range []string{
		`userName`, `userName eq`, `userName eq ada`, `userName xx "a"`, `password eq "x"`, `nonsense eq "x"`, `active gt true`, `active eq "maybe"`,
		`userName eq 5`, `meta.created eq "yesterday"`, `meta eq "x"`, `()`, `not userName pr`,
		`userName eq "a" and`, `userName eq "a\q"`, strings.Repeat("(", 17) + `userName pr` + strings.Repeat(")", 17), strings.Repeat("(", 100_000),
		`userName eq "` + strings.Repeat("a", 3000) + `"`, strings.Repeat(`not(`, 400), `emails[[[`, `userName.x eq "a"`, `members.value.x eq "a"`, "userName eq \"\xff\"",
	} {
		t.Run(filter[:min(len(filter), 40)], func(t *testing.T) {
			b.do(t, "GET", "/Users?filter="+escape(filter), "").wants(400, "invalidFilter")
		})
	}
}
