package tenants

import (
	"fmt"
	"net/url"
	"reflect"
	"slices"
	"strings"
)

const (
	maxGroupSources = 5
	maxNameParts    = 4
	maxPathParts    = 8
)

// WithoutPKCE is for a provider that refuses requests with a code challenge.
const WithoutPKCE = "none"

// PresetGitHub knows the addresses and claims of github.com.
const PresetGitHub = "github"

// OAuth2Spec is what an OAuth 2.0 connection needs: a provider without OpenID
// Connect, whose own API says who somebody is. It is kept as it was said; what a
// preset knows of it is in [OAuth2Spec.Whole].
type OAuth2Spec struct {
	Preset string `json:"preset,omitempty" yaml:"preset,omitempty"`
	// Issuer is how the provider names itself in its answers (RFC 9207); "": it
	// does not.
	Issuer           string `json:"issuer,omitempty" yaml:"issuer,omitempty"`
	AuthorizationURL string `json:"authorization_url,omitempty" yaml:"authorization_url,omitempty"`
	TokenURL         string `json:"token_url,omitempty" yaml:"token_url,omitempty"`
	UserinfoURL      string `json:"userinfo_url,omitempty" yaml:"userinfo_url,omitempty"`
	// EmailsURL lists a person's addresses; "": the claims name one.
	EmailsURL string `json:"emails_url,omitempty" yaml:"emails_url,omitempty"`
	// RevocationURL takes back the access token once it has been used (RFC 7009).
	RevocationURL string `json:"revocation_url,omitempty" yaml:"revocation_url,omitempty"`
	// GroupsFrom lists a person's groups; none: the claims do, if anything does.
	GroupsFrom   []GroupSource `json:"groups_from,omitempty" yaml:"groups_from,omitempty"`
	ClientID     string        `json:"client_id" yaml:"client_id"`
	ClientSecret string        `json:"-" yaml:"client_secret,omitempty"` // sealed at rest, never given out
	// ClientAuth is [ClientSecretBasic], which "" means as well, or [ClientSecretPost].
	ClientAuth ClientAuth `json:"client_auth,omitempty" yaml:"client_auth,omitempty"`
	// PKCE is "" for S256 (RFC 7636), or [WithoutPKCE].
	PKCE   string       `json:"pkce,omitempty" yaml:"pkce,omitempty"`
	Scopes []string     `json:"scopes,omitempty" yaml:"scopes,omitempty"`
	Claims OAuth2Claims `json:"claims,omitzero" yaml:"claims,omitempty"`
}

// GroupSource is an address that lists groups of the person who asks.
type GroupSource struct {
	URL string `json:"url" yaml:"url"`
	// Name is where an entry of the list holds the group's name; several parts are
	// joined with a slash.
	Name []string `json:"name" yaml:"name"`
}

// OAuth2Claims says where the user API's answer holds a person's data. A path
// leads through objects by dots: "data.user.id".
type OAuth2Claims struct {
	Subject       string `json:"subject,omitempty" yaml:"subject,omitempty"`
	Email         string `json:"email,omitempty" yaml:"email,omitempty"`
	EmailVerified string `json:"email_verified,omitempty" yaml:"email_verified,omitempty"`
	Name          string `json:"name,omitempty" yaml:"name,omitempty"`
	Groups        string `json:"groups,omitempty" yaml:"groups,omitempty"`
}

// presets are what is known of providers. A subject is the provider's lasting
// number for an account: a login name can be given up and taken by somebody else.
var presets = map[string]OAuth2Spec{
	PresetGitHub: { // #nosec G101 -- addresses, none of which is a secret
		AuthorizationURL: "https://github.com/login/oauth/authorize",
		TokenURL:         "https://github.com/login/oauth/access_token",
		UserinfoURL:      "https://api.github.com/user",
		EmailsURL:        "https://api.github.com/user/emails?per_page=100",
		GroupsFrom: []GroupSource{
			{URL: "https://api.github.com/user/orgs?per_page=100", Name: []string{"login"}},
			{URL: "https://api.github.com/user/teams?per_page=100", Name: []string{"organization.login", "slug"}},
		},
		ClientAuth: ClientSecretPost,
		Scopes:     []string{"read:user", "user:email", "read:org"},
		Claims:     OAuth2Claims{Subject: "id", Name: "name"},
	},
}

