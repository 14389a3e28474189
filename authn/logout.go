package authn

import (
	"net/http"
	"net/url"

	"gatehouse/audit"
	"gatehouse/identity"
	"gatehouse/internal/httpkit"
	"gatehouse/sessions"
)

// askToSignOut shows the button: a link alone must not sign anybody out. For
// somebody without a session it is the page that says so, and where an
// identity provider sends the browser back to.
func (s *Service) askToSignOut(w http.ResponseWriter, r *http.Request) error {
	caller, err := s.callerAfresh(w, r)
	if err != nil {
		return err
	}
	if caller.Live == nil {
		s.page(w, r, httpkit.Page{Title: "You are signed out", Lead: "Close the browser window if others use this computer.",
			Links: []httpkit.Link{{Text: "Sign in", Href: pathLogin}}})
		return nil
	}
	page := httpkit.Page{Title: "Sign out", Lead: "This ends your session in this browser.",
		Links: []httpkit.Link{{Text: "Stay signed in", Href: "/"}, {Text: "Your devices", Href: pathDevices}}}
	page.Notice = s.news(r, caller.Principal)
	provider := ""
	if u, err := url.Parse(s.providerSignOut(r, caller.Live)); err == nil && u.Host != "" {
		provider = u.Host
		page.FormAction = []string{u.Scheme + "://" + u.Host} // the form's answer leads there
	}
	page.Body, err = body("signout.html", struct{ Action, Provider string }{pathLogout, provider})
	if err != nil {
		return err
	}
	s.page(w, r, page)
	return nil
}

// signOut ends the session here, and only then asks where the identity provider
// ends its own: one that is silent must not keep the session alive. It also
// succeeds for a session that is over, so that the button always does what it
// says.
func (s *Service) signOut(w http.ResponseWriter, r *http.Request) error {
	caller, err := s.callerAfresh(w, r)
	if err != nil {
		return err
	}
	target := pathLogout
	if caller.Live != nil {
		p := caller.Principal
		if _, err := s.sessions.Revoke(r.Context(), s.causeOf(r, p), p.Tenant, sessions.Selector{Session: p.Session}, sessions.ReasonSignedOut); err != nil {
			return err
		}
		if provider := s.providerSignOut(r, caller.Live); provider != "" {
			target = provider
		}
	}
	httpkit.ClearCookie(w, httpkit.SessionCookie)
	httpkit.ClearCookie(w, httpkit.FlowCookie)
	redirect(w, target)
	return nil
}

// providerSignOut is where the identity provider ends its session, "" if
// nowhere. Whatever goes wrong here must not keep anybody signed in.
func (s *Service) providerSignOut(r *http.Request, live *sessions.Live) string {
	ctx, p := r.Context(), live.Principal()
	c, err := s.tenants.ConnectionByID(ctx, p.Tenant, p.Connection)
	if err != nil || s.protocols[c.Type] == nil {
		return ""
	}
	hint, err := s.sessions.LogoutHint(ctx, p.Tenant, p.Session)
	if err != nil {
		s.log.WarnContext(ctx, "no logout hint for the identity provider", "session", p.Session, "error", err)
	}
	target, err := s.protocols[c.Type].SignOut(ctx, p.Tenant, c, hint, httpkit.RequestFrom(ctx).Origin+pathLogout)
	if err != nil {
		s.log.WarnContext(ctx, "sign out here only", "connection", c.Name, "error", err)
		return ""
	}
	return target
}

// causeOf says that a person with a session is behind a change.
func (s *Service) causeOf(r *http.Request, p *identity.Principal) audit.Cause {
	cause := audit.CauseOf(r, p)
	cause.Actor = s.actorOf(r, p)
	return cause
}
