package directory

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"gatehouse/audit"
	"gatehouse/identity"
	"gatehouse/internal/store"
)

// Past is what this node has recorded ([Config.Past]); the journal is it.
type Past interface {
	// Node is this node's name.
	Node() string
	// Last is the number of its newest record of a tenant.
	Last(tenant identity.TenantID) (uint64, error)
	// Recent gives its records behind the one of this number, as far back as the death
	// of a process can have left one without its effect.
	Recent(ctx context.Context, tenant identity.TenantID, after uint64) iter.Seq2[audit.Event, error]
}

// marks say, in SQL, up to which of a node's records the changes that they tell of are
// made: each change moves its mark in its own transaction. One change of a tenant is
// made at a time, so what is recorded behind the mark is what a process was about to do
// when it died.
type marks struct {
	past Past // nil: there are none

	mu     sync.Mutex
	agreed map[identity.TenantID]struct{} // whose records and marks agree
}

// doubt has a tenant's records be looked at before anything more is changed.
func (m *marks) doubt(tenant identity.TenantID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.agreed, tenant)
}

func (m *marks) agrees(tenant identity.TenantID) bool {
	if m.past == nil {
		return true
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	_, ok := m.agreed[tenant]
	return ok
}

func (m *marks) settle(tenant identity.TenantID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.agreed == nil {
		m.agreed = map[identity.TenantID]struct{}{}
	}
	m.agreed[tenant] = struct{}{}
}

// put moves the mark behind a change, in its transaction.
func (m *marks) put(ctx context.Context, tx *store.Tx, do *step) error {
	if m.past == nil || len(do.events) == 0 {
		return nil
	}
	at := mark{seq: do.events[len(do.events)-1].Seq}
	for _, e := range do.unmade {
		at.unmade = append(at.unmade, e.Seq)
	}
	return at.write(ctx, tx, m.past.Node())
}

// mark is up to which record changes are made, and which of the last were not.
type mark struct {
	seq    uint64
	unmade []uint64
}

func (m *mark) write(ctx context.Context, tx *store.Tx, node string) error {
	unmade := make([]string, len(m.unmade))
	for i, seq := range m.unmade {
		unmade[i] = strconv.FormatUint(seq, 10)
	}
	_, err := tx.Exec(ctx, `INSERT INTO directory_marks (node, seq, unmade, moved_at) VALUES ($1, $2, $3, $4)
		ON CONFLICT (node) DO UPDATE SET seq = excluded.seq, unmade = excluded.unmade, moved_at = excluded.moved_at`,
		node, int64(m.seq), strings.Join(unmade, " "), store.Millis(now())) // #nosec G115 -- a count
	return err
}

const (
	// marksKept is for how long the mark of another node is kept that has not moved, and
	// maxMarks how many are: where every start has another name, each leaves one.
	marksKept = 90 * 24 * time.Hour
	maxMarks  = 200
)

// prune removes the marks of nodes that are not there any more. One that is all the same
// makes its mark again with its next change.
func (m *marks) prune(ctx context.Context, tx *store.Tx) error {
	_, err := tx.Exec(ctx, `DELETE FROM directory_marks WHERE node <> $1 AND (moved_at > 0 AND moved_at < $2
		OR node NOT IN (SELECT node FROM directory_marks ORDER BY moved_at DESC, node LIMIT `+strconv.Itoa(maxMarks)+`))`,
		m.past.Node(), store.Millis(now().Add(-marksKept)))
	return err
}

func scanMark(row store.Row) (m mark, err error) {
	var seq int64
	var unmade string
	if err := row.Scan(&seq, &unmade); err != nil {
		return m, err
	}
	m.seq = uint64(max(seq, 0)) // #nosec G115 -- not negative
	for field := range strings.FieldsSeq(unmade) {
		seq, err := strconv.ParseUint(field, 10, 64)
		if err != nil {
			return m, fmt.Errorf("directory: a mark: %w", err)
		}
		m.unmade = append(m.unmade, seq)
	}
	return m, nil
}

// read gives the mark as it is once no transaction of a process that died is under way
// any more, and makes the first: what was recorded before there were marks is not
// looked at. So it is where the journal does not reach the mark, being another one.
func (m *marks) read(ctx context.Context, st store.Tenant, tenant identity.TenantID) (at mark, err error) {
	last, err := m.past.Last(tenant)
	if err != nil {
		return at, err
	}
	err = st.Write(ctx, func(tx *store.Tx) error { // writers of a tenant come one after the other
		at, err = store.One(ctx, tx, scanMark, `SELECT seq, unmade FROM directory_marks WHERE node = $1`, m.past.Node())
		if err != nil && !errors.Is(err, store.ErrNoRows) {
			return err
		}
		if err != nil || at.seq > last {
			at = mark{seq: last}
		}
		if err := at.write(ctx, tx, m.past.Node()); err != nil {
			return err
		}
		return m.prune(ctx, tx)
	})
	return at, err
}

// Reconcile says, by a second record with the outcome failed, which changes of a
// tenant's directory this node has recorded and not made when its process died. It is
// for the start; without it that is done before the next change. It may be repeated.
func (s *Service) Reconcile(ctx context.Context, tenant identity.TenantID) error {
	done, err := s.changes.Take(ctx, tenant)
	if err != nil {
		return err
	}
	defer done()
	return s.agree(ctx, tenant)
}

// agree is [Service.Reconcile] for who has the tenant's turn.
func (s *Service) agree(ctx context.Context, tenant identity.TenantID) error {
	if s.marks.agrees(tenant) {
		return nil
	}
	at, err := s.marks.read(ctx, s.store.Tenant(tenant), tenant)
	if err != nil {
		return fmt.Errorf("directory: read the mark: %w", err)
	}
	unmade, known := s.unmade(ctx, tenant, at)
	if err := ctx.Err(); err != nil {
		return err
	}
	if !known {
		unmade = nil
	}
	for i := range unmade {
		unmade[i].Outcome, unmade[i].Reason = audit.Failed, "interrupted"
		unmade[i].Message = "The change was announced by an earlier record, but the gateway was stopped before it was made."
	}
	if len(unmade) > 0 {
		if err := audit.CommitAll(ctx, s.journal, unmade); err != nil {
			return fmt.Errorf("directory: journal: %w", err)
		}
	}
	s.marks.settle(tenant)
	return nil
}

// unmade gives the records of changes that were not made, and of which that has not been
// said. They are of one change; if they are not, then SQL was put back to an
// earlier state, by which they were undone and not left out: known is false.
func (s *Service) unmade(ctx context.Context, tenant identity.TenantID, at mark) (open []audit.Event, known bool) {
	after := at.seq
	if len(at.unmade) > 0 {
		after = slices.Min(at.unmade) - 1
	}
	for e, err := range s.marks.past.Recent(ctx, tenant, after) {
		if err != nil || !ours(e.Type) {
			continue // what cannot be read is for the journal's own verification
		}
		switch {
		case e.Outcome == audit.Failed:
			for i := len(open) - 1; i >= 0; i-- {
				if o := &open[i]; o.Type == e.Type && o.Target.ID == e.Target.ID && o.RequestID == e.RequestID {
					open = slices.Delete(open, i, i+1)
					break
				}
			}
		case e.Outcome == audit.Success && (e.Seq > at.seq || slices.Contains(at.unmade, e.Seq)):
			if len(open) > 0 && (open[0].RequestID != e.RequestID || open[0].Actor != e.Actor) {
				return nil, false
			}
			open = append(open, e)
		}
	}
	return open, true
}

// ours reports whether events of a type are recorded here, and nowhere else.
func ours(t audit.Type) bool {
	switch t {
	case audit.UserCreated, audit.UserChanged, audit.UserDeactivated, audit.UserActivated, audit.UserDeleted, audit.UserErased,
		audit.GroupCreated, audit.GroupChanged, audit.GroupDeleted,
		audit.TeamCreated, audit.TeamChanged, audit.TeamDeleted,
		audit.IdentityLinked, audit.IdentityUnlinked:
		return true
	}
	return false
}
