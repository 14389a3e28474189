package authn

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"gatehouse/audit"
	"gatehouse/directory"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/internal/httpkit"
	"gatehouse/sessions"
	"gatehouse/tenants"
)

// maxAnswer bounds the form that an answer comes in: 256 KiB of XML in base64,
// some of it escaped again.
const maxAnswer = 512 << 10

// paramStep carries the token of [hopFinish].
const paramStep = "step"

// answer takes an identity provider's answer: the step first, which is cheap
// and which no stranger has, then the verification.
func (s *Service) answer(kind tenants.ConnectionType) httpkit.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) error {
		if r.Method == http.MethodHead {
			return nil // whoever only looks uses up nothing
		}
		if err := parseForm(w, r, maxAnswer); err != nil {
			return err
		}
		c, err := s.namedConnection(r, kind)
		if err != nil {
			return s.refuse(w, r, c, err)
		}
		a, state, err := s.verify(r, c)
		if err != nil {
			return s.turnDown(w, r, c, state.Test, err)
		}
		if state.Test != nil {
			return s.showTest(w, r, c, state.Test, &a, nil)
		}
		if r.Method == http.MethodPost {
			return s.bounce(w, r, c, state, a)
		}
		return s.finish(w, r, c, state, a)
	}
}

func parseForm(w http.ResponseWriter, r *http.Request, limit int64) error {
	r.Body = http.MaxBytesReader(w, r.Body, limit)
	err := r.ParseForm()
	if tooBig, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return fault.Wrap(tooBig, fault.TooLarge, "answer-too-large", "The answer of the sign-in service is larger than any real one.")
	}
	if err != nil {
		return fault.Wrap(err, fault.Invalid, "bad-form", "The answer of the sign-in service cannot be read.")
	}
	return nil
}

// connectionFor finds the connection that an address names, if people can sign in
// by it.
func (s *Service) connectionFor(r *http.Request, kind tenants.ConnectionType) (tenants.Connection, error) {
	c, err := s.namedConnection(r, kind)
	if err == nil && !c.Enabled {
		err = errNotOpen
	}
	return c, err
}

var errNotOpen = Refuse(connectionUnknown, "The answer came for a connection that does not exist or is not enabled.")

// namedConnection finds the connection that an address names, enabled or not.
func (s *Service) namedConnection(r *http.Request, kind tenants.ConnectionType) (tenants.Connection, error) {
	if err := s.served(r); err != nil {
		return tenants.Connection{}, err
	}
	c, err := s.tenants.Connection(r.Context(), tenantOf(r), r.PathValue("connection"))
	unknown := fault.Is(err, fault.NotFound)
	if err != nil && !unknown {
		return tenants.Connection{}, err
	}
	if unknown || c.Type != kind || s.protocols[kind] == nil {
		return tenants.Connection{}, errNotOpen
	}
	return c, nil
}

// verify consumes the step that the answer belongs to and has the protocol
// verify the answer. Also with an error, the step is given if there was one.
func (s *Service) verify(r *http.Request, c tenants.Connection) (Assertion, flow, error) {
	req := httpkit.RequestFrom(r.Context())
	protocol := s.protocols[c.Type]
	token := protocol.Token(r)
	state, err := s.flows.take(r.Context(), req.Tenant, token, flowCookie(r), hopAnswer, c.ID)
	if !c.Enabled && state.Test == nil {
		return Assertion{}, state, errNotOpen
	}
	step := Step{Tenant: req.Tenant, Token: token, Endpoints: endpointsOf(req.Origin, c), Reading: state.Test.reading()}
	var a Assertion
	if refusal, ok := errors.AsType[*Refusal](err); ok && refusal.Reason == unsolicited {
		a, state, err = s.unasked(r, c, step, refusal)
	} else if err == nil {
		a, err = protocol.Finish(r.Context(), c, step, state.Private, r)
	}
	if err != nil {
		return Assertion{}, state, err
	}
	if a.Replay != "" {
		if err := s.flows.once(r.Context(), req.Tenant, c.ID, a.Replay, a.ReplayUntil); err != nil {
			return Assertion{}, state, err
		}
	}
	state.SignedOut, err = s.flows.lastSignOut(r.Context(), req.Tenant, c.ID, &a)
	return a, state, err
}

