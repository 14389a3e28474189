package e2e

import (
	"net/http"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// TestBrowserProvisioning is an owner whose provider says "failed", who finds out in the
// console what it has sent, and tries it again without anything being done.
func TestBrowserProvisioning(t *testing.T) {
	a := newAdmin(t)
	acme := a.info.Tenants["acme"]
	client, err := a.info.Client()
	if err != nil {
		t.Fatal(err)
	}
	send := func(method, path, body string, want int) []byte {
		t.Helper()
		resp, text := do(t, client, request(t, method, acme.SCIM+path, body, "Authorization", "Bearer "+acme.SCIMToken, "Content-Type", "application/scim+json"))
		if resp.StatusCode != want {
			t.Fatalf("%d, want %d: %s", resp.StatusCode, want, text)
		}
		return text
	}
	const person = `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"ada@acme.example","password":"hunter2hunter2","name":{"givenName":"Ada","familyName":"Lovelace"}}`
	id := decode[struct {
		ID string `json:"id"`
	}](t, send(http.MethodPost, "/Users", person, http.StatusCreated)).ID
	send(http.MethodPatch, "/Users/"+id, `{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[{"op":"Replace","value":{"name.givenName":"Augusta Ada"}}]}`, http.StatusOK)
	send(http.MethodPost, "/Users", `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"ada@acme.example",}`, http.StatusBadRequest)
	send(http.MethodPost, "/Users", person, http.StatusConflict)

	group := decode[struct {
		ID string `json:"id"`
	}](t, send(http.MethodPost, "/Groups", `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group"],"displayName":"Analysts","members":[{"value":"`+id+`"}]}`, http.StatusCreated)).ID

	page := acme.URL + consolePath + "provisioning"
	a.open(page)
	a.see(`//h1[text()="Provisioning"]`)
	refused, changed := `//*[@data-testid="request-409"]//button`, `//*[@data-testid="request-200"]//button[contains(., "ada@acme.example")]`
	a.see(refused + `[contains(., "uniqueness")]`)
	a.look("console-provisioning", desk, pocket)
	a.become(desktopChrome, desk)

	only := func(word string) {
		t.Helper()
		a.see(`//label[normalize-space()="` + word + `"]`)
		script[bool](a.tab, `(() => { [...document.querySelectorAll('[role="radiogroup"] label')].find(l => l.textContent === "`+word+`").click(); return true })()`)
	}
	// Only what failed; of that, by the keyboard, what was not understood.
	only("Failed")
	a.gone(changed)
	a.see(`//*[@data-testid="request-400"]//button`)
	a.focus("the request", `document.querySelector('[data-testid="request-400"] button')`)
	a.do("open it", pressEnter)
	a.see(dialog + `//*[contains(text(), "invalidSyntax")]`)
	a.see(dialog + `//*[contains(text(), '"userName":"ada@acme.example",}')]`)
	a.look("console-provisioning-refused", desk, pocket)
	a.become(desktopChrome, desk)

	a.narrow(page)
	a.follow("users/"+id, "What was sent about them over SCIM", "ada@acme.example")
	a.follow("groups/"+group, "What was sent about it over SCIM", "Analysts")

	a.open(page)
	only("Changes")
	a.gone(refused)
	a.click(changed)
	a.see(dialog + `//*[@data-testid="changes"]//*[contains(text(), "name.givenName")]`)
	a.see(dialog + `//*[contains(text(), 'replace name.givenName = "Augusta Ada"')]`)
	a.look("console-provisioning-changed", desk, pocket)
	a.become(desktopChrome, desk)

	// It is refused for a name that is taken, and would be once more.
	a.open(page)
	a.see(refused)
	a.click(refused)
	a.see(dialog + `//*[contains(text(), '"password": "[left out]"')]`)
	a.press("Try again as dry run")
	a.see(`//*[@data-testid="foreseen"][contains(., "uniqueness")][contains(., "nothing of it was done")]`)
	a.look("console-provisioning-again", desk, pocket)
	a.do("close it", chromedp.KeyEvent("\u001b"))
	a.gone(dialog)
	send(http.MethodDelete, "/Users/"+id, "", http.StatusNoContent)
	a.open(page)
	a.see(refused)
	a.click(refused)
	a.press("Try again as dry run")
	a.see(`//*[@data-testid="foreseen"][contains(., "Person ada@acme.example created")]`)
}

// narrow looks by the keyboard for what came by a token, with an error, and when.
func (a *admin) narrow(page string) {
	a.t.Helper()
	refused, broken := `//*[@data-testid="request-409"]`, `//*[@data-testid="request-400"]`
	field := func(label string) string {
		return `[...document.querySelectorAll("#more-filters label")].find(l => l.textContent === "` + label + `")?.control`
	}
	fill := func(label, value string) {
		a.t.Helper()
		a.focus(label, field(label))
		script[bool](a.tab, `(() => { const at = `+field(label)+`; Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, "value").set.call(at, "`+value+`");
			at.dispatchEvent(new Event("input", { bubbles: true })); return true })()`)
	}
	a.open(page)
	a.see(broken)
	a.focus("more filters", `[...document.querySelectorAll("button")].find(b => b.textContent === "More filters")`)
	a.do("open them", pressEnter)
	a.focus("the error", field("Error"))
	a.keys("choose one", kb.ArrowDown+kb.Enter)
	a.gone(broken)
	a.see(refused)
	a.look("console-provisioning-narrowed", desk, pocket, narrow)
	a.become(desktopChrome, desk)
	fill("Token", "nobody's")
	a.gone(refused)
	fill("Token", "")
	a.see(refused)
	fill("From", "2099-01-02T03:04")
	a.gone(refused)
	fill("From", "2020-01-02T03:04")
	a.see(refused)
	fill("Before", "2020-01-02T03:05")
	a.gone(refused)
	fill("Before", "")
	a.see(refused)
	// The address has it, for whoever it is passed on to.
	a.open(script[string](a.tab, "location.href"))
	a.see(refused)
	a.gone(broken)
}

// follow goes from a page to what was sent about whom it shows.
func (a *admin) follow(path, link, name string) {
	a.t.Helper()
	a.open(a.info.Tenants["acme"].URL + consolePath + path)
	a.see(`//a[text()="` + link + `"]`)
	a.focus(link, `[...document.querySelectorAll("a")].find(l => l.textContent === "`+link+`")`)
	a.do("follow it", pressEnter)
	a.see(`//h1[text()="Provisioning"]`)
	a.see(`//*[@data-testid="request-201"]//button[contains(., "` + name + `")]`)
	a.gone(`//*[@data-testid="request-400"]`)
}
