package mfa

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"gatehouse/audit"
	"gatehouse/authn"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/internal/store"
)

const (
	// MaxFactors is how many factors a person has at most.
	MaxFactors = 10
	// MaxName bounds the name of a factor, in characters.
	MaxName = 60
	// effectTime bounds what follows a journalled change, which goes on when its
	// caller goes away.
	effectTime = 10 * time.Second
	// sealPurpose keeps what is sealed here apart from every other use of the key,
	// and the factors from one another.
	sealPurpose = "authn.factor."
)

// Config is what a [Service] works with.
type Config struct {
	Store   authn.Stores
	Keys    authn.Keys
	Journal audit.Recorder
	// Now is the clock; nil means [time.Now].
	Now func() time.Time
}

// Service keeps and verifies the factors of every tenant.
type Service struct {
	store   authn.Stores
	keys    authn.Keys
	journal audit.Recorder
	now     func() time.Time
}

var _ authn.Factors = (*Service)(nil)

// New makes the service.
func New(c Config) *Service {
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Service{store: c.Store, keys: c.Keys, journal: c.Journal, now: c.Now}
}

var (
	errNoFactor = fault.New(fault.NotFound, "no-such-factor", "There is no such second factor. It may have been removed already.")
	errFull     = fault.New(fault.Conflict, "too-many-factors", "There are %d second factors already, which is as many as a person has. Remove one first.", MaxFactors)
	errNotFirst = fault.New(fault.Denied, "factor-exists", "There is a second factor by now. Show it to add another.")
	errLast     = fault.New(fault.Conflict, "last-factor", "Your organisation asks for a second factor, so the last one stays. Add another one first.")
	errName     = fault.New(fault.Invalid, "bad-name", "A name is one line of up to %d characters.", MaxName)
)

// outOfReach makes what is no answer of ours the fault of a store that is away.
func outOfReach(err error) error {
	if _, ok := errors.AsType[*authn.Refusal](err); ok {
		return err
	}
	return fault.OutOfReach(err, "store-unavailable", "Second factors cannot be looked at right now. Try again in a moment.")
}

// Held implements [authn.Factors].
func (s *Service) Held(ctx context.Context, tenant identity.TenantID, user identity.UserID) (held authn.Held, err error) {
	err = s.store.Tenant(tenant).Read(ctx, func(tx *store.Tx) error {
		rows, err := factorsOf(ctx, tx, user)
		if err != nil {
			return err
		}
		for i := range rows {
			held.Factors = append(held.Factors, rows[i].Factor)
		}
		held.RecoveryCodes, err = store.One(ctx, tx, store.Scalar[int], `SELECT count(*) FROM recovery_codes WHERE user_id = $1`, user)
		return err
	})
	return held, outOfReach(err)
}

// Rename implements [authn.Factors].
func (s *Service) Rename(ctx context.Context, cause audit.Cause, h authn.Holder, id, name string) error {
	name, err := checkName(name)
	if err != nil {
		return err
	}
	f, err := s.factor(ctx, h, id)
	if err != nil || f.Name == name {
		return err
	}
	event := about(cause, audit.FactorRenamed, h, f.Factor)
	event.Target.Name, event.Details["before"] = name, f.Name
	return s.change(ctx, event, func(ctx context.Context, tx *store.Tx) error {
		n, err := tx.Exec(ctx, `UPDATE factors SET name = $1 WHERE id = $2 AND user_id = $3`, name, id, h.User)
		if err == nil && n == 0 {
			err = errNoFactor
		}
		return err
	})
}

// Remove implements [authn.Factors]. With the last factor the recovery codes go.
func (s *Service) Remove(ctx context.Context, cause audit.Cause, h authn.Holder, id string, keepLast bool, may authn.MayKeep) error {
	var f authn.Factor
	var keeps []authn.Factor
	look := func(ctx context.Context, tx *store.Tx) (err error) {
		if f, keeps, err = without(ctx, tx, h.User, id); err != nil {
			return err
		}
		if keepLast && len(keeps) == 0 {
			return errLast
		}
		if may == nil {
			return nil
		}
		return may(ctx, tx, keeps)
	}
	if err := s.store.Tenant(h.Tenant).Read(ctx, func(tx *store.Tx) error { return look(ctx, tx) }); err != nil {
		return outOfReach(err)
	}
	e := about(cause, audit.FactorRemoved, h, f)
	if _, err := s.journal.Commit(ctx, e); err != nil {
		return err
	}
	err := s.effect(ctx, h.Tenant, func(ctx context.Context, tx *store.Tx) error {
		if err := look(ctx, tx); err != nil { // others may have gone since
			return err
		}
		if _, err := tx.Exec(ctx, `DELETE FROM factors WHERE id = $1 AND user_id = $2`, id, h.User); err != nil || len(keeps) > 0 {
			return err
		}
		_, err := tx.Exec(ctx, `DELETE FROM recovery_codes WHERE user_id = $1`, h.User)
		return err
	})
	if err != nil {
		e.Outcome, e.Reason, e.Message = audit.Failed, "not-removed", "What an earlier record of this request announced has not come about, and with it nothing has."
		_, _ = s.journal.Commit(context.WithoutCancel(ctx), e) // the caller reports the failure that matters
	}
	return err
}

