package scim_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"gatehouse/identity"
)

// The tests below compare what is found with a plain reading of RFC 7644 §3.4.2 over
// the resources as they are answered.

// known is an attribute as the test knows it.
type known struct {
	name  string   // as it is written in a filter
	path  []string // in the resource
	kind  string   // text, bool, time, date (of a tenant's own schema), number
	exact bool
	list  bool // the first name of the path is a list
	key   bool // no name has a letter that passes for an ASCII one, and nobody is found by it
}

// folded is a text as the attribute is compared by it: names by what all their spellings
// have in common, others without letter case.
func (a known) folded(s string) string {
	switch last := a.path[len(a.path)-1]; {
	case a.exact:
		return s
	case last == "userName" || last == "displayName" || last == "display":
		return identity.NameKey(s)
	}
	return strings.ToLower(s)
}

const ext = enterpriseURN + ":"

var knownAttributes = []known{
	{name: "userName", path: []string{"userName"}, key: true}, {name: "displayName", path: []string{"displayName"}},
	{name: "externalId", path: []string{"externalId"}, exact: true}, {name: "id", path: []string{"id"}, exact: true},
	{name: "title", path: []string{"title"}}, {name: "TITLE", path: []string{"title"}}, {name: userURN + ":nickName", path: []string{"nickName"}},
	{name: "profileUrl", path: []string{"profileUrl"}, exact: true}, {name: "active", path: []string{"active"}, kind: "bool"},
	{name: "name.familyName", path: []string{"name", "familyName"}}, {name: "name.givenName", path: []string{"name", "givenName"}},
	{name: ext + "department", path: []string{enterpriseURN, "department"}}, {name: ext + "manager", path: []string{enterpriseURN, "manager", "value"}},
	{name: ext + "manager.value", path: []string{enterpriseURN, "manager", "value"}},
	{name: "meta.created", path: []string{"meta", "created"}, kind: "time"}, {name: "meta.lastModified", path: []string{"meta", "lastModified"}, kind: "time"},
	{name: "meta.location", path: []string{"meta", "location"}, exact: true}, {name: "meta.version", path: []string{"meta", "version"}, exact: true},
	{name: "meta.resourceType", path: []string{"meta", "resourceType"}, exact: true},
	{name: "emails.value", path: []string{"emails", "value"}, list: true}, {name: "emails", path: []string{"emails", "value"}, list: true},
	{name: "emails.type", path: []string{"emails", "type"}, list: true}, {name: "emails.primary", path: []string{"emails", "primary"}, kind: "bool", list: true},
	{name: "photos.value", path: []string{"photos", "value"}, exact: true, list: true}, {name: "photos.type", path: []string{"photos", "type"}, list: true},
	{name: "groups.value", path: []string{"groups", "value"}, list: true}, {name: "groups.display", path: []string{"groups", "display"}, list: true, key: true},
	{name: customURN + ":costCode", path: []string{customURN, "costCode"}}, {name: customURN + ":Exact", path: []string{customURN, "Exact"}, exact: true}, {name: customURN + ":remote", path: []string{customURN, "remote"}, kind: "bool"}, {name: customURN + ":floor", path: []string{customURN, "floor"}, kind: "number"},
	{name: customURN + ":rate", path: []string{customURN, "rate"}, kind: "number"}, {name: customURN + ":hired", path: []string{customURN, "hired"}, kind: "date"},
	{name: customURN + ":skills", path: []string{customURN, "skills"}}, {name: customURN + ":groups", path: []string{customURN, "groups"}}, {name: customURN + ":rooms", path: []string{customURN, "rooms"}, kind: "number"},
	{name: customURN + ":shifts", path: []string{customURN, "shifts"}, kind: "date"}, {name: customURN + ":desk.building", path: []string{customURN, "desk", "building"}}, {name: customURN + ":cars.value", path: []string{customURN, "cars", "value"}}, {name: customURN + ":cars.seats", path: []string{customURN, "cars", "seats"}, kind: "number"},
	{name: "groups.type", path: []string{"groups", "type"}, list: true}, {name: "groups.$ref", path: []string{"groups", "$ref"}, exact: true, list: true},
}

// values are those that a record, or an element, has of an attribute: an empty text is
// none.
func values(v any, path []string) (all []any) {
	if list, ok := v.([]any); ok {
		for _, element := range list {
			all = append(all, values(element, path)...)
		}
		return all
	}
	if object, ok := v.(map[string]any); ok && len(path) > 0 {
		return values(object[path[0]], path[1:])
	}
	if v == nil || v == "" || len(path) > 0 {
		return nil
	}
	return []any{v}
}

