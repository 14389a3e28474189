package sessions

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"gatehouse/audit"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/internal/store"
)

// Unsettled is a revocation that holds on every node and is in the journal, while
// SQL, which could not be reached, has not got it. Every node that has heard of it
// writes it to SQL as soon as that is back; doing so again changes nothing.
type Unsettled struct {
	ID     string            `json:"id"`
	Tenant identity.TenantID `json:"tenant"`
	// Selector has an Until: who signs in after it is spared, however late SQL gets
	// it.
	Selector Selector         `json:"selector"`
	Reason   string           `json:"reason"`
	Event    identity.EventID `json:"event,omitempty"` // the revocation's record
}

const (
	// sqlTime is how long a revocation waits for SQL before it goes on without, and
	// sqlAgain how long at its end, to see whether SQL is back.
	sqlTime  = 5 * time.Second
	sqlAgain = time.Second
	// settleEvery is how often SQL is tried again. Who lives by SQL relies on it only
	// a lease after it has come back (package cluster), and by then it must have got
	// what is owed.
	settleEvery = 250 * time.Millisecond
	// clocksDiffer is by how much the clocks of two nodes may differ at most for a
	// revocation to end what was begun before it on another. Who signs in so soon
	// after it, while SQL has not got it, has to do so once more.
	clocksDiffer = time.Minute
	// settlers is how many tenants' revocations are written at a time.
	settlers = 8
	// MaxUnsettled bounds how many revocations of one tenant a node goes by without
	// SQL; one more fails.
	MaxUnsettled = 1000
)

var errOwesTooMuch = errors.New("sessions: too many revocations wait for SQL")

// outOfReach reports whether SQL is not there, as opposed to refusing something.
func outOfReach(err error) bool {
	return fault.Is(err, fault.Unavailable) || errors.Is(err, context.DeadlineExceeded)
}

// without has a revocation hold everywhere although SQL has not got it: journal,
// this node's disk, every node, in this order. From then on whatever SQL says of
// the sessions counts on no node, and SQL is told as soon as it is back, by this
// node after a crash as well.
func (s *Service) without(ctx context.Context, cause audit.Cause, tenant identity.TenantID, sel Selector, reason string, of identity.EventID) (Unsettled, error) {
	sel.Until = time.Now().UTC().Add(clocksDiffer).Truncate(time.Millisecond)
	u := Unsettled{ID: rand.Text(), Tenant: tenant, Selector: sel, Reason: reason, Event: of}
	event := revocationEvent(cause, tenant, sel, reason)
	event.Type, event.Reason = audit.RevocationDeferred, "database-unreachable"
	event.Message = "The database cannot be reached. The revocation holds on every node, and is written to the database when it is back."
	event.Details = map[string]string{"revocation": string(of)}
	if _, err := s.journal.Commit(ctx, event); err != nil {
		return u, err
	}
	if err := s.debts.add(ctx, u); err != nil {
		return u, err
	}
	return u, s.registry.Withhold(ctx, u)
}

// withoutTo brings a revocation that went on without SQL to its end. If SQL is back
// by now, some node may have asked it before it was told: then it is told first,
// and the nodes once more after that. inSQL says whether it was. A SQL that answers
// and does not take it in time leaves the revocation unconfirmed.
func (s *Service) withoutTo(ctx context.Context, u Unsettled) (rows []endedRow, ended Ended, inSQL bool, err error) {
	// Also if the time for all of it is over: a SQL that was not asked may be back.
	brief, cancel := context.WithTimeout(context.WithoutCancel(ctx), sqlAgain)
	defer cancel()
	rows, err = s.endInSQL(brief, u.Tenant, u.Selector, u.Reason)
	if outOfReach(err) && (!s.registry.Partial() || !s.answers(ctx, u.Tenant)) {
		return nil, Ended{}, false, nil
	}
	if err != nil {
		return nil, Ended{}, false, err
	}
	ended, err = s.registry.End(ctx, u.Tenant, u.Selector, hashesOf(rows), u.Reason)
	if err == nil {
		err = s.settled(ctx, u, alone(rows))
	}
	return rows, ended, true, err
}

// answers reports whether SQL answers, though it may take nothing: then a node that
// has heard of nothing else may live by what it says.
func (s *Service) answers(ctx context.Context, tenant identity.TenantID) bool {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), sqlAgain)
	defer cancel()
	return s.store.Tenant(tenant).Read(ctx, func(tx *store.Tx) error {
		_, err := store.One(ctx, tx, store.Scalar[int], `SELECT 1`)
		return err
	}) == nil
}

