package scim_test

import (
	"encoding/json"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"gatehouse/identity"
	"gatehouse/tenants"
)

const (
	customURN = "urn:ietf:params:scim:schemas:extension:Acme:2.0:User"
	badgeURN  = "urn:acme:badge:1.0"
)

// custom has an attribute of every type and characteristic.
var custom = tenants.SCIMSchema{URN: customURN, Name: "Acme", Description: "What Acme knows of people.", Attributes: []tenants.SCIMAttribute{
	{Name: "costCode", Type: tenants.StringType, Description: "Who pays."},
	{Name: "Exact", Type: tenants.StringType, CaseExact: true},
	{Name: "size", Type: tenants.StringType, CanonicalValues: []string{"Small", "Large"}},
	{Name: "remote", Type: tenants.BooleanType},
	{Name: "floor", Type: tenants.IntegerType},
	{Name: "rate", Type: tenants.DecimalType},
	{Name: "hired", Type: tenants.DateTimeType},
	{Name: "photo", Type: tenants.BinaryType},
	{Name: "home", Type: tenants.ReferenceType, ReferenceTypes: []string{"uri"}},
	{Name: "skills", Type: tenants.StringType, MultiValued: true},
	{Name: "shifts", Type: tenants.DateTimeType, MultiValued: true},
	{Name: "rooms", Type: tenants.IntegerType, MultiValued: true},
	{Name: "badgeNo", Type: tenants.StringType, Immutable: true},
	{Name: "desk", Type: tenants.ComplexType, SubAttributes: []tenants.SCIMSubAttribute{{Name: "building", Type: tenants.StringType}, {Name: "number", Type: tenants.IntegerType}}},
	{Name: "cars", Type: tenants.ComplexType, MultiValued: true, SubAttributes: []tenants.SCIMSubAttribute{{Name: "value", Type: tenants.StringType}, {Name: "seats", Type: tenants.IntegerType}, {Name: "since", Type: tenants.DateTimeType}, {Name: "primary", Type: tenants.BooleanType}}},
	{Name: "groups", Type: tenants.StringType, MultiValued: true}, // names of the core's
	{Name: "emails", Type: tenants.StringType},
	{Name: "schemas", Type: tenants.StringType, MultiValued: true},
	{Name: "id", Type: tenants.StringType},
}}

var badge = tenants.SCIMSchema{URN: badgeURN, Attributes: []tenants.SCIMAttribute{{Name: "number", Type: tenants.IntegerType, Required: true}, {Name: "costCode", Type: tenants.StringType}}}

func (b *bench) schemasOf(tenant identity.TenantID) ([]tenants.SCIMSchema, uint64) {
	if tenant == b.acme.id {
		return b.schemas, b.settings
	}
	return nil, 0
}

// define gives acme schemas of its own.
func (b *bench) define(schemas ...tenants.SCIMSchema) {
	b.schemas = schemas
	b.settings++
}

// extended is a person of acme with what they have of the custom schema.
func (b *bench) extended(t testing.TB, name, values string) answer {
	t.Helper()
	return b.do(t, "POST", "/Users", `{"schemas":["`+userURN+`","`+customURN+`"],"userName":"`+name+`","`+customURN+`":`+values+`}`)
}

