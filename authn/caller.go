package authn

import (
	"context"
	"net/http"
	"net/netip"
	"strings"

	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/internal/httpkit"
	"gatehouse/sessions"
	"gatehouse/tenants"
)

// Caller is who makes a request.
type Caller struct {
	// Principal is nil for an anonymous caller.
	Principal *identity.Principal
	// Live is the session, for a person.
	Live *sessions.Live
}

// Caller finds out who makes a request. What is ambiguous is refused: two
// session cookies, two Authorization headers, a session and a token, a certificate
// of somebody else. A session
// that is unknown or over is nobody's, so that a browser is sent to sign in; a
// token that does not verify is an error, since a program that shows one means
// it. Both kinds of error are [fault.Unauthenticated].
//
// What an identity provider says of sign-outs counts by its signature, whichever
// browser brings it: its requests are nobody's, also from a network from which
// the browser's own session would not be let in.
func (s *Service) Caller(r *http.Request) (Caller, error) {
	if saysSignOut(r.URL.Path) {
		return Caller{}, nil
	}
	return s.bearerOf(r)
}

// saysSignOut reports whether an address is for messages of identity providers.
func saysSignOut(path string) bool {
	return strings.HasPrefix(path, pathSAML) && strings.HasSuffix(path, "/slo") ||
		strings.HasPrefix(path, pathOIDC) && strings.HasSuffix(path, "/backchannel-logout") ||
		strings.HasPrefix(path, pathSignals)
}

// bearerOf finds out whose the credentials of a request are, and whether they may
// come from where they do.
func (s *Service) bearerOf(r *http.Request) (Caller, error) {
	caller, err := s.shown(r)
	if err == nil {
		caller, err = s.certified(r, caller)
	}
	if err != nil || caller.Principal == nil {
		return Caller{}, err
	}
	if err := s.admits(r, caller.Principal, caller.Live); err != nil {
		return Caller{}, err
	}
	return caller, nil
}

// shown finds out whose the credentials are that stand in a request.
func (s *Service) shown(r *http.Request) (Caller, error) {
	cookie, cookies := httpkit.ReadCookie(r, httpkit.SessionCookie)
	token, ours, err := bearer(r)
	if err != nil {
		return Caller{}, err
	}
	theirs := token != "" && !ours
	if cookies == 1 && theirs {
		// It is the app's own business unless a service could show it.
		if theirs, err = s.machines.MayBear(r.Context(), tenantOf(r), token); err != nil {
			return Caller{}, err
		}
	}
	switch {
	case cookies > 1:
		return Caller{}, ambiguous("The request carries more than one session cookie.")
	case cookies == 1 && (ours || theirs):
		return Caller{}, ambiguous("The request carries a session and a token; send one of them.")
	case ours && isProgramToken(token):
		live, err := s.sessions.FindProgram(r.Context(), tenantOf(r), token)
		if err != nil {
			return Caller{}, err
		}
		if err := s.admits(r, live.Principal(), live); err != nil {
			return Caller{}, err
		}
		return Caller{Principal: live.Principal(), Live: live}, nil
	case ours:
		p, err := s.tokens.Verify(r.Context(), tenantOf(r), token)
		return Caller{Principal: p}, err
	case theirs:
		p, err := s.machines.Bearer(r.Context(), tenantOf(r), token, peers(r))
		return Caller{Principal: p}, err
	case cookies == 1 && len(cookie) == tokenLength:
		live, err := s.sessions.Find(r.Context(), tenantOf(r), cookie)
		if fault.Is(err, fault.Unauthenticated) {
			return Caller{}, nil
		}
		if err != nil {
			return Caller{}, err
		}
		return Caller{Principal: live.Principal(), Live: live}, nil
	}
	return Caller{}, nil
}

