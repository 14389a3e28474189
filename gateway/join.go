package gateway

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"maps"
	"net/http"
	"strings"
	"time"

	"gatehouse/api"
	"gatehouse/audit"
	"gatehouse/authn"
	"gatehouse/authn/mfa"
	"gatehouse/authn/token"
	"gatehouse/identity"
	"gatehouse/internal/throttle"
	"gatehouse/sessions"
	"gatehouse/tenants"
)

// callers lets the admin API ask authn who calls.
type callers struct{ authn *authn.Service }

func (c callers) Caller(r *http.Request) (*identity.Principal, error) {
	caller, err := c.authn.Caller(r)
	return caller.Principal, err
}

// inhabited is what the rooms above tenants, which are made after it, have of a
// tenant.
type inhabited struct{ rooms *rooms }

// EndTenant ends first what has no session: a sign-in under way is among it, and
// what it has made by then ends with the sessions.
func (i inhabited) EndTenant(ctx context.Context, cause audit.Cause, tenant identity.TenantID, reason string) error {
	err := i.rooms.nodes.endStreams(ctx, tenant, nil)
	_, revoked := i.rooms.sessions.Revoke(ctx, cause, tenant, sessions.Selector{All: true}, reason)
	if t, ok := i.rooms.tenants.ByID(tenant); revoked != nil && ok && t.Status == tenants.Deleting {
		// Without its database or key nothing can be recorded or kept for it, and
		// nothing needs to be: both are about to be destroyed (P10).
		revoked = i.rooms.sessions.Cut(ctx, tenant, reason)
	}
	return errors.Join(err, revoked)
}

// Restrict has the limits of this moment hold for the sessions that are there
// already.
func (i inhabited) Restrict(ctx context.Context, cause audit.Cause, tenant identity.TenantID) error {
	if i.rooms.sessions == nil {
		return nil // the start: there is nothing yet
	}
	return i.rooms.sessions.Trim(ctx, cause, tenant)
}

func (i inhabited) Reconnect(tenant identity.TenantID) {
	if front := i.rooms.front; front != nil {
		front.Reconnect(tenant)
	}
}

func (i inhabited) Forget(tenant identity.TenantID) {
	r := i.rooms
	r.readiness.forget(tenant)
	r.refusals.Forget(tenant)
	r.sessions.Forget(tenant)
	r.tokens.Forget(tenant)
	r.expiring.Forget(tenant)
	r.machines.Forget(tenant)
	r.directory.Forget(tenant)
	r.brake.Forget(tenant)
	r.feed.Forget(tenant)
	r.recorder.Forget(tenant)
	r.google.Forget(tenant)
	r.authz.Forget(tenant)
	r.index.Forget(tenant)
	r.authn.Forget(tenant)
}

// leavers ends what somebody has who is deactivated or deleted: their sessions, and the
// tokens that are theirs (P9).
type leavers struct{ rooms *rooms }

func (l leavers) EndUser(ctx context.Context, cause audit.Cause, tenant identity.TenantID, user identity.UserID, reason string) (int, error) {
	n, err := l.rooms.sessions.EndUser(ctx, cause, tenant, user, reason)
	return n, errors.Join(err, l.rooms.tokens.EndUser(ctx, cause, tenant, user))
}

// scimRates gives how much of SCIM a tenant's tokens may use at this moment: for as long
// as they like by its settings, and ten seconds of that, or a few full Bulks, at once.
func (r *rooms) scimRates(tenant identity.TenantID) (one, all throttle.Limit) {
	var set tenants.Rate
	if t, ok := r.tenants.ByID(tenant); ok {
		set = t.Settings.SCIM.Rate
	}
	if set.Off {
		return one, all
	}
	limit := func(n int) throttle.Limit { return throttle.PerSecond(float64(n), max(10*n, 500)) }
	token, together := set.Limits()
	return limit(token), limit(together)
}

// expiringTokens gives the tenants whose provider is about to be refused.
func (g *Gateway) expiringTokens() (all []subject) {
	for _, e := range g.rooms.expiring.Ending() {
		if t, there := g.rooms.tenants.ByID(e.Tenant); there {
			all = append(all, subject{Tenant: e.Tenant, Name: t.Name, detail: e.Why})
		}
	}
	return all
}

// openStreams lets authn/token and machines close what tokens or services have open
// in the gates of all nodes, which then know of it what SQL says.
type openStreams struct{ rooms *rooms }

func (s openStreams) End(ctx context.Context, tenant identity.TenantID, principals ...string) error {
	if len(principals) == 0 {
		return nil
	}
	s.rooms.machines.Refresh(tenant)
	s.rooms.nodes.renewSoon(tenant)
	return s.rooms.nodes.endStreams(ctx, tenant, principals)
}

// serviceStreams are [openStreams] for machines, which ends one service at a time.
type serviceStreams struct{ openStreams }

func (s serviceStreams) End(ctx context.Context, tenant identity.TenantID, service string) error {
	return s.openStreams.End(ctx, tenant, service)
}

