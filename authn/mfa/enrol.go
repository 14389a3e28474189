package mfa

import (
	"context"

	"gatehouse/audit"
	"gatehouse/authn"
	"gatehouse/internal/fault"
	"gatehouse/internal/store"
)

var errKind = fault.New(fault.Invalid, "bad-kind", "There is no such kind of second factor.")

// Offer implements [authn.Factors].
func (s *Service) Offer(ctx context.Context, h authn.Holder, kind authn.FactorKind, again []byte) (authn.Offer, error) {
	switch kind {
	case authn.TOTP:
		return s.offerTOTP(h, again)
	case authn.Passkey:
		return s.offerPasskey(ctx, h)
	}
	return authn.Offer{}, errKind
}

// Enrol implements [authn.Factors].
func (s *Service) Enrol(ctx context.Context, cause audit.Cause, h authn.Holder, e authn.Enrolment) (codes []string, shown authn.Shown, err error) {
	if e.Name, err = checkName(e.Name); err != nil {
		return nil, authn.Shown{}, err
	}
	switch e.Proof.Kind {
	case authn.TOTP:
		codes, err = s.enrolTOTP(ctx, cause, h, e)
		return codes, authn.Shown{Kind: authn.TOTP, AMR: []string{"otp", "mfa"}}, err
	case authn.Passkey:
		return s.enrolPasskey(ctx, cause, h, e)
	}
	return nil, authn.Shown{}, errKind
}

// enrol writes a factor that was shown just now, and with the first one recovery
// codes.
func (s *Service) enrol(ctx context.Context, cause audit.Cause, h authn.Holder, r *row, credential []byte, first bool) (codes []string, err error) {
	held, err := s.Held(ctx, h.Tenant, h.User)
	if err != nil {
		return nil, err
	}
	switch {
	case first && len(held.Factors) > 0:
		return nil, errNotFirst
	case len(held.Factors) >= MaxFactors:
		return nil, errFull
	}
	if len(held.Factors) == 0 {
		codes = newCodes()
		if _, err := s.journal.Commit(ctx, codesEvent(cause, h)); err != nil {
			return nil, err
		}
	}
	err = s.change(ctx, about(cause, audit.FactorAdded, h, r.Factor), func(ctx context.Context, tx *store.Tx) error {
		if err := insert(ctx, tx, h.User, r, credential, first); err != nil || codes == nil {
			return err
		}
		return writeCodes(ctx, tx, h.User, codes)
	})
	if err != nil {
		return nil, err
	}
	return codes, nil
}

// Verify implements [authn.Factors].
func (s *Service) Verify(ctx context.Context, h authn.Holder, private []byte, p authn.Proof) (authn.Shown, error) {
	switch p.Kind {
	case authn.TOTP:
		return s.verifyTOTP(ctx, h, p.Value)
	case authn.RecoveryCode:
		return s.verifyRecovery(ctx, h, p.Value)
	case authn.Passkey:
		return s.verifyPasskey(ctx, h, private, p.Value)
	}
	return authn.Shown{}, errKind
}
