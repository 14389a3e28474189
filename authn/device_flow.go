package authn

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"gatehouse/audit"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/internal/httpkit"
	"gatehouse/sessions"
	"gatehouse/tenants"
)

// grantDeviceCode is the grant for programs of people (RFC 8628 §3.4).
const grantDeviceCode = "urn:ietf:params:oauth:grant-type:device_code"

// clients are the programs that may ask, by their ids. They are public: what they
// run on is their people's, and so keeps no secret.
var clients = map[string]string{"gatehouse-cli": "Gatehouse CLI"}

// maxClaim is how much of what a program says of itself its person is shown, in
// characters.
const maxClaim = 40

// routeDevices mounts the device flow. Programs ask without cookies, and pages have
// no business there; what people say comes from our own page alone.
func (s *Service) routeDevices(mux *http.ServeMux, sameOrigin *http.CrossOriginProtection) {
	mux.Handle("GET "+pathOAuth+"metadata", s.handle(s.oauthMetadata))
	mux.Handle("POST "+pathOAuth+"device_authorization", sameOrigin.Handler(s.handle(s.forPrograms(s.authorizeDevice))))
	mux.Handle("POST "+pathOAuth+"token", sameOrigin.Handler(s.handle(s.forPrograms(s.token))))
	mux.Handle("POST "+pathOAuth+"revoke", sameOrigin.Handler(s.handle(s.forPrograms(s.revokeToken))))
	mux.Handle("GET "+pathDevice, s.handle(s.askForCode))
	mux.Handle("POST "+pathDevice, sameOrigin.Handler(s.handle(s.postDevice)))
}

// oauthMetadata tells programs where to ask (RFC 8414 §2).
func (s *Service) oauthMetadata(w http.ResponseWriter, r *http.Request) error {
	at := httpkit.RequestFrom(r.Context()).Origin + pathOAuth
	httpkit.WriteJSON(w, http.StatusOK, struct {
		Issuer        string   `json:"issuer"`
		Device        string   `json:"device_authorization_endpoint"`
		Token         string   `json:"token_endpoint"`
		Revocation    string   `json:"revocation_endpoint"`
		Grants        []string `json:"grant_types_supported"`
		ResponseTypes []string `json:"response_types_supported"`
		Auth          []string `json:"token_endpoint_auth_methods_supported"`
	}{strings.TrimSuffix(at, "/"), at + "device_authorization", at + "token", at + "revoke", []string{grantDeviceCode, grantClientCredentials},
		[]string{}, []string{"none", "client_secret_basic", "client_secret_post"}})
	return nil
}

// client finds the program that a form names.
func client(form map[string]string) (id string, err error) {
	id = form["client_id"]
	if id == "" {
		return "", refuseProgram(invalidRequest, Malformed, "The form does not say which client asks (client_id).")
	}
	if _, ok := clients[id]; !ok {
		return "", refuseProgram(invalidClient, clientUnknown, "There is no client of this id.")
	}
	return id, nil
}

// deviceAuthorization is what a program shows its person, and asks with (RFC 8628
// §3.2).
type deviceAuthorization struct {
	DeviceCode string `json:"device_code"`
	UserCode   string `json:"user_code"`
	URI        string `json:"verification_uri"`
	URIWhole   string `json:"verification_uri_complete"`
	ExpiresIn  int    `json:"expires_in"`
	Interval   int    `json:"interval"`
}

// authorizeDevice gives a program its codes (RFC 8628 §3.1). device_name, which is
// not of the RFC, is what the program runs on.
func (s *Service) authorizeDevice(r *http.Request, form map[string]string) (any, error) {
	req := httpkit.RequestFrom(r.Context())
	id, err := client(form)
	if err != nil {
		return nil, err
	}
	if form["scope"] != "" {
		return nil, refuseProgram(invalidScope, scopeUnknown, "There are no scopes: a program may do what its person may.")
	}
	host := form["device_name"]
	if len(host) > 255 {
		return nil, refuseProgram(invalidRequest, TooLarge, "The name of the device is longer than any real one.")
	}
	if err := s.served(r); err != nil {
		return nil, refuseProgram(unauthorizedClient, tenantSuspended, "The tenant is suspended.")
	}
	if t, ok := s.tenants.ByID(req.Tenant); ok && t.Settings.Session.DeviceLogin == tenants.RefuseDeviceLogin {
		return nil, refuseProgram(unauthorizedClient, Reason(errDeviceLogin.Code), "%s", errDeviceLogin.Detail)
	}
	if err := s.starts.allow(r.Context()); err != nil {
		return nil, err
	}
	e := s.event(r, audit.DeviceLoginAsked, audit.Success, tenants.Connection{})
	e.Details = map[string]string{"client": id, "host": host}
	if _, err := s.refusals.Record(r.Context(), e); err != nil {
		return nil, err
	}
	device, user, err := s.codes.put(r.Context(), req.Tenant, asking{client: id, host: host, ip: req.ClientIP, userAgent: saidOfItself(e.UserAgent, maxClaim)})
	if err != nil {
		return nil, err
	}
	at := req.Origin + pathDevice
	return deviceAuthorization{DeviceCode: device, UserCode: user.String(), URI: at, URIWhole: at + "?" + url.Values{paramUserCode: {user.String()}}.Encode(),
		ExpiresIn: int(deviceCodeLife / time.Second), Interval: int(pollPace / time.Second)}, nil
}

