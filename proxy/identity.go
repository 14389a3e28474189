package proxy

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"gatehouse/assertion"
	"gatehouse/authz"
	"gatehouse/identity"
	"gatehouse/proxy/upstream"
	"gatehouse/sessions"
)

// refreshBefore is how long before its end an assertion is replaced, so that
// the app never gets one that ends while it works.
const refreshBefore = time.Minute

// maxTokens bounds the prepared identities of API tokens and services.
const maxTokens = 4096

// maxList bounds the groups, the roles and the teams of one caller, each, in
// bytes as sent: app servers take some 8 KiB of a field, verifiers
// [assertion.MaxSize] in all.
const maxList = 3 << 10

// caller is who makes a request; the zero value is nobody.
type caller struct {
	principal *identity.Principal
	live      *sessions.Live // of a person
}

// prepared is an identity as bytes, to be sent with every request of a session
// or token until something about it changes.
type prepared struct {
	block   upstream.Block
	version uint64 // of policy and directory
	origin  string
	until   time.Time
}

func (p *prepared) good(version uint64, origin string, now time.Time) bool {
	return p != nil && p.version == version && p.origin == origin && now.Before(p.until)
}

// identify gives the fields that tell the app who calls.
func (g *Gate) identify(v *visit) (upstream.Block, error) {
	p, live := v.caller.principal, v.caller.live
	if p == nil {
		return upstream.NewBlock(g.config.Headers.Tenant, encode(v.TenantName))
	}
	version := g.config.Decider.Version(v.tenant.ID)
	var kept *prepared
	if live != nil {
		kept, _ = live.Memo().(*prepared)
	} else {
		kept = g.tokens.get(p)
	}
	if kept.good(version, v.Origin, v.Start) {
		return kept.block, nil
	}
	made, err := g.prepare(v.r.Context(), v)
	if err != nil {
		return upstream.Block{}, err
	}
	if live != nil {
		live.SetMemo(made)
	} else {
		g.tokens.put(p, made)
	}
	return made.block, nil
}

// prepare asks authz what the caller is, has the assertion signed and renders
// both. The version it is kept under is the profile's own, so that a change
// which happens meanwhile is not missed.
func (g *Gate) prepare(ctx context.Context, v *visit) (*prepared, error) {
	profile, err := g.config.Decider.Profile(ctx, v.caller.principal)
	if err != nil {
		return nil, fmt.Errorf("profile for the app: %w", err)
	}
	claims := claimsOf(v, profile)
	leaveOutLong(&claims)
	token, expires, err := g.config.Minter.Mint(claims)
	if err != nil {
		return nil, fmt.Errorf("assertion for the app: %w", err)
	}
	n := g.config.Headers
	pairs := []string{n.Assertion, token, n.Tenant, encode(claims.TenantName), n.User, encode(claims.Subject)}
	for _, field := range [][2]string{
		{n.Email, encode(claims.Email)}, {n.Name, encode(claims.Name)}, {n.Groups, encodeList(claims.Groups)},
		{n.Roles, encodeList(claims.Roles)}, {n.Teams, encodeTeams(claims.Teams)}, {n.Session, encode(claims.Session)},
	} {
		if field[1] != "" {
			pairs = append(pairs, field[0], field[1])
		}
	}
	block, err := upstream.NewBlock(pairs...)
	if err != nil {
		return nil, fmt.Errorf("identity for the app: %w", err)
	}
	return &prepared{block: block, version: profile.Version, origin: v.Origin, until: expires.Add(-refreshBefore)}, nil
}

