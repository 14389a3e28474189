package gateway

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"gatehouse/audit"
	"gatehouse/authn/token"
	"gatehouse/authz"
	"gatehouse/directory"
	"gatehouse/internal/store"
	"gatehouse/tenants"
)

// A provider that takes too many out is held by what its tenant has set, and told of to
// the tenant's admins and to who runs the gateway, until somebody has decided.
func TestAHeldBrakeIsAnAlert(t *testing.T) {
	h := newHouse(t, nil)
	ctx, s := t.Context(), h.Services()
	_, err := s.Tenants.Update(ctx, cause, h.acme.ID, 0, func(x *tenants.Tenant) error {
		x.Settings.SCIM.Brake = tenants.Brake{Share: 50, Least: 1}
		return nil
	})
	must(t, err)
	secret := func(spec token.Spec) string {
		t.Helper()
		spec.Name, spec.Expires = "okta", time.Now().Add(time.Hour)
		_, secret, err := s.Tokens.Create(ctx, cause, h.acme.ID, spec)
		must(t, err)
		return secret
	}
	provider, owner := secret(token.Spec{Scope: token.ScopeSCIM}), secret(token.Spec{Scope: token.ScopeAPI, Role: authz.Owner})
	status := 0
	for range 4 {
		_, err := s.Directory.CreateUser(ctx, cause, h.acme.ID, directory.User{UserName: "left" + strings.Repeat("x", status), Active: true, Source: directory.SourceSCIM})
		must(t, err)
		status++
	}
	page, err := s.Directory.Users(ctx, h.acme.ID, directory.UserQuery{Count: 10})
	must(t, err)
	for i, u := range page.Items {
		want := http.StatusNoContent
		if i >= len(page.Items)/2 {
			want = http.StatusTooManyRequests
		}
		if got, text := h.ask(http.MethodDelete, "/scim/v2/Users/"+string(u.ID), "", "Authorization", "Bearer "+provider); got != want {
			t.Fatalf("number %d of %d: %d %s", i+1, len(page.Items), got, text)
		}
	}
	alerts := func() string {
		_, text := h.ask(http.MethodGet, "/.gatehouse/api/v1/alerts", "", "Authorization", "Bearer "+owner)
		return text
	}
	h.soon("the alert", func() bool {
		text := alerts()
		return strings.Contains(text, `"scim-brake-held"`) && strings.Contains(text, "active people were deactivated or deleted, or lost their last role, by SCIM or Google Workspace within 1h.") && strings.Contains(text, "release or reject it")
	})
	h.soon("its record", func() bool {
		for e, err := range h.rooms.journal.Read(ctx, platform, 0) {
			must(t, err)
			if e.Type == audit.AlertRaised && e.Reason == "scim-brake-held" && e.Target.ID == string(h.acme.ID) {
				return true
			}
		}
		return false
	})
	if got, text := h.ask(http.MethodPost, "/.gatehouse/api/v1/scim/brake/release", "", "Authorization", "Bearer "+owner); got != http.StatusOK || !strings.Contains(text, `"released"`) {
		t.Fatalf("%d %s", got, text)
	}
	if got, text := h.ask(http.MethodDelete, "/scim/v2/Users/"+string(page.Items[len(page.Items)-1].ID), "", "Authorization", "Bearer "+provider); got != http.StatusNoContent {
		t.Errorf("released: %d %s", got, text)
	}
	h.soon("its end", func() bool { return !strings.Contains(alerts(), "scim-brake-held") })
}

// Whoever empties a group takes the last role from its people, which is held as well; and
// Google's reading, which the brake has held, goes on once an admin has decided.
func TestTheBrakeKnowsRolesAndTellsGooglesReading(t *testing.T) {
	h := newHouse(t, nil)
	ctx, s := t.Context(), h.Services()
	_, err := s.Tenants.Update(ctx, cause, h.acme.ID, 0, func(x *tenants.Tenant) error {
		x.Settings.SCIM.Brake = tenants.Brake{Share: 20, Least: 1}
		return nil
	})
	must(t, err)
	secret := func(spec token.Spec) string {
		t.Helper()
		spec.Name, spec.Expires = "okta", time.Now().Add(time.Hour)
		_, secret, err := s.Tokens.Create(ctx, cause, h.acme.ID, spec)
		must(t, err)
		return secret
	}
	provider, owner := secret(token.Spec{Scope: token.ScopeSCIM}), secret(token.Spec{Scope: token.ScopeAPI, Role: authz.Owner})
	group := directory.Group{DisplayName: "App", Source: directory.SourceSCIM}
	for _, name := range []string{"a", "b", "c", "d"} {
		u, err := s.Directory.CreateUser(ctx, cause, h.acme.ID, directory.User{UserName: name, Active: true, Source: directory.SourceSCIM})
		must(t, err)
		group.Members = append(group.Members, directory.Member{User: u.ID})
	}
	group, err = s.Directory.CreateGroup(ctx, cause, h.acme.ID, group)
	must(t, err)
	_, err = h.rooms.authz.Assign(ctx, cause, h.acme.ID, authz.Assignment{Role: "member", Group: group.ID})
	must(t, err)
	outcome := func() (text string) {
		t.Helper()
		must(t, h.rooms.store.Tenant(h.acme.ID).Read(ctx, func(tx *store.Tx) (err error) {
			text, err = store.One(ctx, tx, store.Scalar[string], `SELECT outcome FROM google_sync`)
			return err
		}))
		return text
	}
	must(t, h.rooms.store.Tenant(h.acme.ID).Write(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(ctx, `INSERT INTO google_sync (id, spec, key_sealed, version, changed_at, account, run, due_at, holder, beats, outcome)
			VALUES (1, '{}', $1, 1, 0, '', 0, $2, '', 0, '{"result":"held"}')`, []byte("none"), time.Now().Add(time.Hour).UnixMilli())
		return err
	}))
	empty := `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group"],"displayName":"App","members":[]}`
	if got, text := h.ask(http.MethodPut, "/scim/v2/Groups/"+string(group.ID), empty, "Authorization", "Bearer "+provider, "Content-Type", "application/scim+json"); got != http.StatusTooManyRequests {
		t.Errorf("%d %s", got, text)
	}
	if got := outcome(); !strings.Contains(got, "held") {
		t.Errorf("read before somebody has decided: %s", got)
	}
	if got, text := h.ask(http.MethodPost, "/.gatehouse/api/v1/scim/brake/release", "", "Authorization", "Bearer "+owner); got != http.StatusOK {
		t.Fatalf("%d %s", got, text)
	}
	// It comes to nothing, since there is no key.
	h.soon("the reading", func() bool { return strings.Contains(outcome(), "failed") })
	if got, text := h.ask(http.MethodPut, "/scim/v2/Groups/"+string(group.ID), empty, "Authorization", "Bearer "+provider, "Content-Type", "application/scim+json"); got != http.StatusOK {
		t.Errorf("%d %s", got, text)
	}
}
