package authn_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/tenants"
)

// LogoImage gives the logo that stands in the tenant, whose hash is its image.
func (c *connections) LogoImage(_ context.Context, id identity.TenantID) (tenants.Logo, []byte, error) {
	t, ok := c.ByID(id)
	if !ok || t.Logo == nil {
		return tenants.Logo{}, nil, fault.New(fault.NotFound, "no-logo", "This organisation has no logo.")
	}
	return *t.Logo, []byte(t.Logo.Hash), nil
}

func TestTheLogoIsServedToEverybody(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	b.open("/.gatehouse/logo").has(t, http.StatusNotFound)
	w.connections.mu.Lock()
	w.connections.tenant.Logo = &tenants.Logo{Hash: "abc", Type: "image/png"}
	w.connections.mu.Unlock()
	got := b.open("/.gatehouse/logo?v=abc")
	got.has(t, http.StatusOK)
	for name, want := range map[string]string{"Content-Type": "image/png", "X-Content-Type-Options": "nosniff", "ETag": `"abc"`,
		"Content-Security-Policy": "default-src 'none'; sandbox", "Cache-Control": "private, max-age=300"} {
		if got.header.Get(name) != want {
			t.Errorf("%s is %q, want %q", name, got.header.Get(name), want)
		}
	}
	if got.body != "abc" {
		t.Errorf("the image is %q", got.body)
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.url+"/.gatehouse/logo", nil)
	check(t, err)
	r.Header.Set("If-None-Match", `"abc"`)
	b.read(b.Do(r)).has(t, http.StatusNotModified)
}

// Pages and refusals are in the language of whoever reads them; what is recorded is not.
func TestPagesAreInTheReadersLanguage(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct{ path, english, german string }{
		{"/.gatehouse/logout", "You are signed out", "Sie sind abgemeldet"},
		{"/.gatehouse/login?connection=none", "This way of signing in does not exist here", "Diese Art der Anmeldung gibt es hier nicht"},
		{"/.gatehouse/nothing", "There is nothing at this address.", "Unter dieser Adresse gibt es nichts."},
	} {
		for accepted, want := range map[string]string{"": c.english, "en": c.english, "fr": c.english, "de-AT,en;q=0.5": c.german} {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.url+c.path, nil)
			check(t, err)
			r.Header.Set("Accept", "text/html")
			tag := "en"
			if accepted != "" {
				r.Header.Set("Accept-Language", accepted)
			}
			if want == c.german {
				tag = "de"
			}
			got := w.browser().read(w.browser().Do(r))
			if !strings.Contains(got.body, want) || !strings.Contains(got.body, `<html lang="`+tag+`">`) || got.header.Get("Content-Language") != tag ||
				got.header.Get("Vary") != "Accept-Language" {
				t.Errorf("%s for %q: %v\n%s", c.path, accepted, got.header, got.body)
			}
		}
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.url+"/.gatehouse/nothing", nil)
	check(t, err)
	r.Header.Set("Accept", "application/json")
	r.Header.Set("Accept-Language", "de")
	r.Header.Set("Sec-Fetch-Mode", "cors")
	if got := w.browser().read(w.browser().Do(r)); !strings.Contains(got.body, "There is nothing at this address.") {
		t.Errorf("a program reads %s", got.body)
	}
}
