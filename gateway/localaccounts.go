package gateway

import (
	"context"
	"time"

	"gatehouse/api"
	"gatehouse/audit"
	"gatehouse/authn/local"
	"gatehouse/identity"
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
