package authn_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"gatehouse/internal/httpkit"
)

// Whoever is signed in is told of another device that signs in as them, until
// they have looked in that very browser; the new one is told of nothing.
func TestANewDeviceIsToldOf(t *testing.T) {
	w, idp := newWorld(t), newIssuer(t)
	w.connections.put(idp.connection())
	const notice = "A new device signed in as you: Firefox on Linux"
	told := func(b *browser, want bool) {
		t.Helper()
		page := b.open("/.gatehouse/logout")
		page.has(t, http.StatusOK)
		if got := strings.Contains(page.body, notice); got != want {
			t.Errorf("told: %t, want %t", got, want)
		}
	}
	mine, other := w.browser(), w.browser()
	mine.open("/").has(t, http.StatusOK)
	other.open("/").has(t, http.StatusOK)
	told(mine, true)
	told(mine, true)
	told(other, false)
	other.open("/.gatehouse/devices").has(t, http.StatusOK) // whoever that is
	told(mine, true)
	mine.open("/.gatehouse/devices").has(t, http.StatusOK)
	told(mine, false)
	w.browser().open("/").has(t, http.StatusOK)
	told(mine, true)
	told(other, true)
}

// What the browser says of when it looked counts for its person, and not ahead.
func TestWhenSomebodyLooked(t *testing.T) {
	now := time.UnixMilli(1_800_000_000_000)
	for value, want := range map[string]time.Time{
		"": {}, "x": {}, "1799999999999": {}, "1799999999999.usr_1": time.UnixMilli(1_799_999_999_999), "1799999999999.usr_2": {},
		"1800000000001.usr_1": {}, "-1.usr_1": {}, "99999999999999999999.usr_1": {}, httpkit.Looked("usr_1", now).Value: now,
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("Cookie", httpkit.LookedCookie+"="+value)
		if got := httpkit.LookedAt(r, "usr_1", now); !got.Equal(want) {
			t.Errorf("%q: %v", value, got)
		}
	}
}
