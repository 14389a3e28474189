package authn

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"gatehouse/audit"
	"gatehouse/directory"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/internal/httpkit"
	"gatehouse/internal/words"
	"gatehouse/tenants"
)

// Reason is the stable code of why a sign-in was refused, as the journal
// keeps it.
type Reason string

// The reasons. Protocols use those of the first two groups.
const (
	// The answer is not what it must be.
	Malformed           Reason = "malformed"
	TooLarge            Reason = "too-large"
	TooDeep             Reason = "too-deep"
	Encrypted           Reason = "encrypted-assertion"
	NotEncrypted        Reason = "not-encrypted"
	SignatureMissing    Reason = "signature-missing"
	SignatureInvalid    Reason = "signature-invalid"
	SignatureAmbiguous  Reason = "signature-ambiguous"
	WrongAlgorithm      Reason = "wrong-algorithm"
	WrongKey            Reason = "wrong-key"
	WrongIssuer         Reason = "wrong-issuer"
	WrongAudience       Reason = "wrong-audience"
	WrongNonce          Reason = "wrong-nonce"
	WrongContext        Reason = "wrong-context"
	WrongRecipient      Reason = "wrong-recipient"
	WrongDestination    Reason = "wrong-destination"
	WrongRequest        Reason = "wrong-request"
	Expired             Reason = "expired"
	NotYetValid         Reason = "not-yet-valid"
	ConditionsMissing   Reason = "conditions-missing"
	ConfirmationMissing Reason = "confirmation-missing"
	SubjectUnusable     Reason = "subject-unusable"
	SubjectForeign      Reason = "subject-foreign"
	CodeRejected        Reason = "code-rejected"
	WrongTokenType      Reason = "wrong-token-type"
	WrongMediaType             = wrongMediaType
	EmailUnusable       Reason = "email-unusable"
	GroupsUnusable      Reason = "groups-unusable"

	// The provider has ended what was verified.
	signedOutMeanwhile Reason = "signed-out-meanwhile"

	// The person was to authenticate anew, and has not, as far as anybody knows.
	AuthenticationTooOld  Reason = "authentication-too-old"
	AuthenticationUndated Reason = "authentication-undated"

	// The identity provider says no, or nothing.
	ProviderRefused     Reason = "provider-refused"
	ProviderUnreachable Reason = "provider-unreachable"
	ProviderUnusable    Reason = "provider-unusable"
	// RefreshRefused is a provider that says that somebody who is signed in may not go
	// on, RefreshMissing one that gives nothing to ask it by.
	RefreshRefused Reason = "refresh-refused"
	RefreshMissing Reason = "refresh-missing"
	// RefreshUnkeepable is a provider that gives something else to ask it by the next
	// time, which cannot be kept.
	RefreshUnkeepable Reason = "refresh-unkeepable"
	// PartialLogout is a provider that has ended its own session, but not all that
	// hang on it.
	PartialLogout Reason = "partial-logout"

	// The step is not one of ours any more, or not this browser's.
	unsolicited       Reason = "unsolicited"
	replayed          Reason = "replayed"
	stepExpired       Reason = "step-expired"
	otherBrowser      Reason = "other-browser"
	otherConnection   Reason = "other-connection"
	otherSession      Reason = "other-session"
	connectionUnknown Reason = "connection-unknown"
	connectionChanged Reason = "connection-changed"
	tenantSuspended   Reason = "tenant-suspended"

	// The connection is not for this person.
	domainNotAllowed Reason = "domain-not-allowed"
	groupNotAllowed  Reason = "group-not-allowed"
	domainElsewhere  Reason = "domain-elsewhere"

	// CredentialsReplaced is a sign-in by what is not the person's credential any more.
	CredentialsReplaced Reason = "credentials-replaced"

	// The connection asks for what there is not.
	defaultRoleUnusable Reason = "default-role-unusable"

	// A program on a command line, or its person, may not go on.
	clientUnknown    Reason = "client-unknown"
	otherClient      Reason = "other-client"
	scopeUnknown     Reason = "scope-unknown"
	grantUnsupported Reason = "grant-unsupported"
	codeUnknown      Reason = "code-unknown"
	denied           Reason = "denied"
	tooOften         Reason = "too-often"

	// What is pushed is not pushed as was agreed upon.
	wrongAuthorization Reason = "wrong-authorization"
	wrongMediaType     Reason = "wrong-media-type"
)

