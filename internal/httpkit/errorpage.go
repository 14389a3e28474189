package httpkit

import (
	"net/http"
	"strings"

	"gatehouse/internal/words"
)

// problemURN stands before the code of a [Problem]'s type.
const problemURN = "urn:gatehouse:problem:"

// aboutNobody are the titles of refusals that are the same whoever signs in, by their
// codes.
var aboutNobody = map[string]string{
	"tenant-suspended":    "Access is suspended",
	"link-unusable":       "This link is not good any more",
	"invitation-unusable": "This link is not good any more",
	"cross-origin":        "This came from another site",
}

// writeErrorPage shows a problem to a person: what happened, what to do next, and by
// which numbers it is found again.
func writeErrorPage(w http.ResponseWriter, r *http.Request, p *Problem) {
	page := Page{Status: p.Status, Title: pageTitle(p.Status), Lead: words.For(r).Tell(p.said)}
	start := Link{"Go to the start page", "/"}
	about, known := aboutNobody[strings.TrimPrefix(p.Type, problemURN)]
	passed, ok := r.Context().Value(requestKey{}).(*Request)
	switch {
	case p.Status == http.StatusMisdirectedRequest || p.Status == http.StatusBadRequest && (!ok || passed.Tenant == ""):
		// There is nothing at this host, or nobody knows what it is.
	case known:
		page.Title, page.Links = about, []Link{start}
	case p.Status == http.StatusForbidden:
		page.Links = []Link{start, {"Sign in as somebody else", "/.gatehouse/logout"}}
	case p.Status == http.StatusMethodNotAllowed:
		// Somebody has reloaded what a form had come to, or kept its address.
		page.Title, page.Lead = pageTitle(http.StatusNotFound), "Nothing can be opened at this address: it only takes what a form sends. Begin again at the start page."
		page.Links = []Link{start}
	case p.Status >= http.StatusInternalServerError || p.Status == http.StatusTooManyRequests:
		// What a form has sent is not asked for again by a link.
		if r.Method == http.MethodGet || r.Method == http.MethodHead {
			page.Links = append(page.Links, Link{"Try again", ""})
		}
		page.Links = append(page.Links, start)
	case p.Status == http.StatusUnauthorized:
		page.Links = []Link{{"Sign in", "/.gatehouse/login"}, start}
	default:
		page.Links = []Link{start}
	}
	if p.EventID != "" {
		page.Facts = append(page.Facts, Fact{"Event", p.EventID})
	}
	if p.RequestID != "" {
		page.Facts = append(page.Facts, Fact{"Request", p.RequestID})
	}
	WritePage(w, r, page)
}

func pageTitle(status int) string {
	switch status {
	case http.StatusUnauthorized:
		return "Please sign in"
	case http.StatusForbidden:
		return "You may not do this"
	case http.StatusNotFound:
		return "There is nothing here"
	case http.StatusTooManyRequests:
		return "Too many requests"
	case http.StatusMisdirectedRequest:
		return "This address is not served here"
	case http.StatusServiceUnavailable:
		return "Not available right now"
	case http.StatusBadGateway:
		return "The app cannot be reached"
	case http.StatusGatewayTimeout:
		return "The app does not answer"
	}
	if status >= http.StatusInternalServerError {
		return "Something went wrong"
	}
	return "This request cannot be served"
}
