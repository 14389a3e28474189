package scim_test

import (
	"net/url"
	"reflect"
	"testing"
	"unicode/utf8"
)

// FuzzPatchHasNoPartialEffect sends operations to a person and a group: refused, they
// leave them as they were; done, they leave what can be sent back as it is answered.
func FuzzPatchHasNoPartialEffect(f *testing.F) {
	for _, seed := range []string{
		`{"op":"replace","path":"title","value":"x"},{"op":"replace","path":"nonsense","value":1}`, `{"op":"Replace","value":{"active":"False","name.givenName":"x","emails":[]}}`,
		`{"op":"remove","path":"members"},{"op":"add","path":"members","value":["usr_x"]}`, `{"op":"remove","path":"emails[type eq \"work\"].value"},{"op":"remove","path":"userName"}`,
		`{"op":"replace","path":"userName","value":"BOB"}`, `{"op":"replace","path":"displayName","value":"others"}`, `{"op":"add","path":"externalId","value":"\u0000"}`,
		`{"op":"add","path":"emails","value":[{"value":"x@x.example","primary":true},{"value":"X@x.example","primary":true}]}`, `{"op":"replace","path":"active","value":null}`,
		`{"op":"remove","path":"members[type eq \"User\" and display sw \"a\"]"},{"op":"replace","value":{"displayName":""}}`, `{"op":"add","value":{"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":{"manager":5}}}`,
	} {
		f.Add(seed)
	}
	b := newBench(f)
	const person = `"userName":"ada","title":"Countess","name":{"givenName":"Ada"},"emails":[{"value":"ada@x.example","type":"work","primary":true},{"value":"b@x.example"}]`
	user := "/Users/" + b.do(f, "POST", "/Users", `{`+asUser+`,`+person+`}`).wants(201).id()
	member := b.user(f, "bob", "")
	group := "/Groups/" + b.group(f, "ops", user[7:], member)
	b.group(f, "others")
	start := map[string]string{user: `{` + asUser + `,` + person + `,"active":true}`, group: `{` + asGroup + `,"displayName":"ops","members":["` + user[7:] + `","` + member + `"]}`}
	f.Fuzz(func(t *testing.T, operations string) {
		if len(operations) > 4<<10 {
			return
		}
		for path, first := range start {
			b.do(t, "PUT", path, first).wants(200)
			before := b.do(t, "GET", path, "").wants(200)
			got := b.do(t, "PATCH", path, patch(operations))
			after := b.do(t, "GET", path, "").wants(200)
			if got.status >= 400 {
				if got.status >= 500 || got.status != 413 && got.body["scimType"] == nil || after.raw != before.raw {
					t.Errorf("answered %d %s, left %s of %s", got.status, got.raw, after.raw, before.raw)
				}
				continue
			}
			back := b.do(t, "PUT", path, after.raw).wants(200)
			for _, all := range []map[string]any{after.body, back.body} {
				delete(all, "meta")
			}
			if !reflect.DeepEqual(after.body, back.body) {
				t.Errorf("%s, sent back, became %s", after.raw, back.raw)
			}
		}
	})
}

// FuzzFilterIsAnswered asks with filters and orders: each is answered with people, or
// refused for what it is, and never by the database.
func FuzzFilterIsAnswered(f *testing.F) {
	for _, seed := range []string{`userName eq "ada"`, `not (emails[type eq "work" and value co "%"]) or title gt "x"`, `meta.created gt "2020-01-01T00:00:00Z" and active eq true`, `name.givenName sw "\u00dc\\\""`,
		`groups[display pr and type ne "direct"]`, `urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager.value eq null`, `title ew "\ud83d\ude00"`, `id lt "usr_" or members.$ref pr`} {
		f.Add(seed, "userName")
	}
	f.Add(`title pr`, `emails.value`)
	b := newBench(f)
	b.user(f, "ada", `,"title":"% _ \\ ' \" []","emails":[{"value":"ada@x.example","type":"work"}]`)
	f.Fuzz(func(t *testing.T, filter, order string) {
		for _, at := range []string{"/Users", "/Groups", ""} {
			query := url.Values{"filter": {filter}, "sortBy": {order}}
			got := b.do(t, "GET", at+"?"+query.Encode(), "")
			if got.status == 200 && utf8.ValidString(filter) {
				continue
			}
			if kind := got.body["scimType"]; got.status != 400 || kind != "invalidFilter" && kind != "invalidValue" {
				t.Errorf("%q by %q: %d %s", filter, order, got.status, got.raw)
			}
		}
	})
}
