package api

import (
	"context"
	"net/http"
	"testing"
	"time"

	"gatehouse/audit"
	"gatehouse/authz"
	"gatehouse/identity"
	"gatehouse/internal/fault"
)

// scimRequests stands for the recorder, which is on this floor as well.
type scimRequests struct {
	asked    SCIMRequestFilter
	replayed []identity.RequestID
}

func (s *scimRequests) Search(_ context.Context, _ identity.TenantID, f SCIMRequestFilter) ([]SCIMRequest, string, error) {
	s.asked = f
	return []SCIMRequest{{ID: "req_1", Method: "POST", Status: 400, Failed: true}}, "more", nil
}

func (s *scimRequests) Get(_ context.Context, _ identity.TenantID, id identity.RequestID) (SCIMRequestDetails, error) {
	if id != "req_1" {
		return SCIMRequestDetails{}, fault.New(fault.NotFound, "request-unknown", "There is no such request.")
	}
	return SCIMRequestDetails{SCIMRequest: SCIMRequest{ID: id}, Understood: []string{"x"}}, nil
}

func (s *scimRequests) Replay(ctx context.Context, tenant identity.TenantID, _ string, id identity.RequestID) (SCIMRequestDetails, error) {
	s.replayed = append(s.replayed, id)
	return s.Get(ctx, tenant, id)
}

func TestRequestsOfProvidersAreFoundAndTriedAgain(t *testing.T) {
	h := newHouse(t)
	admin := h.signIn(h.acme, "admin", "admin")
	found := into[page[SCIMRequest]](admin.do("GET", "scim/requests?about=ann&status=4&failed=true&method=PATCH&scim_type=uniqueness&token=okta&from=2026-01-02T00:00:00Z&limit=7", nil).want(http.StatusOK))
	if len(found.Items) != 1 || found.NextCursor != "more" {
		t.Errorf("found %+v", found)
	}
	want := SCIMRequestFilter{From: time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC), Token: "okta", About: "ann", Method: "PATCH", Status: 4, ScimType: "uniqueness", Failed: true, Paging: Paging{Limit: 7}}
	if h.requests.asked != want {
		t.Errorf("asked for %+v", h.requests.asked)
	}
	admin.do("GET", "scim/requests?method=BREW", nil).problem(http.StatusUnprocessableEntity, "invalid-request")
	if r := into[SCIMRequestDetails](admin.do("GET", "scim/requests/req_1", nil).want(http.StatusOK)); r.ID != "req_1" || len(r.Understood) != 1 {
		t.Errorf("%+v", r)
	}
	admin.do("GET", "scim/requests/req_2", nil).problem(http.StatusNotFound, "request-unknown")
	admin.do("POST", "scim/requests/req_1/replay", nil).want(http.StatusOK)

	// They show people and groups, and to try one again is more than looking at them.
	asked := h.requests.asked
	for name, permissions := range map[string][]string{"people": {"gatehouse.users:read", "gatehouse.users:write"}, "looks": {"gatehouse.users:read", "gatehouse.groups:read"}, "writes": {"gatehouse.users:write", "gatehouse.groups:read"}} {
		role := authz.Role{Name: name, Permissions: permissions}
		if _, err := h.authz.PutRole(t.Context(), audit.SystemCause(), h.acme.ID, role, 0); err != nil {
			t.Fatal(err)
		}
		who := h.signIn(h.acme, name, name)
		who.do("POST", "scim/requests/req_1/replay", nil).problem(http.StatusForbidden, "not-allowed")
		if name != "looks" {
			who.do("GET", "scim/requests", nil).problem(http.StatusForbidden, "not-allowed")
			who.do("GET", "scim/requests/req_1", nil).problem(http.StatusForbidden, "not-allowed")
		}
	}
	if h.requests.asked != asked {
		t.Errorf("somebody saw groups: %+v", h.requests.asked)
	}
	if len(h.requests.replayed) != 1 {
		t.Errorf("tried again: %q", h.requests.replayed)
	}
}
