package directory

import (
	"context"
	"strconv"
	"strings"

	"gatehouse/audit"
	"gatehouse/identity"
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
	keys []string // of their user names
}

// check refuses whose name is taken, by somebody who is there or who comes before
// them, and drops those behind the failAfter-th refusal.
func (c *creations) check(ctx context.Context, tx *store.Tx, failAfter int) error {
	taken, err := c.taken(ctx, tx)
	if err != nil {
		return err
	}
	refused := 0
	for i := range c.made {
		m := &c.made[i]
		if m.Err == nil && taken[c.keys[i]] {
			m.Err = errUserNameTaken()
		}
		if m.Err == nil {
			taken[c.keys[i]] = true
		} else if refused++; refused == failAfter {
			c.made = c.made[:i+1]
			break
		}
	}
	return nil
}

// taken are those of the keys that somebody has.
func (c *creations) taken(ctx context.Context, tx *store.Tx) (map[string]bool, error) {
	var keys []any
	for i := range c.made {
		if c.made[i].Err == nil {
			keys = append(keys, c.keys[i])
		}
	}
	taken := make(map[string]bool, len(keys))
	return taken, inPieces(keys, func(keys []any) error {
		found, err := store.All(ctx, tx, store.Scalar[string], `SELECT user_key FROM users WHERE user_key IN `+values(1, len(keys)), keys...)
		for _, key := range found {
			taken[key] = true
		}
		return err
	})
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
	do.effects = func() (made []Effect) {
		for _, i := range left {
			if m := &c.made[i]; m.Err == nil {
				made = append(made, Effect{UserAfter: &m.User})
			}
		}
		return made
	}
	do.write = func(ctx context.Context, tx *store.Tx) error {
		people := make([]newcomer, len(left))
		for n, i := range left {
			people[n] = newcomer{&c.made[i].User, c.keys[i]}
		}
		there, err := insertUsers(ctx, tx, people)
		if err != nil {
			return err
		}
		for n, i := range left {
			if m := &c.made[i]; !there[m.User.ID] { // another node was faster
				m.Err, do.unmade = errUserNameTaken(), append(do.unmade, do.events[n])
			}
		}
		return nil
	}
	return do
}

// inPieces does something with a list in pieces of 64, 32, 16 and so on: of so few
// sizes that a database remembers what it is asked.
func inPieces[T any](list []T, do func([]T) error) error {
	for size := 64; len(list) > 0; {
		if len(list) < size {
			size /= 2
			continue
		}
		if err := do(list[:size]); err != nil {
			return err
		}
		list = list[size:]
	}
	return nil
}

// values are the parameters of so many rows.
func values(rows, columns int) string {
	var b strings.Builder
	for i := range rows * columns {
		switch {
		case i == 0:
			b.WriteByte('(')
		case i%columns == 0:
			b.WriteString("), (")
		default:
			b.WriteString(", ")
		}
		b.WriteString("$" + strconv.Itoa(i+1))
	}
	b.WriteByte(')')
	return b.String()
}
