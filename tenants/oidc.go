package tenants

import (
	"fmt"
	"reflect"
	"slices"
)

// OIDCSpec is what an OpenID Connect connection needs.
type OIDCSpec struct {
	Issuer       string   `json:"issuer" yaml:"issuer"`
	ClientID     string   `json:"client_id" yaml:"client_id"`
	ClientSecret string   `json:"-" yaml:"client_secret,omitempty"` // sealed at rest, never given out
	Scopes       []string `json:"scopes,omitempty" yaml:"scopes,omitempty"`
	// ACRValues are the authentication context classes that count, the one that is
	// wanted most first; none: any. The provider is asked for them, and a sign-in by
	// another one is refused.
	ACRValues []string     `json:"acr_values,omitempty" yaml:"acr_values,omitempty"`
	Claims    AttributeMap `json:"claims,omitzero" yaml:"claims,omitempty"`
}

// String leaves the secret out, wherever the spec is printed.
func (s OIDCSpec) String() string { return "oidc " + s.Issuer + " " + s.ClientID }

func (s OIDCSpec) clone() OIDCSpec {
	s.Scopes, s.ACRValues = slices.Clone(s.Scopes), slices.Clone(s.ACRValues)
	return s
}

// trustsAnew compares all but what changes nothing about whom the connection
// believes.
func (s OIDCSpec) trustsAnew(before OIDCSpec) bool {
	for _, of := range []*OIDCSpec{&s, &before} {
		of.ClientSecret, of.Scopes, of.ACRValues = "", nil, nil
	}
	return !reflect.DeepEqual(s, before)
}

func (s *OIDCSpec) check() error {
	// OpenID Connect Core §1.2: an issuer has no query and no fragment.
	if u, err := fetchable(s.Issuer); err != nil || u.RawQuery != "" {
		return badConnection("issuer is an https URL without query (http only for loopback addresses)")
	}
	if s.ClientID == "" || len(s.ClientID) > maxClientID || !isText(s.ClientID) {
		return badConnection(fmt.Sprintf("client_id is 1 to %d characters", maxClientID))
	}
	if len(s.ClientSecret) > maxSecret {
		return badConnection(fmt.Sprintf("client_secret is at most %d bytes", maxSecret))
	}
	if len(s.Scopes) > maxScopes {
		return badConnection(fmt.Sprintf("there are at most %d scopes", maxScopes))
	}
	for _, scope := range s.Scopes {
		if scope == "" || !isToken(scope) {
			return badConnection("scopes are words without spaces")
		}
	}
	if len(s.Scopes) > 0 && !slices.Contains(s.Scopes, "openid") { // OpenID Connect Core §3.1.2.1
		return badConnection(`scopes lack "openid"`)
	}
	if len(s.ACRValues) > maxACRValues {
		return badConnection(fmt.Sprintf("there are at most %d acr_values", maxACRValues))
	}
	for _, class := range s.ACRValues {
		if class == "" || len(class) > maxACRValue || !isToken(class) {
			return badConnection("acr_values are words without spaces")
		}
	}
	return s.Claims.check("claims")
}
