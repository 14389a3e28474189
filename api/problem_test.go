package api

import (
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestWrongMethodsAreToldTheRightOnes(t *testing.T) {
	h := newHouse(t)
	for _, op := range h.api.operations {
		path := ids.Replace(op.path)
		var methods []string
		for _, other := range h.api.operations {
			if pattern := regexp.MustCompile("^" + regexp.MustCompile(`\{\w+\}`).ReplaceAllString(other.path, "[^/]+") + "$"); pattern.MatchString(path) {
				methods = append(methods, other.method)
			}
		}
		if slices.Contains(methods, http.MethodGet) {
			methods = append(methods, http.MethodHead)
		}
		r := h.anonymous(h.platform).do(http.MethodOptions, path[1:], nil)
		r.problem(http.StatusMethodNotAllowed, "method-not-allowed")
		told := strings.Split(r.header.Get("Allow"), ", ")
		slices.Sort(told)
		slices.Sort(methods)
		if !slices.Equal(told, slices.Compact(methods)) {
			t.Errorf("%s: Allow %q, want %v", path, told, methods)
		}
	}
	h.operator("acme").do("POST", "me", nil).problem(http.StatusMethodNotAllowed, "method-not-allowed")
	// What only the operators have is not there for others, whatever the method.
	if r := h.anonymous(h.acme).do("PUT", "platform/tenants", nil); r.header.Get("Allow") != "" {
		t.Errorf("Allow %q", r.header.Get("Allow"))
	} else {
		r.problem(http.StatusNotFound, "no-such-address")
	}
}

func TestNoAnswerSaysAnythingTwice(t *testing.T) {
	h := newHouse(t)
	owner := h.signIn(h.acme, "owner", "owner")
	for name, r := range map[string]*reply{
		"an unknown address":   owner.do("GET", "nothing", nil, "Accept", "text/html", "Sec-Fetch-Mode", "navigate"),
		"a wrong method":       owner.do("PUT", "me", nil),
		"a thing that is gone": owner.do("DELETE", "sessions/ses_none", nil),
		"a wrong input":        owner.do("GET", "sessions?limit=none", nil),
		"a refusal":            h.signIn(h.acme, "member", "member").do("GET", "users", nil),
		"an anonymous caller":  h.anonymous(h.acme).do("GET", "users", nil),
		"success":              owner.do("GET", "me", nil),
	} {
		for _, field := range []string{"Cache-Control", "X-Content-Type-Options", "Content-Type", "WWW-Authenticate"} {
			if len(r.header[http.CanonicalHeaderKey(field)]) > 1 {
				t.Errorf("%s: %s %q", name, field, r.header[field])
			}
		}
		if r.header.Get("Cache-Control") != "no-store" || (r.status >= 400 && r.header.Get("Content-Type") != "application/problem+json") {
			t.Errorf("%s: %d %v", name, r.status, r.header)
		}
	}
}