// Unsettled is how many revocations hold on this node that it does not know SQL
// to have got.
func (s *Service) Unsettled() int { return len(s.owed()) }

// owed are those that this node has made and those that it has heard of.
func (s *Service) owed() []Unsettled {
	all := map[string]Unsettled{}
	for _, u := range append(s.registry.Withheld(), s.debts.known()...) {
		all[u.ID] = u
	}
	return slices.SortedFunc(maps.Values(all), func(a, b Unsettled) int { return cmp.Compare(a.ID, b.ID) })
}

// settleAlways writes to SQL what it is owed, until ctx is done.
func (s *Service) settleAlways(ctx context.Context) {
	tick := time.NewTicker(settleEvery)
	defer tick.Stop()
	trouble := ""
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		was := trouble
		if err := s.settleAll(ctx); err == nil {
			trouble = ""
		} else if trouble = err.Error(); trouble != was && ctx.Err() == nil {
			s.log.Warn("revocations hold on the nodes, and wait to be written to the database", "error", err)
		}
	}
}

// settleAll goes through several tenants at a time: one whose writes are held up
// holds up no other's.
func (s *Service) settleAll(ctx context.Context) error {
	of := map[identity.TenantID][]Unsettled{}
	unread := s.debts.readAll(ctx)
	for _, u := range s.owed() {
		of[u.Tenant] = append(of[u.Tenant], u)
	}
	var group errgroup.Group
	group.SetLimit(settlers)
	for tenant, owed := range of {
		group.Go(func() error {
			for _, u := range owed {
				if err := s.settle(ctx, u); err != nil {
					return fmt.Errorf("tenant %s: %w", tenant, err)
				}
			}
			return nil
		})
	}
	return errors.Join(unread, group.Wait())
}

// settle writes a revocation to SQL, and has the nodes forget that it was not
// there.
func (s *Service) settle(ctx context.Context, u Unsettled) error {
	ctx, cancel := context.WithTimeout(ctx, u.Selector.effectTime())
	defer cancel()
	rows, err := s.endInSQL(ctx, u.Tenant, u.Selector, u.Reason)
	if len(rows) > 0 { // also if there are more
		// Who has not heard of it may have found them in SQL meanwhile.
		_, failed := s.registry.End(ctx, u.Tenant, u.Selector, hashesOf(rows), u.Reason)
		told := failed == nil || errors.Is(failed, ErrNotLoaded)
		if !told {
			s.log.Warn("the nodes were not told that the database has got a revocation", "tenant", u.Tenant, "error", failed)
		}
		s.debts.ended(u, told && alone(rows))
	}
	if err != nil {
		return err
	}
	return s.settled(ctx, u, s.debts.endedAll(u))
}

// alone reports whether these are all that a revocation has ended in SQL. Every node
// that withholds it writes it: what takes more than one statement may be shared out
// among them, and what is none another has ended, who may not be done with them yet.
func alone(rows []endedRow) bool { return len(rows) > 0 && len(rows) < endBatch }

// settled notes that SQL has got a revocation; ended says that the nodes know all
// that it has ended there.
func (s *Service) settled(ctx context.Context, u Unsettled, ended bool) error {
	if s.debts.has(u) {
		event := revocationEvent(audit.SystemCause(), u.Tenant, u.Selector, u.Reason)
		event.Type, event.Reason = audit.RevocationSettled, ""
		event.Message = "The database has got a revocation that was made while it could not be reached."
		event.Details = map[string]string{"revocation": string(u.Event)}
		if _, err := s.journal.Commit(ctx, event); err != nil {
			return err
		}
		if err := s.debts.remove(ctx, u); err != nil {
			return err
		}
	}
	s.registry.Settled(u, ended)
	return nil
}

// settleFirst writes to SQL what this node owes it of a tenant, before the
// tenant's sessions are read from there; what it ended is to be ended in the
// registry, too.
func (s *Service) settleFirst(ctx context.Context, tenant identity.TenantID) (ended []endedDebt, err error) {
	owed, err := s.debts.of(ctx, tenant)
	for _, u := range owed {
		rows, err := s.endInSQL(ctx, tenant, u.Selector, u.Reason)
		if err != nil {
			return nil, err
		}
		if len(rows) > 0 {
			ended = append(ended, endedDebt{u, rows})
		}
	}
	return ended, err
}

// endedDebt is what a revocation has ended in SQL.
type endedDebt struct {
	Unsettled
	rows []endedRow
}