func TestRFC7643_3_3_ATenantsOwnSchemaIsPublished(t *testing.T) {
	b := newBench(t)
	b.define(custom, tenants.SCIMSchema{URN: badgeURN, Required: true, Attributes: badge.Attributes})
	b.do(t, "GET", "/ResourceTypes/User", "").wants(200).
		same(`[{"schema":"`+enterpriseURN+`","required":false},{"schema":"`+customURN+`","required":false},{"schema":"`+badgeURN+`","required":true}]`, "schemaExtensions")
	b.do(t, "GET", "/ResourceTypes/Group", "").wants(200).same(`null`, "schemaExtensions")
	b.do(t, "GET", "/Schemas", "").wants(200).same(`5`, "totalResults")
	shown := b.do(t, "GET", "/Schemas/"+customURN, "").wants(200).same(`"Acme"`, "name").same(`"What Acme knows of people."`, "description").
		same(`{"name":"costCode","type":"string","multiValued":false,"description":"Who pays.","required":false,"caseExact":false,"mutability":"readWrite","returned":"default","uniqueness":"none"}`, "attributes", "0").
		same(`["Small","Large"]`, "attributes", "2", "canonicalValues").same(`["uri"]`, "attributes", "8", "referenceTypes").
		same(`true`, "attributes", "9", "multiValued").same(`"immutable"`, "attributes", "12", "mutability").
		same(`"integer"`, "attributes", "13", "subAttributes", "1", "type").same(`true`, "attributes", "1", "caseExact")
	if shown.at("meta", "location") != b.acme.origin+"/scim/v2/Schemas/"+customURN {
		t.Errorf("meta is %v", shown.at("meta"))
	}
	b.define()
	b.do(t, "GET", "/Schemas/"+customURN, "").wants(404)
	b.do(t, "GET", "/Schemas", "").wants(200).same(`3`, "totalResults")
}

func TestRFC7643_3_3_ValuesOfATenantsOwnSchema(t *testing.T) {
	b := newBench(t)
	b.define(custom)
	made := b.extended(t, "ada", `{"COSTCODE":"A-1","size":"large","remote":"True","floor":"3","rate":1.5,"hired":"2024-02-03T04:05:06.700+02:00","photo":"AAAA",
		"home":"https://a.example/","skills":["go","sql","go"],"shifts":["2024-01-01T00:00:00"],"desk":{"building":"B","number":7,"colour":"red"},"cars":[{"value":"vw","seats":4}],"unknown":1,"id":"x","groups":["g"]}`).
		wants(201).same(`{"costCode":"A-1","size":"Large","remote":true,"floor":3,"rate":1.5,"hired":"2024-02-03T02:05:06.7Z","photo":"AAAA","home":"https://a.example/",
		"skills":["go","sql"],"shifts":["2024-01-01T00:00:00Z"],"desk":{"building":"B","number":7},"cars":[{"value":"vw","seats":4}],"id":"x","groups":["g"]}`, customURN).
		same(`["`+userURN+`","`+customURN+`"]`, "schemas")
	user := "/Users/" + made.id()
	b.do(t, "GET", user, "").wants(200).same(made.json(customURN), customURN)
	b.do(t, "GET", user+"?attributes="+customURN+":costCode", "").wants(200).same(`{"costCode":"A-1"}`, customURN).same(`null`, "userName")
	b.do(t, "GET", user+"?attributes="+customURN+":desk.number,userName", "").wants(200).same(`{"desk":{"number":7}}`, customURN).same(`"ada"`, "userName")
	b.do(t, "GET", user+"?excludedAttributes="+customURN, "").wants(200).same(`null`, customURN).same(`"ada"`, "userName")

	for values, scimType := range map[string]string{
		`{"floor":1.5}`: "invalidValue", `{"floor":"x"}`: "invalidValue", `{"floor":9007199254740992}`: "invalidValue", `{"floor":true}`: "invalidValue",
		`{"rate":"x"}`: "invalidValue", `{"rate":1e999}`: "invalidValue", `{"remote":"perhaps"}`: "invalidValue", `{"remote":1}`: "invalidValue",
		`{"hired":"yesterday"}`: "invalidValue", `{"hired":"2024-02-30T00:00:00Z"}`: "invalidValue", `{"hired":"2024-02-03"}`: "invalidValue", `{"hired":5}`: "invalidValue",
		`{"photo":"?"}`: "invalidValue", `{"home":5}`: "invalidValue", `{"size":"medium"}`: "invalidValue", `{"costCode":5}`: "invalidValue",
		`{"skills":[5]}`: "invalidValue", `{"shifts":["x"]}`: "invalidValue", `{"desk":{"number":"seven"}}`: "invalidValue", `{"cars":[{"seats":1.5}]}`: "invalidValue", `5`: "invalidValue",
		`{"cars":[{"value":"a","primary":true},{"value":"b","primary":true}]}`: "invalidValue",
	} {
		b.extended(t, "grace", values).wants(400, scimType)
	}
	// PUT takes away what it does not name.
	b.do(t, "PUT", user, `{"schemas":["`+userURN+`"],"userName":"ada","`+strings.ToUpper(customURN)+`":{"floor":4}}`).wants(200).same(`{"floor":4}`, customURN)
	b.do(t, "PUT", user, `{"schemas":["`+userURN+`"],"userName":"ada","`+customURN+`":{"floor":null}}`).wants(200).same(`null`, customURN).same(`["`+userURN+`"]`, "schemas")
}

