package tenants

import (
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"gatehouse/identity"
	"gatehouse/internal/fault"
)

const (
	maxName        = 63 // fits one DNS label
	maxDisplayName = 200
	maxHosts       = 50
	maxURL         = 2048
	maxClientID    = 512
	maxSecret      = 4096
	maxScopes      = 32
	maxACRValues   = 10
	maxACRValue    = 200       // bytes
	maxToken       = 256       // a scope, a claim's name, a role's name
	maxMetadata    = 256 << 10 // SAML metadata, bytes: what authn/saml reads
)

// reserved names would be mistaken for parts of the gateway.
var reserved = []string{identity.PlatformName, "admin", "gatehouse"}

func invalid(code, detail string) error { return fault.New(fault.Invalid, code, detail) }

// isName is the rule for names that stand in URLs, on command lines and in
// files: [a-z0-9-], at most 63, with a letter or digit at both ends.
func isName(s string) bool {
	if s == "" || len(s) > maxName || s[0] == '-' || s[len(s)-1] == '-' {
		return false
	}
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return true
}

// check validates a tenant and brings its hosts to their canonical form.
func (t *Tenant) check() error {
	if !isName(t.Name) {
		return invalid("bad-name", "A tenant's name is 1 to 63 lower-case letters, digits and hyphens, with no hyphen at an end.")
	}
	if t.ID != identity.Platform && slices.Contains(reserved, t.Name) {
		return invalid("reserved-name", fmt.Sprintf("The name %q is reserved.", t.Name))
	}
	if t.DisplayName == "" {
		t.DisplayName = t.Name
	}
	if utf8.RuneCountInString(t.DisplayName) > maxDisplayName || !isText(t.DisplayName) {
		return invalid("bad-display-name", fmt.Sprintf("A display name is at most %d characters of plain text.", maxDisplayName))
	}
	switch t.Status {
	case Active:
	case Suspended:
		if t.ID == identity.Platform {
			return fault.New(fault.Conflict, "platform-stays", "The operators' own tenant cannot be suspended.")
		}
	default:
		return invalid("bad-status", "A tenant's status is active or suspended.")
	}
	if len(t.Hosts) > maxHosts {
		return invalid("too-many-hosts", fmt.Sprintf("A tenant has at most %d hosts.", maxHosts))
	}
	hosts := make([]string, 0, len(t.Hosts))
	for _, given := range t.Hosts {
		host, err := CanonicalHost(given)
		if err != nil {
			return invalid("bad-host", fmt.Sprintf("%.100q is %v.", given, err))
		}
		if slices.Contains(hosts, host) {
			return invalid("bad-host", fmt.Sprintf("The host %q is there twice.", host))
		}
		hosts = append(hosts, host)
	}
	t.Hosts = hosts
	return t.Settings.check()
}

// isText reports whether s is valid text without control characters.
func isText(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
}

// isToken accepts printable ASCII without spaces, quotes and backslashes: the
// alphabet of a scope (RFC 6749 §3.3).
func isToken(s string) bool {
	for _, c := range []byte(s) {
		if c <= ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return len(s) <= maxToken
}

// fetchable parses a URL that the gateway will fetch: https, or http to a
// loopback address, because nobody can listen there. Whether the address may be
// reached at all is decided when it is dialled.
func fetchable(raw string) (*url.URL, error) {
	errURL := invalid("bad-url", "Not an https URL.")
	if len(raw) > maxURL {
		return nil, errURL
	}
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" || u.User != nil || u.Fragment != "" || u.Opaque != "" {
		return nil, errURL
	}
	if u.Scheme != "https" && (u.Scheme != "http" || !isLoopback(u.Hostname())) {
		return nil, errURL
	}
	return u, nil
}

// isLoopback reports whether a host can only be this machine (RFC 6761 §6.3).
func isLoopback(host string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}
