package mfa

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"

	"gatehouse/audit"
	"gatehouse/authn"
	"gatehouse/identity"
	"gatehouse/internal/store"
)

const (
	// recoveryCodes is how many a person is given.
	recoveryCodes = 10
	// recoveryLength is how long they are: 16 letters and digits of 5 bits, which
	// nobody guesses, so that their hashes need no salt and no slow function.
	recoveryLength = 16
)

// newCodes makes recovery codes, as they are shown.
func newCodes() []string {
	codes := make([]string, recoveryCodes)
	for i := range codes {
		text := strings.ToLower(rand.Text()[:recoveryLength])
		codes[i] = text[:4] + "-" + text[4:8] + "-" + text[8:12] + "-" + text[12:]
	}
	return codes
}

// codeHash is how a code is kept, however it is typed.
func codeHash(user identity.UserID, code string) []byte {
	code = strings.Map(func(c rune) rune {
		if c == '-' || c == ' ' || c == '\t' {
			return -1
		}
		return c
	}, strings.ToLower(code))
	return hash("recovery code", string(user), code)
}

// writeCodes puts new codes in the place of all that a person has.
func writeCodes(ctx context.Context, tx *store.Tx, user identity.UserID, codes []string) error {
	if _, err := tx.Exec(ctx, `DELETE FROM recovery_codes WHERE user_id = $1`, user); err != nil {
		return err
	}
	for _, code := range codes {
		if _, err := tx.Exec(ctx, `INSERT INTO recovery_codes (user_id, code_hash) VALUES ($1, $2)`, user, codeHash(user, code)); err != nil {
			return err
		}
	}
	return nil
}

// RenewCodes implements [authn.Factors].
func (s *Service) RenewCodes(ctx context.Context, cause audit.Cause, h authn.Holder) ([]string, error) {
	codes := newCodes()
	err := s.change(ctx, codesEvent(cause, h), func(ctx context.Context, tx *store.Tx) error {
		held, err := store.One(ctx, tx, store.Scalar[int], `SELECT count(*) FROM factors WHERE user_id = $1`, h.User)
		switch {
		case err != nil:
			return err
		case held == 0:
			return errNoFactor
		}
		return writeCodes(ctx, tx, h.User, codes)
	})
	if err != nil {
		return nil, err
	}
	return codes, nil
}

func codesEvent(cause audit.Cause, h authn.Holder) audit.Event {
	e := cause.Event(h.Tenant, audit.RecoveryCodesMade, audit.Success)
	e.Target = audit.Target{Kind: "user", ID: string(h.User), Name: h.Name}
	e.Details = map[string]string{"codes": fmt.Sprint(recoveryCodes)}
	return e
}

// verifyRecovery uses a recovery code up.
func (s *Service) verifyRecovery(ctx context.Context, h authn.Holder, code string) (authn.Shown, error) {
	err := s.try(ctx, h, authn.RecoveryCode, func(tx *store.Tx) (outcome, error) {
		n, err := tx.Exec(ctx, `DELETE FROM recovery_codes WHERE user_id = $1 AND code_hash = $2`, h.User, codeHash(h.User, code))
		if err != nil || n == 0 {
			return wrong, err
		}
		return good, nil
	})
	if err != nil {
		return authn.Shown{}, err
	}
	// RFC 8176 has no word for it.
	return authn.Shown{Kind: authn.RecoveryCode, AMR: []string{"mfa"}}, nil
}
