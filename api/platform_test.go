package api

import (
	"bytes"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"gatehouse/api/resources"
	"gatehouse/audit"
	"gatehouse/identity"
	"gatehouse/sessions"
)

const sampleResources = `
kind: Assignment
tenant: initech
name: owners
spec: { role: owner, user: boss@initech.example }
---
kind: Tenant
name: initech
spec: { hosts: [initech.localhost], display_name: Initech, settings: { session: { idle: 30m, reauth_age: 5m, role_networks: { support: [192.0.2.0/24] } } } }
---
kind: Connection
tenant: initech
name: idp
spec: { type: oidc, issuer: "https://idp.example", client_id: app, client_secret: hunter2, claims: { groups: groups } }
---
kind: Team
tenant: initech
name: payments
spec: { display_name: Payments }
---
kind: Role
tenant: initech
name: support
spec: { description: Looks, permissions: [ "alerts:read" ] }
`

func parse(t *testing.T, text string) []resources.Document {
	t.Helper()
	documents, err := resources.Parse("sample.yaml", []byte(text), resources.Surroundings{})
	if err != nil {
		t.Fatal(err)
	}
	return documents
}

func (v *visitor) apply(documents []resources.Document, dry bool) (actions string, result applyResult) {
	v.h.t.Helper()
	result = into[applyResult](v.do("POST", "platform/apply", map[string]any{"documents": documents, "dry_run": dry}).want(http.StatusOK))
	for _, r := range result.Results {
		actions += string(r.Kind) + " " + string(r.Action) + "; "
	}
	return actions, result
}

func TestApplyConverges(t *testing.T) {
	h := newHouse(t)
	operator := h.operator("platform")
	documents := parse(t, sampleResources)
	all := documents[1:]

	dry, _ := operator.apply(all, true)
	if want := "Tenant created; Connection created; Team created; Role created; "; dry != want {
		t.Errorf("dry run: %s", dry)
	}
	if _, ok := h.tenants.ByName("initech"); ok {
		t.Fatal("a dry run made a tenant")
	}
	first, _ := operator.apply(all, false)
	again, _ := operator.apply(all, false)
	if first != dry || again != strings.ReplaceAll(first, "created", "unchanged") {
		t.Errorf("first %s, again %s", first, again)
	}
	// A reference to nothing fails its document and says so.
	if actions, result := operator.apply(documents[:1], false); actions != "Assignment failed; " || !result.Failed || !strings.Contains(result.Results[0].Detail, "boss@initech.example") {
		t.Errorf("%s %+v", actions, result)
	}
	initech, _ := h.tenants.ByName("initech")
	h.signIn(initech, "boss", "")
	h.signIn(initech, "spare", "owner") // the last owner cannot lose the role
	if actions, _ := operator.apply(documents, false); actions != "Tenant unchanged; Connection unchanged; Team unchanged; Role unchanged; Assignment created; " {
		t.Error(actions)
	}
	// What is exported, read back and applied changes nothing.
	exported := into[exportResult](operator.do("GET", "platform/export?tenant=initech", nil).want(http.StatusOK))
	var file bytes.Buffer
	if err := resources.Encode(&file, exported.Documents); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(file.String(), "hunter2") {
		t.Error("the export holds a secret")
	}
	if actions, _ := operator.apply(parse(t, file.String()), false); strings.Contains(actions, "changed; ") && !strings.Contains(actions, "unchanged; ") || strings.Contains(actions, " changed") || strings.Contains(actions, "created") {
		t.Errorf("%s from %s", actions, file.String())
	}
	changed := strings.NewReplacer("display_name: Payments", "display_name: Money", "alerts:read", "alerts:write", "client_id: app", "client_id: other", "idle: 30m", "idle: 45m", "role: owner", "role: admin").Replace(sampleResources)
	if actions, _ := operator.apply(parse(t, changed), true); strings.Contains(actions, "unchanged") {
		t.Error(actions)
	}
	if actions, _ := operator.apply(parse(t, changed), false); strings.Contains(actions, "unchanged") || strings.Contains(actions, "failed") {
		t.Error(actions)
	}
}

