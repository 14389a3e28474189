package mfa

import (
	"context"
	"errors"
	"time"

	"gatehouse/authn"
	"gatehouse/internal/fault"
	"gatehouse/internal/store"
)

// How wrong codes slow down: the first few in a row cost nothing, each one after
// them twice the wait of the one before, up to an hour. So whoever knows a person's
// password tries some thirty codes a day, of a million of which three are good.
const (
	freeTries = 5
	firstWait = 30 * time.Second
	maxWait   = time.Hour
	// forgetAfter is how long after the last wait they are forgotten.
	forgetAfter = 24 * time.Hour
)

// waitAfter is how long nobody looks at codes after so many wrong ones in a row.
func waitAfter(wrong int64) time.Duration {
	if wrong < freeTries {
		return 0
	}
	if n := wrong - freeTries; n < 7 {
		return min(firstWait<<n, maxWait)
	}
	return maxWait
}

// outcome is what became of a code.
type outcome uint8

const (
	wrong outcome = iota
	replayed
	good
)

// try counts a code before it is looked at, in the same transaction, so that no
// number of them at once, on whatever nodes, gets more looks than one after the
// other. Each kind of code has a count of its own, and so have browsers in which the
// person has signed in before: who has got hold of a password, with which alone
// somebody comes here, holds up none of those.
func (s *Service) try(ctx context.Context, h authn.Holder, kind authn.FactorKind, use func(*store.Tx) (outcome, error)) error {
	now, counted := s.now(), string(kind)
	if h.Known {
		counted += " known"
	}
	var wait time.Duration
	var came outcome
	err := s.store.Tenant(h.Tenant).Write(ctx, func(tx *store.Tx) error {
		type tries struct{ wrong, until int64 }
		so, err := store.One(ctx, tx, func(row store.Row) (t tries, err error) {
			err = row.Scan(&t.wrong, &t.until)
			return t, err
		}, `SELECT wrong, wait_until FROM factor_tries WHERE user_id = $1 AND kind = $2`, h.User, counted)
		if err != nil && !errors.Is(err, store.ErrNoRows) {
			return err
		}
		until := store.Time(so.until)
		if wait = until.Sub(now); wait > 0 {
			return nil
		}
		if until.Before(now.Add(-forgetAfter)) {
			so.wrong = 0
		}
		if came, err = use(tx); err != nil {
			return err
		}
		if came == good {
			_, err = tx.Exec(ctx, `DELETE FROM factor_tries WHERE user_id = $1 AND kind = $2`, h.User, counted)
			return err
		}
		so.wrong++
		_, err = tx.Exec(ctx, `INSERT INTO factor_tries (user_id, kind, wrong, wait_until) SELECT id, $2, $3, $4 FROM users WHERE id = $1
			ON CONFLICT (user_id, kind) DO UPDATE SET wrong = excluded.wrong, wait_until = excluded.wait_until`,
			h.User, counted, so.wrong, store.Millis(now.Add(waitAfter(so.wrong))))
		return err
	})
	switch {
	case err != nil:
		return outOfReach(err)
	case wait > 0:
		f := fault.New(fault.TooMany, "too-many-codes",
			"Too many wrong codes were entered. The next one is looked at in %v.", wait.Round(time.Second))
		f.RetryAfter = wait
		return f
	case came == replayed:
		return authn.Refuse(authn.FactorUsed, "The code was used before.")
	case came == wrong:
		return authn.Refuse(authn.FactorWrong, "The code is not right.")
	}
	return nil
}
