package authn_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"testing"
	"time"

	"gatehouse/audit"
	"gatehouse/authn/mfa/mfatest"
)

// What was asked of somebody in one of their sessions is answered in that one alone,
// and for what it was asked: whoever has taken over another of the person's browsers
// must not bring along an answer that was given elsewhere.
func TestACeremonyIsOfOneSessionAndOneUse(t *testing.T) {
	w, _, key, _ := alwaysAsked(t)
	in := func() *browser {
		b := w.browser()
		b.post(factors, form(b.open("/"), "kind", "totp", "code", w.digits(key))).has(t, http.StatusOK, "app /")
		w.advance(30 * time.Second)
		return b
	}
	own, other := in(), in()
	if own.live().Principal().User != other.live().Principal().User {
		t.Fatal("they are two people")
	}
	times := 0
	refused := func(what string, p page) {
		t.Helper()
		times++
		p.has(t, http.StatusForbidden, `role="alert"`)
		if all := w.journal.all(audit.FactorRefused); len(all) != times || all[times-1].Reason != "other-ceremony" {
			t.Errorf("%s: recorded as %+v", what, all)
		}
	}

	// To add a passkey.
	offered := own.open(factors + "?add=passkey")
	made := mfatest.New(t, "https://"+factorHost, factorHost)
	answer := form(offered, "credential", made.Create([]byte(offered.find(t, optionsOnPage))), "name", "laptop")
	refused("added in another session", other.post(factors, answer))
	if n := len(w.journal.all(audit.FactorAdded)); n != 1 {
		t.Fatalf("%d factors were added", n)
	}
	own.post(factors, answer).has(t, http.StatusOK, "laptop")

	// To show it.
	stepUp := factors + "?return_to=" + url.QueryEscape("/vault")
	asked := own.open(stepUp)
	answer = form(asked, "kind", "passkey", "credential", made.Get([]byte(asked.find(t, optionsOnPage))))
	refused("shown in another session", other.post(factors, answer))
	if n := len(w.journal.all(audit.SessionSteppedUp)); n != 1 { // of who has added it
		t.Fatalf("%d sessions were stepped up", n)
	}
	own.post(factors, answer).has(t, http.StatusOK, "app /vault")

	// One is not answered as the other.
	offered, asked = own.open(factors+"?add=passkey"), own.open(stepUp)
	shown := made.Get([]byte(offered.find(t, optionsOnPage)))
	refused("shown, as what was asked to add one", own.post(factors, form(asked, "kind", "passkey", "credential", shown, "kept", hiddenFields(offered).Get("kept"))))
	var toShow, toAdd map[string]any
	check(t, json.Unmarshal([]byte(asked.find(t, optionsOnPage)), &toShow))
	check(t, json.Unmarshal([]byte(offered.find(t, optionsOnPage)), &toAdd))
	toAdd["challenge"] = toShow["challenge"]
	options, err := json.Marshal(toAdd)
	check(t, err)
	second := mfatest.New(t, "https://"+factorHost, factorHost)
	refused("added, as what was asked to show one", own.post(factors, form(offered, "credential", second.Create(options), "name", "second", "kept", hiddenFields(asked).Get("kept"))))
	if n := len(w.journal.all(audit.FactorAdded)); n != 2 {
		t.Errorf("%d factors were added", n)
	}
}
