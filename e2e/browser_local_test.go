package e2e

import (
	"net/http"
	"strings"
	"testing"
)

// TestBrowserLocalAccount is how an operator who was invited by a link sets up a
// passkey in a real browser, and comes to the console with it; and how a break-glass
// owner does so beside the organisation's own sign-in.
func TestBrowserLocalAccount(t *testing.T) {
	if testing.Short() {
		t.Skip("needs Chromium, npm's axe-core and the built console")
	}
	info := inProcess(t).Info()
	client, err := info.Client()
	if err != nil {
		t.Fatal(err)
	}
	b := chromium(t, info)
	invite := func(at, token, email string) string {
		t.Helper()
		resp, body := do(t, client, request(t, http.MethodPost, at+apiPath+"local-accounts", `{"email":"`+email+`"}`, "Authorization", "Bearer "+token))
		_, path, found := strings.Cut(string(body), `"path":"/`)
		path, _, _ = strings.Cut(path, `"`)
		if resp.StatusCode != http.StatusCreated || !found {
			t.Fatalf("invite: %s: %s", resp.Status, body)
		}
		return at + path
	}

	p := b.profile(desktopChrome, desk)
	p.authenticator()
	p.open(invite(info.Operator.URL, info.Operator.Token, "ada@example.com"))
	p.see(`//h1[text()="Set up your account"]`)
	p.look("local-invited", desk, pocket)
	p.click(`//button[text()="Take a passkey"]`)
	p.see(`//h1[text()="Add a passkey"]`)
	p.look("local-passkey", desk, pocket)
	p.click(`//button[text()="Add it"]`)
	p.see(`//h1[text()="Your account is set up"]`)
	p.look("local-done", desk, pocket)
	p.open(info.Operator.URL) // which has no other way in
	p.see(`//h1[text()="Sign in with a local account"]`)
	p.look("local-signin", desk, pocket)
	p.click(`//button[text()="Use a passkey"]`)
	p.see(`//h1[text()="Tenants"]`)

	acme := info.Tenants["acme"]
	p = b.profile(desktopChrome, desk)
	p.authenticator()
	p.open(invite(acme.URL, acme.APIToken, "glass@acme.example"))
	p.click(`//button[text()="Take a password and an app"]`)
	p.see(`//h1[text()="Choose a password"]`)
	p.look("local-password", desk, pocket)
	p.open(invite(acme.URL, acme.APIToken, "glass@acme.example"))
	p.click(`//button[text()="Take a passkey"]`)
	p.click(`//button[text()="Add it"]`)
	p.click(`//a[text()="Sign in"]`)
	p.click(`//button[text()="Use a passkey"]`)
	seesIdentity(p, "acme", "glass@acme.example")
	// Everybody else goes where they went before.
	other := b.profile(desktopChrome, desk)
	other.open(acme.URL)
	other.see(`//input[@name="password"]`)
	if other.host() == p.host() {
		t.Error("a member is asked for a local account")
	}
}
