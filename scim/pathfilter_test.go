package scim_test

import (
	"encoding/json"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// partsOf are the parts of the elements of some lists.
var partsOf = map[string][]known{
	"emails": {{name: "value", path: []string{"emails", "value"}}, {name: "type", path: []string{"emails", "type"}}, {name: "primary", path: []string{"emails", "primary"}, kind: "bool"}},
	"photos": {{name: "value", path: []string{"photos", "value"}, exact: true}, {name: "type", path: []string{"photos", "type"}}},
	customURN + ":cars": {{name: "value", path: []string{"cars", "value"}}, {name: "seats", path: []string{"cars", "seats"}, kind: "number"},
		{name: "since", path: []string{"cars", "since"}, kind: "date"}, {name: "primary", path: []string{"cars", "primary"}, kind: "bool"}},
}

// TestFiltersOfPatchPathsMeanWhatSearchesDo: what the filter in a path selects is
// what the same one finds, and what a plain evaluation says (RFC 7644 §3.5.2, §3.4.2.2).
func TestFiltersOfPatchPathsMeanWhatSearchesDo(t *testing.T) {
	b := newBench(t)
	b.define(custom)
	user := b.user(t, "ann", "")
	elements := func(of answer, list string) []any {
		at := []string{list}
		if of.at(list) == nil && strings.HasPrefix(list, customURN) {
			at = []string{customURN, strings.TrimPrefix(list, customURN+":")}
		}
		all, _ := of.at(at...).([]any)
		return all
	}
	text := func(v []any) string {
		data, err := json.Marshal(v)
		must(t, err)
		return strings.TrimSuffix(string(data), "null")
	}
	rapid.Check(t, func(rt *rapid.T) {
		var person map[string]any
		must(t, json.Unmarshal([]byte(drawPerson(rt, 1)), &person))
		person["userName"] = "ann" // of whom no address is made
		body, err := json.Marshal(person)
		must(t, err)
		now := b.do(t, "PUT", "/Users/"+user, string(body)).wants(200)
		for range 4 {
			list := rapid.SampledFrom([]string{"emails", "photos", customURN + ":cars"}).Draw(rt, "list")
			c := drawCondition(rt, 3, partsOf[list], texts)
			where := list + "[" + c.text + "]"
			if len(where) > 2000 {
				continue
			}
			before, left := elements(now, list), []any{}
			for _, element := range before {
				if !c.holds(element) {
					left = append(left, element)
				}
			}
			found := b.do(t, "GET", "/Users?count=0&filter="+escape(`id eq "`+user+`" and `+where), "").wants(200).at("totalResults") != float64(0)
			path, err := json.Marshal(where)
			must(t, err)
			now = b.do(t, "PATCH", "/Users/"+user, patch(`{"op":"remove","path":`+string(path)+`}`)).wants(200)
			if after := elements(now, list); text(append([]any{}, after...)) != text(left) || found != (len(left) < len(before)) {
				rt.Fatalf("%s of %s leaves %s, want %s; found: %v", where, text(before), text(after), text(left), found)
			}
		}
	})
}
