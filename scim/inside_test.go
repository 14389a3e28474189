package scim_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"

	"gatehouse/audit"
	"gatehouse/identity"
	"gatehouse/scim"
)

// A request from inside goes the way of every request, and is only for who provisions.
func TestP1_RequestsFromInside(t *testing.T) {
	b := newBench(t)
	s := scim.New(b.config)
	sync := &identity.Principal{Kind: identity.KindSync, Tenant: b.acme.id, ID: "google", Name: "Google Workspace"}
	do := func(p *identity.Principal, method, path, body string) (int, map[string]any) {
		t.Helper()
		status, answer, err := s.Do(t.Context(), p, method, path, []byte(body))
		must(t, err)
		var read map[string]any
		if len(answer) > 0 {
			must(t, json.Unmarshal(answer, &read))
		}
		return status, read
	}
	status, made := do(sync, "POST", "/Users", `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"ada@acme.example"}`)
	if status != http.StatusCreated {
		t.Fatal(status, made)
	}
	events := b.events(t)
	if a, c := events[len(events)-2], events[len(events)-1]; a.Type != audit.AccessAllowed || a.Actor.Kind != identity.KindSync || a.RequestID == "" ||
		c.Type != audit.UserCreated || c.Actor.Name != "Google Workspace" || c.RequestID != a.RequestID {
		t.Errorf("%+v\n%+v", a, c)
	}
	if status, answer := do(sync, "POST", "/Users", `{"userName":1}`); status != http.StatusBadRequest || answer["detail"] == "" {
		t.Error(status, answer)
	}
	if status, found := do(sync, "GET", "/Users?filter=userName+eq+%22ada@acme.example%22", ""); status != http.StatusOK || found["totalResults"] != 1.0 {
		t.Error(status, found)
	}
	for _, kind := range []identity.Kind{identity.KindUser, identity.KindAPIToken, identity.KindSystem, ""} {
		if status, _ := do(&identity.Principal{Kind: kind, Tenant: b.acme.id, ID: "x", Role: "owner"}, "GET", "/Users", ""); status != http.StatusUnauthorized {
			t.Errorf("%s: %d", kind, status)
		}
	}
	// P3: the other tenant has nobody of this name.
	other := *sync
	other.Tenant = b.globex.id
	if status, found := do(&other, "GET", "/Users", ""); status != http.StatusOK || found["totalResults"] != 0.0 {
		t.Error(status, found)
	}
	if status, _ := do(&other, "GET", fmt.Sprint("/Users/", made["id"]), ""); status != http.StatusNotFound {
		t.Error(status)
	}
}
