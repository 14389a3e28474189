package directory

import (
	"context"
	"errors"
	"strings"
	"time"
	"unicode/utf8"

	"gatehouse/audit"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/internal/store"
)

// maxSubject bounds an identity provider's name for a person: 255 octets in
// OpenID Connect Core §2, 256 characters in SAML 2.0 Core §8.3.7.
const maxSubject = 1024

// isSubject tells what can be kept as a subject, byte by byte.
func isSubject(s string) bool {
	return s != "" && len(s) <= maxSubject && utf8.ValidString(s) && !strings.Contains(s, "\x00")
}

// linkable finds whom a first sign-in takes over. An externalId need not be one
// person's alone (RFC 7643 §3.1): where it is not, it names nobody.
func linkable(ctx context.Context, tx *store.Tx, in *SignIn) (identity.UserID, error) {
	const unlinked = ` AND NOT EXISTS (SELECT 1 FROM identities WHERE user_id = users.id AND connection_id = $3 AND ` + given + `)`
	switch {
	case in.LinkByEmail && in.Email != "":
		return store.One(ctx, tx, store.Scalar[identity.UserID],
			`SELECT id FROM users WHERE user_key = $4 AND source <> $5`+unlinked, in.By.Issuer, in.By.Naming, in.Connection, in.Email, SourceSignIn)
	case in.LinkByExternalID:
		found, err := store.All(ctx, tx, store.Scalar[identity.UserID], `SELECT id FROM users WHERE external_id = $1 AND source = $2 LIMIT 2`, in.Subject, SourceSCIM)
		if err != nil {
			return "", err
		}
		if len(found) != 1 {
			return "", store.ErrNoRows
		}
		return store.One(ctx, tx, store.Scalar[identity.UserID], `SELECT id FROM users WHERE id = $4 AND source = $5`+unlinked, in.By.Issuer, in.By.Naming, in.Connection, found[0], SourceSCIM)
	}
	return "", store.ErrNoRows
}

// identityEvent is about an identity of a person.
func identityEvent(cause audit.Cause, tenant identity.TenantID, kind audit.Type, u *User, connection identity.ConnectionID, subject string) audit.Event {
	e := userEvent(cause, tenant, kind, u)
	e.Connection, e.Details = connection, map[string]string{"subject": subject}
	return e
}

// Namer is who names people by subjects: what another one calls so is somebody else.
type Namer struct {
	// Issuer is how the provider calls itself, in what it has signed (OpenID Connect iss,
	// SAML entity id), with the kind of connection; "" if it does not, or has not yet.
	Issuer string
	// Naming is what the connection says of it ([tenants.Connection.Naming]).
	Naming string
}

// given holds of the identities that a namer, $1 and $2, has given: it calls itself as it
// did then, or the connection believes whom it did then. Of those that are older than
// this, any: none had been noted.
const given = `(issuer <> '' AND issuer = $1 OR naming = $2 OR issuer = '' AND naming = '')`

// identityOf gives whose an identity is, "" if it is nobody's, and whether the namer has
// given it.
func identityOf(ctx context.Context, tx *store.Tx, by Namer, connection identity.ConnectionID, subject string) (user identity.UserID, theirs bool, err error) {
	_, err = store.One(ctx, tx, func(row store.Row) (struct{}, error) { return struct{}{}, row.Scan(&user, &theirs) },
		`SELECT user_id, `+given+` FROM identities WHERE connection_id = $3 AND subject = $4`, by.Issuer, by.Naming, connection, subject)
	if errors.Is(err, store.ErrNoRows) {
		return "", false, nil
	}
	return user, theirs, err
}

// linkIdentity links an identity, seen at this moment or never yet. One that another
// namer has given to somebody else is theirs no longer.
func linkIdentity(ctx context.Context, tx *store.Tx, by Namer, connection identity.ConnectionID, subject string, user identity.UserID, seen time.Time) error {
	n, err := tx.Exec(ctx, `INSERT INTO identities (issuer, naming, connection_id, subject, user_id, created_at, seen_at) VALUES ($1, $2, $3, $4, $5, $6, $7)
		ON CONFLICT (connection_id, subject) DO UPDATE SET issuer = excluded.issuer, naming = excluded.naming, user_id = excluded.user_id,
			created_at = CASE WHEN identities.user_id = excluded.user_id THEN identities.created_at ELSE excluded.created_at END,
			seen_at = CASE WHEN identities.user_id = excluded.user_id AND identities.seen_at > excluded.seen_at THEN identities.seen_at ELSE excluded.seen_at END
			WHERE identities.user_id = excluded.user_id
				OR NOT (identities.issuer <> '' AND identities.issuer = excluded.issuer OR identities.naming = excluded.naming OR identities.issuer = '' AND identities.naming = '')`,
		by.Issuer, by.Naming, connection, subject, user, store.Millis(now()), store.Millis(seen))
	if err == nil && n == 0 {
		return errIdentityTaken()
	}
	return err
}

// seeIdentity notes that a linked identity was seen. One that was unlinked since it was
// found, on another node, is not linked again by that, nor one that was linked to another
// provider's person.
func seeIdentity(ctx context.Context, tx *store.Tx, in *SignIn, user identity.UserID) error {
	n, err := tx.Exec(ctx, `UPDATE identities SET issuer = $1, naming = $2, seen_at = $3 WHERE connection_id = $4 AND subject = $5 AND user_id = $6 AND `+given,
		in.By.Issuer, in.By.Naming, store.Millis(now()), in.Connection, in.Subject, user)
	if err == nil && n == 0 {
		return errUnlinked()
	}
	return err
}

// Link links a person to how a connection's provider calls them, in the transaction of
// whatever has proved it. There the record of it is made as well.
func Link(ctx context.Context, tx *store.Tx, by Namer, connection identity.ConnectionID, subject string, user identity.UserID) error {
	return linkIdentity(ctx, tx, by, connection, subject, user, time.Time{})
}

func errIdentityTaken() error {
	return fault.New(fault.Conflict, "uniqueness", "This identity belongs to another person.")
}

func errUnlinked() error {
	return fault.New(fault.Denied, "identity-unlinked", "Your administrator took this way of signing in from your account while you signed in.")
}

// maxSubjects bounds how many identities of a connection one address may have:
// people share none ([emailFree]), so there are as many as one person has.
const maxSubjects = 1000

// SubjectsByEmail gives how a connection's identity provider calls the person
// with an address: every name of theirs there. None if nobody of that
// connection has the address, or if it is none.
func (s *Service) SubjectsByEmail(ctx context.Context, tenant identity.TenantID, connection identity.ConnectionID, email string) (subjects []string, err error) {
	canonical, err := CanonicalEmail(email)
	if err != nil {
		return nil, nil //nolint:nilerr // what is no address is nobody's
	}
	err = s.store.Tenant(tenant).Read(ctx, func(tx *store.Tx) (err error) {
		subjects, err = store.All(ctx, tx, store.Scalar[string], `SELECT i.subject FROM identities i JOIN user_emails e ON e.user_id = i.user_id
			WHERE i.connection_id = $1 AND e.email = $2 ORDER BY i.subject LIMIT $3`, connection, canonical, maxSubjects)
		return err
	})
	return subjects, err
}
