package tenants_test

import (
	"strings"
	"testing"

	"gatehouse/audit"
	"gatehouse/internal/fault"
	"gatehouse/tenants"
)

func TestSecondFactorSettings(t *testing.T) {
	h := newHouse(t)
	acme := h.add(t, "acme", "acme.test")
	set := func(s tenants.SecondFactor) error {
		_, err := h.service.Update(t.Context(), audit.SystemCause(), acme.ID, 0, func(x *tenants.Tenant) error {
			x.Settings.SecondFactor = s
			return nil
		})
		return err
	}
	many := make([]string, 11)
	for i := range many {
		many[i] = strings.Repeat("x", i+1)
	}
	for name, wrong := range map[string]tenants.SecondFactor{
		"policy": {Policy: "sometimes"}, "empty": {ACRValues: []string{""}}, "blank": {ACRValues: []string{"a b"}}, "twice": {ACRValues: []string{"a", "a"}},
		"long": {ACRValues: []string{strings.Repeat("a", 201)}}, "many": {ACRValues: many},
	} {
		if err := set(wrong); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, want := range []struct {
		policy tenants.FactorPolicy
		asked  bool
	}{{"", false}, {tenants.FactorNever, false}, {tenants.FactorUnlessProvider, true}, {tenants.FactorAlways, true}} {
		if err := set(tenants.SecondFactor{Policy: want.policy, ACRValues: []string{"urn:oasis:names:tc:SAML:2.0:ac:classes:MobileTwoFactorContract"}}); err != nil {
			t.Fatal(err)
		}
		kept, _ := h.service.ByID(acme.ID)
		if s := kept.Settings.SecondFactor; s.Policy != want.policy || s.Asked() != want.asked || len(s.ACRValues) != 1 {
			t.Errorf("%q is kept as %+v", want.policy, s)
		}
	}
}