var (
	errNetwork = fault.New(fault.Denied, "network-not-allowed",
		"Your organisation does not allow the network that you come from. Connect from another one, or ask your administrator.")
	errRoleNetwork = fault.New(fault.Denied, "network-not-allowed-for-role",
		"Your organisation does not allow the network that you come from for one of your roles. Connect from another one, or ask your administrator.")
	errDeviceLogin = fault.New(fault.Denied, "device-login-refused", "Your organisation does not allow programs to be signed in this way. Use an API token, or ask your administrator.")
	errDevice      = fault.New(fault.Unauthenticated, "device-mismatch", "This sign-in belongs to another device. Sign in on this one.")
)

// admits refuses what the tenant's settings do not allow: other networks, and a
// session that comes without the device on which it was made. A SCIM token is
// the identity provider's, which has networks of its own.
func (s *Service) admits(r *http.Request, p *identity.Principal, live *sessions.Live) error {
	t, ok := s.tenants.ByID(p.Tenant)
	if !ok || p.Kind == identity.KindSCIMToken {
		return nil
	}
	if r.URL.Path != pathLogout { // whoever wants out is let go from anywhere
		if err := s.admitsFrom(r.Context(), &t.Settings.Session, p, httpkit.RequestFrom(r.Context()).ClientIP); err != nil {
			return err
		}
	}
	// A program has one secret, which is both.
	if live != nil && !p.Program && t.Settings.Session.BindDevice {
		if device, _ := httpkit.ReadCookie(r, httpkit.DeviceCookie); !live.On(device) {
			return errDevice
		}
	}
	return nil
}

// Admits refuses somebody who has something open and comes from a network that is
// not, or no longer, allowed for them: by the tenant's settings, or by a role.
func (s *Service) Admits(ctx context.Context, p *identity.Principal, ip netip.Addr) error {
	t, ok := s.tenants.ByID(p.Tenant)
	if !ok || p.Kind == identity.KindSCIMToken {
		return nil
	}
	return s.admitsFrom(ctx, &t.Settings.Session, p, ip)
}

// admitsFrom is on the way of every request; only tenants whose roles have
// networks are asked for somebody's roles. Where those cannot be known nobody is
// let in (P7).
func (s *Service) admitsFrom(ctx context.Context, set *tenants.SessionSettings, p *identity.Principal, ip netip.Addr) error {
	if p.Program && set.DeviceLogin == tenants.RefuseDeviceLogin {
		return errDeviceLogin
	}
	if !set.Admits(ip) {
		return errNetwork
	}
	if len(set.RoleNetworks) == 0 {
		return nil
	}
	roles, err := s.roles.Held(ctx, p)
	if err != nil {
		return err
	}
	if !set.AdmitsRoles(roles, ip) {
		return errRoleNetwork
	}
	return nil
}

// callerAfresh is [Service.Caller] where people get in and out: somebody whose
// credentials cannot be told apart is nobody there, and rid of the cookies that
// would keep them from ever signing in.
func (s *Service) callerAfresh(w http.ResponseWriter, r *http.Request) (Caller, error) {
	caller, err := s.Caller(r)
	if fault.Is(err, fault.Unauthenticated) {
		httpkit.ClearCookie(w, httpkit.SessionCookie)
		return Caller{}, nil
	}
	return caller, err
}

// bearer finds a bearer token (RFC 6750 §2.1), and whether it is one of ours.
func bearer(r *http.Request) (token string, ours bool, err error) {
	headers := r.Header["Authorization"]
	if len(headers) > 1 {
		return "", false, ambiguous("The request carries more than one Authorization header.")
	}
	if len(headers) == 0 {
		return "", false, nil
	}
	scheme, credential, _ := strings.Cut(strings.TrimSpace(headers[0]), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return "", false, nil
	}
	credential = strings.TrimSpace(credential)
	return credential, strings.HasPrefix(credential, identity.TokenPrefix), nil
}

// isProgramToken tells the token of a program's session from an API token, whose
// random part may begin with the same letters: it is longer.
func isProgramToken(token string) bool {
	return len(token) == identity.ProgramTokenLength && strings.HasPrefix(token, identity.ProgramTokenPrefix)
}

func ambiguous(detail string) error {
	return fault.New(fault.Unauthenticated, "ambiguous-credentials", detail)
}
