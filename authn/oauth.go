package authn

import (
	"cmp"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"

	"gatehouse/audit"
	"gatehouse/internal/httpkit"
	"gatehouse/tenants"
)

const (
	// maxOAuthForm bounds the form that a program sends, and maxOAuthFields how much
	// may be in it.
	maxOAuthForm   = 8 << 10
	maxOAuthFields = 32
)

// The errors that programs know (RFC 6749 §5.2, RFC 8628 §3.5).
const (
	invalidRequest       = "invalid_request"
	invalidClient        = "invalid_client"
	invalidGrant         = "invalid_grant"
	invalidScope         = "invalid_scope"
	unauthorizedClient   = "unauthorized_client"
	unsupportedGrantType = "unsupported_grant_type"
	authorizationPending = "authorization_pending"
	slowDown             = "slow_down"
	accessDenied         = "access_denied"
	expiredToken         = "expired_token"
)

// oauthError is a [Refusal] with the error that the program is told.
type oauthError struct {
	code string
	*Refusal
	event  audit.Type // of its record; empty: [audit.DeviceLoginRefused]
	status int        // 0: 400
}

func refuseProgram(code string, reason Reason, format string, args ...any) error {
	return &oauthError{code: code, Refusal: Refuse(reason, format, args...)}
}

// errPending is no refusal: nobody has said anything yet.
var errPending = errors.New("authn: authorization pending")

type oauthErrorBody struct {
	Error       string `json:"error"`
	Description string `json:"error_description,omitempty"`
	Event       string `json:"event_id,omitempty"`
}

// forPrograms answers programs in JSON. What is refused has its record first; an
// empty answer is nil.
func (s *Service) forPrograms(h func(r *http.Request, form map[string]string) (any, error)) httpkit.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) error {
		w.Header().Set("Cache-Control", "no-store") // RFC 6749 §5.1
		w.Header().Set("Pragma", "no-cache")
		form, err := oauthForm(w, r)
		var answer any
		if err == nil {
			answer, err = h(r, form)
		}
		no, refused := errors.AsType[*oauthError](err)
		switch {
		case err == nil && answer == nil:
			w.WriteHeader(http.StatusOK)
		case err == nil:
			httpkit.WriteJSON(w, http.StatusOK, answer)
		case errors.Is(err, errPending):
			httpkit.WriteJSON(w, http.StatusBadRequest, oauthErrorBody{Error: authorizationPending})
		case refused:
			receipt, err := s.record(r, cmp.Or(no.event, audit.DeviceLoginRefused), tenants.Connection{}, no.Refusal)
			if err != nil {
				return err
			}
			status := cmp.Or(no.status, http.StatusBadRequest)
			if status == http.StatusUnauthorized { // RFC 6749 §5.2
				w.Header().Set("WWW-Authenticate", `Basic realm="oauth"`)
			}
			httpkit.WriteJSON(w, status, oauthErrorBody{no.code, no.Message, string(receipt.Event())})
		default:
			return err
		}
		return nil
	}
}

// oauthForm reads the form that a program sends (RFC 6749 §3.2 and appendix B):
// every field once, and nothing beside it in the address, which ends up in logs. A
// field without a value counts as not sent.
func oauthForm(w http.ResponseWriter, r *http.Request) (map[string]string, error) {
	if r.URL.RawQuery != "" {
		return nil, refuseProgram(invalidRequest, Malformed, "Parameters belong into the form, not into the address.")
	}
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/x-www-form-urlencoded" || len(r.Header["Content-Type"]) > 1 {
		return nil, refuseProgram(invalidRequest, wrongMediaType, "The request is no form (application/x-www-form-urlencoded).")
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxOAuthForm))
	if _, tooBig := errors.AsType[*http.MaxBytesError](err); tooBig {
		return nil, refuseProgram(invalidRequest, TooLarge, "The form is larger than any real one.")
	}
	if err != nil {
		return nil, refuseProgram(invalidRequest, Malformed, "The form cannot be read.")
	}
	return parseOAuthForm(string(body))
}

func parseOAuthForm(text string) (map[string]string, error) {
	fields, err := url.ParseQuery(text)
	if err != nil || len(fields) > maxOAuthFields {
		return nil, refuseProgram(invalidRequest, Malformed, "The form cannot be read.")
	}
	form := make(map[string]string, len(fields))
	for name, values := range fields {
		if len(values) > 1 {
			return nil, refuseProgram(invalidRequest, Malformed, "A field of the form is there more than once.")
		}
		if !plainText(name) || !plainText(values[0]) {
			return nil, refuseProgram(invalidRequest, Malformed, "A field of the form holds what is no text.")
		}
		if values[0] != "" {
			form[name] = values[0]
		}
	}
	return form, nil
}

// saidOfItself is what a stranger says of themselves as people are shown it: nothing that
// could not be seen or turns other text round, and no more than so many characters of
// it, which is too little for a story.
func saidOfItself(s string, most int) string {
	s = strings.TrimSpace(strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, s))
	if shown := []rune(s); len(shown) > most {
		return string(shown[:most-1]) + "…"
	}
	return s
}

// plainText reports whether a text has nothing in it that could not be seen.
func plainText(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
}