func TestRFC7644_3_5_2_PatchesOfATenantsOwnSchema(t *testing.T) {
	b := newBench(t)
	b.define(custom, badge)
	user := "/Users/" + b.user(t, "ada", "")
	at := func(attribute string) string { return customURN + ":" + attribute }
	for _, s := range []struct{ operation, want string }{
		{`{"op":"Add","path":"` + at("costCode") + `","value":"A"}`, `{"costCode":"A"}`},
		{`{"op":"add","value":{"` + at("floor") + `":"2","` + at("desk.building") + `":"B"}}`, `{"costCode":"A","floor":2,"desk":{"building":"B"}}`},
		{`{"op":"replace","value":{"` + customURN + `":{"floor":3,"id":"i","schemas":["x"]}}}`, `{"costCode":"A","floor":3,"desk":{"building":"B"},"id":"i","schemas":["x"]}`},
		{`{"op":"remove","path":"` + at("schemas") + `"},{"op":"remove","path":"` + at("id") + `"}`, `{"costCode":"A","floor":3,"desk":{"building":"B"}}`},
		{`{"op":"add","path":"` + customURN + `","value":{"skills":["go"]}}`, `{"costCode":"A","floor":3,"desk":{"building":"B"},"skills":["go"]}`},
		{`{"op":"add","path":"` + at("skills") + `","value":["sql","go"]}`, `{"costCode":"A","floor":3,"desk":{"building":"B"},"skills":["go","sql"]}`},
		{`{"op":"add","path":"` + at("skills") + `","value":[{"value":"tls"}]}`, `{"costCode":"A","floor":3,"desk":{"building":"B"},"skills":["go","sql","tls"]}`},
		{`{"op":"remove","path":"` + at("skills") + `","value":["sql"]}`, `{"costCode":"A","floor":3,"desk":{"building":"B"},"skills":["go","tls"]}`},
		{`{"op":"remove","path":"` + at(`skills[value sw \"T\"]`) + `"}`, `{"costCode":"A","floor":3,"desk":{"building":"B"},"skills":["go"]}`},
		{`{"op":"replace","path":"` + at(`skills[value eq \"go\"]`) + `","value":"ml"}`, `{"costCode":"A","floor":3,"desk":{"building":"B"},"skills":["ml"]}`},
		{`{"op":"remove","path":"` + at("desk") + `"},{"op":"remove","path":"` + at("skills") + `"},{"op":"remove","path":"` + at("costCode") + `"}`, `{"floor":3}`},
		{`{"op":"add","path":"` + at("rooms") + `","value":[1,2,30]},{"op":"remove","path":"` + at("rooms[value gt 1 and value lt 10]") + `"}`, `{"floor":3,"rooms":[1,30]}`},
		{`{"op":"add","path":"` + at("shifts") + `","value":["2024-01-01T02:00:00+02:00","2025-01-01T00:00:00Z"]},{"op":"remove","path":"` + at(`shifts[value lt \"2024-06-01T00:00:00Z\"]`) + `"},{"op":"remove","path":"` + at("rooms") + `"}`, `{"floor":3,"shifts":["2025-01-01T00:00:00Z"]}`},
		{`{"op":"add","path":"` + at("cars[seats eq 4].value") + `","value":"vw"},{"op":"remove","path":"` + at("shifts") + `"}`, `{"floor":3,"cars":[{"seats":4,"value":"vw"}]}`},
		{`{"op":"replace","path":"` + at(`cars[seats ge 4 and seats lt 5].since`) + `","value":"2024-01-01T02:00:00+02:00"}`, `{"floor":3,"cars":[{"seats":4,"value":"vw","since":"2024-01-01T00:00:00Z"}]}`},
		{`{"op":"remove","path":"` + at(`cars[since eq \"2024-01-01T00:00:00+00:00\"]`) + `"}`, `{"floor":3}`},
		{`{"op":"replace","path":"` + strings.ToLower(at("FLOOR")) + `","value":5}`, `{"floor":5}`},
		{`{"op":"replace","path":"` + at("hired") + `","value":"2024-01-01T00:00:00Z"},{"op":"replace","path":"` + at("hired") + `","value":""}`, `{"floor":5}`},
		{`{"op":"replace","path":"` + at("floor") + `","value":""}`, `null`},
		{`{"op":"replace","path":"` + at("floor") + `","value":5},{"op":"replace","path":"` + at("floor") + `","value":null}`, `null`},
		{`{"op":"add","path":"` + at("floor") + `","value":1},{"op":"remove","path":"` + customURN + `"}`, `null`},
	} {
		b.do(t, "PATCH", user, patch(s.operation)).wants(200)
		b.do(t, "GET", user, "").wants(200).same(s.want, customURN)
	}
	for operation, scimType := range map[string]string{
		`{"op":"add","path":"` + at("unknown") + `","value":"x"}`:                                                  "invalidPath",
		`{"op":"add","path":"costCode","value":"x"}`:                                                               "invalidPath", // by its whole name alone
		`{"op":"add","value":{"costCode":"x"}}`:                                                                    "invalidPath",
		`{"op":"add","value":{"` + at("unknown") + `":"x"}}`:                                                       "invalidPath",
		`{"op":"add","path":"urn:acme:other:1.0:floor","value":1}`:                                                 "invalidPath",
		`{"op":"add","path":"` + at("desk.colour") + `","value":"x"}`:                                              "invalidPath",
		`{"op":"add","path":"` + at("costCode.value") + `","value":"x"}`:                                           "invalidPath",
		`{"op":"remove","path":"` + at(`costCode[value eq \"x\"]`) + `"}`:                                          "invalidPath",
		`{"op":"remove","path":"` + at(`skills[type eq \"x\"]`) + `"}`:                                             "invalidPath",
		`{"op":"remove","path":"` + at(`skills[value eq \"x\"].value`) + `"}`:                                      "invalidPath",
		`{"op":"remove","path":"` + at(`rooms[value eq \"x\"]`) + `"}`:                                             "invalidFilter",
		`{"op":"remove","path":"` + at(`rooms[value co 1]`) + `"}`:                                                 "invalidFilter",
		`{"op":"remove","path":"` + at(`rooms[value gt null]`) + `"}`:                                              "invalidFilter",
		`{"op":"remove","path":"` + at(`shifts[value sw \"2024\"]`) + `"}`:                                         "invalidFilter",
		`{"op":"replace","path":"` + at(`skills[value eq \"x\"]`) + `","value":"y"}`:                               "noTarget",
		`{"op":"add","path":"` + at("floor") + `","value":"high"}`:                                                 "invalidValue",
		`{"op":"add","path":"` + at("size") + `","value":"medium"}`:                                                "invalidValue",
		`{"op":"add","path":"` + at("hired") + `","value":"soon"}`:                                                 "invalidValue",
		`{"op":"add","path":"` + badgeURN + `:number","value":1},{"op":"remove","path":"` + badgeURN + `:number"}`: "mutability",
	} {
		b.do(t, "PATCH", user, patch(operation)).wants(400, scimType)
	}
}

