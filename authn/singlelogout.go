package authn

import (
	"errors"
	"net/http"
	"net/url"

	"gatehouse/audit"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/internal/httpkit"
	"gatehouse/tenants"
)

// singleLogout is where identity providers send the browser about sign-outs: to
// ask for one, or back from one that was begun here (SAML profiles §4.4.3).
func (s *Service) singleLogout(w http.ResponseWriter, r *http.Request) error {
	if r.Method == http.MethodHead {
		return nil // whoever only looks uses up nothing
	}
	c, err := s.connectionFor(r, tenants.SAML)
	if err != nil {
		return s.refuseSignOut(w, r, c, err)
	}
	if err := parseForm(w, r, maxAnswer); err != nil {
		reason := Malformed
		if fault.Is(err, fault.TooLarge) {
			reason = TooLarge
		}
		return s.refuseSignOut(w, r, c, Refuse(reason, "The message cannot be read.").Because(err))
	}
	protocol, ok := s.protocols[c.Type].(SingleLogout)
	if !ok {
		return errors.New("authn: the protocol of " + c.Name + " has no single logout")
	}
	req := httpkit.RequestFrom(r.Context())
	step := Step{Tenant: req.Tenant, Token: protocol.Token(r), Endpoints: endpointsOf(req.Origin, c)}
	if protocol.Answers(r) {
		return s.backFromSignOut(w, r, c, protocol, step)
	}
	return s.heedBrowser(w, r, c, protocol, step)
}

// heedBrowser ends what the provider asks for, and sends the browser back with
// the answer once that is so everywhere (P2). The browser's own cookie decides
// nothing: it may be somebody else's, and a POST from another site brings none.
func (s *Service) heedBrowser(w http.ResponseWriter, r *http.Request, c tenants.Connection, protocol SingleLogout, step Step) error {
	asked, err := protocol.SignOutAsked(r.Context(), c, step, r)
	if err == nil && asked.Refusal == nil {
		err = s.endThose(r, c, asked.SignedOut)
	}
	if err != nil {
		return s.refuseSignOut(w, r, c, err)
	}
	if asked.Refusal != nil {
		if _, err := s.record(r, audit.SignOutRefused, c, asked.Refusal); err != nil {
			return err
		}
	}
	if _, sent := httpkit.ReadCookie(r, httpkit.SessionCookie); sent > 0 {
		if caller, err := s.bearerOf(r); err == nil && caller.Principal == nil {
			httpkit.ClearCookie(w, httpkit.SessionCookie) // there is nobody behind it any more
		}
	}
	answer, err := asked.Answer()
	if err != nil {
		return err
	}
	switch {
	case answer.URL == "":
		s.page(w, r, signedOutPage)
	case answer.Form == nil:
		redirect(w, answer.URL)
	default:
		// Providers end several apps at once in frames of a page of theirs.
		return s.depart(w, r, answer, httpkit.Page{Title: "Signed out", Lead: "You go back to your sign-in service now.", FramedBy: originOf(answer.URL)})
	}
	return nil
}

// backFromSignOut is where somebody comes back to who has signed out here and
// was sent to the provider. The session here is over whatever it says.
func (s *Service) backFromSignOut(w http.ResponseWriter, r *http.Request, c tenants.Connection, protocol SingleLogout, step Step) error {
	state, err := s.flows.take(r.Context(), step.Tenant, step.Token, flowCookie(r), hopSignOut, c.ID)
	if err == nil {
		err = protocol.SignOutAnswered(r.Context(), c, step, state.Private, r)
	}
	e := s.event(r, audit.SignOutAtProvider, audit.Success, c)
	e.Actor = audit.Actor{Kind: identity.KindUser, ID: string(state.User)}
	page := signedOutPage
	refusal, refused := errors.AsType[*Refusal](err)
	switch {
	case err == nil:
	case refused && refusal.Reason == ProviderRefused:
		page.Lead = "Your sign-in service did not say that it has signed you out as well, so you may still be signed in there. Sign out there too, or close all windows of the browser if others use this computer."
	case refused && refusal.Reason == PartialLogout:
		page.Lead = "Your sign-in service could not sign you out of every other app, so you may still be signed in to some. Sign out of them, or close all windows of the browser if others use this computer."
	default:
		return s.refuseSignOut(w, r, c, err)
	}
	if refused {
		e.Outcome, e.Reason, e.Message = audit.Refused, string(refusal.Reason), refusal.Message
	}
	if _, err := s.refusals.Record(r.Context(), e); err != nil {
		return err
	}
	httpkit.ClearCookie(w, httpkit.FlowCookie)
	s.page(w, r, page)
	return nil
}

// refuseSignOut journals a message about a sign-out that was not accepted and
// then shows it as a page. Nobody is told of it but the reader: where the message
// says that it comes from is not to be believed.
func (s *Service) refuseSignOut(w http.ResponseWriter, r *http.Request, c tenants.Connection, err error) error {
	refusal, _, ok := refusalOf(err)
	if !ok {
		return err
	}
	receipt, err := s.record(r, audit.SignOutRefused, c, refusal)
	if err != nil {
		return err
	}
	page := httpkit.Page{Status: http.StatusBadRequest, Title: "The sign-out was not completed",
		Lead:  "The message of your organisation's sign-in service was not accepted, so you may still be signed in, here or there. Sign out here with the button below; if this goes on, tell your administrator the event number.",
		Links: []httpkit.Link{{Text: "Sign out", Href: pathLogout}},
		Facts: []httpkit.Fact{{Name: "Event", Value: string(receipt.Event())}, {Name: "Request", Value: string(httpkit.RequestFrom(r.Context()).ID)}}}
	if refusal.Reason == ProviderUnreachable {
		page.Status = http.StatusBadGateway
	}
	s.page(w, r, page)
	return nil
}

// depart sends the browser on by a page instead of a redirect. What follows a
// form's answer is held to the policy of the page with the form (CSP Level 3
// §6.4.1), and a provider may send the browser on to hosts that nobody here knows.
func (s *Service) depart(w http.ResponseWriter, r *http.Request, d Departure, page httpkit.Page) error {
	if d.Form == nil {
		page.RefreshTo, page.Links = d.URL, []httpkit.Link{{Text: "Continue", Href: d.URL}}
		s.page(w, r, page)
		return nil
	}
	form, err := body(r, "onward.html", struct {
		Action string
		Fields url.Values
	}{d.URL, d.Form})
	if err != nil {
		return err
	}
	// Browsers hold the redirects that follow to it as well, and providers send people on
	// to other hosts of theirs.
	page.Body, page.FormAction, page.Submit = form, []string{originOf(d.URL), "https:"}, true
	s.page(w, r, page)
	return nil
}