// Refusal is the error of an answer that is not accepted. Message tells the
// admin who reads the journal what was wrong; it holds no token and nothing
// that an attacker could write at length.
type Refusal struct {
	Reason  Reason
	Message string
	said    fault.Sentence // Message, before it was filled in
	of      *Assertion     // who the provider says it is that is refused; nil: it was not believed
	cause   error
}

// Refuse makes a [Refusal].
func Refuse(reason Reason, format string, args ...any) *Refusal {
	return &Refusal{Reason: reason, Message: fmt.Sprintf(format, args...), said: fault.Sentence{Format: format, Args: args}}
}

// Sentence is the message as pages say it in other languages.
func (f *Refusal) Sentence() fault.Sentence {
	if f.said.Format != "" {
		return f.said
	}
	return fault.Sentence{Format: f.Message}
}

// Because returns the refusal with a cause for the operator's log.
func (f *Refusal) Because(err error) *Refusal {
	f.cause = err
	return f
}

// maxCause is how much of a cause is told, in bytes: there are libraries that quote a
// provider's whole answer.
const maxCause = 1 << 10

// Error gives the reason, the message and the cause.
func (f *Refusal) Error() string {
	s := string(f.Reason) + ": " + f.Message
	if f.cause != nil {
		cause := f.cause.Error()
		s += ": " + strings.ToValidUTF8(cause[:min(len(cause), maxCause)], "")
	}
	return s
}

// Unwrap gives the cause.
func (f *Refusal) Unwrap() error { return f.cause }

// lead is what the person reads: what happened, and what to do.
func (r Reason) lead() string {
	switch r {
	case AuthenticationTooOld:
		return "This needs a new sign-in, but your organisation's sign-in service answered with an earlier one. Sign out there, and try again."
	case AuthenticationUndated:
		return "This needs a new sign-in, but your organisation's sign-in service does not say when you signed in, so trying again does not help. Tell your administrator the event number below: if you were about to set up a second factor, they can have you asked for it while you sign in."
	case WrongContext:
		return "Your organisation asks for a stronger sign-in than the one that its sign-in service answered with. Sign in there with your second factor, and try again."
	case ProviderRefused:
		return "Your organisation's sign-in service did not let you in. Try again, or ask your administrator for access."
	case ProviderUnreachable:
		return "Your organisation's sign-in service cannot be reached right now. Wait a moment and try again."
	case ProviderUnusable, RefreshMissing, defaultRoleUnusable:
		return "The connection to your organisation's sign-in service is not set up correctly. Tell your administrator the event number below."
	case domainNotAllowed:
		return "This way of signing in is not for your email address. Choose another, or ask your administrator for access."
	case domainElsewhere:
		return "People with your email address sign in another way here. Go back, and choose that one."
	case groupNotAllowed:
		return "You are not in a group that may sign in here. Ask your administrator for access."
	case unsolicited:
		return "This sign-in was not begun here. Signing in always starts from this site: use the button below."
	case replayed:
		return "This sign-in was used already, perhaps by going back or reloading. Begin again."
	case signedOutMeanwhile:
		return "Your organisation's sign-in service signed you out before this sign-in was finished. Begin again."
	case stepExpired:
		return "This sign-in took too long. Begin again."
	case otherBrowser:
		return "This sign-in was begun in another browser, or cookies are switched off. Allow cookies for this site and begin again here."
	case connectionUnknown:
		return "This way of signing in does not exist here, or is switched off. Choose another."
	case connectionChanged:
		return "This way of signing in was changed while you signed in. Sign in again."
	case tenantSuspended:
		return "Access for your organisation is suspended. Ask your administrator."
	case factorsReset:
		return "Your administrator took your second factors away before this sign-in was finished. Begin again, and set up a new one."
	case CredentialsReplaced:
		return "What you sign in with was replaced or taken away while you signed in. Begin again with what you have now."
	case SubjectUnusable, SubjectForeign:
		return "Your organisation's sign-in service did not say clearly who you are. Tell your administrator the event number below."
	}
	return "The answer of your organisation's sign-in service could not be trusted, so you were not signed in. Try again; if it goes on, tell your administrator the event number below."
}

// refusalOf turns any failure of a sign-in into a refusal and the sentence for
// the person; ok is false for failures of ours, which are not the sign-in's
// fault and are answered as such (P7).
func refusalOf(err error) (f *Refusal, lead fault.Sentence, ok bool) {
	if f, ok := errors.AsType[*Refusal](err); ok {
		return f, fault.Sentence{Format: f.Reason.lead()}, true
	}
	ft := fault.As(err)
	switch ft.Kind {
	case fault.Denied, fault.Conflict, fault.Invalid, fault.NotFound:
		return &Refusal{Reason: Reason(ft.Code), Message: ft.Detail, said: ft.Sentence(), cause: err}, ft.Sentence(), true
	}
	return nil, fault.Sentence{}, false
}