func claimsOf(v *visit, profile *authz.Profile) assertion.Claims {
	p := v.caller.principal
	c := assertion.Claims{
		Issuer: v.Origin, Subject: p.ID, TenantID: string(p.Tenant), TenantName: v.TenantName,
		Kind: string(p.Kind), Session: string(p.Session), Email: profile.Person.Email, Name: profile.Person.Name,
		Roles: profile.Roles, AuthTime: p.AuthTime, AMR: p.AMR, ACR: p.ACR,
	}
	if c.Name == "" {
		c.Name = p.Name
	}
	for _, group := range profile.Person.Groups {
		c.Groups = append(c.Groups, group.Name)
	}
	if len(profile.Teams) > 0 {
		c.Teams = make(map[string][]string, len(profile.Teams))
		for _, team := range profile.Teams {
			c.Teams[team.Team] = team.Roles
		}
	}
	return c
}

// leaveOutLong drops each list that is too long for a field or the assertion,
// and says so: a list cut short would pass for a whole one.
func leaveOutLong(c *assertion.Claims) {
	if long(c.Groups, encodeList(c.Groups)) {
		c.Groups, c.LeftOut = nil, append(c.LeftOut, "groups")
	}
	if long(c.Roles, encodeList(c.Roles)) {
		c.Roles, c.LeftOut = nil, append(c.LeftOut, "roles")
	}
	if long(c.Teams, encodeTeams(c.Teams)) {
		c.Teams, c.LeftOut = nil, append(c.LeftOut, "teams")
	}
}

// long reports whether a list is over maxList in either of its forms.
func long(list any, field string) bool {
	if len(field) > maxList {
		return true
	}
	text, err := json.Marshal(list)
	return err != nil || len(text) > maxList
}

// encode makes any text a field value: visible ASCII stands for itself, and
// every other byte of its UTF-8 form, the percent sign, and the comma and the
// colon that lists are made of, are percent-encoded (RFC 3986 §2.1). Spaces
// inside stay. Whoever splits first and decodes then gets the very text back.
func encode(s string) string {
	for i := range len(s) {
		if !plainByte(s, i) {
			return encodeSlow(s)
		}
	}
	return s
}

func encodeSlow(s string) string {
	const digits = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		if plainByte(s, i) {
			b.WriteByte(c)
			continue
		}
		b.WriteByte('%')
		b.WriteByte(digits[c>>4])
		b.WriteByte(digits[c&15])
	}
	return b.String()
}

// plainByte reports whether the byte stands for itself; a space at either end
// would be trimmed on the way (RFC 9110 §5.5).
func plainByte(s string, i int) bool {
	switch c := s[i]; c {
	case '%', ',', ':':
		return false
	case ' ':
		return i > 0 && i < len(s)-1
	default:
		return c > ' ' && c < 0x7f
	}
}

// encodeList joins the encoded items with commas.
func encodeList(items []string) string {
	encoded := make([]string, len(items))
	for i, item := range items {
		encoded[i] = encode(item)
	}
	return strings.Join(encoded, ",")
}

// encodeTeams lists a pair team:role for every role in every team.
func encodeTeams(teams map[string][]string) string {
	var pairs []string
	for _, team := range slices.Sorted(maps.Keys(teams)) {
		for _, role := range teams[team] {
			pairs = append(pairs, encode(team)+":"+encode(role))
		}
	}
	return strings.Join(pairs, ",")
}

// tokenIdentities keeps what is prepared for API tokens and services, which have
// no session to keep it in; what a service is called, and its role, may change. When it is full, whatever the map yields first makes room.
type tokenIdentities struct {
	mu   sync.Mutex
	kept map[tokenKey]*prepared
}

type tokenKey struct {
	tenant         identity.TenantID
	id, name, role string
}

func keyOf(p *identity.Principal) tokenKey { return tokenKey{p.Tenant, p.ID, p.Name, p.Role} }

func newTokenIdentities() *tokenIdentities {
	return &tokenIdentities{kept: map[tokenKey]*prepared{}}
}

func (t *tokenIdentities) get(p *identity.Principal) *prepared {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.kept[keyOf(p)]
}

func (t *tokenIdentities) put(p *identity.Principal, made *prepared) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.kept) >= maxTokens {
		for key := range t.kept {
			delete(t.kept, key)
			break
		}
	}
	t.kept[keyOf(p)] = made
}
