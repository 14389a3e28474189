package scim

import (
	"encoding/json"
	"reflect"
	"testing"
)

func TestRFC7644_3_7_2_WhereAReferenceCanStand(t *testing.T) {
	for path, want := range map[string]bool{
		"members": true, "Members": true, `members[value eq "a:b.c"].value`: true, "manager": true, "manager.value": true, " manager ": true,
		"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager":       true,
		"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:Manager.value": true,
		"urn:ietf:params:scim:schemas:core:2.0:Group:members":                      true,
		"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":               false,
		"membership": false, "title": false, "emails.value": false, `emails[type eq "members"]`: false, "": false,
	} {
		if names(path) != want {
			t.Errorf("%q names a resource: %v", path, !want)
		}
	}
}

func TestRFC7644_3_7_2_Replacing(t *testing.T) {
	known := references(func(bulkID string) string {
		return map[string]string{"a": "usr_a", "b b": "usr_b"}[bulkID] // the others are not made yet
	})
	const enterprise = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
	read := func(text string) (object map[string]any) {
		if err := json.Unmarshal([]byte(text), &object); err != nil {
			t.Fatal(err)
		}
		return object
	}
	for before, after := range map[string]string{
		`{"members":[{"value":"bulkId:a","type":"User"},{"VALUE":"bulkId:x"},"bulkId:b b",{"display":"bulkId:a"},"usr_c"]}`: `{"members":[{"value":"usr_a","type":"User"},"usr_b",{"display":"bulkId:a"},"usr_c"]}`,
		`{"members":"bulkId:x","Manager":"bulkId:a","title":"bulkId:a"}`:                                                    `{"Manager":"usr_a","title":"bulkId:a"}`,
		`{"urn:x:User":{"manager":{"value":"bulkId:a","displayName":"A"}},"urn:x:User:manager":{"value":"bulkId:x"}}`:       `{"urn:x:User":{"manager":{"value":"usr_a","displayName":"A"}}}`,
		`{"name":{"manager":[null,5,{"value":{"value":["bulkId:a"]}}]}}`:                                                    `{"name":{"manager":[null,5,{"value":{"value":["usr_a"]}}]}}`,
		`{"members":null,"x":["bulkId:a"],"bulkId:a":{"value":"bulkId:a"}}`:                                                 `{"members":null,"x":["bulkId:a"],"bulkId:a":{"value":"bulkId:a"}}`,
		`{"members":[{"value":"BulkId:a"},{"value":"bulkId:"}]}`:                                                            `{"members":[{"value":"BulkId:a"}]}`,
	} {
		object := read(before)
		if known.inObject(object); !reflect.DeepEqual(object, read(after)) {
			t.Errorf("%s became %v, want %s", before, object, after)
		}
	}
	for before, after := range map[string]string{
		`{"operations":[{"op":"add","Path":"members[value eq \"bulkId:a\" or value eq \"bulkId:b b\"]","VALUE":[{"value":"bulkId:a"}]},null,5]}`: `{"operations":[{"op":"add","Path":"members[value eq \"usr_a\" or value eq \"usr_b\"]","VALUE":[{"value":"usr_a"}]},null,5]}`,
		`{"Operations":[{"path":"title","value":"bulkId:a"},{"path":"manager","value":"bulkId:a"},{"path":5,"value":{"members":["bulkId:a"]}}]}`: `{"Operations":[{"path":"title","value":"bulkId:a"},{"path":"manager","value":"usr_a"},{"path":5,"value":{"members":["usr_a"]}}]}`,
		`{"Operations":[{"path":"members[value eq \"bulkId:a","value":{"manager.value":"bulkId:a"}},{"value":["bulkId:a"]}]}`:                    `{"Operations":[{"path":"members[value eq \"bulkId:a","value":{"manager.value":"bulkId:a"}},{"value":["bulkId:a"]}]}`,
		// As PATCH understands them: one object in a list, JSON as text, an extension's too; but not what is a text of its own.
		`{"Operations":[{"value":[{"manager":"bulkId:a"}]},{"path":" ","value":"{\"members\":[{\"value\":\"bulkId:a\"}]}"},{"path":"title","value":"{\"manager\":\"bulkId:a\"}"}]}`: `{"Operations":[{"value":{"manager":"usr_a"}},{"path":" ","value":{"members":[{"value":"usr_a"}]}},{"path":"title","value":"{\"manager\":\"bulkId:a\"}"}]}`,
		`{"Operations":[{"path":"` + enterprise + `","value":"{\"manager\":\"bulkId:a\"}"},{"value":{"` + enterprise + `":[{"manager":{"value":"bulkId:a"}}]}}]}`:                   `{"Operations":[{"path":"` + enterprise + `","value":{"manager":"usr_a"}},{"value":{"` + enterprise + `":{"manager":{"value":"usr_a"}}}}]}`,
		// Escapes, which are in a path as they are in JSON.
		`{"Operations":[{"path":"members[value eq \"bulk\\u0049d:\\u0061\" or display eq \"\\\"bulkId:a\" or value eq \"bulkId:b b\"]"}]}`: `{"Operations":[{"path":"members[value eq \"usr_a\" or display eq \"\\\"bulkId:a\" or value eq \"usr_b\"]"}]}`,
		`{"Operations":{"path":"members","value":"bulkId:a"}}`:                                                                             `{"Operations":{"path":"members","value":"bulkId:a"}}`,
	} {
		message := read(before)
		if known.inPatch(message); !reflect.DeepEqual(message, read(after)) {
			t.Errorf("%s became %v, want %s", before, message, after)
		}
	}
	for before, after := range map[string]string{"/Users/bulkId:a": "/Users/usr_a", "/Users": "/Users", "/Users/bulkId:x": "/Users/", "/bulkId:a/x": "/bulkId:a/x", "/Users/x-bulkId:a": "/Users/x-bulkId:a"} {
		if got := known.inPath(before); got != after {
			t.Errorf("%s became %s, want %s", before, got, after)
		}
	}
}
