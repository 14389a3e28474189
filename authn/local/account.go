package local

import (
	"context"
	"errors"
	"fmt"
	"time"

	"gatehouse/directory"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/internal/store"
)

// account is what somebody signs in with here.
type account struct {
	user       identity.UserID
	userName   string
	email      string
	name       string
	active     bool
	password   []byte // sealed; none: a passkey alone
	generation int64
	changed    int64 // when they have last changed the password
}

// maxAccounts bounds a tenant's local accounts: they are for few.
const maxAccounts = 1000

const accountColumns = `u.id, u.user_name, u.email, u.display_name, u.active, a.password, a.generation, a.password_at`

func scanAccount(row store.Row) (*account, error) {
	var a account
	err := row.Scan(&a.user, &a.userName, &a.email, &a.name, &a.active, &a.password, &a.generation, &a.changed)
	return &a, err
}

// find gives the one account that a condition holds for; nil if there is none.
func (s *Service) find(ctx context.Context, tenant identity.TenantID, where string, arg any) (a *account, err error) {
	err = s.store.Tenant(tenant).Read(ctx, func(tx *store.Tx) (err error) {
		a, err = store.One(ctx, tx, scanAccount, `SELECT `+accountColumns+` FROM local_accounts a JOIN users u ON u.id = a.user_id WHERE `+where+ // #nosec G202 -- conditions of this file
			` LIMIT 1`, arg)
		return err
	})
	if errors.Is(err, store.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, storeDown(err)
	}
	return a, nil
}

func (s *Service) byUser(ctx context.Context, tenant identity.TenantID, user identity.UserID) (*account, error) {
	return s.find(ctx, tenant, `a.user_id = $1`, user)
}

// byAddress finds the account of whoever has an address, as their user name or else
// as their email. key is the address as it is looked for and counted.
func (s *Service) byAddress(ctx context.Context, tenant identity.TenantID, key string) (*account, error) {
	return s.find(ctx, tenant, `u.user_key = $1 OR u.email = $1 ORDER BY CASE WHEN u.user_key = $1 THEN 0 ELSE 1 END, u.id`, key)
}

// maxAddress bounds what is entered as an address.
const maxAddress = 320

// addressKey is an address in its canonical form. What is none is nobody's, and counted
// all the same.
func addressKey(typed string) (string, bool) {
	email, err := directory.CanonicalEmail(typed)
	if err != nil {
		return "?", false
	}
	return email, true
}

// sealPassword keeps passwords apart from every other use of the key, and from one
// another.
const sealPassword = "authn.local-password." // #nosec G101 -- what it is for, and none itself

func (s *Service) sealHash(ctx context.Context, tenant identity.TenantID, user identity.UserID, h hash) ([]byte, error) {
	sealed, err := s.keys.Seal(ctx, tenant, sealPassword+string(user), []byte(h.String()))
	if err != nil {
		return nil, storeDown(fmt.Errorf("local: seal a password: %w", err))
	}
	return sealed, nil
}

// passwordOf reads what an account's password is compared with; nil if it has none.
func (s *Service) passwordOf(ctx context.Context, tenant identity.TenantID, a *account) (*hash, error) {
	if a == nil || len(a.password) == 0 {
		return nil, nil
	}
	text, err := s.keys.Open(ctx, tenant, sealPassword+string(a.user), a.password)
	if err != nil {
		return nil, storeDown(fmt.Errorf("local: open the password of %s: %w", a.user, err))
	}
	h, err := parseHash(string(text))
	if err != nil {
		return nil, fmt.Errorf("local: the password of %s: %w", a.user, err)
	}
	return &h, nil
}

// rehash keeps a password at another cost, unless it was replaced meanwhile.
func (s *Service) rehash(ctx context.Context, tenant identity.TenantID, a *account, h hash) error {
	sealed, err := s.sealHash(ctx, tenant, a.user, h)
	if err != nil {
		return err
	}
	return storeDown(s.store.Tenant(tenant).Write(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(ctx, `UPDATE local_accounts SET password = $1 WHERE user_id = $2 AND generation = $3 AND password_at = $4 AND password IS NOT NULL`, sealed, a.user, a.generation, a.changed)
		return err
	}))
}

// Account is a local account, or an invitation to one, without a secret.
type Account struct {
	User        identity.UserID
	UserName    string
	Email       string
	Name        string
	Active      bool
	Accepted    time.Time // since when they can sign in; zero: not yet
	Password    bool      // and not a passkey alone
	Used        time.Time // when they have last signed in by it; zero: never
	InvitedBy   string
	InvitedTill time.Time // until when their link is good; zero: there is none
}

// List gives a tenant's local accounts, in the order of their people's ids.
func (s *Service) List(ctx context.Context, tenant identity.TenantID) (all []Account, err error) {
	now := s.now()
	err = s.store.Tenant(tenant).Read(ctx, func(tx *store.Tx) (err error) {
		all, err = store.All(ctx, tx, scanListed, `SELECT u.id, u.user_name, u.email, u.display_name, u.active, a.accepted_at, a.password IS NOT NULL, a.used_at, i.created_by, i.expires_at
			FROM users u LEFT JOIN local_accounts a ON a.user_id = u.id LEFT JOIN local_invitations i ON i.user_id = u.id AND i.expires_at > $1
			WHERE a.user_id IS NOT NULL OR i.user_id IS NOT NULL ORDER BY u.id LIMIT $2`, store.Millis(now), maxAccounts)
		return err
	})
	return all, storeDown(err)
}

func scanListed(row store.Row) (a Account, err error) {
	var accepted, used, until *int64
	var by *string
	if err := row.Scan(&a.User, &a.UserName, &a.Email, &a.Name, &a.Active, &accepted, &a.Password, &used, &by, &until); err != nil {
		return a, err
	}
	a.Accepted, a.Used, a.InvitedTill = timeOf(accepted), timeOf(used), timeOf(until)
	if by != nil {
		a.InvitedBy = *by
	}
	return a, nil
}

func timeOf(ms *int64) time.Time {
	if ms == nil {
		return time.Time{}
	}
	return store.Time(*ms)
}

// effectTime bounds what follows a record, whose caller may go away.
const effectTime = 10 * time.Second

func effect(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), effectTime)
}

func storeDown(err error) error {
	return fault.OutOfReach(err, "store-unavailable", "Local accounts cannot be looked at right now. Try again in a moment.")
}
