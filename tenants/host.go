package tenants

import (
	"errors"
	"strings"
)

const maxHost = 253 // RFC 1035 §2.3.4, without the root's dot

var errHost = errors.New("not a host name: letters, digits, hyphens and dots, without a scheme or path")

// CanonicalHost is the one spelling under which a host is kept and looked up:
// lower case, without port and trailing dot. It takes what may stand in a Host
// header (RFC 9110 §7.2) and refuses everything that is not a DNS name or an
// IPv4 address; an international name must come in its ASCII form. A host that
// is canonical already costs no allocation.
func CanonicalHost(host string) (string, error) {
	if name, port, found := strings.Cut(host, ":"); found {
		if !isPort(port) {
			return "", errHost
		}
		host = name
	}
	host = strings.TrimSuffix(host, ".")
	if host == "" || len(host) > maxHost {
		return "", errHost
	}
	label := 0
	for i := range len(host) {
		switch c := host[i]; {
		case c == '.':
			if label == 0 || host[i-1] == '-' {
				return "", errHost
			}
			label = 0
			continue
		case c == '-':
			if label == 0 {
				return "", errHost
			}
		case (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9'):
			return "", errHost
		}
		if label++; label > 63 { // RFC 1035 §2.3.4
			return "", errHost
		}
	}
	if label == 0 || host[len(host)-1] == '-' {
		return "", errHost
	}
	return strings.ToLower(host), nil
}

func isPort(s string) bool {
	if s == "" || len(s) > 5 {
		return false
	}
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}
