package token

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"strings"
	"time"
	"unicode"

	"gatehouse/identity"
	"gatehouse/internal/fault"
)

// Scope is what a token is for; a token of one scope is worthless elsewhere.
type Scope string

// The scopes.
const (
	ScopeAPI  Scope = "api"
	ScopeSCIM Scope = "scim"
)

const (
	maxName = 100
	// MaxLife is the longest a token can be good for; none lasts for ever.
	MaxLife = 366 * 24 * time.Hour
)

// Token is what is known of a token; its secret is not.
type Token struct {
	ID    identity.TokenID
	Name  string
	Scope Scope
	Role  string // the account-wide role, for ScopeAPI
	// ClientID is set where this is the secret of an OAuth client, which is good for
	// [Service.Grant] alone: secrets that took each other's place have the same.
	ClientID   string
	Connection identity.ConnectionID // whose provider shows it, for ScopeSCIM; empty: none
	Access     identity.Access       // for ScopeSCIM
	CreatedBy  string                // the actor's id or name
	// Owner is the person with whom a token for the API ends; empty: nobody.
	Owner     identity.UserID
	CreatedAt time.Time
	ExpiresAt time.Time
	// LastUsedAt is exact to within the write-behind interval; zero: never used.
	LastUsedAt time.Time
	RevokedAt  time.Time // zero while it is good
	// Successor is the token that takes its place; this one ends with the overlap.
	Successor identity.TokenID
}

// Spec is what a new token is to be.
type Spec struct {
	Name       string
	Scope      Scope
	Role       string
	Client     bool                  // an OAuth client; for ScopeSCIM
	Connection identity.ConnectionID // for ScopeSCIM; empty: of none
	Access     identity.Access       // for ScopeSCIM; none: all
	Owner      identity.UserID       // with whom it ends, for ScopeAPI; empty: nobody
	Expires    time.Time
}

func (s *Spec) check(now time.Time) error {
	s.Name = strings.TrimSpace(s.Name)
	switch {
	case s.Name == "" || len(s.Name) > maxName || strings.ContainsFunc(s.Name, unicode.IsControl):
		return invalid("A token needs a name of 1 to 100 characters.")
	case s.Scope != ScopeAPI && s.Scope != ScopeSCIM:
		return invalid("The scope of a token is api or scim.")
	case s.Scope == ScopeAPI && s.Role == "":
		return invalid("A token for the API needs a role.")
	case s.Scope == ScopeSCIM && s.Role != "":
		return invalid("A token for SCIM has no role: it reaches SCIM alone.")
	case s.Scope != ScopeSCIM && (s.Client || s.Connection != "" || len(s.Access) > 0):
		return invalid("Only SCIM has clients, and tokens that are of a connection or limited to a part of it.")
	case s.Scope != ScopeAPI && s.Owner != "":
		return invalid("A token for SCIM ends with nobody.")
	case !s.Access.Within(identity.AllAccess):
		return invalid("What a SCIM token may do is said in these words: " + identity.AllAccess.String() + ".")
	case !s.Expires.After(now) || s.Expires.After(now.Add(MaxLife)):
		return invalid("A token must end in the future, and within a year.")
	}
	return nil
}

func invalid(detail string) error { return fault.New(fault.Invalid, "bad-token-request", detail) }

// digest is how a secret is kept: with 256 random bits there is nothing to
// guess, so it needs no salt and no slow hash.
type digest [sha256.Size]byte

func newSecret() (string, digest) {
	var raw [32]byte
	_, _ = rand.Read(raw[:]) // never fails: crypto/rand aborts the program instead
	secret := identity.TokenPrefix + base64.RawURLEncoding.EncodeToString(raw[:])
	return secret, sha256.Sum256([]byte(secret))
}

func wellFormed(secret string) bool {
	return len(secret) == identity.TokenLength && strings.HasPrefix(secret, identity.TokenPrefix)
}
