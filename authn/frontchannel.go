package authn

import (
	"net/http"
	"net/url"
	"strings"

	"gatehouse/audit"
	"gatehouse/internal/fault"
	"gatehouse/internal/httpkit"
	"gatehouse/sessions"
	"gatehouse/tenants"
)

// frontChannel is the page that an identity provider shows in a frame when the
// browser signs out there (OpenID Connect Front-Channel Logout §2). It ends the
// session of this browser alone, and only if that is the one that is named; it
// looks the same whether it did or not.
func (s *Service) frontChannel(w http.ResponseWriter, r *http.Request) error {
	page := httpkit.Page{Title: "Sign-out", Lead: "If this browser was signed in from this session of your sign-in service, it no longer is."}
	c, err := s.connectionFor(r, tenants.OIDC)
	if _, _, refused := refusalOf(err); err != nil && !refused {
		return err
	}
	if err == nil {
		page.FramedBy = originOf(c.OIDC.Issuer)
		if err := s.endFramed(w, r, c); err != nil {
			return err
		}
	}
	s.page(w, r, page)
	return nil
}

// endFramed ends the browser's session if it is the one that the provider names.
func (s *Service) endFramed(w http.ResponseWriter, r *http.Request, c tenants.Connection) error {
	if r.Method == http.MethodHead {
		return nil // whoever only looks ends nothing
	}
	caller, err := s.Caller(r)
	if fault.Is(err, fault.Unauthenticated) || fault.Is(err, fault.Denied) {
		err = nil // nobody here, so there is nothing to end
	}
	if err != nil || caller.Live == nil {
		return err
	}
	session, q := caller.Live.Session(), r.URL.Query()
	if session.Connection != c.ID || session.IDPSession == "" || !only(q, "iss", c.OIDC.Issuer) || !only(q, "sid", session.IDPSession) {
		_, err := s.record(r, audit.SignOutRefused, c, Refuse(otherSession, "The browser has another session than the one that was named."))
		return err
	}
	if _, err := s.sessions.Revoke(r.Context(), s.causeOf(r, caller.Principal), session.Tenant, sessions.Selector{Session: session.ID}, sessions.ReasonSignedOutAtProvider); err != nil {
		return err
	}
	httpkit.ClearCookie(w, httpkit.SessionCookie)
	return nil
}

// only reports whether a parameter comes once and has this value.
func only(q url.Values, name, value string) bool {
	return len(q[name]) == 1 && q[name][0] == value
}

// originOf is the origin of an issuer (RFC 6454 §6.1), "" if it has none, or one
// that could say more in a policy than who it is.
func originOf(issuer string) string {
	u, err := url.Parse(issuer)
	if err != nil || u.Host == "" || strings.ContainsAny(u.Host, "*;, '\"") {
		return ""
	}
	return u.Scheme + "://" + u.Host
}
