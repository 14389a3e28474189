package e2e

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
)

// TestBrowserSCIMSchemas is an owner who gives people an attribute of the tenant's own, by
// the keyboard alone, and a provider that writes it.
func TestBrowserSCIMSchemas(t *testing.T) {
	a := newAdmin(t)
	acme := a.info.Tenants["acme"]
	const urn = "urn:ietf:params:scim:schemas:extension:Acme:2.0:User"
	a.call(http.MethodPut, "settings", map[string]any{"display_name": "Acme", "scim": map[string]any{"schemas": []any{map[string]any{"urn": urn, "name": "Acme", "attributes": []any{
		map[string]any{"name": "site", "type": "string", "canonical_values": []any{"Berlin", "Lagos"}},
		map[string]any{"name": "desk", "type": "complex", "sub_attributes": []any{map[string]any{"name": "number", "type": "integer"}}},
	}}}}})
	a.open(acme.URL + consolePath + "settings")
	found := func(path string) string {
		quoted, _ := json.Marshal(path)
		return `document.evaluate(` + string(quoted) + `, document, null, XPathResult.FIRST_ORDERED_NODE_TYPE, null).singleNodeValue`
	}
	within := `//fieldset[legend[text()="Acme"]]`
	a.see(within + `//input[@value="` + urn + `"]`)
	script[any](a.tab, found(within)+`.scrollIntoView()`)
	a.look("console-schemas", desk, screen{"-narrow", 320, 800})
	a.become(desktopChrome, desk)

	push := func(path string) {
		t.Helper()
		a.see(path)
		a.focus(path, found(path))
		a.do("press "+path, pressEnter)
	}
	push(within + `//button[normalize-space()="Add an attribute"]`)
	field := within + `//fieldset[legend[text()="New attribute"]]//input`
	a.see(field)
	a.focus("the new attribute", found(field))
	a.keys("name the attribute", "costCode")
	a.see(within + `//fieldset[legend[text()="costCode"]]`)
	push(within + `//button[@aria-label="Remove site"]`)
	a.gone(within + `//fieldset[legend[text()="site"]]`)
	push(`//button[normalize-space()="Save"]`)
	a.see(`//*[@role="status" and contains(., "Saved")]`)

	var kept struct {
		SCIM struct {
			Schemas []struct {
				Attributes []struct{ Name, Type string }
			}
		}
	}
	if err := json.Unmarshal(a.call(http.MethodGet, "settings", nil), &kept); err != nil || len(kept.SCIM.Schemas) != 1 || len(kept.SCIM.Schemas[0].Attributes) != 2 || kept.SCIM.Schemas[0].Attributes[1].Name != "costCode" {
		t.Fatalf("kept as %+v, %v", kept, err)
	}
	client, err := a.info.Client()
	if err != nil {
		t.Fatal(err)
	}
	made, text := do(t, client, request(t, http.MethodPost, acme.SCIM+"/Users", `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"ada@acme.example","`+urn+`":{"costCode":"A-1"}}`,
		"Authorization", "Bearer "+acme.SCIMToken, "Content-Type", "application/scim+json"))
	if made.StatusCode != http.StatusCreated || !strings.Contains(string(text), `"costCode":"A-1"`) {
		t.Errorf("%s: %s", made.Status, text)
	}
}
