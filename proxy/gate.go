package proxy

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"gatehouse/assertion"
	"gatehouse/audit"
	"gatehouse/authz"
	"gatehouse/authz/routes"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/internal/httpkit"
	"gatehouse/tenants"
)

// Gate decides on every request and forwards those that are allowed.
type Gate struct {
	config   Config
	settings atomic.Pointer[settings]
	fields   *fieldFilter
	load     *load
	tokens   *tokenIdentities
	long     longLived

	sessionless sessionless
	admitted    admitted

	origin *http.CrossOriginProtection
}

// New makes a gate of its parts.
func New(c Config) (*Gate, error) {
	c.Headers = c.Headers.withDefaults()
	c.Log = cmp.Or(c.Log, slog.Default())
	if c.Memory == nil {
		c.Memory = alone{}
	}
	if err := c.check(); err != nil {
		return nil, err
	}
	begin := c.Settings
	c.Settings = Settings{} // nothing may go by what once was
	g := &Gate{
		config: c,
		fields: newFieldFilter(c.Headers),
		load:   newLoad(),
		tokens: newTokenIdentities(),
		origin: http.NewCrossOriginProtection(),
	}
	return g, g.Apply(begin)
}

// visit is one request on its way through the gate. Its event is filled along
// the way and written once.
type visit struct {
	httpkit.Request
	*settings // of the moment it came in
	w         http.ResponseWriter
	r         *http.Request
	tenant    *tenants.Tenant
	route     routes.Route
	recent    time.Duration // how old the caller's authentication may be; 0: any age
	factor    time.Duration // how old their second factor may be; 0: they need none
	query     authz.Query   // what is decided
	caller    caller
	counted   bool // among what its network asks as a stranger
	spoilt    bool // it carries a token that was meant for the gate, and is not good
	event     audit.Event
	idLine    [1]string // the request id as a header value, so that setting it costs no allocation
}

// ServeHTTP is the one place that replies: a stage that fails returns why.
func (g *Gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	v := g.begin(w, r)
	if err := g.pass(v); err != nil { //nolint:contextcheck // the visit's request carries it
		g.reply(v, err) //nolint:contextcheck // the visit's request carries it
	}
}

// pass is the way of every request, from the internet to the app. Each stage
// needs what the one before it found out; the last takes proofs that only
// authz and audit can make.
func (g *Gate) pass(v *visit) error {
	release, err := g.admit(v) // 1. limits and strict form (P4)
	if err != nil {
		return err
	}
	defer release()
	if err = g.findTenant(v); err != nil { // 2. whose host is it (P3), and can it be served (P7)
		return err
	}
	if ownEndpoint(v) { // 3. ours to answer, authorised by the same engine
		return g.serveOwn(v)
	}
	if err = g.findRoute(v); err != nil { // 4. what the app's route table asks for
		return err
	}
	s := newStream(v, v.App.NewExchange())
	defer s.finish()
	g.admitted.enter(s) // from now on a change of the tenant's settings finds it

	if err = g.who(v, s); err != nil { // 5. one principal, or nobody
		return err
	}
	permit, decision, err := g.mayThey(v, s) // 6. one decision, with its reason
	if err != nil {
		return err
	}
	receipt, err := g.record(v, decision) // 7. in the journal first (P1); a refusal ends here
	if err != nil {
		return err
	}
	return g.forward(v, s, permit, receipt) // 8. to the app, with identity of ours alone (P2, P5)
}

// begin notes what is known of any request, good or bad.
func (g *Gate) begin(w http.ResponseWriter, r *http.Request) *visit {
	v := &visit{w: w, settings: g.settings.Load()}
	v.ID = identity.NewRequestID()
	v.Start = time.Now()
	v.Stranger = v
	v.ClientIP = v.TrustedProxies.ClientIP(r)
	v.r = r.WithContext(httpkit.WithRequest(r.Context(), &v.Request))
	v.idLine[0] = string(v.ID)
	w.Header()[g.config.Headers.RequestID] = v.idLine[:]
	return v
}

// admit is stage 1.
func (g *Gate) admit(v *visit) (release func(), err error) {
	release, err = g.load.enter(v.ClientIP, v.Limits)
	if err != nil {
		return nil, err
	}
	if err := httpkit.CheckForm(v.r, v.form); err != nil {
		release()
		return nil, err
	}
	return release, nil
}