// Whole is the spec with what its preset and the usual names fill in. What was
// said wins.
func (s OAuth2Spec) Whole() OAuth2Spec {
	s = s.clone()
	known := presets[s.Preset].clone()
	fill(&s.AuthorizationURL, known.AuthorizationURL)
	fill(&s.TokenURL, known.TokenURL)
	fill(&s.UserinfoURL, known.UserinfoURL)
	if s.Claims.Email == "" && s.Claims.EmailVerified == "" {
		fill(&s.EmailsURL, known.EmailsURL)
	}
	if len(s.GroupsFrom) == 0 && s.Claims.Groups == "" {
		s.GroupsFrom = known.GroupsFrom
	}
	fill(&s.ClientAuth, known.ClientAuth)
	fill(&s.ClientAuth, ClientSecretBasic)
	if len(s.Scopes) == 0 {
		s.Scopes = known.Scopes
	}
	fill(&s.Claims.Subject, known.Claims.Subject)
	fill(&s.Claims.Name, known.Claims.Name)
	fill(&s.Claims.Name, "name")
	fill(&s.Claims.Email, "email")
	fill(&s.Claims.EmailVerified, "email_verified")
	return s
}

func fill[S ~string](said *S, known S) {
	if *said == "" {
		*said = known
	}
}

// String leaves the secret out, wherever the spec is printed.
func (s OAuth2Spec) String() string { return "oauth2 " + s.Whole().AuthorizationURL + " " + s.ClientID }

func (s OAuth2Spec) clone() OAuth2Spec {
	s.Scopes, s.GroupsFrom = slices.Clone(s.Scopes), slices.Clone(s.GroupsFrom)
	for i := range s.GroupsFrom {
		s.GroupsFrom[i].Name = slices.Clone(s.GroupsFrom[i].Name)
	}
	return s
}

// ShowsSecretTo reports whether both show the client's secret at the same
// addresses.
func (s OAuth2Spec) ShowsSecretTo(o OAuth2Spec) bool {
	s, o = s.Whole(), o.Whole()
	return s.ClientID == o.ClientID && s.TokenURL == o.TokenURL && s.RevocationURL == o.RevocationURL
}

// trustsAnew compares all but what changes nothing about whom the connection
// believes, nor who gets hold of people's access tokens.
func (s OAuth2Spec) trustsAnew(before OAuth2Spec) bool {
	all := [2]OAuth2Spec{s.Whole(), before.Whole()}
	for i := range all {
		all[i].Preset, all[i].ClientSecret, all[i].ClientAuth, all[i].Scopes = "", "", "", nil
	}
	return !reflect.DeepEqual(all[0], all[1])
}

