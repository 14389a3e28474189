package e2e

import (
	"encoding/json"
	"net/http"
	"os"
	"strings"
	"testing"

	"gatehouse/demo"
)

// What the browsers of the test say of themselves; Chromium says that it is
// headless, which is no device of a person.
const (
	desktopChrome = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"
	androidChrome = "Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Mobile Safari/537.36"
)

const (
	consolePath = ".gatehouse/console/"
	row         = `//li[@data-testid="session-` + member + `"]`
	dialog      = `//section[@role="dialog"]`
)

// readmePicture is the README's; UPDATE_SCREENSHOTS=1 takes it anew.
const readmePicture = "../docs/images/console.png"

// TestBrowserWalk is the walk of docs/walk.md in a real browser.
func TestBrowserWalk(t *testing.T) {
	if testing.Short() {
		t.Skip("needs Chromium, npm's axe-core and the built console")
	}
	info := inProcess(t).Info()
	b := chromium(t, info)
	acme := info.Tenants["acme"].URL

	hers := b.profile(androidChrome, pocket)
	hers.open(acme)
	hers.see(`//input[@name="password"]`)
	hers.look("idp-oidc", desk, pocket)
	hers.signIn(info, "acme", member)
	seesIdentity(hers, "acme", member)
	hers.look("app", desk, pocket)
	browserSAML(b, info)

	his := b.profile(desktopChrome, desk)
	his.open(acme)
	his.signIn(info, "acme", owner)
	seesIdentity(his, "acme", owner)
	company(t, info)
	his.click(`//a[text()="Console"]`)
	browserSignOut(his, hers, acme)
	browserRefusal(his, hers, info)
	browserConsole(his, acme)
	browserConnect(his, info)
	browserOwnPages(b, his, info)
}

// seesIdentity checks that the app was told who somebody is, in which tenant.
func seesIdentity(p *tab, tenant, email string) {
	p.t.Helper()
	p.see(`//*[text()="assertion verified"]`)
	if who := p.see(`//section[@aria-labelledby="who"]`); !strings.Contains(who, email) || !strings.Contains(who, "tenant "+tenant) {
		p.t.Errorf("the app shows %q", who)
	}
	for _, panel := range []string{"socket", "stream"} {
		p.see(`//*[@id="` + panel + `-state" and text()="open"]`)
		p.see(`//ol[@id="` + panel + `-log"]/li`)
	}
}

// browserSAML signs in at globex, by its SAML identity provider.
func browserSAML(b browser, info demo.Info) {
	b.t.Helper()
	p := b.profile(desktopChrome, desk)
	p.open(info.Tenants["globex"].URL)
	p.see(`//input[@name="password"]`)
	p.look("idp-saml", desk)
	p.signIn(info, "globex", "member@globex.example")
	seesIdentity(p, "globex", "member@globex.example")
}

// company signs more people in, so that the console has something to show.
func company(t *testing.T, info demo.Info) {
	t.Helper()
	signedInOn(t, info, "acme", viewer, phone)
	signedInOn(t, info, "acme", viewer, laptop)
}

// browserSignOut is the main job: the owner signs the member's device out.
func browserSignOut(his, hers *tab, acme string) {
	his.t.Helper()
	facts := his.see(row)
	for _, want := range []string{"Max Member", member, "Chrome", "Android", "phone", "127.0.0.1", "Signed in"} {
		if !strings.Contains(strings.ToLower(facts), strings.ToLower(want)) {
			his.t.Errorf("the owner sees %q without %s", facts, want)
		}
	}
	his.see(`//*[@role="status" and contains(., "Live")]`)
	his.look("console-sessions", desk, pocket)
	his.become(desktopChrome, desk)
	if os.Getenv("UPDATE_SCREENSHOTS") == "1" {
		his.colours("light")
		his.picture(readmePicture)
	}

	log := his.tab(desktopChrome, desk)
	log.open(acme + consolePath + "events")
	log.see(`//*[@role="status" and contains(., "Live")]`)
	log.see(`//li[starts-with(@data-testid, "event-")]`)
	script[any](log, "window.neverReloaded = true")

	his.click(row + `//button[starts-with(@aria-label, "Sign out")]`)
	his.see(dialog + `//*[contains(text(), "Max Member")]`)
	his.look("console-confirm", desk, pocket)
	his.become(desktopChrome, desk)
	his.click(dialog + `//button[normalize-space()="Sign out"]`)

	// The member's page is told, and says so.
	hers.see(`//*[@id="socket-state" and text()="closed"]`)
	hers.see(`//*[@id="stream-state" and text()="closed"]`)
	if said := hers.see(`//ol[@id="socket-log"]`); !strings.Contains(said, "closed: 1008") {
		hers.t.Errorf("the WebSocket was closed with %q", said)
	}
	hers.see(`//*[@id="ended"]`)
	hers.look("app-ended", desk, pocket)

	his.gone(row)
	his.see(`//*[@role="status" and contains(., "Recorded as evt_")]`)
	his.look("console-signed-out", desk)
	log.see(`//li[@data-testid="event-session.revoked"]`)
	if !script[bool](log, "window.neverReloaded === true") {
		log.t.Error("the log was loaded anew")
	}
	log.look("console-events", desk, pocket)

	hers.click(`//a[text()="Everything that arrived, as JSON"]`)
	hers.see(`//input[@name="password"]`)
	if at := hers.host(); at == "acme.localhost" {
		hers.t.Errorf("the next click came to %s", at)
	}
}

