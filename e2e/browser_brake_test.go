package e2e

import (
	"fmt"
	"net/http"
	"testing"
)

// atRest waits until the dialog has come to where it stays, so that a click hits it.
const atRest = `new Promise((done) => {
	const look = () => {
		const dialog = document.querySelector('[role="dialog"]');
		if (dialog && getComputedStyle(dialog).opacity === '1' && dialog.getAnimations().length === 0) done(true);
		else requestAnimationFrame(look);
	};
	look();
})`

// TestBrowserBrake is an owner who finds in the console that a provider was about to take
// out too many people, keeps them at first, and then lets them go.
func TestBrowserBrake(t *testing.T) {
	a := newAdmin(t)
	acme := a.info.Tenants["acme"]
	client, err := a.info.Client()
	if err != nil {
		t.Fatal(err)
	}
	a.call(http.MethodPut, "settings", map[string]any{"display_name": "Acme", "scim": map[string]any{"brake": map[string]any{"share": 1, "least": 2}}})
	scim := func(method, path, body string) (int, []byte) {
		t.Helper()
		resp, text := do(t, client, request(t, method, acme.SCIM+path, body, "Authorization", "Bearer "+acme.SCIMToken, "Content-Type", "application/scim+json"))
		return resp.StatusCode, text
	}
	var people [5]string
	for i := range people {
		status, text := scim(http.MethodPost, "/Users", fmt.Sprintf(`{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"leaver-%d@acme.example"}`, i))
		if status != http.StatusCreated {
			t.Fatalf("%d %s", status, text)
		}
		people[i] = decode[struct {
			ID string `json:"id"`
		}](t, text).ID
	}
	takeOut := func(person, want int) {
		t.Helper()
		if status, text := scim(http.MethodDelete, "/Users/"+people[person], ""); status != want {
			t.Fatalf("%d, want %d: %s", status, want, text)
		}
	}
	users := acme.URL + consolePath + "users"
	a.open(users)
	a.see(`//h1[text()="Users"]`)
	a.gone(`//*[@data-testid="brake"]`)
	takeOut(0, http.StatusNoContent)
	takeOut(1, http.StatusNoContent)
	takeOut(2, http.StatusTooManyRequests)

	const notice = `//*[@data-testid="brake"]`
	a.see(notice + `[contains(., "SCIM is about to take out too many people")][contains(., "2 of ")]`)
	a.look("console-brake", desk, pocket)
	a.become(desktopChrome, desk)
	sure := func(word string) {
		t.Helper()
		a.click(notice + `//button[normalize-space()="` + word + `"]`)
		a.see(dialog)
		script[bool](a.tab, atRest)
		a.click(dialog + `//button[normalize-space()="` + word + `"]`)
		a.gone(dialog)
	}
	sure("Keep them")
	a.see(`//*[@role="status" and contains(., "SCIM deactivates and deletes nobody")]`)
	a.see(notice + `[contains(., "SCIM takes nobody out")][contains(., "` + owner + `")]`)
	takeOut(2, http.StatusForbidden)
	a.look("console-brake-rejected", desk)
	sure("Let them go")
	a.see(notice + `[contains(., "SCIM may take out any number of people")]`)
	takeOut(2, http.StatusNoContent)
	takeOut(3, http.StatusNoContent)
	a.look("console-brake-released", desk)
	sure("Count anew")
	a.gone(notice)
	takeOut(4, http.StatusNoContent)

	a.open(acme.URL + consolePath + "settings")
	a.see(`//input[@value="1 %"]`)
	a.look("console-brake-settings", desk, pocket)
}
