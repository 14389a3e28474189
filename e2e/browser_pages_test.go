package e2e

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/pquerna/otp/totp"

	"gatehouse/demo"
	"gatehouse/internal/dnstest"
	"gatehouse/internal/telemetry"
	"gatehouse/internal/words"
)

// pages are the gate's pages in a demo where there is one of each to see.
type pages struct {
	t            *testing.T
	demo         *demo.Demo
	info         demo.Info
	acme, globex string // origins
	client       *http.Client
	b            browser
}

// TestBrowserEveryPage walks through every page of the gate in each language, at 320
// CSS pixels and by the keyboard alone, in an organisation with a logo. What each page
// is held to stands at [reader.page].
func TestBrowserEveryPage(t *testing.T) {
	if testing.Short() {
		t.Skip("needs Chromium and npm's axe-core")
	}
	records := dnstest.Start(t)
	d, err := demo.Start(t.Context(), demo.Options{Data: t.TempDir(), Resolver: records.Addr(), Log: telemetry.NewLogger(t.Output(), telemetry.Text, slog.LevelError)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	g := &pages{t: t, demo: d, info: d.Info(), b: chromium(t, d.Info())}
	if g.client, err = g.info.Client(); err != nil {
		t.Fatal(err)
	}
	g.acme, g.globex = strings.TrimSuffix(g.info.Tenants["acme"].URL, "/"), strings.TrimSuffix(g.info.Tenants["globex"].URL, "/")
	askForFactors(t, g.info, "acme", "always")
	logo := logoOf(t)
	for _, of := range []string{"acme", "globex"} {
		asAdmin(t, g.client, g.info.Tenants[of], http.MethodPut, "settings/logo", logo)
	}
	g.api(http.MethodPut, "connections/partners", `{"type":"oidc","issuer":"http://127.0.0.1:9","client_id":"acme","client_secret":"none","enabled":true,"display_name":"Partner"}`)
	record := decode[struct {
		Record struct{ Name, Value string } `json:"record"`
	}](t, g.api(http.MethodPut, "domains/acme.example", `{"connection":"oidc"}`)).Record
	records.Set(record.Name, record.Value)
	g.api(http.MethodPost, "domains/acme.example/verify", "")

	people := map[string]string{"en": member, "de": viewer}
	for _, l := range words.Spoken() {
		email := people[l.Tag()]
		if email == "" {
			t.Fatalf("nobody here reads %s", l.Tag())
		}
		g.signingIn(l, email)
		g.leaving(l)
		g.localAccount(l, l.Tag()+"@acme.example")
	}
	for _, l := range words.Spoken() {
		g.settingUp(l)
	}
	for _, l := range words.Spoken() {
		g.nobody(l)
	}
}

func (g *pages) api(method, path, body string) []byte {
	g.t.Helper()
	return asAdmin(g.t, g.client, g.info.Tenants["acme"], method, path, body)
}

// reader opens a browser of their own for somebody who reads a language.
func (g *pages) reader(l *words.Language) *reader {
	g.t.Helper()
	return g.b.profile(desktopChrome, narrow).readsIn(l)
}

// signingIn is a first sign-in, with a second factor, and what there is to see with a
// session.
func (g *pages) signingIn(l *words.Language, email string) {
	g.t.Helper()
	p := g.reader(l)
	authenticator := p.authenticator()
	p.verifies(authenticator, false)
	p.open(g.acme + "/")
	p.page("choose", "Sign in")
	p.fill("email", "somebody@elsewhere.example")
	p.press(p.button("Continue"))
	p.again("choose-unknown", "Sign in")
	p.press(p.link("Continue with %s", "Partner"))
	p.turnedAway("refused", "You are not signed in")
	p.shows(g.client, request(g.t, http.MethodPost, g.acme+"/.gatehouse/login", "email="+url.QueryEscape(email), "Content-Type", "application/x-www-form-urlencoded"))
	p.page("signing-in", "Signing in")

	p.open(g.acme + "/.gatehouse/login?connection=oidc")
	p.signIn(g.info, "acme", email)
	p.page("factor-choose", "Set up a second factor")
	p.press(p.link("A passkey: this device, your phone or a security key"))
	p.page("factor-passkey", "Add a passkey")
	p.press(p.button("Add it"))
	p.see(`//p[@role="alert" and @data-problem]`)
	p.page("factor-passkey-given-up", "Add a passkey")
	script[any](p.tab, `history.back(); null`)
	p.press(p.link("An authenticator app on your phone"))
	p.page("factor-app", "Add an authenticator app")
	p.fill("code", "none")
	p.press(p.button("Add it"))
	p.again("factor-app-wrong", "Add an authenticator app")
	p.fill("code", codeOf(g.t, p.see(`//p/code`)))
	p.press(p.button("Add it"))
	p.page("factor-codes", "Your recovery codes")
	p.press(`//nav/a`)
	p.see(`//*[text()="assertion verified"]`)

	p.open(g.acme + "/.gatehouse/mfa")
	p.page("factors", "Your second factors")
	p.open(g.acme + "/.gatehouse/devices")
	p.page("devices", "Your devices")
	p.open(g.acme + "/" + billingPath)
	p.turnedAway("denied", "You may not do this")
	p.open(g.acme + "/.gatehouse/nothing")
	p.page("nothing", "There is nothing here")
	p.open(g.acme + "/.gatehouse/setup/save") // where only a form is sent to
	p.page("form-only", "There is nothing here")
	p.open(g.acme + "/a%2fb")
	p.see(p.heading("This request cannot be served"))
	p.bare("malformed")
	g.program(p)

	p.open(g.acme + "/.gatehouse/logout")
	p.page("sign-out", "Sign out")
	p.press(p.button("Sign out"))
	p.page("signed-out", "You are signed out")
	p.press(p.link("Sign in"))
	p.page("choose-again", "Sign in")
	p.open(g.acme + "/.gatehouse/login?connection=oidc")
	p.signIn(g.info, "acme", email)
	p.page("factor-ask", "Show your second factor")
	p.fill("code", "none")
	p.press(`//form[.//input[@value="totp"]]//button`)
	p.again("factor-ask-wrong", "Show your second factor")
}

// codeOf is what an authenticator app shows that was given a key.
func codeOf(t *testing.T, key string) string {
	t.Helper()
	code, err := totp.GenerateCode(strings.TrimSpace(key), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return code
}

// program is a program that asks to be signed in, and is denied and allowed.
func (g *pages) program(p *reader) {
	g.t.Helper()
	for _, decision := range []struct{ button, heading, name string }{{"Deny", "Denied", "denied"}, {"Allow", "Allowed", "allowed"}} {
		_, text := do(g.t, g.client, request(g.t, http.MethodPost, g.acme+"/.gatehouse/oauth/device_authorization",
			"client_id=gatehouse-cli&device_name=build-server", "Content-Type", "application/x-www-form-urlencoded"))
		codes := decode[struct {
			Code  string `json:"user_code"`
			Whole string `json:"verification_uri_complete"`
		}](g.t, text)
		if decision.button == "Deny" {
			p.open(g.acme + "/.gatehouse/device")
			p.page("device-empty", "Sign in a program")
			p.fill("user_code", "BCDF-GHJK")
			p.press(p.button("Continue"))
			p.turnedAway("device-unknown", "This did not work")
			p.press(p.link("Enter another code"))
			p.fill("user_code", codes.Code)
		} else {
			p.open(codes.Whole)
			p.page("device", "Sign in a program")
		}
		p.press(p.button("Continue"))
		p.page("device-confirm", "Allow this program?")
		p.press(p.button(decision.button))
		p.page("device-"+decision.name, decision.heading)
	}
}

// leaving is what sign-out shows on the way to identity providers and back from them.
func (g *pages) leaving(l *words.Language) {
	g.t.Helper()
	p := g.reader(l)
	p.open(g.globex + "/.gatehouse/saml/saml/slo?SAMLResponse=none")
	p.turnedAway("sign-out-refused", "The sign-out was not completed")
	p.open(g.acme + "/.gatehouse/oidc/oidc/frontchannel-logout")
	p.page("sign-out-framed", "Sign-out")
	at := signedIn(g.t, g.info, "globex", "member@globex.example")
	p.shows(at, request(g.t, http.MethodPost, g.globex+"/.gatehouse/logout", ""))
	p.page("signing-out", "Signing out")

	_, port, _ := strings.Cut(strings.TrimPrefix(g.acme, "https://"), ":")
	p.open("https://nobody.localhost:" + port + "/")
	p.see(p.heading("This address is not served here"))
	p.bare("unknown-host")
}

// localAccount is somebody who is invited, signs in with a password, and changes it.
func (g *pages) localAccount(l *words.Language, email string) {
	g.t.Helper()
	const first, second = "several words of mine", "other words of mine"
	p := g.reader(l)
	p.verifies(p.authenticator(), false)
	link := g.acme + decode[struct{ Path string }](g.t, g.api(http.MethodPost, "local-accounts", fmt.Sprintf(`{"email":%q}`, email))).Path
	p.open(link)
	p.page("local-invited", "Set up your account")
	p.press(p.button("Take a passkey"))
	p.page("local-passkey", "Add a passkey")
	p.open(link)
	p.press(p.button("Take a password and an app"))
	p.page("local-password", "Choose a password")
	p.fill("password", first)
	p.fill("code", "none")
	p.press(p.button("Set up the account"))
	p.again("local-password-wrong", "Choose a password")
	p.fill("password", first)
	p.fill("code", codeOf(g.t, p.see(`//p/code`)))
	p.press(p.button("Set up the account"))
	p.page("local-done", "Your account is set up")
	recovery := p.see(`//ul//code`)

	p.press(p.link("Sign in"))
	p.page("local-sign-in", "Sign in with a local account")
	for _, password := range []string{"not it, not it", first} {
		p.fill("address", email)
		p.fill("password", password)
		p.press(p.button("Go on"))
		if password != first {
			p.again("local-sign-in-wrong", "Sign in with a local account")
		}
	}
	p.page("local-code", "Enter your code")
	p.fill("code", "none")
	p.press(`//form[.//input[@value="totp"]]//button`)
	p.again("local-code-wrong", "Enter your code")
	p.goTo(`//input[@id="recovery"]`)
	p.do("enter a recovery code", chromedp.KeyEvent(recovery))
	p.press(p.button("Use this code"))
	p.see(`//*[text()="assertion verified"]`)

	p.open(g.acme + "/.gatehouse/local/password")
	p.page("local-own", "Change your password")
	for _, password := range []string{"not it, not it", first} {
		p.fill("current", password)
		p.fill("password", second)
		p.press(p.button("Change it"))
		if password != first {
			p.again("local-own-wrong", "Change your password")
		}
	}
	p.page("local-changed", "Your password is changed")
	p.open(link)
	p.turnedAway("local-spent", "This link is not good any more")
}

// settingUp is somebody without an account who connects their identity provider.
func (g *pages) settingUp(l *words.Language) {
	g.t.Helper()
	p := g.reader(l)
	acme, ok := g.demo.Gateway().Services().Tenants.ByName("acme")
	if !ok {
		g.t.Fatal("there is no acme")
	}
	known, err := g.demo.Gateway().Services().Tenants.Connection(g.t.Context(), acme.ID, "oidc")
	if err != nil {
		g.t.Fatal(err)
	}
	test := decode[struct{ Path string }](g.t, g.api(http.MethodPost, "connections/partners/test", "")).Path
	p.open(g.acme + test)
	p.page("test-failed", "The connection %s does not work yet", "Partner")

	// The one link is for the connection that the demo's provider knows.
	g.api(http.MethodDelete, "domains/acme.example", "")
	g.api(http.MethodDelete, "connections/oidc", "")
	link := decode[struct{ URL string }](g.t, g.api(http.MethodPost, "setup-links", `{"connection":"oidc"}`)).URL
	p.open(link)
	p.page("setup", "Connect your identity provider")
	p.press(p.button("Begin"))
	p.page("setup-providers", "Which identity provider do you have?")
	for _, title := range []string{"AD FS", "GitHub"} {
		p.open(g.acme + "/.gatehouse/setup?provider=")
		p.press(p.link(title))
		p.page("setup-"+strings.ToLower(strings.ReplaceAll(title, " ", "")), "Connect %s", title)
	}
	p.open(g.acme + "/.gatehouse/setup?provider=keycloak")
	p.page("setup-keycloak", "Connect %s", "Keycloak")
	for _, issuer := range []string{"http://keycloak.acme.example", known.OIDC.Issuer} {
		p.fill("issuer", issuer)
		p.fill("client_id", known.OIDC.ClientID)
		p.fill("client_secret", known.OIDC.ClientSecret)
		p.press(p.button("Keep"))
		if issuer != known.OIDC.Issuer {
			p.again("setup-mistake", "Connect %s", "Keycloak")
		}
	}
	p.see(p.button("Try the connection"))
	p.page("setup-kept", "Connect %s", "Keycloak")
	p.press(p.button("Try the connection"))
	p.signIn(g.info, "acme", owner)
	p.page("setup-tried", "The connection %s works", "oidc")
	p.press(p.link("Back to the set-up"))
	p.see(p.button("Switch it on"))
	p.page("setup-ready", "Connect %s", "Keycloak")
	p.press(p.button("Switch it on"))
	p.page("setup-done", "Your people can sign in now")
	p.open(g.acme + "/.gatehouse/setup")
	p.turnedAway("setup-spent", "This link is not good any more")
	g.api(http.MethodPut, "domains/acme.example", `{"connection":"oidc"}`)
}

// nobody is what there is to see where nobody can sign in, yet or any more.
func (g *pages) nobody(l *words.Language) {
	g.t.Helper()
	globex, p := g.info.Tenants["globex"], g.reader(l)
	suspend := func(status string) {
		g.t.Helper()
		resp, body := do(g.t, g.client, request(g.t, http.MethodPatch, g.info.Operator.URL+apiPath+"platform/tenants/globex", fmt.Sprintf(`{"status":%q}`, status),
			"Authorization", "Bearer "+g.info.Operator.Token))
		if resp.StatusCode != http.StatusOK {
			g.t.Fatalf("%s: %s", resp.Status, body)
		}
	}
	suspend("suspended")
	p.open(g.globex + "/")
	p.see(p.heading("Access is suspended"))
	p.bare("suspended")
	suspend("active")
	if l == words.English {
		asAdmin(g.t, g.client, globex, http.MethodDelete, "connections/saml", "")
	}
	p.open(g.globex + "/")
	p.page("nobody-yet", "Nobody can sign in here yet")
}
