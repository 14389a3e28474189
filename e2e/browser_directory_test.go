package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// TestBrowserPeopleAndGroups is an owner who looks at what SCIM has brought, makes a group
// of their own, puts people and a group into it, and takes all of it out again.
func TestBrowserPeopleAndGroups(t *testing.T) {
	a := newAdmin(t)
	acme := a.info.Tenants["acme"]
	client, err := a.info.Client()
	if err != nil {
		t.Fatal(err)
	}
	scim := func(path, body string) string {
		t.Helper()
		resp, text := do(t, client, request(t, http.MethodPost, acme.SCIM+path, body, "Authorization", "Bearer "+acme.SCIMToken, "Content-Type", "application/scim+json"))
		if resp.StatusCode != http.StatusCreated {
			t.Fatalf("%d %s", resp.StatusCode, text)
		}
		return decode[struct {
			ID string `json:"id"`
		}](t, text).ID
	}
	ada := scim("/Users", `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User","urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"],"userName":"ada@acme.example",
		"externalId":"00u1","name":{"givenName":"Ada","familyName":"King","formatted":"Ada King"},"title":"Analyst","emails":[{"value":"ada@acme.example","type":"work","primary":true}],
		"phoneNumbers":[{"value":"tel:+44-20-7946-0123","type":"work"}],
		"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":{"department":"Engines","employeeNumber":"1815"}}`)
	members := fmt.Sprintf(`{"value":%q}`, ada)
	for i := range 60 {
		members += fmt.Sprintf(`,{"value":%q}`, scim("/Users", fmt.Sprintf(`{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"crowd-%02d@acme.example"}`, i)))
	}
	const schema = `"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group"]`
	engines := scim("/Groups", `{`+schema+`,"displayName":"Engines","members":[`+members+`]}`)
	scim("/Groups", `{`+schema+`,"displayName":"A department with a name that is very long and has a word of averyverylongkindindeedwithoutanyblank","members":[{"value":"`+engines+`"}]}`)
	a.call(http.MethodPost, "assignments", map[string]any{"role": "viewer", "group": "Engines"})

	a.madeByKeyboard(acme.URL)
	a.changesMembers()
	a.peopleOfGroups(acme.URL, ada)
	a.makesAPerson(acme.URL)
	a.deletesTheGroup()
}

// button is one outside of dialogs.
func button(word string) string { return `//main//button[normalize-space()="` + word + `"]` }

// goBy presses a button or follows a link by the keyboard, wherever the page has moved it.
func (a *admin) goBy(path string) {
	a.t.Helper()
	a.see(path)
	quoted, _ := json.Marshal(path)
	a.focus(path, `document.evaluate(`+string(quoted)+`, document, null, XPathResult.FIRST_ORDERED_NODE_TYPE, null).singleNodeValue`)
	a.do("press "+path, pressEnter)
}

// madeByKeyboard makes a group by the keyboard.
func (a *admin) madeByKeyboard(at string) {
	a.t.Helper()
	a.open(at + consolePath + "groups")
	a.see(`//nav//a[contains(., "Groups") and @aria-current="page"]`)
	a.see(`//*[@data-testid="group-Engines"][contains(., "61 people")][contains(., "SCIM")][contains(., "viewer")]`)
	a.look("console-groups", desk, narrow)
	a.become(desktopChrome, desk)
	a.do("search", typeInto(`//input[@aria-label="Search groups"]`, "nothing of this name"))
	a.see(`//*[text()="Nothing matches"]`)
	a.goBy(button("Make a group"))
	a.see(dialog + `//input`)
	script[bool](a.tab, atRest)
	a.keys("name the group", "Authors")
	a.look("console-group-make", desk)
	a.become(desktopChrome, desk)
	a.press("Make the group")
	a.see(`//h1[text()="Authors"]`)
	a.see(`//*[text()="No people in it"]`)
}

// changesMembers puts people and a group into the group, and takes one of them out.
func (a *admin) changesMembers() {
	a.t.Helper()
	pick := func(kind, typed, option string) {
		a.t.Helper()
		a.do("search", typeInto(dialog+`//label[text()="`+kind+`"]/following::input[1]`, typed))
		a.click(`//*[@role="option"][contains(., "` + option + `")]`)
		a.see(dialog + `//*[contains(@class, "Pill")][contains(., "` + option + `")]`)
		a.do("close the list", chromedp.KeyEvent(kb.Tab))
	}
	a.goBy(button("Add members"))
	a.see(dialog)
	script[bool](a.tab, atRest)
	pick("People", "max m", "Max Member")
	pick("People", "crowd-07", "crowd-07")
	pick("Groups", "engi", "Engines")
	a.gone(`//*[@role="option"]`)
	a.look("console-group-add", desk, narrow)
	a.become(desktopChrome, desk)
	a.press("Add 3")
	a.gone(dialog)
	a.see(`//h1/following::*[contains(text(), "2 people, 1 group")]`)
	a.see(`//*[@data-testid="member-` + member + `"]`)
	a.look("console-group", desk, narrow)
	a.become(desktopChrome, desk)
	a.goBy(`//*[@data-testid="member-crowd-07@acme.example"]//button`)
	a.see(dialog + `//*[contains(text(), "loses no role by it")]`)
	script[bool](a.tab, atRest)
	a.press("Take out")
	a.see(`//*[@role="status" and contains(., "Taken out of the group")]`)
	a.gone(dialog)
	a.gone(`//*[@data-testid="member-crowd-07@acme.example"]`)
	a.click(`//main//label[normalize-space()="Groups (1)"]`)
	a.see(`//*[@data-testid="member-Engines"]`)
}

