package e2e

import (
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"
)

// TestBrowserLocalAccounts is how an owner invites a break-glass owner in the console,
// who sets up a password with an app, signs in and changes it, and loses the account
// again.
func TestBrowserLocalAccounts(t *testing.T) {
	if testing.Short() {
		t.Skip("needs Chromium, npm's axe-core and the built console")
	}
	info := inProcess(t).Info()
	acme := info.Tenants["acme"].URL
	b := chromium(t, info)
	his := b.profile(desktopChrome, desk)
	his.open(acme + consolePath)
	his.signIn(info, "acme", owner)
	his.click(`//nav//a[contains(., "Local accounts")]`)
	his.see(`//h1[text()="Local accounts"]`)
	his.see(`//*[text()="No local accounts"]`)
	his.click(`//button[contains(., "Invite somebody")]`)
	his.see(dialog + `//input[@type="email"]`)
	his.look("console-local-invite", desk, pocket)
	his.become(desktopChrome, desk)
	his.do("enter whom to invite", typeInto(`//input[@type="email"]`, "glass@acme.example"))
	his.click(dialog + `//button[normalize-space()="Make the link"]`)
	link := his.see(`//*[@data-testid="invitation"]`)
	if !strings.HasPrefix(link, acme+".gatehouse/local/invitation?token=") {
		t.Errorf("the link is %q", link)
	}
	his.look("console-local-link", desk, pocket)
	his.become(desktopChrome, desk)
	his.click(dialog + `//button[normalize-space()="Done"]`)
	his.gone(`//*[@data-testid="invitation"]`)
	if row := his.see(`//main//li[contains(., "glass@acme.example")]`); !strings.Contains(strings.ToLower(row), "invited") || !strings.Contains(row, "nothing yet") {
		t.Errorf("the row is %q", row)
	}
	his.look("console-local-accounts", desk, pocket)
	his.become(desktopChrome, desk)

	glass := b.profile(desktopChrome, desk)
	browserPassword(glass, acme, link)

	row := `//main//li[contains(., "glass@acme.example") and contains(., "a password and an authenticator app")]`
	his.see(row)
	his.click(row + `//button[normalize-space()="New link"]`)
	his.see(dialog + `//*[contains(text(), "replaces all that they sign in with")]`)
	his.look("console-local-again", desk)
	his.click(dialog + `//button[normalize-space()="Cancel"]`)
	his.gone(dialog)
	his.click(row + `//button[normalize-space()="Remove"]`)
	his.click(dialog + `//button[normalize-space()="Remove"]`)
	his.see(`//*[@role="status" and contains(., "The local account is gone.") and contains(., "Signed out 1 session")]`)
	his.see(`//*[text()="No local accounts"]`)
	glass.open(acme + ".gatehouse/local/password")
	glass.see(`//input[@name="username"]`) // of the organisation's own sign-in service

	hers := b.profile(desktopChrome, desk)
	hers.open(acme + consolePath)
	hers.signIn(info, "acme", member)
	hers.see(`//nav//a[contains(., "My devices")]`)
	hers.gone(`//nav//a[contains(., "Local accounts")]`)
}

// browserPassword sets up a password by a link, signs in by it, and changes it.
func browserPassword(p *tab, acme, link string) {
	p.t.Helper()
	const first, second = "several words of mine", "other words of mine"
	fill := func(what string, fields ...string) {
		p.t.Helper()
		for i := 0; i+1 < len(fields); i += 2 {
			p.do(what, typeInto(`//input[@name="`+fields[i]+`"]`, fields[i+1]))
		}
	}
	p.open(link)
	p.click(`//button[text()="Take a password and an app"]`)
	key := strings.TrimSpace(p.see(`//p/code`))
	code, err := totp.GenerateCode(key, time.Now())
	if err != nil {
		p.t.Fatal(err)
	}
	fill("choose a password", "password", first, "code", code)
	p.click(`//button[text()="Set up the account"]`)
	p.see(`//h1[text()="Your account is set up"]`)
	recovery := p.see(`//ul//code`)
	p.click(`//a[text()="Sign in"]`)
	p.see(`//h1[text()="Sign in with a local account"]`)
	fill("sign in", "address", "glass@acme.example", "password", first)
	p.click(`//button[text()="Go on"]`)
	p.see(`//h1[text()="Enter your code"]`)
	p.do("enter a recovery code", typeInto(`//input[@id="recovery"]`, recovery))
	p.click(`//button[text()="Use this code"]`)
	seesIdentity(p, "acme", "glass@acme.example")

	p.open(acme + ".gatehouse/mfa")
	p.click(`//a[text()="Change your password"]`)
	p.see(`//h1[text()="Change your password"]`)
	p.look("local-change", desk, pocket)
	fill("change it", "current", "not it, not it", "password", second)
	p.click(`//button[text()="Change it"]`)
	p.see(`//*[@role="alert" and contains(., "is not right. Nothing was changed")]`)
	p.look("local-change-wrong", desk)
	p.reads("de-AT")
	p.open(acme + ".gatehouse/local/password")
	p.see(`//html[@lang="de"]//h1[text()="Ihr Passwort ändern"]`)
	p.look("de-local-change", desk, pocket)
	fill("change it", "current", first, "password", second)
	p.click(`//button[text()="Ändern"]`)
	p.see(`//html[@lang="de"]//h1[text()="Ihr Passwort ist geändert"]`)
	p.look("de-local-changed", desk, pocket)
	p.open(acme)
	seesIdentity(p, "acme", "glass@acme.example")
}
