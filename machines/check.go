package machines

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"gatehouse/internal/fault"
	"gatehouse/internal/httpkit"
)

const (
	maxName        = 63
	maxDisplayName = 200
	maxURL         = 2048
	maxClaim       = 512
	maxSecret      = 4096
	// maxMachines bounds a tenant's services, and maxCredentials what one of them is
	// recognised by.
	maxMachines    = 200
	maxCredentials = 10
	// maxPEM bounds the certificates of one credential, which stand in memory, and
	// maxAuthorities how many there are.
	maxPEM         = 32 << 10
	maxAuthorities = 8
)

func bad(format string, args ...any) error {
	return fault.New(fault.Invalid, "bad-service", "The service is not right: "+fmt.Sprintf(format, args...)+".")
}

// check refuses a service that is wrong in itself.
func (m *Machine) check() error {
	if m.DisplayName == "" {
		m.DisplayName = m.Name
	}
	switch {
	case !isName(m.Name):
		return bad("its name is 1 to %d lower-case letters, digits and hyphens, with no hyphen at an end", maxName)
	case utf8.RuneCountInString(m.DisplayName) > maxDisplayName || !isText(m.DisplayName):
		return bad("its display name is at most %d characters of plain text", maxDisplayName)
	case m.Role == "" || len(m.Role) > maxName:
		return bad("it needs a role: what it may do")
	case len(m.Credentials) > maxCredentials:
		return bad("it has at most %d credentials", maxCredentials)
	}
	for i, c := range m.Credentials {
		if err := c.check(); err != nil {
			return err
		}
		if slices.ContainsFunc(m.Credentials[:i], c.clashes) {
			return bad("one of its credentials is there twice")
		}
	}
	return nil
}

func (c Credential) check() error {
	set := 0
	for _, there := range []bool{c.JWT != nil, c.Introspection != nil, c.Certificate != nil} {
		if there {
			set++
		}
	}
	switch {
	case set != 1:
		return bad("a credential is exactly one of jwt, introspection and certificate")
	case c.JWT != nil:
		return c.JWT.check()
	case c.Introspection != nil:
		return c.Introspection.check()
	}
	return c.Certificate.check()
}

func (j *JWT) check() error {
	switch {
	case (j.Connection == "") == (j.Issuer == ""):
		return bad("jwt has exactly one of connection and issuer")
	case j.Connection != "" && !isName(j.Connection), (j.Connection == "") != (j.ConnectionID == ""):
		return bad("connection of jwt is the name of a connection")
	case j.Issuer != "" && !isIssuer(j.Issuer):
		return bad("issuer of jwt is an https URL without query (http only for loopback addresses)")
	case j.JWKSURL != "" && j.Issuer == "":
		return bad("jwks_url of jwt goes with issuer: where the keys of a connection are is discovered")
	case j.JWKSURL != "" && fetchable(j.JWKSURL) == nil:
		return bad("jwks_url of jwt is an https URL (http only for loopback addresses)")
	}
	for _, t := range j.Types {
		if t != TypeAccess && t != TypeJWT {
			return bad("types of jwt are at+jwt and jwt")
		}
	}
	if len(j.Types) > 2 {
		return bad("types of jwt are at+jwt and jwt, each once")
	}
	return j.Claims.check("jwt")
}

func (i *Introspection) check() error {
	switch {
	case fetchable(i.Endpoint) == nil:
		return bad("endpoint of introspection is an https URL (http only for loopback addresses)")
	case i.AuthClientID == "" || len(i.AuthClientID) > maxClaim || !isText(i.AuthClientID):
		return bad("auth_client_id of introspection is 1 to %d characters", maxClaim)
	case i.AuthClientSecret == "" || len(i.AuthClientSecret) > maxSecret || !isText(i.AuthClientSecret):
		return bad("auth_client_secret of introspection is 1 to %d characters", maxSecret)
	case i.Issuer != "" && !isIssuer(i.Issuer):
		return bad("issuer of introspection is an https URL without query (http only for loopback addresses)")
	}
	return i.Claims.check("introspection")
}