// unasked verifies an answer that belongs to no step, where the provider may begin
// a sign-in. Whatever belongs to one does not come here: what was used, or is of
// another browser or too late, stays refused.
func (s *Service) unasked(r *http.Request, c tenants.Connection, step Step, refusal *Refusal) (Assertion, flow, error) {
	protocol, ok := s.protocols[c.Type].(ProviderInitiated)
	if !ok {
		return Assertion{}, flow{}, refusal
	}
	// There is no token that only a sign-in begun here has: this is for anybody to try.
	if err := s.starts.allow(r.Context()); err != nil {
		return Assertion{}, flow{}, err
	}
	a, target, allowed, err := protocol.FinishUnasked(r.Context(), c, step, r)
	switch {
	case !allowed:
		return Assertion{}, flow{}, refusal
	case err != nil:
		return Assertion{}, flow{}, err
	case a.Replay == "":
		return Assertion{}, flow{}, Refuse(Malformed, "The answer cannot be told from one that was used before.")
	}
	return a, flow{Hop: hopFinish, ReturnTo: safeReturn(target), Unasked: true}, nil
}

// bounce carries a verified assertion over to a GET of our own. An answer that
// is posted from another site brings neither the device's cookie nor that of
// an old session along (SameSite=Lax); the GET that follows does.
func (s *Service) bounce(w http.ResponseWriter, r *http.Request, c tenants.Connection, state flow, a Assertion) error {
	token, browser := newToken(), flowCookie(r)
	if browser == "" {
		browser = newToken() // nothing was begun here
	}
	err := s.flows.put(r.Context(), tenantOf(r), token, browser, c.ID, flow{Hop: hopFinish, ReturnTo: state.ReturnTo, Fresh: state.Fresh,
		Unasked: state.Unasked, Assertion: &a, Version: c.Version, SignedOut: state.SignedOut})
	if err != nil {
		return storeDown(err)
	}
	if browser != flowCookie(r) {
		httpkit.SetFlowCookie(w, browser)
	}
	redirect(w, r.URL.Path+"?"+url.Values{paramStep: {token}}.Encode())
	return nil
}

// carryOn is the GET after [Service.bounce].
func (s *Service) carryOn(kind tenants.ConnectionType) httpkit.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) error {
		if r.Method == http.MethodHead {
			return nil // whoever only looks uses up nothing
		}
		c, err := s.connectionFor(r, kind)
		if err != nil {
			return s.refuse(w, r, c, err)
		}
		state, err := s.flows.take(r.Context(), tenantOf(r), r.URL.Query().Get(paramStep), flowCookie(r), hopFinish, c.ID)
		if err != nil {
			return s.refuse(w, r, c, err)
		}
		if state.Version != c.Version {
			return s.refuse(w, r, c, Refuse(connectionChanged, "The connection was changed after the answer had been verified."))
		}
		if state.Unasked {
			// Any site can have a browser bring such an answer. Whoever is signed in
			// stays who they are.
			caller, err := s.Caller(r)
			if err != nil {
				return err
			}
			if caller.Live != nil {
				redirect(w, state.ReturnTo)
				return nil
			}
		}
		return s.finish(w, r, c, state, *state.Assertion)
	}
}

