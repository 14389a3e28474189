package machine

import (
	"context"
	"crypto/x509"
	"net/url"
	"slices"
	"time"

	"gatehouse/authn"
	"gatehouse/identity"
	"gatehouse/internal/httpkit"
)

// maxShown bounds a client's chain, which TLS bounds in bytes.
const maxShown = 6

const badCertificate = "The client certificate of the connection is not valid here."

// Why a certificate is not taken.
const (
	certificateExpired   authn.Reason = "certificate-expired"
	certificatePurpose   authn.Reason = "certificate-purpose"
	certificateUntrusted authn.Reason = "certificate-untrusted"
	certificateUnknown   authn.Reason = "certificate-unknown"
)

// Certificate implements [authn.Machines]. The certificate is that of the
// connection, and the answer of this moment: a service that is changed has no old
// connections.
func (v *Verifier) Certificate(ctx context.Context, tenant identity.TenantID, shown []*x509.Certificate) (*identity.Principal, error) {
	s, err := v.of(ctx, tenant)
	if err != nil || len(s.shown) == 0 || len(shown) == 0 {
		return nil, err
	}
	key, now := certificateKey(shown[0]), v.now()
	if known, ok := s.good.get(key, now); ok {
		return known.principal, nil
	}
	if known, ok := s.bad.get(key, now); ok {
		return nil, known.err
	}
	if err := httpkit.Haste(ctx); err != nil {
		return nil, err
	}
	h, until, refusal := s.certified(shown, now)
	if refusal != nil {
		err := answer(refusal, "invalid-certificate", badCertificate)
		s.bad.put(key, verdict{err: err, until: now.Add(refuseFor)})
		return nil, err
	}
	p := v.recognised(s, h, until)
	p.ByCertificate = true
	s.good.put(key, verdict{principal: p, until: earlier(until, now.Add(rememberFor))})
	return p, nil
}

// certified finds whose a certificate is.
func (s *snapshot) certified(shown []*x509.Certificate, now time.Time) (found *holder, until time.Time, refusal *authn.Refusal) {
	leaf := shown[0]
	if len(shown) > maxShown {
		return nil, until, authn.Refuse(certificateUntrusted, "The client shows more than %d certificates.", maxShown)
	}
	refusal = authn.Refuse(certificateUnknown, "The client certificate is that of no service.")
	for _, r := range s.shown {
		ends, why := r.check(leaf, shown[1:], now)
		if why != nil {
			if why.Reason != certificateUnknown {
				refusal = why
			}
			continue
		}
		if found != nil && found.id != r.id {
			return nil, until, authn.Refuse(ambiguousToken, "The client certificate would be that of two services, %s and %s.", found.name, r.name)
		}
		found, until = r.holder, ends
	}
	if found == nil {
		return nil, until, refusal
	}
	return found, until, nil
}

// check looks at a certificate by one rule: is it meant by it, and is it good.
func (r *shownRule) check(leaf *x509.Certificate, above []*x509.Certificate, now time.Time) (until time.Time, refusal *authn.Refusal) {
	switch {
	case r.roots == nil && certificateKey(leaf) != r.pinned,
		r.SANURI != "" && !slices.ContainsFunc(leaf.URIs, func(u *url.URL) bool { return u.String() == r.SANURI }),
		r.SANDNS != "" && !isDNS(leaf.DNSNames, r.SANDNS):
		return until, authn.Refuse(certificateUnknown, "The client certificate is that of no service.")
	case now.Before(leaf.NotBefore), !now.Before(leaf.NotAfter):
		return until, authn.Refuse(certificateExpired, "The client certificate has expired, or is not good yet.")
	case !mayAuthenticate(leaf, r.roots == nil):
		return until, authn.Refuse(certificatePurpose, "The client certificate is not for the authentication of clients.")
	case r.roots == nil:
		return leaf.NotAfter, nil // it is the very one that an admin has named
	}
	between := x509.NewCertPool()
	for _, c := range above {
		between.AddCert(c)
	}
	chains, err := leaf.Verify(x509.VerifyOptions{Roots: r.roots, Intermediates: between, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	if err != nil {
		return until, authn.Refuse(certificateUntrusted, "The client certificate was not issued by the service's authority, or one of those in between is not good.").Because(err)
	}
	until = leaf.NotAfter
	for _, c := range chains[0] {
		until = earlier(until, c.NotAfter)
	}
	return until, nil
}

// mayAuthenticate looks at the extended key usage (RFC 5280 §4.2.1.12). Whoever
// makes a certificate for themselves often leaves it out.
func mayAuthenticate(leaf *x509.Certificate, mayLack bool) bool {
	if mayLack && len(leaf.ExtKeyUsage) == 0 && len(leaf.UnknownExtKeyUsage) == 0 {
		return true
	}
	return slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageClientAuth)
}
