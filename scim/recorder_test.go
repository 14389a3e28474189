package scim_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"gatehouse/internal/store"
	"gatehouse/scim"
	"gatehouse/scim/recorder"
)

// kept gives what was kept of acme, the newest first, each whole.
func kept(t testing.TB, b *bench, s *recorder.Service, f recorder.Filter) (all []recorder.Request) {
	t.Helper()
	b.serving.Wait()
	s.Flush(t.Context())
	f.Limit = 200
	page, err := s.Search(t.Context(), b.acme.id, f)
	must(t, err)
	for _, r := range page.Items {
		if r.Lost == 0 {
			r, err = s.Get(t.Context(), b.acme.id, r.ID)
			must(t, err)
		}
		all = append(all, r)
	}
	return all
}

func last(t testing.TB, b *bench, s *recorder.Service) recorder.Request {
	t.Helper()
	all := kept(t, b, s, recorder.Filter{})
	if len(all) == 0 {
		t.Fatal("nothing is kept")
	}
	return all[0]
}

func attribute(c recorder.Change, name string) recorder.Attribute {
	for _, a := range c.Attributes {
		if a.Name == name {
			return a
		}
	}
	return recorder.Attribute{}
}

// What came, what was understood, what it has changed and what was answered.
func TestARequestIsKeptWithWhatBecameOfIt(t *testing.T) {
	b := newBench(t)
	s := b.recorder
	id := b.user(t, "ann@acme.example", `,"externalId":"42","name":{"givenName":"Ann","familyName":"Lee"},"active":"True"`)
	r := last(t, b, s)
	if r.Method != http.MethodPost || r.Path != "/scim/v2/Users" || r.Status != 201 || r.Kind != "User" || r.Resource != id || r.Name != "ann@acme.example" ||
		r.TokenName != "test" || r.Failed || !r.Changed || r.Node != "n1" || r.Took <= 0 || r.Header["Content-Type"] != "application/scim+json" {
		t.Errorf("kept as %+v", r)
	}
	if !strings.Contains(r.Sent.Text, `"active":"True"`) || !slices.Contains(r.Understood, "active = true") || !slices.Contains(r.Understood, `name.givenName = "Ann"`) || !strings.Contains(r.Answer.Text, id) {
		t.Errorf("kept as %+v", r.Details)
	}
	if len(r.Changes) != 1 || r.Changes[0].Action != recorder.Created || r.Changes[0].ID != id || attribute(r.Changes[0], "externalId").After != `"42"` {
		t.Errorf("changed: %+v", r.Changes)
	}

	b.do(t, "PATCH", "/Users/"+id, patch(`{"op":"Replace","value":{"name.givenName":"Anna","active":"False"}}`)).wants(200)
	r = last(t, b, s)
	if want := []string{"replace active = false", `replace name.givenName = "Anna"`}; !slices.Equal(r.Understood, want) {
		t.Errorf("understood %q", r.Understood)
	}
	want := []recorder.Attribute{{Name: "active", Before: "true", After: "false"}, {Name: "displayName", Before: `"Ann Lee"`, After: `"Anna Lee"`}, {Name: "name.givenName", Before: `"Ann"`, After: `"Anna"`}}
	if len(r.Changes) != 1 || !slices.Equal(r.Changes[0].Attributes, want) || r.Changes[0].Action != recorder.Changed {
		t.Errorf("changed %+v", r.Changes)
	}
	b.do(t, "PATCH", "/Users/"+id, patch(`{"op":"replace","path":"active","value":false}`)).wants(200)
	if r = last(t, b, s); r.Changed || len(r.Changes) > 0 || r.Failed || r.Name != "ann@acme.example" {
		t.Errorf("what changes nothing is kept as %+v", r)
	}

	group := b.group(t, "staff", id)
	b.do(t, "PATCH", "/Groups/"+group, patch(`{"op":"remove","path":"members[value eq \"`+id+`\"]"},{"op":"replace","path":"displayName","value":"crew"}`)).wants(204)
	r = last(t, b, s)
	if c := r.Changes[0]; c.Kind != "Group" || c.Left.Count != 1 || c.Left.First[0] != (recorder.Member{ID: id, Kind: "User", Name: "Anna Lee"}) || c.Joined.Count != 0 ||
		attribute(c, "displayName") != (recorder.Attribute{Name: "displayName", Before: `"staff"`, After: `"crew"`}) {
		t.Errorf("changed %+v", c)
	}
	b.do(t, "DELETE", "/Users/"+id, "").wants(204)
	if r = last(t, b, s); r.Changes[0].Action != recorder.Deleted || attribute(r.Changes[0], "userName").Before != `"ann@acme.example"` || r.Name != "ann@acme.example" {
		t.Errorf("kept as %+v", r)
	}
	b.do(t, "GET", "/Users?filter="+escape(`USERNAME EQ "bob"`)+"&count=5", "").wants(200)
	if r = last(t, b, s); !slices.Equal(r.Understood, []string{`filter = USERNAME eq "bob"`, "count = 5"}) || r.Changed {
		t.Errorf("understood %q", r.Understood)
	}
	if found := kept(t, b, s, recorder.Filter{About: "ANN@acme"}); len(found) != 4 {
		t.Errorf("found by name: %d", len(found))
	}
	if found := kept(t, b, s, recorder.Filter{About: id}); len(found) != 6 { // and the two of the group
		t.Errorf("found by id: %d", len(found))
	}
	if all, err := s.Search(t.Context(), b.globex.id, recorder.Filter{Limit: 10}); err != nil || len(all.Items) != 0 {
		t.Errorf("another tenant has %v %v", all.Items, err)
	}
}

