package api

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"gatehouse/audit"
)

func serviceBody(role string, credentials ...map[string]any) map[string]any {
	return map[string]any{"role": role, "credentials": credentials}
}

func jwtBody(more map[string]any) map[string]any {
	jwt := map[string]any{"issuer": "https://as.example", "audience": "app", "client_id": "billing"}
	for name, v := range more {
		if jwt[name] = v; v == nil {
			delete(jwt, name)
		}
	}
	return map[string]any{"jwt": jwt}
}

func introspectionBody(endpoint, secret string) map[string]any {
	i := map[string]any{"endpoint": endpoint, "auth_client_id": "gate", "audience": "app", "subject": "s"}
	if secret != "" {
		i["auth_client_secret"] = secret
	}
	return map[string]any{"introspection": i}
}

func TestServicesOverTheAPI(t *testing.T) {
	h := newHouse(t)
	admin := h.signIn(h.acme, "admin", "admin")
	body := serviceBody("viewer", jwtBody(nil), introspectionBody("https://as.example/introspect", "s3cret-of-ours"))
	made := admin.do("PUT", "services/billing", body).want(http.StatusOK)
	if got := into[service](made); !strings.HasPrefix(string(got.ID), "svc_") || got.Spec.Role != "viewer" || len(got.Spec.Credentials) != 2 || strings.Contains(string(made.body), "s3cret") {
		t.Errorf("%+v", got)
	}
	tag := made.header.Get("ETag")
	if got := admin.do("GET", "services/billing", nil).want(http.StatusOK); got.header.Get("ETag") != tag || strings.Contains(string(got.body), "s3cret") {
		t.Errorf("%s", got.body)
	}
	if got := into[page[service]](admin.do("GET", "services", nil).want(http.StatusOK)); len(got.Items) != 1 || got.Items[0].Name != "billing" {
		t.Errorf("%+v", got)
	}
	admin.do("PUT", "services/billing", body, "If-Match", `"9"`).problem(http.StatusPreconditionFailed, "changed-meanwhile")
	// The secret stays where none is said, for the same client at the same address.
	admin.do("PUT", "services/billing", serviceBody("member", introspectionBody("https://as.example/introspect", "")), "If-Match", tag).want(http.StatusOK)
	kept, err := h.services.Named(t.Context(), h.acme.ID, "billing")
	if err != nil || kept.Credentials[0].Introspection.AuthClientSecret != "s3cret-of-ours" {
		t.Errorf("%+v, %v", kept, err)
	}
	admin.do("PUT", "services/billing", serviceBody("member", introspectionBody("https://evil.example/", ""))).problem(http.StatusBadRequest, "bad-service")
	admin.do("PUT", "services/billing", serviceBody("none")).want(http.StatusNotFound)
	admin.do("PUT", "services/billing", serviceBody("viewer", jwtBody(map[string]any{"audience": nil}))).want(http.StatusUnprocessableEntity)
	admin.do("PUT", "services/billing", serviceBody("viewer", jwtBody(map[string]any{"client_id": nil}))).problem(http.StatusBadRequest, "bad-service")
	admin.do("PUT", "services/billing", serviceBody("viewer", jwtBody(map[string]any{"issuer": nil, "connection": "nowhere"}))).problem(http.StatusBadRequest, "bad-service")
	// Tokens by which people sign in are nobody's credential.
	admin.do("PUT", "connections/okta", map[string]any{"type": "oidc", "issuer": "https://as.example", "client_id": "gatehouse"}).want(http.StatusOK)
	for _, by := range []map[string]any{{"issuer": nil, "connection": "okta", "audience": "gatehouse"}, {"audience": "gatehouse"}} {
		admin.do("PUT", "services/billing", serviceBody("viewer", jwtBody(by))).problem(http.StatusBadRequest, "bad-service")
	}
	admin.do("PUT", "services/billing", serviceBody("viewer", jwtBody(map[string]any{"issuer": nil, "connection": "okta"}))).want(http.StatusOK)
	okta, err := h.tenants.Connection(t.Context(), h.acme.ID, "okta")
	kept, err2 := h.services.Named(t.Context(), h.acme.ID, "billing")
	if err != nil || err2 != nil || kept.Credentials[0].JWT.ConnectionID != okta.ID {
		t.Errorf("%+v, %v, %v", kept, err, err2)
	}
	for name, change := range map[string]map[string]any{"closed": {"enabled": false}, "open again": {}, "of another issuer": {"issuer": "https://other.example"}} {
		h.ended = nil
		changed := map[string]any{"type": "oidc", "issuer": "https://as.example", "client_id": "gatehouse"}
		maps.Copy(changed, change)
		h.signIn(h.acme, "owner-"+strings.ReplaceAll(name, " ", "-"), "owner").do("PUT", "connections/okta", changed).want(http.StatusOK)
		if name != "open again" && !slices.Contains(h.ended, string(kept.ID)) {
			t.Errorf("a connection %s: %q ended", name, h.ended)
		}
	}
	h.signIn(h.acme, "viewer", "viewer").do("PUT", "services/billing", body).want(http.StatusForbidden)
	h.signIn(h.globex, "other", "owner").do("GET", "services/billing", nil).want(http.StatusNotFound)
	admin.do("DELETE", "services/billing", nil, "If-Match", `"1"`).want(http.StatusPreconditionFailed)
	admin.do("DELETE", "services/billing", nil).want(http.StatusNoContent)
	admin.do("GET", "services/billing", nil).want(http.StatusNotFound)
	if n := len(h.recorded(h.acme, audit.ServiceChanged)); n != 3 {
		t.Errorf("%d changes are recorded", n)
	}
	if n := len(h.recorded(h.acme, audit.ServiceDeleted)); n != 1 {
		t.Errorf("%d deletions are recorded", n)
	}
}

