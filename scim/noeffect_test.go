package scim_test

import (
	"fmt"
	"strings"
	"testing"
)

// world is two tenants with somebody in each, whom nothing is to happen to.
type world struct {
	*bench
	ada, ops   string // acme's
	bob, sales string // globex's
	before     string
	records    int
}

func newWorld(t *testing.T) *world {
	t.Helper()
	b := newBench(t)
	w := &world{bench: b}
	w.ada = b.user(t, "ada", `,"title":"Countess","emails":[{"value":"ada@acme.example","type":"work"}]`)
	w.ops = b.group(t, "ops", w.ada)
	w.bob = w.in(t, b.globex, "POST", "/Users", `{`+asUser+`,"userName":"bob"}`).wants(201).id()
	w.sales = w.in(t, b.globex, "POST", "/Groups", `{`+asGroup+`,"displayName":"sales","members":["`+w.bob+`"]}`).wants(201).id()
	w.before, w.records = w.all(t), w.changes(t)
	return w
}

// in sends a request with a tenant's own token.
func (w *world) in(t *testing.T, to tenant, method, path, body string, headers ...string) answer {
	t.Helper()
	r := w.newRequest(t.Context(), method, path, body)
	r.Header.Set("Authorization", "Bearer "+to.token)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	return w.request(t, to, r)
}

// all is everything that both tenants have, as it is answered.
func (w *world) all(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	for _, to := range []tenant{w.acme, w.globex} {
		b.WriteString(w.in(t, to, "GET", "?count=200", "").wants(200).raw)
	}
	return b.String()
}

// changes counts the records of what was changed. Deleting whom there is not ends their
// sessions all the same (promise P9), and says so.
func (w *world) changes(t *testing.T) (n int) {
	t.Helper()
	for _, to := range []tenant{w.acme, w.globex} {
		for e, err := range w.journal.Read(t.Context(), to.id, 0) {
			must(t, err)
			if kind, _, _ := strings.Cut(string(e.Type), "."); kind == "user" || kind == "group" {
				n++
			}
		}
	}
	return n
}

// unmoved checks that nothing has happened.
func (w *world) unmoved(t *testing.T) {
	t.Helper()
	if now := w.all(t); now != w.before {
		t.Errorf("there is now\n%s\nand was\n%s", now, w.before)
	}
	if n := w.changes(t); n != w.records {
		t.Errorf("the journal tells of %d changes, before of %d", n, w.records)
	}
}

// TestHostileRequestsHaveNoEffect: what is no message, or more than one, is refused by
// whatever would change something, and changes nothing.
func TestHostileRequestsHaveNoEffect(t *testing.T) {
	w := newWorld(t)
	user, group := `{`+asUser+`,"userName":"eve"`, `{`+asGroup+`,"displayName":"eve"`
	change, many := `{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[{"op":"replace","path":"externalId","value":"x"}]`, strings.TrimSuffix(bulk("", newUser("a", "eve")), "}")
	for _, to := range []struct{ method, path, good string }{
		{"POST", "/Users", user}, {"PUT", "/Users/" + w.ada, user}, {"PATCH", "/Users/" + w.ada, change},
		{"POST", "/Groups", group}, {"PUT", "/Groups/" + w.ops, group}, {"PATCH", "/Groups/" + w.ops, change}, {"POST", "/Bulk", many},
	} {
		for name, body := range map[string]string{
			"cut": to.good, "two": to.good + `}{}`, "in a list": `[` + to.good + `}]`, "a name twice": to.good + `,"schemas":[]}`, "in another case": to.good + `,"SCHEMAS":[]}`,
			"not UTF-8": to.good + ",\"x\":\"\xff\"}", "an overlong character": to.good + ",\"\xc0\xaf\":1}", "a BOM": "\ufeff" + to.good + `}`, "deep": to.good + `,"x":` + strings.Repeat(`{"a":`, 100) + `1` + strings.Repeat(`}`, 100) + `}`,
			"very deep": to.good + `,"x":` + strings.Repeat(`[`, 200_000), "huge": to.good + `,"x":"` + strings.Repeat("a", 9<<20) + `"}`, "no schemas": strings.Replace(to.good, `"schemas"`, `"schema"`, 1) + `}`,
			"another message": strings.Replace(to.good, "urn:ietf:params:scim:", "urn:ietf:params:other:", 1) + `}`,
		} {
			if name == "deep" && to.path == "/Bulk" {
				continue // what nobody reads of it is not looked into
			}
			t.Run(to.method+" "+strings.SplitAfterN(to.path, "/", 3)[1]+" "+name, func(t *testing.T) {
				if got := w.do(t, to.method, to.path, body); got.status != 400 && got.status != 413 {
					t.Errorf("%d %s", got.status, got.raw)
				}
			})
		}
		for _, media := range []string{"text/plain", "application/xml", "application/x-www-form-urlencoded", "application/json; charset=utf-7", "multipart/form-data; boundary=x", ""} {
			w.do(t, to.method, to.path, to.good+`}`, "Content-Type", media).wants(415)
		}
		w.do(t, to.method, to.path, to.good+`}`, "Content-Encoding", "gzip").wants(415)
		w.do(t, to.method, to.path, to.good+`}`, "Authorization", "Bearer "+w.globex.token).wants(401)
	}
	w.unmoved(t)
}