// What is refused is kept as well: that is what one looks for.
func TestARefusedRequestIsKept(t *testing.T) {
	b := newBench(t)
	s := b.recorder
	b.do(t, "POST", "/Users", `{"userName":"ann",}`).wants(400)
	if r := last(t, b, s); r.Sent.Text != `{"userName":"ann",}` || r.ScimType != "invalidSyntax" || !r.Failed || r.Detail == "" || r.Status != 400 {
		t.Errorf("kept as %+v", r)
	}
	b.do(t, "POST", "/Users", `userName=ann`, "Content-Type", "application/x-www-form-urlencoded").wants(415)
	if r := last(t, b, s); r.Sent.Text != `userName=ann` || r.Header["Content-Type"] != "application/x-www-form-urlencoded" || r.Status != 415 {
		t.Errorf("kept as %+v", r)
	}
	b.do(t, "POST", "/Nothing", `{"a":1}`).wants(404)
	if r := last(t, b, s); r.Sent.Text != `{"a":1}` || r.Path != "/scim/v2/Nothing" {
		t.Errorf("kept as %+v", r)
	}
	b.do(t, "POST", "/Users", `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"`+strings.Repeat("x", 100<<10)+`"}`).wants(400)
	if r := last(t, b, s); len(r.Sent.Text) < 100<<10 || r.Sent.Left != 0 || r.Sent.Unread {
		t.Errorf("%d bytes of it are kept, %d not", len(r.Sent.Text), r.Sent.Left)
	}
	b.do(t, "POST", "/Users", strings.Repeat("x", 2<<20)).wants(413)
	if r := last(t, b, s); len(r.Sent.Text) != recorder.MaxBeginning || r.Sent.Left != 2<<20-recorder.MaxBeginning || !r.Sent.Unread {
		t.Errorf("%d bytes of what is too large are kept, %d not", len(r.Sent.Text), r.Sent.Left)
	}
	b.do(t, "PATCH", "/Users/usr_none", patch(`{"op":"replace","path":"active","value":false}`)).wants(404)
	if r := last(t, b, s); r.Resource != "usr_none" || len(r.Understood) != 1 {
		t.Errorf("kept as %+v", r)
	}
	for filter, want := range map[recorder.Filter]int{
		{Failed: true}: 6, {Status: 4}: 6, {Status: 404}: 2, {ScimType: "invalidSyntax"}: 1, {Changed: true}: 0, {Method: "patch"}: 1, {Token: "test"}: 6, {Token: "other"}: 0, {Status: 2}: 0,
	} {
		if got := kept(t, b, s, filter); len(got) != want {
			t.Errorf("%+v finds %d, want %d", filter, len(got), want)
		}
	}
}

// Who has shown no good token fills nothing: of a flood some are kept, without what they
// sent, and the rest are counted.
func TestRequestsWithoutATokenAreKeptInBounds(t *testing.T) {
	b := newBench(t)
	s := b.recorder
	for range 50 {
		b.do(t, "POST", "/Users", `{"userName":"ann"}`, "Authorization", "Bearer "+b.globex.token).wants(401)
	}
	b.serving.Wait()
	running, stop := context.WithCancel(t.Context())
	stop()
	must(t, s.Run(running))
	all := kept(t, b, s, recorder.Filter{})
	lost := 0
	for _, r := range all {
		if lost += r.Lost; r.Sent.Text != "" || r.Lost == 0 && !r.Sent.Unread || r.Token != "" || r.Status != 401 {
			t.Errorf("kept as %+v", r)
		}
	}
	if len(all) != 21 || lost != 30 {
		t.Errorf("%d are kept, and %d counted", len(all), lost)
	}
}