func TestRFC7643_7_RequiredAndImmutable(t *testing.T) {
	b := newBench(t)
	b.define(custom, badge)
	person := func(more string) string { return `{"schemas":["` + userURN + `"],"userName":"ada"` + more + `}` }
	ofBadge := func(values string) string { return `,"` + badgeURN + `":` + values }
	b.do(t, "POST", "/Users", person(ofBadge(`{"costCode":"x"}`))).wants(400, "invalidValue")
	made := b.do(t, "POST", "/Users", person(ofBadge(`{}`))).wants(201).same(`null`, badgeURN)
	user := "/Users/" + made.id()
	// What has come to be required keeps nobody from being deactivated.
	b.define(custom, tenants.SCIMSchema{URN: badgeURN, Required: true, Attributes: badge.Attributes})
	b.do(t, "PUT", user, person("")).wants(400, "invalidValue")
	b.do(t, "POST", "/Users", `{"schemas":["`+userURN+`"],"userName":"grace"}`).wants(400, "invalidValue")
	b.do(t, "PATCH", user, patch(`{"op":"replace","value":{"active":false}}`)).wants(200).same(`false`, "active")
	b.do(t, "PUT", user, person(ofBadge(`{"number":7}`))).wants(200).same(`{"number":7}`, badgeURN)
	b.do(t, "PATCH", user, patch(`{"op":"remove","path":"`+badgeURN+`"}`)).wants(400, "mutability")

	b.define(custom)
	at := customURN + ":badgeNo"
	b.do(t, "PATCH", user, patch(`{"op":"add","path":"`+at+`","value":"B1"}`)).wants(200)
	b.do(t, "PATCH", user, patch(`{"op":"replace","path":"`+at+`","value":"B1"}`)).wants(200) // the same
	b.do(t, "PATCH", user, patch(`{"op":"replace","path":"`+at+`","value":"B2"}`)).wants(400, "mutability")
	b.do(t, "PATCH", user, patch(`{"op":"remove","path":"`+at+`"}`)).wants(400, "mutability")
	b.do(t, "PATCH", user, patch(`{"op":"remove","path":"`+customURN+`"}`)).wants(400, "mutability")
	b.do(t, "PUT", user, person(`,"`+customURN+`":{"badgeNo":"B2"}`)).wants(400, "mutability")
	b.do(t, "PUT", user, person(`,"`+customURN+`":{"floor":1}`)).wants(200).same(`{"floor":1,"badgeNo":"B1"}`, customURN)
	b.do(t, "PUT", user, person("")).wants(200).same(`{"badgeNo":"B1"}`, customURN) // RFC 7644 §3.5.1
}

