package e2e

import (
	"bytes"
	"net/http"
	"testing"

	"gatehouse/directory/google/googletest"
)

// TestBrowserPrograms is an owner who gives a provider a token and an OAuth client, has
// changes sent to another system, and people fetched from Google Workspace.
func TestBrowserPrograms(t *testing.T) {
	a := newAdmin(t)
	at := a.info.Tenants["acme"].URL + consolePath

	a.call(http.MethodPost, "tokens", map[string]any{"name": "Okta", "scope": "scim", "connection": "oidc", "access": []string{"users:read", "users:write"}})
	a.open(at + "tokens")
	a.see(`//li[.//b[text()="Okta"]][contains(., "oidc")][contains(., "never")]`)
	a.click(`//button[@aria-label="Rotate Okta"]`)
	a.see(dialog + `//*[contains(text(), "until the overlap is over")]`)
	a.look("console-token-rotate", desk, narrow)
	a.become(desktopChrome, desk)
	a.press("Rotate")
	a.see(dialog + `//*[contains(text(), "Copy it now")]`)
	a.press("Done")
	a.gone(dialog)
	a.see(`(//li[.//b[text()="Okta"]])[2]`)
	a.call(http.MethodPost, "tokens", map[string]any{"name": "Entra", "scope": "scim", "kind": "client"})
	a.open(at + "tokens")
	a.see(`//li[.//b[text()="Entra"]][contains(., "SCIM client")]`)
	a.look("console-tokens", desk, narrow)
	a.become(desktopChrome, desk)

	a.open(at + "webhooks")
	a.see(`//*[text()="No webhooks"]`)
	a.click(`//button[normalize-space()="Add a webhook"]`)
	a.see(dialog + `//label[contains(., "Address")]`)
	a.look("console-webhook-add", desk, narrow)
	a.become(desktopChrome, desk)
	a.call(http.MethodPut, "webhooks/hr", map[string]any{"url": "https://hr.example/changes", "types": []string{"user.created", "user.deleted"}, "enabled": false})
	a.open(at + "webhooks")
	a.see(`//button[@aria-label="Turn on hr"]`)
	a.look("console-webhooks", desk, narrow)
	a.become(desktopChrome, desk)
	a.click(`//button[@aria-label="Change hr"]`)
	a.see(dialog + `//input[@value="https://hr.example/changes"]`)
	a.look("console-webhook-change", desk, narrow)
	a.become(desktopChrome, desk)

	a.open(at + "google")
	a.see(`//h2[text()="Set it up"]`)
	a.look("console-google-new", desk, narrow)
	a.become(desktopChrome, desk)
	account, leave := googletest.New() // for its key: nothing is read while it is paused
	t.Cleanup(leave)
	key := bytes.ReplaceAll(account.Key(), []byte(account.TokenURL), []byte("https://oauth2.googleapis.com/token"))
	a.call(http.MethodPut, "directory/google", map[string]any{"admin": "admin@acme.example", "key": string(key), "paused": true})
	a.open(at + "google")
	a.see(`//h2[text()="Settings"]`)
	a.see(`//*[contains(text(), "paused")]`)
	a.look("console-google", desk, narrow)
}
