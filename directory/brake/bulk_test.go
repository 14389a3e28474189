package brake_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"gatehouse/directory/brake"
)

// A Bulk is held in the middle: who comes before the limit is out, nobody after them.
func TestABulkIsHeldAtTheExactPerson(t *testing.T) {
	h := newHouse(t, fifth)
	all := h.people(50)
	last, next := h.a.signIn(all[9]), h.a.signIn(all[10])
	var operations []string
	for i, id := range all[:14] {
		operations = append(operations, fmt.Sprintf([]string{
			`{"method":"DELETE","path":"/Users/%s"}`,
			`{"method":"PATCH","path":"/Users/%s","data":{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[{"op":"replace","path":"active","value":false}]}}`,
		}[i%2], id))
	}
	got := h.a.ask(http.MethodPost, "/Bulk", `{"schemas":["urn:ietf:params:scim:api:messages:2.0:BulkRequest"],"Operations":[`+strings.Join(operations, ",")+`]}`, h.token)
	var answers struct{ Operations []struct{ Status string } }
	if err := json.Unmarshal([]byte(got.text), &answers); err != nil || got.status != http.StatusOK || len(answers.Operations) != 14 {
		t.Fatalf("%d %v: %s", got.status, err, got.text)
	}
	for i, o := range answers.Operations {
		if held := o.Status == "429"; held != (i >= 10) {
			t.Errorf("operation %d is answered with %s", i+1, o.Status)
		}
	}
	if h.a.signedIn(last) || !h.a.signedIn(next) {
		t.Error("the sessions are not those of who is left")
	}
	h.stands(brake.Held, 10, 50, 10)
}