func TestAChangedSchemaAnswersWhatFits(t *testing.T) {
	b := newBench(t)
	b.define(custom)
	user := "/Users/" + b.extended(t, "ada", `{"costCode":"12","floor":3,"skills":["go"],"size":"Small"}`).wants(201).id()
	with := func(a tenants.SCIMAttribute) tenants.SCIMSchema {
		return tenants.SCIMSchema{URN: customURN, Attributes: []tenants.SCIMAttribute{a}}
	}
	b.define() // it is gone, and the values with it
	b.do(t, "GET", user, "").wants(200).same(`null`, customURN).same(`["`+userURN+`"]`, "schemas")
	b.do(t, "GET", "/Users?filter="+escape(customURN+":floor eq 3"), "").wants(400, "invalidFilter")
	b.do(t, "PATCH", user, patch(`{"op":"add","path":"`+customURN+`:floor","value":1}`)).wants(400, "invalidPath")
	b.define(custom) // it comes back, and so do they
	b.do(t, "GET", user, "").wants(200).same(`{"costCode":"12","floor":3,"skills":["go"],"size":"Small"}`, customURN)
	// Of another type they are not answered, and stand in no change's way.
	b.define(with(tenants.SCIMAttribute{Name: "floor", Type: tenants.BooleanType}))
	b.do(t, "GET", user, "").wants(200).same(`null`, customURN)
	b.define(with(tenants.SCIMAttribute{Name: "size", Type: tenants.StringType, CanonicalValues: []string{"Huge"}}))
	b.do(t, "GET", user, "").wants(200).same(`null`, customURN)
	b.define(with(tenants.SCIMAttribute{Name: "skills", Type: tenants.StringType}))
	b.do(t, "PATCH", user, patch(`{"op":"replace","path":"title","value":"x"}`)).wants(200).same(`null`, customURN)
	b.define(custom) // the change has taken them
	b.do(t, "GET", user, "").wants(200).same(`null`, customURN)
}

