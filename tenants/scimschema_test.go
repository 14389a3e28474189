package tenants_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"gatehouse/audit"
	"gatehouse/internal/fault"
	"gatehouse/tenants"
)

func (h *house) defines(t *testing.T, tenant *tenants.Tenant, schemas []tenants.SCIMSchema) error {
	t.Helper()
	_, err := h.service.Update(t.Context(), audit.SystemCause(), tenant.ID, 0, func(x *tenants.Tenant) error {
		x.Settings.SCIM.Schemas = schemas
		return nil
	})
	return err
}

const schemaAsYAML = `
schemas:
  - urn: urn:ietf:params:scim:schemas:extension:Acme:2.0:User
    name: Acme
    description: What Acme knows of people.
    required: true
    attributes:
      - { name: costCode, type: string, case_exact: true, canonical_values: [A, B], required: true, immutable: true }
      - { name: shifts, type: dateTime, multi_valued: true }
      - { name: home, type: reference, reference_types: [external, User] }
      - name: desk
        type: complex
        sub_attributes:
          - { name: building, type: string }
          - { name: number, type: integer }
`

func TestSCIMSchemas(t *testing.T) {
	h := newHouse(t)
	acme, globex := h.add(t, "acme", "acme.test"), h.add(t, "globex", "globex.test")
	var from tenants.SCIM
	if err := yaml.Unmarshal([]byte(schemaAsYAML), &from); err != nil {
		t.Fatal(err)
	}
	if err := h.defines(t, acme, from.Schemas); err != nil {
		t.Fatal(err)
	}
	kept, _ := h.service.ByID(acme.ID)
	if !reflect.DeepEqual(kept.Settings.SCIM.Schemas, from.Schemas) || kept.Settings.Equal(tenants.Settings{}) || !kept.Settings.Equal(tenants.Settings{SCIM: from}) {
		t.Errorf("kept as %+v", kept.Settings.SCIM.Schemas)
	}
	if kept.Version != acme.Version+1 {
		t.Errorf("the version is %d, and was %d", kept.Version, acme.Version)
	}
	if other, _ := h.service.ByID(globex.ID); len(other.Settings.SCIM.Schemas) > 0 {
		t.Error("another tenant has them too")
	}
	same := from
	same.Schemas = append([]tenants.SCIMSchema{}, from.Schemas...)
	same.Schemas[0].Attributes = append([]tenants.SCIMAttribute{}, from.Schemas[0].Attributes...)
	same.Schemas[0].Attributes[1].CanonicalValues = []string{} // says the same
	if !same.Equal(from) {
		t.Error("an empty list makes a difference")
	}
	text, err := json.Marshal(kept.Settings)
	var again tenants.Settings
	if err != nil || json.Unmarshal(text, &again) != nil || !again.Equal(kept.Settings) {
		t.Errorf("%s is read as %+v, %v", text, again, err)
	}
	found := false
	for _, e := range h.journal.events {
		found = found || e.Type == audit.TenantChanged && e.Details["changed"] == "settings"
	}
	if !found {
		t.Error("the journal does not tell")
	}
}

