package scim_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/elimity-com/scim/schema"
)

// fullUser is what RFC 7643 §8.3 shows of a person, in other words: every attribute of
// the core and of the enterprise extension has a value.
const fullUser = `"externalId":"E-7","displayName":"Mo Doe","nickName":"Mo","profileUrl":"https://id.example/mo","title":"Baker","userType":"Employee","preferredLanguage":"en-GB",
	"locale":"en-GB","timezone":"Europe/Vienna","active":true,"name":{"formatted":"Dr. Mo K. Doe II","familyName":"Doe","givenName":"Mo","middleName":"K.","honorificPrefix":"Dr.","honorificSuffix":"II"},
	"emails":[{"value":"mo@work.example","type":"work","primary":true,"display":"at work"},{"value":"mo@home.example","type":"home"}],
	"addresses":[{"type":"work","streetAddress":"1 Lane","locality":"Town","region":"CA","postalCode":"91608","country":"AT","formatted":"1 Lane\nTown","primary":true}],
	"phoneNumbers":[{"value":"tel:+1-201-555-0199","type":"work"},{"value":"tel:+1-201-555-0198","type":"mobile","primary":true}],
	"ims":[{"value":"mo","type":"xmpp"}],"photos":[{"value":"https://id.example/mo.jpg","type":"photo"}],"entitlements":[{"value":"oven","type":"key"}],
	"roles":[{"value":"baker","display":"Baker","primary":true}],"x509Certificates":[{"value":"MIIB+A=="}],
	"` + enterpriseURN + `":{"employeeNumber":"7","costCenter":"4130","organization":"Bakery","division":"Bread","department":"Rye","manager":{"value":"26118915","$ref":"../Users/26118915"}}`

// RFC 7643 §4.1, §4.3, §8.3: what a client may write comes back as it was written.
func TestRFC7643_4_1_EveryAttributeOfAPerson(t *testing.T) {
	b := newBench(t)
	made := b.do(t, "POST", "/Users", `{`+asReport+`,"userName":"mo@acme.example",`+fullUser+`}`).wants(201)
	got := b.do(t, "GET", "/Users/"+made.id(), "").wants(200)
	sent := answer{t: t}
	must(t, json.Unmarshal([]byte(`{`+fullUser+`}`), &sent.body))
	for name := range sent.body {
		got.same(sent.json(name), name)
	}
	if len(got.body) != len(sent.body)+4 { // id, meta, schemas, userName
		t.Errorf("%d attributes came back, %d were sent: %s", len(got.body), len(sent.body), got.raw)
	}
	b.do(t, "PUT", "/Users/"+made.id(), got.raw).wants(200).same(`"W/\"1\""`, "meta", "version") // what was read is nothing new
}

// RFC 7643 §2.3.5, §3.1: the times are of one form, and the last change is the first one
// until there is another.
func TestRFC7643_3_1_Times(t *testing.T) {
	b := newBench(t)
	id := b.user(t, "ada", "")
	times := func(a answer) (created, changed time.Time) {
		t.Helper()
		for name, at := range map[string]*time.Time{"created": &created, "lastModified": &changed} {
			text, _ := a.at("meta", name).(string)
			var err error
			*at, err = time.Parse(time.RFC3339Nano, text)
			must(t, err)
			if at.Location() != time.UTC {
				t.Errorf("%s is %s, which is not in UTC", name, text)
			}
		}
		return created, changed
	}
	first, same := times(b.do(t, "GET", "/Users/"+id, ""))
	if !first.Equal(same) {
		t.Errorf("made %v, changed %v", first, same)
	}
	for time.Now().UnixMilli() <= same.UnixMilli() { // its clock counts milliseconds
	}
	// RFC 7644 §3.5.2.1: what is there already changes nothing, and not this time either.
	for _, nothing := range []string{`{"op":"add","path":"userName","value":"ada"}`, `{"op":"remove","path":"title"}`, `{"op":"replace","path":"active","value":true}`} {
		if _, changed := times(b.do(t, "PATCH", "/Users/"+id, patch(nothing)).wants(200).same(`"W/\"1\""`, "meta", "version")); !changed.Equal(same) {
			t.Errorf("%s changed it", nothing)
		}
	}
	created, changed := times(b.do(t, "PATCH", "/Users/"+id, patch(`{"op":"add","path":"title","value":"x"}`)).wants(200))
	if !created.Equal(first) || !changed.After(same) {
		t.Errorf("made %v, changed %v; before %v, %v", created, changed, first, same)
	}
}

