package e2e

import (
	"net/http"
	"strings"
	"testing"
)

// TestBrowserDeletedUsers is an owner who looks up who somebody was that a provider has
// deleted, and erases the record of them by the keyboard alone.
func TestBrowserDeletedUsers(t *testing.T) {
	a := newAdmin(t)
	acme := a.info.Tenants["acme"]
	client, err := a.info.Client()
	if err != nil {
		t.Fatal(err)
	}
	scim := func(method, path, body string, want int) []byte {
		t.Helper()
		resp, text := do(t, client, request(t, method, acme.SCIM+path, body, "Authorization", "Bearer "+acme.SCIMToken, "Content-Type", "application/scim+json"))
		if resp.StatusCode != want {
			t.Fatalf("%s %s: %d %s", method, path, resp.StatusCode, text)
		}
		return text
	}
	leave := func(userName, name string) (id string) {
		t.Helper()
		id = decode[struct {
			ID string `json:"id"`
		}](t, scim(http.MethodPost, "/Users", `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"`+userName+`","displayName":"`+name+`"}`, http.StatusCreated)).ID
		scim(http.MethodDelete, "/Users/"+id, "", http.StatusNoContent)
		return id
	}
	unkept := leave("before@acme.example", "Before Anything")
	a.open(acme.URL + consolePath + "users")
	a.goBy(`//main//a[normalize-space()="Deleted users"]`)
	a.see(`//h1[text()="Deleted users"]`)
	a.see(`//*[text()="No records"]`)
	a.look("console-former-none", desk, narrow)
	a.become(desktopChrome, desk)

	a.call(http.MethodPut, "settings", map[string]any{"display_name": "Acme", "scim": map[string]any{"retain": "720h"}})
	ann := leave("ann@acme.example", "Ann Bee")
	leave("averyverylongusernameindeedthathasnoblankandnodotinitatall@acme.example", "Bob whose name is very long and has averyverylongwordinitwithoutanyblank")
	a.open(acme.URL + consolePath + "users/former")
	row := func(userName string) string { return `//*[@data-testid="former-` + userName + `"]` }
	a.see(row("ann@acme.example") + `[contains(., "Ann Bee")][contains(., "` + ann + `")][contains(., "Deleted")][contains(., "Kept until")]`)
	a.see(`//ul[@aria-label="Deleted people"]/li[2]`)
	a.gone(`//main//*[contains(., "` + unkept + `")]`)
	a.look("console-former", desk, narrow)
	a.become(desktopChrome, desk)

	search := `//input[@aria-label="Search deleted people"]`
	a.do("search", typeInto(search, "nobody of this name"))
	a.see(`//*[text()="Nobody matches"]`)
	a.open(acme.URL + consolePath + "users/former")
	a.do("search", typeInto(search, "ANN B"))
	a.gone(`//ul[@aria-label="Deleted people"]/li[2]`)
	erase := row("ann@acme.example") + `//button[@aria-label="Erase the record of Ann Bee"]`
	a.goBy(erase)
	a.see(dialog + `//*[contains(text(), "Nobody can tell from the directory any more who this was")]`)
	script[bool](a.tab, atRest)
	a.look("console-former-erase", desk, narrow)
	a.become(desktopChrome, desk)
	a.press("Cancel")
	a.gone(dialog)
	a.goBy(erase)
	a.see(dialog)
	script[bool](a.tab, atRest)
	a.press("Erase")
	a.see(`//*[@role="status" and contains(., "The record is removed for good")]`)
	a.gone(row("ann@acme.example"))

	left := decode[struct {
		Items []struct{ ID, Name string }
	}](t, a.call(http.MethodGet, "former-users", nil)).Items
	if len(left) != 1 || !strings.HasPrefix(left[0].Name, "Bob") {
		t.Errorf("left are %+v", left)
	}
	if events := decode[struct {
		Items []struct{ Target struct{ ID string } }
	}](t, a.call(http.MethodGet, "audit/events?type=user.erased", nil)).Items; len(events) != 1 || events[0].Target.ID != ann {
		t.Errorf("recorded %+v", events)
	}
}
