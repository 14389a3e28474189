package scim

import (
	"context"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	scimerrors "github.com/elimity-com/scim/errors"

	"gatehouse/audit"
	"gatehouse/authz"
	"gatehouse/directory"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/internal/httpkit"
	"gatehouse/scim/resource"
	"gatehouse/tenants"
)

// root is where the service stands on every tenant's host.
const root = "/scim/v2"

// Tokens checks a bearer token of a tenant; one that is unknown there,
// revoked or expired is an Unauthenticated fault.
type Tokens interface {
	Verify(ctx context.Context, tenant identity.TenantID, secret string) (*identity.Principal, error)
}

// Config is what the service works with; all of it is required, save where it says so.
type Config struct {
	Directory   *directory.Service
	Tokens      Tokens
	Permissions authz.Decider
	Journal     authz.Journal
	Refusals    authz.Refusals
	Keys        Sealer
	// Throttle keeps tokens within Rates; nil: nothing does.
	Throttle Throttle
	Rates    Rates
	// Recorder keeps what clients send. Nil: nobody does.
	Recorder Recorder
	// Schemas gives those that people of a tenant have beside the standard's, and a
	// version that changes with them; nil: none has any.
	Schemas func(identity.TenantID) (schemas []tenants.SCIMSchema, version uint64)
	// SearchTime is how long a list may take; 0: 9 seconds, which is less than the time
	// after which PostgreSQL ends a statement by itself.
	SearchTime time.Duration
}

// Service answers SCIM requests of every tenant. It is safe for concurrent use
// and has nothing to close.
type Service struct {
	directory  *directory.Service
	tokens     Tokens
	keys       Sealer
	guard      guard
	throttle   Throttle // nil: there is none
	rates      Rates
	recorder   Recorder // nil: nobody
	readings   readings
	searches   searches
	rehearsals rehearsals
	// schemas gives a tenant's own, and extensions what people are by them.
	schemas    func(identity.TenantID) ([]tenants.SCIMSchema, uint64)
	extensions extensions
	// searchTime bounds a list that no index serves.
	searchTime time.Duration
}

// New makes the service.
func New(c Config) *Service {
	if c.SearchTime == 0 {
		c.SearchTime = 9 * time.Second
	}
	if c.Schemas == nil {
		c.Schemas = func(identity.TenantID) ([]tenants.SCIMSchema, uint64) { return nil, 0 }
	}
	return &Service{directory: c.Directory, tokens: c.Tokens, keys: c.Keys, searchTime: c.SearchTime, throttle: c.Throttle, rates: c.Rates, recorder: c.Recorder, schemas: c.Schemas,
		guard: authz.Guard{Decider: c.Permissions, Journal: c.Journal, Refusals: c.Refusals}}
}

// Handler serves everything under /scim/v2. The request's context holds what
// the gate found out ([httpkit.RequestFrom]).
func (s *Service) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, r := s.note(r)
		answer, err := s.serve(w, r, n)
		if err != nil {
			answer = refusal(w, r, err)
		}
		n.answer(w, answer)
	})
}

// serve is the way of every request: who calls, may they, the record, and only
// then the endpoint.
func (s *Service) serve(w http.ResponseWriter, r *http.Request, n *note) (*reply, error) {
	ctx, req := r.Context(), httpkit.RequestFrom(r.Context())
	endpoint, id, routeErr := match(r.Method, r.URL.Path)
	event := audit.Event{Route: root}
	if endpoint != nil {
		event.Route = endpoint.pattern
	}
	caller, err := s.who(ctx, req.Tenant, r)
	event.Describe(r, caller)
	n.from(caller, endpoint, id)
	if fault.Is(err, fault.Unauthenticated) || fault.Is(err, fault.Denied) {
		return nil, s.guard.Refuse(ctx, event, fault.As(err))
	}
	if err != nil {
		return nil, err // a failure of ours refuses nobody
	}
	if err := s.within(ctx, caller, event, 1); err != nil {
		return nil, err
	}
	if err := s.admit(ctx, req.Tenant, caller, r.Method, r.URL.Path, &event); err != nil {
		return nil, err
	}
	if routeErr != nil {
		return nil, routeErr
	}
	query, err := readQuery(r.URL.RawQuery)
	if err != nil {
		return nil, err
	}
	schemas, version := s.schemas(req.Tenant)
	kinds := s.extensions.of(req.Tenant, schemas, version)
	c := &call{service: s, kinds: kinds, kind: kinds.Of(endpoint.kind), method: r.Method, ifMatch: joined(r.Header, "If-Match"), ifNone: joined(r.Header, "If-None-Match"),
		read: func() (map[string]any, error) { return readObject(w, r, n) },
		whole: whole{caller: caller, event: event, match: match, hold: func() { holdOn(w) },
			load: func() ([]byte, error) { return readBody(w, r, n, maxBulk, errBulkSize) }},
		tenant: req.Tenant, cause: event.Cause(), base: req.Origin + root, id: id, query: query, note: n}
	return endpoint.handle(c, ctx)
}

