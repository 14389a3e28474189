package authn_test

import (
	"net/http"
	"testing"
	"time"
)

// Who has passed the identity provider as somebody else, and tries codes, holds up no
// browser in which that person has signed in.
func TestWrongCodesElsewhereSlowNobodyDown(t *testing.T) {
	w, _, key, codes := alwaysAsked(t)
	home := w.browser()
	home.post(factors, form(home.open("/"), "kind", "totp", "code", w.digits(key))).has(t, http.StatusOK, "app /")
	w.advance(30 * time.Second)
	home.post("/.gatehouse/logout", nil)

	thief := w.browser()
	asked := thief.open("/")
	for _, kind := range []string{"totp", "recovery-code"} {
		for range 5 {
			thief.post(factors, form(asked, "kind", kind, "code", "000000")).has(t, http.StatusForbidden)
		}
		thief.post(factors, form(asked, "kind", kind, "code", w.digits(key))).has(t, http.StatusTooManyRequests, "Too many wrong codes")
	}
	asked = home.open("/")
	home.post(factors, form(asked, "kind", "totp", "code", "000000")).has(t, http.StatusForbidden)
	home.post(factors, form(asked, "kind", "recovery-code", "code", codes[0])).has(t, http.StatusOK, "app /")
}