// RFC 7643 §3.1: an id is never given again, and never "bulkId"; meta.location is what the
// Content-Location of the answer says, and its version the ETag.
func TestRFC7643_3_1_IdsAndAddresses(t *testing.T) {
	b := newBench(t)
	id := b.user(t, "ada", "")
	group := b.group(t, "ops", id)
	for path, answers := range map[string][]answer{
		"/Users/" + id: {b.do(t, "GET", "/Users/"+id, ""), b.do(t, "PUT", "/Users/"+id, `{`+asUser+`,"userName":"ada","title":"x"}`),
			b.do(t, "PATCH", "/Users/"+id, patch(`{"op":"add","path":"title","value":"y"}`))},
		"/Groups/" + group: {b.do(t, "GET", "/Groups/"+group, ""), b.do(t, "PATCH", "/Groups/"+group+"?attributes=id,meta", patch(`{"op":"add","path":"externalId","value":"y"}`))},
	} {
		for i, got := range answers {
			got.wants(200).same(`"`+base+path+`"`, "meta", "location")
			if got.header.Get("Content-Location") != base+path || got.header.Get("ETag") != got.at("meta", "version") {
				t.Errorf("%s, %d: %v", path, i, got.header)
			}
		}
	}
	made := b.do(t, "POST", "/Users", `{`+asUser+`,"userName":"bob"}`).wants(201)
	if at := made.header.Get("Location"); at != base+"/Users/"+made.id() || made.header.Get("Content-Location") != at || made.header.Get("ETag") != `W/"1"` {
		t.Errorf("made with %v", made.header)
	}
	b.do(t, "DELETE", "/Users/"+id, "").wants(204)
	if again := b.user(t, "ada", `,"id":"`+id+`"`); again == id || strings.Contains(again, "bulkId") {
		t.Errorf("the new id is %s, the old one was %s", again, id)
	}
	b.do(t, "GET", "/Users/bulkId", "").wants(404)
}

// RFC 7643 §4.1.2: who is in a group is said in the group, and read only in the person.
func TestRFC7643_4_1_2_GroupsAreReadOnly(t *testing.T) {
	b := newTours(t)
	ada := "/Users/" + b.user(t, "ada", `,"groups":[{"value":"`+b.guides[8:]+`"}]`)
	b.do(t, "PUT", b.person, `{`+asUser+`,"userName":"bjensen@acme.example","groups":[]}`).wants(200).same(`"Tour Guides"`, "groups", "0", "display")
	b.do(t, "PUT", ada, `{`+asUser+`,"userName":"ada","groups":[{"value":"`+b.guides[8:]+`"}]}`).wants(200).same(`null`, "groups")
	for _, o := range []string{`{"op":"remove","path":"groups"}`, `{"op":"replace","path":"groups","value":[]}`, `{"op":"add","path":"groups","value":[{"value":"x"}]}`,
		`{"op":"remove","path":"groups[value eq \"` + b.guides[8:] + `\"]"}`, `{"op":"replace","value":{"groups":[]}}`, `{"op":"replace","path":"meta.version","value":"x"}`,
		`{"op":"replace","path":"id","value":"x"}`} {
		b.do(t, "PATCH", b.person, patch(o)).wants(400, "mutability")
	}
	b.do(t, "GET", b.person, "").wants(200).same(`"Tour Guides"`, "groups", "0", "display")
}

// RFC 7643 §2.3.3, §2.3.6: what is no base64 is no certificate.
func TestRFC7643_2_3_6_Binary(t *testing.T) {
	b := newBench(t)
	for _, value := range []string{"not base64!", "A", "AA=A"} {
		b.do(t, "POST", "/Users", `{`+asUser+`,"userName":"x","x509Certificates":[{"value":"`+value+`"}]}`).wants(400, "invalidValue")
	}
	b.user(t, "ada", `,"x509Certificates":[{"value":"AAEC"}]`)
}