func (s *OAuth2Spec) check() error {
	if _, known := presets[s.Preset]; s.Preset != "" && !known {
		return badConnection("preset is empty or \"github\"").At("preset")
	}
	if s.EmailsURL != "" && (s.Claims.Email != "" || s.Claims.EmailVerified != "") {
		return badConnection("emails_url and a claim for the email exclude each other").At("emails_url")
	}
	if len(s.GroupsFrom) > 0 && s.Claims.Groups != "" {
		return badConnection("groups_from and a claim for the groups exclude each other").At("groups_from")
	}
	whole := s.Whole()
	for _, check := range []func() error{whole.checkAddresses, whole.checkClient, whole.checkGroups, whole.Claims.check} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

// ofRequest are the parameters of an authorisation request, which are ours alone
// to say (RFC 6749 §4.1.1, RFC 7636 §4.3).
var ofRequest = []string{"response_type", "response_mode", "client_id", "redirect_uri", "scope", "state", "code_challenge", "code_challenge_method"}

func (s *OAuth2Spec) checkAddresses() error {
	for _, a := range []struct {
		field, url string
		needed     bool
	}{
		{"authorization_url", s.AuthorizationURL, true},
		{"token_url", s.TokenURL, true},
		{"userinfo_url", s.UserinfoURL, true},
		{"emails_url", s.EmailsURL, false},
		{"revocation_url", s.RevocationURL, false},
	} {
		if _, err := fetchable(a.url); err != nil && (a.needed || a.url != "") {
			return badConnection("%s is an https URL (http only for loopback addresses)", a.field).At(a.field)
		}
	}
	authorization, _ := url.Parse(s.AuthorizationURL) // which was parsed just now
	query, err := url.ParseQuery(authorization.RawQuery)
	if err != nil {
		return badConnection("the query of authorization_url cannot be read").At("authorization_url")
	}
	for _, name := range ofRequest {
		if query.Has(name) {
			return badConnection("authorization_url has the parameter %s, which is not for the address to say", name).At("authorization_url")
		}
	}
	if u, err := fetchable(s.Issuer); s.Issuer != "" && (err != nil || u.RawQuery != "") { // RFC 9207 §2
		return badConnection("issuer is an https URL without query (http only for loopback addresses)").At("issuer")
	}
	return nil
}

func (s *OAuth2Spec) checkClient() error {
	if s.ClientID == "" || len(s.ClientID) > maxClientID || !isText(s.ClientID) {
		return badConnection("client_id is 1 to %d characters", maxClientID).At("client_id")
	}
	if len(s.ClientSecret) > maxSecret {
		return badConnection("client_secret is at most %d bytes", maxSecret).At("client_secret")
	}
	if s.ClientAuth != ClientSecretBasic && s.ClientAuth != ClientSecretPost {
		return badConnection("client_auth is client_secret_basic or client_secret_post").At("client_auth")
	}
	if s.PKCE != "" && s.PKCE != WithoutPKCE {
		return badConnection(`pkce is empty or "none"`).At("pkce")
	}
	if s.PKCE == WithoutPKCE && s.ClientSecret == "" {
		return badConnection("a client without a secret needs PKCE: anybody could redeem its codes").At("pkce")
	}
	if len(s.Scopes) > maxScopes {
		return badConnection("there are at most %d scopes", maxScopes).At("scopes")
	}
	for _, scope := range s.Scopes {
		if scope == "" || !isToken(scope) {
			return badConnection("scopes are words without spaces").At("scopes")
		}
	}
	return nil
}

func (s *OAuth2Spec) checkGroups() error {
	if len(s.GroupsFrom) > maxGroupSources {
		return badConnection("there are at most %d addresses in groups_from", maxGroupSources).At("groups_from")
	}
	for i, from := range s.GroupsFrom {
		field := fmt.Sprintf("groups_from[%d]", i)
		if _, err := fetchable(from.URL); err != nil {
			return badConnection("the URLs of groups_from are https URLs (http only for loopback addresses)").At(field + ".url")
		}
		if len(from.Name) == 0 || len(from.Name) > maxNameParts {
			return badConnection("the name in groups_from has 1 to %d parts", maxNameParts).At(field + ".name")
		}
		for _, path := range from.Name {
			if !isPath(path) {
				return badConnection("the parts of a name in groups_from are names of members, joined by dots").At(field + ".name")
			}
		}
	}
	return nil
}

func (c *OAuth2Claims) check() error {
	if c.Subject == "" {
		return badConnection("claims say no subject: the provider's lasting id for a person").At("claims.subject")
	}
	for _, n := range []struct{ of, path string }{{"subject", c.Subject}, {"email", c.Email}, {"email_verified", c.EmailVerified}, {"name", c.Name}, {"groups", c.Groups}} {
		if n.path != "" && !isPath(n.path) {
			return badConnection("claims are names of members, joined by dots, at most %d characters and %d names", maxToken, maxPathParts).At("claims." + n.of)
		}
	}
	return nil
}

// isPath accepts names joined by dots.
func isPath(s string) bool {
	parts := strings.Split(s, ".")
	return len(s) <= maxToken && isText(s) && len(parts) <= maxPathParts && !slices.Contains(parts, "")
}
