package resource

import (
	"encoding/json"
	"errors"
	"reflect"
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
		`{"op":"replace","path":"emails[type eq \"home\"].value","value":"x"}`: scimerrors.ScimTypeNoTarget,
		`{"op":"Replace","path":"emails[type ne \"work\"].value","value":"x"}`: scimerrors.ScimTypeNoTarget,
		`{"op":"add","path":"manager","value":""}`:                             scimerrors.ScimTypeInvalidValue,
		`{"op":"add","path":"manager","value":[null]}`:                         scimerrors.ScimTypeInvalidValue,
		`{"op":"add","path":"emails[type eq \"work\"]","value":[]}`:            scimerrors.ScimTypeInvalidValue,
		`{"op":"add","value":{"` + enterpriseURN + `":null}}`:                  scimerrors.ScimTypeInvalidValue,
		`{"op":"replace","path":"manager","value":{"colour":"blue"}}`:          scimerrors.ScimTypeInvalidValue,
		`{"op":"replace","path":"emails","value":[{}]}`:                        scimerrors.ScimTypeInvalidValue,
		`{"op":"replace","path":"emails","value":""}`:                          scimerrors.ScimTypeInvalidValue,
		`{"op":"replace","path":"emails","value":[null]}`:                      scimerrors.ScimTypeInvalidValue,
		`{"op":"replace","path":"emails","value":[""]}`:                        scimerrors.ScimTypeInvalidValue,
		`{"op":"Replace","path":"manager[value eq \"x\"].$ref","value":"x"}`:   scimerrors.ScimTypeNoTarget,
		`{"op":"remove","path":"emails","value":[]}`:                           scimerrors.ScimTypeInvalidValue,
		`{"op":"remove","path":"emails","value":[null]}`:                       scimerrors.ScimTypeInvalidValue,
		`{"op":"remove","path":"emails","value":""}`:                           scimerrors.ScimTypeInvalidValue,
		`{"op":"replace","path":"title","value":[{"colour":"blue"}]}`:          scimerrors.ScimTypeInvalidValue,
		`{"op":"replace","path":"userName","value":[["b"]]}`:                   scimerrors.ScimTypeInvalidValue,
		`{"op":"replace","value":"userName"}`:                                  scimerrors.ScimTypeInvalidValue,
		`{"op":"replace","path":"Password","value":"x"}`:                       scimerrors.ScimTypeInvalidPath,
	} {
		t.Run(operations, func(t *testing.T) {
			got, err := patched(t, person, operations)
			if e, ok := errors.AsType[scimerrors.ScimError](err); !ok || e.ScimType != want || e.Status != 400 {
				t.Errorf("came to %s, %v, want %s", got, err, want)
			}
		})
	}
}