// browserRefusal is the member's 403, which the owner finds by its event.
func browserRefusal(his, hers *tab, info demo.Info) {
	his.t.Helper()
	acme := info.Tenants["acme"].URL
	hers.signIn(info, "acme", member)
	hers.see(`//*[contains(text(), "X-Gatehouse-Tenant")]`) // where the click had led
	hers.open(acme)
	hers.click(`//a[text()="Billing"]`)
	hers.see(`//h1[text()="You may not do this"]`)
	id := hers.see(`//dd[starts-with(text(), "evt_")]`)
	hers.look("refused", desk, pocket)

	his.click(`//nav//a[contains(., "Event log")]`)
	his.do("paste the event id", typeInto(`//input[@aria-label="Search the log"]`, id))
	his.see(dialog + `//code[text()="no-role"]`)
	if record := his.see(dialog); !strings.Contains(record, id) || !strings.Contains(record, "/"+billingPath) || !strings.Contains(record, member) {
		his.t.Errorf("the owner finds %q", record)
	}
	his.look("console-event", desk, pocket)
	his.become(desktopChrome, desk)
}

// browserConsole looks at every other page of the console.
func browserConsole(his *tab, acme string) {
	his.t.Helper()
	for _, place := range []struct{ path, title string }{
		{"users", "Users"}, {"roles", "Roles"}, {"teams", "Teams"}, {"connections", "Connections"}, {"tokens", "Tokens"}, {"services", "Services"}, {"settings", "Settings"}, {"devices", "My devices"},
	} {
		his.open(acme + consolePath + place.path)
		his.see(`//h1[text()="` + place.title + `"]`)
		his.see(`//main//li | //main//table | //main//form | //main//*[text()="No services"]`)
		screens := []screen{desk}
		if place.path == "devices" || place.path == "users" {
			screens = append(screens, pocket)
		}
		his.look("console-"+place.path, screens...)
		his.become(desktopChrome, desk)
		if place.path == "users" {
			his.click(`//a[@aria-label="Show Max Member"]`)
			his.see(`//h1[contains(., "Max Member")]`)
			his.look("console-user", desk)
		}
	}
}

// browserDeviceLogin lets a program be signed in, which shows among the devices.
func browserDeviceLogin(his *tab, info demo.Info) {
	t, acme := his.t, info.Tenants["acme"]
	t.Helper()
	client, err := info.Client()
	if err != nil {
		t.Fatal(err)
	}
	resp, text := do(t, client, request(t, http.MethodPost, acme.URL+".gatehouse/oauth/device_authorization",
		"client_id=gatehouse-cli&device_name=build-server", "Content-Type", "application/x-www-form-urlencoded"))
	var codes struct {
		Device string `json:"device_code"`
		User   string `json:"user_code"`
		Whole  string `json:"verification_uri_complete"`
	}
	if err := json.Unmarshal(text, &codes); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s", resp.Status, text)
	}
	his.open(codes.Whole)
	his.see(`//input[@name="user_code" and @value="` + codes.User + `"]`)
	his.look("device", desk, pocket)
	his.click(`//button[text()="Continue"]`)
	his.see(`//strong[text()="build-server"]`)
	his.look("device-confirm", desk, pocket)
	his.click(`//button[text()="Allow"]`)
	his.see(`//h1[text()="Allowed"]`)
	his.look("device-allowed", desk, pocket)
	resp, text = do(t, client, request(t, http.MethodPost, acme.URL+".gatehouse/oauth/token", "client_id=gatehouse-cli&grant_type=urn:ietf:params:oauth:grant-type:device_code&device_code="+codes.Device,
		"Content-Type", "application/x-www-form-urlencoded"))
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s", resp.Status, text)
	}
	his.open(acme.URL + consolePath + "devices")
	his.see(`//*[text()="Gatehouse CLI on build-server"]`)
	his.look("console-devices-program", desk)
}

// browserOwnPages looks at the pages that the gate itself has for people.
func browserOwnPages(b browser, his *tab, info demo.Info) {
	t := b.t
	t.Helper()
	acme := info.Tenants["acme"]
	his.open(acme.URL + ".gatehouse/devices")
	his.see(`//li//strong`)
	his.look("devices", desk, pocket)
	his.open(acme.URL + ".gatehouse/logout")
	his.see(`//button[text()="Sign out"]`)
	his.look("signout", desk, pocket)
	browserDeviceLogin(his, info)

	// With a second connection there is something to choose.
	client, err := info.Client()
	if err != nil {
		t.Fatal(err)
	}
	resp, body := do(t, client, request(t, http.MethodPut, acme.URL+apiPath+"connections/partners",
		`{"type":"oidc","issuer":"http://127.0.0.1:9","client_id":"acme","client_secret":"none","enabled":true}`,
		"Authorization", "Bearer "+acme.APIToken))
	if resp.StatusCode >= http.StatusBadRequest {
		t.Fatalf("a second connection: %s: %s", resp.Status, body)
	}
	nobody := b.profile(desktopChrome, desk)
	nobody.open(acme.URL)
	nobody.see(`//nav[@aria-label="Ways to sign in"]/a`)
	nobody.look("choose", desk, pocket)
}
