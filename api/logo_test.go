package api

import (
	"bytes"
	"image"
	"image/png"
	"net/http"
	"strings"
	"testing"

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
