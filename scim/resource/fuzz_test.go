package resource

import (
	"encoding/json"
	"errors"
	"reflect"
	"testing"

	scimerrors "github.com/elimity-com/scim/errors"
	"github.com/elimity-com/scim/schema"
)

const fuzzURN = "urn:acme:2.0:User"

// fuzzKinds are those of the standard, and a person with a schema of a tenant's own.
var fuzzKinds = []*Kind{User, Group, User.With(Extension{Custom: true, Schema: schema.Schema{ID: fuzzURN, Attributes: schema.Attributes{
	schema.SimpleCoreAttribute(schema.SimpleStringParams(schema.StringParams{Name: "size", CanonicalValues: []string{"Small", "Large"}})),
	schema.SimpleCoreAttribute(schema.SimpleStringParams(schema.StringParams{Name: "skills", MultiValued: true, CaseExact: true})),
	schema.SimpleCoreAttribute(schema.SimpleNumberParams(schema.NumberParams{Name: "rooms", MultiValued: true, Type: schema.AttributeTypeInteger()})),
	schema.SimpleCoreAttribute(schema.SimpleNumberParams(schema.NumberParams{Name: "rate", Type: schema.AttributeTypeDecimal()})),
	schema.SimpleCoreAttribute(schema.SimpleDateTimeParams(schema.DateTimeParams{Name: "shifts", MultiValued: true})),
	schema.SimpleCoreAttribute(schema.SimpleBinaryParams(schema.BinaryParams{Name: "photos", MultiValued: true})),
	schema.SimpleCoreAttribute(schema.SimpleBooleanParams(schema.BooleanParams{Name: "remote", Required: true})),
	schema.ComplexCoreAttribute(schema.ComplexParams{Name: "cars", MultiValued: true, SubAttributes: []schema.SimpleParams{
		schema.SimpleStringParams(schema.StringParams{Name: "value"}), schema.SimpleNumberParams(schema.NumberParams{Name: "seats", Type: schema.AttributeTypeInteger()}),
		schema.SimpleDateTimeParams(schema.DateTimeParams{Name: "since"}), schema.SimpleBooleanParams(schema.BooleanParams{Name: "primary"})}}),
}}})}

