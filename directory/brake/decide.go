package brake

import (
	"cmp"
	"context"
	"fmt"
	"strconv"
	"time"

	"gatehouse/audit"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/internal/store"
)

// Standing is how a tenant's brake stands.
type Standing struct {
	State State
	Since time.Time // zero: ever since
	Until time.Time // the decision holds; zero: until the next one
	// Departures of so many People count, of which Limit may: those within the window, or
	// since a release; while it is held, as it was when that began.
	Departures, People, Limit int
	Rules                     Rules
	// Token has brought it about that it is held, or was before somebody decided.
	Token     audit.Actor
	DecidedBy string
	Event     identity.EventID // the record by which it is in this state
	Version   uint64
}

// Standing tells how the brake of a tenant stands.
func (s *Service) Standing(ctx context.Context, tenant identity.TenantID) (Standing, error) {
	rules := s.rules(tenant)
	var shown Standing
	err := s.store.Tenant(tenant).Read(ctx, func(tx *store.Tx) error {
		r, err := load(ctx, tx, s.now())
		if err == nil {
			shown, err = s.show(ctx, tx, tenant, r, rules)
		}
		return err
	})
	return shown, err
}

// show makes a standing of what is kept.
func (s *Service) show(ctx context.Context, tx *store.Tx, tenant identity.TenantID, r record, rules Rules) (Standing, error) {
	s.know(tenant, &r, rules)
	now := s.now()
	from := r.from(now, rules.Window)
	departed, err := r.departed(ctx, tx, from)
	if err != nil {
		return Standing{}, err
	}
	if s.recall(tenant, &r); r.state != Held && r.stale(now, false) {
		if err := r.countPeople(ctx, tx, departed, from, now); err != nil {
			return Standing{}, err
		}
		s.remember(tenant, &r)
	}
	shown := Standing{State: r.state, Since: r.since, Until: r.until, Departures: departed, People: r.people, Rules: rules,
		Token: r.token, DecidedBy: r.decided, Event: identity.EventID(r.event), Version: r.version}
	switch {
	case rules.Off:
		shown.State = Off
	case r.state == Held:
		shown.Departures, shown.People = r.heldGone, r.heldOf
	}
	shown.Limit = rules.limit(shown.People)
	return shown, nil
}

// maxDecision is how long a decision may hold that is given a time.
const maxDecision = 7 * 24 * time.Hour

// Release lets everybody leave until a time, at most a week from now; zero: for one
// window from now. Departures count anew after that. ifVersion, unless 0, must be the
// present version, here and below (fault Precondition).
func (s *Service) Release(ctx context.Context, cause audit.Cause, tenant identity.TenantID, ifVersion uint64, until time.Time) (Standing, error) {
	now := s.now()
	if until.IsZero() {
		until = now.Add(s.rules(tenant).Window)
	}
	return s.decide(ctx, cause, tenant, ifVersion, audit.BrakeReleased, Released, now, until)
}

// Reject lets nobody leave until a time, at most a week from now; zero: until somebody
// decides otherwise.
func (s *Service) Reject(ctx context.Context, cause audit.Cause, tenant identity.TenantID, ifVersion uint64, until time.Time) (Standing, error) {
	return s.decide(ctx, cause, tenant, ifVersion, audit.BrakeRejected, Rejected, s.now(), until)
}

// Reset takes back what was decided, or that it is held: departures count anew.
func (s *Service) Reset(ctx context.Context, cause audit.Cause, tenant identity.TenantID, ifVersion uint64) (Standing, error) {
	return s.decide(ctx, cause, tenant, ifVersion, audit.BrakeReset, Open, s.now(), time.Time{})
}

// decide keeps what somebody has decided, once it is recorded.
func (s *Service) decide(ctx context.Context, cause audit.Cause, tenant identity.TenantID, ifVersion uint64, what audit.Type, state State, now, until time.Time) (shown Standing, err error) {
	if until = until.UTC().Truncate(time.Millisecond); !until.IsZero() && (!until.After(now) || until.After(now.Add(maxDecision))) {
		return Standing{}, fault.New(fault.Invalid, "bad-until", "until lies in the future, and at most %d days from now.", int(maxDecision/(24*time.Hour)))
	}
	rules := s.rules(tenant)
	if rules.Off {
		return Standing{}, fault.New(fault.Conflict, "brake-off", "The tenant's settings have the brake off, so there is nothing to decide.")
	}
	var before Standing
	err = s.store.Tenant(tenant).Read(ctx, func(tx *store.Tx) error {
		r, err := current(ctx, tx, now, ifVersion)
		if err == nil {
			before, err = s.show(ctx, tx, tenant, r, rules)
		}
		return err
	})
	if err != nil {
		return Standing{}, err
	}
	e := cause.Event(tenant, what, audit.Success)
	if before.Token.ID != "" {
		e.Target = audit.Target{Kind: "token", ID: before.Token.ID, Name: before.Token.Name}
	}
	e.Details = map[string]string{"departures": strconv.Itoa(before.Departures), "people": strconv.Itoa(before.People)}
	if !until.IsZero() {
		e.Details["until"] = until.Format(time.RFC3339)
	}
	receipt, err := s.journal.Commit(ctx, e)
	if err != nil {
		return Standing{}, fmt.Errorf("brake: journal %s: %w", e.Type, err)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), effectTime)
	defer cancel()
	err = s.store.Tenant(tenant).Write(ctx, func(tx *store.Tx) error {
		r, err := current(ctx, tx, now, ifVersion)
		if err != nil {
			return err
		}
		r.state, r.since, r.until = state, now, until
		r.decided, r.event = cmp.Or(cause.Actor.Name, cause.Actor.ID), string(receipt.Event())
		if r.version++; state != Rejected {
			r.counts, r.counted = now, time.Time{} // of how many, is asked anew
		}
		if state == Open {
			r.token, r.heldGone, r.heldOf = audit.Actor{}, 0, 0
		}
		if err := r.save(ctx, tx); err != nil {
			return err
		}
		shown, err = s.show(ctx, tx, tenant, r, rules)
		return err
	})
	if err != nil {
		e.Outcome, e.Reason = audit.Failed, "store-failed"
		e.Message = "The decision was announced by an earlier record of this request, but could not be stored."
		_, _ = s.journal.Commit(ctx, e) // the caller already reports the failure that matters
		return Standing{}, fmt.Errorf("brake: decide: %w", err)
	}
	lasting, cancel := context.WithTimeout(context.WithoutCancel(ctx), effectTime)
	defer cancel()
	s.decided(lasting, tenant)
	return shown, nil
}

// current loads what is kept, if it is of this version.
func current(ctx context.Context, tx *store.Tx, now time.Time, ifVersion uint64) (record, error) {
	r, err := load(ctx, tx, now)
	if err == nil && ifVersion != 0 && ifVersion != r.version {
		err = fault.New(fault.Precondition, "changed-meanwhile", "It was changed since you read it. Read it again and repeat your change.")
	}
	return r, err
}