// peopleOfGroups goes from the group to a large one that SCIM keeps, and to a person in it.
func (a *admin) peopleOfGroups(at, ada string) {
	a.t.Helper()
	a.goBy(`//*[@data-testid="member-Engines"]//a`)
	a.see(`//h1[text()="Engines"]`)
	a.see(`//main//*[contains(text(), "keeps this group over SCIM")]`)
	a.gone(button("Add members"))
	a.gone(button("Rename"))
	a.see(`//*[@data-testid="in-Authors"]`)
	a.see(`//*[@data-testid="role-viewer"]`)
	if n := script[int](a.tab, `document.querySelectorAll('ul[aria-label="People in it"] > li').length`); n != 50 {
		a.t.Errorf("%d people are shown at first", n)
	}
	a.look("console-group-scim", desk, narrow)
	a.become(desktopChrome, desk)
	a.goBy(button("Show more"))
	a.see(`//ul[@aria-label="People in it"]/li[61]`)
	a.do("search", typeInto(`//input[@aria-label="Search members"]`, "ADA"))
	a.gone(`//ul[@aria-label="People in it"]/li[2]`)
	a.goBy(`//*[@data-testid="member-ada@acme.example"]//a`)
	a.see(`//h1[text()="Ada King"]`)
	a.see(`//*[@data-testid="attributes-core"][contains(., "tel:+44-20-7946-0123 (work)")][contains(., "Analyst")]`)
	a.see(`//*[@data-testid="attributes-Enterprise"][contains(., "Engines")][contains(., "1815")]`)
	a.see(`//*[@data-testid="in-Authors"][contains(., "through Engines")]`)
	a.see(`//*[@data-testid="role-viewer, by Engines"]`)
	a.see(`//ul[@aria-label="Recent events, newest first"]/li`)
	a.look("console-person-scim", desk, narrow)
	a.become(desktopChrome, desk)
	a.open(at + consolePath + "users")
	a.see(`//h1[text()="Users"]`)
	a.do("choose a group", typeInto(`//input[@aria-label="In the group"]`, "Auth"))
	a.click(`//*[@role="option"][normalize-space()="Authors"]`)
	a.see(`//*[@data-testid="user-ada@acme.example"]`) // through Engines
	a.gone(`//*[@data-testid="user-` + owner + `"]`)
	a.look("console-users-group", desk, narrow)
	a.become(desktopChrome, desk)
}

// makesAPerson makes somebody, changes them, and says what ends with somebody else.
func (a *admin) makesAPerson(at string) {
	a.t.Helper()
	a.open(at + consolePath + "users")
	a.goBy(button("Make a person"))
	a.see(dialog + `//input`)
	script[bool](a.tab, atRest)
	a.keys("their user name", owner) // which is somebody's
	a.press("Make the person")
	a.see(dialog + `//*[@role="alert"][contains(., "is the user name or an address of another person")]`)
	a.look("console-person-make", desk, narrow)
	a.become(desktopChrome, desk)
	a.do("another", typeInto(dialog+`//label[contains(., "User name")]/following::input[1]`, "2"))
	a.press("Make the person")
	a.gone(dialog)
	a.see(`//h1[text()="` + owner + `2"]`)
	a.see(`//main//*[text()="Admins"]`)
	a.goBy(button("Change"))
	a.see(dialog + `//input`)
	script[bool](a.tab, atRest)
	a.do("name", typeInto(dialog+`//label[normalize-space()="Name"]/following::input[1]`, "Olga Second"))
	a.press("Save")
	a.gone(dialog)
	a.see(`//h1[text()="Olga Second"]`)
	a.goBy(button("Delete"))
	a.see(dialog + `//*[contains(text(), "They are not signed in now.")]`)
	script[bool](a.tab, atRest)
	a.look("console-person-delete", narrow)
	a.become(desktopChrome, desk)
	a.press("Delete")
	a.see(`//h1[text()="Users"]`)

	company(a.t, a.info) // which signs the viewer in twice
	a.goBy(`//*[@data-testid="user-` + viewer + `"]//a`)
	a.see(`//ul[@aria-label="Live sessions of this person"]/li[2]`)
	a.goBy(button("Deactivate"))
	a.see(dialog + `//*[contains(text(), "2 sessions on 2 devices end at once.")]`)
	script[bool](a.tab, atRest)
	a.press("Deactivate")
	a.see(`//*[@role="status" and contains(., "is deactivated: signed out everywhere")]`)
	a.see(`//*[text()="Not signed in"]`)
}

// deletesTheGroup deletes the group.
func (a *admin) deletesTheGroup() {
	a.t.Helper()
	a.goBy(`//nav//a[contains(., "Groups")]`)
	a.goBy(`//*[@data-testid="group-Authors"]//a`)
	a.see(`//h1[text()="Authors"]`)
	a.goBy(button("Delete"))
	a.see(dialog + `//*[contains(text(), "1 person, 1 group")]`)
	script[bool](a.tab, atRest)
	a.press("Delete")
	a.see(`//h1[text()="Groups"]`)
	a.gone(`//*[@data-testid="group-Authors"]`)
}