// anything reports whether an object has a value in it.
func anything(v any) bool {
	object, _ := v.(map[string]any)
	for name := range object {
		if len(values(object, []string{name})) > 0 {
			return true
		}
	}
	return false
}

// condition is a filter with its text and what it means.
type condition struct {
	text  string
	holds func(v any) bool
}

var comparisons = map[string]func(order int, a, b string) bool{
	"eq": func(order int, _, _ string) bool { return order == 0 }, "ne": func(order int, _, _ string) bool { return order != 0 },
	"gt": func(order int, _, _ string) bool { return order > 0 }, "ge": func(order int, _, _ string) bool { return order >= 0 },
	"lt": func(order int, _, _ string) bool { return order < 0 }, "le": func(order int, _, _ string) bool { return order <= 0 },
	"co": func(_ int, a, b string) bool { return strings.Contains(a, b) },
	"sw": func(_ int, a, b string) bool { return strings.HasPrefix(a, b) }, "ew": func(_ int, a, b string) bool { return strings.HasSuffix(a, b) },
}

// texts are what people are called in these tests: of different case and length, with
// what means something to a database, a path or a filter.
var texts = []string{"", "a", "A", "ab", "AB", "b", "ä", "a\u0308", "Äb", "\uff21", "ß", "zz", "Ω", "10", "9", "%", "a_", `a"b`, `a\b`, "'", "''; --", "$1", "?1", "a[0]", `$."x"`, "日本", "a b", "]", "true", "null", "İ", "\U0001F600",
	"work", "HOME", "direct", "x@acme.example", "X@Acme.example", " x@acme.example"}

var someText = rapid.SampledFrom(texts)

// comparing draws a comparison of an attribute whose values are found at the path.
func comparing(t *rapid.T, name string, a known, path []string, pool []string) condition {
	op := rapid.SampledFrom([]string{"eq", "eq", "ne", "co", "sw", "ew", "gt", "ge", "lt", "le", "pr", "null"}).Draw(t, "op")
	if a.kind == "bool" && op != "pr" && op != "null" {
		op = rapid.SampledFrom([]string{"eq", "ne"}).Draw(t, "bool op")
	}
	if (a.kind == "time" || a.kind == "date" || a.kind == "number") && (op == "co" || op == "sw" || op == "ew") {
		op = "gt"
	}
	whole := len(path) > 1 && !strings.HasSuffix(name, path[len(path)-1]) // a complex attribute stands for its value, but is there with any part
	there := func(v any) bool {
		if whole {
			return slices.ContainsFunc(values(v, path[:len(path)-1]), anything)
		}
		return len(values(v, path)) > 0
	}
	switch op {
	case "pr":
		return condition{name + " pr", there}
	case "null":
		if rapid.Bool().Draw(t, "is null") {
			return condition{name + " eq null", func(v any) bool { return !there(v) }}
		}
		return condition{name + " ne null", there}
	}
	want := rapid.SampledFrom(pool).Draw(t, "value")
	literal, _ := json.Marshal(want)
	if a.kind == "bool" {
		want = fmt.Sprint(rapid.Bool().Draw(t, "bool"))
		literal = []byte(want)
	}
	if a.kind == "time" {
		at := time.Now().Add(time.Duration(rapid.IntRange(-20_000, 20_000).Draw(t, "microseconds")) * time.Microsecond)
		want = at.UTC().Format(time.RFC3339Nano)
		literal = []byte(`"` + at.Format(time.RFC3339Nano) + `"`)
	}
	if a.kind == "date" {
		want = rapid.SampledFrom(dates).Draw(t, "date")
		literal, _ = json.Marshal(want)
	}
	if a.kind == "number" {
		want = fmt.Sprint(rapid.SampledFrom(numbers).Draw(t, "number"))
		literal = []byte(want)
	}
	compared := comparisons[op]
	return condition{fmt.Sprintf("%s %s %s", name, op, literal), func(v any) bool {
		found := values(v, path)
		return op == "ne" && len(found) == 0 || slices.ContainsFunc(found, func(v any) bool {
			have, with := fmt.Sprint(v), want
			if a.kind == "number" {
				x, _ := strconv.ParseFloat(have, 64)
				y, _ := strconv.ParseFloat(with, 64)
				return compared(cmp.Compare(x, y), "", "")
			}
			if a.kind == "time" || a.kind == "date" {
				x, _ := time.Parse(time.RFC3339, have)
				y, _ := time.Parse(time.RFC3339, with)
				return compared(x.Compare(y), "", "")
			}
			have, with = a.folded(have), a.folded(with)
			if a.key && want == "İ" {
				with = want
			}
			if with == "" && op == "eq" {
				return false
			}
			return compared(strings.Compare(have, with), have, with)
		})
	}}
}