// good gives those of some tokens and services by which what is open may go on.
func (r *rooms) good(ctx context.Context, tenant identity.TenantID, ids []string) (map[string]bool, error) {
	var tokens, services []string
	for _, id := range ids {
		if strings.HasPrefix(id, identity.ServicePrefix) {
			services = append(services, id)
		} else {
			tokens = append(tokens, id)
		}
	}
	good, err := r.tokens.Good(ctx, tenant, tokens)
	if err != nil || len(services) == 0 {
		return good, err
	}
	recognised, err := r.machines.Good(ctx, tenant, services)
	if err != nil {
		return nil, err
	}
	maps.Copy(good, recognised)
	return good, nil
}

// authorities gives those whose client certificates are asked for at a host.
func (r *rooms) authorities(ctx context.Context, host string) *x509.CertPool {
	t, ok := r.tenants.ByHost(host)
	if !ok || t.Status != tenants.Active {
		return nil
	}
	return r.machines.Authorities(ctx, t.ID)
}

// tokens speaks the admin API's form of tokens over authn/token, which stands
// on the same floor.
type tokens struct{ service *token.Service }

// defaultTokenLife is how long a token lives whose maker does not say.
const defaultTokenLife = 90 * 24 * time.Hour

func (t tokens) Create(ctx context.Context, cause audit.Cause, tenant identity.TenantID, want api.Token) (api.Token, string, error) {
	expires := time.Now().Add(defaultTokenLife)
	if want.ExpiresAt != nil {
		expires = *want.ExpiresAt
	}
	made, secret, err := t.service.Create(ctx, cause, tenant, token.Spec{Name: want.Name, Scope: token.Scope(want.Scope), Role: want.Role,
		Client: want.Kind == api.ClientToken, Connection: want.ConnectionID, Access: identity.Access(want.Access), Owner: want.Owner, Expires: expires})
	return view(made), secret, err
}

func (t tokens) Rotate(ctx context.Context, cause audit.Cause, tenant identity.TenantID, id identity.TokenID, overlap time.Duration, expires time.Time) (api.Token, string, error) {
	made, secret, err := t.service.Rotate(ctx, cause, tenant, id, cmp.Or(overlap, token.Overlap), expires)
	return view(made), secret, err
}

func (t tokens) TakeOver(ctx context.Context, cause audit.Cause, tenant identity.TenantID, id identity.TokenID, by identity.UserID) (api.Token, error) {
	taken, err := t.service.TakeOver(ctx, cause, tenant, id, by)
	return view(taken), err
}

func (t tokens) EndConnection(ctx context.Context, tenant identity.TenantID, id identity.ConnectionID) error {
	return t.service.EndConnection(ctx, tenant, id)
}

func (t tokens) DropConnection(ctx context.Context, cause audit.Cause, tenant identity.TenantID, id identity.ConnectionID) error {
	return t.service.DropConnection(ctx, cause, tenant, id)
}

func (t tokens) List(ctx context.Context, tenant identity.TenantID) ([]api.Token, error) {
	all, err := t.service.List(ctx, tenant)
	views := make([]api.Token, len(all))
	for i, one := range all {
		views[i] = view(one)
	}
	return views, err
}

func (t tokens) Find(ctx context.Context, tenant identity.TenantID, id identity.TokenID) (api.Token, error) {
	found, err := t.service.Find(ctx, tenant, id)
	return view(found), err
}

func (t tokens) Revoke(ctx context.Context, cause audit.Cause, tenant identity.TenantID, id identity.TokenID) error {
	return t.service.Revoke(ctx, cause, tenant, id)
}

func view(t token.Token) api.Token {
	v := api.Token{ID: t.ID, Kind: api.PlainToken, Name: t.Name, Scope: string(t.Scope), Role: t.Role, ClientID: t.ClientID, ConnectionID: t.Connection, Access: t.Access,
		CreatedBy: t.CreatedBy, Owner: t.Owner, CreatedAt: t.CreatedAt, ExpiresAt: present(t.ExpiresAt), UsedAt: present(t.LastUsedAt), RevokedAt: present(t.RevokedAt), Successor: t.Successor}
	if t.ClientID != "" {
		v.Kind = api.ClientToken
	}
	return v
}

// present is nil for a time that never was.
func present(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// signedIn sends people who are not signed in to sign in first, and back.
func signedIn(service *authn.Service, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		caller, err := service.Caller(r)
		if err != nil || caller.Live == nil {
			http.Redirect(w, r, service.SignInURL(r), http.StatusSeeOther) // #nosec G710 -- a path of ours; the target in its query is checked there and on the way back
			return
		}
		next.ServeHTTP(w, r)
	})
}

// factors speaks the admin API's form of second factors over authn/mfa, which
// stands on the same floor.
type factors struct{ service *mfa.Service }

func (f factors) Held(ctx context.Context, tenant identity.TenantID, user identity.UserID) (api.FactorsHeld, error) {
	held, err := f.service.Held(ctx, tenant, user)
	view := api.FactorsHeld{Items: []api.Factor{}, RecoveryCodes: held.RecoveryCodes}
	for _, one := range held.Factors {
		view.Items = append(view.Items, api.Factor{ID: one.ID, Kind: string(one.Kind), Name: one.Name, Host: one.Host,
			CreatedAt: one.Created, LastUsedAt: one.Used})
	}
	return view, err
}

func (f factors) Reset(ctx context.Context, cause audit.Cause, tenant identity.TenantID, user identity.UserID) (int, error) {
	return f.service.Reset(ctx, cause, tenant, user)
}
