package gateway

import (
	"context"
	"net/http"
	"time"

	"gatehouse/api"
	"gatehouse/audit"
	"gatehouse/authn"
	"gatehouse/authn/token"
	"gatehouse/identity"
	"gatehouse/tenants"
)

// callers lets the admin API ask authn who calls.
type callers struct{ authn *authn.Service }

func (c callers) Caller(r *http.Request) (*identity.Principal, error) {
	caller, err := c.authn.Caller(r)
	return caller.Principal, err
}

// lifecycle is what the admin API knows as tenants: when one is suspended, what
// it has open without a session ends too, and when it is deleted, every room
// lets go of what it holds of it.
type lifecycle struct {
	*tenants.Service
	rooms *rooms
}

func (l lifecycle) Update(ctx context.Context, cause audit.Cause, id identity.TenantID, ifVersion uint64, change func(*tenants.Tenant) error) (*tenants.Tenant, error) {
	changed, err := l.Service.Update(ctx, cause, id, ifVersion, change)
	if err != nil || changed.Status != tenants.Suspended {
		return changed, err
	}
	return changed, l.rooms.front.EndTenant(ctx, id)
}

func (l lifecycle) Delete(ctx context.Context, cause audit.Cause, id identity.TenantID) error {
	if err := l.Service.Delete(ctx, cause, id); err != nil {
		return err
	}
	r := l.rooms
	r.sessions.Forget(id)
	r.tokens.Forget(id)
	r.directory.Forget(id)
	r.authz.Forget(id)
	r.index.Forget(id)
	return r.journal.Drop(id)
}

// openStreams lets authn/token close what a token has open in the gate, which
// is made after it.
type openStreams struct{ rooms *rooms }

func (s openStreams) End(ctx context.Context, tenant identity.TenantID, principal string) error {
	return s.rooms.front.End(ctx, tenant, principal)
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
	made, secret, err := t.service.Create(ctx, cause, tenant, token.Spec{Name: want.Name, Scope: token.Scope(want.Scope), Role: want.Role, Expires: expires})
	return view(made), secret, err
}

func (t tokens) List(ctx context.Context, tenant identity.TenantID) ([]api.Token, error) {
	all, err := t.service.List(ctx, tenant)
	views := make([]api.Token, len(all))
	for i, one := range all {
		views[i] = view(one)
	}
	return views, err
}

func (t tokens) Revoke(ctx context.Context, cause audit.Cause, tenant identity.TenantID, id identity.TokenID) error {
	return t.service.Revoke(ctx, cause, tenant, id)
}

func view(t token.Token) api.Token {
	return api.Token{ID: t.ID, Name: t.Name, Scope: string(t.Scope), Role: t.Role, CreatedBy: t.CreatedBy, CreatedAt: t.CreatedAt,
		ExpiresAt: present(t.ExpiresAt), UsedAt: present(t.LastUsedAt), RevokedAt: present(t.RevokedAt)}
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
