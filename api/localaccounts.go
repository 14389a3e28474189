package api

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"time"

	"gatehouse/audit"
	"gatehouse/authz"
	"gatehouse/directory"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/sessions"
	"gatehouse/tenants"
)

// endedWithAccount is the reason of sessions that end with a local account.
const endedWithAccount = "local-account-deleted"

// LocalAccounts keeps what people sign in with who come by no identity provider.
type LocalAccounts interface {
	// MayInvite refuses what Invite would, of somebody or of who is not there yet ("").
	MayInvite(ctx context.Context, tenant identity.TenantID, user identity.UserID, life time.Duration) error
	// Invite makes a one-time link, kept nowhere, in the place of an earlier one of the
	// person; a life of 0 is the default.
	Invite(ctx context.Context, cause audit.Cause, tenant identity.TenantID, user identity.UserID, life time.Duration) (LocalInvitation, error)
	List(ctx context.Context, tenant identity.TenantID) ([]LocalAccount, error)
	// Delete takes account and link away. It does not end sessions, and may be repeated.
	Delete(ctx context.Context, cause audit.Cause, tenant identity.TenantID, user identity.UserID) error
}

// LocalInvitation is a link with what stands in it.
type LocalInvitation struct {
	URL       string           `json:"url,omitempty" doc:"The link, good once; shown this once. Absent if no host of the tenant is known"`
	Path      string           `json:"path" doc:"The same on the tenant's host"`
	ExpiresAt time.Time        `json:"expires_at"`
	User      identity.UserID  `json:"user_id"`
	Event     identity.EventID `json:"event_id"`
}

// LocalAccount is a local account, or an invitation to one.
type LocalAccount struct {
	User         identity.UserID `json:"user_id"`
	UserName     string          `json:"user_name"`
	Email        string          `json:"email,omitempty"`
	Name         string          `json:"name,omitempty"`
	Active       bool            `json:"active"`
	Credentials  []string        `json:"credentials" enum:"password,totp,passkey" doc:"What they sign in with: a passkey, or a password together with an authenticator app"`
	Password     bool            `json:"-"`
	AcceptedAt   *time.Time      `json:"accepted_at,omitempty" doc:"Since when they have it; absent: they were invited and have not come yet"`
	UsedAt       *time.Time      `json:"last_used_at,omitempty"`
	InvitedBy    string          `json:"invited_by,omitempty"`
	InvitedUntil *time.Time      `json:"invited_until,omitempty" doc:"Until when a link that is not used yet is good"`
}

func (a *API) registerLocalAccounts() {
	register(a, operation{id: "list-local-accounts", method: http.MethodGet, path: "/local-accounts", tag: "Users", needs: reads("users"),
		summary: "List the local accounts, and who is invited to one"}, a.listLocalAccounts)
	register(a, operation{id: "invite-local-account", method: http.MethodPost, path: "/local-accounts", tag: "Users", needs: writes("users"), secret: true,
		status: http.StatusCreated, summary: "Invite somebody to a local account, which needs no identity provider: on the operators' tenant anybody, elsewhere an owner. They are made if they are not there, and get the role. The link takes the place of an earlier one and, once it is used, of all that they sign in with. It takes holding all roles that they have and get"}, a.inviteLocalAccount)
	register(a, operation{id: "delete-local-account", method: http.MethodDelete, path: "/local-accounts/{id}", tag: "Users", needs: writes("users"),
		status: http.StatusOK, summary: "Take a person's local account and invitation away; the person stays. Ends all their sessions before the answer"}, a.deleteLocalAccount)
}

