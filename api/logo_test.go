package api

import (
	"bytes"
	"encoding/base64"
	"image"
	"image/png"
	"net/http"
	"strings"
	"testing"

	"gatehouse/api/resources"
	"gatehouse/audit"
)

func TestTheLogoIsSetAndTakenAway(t *testing.T) {
	h := newHouse(t)
	owner := h.signIn(h.acme, "owner", "owner")
	var b bytes.Buffer
	if err := png.Encode(&b, image.NewGray(image.Rect(0, 0, 16, 16))); err != nil {
		t.Fatal(err)
	}
	logo := b.String()
	before := owner.do("GET", "settings", nil).want(http.StatusOK)
	if into[tenantSettings](before).Logo != "" {
		t.Errorf("there is a logo: %s", before.body)
	}
	set := owner.do("PUT", "settings/logo", logo, "Content-Type", "image/png", "If-Match", before.header.Get("ETag")).want(http.StatusOK)
	at := into[tenantSettings](set).Logo
	if !strings.HasPrefix(at, "/.gatehouse/logo?v=") || set.header.Get("ETag") == before.header.Get("ETag") {
		t.Errorf("%s with %s", set.body, set.header.Get("ETag"))
	}
	owner.do("PUT", "settings/logo", logo+"x", "Content-Type", "image/png").problem(http.StatusBadRequest, "bad-logo")
	owner.do("PUT", "settings/logo", `<svg xmlns="http://www.w3.org/2000/svg"/>`, "Content-Type", "image/png").problem(http.StatusBadRequest, "bad-logo")
	owner.do("PUT", "settings/logo", strings.Repeat("x", 64<<10+1), "Content-Type", "image/png").problem(http.StatusRequestEntityTooLarge, "logo-too-large")
	owner.do("DELETE", "settings/logo", nil, "If-Match", before.header.Get("ETag")).want(http.StatusPreconditionFailed)
	if r := owner.do("PUT", "settings/logo", nil); r.status != http.StatusBadRequest && r.status != http.StatusUnprocessableEntity {
		t.Errorf("no image: status %d: %s", r.status, r.body)
	}

	// What was read may be written back, and leaves the logo.
	owner.do("PUT", "settings", into[map[string]any](owner.do("GET", "settings", nil))).want(http.StatusOK)
	if now := into[tenantSettings](owner.do("GET", "settings", nil)); now.Logo != at {
		t.Errorf("the logo is %q", now.Logo)
	}
	h.signIn(h.acme, "member", "member").do("PUT", "settings/logo", logo).problem(http.StatusForbidden, "not-allowed")
	if now := into[tenantSettings](owner.do("DELETE", "settings/logo", nil).want(http.StatusOK)); now.Logo != "" {
		t.Errorf("the logo is %q", now.Logo)
	}
	logged := 0
	for _, e := range h.recorded(h.acme, audit.TenantChanged) {
		if e.Details["changed"] == "logo" {
			logged++
		}
	}
	if logged != 2 {
		t.Errorf("%d changes of the logo are recorded", logged)
	}
}

// A logo goes along with its tenant's document, and one that says none leaves it.
func TestTheLogoIsAppliedAndExported(t *testing.T) {
	h := newHouse(t)
	operator := h.operator("platform")
	picture := func(side int) string {
		var b bytes.Buffer
		if err := png.Encode(&b, image.NewGray(image.Rect(0, 0, side, side))); err != nil {
			t.Fatal(err)
		}
		return base64.StdEncoding.EncodeToString(b.Bytes())
	}
	shows := func(want string) {
		t.Helper()
		tenant, ok := h.tenants.ByName("initech")
		if !ok {
			t.Fatal("there is no tenant")
		}
		if _, data, err := h.tenants.LogoImage(t.Context(), tenant.ID); err != nil || base64.StdEncoding.EncodeToString(data) != want {
			t.Errorf("%d bytes, %v", len(data), err)
		}
	}
	first, second := picture(8), picture(16)
	for name, wrong := range map[string]string{"no base64": "?", "no image": "AAAA", "nothing": "====", "a page": base64.StdEncoding.EncodeToString([]byte("<svg/>"))} {
		if _, result := operator.apply(parse(t, "{kind: Tenant, name: initech, spec: {logo: {base64: '"+wrong+"'}}}"), false); !result.Failed {
			t.Errorf("%s: %+v", name, result)
		}
		if _, ok := h.tenants.ByName("initech"); ok {
			t.Fatalf("%s: the tenant is made all the same", name)
		}
	}
	made := ", logo: {base64: '" + first + "'}"
	if actions, _ := operator.apply(parse(t, "{kind: Tenant, name: initech, spec: {hosts: [initech.localhost]"+made+"}}"), false); actions != "Tenant created; " {
		t.Fatal(actions)
	}
	shows(first)
	for _, step := range []struct{ spec, action, logo string }{
		{made, "unchanged", first}, {"", "unchanged", first}, {", logo: {base64: '" + second + "'}", "changed", second},
	} {
		for _, dry := range []bool{true, false} {
			if actions, result := operator.apply(parse(t, "{kind: Tenant, name: initech, spec: {hosts: [initech.localhost]"+step.spec+"}}"), dry); actions != "Tenant "+step.action+"; " {
				t.Errorf("%.20s, dry %v: %+v", step.spec, dry, result.Results)
			}
		}
		shows(step.logo)
	}
	exported := into[exportResult](operator.do("GET", "platform/export?tenant=initech", nil).want(http.StatusOK))
	if spec, err := resources.Decode[resources.TenantSpec](exported.Documents[0]); err != nil || spec.Logo == nil || spec.Logo.Base64 != second {
		t.Errorf("exported %.100s, %v", exported.Documents[0].Spec, err)
	}
	if actions, result := operator.apply(exported.Documents, false); result.Failed || strings.Contains(actions, "changed") && !strings.Contains(actions, "unchanged") {
		t.Errorf("the export is not what stands: %s", actions)
	}
	if all := operator.do("GET", "platform/export?tenant=acme", nil).want(http.StatusOK); strings.Contains(string(all.body), "logo") {
		t.Errorf("a tenant without one has %s", all.body)
	}
}
