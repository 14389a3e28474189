package api

import (
	"net/http"
	"reflect"
	"testing"

	"gatehouse/audit"
	"gatehouse/authz"
	"gatehouse/tenants"
)

var acmeSchemas = []any{map[string]any{"urn": "urn:ietf:params:scim:schemas:extension:Acme:2.0:User", "name": "Acme", "required": true, "attributes": []any{
	map[string]any{"name": "site", "type": "string", "canonical_values": []any{"Berlin", "Lagos"}, "required": true},
	map[string]any{"name": "desk", "type": "complex", "multi_valued": true, "sub_attributes": []any{map[string]any{"name": "number", "type": "integer"}}},
}}}

func TestSCIMSchemasAreSettings(t *testing.T) {
	h := newHouse(t)
	if _, err := h.authz.PutRole(t.Context(), audit.SystemCause(), h.acme.ID, authz.Role{Name: "clerk", Permissions: []string{"gatehouse.settings:write", "gatehouse.settings:read"}}, 0); err != nil {
		t.Fatal(err)
	}
	clerk, admin := h.signIn(h.acme, "clerk", "clerk"), h.signIn(h.acme, "admin", "admin")
	set := func(schemas any) map[string]any {
		return map[string]any{"display_name": "Acme", "scim": map[string]any{"schemas": schemas}}
	}
	clerk.do("PUT", "settings", set(acmeSchemas)).want(http.StatusOK) // who may write settings may do this
	kept := into[tenantSettings](admin.do("GET", "settings", nil).want(http.StatusOK)).SCIM.Schemas
	want := []tenants.SCIMSchema{{URN: "urn:ietf:params:scim:schemas:extension:Acme:2.0:User", Name: "Acme", Required: true, Attributes: []tenants.SCIMAttribute{
		{Name: "site", Type: tenants.StringType, CanonicalValues: []string{"Berlin", "Lagos"}, Required: true},
		{Name: "desk", Type: tenants.ComplexType, MultiValued: true, SubAttributes: []tenants.SCIMSubAttribute{{Name: "number", Type: tenants.IntegerType}}},
	}}}
	if !reflect.DeepEqual(kept, want) {
		t.Errorf("kept as %+v", kept)
	}
	one := []any{map[string]any{"name": "a", "type": "string"}}
	for _, wrong := range []any{
		map[string]any{"urn": "urn:ietf:params:scim:schemas:core:2.0:User", "attributes": one}, map[string]any{"urn": "acme", "attributes": one}, map[string]any{"urn": "urn:acme:User"},
		map[string]any{"urn": "urn:acme:User", "attributes": []any{map[string]any{"name": "a b", "type": "string"}}}, map[string]any{"urn": "urn:acme:User", "attributes": []any{map[string]any{"name": "a", "type": "text"}}},
		map[string]any{"urn": "urn:acme:User", "attributes": one, "more": 1}, map[string]any{"urn": "urn:acme:User", "attributes": []any{map[string]any{"name": "a", "type": "complex"}}},
	} {
		if r := admin.do("PUT", "settings", set([]any{wrong})); r.status != http.StatusBadRequest && r.status != http.StatusUnprocessableEntity {
			t.Errorf("%v: status %d: %s", wrong, r.status, r.body)
		}
	}
	if other := into[tenantSettings](h.signIn(h.globex, "owner", "owner").do("GET", "settings", nil).want(http.StatusOK)); len(other.SCIM.Schemas) > 0 {
		t.Error("another tenant has them too")
	}
	admin.do("PUT", "settings", map[string]any{"display_name": "Acme"}).want(http.StatusOK)
	if kept := into[tenantSettings](admin.do("GET", "settings", nil).want(http.StatusOK)).SCIM.Schemas; len(kept) > 0 {
		t.Errorf("left out they are %+v", kept)
	}
}

func TestSCIMSchemasAreAppliedAndExported(t *testing.T) {
	h := newHouse(t)
	operator := h.signIn(h.platform, "root", "owner")
	apply := func(want action, documents ...any) {
		t.Helper()
		got := into[applyResult](operator.do("POST", "platform/apply", map[string]any{"documents": documents}).want(http.StatusOK))
		if got.Failed || got.Results[0].Action != want {
			t.Errorf("applied as %+v, not %s", got, want)
		}
	}
	document := func(scim map[string]any) map[string]any {
		return map[string]any{"kind": "Tenant", "name": "acme", "spec": map[string]any{"hosts": []string{"acme.localhost"}, "settings": map[string]any{"scim": scim}}}
	}
	apply(changed, document(map[string]any{"schemas": acmeSchemas}))
	apply(unchanged, document(map[string]any{"schemas": acmeSchemas}))
	exported := into[exportResult](operator.do("GET", "platform/export?tenant=acme", nil).want(http.StatusOK))
	apply(changed, document(map[string]any{}))
	if now, _ := h.tenants.ByID(h.acme.ID); len(now.Settings.SCIM.Schemas) > 0 {
		t.Errorf("left out they are %+v", now.Settings.SCIM.Schemas)
	}
	operator.do("POST", "platform/apply", map[string]any{"documents": exported.Documents}).want(http.StatusOK)
	if now, _ := h.tenants.ByID(h.acme.ID); len(now.Settings.SCIM.Schemas) != 1 || len(now.Settings.SCIM.Schemas[0].Attributes) != 2 {
		t.Errorf("exported and applied again they are %+v", now.Settings.SCIM.Schemas)
	}
}