// without gives one of a person's factors, and what they have beside it.
func without(ctx context.Context, tx *store.Tx, user identity.UserID, id string) (f authn.Factor, keeps []authn.Factor, err error) {
	all, err := factorsOf(ctx, tx, user)
	if err != nil {
		return f, nil, err
	}
	for i := range all {
		if all[i].ID == id {
			f = all[i].Factor
		} else {
			keeps = append(keeps, all[i].Factor)
		}
	}
	if f.ID == "" {
		return f, nil, errNoFactor
	}
	return f, keeps, nil
}

// Reset removes all that a person has, for an admin. Their sessions are for the
// caller to end. It answers how many factors there were, and may be repeated.
func (s *Service) Reset(ctx context.Context, cause audit.Cause, tenant identity.TenantID, user identity.UserID) (int, error) {
	held, err := s.Held(ctx, tenant, user)
	if err != nil {
		return 0, err
	}
	var name string
	err = s.store.Tenant(tenant).Read(ctx, func(tx *store.Tx) (err error) {
		name, err = store.One(ctx, tx, store.Scalar[string], `SELECT user_name FROM users WHERE id = $1`, user)
		return err
	})
	if errors.Is(err, store.ErrNoRows) {
		return 0, fault.New(fault.NotFound, "no-such-user", "There is no such person.")
	}
	if err != nil {
		return 0, outOfReach(err)
	}
	event := cause.Event(tenant, audit.FactorsReset, audit.Success)
	event.Target = audit.Target{Kind: "user", ID: string(user), Name: name}
	event.Details = map[string]string{"factors": fmt.Sprint(len(held.Factors))}
	return len(held.Factors), s.change(ctx, event, func(ctx context.Context, tx *store.Tx) error {
		return dropAll(ctx, tx, user)
	})
}

// change writes down what is about to change, and then changes it, even if the
// caller goes away.
func (s *Service) change(ctx context.Context, e audit.Event, effect func(context.Context, *store.Tx) error) error {
	if _, err := s.journal.Commit(ctx, e); err != nil {
		return err
	}
	return s.effect(ctx, e.Tenant, effect)
}

func (s *Service) effect(ctx context.Context, tenant identity.TenantID, effect func(context.Context, *store.Tx) error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), effectTime)
	defer cancel()
	return outOfReach(s.store.Tenant(tenant).Write(ctx, func(tx *store.Tx) error { return effect(ctx, tx) }))
}

// about begins the event of a change to a factor.
func about(cause audit.Cause, t audit.Type, h authn.Holder, f authn.Factor) audit.Event {
	e := cause.Event(h.Tenant, t, audit.Success)
	e.Target = audit.Target{Kind: "factor", ID: f.ID, Name: f.Name}
	e.Details = map[string]string{"kind": string(f.Kind)}
	if f.Host != "" {
		e.Details["rp_id"] = f.Host
	}
	return e
}

// factor gives one of a person's factors.
func (s *Service) factor(ctx context.Context, h authn.Holder, id string) (row, error) {
	all, err := s.rows(ctx, h)
	if err != nil {
		return row{}, err
	}
	for _, f := range all {
		if f.ID == id {
			return f, nil
		}
	}
	return row{}, errNoFactor
}

func (s *Service) rows(ctx context.Context, h authn.Holder) (rows []row, err error) {
	err = s.store.Tenant(h.Tenant).Read(ctx, func(tx *store.Tx) (err error) {
		rows, err = factorsOf(ctx, tx, h.User)
		return err
	})
	return rows, outOfReach(err)
}

// checkName gives the name of a factor as it is kept.
func checkName(name string) (string, error) {
	name = strings.TrimSpace(name)
	if name == "" || !utf8.ValidString(name) || utf8.RuneCountInString(name) > MaxName || strings.ContainsFunc(name, unicode.IsControl) {
		return "", errName
	}
	return name, nil
}

// newID makes the id of a factor: 128 random bits.
func newID() string { return "fac_" + strings.ToLower(rand.Text()) }

func hash(parts ...string) []byte {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return sum[:]
}
