package api

import (
	"net/http"
	"testing"

	"gatehouse/audit"
	"gatehouse/authz"
	"gatehouse/directory"
	"gatehouse/identity"
)

var oidcBody = map[string]any{"type": "oidc", "issuer": "https://idp.example", "client_id": "app"}

func TestTrustTakesTheRightToMakeOwners(t *testing.T) {
	h := newHouse(t)
	owner, admin := h.signIn(h.acme, "owner", "owner"), h.signIn(h.acme, "admin", "admin")
	saml := map[string]any{"type": "saml", "idp_metadata": map[string]any{"url": "https://idp.example/metadata"}}
	admin.do("PUT", "connections/idp", oidcBody).want(http.StatusOK) // new, and knows nobody yet
	admin.do("PUT", "connections/corp", saml).want(http.StatusOK)
	admin.do("PUT", "connections/idp", with(oidcBody, "scopes", []string{"openid", "email"})).want(http.StatusOK)
	for path, tries := range map[string]map[string]map[string]any{
		"connections/idp": {
			"another issuer": with(oidcBody, "issuer", "https://evil.example"),
			"another client": with(oidcBody, "client_id", "other"),
			"another claim":  with(oidcBody, "claims", map[string]any{"email": "nickname"}),
			"another type":   saml,
			"by email":       with(oidcBody, "link", "email"),
			"while disabled": with(with(oidcBody, "issuer", "https://evil.example"), "enabled", false),
		},
		"connections/corp": {
			"other metadata": with(saml, "idp_metadata", map[string]any{"url": "https://evil.example/metadata"}),
			"given metadata": with(saml, "idp_metadata", map[string]any{"xml": "<EntityDescriptor/>"}),
		},
		"connections/new": {"new, by email": with(oidcBody, "link", "email"), "new, makes owners": with(oidcBody, "default_role", "owner")},
	} {
		for name, body := range tries {
			before := admin.do("GET", path, nil)
			p := admin.do("PUT", path, body).problem(http.StatusForbidden, "more-than-you-have")
			if p.EventID == "" || admin.do("GET", path, nil).header.Get("ETag") != before.header.Get("ETag") {
				t.Errorf("%s: %+v", name, p)
			}
		}
	}
	owner.do("PUT", "connections/idp", with(oidcBody, "issuer", "https://other.example")).want(http.StatusOK)
	owner.do("PUT", "connections/new", with(oidcBody, "link", "email")).want(http.StatusOK)
}

func TestProvisioningTakesTheRightToMakeOwners(t *testing.T) {
	h := newHouse(t)
	scim := map[string]any{"name": "hr", "scope": "scim"}
	admin := h.signIn(h.acme, "admin", "admin")
	if p := admin.do("POST", "tokens", scim).problem(http.StatusForbidden, "more-than-you-have"); p.EventID == "" {
		t.Errorf("%+v", p)
	}
	h.signIn(h.acme, "owner", "owner").do("POST", "tokens", scim).want(http.StatusCreated)
	h.operator("acme").do("POST", "tokens", scim).want(http.StatusCreated)
}

func TestNobodyTakesAwayWhatTheyCouldNotGive(t *testing.T) {
	h := newHouse(t)
	owner, admin := h.signIn(h.acme, "owner", "owner"), h.signIn(h.acme, "admin", "admin")
	h.signIn(h.acme, "second", "owner") // so that nothing is kept because it is the last
	member := h.signIn(h.acme, "member", "member")
	path := "users/" + string(owner.user.ID)
	assignments := into[page[assignment]](admin.do("GET", "assignments", nil).want(http.StatusOK))
	for _, x := range assignments.Items {
		if x.Subject.ID == string(owner.user.ID) {
			admin.do("DELETE", "assignments/"+x.ID, nil).problem(http.StatusForbidden, "more-than-you-have")
		}
	}
	admin.do("PATCH", path, map[string]any{"active": false}).problem(http.StatusForbidden, "more-than-you-have")
	admin.do("DELETE", path, nil).problem(http.StatusForbidden, "more-than-you-have")
	owner.do("PUT", "roles/auditor", map[string]any{"permissions": []string{"billing:read"}}).want(http.StatusOK)
	admin.do("PUT", "roles/auditor", map[string]any{"permissions": []string{"gatehouse.users:read"}}).problem(http.StatusForbidden, "more-than-you-have")
	owner.do("GET", "me", nil).want(http.StatusOK)

	admin.do("PATCH", "users/"+string(member.user.ID), map[string]any{"active": false}).want(http.StatusOK)
	admin.do("DELETE", "users/"+string(member.user.ID), nil).want(http.StatusNoContent)
	owner.do("DELETE", "users/"+string(admin.user.ID), nil).want(http.StatusNoContent)
}