// accessToken is a session for a program, or what a client provisions with (RFC 6749
// §5.1). Device, which is not of the
// RFC, is what it sends along the next time, to be known again.
type accessToken struct {
	Token     string `json:"access_token"`
	Type      string `json:"token_type"`
	ExpiresIn int    `json:"expires_in,omitempty"`
	Scope     string `json:"scope,omitempty"`
	Device    string `json:"device_token,omitempty"`
}

// token answers a program that asks what its person has said (RFC 8628 §3.4), or that
// has no person.
func (s *Service) token(r *http.Request, form map[string]string) (any, error) {
	if form["grant_type"] == grantClientCredentials {
		return s.grantClient(r, form)
	}
	id, err := client(form)
	if err != nil {
		return nil, err
	}
	switch form["grant_type"] {
	case grantDeviceCode:
	case "":
		return nil, refuseProgram(invalidRequest, Malformed, "The form does not say by which grant it asks (grant_type).")
	default:
		return nil, refuseProgram(unsupportedGrantType, grantUnsupported, "The grants are %s and %s.", grantDeviceCode, grantClientCredentials)
	}
	code := form["device_code"]
	if code == "" {
		return nil, refuseProgram(invalidRequest, Malformed, "The form holds no device code.")
	}
	tenant := tenantOf(r)
	a, err := s.codes.poll(r.Context(), tenant, id, code)
	if err != nil {
		return nil, err
	}
	made, err := s.letProgramIn(r, a, code, form["device_token"])
	refusal, _, ok := refusalOf(err)
	if f := fault.As(err); err != nil && f.Kind == fault.Unauthenticated { // ended while it was made
		refusal, ok = &Refusal{Reason: Reason(f.Code), Message: f.Detail, cause: err}, true
	}
	switch {
	case err != nil && ok:
		return nil, &oauthError{code: accessDenied, Refusal: refusal}
	case err != nil:
		return nil, errors.Join(err, s.codes.giveBack(r.Context(), tenant, code))
	}
	answer := accessToken{Token: made.Token, Type: "Bearer", Device: made.DeviceToken}
	if until := made.Session.ExpiresAt; !until.IsZero() {
		answer.ExpiresIn = int(time.Until(until) / time.Second)
	}
	return answer, nil
}

// letProgramIn makes the session of a program that a person has allowed. It is by what the
// person had shown in the browser when they did, and holds for as long as their sessions do: the
// browser's own end does not end it, nor that of the identity provider's session. The
// device is what the program was given to be known again by: it counts for the person
// who allows it, and is nobody else's device.
func (s *Service) letProgramIn(r *http.Request, a asking, code, device string) (sessions.Created, error) {
	ctx, req := r.Context(), httpkit.RequestFrom(r.Context())
	by, err := s.sessions.Get(ctx, req.Tenant, a.allowedBy)
	if err != nil {
		return sessions.Created{}, err
	}
	if err := s.served(r); err != nil {
		return sessions.Created{}, err
	}
	arrived := &identity.Principal{Kind: identity.KindUser, Tenant: req.Tenant, ID: string(by.User), User: by.User, Program: true}
	if err := s.Admits(ctx, arrived, req.ClientIP); err != nil {
		return sessions.Created{}, err
	}
	c, err := s.tenants.ConnectionByID(ctx, req.Tenant, by.Connection)
	if err != nil {
		return sessions.Created{}, err
	}
	cause := audit.CauseOf(r, nil)
	cause.Actor = s.actorOf(r, arrived)
	return s.sessions.Create(ctx, cause, req.Tenant, sessions.NewSession{
		User: by.User, Connection: c.ID, ConnectionVersion: c.Version, IDPSubject: by.IDPSubject,
		AMR: a.shown.amr, ACR: a.shown.acr, AuthAt: a.shown.authAt, FactorAt: a.shown.factorAt,
		IP: req.ClientIP, UserAgent: r.UserAgent(), DeviceToken: device,
		Program: &sessions.Program{Name: clients[a.client], Host: a.host, AllowedBy: by.ID,
			Carried: func(ctx context.Context) (identity.SessionID, error) { return s.codes.allowedBy(ctx, req.Tenant, code) }},
		Details: map[string]string{"protocol": "device", "connection": c.Name, "subject": by.IDPSubject, "client": a.client, "host": a.host,
			"allowed_by": string(by.ID), "amr": strings.Join(a.shown.amr, " "), "acr": a.shown.acr},
	})
}

// revokeToken ends a program's session (RFC 7009 §2.1). It holds on every node when
// it answers; what is no token of a session is over already (§2.2).
func (s *Service) revokeToken(r *http.Request, form map[string]string) (any, error) {
	if _, err := client(form); err != nil {
		return nil, err
	}
	if form["token"] == "" {
		return nil, refuseProgram(invalidRequest, Malformed, "The form holds no token.")
	}
	live, err := s.sessions.FindProgram(r.Context(), tenantOf(r), form["token"])
	if fault.Is(err, fault.Unauthenticated) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	p := live.Principal()
	_, err = s.sessions.Revoke(r.Context(), s.causeOf(r, p), p.Tenant, sessions.Selector{Session: p.Session}, sessions.ReasonSignedOut)
	return nil, err
}
