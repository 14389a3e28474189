package assertion

import (
	"errors"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Audience is the aud claim of every assertion: what is made for the app is
// good for the app alone.
const Audience = "app"

// Header is the request header that carries the assertion, unless the gate's
// configuration says otherwise.
const Header = "X-Gatehouse-Assertion"

// MaxSize bounds an assertion, in bytes, before it is looked at; none that is
// longer is ever signed.
const MaxSize = 16 << 10

// Origin is the issuer for a host, however a request spells it: in lower case
// and without the port that https has anyway (RFC 6454 §6.2, RFC 9110 §4.2.3).
func Origin(host string) string {
	return "https://" + strings.TrimSuffix(strings.ToLower(host), ":443")
}

// Claims are what an assertion says.
type Claims struct {
	// Issuer is the [Origin] of the tenant's host: "https://acme.example.com".
	Issuer string
	// Subject is the stable id of the person, or of the API token.
	Subject string
	// Kind is "user" for a person and "api_token" for a program.
	Kind string
	// TenantID is stable for ever, TenantName is what people call it.
	TenantID   string
	TenantName string
	// Session is empty for an API token.
	Session string
	Email   string
	Name    string
	Groups  []string
	// Roles hold in the whole account, Teams maps a team to the roles there.
	Roles []string
	Teams map[string][]string
	// LeftOut names the lists ("groups", "roles", "teams") that are too long to
	// be sent with every request, and therefore missing: no list is ever cut.
	LeftOut []string
	// AuthTime is when the person last proved who they are, AMR and ACR how
	// (RFC 8176, OpenID Connect Core §2).
	AuthTime time.Time
	AMR      []string
	ACR      string

	// ID, IssuedAt and Expires are filled when the assertion is signed.
	ID       string
	IssuedAt time.Time
	Expires  time.Time
}

// Wire is the JSON form of the claims (RFC 7519 §4), for whoever signs or
// parses them.
type Wire struct {
	jwt.RegisteredClaims

	Kind     string              `json:"kind"`
	Tenant   string              `json:"tenant"`
	TenantID string              `json:"tid"`
	Session  string              `json:"sid,omitempty"`
	Email    string              `json:"email,omitempty"`
	Name     string              `json:"name,omitempty"`
	Groups   []string            `json:"groups,omitempty"`
	Roles    []string            `json:"roles,omitempty"`
	Teams    map[string][]string `json:"teams,omitempty"`
	LeftOut  []string            `json:"left_out,omitempty"`
	AuthTime *jwt.NumericDate    `json:"auth_time,omitempty"`
	AMR      []string            `json:"amr,omitempty"`
	ACR      string              `json:"acr,omitempty"`
}

// Validate is called by the JWT library after its own checks.
func (w *Wire) Validate() error {
	if w.Subject == "" || w.TenantID == "" || w.Tenant == "" {
		return errors.New("assertion: subject or tenant is missing")
	}
	return nil
}

// ToWire gives the JSON form of c.
func (c Claims) ToWire() *Wire {
	w := &Wire{
		RegisteredClaims: jwt.RegisteredClaims{
			Issuer: c.Issuer, Subject: c.Subject, Audience: jwt.ClaimStrings{Audience}, ID: c.ID,
			IssuedAt: jwt.NewNumericDate(c.IssuedAt), NotBefore: jwt.NewNumericDate(c.IssuedAt),
			ExpiresAt: jwt.NewNumericDate(c.Expires),
		},
		Kind: c.Kind, Tenant: c.TenantName, TenantID: c.TenantID, Session: c.Session, Email: c.Email, Name: c.Name,
		Groups: c.Groups, Roles: c.Roles, Teams: c.Teams, LeftOut: c.LeftOut, AMR: c.AMR, ACR: c.ACR,
	}
	if !c.AuthTime.IsZero() {
		w.AuthTime = jwt.NewNumericDate(c.AuthTime)
	}
	return w
}

func (w *Wire) claims() Claims {
	c := Claims{
		Issuer: w.Issuer, Subject: w.Subject, Kind: w.Kind, TenantID: w.TenantID, TenantName: w.Tenant,
		Session: w.Session, Email: w.Email, Name: w.Name, Groups: w.Groups, Roles: w.Roles, Teams: w.Teams,
		LeftOut: w.LeftOut, AMR: w.AMR, ACR: w.ACR, ID: w.ID,
	}
	if w.IssuedAt != nil {
		c.IssuedAt = w.IssuedAt.UTC()
	}
	if w.ExpiresAt != nil {
		c.Expires = w.ExpiresAt.UTC()
	}
	if w.AuthTime != nil {
		c.AuthTime = w.AuthTime.UTC()
	}
	return c
}