func TestSCIMSchemasThatAreRefused(t *testing.T) {
	h := newHouse(t)
	acme := h.add(t, "acme", "acme.test")
	one := []tenants.SCIMAttribute{{Name: "a", Type: tenants.StringType}}
	of := func(a tenants.SCIMAttribute) []tenants.SCIMSchema {
		return []tenants.SCIMSchema{{URN: "urn:acme:User", Attributes: []tenants.SCIMAttribute{a}}}
	}
	inside := func(p tenants.SCIMSubAttribute) []tenants.SCIMSchema {
		return of(tenants.SCIMAttribute{Name: "a", Type: tenants.ComplexType, SubAttributes: []tenants.SCIMSubAttribute{p}})
	}
	many := func(n int) (all []tenants.SCIMAttribute) {
		for i := range n {
			all = append(all, tenants.SCIMAttribute{Name: fmt.Sprint("a", i), Type: tenants.StringType})
		}
		return all
	}
	var eleven []tenants.SCIMSchema
	for i := range 11 {
		eleven = append(eleven, tenants.SCIMSchema{URN: fmt.Sprintf("urn:acme%d:User", i), Attributes: one})
	}
	for name, wrong := range map[string][]tenants.SCIMSchema{
		"no URN": {{Attributes: one}}, "a name": {{URN: "acme", Attributes: one}}, "a URL": {{URN: "https://acme.example", Attributes: one}}, "a URN with a hyphen": {{URN: "urn:acme-corp:User", Attributes: one}},
		"a URN with a space": {{URN: "urn:acme: User", Attributes: one}}, "a URN with a quote": {{URN: `urn:acme:"User`, Attributes: one}}, "a URN with a colon at its end": {{URN: "urn:acme:", Attributes: one}}, "a long URN": {{URN: "urn:" + strings.Repeat("a", 200), Attributes: one}},
		"the core's": {{URN: "urn:ietf:params:scim:schemas:core:2.0:User", Attributes: one}}, "the core's in capitals": {{URN: "URN:IETF:params:scim:schemas:CORE:2.0:User", Attributes: one}},
		"the enterprise's": {{URN: "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User", Attributes: one}}, "behind the enterprise's": {{URN: "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager", Attributes: one}}, "the beginning of the core's": {{URN: "urn:ietf:params:scim:schemas", Attributes: one}}, "a message's": {{URN: "urn:ietf:params:scim:api:messages:2.0:PatchOp", Attributes: one}},
		"twice": {{URN: "urn:acme:User", Attributes: one}, {URN: "urn:ACME:user", Attributes: one}}, "one behind the other": {{URN: "urn:acme:User:desk", Attributes: one}, {URN: "urn:acme:User", Attributes: one}},
		"no attribute": {{URN: "urn:acme:User"}}, "eleven": eleven, "101 attributes": {{URN: "urn:acme:User", Attributes: many(101)}},
		"101 attributes of two": {{URN: "urn:acme:User", Attributes: many(51)}, {URN: "urn:acme:Other", Attributes: many(50)}},
		"a long name":           {{URN: "urn:acme:User", Name: strings.Repeat("a", 101), Attributes: one}}, "a line in the description": {{URN: "urn:acme:User", Description: "a\nb", Attributes: one}},
		"no name": of(tenants.SCIMAttribute{Type: tenants.StringType}), "a digit first": of(tenants.SCIMAttribute{Name: "1a", Type: tenants.StringType}), "a dollar": of(tenants.SCIMAttribute{Name: "$a", Type: tenants.StringType}), "a dot": of(tenants.SCIMAttribute{Name: "a.b", Type: tenants.StringType}),
		"a long attribute": of(tenants.SCIMAttribute{Name: strings.Repeat("a", 65), Type: tenants.StringType}), "one name twice": {{URN: "urn:acme:User", Attributes: []tenants.SCIMAttribute{{Name: "a", Type: tenants.StringType}, {Name: "A", Type: tenants.StringType}}}},
		"no type": of(tenants.SCIMAttribute{Name: "a"}), "another type": of(tenants.SCIMAttribute{Name: "a", Type: "date"}), "complex without parts": of(tenants.SCIMAttribute{Name: "a", Type: tenants.ComplexType}),
		"parts of a string": of(tenants.SCIMAttribute{Name: "a", Type: tenants.StringType, SubAttributes: []tenants.SCIMSubAttribute{{Name: "b", Type: tenants.StringType}}}), "complex in complex": inside(tenants.SCIMSubAttribute{Name: "b", Type: tenants.ComplexType}),
		"an exact complex": of(tenants.SCIMAttribute{Name: "a", Type: tenants.ComplexType, CaseExact: true, SubAttributes: []tenants.SCIMSubAttribute{{Name: "b", Type: tenants.StringType}}}), "an exact number": of(tenants.SCIMAttribute{Name: "a", Type: tenants.IntegerType, CaseExact: true}),
		"values of a boolean": of(tenants.SCIMAttribute{Name: "a", Type: tenants.BooleanType, CanonicalValues: []string{"x"}}), "an empty value": of(tenants.SCIMAttribute{Name: "a", Type: tenants.StringType, CanonicalValues: []string{""}}),
		"101 values": of(tenants.SCIMAttribute{Name: "a", Type: tenants.StringType, CanonicalValues: strings.Split(strings.Repeat("x,", 100)+"x", ",")}), "references of a string": of(tenants.SCIMAttribute{Name: "a", Type: tenants.StringType, ReferenceTypes: []string{"User"}}),
		"an unknown reference": of(tenants.SCIMAttribute{Name: "a", Type: tenants.ReferenceType, ReferenceTypes: []string{"Device"}}), "an unknown part": inside(tenants.SCIMSubAttribute{Name: "b c", Type: tenants.StringType}),
	} {
		if err := h.defines(t, acme, wrong); !fault.Is(err, fault.Invalid) || !strings.Contains(fault.As(err).Detail, "scim.schemas") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := h.defines(t, acme, []tenants.SCIMSchema{{URN: "urn:acme:User", Attributes: many(50)}, {URN: "urn:acme:UserMore", Attributes: many(50)}}); err != nil {
		t.Error(err)
	}
}
