package api

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"math"
	"net/http"
	"strconv"

	"github.com/danielgtaylor/huma/v2"

	"gatehouse/internal/fault"
	"gatehouse/internal/httpkit"
)

// problem is the body of every error (RFC 9457): the stable type, one clear
// sentence, and the id of the journal record if there is one.
type problem struct {
	httpkit.Problem
	// Errors names each field that is wrong. The offending values are left out:
	// one of them may be a secret.
	Errors []fieldError `json:"errors,omitempty" doc:"Each field that is wrong, and why"`

	retryAfter int // seconds; 0: none
}

type fieldError struct {
	Location string `json:"location,omitempty" doc:"Where, such as body.name or query.limit"`
	Message  string `json:"message" doc:"What is wrong there"`
}

// Error makes a problem an error; GetStatus and ContentType are what huma asks
// of one.
func (p *problem) Error() string               { return p.Type + ": " + p.Detail }
func (p *problem) GetStatus() int              { return p.Status }
func (p *problem) ContentType(_ string) string { return "application/problem+json" }

// GetHeaders gives the headers that go with the status (RFC 9110 §10.2.3, §11.6.1).
func (p *problem) GetHeaders() http.Header {
	h := http.Header{"Cache-Control": {"no-store"}}
	if p.retryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(p.retryAfter))
	}
	if p.Status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", `Bearer realm="gatehouse"`)
	}
	return h
}

// huma makes its own errors (malformed input) through these hooks of its
// package; it offers no per-API setting.
func init() {
	huma.DefaultArrayNullable = false
	huma.ValidateStrictCasing = true // else {"Name":...} would pass for name
	huma.NewError = func(status int, message string, errs ...error) huma.StatusError {
		return inputProblem(status, message, errs)
	}
	huma.NewErrorWithContext = func(hc huma.Context, status int, message string, errs ...error) huma.StatusError {
		p := inputProblem(status, message, errs)
		p.RequestID = requestID(hc.Context())
		return p
	}
}

// inputProblem describes what huma found wrong with a request.
func inputProblem(status int, message string, errs []error) *problem {
	p := &problem{Problem: httpkit.Problem{Status: status, Title: http.StatusText(status), Detail: message}}
	switch status {
	case http.StatusRequestEntityTooLarge:
		p.Type, p.Detail = typeOf("body-too-large"), "The request body is larger than this address accepts."
	case http.StatusUnsupportedMediaType:
		p.Type, p.Detail = typeOf("not-json"), "Send the body as application/json."
	default:
		p.Type, p.Detail = typeOf("invalid-request"), "The request does not have the form that this address expects."
	}
	for _, err := range errs {
		if detail, ok := errors.AsType[*huma.ErrorDetail](err); ok {
			p.Errors = append(p.Errors, fieldError{Location: detail.Location, Message: detail.Message})
		}
	}
	return p
}

// problemOf is the one place that turns an error of the rooms into an answer;
// causes of our own failures go to the log.
func problemOf(ctx context.Context, err error) *problem {
	if p, ok := errors.AsType[*problem](err); ok {
		return p
	}
	f := fault.As(err)
	p := &problem{Problem: httpkit.ProblemOf(f)}
	p.RequestID = requestID(ctx)
	if f.RetryAfter > 0 || f.Kind == fault.Unavailable {
		p.retryAfter = max(1, int(math.Ceil(f.RetryAfter.Seconds())))
	}
	if p.Status >= http.StatusInternalServerError {
		slog.ErrorContext(ctx, "admin API call failed", "request_id", p.RequestID, "error", err)
	}
	return p
}

// replyProblem answers outside of huma's own writing.
func replyProblem(w http.ResponseWriter, p *problem) {
	body, err := json.Marshal(p)
	if err != nil {
		http.Error(w, http.StatusText(p.Status), p.Status)
		return
	}
	h := w.Header()
	for name, values := range p.GetHeaders() {
		h[name] = values
	}
	h.Set("Content-Type", p.ContentType(""))
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(p.Status)
	_, _ = w.Write(body) // the client may be gone; nothing is left to tell it
}

func requestID(ctx context.Context) string {
	return string(httpkit.RequestFrom(ctx).ID)
}

func typeOf(code string) string { return "urn:gatehouse:problem:" + code }

var errNoSuchAddress = fault.New(fault.NotFound, "no-such-address", "There is nothing at this address of the admin API.")

// journalGone is promise P7: what cannot be recorded does not happen.
func journalGone(err error) error {
	if f, ok := errors.AsType[*fault.Fault](err); ok {
		return f
	}
	return fault.Wrap(err, fault.Unavailable, "journal-unavailable", "The audit journal cannot be written right now, so nothing was done. Try again shortly.")
}
