package httpkit

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"gatehouse/internal/fault"
)

// HandlerFunc is an HTTP handler that returns its failure instead of writing
// it; [Handle] is the one place that turns it into a reply.
type HandlerFunc func(w http.ResponseWriter, r *http.Request) error

// Handle adapts h: an error becomes a page for browsers and problem+json for
// everybody else. h must not have written anything when it returns an error.
func Handle(h HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := h(w, r); err != nil {
			ReplyError(w, r, err)
		}
	})
}

// Status maps a kind of fault to the HTTP status (RFC 9110 §15).
func Status(k fault.Kind) int {
	switch k {
	case fault.Invalid:
		return http.StatusBadRequest
	case fault.Unauthenticated:
		return http.StatusUnauthorized
	case fault.Denied:
		return http.StatusForbidden
	case fault.NotFound:
		return http.StatusNotFound
	case fault.Unsupported:
		return http.StatusMethodNotAllowed
	case fault.Conflict:
		return http.StatusConflict
	case fault.Gone:
		return http.StatusGone
	case fault.Precondition:
		return http.StatusPreconditionFailed
	case fault.TooLarge:
		return http.StatusRequestEntityTooLarge
	case fault.TooMany:
		return http.StatusTooManyRequests
	case fault.Misdirected:
		return http.StatusMisdirectedRequest
	case fault.Unavailable:
		return http.StatusServiceUnavailable
	case fault.BadGateway:
		return http.StatusBadGateway
	case fault.GatewayTimeout:
		return http.StatusGatewayTimeout
	case fault.Internal:
	}
	return http.StatusInternalServerError
}

// Problem is the body of an error for programs (RFC 9457). Type is a stable
// URI reference, Title the short name, Detail the sentence for this case.
type Problem struct {
	Type      string `json:"type"`
	Title     string `json:"title"`
	Status    int    `json:"status"`
	Detail    string `json:"detail,omitempty"`
	EventID   string `json:"event_id,omitempty"`
	RequestID string `json:"request_id,omitempty"`
	// Errors names each field that is wrong. The offending values are left out:
	// one of them may be a secret.
	Errors []FieldError   `json:"errors,omitempty" doc:"Each field that is wrong, and why"`
	said   fault.Sentence // Detail, as pages say it in other languages
	// RetryAfter is the seconds after which trying again makes sense; 0: none.
	RetryAfter int `json:"-"`
	// BadToken is set where a bearer token was shown that is not good.
	BadToken bool `json:"-"`
	// FreshWithin is within which time the caller has to have authenticated; 0: any.
	FreshWithin time.Duration `json:"-"`
	// Factor says that they have to have shown a second factor within it.
	Factor bool `json:"-"`
}

// FieldError is one field of a request that is wrong.
type FieldError struct {
	Location string `json:"location,omitempty" doc:"Where, such as body.name or query.limit"`
	Message  string `json:"message" doc:"What is wrong there"`
}

// NewProblem begins a problem of a request.
func NewProblem(ctx context.Context, status int, code, detail string) Problem {
	p := Problem{Type: problemURN + code, Title: http.StatusText(status), Status: status, Detail: detail}
	if r, ok := ctx.Value(requestKey{}).(*Request); ok {
		p.RequestID = string(r.ID)
	}
	return p
}

// ProblemOf describes err for a program, without its cause: those of our own
// failures go to the log.
func ProblemOf(ctx context.Context, err error) Problem {
	f := fault.As(err)
	p := NewProblem(ctx, Status(f.Kind), f.Code, f.Detail)
	p.said = f.Sentence()
	p.EventID, p.FreshWithin, p.Factor = f.Event, f.FreshWithin, f.Factor
	p.BadToken = f.Code == fault.InvalidToken || f.Code == fault.ForeignToken
	if f.RetryAfter > 0 || f.Kind == fault.Unavailable {
		p.RetryAfter = max(1, int(math.Ceil(f.RetryAfter.Seconds())))
	}
	if p.Status >= http.StatusInternalServerError {
		slog.ErrorContext(ctx, "request failed", "request_id", p.RequestID, "error", err)
	}
	return p
}

