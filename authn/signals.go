package authn

import (
	"cmp"
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"gatehouse/audit"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/internal/httpkit"
	"gatehouse/sessions"
	"gatehouse/tenants"
)

// MaxSET is the longest security event token that is read, in bytes.
const MaxSET = 64 << 10

const mediaSET = "application/secevent+jwt" // RFC 8417 §7.2

// SignalReader reads what transmitters say of people and their sessions (OpenID
// Shared Signals Framework 1.0).
type SignalReader interface {
	// Read verifies a security event token that is to be for one of these
	// audiences. What it does not accept is a [Refusal].
	Read(ctx context.Context, tenant identity.TenantID, c tenants.Connection, audiences []string, token string) (Signal, error)
	// Forget drops what is known of a deleted tenant's transmitters.
	Forget(tenant identity.TenantID)
	// Close ends what is asked of transmitters, and waits for its end.
	Close()
}

// EntityNamer is a [Protocol] whose identity providers have a name that a
// connection does not hold (the SAML entity id).
type EntityNamer interface {
	Entity(ctx context.Context, tenant identity.TenantID, c tenants.Connection) (string, error)
}

// Signal is one security event, verified.
type Signal struct {
	// ID names the token, which is heeded once; nobody could show it after Until.
	ID    string
	Until time.Time
	Event string // its type, a URI
	// Ends is the reason for which sessions end; "": none do, and Why says why.
	Ends  string
	Why   string
	State string // of a verification, what we are to recognise it by
	// Whom it is about: each of them.
	Whom []SignalSubject
}

// SignalSubject is whom an event is about, by the names of whoever tells of it.
type SignalSubject struct {
	Issuer   string // whose name Subject is; "": the transmitter's or the identity provider's
	Subject  string
	Email    string   // as it was sent; "" where Subject tells
	Sessions []string // of the identity provider; none means all of them
}

// Delivery is how a token came here.
type Delivery struct {
	Cause audit.Cause // nobody, until the token is believed
	// Origin is that of our address to which it was pushed.
	Origin string
	// ID is the name under which it was fetched.
	ID string
}

// The words for events that end nothing.
const (
	whySubjectUnknown = "subject-unknown"
	// WhyNoEffect is an event of a known type that is no reason to end a session.
	WhyNoEffect = "no-effect"
	// WhyUnknown is an event of a type that is not known.
	WhyUnknown = "event-unknown"
)

// SETError is how a transmitter is told that a token is not accepted (RFC 8935
// §2.3, RFC 8936 §2.6).
type SETError struct {
	Code        string `json:"err"`
	Description string `json:"description"`
}

// SETError gives the refusal's code (RFC 8935 §2.4).
func (f *Refusal) SETError() SETError {
	code := "invalid_request"
	switch f.Reason {
	case WrongIssuer:
		code = "invalid_issuer"
	case WrongAudience:
		code = "invalid_audience"
	case WrongKey, WrongAlgorithm:
		code = "invalid_key"
	case wrongAuthorization:
		code = "authentication_failed"
	case connectionUnknown, tenantSuspended:
		code = "access_denied"
	}
	return SETError{Code: code, Description: f.Message}
}

// receiveSignal takes a pushed security event token (RFC 8935 §2.1), and answers
// once what it says is done everywhere (P2).
func (s *Service) receiveSignal(w http.ResponseWriter, r *http.Request) error {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	err := s.takeSignal(w, r)
	if err == nil {
		w.WriteHeader(http.StatusAccepted)
		return nil
	}
	refusal, ok := errors.AsType[*Refusal](err)
	if !ok {
		return err
	}
	status := http.StatusBadRequest
	switch refusal.Reason {
	case wrongAuthorization:
		status = http.StatusUnauthorized
		h.Set("WWW-Authenticate", `Bearer realm="gatehouse"`) // RFC 9110 §11.6.1
	case TooLarge:
		status = http.StatusRequestEntityTooLarge
	case wrongMediaType:
		status = http.StatusUnsupportedMediaType
	case ProviderUnreachable:
		status = http.StatusServiceUnavailable
		h.Set("Retry-After", "10")
	}
	httpkit.WriteJSON(w, status, refusal.SETError())
	return nil
}

func (s *Service) takeSignal(w http.ResponseWriter, r *http.Request) error {
	cause := audit.CauseOf(r, nil)
	c, err := s.signalsTo(r)
	if err != nil {
		return s.refuseSignal(r.Context(), cause, tenantOf(r), c, err)
	}
	token, err := readSET(w, r)
	if err != nil {
		return s.refuseSignal(r.Context(), cause, tenantOf(r), c, err)
	}
	return s.Heed(r.Context(), tenantOf(r), c, Delivery{Cause: cause, Origin: httpkit.RequestFrom(r.Context()).Origin}, token)
}

