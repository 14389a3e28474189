package machine

import (
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"hash/fnv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"gatehouse/identity"
	"gatehouse/machines"
	"gatehouse/tenants"
)

// snapshot is what a tenant's services are recognised by at one moment, and who was
// recognised by it: with the one the other is forgotten.
type snapshot struct {
	tenant      identity.TenantID
	signed      map[string][]signedRule // by issuer
	asked       []inquiry
	shown       []shownRule
	names       int            // how long those of authorities are, in bytes
	authorities *x509.CertPool // of certificates; nil: there are none

	good      memory // of tokens and certificates
	bad       memory
	inquiries singleflight.Group
}

// holder is whose a credential is.
type holder struct {
	id         identity.ServiceID
	name, role string
	state      uint64
}

// mixed is no state of a service.
const mixed = 0

// stateOf is another number for whatever else a service is recognised by: its own
// version, and those of the connections whose provider vouches for it.
func stateOf(m machines.Machine, connections []tenants.Connection) uint64 {
	h := fnv.New64a()
	_, _ = fmt.Fprint(h, m.Version) // a hash takes everything
	for _, credential := range m.Credentials {
		for _, c := range connections {
			if credential.JWT != nil && credential.JWT.ConnectionID == c.ID {
				_, _ = fmt.Fprint(h, " ", c.ID, " ", c.Version)
			}
		}
	}
	return max(h.Sum64(), mixed+1)
}

// signedRule is a signed token by which a service is recognised.
type signedRule struct {
	*holder
	machines.JWT
	from tenants.Connection // whose keys; see origin
}

// inquiry is one client by which the authorization server is asked.
type inquiry struct {
	endpoint, clientID, secret string
	rules                      []askedRule
}

type askedRule struct {
	*holder
	issuer string
	machines.Claims
}

// shownRule is a certificate by which a service is recognised.
type shownRule struct {
	*holder
	machines.Certificate
	roots  *x509.CertPool
	pinned [sha256.Size]byte
}

// newSnapshot reads the credentials of those services that are enabled. What
// became impossible since it was kept recognises nobody.
func newSnapshot(tenant identity.TenantID, all []machines.Machine, connections []tenants.Connection) *snapshot {
	s := &snapshot{tenant: tenant, signed: map[string][]signedRule{}, good: newMemory(), bad: newMemory()}
	for _, m := range all {
		if !m.Enabled {
			continue
		}
		h := &holder{id: m.ID, name: m.DisplayName, role: m.Role, state: stateOf(m, connections)}
		for _, c := range m.Credentials {
			switch {
			case c.JWT != nil:
				s.addSigned(h, *c.JWT, connections)
			case c.Introspection != nil:
				s.addAsked(h, c.Introspection)
			case c.Certificate != nil:
				s.addShown(h, *c.Certificate)
			}
		}
	}
	return s
}

// addSigned leaves out tokens of a connection that is not there or closed, and those
// that are for the gate itself: such are the connection's id tokens.
func (s *snapshot) addSigned(h *holder, jwt machines.JWT, connections []tenants.Connection) {
	for _, c := range connections {
		if c.OIDC == nil {
			continue
		}
		if c.ID == jwt.ConnectionID && c.Enabled {
			jwt.Issuer = c.OIDC.Issuer
		}
	}
	for _, c := range connections {
		if c.OIDC != nil && c.OIDC.Issuer == jwt.Issuer && c.OIDC.ClientID == jwt.Audience {
			return
		}
	}
	if jwt.Issuer == "" {
		return
	}
	s.signed[jwt.Issuer] = append(s.signed[jwt.Issuer], signedRule{holder: h, JWT: jwt, from: origin(jwt.Issuer, jwt.JWKSURL)})
}

func (s *snapshot) addAsked(h *holder, i *machines.Introspection) {
	rule := askedRule{holder: h, issuer: i.Issuer, Claims: i.Claims}
	for n := range s.asked {
		if at := &s.asked[n]; at.endpoint == i.Endpoint && at.clientID == i.AuthClientID && at.secret == i.AuthClientSecret {
			at.rules = append(at.rules, rule)
			return
		}
	}
	s.asked = append(s.asked, inquiry{endpoint: i.Endpoint, clientID: i.AuthClientID, secret: i.AuthClientSecret, rules: []askedRule{rule}})
}

