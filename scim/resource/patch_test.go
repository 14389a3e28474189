package resource

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"strings"
	"testing"

	scimerrors "github.com/elimity-com/scim/errors"
)

const enterpriseURN = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"

// patched applies operations to a person, cleans the result and gives it as JSON.
func patched(t *testing.T, person, operations string) (string, error) {
	t.Helper()
	res, err := Decode([]byte(person))
	if err != nil {
		t.Fatal(err)
	}
	body, err := Decode([]byte(`{"schemas":["` + patchURN + `"],"Operations":[` + operations + `]}`))
	if err != nil {
		t.Fatal(err)
	}
	steps, err := ReadPatch(body)
	if err != nil {
		return "", err
	}
	if err := steps.Apply(User, res); err != nil {
		return "", err
	}
	clean, err := User.Clean(res)
	if err != nil {
		return "", err
	}
	text, err := json.Marshal(clean)
	if err != nil {
		t.Fatal(err)
	}
	return string(text), nil
}

// The forms in which real clients depart from the standard, each with what it
// must come to. Who sends them stands in scim/testdata/providers.
func TestPatchesOfRealClients(t *testing.T) {
	for name, c := range map[string]struct{ person, operations, want string }{
		"one value in a list": {`{"userName":"a"}`, `{"op":"replace","path":"userName","value":["b"]}`, `{"userName":"b"}`},
		"one boolean in a list": {`{"userName":"a","active":true}`, `{"op":"replace","path":"active","value":["False"]}`,
			`{"userName":"a","active":false}`},
		"one object in a list": {`{"userName":"a"}`, `{"op":"add","path":"name","value":[{"givenName":"A"}]}`,
			`{"userName":"a","name":{"givenName":"A"}}`},
		"one value of a sub-attribute in a list": {`{"userName":"a","name":{"givenName":"A"}}`, `{"op":"replace","path":"name.givenName","value":["B"]}`,
			`{"userName":"a","name":{"givenName":"B"}}`},
		"a text in an object in a list": {`{"userName":"a"}`, `{"op":"Add","path":"title","value":[{"$ref":null,"value":"T"}]}`,
			`{"userName":"a","title":"T"}`},
		"attributes as text":   {`{"userName":"a"}`, `{"op":"replace","value":"{\"title\":\"T\",\"schemas\":[]}"}`, `{"userName":"a","title":"T"}`},
		"attributes in a list": {`{"userName":"a"}`, `{"op":"replace","value":[{"title":"T"}]}`, `{"userName":"a","title":"T"}`},
		"no text for an object": {`{"userName":"a","` + enterpriseURN + `":{"manager":{"value":"m"}}}`, `{"op":"replace","path":"manager","value":""}`,
			`{"userName":"a"}`},
		"a remove with null beside it": {`{"userName":"a","title":"T","emails":[{"type":"work","value":"x"}]}`, `{"op":"remove","path":"title","value":null},{"op":"remove","path":"emails","value":null}`, `{"userName":"a"}`},
		"null for an element":          {`{"userName":"a","emails":[{"type":"work","value":"x"}]}`, `{"op":"replace","path":"emails[type eq \"work\"]","value":null}`, `{"userName":"a"}`},
		"null for the extension": {`{"userName":"a","` + enterpriseURN + `":{"department":"d"}}`, `{"op":"replace","value":{"` + enterpriseURN + `":null}}`,
			`{"userName":"a"}`},
		"Entra ID replaces an element that is not there": {`{"userName":"a"}`, `{"op":"Replace","path":"emails[type eq \"work\"].value","value":"x"}`,
			`{"userName":"a","emails":[{"type":"work","value":"x"}]}`},
		"and a single value that is not there": {`{"userName":"a"}`, `{"op":"Replace","path":"` + enterpriseURN + `:manager[value eq \"x\"].value","value":"y"}`,
			`{"userName":"a","` + enterpriseURN + `":{"manager":{"value":"y"}}}`},
		"and so under its path as a name": {`{"userName":"a"}`, `{"op":"Replace","value":{"emails[type eq \"work\"].value":"x"}}`,
			`{"userName":"a","emails":[{"type":"work","value":"x"}]}`},
		"a value is removed with its element": {`{"userName":"a","emails":[{"type":"work","primary":true,"display":"X","value":"x"},{"value":"y"}]}`,
			`{"op":"Remove","path":"emails[type eq \"work\"].value","value":"z"}`, `{"userName":"a","emails":[{"value":"y"}]}`},
		"but not what says more": {`{"userName":"a","addresses":[{"type":"work","country":"US","locality":"L"}]}`,
			`{"op":"Remove","path":"addresses[type eq \"work\"].country"}`, `{"userName":"a","addresses":[{"type":"work","locality":"L"}]}`},
		"a list to remove says of which type": {`{"userName":"a","emails":[{"type":"work","value":"x"},{"type":"home","value":"x"},{"value":"y","type":"home"}]}`,
			`{"op":"remove","path":"emails","value":[{"type":"home","value":"x"},{"value":"y"}]}`, `{"userName":"a","emails":[{"type":"work","value":"x"}]}`},
		"a role as JSON": {`{"userName":"a"}`, `{"op":"Add","path":"roles","value":[{"value":"{\"id\":\"1\",\"value\":\"Admin\",\"displayName\":\"The admin\"}"}]}`,
			`{"userName":"a","roles":[{"value":"Admin","display":"The admin"}]}`},
		"a role as JSON with a name beside it": {`{"userName":"a"}`, `{"op":"Add","path":"roles","value":[{"display":"Mine","value":"{\"value\":\"Admin\",\"displayName\":\"The admin\"}"}]}`,
			`{"userName":"a","roles":[{"value":"Admin","display":"Mine"}]}`},
		"a role as JSON within JSON stays": {`{"userName":"a"}`, `{"op":"Add","path":"roles","value":[{"value":"{\"value\":\"{}\"}"}]}`,
			`{"userName":"a","roles":[{"value":"{\"value\":\"{}\"}"}]}`},
		"a role in braces that is no JSON stays": {`{"userName":"a"}`, `{"op":"Add","path":"roles","value":[{"value":"{admin}"}]}`,
			`{"userName":"a","roles":[{"value":"{admin}"}]}`},
		"a value that is there is changed, not doubled": {`{"userName":"a","emails":[{"type":"work","value":"x"},{"type":"home","value":"x"},{"value":"y","primary":true}]}`,
			`{"op":"add","path":"emails","value":[{"type":"Home","value":"x","primary":true}]}`,
			`{"userName":"a","emails":[{"type":"work","value":"x"},{"type":"Home","value":"x","primary":true},{"value":"y","primary":false}]}`},
		"in whatever letter case, where the schema ignores it": {`{"userName":"a","emails":[{"type":"work","value":"ada@x"},{"value":"b@x"}]}`,
			`{"op":"add","path":"emails","value":[{"type":"work","value":"ADA@X"}]},{"op":"remove","path":"emails","value":[{"value":"B@x"}]}`,
			`{"userName":"a","emails":[{"type":"work","value":"ADA@X"}]}`},
		"and not where it matters": {`{"userName":"a","photos":[{"value":"https://x/a"}]}`,
			`{"op":"add","path":"photos","value":[{"value":"https://x/A"}]},{"op":"remove","path":"photos","value":[{"value":"HTTPS://x/a"}]}`,
			`{"userName":"a","photos":[{"value":"https://x/a"},{"value":"https://x/A"}]}`},
		"whatever its type where none is given": {`{"userName":"a","emails":[{"type":"work","value":"x"}]}`,
			`{"op":"add","path":"emails","value":[{"value":"x"},{"value":"y"},{"value":"y","type":"home"}]}`,
			`{"userName":"a","emails":[{"type":"work","value":"x"},{"type":"home","value":"y"}]}`},
		"nothing but unknown names in one of several": {`{"userName":"a"}`, `{"op":"add","path":"emails","value":[{"colour":"blue"},{"value":"x"}]}`,
			`{"userName":"a","emails":[{"value":"x"}]}`},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := patched(t, c.person, c.operations)
			if err != nil {
				t.Fatal(err)
			}
			var have, want any
			if err := errors.Join(json.Unmarshal([]byte(got), &have), json.Unmarshal([]byte(c.want), &want)); err != nil || !reflect.DeepEqual(have, want) {
				t.Errorf("came to %s, want %s (%v)", got, c.want, err)
			}
		})
	}
}