func TestP3_ATenantsSchemaIsItsOwn(t *testing.T) {
	b := newBench(t)
	b.define(custom)
	r := b.newRequest(t.Context(), "GET", "/Schemas/"+customURN, "")
	r.Header.Set("Authorization", "Bearer "+b.globex.token)
	b.request(t, b.globex, r).wants(404)
	r = b.newRequest(t.Context(), "POST", "/Users", `{"schemas":["`+userURN+`"],"userName":"ada","`+customURN+`":{"floor":3}}`)
	r.Header.Set("Authorization", "Bearer "+b.globex.token)
	made := b.request(t, b.globex, r).wants(201).same(`null`, customURN)
	r = b.newRequest(t.Context(), "PATCH", "/Users/"+made.id(), patch(`{"op":"add","path":"`+customURN+`:floor","value":3}`))
	r.Header.Set("Authorization", "Bearer "+b.globex.token)
	b.request(t, b.globex, r).wants(400, "invalidPath")
}

func TestRFC7644_3_4_2_2_FiltersOfATenantsOwnSchema(t *testing.T) {
	b := newBench(t)
	b.define(custom, badge)
	b.extended(t, "ada", `{"costCode":"Ab","Exact":"Ab","remote":true,"floor":9,"rate":1.5,"hired":"2024-01-01T00:00:00+01:00","skills":["Go","sql"],"shifts":["2024-01-01T00:00:00Z"],"rooms":[10,9],
		"desk":{"building":"B","number":7},"cars":[{"value":"vw","seats":4,"since":"2020-01-01T00:00:00Z"},{"value":"bmw","seats":2}],"groups":["x"],"emails":"a@b","schemas":["s"]}`).wants(201)
	b.extended(t, "bob", `{"costCode":"b","Exact":"ab","remote":false,"floor":10,"rate":10,"hired":"2023-12-31T23:00:00.5Z","skills":["rust"],"rooms":[2]}`).wants(201)
	b.user(t, "eve", `,"`+badgeURN+`":{"number":1}`)
	for filter, want := range map[string]string{
		`C:costCode eq "AB"`: "ada", `C:Exact eq "Ab"`: "ada", `C:Exact eq "AB"`: "", `C:remote eq true`: "ada", `C:remote ne true`: "bob eve", `C:remote eq "False"`: "bob",
		`C:floor gt 9`: "bob", `C:floor ge 9`: "ada bob", `C:floor lt 10`: "ada", `C:rate gt 2`: "bob", `C:rate eq 1.50`: "ada", `C:floor pr`: "ada bob", `not (C:floor pr)`: "eve",
		`C:hired eq "2023-12-31T23:00:00Z"`: "ada", `C:hired gt "2023-12-31T23:00:00Z"`: "bob", `C:hired ge "2024-01-01T01:00:00+02:00"`: "ada bob", `C:hired lt "2023-12-31T23:00:00.25Z"`: "ada", `C:hired ne "2023-12-31T23:00:00.5Z"`: "ada eve",
		`C:skills eq "go"`: "ada", `C:skills co "s"`: "ada bob", `C:skills[value eq "SQL"]`: "ada", `C:skills[value sw "g" and value ew "l"]`: "", `C:skills pr`: "ada bob", `C:skills eq null`: "eve", `C:skills.value eq "rust"`: "bob",
		`C:rooms gt 9`: "ada", `C:rooms[value gt 9]`: "ada", `C:rooms eq 2`: "bob", `C:shifts le "2024-01-01T00:00:00Z"`: "ada", `C:skills ne "rust"`: "ada eve",
		`C:desk.number eq 7`: "ada", `C:desk.building co "b"`: "ada", `C:desk pr`: "ada", `C:cars.seats eq 2`: "ada", `C:cars[value eq "vw" and seats gt 3]`: "ada", `C:cars[value eq "vw" and seats eq 2]`: "", `C:cars[since lt "2021-01-01T00:00:00Z"]`: "ada",
		`C:cars eq "BMW"`: "ada", `C:groups eq "x"`: "ada", `C:emails eq "a@b"`: "ada", `C:schemas eq "s"`: "ada", `schemas eq "s"`: "",
		`schemas eq "` + customURN + `"`: "ada bob", `schemas eq "` + badgeURN + `"`: "eve", `schemas co "acme"`: "ada bob eve",
		strings.ToLower(customURN) + `:costcode eq "b"`: "bob", badgeURN + `:number eq 1`: "eve", badgeURN + `:costCode pr`: "",
	} {
		filter = strings.ReplaceAll(filter, "C:", customURN+":")
		if got := b.do(t, "GET", "/Users?sortBy=userName&filter="+escape(filter), "").wants(200).names("userName"); got != want {
			t.Errorf("%s finds %q, want %q", filter, got, want)
		}
	}
	for _, filter := range []string{`costCode eq "b"`, `C:unknown eq 1`, `C:floor eq "x"`, `C:floor co 1`, `C:hired sw "2024"`, `C:hired eq "x"`, `C:desk eq "B"`, `C:desk[colour eq "x"]`, `C:costCode[value eq "x"]`,
		`C:skills[type eq "x"]`, `C:remote gt true`, `C:skills.type eq "x"`} {
		b.do(t, "GET", "/Users?filter="+escape(strings.ReplaceAll(filter, "C:", customURN+":")), "").wants(400, "invalidFilter")
	}
	for sortBy, want := range map[string]string{"floor": "ada bob eve", "hired": "ada bob eve", "rooms": "bob ada eve", "skills": "ada bob eve", "Exact": "ada bob eve", "cars": "ada bob eve", "rate": "ada bob eve", "desk.number": "ada bob eve"} {
		if got := b.do(t, "GET", "/Users?sortBy="+customURN+":"+sortBy, "").wants(200).names("userName"); got != want {
			t.Errorf("by %s they are %s, want %s", sortBy, got, want)
		}
		page := b.do(t, "GET", "/Users?count=1&cursor=&sortBy="+customURN+":"+sortBy, "").wants(200)
		var next string
		must(t, json.Unmarshal([]byte(page.json("nextCursor")), &next))
		page = b.do(t, "GET", "/Users?count=2&cursor="+next+"&sortBy="+customURN+":"+sortBy, "").wants(200)
		if got, _, _ := strings.Cut(want, " "); got+" "+page.names("userName") != want {
			t.Errorf("by %s the second page is %s", sortBy, page.names("userName"))
		}
	}
	// The root knows it too, where groups have none of it.
	b.group(t, "ops")
	b.do(t, "GET", "?filter="+escape(customURN+":floor eq 9"), "").wants(200).same(`1`, "totalResults")
}

