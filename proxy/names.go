package proxy

import (
	"fmt"
	"net/http"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// HeaderNames are the fields by which the app is told who calls. An empty name
// means the default.
type HeaderNames struct {
	Assertion, Tenant, User, Email, Name, Groups, Roles, Teams, Session, RequestID string
}

// DefaultHeaderNames is what an app gets that configures nothing.
func DefaultHeaderNames() HeaderNames {
	return HeaderNames{
		Assertion: "X-Gatehouse-Assertion",
		Tenant:    "X-Gatehouse-Tenant",
		User:      "X-Gatehouse-User",
		Email:     "X-Gatehouse-Email",
		Name:      "X-Gatehouse-Name",
		Groups:    "X-Gatehouse-Groups",
		Roles:     "X-Gatehouse-Roles",
		Teams:     "X-Gatehouse-Teams",
		Session:   "X-Gatehouse-Session",
		RequestID: "X-Gatehouse-Request-Id",
	}
}

// each visits the names in a fixed order.
func (n *HeaderNames) each() []*string {
	return []*string{&n.Assertion, &n.Tenant, &n.User, &n.Email, &n.Name,
		&n.Groups, &n.Roles, &n.Teams, &n.Session, &n.RequestID}
}

func (n HeaderNames) withDefaults() HeaderNames {
	defaults := DefaultHeaderNames()
	for i, name := range n.each() {
		if *name == "" {
			*name = *defaults.each()[i]
		}
		*name = http.CanonicalHeaderKey(*name)
	}
	return n
}

// check refuses names that could not be told from a client's in every
// spelling, that two things share, or that HTTP or the gate needs for itself.
func (n HeaderNames) check() error {
	seen := map[string]bool{}
	for _, p := range n.each() {
		name := *p
		if !httpguts.ValidHeaderFieldName(name) || spelling(name) != name {
			return fmt.Errorf("proxy: header name %q must consist of letters, digits and hyphens", name)
		}
		if seen[name] || reserved(name) || name == "Cookie" || name == "Authorization" || name == "Set-Cookie" {
			return fmt.Errorf("proxy: header name %q is taken", name)
		}
		seen[name] = true
	}
	return nil
}

// fieldFilter says which of a client's fields pass (promise P5).
type fieldFilter struct{ ours map[string]struct{} }

func newFieldFilter(n HeaderNames) *fieldFilter {
	f := &fieldFilter{ours: map[string]struct{}{}}
	for _, name := range n.each() {
		f.ours[*name] = struct{}{}
	}
	return f
}

// passes takes a name as net/http keys it. The decision is on the spelling that
// the most forgiving app would read: CGI and its heirs (RFC 3875 §4.1.18) make
// X_Gatehouse.User and X-Gatehouse-User the same variable.
func (f *fieldFilter) passes(name string) bool {
	name = spelling(name)
	if strings.HasPrefix(name, "X-Gatehouse-") || strings.HasPrefix(name, "X-Forwarded-") || reserved(name) {
		return false
	}
	_, ours := f.ours[name]
	return !ours
}

// spelling is a field's canonical name with a hyphen for every byte that is
// neither a letter nor a digit.
func spelling(name string) string {
	for i := range len(name) {
		if !alphanumeric(name[i]) && name[i] != '-' {
			return respell(name)
		}
	}
	return name
}

func respell(name string) string {
	b := []byte(name)
	for i, c := range b {
		if !alphanumeric(c) {
			b[i] = '-'
		}
	}
	return http.CanonicalHeaderKey(string(b))
}

func alphanumeric(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

// reserved lists the fields that never pass from a client: those of this hop
// alone (RFC 9110 §7.6.1), those that frame the message, those by which a hop
// speaks for the client's address, and those that make some apps serve another
// method, path or host than the one that was authorised (P4).
func reserved(name string) bool {
	switch name {
	case "Connection", "Keep-Alive", "Proxy-Connection", "Proxy-Authenticate", "Proxy-Authorization",
		"Proxy-Authentication-Info", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "Http2-Settings":
		return true
	case "Content-Length", "Host", "Expect":
		return true
	case "Forwarded", "Via", "X-Real-Ip", "X-Client-Ip", "Client-Ip", "True-Client-Ip", "X-Cluster-Client-Ip":
		return true
	case "X-Original-Url", "X-Original-Uri", "X-Original-Host", "X-Original-Method", "X-Rewrite-Url", "X-Host",
		"X-Http-Method", "X-Http-Method-Override", "X-Method-Override", "Proxy":
		return true
	}
	return false
}

// hopFields collects the fields that Connection names as this hop's own
// (RFC 9110 §7.6.1); nil for the usual values, which name none.
func hopFields(connection []string) map[string]struct{} {
	var named map[string]struct{}
	for _, line := range connection {
		switch line {
		case "keep-alive", "close", "Upgrade", "upgrade", "Keep-Alive", "Close":
			continue
		}
		for token := range strings.SplitSeq(line, ",") {
			if named == nil {
				named = map[string]struct{}{}
			}
			named[http.CanonicalHeaderKey(strings.TrimSpace(token))] = struct{}{}
		}
	}
	return named
}