// What cannot be understood is refused, and never counts as done.
func TestPatchesThatSayNothing(t *testing.T) {
	const person = `{"userName":"a","emails":[{"type":"work","value":"x"}],"` + enterpriseURN + `":{"manager":{"value":"m"}}}`
	for operations, want := range map[string]scimerrors.ScimType{
		`{"op":"replace","path":"emails[type eq \"home\"].value","value":"x"}`:            scimerrors.ScimTypeNoTarget,
		`{"op":"replace","path":"nickName[value eq \"x\"].value","value":"x"}`:            scimerrors.ScimTypeInvalidPath,
		`{"op":"remove","path":"emails[type eq \"a\" or emails[value pr]]"}`:              scimerrors.ScimTypeInvalidPath,
		`{"op":"remove","path":"emails[type eq \"a\"][value pr]"}`:                        scimerrors.ScimTypeInvalidPath,
		`{"op":"remove","path":"emails[type eq \"a\"]value"}`:                             scimerrors.ScimTypeInvalidPath,
		`{"op":"remove","path":"emails[type eq \"a\"]."}`:                                 scimerrors.ScimTypeInvalidPath,
		`{"op":"remove","path":"emails[type eq \"a\"].value.x"}`:                          scimerrors.ScimTypeInvalidPath,
		`{"op":"remove","path":"[type eq \"a\"]"}`:                                        scimerrors.ScimTypeInvalidPath,
		`{"op":"remove","path":"emails[]"}`:                                               scimerrors.ScimTypeInvalidPath,
		`{"op":"remove","path":"emails]type pr["}`:                                        scimerrors.ScimTypeInvalidPath,
		`{"op":"remove","path":"emails[type gt null]"}`:                                   scimerrors.ScimTypeInvalidFilter,
		`{"op":"add","path":"emails[type eq \"\"].value","value":"x"}`:                    scimerrors.ScimTypeNoTarget,
		`{"op":"add","path":"emails[type eq \"a\" and type eq \"b\"].value","value":"x"}`: scimerrors.ScimTypeNoTarget,
		`{"op":"replace","path":"manager[value eq \"x\"].value","value":"x"}`:             scimerrors.ScimTypeNoTarget,
		`{"op":"Replace","path":"emails[type ne \"work\"].value","value":"x"}`:            scimerrors.ScimTypeNoTarget,
		`{"op":"add","path":"manager","value":""}`:                                        scimerrors.ScimTypeInvalidValue,
		`{"op":"add","path":"manager","value":[null]}`:                                    scimerrors.ScimTypeInvalidValue,
		`{"op":"add","path":"emails[type eq \"work\"]","value":[]}`:                       scimerrors.ScimTypeInvalidValue,
		`{"op":"add","value":{"` + enterpriseURN + `":null}}`:                             scimerrors.ScimTypeInvalidValue,
		`{"op":"replace","path":"manager","value":{"colour":"blue"}}`:                     scimerrors.ScimTypeInvalidValue,
		`{"op":"replace","path":"emails","value":[{}]}`:                                   scimerrors.ScimTypeInvalidValue,
		`{"op":"replace","path":"emails","value":""}`:                                     scimerrors.ScimTypeInvalidValue,
		`{"op":"replace","path":"emails","value":[null]}`:                                 scimerrors.ScimTypeInvalidValue,
		`{"op":"replace","path":"emails","value":[""]}`:                                   scimerrors.ScimTypeInvalidValue,
		`{"op":"Replace","path":"manager[value eq \"x\"].$ref","value":"x"}`:              scimerrors.ScimTypeNoTarget,
		`{"op":"remove","path":"emails","value":[]}`:                                      scimerrors.ScimTypeInvalidValue,
		`{"op":"remove","path":"emails","value":[null]}`:                                  scimerrors.ScimTypeInvalidValue,
		`{"op":"remove","path":"emails","value":""}`:                                      scimerrors.ScimTypeInvalidValue,
		`{"op":"replace","path":"title","value":[{"colour":"blue"}]}`:                     scimerrors.ScimTypeInvalidValue,
		`{"op":"replace","path":"userName","value":[["b"]]}`:                              scimerrors.ScimTypeInvalidValue,
		`{"op":"replace","value":"userName"}`:                                             scimerrors.ScimTypeInvalidValue,
		`{"op":"replace","path":"Password","value":"x"}`:                                  scimerrors.ScimTypeInvalidPath,
	} {
		t.Run(operations, func(t *testing.T) {
			got, err := patched(t, person, operations)
			if e, ok := errors.AsType[scimerrors.ScimError](err); !ok || e.ScimType != want || e.Status != 400 {
				t.Errorf("came to %s, %v, want %s", got, err, want)
			}
		})
	}
}

