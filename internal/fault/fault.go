// Package fault names the kinds of error that rooms hand to each other, so that
// the one place that replies can choose a status without knowing the cause.
//
// It exists because what a person may read differs from what a log must say: a
// [Fault] carries a safe sentence for the caller and, wrapped inside, the cause
// for the operator. It must not know HTTP, SCIM or any other wire format.
package fault

import (
	"errors"
	"time"
)

// Kind says what sort of failure it is, and so what the caller can do.
type Kind uint8

const (
	// Internal is a failure of ours with no better name; the zero value, so that
	// an unnamed error is never mistaken for the caller's fault.
	Internal Kind = iota
	// Invalid is a request that is wrong in itself.
	Invalid
	// Unauthenticated is a request without a valid proof of who calls.
	Unauthenticated
	// Denied is a request by somebody known who may not do this.
	Denied
	// NotFound is a thing that does not exist for this tenant.
	NotFound
	// Unsupported is a request that the thing it names does not take.
	Unsupported
	// Conflict is a change that collides with what exists.
	Conflict
	// Precondition is a conditional change whose condition no longer holds.
	Precondition
	// Gone is a thing that was there, and of which it is known that it will not be again.
	Gone
	// TooLarge is a request over a size limit.
	TooLarge
	// TooMany is a request over a rate limit.
	TooMany
	// Misdirected is a request for a host that is not served here.
	Misdirected
	// Unavailable is a part that the answer needs and that is not there now:
	// no journal, no store, no key (promise P7).
	Unavailable
	// BadGateway is an app behind the gate that cannot be reached or talks nonsense.
	BadGateway
	// GatewayTimeout is an app behind the gate that does not answer in time.
	GatewayTimeout
)

// Fault is an error with a kind, a stable code for programs, and a sentence
// that its reader may see and act on. Detail must never hold a secret.
type Fault struct {
	Kind Kind
	// Code is stable, lower-case and hyphenated: "session-expired".
	Code string
	// Detail is one plain sentence for the person or program that called.
	Detail string
	// said is Detail before it was filled in, so that pages can say it in other
	// languages; empty: Detail is whole in itself.
	said Sentence
	// RetryAfter, if set, is when trying again makes sense.
	RetryAfter time.Duration
	// FreshWithin, if set, is for somebody who is known well enough, but has to have
	// proved it within this time.
	FreshWithin time.Duration
	// Factor says that what has to have been proved within FreshWithin is a second
	// factor.
	Factor bool
	// Field, if set, is where in what was sent it is wrong: a path such as
	// "group_rules[0].claim".
	Field string
	// Event is the id of the journal record of this refusal, if there is one.
	Event string
	// Reason and Message, if set, stand in the journal in place of Code and Detail:
	// what an admin must know, and whoever called must not learn.
	Reason, Message string

	cause error
}

// The codes of a token that is shown as a bearer's and is not good, which is
// answered in a way of its own (RFC 6750 §3.1).
const (
	// InvalidToken is one that was meant for the gate.
	InvalidToken = "invalid-token"
	// ForeignToken is one that may be meant for somebody else.
	ForeignToken = "foreign-token"
)

// New makes a fault without an inner cause. The detail is a [Sentence]: with args, a
// format of package fmt.
func New(kind Kind, code, detail string, args ...any) *Fault {
	said := Sentence{Format: detail, Args: args}
	return &Fault{Kind: kind, Code: code, Detail: said.String(), said: said}
}

// Wrap makes a fault whose cause is err; the cause is for logs only.
func Wrap(err error, kind Kind, code, detail string, args ...any) *Fault {
	f := New(kind, code, detail, args...)
	f.cause = err
	return f
}

// OutOfReach makes the fault of a part that the answer needs and that is not
// there now (promise P7). A cause that is a fault has said already what is the
// matter and keeps its own word; without a cause there is no fault.
func OutOfReach(cause error, code, detail string, args ...any) error {
	if _, ok := errors.AsType[*Fault](cause); ok || cause == nil {
		return cause
	}
	f := Wrap(cause, Unavailable, code, detail, args...)
	f.RetryAfter = time.Second
	return f
}

// Sentence is the detail as it is said in other languages.
func (f *Fault) Sentence() Sentence {
	if f.said.Format != "" {
		return f.said
	}
	return Sentence{Format: f.Detail}
}

// WithEvent returns a copy that names the journal record of the refusal.
func (f *Fault) WithEvent(event string) *Fault {
	c := *f
	c.Event = event
	return &c
}

// At returns a copy that says which field it is about.
func (f *Fault) At(field string) *Fault {
	c := *f
	c.Field = field
	return &c
}

// Recorded gives what stands in the journal.
func (f *Fault) Recorded() (reason, message string) {
	if f.Reason != "" {
		return f.Reason, f.Message
	}
	return f.Code, f.Detail
}

// Error gives the code, the detail and the cause: for logs, not for callers.
func (f *Fault) Error() string {
	s := f.Code + ": " + f.Detail
	if f.cause != nil {
		s += ": " + f.cause.Error()
	}
	return s
}

// Unwrap gives the cause.
func (f *Fault) Unwrap() error { return f.cause }

// As finds the outermost fault in err's chain; an error without one is
// Internal, with a detail that gives nothing away.
func As(err error) *Fault {
	if f, ok := errors.AsType[*Fault](err); ok {
		return f
	}
	return Wrap(err, Internal, "internal", "Something went wrong on our side. Try again; if it goes on, tell the operator the request id.")
}

// Is reports whether err carries a fault of this kind.
func Is(err error, kind Kind) bool {
	f, ok := errors.AsType[*Fault](err)
	return ok && f.Kind == kind
}
