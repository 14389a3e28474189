package api

import (
	"context"
	"errors"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"gatehouse/internal/fault"
	"gatehouse/internal/httpkit"
)

// problem is the body of every error, in the form that huma asks for.
type problem struct{ httpkit.Problem }

// Error makes a problem an error; GetStatus, ContentType and GetHeaders are what
// huma asks of one. It adds those fields to what authorise has set already.
func (p *problem) Error() string               { return p.Type + ": " + p.Detail }
func (p *problem) GetStatus() int              { return p.Status }
func (p *problem) ContentType(_ string) string { return "application/problem+json" }
func (p *problem) GetHeaders() http.Header     { return p.Header() }

// huma makes its own errors (malformed input) through these hooks of its
// package; it offers no per-API setting.
func init() {
	huma.DefaultArrayNullable = false
	huma.ValidateStrictCasing = true // else {"Name":...} would pass for name
	huma.NewError = func(status int, _ string, errs ...error) huma.StatusError {
		return inputProblem(context.Background(), status, errs)
	}
	huma.NewErrorWithContext = func(hc huma.Context, status int, _ string, errs ...error) huma.StatusError {
		return inputProblem(hc.Context(), status, errs)
	}
}

// inputProblem describes what huma found wrong with a request.
func inputProblem(ctx context.Context, status int, errs []error) *problem {
	code, detail := "invalid-request", "The request does not have the form that this address expects."
	switch status {
	case http.StatusRequestEntityTooLarge:
		code, detail = "body-too-large", "The request body is larger than this address accepts."
	case http.StatusUnsupportedMediaType:
		code, detail = "not-json", "Send the body as application/json."
	}
	p := &problem{httpkit.NewProblem(ctx, status, code, detail)}
	for _, err := range errs {
		if detail, ok := errors.AsType[*huma.ErrorDetail](err); ok {
			p.Errors = append(p.Errors, httpkit.FieldError{Location: detail.Location, Message: detail.Message})
		}
	}
	return p
}

// problemOf is the one place that turns an error of the rooms into an answer.
func problemOf(ctx context.Context, err error) *problem {
	if p, ok := errors.AsType[*problem](err); ok {
		return p
	}
	p := &problem{httpkit.ProblemOf(ctx, err)}
	if field := fault.As(err).Field; field != "" {
		location := "body." + field
		if field == "name" { // which stands in the address
			location = "path." + field
		}
		p.Errors = []httpkit.FieldError{{Location: location, Message: p.Detail}}
	}
	return p
}

// replyProblem answers outside of huma's own writing.
func replyProblem(w http.ResponseWriter, p *problem) { httpkit.ReplyProblem(w, p.Problem) }

func requestID(ctx context.Context) string {
	return string(httpkit.RequestFrom(ctx).ID)
}

var errNoSuchAddress = fault.New(fault.NotFound, "no-such-address", "There is nothing at this address of the admin API.")