// TestAnyFilterInThePathOfAPatch: in the brackets of a path a filter is as long as in
// a search, its texts are JSON, and it means the same: what is not there, null or an empty
// text is not assigned (RFC 7644 §3.5.2, §3.4.2.2).
func TestAnyFilterInThePathOfAPatch(t *testing.T) {
	const person = `{"userName":"a","emails":[{"value":"w","type":"work","primary":true},{"value":"h","type":"home"},{"value":"n"},{"value":"","type":"empty"},
		{"value":"jos\u00e9","type":"\ud83d\ude00"},{"value":"\\u00e9","type":"other","primary":false}]}`
	for filter, left := range map[string]string{
		`type eq "work" or type eq "home" or value eq "n"`: `"" josé \u00e9`,
		`type eq "work" and primary eq true and value pr`:  `h n "" josé \u00e9`,
		`type eq "work" and not (primary eq true)`:         `w h n "" josé \u00e9`,
		`(type eq "work")`: `h n "" josé \u00e9`,
		`(type eq "work" or (type eq "home" or not (type pr))) and value ne "h"`: `h "" josé \u00e9`,
		`type ne "work"`:                    `w`,
		`not (type eq "work")`:              `w`,
		`value pr`:                          `""`,
		`not (value pr)`:                    `w h n josé \u00e9`,
		`value eq ""`:                       `w h n "" josé \u00e9`,
		`value ne ""`:                       ``,
		`value co ""`:                       `""`,
		`primary eq null`:                   `w \u00e9`,
		`primary ne null`:                   `h n "" josé`,
		`value eq null and type eq "empty"`: `w h n josé \u00e9`,
		`primary ne true`:                   `w`,
		`value eq "JOS\u00e9"`:              `w h n "" \u00e9`,
		`value eq "jos\u00E9"`:              `w h n "" \u00e9`,
		`value eq "\\u00e9"`:                `w h n "" josé`,
		`value eq "\\u00E9"`:                `w h n "" josé`,
		`type eq "\ud83d\ude00"`:            `w h n "" \u00e9`,
		`type eq "\uD83D\uDE00" or value eq "]" or value eq "\"[\u005b"`: `w h n "" \u00e9`,
		`value gt "h" and value le "N"`:                                  `w h "" \u00e9`,
		`value sw "JO" or value ew "00e9" or value co "W"`:               `h n ""`,
	} {
		path, err := json.Marshal("emails[" + filter + "]")
		if err != nil {
			t.Fatal(err)
		}
		got, err := patched(t, person, `{"op":"remove","path":`+string(path)+`}`)
		if err != nil {
			t.Errorf("%s: %v", filter, err)
			continue
		}
		var now struct{ Emails []struct{ Value string } }
		if err := json.Unmarshal([]byte(got), &now); err != nil {
			t.Fatal(err)
		}
		var values []string
		for _, e := range now.Emails {
			values = append(values, cmp.Or(e.Value, `""`))
		}
		if have := strings.Join(values, " "); have != left {
			t.Errorf("%s leaves %s, want %s", filter, have, left)
		}
	}
}