// findTenant is stage 2.
func (g *Gate) findTenant(v *visit) error {
	if err := g.config.Memory.Current(); err != nil {
		return err
	}
	t, ok := g.config.Tenants.ByHost(canonicalHost(v.r.Host))
	if !ok {
		return fault.New(fault.Misdirected, "unknown-host", "Nothing is served under this address. Check its spelling.")
	}
	v.tenant, v.Tenant, v.TenantName, v.TenantTitle = t, t.ID, t.Name, t.DisplayName
	v.Origin = assertion.Origin(v.r.Host)
	v.sayHSTS()
	if err := g.config.Ready(t.ID); err != nil {
		return err
	}
	if t.Status != tenants.Active {
		return errSuspended
	}
	if t.Logo != nil {
		v.TenantLogo = t.Logo.URL // not before: a page about what is not there shows none
	}
	return nil
}

// canonicalHost is a host as tenants know it: lower case, without the port.
func canonicalHost(host string) string {
	if i := strings.LastIndexByte(host, ':'); i >= 0 {
		if name, _, err := net.SplitHostPort(host); err == nil {
			host = name
		}
	}
	return strings.ToLower(host)
}

// ownEndpoint is stage 3's question. There is no app at the operators' host.
func ownEndpoint(v *visit) bool {
	path := v.r.URL.Path
	return v.tenant.ID == identity.Platform ||
		strings.HasPrefix(path, "/.gatehouse/") || path == "/.gatehouse" ||
		strings.HasPrefix(path, "/scim/v2/") || path == "/scim/v2"
}

// findRoute is stage 4.
func (g *Gate) findRoute(v *visit) error {
	route, ok := v.Routes.Match(v.r.Method, v.r.URL.Path)
	if !ok {
		return fault.New(fault.Denied, "no-route", "This address is open to nobody: no rule of the app covers it. If you need it, ask your administrator and name the event.")
	}
	v.route = route
	return nil
}

// spoiling are the refusals of credentials that are for the gate: what they were is
// nobody's business behind it, however little they are good for.
var spoiling = []string{fault.InvalidToken, "ambiguous-credentials"}

// who is stage 5. A credential that is not good is never better than none: on
// a public route its bearer is nobody, elsewhere the request is refused.
func (g *Gate) who(v *visit, s *stream) error {
	p, live, err := g.callerOf(v.r, s)
	if p != nil && p.Kind == identity.KindSCIMToken {
		// A token for one purpose is worthless for another, whatever its role.
		p, err = nil, fault.New(fault.Unauthenticated, "scim-only", "A SCIM token is good for /scim/v2 alone. Send an API token.")
	}
	switch {
	case err != nil && !fault.Is(err, fault.Unauthenticated):
		return err
	case err != nil || p == nil:
		if haste := v.Haste(); haste != nil {
			return haste
		}
		v.spoilt = err != nil && slices.Contains(spoiling, fault.As(err).Code)
		if v.route.Access == authz.Public {
			return nil
		}
		if err == nil {
			err = authz.ErrSignInRequired
		}
		return err
	case p.Tenant != v.tenant.ID:
		return fault.New(fault.Unauthenticated, "wrong-tenant", "This credential is not one of this organisation.")
	}
	v.caller = caller{principal: p, live: live}
	if live != nil && !p.Program {
		return g.sameOrigin(v)
	}
	return nil
}

// mayThey is stage 6.
func (g *Gate) mayThey(v *visit, s *stream) (authz.Permit, authz.Decision, error) {
	if v.route.StepUp != "" {
		// As it is set now: v.tenant is of before a change could find the stream.
		t, ok := g.config.Tenants.ByHost(canonicalHost(v.r.Host))
		if !ok || t.ID != v.tenant.ID {
			return authz.Permit{}, authz.Decision{}, errSuspended
		}
		if age := t.Settings.Session.Recent(); v.route.StepUp == routes.MFA {
			v.factor = cmp.Or(v.route.StepUpAge, age)
		} else {
			v.recent = age
		}
	}
	v.query = authz.Query{Tenant: v.tenant.ID, Access: v.route.Access, Permission: v.route.Permission, Team: v.route.Team, MaxAge: v.recent, FactorAge: v.factor}
	return g.decide(v, s)
}

