package authn

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"gatehouse/audit"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/internal/httpkit"
	"gatehouse/internal/store"
	"gatehouse/sessions"
	"gatehouse/tenants"
)

const (
	// maxFactorForm bounds what is sent to show or change a second factor.
	maxFactorForm = 64 << 10
	// ceremonyPurpose keeps what is sealed of a ceremony apart from every other use
	// of the key.
	ceremonyPurpose = "authn.factor-ceremony"
	// paramAdd says which kind of factor somebody is about to add.
	paramAdd = "add"
)

// FactorURL is where a browser is sent whose person is signed in and has to show a
// second factor before r can be served; it comes back to r's address.
func (s *Service) FactorURL(r *http.Request) string {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return factorURL("/")
	}
	return factorURL(safeReturn(r.URL.RequestURI()))
}

func factorURL(returnTo string) string {
	return pathMFA + "?" + url.Values{"return_to": {returnTo}}.Encode()
}

// askFactor has somebody of whom the identity provider says who they are show a
// second factor before there is a session. What was verified stays here, under a
// token of its own that is good for this browser until the factor is shown. Whoever
// was about to set up a factor goes on with the kind that they have chosen.
func (s *Service) askFactor(w http.ResponseWriter, r *http.Request, c tenants.Connection, state flow) error {
	browser := flowCookie(r)
	if browser == "" {
		browser = newToken()
		httpkit.SetFlowCookie(w, browser)
	}
	a := *state.Assertion
	a.Claims = nil // they have done their part
	token := newToken()
	err := s.flows.put(r.Context(), tenantOf(r), token, browser, c.ID, flow{Hop: hopFactor, ReturnTo: state.ReturnTo, Fresh: state.Fresh,
		User: state.User, Created: state.Created, Unasked: state.Unasked, Assertion: &a, Version: c.Version, SignedOut: state.SignedOut})
	if err != nil {
		return storeDown(err)
	}
	q := url.Values{paramStep: {token}}
	if kind, _ := setsUp(state.ReturnTo); kind != "" {
		q.Set(paramAdd, kind)
	}
	redirect(w, pathMFA+"?"+q.Encode())
	return nil
}

// setsUp tells which kind of factor is set up at one of our addresses, "" if none is,
// and where the person goes on who has done so.
func setsUp(address string) (kind, next string) {
	u, err := url.Parse(address)
	if err != nil || u.Path != pathMFA || !u.Query().Has(paramAdd) {
		return "", address
	}
	if next = pathMFA; u.Query().Has("return_to") {
		next = safeReturn(u.Query().Get("return_to"))
	}
	return u.Query().Get(paramAdd), next
}

// visitor is who shows or changes second factors: somebody on the way to a session,
// or with one.
type visitor struct {
	holder Holder
	held   Held
	back   string // where they go on
	step   string // the token of the sign-in under way; "" for who is signed in
	state  flow   // of that sign-in
	email  string // that the directory knows
	live   *sessions.Live
	stepUp bool // something waits for the factor
	facts  []httpkit.Fact
}

// visitor finds out who is there; nil if an answer was given. The form is parsed.
// Whoever comes with a step is on the way, whatever session the browser has still.
func (s *Service) visitor(w http.ResponseWriter, r *http.Request) (*visitor, error) {
	ctx, req := r.Context(), httpkit.RequestFrom(r.Context())
	v := &visitor{back: pathMFA, stepUp: r.Form.Has("return_to"), step: r.Form.Get(paramStep)}
	if v.stepUp {
		v.back = safeReturn(r.Form.Get("return_to"))
	}
	user := identity.UserID("")
	if v.step != "" {
		state, err := s.flows.look(ctx, req.Tenant, v.step, flowCookie(r), hopFactor)
		if err != nil {
			return nil, s.refuse(w, r, tenants.Connection{}, err)
		}
		v.state, v.back, user = state, state.ReturnTo, state.User
	} else {
		caller, err := s.Caller(r)
		if err != nil {
			return nil, err
		}
		if caller.Live == nil {
			target := loginURL("", pathMFA, false)
			if r.Method == http.MethodGet {
				target = s.SignInURL(r)
			}
			redirect(w, target)
			return nil, nil
		}
		if caller.Principal.Program {
			return nil, fault.New(fault.Denied, "not-for-programs", "Second factors are shown and changed in a browser, and not by the session of a program.")
		}
		v.live, user = caller.Live, caller.Principal.User
	}
	person, err := s.directory.Person(ctx, req.Tenant, user)
	if err == nil && !person.Active || fault.Is(err, fault.NotFound) {
		return nil, s.refuse(w, r, tenants.Connection{}, fault.New(fault.Denied, "user-inactive", "This account is not active. Ask your administrator."))
	}
	if err != nil {
		return nil, err
	}
	v.holder = Holder{Tenant: req.Tenant, User: user, Name: cmp.Or(person.Email, person.UserName, person.Name),
		Issuer: cmp.Or(req.TenantTitle, req.TenantName), Origin: req.Origin}
	v.email = person.Email
	device, _ := httpkit.ReadCookie(r, httpkit.DeviceCookie)
	if v.holder.Known, err = s.sessions.Knows(ctx, req.Tenant, device, user); err != nil {
		return nil, err
	}
	if v.held, err = s.factors.Held(ctx, req.Tenant, user); err != nil {
		return nil, err
	}
	return v, nil
}