// The body of a request either is refused or means the same after it was
// written down again.
func FuzzDecodeStrict(f *testing.F) {
	for _, seed := range []string{`{"a":[1,2.5e3,"x",null,true]}`, `{"a":1,"A":2}`, `[[[[]]]]`, `{"a":{"b":{}}}`, "\"\\u0000\"", `[1,]`, `{}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		v, err := decodeStrict(data)
		if err != nil {
			return
		}
		again, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		w, err := decodeStrict(again)
		if err != nil || !reflect.DeepEqual(v, w) {
			t.Fatalf("%q became %q, %v", data, again, err)
		}
	})
}

// A path either is refused with 400 or names an attribute that a client may write.
func FuzzPath(f *testing.F) {
	for _, seed := range []string{`emails[type eq "work"].value`, `name.givenName`, `urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager`,
		fuzzURN + `:skills[value eq "x"]`, fuzzURN + `:cars[seats gt 1 and since le "2024-01-01T00:00:00Z"].value`, fuzzURN + `:rate`,
		`members[value eq "x"]`, `emails[not (primary eq true)]`, `emails[(type eq "work" or type eq "\u00e9") and not (value pr and primary ne null)].value`, `emails.value[type eq "x"]`, `x[`, `groups`, `:`, `a.b.c`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, path string) {
		for _, k := range fuzzKinds {
			target, err := k.resolve(path)
			if err != nil {
				if refused, ok := errors.AsType[scimerrors.ScimError](err); !ok || refused.Status != 400 {
					t.Fatalf("%q: %v", path, err)
				}
				continue
			}
			if target.attr.Name() == "" || target.attr.Mutability() == "readOnly" {
				t.Fatalf("%q resolved to %q", path, target.attr.Name())
			}
		}
	})
}

// A PATCH either is refused with 4xx or leaves a resource that the schema
// allows and that cleaning does not change any more; the original, which other
// readers share, stays as it was either way.
func FuzzPatch(f *testing.F) {
	for _, seed := range []string{
		`{"op":"add","path":"emails[type eq \"home\"].value","value":"a@x.example"}`,
		`{"op":"Replace","value":{"name.givenName":"x","active":"False","emails":[{"value":"y","primary":true}]}}`,
		`{"op":"remove","path":"emails[not (type eq \"work\")]"}`,
		`{"op":"add","value":{"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":{"manager":"y","division":"z"}}}`,
		`{"op":"remove","path":"members","value":[{"value":"usr_1"}]}`,
		`{"op":"add","path":"x509Certificates","value":[{"value":"AAAA"}]}`,
		`{"op":"Replace","path":"emails[type eq \"x\"].value","value":["a"]}`,
		`{"op":"Add","path":"roles","value":[{"value":"{\"value\":\"25\",\"displayName\":\"r\"}"}]}`,
		`{"op":"replace","value":"{\"title\":\"x\"}"}`,
		`{"op":"add","value":{"urn:acme:2.0:User":{"rooms":["1",2],"shifts":"2024-01-01T02:00:00+02:00","rate":"1.5","size":"large"}}}`,
		`{"op":"remove","path":"urn:acme:2.0:User:skills[value sw \"g\"]"},{"op":"add","path":"urn:acme:2.0:User:cars[seats eq 5].since","value":"2024-01-01T00:00:00"}`,
		`{"op":"Replace","path":"manager[value eq \"\\u00e9\" and displayName eq null].value","value":"y"},{"op":"remove","path":"emails[value ne null and (type eq \"a\" or not (primary pr) or value ne \"B\")]"}`,
		`{"op":"replace","path":"urn:acme:2.0:User:rooms[value lt 3]","value":7}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, operations []byte) {
		body, err := Decode([]byte(`{"schemas":["` + patchURN + `"],"Operations":[` + string(operations) + `]}`))
		if err != nil {
			return
		}
		list, err := ReadPatch(body)
		if err != nil {
			return
		}
		for _, k := range fuzzKinds {
			stored, copied := fuzzResource(), fuzzResource()
			working := make(Object)
			for name, value := range stored {
				working[name] = value
			}
			err := list.Apply(k, working)
			if !reflect.DeepEqual(stored, copied) {
				t.Fatalf("%s changed what it was given", operations)
			}
			if err != nil {
				if refused, ok := errors.AsType[scimerrors.ScimError](err); !ok || refused.Status < 400 || refused.Status > 499 {
					t.Fatalf("%s: %v", operations, err)
				}
				continue
			}
			clean, err := k.Clean(working)
			if err != nil {
				clean, err = k.CleanPatched(working)
			}
			if err != nil {
				continue
			}
			fits := written(t, clean)
			if k.Fit(fits); !reflect.DeepEqual(written(t, fits), written(t, clean)) {
				t.Fatalf("%s: what is kept as %v is answered as %v", operations, clean, fits)
			}
			if again, err := k.CleanPatched(clean); err != nil || !reflect.DeepEqual(clean, again) {
				t.Fatalf("%s: cleaning twice gave %v and %v, %v", operations, clean, again, err)
			}
		}
	})
}

// written is a resource as it is kept and read again.
func written(t *testing.T, res Object) Object {
	t.Helper()
	text, err := json.Marshal(res)
	if err != nil {
		t.Fatal(err)
	}
	again, err := Decode(text)
	if err != nil {
		t.Fatal(err)
	}
	return again
}

func fuzzResource() Object {
	return Object{"id": "usr_1", "userName": "ada", "displayName": "Ada", "active": true,
		"name":    map[string]any{"givenName": "Ada"},
		"emails":  []any{map[string]any{"value": "ada@x.example", "type": "work", "primary": true}, map[string]any{"value": "b@x.example"}},
		"members": []any{map[string]any{"value": "usr_1", "type": "User"}, map[string]any{"value": "usr_2", "display": "Bob"}},
		"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": map[string]any{"department": "Tours", "manager": map[string]any{"value": "x"}},
		fuzzURN: map[string]any{"skills": []any{"go", "sql"}, "rooms": []any{int64(1), int64(2)}, "rate": 2.5, "cars": []any{map[string]any{"value": "vw", "seats": int64(4), "since": "2024-01-01T00:00:00Z"}}},
	}
}