// finish turns what the provider says, verified by this version of the
// connection, into a session. The session room writes the sign-in down before
// there is a session (P1), and makes none by a connection that has changed.
func (s *Service) finish(w http.ResponseWriter, r *http.Request, c tenants.Connection, state flow, a Assertion) error {
	ctx, tenant := r.Context(), tenantOf(r)
	if t, ok := s.tenants.ByID(tenant); ok && !t.Settings.Session.Admits(httpkit.RequestFrom(ctx).ClientIP) {
		return s.refuseSaid(w, r, c, &a, errNetwork)
	}
	if err := s.flows.still(ctx, tenant, c.ID, &a, state.SignedOut); err != nil {
		return s.refuseSaid(w, r, c, &a, err)
	}
	if a.AuthTime.After(s.now().Add(authSkew)) {
		a.AuthTime = time.Time{} // says nothing
	}
	if state.Fresh {
		if err := s.fresh(tenant, &a); err != nil {
			return s.refuseSaid(w, r, c, &a, err)
		}
	}
	if err := s.admitted(ctx, tenant, c, &a); err != nil {
		return s.refuseSaid(w, r, c, &a, err)
	}
	cause := audit.CauseOf(r, nil)
	cause.Actor.Kind = identity.KindUser
	if a.EmailVerified {
		cause.Actor.Name = a.Email
	}
	user, created, err := s.directory.SignIn(ctx, cause, tenant, arrival(c, &a))
	if err == nil {
		err = s.elsewhere(ctx, tenant, c, user.Email) // which SCIM or an admin may have said
	}
	if err != nil {
		return s.refuseSaid(w, r, c, &a, err)
	}
	cause.Actor.ID, cause.Actor.Name = string(user.ID), user.Email
	if err := s.grantDefault(ctx, cause, tenant, user, c.DefaultRole); err != nil {
		return s.refuseSaid(w, r, c, &a, err)
	}
	// Who they are by now, with the groups and the role that have just come to them.
	arrived := &identity.Principal{Kind: identity.KindUser, Tenant: tenant, ID: string(user.ID), User: user.ID}
	if err := s.Admits(ctx, arrived, httpkit.RequestFrom(ctx).ClientIP); err != nil {
		return s.refuseSaid(w, r, c, &a, err)
	}
	state.User, state.Created, state.Assertion = user.ID, created, &a
	asks, provider := s.asksFactor(tenant, c, &a)
	if asks || state.Fresh && a.AuthTime.IsZero() {
		return s.askFactor(w, r, c, state)
	}
	wanted := s.newSession(r, c, state)
	if provider {
		wanted.FactorAt = a.AuthTime
	}
	if err := s.letIn(w, r, cause, c, state, wanted); err != nil {
		return s.refuseSaid(w, r, c, &a, err)
	}
	redirect(w, state.ReturnTo)
	return nil
}

// letIn makes the session of a sign-in, unless the provider has ended what it said.
func (s *Service) letIn(w http.ResponseWriter, r *http.Request, cause audit.Cause, c tenants.Connection, state flow, wanted sessions.NewSession) error {
	ctx, tenant := r.Context(), tenantOf(r)
	session, err := s.sessions.Create(ctx, cause, tenant, wanted)
	if err != nil {
		return err
	}
	// What ends it may have looked for the session before there was one.
	reason := sessions.ReasonSignedOutAtProvider
	err = s.flows.still(ctx, tenant, wanted.Connection, state.Assertion, state.SignedOut)
	if err == nil && state.Hop == hopFactor {
		reason = string(factorsReset)
		err = s.stillHeld(ctx, tenant, wanted.User)
	}
	if host, ok := s.protocols[c.Type].(Host); ok && err == nil {
		reason = string(CredentialsReplaced)
		err = host.Still(ctx, tenant, state.Assertion)
	}
	if err == nil {
		reason = sessions.ReasonIdentityUnlinked
		err = s.directory.StillLinked(ctx, tenant, wanted.Connection, state.Assertion.Subject, wanted.User)
	}
	if err != nil {
		_, endErr := s.sessions.Revoke(ctx, cause, tenant, sessions.Selector{Session: session.Session.ID}, reason)
		return cmp.Or(endErr, err)
	}
	httpkit.SetSessionCookie(w, session.Token)
	httpkit.SetDeviceCookie(w, session.DeviceToken)
	return nil
}

// authSkew is how far ahead of ours an identity provider's clock may be.
const authSkew = time.Minute

// fresh refuses an answer without the recent authentication that was asked for
// (OpenID Connect Core §3.1.3.7 item 13, SAML core §3.4.1 on ForceAuthn). The
// session would be of no use where it is needed, and the browser sent round for
// ever. Where the provider has no way to say when, that it answers to this browser now
// is all that it can give, and the person shows a second factor for the rest.
func (s *Service) fresh(tenant identity.TenantID, a *Assertion) error {
	switch {
	case a.AuthTime.IsZero() && a.Undated:
		return nil
	case a.AuthTime.IsZero():
		return Refuse(AuthenticationUndated, "A recent authentication was asked for, and the identity provider does not say when the person authenticated.")
	case !s.recent(tenant, a.AuthTime):
		return Refuse(AuthenticationTooOld, "A recent authentication was asked for, and the identity provider answered with one of %s.", a.AuthTime.UTC().Format(time.RFC3339))
	}
	return nil
}