// causeOfVisitor says who is behind a change.
func (s *Service) causeOfVisitor(r *http.Request, v *visitor) audit.Cause {
	if v.live != nil {
		return s.causeOf(r, v.live.Principal())
	}
	cause := audit.CauseOf(r, nil)
	cause.Actor = audit.Actor{Kind: identity.KindUser, ID: string(v.holder.User), Name: v.holder.Name}
	cause.Connection = v.state.connection
	return cause
}

// ceremony is what must be known again when somebody answers what they were asked:
// it goes to the browser and back, sealed, so that looking at a page keeps nothing
// here. It counts for this sign-in or session, this person and this purpose alone.
type ceremony struct {
	Of      string          `json:"of"`
	User    identity.UserID `json:"user"`
	Kind    FactorKind      `json:"kind"`
	Enrol   bool            `json:"enrol,omitempty"`
	Expires int64           `json:"expires"`
	Nonce   string          `json:"nonce"`
	Private []byte          `json:"private"`
}

// of names the sign-in or session that a ceremony is part of.
func (v *visitor) of() string {
	if v.live != nil {
		return "session " + string(v.live.Principal().Session)
	}
	return "step " + base64.RawURLEncoding.EncodeToString(hash(v.step))
}

func (s *Service) keepCeremony(ctx context.Context, v *visitor, kind FactorKind, enrol bool, private []byte) (string, error) {
	plain, err := json.Marshal(ceremony{Of: v.of(), User: v.holder.User, Kind: kind, Enrol: enrol,
		Expires: store.Millis(s.now().Add(stepLife)), Nonce: newToken(), Private: private})
	if err != nil {
		return "", fmt.Errorf("encode a ceremony: %w", err)
	}
	sealed, err := s.flows.keys.Seal(ctx, v.holder.Tenant, ceremonyPurpose, plain)
	if err != nil {
		return "", storeDown(fmt.Errorf("seal a ceremony: %w", err))
	}
	return base64.RawURLEncoding.EncodeToString(sealed), nil
}

// openCeremony reads what came back.
func (s *Service) openCeremony(ctx context.Context, v *visitor, kind FactorKind, enrol bool, text string) (ceremony, error) {
	foreign := Refuse(otherCeremony, "The answer does not belong to what was asked on this page.")
	sealed, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || text == "" {
		return ceremony{}, foreign
	}
	plain, err := s.flows.keys.Open(ctx, v.holder.Tenant, ceremonyPurpose, sealed)
	if fault.Is(err, fault.Unavailable) {
		return ceremony{}, err
	}
	if err != nil {
		return ceremony{}, foreign.Because(err)
	}
	var c ceremony
	if err := json.Unmarshal(plain, &c); err != nil {
		return ceremony{}, foreign.Because(err)
	}
	switch {
	case c.Of != v.of() || c.User != v.holder.User || c.Kind != kind || c.Enrol != enrol:
		return ceremony{}, foreign
	case c.Expires <= store.Millis(s.now()):
		return ceremony{}, Refuse(stepExpired, "It was asked more than %v ago.", stepLife)
	}
	return c, nil
}

// proved goes on with somebody who has shown a second factor: it finishes the
// sign-in, or makes a session of the one that there is that knows of it. It reports
// whether there is a session; if not, an answer was given.
func (s *Service) proved(w http.ResponseWriter, r *http.Request, v *visitor, shown Shown) (bool, error) {
	if v.live == nil {
		return s.finishFactor(w, r, v, shown)
	}
	made, err := s.sessions.Renew(r.Context(), s.causeOfVisitor(r, v), v.live, sessions.Renewal{FactorAt: s.now(), AMR: shown.AMR, Method: string(shown.Kind)})
	if err != nil {
		return false, err
	}
	httpkit.SetSessionCookie(w, made.Token)
	return true, nil
}