func (c Claims) check(of string) error {
	for name, value := range map[string]string{"audience": c.Audience, "subject": c.Subject, "client_id": c.ClientID} {
		if len(value) > maxClaim || !isText(value) {
			return bad("%s of %s is at most %d bytes of plain text", name, of, maxClaim)
		}
	}
	switch {
	case c.Audience == "":
		return bad("%s needs an audience: else tokens that were made for somebody else would count", of)
	case c.Subject == "" && c.ClientID == "":
		return bad("%s needs subject or client_id: else everybody's tokens would count", of)
	}
	return nil
}

func (c *Certificate) check() error {
	names := 0
	for _, name := range []string{c.SANURI, c.SANDNS} {
		if name != "" {
			names++
		}
	}
	switch {
	case (c.CA == "") == (c.Pinned == ""):
		return bad("certificate has exactly one of ca and certificate")
	case c.Pinned != "" && names > 0:
		return bad("certificate has san_uri or san_dns only with ca")
	case c.CA != "" && names != 1:
		return bad("certificate with ca has exactly one of san_uri and san_dns: else every certificate of the authority would count")
	case len(c.SANURI) > maxURL || !isAbsolute(c.SANURI):
		return bad("san_uri of certificate is a URI with a scheme")
	case c.SANDNS != "" && !isHost(c.SANDNS):
		return bad("san_dns of certificate is a host name in lower case, without a wildcard")
	}
	if c.Pinned != "" {
		all, err := ParsePEM(c.Pinned)
		if err != nil || len(all) != 1 {
			return bad("certificate of certificate is one certificate in PEM")
		}
		return nil
	}
	all, err := ParsePEM(c.CA)
	if err != nil || len(all) == 0 || len(all) > maxAuthorities {
		return bad("ca of certificate is 1 to %d certificates in PEM", maxAuthorities)
	}
	for _, authority := range all {
		if !authority.BasicConstraintsValid || !authority.IsCA {
			return bad("ca of certificate holds a certificate that is not an authority's")
		}
	}
	return nil
}

var errPEM = errors.New("machines: not certificates in PEM")

// ParsePEM reads certificates, and nothing else, out of PEM.
func ParsePEM(text string) (all []*x509.Certificate, err error) {
	if len(text) > maxPEM {
		return nil, errPEM
	}
	for rest := []byte(strings.TrimSpace(text)); len(rest) > 0; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil || block.Type != "CERTIFICATE" {
			return nil, errPEM // also what stands between or after: it may be a private key
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errPEM, err)
		}
		all = append(all, c)
	}
	return all, nil
}

// fetchable parses a URL that the gateway will fetch: https, or http to a loopback
// address, because nobody can listen there. Whether the address may be reached at
// all is decided when it is dialled. It is nil for what is none.
func fetchable(raw string) *url.URL {
	u, err := url.Parse(raw)
	if len(raw) > maxURL || err != nil || u.Host == "" || u.User != nil || u.Fragment != "" || u.Opaque != "" ||
		u.Scheme != "https" && !httpkit.PlainLoopback(u.Scheme, u.Hostname()) {
		return nil
	}
	return u
}

// isIssuer accepts the form of RFC 8414 §2.
func isIssuer(s string) bool {
	u := fetchable(s)
	return u != nil && u.RawQuery == ""
}

func isAbsolute(s string) bool {
	if s == "" {
		return true
	}
	u, err := url.Parse(s)
	return err == nil && u.IsAbs() && isText(s)
}

func isName(s string) bool {
	return s != "" && len(s) <= maxName && s[0] != '-' && s[len(s)-1] != '-' && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}

// isHost accepts names as [isName] has them, separated by dots.
func isHost(s string) bool {
	for label := range strings.SplitSeq(s, ".") {
		if !isName(label) {
			return false
		}
	}
	return len(s) <= 253
}

// isText reports whether s is valid text without control characters.
func isText(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
}
