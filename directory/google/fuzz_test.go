package google

import (
	"encoding/json"
	"testing"
)

// Whatever Google tells of a person is refused, skipped, or has an id by which it can be
// asked for, and becomes JSON that is the same each time.
func FuzzPerson(f *testing.F) {
	for _, seed := range []string{
		`{"id":"1","primaryEmail":"a@acme.example","name":{"fullName":"A"},"phones":[{"value":"1","type":"work","primary":true}],"organizations":[{"title":"T","primary":true}]}`,
		`{"id":"1","primaryEmail":"a@acme.example","relations":[{"type":"manager","value":"b@acme.example"}],"externalIds":[{"type":"organization","value":"E"}]}`,
		`{"id":"1","primaryEmail":"a@acme.example","emails":"none"}`, `{"id":"../x"}`, `null`, `[]`, `{"id":1}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var u user
		if err := u.read(data); err != nil {
			return
		}
		if !isID(u.ID) || u.Primary != u.ID && !isAddress(u.Primary) {
			t.Fatalf("%q %q", u.ID, u.Primary)
		}
		text, err := json.Marshal(u.resource())
		if err != nil || len(text) > 64*len(data)+4096 {
			t.Fatalf("%d bytes of %d: %v", len(text), len(data), err)
		}
		if once, again := digest(u.resource()), digest(u.resource()); once != again {
			t.Fatal("it is another one each time")
		}
		_ = u.manager()
	})
}