// stillComing looks again at whatever may have changed since the provider's answer of
// a sign-in under way was verified.
func (s *Service) stillComing(r *http.Request, v *visitor) (tenants.Connection, error) {
	ctx, tenant := r.Context(), v.holder.Tenant
	c, err := s.tenants.ConnectionByID(ctx, tenant, v.state.connection)
	switch {
	case fault.Is(err, fault.NotFound):
		return c, Refuse(connectionUnknown, "The connection by which the person signs in is not there any more.")
	case err != nil:
		return c, err
	case !c.Enabled || s.protocols[c.Type] == nil:
		return c, Refuse(connectionUnknown, "The connection by which the person signs in is not enabled any more.")
	case c.Version != v.state.Version:
		return c, Refuse(connectionChanged, "The connection was changed after the answer had been verified.")
	}
	if err := s.served(r); err != nil {
		return c, err
	}
	if err := s.flows.still(ctx, tenant, c.ID, v.state.Assertion, v.state.SignedOut); err != nil {
		return c, err
	}
	if err := s.directory.StillLinked(ctx, tenant, c.ID, v.state.Assertion.Subject, v.holder.User); err != nil {
		return c, err
	}
	if err := s.admitted(ctx, tenant, c, v.state.Assertion); err != nil {
		return c, err
	}
	if err := s.elsewhere(ctx, tenant, c, v.email); err != nil {
		return c, err
	}
	arrived := &identity.Principal{Kind: identity.KindUser, Tenant: tenant, ID: string(v.holder.User), User: v.holder.User}
	return c, s.Admits(ctx, arrived, httpkit.RequestFrom(ctx).ClientIP)
}

// onTheWay refuses somebody whose sign-in is over; it reports whether they may go on.
// Nobody shows or sets up a factor by one that nothing can come of.
func (s *Service) onTheWay(w http.ResponseWriter, r *http.Request, v *visitor) (bool, error) {
	if v.live != nil {
		return true, nil
	}
	if c, err := s.stillComing(r, v); err != nil {
		return false, s.refuse(w, r, c, err)
	}
	if !v.state.Unasked {
		return true, nil
	}
	// Whoever is signed in stays who they are, whatever a provider has begun.
	caller, err := s.callerAfresh(w, r)
	if err == nil && caller.Live != nil {
		redirect(w, v.state.ReturnTo)
		return false, nil
	}
	return err == nil, err
}

// finishFactor finishes a sign-in.
func (s *Service) finishFactor(w http.ResponseWriter, r *http.Request, v *visitor, shown Shown) (bool, error) {
	if ok, err := s.onTheWay(w, r, v); !ok || err != nil {
		return false, err
	}
	c, err := s.stillComing(r, v)
	if err == nil {
		_, err = s.flows.take(r.Context(), v.holder.Tenant, v.step, flowCookie(r), hopFactor, c.ID)
	}
	if err == nil {
		err = s.letIn(w, r, s.causeOfVisitor(r, v), c, v.state, s.sessionOf(r, c, v.state, shown))
	}
	if err != nil {
		return false, s.refuse(w, r, c, err)
	}
	return true, nil
}

// stillHeld refuses a sign-in whose person has no second factor any more: an admin
// who has taken all away has ended their sessions, maybe just before this one.
func (s *Service) stillHeld(ctx context.Context, tenant identity.TenantID, user identity.UserID) error {
	held, err := s.factors.Held(ctx, tenant, user)
	if err == nil && len(held.Factors) == 0 {
		err = Refuse(factorsReset, "The person's second factors were taken away before the sign-in was finished.")
	}
	return err
}

// sessionOf is the session of somebody who has shown a second factor as well.
func (s *Service) sessionOf(r *http.Request, c tenants.Connection, state flow, shown Shown) sessions.NewSession {
	n := s.newSession(r, c, state)
	n.FactorAt = s.now()
	if state.Fresh && n.AuthAt.IsZero() {
		n.AuthAt = n.FactorAt // nobody else says when ([Service.fresh])
	}
	n.AMR = slices.Clone(n.AMR)
	for _, method := range shown.AMR {
		if !slices.Contains(n.AMR, method) {
			n.AMR = append(n.AMR, method)
		}
	}
	n.Details["amr"], n.Details["second_factor"] = strings.Join(n.AMR, " "), string(shown.Kind)
	return n
}