// signalsTo finds the connection that signals are pushed to, if whoever pushes
// may.
func (s *Service) signalsTo(r *http.Request) (tenants.Connection, error) {
	if err := s.served(r); err != nil {
		return tenants.Connection{}, err
	}
	c, err := s.tenants.Connection(r.Context(), tenantOf(r), r.PathValue("connection"))
	unknown := fault.Is(err, fault.NotFound)
	if err != nil && !unknown {
		return tenants.Connection{}, err
	}
	if unknown || !c.Enabled || s.signals == nil || c.Signals == nil || c.Signals.Poll != nil {
		return tenants.Connection{}, Refuse(connectionUnknown, "No signals are pushed to a connection of this name.")
	}
	// The hashes are compared, so that the time says nothing of the length either.
	sent, want := r.Header["Authorization"], c.Signals.Authorization
	if want != "" && (len(sent) != 1 || subtle.ConstantTimeCompare(hash(sent[0]), hash(want)) != 1) {
		return c, Refuse(wrongAuthorization, "The Authorization header is not the one that was agreed upon.")
	}
	return c, nil
}

func readSET(w http.ResponseWriter, r *http.Request) (string, error) {
	if media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || media != mediaSET {
		return "", Refuse(wrongMediaType, "The request is not of the type %s.", mediaSET)
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxSET))
	if tooBig, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return "", Refuse(TooLarge, "The token is larger than %d bytes.", MaxSET).Because(tooBig)
	}
	if err != nil {
		return "", Refuse(Malformed, "The request cannot be read.").Because(err)
	}
	return string(body), nil
}

// Heed does what a security event token says, and returns once that is done on
// every node (P2) and will not be done again. A token that is not believed is a
// [Refusal], journalled; one that was heeded before is no error, since whoever
// sent it may not have heard of it.
func (s *Service) Heed(ctx context.Context, tenant identity.TenantID, c tenants.Connection, d Delivery, token string) error {
	signal, err := s.readSignal(ctx, tenant, c, s.audiences(tenant, c, d.Origin), token)
	if err == nil && d.ID != "" && d.ID != signal.ID {
		err = Refuse(Malformed, "The token has another id than the one that it was given under.")
	}
	if err != nil {
		return s.refuseSignal(ctx, d.Cause, tenant, c, err)
	}
	once := hash("signal", string(c.ID), c.Signals.Issuer, signal.ID)
	used, err := s.flows.heeded(ctx, tenant, once)
	if err != nil {
		return err
	}
	if used {
		_, err := s.recordSignal(ctx, d.Cause, tenant, c, Refuse(replayed, "The token was heeded before."))
		return err
	}
	which, err := s.selectorsOf(ctx, tenant, c, signal.Whom)
	if err != nil {
		return s.refuseSignal(ctx, d.Cause, tenant, c, err)
	}
	cause := d.Cause
	cause.Actor, cause.Connection = audit.Actor{Kind: identity.KindIDP, ID: string(c.ID), Name: c.Name}, c.ID
	if _, err := s.journal.Commit(ctx, receivedEvent(cause, tenant, c, signal, len(which) > 0)); err != nil {
		return err
	}
	if signal.Ends != "" {
		for _, sel := range which {
			if err := s.endAtProvider(ctx, cause, tenant, sel, signal.Ends); err != nil {
				return err
			}
		}
	}
	_, err = s.flows.remember(ctx, tenant, once, signal.Until)
	return err
}

// readSignal reads a token. One whose reading panics cannot be read: its transmitter is
// told so, and does not send it for ever.
func (s *Service) readSignal(ctx context.Context, tenant identity.TenantID, c tenants.Connection, audiences []string, token string) (signal Signal, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			s.log.ErrorContext(ctx, "reading a security event panicked", "tenant", tenant, "connection", c.Name, "panic", cause, "stack", string(debug.Stack()))
			signal, err = Signal{}, Refuse(Malformed, "The token could not be read.").Because(fmt.Errorf("authn: panic: %v", cause))
		}
	}()
	return s.signals.Read(ctx, tenant, c, audiences, token)
}

// audiences are whom a connection's tokens may be for: our own address of its
// signals, by any of the tenant's hosts, unless the admin has agreed upon another.
func (s *Service) audiences(tenant identity.TenantID, c tenants.Connection, origin string) []string {
	if c.Signals.Audience != "" {
		return []string{c.Signals.Audience}
	}
	var all []string
	if origin != "" {
		all = append(all, origin+pathSignals+c.Name)
	}
	if t, ok := s.tenants.ByID(tenant); ok {
		for _, host := range t.Hosts {
			all = append(all, "https://"+host+pathSignals+c.Name)
		}
	}
	return all
}

