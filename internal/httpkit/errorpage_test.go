package httpkit

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"gatehouse/internal/fault"
	"gatehouse/internal/words"
)

// Every kind of error is a page that says what happened and offers a way on that
// helps, in every language.
func TestEveryErrorPageOffersAWayOn(t *testing.T) {
	const start, again, as = `href="/"`, `href=""`, `href="/.gatehouse/logout"`
	for _, c := range []struct {
		kind         fault.Kind
		code, method string
		title        string
		links        []string // all that there are, in their order
	}{
		{fault.Invalid, "bad-form", "POST", "This request cannot be served", []string{start}},
		{fault.Unauthenticated, "signed-out", "POST", "Please sign in", []string{`href="/.gatehouse/login"`, start}},
		{fault.Denied, "not-allowed", "GET", "You may not do this", []string{start, as}},
		{fault.Denied, "tenant-suspended", "GET", "Access is suspended", []string{start}},
		{fault.Denied, "link-unusable", "GET", "This link is not good any more", []string{start}},
		{fault.Denied, "invitation-unusable", "POST", "This link is not good any more", []string{start}},
		{fault.Denied, "cross-origin", "POST", "This came from another site", []string{start}},
		{fault.NotFound, "nothing-here", "GET", "There is nothing here", []string{start}},
		{fault.Unsupported, "method-not-allowed", "GET", "There is nothing here", []string{start}},
		{fault.Conflict, "not-tested", "POST", "This request cannot be served", []string{start}},
		{fault.TooLarge, "body-too-large", "POST", "This request cannot be served", []string{start}},
		{fault.TooMany, "too-many-requests", "GET", "Too many requests", []string{again, start}},
		{fault.Misdirected, "unknown-host", "GET", "This address is not served here", nil},
		{fault.Internal, "internal", "GET", "Something went wrong", []string{again, start}},
		{fault.Unavailable, "store-unavailable", "GET", "Not available right now", []string{again, start}},
		{fault.Unavailable, "store-unavailable", "POST", "Not available right now", []string{start}},
		{fault.BadGateway, "app-unreachable", "GET", "The app cannot be reached", []string{again, start}},
		{fault.GatewayTimeout, "app-timeout", "GET", "The app does not answer", []string{again, start}},
	} {
		for _, l := range words.Spoken() {
			r := httptest.NewRequest(c.method, "/x", http.NoBody)
			r.Header.Set("Sec-Fetch-Mode", "navigate")
			r.Header.Set("Accept-Language", l.Tag())
			r = r.WithContext(WithRequest(r.Context(), &Request{ID: "req_1", Tenant: "ten_acme", TenantTitle: "Acme"}))
			w := httptest.NewRecorder()
			ReplyError(w, r, fault.New(c.kind, c.code, "You have been signed out. Sign in again.").WithEvent("evt_1"))
			page := w.Body.String()
			_, nav, _ := strings.Cut(page, "<nav")
			nav, _, _ = strings.Cut(nav, "</nav>")
			at := 0
			for _, link := range c.links {
				found := strings.Index(nav[at:], link)
				if found < 0 {
					t.Errorf("%s %s in %s: %s does not come in %q", c.method, c.code, l.Tag(), link, nav)
					break
				}
				at += found
			}
			if n := strings.Count(nav, "<a "); n != len(c.links) {
				t.Errorf("%s %s: there are %d links: %s", c.method, c.code, n, nav)
			}
			for _, want := range []string{"<h1>" + l.Say(c.title) + "</h1>", `<p class="lead">`, "evt_1", "req_1", "Acme"} {
				if !strings.Contains(page, want) {
					t.Errorf("%s %s in %s lacks %q: %s", c.method, c.code, l.Tag(), want, page)
				}
			}
			if c.title != l.Say(c.title) == (l == words.English) {
				t.Errorf("%q is not in %s", c.title, l.Tag())
			}
		}
	}
	// Where nobody knows whose host it is, there is no start page.
	r := httptest.NewRequest(http.MethodGet, "/x", http.NoBody)
	r.Header.Set("Sec-Fetch-Mode", "navigate")
	w := httptest.NewRecorder()
	if ReplyError(w, r, fault.New(fault.Invalid, "malformed-request", "No.")); strings.Contains(w.Body.String(), "<nav") {
		t.Errorf("a way on to nowhere: %s", w.Body)
	}
}
