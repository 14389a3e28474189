package api

import (
	"net/http"
	"testing"
	"time"

	"gatehouse/audit"
	"gatehouse/directory"
	"gatehouse/identity"
)

func TestFormerUsersAreShownAndErased(t *testing.T) {
	h := newHouse(t)
	admin := h.signIn(h.acme, "admin", "admin")
	settings := into[tenantSettings](admin.do("GET", "settings", nil).want(http.StatusOK))
	for retain, want := range map[string]int{"23h": http.StatusBadRequest, "87601h": http.StatusBadRequest, "48h": http.StatusOK} {
		admin.do("PUT", "settings", map[string]any{"display_name": settings.DisplayName, "scim": map[string]any{"retain": retain}}).want(want)
	}
	made, err := h.people.CreateUser(t.Context(), audit.SystemCause(), h.acme.ID, directory.User{UserName: "gone", Email: "gone@acme.example", DisplayName: "Gone", ExternalID: "e7", Active: true, Source: directory.SourceSCIM})
	if err != nil {
		t.Fatal(err)
	}
	if all := into[page[formerUser]](admin.do("GET", "former-users", nil).want(http.StatusOK)); len(all.Items) > 0 {
		t.Errorf("at first: %+v", all)
	}
	admin.do("DELETE", "users/"+string(made.ID), nil).want(http.StatusNoContent)
	admin.do("GET", "users/"+string(made.ID), nil).problem(http.StatusNotFound, "user-unknown")
	all := into[page[formerUser]](admin.do("GET", "former-users?search=GONE", nil).want(http.StatusOK))
	if len(all.Items) != 1 || all.NextCursor != "" {
		t.Fatalf("%+v", all)
	}
	if f := all.Items[0]; f.ID != made.ID || f.UserName != "gone" || f.Name != "Gone" || f.ExternalID != "e7" || f.DeletedBy != admin.user.Email || f.Until.Sub(f.DeletedAt) != 48*time.Hour {
		t.Errorf("%+v", f)
	}
	admin.do("GET", "former-users?cursor=x", nil).problem(http.StatusBadRequest, "cursor-invalid")
	path := "former-users/" + string(made.ID)
	admin.do("GET", path, nil).want(http.StatusOK)
	globex := h.signIn(h.globex, "owner", "owner")
	globex.do("GET", path, nil).problem(http.StatusNotFound, "former-user-unknown")
	globex.do("DELETE", path, nil).problem(http.StatusNotFound, "former-user-unknown")
	viewer := h.signIn(h.acme, "viewer", "viewer")
	viewer.do("DELETE", path, nil).problem(http.StatusForbidden, "not-allowed")
	admin.do("DELETE", path, nil).want(http.StatusNoContent)
	admin.do("GET", path, nil).problem(http.StatusNotFound, "former-user-unknown")
}

// retained is how long a tenant keeps a record of who was deleted.
func (h *house) retained(tenant identity.TenantID) time.Duration {
	t, _ := h.tenants.ByID(tenant)
	return time.Duration(t.Settings.SCIM.Retain)
}
