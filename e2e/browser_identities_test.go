package e2e

import (
	"encoding/json"
	"net/http"
	"testing"
)

// TestBrowserIdentities is how an owner unlinks a person's sign-in in the console, which
// ends what it had begun, and links it to them again by the record of its refusal.
func TestBrowserIdentities(t *testing.T) {
	if testing.Short() {
		t.Skip("needs Chromium, npm's axe-core and the built console")
	}
	info := inProcess(t).Info()
	client, err := info.Client()
	if err != nil {
		t.Fatal(err)
	}
	acme := info.Tenants["acme"].URL
	resp, body := do(t, client, request(t, http.MethodGet, acme+apiPath+"users?search="+member, "", "Authorization", "Bearer "+info.Tenants["acme"].APIToken))
	var people struct {
		Items []struct {
			ID string `json:"id"`
		} `json:"items"`
	}
	if err := json.Unmarshal(body, &people); err != nil || len(people.Items) != 1 {
		t.Fatalf("%s: %s", resp.Status, body)
	}

	b := chromium(t, info)
	hers := b.profile(desktopChrome, desk)
	hers.open(acme)
	hers.signIn(info, "acme", member)
	seesIdentity(hers, "acme", member)

	his := b.profile(desktopChrome, desk)
	his.open(acme + consolePath + "users/" + people.Items[0].ID)
	his.signIn(info, "acme", owner)
	const theirs = `//ul[@aria-label="What this person signs in by"]//li[.//b[text()="oidc"]]`
	his.see(theirs)
	his.look("console-identities", desk, pocket)
	his.become(desktopChrome, desk)
	his.click(theirs + `//button[normalize-space()="Unlink"]`)
	his.see(dialog + `//*[contains(text(), "It is the only one")]`)
	his.look("console-unlink", desk)
	his.click(dialog + `//button[normalize-space()="Unlink"]`)
	his.see(`//*[@role="status" and contains(., "The sign-in is unlinked. Signed out 1 session")]`)
	his.see(`//*[text()="No identity provider"]`)

	hers.open(acme)
	hers.signIn(info, "acme", member)
	hers.see(`//h1[text()="You are not signed in"]`)
	hers.see(`//*[contains(text(), "Ask your admin to link this sign-in to that person")]`)

	his.click(`//button[normalize-space()="Link a sign-in"]`)
	const refused = dialog + `//ul[@aria-label="Sign-ins refused of late"]//li[.//b[text()="` + member + `"]]`
	his.click(refused + `//button[normalize-space()="Take this"]`)
	his.see(refused + `//button[@aria-pressed="true"]`)
	his.look("console-link", desk, pocket)
	his.become(desktopChrome, desk)
	his.click(dialog + `//button[normalize-space()="Link"]`)
	his.gone(dialog)
	his.see(theirs + `[contains(., "never used")]`)

	hers.open(acme)
	hers.signIn(info, "acme", member)
	seesIdentity(hers, "acme", member)
}