// Header gives the fields that go with the problem's status (RFC 9110 §10.2.3,
// §11.6.1; RFC 6750 §3.1; RFC 9470 §3).
func (p *Problem) Header() http.Header {
	h := http.Header{}
	if p.RetryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(p.RetryAfter))
	}
	if p.Status == http.StatusUnauthorized {
		challenge := `Bearer realm="gatehouse"`
		if p.BadToken {
			challenge += `, error="invalid_token", error_description="The token is not valid here"`
		}
		if p.FreshWithin > 0 {
			what := "More recent authentication is required"
			if p.Factor {
				what = "A more recent second factor is required"
			}
			challenge += `, error="insufficient_user_authentication", error_description="` + what + `", max_age="` +
				strconv.Itoa(int(p.FreshWithin.Seconds())) + `"`
		}
		h.Set("WWW-Authenticate", challenge)
	}
	return h
}

// ReplyError answers with err: a plain page where a browser asks for one,
// problem+json otherwise.
func ReplyError(w http.ResponseWriter, r *http.Request, err error) {
	p := ProblemOf(r.Context(), err)
	if WantsPage(r) {
		p.head(w.Header())
		writeErrorPage(w, r, &p)
		return
	}
	ReplyProblem(w, p)
}

// ReplyProblem answers with p as JSON.
func ReplyProblem(w http.ResponseWriter, p Problem) {
	p.head(w.Header())
	WriteJSONAs(w, p.Status, "application/problem+json", p)
}

// head makes h the head of p's answer. What described the answer that is not
// given goes.
func (p *Problem) head(h http.Header) {
	for _, name := range []string{"Content-Length", "Content-Encoding", "Etag", "Last-Modified"} {
		h.Del(name)
	}
	h.Set("Cache-Control", "no-store")
	maps.Copy(h, p.Header())
}

// WriteJSON answers with v as JSON.
func WriteJSON(w http.ResponseWriter, status int, v any) {
	WriteJSONAs(w, status, "application/json", v)
}

// WriteJSONAs answers with v as JSON under another media type, such as
// application/scim+json (RFC 7644 §3.1).
func WriteJSONAs(w http.ResponseWriter, status int, mediaType string, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		slog.Error("encode reply", "error", err)
		http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", mediaType)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client may be gone; nothing is left to tell it
}

// WantsPage reports whether the caller is a browser that navigates: it says so
// itself (Fetch Metadata), or it prefers HTML and is not a script's fetch.
func WantsPage(r *http.Request) bool {
	switch r.Header.Get("Sec-Fetch-Mode") {
	case "navigate":
		return true
	case "":
	default:
		return false
	}
	if r.Header.Get("X-Requested-With") != "" || r.Header.Get("Upgrade") != "" {
		return false
	}
	for part := range strings.SplitSeq(r.Header.Get("Accept"), ",") {
		media, _, _ := strings.Cut(part, ";")
		switch strings.TrimSpace(media) {
		case "text/html", "application/xhtml+xml":
			return true
		case "application/json", "application/problem+json", "text/event-stream":
			return false
		}
	}
	return false
}

// DecodeJSON reads one JSON value of at most limit bytes into v, refusing
// unknown fields and anything after the value.
func DecodeJSON(w http.ResponseWriter, r *http.Request, limit int64, v any) error {
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, limit))
	d.DisallowUnknownFields()
	err := d.Decode(v)
	if err == nil && d.More() {
		err = errors.New("more than one JSON value")
	}
	if tooBig, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return fault.Wrap(tooBig, fault.TooLarge, "body-too-large", "The request body is larger than this address accepts.")
	}
	if err != nil {
		return fault.Wrap(err, fault.Invalid, "bad-json", "The request body is not the JSON that this address expects.")
	}
	return nil
}
