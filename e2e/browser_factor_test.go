package e2e

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/webauthn"
	"github.com/chromedp/chromedp"

	"gatehouse/demo"
	"gatehouse/demo/browse"
)

// authenticator gives a tab a platform authenticator, in software.
func (p *tab) authenticator() webauthn.AuthenticatorID {
	p.t.Helper()
	var id webauthn.AuthenticatorID
	p.do("add an authenticator", chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		if _, err := cdp.Call(ctx, target, webauthn.Enable, webauthn.EnableParams{}); err != nil {
			return err
		}
		made, err := cdp.Call(ctx, target, webauthn.AddVirtualAuthenticator, webauthn.AddVirtualAuthenticatorParams{
			Options: &webauthn.VirtualAuthenticatorOptions{Protocol: webauthn.AuthenticatorProtocolCtap2, Transport: webauthn.AuthenticatorTransportInternal,
				HasResidentKey: true, HasUserVerification: true, IsUserVerified: true, AutomaticPresenceSimulation: true}})
		id = made.AuthenticatorID
		return err
	}))
	return id
}

// answerWrongly has the authenticator's next answers be wrong in these ways.
func (p *tab) answerWrongly(id webauthn.AuthenticatorID, signature, verified bool) {
	p.t.Helper()
	p.do("answer wrongly", chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, webauthn.SetResponseOverrideBits, webauthn.SetResponseOverrideBitsParams{
			AuthenticatorID: id, IsBogusSignature: &signature, IsBadUV: &verified})
		return err
	}))
}

// verifies has the authenticator know its person, or not.
func (p *tab) verifies(id webauthn.AuthenticatorID, known bool) {
	p.t.Helper()
	p.do("verify", chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, webauthn.SetUserVerified, webauthn.SetUserVerifiedParams{AuthenticatorID: id, IsUserVerified: known})
		return err
	}))
}

// askForFactors sets who shows a second factor at a tenant.
func askForFactors(t *testing.T, info demo.Info, tenant, policy string) {
	t.Helper()
	client, err := info.Client()
	if err != nil {
		t.Fatal(err)
	}
	of := info.Tenants[tenant]
	resp, body := do(t, client, request(t, http.MethodPut, of.URL+apiPath+"settings",
		`{"display_name":"`+tenant+`","second_factor":{"policy":"`+policy+`"}}`, "Authorization", "Bearer "+of.APIToken))
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("settings: %s: %s", resp.Status, body)
	}
}

// TestBrowserPasskeys is how a person adds a passkey at their first sign-in, signs in
// with it, and shows it for a route, in a real browser.
func TestBrowserPasskeys(t *testing.T) {
	if testing.Short() {
		t.Skip("needs Chromium and npm's axe-core")
	}
	info := inProcess(t).Info()
	askForFactors(t, info, "acme", "always")
	b := chromium(t, info)
	acme := info.Tenants["acme"].URL
	p := b.profile(desktopChrome, desk)
	id := p.authenticator()

	p.open(acme)
	p.signIn(info, "acme", member)
	p.see(`//h1[text()="Set up a second factor"]`)
	p.look("factor-choose", desk, pocket)
	p.open(acme + "api/whoami") // there is no way around it
	p.signIn(info, "acme", member)
	p.see(`//h1[text()="Set up a second factor"]`)
	p.click(`//a[contains(., "A passkey")]`)
	p.see(`//h1[text()="Add a passkey"]`)
	p.look("factor-passkey", desk, pocket)
	p.verifies(id, false)
	p.click(`//button[text()="Add it"]`)
	p.see(`//*[@role="alert" and contains(., "Nothing came of it")]`)
	p.verifies(id, true)
	p.click(`//button[text()="Add it"]`)
	p.see(`//h1[text()="Your recovery codes"]`)
	p.look("factor-codes", desk, pocket)
	p.click(`//a[contains(., "go on")]`)
	if who := p.see(`//body`); !strings.Contains(who, `"hwk"`) || !strings.Contains(who, `"mfa"`) {
		t.Errorf("the app is told %s", who)
	}

	p.open(acme + ".gatehouse/mfa")
	p.see(`//h1[text()="Your second factors"]`)
	p.look("factors", desk, pocket)
	p.click(`//a[contains(., "authenticator app")]`)
	p.see(`//img[contains(@alt, "QR code")]`)
	p.look("factor-app", desk, pocket)

	// The authenticator answers, and its answers count for nothing.
	p.open(acme + ".gatehouse/mfa?return_to=%2Fapi%2Ffactor")
	for _, wrong := range []struct{ signature, verified bool }{{true, false}, {false, true}} {
		p.see(`//h1[text()="Show your second factor"]`)
		p.answerWrongly(id, wrong.signature, wrong.verified)
		p.click(`//button[text()="Use your passkey"]`)
		p.see(`//*[@role="alert" and contains(., "did not work")]`)
		p.answerWrongly(id, false, false)
		p.open(acme + ".gatehouse/mfa?return_to=%2Fapi%2Ffactor")
	}
	p.look("factor-ask", desk, pocket)
	p.click(`//button[text()="Use your passkey"]`)
	p.see(`//*[contains(text(), "X-Gatehouse-Tenant")]`)

	// A new sign-in, with the same passkey.
	p.open(acme + ".gatehouse/logout")
	p.click(`//button[text()="Sign out"]`)
	p.see(`//h1[text()="You are signed out"]`)
	p.open(acme)
	p.signIn(info, "acme", member)
	p.see(`//h1[text()="Show your second factor"]`)
	p.click(`//button[text()="Use your passkey"]`)
	seesIdentity(p, "acme", member)

	// A browser without passkeys says so, and what to do.
	old := b.profile(desktopChrome, desk)
	old.do("take passkeys away", chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: "delete window.PublicKeyCredential"})
		return err
	}))
	old.open(acme)
	old.signIn(info, "acme", member)
	old.see(`//*[@role="alert" and contains(., "does not know passkeys")]`)
	if !script[bool](old, `document.querySelector("form[data-passkey] button").disabled`) {
		t.Error("the button can be pressed")
	}
	old.look("factor-without", desk)
}

