package e2e

import (
	"bytes"
	"context"
	"image"
	"image/color"
	"image/png"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"gatehouse/demo"
)

// reads sets what the tab's person reads.
func (p *tab) reads(language string) {
	p.t.Helper()
	p.do("set the language", chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, emulation.SetUserAgentOverride, emulation.SetUserAgentOverrideParams{UserAgent: desktopChrome, AcceptLanguage: language})
		return err
	}))
}

// asAdmin calls acme's API.
func asAdmin(t *testing.T, client *http.Client, acme demo.Tenant, method, path, body string) []byte {
	t.Helper()
	resp, answer := do(t, client, request(t, method, acme.URL+apiPath+path, body, "Authorization", "Bearer "+acme.APIToken))
	if resp.StatusCode >= http.StatusBadRequest {
		t.Fatalf("%s %s: %s: %s", method, path, resp.Status, answer)
	}
	return answer
}

// TestBrowserLogo is an admin who chooses a logo in the console, after one that is
// none, and takes it away again.
func TestBrowserLogo(t *testing.T) {
	if testing.Short() {
		t.Skip("needs Chromium, npm's axe-core and the built console")
	}
	info := inProcess(t).Info()
	acme := info.Tenants["acme"]
	dir := t.TempDir()
	file := func(name, content string) []string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return []string{path}
	}
	p := chromium(t, info).profile(desktopChrome, desk)
	p.open(acme.URL + ".gatehouse/login?connection=oidc&return_to=/" + consolePath + "settings")
	p.signIn(info, "acme", owner)
	p.see(`//h1[text()="Settings"]`)
	choose := func(what string, files []string) {
		t.Helper()
		p.do("choose "+what, chromedp.SetUploadFiles(`//input[@type="file"]`, files, chromedp.NodeReady))
	}
	choose("a page", file("page.png", "<html>"))
	p.see(`//*[@role="alert" and contains(., "A logo is an image in PNG, JPEG or WebP.")]`)
	choose("an image", file("logo.png", logoOf(t)))
	p.see(`//button[normalize-space()="Choose another image"]`)
	p.see(`//img[@alt="The logo as it is"]`)
	p.gone(`//*[@role="alert" and contains(., "A logo is an image")]`)
	other := browser{t, p.ctx}.profile(desktopChrome, desk)
	other.open(acme.URL + ".gatehouse/logout")
	if wide := script[int](other, `document.querySelector('img[src^="/.gatehouse/logo?v="]').decode().then(() => document.querySelector('img').naturalWidth)`); wide != 48 {
		t.Errorf("the page shows a logo of %d pixels", wide)
	}
	p.click(`//button[normalize-space()="Remove the logo"]`)
	p.see(`//button[normalize-space()="Choose an image"]`)
}

// logoOf is a logo of 48 pixels.
func logoOf(t *testing.T) string {
	t.Helper()
	picture := image.NewRGBA(image.Rect(0, 0, 48, 48))
	for x := range 48 {
		for y := range 48 {
			if (x-24)*(x-24)+(y-24)*(y-24) < 23*23 {
				picture.Set(x, y, color.RGBA{uint8(5 * x), 118, uint8(5 * y), 255})
			}
		}
	}
	var b bytes.Buffer
	if err := png.Encode(&b, picture); err != nil {
		t.Fatal(err)
	}
	return b.String()
}