// drawCondition draws a filter over people, or inside of brackets where within has the
// attributes of an element.
func drawCondition(t *rapid.T, depth int, within []known, pool []string) condition {
	kind := rapid.IntRange(0, 6).Draw(t, "kind")
	if depth == 0 && kind > 3 {
		kind = 0
	}
	switch {
	case kind == 6 && within == nil:
		list := rapid.SampledFrom([]string{"emails", "photos", "groups"}).Draw(t, "list")
		var parts []known
		for _, a := range knownAttributes {
			if a.list && a.path[0] == list && a.name != list {
				a.name = a.path[1]
				parts = append(parts, a)
			}
		}
		inner := drawCondition(t, depth-1, parts, pool)
		return condition{list + "[" + inner.text + "]", func(v any) bool {
			elements, _ := v.(map[string]any)[list].([]any)
			return slices.ContainsFunc(elements, inner.holds)
		}}
	case kind == 5:
		inner := drawCondition(t, depth-1, within, pool)
		return condition{"not (" + inner.text + ")", func(v any) bool { return !inner.holds(v) }}
	case kind == 4:
		left, right := drawCondition(t, depth-1, within, pool), drawCondition(t, depth-1, within, pool)
		if rapid.Bool().Draw(t, "and") {
			return condition{"(" + left.text + ") and (" + right.text + ")", func(v any) bool { return left.holds(v) && right.holds(v) }}
		}
		return condition{"(" + left.text + ") or (" + right.text + ")", func(v any) bool { return left.holds(v) || right.holds(v) }}
	}
	if within != nil {
		a := rapid.SampledFrom(within).Draw(t, "part")
		return comparing(t, a.name, a, a.path[1:], pool)
	}
	a := rapid.SampledFrom(knownAttributes).Draw(t, "attribute")
	return comparing(t, a.name, a, a.path, pool)
}

