package authn

import (
	"net/url"
	"strings"
)

const maxReturnTo = 2048

// safeReturn gives where a browser goes after signing in: raw, if it is an
// absolute path on this host and nothing else under any reading of it, and "/"
// otherwise. Browsers drop tabs and newlines, read a backslash as a slash and
// two slashes as another host (WHATWG URL §4.4), so none of these pass in any
// encoding, nor do dot segments, which could hide them.
func safeReturn(raw string) string {
	if len(raw) > maxReturnTo || !strings.HasPrefix(raw, "/") {
		return "/"
	}
	for _, c := range []byte(raw) {
		if c <= ' ' || c >= 0x7f || c == '\\' {
			return "/"
		}
	}
	target, _, _ := strings.Cut(raw, "#") // which is for the browser alone, and no part of a path
	u, err := url.ParseRequestURI(target)
	if err != nil || u.IsAbs() || u.Host != "" || u.User != nil || u.Opaque != "" || !plainPath(u.EscapedPath()) {
		return "/"
	}
	for _, own := range []string{pathLogin, pathLogout, pathOIDC, pathSAML, pathOAuth2} {
		if u.Path == own || strings.HasPrefix(u.Path, strings.TrimSuffix(own, "/")+"/") {
			return "/" // back into a sign-in: a loop
		}
	}
	return raw
}

// plainPath reports whether an escaped path has one reading only: no encoded
// separator, no empty or dot segment.
func plainPath(escaped string) bool {
	lower := strings.ToLower(escaped)
	for _, hidden := range []string{"//", "%2f", "%5c", "%2e", "%00", "%25"} {
		if strings.Contains(lower, hidden) {
			return false
		}
	}
	for segment := range strings.SplitSeq(lower, "/") {
		if segment == "." || segment == ".." {
			return false
		}
	}
	return true
}
