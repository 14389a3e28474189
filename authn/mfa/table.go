package mfa

import (
	"context"
	"fmt"

	"gatehouse/authn"
	"gatehouse/identity"
	"gatehouse/internal/store"
)

// row is a factor with what only this room reads.
type row struct {
	authn.Factor

	sealed   []byte
	usedStep int64
}

// factorsOf gives a person's factors, the oldest first.
func factorsOf(ctx context.Context, tx *store.Tx, user identity.UserID) ([]row, error) {
	return store.All(ctx, tx, func(s store.Row) (row, error) {
		var r row
		var created, used int64
		err := s.Scan(&r.ID, &r.Kind, &r.Name, &r.Host, &r.sealed, &r.usedStep, &created, &used)
		r.Created, r.Used = store.Time(created), store.Time(used)
		return r, err
	}, `SELECT id, kind, name, rp_id, secret, used_step, created_at, used_at FROM factors WHERE user_id = $1 ORDER BY created_at, id`, user)
}

// insert writes a factor: with first only if the person has none, and never one
// more than they may have, nor one that is there already, of whomever.
func insert(ctx context.Context, tx *store.Tx, user identity.UserID, r *row, credential []byte, first bool) error {
	var unique any // none is like no other
	if credential != nil {
		unique = credential
	}
	held, err := store.One(ctx, tx, store.Scalar[int], `SELECT count(*) FROM factors WHERE user_id = $1`, user)
	switch {
	case err != nil:
		return err
	case first && held > 0:
		return errNotFirst
	case held >= MaxFactors:
		return errFull
	}
	_, err = tx.Exec(ctx, `INSERT INTO factors (id, user_id, kind, name, rp_id, credential_hash, secret, used_step, created_at, used_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`,
		r.ID, user, string(r.Kind), r.Name, r.Host, unique, r.sealed, r.usedStep, store.Millis(r.Created), store.Millis(r.Used))
	if store.IsUnique(err) {
		return authn.Refuse(authn.FactorUsed, "This factor was added before.")
	}
	return err
}

// open reads what is sealed of a factor.
func (s *Service) open(ctx context.Context, tenant identity.TenantID, r *row) ([]byte, error) {
	plain, err := s.keys.Open(ctx, tenant, sealPurpose+r.ID, r.sealed)
	if err != nil {
		return nil, outOfReach(fmt.Errorf("mfa: open factor %s: %w", r.ID, err))
	}
	return plain, nil
}

func (s *Service) seal(ctx context.Context, tenant identity.TenantID, id string, plain []byte) ([]byte, error) {
	sealed, err := s.keys.Seal(ctx, tenant, sealPurpose+id, plain)
	if err != nil {
		return nil, outOfReach(fmt.Errorf("mfa: seal factor: %w", err))
	}
	return sealed, nil
}
