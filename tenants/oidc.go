package tenants

import (
	"cmp"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"time"
)

// ClientAuth is how a connection shows its provider who it is (OpenID Connect Core
// §9).
type ClientAuth string

const (
	// ClientAuthChosen is by the secret, as the provider says that it takes it.
	ClientAuthChosen ClientAuth = ""
	// ClientSecretBasic is by the secret, in the header.
	ClientSecretBasic ClientAuth = "client_secret_basic"
	// ClientSecretPost is by the secret, in the form.
	ClientSecretPost ClientAuth = "client_secret_post"
	// PrivateKeyJWT is by a key of ours (RFC 7523 §2.2).
	PrivateKeyJWT ClientAuth = "private_key_jwt"
)

const (
	// minAge leaves time to sign in, and for clocks that differ.
	minAge = time.Minute
	maxAge = 30 * 24 * time.Hour
	// minRecheck keeps a provider from being asked all the time.
	minRecheck = 5 * time.Minute
	maxRecheck = 30 * 24 * time.Hour
	// defaultGrace is how long people go on whose provider cannot be asked.
	defaultGrace = 24 * time.Hour
	// maxEntraTenants bounds the directories of one connection.
	maxEntraTenants = 100
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

	ClientAuth ClientAuth `json:"client_auth,omitempty" yaml:"client_auth,omitempty"`
	// Prompt is what the provider is to ask people for at every sign-in.
	Prompt []string `json:"prompt,omitempty" yaml:"prompt,omitempty"`
	// MaxAge is how long ago people may have authenticated at the provider when they sign
	// in; 0: as long as it likes. The provider is asked to see to that, and a sign-in of
	// which it is not known is refused.
	MaxAge Duration `json:"max_age,omitzero" yaml:"max_age,omitempty"`
	// Recheck is how often the provider is asked, by a refresh token, whether somebody
	// who is signed in may go on; 0: never. RecheckGrace is for how long they go on while
	// it cannot be asked.
	Recheck      Duration `json:"recheck,omitzero" yaml:"recheck,omitempty"`
	RecheckGrace Duration `json:"recheck_grace,omitzero" yaml:"recheck_grace,omitempty"`
	// EntraTenants are the directories (tid) that an Entra ID issuer for many is
	// believed of; none: the issuer is one of its own.
	EntraTenants []string `json:"entra_tenants,omitempty" yaml:"entra_tenants,omitempty"`
	// GroupsURL is where the groups of somebody are who is in too many of them for a
	// token; empty: Microsoft Graph's.
	GroupsURL string `json:"groups_url,omitempty" yaml:"groups_url,omitempty"`
}

// Grace is for how long people go on whose provider cannot be asked about them.
func (s *OIDCSpec) Grace() time.Duration {
	return max(cmp.Or(time.Duration(s.RecheckGrace), defaultGrace), time.Duration(s.Recheck))
}

// entraSegments stand for "any directory" in the issuers of Entra ID.
var entraSegments = []string{"common", "organizations"}

// IssuerTemplate is the issuer that an Entra ID issuer for many publishes, in which
// {tenantid} stands for the directory; "" if the issuer is one of its own.
func (s *OIDCSpec) IssuerTemplate() string {
	u, err := url.Parse(s.Issuer)
	if err != nil {
		return ""
	}
	first, rest, _ := strings.Cut(strings.TrimPrefix(u.EscapedPath(), "/"), "/")
	if !slices.Contains(entraSegments, first) || len(s.EntraTenants) == 0 {
		return ""
	}
	return u.Scheme + "://" + u.Host + "/{tenantid}/" + rest
}

// String leaves the secret out, wherever the spec is printed.
func (s OIDCSpec) String() string { return "oidc " + s.Issuer + " " + s.ClientID }

func (s OIDCSpec) clone() OIDCSpec {
	s.Scopes, s.ACRValues = slices.Clone(s.Scopes), slices.Clone(s.ACRValues)
	s.Prompt, s.EntraTenants = slices.Clone(s.Prompt), slices.Clone(s.EntraTenants)
	return s
}

// trustsAnew compares all but what changes nothing about whom the connection
// believes.
func (s OIDCSpec) trustsAnew(before OIDCSpec) bool {
	for _, of := range []*OIDCSpec{&s, &before} {
		of.ClientSecret, of.Scopes, of.ACRValues = "", nil, nil
		of.ClientAuth, of.Prompt, of.MaxAge, of.Recheck, of.RecheckGrace = "", nil, 0, 0, 0
	}
	return !reflect.DeepEqual(s, before)
}