func (s *snapshot) addShown(h *holder, c machines.Certificate) {
	rule := shownRule{holder: h, Certificate: c}
	all, err := machines.ParsePEM(c.CA + c.Pinned)
	if err != nil || len(all) == 0 {
		return
	}
	if s.authorities == nil {
		s.authorities = x509.NewCertPool()
	}
	if c.Pinned != "" {
		rule.pinned = sha256.Sum256(all[0].Raw)
		// Its issuer is asked for, of whom there is nothing but the name.
		s.authorities.AddCert(&x509.Certificate{Raw: all[0].Raw, RawSubject: all[0].RawIssuer})
	} else {
		rule.roots = x509.NewCertPool()
		for _, authority := range all {
			rule.roots.AddCert(authority)
			s.authorities.AddCert(authority)
		}
	}
	s.shown = append(s.shown, rule)
	for _, authority := range all {
		s.names += len(authority.RawIssuer) + len(authority.RawSubject)
	}
	if s.names > maxNames {
		s.authorities = x509.NewCertPool()
	}
}

// maxNames is how long the names are in all that a handshake tells whose certificates
// are asked for, in bytes: a longer list fits into none (RFC 8446 §4.2.4). Without
// it, clients show what they have.
const maxNames = 16 << 10

// bearers reports whether any service shows tokens.
func (s *snapshot) bearers() bool { return len(s.signed) > 0 || len(s.asked) > 0 }

// matches reports whether claims are those that a rule wants of aud, sub, and the
// names by which authorization servers know clients.
func matches(want machines.Claims, audiences []string, subject string, clients []string) bool {
	if want.Subject != "" && want.Subject != subject {
		return false
	}
	if want.ClientID != "" {
		if len(clients) == 0 {
			return false
		}
		for _, c := range clients {
			if c != want.ClientID {
				return false
			}
		}
	}
	for _, a := range audiences {
		if a == want.Audience {
			return true
		}
	}
	return false
}

const (
	// maxRemembered bounds what is remembered of one tenant.
	maxRemembered = 2048
	// rememberFor is how long somebody who was recognised is not looked at again.
	rememberFor = time.Minute
	// refuseFor is how long what was refused is not looked at again, where looking
	// costs much.
	refuseFor = 5 * time.Second
)

// digest is how a credential is remembered: what it is cannot be read from it.
type digest [sha256.Size]byte

// verdict is what came of looking at a credential.
type verdict struct {
	principal *identity.Principal
	err       error
	bound     *digest // of the certificate that a token is bound to; nil: to none
	until     time.Time
}

// memory keeps verdicts for a moment. When it is full, whatever the map yields first
// makes room.
type memory struct {
	mu   *sync.RWMutex
	kept map[digest]verdict
}

func newMemory() memory { return memory{mu: &sync.RWMutex{}, kept: map[digest]verdict{}} }

func (m memory) get(key digest, now time.Time) (verdict, bool) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	v, ok := m.kept[key]
	return v, ok && now.Before(v.until)
}

func (m memory) put(key digest, v verdict) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for other := range m.kept {
		if len(m.kept) < maxRemembered {
			break
		}
		delete(m.kept, other)
	}
	m.kept[key] = v
}

func (m memory) drop(key digest) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.kept, key)
}

// earlier is the earlier of two times.
func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// tokenKey and certificateKey keep both kinds of credential apart.
func tokenKey(raw string) digest { return sha256.Sum256([]byte("token " + raw)) }

func certificateKey(c *x509.Certificate) digest { return sha256.Sum256(c.Raw) }

// isDNS compares a certificate's name with the one that is wanted: names are the
// same in any case (RFC 4343).
func isDNS(names []string, want string) bool {
	for _, n := range names {
		if strings.EqualFold(n, want) {
			return true
		}
	}
	return false
}