// refuse journals a refused sign-in and then shows it as a page. It returns an
// error where nothing was shown.
func (s *Service) refuse(w http.ResponseWriter, r *http.Request, c tenants.Connection, err error) error {
	return s.refuseSaid(w, r, c, nil, err)
}

// refuseSaid is [Service.refuse] of somebody of whom the provider has said who they
// are, which the record names: an admin can link that to a person. An address is
// there only if it is verified.
func (s *Service) refuseSaid(w http.ResponseWriter, r *http.Request, c tenants.Connection, a *Assertion, err error) error {
	refusal, lead, ok := refusalOf(err)
	if !ok {
		return err
	}
	if a != nil {
		named := *refusal
		named.of, refusal = a, &named
	}
	req := httpkit.RequestFrom(r.Context())
	receipt, err := s.record(r, audit.SignInRefused, c, refusal)
	if err != nil {
		return err
	}

	status := http.StatusForbidden
	if refusal.Reason == ProviderUnreachable {
		status = http.StatusBadGateway
	}
	s.page(w, r, httpkit.Page{
		Status: status, Title: "You are not signed in", Lead: words.For(r).Tell(lead),
		Links: []httpkit.Link{{Text: "Sign in again", Href: pathLogin}},
		Facts: []httpkit.Fact{{Name: "Event", Value: string(receipt.Event())}, {Name: "Request", Value: string(req.ID)}},
	})
	return nil
}

// record journals a refusal about a connection.
func (s *Service) record(r *http.Request, t audit.Type, c tenants.Connection, refusal *Refusal) (audit.Receipt, error) {
	e := s.event(r, t, audit.Refused, c)
	if a := refusal.of; a != nil {
		e.Details["subject"] = a.Subject
		if email, err := directory.CanonicalEmail(a.Email); err == nil && a.EmailVerified {
			e.Details["email"] = email
		}
	}
	e.Reason, e.Message = string(refusal.Reason), refusal.Message
	receipt, err := s.refusals.Record(r.Context(), e)
	if err == nil {
		s.log.InfoContext(r.Context(), "refused", "event", t, "request_id", e.RequestID, "tenant", e.Tenant,
			"connection", c.Name, "reason", refusal.Reason, "error", refusal)
	}
	return receipt, err
}

// turnedAway journals a request that was refused before it began anything, and
// returns the refusal with the record's id.
func (s *Service) turnedAway(r *http.Request, f *fault.Fault) error {
	kind := audit.RequestRefused
	if f.Kind == fault.Denied || f.Kind == fault.Unauthenticated {
		kind = audit.AccessRefused
	}
	e := s.event(r, kind, audit.Refused, tenants.Connection{})
	if caller, err := s.Caller(r); err == nil && caller.Live != nil {
		e.Describe(r, caller.Principal)
		e.Actor = s.actorOf(r, caller.Principal)
	}
	e.Reason, e.Message = f.Recorded()
	receipt, err := s.refusals.Record(r.Context(), e)
	if err != nil {
		return err
	}
	return f.WithEvent(string(receipt.Event()))
}

// event begins an event of this request, by nobody known, about a connection.
func (s *Service) event(r *http.Request, t audit.Type, o audit.Outcome, c tenants.Connection) audit.Event {
	e := audit.Event{Type: t, Outcome: o}
	e.Describe(r, nil)
	if c.ID != "" {
		e.Connection = c.ID
		e.Target = audit.Target{Kind: "connection", ID: string(c.ID), Name: c.Name}
		e.Details = map[string]string{"protocol": string(c.Type), "connection": c.Name}
	}
	return e
}

// actorOf names a person with a session by the email that the directory knows.
func (s *Service) actorOf(r *http.Request, p *identity.Principal) audit.Actor {
	actor := audit.ActorOf(p)
	if person, err := s.directory.Person(r.Context(), p.Tenant, p.User); err == nil {
		actor.Name = person.Email // a name in the journal is a courtesy; the id is what counts
	}
	return actor
}

func tenantOf(r *http.Request) identity.TenantID {
	return httpkit.RequestFrom(r.Context()).Tenant
}
