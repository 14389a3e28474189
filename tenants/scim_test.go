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