func TestRolesThroughAGroupAndInATeamProtectAsWell(t *testing.T) {
	h := newHouse(t)
	owner, admin := h.signIn(h.acme, "owner", "owner"), h.signIn(h.acme, "admin", "admin")
	owner.do("PUT", "roles/helpdesk", map[string]any{"permissions": []string{"gatehouse.users:*"}}).want(http.StatusOK)
	helpdesk := h.signIn(h.acme, "helpdesk", "helpdesk")
	boss, lead, guest := h.signIn(h.acme, "boss", ""), h.signIn(h.acme, "lead", ""), h.signIn(h.acme, "guest", "")
	group, err := h.people.CreateGroup(t.Context(), audit.SystemCause(), h.acme.ID, directory.Group{DisplayName: "founders", Members: []directory.Member{{User: boss.user.ID}}})
	if err != nil {
		t.Fatal(err)
	}
	owner.do("POST", "assignments", map[string]any{"role": "owner", "group": string(group.ID)}).want(http.StatusCreated)
	owner.do("POST", "teams", map[string]any{"name": "payments"}).want(http.StatusCreated)
	owner.do("POST", "assignments", map[string]any{"role": "team_admin", "team": "payments", "user": string(lead.user.ID)}).want(http.StatusCreated)

	deactivate := map[string]any{"active": false}
	for _, c := range []struct{ by, whom *visitor }{{admin, boss}, {helpdesk, boss}, {helpdesk, lead}} {
		path := "users/" + string(c.whom.user.ID)
		c.by.do("PATCH", path, deactivate).problem(http.StatusForbidden, "more-than-you-have")
		c.by.do("DELETE", path, nil).problem(http.StatusForbidden, "more-than-you-have")
	}
	helpdesk.do("PATCH", "users/"+string(guest.user.ID), deactivate).want(http.StatusOK)
	admin.do("PATCH", "users/"+string(lead.user.ID), deactivate).want(http.StatusOK) // holds everything in every team
	owner.do("PATCH", "users/"+string(boss.user.ID), deactivate).want(http.StatusOK)
	admin.do("PATCH", "users/"+string(boss.user.ID), map[string]any{"active": true}).problem(http.StatusForbidden, "more-than-you-have")
}

func TestPlatformDocumentsGiveNoMoreThanTheirAuthorHas(t *testing.T) {
	h := newHouse(t)
	h.signIn(h.platform, "root", "owner")
	h.signIn(h.platform, "other", "owner")
	admin := h.signIn(h.platform, "clerk", "admin")
	if _, err := h.authz.Assign(t.Context(), audit.SystemCause(), identity.Platform, authz.Assignment{Name: "roots", Role: authz.Owner, User: admin.user.ID}); err != nil {
		t.Fatal(err)
	}
	roots := into[page[assignment]](admin.do("GET", "assignments", nil).want(http.StatusOK))
	clerk := h.signIn(h.platform, "second-clerk", "admin")
	for name, document := range map[string]string{
		"assignment": "{kind: Assignment, tenant: platform, name: me, spec: {role: owner, user: second-clerk@platform.example}}",
		"taken":      "{kind: Assignment, tenant: platform, name: roots, spec: {role: viewer, user: clerk@platform.example}}",
		"role":       "{kind: Role, tenant: platform, name: all, spec: {permissions: ['*:*']}}",
		"connection": "{kind: Connection, tenant: platform, name: door, spec: {type: oidc, issuer: 'https://evil.example', client_id: x}}",
	} {
		for _, dry := range []bool{true, false} {
			_, result := clerk.apply(parse(t, document), dry)
			if !result.Failed || result.Results[0].Event == "" {
				t.Errorf("%s, dry %v: %+v", name, dry, result)
			}
		}
	}
	if now := into[page[assignment]](clerk.do("GET", "assignments", nil)); len(now.Items) != len(roots.Items)+1 {
		t.Errorf("assignments %+v", now.Items)
	}
	// Other tenants are the platform's to set up, their owners too.
	if _, result := clerk.apply(parse(t, "{kind: Role, tenant: acme, name: all, spec: {permissions: ['*:*']}}"), false); result.Failed {
		t.Errorf("%+v", result)
	}
}