// RFC 7643 §5: what the configuration must say.
func TestRFC7643_5_ServiceProviderConfig(t *testing.T) {
	b := newBench(t)
	got := b.do(t, "GET", "/ServiceProviderConfig", "").wants(200).same(`["urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig"]`, "schemas").
		same(`"ServiceProviderConfig"`, "meta", "resourceType").same(`"`+base+`/ServiceProviderConfig"`, "meta", "location")
	for _, name := range []string{"patch", "bulk", "filter", "changePassword", "sort", "etag"} {
		if _, ok := got.at(name, "supported").(bool); !ok {
			t.Errorf("%s.supported is %v", name, got.at(name, "supported"))
		}
	}
	for _, path := range [][]string{{"bulk", "maxOperations"}, {"bulk", "maxPayloadSize"}, {"filter", "maxResults"}} {
		if n, _ := got.at(path...).(float64); n < 1 {
			t.Errorf("%v is %v", path, got.at(path...))
		}
	}
	for _, name := range []string{"type", "name", "description"} {
		if text, _ := got.at("authenticationSchemes", "0", name).(string); text == "" {
			t.Errorf("the scheme has no %s", name)
		}
	}
	got.same(`"oauthbearertoken"`, "authenticationSchemes", "0", "type")
}

// RFC 7643 §6: every type of resource says where it is and what schema it has, each of
// which is there.
func TestRFC7643_6_ResourceTypes(t *testing.T) {
	b := newBench(t)
	list, _ := b.do(t, "GET", "/ResourceTypes", "").wants(200).at("Resources").([]any)
	for _, v := range list {
		one := answer{t: t}
		one.body, _ = v.(map[string]any)
		id := fmt.Sprint(one.at("id"))
		one.same(`["urn:ietf:params:scim:schemas:core:2.0:ResourceType"]`, "schemas").same(`"ResourceType"`, "meta", "resourceType").same(`"`+base+`/ResourceTypes/`+id+`"`, "meta", "location").same(`"`+id+`"`, "name")
		b.do(t, "GET", "/ResourceTypes/"+id, "").wants(200).same(one.json(), []string{}...)
		b.do(t, "GET", fmt.Sprint(one.at("endpoint")), "").wants(200)
		b.do(t, "GET", "/Schemas/"+fmt.Sprint(one.at("schema")), "").wants(200).same(one.json("schema"), "id")
		extensions, _ := one.at("schemaExtensions").([]any)
		for i := range extensions {
			at := fmt.Sprint(i)
			b.do(t, "GET", "/Schemas/"+fmt.Sprint(one.at("schemaExtensions", at, "schema")), "").wants(200)
			if _, ok := one.at("schemaExtensions", at, "required").(bool); !ok {
				t.Errorf("%s: %v", id, extensions)
			}
		}
	}
	if len(list) != 2 {
		t.Errorf("%d types", len(list))
	}
}

// RFC 7643 §7: every attribute says what it is, in words that the standard has for it.
func TestRFC7643_7_EveryAttributeSaysWhatItIs(t *testing.T) {
	b := newBench(t)
	words := map[string][]string{"type": {"string", "boolean", "decimal", "integer", "dateTime", "binary", "reference", "complex"},
		"mutability": {"readOnly", "readWrite", "immutable", "writeOnly"}, "returned": {"always", "never", "default", "request"}, "uniqueness": {"none", "server", "global"}}
	var walk func(of string, list any)
	walk = func(of string, list any) {
		attributes, ok := list.([]any)
		if !ok || len(attributes) == 0 {
			t.Errorf("%s has no attributes", of)
		}
		for _, v := range attributes {
			a, _ := v.(map[string]any)
			name := of + "." + fmt.Sprint(a["name"])
			if a["name"] == "" || a["name"] == nil {
				t.Errorf("%s has one without a name", of)
			}
			for word, allowed := range words {
				text, _ := a[word].(string)
				none := word == "uniqueness" && (a["type"] == "complex" || a["type"] == "boolean") && text == "" // which is the default
				if !slices.Contains(allowed, text) && !none {
					t.Errorf("%s: %s is %v", name, word, a[word])
				}
			}
			for _, flag := range []string{"multiValued", "required"} {
				if _, ok := a[flag].(bool); !ok {
					t.Errorf("%s: %s is %v", name, flag, a[flag])
				}
			}
			if a["type"] == "string" || a["type"] == "reference" {
				if _, ok := a["caseExact"].(bool); !ok {
					t.Errorf("%s: caseExact is %v", name, a["caseExact"])
				}
			}
			if types, _ := a["referenceTypes"].([]any); a["type"] == "reference" && len(types) == 0 {
				t.Errorf("%s refers to nothing", name)
			}
			if a["type"] == "complex" {
				walk(name, a["subAttributes"])
			}
		}
	}
	list, _ := b.do(t, "GET", "/Schemas", "").wants(200).at("Resources").([]any)
	for _, v := range list {
		one := answer{t: t}
		one.body, _ = v.(map[string]any)
		id := fmt.Sprint(one.at("id"))
		one.same(`"Schema"`, "meta", "resourceType").same(`"`+base+`/Schemas/`+id+`"`, "meta", "location")
		if name, _ := one.at("name").(string); name == "" {
			t.Errorf("%s has no name", id)
		}
		walk(id, one.at("attributes"))
		// What is told is what is held to.
		if got := b.do(t, "GET", "/Schemas/"+id, "").wants(200); got.json("attributes") != one.json("attributes") {
			t.Errorf("%s is told in two ways", id)
		}
	}
	if user := schema.CoreUserSchema(); len(list) != 3 || user.ID != userURN {
		t.Errorf("%d schemas", len(list))
	}
}

