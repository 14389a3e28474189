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

// proved is a factor that was shown just now, and is to be kept.
type proved struct {
	row        row
	credential []byte // of a passkey; nil
	shown      authn.Shown
}

// prove takes up an offer, and changes nothing yet.
func (s *Service) prove(ctx context.Context, h authn.Holder, e authn.Enrolment) (p proved, err error) {
	if e.Name, err = checkName(e.Name); err != nil {
		return proved{}, err
	}
	switch e.Proof.Kind {
	case authn.TOTP:
		return s.provedTOTP(ctx, h, e)
	case authn.Passkey:
		return s.provedPasskey(ctx, h, e)
	}
	return proved{}, errKind
}

// Enrol implements [authn.Factors]. With the first factor it makes recovery codes.
func (s *Service) Enrol(ctx context.Context, cause audit.Cause, h authn.Holder, e authn.Enrolment) (codes []string, shown authn.Shown, err error) {
	p, err := s.prove(ctx, h, e)
	if err != nil {
		return nil, authn.Shown{}, err
	}
	held, err := s.Held(ctx, h.Tenant, h.User)
	if err != nil {
		return nil, authn.Shown{}, err
	}
	switch {
	case e.First && len(held.Factors) > 0:
		return nil, authn.Shown{}, errNotFirst
	case len(held.Factors) >= MaxFactors:
		return nil, authn.Shown{}, errFull
	}
	if len(held.Factors) == 0 {
		codes = newCodes()
		if _, err := s.journal.Commit(ctx, codesEvent(cause, h)); err != nil {
			return nil, authn.Shown{}, err
		}
	}
	err = s.change(ctx, about(cause, audit.FactorAdded, h, p.row.Factor), func(ctx context.Context, tx *store.Tx) error {
		if err := insert(ctx, tx, h.User, &p.row, p.credential, e.First); err != nil || codes == nil {
			return err
		}
		return writeCodes(ctx, tx, h.User, codes)
	})
	if err != nil {
		return nil, authn.Shown{}, err
	}
	return codes, p.shown, nil
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