func TestABulkKnowsTheTenantsSchema(t *testing.T) {
	b := newBench(t)
	b.define(custom)
	one := func(n string) string {
		return `{"method":"POST","path":"/Users","bulkId":"` + n + `","data":{"schemas":["` + userURN + `"],"userName":"` + n + `","` + customURN + `":{"floor":` + n + `}}}`
	}
	b.do(t, "POST", "/Bulk", `{"schemas":["urn:ietf:params:scim:api:messages:2.0:BulkRequest"],"Operations":[`+one("1")+`,`+one("2")+`,
		{"method":"PATCH","path":"/Users/bulkId:2","data":`+patch(`{"op":"add","path":"`+customURN+`:costCode","value":"x"}`)+`}]}`).wants(200)
	b.do(t, "GET", "/Users?filter="+escape(customURN+`:floor eq 2 and `+customURN+`:costCode eq "x"`), "").wants(200).same(`1`, "totalResults")
	b.do(t, "GET", "/Users?filter="+escape(customURN+`:floor eq 1`), "").wants(200).same(`1`, "totalResults")
}

// dates and numbers are values of a tenant's own schema.
var (
	dates   = []string{"2024-01-01T00:00:00Z", "2024-01-01T00:00:00.5Z", "2023-12-31T23:59:59.999999999Z", "2024-01-01T01:00:00+01:00", "0999-01-01T00:00:00Z", "2024-01-01T00:00:00.25+02:00"}
	numbers = []int{-10, -9, 0, 2, 9, 10, 1000000}
)

