package gateway

import (
	"context"
	"slices"
	"time"

	"gatehouse/api"
	"gatehouse/audit"
	"gatehouse/authn/local"
	"gatehouse/identity"
	"gatehouse/machines"
)

// passwordCost is what hashing a password costs; zero is what RFC 9106 recommends,
// and no config changes it. Tests make it less.
var passwordCost local.Cost

// localAccounts speaks the admin API's form of local accounts over authn/local, which
// stands on the same floor.
type localAccounts struct{ service *local.Service }

func (l localAccounts) MayInvite(ctx context.Context, tenant identity.TenantID, user identity.UserID, life time.Duration) error {
	return l.service.MayInvite(ctx, tenant, user, life)
}

func (l localAccounts) Invite(ctx context.Context, cause audit.Cause, tenant identity.TenantID, user identity.UserID, life time.Duration) (api.LocalInvitation, error) {
	made, err := l.service.Invite(ctx, cause, tenant, user, life)
	if err != nil {
		return api.LocalInvitation{}, err
	}
	return api.LocalInvitation{Path: local.InvitationURL(made.Token), ExpiresAt: made.Expires.UTC(), User: user, Event: made.Event}, nil
}

func (l localAccounts) List(ctx context.Context, tenant identity.TenantID) ([]api.LocalAccount, error) {
	all, err := l.service.List(ctx, tenant)
	views := make([]api.LocalAccount, len(all))
	for i, a := range all {
		views[i] = api.LocalAccount{User: a.User, UserName: a.UserName, Email: a.Email, Name: a.Name, Active: a.Active, Password: a.Password,
			AcceptedAt: present(a.Accepted), UsedAt: present(a.Used), InvitedBy: a.InvitedBy, InvitedUntil: present(a.InvitedTill)}
	}
	return views, err
}

func (l localAccounts) Delete(ctx context.Context, cause audit.Cause, tenant identity.TenantID, user identity.UserID) error {
	return l.service.Delete(ctx, cause, tenant, user)
}

// program finds the token or service that made a link, as it may act at this moment;
// nil if it may not any more.
func (r *rooms) program(ctx context.Context, tenant identity.TenantID, kind identity.Kind, id string) (*identity.Principal, error) {
	if kind == identity.KindAPIToken {
		good, err := r.tokens.Good(ctx, tenant, []string{id})
		if err != nil || !good[id] {
			return nil, err
		}
		found, err := r.tokens.Find(ctx, tenant, identity.TokenID(id))
		return &identity.Principal{Kind: kind, Tenant: tenant, ID: id, Role: found.Role}, err
	}
	all, err := r.services.All(ctx, tenant)
	i := slices.IndexFunc(all, func(m machines.Machine) bool { return string(m.ID) == id })
	if err != nil || i < 0 || !all[i].Enabled {
		return nil, err
	}
	return &identity.Principal{Kind: kind, Tenant: tenant, ID: id, Role: all[i].Role}, nil
}
