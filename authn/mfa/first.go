package mfa

import (
	"context"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"

	"gatehouse/audit"
	"gatehouse/authn"
	"gatehouse/identity"
	"gatehouse/internal/store"
)

// maxHandle bounds a user handle (WebAuthn §5.4.3).
const maxHandle = 64

// What follows is for people who sign in by what is kept here, and by no identity
// provider: a passkey names them by itself, and what they have is replaced whole.

// OfferFirst is [Service.Offer] of what takes the place of all that a person has. A
// passkey is one that the authenticator keeps itself (WebAuthn §5.4.4), so that it is
// found by whoever has not said who they are; the device that has one already may
// replace it.
func (s *Service) OfferFirst(_ context.Context, h authn.Holder, kind authn.FactorKind, again []byte) (authn.Offer, error) {
	switch kind {
	case authn.TOTP:
		return s.offerTOTP(h, again)
	case authn.Passkey:
		us, err := party(h)
		if err != nil {
			return authn.Offer{}, err
		}
		return offerBy(us, &person{Holder: h}, webauthn.WithResidentKeyRequirement(protocol.ResidentKeyRequirementRequired))
	}
	return authn.Offer{}, errKind
}

// Replace puts one factor in the place of all that a person has, and recovery codes,
// if codes are wanted, in the place of theirs. first is recorded before, and also is
// done in the same transaction; an error of it undoes all.
func (s *Service) Replace(ctx context.Context, cause audit.Cause, h authn.Holder, e authn.Enrolment, wantCodes bool, first audit.Event, also func(context.Context, *store.Tx) error) (codes []string, err error) {
	p, err := s.prove(ctx, h, e)
	if err != nil {
		return nil, err
	}
	events := []audit.Event{first}
	if wantCodes {
		codes = newCodes()
		events = append(events, codesEvent(cause, h))
	}
	for _, event := range events {
		if _, err := s.journal.Commit(ctx, event); err != nil {
			return nil, err
		}
		ctx = context.WithoutCancel(ctx) // there is a record: it comes true without the caller
	}
	err = s.change(ctx, about(cause, audit.FactorAdded, h, p.row.Factor), func(ctx context.Context, tx *store.Tx) error {
		if err := also(ctx, tx); err != nil {
			return err
		}
		if err := dropAll(ctx, tx, h.User); err != nil {
			return err
		}
		if err := insert(ctx, tx, h.User, &p.row, p.credential, true); err != nil || codes == nil {
			return err
		}
		return writeCodes(ctx, tx, h.User, codes)
	})
	if err != nil {
		first.Outcome, first.Reason, first.Message = audit.Failed, "not-kept", "What an earlier record of this request announced has not come about, and with it nothing has."
		_, _ = s.journal.Commit(ctx, first) // the caller reports the failure that matters
		return nil, err
	}
	return codes, nil
}

// dropAll takes away all that a person has.
func dropAll(ctx context.Context, tx *store.Tx, user identity.UserID) error {
	for _, table := range []string{"factors", "recovery_codes", "factor_tries"} {
		if _, err := tx.Exec(ctx, `DELETE FROM `+table+` WHERE user_id = $1`, user); err != nil {
			return err
		}
	}
	return nil
}

// AskAnybody is what a browser is asked for a passkey of whoever is there: the same
// for all, so that it tells nothing of who has one. The holder is nobody yet.
func (s *Service) AskAnybody(_ context.Context, h authn.Holder) (authn.Offer, error) {
	us, err := party(h)
	if err != nil {
		return authn.Offer{}, err
	}
	assertion, session, err := us.BeginDiscoverableLogin()
	return asked(assertion, session, err)
}

// Identify verifies an answer to [Service.AskAnybody], and gives whose passkey it is.
// That what was asked is answered once is for the caller to see to.
func (s *Service) Identify(ctx context.Context, h authn.Holder, private []byte, answer string) (identity.UserID, authn.Shown, error) {
	us, session, parsed, err := readAnswer(h, private, answer)
	if err != nil {
		return "", authn.Shown{}, err
	}
	var found *person
	var down error
	_, used, err := us.ValidatePasskeyLogin(func(_, handle []byte) (webauthn.User, error) {
		if !isHandle(handle) {
			return nil, errNoFactor
		}
		h.User = identity.UserID(handle)
		found, down = s.person(ctx, h)
		return found, down
	}, session, parsed)
	switch {
	case down != nil:
		return "", authn.Shown{}, down
	case err != nil:
		return "", authn.Shown{}, refused(err)
	}
	shown, err := s.useOf(ctx, found, used)
	return found.User, shown, err
}

// isHandle reports whether a user handle may be an id of ours: only such are looked
// for.
func isHandle(handle []byte) bool {
	for _, c := range handle {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' {
			return false
		}
	}
	return len(handle) <= maxHandle
}