// RFC 7644 §2, §7.4, RFC 6750 §2: the token is in the header and nowhere else, and who has
// none is told how to bring one.
func TestRFC7644_2_TheTokenIsInTheHeader(t *testing.T) {
	b := newBench(t)
	got := b.do(t, "GET", "/Users?access_token="+b.acme.token, "", "Authorization", "").wants(401)
	if !strings.HasPrefix(got.header.Get("WWW-Authenticate"), "Bearer ") || strings.Contains(got.raw, b.acme.token) {
		t.Errorf("%v %s", got.header, got.raw)
	}
	b.do(t, "POST", "/Users", "access_token="+b.acme.token, "Authorization", "", "Content-Type", "application/x-www-form-urlencoded").wants(401)
	b.do(t, "GET", "/Users", "", "Authorization", "bEARER "+b.acme.token).wants(200) // RFC 9110 §11.1
	for _, e := range b.events(t) {
		if strings.Contains(fmt.Sprintf("%+v", e), b.acme.token) {
			t.Errorf("%s has the token", e.Type)
		}
	}
}

// RFC 7644 §3.6: what is deleted is gone from everything, and keeps no name from anybody.
func TestRFC7644_3_6_Deleting(t *testing.T) {
	b := newBench(t)
	for _, kind := range []struct{ at, body, change string }{
		{"/Users", `{` + asUser + `,"userName":"ada","externalId":"x"}`, patch(`{"op":"add","path":"title","value":"x"}`)},
		{"/Groups", `{` + asGroup + `,"displayName":"ops","externalId":"x"}`, patch(`{"op":"add","path":"externalId","value":"y"}`)},
	} {
		id := b.do(t, "POST", kind.at, kind.body).wants(201).id()
		b.do(t, "POST", kind.at, kind.body).wants(409, "uniqueness")
		if got := b.do(t, "DELETE", kind.at+"/"+id, "").wants(204); got.raw != "" {
			t.Errorf("answered %q", got.raw)
		}
		for method, body := range map[string]string{"GET": "", "PUT": kind.body, "PATCH": kind.change, "DELETE": ""} {
			b.do(t, method, kind.at+"/"+id, body).wants(404)
		}
		for _, list := range []string{"", "?filter=" + escape(`externalId eq "x"`), "?filter=" + escape(`id eq "`+id+`"`), "?cursor"} {
			b.do(t, "GET", kind.at+list, "").wants(200).same(`0`, "totalResults").same(`[]`, "Resources")
		}
		if again := b.do(t, "POST", kind.at, kind.body).wants(201).id(); again == id {
			t.Error("the id was given again")
		}
	}
	inner := b.group(t, "inner", b.user(t, "bob", ""))
	outer := b.group(t, "outer", inner)
	b.do(t, "DELETE", "/Groups/"+inner, "").wants(204)
	b.do(t, "GET", "/Groups/"+outer, "").wants(200).same(`null`, "members")
	b.do(t, "GET", "/Users?filter="+escape(`userName eq "bob" and groups pr`), "").wants(200).same(`0`, "totalResults")
}

