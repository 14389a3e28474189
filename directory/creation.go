package directory

import (
	"context"
	"errors"

	"gatehouse/audit"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/internal/store"
)

// Creation is what became of one of several people who were to be added.
type Creation struct {
	User User
	Err  error // as of [Service.CreateUser]; the person is not there
}

// CreateUsers adds people as [Service.CreateUser] does, each of them wholly or not
// at all and with a record of their own, but with one wait for the journal and in
// one transaction. Who is refused takes nobody else along, unless it is the
// failAfter-th (0: any number may be): those behind are left out of the answer.
func (s *Service) CreateUsers(ctx context.Context, cause audit.Cause, tenant identity.TenantID, people []User, failAfter int) []Creation {
	c := creations{made: make([]Creation, len(people)), keys: make([]string, len(people))}
	for i, u := range people {
		c.keys[i], c.made[i].Err = u.canonicalise()
		c.made[i].User = u
	}
	err := s.change(ctx, tenant, func(tx *store.Tx) (*step, error) {
		if err := c.check(ctx, tx, failAfter); err != nil {
			return nil, err
		}
		return c.step(cause, tenant), nil
	})
	if len(c.late) > 0 && (err == nil || errors.Is(err, errUntold)) {
		ctx, cancel := effect(ctx)
		defer cancel()
		s.recordFailure(ctx, c.late)
	}
	for i := range c.made {
		if c.made[i].Err == nil {
			c.made[i].Err = err
		}
	}
	return c.made
}

// creations are people on their way into the directory.
type creations struct {
	made []Creation
	keys []string      // of their user names
	late []audit.Event // of those whose name was taken after the record
}

// check refuses whose name is taken, by somebody who is there or who comes before
// them, and drops those behind the failAfter-th refusal.
func (c *creations) check(ctx context.Context, tx *store.Tx, failAfter int) error {
	wanted, refused := make(map[string]bool, len(c.made)), 0
	for i := range c.made {
		m := &c.made[i]
		if m.Err == nil {
			m.Err = checkFree(ctx, tx, "users", "user_key", c.keys[i], "", errUserNameTaken())
			if m.Err != nil && !fault.Is(m.Err, fault.Conflict) {
				return m.Err
			}
		}
		if m.Err == nil && wanted[c.keys[i]] {
			m.Err = errUserNameTaken()
		}
		if m.Err == nil {
			wanted[c.keys[i]] = true
		} else if refused++; refused == failAfter {
			c.made = c.made[:i+1]
			break
		}
	}
	return nil
}

// step adds those who are not refused; nil if nobody is left.
func (c *creations) step(cause audit.Cause, tenant identity.TenantID) *step {
	do := &step{}
	var left []int
	at := now()
	for i := range c.made {
		if m := &c.made[i]; m.Err == nil {
			u := &m.User
			u.ID, u.Version, u.CreatedAt, u.UpdatedAt, u.Groups = identity.NewUserID(), 1, at, at, nil
			do.events = append(do.events, userCreated(cause, tenant, u))
			left = append(left, i)
		}
	}
	if len(left) == 0 {
		return nil
	}
	do.write = func(ctx context.Context, tx *store.Tx) error {
		for n, i := range left {
			m := &c.made[i]
			err := insertUser(ctx, tx, &m.User, c.keys[i])
			if fault.Is(err, fault.Conflict) { // another node was faster
				m.Err, c.late, err = err, append(c.late, do.events[n]), nil
			}
			if err != nil {
				return err
			}
		}
		return nil
	}
	return do
}
