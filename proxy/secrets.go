package proxy

import (
	"slices"
	"strings"

	"gatehouse/identity"
	"gatehouse/internal/httpkit"
)

// passed is what the app gets to see of a client's field; false: nothing (P6).
func passed(v *visit, name, value string) (string, bool) {
	switch name {
	case "Cookie":
		value = foreignCookies(value)
		return value, value != ""
	case "Authorization":
		return value, value != "" && !consumed(v, value)
	case "Referer":
		// The address of a sign-in's last hop carries its code and state.
		return value, !strings.Contains(value, "/.gatehouse/")
	}
	return value, true
}

// consumed reports whether an Authorization value was meant for the gate: it
// made the caller, who has neither session nor certificate, who they are, it was
// refused as a token that is not good, or it holds a token of ours, good or not,
// under whatever scheme (P6).
func consumed(v *visit, value string) bool {
	if p := v.caller.principal; p != nil && v.caller.live == nil && !p.ByCertificate || v.spoilt {
		return true
	}
	scheme, credentials, _ := strings.Cut(value, " ")
	if strings.HasPrefix(strings.TrimLeft(credentials, " "), identity.TokenPrefix) || holdsToken(value) {
		return true
	}
	if !strings.EqualFold(scheme, "Basic") {
		return false
	}
	user, password, _ := v.r.BasicAuth()
	return holdsToken(user) || holdsToken(password)
}

// holdsToken finds a token of ours anywhere in a text.
func holdsToken(s string) bool {
	const digits = identity.TokenLength - len(identity.TokenPrefix)
	for {
		_, rest, found := strings.Cut(s, identity.TokenPrefix)
		if !found {
			return false
		}
		if len(rest) >= digits && strings.Trim(rest[:digits], base64url) == "" {
			return true
		}
		s = rest
	}
}

const base64url = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

// foreignCookies takes the gate's own cookies out of a Cookie line, and leaves
// a line without any as it stands.
func foreignCookies(line string) string {
	own := false
	for pair := range httpkit.CookiePairs(line) {
		own = own || httpkit.LikeOurs(pair)
	}
	if !own {
		return line
	}
	var kept []string
	for pair := range httpkit.CookiePairs(line) {
		if pair != "" && !httpkit.LikeOurs(pair) {
			kept = append(kept, pair)
		}
	}
	return strings.Join(kept, "; ")
}

// appCookies drops what the app would set in place of the gate's own cookies.
func appCookies(lines []string) []string {
	if !slices.ContainsFunc(lines, httpkit.LikeOurs) {
		return lines
	}
	return slices.DeleteFunc(slices.Clone(lines), httpkit.LikeOurs)
}