// selectorsOf finds the sessions by this connection that an event is about; none
// where nobody here is known by these names.
func (s *Service) selectorsOf(ctx context.Context, tenant identity.TenantID, c tenants.Connection, whom []SignalSubject) ([]sessions.Selector, error) {
	var all []sessions.Selector
	for _, who := range whom {
		ours, err := s.namesOurs(ctx, tenant, c, who.Issuer)
		if err != nil {
			return nil, err
		}
		if !ours {
			continue
		}
		names := []string{who.Subject}
		if who.Email != "" {
			if names, err = s.directory.SubjectsByEmail(ctx, tenant, c.ID, who.Email); err != nil {
				return nil, err
			}
		}
		for _, name := range names {
			if name == "" && len(who.Sessions) == 0 {
				continue // nobody's name would be everybody's
			}
			all = append(all, sessions.Selector{Connection: c.ID, IDPSubject: name, IDPSessions: who.Sessions})
		}
	}
	return all, nil
}

// namesOurs reports whether an issuer's names of people are those that a
// connection knows them by. Some write their name with a slash at the end that
// is not there at sign-in.
func (s *Service) namesOurs(ctx context.Context, tenant identity.TenantID, c tenants.Connection, issuer string) (bool, error) {
	same := func(name string) bool { return strings.TrimSuffix(name, "/") == strings.TrimSuffix(issuer, "/") }
	if issuer == "" || same(c.Signals.Issuer) || c.OIDC != nil && same(c.OIDC.Issuer) {
		return true, nil
	}
	named, ok := s.protocols[c.Type].(EntityNamer)
	if !ok {
		return false, nil
	}
	entity, err := named.Entity(ctx, tenant, c)
	return err == nil && same(entity), err
}

func receivedEvent(cause audit.Cause, tenant identity.TenantID, c tenants.Connection, signal Signal, known bool) audit.Event {
	e := cause.Event(tenant, audit.SignalReceived, audit.Success)
	e.Target = audit.Target{Kind: "connection", ID: string(c.ID), Name: c.Name}
	e.Reason = signal.Why
	if signal.Ends != "" && !known {
		e.Reason = whySubjectUnknown
	}
	e.Details = map[string]string{"connection": c.Name, "event": signal.Event}
	if signal.State != "" {
		e.Details["state"] = signal.State
	}
	var whom []string
	for _, who := range signal.Whom {
		whom = append(whom, cmp.Or(who.Subject, who.Email))
		whom = append(whom, who.Sessions...)
	}
	whom = slices.DeleteFunc(whom, func(name string) bool { return name == "" })
	if len(whom) > 0 {
		e.Details["subject"] = strings.Join(slices.Compact(whom), " ")
	}
	return e
}

// refuseSignal journals what is not accepted; failures of ours are returned as
// they are.
func (s *Service) refuseSignal(ctx context.Context, cause audit.Cause, tenant identity.TenantID, c tenants.Connection, err error) error {
	refusal, ok := errors.AsType[*Refusal](err)
	if !ok {
		return err
	}
	if _, err := s.recordSignal(ctx, cause, tenant, c, refusal); err != nil {
		return err
	}
	return refusal
}

// RefuseSignal journals that a transmitter's answer to a poll is of no use.
func (s *Service) RefuseSignal(ctx context.Context, tenant identity.TenantID, c tenants.Connection, refusal *Refusal) error {
	_, err := s.recordSignal(ctx, audit.Cause{Actor: audit.ActorOf(nil)}, tenant, c, refusal)
	return err
}

func (s *Service) recordSignal(ctx context.Context, cause audit.Cause, tenant identity.TenantID, c tenants.Connection, refusal *Refusal) (audit.Receipt, error) {
	e := cause.Event(tenant, audit.SignalRefused, audit.Refused)
	e.Reason, e.Message = string(refusal.Reason), refusal.Message
	if c.ID != "" {
		e.Connection = c.ID
		e.Target = audit.Target{Kind: "connection", ID: string(c.ID), Name: c.Name}
		e.Details = map[string]string{"connection": c.Name}
	}
	receipt, err := s.refusals.Record(ctx, e)
	if err == nil {
		s.log.InfoContext(ctx, "refused", "event", e.Type, "request_id", e.RequestID, "tenant", tenant,
			"connection", c.Name, "reason", refusal.Reason, "error", refusal)
	}
	return receipt, err
}
