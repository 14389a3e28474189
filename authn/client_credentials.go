package authn

import (
	"context"
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"time"

	"gatehouse/audit"
	"gatehouse/identity"
	"gatehouse/internal/fault"
)

// grantClientCredentials is for programs that have a secret of their own: they provision
// people (RFC 6749 §4.4).
const grantClientCredentials = "client_credentials"

// Clients are OAuth clients that provision people.
type Clients interface {
	// Grant gives an access token for what a scope names, or all that the client may do.
	// A client that is unknown, or shows another secret, is a fault of kind
	// Unauthenticated, and a scope that it may not have one of kind Invalid.
	Grant(ctx context.Context, cause audit.Cause, tenant identity.TenantID, client, secret, scope string) (token string, may identity.Access, life time.Duration, err error)
}

// refuseClient is [refuseProgram] for a program with a secret.
func refuseClient(code string, reason Reason, format string, args ...any) *oauthError {
	return &oauthError{code: code, Refusal: Refuse(reason, format, args...), event: audit.TokenRefused}
}

// grantClient gives a client an access token (RFC 6749 §4.4.2).
func (s *Service) grantClient(r *http.Request, form map[string]string) (any, error) {
	id, secret, refusal := clientOf(r, form)
	if refusal != nil {
		return nil, refusal
	}
	if err := s.served(r); err != nil {
		return nil, refuseClient(unauthorizedClient, tenantSuspended, "The tenant is suspended.")
	}
	token, may, life, err := s.clients.Grant(r.Context(), audit.CauseOf(r, nil), tenantOf(r), id, secret, form["scope"])
	switch {
	case fault.Is(err, fault.Unauthenticated):
		refusal = refuseClient(invalidClient, clientUnknown, "%s", fault.As(err).Detail)
		refusal.status = http.StatusUnauthorized
		return nil, refusal
	case fault.Is(err, fault.Invalid):
		return nil, refuseClient(invalidScope, scopeUnknown, "%s", fault.As(err).Detail)
	case err != nil:
		return nil, err
	}
	if len(may) == 0 {
		may = identity.AllAccess
	}
	return accessToken{Token: token, Type: "Bearer", ExpiresIn: int(life / time.Second), Scope: may.String()}, nil
}

// clientOf reads who a client says it is, and its secret: in Authorization or in the form,
// but not in both (RFC 6749 §2.3.1).
func clientOf(r *http.Request, form map[string]string) (id, secret string, refusal *oauthError) {
	headers := r.Header["Authorization"]
	if len(headers) == 0 {
		if form["client_id"] == "" || form["client_secret"] == "" {
			refusal = refuseClient(invalidClient, Malformed, "The client does not say who it is (client_id, client_secret).")
			refusal.status = http.StatusUnauthorized
		}
		return form["client_id"], form["client_secret"], refusal
	}
	scheme, encoded, _ := strings.Cut(headers[0], " ")
	raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(encoded))
	user, password, ok := strings.Cut(string(raw), ":")
	if ok { // both are encoded as in a form
		var bad error
		if id, bad = url.QueryUnescape(user); bad != nil {
			err = bad
		}
		if secret, bad = url.QueryUnescape(password); bad != nil {
			err = bad
		}
	}
	switch {
	case len(headers) > 1 || form["client_secret"] != "" || form["client_id"] != "" && form["client_id"] != id:
		return "", "", refuseClient(invalidRequest, Malformed, "The client says who it is in more than one way.")
	case !strings.EqualFold(scheme, "Basic") || err != nil || !ok || !plainText(id):
		refusal = refuseClient(invalidClient, Malformed, "The client's Authorization header cannot be read: it is Basic, with its id and secret.")
		refusal.status = http.StatusUnauthorized
		return "", "", refusal
	}
	return id, secret, nil
}
