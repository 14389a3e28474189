package scim

import (
	"context"
	"encoding/json"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"gatehouse/directory"
	"gatehouse/identity"
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

// unsealed lets a fuzzer say what stands in a cursor.
type unsealed struct{}

func (unsealed) Seal(_ context.Context, _ identity.TenantID, _ string, plain []byte) ([]byte, error) {
	return plain, nil
}

func (unsealed) Open(_ context.Context, _ identity.TenantID, _ string, sealed []byte) ([]byte, error) {
	return sealed, nil
}

// A cursor either is refused or leads to pages whose cursors are read as they were written.
func FuzzCursor(f *testing.F) {
	c := &call{service: &Service{keys: unsealed{}}}
	for _, seed := range []cursor{{}, {List: "abc", ID: "usr_1", Total: 7, Until: 1}, {List: "<>", Key: "\u00dc \"", ID: "x", Back: true}} {
		text, _ := c.cursorText(f.Context(), &seed)
		f.Add(text, seed.List)
	}
	for _, seed := range []string{"e30", "bnVsbA", "W10", "eyJ0IjotMX0", "=", "\x00", strings.Repeat("A", 5000)} {
		f.Add(seed, "")
	}
	f.Fuzz(func(t *testing.T, text, list string) {
		at, err := c.readCursor(t.Context(), text, list, time.Unix(0, 0))
		if err != nil {
			if why := describe(err).ScimType; why != invalidCursor && why != expiredCursor {
				t.Fatalf("%q: %v", text, err)
			}
			return
		}
		page := directory.Page{More: true, Items: []directory.Item{{At: directory.Position{Key: "k", ID: "usr_1"}}}}
		next, previous := at.beside(page)
		for _, other := range []*cursor{next, previous} {
			if other == nil {
				continue
			}
			written, err := c.cursorText(t.Context(), other)
			if err != nil || len(text) > maxCursor/2 {
				continue
			}
			if again, err := c.readCursor(t.Context(), written, at.List, time.Unix(at.Until, 0)); err != nil || again != *other {
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