func TestUnknownKindsAreRefused(t *testing.T) {
	h := newHouse(t)
	h.operator("platform").do("POST", "platform/apply", map[string]any{"documents": []any{map[string]any{"kind": "Sink", "tenant": "acme", "name": "x", "spec": map[string]any{}}}}).
		problem(http.StatusUnprocessableEntity, "invalid-request")
	_, result := h.operator("platform").apply([]resources.Document{{Kind: resources.KindTeam, Tenant: "acme", Name: "x", Spec: []byte(`{"surprise":1}`)}}, false)
	if !result.Failed {
		t.Errorf("%+v", result)
	}
}

func TestTheSocketReachesEveryTenantAsTheOperator(t *testing.T) {
	h := newHouse(t)
	member := h.signIn(h.acme, "member", "member")
	for _, name := range []string{"acme", string(h.acme.ID)} {
		if who := into[me](h.operator(name).do("GET", "me", nil).want(http.StatusOK)); who.Kind != identity.KindOperator || who.Tenant.ID != h.acme.ID {
			t.Errorf("%+v", who)
		}
	}
	h.operator("acme").do("POST", "sessions/revoke", map[string]any{"all": true}).want(http.StatusOK)
	member.do("GET", "me", nil).want(http.StatusUnauthorized)
	if e := h.recorded(h.acme, audit.SessionsRevoked)[0]; e.Actor.Kind != identity.KindOperator {
		t.Errorf("recorded as %+v", e.Actor)
	}
	h.operator("nobody").do("GET", "me", nil).problem(http.StatusNotFound, "no-such-tenant")
	h.operator("acme").do("GET", "platform/tenants", nil).problem(http.StatusNotFound, "no-such-address")
	// The path of the socket does not open the door over the network.
	outside := h.anonymous(h.acme)
	outside.prefix = "/t/acme"
	outside.do("GET", "me", nil).want(http.StatusNotFound)
}

func TestNobodyOnTheSocketHasAnAddress(t *testing.T) {
	h := newHouse(t)
	h.operator("acme").do("POST", "teams", map[string]any{"name": "payments"}).want(http.StatusCreated)
	for _, e := range h.recorded(h.acme, audit.AccessAllowed, audit.TeamCreated) {
		if e.IP.IsValid() || e.Actor.Kind != identity.KindOperator {
			t.Errorf("%s is recorded with the address %s, by %+v", e.Type, e.IP, e.Actor)
		}
	}
}

func TestTenantLifeCycle(t *testing.T) {
	h := newHouse(t)
	operator := h.operator("platform")
	made := operator.do("POST", "platform/tenants", map[string]any{"name": "hooli", "hosts": []string{"hooli.localhost"}, "display_name": "Hooli"}).want(http.StatusCreated)
	hooli, _ := h.tenants.ByName("hooli")
	h.signIn(hooli, "boss", "owner")
	operator.do("PATCH", "platform/tenants/hooli", map[string]any{"status": "suspended"}, "If-Match", `"99"`).want(http.StatusPreconditionFailed)
	operator.do("PATCH", "platform/tenants/hooli", map[string]any{"status": "suspended"}, "If-Match", made.header.Get("ETag")).want(http.StatusOK)
	if live, _, err := h.sessions.List(t.Context(), hooli.ID, sessions.Filter{State: sessions.StateLive}); err != nil || len(live) != 0 {
		t.Errorf("%d sessions live on in a suspended tenant, %v", len(live), err)
	}
	operator.do("PATCH", "platform/tenants/platform", map[string]any{"status": "suspended"}).problem(http.StatusConflict, "platform-stays")
	operator.do("DELETE", "platform/tenants/platform", nil).problem(http.StatusConflict, "platform-stays")
	operator.do("DELETE", "platform/tenants/hooli", nil).want(http.StatusNoContent)
	operator.do("GET", "platform/tenants/hooli", nil).want(http.StatusNotFound)
}

