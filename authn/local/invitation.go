package local

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"net/http"
	"strconv"
	"time"

	"gatehouse/audit"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/internal/httpkit"
	"gatehouse/internal/store"
	"gatehouse/tenants"
)

const (
	// defaultLife is how long a link is good if nobody says otherwise, and maxLife how
	// long at most: it lets its finder in as somebody.
	defaultLife = 24 * time.Hour
	maxLife     = 7 * 24 * time.Hour
	minLife     = 10 * time.Minute
	// tokenLength is 32 random bytes in base64url.
	tokenLength = 43
)

var (
	errSpent    = fault.New(fault.Denied, "invitation-unusable", "This link was used already, was replaced by a newer one, or has run out. Ask whoever sent it for a new one.")
	errNoPerson = fault.New(fault.NotFound, "no-such-user", "There is no such person.")
	errDisabled = fault.New(fault.Conflict, "local-disabled", "Local accounts are switched off here, so nobody could sign in by the link. Enable the connection \"local\" first.")
	errFull     = fault.New(fault.Conflict, "too-many-accounts", "There are %d local accounts and invitations already. They are for few: connect an identity provider for everybody else.", maxAccounts)
	errInactive = fault.New(fault.Denied, "person-inactive", "This account is not active. Ask your administrator.")
)

// Invitation is a link that was made.
type Invitation struct {
	Token   string // kept nowhere
	Expires time.Time
	Event   identity.EventID
}

// invitation is one that is still good, with whom it is for.
type invitation struct {
	account

	by       audit.Actor // who made it
	replaces bool        // they have a local account already
}

func (i *invitation) address() string { return cmp.Or(i.email, i.userName) }

func newToken() string {
	var raw [32]byte
	_, _ = rand.Read(raw[:]) // never fails: crypto/rand aborts the program instead
	return base64.RawURLEncoding.EncodeToString(raw[:])
}

// isToken reports whether a text may be the token of a link.
func isToken(text string) bool {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(text)
	return err == nil && len(text) == tokenLength && len(raw) == 32
}

func inviteHash(token string) []byte { return hashOf("invitation", token) }

// Invite makes a link by which a person sets what they sign in with. It takes the
// place of an earlier one, and what they have counts until the new one is used. Who
// may be invited, and to which roles, is for the caller to have checked.
func (s *Service) Invite(ctx context.Context, cause audit.Cause, tenant identity.TenantID, user identity.UserID, life time.Duration) (Invitation, error) {
	if err := checkLife(life); err != nil {
		return Invitation{}, err
	}
	person, replaces, err := s.invitee(ctx, tenant, user)
	if err != nil {
		return Invitation{}, err
	}
	c, err := s.tenants.EnsureLocal(ctx, cause, tenant)
	if err != nil {
		return Invitation{}, err
	}
	if !c.Enabled {
		return Invitation{}, errDisabled
	}
	now := s.now().UTC().Truncate(time.Millisecond)
	made := Invitation{Token: newToken(), Expires: now.Add(cmp.Or(life, defaultLife))}
	e := event(cause, tenant, audit.LocalInvited, person)
	e.Connection = c.ID
	e.Details = map[string]string{"expires": made.Expires.Format(time.RFC3339), "created_by": cause.Actor.Name, "replaces": strconv.FormatBool(replaces)}
	receipt, err := s.journal.Commit(ctx, e)
	if err != nil {
		return Invitation{}, err
	}
	made.Event = receipt.Event()
	ctx, cancel := effect(ctx)
	defer cancel()
	err = s.store.Tenant(tenant).Write(ctx, func(tx *store.Tx) error {
		if _, err := tx.Exec(ctx, `DELETE FROM local_invitations WHERE expires_at <= $1 OR user_id = $2`, store.Millis(now), user); err != nil {
			return err
		}
		n, err := tx.Exec(ctx, `INSERT INTO local_invitations (user_id, token_hash, created_by, created_at, expires_at, maker_kind, maker_id)
			SELECT id, $2, $3, $4, $5, $6, $7 FROM users WHERE id = $1 AND active`, user, inviteHash(made.Token), cause.Actor.Name, store.Millis(now), store.Millis(made.Expires),
			string(cause.Actor.Kind), cause.Actor.ID)
		if err == nil && n == 0 {
			err = errInactive // or gone, just now
		}
		return err
	})
	if err != nil {
		return Invitation{}, storeDown(err)
	}
	return made, nil
}

func checkLife(life time.Duration) error {
	if life = cmp.Or(life, defaultLife); life < minLife || life > maxLife {
		return fault.New(fault.Invalid, "bad-life", "A link is good for %v to %v.", minLife, maxLife)
	}
	return nil
}

// MayInvite tells whether [Service.Invite] would refuse a link of this life, for
// somebody or, if they are not there yet, nobody: before anything is done for it.
func (s *Service) MayInvite(ctx context.Context, tenant identity.TenantID, user identity.UserID, life time.Duration) error {
	if err := checkLife(life); err != nil {
		return err
	}
	c, err := s.tenants.Connection(ctx, tenant, tenants.LocalName)
	switch {
	case fault.Is(err, fault.NotFound):
	case err != nil:
		return err
	case !c.Enabled:
		return errDisabled
	}
	if user == "" {
		held, err := s.held(ctx, tenant)
		if err == nil && held >= maxAccounts {
			err = errFull
		}
		return err
	}
	_, _, err = s.invitee(ctx, tenant, user)
	return err
}

