package authn

import (
	"net/http"
	"net/url"

	"gatehouse/audit"
	"gatehouse/identity"
	"gatehouse/internal/httpkit"
	"gatehouse/sessions"
)

// signedOutPage is for somebody without a session.
var signedOutPage = httpkit.Page{Title: "You are signed out", Lead: "Close the browser window if others use this computer.",
	Links: []httpkit.Link{{Text: "Sign in", Href: pathLogin}}}

// askToSignOut shows the button: a link alone must not sign anybody out. For
// somebody without a session it is the page that says so, and where an
// identity provider sends the browser back to.
func (s *Service) askToSignOut(w http.ResponseWriter, r *http.Request) error {
	caller, err := s.callerAfresh(w, r)
	if err != nil {
		return err
	}
	if caller.Live == nil {
		s.page(w, r, signedOutPage)
		return nil
	}
	page := httpkit.Page{Title: "Sign out", Lead: "This ends your session in this browser.",
		Links: []httpkit.Link{{Text: "Stay signed in", Href: "/"}, {Text: "Your devices", Href: pathDevices}}}
	var away Departure
	if s.inside(r, caller) {
		page.Notice = s.news(r, caller.Principal)
		away = s.providerSignOut(r, caller.Live, newToken())
	}
	provider := ""
	if u, err := url.Parse(away.URL); err == nil && u.Host != "" {
		provider = u.Host
		page.FormAction = []string{u.Scheme + "://" + u.Host} // the form's answer leads there
	}
	page.Body, err = body(r, "signout.html", struct{ Action, Provider string }{pathLogout, provider})
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
	provider, awaited := Departure{}, false
	if caller.Live != nil {
		p, token := caller.Principal, newToken()
		if _, err := s.sessions.Revoke(r.Context(), s.causeOf(r, p), p.Tenant, sessions.Selector{Session: p.Session}, sessions.ReasonSignedOut); err != nil {
			return err
		}
		if s.inside(r, caller) {
			provider = s.providerSignOut(r, caller.Live, token)
		}
		awaited = provider.Private != nil && s.awaitProvider(w, r, p, token, provider)
	}
	httpkit.ClearCookie(w, httpkit.SessionCookie)
	if awaited {
		return s.depart(w, r, provider, httpkit.Page{Title: "Signing out",
			Lead: "You are signed out here. You go to your sign-in service now, so that you are signed out there as well."})
	}
	httpkit.ClearCookie(w, httpkit.FlowCookie)
	target := pathLogout
	if provider.Private == nil && provider.URL != "" {
		target = provider.URL
	}
	redirect(w, target)
	return nil
}

// inside reports whether a person would be let in from where they come. Others are
// let out, and learn nothing: neither of devices, nor what goes to the provider.
func (s *Service) inside(r *http.Request, c Caller) bool {
	return s.Admits(r.Context(), c.Principal, httpkit.RequestFrom(r.Context()).ClientIP) == nil
}

// awaitProvider keeps the step of somebody who comes back from the provider. A
// sign-out without one is a sign-out here alone.
func (s *Service) awaitProvider(w http.ResponseWriter, r *http.Request, p *identity.Principal, token string, d Departure) bool {
	browser := newToken()
	err := s.flows.put(r.Context(), p.Tenant, token, browser, p.Connection, flow{Hop: hopSignOut, Private: d.Private, User: p.User})
	if err != nil {
		s.log.WarnContext(r.Context(), "sign out here only", "connection", p.Connection, "error", err)
		return false
	}
	httpkit.SetFlowCookie(w, browser)
	return true
}

// providerSignOut is the way to where the identity provider ends its session, if
// there is one. Whatever goes wrong here must not keep anybody signed in.
func (s *Service) providerSignOut(r *http.Request, live *sessions.Live, token string) Departure {
	ctx, p := r.Context(), live.Principal()
	c, err := s.tenants.ConnectionByID(ctx, p.Tenant, p.Connection)
	if err != nil || s.protocols[c.Type] == nil {
		return Departure{}
	}
	hint, err := s.sessions.LogoutHint(ctx, p.Tenant, p.Session)
	if err != nil {
		s.log.WarnContext(ctx, "no logout hint for the identity provider", "session", p.Session, "error", err)
	}
	step := Step{Tenant: p.Tenant, Token: token, Endpoints: endpointsOf(httpkit.RequestFrom(ctx).Origin, c)}
	d, err := s.protocols[c.Type].SignOut(ctx, c, step, hint)
	if err != nil {
		s.log.WarnContext(ctx, "sign out here only", "connection", c.Name, "error", err)
		return Departure{}
	}
	return d
}

// causeOf says that a person with a session is behind a change.
func (s *Service) causeOf(r *http.Request, p *identity.Principal) audit.Cause {
	cause := audit.CauseOf(r, p)
	cause.Actor = s.actorOf(r, p)
	return cause
}
