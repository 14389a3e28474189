package e2e

import (
	"net/http"
	"slices"
	"testing"
)

// TestBrowserOIDCKeys is an admin who looks at the keys by which an OpenID provider knows
// us, begins a roll-over, takes the next key back, and has another one sign at once.
func TestBrowserOIDCKeys(t *testing.T) {
	a := newAdmin(t)
	a.call(http.MethodPut, "connections/corp-oidc", map[string]any{"type": "oidc", "issuer": "https://idp.example", "client_id": "gate", "client_auth": "private_key_jwt"})
	states := func() (all []string) {
		t.Helper()
		for _, key := range decode[struct{ Keys []struct{ State string } }](t, a.call(http.MethodGet, "connections/corp-oidc/oidc", nil)).Keys {
			all = append(all, key.State)
		}
		return all
	}
	const keys = dialog + `//ul[@aria-label="Our keys"]`
	badge := func(word string) string { return keys + `//*[text()="` + word + `"]` }
	const prepare = dialog + `//button[.//text()="Prepare the next key"]`
	sure := func(question, word string) {
		t.Helper()
		a.click(`(` + dialog + `[.//*[text()="` + question + `"]]//button[.//text()="` + word + `"])[last()]`)
		a.gone(`(` + dialog + `)[2]`) // also while it goes away
	}
	a.open(a.page)
	a.click(`//button[@aria-label="Keys of corp-oidc"]`)
	a.see(badge("Signs"))
	a.see(keys + `//*[contains(text(), "BEGIN PUBLIC KEY")]`)
	a.look("console-oidc-keys", desk, pocket)
	a.become(desktopChrome, desk)

	a.click(prepare)
	a.see(badge("Next"))
	a.gone(prepare)
	a.look("console-oidc-keys-next", desk, pocket)
	a.become(desktopChrome, desk)
	a.click(keys + `//button[.//text()="Take it back"]`)
	sure("Take the next key back?", "Take it back")
	a.see(dialog + `//*[text()="The next key is gone. The one that signs goes on."]`)
	a.gone(badge("Next"))
	if got := states(); !slices.Equal(got, []string{"signing"}) {
		t.Errorf("taken back: %q", got)
	}

	a.click(prepare)
	a.see(badge("Next"))
	a.click(keys + `//button[.//text()="Sign with it now"]`)
	sure("Sign with the next key now?", "Sign with it now")
	a.see(dialog + `//*[text()="The new key signs."]`)
	a.see(badge("Retired"))
	a.look("console-oidc-keys-finished", desk, pocket)
	if got := states(); !slices.Equal(got, []string{"signing", "retired"}) {
		t.Errorf("finished: %q", got)
	}
}