// held counts the accounts and invitations of a tenant.
func (s *Service) held(ctx context.Context, tenant identity.TenantID) (n int, err error) {
	err = s.store.Tenant(tenant).Read(ctx, func(tx *store.Tx) (err error) {
		n, err = store.One(ctx, tx, store.Scalar[int], `SELECT (SELECT count(*) FROM local_accounts) + (SELECT count(*) FROM local_invitations)`)
		return err
	})
	return n, storeDown(err)
}

// invitee is who is to be invited, if they can be.
func (s *Service) invitee(ctx context.Context, tenant identity.TenantID, user identity.UserID) (a *account, replaces bool, err error) {
	err = s.store.Tenant(tenant).Read(ctx, func(tx *store.Tx) (err error) {
		a, err = store.One(ctx, tx, scanAccount, `SELECT u.id, u.user_name, u.email, u.display_name, u.active, a.password, COALESCE(a.generation, 0), COALESCE(a.password_at, 0)
			FROM users u LEFT JOIN local_accounts a ON a.user_id = u.id WHERE u.id = $1`, user)
		return err
	})
	switch {
	case errors.Is(err, store.ErrNoRows):
		return nil, false, errNoPerson
	case err != nil:
		return nil, false, storeDown(err)
	case !a.active:
		return nil, false, fault.New(fault.Conflict, "person-inactive", "This person is not active, and could not sign in. Activate them first.")
	case a.generation > 0:
		return a, true, nil
	}
	held, err := s.held(ctx, tenant)
	if err == nil && held >= maxAccounts {
		err = errFull
	}
	return a, false, err
}

// open finds the invitation that a link names, if it is still good: for who comes, and
// as things are now.
func (s *Service) open(r *http.Request, token string) (*invitation, error) {
	ctx, tenant := r.Context(), httpkit.RequestFrom(r.Context()).Tenant
	i, err := s.unexpired(ctx, tenant, token)
	if err != nil {
		return nil, err
	}
	c, err := s.tenants.Connection(ctx, tenant, tenants.LocalName)
	switch {
	case err != nil:
		return nil, err
	case !c.Enabled:
		return nil, errClosed
	}
	if err := s.stands(ctx, tenant, i.by, i.user); err != nil {
		return nil, err
	}
	if err := s.entitled(ctx, tenant, i.user); err != nil {
		return nil, err
	}
	return i, s.admits(r, i.user)
}

// unexpired finds the invitation that a link names, if it has not run out.
func (s *Service) unexpired(ctx context.Context, tenant identity.TenantID, token string) (*invitation, error) {
	if !isToken(token) {
		return nil, errSpent
	}
	var i invitation
	err := s.store.Tenant(tenant).Read(ctx, func(tx *store.Tx) error {
		_, err := store.One(ctx, tx, func(row store.Row) (struct{}, error) {
			return struct{}{}, row.Scan(&i.user, &i.userName, &i.email, &i.name, &i.active, &i.generation, &i.by.Name, &i.by.Kind, &i.by.ID)
		}, `SELECT u.id, u.user_name, u.email, u.display_name, u.active, COALESCE(a.generation, 0), i.created_by, i.maker_kind, i.maker_id FROM local_invitations i
			JOIN users u ON u.id = i.user_id LEFT JOIN local_accounts a ON a.user_id = i.user_id WHERE i.token_hash = $1 AND i.expires_at > $2`,
			inviteHash(token), store.Millis(s.now()))
		return err
	})
	switch {
	case errors.Is(err, store.ErrNoRows):
		return nil, errSpent
	case err != nil:
		return nil, storeDown(err)
	case !i.active:
		return nil, errInactive
	}
	i.replaces = i.generation > 0
	return &i, nil
}

// Delete takes a person's local account away, and their invitation. What they have as
// second factors for other ways to sign in stays theirs. Their sessions are for the
// caller to end. It may be repeated.
func (s *Service) Delete(ctx context.Context, cause audit.Cause, tenant identity.TenantID, user identity.UserID) error {
	a, _, err := s.invitee(ctx, tenant, user)
	if err != nil && !fault.Is(err, fault.Conflict) {
		return err
	}
	if a == nil { // inactive: they lose it all the same
		a = &account{user: user}
	}
	if _, err := s.journal.Commit(ctx, event(cause, tenant, audit.LocalDeleted, a)); err != nil {
		return err
	}
	ctx, cancel := effect(ctx)
	defer cancel()
	return storeDown(s.store.Tenant(tenant).Write(ctx, func(tx *store.Tx) error {
		for _, table := range []string{"local_accounts", "local_invitations"} {
			if _, err := tx.Exec(ctx, `DELETE FROM `+table+` WHERE user_id = $1`, user); err != nil {
				return err
			}
		}
		return nil
	}))
}

// Retire takes away the links that are for a person who comes back after they were
// deactivated, and those that they have made: coming back revives none.
func Retire(ctx context.Context, tx *store.Tx, user identity.UserID) error {
	_, err := tx.Exec(ctx, `DELETE FROM local_invitations WHERE user_id = $1 OR (maker_kind = $2 AND maker_id = $1)`, user, string(identity.KindUser))
	return err
}

func event(cause audit.Cause, tenant identity.TenantID, t audit.Type, a *account) audit.Event {
	e := cause.Event(tenant, t, audit.Success)
	e.Target = audit.Target{Kind: "user", ID: string(a.user), Name: a.userName}
	return e
}