// TestHostilePathsHaveNoEffect: a path of a PATCH is read by the grammar, and by nothing
// else.
func TestHostilePathsHaveNoEffect(t *testing.T) {
	w := newWorld(t)
	for _, path := range []string{
		`title' OR '1'='1`, `title; DROP TABLE users`, `title--`, `"title"`, `$.title`, `title[0]`, `emails[0]`, `emails[*]`, `emails[type eq "work"]; DROP TABLE users`, `emails[type eq "work" or 1=1]`,
		`emails[type eq 'work']`, `emails[type eq "work"].value.x`, `emails[emails[type eq "x"]]`, `emails[type eq "work"`, `emails]`, `__proto__.active`, `constructor`, `user_key`, `attributes`, `search`, `tenant_id`, `version`,
		`meta.version`, `meta`, `schemas`, `id`, `../Groups/x`, `/title`, `title/../active`, "ti\u0000tle", "title\u0000", "\u202etitle", `urn:ietf:params:scim:schemas:core:2.0:Group:displayName`,
		`urn:x:title`, `:title`, `urn:ietf:params:scim:schemas:core:2.0:User:`, `emails[value co "%" and not (`, strings.Repeat("emails[", 50), strings.Repeat("a", 2049), `emails[` + strings.Repeat("(", 2000), `members`,
	} {
		for _, op := range []string{`"op":"replace"`, `"op":"remove"`, `"op":"add"`} {
			value := `,"value":"x"`
			if strings.Contains(op, "remove") {
				value = ""
			}
			got := w.do(t, "PATCH", "/Users/"+w.ada, patch(`{"op":"replace","path":"title","value":"done before"},{`+op+`,"path":`+quoted(path)+value+`}`)).wants(400)
			if kind := got.body["scimType"]; kind != "invalidPath" && kind != "invalidFilter" && kind != "mutability" && kind != "invalidSyntax" {
				t.Errorf("%s %q: %s", op, path, got.raw)
			}
		}
	}
	for _, path := range []string{`members[value eq "x" or 1=1]`, `members[value eq "' OR '1'='1"].value`, `members.value`, `members[value eq "x"]; --`, `group_members`, `members[type eq "User"].$ref`, `members[`, `members[value]`} {
		got := w.do(t, "PATCH", "/Groups/"+w.ops, patch(`{"op":"remove","path":"members"},{"op":"replace","path":`+quoted(path)+`,"value":"x"}`))
		if got.status != 400 || got.body["scimType"] == nil {
			t.Errorf("%q: %d %s", path, got.status, got.raw)
		}
	}
	// What would take everybody out by a trick of SQL takes out nobody.
	w.do(t, "PATCH", "/Groups/"+w.ops, patch(`{"op":"remove","path":"members[value eq \"' OR '1'='1\"]"},{"op":"remove","path":"members[value eq \"%\"]"}`)).wants(204)
	w.unmoved(t)
}

func quoted(text string) string { return strings.ReplaceAll(fmt.Sprintf("%q", text), `\x00`, `\u0000`) }

// TestP3_WhatBelongsToAnotherTenantIsNowhere: neither by its address, nor in a member, a
// filter, a Bulk or a version.
func TestP3_WhatBelongsToAnotherTenantIsNowhere(t *testing.T) {
	w := newWorld(t)
	for path, body := range map[string]string{"/Users/" + w.bob: `{` + asUser + `,"userName":"mine"}`, "/Groups/" + w.sales: `{` + asGroup + `,"displayName":"mine"}`} {
		for _, version := range []string{"", "*", `W/"1"`} {
			for method, body := range map[string]string{"GET": "", "PUT": body, "PATCH": patch(`{"op":"replace","path":"externalId","value":"mine"}`), "DELETE": ""} {
				got := w.do(t, method, path, body, "If-Match", version).wants(404)
				if strings.Contains(got.raw, "bob") || strings.Contains(got.raw, "sales") {
					t.Errorf("%s %s: %s", method, path, got.raw)
				}
				if method != "GET" {
					w.bulk(t, bulk("", strings.Replace(operation(method, path, "", body), `{`, `{"version":`+quoted(version)+`,`, 1)), "404")
				}
			}
		}
		id := path[strings.LastIndexByte(path, '/')+1:]
		for _, member := range []string{`"` + id + `"`, `{"value":"` + id + `"}`, `{"value":"` + id + `","type":"User"}`, `{"value":"` + id + `","type":"Group"}`} {
			for _, o := range []string{`{"op":"add","path":"members","value":[` + member + `]}`, `{"op":"replace","path":"members","value":[` + member + `]}`, `{"op":"add","value":{"members":[` + member + `]}}`} {
				w.do(t, "PATCH", "/Groups/"+w.ops, patch(o)).wants(400, "invalidValue")
			}
			w.do(t, "PUT", "/Groups/"+w.ops, `{`+asGroup+`,"displayName":"ops","members":[`+member+`]}`).wants(400, "invalidValue")
			w.do(t, "POST", "/Groups", `{`+asGroup+`,"displayName":"new","members":[`+member+`]}`).wants(400, "invalidValue")
		}
		for _, filter := range []string{`id eq "` + id + `"`, `meta.location ew "` + id + `"`, `id pr and displayName sw "sa"`, `members eq "` + id + `" or groups.value eq "` + id + `"`} {
			w.do(t, "GET", "?filter="+escape(filter), "").wants(200).same(`0`, "totalResults")
		}
	}
	w.unmoved(t)
}
