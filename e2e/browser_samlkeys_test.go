package e2e

import (
	"net/http"
	"slices"
	"testing"
	"time"

	"gatehouse/authn/saml/attacktest"
)

// TestBrowserSAMLKeys is an admin who begins a roll-over of our key towards a provider,
// takes the next key back, and has another one sign before its time.
func TestBrowserSAMLKeys(t *testing.T) {
	a := newAdmin(t)
	a.call(http.MethodPut, "connections/corp-saml", map[string]any{"type": "saml",
		"idp_metadata": map[string]string{"xml": attacktest.Metadata("https://idp.example/sso", attacktest.OurKey())}})
	states := func() (all []string) {
		t.Helper()
		for _, key := range decode[struct{ Keys []struct{ State string } }](t, a.call(http.MethodGet, "connections/corp-saml/saml", nil)).Keys {
			all = append(all, key.State)
		}
		return all
	}
	const keys = dialog + `//ul[@aria-label="Our keys"]`
	badge := func(word string) string { return keys + `//*[text()="` + word + `"]` }
	button := func(word string) string { return dialog + `//button[.//text()="` + word + `"]` }
	const asked = `(` + dialog + `)[2]` // also while it goes away
	// sure answers the question that stands above the keys.
	sure := func(question, word string) {
		t.Helper()
		a.click(`(` + dialog + `[.//*[text()="` + question + `"]]//button[.//text()="` + word + `"])[last()]`)
		a.gone(asked)
	}
	a.open(a.page)
	a.click(`//button[@aria-label="Keys of corp-saml"]`)
	a.see(badge("Signs"))
	a.see(dialog + `//*[text()="May sign"]`)
	a.look("console-saml-keys", desk, pocket)
	a.become(desktopChrome, desk)

	a.click(button("Prepare the next key"))
	a.see(badge("Next"))
	a.gone(button("Prepare the next key"))
	a.look("console-saml-keys-next", desk, pocket)
	a.become(desktopChrome, desk)
	if got := states(); !slices.Equal(got, []string{"prepared", "signing"}) {
		t.Errorf("prepared: %q", got)
	}
	a.click(keys + `//button[.//text()="Take it back"]`)
	a.see(dialog + `//*[text()="Take the next key back?"]`)
	a.look("console-saml-keys-back", desk, pocket)
	a.become(desktopChrome, desk)
	a.click(`(` + dialog + `[.//*[text()="Take the next key back?"]]//button[.//text()="Cancel"])[last()]`)
	a.gone(asked)
	if got := states(); len(got) != 2 {
		t.Errorf("taken back by Cancel: %q", got)
	}
	a.click(keys + `//button[.//text()="Take it back"]`)
	sure("Take the next key back?", "Take it back")
	a.see(dialog + `//*[text()="The next key is gone. The one that signs goes on."]`)
	a.gone(badge("Next"))
	if got := states(); !slices.Equal(got, []string{"signing"}) {
		t.Errorf("taken back: %q", got)
	}

	a.click(button("Prepare the next key"))
	a.see(badge("Next"))
	a.click(keys + `//button[.//text()="Sign with it now"]`)
	sure("Sign with the next key now?", "Sign with it now")
	a.see(dialog + `//*[text()="The new key signs."]`)
	a.see(badge("Retired"))
	a.gone(badge("Next"))
	a.look("console-saml-keys-finished", desk, pocket)
	if got := states(); !slices.Equal(got, []string{"signing", "retired"}) {
		t.Errorf("finished: %q", got)
	}
	want := []string{"key-finished", "key-prepared", "key-taken-back", "key-prepared"}
	for deadline := time.Now().Add(patience); ; {
		var got []string
		for _, e := range decode[struct {
			Items []struct{ Details map[string]string }
		}](t, a.call(http.MethodGet, "audit/events?type=connection.changed", nil)).Items {
			if change := e.Details["change"]; e.Details["certificate"] != "" {
				got = append(got, change)
			}
		}
		if slices.Equal(got, want) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("recorded: %q", got)
		}
	}
}