// Numbers and times in a path are compared as they are in a search.
func TestNumbersAndTimesInThePathOfAPatch(t *testing.T) {
	k := fuzzKinds[2]
	for path, selects := range map[string]bool{
		":cars[seats eq 4]": true, ":cars[seats eq 4.0]": true, ":cars[seats eq 4.5]": false, ":cars[seats lt 4.5 and seats gt 3.5 and seats ne 3]": true,
		`:cars[since eq "2024-01-01T02:00:00+02:00"]`: true, `:cars[since gt "2024-01-01T00:00:00Z"]`: false, ":cars[primary ne false]": true, ":rooms[value ge 2]": true,
		":rooms[value gt 2]": false, `:skills[value eq "GO"]`: false, `:skills[value ne "go"]`: true, `:skills[value sw "s"]`: true, ":cars[not (seats pr)]": false,
	} {
		before, after := fuzzResource(), fuzzResource()
		body, err := Decode(fmt.Appendf(nil, `{"schemas":[%q],"Operations":[{"op":"remove","path":%q}]}`, patchURN, fuzzURN+path))
		if err != nil {
			t.Fatal(err)
		}
		steps, err := ReadPatch(body)
		if err == nil {
			err = steps.Apply(k, after)
		}
		if err != nil || reflect.DeepEqual(before, after) == selects {
			t.Errorf("%s: %v, left %v", path, err, after[fuzzURN])
		}
	}
}

