package authn

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"gatehouse/audit"
	"gatehouse/identity"
	"gatehouse/internal/store"
	"gatehouse/tenants"
)

// Protocol is one way to talk to identity providers. An implementation keeps
// no state of its own between Start and Finish: what it must remember goes
// into the private bytes, which the flow keeps sealed.
type Protocol interface {
	// Start makes the way to the identity provider, which leads somewhere, and what
	// Finish needs to know again.
	Start(ctx context.Context, c tenants.Connection, s Step) (Departure, error)
	// Token is the step's token as the answer r carries it; "" if it carries
	// none or more than one. The form of r is parsed and bounded.
	Token(r *http.Request) string
	// Finish verifies the answer in r. What it does not accept is a [Refusal].
	Finish(ctx context.Context, c tenants.Connection, s Step, private []byte, r *http.Request) (Assertion, error)
	// SignOut is the way to where the identity provider ends its own session; it
	// leads nowhere if there is none. hint is the sign-in's LogoutHint.
	SignOut(ctx context.Context, c tenants.Connection, s Step, hint string) (Departure, error)
	// Forget drops what is known of a deleted tenant's identity providers.
	Forget(tenant identity.TenantID)
	// Close ends what is asked of identity providers, and waits for its end.
	Close()
}

// Host is a [Protocol] that is the identity provider itself: its people show who they
// are on pages of ours, at [PathLocal], and always by two factors or a passkey.
type Host interface {
	// Serve answers what a browser asks of those pages. It gives what is verified once
	// all is, and nil where it has answered with a page. The step is one under way, of
	// this browser; the form of r is parsed and bounded. A [Refusal] ends the sign-in.
	Serve(w http.ResponseWriter, r *http.Request, c tenants.Connection, s Step) (*Assertion, error)
	// Still refuses what was verified by credentials that are not the person's any more.
	Still(ctx context.Context, tenant identity.TenantID, a *Assertion) error
	// MayKeep refuses to leave somebody with these factors alone, by which they could not
	// sign in any more.
	MayKeep(ctx context.Context, tx *store.Tx, user identity.UserID, keeps []Factor) error
	// HasPassword tells whether somebody has a password here, and ServePassword has them
	// change it: they are signed in and may change what they sign in with, the form of r
	// is parsed and bounded, and its cause is in the record of what they change. All their
	// sessions but this one end.
	HasPassword(ctx context.Context, tenant identity.TenantID, user identity.UserID) (bool, error)
	ServePassword(w http.ResponseWriter, r *http.Request, h Holder, cause audit.Cause, session identity.SessionID) error
}

// MetadataPublisher is a [Protocol] that describes this side of a connection
// to the identity provider in a document (SAML metadata).
type MetadataPublisher interface {
	Metadata(ctx context.Context, tenant identity.TenantID, c tenants.Connection, e Endpoints) (document []byte, mediaType string, err error)
}

// ProviderInitiated is a [Protocol] whose identity providers may begin a sign-in
// of their own accord (SAML profiles §4.1.5), where the connection lets them.
type ProviderInitiated interface {
	// FinishUnasked verifies an answer that no request was made for, and gives what
	// the provider says of where the browser is to go. allowed is false where the
	// connection takes none; nothing has been looked at then.
	FinishUnasked(ctx context.Context, c tenants.Connection, s Step, r *http.Request) (a Assertion, target string, allowed bool, err error)
}

// Departure is how a browser goes to an identity provider with a message.
type Departure struct {
	// URL is where it goes; "" is nowhere.
	URL string
	// Form, if set, is posted there. Otherwise the URL says it all.
	Form url.Values
	// Private, if set, is what the protocol must know again when the provider
	// sends the browser back with the step's token.
	Private []byte
}

// KeyPublisher is a [Protocol] that publishes the keys by which this side of a
// connection shows who it is.
type KeyPublisher interface {
	// Keys gives the document; a NotFound fault where the connection needs none.
	Keys(ctx context.Context, tenant identity.TenantID, c tenants.Connection) (document []byte, mediaType string, err error)
}

// Rechecker is a [Protocol] whose identity providers can be asked again about
// somebody who is signed in, without them.
type Rechecker interface {
	// Recheck asks by what [Assertion.Refresh] was. A [Refusal] for the reason
	// RefreshRefused or SubjectUnusable says that the person may not go on; any other
	// error says nothing about them. What is in Rechecked counts with an error, too.
	Recheck(ctx context.Context, tenant identity.TenantID, c tenants.Connection, refresh string) (Rechecked, error)
}

// Rechecked is what an identity provider answers about somebody who is signed in.
type Rechecked struct {
	// Refresh is what the provider is asked by from now on; "": by the same.
	Refresh string
	// Assertion is what it says of the person now; nil: nothing new.
	Assertion *Assertion
}