// Each operation of a bulk has its line, and each resource what became of it.
func TestABulkIsKept(t *testing.T) {
	b := newBench(t)
	s := b.recorder
	b.user(t, "taken", "")
	b.do(t, "POST", "/Bulk", bulkOf(
		`{"method":"POST","path":"/Users","bulkId":"a","data":{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"ann"}}`,
		`{"method":"POST","path":"/Users","bulkId":"b","data":{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"taken"}}`,
		`{"method":"POST","path":"/Groups","bulkId":"g","data":{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group"],"displayName":"staff","members":[{"value":"bulkId:a"}]}}`)).wants(200)
	r := last(t, b, s)
	if len(r.Understood) != 3 || !strings.HasPrefix(r.Understood[0], "1. POST /Users (bulkId a): 201 usr_") || !strings.HasPrefix(r.Understood[1], "2. POST /Users (bulkId b): 409 uniqueness ") {
		t.Errorf("understood %q", r.Understood)
	}
	if len(r.Changes) != 2 || r.Changes[0].Name != "ann" || r.Changes[1].Name != "staff" || r.Changes[1].Joined.Count != 1 || !r.Failed || !r.Changed {
		t.Errorf("kept as %+v", r)
	}
	if found := kept(t, b, s, recorder.Filter{About: "ann"}); len(found) != 1 {
		t.Errorf("found by name: %d", len(found))
	}
}

func bulkOf(operations ...string) string {
	return `{"schemas":["urn:ietf:params:scim:api:messages:2.0:BulkRequest"],"Operations":[` + strings.Join(operations, ",") + `]}`
}

// P6: nothing that is kept holds the token, a password, or what the Authorization was.
func TestP6_NoSecretIsKeptOfARequest(t *testing.T) {
	b := newBench(t)
	s := b.recorder
	const password = "correct-horse-battery"
	more := fmt.Sprintf(`,"password":%q,"title":"%s","nickName":"Bearer %s"`, password, b.acme.token, b.acme.token)
	id := b.user(t, "ann", more)
	b.do(t, "PATCH", "/Users/"+id, patch(`{"op":"replace","path":"password","value":"`+password+`"}`)).wants(400)
	b.do(t, "PATCH", "/Users/"+id, patch(`{"op":"replace","value":{"nickName":"`+password+`","password":"`+password+`"}}`))
	b.do(t, "POST", "/Users", `{"userName":"bob","password":"`+password+``).wants(400)
	b.do(t, "GET", "/Users?filter="+escape(`title eq "`+b.acme.token+`"`), "").wants(200)
	b.do(t, "GET", "/Users?access_token="+password, "")
	b.do(t, "GET", "/Users/"+b.acme.token, "").wants(404)
	b.do(t, "GET", "/Users", "", "Authorization", "Basic "+password).wants(401)
	b.do(t, "POST", "/Bulk", bulkOf(`{"method":"POST","path":"/Users","bulkId":"a","data":{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"cy"`+more+`}}`)).wants(200)
	all := kept(t, b, s, recorder.Filter{})
	if len(all) != 9 {
		t.Errorf("%d are kept", len(all))
	}
	for _, r := range all {
		if text := fmt.Sprintf("%+v", r); strings.Contains(text, password) || strings.Contains(text, b.acme.token) {
			t.Errorf("it holds a secret: %s", text)
		}
	}
	must(t, b.db.Tenant(b.acme.id).Read(t.Context(), func(tx *store.Tx) error {
		rows, err := store.All(t.Context(), tx, func(row store.Row) (string, error) {
			var path, name, about string
			var sealed []byte
			err := row.Scan(&path, &name, &about, &sealed)
			return path + name + about + string(sealed), err
		}, `SELECT path, name, about, sealed FROM scim_requests`)
		for _, row := range rows {
			if strings.Contains(row, strings.ToLower(password)) || strings.Contains(strings.ToLower(row), strings.ToLower(b.acme.token)) || strings.Contains(row, "Operations") {
				t.Errorf("a row holds what it must not: %q", row)
			}
		}
		return err
	}))
}

// BenchmarkPatchRecorded is a change of one attribute, with nobody to keep it, and with
// the recorder that writes behind.
func BenchmarkPatchRecorded(b *testing.B) {
	for _, recorded := range []bool{false, true} {
		b.Run(map[bool]string{false: "without", true: "with"}[recorded], func(b *testing.B) {
			bench := newBench(b)
			id := bench.user(b, "ann", "")
			if !recorded {
				bench.config.Recorder = nil
				bench.handler = scim.New(bench.config).Handler()
			}
			b.ResetTimer()
			for i := range b.N {
				bench.do(b, http.MethodPatch, "/Users/"+id, patch(fmt.Sprintf(`{"op":"replace","path":"title","value":"%d"}`, i))).wants(200)
			}
			b.StopTimer()
		})
	}
}
