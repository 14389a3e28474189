package tenants_test

import (
	"testing"
	"time"

	"gatehouse/audit"
	"gatehouse/internal/fault"
	"gatehouse/tenants"
)

func TestBrakeSettings(t *testing.T) {
	h := newHouse(t)
	acme := h.add(t, "acme", "acme.test")
	set := func(b tenants.Brake) error {
		_, err := h.service.Update(t.Context(), audit.SystemCause(), acme.ID, 0, func(x *tenants.Tenant) error {
			x.Settings.SCIM.Brake = b
			return nil
		})
		return err
	}
	if share, window, least := acme.Settings.SCIM.Brake.Limits(); share != 20 || window != time.Hour || least != 10 || acme.Settings.SCIM.Brake.Off {
		t.Errorf("by default %d %% in %v, and %d", share, window, least)
	}
	for name, wrong := range map[string]tenants.Brake{
		"a negative share": {Share: -1}, "more than all": {Share: 101}, "a short window": {Window: tenants.Duration(time.Minute - 1)},
		"a long window": {Window: tenants.Duration(7*24*time.Hour + 1)}, "a negative window": {Window: -1}, "a negative least": {Least: -1}, "a large least": {Least: 1_000_001},
	} {
		if err := set(wrong); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, good := range []tenants.Brake{
		{Off: true}, {Share: 1, Window: tenants.Duration(time.Minute), Least: 1}, {Share: 100, Window: tenants.Duration(7 * 24 * time.Hour), Least: 1_000_000},
	} {
		if err := set(good); err != nil {
			t.Fatal(err)
		}
		kept, _ := h.service.ByID(acme.ID)
		if kept.Settings.SCIM.Brake != good || !kept.Settings.Equal(tenants.Settings{SCIM: tenants.SCIM{Brake: good}}) || kept.Settings.Equal(tenants.Settings{}) {
			t.Errorf("%+v is kept as %+v", good, kept.Settings.SCIM)
		}
	}
}

func TestRetainSetting(t *testing.T) {
	h := newHouse(t)
	acme := h.add(t, "acme", "acme.test")
	for retain, good := range map[time.Duration]bool{-1: false, time.Hour: false, 24 * time.Hour: true, 87600 * time.Hour: true, 87601 * time.Hour: false, 0: true} {
		after, err := h.service.Update(t.Context(), audit.SystemCause(), acme.ID, 0, func(x *tenants.Tenant) error {
			x.Settings.SCIM.Retain = tenants.Duration(retain)
			return nil
		})
		if good != (err == nil) || good && after.Settings.SCIM.Retain != tenants.Duration(retain) || !good && !fault.Is(err, fault.Invalid) {
			t.Errorf("%v: %v", retain, err)
		}
	}
}

func TestRateSettings(t *testing.T) {
	h := newHouse(t)
	acme := h.add(t, "acme", "acme.test")
	if token, all := acme.Settings.SCIM.Rate.Limits(); token != 100 || all != 200 {
		t.Errorf("by default %d and %d", token, all)
	}
	for rate, good := range map[tenants.Rate]bool{
		{Token: 1, Tenant: 10_000}: true, {Off: true}: true, {}: true, {Token: -1}: false, {Tenant: -1}: false, {Token: 10_001}: false, {Tenant: 10_001}: false,
	} {
		_, err := h.service.Update(t.Context(), audit.SystemCause(), acme.ID, 0, func(x *tenants.Tenant) error {
			x.Settings.SCIM.Rate = rate
			return nil
		})
		if kept, _ := h.service.ByID(acme.ID); good && (err != nil || kept.Settings.SCIM.Rate != rate) || !good && !fault.Is(err, fault.Invalid) {
			t.Errorf("%+v: %v", rate, err)
		}
	}
}
