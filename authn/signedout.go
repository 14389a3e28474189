package authn

import (
	"context"

	"gatehouse/identity"
	"gatehouse/internal/store"
	"gatehouse/sessions"
)

// errSignedOut is a sign-in whose session at the provider ended before it was done.
var errSignedOut = Refuse(signedOutMeanwhile, "The identity provider has ended this sign-in before it was finished.")

// signedOut notes that a provider ends sessions, before they are: a sign-in that
// was verified already and is on its way to its session must not outlive that
// (SAML core §3.7.3.1). It is noted for as long as such a step lives.
func (f *flows) signedOut(ctx context.Context, tenant identity.TenantID, sel sessions.Selector) error {
	over := sel.IDPSessions
	if len(over) == 0 {
		over = []string{""} // all of the person's
	}
	now := f.now()
	err := f.stores.Tenant(tenant).Write(ctx, func(tx *store.Tx) error {
		for _, session := range over {
			// Later than the one before by any clock: what is seen again is another.
			_, err := tx.Exec(ctx, `INSERT INTO assertions_seen (id_hash, expires_at) VALUES ($1, $2) ON CONFLICT (id_hash) DO UPDATE SET expires_at =
				CASE WHEN excluded.expires_at > assertions_seen.expires_at THEN excluded.expires_at ELSE assertions_seen.expires_at + 1 END`,
				signOutOf(sel.Connection, sel.IDPSubject, session), store.Millis(now.Add(stepLife)))
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return storeDown(err)
	}
	return nil
}

// lastSignOut tells apart the sign-outs that concern a sign-in: it grows with each.
func (f *flows) lastSignOut(ctx context.Context, tenant identity.TenantID, c identity.ConnectionID, a *Assertion) (last int64, err error) {
	err = f.stores.Tenant(tenant).Read(ctx, func(tx *store.Tx) (err error) {
		last, err = store.One(ctx, tx, store.Scalar[int64], `SELECT COALESCE(MAX(expires_at), 0) FROM assertions_seen WHERE id_hash IN ($1, $2, $3)`,
			signOutOf(c, a.Subject, ""), signOutOf(c, a.Subject, a.IDPSession), signOutOf(c, "", a.IDPSession))
		return err
	})
	if err != nil {
		return 0, storeDown(err)
	}
	return last, nil
}

// still refuses a sign-in that the provider has ended since it was verified.
func (f *flows) still(ctx context.Context, tenant identity.TenantID, c identity.ConnectionID, a *Assertion, seen int64) error {
	last, err := f.lastSignOut(ctx, tenant, c, a)
	if err == nil && last > seen {
		err = errSignedOut
	}
	return err
}

func signOutOf(c identity.ConnectionID, subject, session string) []byte {
	return hash("signed-out", string(c), subject, session)
}
