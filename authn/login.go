package authn

import (
	"fmt"
	"net/http"
	"net/url"
	"time"

	"gatehouse/audit"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/internal/httpkit"
	"gatehouse/tenants"
)

// SignInURL is where a browser is sent that must sign in before r can be
// served; it comes back to r's address, if that can be asked for again.
func (s *Service) SignInURL(r *http.Request) string {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return pathLogin
	}
	return loginURL("", safeReturn(r.URL.RequestURI()), false)
}

// SignInAgainURL is the same for somebody who is signed in and has to
// authenticate once more.
func (s *Service) SignInAgainURL(r *http.Request) string {
	return loginURL("", safeReturn(r.URL.RequestURI()), true)
}

func loginURL(connection, returnTo string, fresh bool) string {
	q := url.Values{}
	if fresh {
		q.Set("fresh", "yes")
	}
	if connection != "" {
		q.Set("connection", connection)
	}
	if returnTo != "/" {
		q.Set("return_to", returnTo)
	}
	if len(q) == 0 {
		return pathLogin
	}
	return pathLogin + "?" + q.Encode()
}

// login begins a sign-in: at the connection that was asked for, at the only
// one there is, or with a page to choose on.
func (s *Service) login(w http.ResponseWriter, r *http.Request) error {
	query := r.URL.Query()
	returnTo, name, fresh := safeReturn(query.Get("return_to")), query.Get("connection"), query.Get("fresh") == "yes"
	caller, err := s.callerAfresh(w, r)
	if err != nil {
		return err
	}
	if r.Method == http.MethodHead {
		return nil // whoever only looks begins nothing
	}
	if caller.Live != nil {
		if fresh && !s.recent(caller.Principal.Tenant, caller.Principal.AuthTime) {
			return s.signInAgain(w, r, caller.Principal, returnTo)
		}
		redirect(w, returnTo)
		return nil
	}
	if err := s.served(r); err != nil {
		return s.refuse(w, r, tenants.Connection{}, err)
	}
	open, err := s.openConnections(r)
	if err != nil {
		return err
	}
	switch {
	case name != "":
		for _, c := range open {
			if c.Name == name {
				return s.begin(w, r, c, returnTo, fresh)
			}
		}
		return s.refuse(w, r, tenants.Connection{}, Refuse(connectionUnknown, "There is no enabled connection of the name that was asked for."))
	case len(open) == 1:
		return s.begin(w, r, open[0], returnTo, fresh)
	case len(open) == 0:
		s.page(w, r, httpkit.Page{Status: http.StatusNotFound, Title: "Nobody can sign in here yet",
			Lead: "No sign-in service is connected. An administrator has to add a connection first."})
		return nil
	}
	return s.choose(w, r, open, returnTo, fresh)
}

// signInAgain has somebody who is signed in authenticate once more, where they
// did before. What comes of it replaces their session.
func (s *Service) signInAgain(w http.ResponseWriter, r *http.Request, p *identity.Principal, returnTo string) error {
	c, err := s.tenants.ConnectionByID(r.Context(), p.Tenant, p.Connection)
	if err != nil && !fault.Is(err, fault.NotFound) {
		return err
	}
	if err != nil || !c.Enabled || s.protocols[c.Type] == nil {
		return s.refuse(w, r, tenants.Connection{}, Refuse(connectionUnknown, "The connection by which the person signed in is not there any more."))
	}
	return s.begin(w, r, c, returnTo, true)
}

// recent reports whether who authenticated at this time has done so recently, by
// what the tenant has set.
func (s *Service) recent(tenant identity.TenantID, at time.Time) bool {
	t, ok := s.tenants.ByID(tenant)
	return ok && !at.IsZero() && s.now().Sub(at) < t.Settings.Session.Recent()
}

// served refuses where nobody gets in at all.
func (s *Service) served(r *http.Request) error {
	if t, ok := s.tenants.ByID(tenantOf(r)); !ok || t.Status != tenants.Active {
		return Refuse(tenantSuspended, "The tenant is suspended.")
	}
	return nil
}

// openConnections lists the connections that people can sign in by.
func (s *Service) openConnections(r *http.Request) ([]tenants.Connection, error) {
	all, err := s.tenants.Connections(r.Context(), tenantOf(r))
	if err != nil {
		return nil, fmt.Errorf("list connections: %w", err)
	}
	var open []tenants.Connection
	for _, c := range all {
		if _, ok := s.protocols[c.Type]; ok && c.Enabled {
			open = append(open, c)
		}
	}
	return open, nil
}

// begin sends the browser to the identity provider. The token of the step and
// the browser's own are kept as hashes; what the protocol must remember, sealed.
func (s *Service) begin(w http.ResponseWriter, r *http.Request, c tenants.Connection, returnTo string, fresh bool) error {
	req := httpkit.RequestFrom(r.Context())
	if err := s.starts.allow(r.Context()); err != nil {
		return err
	}
	browser := flowCookie(r)
	if browser == "" {
		browser = newToken()
	}
	step := Step{Tenant: req.Tenant, Token: newToken(), Endpoints: endpointsOf(req.Origin, c)}
	if t, ok := s.tenants.ByID(req.Tenant); ok && fresh {
		step.MaxAge = t.Settings.Session.Recent()
	}
	target, private, err := s.protocols[c.Type].Start(r.Context(), c, step)
	if err != nil {
		return s.refuse(w, r, c, err)
	}
	if _, err := s.refusals.Record(r.Context(), s.event(r, audit.SignInStarted, audit.Success, c)); err != nil {
		return err
	}
	if err := s.flows.put(r.Context(), req.Tenant, step.Token, browser, c.ID, flow{Hop: hopAnswer, ReturnTo: returnTo, Fresh: fresh, Private: private}); err != nil {
		return storeDown(err)
	}
	httpkit.SetFlowCookie(w, browser)
	redirect(w, target)
	return nil
}

// flowCookie is the token that marks this browser, "" if it has none of ours.
func flowCookie(r *http.Request) string {
	if v, _ := httpkit.ReadCookie(r, httpkit.FlowCookie); len(v) == tokenLength {
		return v
	}
	return ""
}

// redirect sends the browser on by GET (RFC 9110 §15.4.4), leaving no trace of
// the address it came from, which may hold a token.
func redirect(w http.ResponseWriter, target string) {
	h := w.Header()
	h.Set("Location", target)
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	w.WriteHeader(http.StatusSeeOther)
}
