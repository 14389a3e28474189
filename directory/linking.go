package directory

import (
	"context"
	"errors"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"gatehouse/audit"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/internal/store"
)

// Identity is how one connection's provider calls a person: whoever it says this of
// signs in as them.
type Identity struct {
	Connection identity.ConnectionID
	Subject    string
	LinkedAt   time.Time
	SeenAt     time.Time // when it was last signed in by; zero: never
}

// maxIdentities bounds the identities that one person is given by hand: a few
// connections have one each.
const maxIdentities = 100

// Identities gives what a person signs in by, the oldest first.
func (s *Service) Identities(ctx context.Context, tenant identity.TenantID, user identity.UserID) (all []Identity, err error) {
	err = s.store.Tenant(tenant).Read(ctx, func(tx *store.Tx) error {
		if _, err := loadUser(ctx, tx, user); err != nil {
			return err
		}
		all, err = store.All(ctx, tx, func(row store.Row) (i Identity, err error) {
			var linked, seen int64
			err = row.Scan(&i.Connection, &i.Subject, &linked, &seen)
			i.LinkedAt, i.SeenAt = store.Time(linked), store.Time(seen)
			return i, err
		}, `SELECT connection_id, subject, created_at, seen_at FROM identities WHERE user_id = $1 ORDER BY created_at, connection_id, subject LIMIT $2`, user, maxSubjects)
		return err
	})
	return all, err
}

// Knows reports whether anybody is known by a connection, or has put people into groups.
func (s *Service) Knows(ctx context.Context, tenant identity.TenantID, connection identity.ConnectionID) (known bool, err error) {
	err = s.store.Tenant(tenant).Read(ctx, func(tx *store.Tx) error {
		known, err = store.One(ctx, tx, store.Scalar[bool], `SELECT EXISTS (SELECT 1 FROM identities WHERE connection_id = $1) OR EXISTS (SELECT 1 FROM groups WHERE connection_id = $1)`, connection)
		return err
	})
	return known, err
}

// StillLinked refuses a sign-in by an identity that is not the person's any more, as
// [Service.SignIn] would have from then on. Whoever unlinks one ends its sessions after
// that; a sign-in under way asks once it has its own, so that one of both finds it.
func (s *Service) StillLinked(ctx context.Context, tenant identity.TenantID, connection identity.ConnectionID, subject string, user identity.UserID) error {
	return s.store.Tenant(tenant).Read(ctx, func(tx *store.Tx) error {
		of, _, err := identityOf(ctx, tx, Namer{}, connection, subject)
		if err == nil && of != user {
			err = errUnlinked()
		}
		return err
	})
}

// Link binds an identity of a connection to a person, so that it signs that person in
// for as long as the connection has people named by the same provider. It may be
// repeated. An identity that belongs to another person is a Conflict fault: it is never
// moved.
func (s *Service) Link(ctx context.Context, cause audit.Cause, tenant identity.TenantID, user identity.UserID, by Namer, connection identity.ConnectionID, subject string) error {
	if connection == "" || !isSubject(subject) || strings.ContainsFunc(subject, unsaid) {
		return errIdentityInvalid()
	}
	return s.change(ctx, tenant, func(tx *store.Tx) (*step, error) {
		u, err := loadUser(ctx, tx, user)
		if err != nil {
			return nil, err
		}
		of, theirs, err := identityOf(ctx, tx, by, connection, subject)
		switch {
		case err != nil:
			return nil, err
		case of == user && theirs:
			return nil, nil
		case of != "" && of != user:
			return nil, errIdentityTaken()
		}
		n, err := store.One(ctx, tx, store.Scalar[int], `SELECT count(*) FROM identities WHERE user_id = $1`, user)
		if err != nil {
			return nil, err
		}
		if n >= maxIdentities {
			return nil, fault.New(fault.Conflict, "too-many-identities", "This person has %d identities, and there can be no more. Unlink those that are not used any more.", n)
		}
		e := identityEvent(cause, tenant, audit.IdentityLinked, &u, connection, subject)
		return &step{events: []audit.Event{e}, write: func(ctx context.Context, tx *store.Tx) error {
			if _, err := loadUser(ctx, tx, user); err != nil { // deleted on another node
				return err
			}
			return Link(ctx, tx, by, connection, subject, user)
		}}, nil
	})
}

