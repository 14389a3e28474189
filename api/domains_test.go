package api

import (
	"net/http"
	"strings"
	"testing"

	"gatehouse/audit"
	"gatehouse/authz"
	"gatehouse/tenants"
)

// An admin adds a domain, is told the record, and has it looked for.
func TestDomainsLeadToConnections(t *testing.T) {
	h := newHouse(t)
	admin := h.signIn(h.acme, "admin", "admin")
	admin.do("PUT", "connections/idp", oidcBody).want(http.StatusOK)
	admin.do("PUT", "domains/acme.example", map[string]any{"connection": "nope"}).problem(http.StatusNotFound, "no-such-connection")
	admin.do("PUT", "domains/localhost", map[string]any{"connection": "idp"}).problem(http.StatusBadRequest, "bad-domain")
	d := into[domain](admin.do("PUT", "domains/Acme.example", map[string]any{"connection": "idp"}).want(http.StatusOK))
	if d.Name != "acme.example" || d.Connection != "idp" || d.Verified || d.Required {
		t.Fatalf("%+v", d)
	}
	admin.do("POST", "domains/acme.example/verify", nil).problem(http.StatusConflict, "domain-unverified")
	h.records.Set(d.Record.Name, d.Record.Value)
	if d = into[domain](admin.do("POST", "domains/acme.example/verify", nil).want(http.StatusOK)); !d.Verified {
		t.Fatalf("%+v", d)
	}
	if d = into[domain](admin.do("PUT", "domains/acme.example", map[string]any{"connection": "idp", "required": true}).want(http.StatusOK)); !d.Verified || !d.Required {
		t.Fatalf("%+v", d)
	}
	list := into[page[domain]](admin.do("GET", "domains", nil).want(http.StatusOK))
	if len(list.Items) != 1 || list.Items[0].Name != d.Name {
		t.Errorf("%+v", list)
	}
	// P3, and who may only look.
	h.signIn(h.globex, "other", "admin").do("GET", "domains/acme.example", nil).want(http.StatusNotFound)
	viewer := h.signIn(h.acme, "member", "member")
	viewer.do("PUT", "domains/acme.example", map[string]any{"connection": "idp"}).want(http.StatusForbidden)
	admin.do("DELETE", "domains/acme.example", nil).want(http.StatusNoContent)
	admin.do("GET", "domains/acme.example", nil).want(http.StatusNotFound)
}

// A test is prepared by who may change connections.
func TestConnectionsAreTested(t *testing.T) {
	h := newHouse(t)
	admin := h.signIn(h.acme, "admin", "admin")
	admin.do("PUT", "connections/idp", with(oidcBody, "enabled", false)).want(http.StatusOK)
	begun := into[trial](admin.do("POST", "connections/idp/test", nil).want(http.StatusOK))
	if want := "/.gatehouse/login?connection=idp&test=by-"; len(begun.Path) <= len(want) || begun.Path[:len(want)] != want {
		t.Errorf("%+v", begun)
	}
	// Who is known here is shown to those who may read people.
	if _, err := h.authz.PutRole(t.Context(), audit.SystemCause(), h.acme.ID, authz.Role{Name: "wiring", Permissions: []string{"gatehouse.connections:*"}}, 0); err != nil {
		t.Fatal(err)
	}
	wiring := into[trial](h.signIn(h.acme, "wiring", "wiring").do("POST", "connections/idp/test", nil).want(http.StatusOK))
	if !strings.HasSuffix(begun.Path, "people=true") || !strings.HasSuffix(wiring.Path, "people=false") {
		t.Errorf("%s, %s", begun.Path, wiring.Path)
	}
	admin.do("POST", "connections/nope/test", nil).want(http.StatusNotFound)
	h.signIn(h.acme, "member", "member").do("POST", "connections/idp/test", nil).want(http.StatusForbidden)
}

// The rules of a connection go in as they come out.
func TestConnectionsKeepTheirRules(t *testing.T) {
	h := newHouse(t)
	owner := h.signIn(h.acme, "owner", "owner")
	body := with(with(with(with(oidcBody, "unknown_people", "refuse"), "allowed_domains", []string{"acme.example"}), "allowed_groups", []string{"App"}),
		"group_rules", []map[string]any{{"claim": "dept", "values": []string{"Tax"}, "group": "money"}})
	body = with(with(body, "link", "external_id"), "display_name", "Okta of Acme")
	first := owner.do("PUT", "connections/idp", body).want(http.StatusOK)
	got := into[connection](owner.do("GET", "connections/idp", nil).want(http.StatusOK))
	if s := got.Spec; s.UnknownPeople != tenants.RefuseUnknown || len(s.AllowedDomains) != 1 || len(s.AllowedGroups) != 1 || len(s.GroupRules) != 1 ||
		s.Link != tenants.LinkByExternalID || s.DisplayName != "Okta of Acme" {
		t.Errorf("something is lost: %s", first.body)
	}
	document := "{kind: Connection, tenant: acme, name: idp, spec: {type: oidc, issuer: 'https://idp.example', client_id: app, unknown_people: refuse, allowed_domains: [acme.example], allowed_groups: [App], link: external_id, display_name: Okta of Acme, group_rules: [{claim: dept, values: [Tax], group: money}]}}"
	if _, result := h.operator("platform").apply(parse(t, document), false); result.Failed || result.Results[0].Action != unchanged {
		t.Errorf("%+v", result)
	}
}

// A link lets somebody else say whom the tenant trusts: only who may say so can
// make one.
func TestSetupLinksTakeWhatTheyGive(t *testing.T) {
	h := newHouse(t)
	owner, admin := h.signIn(h.acme, "owner", "owner"), h.signIn(h.acme, "admin", "admin")
	made := into[madeSetupLink](admin.do("POST", "setup-links", map[string]any{"connection": "corp", "default_role": "member"}).want(http.StatusCreated))
	if made.URL == "" || made.URL == made.Path || made.Connection != "corp" || made.DefaultRole != "member" {
		t.Errorf("%+v", made)
	}
	admin.do("PUT", "connections/idp", with(oidcBody, "enabled", false)).want(http.StatusOK)
	for name, body := range map[string]map[string]any{
		"owners":                  {"connection": "corp", "default_role": "owner"},
		"by email":                {"connection": "corp", "link": "email"},
		"one that there is":       {"connection": "idp"},
		"whom SCIM has provision": {"connection": "corp", "link": "external_id"},
	} {
		if p := admin.do("POST", "setup-links", body).problem(http.StatusForbidden, "more-than-you-have"); p.EventID == "" {
			t.Errorf("%s: %+v", name, p)
		}
		owner.do("POST", "setup-links", body).want(http.StatusCreated)
	}
	h.signIn(h.acme, "member", "member").do("POST", "setup-links", map[string]any{"connection": "corp"}).want(http.StatusForbidden)
}
