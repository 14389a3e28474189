package authn

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"gatehouse/audit"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/internal/httpkit"
	"gatehouse/internal/words"
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

// wish is how somebody wants to sign in.
type wish struct {
	returnTo string
	fresh    bool   // by authenticating now
	email    string // theirs, as they say; or ""
	test     *test  // of a connection, instead of a sign-in
}

func wishOf(form url.Values) wish {
	return wish{returnTo: safeReturn(form.Get("return_to")), fresh: form.Get("fresh") == "yes"}
}

// login begins a sign-in: at the connection that was asked for, at the only
// one there is, or with a page to choose on.
func (s *Service) login(w http.ResponseWriter, r *http.Request) error {
	query := r.URL.Query()
	wish, name := wishOf(query), query.Get("connection")
	caller, err := s.callerAfresh(w, r)
	if err != nil {
		return err
	}
	if r.Method == http.MethodHead {
		return nil // whoever only looks begins nothing
	}
	if query.Has(paramTest) {
		return s.beginTest(w, r, name, query.Get(paramTest))
	}
	if caller.Live != nil {
		if wish.fresh && !s.recent(caller.Principal.Tenant, caller.Principal.AuthTime) {
			return s.signInAgain(w, r, caller.Principal, wish)
		}
		redirect(w, wish.returnTo)
		return nil
	}
	open, err := s.openConnections(r)
	if err != nil {
		return s.refuse(w, r, tenants.Connection{}, err)
	}
	if name != "" {
		for _, c := range open {
			if c.Name == name {
				return s.begin(w, r, c, wish)
			}
		}
		return s.refuse(w, r, tenants.Connection{}, Refuse(connectionUnknown, "There is no enabled connection of the name that was asked for."))
	}
	if only, ok := onlyWay(open); ok {
		return s.begin(w, r, only, wish)
	}
	return s.choose(w, r, open, wish, "")
}

// onlyWay is the one connection that there is for everybody, if there is one. That a
// few people have local accounts as well makes nobody else choose.
func onlyWay(open []tenants.Connection) (tenants.Connection, bool) {
	common := slices.DeleteFunc(slices.Clone(open), func(c tenants.Connection) bool { return c.Type == tenants.Local })
	if len(common) == 0 {
		common = open
	}
	if len(common) != 1 {
		return tenants.Connection{}, false
	}
	return common[0], true
}

// loginByEmail begins a sign-in where the domain of an address leads to, which
// says nothing of whether anybody has that address here.
func (s *Service) loginByEmail(w http.ResponseWriter, r *http.Request) error {
	if err := parseForm(w, r, maxLoginForm); err != nil {
		return err
	}
	wish := wishOf(r.PostForm)
	email := strings.TrimSpace(r.PostForm.Get("email"))
	open, err := s.openConnections(r)
	if err != nil {
		return s.refuse(w, r, tenants.Connection{}, err)
	}
	d, err := s.domain(r.Context(), tenantOf(r), domainOf(email))
	if err != nil {
		return err
	}
	i := slices.IndexFunc(open, func(c tenants.Connection) bool { return c.ID == d.Connection })
	if d.Connection == "" || i < 0 {
		return s.choose(w, r, open, wish, "No sign-in service is named for this address. Choose one, or look whether the address is right.")
	}
	wish.email = email
	away, err := s.prepare(w, r, open[i], wish)
	if err != nil || away.URL == "" {
		return err
	}
	// Not by a redirect: the policy of the page with the form would have to name
	// every provider, for browsers hold redirects of forms to it (CSP3 §6.4.1.1).
	return s.depart(w, r, away, signingIn(r, open[i]))
}

// signingIn is the page on the way to a provider that is not reached by a redirect.
func signingIn(r *http.Request, c tenants.Connection) httpkit.Page {
	return httpkit.Page{Title: "Signing in", Lead: words.For(r).Say("You go on to %s now.", c.Title())}
}

const maxLoginForm = 16 << 10

// domain is the verified domain of this name; zero if there is none.
func (s *Service) domain(ctx context.Context, tenant identity.TenantID, name string) (tenants.Domain, error) {
	all, err := s.tenants.Domains(ctx, tenant)
	if err != nil || name == "" {
		return tenants.Domain{}, err
	}
	for _, d := range all {
		if d.Name == name && d.Verified() {
			return d, nil
		}
	}
	return tenants.Domain{}, nil
}

// signInAgain has somebody who is signed in authenticate once more, where they
// did before. What comes of it replaces their session.
func (s *Service) signInAgain(w http.ResponseWriter, r *http.Request, p *identity.Principal, wish wish) error {
	c, err := s.tenants.ConnectionByID(r.Context(), p.Tenant, p.Connection)
	if err != nil && !fault.Is(err, fault.NotFound) {
		return err
	}
	if err != nil || !c.Enabled || s.protocols[c.Type] == nil {
		return s.refuse(w, r, tenants.Connection{}, Refuse(connectionUnknown, "The connection by which the person signed in is not there any more."))
	}
	wish.fresh = true
	return s.begin(w, r, c, wish)
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

// openConnections lists the connections that people can sign in by; a [Refusal]
// where nobody gets in at all.
func (s *Service) openConnections(r *http.Request) ([]tenants.Connection, error) {
	if err := s.served(r); err != nil {
		return nil, err
	}
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

// begin sends the browser to the identity provider.
func (s *Service) begin(w http.ResponseWriter, r *http.Request, c tenants.Connection, wish wish) error {
	away, err := s.prepare(w, r, c, wish)
	switch {
	case err != nil || away.URL == "":
		return err
	case away.Form != nil:
		return s.depart(w, r, away, signingIn(r, c))
	}
	redirect(w, away.URL)
	return nil
}

// prepare makes the step to the identity provider and gives the way there; nowhere
// if it has answered with a refusal. The token of the step and the browser's own
// are kept as hashes; what the protocol must remember, sealed.
func (s *Service) prepare(w http.ResponseWriter, r *http.Request, c tenants.Connection, wish wish) (Departure, error) {
	req := httpkit.RequestFrom(r.Context())
	if err := s.starts.allow(r.Context()); err != nil {
		return Departure{}, err
	}
	browser := flowCookie(r)
	if browser == "" {
		browser = newToken()
	}
	step := Step{Tenant: req.Tenant, Token: newToken(), Endpoints: endpointsOf(req.Origin, c), LoginHint: wish.email}
	if t, ok := s.tenants.ByID(req.Tenant); ok && wish.fresh {
		step.MaxAge = t.Settings.Session.Recent()
	}
	away, err := s.protocols[c.Type].Start(r.Context(), c, step)
	if err != nil {
		return Departure{}, s.turnDown(w, r, c, wish.test, err)
	}
	if _, err := s.refusals.Record(r.Context(), s.event(r, audit.SignInStarted, audit.Success, c)); err != nil {
		return Departure{}, err
	}
	state := flow{Hop: hopAnswer, ReturnTo: wish.returnTo, Fresh: wish.fresh, Test: wish.test, Private: away.Private}
	if err := s.flows.put(r.Context(), req.Tenant, step.Token, browser, c.ID, state); err != nil {
		return Departure{}, storeDown(err)
	}
	httpkit.SetFlowCookie(w, browser)
	return away, nil
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