// Unlink takes an identity from a person, so that nobody signs in by it as them any
// more, also the last that they have. With their last of a connection they leave the
// groups that the connection has put them into: nothing would say again whether they
// are in them. Its sessions are for the caller to end.
//
// unlinked is true also if that was done before, and the caller may not have gone on; it
// is false, without an error, of what nobody has. One of another person is a NotFound
// fault. With an error, unlinked says that it is done all the same, and that the other
// nodes may not know of it.
func (s *Service) Unlink(ctx context.Context, cause audit.Cause, tenant identity.TenantID, user identity.UserID, connection identity.ConnectionID, subject string) (unlinked bool, err error) {
	if connection == "" || !isSubject(subject) {
		return false, errIdentityInvalid()
	}
	theirs := false
	err = s.change(ctx, tenant, func(tx *store.Tx) (*step, error) {
		u, err := loadUser(ctx, tx, user)
		if err != nil {
			return nil, err
		}
		of, _, err := identityOf(ctx, tx, Namer{}, connection, subject)
		switch {
		case err != nil:
			return nil, err
		case of == "":
			before, err := store.One(ctx, tx, store.Scalar[int], `SELECT count(*) FROM unlinked_identities WHERE connection_id = $1 AND subject = $2 AND user_id = $3`, connection, subject, user)
			theirs = before > 0
			return nil, err
		case of != user:
			return nil, errNoIdentity()
		}
		more, err := store.One(ctx, tx, store.Scalar[int], `SELECT count(*) FROM identities WHERE user_id = $1 AND connection_id = $2 AND subject <> $3`, user, connection, subject)
		if err != nil {
			return nil, err
		}
		theirs = true
		none := &SignIn{Connection: connection, Groups: []string{}}
		p := &signInPlan{user: u, events: []audit.Event{identityEvent(cause, tenant, audit.IdentityUnlinked, &u, connection, subject)}}
		if more == 0 {
			if err := p.syncGroups(ctx, tx, cause, tenant, none); err != nil {
				return nil, err
			}
		}
		do := &step{events: p.events, people: []identity.UserID{user}}
		do.write = func(ctx context.Context, tx *store.Tx) error {
			n, err := tx.Exec(ctx, `DELETE FROM identities WHERE connection_id = $1 AND subject = $2 AND user_id = $3`, connection, subject, user)
			if err == nil && n == 0 { // another node was faster, and it may be somebody else's now
				err = errNoIdentity()
			}
			if err != nil {
				return err
			}
			if err := p.groups.apply(ctx, tx, none, user); err != nil {
				return err
			}
			left, err := lose(ctx, tx, connection, subject, user)
			do.news.leaves(user, left...)
			return err
		}
		do.news.takes(&p.groups, user)
		return do, nil
	})
	return theirs && (err == nil || errors.Is(err, errUntold)), err
}

// lose does what there is to do where somebody has lost an identity: it is noted for the
// room of sessions, in case that nobody goes on to end what it has begun, and with the
// last of the connection they leave its groups, also those that a sign-in on another node
// has put them into meanwhile. It gives those that they had not left before.
func lose(ctx context.Context, tx *store.Tx, connection identity.ConnectionID, subject string, user identity.UserID) ([]identity.GroupID, error) {
	if _, err := tx.Exec(ctx, `INSERT INTO unlinked_identities (connection_id, subject, user_id, unlinked_at) VALUES ($1, $2, $3, $4)
		ON CONFLICT (connection_id, subject, user_id) DO UPDATE SET unlinked_at = excluded.unlinked_at`, connection, subject, user, store.Millis(now())); err != nil {
		return nil, err
	}
	left, err := store.All(ctx, tx, store.Scalar[identity.GroupID], `DELETE FROM group_members WHERE user_id = $1 AND group_id IN (SELECT id FROM groups WHERE source = $2 AND connection_id = $3)
		AND NOT EXISTS (SELECT 1 FROM identities WHERE user_id = $1 AND connection_id = $3) RETURNING group_id`, user, SourceSignIn, connection)
	if err != nil {
		return nil, err
	}
	return left, moved(ctx, tx, left...)
}

// unsaid reports runes that nobody gives by hand: such as stand where bytes could not be
// read, and such as are not seen.
func unsaid(r rune) bool { return r == utf8.RuneError || unicode.In(r, unicode.Cc, unicode.Cf) }

func errIdentityInvalid() error {
	return invalid("identity-invalid", "An identity is a connection and the provider's own name for the person.")
}

func errNoIdentity() error {
	return fault.New(fault.NotFound, "identity-unknown", "This person has no such identity.")
}
