package api

import (
	"context"
	"net/http"
	"strings"
	"sync"
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
	for field, value := range map[string]any{"idp_initiated": true, "encryption": "offered", "clock_skew_seconds": 120, "sign_requests": true,
		"force_authn": true, "request_binding": "post", "requested_authn_context": []string{"phr"}, "name_id_format": "email"} {
		admin.do("PUT", "connections/corp", with(saml, field, value)).want(http.StatusOK) // whom it believes stays the same
	}
	admin.do("PUT", "connections/corp", saml).want(http.StatusOK)
	for path, tries := range map[string]map[string]map[string]any{
		"connections/idp": {
			"another issuer": with(oidcBody, "issuer", "https://evil.example"),
			"another client": with(oidcBody, "client_id", "other"),
			"another claim":  with(oidcBody, "claims", map[string]any{"email": "nickname"}),
			"another type":   saml,
			"by email":       with(oidcBody, "link", "email"),
			"by id":          with(oidcBody, "link", "external_id"),
			"by a rule":      with(oidcBody, "group_rules", []map[string]any{{"claim": "c", "values": []string{"x"}, "group": "g"}}),
			"signals":        with(oidcBody, "signals", map[string]any{"issuer": "https://mdm.example"}),
			"while disabled": with(with(oidcBody, "issuer", "https://evil.example"), "enabled", false),
		},
		"connections/corp": {
			"other metadata":  with(saml, "idp_metadata", map[string]any{"url": "https://evil.example/metadata"}),
			"given metadata":  with(saml, "idp_metadata", map[string]any{"xml": "<EntityDescriptor/>"}),
			"pinned metadata": with(saml, "idp_metadata", map[string]any{"url": "https://idp.example/metadata", "fingerprint": strings.Repeat("ab", 32)}),
			"SHA-1":           with(saml, "allow_sha1", true),
			"AES-CBC":         with(saml, "allow_cbc", true),
			"other signing":   with(saml, "signed", "response"),
			"encrypted only":  with(saml, "encryption", "required"),
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

	heeding := with(oidcBody, "signals", map[string]any{"issuer": "https://mdm.example", "authorization": "Bearer a"})
	admin.do("PUT", "connections/heeding", heeding).want(http.StatusOK)
	for name, signals := range map[string]any{
		"none": nil, "another issuer": map[string]any{"issuer": "https://evil.example"},
		"other keys":           map[string]any{"issuer": "https://mdm.example", "jwks_url": "https://evil.example/keys"},
		"another audience":     map[string]any{"issuer": "https://mdm.example", "audience": "x"},
		"another secret":       map[string]any{"issuer": "https://mdm.example", "authorization": "Bearer b"},
		"fetched, not awaited": map[string]any{"issuer": "https://mdm.example", "poll": map[string]any{"endpoint": "https://evil.example", "token": "t"}},
	} {
		body := with(oidcBody, "signals", signals)
		if signals == nil {
			body = oidcBody
		}
		if p := admin.do("PUT", "connections/heeding", body).problem(http.StatusForbidden, "more-than-you-have"); p.EventID == "" {
			t.Errorf("%s: %+v", name, p)
		}
	}
	admin.do("PUT", "connections/heeding", with(with(oidcBody, "signals", map[string]any{"issuer": "https://mdm.example"}), "scopes", []string{"openid"})).want(http.StatusOK)
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

func TestATeamGoesByWhoeverMayTakeItsRoles(t *testing.T) {
	h := newHouse(t)
	owner := h.signIn(h.acme, "owner", "owner")
	owner.do("PUT", "roles/steward", map[string]any{"permissions": []string{"gatehouse.teams:*"}}).want(http.StatusOK)
	steward, lead := h.signIn(h.acme, "steward", "steward"), h.signIn(h.acme, "lead", "")
	paths := map[string]string{}
	for _, name := range []string{"payments", "empty"} {
		paths[name] = "teams/" + string(into[team](owner.do("POST", "teams", map[string]any{"name": name}).want(http.StatusCreated)).ID)
	}
	owner.do("POST", "assignments", map[string]any{"role": "team_admin", "team": "payments", "user": string(lead.user.ID)}).want(http.StatusCreated)
	steward.do("DELETE", paths["payments"], nil).problem(http.StatusForbidden, "more-than-you-have")
	owner.do("GET", paths["payments"], nil).want(http.StatusOK)
	steward.do("DELETE", paths["empty"], nil).want(http.StatusNoContent)
	owner.do("DELETE", paths["payments"], nil).want(http.StatusNoContent)
}

func TestADeletedTeamsRolesAreGone(t *testing.T) {
	h := newHouse(t)
	owner, guest := h.signIn(h.acme, "owner", "owner"), h.signIn(h.acme, "guest", "")
	owner.do("PUT", "roles/auditor", map[string]any{"permissions": []string{"billing:read"}}).want(http.StatusOK)
	path := "teams/" + string(into[team](owner.do("POST", "teams", map[string]any{"name": "payments"}).want(http.StatusCreated)).ID)
	owner.do("POST", "assignments", map[string]any{"name": "guests", "role": "auditor", "team": "payments", "user": string(guest.user.ID)}).want(http.StatusCreated)
	owner.do("DELETE", path, nil).want(http.StatusNoContent)
	if r := owner.do("GET", "assignments", nil).want(http.StatusOK); strings.Contains(string(r.body), "guests") {
		t.Errorf("listed: %s", r.body)
	}
	operator := h.operator("platform")
	exported := into[exportResult](operator.do("GET", "platform/export?tenant=acme", nil).want(http.StatusOK))
	if actions, result := operator.apply(exported.Documents, false); result.Failed || strings.Contains(actions, "created") || strings.Contains(actions, " changed") {
		t.Errorf("the export is not what stands: %s", actions)
	}
	for _, at := range []string{"", "payments"} {
		ask := map[string]any{"user": guest.user.ID, "permission": "billing:read", "team": at}
		if d := into[decision](owner.do("POST", "authorize/explain", ask).want(http.StatusOK)); d.Allowed {
			t.Errorf("in %q: %+v", at, d)
		}
	}
}

// meanwhile does something between the reading of the assignments and of what
// they name.
type meanwhile struct {
	Policy
	do func()
}

func (m meanwhile) Assignments(ctx context.Context, tenant identity.TenantID) ([]authz.Assignment, error) {
	all, err := m.Policy.Assignments(ctx, tenant)
	m.do()
	return all, err
}

func TestListAndExportLeaveOutWhatGoesMeanwhile(t *testing.T) {
	h := newHouse(t)
	owner := h.signIn(h.acme, "owner", "owner")
	owner.do("PUT", "roles/auditor", map[string]any{"permissions": []string{"billing:read"}}).want(http.StatusOK)
	for _, path := range []string{"assignments", "platform/export?tenant=acme"} {
		guest, leaver := h.signIn(h.acme, "guest", ""), h.signIn(h.acme, "leaver", "")
		made := into[team](owner.do("POST", "teams", map[string]any{"name": "payments"}).want(http.StatusCreated))
		owner.do("POST", "assignments", map[string]any{"name": "for-team", "role": "auditor", "team": "payments", "user": string(guest.user.ID)}).want(http.StatusCreated)
		owner.do("POST", "assignments", map[string]any{"name": "for-leaver", "role": "auditor", "user": string(leaver.user.ID)}).want(http.StatusCreated)
		var once sync.Once
		h.api.cfg.Policy = meanwhile{h.authz, func() {
			once.Do(func() {
				if err := h.people.DeleteTeam(t.Context(), audit.SystemCause(), h.acme.ID, made.ID, 0); err != nil {
					t.Error(err)
				}
				for _, gone := range []*visitor{guest, leaver} {
					if err := h.people.DeleteUser(t.Context(), audit.SystemCause(), h.acme.ID, gone.user.ID, 0); err != nil {
						t.Error(err)
					}
				}
			})
		}}
		by := owner
		if strings.HasPrefix(path, "platform/") {
			by = h.operator("platform")
		}
		if r := by.do("GET", path, nil).want(http.StatusOK); strings.Contains(string(r.body), "for-team") || by != owner && strings.Contains(string(r.body), "for-leaver") {
			t.Errorf("%s: %s", path, r.body)
		}
		h.api.cfg.Policy = h.authz
	}
}

func TestARoleThatIsNamedStays(t *testing.T) {
	h := newHouse(t)
	owner := h.signIn(h.acme, "owner", "owner")
	owner.do("PUT", "roles/auditor", map[string]any{"permissions": []string{"billing:read"}}).want(http.StatusOK)
	owner.do("PUT", "connections/idp", with(oidcBody, "default_role", "auditor")).want(http.StatusOK)
	owner.do("DELETE", "roles/auditor", nil).problem(http.StatusConflict, "role-in-use")
	owner.do("PUT", "connections/idp", oidcBody).want(http.StatusOK)
	made := into[createdToken](owner.do("POST", "tokens", map[string]any{"name": "ci", "scope": "api", "role": "auditor"}).want(http.StatusCreated))
	owner.do("DELETE", "roles/auditor", nil).problem(http.StatusConflict, "role-in-use")
	owner.do("DELETE", "tokens/"+string(made.ID), nil).want(http.StatusNoContent)
	owner.do("DELETE", "roles/auditor", nil).want(http.StatusNoContent)
}
