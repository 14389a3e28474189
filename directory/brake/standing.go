package brake

import (
	"context"
	"errors"
	"time"

	"gatehouse/audit"
	"gatehouse/internal/store"
)

// State is how a tenant's brake stands.
type State string

// The states. Held comes by itself, the others from an admin, save that what was decided
// until a given time is over then, and departures count anew.
const (
	Off      State = "off"      // the tenant's settings want none
	Open     State = "open"     // departures are counted, and go through
	Held     State = "held"     // too many: none goes through until somebody decides
	Released State = "released" // all go through
	Rejected State = "rejected" // none goes through
)

// record is what is kept of a tenant's brake, in one row.
type record struct {
	state   State
	since   time.Time // it is in this state
	until   time.Time // the decision holds; zero: until the next one
	counts  time.Time // what left before does not count any more
	decided string    // who decided; empty: nobody
	event   string    // the record by which it is in this state
	token   audit.Actor
	// heldGone of heldOf people had left when it was last held by token.
	heldGone, heldOf int
	gone             int // how many rows scim_departures has
	people           int // who were active at counted, and who had left within the window
	counted          time.Time
	version          uint64 // of all but the last three
}

const recordColumns = `state, since_at, until_at, counts_at, decided_by, event_id, token_id, token_name, held_gone, held_of, gone, people, counted_at, version`

func scanRecord(row store.Row) (r record, err error) {
	var since, until, counts, counted int64
	err = row.Scan(&r.state, &since, &until, &counts, &r.decided, &r.event, &r.token.ID, &r.token.Name, &r.heldGone, &r.heldOf, &r.gone, &r.people, &counted, &r.version)
	r.since, r.until, r.counts, r.counted = store.Time(since), store.Time(until), store.Time(counts), store.Time(counted)
	return r, err
}

// load reads how the brake stands at a moment.
func load(ctx context.Context, tx *store.Tx, now time.Time) (record, error) {
	r, err := store.One(ctx, tx, scanRecord, `SELECT `+recordColumns+` FROM scim_brake WHERE id = 1`)
	if errors.Is(err, store.ErrNoRows) {
		return record{state: Open, version: 1}, nil
	}
	if err == nil && !r.until.IsZero() && !now.Before(r.until) {
		r = record{state: Open, since: r.until, counts: r.until, gone: r.gone, version: r.version + 1}
	}
	return r, err
}

func (r *record) save(ctx context.Context, tx *store.Tx) error {
	_, err := tx.Exec(ctx, `INSERT INTO scim_brake (id, `+recordColumns+`) VALUES (1, $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
		ON CONFLICT (id) DO UPDATE SET state = excluded.state, since_at = excluded.since_at, until_at = excluded.until_at,
			counts_at = excluded.counts_at, decided_by = excluded.decided_by, event_id = excluded.event_id, token_id = excluded.token_id, token_name = excluded.token_name,
			held_gone = excluded.held_gone, held_of = excluded.held_of, gone = excluded.gone, people = excluded.people,
			counted_at = excluded.counted_at, version = excluded.version`,
		r.state, store.Millis(r.since), store.Millis(r.until), store.Millis(r.counts), r.decided, r.event, r.token.ID, r.token.Name,
		r.heldGone, r.heldOf, r.gone, r.people, store.Millis(r.counted), r.version)
	return err
}

// from is since when departures count.
func (r *record) from(now time.Time, window time.Duration) time.Time {
	if from := now.Add(-window); from.After(r.counts) {
		return from
	}
	return r.counts
}

// departed counts who has left within the window. All that are kept are known by their
// number, so that only those are looked at that are to be swept.
func (r *record) departed(ctx context.Context, tx *store.Tx, from time.Time) (int, error) {
	old, err := store.One(ctx, tx, store.Scalar[int], `SELECT count(*) FROM scim_departures WHERE left_at < $1`, store.Millis(from))
	return r.gone - old, err
}

// maxSwept bounds how many one change sweeps: each makes room for more than it adds, and
// none waits for all that a large release has left behind.
const maxSwept = 5000

// sweep forgets departures that do not count any more.
func (r *record) sweep(ctx context.Context, tx *store.Tx, from time.Time) error {
	n, err := tx.Exec(ctx, `DELETE FROM scim_departures WHERE user_id IN (SELECT user_id FROM scim_departures WHERE left_at < $1 ORDER BY left_at LIMIT $2)`, store.Millis(from), maxSwept)
	r.gone -= int(n)
	return err
}

// countPeople counts those who are there, or would be if nobody had left since from: so the
// number stays the same while they leave. Who has lost their last role is there.
func (r *record) countPeople(ctx context.Context, tx *store.Tx, departed int, from, now time.Time) error {
	active, err := store.One(ctx, tx, store.Scalar[int], `SELECT count(*) FROM users WHERE active = TRUE`)
	if err != nil {
		return err
	}
	// In this form the few who have left are read first, and not everybody who is there.
	there, err := store.One(ctx, tx, store.Scalar[int], `SELECT count(*) FROM scim_departures d WHERE d.left_at >= $1 AND (SELECT u.active FROM users u WHERE u.id = d.user_id)`, store.Millis(from))
	r.people, r.counted = active+departed-there, now
	return err
}

// countEvery is how often people are counted at most, of each countEach of them: that
// takes time in proportion to how many they are.
const (
	countEvery = time.Minute
	countEach  = 100_000
)

// stale reports whether people were counted too long ago, who are counted more often
// where it may be that no more may leave.
func (r *record) stale(now time.Time, full bool) bool {
	every := countEvery
	if !full {
		every += time.Duration(r.people/countEach) * countEvery
	}
	age := now.Sub(r.counted)
	return age >= every || age < 0
}