// guard decides on a call and records that in one step, as [authz.Guard] does.
type guard interface {
	Admit(ctx context.Context, p *identity.Principal, q authz.Query, e *audit.Event) error
	Refuse(ctx context.Context, e audit.Event, refusal *fault.Fault) error
}

// admit decides on one call and records that before anything comes of it.
func (s *Service) admit(ctx context.Context, tenant identity.TenantID, caller *identity.Principal, method, path string, e *audit.Event) error {
	need := authz.Permission{Object: "gatehouse.scim", Action: action(method, path)}
	e.Permission = need.String()
	if word := lacking(caller.Access, method, path); word != "" {
		return s.guard.Refuse(ctx, *e, errAccess(word))
	}
	return s.guard.Admit(ctx, caller, authz.Query{Tenant: tenant, Permission: need}, e)
}

func errToken(cause error) error {
	return fault.Wrap(cause, fault.Unauthenticated, "token-invalid", "Send a valid SCIM token of this tenant as bearer token.")
}

// who turns the one bearer token into the principal it stands for. A session
// beside it is refused, as everywhere: the gate must know under which of them
// the request ends.
func (s *Service) who(ctx context.Context, tenant identity.TenantID, r *http.Request) (*identity.Principal, error) {
	if p := callerInside(ctx, tenant); p != nil {
		return p, nil
	}
	headers := r.Header.Values("Authorization")
	if _, sessions := httpkit.ReadCookie(r, httpkit.SessionCookie); len(headers) != 1 || sessions > 0 {
		return nil, errToken(nil)
	}
	scheme, secret, _ := strings.Cut(headers[0], " ")
	if secret = strings.TrimSpace(secret); !strings.EqualFold(scheme, "Bearer") || secret == "" || len(secret) > 512 {
		return nil, errToken(nil)
	}
	p, err := s.tokens.Verify(ctx, tenant, secret)
	if fault.Is(err, fault.Unauthenticated) {
		return nil, errToken(err)
	}
	if err != nil {
		return nil, err
	}
	// A token for one purpose is worthless for another, whatever its role.
	if p == nil || p.Tenant != tenant || p.Kind != identity.KindSCIMToken {
		return nil, errToken(nil)
	}
	return p, nil
}

func action(method, path string) string {
	switch {
	case method == http.MethodGet || method == http.MethodHead, method == http.MethodPost && strings.HasSuffix(path, searchPath):
		return "read"
	case method == http.MethodDelete:
		return "delete"
	}
	return "write"
}

func readQuery(raw string) (url.Values, error) {
	query, err := url.ParseQuery(raw)
	if err != nil {
		return nil, resource.Bad(scimerrors.ScimTypeInvalidValue, "The query cannot be read.")
	}
	for name, values := range query {
		if len(values) > 1 {
			return nil, resource.Bad(scimerrors.ScimTypeInvalidValue, "The query has %.64q more than once.", name)
		}
	}
	return query, nil
}

// refusal turns an error into the one form that errors are answered in
// (RFC 7644 §3.12). Causes of our own failures go to the log.
func refusal(w http.ResponseWriter, r *http.Request, err error) *reply {
	e := describe(err)
	noteFailure(r.Context(), e, err)
	switch e.Status {
	case http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", `Bearer realm="scim"`)
	case http.StatusForbidden:
		if fault.As(err).Code == insufficientScope { // RFC 6750 §3.1
			w.Header().Set("WWW-Authenticate", `Bearer realm="scim", error="insufficient_scope"`)
		}
	case http.StatusServiceUnavailable:
		w.Header().Set("Retry-After", "1")
	case http.StatusTooManyRequests:
		w.Header().Set("Retry-After", retryAfter(err))
	case http.StatusMethodNotAllowed:
		w.Header().Set("Allow", allowed(r.URL.Path))
	}
	return &reply{status: e.Status, body: e}
}

// noteFailure logs an error that is ours.
func noteFailure(ctx context.Context, e scimerrors.ScimError, err error) {
	if e.Status >= http.StatusInternalServerError && e.Status != http.StatusNotImplemented {
		slog.ErrorContext(ctx, "scim request failed", "request_id", httpkit.RequestFrom(ctx).ID, "error", err)
	}
}

func (a *reply) write(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	if a.etag != "" {
		h.Set("ETag", a.etag)
	}
	if a.location != "" {
		// RFC 7644 §3.3: Location names what was made; elsewhere it says the same
		// as meta.location.
		h.Set("Location", a.location)
		// RFC 7643 §3.1: the same as meta.location. A 304 has what the 200 would have
		// (RFC 9110 §15.4.5).
		if a.body != nil || a.status == http.StatusNotModified {
			h.Set("Content-Location", a.location)
		}
	}
	if a.body == nil {
		w.WriteHeader(a.status)
		return
	}
	httpkit.WriteJSONAs(w, a.status, mediaType, a.body)
}