func (s *OIDCSpec) check() error {
	// OpenID Connect Core §1.2: an issuer has no query and no fragment.
	if u, err := fetchable(s.Issuer); err != nil || u.RawQuery != "" {
		return badConnection("issuer is an https URL without query (http only for loopback addresses)").At("issuer")
	}
	if s.ClientID == "" || len(s.ClientID) > maxClientID || !isText(s.ClientID) {
		return badConnection("client_id is 1 to %d characters", maxClientID).At("client_id")
	}
	if len(s.ClientSecret) > maxSecret {
		return badConnection("client_secret is at most %d bytes", maxSecret).At("client_secret")
	}
	if len(s.Scopes) > maxScopes {
		return badConnection("there are at most %d scopes", maxScopes).At("scopes")
	}
	for _, scope := range s.Scopes {
		if scope == "" || !isToken(scope) {
			return badConnection("scopes are words without spaces").At("scopes")
		}
	}
	if len(s.Scopes) > 0 && !slices.Contains(s.Scopes, "openid") { // OpenID Connect Core §3.1.2.1
		return badConnection(`scopes lack "openid"`).At("scopes")
	}
	if len(s.ACRValues) > maxACRValues {
		return badConnection("there are at most %d acr_values", maxACRValues).At("acr_values")
	}
	for _, class := range s.ACRValues {
		if class == "" || len(class) > maxACRValue || !isToken(class) {
			return badConnection("acr_values are words without spaces").At("acr_values")
		}
	}
	if err := cmp.Or(s.checkAuth(), s.checkRecheck(), s.checkEntra()); err != nil {
		return err
	}
	return s.Claims.check("claims")
}

func (s *OIDCSpec) checkAuth() error {
	if !slices.Contains([]ClientAuth{ClientAuthChosen, ClientSecretBasic, ClientSecretPost, PrivateKeyJWT}, s.ClientAuth) {
		return badConnection("client_auth is absent, client_secret_basic, client_secret_post or private_key_jwt").At("client_auth")
	}
	if (s.ClientAuth == ClientSecretBasic || s.ClientAuth == ClientSecretPost) && s.ClientSecret == "" {
		return badConnection("%s needs a client_secret", s.ClientAuth).At("client_secret")
	}
	for i, word := range s.Prompt {
		// Not none: nobody could sign in who has not already (OpenID Connect Core §3.1.2.1).
		if !slices.Contains([]string{"login", "select_account", "consent"}, word) || slices.Contains(s.Prompt[:i], word) {
			return badConnection("prompt is a list of login, select_account and consent, each once").At("prompt")
		}
	}
	// It is asked for in seconds (OpenID Connect Core §3.1.2.1).
	if age := time.Duration(s.MaxAge); age != 0 && (age < minAge || age > maxAge || age%time.Second != 0) {
		return badConnection("max_age is 0, or from %v to %v in whole seconds", minAge, maxAge).At("max_age")
	}
	return nil
}

func (s *OIDCSpec) checkRecheck() error {
	if every := time.Duration(s.Recheck); every != 0 && (every < minRecheck || every > maxRecheck) {
		return badConnection("recheck is 0, or from %v to %v", minRecheck, maxRecheck).At("recheck")
	}
	if grace := time.Duration(s.RecheckGrace); grace != 0 && (s.Recheck == 0 || grace < time.Duration(s.Recheck) || grace > maxRecheck) {
		return badConnection("recheck_grace goes with recheck, and is from that to %v", maxRecheck).At("recheck_grace")
	}
	return nil
}

func (s *OIDCSpec) checkEntra() error {
	many := len(s.EntraTenants) > 0
	if len(s.EntraTenants) > maxEntraTenants {
		return badConnection("there are at most %d entra_tenants", maxEntraTenants).At("entra_tenants")
	}
	for _, id := range s.EntraTenants {
		if !isDirectory(id) {
			return badConnection("entra_tenants are directory (tenant) ids in lower case, such as 72f988bf-86f1-41af-91ab-2d7cd011db47").At("entra_tenants")
		}
	}
	if many && s.IssuerTemplate() == "" {
		return badConnection("entra_tenants go with an issuer such as https://login.microsoftonline.com/organizations/v2.0").At("entra_tenants")
	}
	// Without the list, everybody with any account at all could come in.
	if u, err := url.Parse(s.Issuer); !many && err == nil && slices.Contains(append(entraSegments, "consumers"), entraDirectory(u)) {
		return badConnection("an issuer of Entra ID for many directories needs entra_tenants, which names those that may sign in").At("entra_tenants")
	}
	if s.GroupsURL != "" {
		if _, err := fetchable(s.GroupsURL); err != nil {
			return badConnection("groups_url is an https URL (http only for loopback addresses)").At("groups_url")
		}
	}
	return nil
}

// isDirectory reports whether this is a UUID as Entra ID writes it (RFC 9562 §4).
func isDirectory(id string) bool {
	if len(id) != 36 {
		return false
	}
	for i, c := range []byte(id) {
		switch i {
		case 8, 13, 18, 23:
			if c != '-' {
				return false
			}
		default:
			if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
				return false
			}
		}
	}
	return true
}
