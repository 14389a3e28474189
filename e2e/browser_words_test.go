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
	"strings"
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

// german waits for a page by its heading, and checks that it says to be in German,
// shows the logo, breaks no policy and can be read by everybody.
func (p *tab) german(name, heading string) {
	p.t.Helper()
	p.see(`//html[@lang="de"]//h1[text()="` + heading + `"]`)
	p.see(`//p[@class="tenant"]/img[@alt=""]`)
	if !script[bool](p, `(i => i.complete && i.naturalWidth === 48)(document.querySelector("p.tenant img"))`) {
		p.t.Errorf("%s shows no logo", name)
	}
	p.look("de-"+name, desk, pocket)
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

// TestBrowserGerman walks through the pages of the gate as somebody who reads German,
// in an organisation with a logo.
func TestBrowserGerman(t *testing.T) {
	if testing.Short() {
		t.Skip("needs Chromium and npm's axe-core")
	}
	info := inProcess(t).Info()
	acme := info.Tenants["acme"]
	client, err := info.Client()
	if err != nil {
		t.Fatal(err)
	}
	asAdmin(t, client, acme, http.MethodPut, "settings/logo", logoOf(t))
	asAdmin(t, client, acme, http.MethodPut, "connections/partners",
		`{"type":"oidc","issuer":"http://127.0.0.1:9","client_id":"acme","client_secret":"none","enabled":true,"display_name":"Partner"}`)
	at := strings.TrimSuffix(acme.URL, "/")
	b := chromium(t, info)
	p := b.profile(desktopChrome, desk)
	p.reads("de-AT")

	p.open(at + "/")
	p.german("choose", "Anmelden")
	p.click(`//a[text()="Weiter mit Partner"]`)
	p.german("refused", "Sie sind nicht angemeldet")
	p.open(at + "/.gatehouse/login?connection=oidc")
	p.signIn(info, "acme", member)
	p.see(`//*[text()="assertion verified"]`)
	p.open(at + "/" + billingPath)
	p.german("denied", "Das dürfen Sie nicht")
	p.open(at + "/.gatehouse/nothing")
	p.german("nothing", "Hier ist nichts")
	p.open(at + "/.gatehouse/devices")
	p.german("devices", "Ihre Geräte")
	p.open(at + "/.gatehouse/mfa")
	p.german("factors", "Ihre zweiten Faktoren")
	p.click(`//a[text()="Eine Authenticator-App auf Ihrem Telefon"]`)
	p.german("factor-app", "Eine Authenticator-App hinzufügen")
	if !script[bool](p, `document.querySelector("main > p > img").naturalWidth > 0`) {
		t.Error("the QR code is not shown")
	}
	p.open(at + "/.gatehouse/mfa?add=passkey")
	p.german("factor-passkey", "Einen Passkey hinzufügen")
	germanDevice(p, client, acme)
	p.open(at + "/.gatehouse/logout")
	p.german("signout", "Abmelden")
	p.click(`//button[text()="Abmelden"]`)
	p.see(`//h1[text()="Sie sind abgemeldet"]`)
	p.german("signed-out", "Sie sind abgemeldet")
	germanSetup(p, client, acme)
}

// germanDevice lets a program be signed in.
func germanDevice(p *tab, client *http.Client, acme demo.Tenant) {
	p.t.Helper()
	_, text := do(p.t, client, request(p.t, http.MethodPost, acme.URL+".gatehouse/oauth/device_authorization",
		"client_id=gatehouse-cli&device_name=build-server", "Content-Type", "application/x-www-form-urlencoded"))
	p.open(decode[struct {
		Whole string `json:"verification_uri_complete"`
	}](p.t, text).Whole)
	p.german("device", "Ein Programm anmelden")
	p.click(`//button[text()="Weiter"]`)
	p.german("device-confirm", "Dieses Programm zulassen?")
	p.click(`//button[text()="Ablehnen"]`)
	p.german("device-denied", "Abgelehnt")
}

// germanSetup goes by a set-up link as far as a mistake, which is told in German too.
func germanSetup(p *tab, client *http.Client, acme demo.Tenant) {
	p.t.Helper()
	link := decode[struct {
		URL string `json:"url"`
	}](p.t, asAdmin(p.t, client, acme, http.MethodPost, "setup-links", `{"connection":"corp"}`)).URL
	p.open(link)
	p.german("setup-begin", "Ihren Identitätsanbieter anschließen")
	p.click(`//button[text()="Beginnen"]`)
	p.german("setup-providers", "Welchen Identitätsanbieter haben Sie?")
	p.click(`//a[text()="Okta"]`)
	p.see(`//h1[text()="Anschließen: Okta"]`)
	p.do("enter an address over http", chromedp.SendKeys(`//input[@name="issuer"]`, "http://acme.okta.example"),
		chromedp.SendKeys(`//input[@name="client_id"]`, "0oa1"), chromedp.Click(`//button[text()="Speichern"]`))
	p.see(`//*[@role="alert" and contains(., "Die Verbindung ist nicht richtig: der Aussteller (issuer)")]`)
	p.german("setup-mistake", "Anschließen: Okta")
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