func TestSettingsAreReplacedWhole(t *testing.T) {
	h := newHouse(t)
	owner := h.signIn(h.acme, "owner", "owner")
	owner.do("PUT", "settings", map[string]any{"display_name": "Acme Corp", "session": map[string]any{"idle": "30m"}}).want(http.StatusOK)
	if now, _ := h.tenants.ByID(h.acme.ID); now.DisplayName != "Acme Corp" || now.Settings.Session.Idle.String() != "30m0s" {
		t.Errorf("settings %+v", now)
	}
	for _, idle := range []string{"soon", "-1h", "1s", "9999h"} {
		if r := owner.do("PUT", "settings", map[string]any{"display_name": "x", "session": map[string]any{"idle": idle}}); r.status < 400 || r.status >= 500 {
			t.Errorf("%s: status %d: %s", idle, r.status, r.body)
		}
	}
	session := func(session map[string]any) *reply {
		return owner.do("PUT", "settings", map[string]any{"display_name": "x", "session": session})
	}
	for _, wrong := range []map[string]any{{"max_per_person": -1}, {"max_per_person": 1001}, {"when_full": "wait"}, {"device_login": "maybe"}, {"networks": []string{"203.0.113.7/24"}},
		{"networks": []string{"everywhere"}}, {"networks": []string{"::ffff:203.0.113.0/120", "203.0.113.0/24"}}, {"networks": slices.Repeat([]string{"203.0.113.0/24"}, 101)}} {
		if r := session(wrong); r.status != http.StatusBadRequest && r.status != http.StatusUnprocessableEntity {
			t.Errorf("%v: status %d: %s", wrong, r.status, r.body)
		}
	}
	session(map[string]any{"networks": []string{"198.51.100.0/24"}}).problem(http.StatusConflict, "would-lock-you-out")
	session(map[string]any{"networks": []string{"198.51.100.0/24", "203.0.113.0/24"}, "max_per_person": 1}).want(http.StatusOK)

	// Networks of roles, and how recent an authentication must be.
	before, _ := h.tenants.ByID(h.acme.ID)
	many := map[string]any{}
	for i := range 21 {
		many[fmt.Sprint("role", i)] = []string{"203.0.113.0/24"}
	}
	for _, wrong := range []map[string]any{
		{"reauth_age": "soon"}, {"reauth_age": "1s"}, {"reauth_age": "-1h"}, {"reauth_age": "9999h"}, {"reauth_age": 5},
		{"role_networks": map[string]any{"admin": []string{}}}, {"role_networks": map[string]any{"owner": []string{"203.0.113.7/24"}}},
		{"role_networks": map[string]any{"owner": []string{"everywhere"}}}, {"role_networks": map[string]any{"owner": "203.0.113.0/24"}},
		{"role_networks": map[string]any{"onwer": []string{"203.0.113.0/24"}}}, {"role_networks": map[string]any{"": []string{"203.0.113.0/24"}}},
		{"role_networks": map[string]any{"owner": slices.Repeat([]string{"203.0.113.0/24"}, 101)}}, {"role_networks": many}, {"role_networks": []string{"owner"}},
		{"idle": "20m", "role_networks": map[string]any{"admin": []string{"203.0.113.0/24", "::ffff:203.0.113.0/120"}}},
	} {
		if r := session(wrong); r.status != http.StatusBadRequest && r.status != http.StatusUnprocessableEntity {
			t.Errorf("%v: status %d: %s", wrong, r.status, r.body)
		}
	}
	session(map[string]any{"role_networks": map[string]any{"owner": []string{"198.51.100.0/24"}}}).problem(http.StatusConflict, "would-lock-you-out")
	if now, _ := h.tenants.ByID(h.acme.ID); now.Version != before.Version {
		t.Errorf("something of it was applied: %+v", now)
	}
	wanted := map[string]any{"reauth_age": "5m0s", "role_networks": map[string]any{"admin": []string{"198.51.100.0/24", "2001:db8::/32"}, "owner": []string{"203.0.113.0/24"}}}
	session(wanted).want(http.StatusOK)
	kept := into[map[string]any](owner.do("GET", "settings", nil).want(http.StatusOK))
	if fmt.Sprint(kept["session"]) != fmt.Sprint(wanted) {
		t.Errorf("kept %v, not %v", kept["session"], wanted)
	}
}