// A long filter counts by its comparisons, so that the work of a PATCH has an end.
func TestComparisonsOfAPathAreCounted(t *testing.T) {
	person := Object{"userName": "a", "emails": []any{}}
	list := make([]any, 200)
	for i := range list {
		list[i] = map[string]any{"value": fmt.Sprint("x", i)}
	}
	person["emails"] = list
	for comparisons, refused := range map[int]bool{1: false, 60: true} {
		steps := make(Patch, 100)
		for i := range steps {
			steps[i] = operation{op: "remove", path: "emails[" + strings.Repeat(`type eq "y" or `, comparisons-1) + `type eq "z"]`}
		}
		err := steps.Apply(User, maps.Clone(person))
		if e, ok := errors.AsType[scimerrors.ScimError](err); (err != nil) != refused || refused && (!ok || e.ScimType != scimerrors.ScimTypeTooMany) {
			t.Errorf("%d comparisons: %v", comparisons, err)
		}
	}
}

// Long texts are counted too, in lists and out of them: each comparison looks at all of one.
func TestLongTextsOfAPatchAreCounted(t *testing.T) {
	long := strings.Repeat("Ä", 30<<10)
	where := "[" + strings.Repeat(`value co "a" or `, 100) + `value co "b"]`
	for path, person := range map[string]Object{
		"roles" + where:                    {"userName": "a", "roles": []any{map[string]any{"value": long}}},
		enterpriseURN + ":manager" + where: {"userName": "a", enterpriseURN: map[string]any{"manager": map[string]any{"value": long}}},
	} {
		steps := make(Patch, 20)
		for i := range steps {
			steps[i] = operation{op: "remove", path: path}
		}
		err := steps[:1].Apply(User, maps.Clone(person))
		if err != nil {
			t.Errorf("%.20s once: %v", path, err)
		}
		err = steps.Apply(User, maps.Clone(person))
		if e, ok := errors.AsType[scimerrors.ScimError](err); !ok || e.ScimType != scimerrors.ScimTypeTooMany {
			t.Errorf("%.20s: %v", path, err)
		}
	}
}

// Reading filters takes time, so that those of a PATCH have an end as well.
func TestFiltersOfAPatchAreBounded(t *testing.T) {
	long := "emails[" + strings.Repeat(`type eq "y" or `, 130) + `type eq "z"]`
	for n, refused := range map[int]bool{10: false, maxFiltered/len(long) + 1: true} {
		steps := make(Patch, n)
		for i := range steps {
			steps[i] = operation{op: "remove", path: long}
		}
		err := steps.Apply(User, Object{"userName": "a"})
		if e, ok := errors.AsType[scimerrors.ScimError](err); (err != nil) != refused || refused && (!ok || e.ScimType != scimerrors.ScimTypeTooMany) {
			t.Errorf("%d: %v", n, err)
		}
	}
}
