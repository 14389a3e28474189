package brake_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"gatehouse/directory"
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
	var answers struct {
		Operations []struct {
			Status   string
			Response struct{ Detail string }
		}
	}
	if err := json.Unmarshal([]byte(got.text), &answers); err != nil || got.status != http.StatusOK || len(answers.Operations) != 14 {
		t.Fatalf("%d %v: %s", got.status, err, got.text)
	}
	for i, o := range answers.Operations {
		if held := o.Status == "429"; held != (i >= 10) {
			t.Errorf("operation %d is answered with %s", i+1, o.Status)
		} else if again := strings.HasSuffix(o.Response.Detail, " Try again in 600 seconds."); again != held { // RFC 6585 §4
			t.Errorf("operation %d is answered with %q", i+1, o.Response.Detail)
		}
	}
	if h.a.signedIn(last) || !h.a.signedIn(next) {
		t.Error("the sessions are not those of who is left")
	}
	h.stands(brake.Held, 10, 50, 10)
}

// What a Bulk takes back again was never there, and nobody has left by that.
func TestACircleThatIsUndoneIsNoDeparture(t *testing.T) {
	h := newHouse(t, fifth)
	all := h.people(20)
	taken, err := h.a.directory.User(t.Context(), h.tenant, all[0])
	must(t, err)
	var operations []string
	for i := range 8 {
		name := fmt.Sprintf("new%d", i)
		if i == 7 {
			name = taken.UserName
		}
		operations = append(operations, fmt.Sprintf(`{"method":"POST","path":"/Users","bulkId":"u%d","data":{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"%s",
			"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":{"manager":{"value":"bulkId:u%d"}}}}`, i, name, (i+1)%8))
	}
	got := h.a.ask(http.MethodPost, "/Bulk", `{"schemas":["urn:ietf:params:scim:api:messages:2.0:BulkRequest"],"Operations":[`+strings.Join(operations, ",")+`]}`, h.token)
	if got.status != http.StatusOK || strings.Count(got.text, `"status":"409","response"`) != 8 {
		t.Errorf("%d %s", got.status, got.text)
	}
	page, err := h.a.directory.Users(t.Context(), h.tenant, directory.UserQuery{})
	if err != nil || page.Total != 20 {
		t.Errorf("%d people, %v", page.Total, err)
	}
	h.stands(brake.Open, 0, 20, 4)
}