// TestBrowserStepUp is the same for a tenant that asks nobody at sign-in: a route
// asks, and who has no factor sets one up once they have authenticated anew.
func TestBrowserStepUp(t *testing.T) {
	if testing.Short() {
		t.Skip("needs Chromium")
	}
	info := inProcess(t).Info()
	b := chromium(t, info)
	for name, email := range map[string]string{"acme": member, "globex": "member@globex.example"} {
		address := info.Tenants[name].URL
		p := b.profile(desktopChrome, desk)
		p.authenticator()
		p.open(address)
		p.signIn(info, name, email)
		seesIdentity(p, name, email)
		p.open(address + "api/factor")
		p.see(`//h1[text()="Set up a second factor"]`)
		p.click(`//a[contains(., "A passkey")]`)
		p.see(`//h1[text()="Add a passkey"] | //input[@name="password"]`)
		if p.host() != name+".localhost" {
			p.signIn(info, name, email)
		}
		p.see(`//h1[text()="Add a passkey"]`)
		p.click(`//button[text()="Add it"]`)
		p.see(`//h1[text()="Your recovery codes"]`)
		p.click(`//a[contains(., "go on")]`)
		p.see(`//*[contains(text(), "X-Gatehouse-Tenant")]`)
		if at := script[string](p, "location.pathname"); at != "/api/factor" {
			t.Errorf("%s: it goes on at %s", name, at)
		}
	}
}

func passwordOf(info demo.Info, tenant, email string) string {
	for _, u := range info.Tenants[tenant].Users {
		if u.Email == email {
			return u.Password
		}
	}
	return ""
}

// A step of one tenant is nothing at the other.
func TestP3_FactorStepsStayInTheirTenant(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a gateway")
	}
	info := inProcess(t).Info()
	client, err := info.Client() // which has steps of both
	if err != nil {
		t.Fatal(err)
	}
	steps := map[string]string{}
	for name, tenant := range info.Tenants {
		askForFactors(t, info, name, "always")
		email := "member@" + name + ".example"
		asked, err := browse.SignIn(t.Context(), client, tenant.URL, email, passwordOf(info, name, email))
		if err != nil {
			t.Fatal(err)
		}
		_ = asked.Body.Close()
		if steps[name] = asked.Request.URL.Query().Get("step"); steps[name] == "" {
			t.Fatalf("no factor was asked for at %s", asked.Request.URL)
		}
		if resp, _ := get(t, client, tenant.URL+"api/whoami"); resp.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s lets in without the factor: %s", name, resp.Status)
		}
	}
	for of, step := range steps {
		for at, tenant := range info.Tenants {
			want := http.StatusForbidden
			if at == of {
				want = http.StatusOK
			}
			if resp, body := get(t, client, tenant.URL+".gatehouse/mfa?step="+step, "Accept", "text/html"); resp.StatusCode != want {
				t.Errorf("the step of %s at %s: %s\n%s", of, at, resp.Status, body)
			}
		}
	}
}