func (a *API) listLocalAccounts(ctx context.Context, c *call, in *Paging) (*pageOutput[LocalAccount], error) {
	found, err := a.cfg.LocalAccounts.List(ctx, c.tenant())
	if err != nil {
		return nil, err
	}
	out := pageWithin(*in, found, func(x LocalAccount) string { return string(x.User) }, func(x LocalAccount) LocalAccount { return x })
	for i := range out.Body.Items {
		if err := a.showCredentials(ctx, c.tenant(), &out.Body.Items[i]); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// showCredentials says what somebody signs in with: nothing before they have accepted,
// whatever second factors they have for other ways.
func (a *API) showCredentials(ctx context.Context, tenant identity.TenantID, x *LocalAccount) error {
	x.Credentials = []string{}
	if x.AcceptedAt == nil {
		return nil
	}
	if x.Password {
		x.Credentials = append(x.Credentials, "password")
	}
	held, err := a.cfg.Factors.Held(ctx, tenant, x.User)
	if err != nil {
		return err
	}
	seen := map[string]bool{}
	for _, f := range held.Items {
		if !seen[f.Kind] && (x.Password || f.Kind == "passkey") {
			seen[f.Kind], x.Credentials = true, append(x.Credentials, f.Kind)
		}
	}
	return nil
}

type inviteLocalAccountInput struct {
	Body struct {
		Email       string           `json:"email" minLength:"3" maxLength:"320"`
		DisplayName string           `json:"display_name,omitempty" maxLength:"200" doc:"Of a person who is not there yet"`
		Role        string           `json:"role,omitempty" maxLength:"63" doc:"Account-wide role that they get; absent: owner, for who has no role yet. Elsewhere than on the operators' tenant it is owner"`
		ExpiresIn   tenants.Duration `json:"expires_in,omitzero" doc:"How long the link is good, from 10m to 168h; absent: 24h"`
	}
}

var errOwnAccount = fault.New(fault.Denied, "own-account", "What you sign in with yourself is changed at /.gatehouse/mfa, by showing it. If you have lost it, ask somebody else.")

// inviteLocalAccount hands out a way to become somebody: so it is for who could give
// them all that they have and get, and for nobody themselves, whose session somebody
// else may have got hold of. All that may be refused is asked before anything changes,
// and each change may be made again.
func (a *API) inviteLocalAccount(ctx context.Context, c *call, in *inviteLocalAccountInput) (*bodyOutput[LocalInvitation], error) {
	email, err := directory.CanonicalEmail(in.Body.Email)
	if err != nil {
		return nil, err
	}
	person, err := a.byEmail(ctx, c, email)
	if err != nil {
		return nil, err
	}
	if person.ID != "" && c.principal.User == person.ID {
		return nil, errOwnAccount
	}
	role, err := a.roleOfInvited(ctx, c, person, in.Body.Role)
	if err != nil {
		return nil, err
	}
	if role != "" {
		if err := a.cfg.Policy.MayGrant(ctx, c.principal, c.tenant(), role, ""); err != nil {
			return nil, err
		}
	}
	if person.ID != "" {
		if err := a.mayMove(ctx, c, heldBy(person.ID, person.Groups)); err != nil {
			return nil, err
		}
	}
	if err := a.cfg.LocalAccounts.MayInvite(ctx, c.tenant(), person.ID, time.Duration(in.Body.ExpiresIn)); err != nil {
		return nil, err
	}
	if person.ID == "" {
		person, err = a.cfg.People.CreateUser(ctx, c.cause, c.tenant(), directory.User{UserName: email, Email: email, DisplayName: in.Body.DisplayName,
			Active: true, Source: directory.SourceAdmin})
		if err != nil {
			return nil, err
		}
	}
	if role != "" {
		if _, err := a.cfg.Policy.Assign(ctx, c.cause, c.tenant(), authz.Assignment{Role: role, User: person.ID}); err != nil {
			return nil, err
		}
	}
	made, err := a.cfg.LocalAccounts.Invite(ctx, c.cause, c.tenant(), person.ID, time.Duration(in.Body.ExpiresIn))
	if err != nil {
		return nil, err
	}
	made.URL = a.onHost(c, made.Path)
	return &bodyOutput[LocalInvitation]{made}, nil
}

// byEmail finds the person whose user name, or else whose address, an email is; zero
// if nobody's is.
func (a *API) byEmail(ctx context.Context, c *call, email string) (directory.User, error) {
	for _, attr := range []directory.Attr{directory.AttrUserName, directory.AttrEmail} {
		found, err := a.cfg.People.Users(ctx, c.tenant(), directory.UserQuery{Filter: directory.Compare{Attr: attr, Op: directory.Equal, Value: email}, Count: 2})
		if err != nil {
			return directory.User{}, err
		}
		switch len(found.Items) {
		case 0:
		case 1:
			return a.cfg.People.User(ctx, c.tenant(), found.Items[0].ID)
		default:
			return directory.User{}, fault.New(fault.Conflict, "address-shared", fmt.Sprintf("%s is the address of several people. Make sure that it is one's alone.", email))
		}
	}
	return directory.User{}, nil
}

// roleOfInvited is the role that somebody gets with their account; "" if they keep
// what they have. A tenant's own people sign in by their organisation's provider, and
// only an owner may have a way around it.
func (a *API) roleOfInvited(ctx context.Context, c *call, person directory.User, wanted string) (string, error) {
	ours := c.tenant() == identity.Platform
	if !ours && wanted != "" && wanted != authz.Owner {
		return "", fault.New(fault.Invalid, "owners-only", "Local accounts are for a tenant's owners alone: whom they let in when its identity provider lets nobody in.")
	}
	if person.ID != "" {
		all, err := a.cfg.Policy.Assignments(ctx, c.tenant())
		if err != nil {
			return "", err
		}
		has := heldBy(person.ID, person.Groups)
		for _, x := range all {
			if has(x) && (ours && wanted == "" || x.Team == "" && x.Role == cmp.Or(wanted, authz.Owner)) {
				return "", nil
			}
		}
	}
	return cmp.Or(wanted, authz.Owner), nil
}

func (a *API) deleteLocalAccount(ctx context.Context, c *call, in *ByID[identity.UserID]) (*bodyOutput[revocation], error) {
	person, err := a.cfg.People.Person(ctx, c.tenant(), in.ID)
	if err != nil {
		return nil, err
	}
	if err := a.mayMove(ctx, c, heldBy(in.ID, person.Groups)); err != nil {
		return nil, err
	}
	if err := a.cfg.LocalAccounts.Delete(ctx, c.cause, c.tenant(), in.ID); err != nil {
		return nil, err
	}
	return a.revoke(ctx, c, sessions.Selector{User: in.ID}, endedWithAccount)
}