// grantDefault gives the connection's role to a person whom a sign-in brought
// in and who has never been signed in: until there is a device of theirs, the
// first sign-in has not been completed, and what an interrupted one left out is
// made up for. Later an admin may take the role away for good.
func (s *Service) grantDefault(ctx context.Context, cause audit.Cause, tenant identity.TenantID, user directory.User, role string) error {
	if role == "" || user.Source != directory.SourceSignIn {
		return nil
	}
	known, _, err := s.devices.Devices(ctx, tenant, sessions.DeviceFilter{User: user.ID, Limit: 1})
	if err != nil || len(known) > 0 {
		return err
	}
	return roleUnusable(s.roles.GrantDefault(ctx, cause, tenant, user.ID, role))
}

// roleUnusable makes a refusal of what is wrong with a default role.
func roleUnusable(err error) error {
	if refusal, _, ok := refusalOf(err); ok {
		return Refuse(defaultRoleUnusable, "The connection's default role cannot be given: %s", refusal.Message).Because(err)
	}
	return err
}

func (s *Service) newSession(r *http.Request, c tenants.Connection, state flow) sessions.NewSession {
	a := state.Assertion
	device, _ := httpkit.ReadCookie(r, httpkit.DeviceCookie)
	old, _ := httpkit.ReadCookie(r, httpkit.SessionCookie)
	wanted := sessions.NewSession{
		Refresh: a.Refresh, RefreshDue: recheckDue(c, s.now()),
		User: state.User, Connection: c.ID, ConnectionVersion: c.Version, IDPSubject: a.Subject, IDPSession: a.IDPSession, LogoutHint: a.LogoutHint,
		AMR: a.AMR, ACR: a.ACR, IP: httpkit.RequestFrom(r.Context()).ClientIP, UserAgent: r.UserAgent(), Hints: hintsOf(r), AuthAt: a.AuthTime, Until: a.Until,
		DeviceToken: device, Replaces: old,
		Details: map[string]string{"protocol": string(c.Type), "connection": c.Name, "subject": a.Subject,
			"amr": strings.Join(a.AMR, " "), "acr": a.ACR, "created": strconv.FormatBool(state.Created)},
	}
	if state.Unasked {
		wanted.Details["begun_by"] = "provider"
	}
	return wanted
}

// wantedHints are the client hints beyond those that browsers send anyway: the
// version of Windows and the model of a phone, by which people know a device again
// in a list. Nothing depends on them, so Critical-CH, which would have the
// browser ask for a page once more, is not sent.
const wantedHints = "Sec-CH-UA-Platform-Version, Sec-CH-UA-Model"

// hintsOf are the client hints of a request. After an answer that was posted from
// another site, it is the GET of our own that brings them ([Service.bounce]).
func hintsOf(r *http.Request) sessions.ClientHints {
	field := func(name string) string {
		if values := r.Header[name]; len(values) == 1 {
			return values[0]
		}
		return ""
	}
	return sessions.ClientHints{Brands: field("Sec-Ch-Ua"), Mobile: field("Sec-Ch-Ua-Mobile"), Model: field("Sec-Ch-Ua-Model"),
		Platform: field("Sec-Ch-Ua-Platform"), PlatformVersion: field("Sec-Ch-Ua-Platform-Version")}
}

// metadata serves the document that an identity provider's admin needs.
func (s *Service) metadata(w http.ResponseWriter, r *http.Request) error {
	missing := fault.New(fault.NotFound, "no-metadata", "There is no SAML connection of this name.")
	c, err := s.tenants.Connection(r.Context(), tenantOf(r), r.PathValue("connection"))
	if err != nil {
		if fault.Is(err, fault.NotFound) {
			return missing
		}
		return err
	}
	publisher, ok := s.protocols[c.Type].(MetadataPublisher)
	if !ok || c.Type != tenants.SAML {
		return missing
	}
	document, mediaType, err := publisher.Metadata(r.Context(), tenantOf(r), c, endpointsOf(httpkit.RequestFrom(r.Context()).Origin, c))
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", mediaType)
	h.Set("X-Content-Type-Options", "nosniff")
	_, _ = w.Write(document) // #nosec G705 -- our own XML, escaped by encoding/xml; the client may be gone; nothing is left to tell it
	return nil
}