// decide has a review find what is let through, and nothing else: who is refused gets
// the answer that they are. What a review has missed meanwhile is decided once more.
func (g *Gate) decide(v *visit, s *stream) (permit authz.Permit, d authz.Decision, err error) {
	for range 2 {
		before := g.admitted.reviews.Load()
		if permit, d, err = g.config.Decider.Decide(v.r.Context(), v.caller.principal, v.query); err != nil || !d.Allowed {
			s.asked.Store(nil)
			break
		}
		s.asked.Store(&v.query)
		if g.admitted.reviews.Load() == before {
			break
		}
	}
	return permit, d, err
}

// record is stage 7.
func (g *Gate) record(v *visit, d authz.Decision) (audit.Receipt, error) {
	e := v.describe()
	d.Note(e)
	if !d.Allowed && v.caller.principal == nil {
		return audit.Receipt{}, authz.ErrSignInRequired
	}
	receipt, err := g.config.Journal.Write(v.r.Context(), e)
	if err != nil || d.Allowed {
		return receipt, err
	}
	return audit.Receipt{}, v.refused(d).WithEvent(string(receipt.Event()))
}

// refused tells somebody who is known why they may not.
func (v *visit) refused(d authz.Decision) *fault.Fault {
	switch d.Reason {
	case authz.ReasonTooOld:
		f := fault.New(fault.Unauthenticated, d.Reason,
			"You are signed in, but for this you must have signed in at most %v ago. Sign in again.", v.recent)
		f.FreshWithin = v.recent
		return f
	case authz.ReasonNoFactor:
		f := fault.New(fault.Unauthenticated, d.Reason,
			"You are signed in, but for this you must have shown a second factor at most %v ago. Show it in your browser.", v.factor)
		f.FreshWithin, f.Factor = v.factor, true
		return f
	case authz.ReasonNotAPerson:
		return fault.New(fault.Denied, d.Reason, "This is for people who have just proved who they are. No token can, so none is let through.")
	}
	return fault.New(fault.Denied, "not-allowed",
		"You are signed in, but you may not do this. If you should, ask your administrator and name the event.")
}

// describe fills the request's event with what is known so far.
func (v *visit) describe() *audit.Event {
	v.event.Describe(v.r, v.caller.principal)
	v.event.Route, v.event.Team, v.event.Permission = v.route.Pattern, v.route.Team, v.route.Permission.String()
	return &v.event
}

// reply answers a request that did not get through, after the refusal has its
// record.
func (g *Gate) reply(v *visit, err error) {
	if errors.Is(err, context.Canceled) {
		panic(http.ErrAbortHandler) // the client has gone; there is nobody to tell
	}
	f := fault.As(err)
	if httpkit.Status(f.Kind) >= http.StatusInternalServerError {
		httpkit.ReplyError(v.w, v.r, err) // whole: it goes to the log
		return
	}
	if f.Event == "" {
		receipt, rerr := g.config.Refusals.Record(v.r.Context(), v.refusal(f))
		if rerr != nil {
			f = fault.As(rerr)
		} else if receipt.Valid() {
			f = f.WithEvent(string(receipt.Event()))
		}
	}
	if f.Kind == fault.Unauthenticated {
		signIn := g.config.SignInURL
		switch {
		case f.Factor:
			signIn = g.config.FactorURL
		case f.FreshWithin > 0:
			signIn = g.config.SignInAgainURL
		}
		if browses(v.r) {
			http.Redirect(v.w, v.r, signIn(v.r), http.StatusSeeOther)
			return
		}
	}
	httpkit.ReplyError(v.w, v.r, f)
}

// refusal is the event of a request that was turned away before its decision.
func (v *visit) refusal(f *fault.Fault) audit.Event {
	e := *v.describe()
	e.Type, e.Outcome = audit.RequestRefused, audit.Refused
	if f.Kind == fault.Unauthenticated || f.Kind == fault.Denied {
		e.Type = audit.AccessRefused
	}
	e.Reason, e.Message = f.Recorded()
	return e
}

// browses reports whether somebody sits in front of a page that can be sent to
// sign in without losing what they were sending.
func browses(r *http.Request) bool {
	return (r.Method == http.MethodGet || r.Method == http.MethodHead) && httpkit.WantsPage(r)
}
