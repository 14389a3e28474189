package httpkit

import (
	"iter"
	"net/http"
	"strconv"
	"strings"
	"time"

	"gatehouse/identity"
)

// The cookies. The __Host- prefix makes browsers accept them only with Secure,
// Path=/ and without Domain, so no neighbouring host can plant or read one
// (RFC 6265bis §4.1.3.2).
const (
	// SessionCookie holds the session's token.
	SessionCookie = "__Host-gatehouse"
	// DeviceCookie recognises a browser across sign-ins; it grants nothing.
	DeviceCookie = "__Host-gatehouse-device"
	// FlowCookie binds a sign-in under way to the browser that began it; it
	// grants nothing.
	FlowCookie = "__Host-gatehouse-flow"
	// LookedCookie says when whom has last looked at their devices in this browser;
	// it grants nothing.
	LookedCookie = "__Host-gatehouse-looked"
	// SetupCookie marks the browser that has begun with a set-up link.
	SetupCookie = "__Host-gatehouse-setup"
)

// How long browsers keep them. A browser refuses more than 400 days (RFC
// 6265bis §5.5).
const (
	deviceCookieLife = 400 * 24 * time.Hour
	flowCookieLife   = time.Hour
	lookedCookieLife = 30 * 24 * time.Hour
)

// SetSessionCookie hands the session's token to the browser. It lasts as long
// as the browser's own session: how long it is good for is the server's to say.
func SetSessionCookie(w http.ResponseWriter, token string) {
	setCookie(w, SessionCookie, token, 0, http.SameSiteLaxMode)
}

// SetDeviceCookie hands the device's token to the browser.
func SetDeviceCookie(w http.ResponseWriter, token string) {
	setCookie(w, DeviceCookie, token, deviceCookieLife, http.SameSiteLaxMode)
}

// SetFlowCookie marks the browser that began a sign-in. It is SameSite=None
// because a SAML answer is a POST from the identity provider's site, with
// which a browser sends no other cookie.
func SetFlowCookie(w http.ResponseWriter, token string) {
	setCookie(w, FlowCookie, token, flowCookieLife, http.SameSiteNoneMode)
}

// SetSetupCookie marks the browser that has begun with a set-up link, for as long as
// the link is good at most.
func SetSetupCookie(w http.ResponseWriter, token string, life time.Duration) {
	setCookie(w, SetupCookie, token, life, http.SameSiteLaxMode)
}

// Looked is the cookie that says that somebody looks at their devices now. What
// they see in one browser is not told in that one any more, while the others go on:
// who looks may be who has no business there.
func Looked(user identity.UserID, now time.Time) *http.Cookie {
	return cookie(LookedCookie, strconv.FormatInt(now.UnixMilli(), 10)+"."+string(user), lookedCookieLife, http.SameSiteLaxMode)
}

// LookedAt is when this person has last done so in this browser; zero: not within
// memory.
func LookedAt(r *http.Request, user identity.UserID, now time.Time) time.Time {
	value, _ := ReadCookie(r, LookedCookie)
	at, whose, _ := strings.Cut(value, ".")
	ms, err := strconv.ParseInt(at, 10, 64)
	if err != nil || whose != string(user) || ms <= 0 || ms > now.UnixMilli() {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}

// ClearCookie makes the browser forget a cookie of ours.
func ClearCookie(w http.ResponseWriter, name string) {
	sameSite := http.SameSiteLaxMode
	if name == FlowCookie {
		sameSite = http.SameSiteNoneMode
	}
	setCookie(w, name, "", -time.Second, sameSite)
}

// life 0 is a cookie of the browser's session, below 0 an order to forget it.
func setCookie(w http.ResponseWriter, name, value string, life time.Duration, sameSite http.SameSite) {
	http.SetCookie(w, cookie(name, value, life, sameSite))
}

func cookie(name, value string, life time.Duration, sameSite http.SameSite) *http.Cookie {
	// #nosec G124 -- Secure and HttpOnly always, SameSite by the caller
	return &http.Cookie{Name: name, Value: value, Path: "/", MaxAge: int(life / time.Second),
		Secure: true, HttpOnly: true, SameSite: sameSite}
}

// ReadCookie returns the value of a cookie of ours and how many of that name
// the request carried. Callers refuse more than one: a browser never sends two
// __Host- cookies of a name, and choosing one would let somebody else choose.
// It is on the way of every request, so it allocates nothing.
func ReadCookie(r *http.Request, name string) (value string, count int) {
	for _, line := range r.Header["Cookie"] {
		for pair := range CookiePairs(line) {
			if n, v, _ := strings.Cut(pair, "="); trimBlanks(n) == name {
				value = trimBlanks(v)
				count++
			}
		}
	}
	if count != 1 {
		return "", count
	}
	return value, 1
}

// CookiePairs splits the value of a Cookie field. It takes for blank what
// browsers do, SP and HTAB (RFC 6265bis §5.6): to them a name that begins with
// another kind of space has no __Host- prefix, so a neighbouring host may set
// it, and it must not become ours here. Everybody who reads cookies goes by
// this.
func CookiePairs(line string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for pair := range strings.SplitSeq(line, ";") {
			if !yield(trimBlanks(pair)) {
				return
			}
		}
	}
}

// LikeOurs reports whether a cookie, "name=value", bears a name of ours, also
// in a disguise that some reader might see through: other case, or something
// around it. None of them is for the app, to read or to set.
func LikeOurs(cookie string) bool {
	// A cookie without a name is sent as its value alone (RFC 6265bis §5.8.3).
	name, _, _ := strings.Cut(strings.TrimLeft(cookie, "= \t"), "=")
	for i := range len(name) - len(SessionCookie) + 1 {
		if strings.EqualFold(name[i:i+len(SessionCookie)], SessionCookie) {
			return true
		}
	}
	return false
}

func trimBlanks(s string) string { return strings.Trim(s, " \t") }