// drawCustom draws what a person has of the tenant's own schema.
func drawCustom(t *rapid.T) map[string]any {
	custom := map[string]any{}
	if rapid.Bool().Draw(t, "has nothing of its own") {
		return custom
	}
	texts := rapid.SliceOfN(someText, 3, 3).Draw(t, "own texts")
	custom["costCode"], custom["Exact"], custom["desk"] = texts[0], texts[1], map[string]any{"building": texts[2]}
	custom["remote"] = rapid.Bool().Draw(t, "remote")
	custom["skills"] = rapid.SliceOfN(rapid.SampledFrom([]string{"a", "A", "b", "work", "ä", `a"b`}), 0, 3).Draw(t, "skills")
	custom["groups"] = []string{"a", texts[0]}
	custom["rooms"] = rapid.SliceOfN(rapid.SampledFrom(numbers), 0, 3).Draw(t, "rooms")
	custom["shifts"] = rapid.SliceOfN(rapid.SampledFrom(dates), 0, 2).Draw(t, "shifts")
	custom["hired"] = rapid.SampledFrom(dates).Draw(t, "hired")
	custom["floor"] = rapid.SampledFrom(numbers).Draw(t, "floor")
	custom["rate"] = float64(rapid.SampledFrom(numbers).Draw(t, "rate")) + 0.5
	custom["cars"] = []any{map[string]any{"value": "a", "seats": custom["floor"]}, map[string]any{"value": "b" + texts[1], "seats": 2}}
	return custom
}

// What is expensive is read for whomever asks for it, by whatever name.
func TestRFC7644_3_10_GroupsAndMembersByTheirWholeNames(t *testing.T) {
	b := newBench(t)
	ada := b.user(t, "ada", "")
	ops := b.group(t, "ops", ada)
	b.do(t, "GET", "/Groups/"+ops+"?attributes=urn:ietf:params:scim:schemas:core:2.0:Group:members", "").wants(200).members(ada)
	for _, path := range []string{"/Users/" + ada, "/Users"} {
		for query, want := range map[string]bool{"": true, "attributes=groups": true, "attributes=" + userURN + ":groups.value": true, "excludedAttributes=groups": false, "excludedAttributes=" + userURN + ":groups": false, "attributes=userName": false} {
			if got := b.do(t, "GET", path+"?"+query, "").wants(200).raw; strings.Contains(got, ops) != want {
				t.Errorf("%s with %q answers %s", path, query, got)
			}
		}
	}
}
