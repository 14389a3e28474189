package authn

import (
	"context"
	"crypto/x509"
	"net/http"

	"gatehouse/identity"
	"gatehouse/internal/fault"
)

// Machines recognises a tenant's services by what somebody else has issued to
// them. Where it cannot be known whose something is, that is a fault of kind
// Unavailable, and what is not good is one of kind Unauthenticated.
type Machines interface {
	// Bearer says whose a bearer token is, which is none of ours. shown is the
	// certificate that the connection was opened with, and those above it. Where a
	// tenant has no service that shows tokens, nobody is recognised: what is shown
	// is the app's own business.
	Bearer(ctx context.Context, tenant identity.TenantID, token string, shown []*x509.Certificate) (*identity.Principal, error)
	// MayBear reports whether a token may be one by which a service is recognised,
	// without finding out.
	MayBear(ctx context.Context, tenant identity.TenantID, token string) (bool, error)
	// Certificate says whose a client certificate is; nobody's where a tenant has no
	// service with one.
	Certificate(ctx context.Context, tenant identity.TenantID, shown []*x509.Certificate) (*identity.Principal, error)
}

// shownBy gives the certificates that a program has opened its connection with.
// TLS has made sure that it has the key; who has issued them has not been looked
// at. Those of a browser say nothing: whichever page it shows, it would send them
// along, and so a request that says where it comes from (Fetch Metadata, Origin) is
// none of a program's.
func shownBy(r *http.Request) []*x509.Certificate {
	if r.Header["Sec-Fetch-Site"] != nil || r.Header["Origin"] != nil {
		return nil
	}
	return peers(r)
}

func peers(r *http.Request) []*x509.Certificate {
	if r.TLS == nil {
		return nil
	}
	return r.TLS.PeerCertificates
}

// certified adds what a client certificate says to what the other credentials of a
// request do. A certificate that is nobody's is an error only if there is nothing
// else; one of another caller makes it ambiguous.
func (s *Service) certified(r *http.Request, caller Caller) (Caller, error) {
	shown := shownBy(r)
	if len(shown) == 0 {
		return caller, nil
	}
	p, err := s.machines.Certificate(r.Context(), tenantOf(r), shown)
	switch {
	case caller.Principal == nil:
		return Caller{Principal: p}, err
	case fault.Is(err, fault.Unauthenticated):
		return caller, nil
	case err != nil:
		return Caller{}, err
	case p != nil && p.ID != caller.Principal.ID:
		return Caller{}, ambiguous("The request carries a credential of one caller over a connection with the certificate of another; send one of them.")
	}
	return caller, nil
}