// drawPerson draws what a person has beside their user name.
func drawPerson(t *rapid.T, n int) string {
	person := map[string]any{"schemas": []string{userURN}, "active": rapid.Bool().Draw(t, "active"), "userName": fmt.Sprint(rapid.SampledFrom([]string{"a", "B", "ä", "x@"}).Draw(t, "user name"), n)}
	maybe := func(in map[string]any, name string) {
		if rapid.Bool().Draw(t, "has "+name) {
			in[name] = someText.Draw(t, name)
		}
	}
	for _, name := range []string{"title", "nickName", "profileUrl", "displayName", "externalId"} {
		maybe(person, name)
	}
	whole, extension := map[string]any{}, map[string]any{}
	maybe(whole, "familyName")
	maybe(whole, "givenName")
	maybe(extension, "department")
	if rapid.Bool().Draw(t, "has manager") {
		extension["manager"] = map[string]any{"value": someText.Draw(t, "manager")}
	}
	person["name"], person[enterpriseURN], person[customURN] = whole, extension, drawCustom(t)
	for _, list := range []string{"emails", "photos"} {
		primary := rapid.IntRange(-1, 3).Draw(t, "primary of "+list)
		var elements []any
		for i := range rapid.IntRange(0, 3).Draw(t, list) {
			element := map[string]any{}
			maybe(element, "value")
			maybe(element, "type")
			if i == primary {
				element["primary"] = true
			} else if rapid.Bool().Draw(t, "says primary") {
				element["primary"] = false
			}
			elements = append(elements, element)
		}
		person[list] = elements
	}
	body, err := json.Marshal(person)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// everybody gives all people as they are answered, in the order of their ids.
func (b *bench) everybody(t testing.TB) (all []map[string]any) {
	t.Helper()
	list, _ := b.do(t, "GET", "/Users?count=200", "").wants(200).at("Resources").([]any)
	for _, v := range list {
		person, _ := v.(map[string]any)
		all = append(all, person)
	}
	return all
}

func id(person map[string]any) string { return fmt.Sprint(person["id"]) }

// renew gives a person who was drawn new attributes, or makes them.
func (b *bench) renew(t testing.TB, rt *rapid.T, ids []string) {
	t.Helper()
	n := rapid.IntRange(0, len(ids)-1).Draw(rt, "person")
	body := drawPerson(rt, n)
	if ids[n] == "" {
		ids[n] = b.do(t, "POST", "/Users", body).wants(201).id()
		return
	}
	b.do(t, "PUT", "/Users/"+ids[n], body).wants(200)
}

// Random filters over random people find whom a plain evaluation finds.
func TestRFC7644_3_4_2_2_FiltersMeanWhatTheySay(t *testing.T) {
	b := newBench(t)
	b.define(custom)
	ids := make([]string, 12)
	ops, others := b.group(t, "Äb"), b.group(t, "direct")
	rapid.Check(t, func(rt *rapid.T) {
		for range 3 {
			b.renew(t, rt, ids)
		}
		some := ids[rapid.IntRange(0, len(ids)-1).Draw(rt, "member")]
		if group := rapid.SampledFrom([]string{ops, others}).Draw(rt, "group"); some != "" {
			b.do(t, "PATCH", "/Groups/"+group, patch(`{"op":"`+rapid.SampledFrom([]string{"add", "remove"}).Draw(rt, "change")+`","path":"members","value":[{"value":"`+some+`"}]}`)).wants(204)
		}
		people := b.everybody(t)
		pool := append([]string{ops, base + "/Groups/" + ops, id(people[0]), base + "/Users/" + id(people[0]), `W/"2"`, "User", fmt.Sprint(people[0]["userName"])}, texts...)
		for range 8 {
			c := drawCondition(rt, 3, nil, pool)
			if len(c.text) > 2048 {
				continue
			}
			var want []string
			for _, p := range people {
				if c.holds(p) {
					want = append(want, id(p))
				}
			}
			got := b.do(t, "GET", "/Users?attributes=id&count=200&filter="+escape(c.text), "").wants(200)
			if got.names("id") != strings.Join(want, " ") {
				rt.Fatalf("%s: found %s, want %s, among %s", c.text, got.names("id"), want, b.do(t, "GET", "/Users?count=200", "").raw)
			}
		}
	})
}

// sortKey is what a person is sorted by: of a list the primary element's value, or else
// the first one's.
func sortKey(p map[string]any, a known) string {
	var v any = p
	path := a.path
	if list, ok := p[path[0]].([]any); ok && len(list) > 0 {
		v, path = list[0], path[1:]
		for _, element := range list {
			if object, _ := element.(map[string]any); object["primary"] == true {
				v = element
				break
			}
		}
	}
	found := values(v, path)
	if len(found) == 0 {
		return ""
	}
	key := fmt.Sprint(found[0])
	switch a.kind {
	case "time":
		at, _ := time.Parse(time.RFC3339, key)
		return fmt.Sprintf("%020d", at.UnixMilli())
	case "date":
		at, _ := time.Parse(time.RFC3339, key)
		return at.UTC().Format("2006-01-02T15:04:05.000000000")
	case "number":
		n, _ := strconv.ParseFloat(key, 64)
		return fmt.Sprintf("%020.2f", n+1e9)
	}
	return a.folded(key)
}

func inOrder(a known, descending bool) func(x, y map[string]any) int {
	return func(x, y map[string]any) int {
		k, l := sortKey(x, a), sortKey(y, a)
		order := cmp.Or(strings.Compare(k, l), strings.Compare(id(x), id(y)))
		if (k == "") != (l == "") {
			order = -order // who has none comes last
		}
		if descending {
			order = -order
		}
		return order
	}
}

// A sorted list that is read by its cursors has everybody once and in order, forwards
// and backwards, while others come and go.
func TestRFC9865_2_2_CursorsKeepTheOrder(t *testing.T) {
	b := newBench(t)
	b.define(custom)
	ids := make([]string, 15)
	b.group(t, "Äb")
	for i := range ids {
		ids[i] = b.user(t, fmt.Sprint("u", i), "")
	}
	var guests []string
	made := 0
	rapid.Check(t, func(rt *rapid.T) {
		for range 4 {
			b.renew(t, rt, ids)
		}
		a := rapid.SampledFrom(knownAttributes).Draw(rt, "sortBy")
		descending, backwards := rapid.Bool().Draw(rt, "descending"), rapid.Bool().Draw(rt, "backwards")
		if a.name == "meta.lastModified" || a.name == "meta.resourceType" {
			a.path = []string{"id"} // which changes nothing for the guests either
		}
		path := fmt.Sprintf("/Users?sortBy=%s&count=%d", a.name, rapid.IntRange(1, 7).Draw(rt, "count"))
		if a.path[0] == "id" {
			path = strings.Replace(path, "sortBy="+a.name, "sortBy=id", 1)
		}
		if descending {
			path += "&sortOrder=descending"
		}
		want := b.everybody(t)
		want = slices.DeleteFunc(want, func(p map[string]any) bool { return slices.Contains(guests, id(p)) })
		slices.SortFunc(want, inOrder(a, descending))
		disturb := func() {
			if len(guests) > 0 && rapid.Bool().Draw(rt, "goes") {
				n := rapid.IntRange(0, len(guests)-1).Draw(rt, "guest")
				b.do(t, "DELETE", "/Users/"+guests[n], "").wants(204)
				guests = slices.Delete(guests, n, n+1)
			} else if len(guests) < 10 {
				made++
				guests = append(guests, b.do(t, "POST", "/Users", drawPerson(rt, 100+made)).wants(201).id())
			}
		}
		read := func(first, cursor string) (got []string, last string) {
			at := first
			for range 100 {
				page := b.do(t, "GET", path+"&cursor="+at, "").wants(200)
				here := strings.Fields(page.names("id"))
				if cursor == "previousCursor" {
					slices.Reverse(here)
				}
				got = append(got, here...)
				last = at
				next, ok := page.at(cursor).(string)
				if !ok {
					break
				}
				at = next
				disturb()
			}
			return got, last
		}
		check := func(got []string) {
			stayed := slices.DeleteFunc(slices.Clone(got), func(id string) bool { return !slices.Contains(ids, id) })
			var names []string
			for _, p := range want {
				names = append(names, id(p))
			}
			if !slices.Equal(stayed, names) {
				rt.Fatalf("%s: read %s, want %s", path, stayed, names)
			}
			if once := slices.Compact(slices.Sorted(slices.Values(got))); len(once) != len(got) {
				rt.Fatalf("%s: somebody came twice: %s", path, got)
			}
		}
		got, last := read("", "nextCursor")
		check(got)
		if !backwards {
			return
		}
		page := b.do(t, "GET", path+"&cursor="+last, "").wants(200)
		here := strings.Fields(page.names("id"))
		previous, ok := page.at("previousCursor").(string)
		if !ok {
			return
		}
		got, _ = read(previous, "previousCursor")
		slices.Reverse(got)
		check(append(got, here...))
	})
}

// At the root people and groups are in one order, by cursor and by number.
func TestRFC7644_3_4_2_1_BothKindsInOneOrder(t *testing.T) {
	b := newBench(t)
	for i, name := range []string{"a", "AB", "Äb", "zz", "%", `a"b`} {
		b.group(t, strings.ReplaceAll(name, `"`, `\"`))
		b.user(t, fmt.Sprint("u", i), fmt.Sprintf(`,"displayName":%q,"externalId":%q,"title":"x"`, texts[i+1], texts[i+10]))
	}
	list, _ := b.do(t, "GET", "?count=200", "").wants(200).at("Resources").([]any)
	var all []map[string]any
	for _, v := range list {
		object, _ := v.(map[string]any)
		all = append(all, object)
	}
	rapid.Check(t, func(rt *rapid.T) {
		a := rapid.SampledFrom([]known{{name: "displayName", path: []string{"displayName"}}, {name: "externalId", path: []string{"externalId"}, exact: true},
			{name: "title", path: []string{"title"}}, {name: "active", path: []string{"active"}, kind: "bool"}, {name: "userName", path: []string{"userName"}},
			{name: "meta.created", path: []string{"meta", "created"}, kind: "time"}, {name: "id", path: []string{"id"}, exact: true}}).Draw(rt, "sortBy")
		descending, count := rapid.Bool().Draw(rt, "descending"), rapid.IntRange(1, 13).Draw(rt, "count")
		slices.SortFunc(all, inOrder(a, descending))
		path := fmt.Sprintf("?sortBy=%s&count=%d", a.name, count)
		if descending {
			path += "&sortOrder=descending"
		}
		var want, read []string
		for _, v := range all {
			want = append(want, id(v))
		}
		for at, more := "", true; more; {
			page := b.do(t, "GET", path+"&cursor="+at, "").wants(200).same("12", "totalResults")
			read = append(read, strings.Fields(page.names("id"))...)
			at, more = page.at("nextCursor").(string)
		}
		if !slices.Equal(read, want) {
			rt.Fatalf("%s: read %s, want %s", path, read, want)
		}
		start := rapid.IntRange(1, 12).Draw(rt, "startIndex")
		page := b.do(t, "GET", fmt.Sprint(path, "&startIndex=", start), "").wants(200).same("12", "totalResults")
		if got := strings.Fields(page.names("id")); !slices.Equal(got, want[start-1:min(start-1+count, 12)]) {
			rt.Fatalf("%s from %d: %s, want %s", path, start, got, want)
		}
	})
}
