package scim

import (
	"context"
	"errors"
	"net/http/httptest"
	"strings"
	"testing"

	"gatehouse/audit"
	"gatehouse/authz"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/internal/httpkit"
)

// parts are a service's surroundings that answer as a test says.
type parts struct {
	verify   error
	decision authz.Decision
	decide   error
	journal  error
	events   []audit.Event
}

func (p *parts) Verify(_ context.Context, tenant identity.TenantID, _ string) (*identity.Principal, error) {
	return &identity.Principal{Kind: identity.KindSCIMToken, Tenant: tenant, ID: "tok_1"}, p.verify
}

func (p *parts) Decide(context.Context, *identity.Principal, authz.Query) (authz.Permit, authz.Decision, error) {
	return authz.Permit{}, p.decision, p.decide
}

func (p *parts) Write(_ context.Context, e *audit.Event) (audit.Receipt, error) {
	p.events = append(p.events, *e)
	return audit.Receipt{}, p.journal
}

func (p *parts) Record(_ context.Context, e audit.Event) (audit.Receipt, error) {
	p.events = append(p.events, e)
	return audit.Receipt{}, p.journal
}

// Every part that fails keeps the request from having an effect: the service
// below has no directory, so that reaching an endpoint would panic.
func TestARequestIsRefusedWhenAnyPartSaysNo(t *testing.T) {
	away := fault.New(fault.Unavailable, "away", "Not now.")
	for name, c := range map[string]struct {
		parts  parts
		status int
		event  audit.Type // "": none, since nobody was refused
	}{
		"no permission":            {parts{decision: authz.Decision{Reason: "no-role"}}, 403, audit.AccessRefused},
		"allowed without a permit": {parts{decision: authz.Decision{Allowed: true}}, 403, audit.AccessRefused},
		"no policy":                {parts{decide: away}, 503, ""},
		"no token store":           {parts{verify: away}, 503, ""},
		"a failure of ours":        {parts{verify: errors.New("secret cause")}, 500, ""},
		"no journal":               {parts{journal: away}, 503, audit.AccessRefused},
		"an unknown token":         {parts{verify: fault.New(fault.Unauthenticated, "token-unknown", "x")}, 401, audit.AccessRefused},
	} {
		t.Run(name, func(t *testing.T) {
			p := &c.parts
			handler := New(Config{Tokens: p, Permissions: p, Journal: p, Refusals: p}).Handler()
			r := httptest.NewRequestWithContext(httpkit.WithRequest(t.Context(), &httpkit.Request{ID: "req_1", Tenant: "ten_1"}),
				"DELETE", "/scim/v2/Users/usr_1", nil)
			r.Header.Set("Authorization", "Bearer gh_x")
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, r)
			if w.Code != c.status || strings.Contains(w.Body.String(), "secret cause") {
				t.Errorf("answered %d %s", w.Code, w.Body)
			}
			if c.event == "" && len(p.events) != 0 {
				t.Errorf("the journal has %+v", p.events)
			}
			if c.event != "" && (len(p.events) != 1 || p.events[0].Type != c.event || p.events[0].Outcome != audit.Refused) {
				t.Errorf("the journal has %+v", p.events)
			}
		})
	}
}
