package scim

import (
	"encoding/json"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"gatehouse/directory"
	"gatehouse/scim/resource"
	"gatehouse/tenants"
)

var fuzzSchemas = []tenants.SCIMSchema{{URN: "urn:acme:2.0:User", Attributes: []tenants.SCIMAttribute{
	{Name: "skills", Type: tenants.StringType, MultiValued: true}, {Name: "floor", Type: tenants.IntegerType}, {Name: "hired", Type: tenants.DateTimeType},
	{Name: "cars", Type: tenants.ComplexType, MultiValued: true, SubAttributes: []tenants.SCIMSubAttribute{{Name: "value", Type: tenants.StringType}, {Name: "seats", Type: tenants.DecimalType}}}}}}

// A filter either is refused with invalidFilter or becomes the directory's.
func FuzzFilter(f *testing.F) {
	for _, seed := range []string{`userName eq "a"`, `not (active eq true) and (emails[value co "x"] or meta.created gt "2020-01-01T00:00:00Z")`,
		`urn:ietf:params:scim:schemas:core:2.0:User:userName sw "\u00FC"`, `((((((((`, `a[b[c eq 1]]`, `members eq "x"`, `id pr`, `externalId eq 1e999`,
		`emails[type eq "work" and not (value sw "a" or primary eq true)].display ne null`, `emails.value-path-0 pr or photos[value co "]"]`,
		`urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager[value eq "x"]`, `schemas eq "urn:x" and meta[version co "1"]`,
		`urn:acme:2.0:User:skills[value eq "x"] or urn:acme:2.0:User:hired gt "2024-01-01T00:00:00Z"`, `urn:acme:2.0:User:cars[seats gt 1.5] and urn:acme:2.0:User:floor eq 1`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, k := range []*resource.Kind{resource.User, resource.Group, extend(fuzzSchemas).User} {
			l := &listing{kinds: []*resource.Kind{k}, base: "https://acme.example/scim/v2"}
			if _, err := l.keys(text); err != nil && describe(err).ScimType != "invalidValue" {
				t.Fatalf("sorted by %q: %v", text, err)
			}
			if _, err := l.filters(text); err != nil && describe(err).ScimType != "invalidFilter" {
				t.Fatalf("%q: %v", text, err)
			}
		}
	})
}

// A cursor either is refused with invalidCursor or is the only form of what it says,
// within bounds.
func FuzzCursor(f *testing.F) {
	for _, seed := range []cursor{{}, {List: "abc", ID: "usr_1", Total: 7, Until: 1}, {List: "<>", Key: "\u00dc \"", ID: "x", Back: true}} {
		f.Add(seed.text())
	}
	for _, seed := range []string{"e30", "bnVsbA", "W10", "eyJ0IjotMX0", "=", "\x00"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, err := decodeCursor(text)
		if err != nil {
			if describe(err).ScimType != invalidCursor {
				t.Fatalf("%q: %v", text, err)
			}
			return
		}
		if c.text() != text || len(c.ID) > 64 || c.Total < 0 || strings.ContainsRune(c.Key+c.ID, 0) {
			t.Fatalf("%q is %+v", text, c)
		}
		page := directory.Page{More: true, Items: []directory.Item{{At: directory.Position{Key: c.Key, ID: "usr_1"}}}}
		next, previous := c.beside(page)
		for _, other := range []*cursor{next, previous} {
			if other == nil {
				continue
			}
			if again, err := readCursor(other.text(), c.List, time.Unix(c.Until, 0)); err != nil || again != *other {
				t.Fatalf("%+v became %+v, %v", other, again, err)
			}
		}
	})
}

// A search either is refused with 400 or asks for the same after it was written down
// again.
func FuzzSearch(f *testing.F) {
	for _, seed := range []string{`"filter":"userName eq \"a\"","count":5`, `"attributes":["a","b"],"startIndex":1`, `"Cursor":"","sortBy":"name.familyName"`, `"count":1e3`,
		`"schemas":[],"excludedAttributes":[]`, `"filter":null,"sortOrder":"x"`, `"nothing":1`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, fields []byte) {
		body, err := resource.Decode([]byte("{" + string(fields) + "}"))
		if err != nil {
			return
		}
		query, err := readSearch(body)
		if err != nil {
			if describe(err).Status != 400 {
				t.Fatalf("%s: %v", fields, err)
			}
			return
		}
		if again, err := readSearch(written(t, query)); err != nil || !reflect.DeepEqual(again, query) {
			t.Fatalf("%s asks for %v and then for %v, %v", fields, query, again, err)
		}
	})
}

// written gives parameters as a SearchRequest.
func written(t *testing.T, query url.Values) map[string]any {
	t.Helper()
	body := map[string]any{}
	for name := range query {
		text := query.Get(name)
		switch name {
		case "count", "startIndex":
			body[name] = json.Number(text)
		case "attributes", "excludedAttributes":
			list := []any{}
			for part := range strings.SplitSeq(text, ",") {
				if text != "" {
					list = append(list, part)
				}
			}
			body[name] = list
		default:
			body[name] = text
		}
	}
	return body
}