// RFC 7644 §3.5.1: PUT makes nothing, passes over what is read only, and wants what is
// required.
func TestRFC7644_3_5_1_WhatAPutMayNot(t *testing.T) {
	b := newBench(t)
	id := b.user(t, "ada", "")
	b.do(t, "PUT", "/Users/usr_new", `{`+asUser+`,"userName":"new"}`).wants(404)
	b.do(t, "PUT", "/Groups/grp_new", `{`+asGroup+`,"displayName":"new"}`).wants(404)
	b.do(t, "PUT", "/Users/"+id, `{`+asUser+`,"title":"x"}`).wants(400, "invalidValue")
	b.do(t, "PUT", "/Users/"+id, `{`+asUser+`,"id":"usr_other","userName":"ada","meta":{"created":"2000-01-01T00:00:00Z","resourceType":"Group"}}`).wants(200).
		same(`"`+id+`"`, "id").same(`"User"`, "meta", "resourceType").same(`"W/\"1\""`, "meta", "version")
	b.user(t, "bob", "")
	b.do(t, "PUT", "/Users/"+id, `{`+asUser+`,"userName":"BOB"}`).wants(409, "uniqueness")
	b.do(t, "PATCH", "/Users/"+id, patch(`{"op":"replace","path":"title","value":"x"},{"op":"replace","path":"userName","value":"bob"}`)).wants(409, "uniqueness")
	b.do(t, "GET", "/Users/"+id, "").wants(200).same(`"ada"`, "userName").same(`null`, "title")
	b.do(t, "GET", "/Users", "").wants(200).same(`2`, "totalResults")
}

// RFC 7644 §3.10: an attribute has one long name and one short one, wherever it is named.
func TestRFC7644_3_10_LongNames(t *testing.T) {
	b := newTours(t)
	for _, name := range []string{"title", userURN + ":title", strings.ToUpper(userURN) + ":TITLE"} {
		b.do(t, "PATCH", b.person, patch(`{"op":"replace","path":"`+name+`","value":"`+name[len(name)-5:]+name[:1]+`"}`)).wants(200).same(`"`+name[len(name)-5:]+name[:1]+`"`, "title")
		if got := b.do(t, "GET", b.person+"?attributes="+escape(name), "").wants(200); len(got.body) != 3 || got.body["title"] == nil {
			t.Errorf("%s answers %s", name, got.raw)
		}
		if got := b.do(t, "GET", b.person+"?excludedAttributes="+escape(name), "").wants(200); got.body["title"] != nil {
			t.Errorf("without %s: %s", name, got.raw)
		}
		b.do(t, "GET", "/Users?sortBy="+escape(name)+"&filter="+escape(name+" pr"), "").wants(200).same(`1`, "totalResults")
	}
	b.do(t, "PATCH", b.person, patch(`{"op":"replace","path":"`+enterpriseURN+`:manager.value","value":"9"}`)).wants(200).same(`"9"`, enterpriseURN, "manager", "value")
	b.do(t, "PATCH", b.person, patch(`{"op":"add","path":"urn:example:none:title","value":"x"}`)).wants(400, "invalidPath")
}

// RFC 7644 §3.13: the protocol's version stands in front of every address.
func TestRFC7644_3_13_Version(t *testing.T) {
	b := newBench(t)
	for _, root := range []string{"/scim/v1/Users", "/scim/Users", "/scim/v2.0/Users", "/scim/V2/Users"} {
		r := b.newRequest(t.Context(), "GET", "", "")
		r.URL.Path = root
		b.request(t, b.acme, r).wants(404)
	}
}

// RFC 9110 §13.1.2: a change that depends on there being nothing, or not this, is not made.
func TestRFC9110_13_1_2_ChangesUnderIfNoneMatch(t *testing.T) {
	b := newBench(t)
	id := b.user(t, "ada", "")
	group := b.group(t, "ops")
	for path, body := range map[string]string{"/Users/" + id: `{` + asUser + `,"userName":"other"}`, "/Groups/" + group: `{` + asGroup + `,"displayName":"other"}`} {
		for _, tag := range []string{`*`, `W/"1"`, `"7", "1"`} {
			b.do(t, "PUT", path, body, "If-None-Match", tag).wants(412)
			b.do(t, "PATCH", path, patch(`{"op":"replace","path":"externalId","value":"x"}`), "If-None-Match", tag).wants(412)
			b.do(t, "DELETE", path, "", "If-None-Match", tag).wants(412)
		}
		b.do(t, "PATCH", path+"?attributes=externalId", patch(`{"op":"replace","path":"externalId","value":"x"}`), "If-None-Match", `W/"7"`).wants(200).same(`"x"`, "externalId")
	}
	b.do(t, "PUT", "/Users/usr_x", `{`+asUser+`,"userName":"x"}`, "If-None-Match", "*").wants(404)
	b.do(t, "POST", "/Users", `{`+asUser+`,"userName":"bob"}`, "If-None-Match", "*").wants(http.StatusCreated)
}