// SignOutListener is a [Protocol] whose identity providers tell us, server to
// server, that somebody has signed out there.
type SignOutListener interface {
	// SignedOut verifies what r says. What it does not accept is a [Refusal]. The
	// form of r is parsed and bounded.
	SignedOut(ctx context.Context, tenant identity.TenantID, c tenants.Connection, r *http.Request) (SignedOut, error)
}

// SignedOut is what an identity provider says of its own sessions that are over,
// verified.
type SignedOut struct {
	// Subject is whose they are; "" if only Sessions tell.
	Subject string
	// Sessions are those that are over; none means all of the subject's.
	Sessions []string
	// Replay names the message, which is heeded once; nobody could show it after
	// ReplayUntil.
	Replay      string
	ReplayUntil time.Time
}

// SingleLogout is a [Protocol] whose identity providers send the browser here to
// say that somebody has signed out there, and send it back when we have sent it
// to them (SAML profiles §4.4). The forms of requests are parsed and bounded.
type SingleLogout interface {
	// Token is that of [Protocol].
	Token(r *http.Request) string
	// Answers reports whether r is the answer to a [Protocol.SignOut].
	Answers(r *http.Request) bool
	// SignOutAsked verifies what r asks for. What it does not accept is a [Refusal].
	SignOutAsked(ctx context.Context, c tenants.Connection, s Step, r *http.Request) (SignOutRequest, error)
	// SignOutAnswered verifies the answer in r; private is that of the departure. A
	// [Refusal] for the reason ProviderRefused or PartialLogout is what the provider
	// says itself.
	SignOutAnswered(ctx context.Context, c tenants.Connection, s Step, private []byte, r *http.Request) error
}

// SignOutRequest is what an identity provider asks for by way of the browser,
// verified.
type SignOutRequest struct {
	SignedOut

	// Refusal is why it cannot be done; nil if it can.
	Refusal *Refusal
	// Answer makes the answer, once it is done. Whatever that needs of other parts
	// has been seen to before.
	Answer func() (Departure, error)
}

// Endpoints are our own absolute addresses of one connection.
type Endpoints struct {
	Callback string // OIDC and OAuth 2.0 redirect_uri, SAML assertion consumer service
	Metadata string // SAML: also our entity id
	Logout   string // SAML: single logout service
	// SignedOut is where people are when they have signed out.
	SignedOut string
}

// Step is what a protocol is told of one sign-in under way.
type Step struct {
	Tenant identity.TenantID
	// Token is 256 random bits that come back with the answer: the OAuth 2.0
	// state, the SAML RelayState. base64url, 43 characters.
	Token     string
	Endpoints Endpoints
	// MaxAge, if set, is how long ago the person may have authenticated. The
	// protocol asks for it; that it is so is checked by the flow.
	MaxAge time.Duration
	// LoginHint is the email address by which the person has said who they are; "" if
	// they have not. It is passed on, and proves nothing.
	LoginHint string
	// Reading, if set, is where to put what is read of the answer, also if it is refused:
	// this is a test of the connection.
	Reading *Reading
}

// MaxClaims is how many values an [Assertion]'s Claims hold in all, and
// MaxClaim the longest of them in bytes; what is beyond is left out.
const (
	MaxClaims = 2000
	MaxClaim  = 2048
)

// Assertion is what an identity provider says of a person, verified.
type Assertion struct {
	// Subject is the provider's own, lasting name for the person (OIDC sub, SAML
	// NameID): with the connection, the key of the identity.
	Subject string
	// Issuer is how the provider calls itself in what was verified (iss, entity id); ""
	// where nothing says so.
	Issuer        string
	Email         string
	EmailVerified bool
	Name          string
	Groups        []string
	AMR           []string
	ACR           string
	AuthTime      time.Time // when they authenticated; zero: the provider does not say
	// Undated tells that the provider has no way to say so, and is no reason to take
	// the answer for one that was tampered with.
	Undated bool
	// Until is when the provider's own session ends, and with it what comes of it here;
	// zero: the provider does not say.
	Until time.Time
	// IDPSession is how the provider calls its own session (sid, SessionIndex).
	IDPSession string
	// Claims is all that the provider says of the person, as text, by name: for the
	// connection's rules. The protocol bounds it ([MaxClaims]).
	Claims map[string][]string
	// LogoutHint is a secret that lets us end the provider's session (an id_token,
	// a NameID with its SessionIndex).
	LogoutHint string
	// Refresh is a secret by which the provider can be asked again ([Rechecker]); "" if
	// it is not to be.
	Refresh string
	// Replay, if set, names an assertion that may be used once, until
	// ReplayUntil.
	Replay      string
	ReplayUntil time.Time
}
