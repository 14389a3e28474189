package e2e

import (
	"strings"

	"github.com/chromedp/chromedp"

	"gatehouse/demo"
)

// browserConnect is an admin who connects a provider by the console, tries a
// connection, and leads a domain to it.
func browserConnect(his *tab, info demo.Info) {
	his.t.Helper()
	acme := info.Tenants["acme"].URL
	field := func(label, text string) {
		his.t.Helper()
		his.do("fill in "+label, typeInto(`//label[starts-with(normalize-space(.), "`+label+`")]/following::input[1]`, text))
	}
	his.open(acme + consolePath + "connections")
	his.click(`//button[normalize-space()="Connect a provider"]`)
	his.click(dialog + `//input[@aria-haspopup="listbox"]`)
	his.click(`//*[@role="option" and normalize-space()="Okta"]`)
	his.see(dialog + `//*[contains(text(), "/.gatehouse/oidc/okta/callback")]`)
	field("Issuer", "https://acme.okta.example")
	field("Client id", "0oa1")
	his.look("console-connect", desk, pocket)
	his.become(desktopChrome, desk)
	his.click(dialog + `//button[normalize-space()="Save"]`)
	his.gone(dialog)
	his.see(`//li[.//b[text()="okta"]]`)
	his.click(`//button[@aria-label="Delete okta"]`)
	his.click(dialog + `//button[normalize-space()="Delete"]`)
	his.gone(dialog)
	his.gone(`//li[.//b[text()="okta"]]`)

	// The test comes in a window of its own, at an address that is good once.
	script[any](his, `window.open = (at) => { window.opened = at }; null`)
	his.click(`//button[@aria-label="Test oidc"]`)
	at := script[string](his, `new Promise(done => { const look = () => window.opened ? done(window.opened) : setTimeout(look, 20); look() })`)
	other := his.tab(desktopChrome, desk)
	other.open(strings.TrimSuffix(acme, "/") + at)
	other.signIn(info, "acme", owner)
	other.see(`//h1[text()="The connection oidc works"]`)
	other.see(`//dd[contains(text(), "` + owner + `")]`)
	other.look("test-connection", desk, pocket)

	his.click(`//button[normalize-space()="Add a domain"]`)
	his.do("name the domain", typeInto(dialog+`//input[@placeholder="example.com"]`, "acme.example"))
	his.look("console-domain", desk)
	his.click(dialog + `//button[normalize-space()="Add the domain"]`)
	his.see(`//li[.//b[text()="acme.example"]]//code[starts-with(text(), "gatehouse-domain=")]`)
	his.look("console-domains", desk, pocket)
	his.become(desktopChrome, desk)
	browserSetup(his, info)
}

// browserSetup is somebody without an account who was sent a link.
func browserSetup(his *tab, info demo.Info) {
	his.t.Helper()
	his.click(`//button[normalize-space()="Send a link"]`)
	his.see(dialog)
	his.do("name the connection", typeInto(dialog+`//input[@data-autofocus]`, "corp"))
	his.look("console-setup-link", desk)
	his.become(desktopChrome, desk)
	his.click(dialog + `//button[normalize-space()="Make the link"]`)
	link := his.see(dialog + `//pre`)
	his.click(dialog + `//button[normalize-space()="Done"]`)
	his.see(`//section[@aria-labelledby="links"]//b[text()="corp"]`)

	theirs := browser{his.t, his.ctx}.profile(desktopChrome, desk)
	theirs.open(link)
	theirs.look("setup-begin", desk)
	theirs.click(`//button[text()="Begin"]`)
	theirs.see(`//a[text()="AD FS"]`)
	theirs.look("setup-providers", desk, pocket)
	theirs.become(desktopChrome, desk)
	theirs.click(`//a[text()="AD FS"]`)
	theirs.see(`//dd[contains(text(), "/.gatehouse/saml/corp/acs")]`)
	theirs.look("setup-saml", desk, pocket)
	theirs.open(strings.TrimSuffix(info.Tenants["acme"].URL, "/") + "/.gatehouse/setup?provider=okta")
	theirs.do("enter what the provider gives", typeInto(`//input[@name="issuer"]`, "https://acme.okta.example"),
		typeInto(`//input[@name="client_id"]`, "0oa1"), chromedp.Click(`//button[text()="Keep"]`))
	theirs.see(`//button[text()="Try the connection"]`)
	theirs.look("setup-oidc", desk, pocket)
}