// Whoever says what a service is recognised by can become it.
func TestNobodyMakesAServiceThatIsMoreThanThey(t *testing.T) {
	h := newHouse(t)
	owner, admin := h.signIn(h.acme, "owner", "owner"), h.signIn(h.acme, "admin", "admin")
	admin.do("PUT", "services/mine", serviceBody("owner", jwtBody(nil))).problem(http.StatusForbidden, "more-than-you-have")
	owner.do("PUT", "services/root", serviceBody("owner", jwtBody(nil))).want(http.StatusOK)
	for name, body := range map[string]map[string]any{
		"another credential": serviceBody("owner", jwtBody(map[string]any{"client_id": "mine"})),
		"another role":       serviceBody("viewer", jwtBody(nil)),
	} {
		if p := admin.do("PUT", "services/root", body).problem(http.StatusForbidden, "more-than-you-have"); p.EventID == "" {
			t.Errorf("%s: %+v", name, p)
		}
	}
	if kept, err := h.services.Named(t.Context(), h.acme.ID, "root"); err != nil || kept.Role != "owner" || kept.Version != 1 {
		t.Errorf("%+v, %v", kept, err)
	}
}

func TestServicesAreAppliedAndExported(t *testing.T) {
	h := newHouse(t)
	operator := h.operator("platform")
	const file = `
{kind: Service, tenant: acme, name: billing, spec: {role: viewer, credentials: [
  {introspection: {endpoint: "https://as.example/i", auth_client_id: gate, auth_client_secret: s3cret-of-ours, audience: app, client_id: billing}},
  {jwt: {connection: okta, audience: app, subject: s, types: [jwt, at+jwt]}}]}}
---
{kind: Connection, tenant: acme, name: okta, spec: {type: oidc, issuer: "https://okta.example", client_id: gatehouse}}`
	for _, want := range []action{created, unchanged} {
		_, result := operator.apply(parse(t, file), false)
		if result.Failed || !slices.ContainsFunc(result.Results, func(a applied) bool { return a.Kind == "Service" && a.Action == want }) {
			t.Errorf("want %s: %+v", want, result)
		}
	}
	if _, result := operator.apply(parse(t, strings.Replace(file, "role: viewer", "role: none", 1)), false); !result.Failed {
		t.Errorf("a role that there is not: %+v", result)
	}
	exported := operator.do("GET", "platform/export?tenant=acme", nil).want(http.StatusOK)
	if strings.Contains(string(exported.body), "s3cret") || !strings.Contains(string(exported.body), `"kind":"Service"`) {
		t.Errorf("%s", exported.body)
	}
	out := into[exportResult](exported)
	if _, result := operator.apply(out.Documents, false); result.Failed || slices.ContainsFunc(result.Results, func(a applied) bool { return a.Action != unchanged }) {
		t.Errorf("what was exported: %+v", result)
	}
}
