package proxy

import (
	"context"
	"net/http"
	"sync/atomic"
	"testing"

	"gatehouse/authz"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/sessions"
)

// between does something between a decision and what follows from it.
type between struct {
	Decider
	do func()
}

func (b between) Decide(ctx context.Context, p *identity.Principal, q authz.Query) (authz.Permit, authz.Decision, error) {
	permit, d, err := b.Decider.Decide(ctx, p, q)
	b.do()
	return permit, d, err
}

// What was decided for a role goes no further once the role is another.
func TestP2_AServicesRoleIsThatOfTheMoment(t *testing.T) {
	var role atomic.Value
	role.Store("owner")
	var w *world
	w = newWorld(t, func(c *Config) {
		c.Caller = func(*http.Request) (*identity.Principal, *sessions.Live, error) {
			return &identity.Principal{Kind: identity.KindService, Tenant: w.acme.ID, ID: "svc_1", Name: "robot", Role: role.Load().(string)}, nil, nil //nolint:errcheck // strings alone are stored
		}
		c.Decider = between{c.Decider, func() {
			if role.Swap("viewer") == "owner" {
				if err := w.gate.End(context.Background(), w.acme.ID, "svc_1"); err != nil {
					t.Error(err)
				}
			}
		}}
	})
	if answer := w.get(w.client(false), "/admin/x", nil); answer.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("answered with %d", answer.StatusCode)
	}
	if seen := w.app.take(); len(seen) != 0 {
		t.Errorf("the app saw %v", seen)
	}
}

// Credentials that are for the gate do not go to the app because there were too many
// of them, on public routes neither.
func TestP6_AmbiguousCredentialsStayAtTheGate(t *testing.T) {
	w := newWorld(t, func(c *Config) {
		c.Caller = func(*http.Request) (*identity.Principal, *sessions.Live, error) {
			return nil, nil, fault.New(fault.Unauthenticated, "ambiguous-credentials", "The request carries a session and a token; send one of them.")
		}
	})
	if answer := w.get(w.client(false), "/public/x", nil, "Authorization", "Bearer eyJ.a-services.token"); answer.StatusCode != http.StatusOK {
		t.Errorf("answered with %d", answer.StatusCode)
	}
	for _, s := range w.app.take() {
		if sent := s.values("Authorization"); len(sent) != 0 {
			t.Errorf("the app got %v", sent)
		}
	}
}
