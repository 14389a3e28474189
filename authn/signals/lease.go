package signals

import (
	"context"
	"errors"
	"maps"
	"time"

	"gatehouse/authn"
	"gatehouse/identity"
	"gatehouse/internal/store"
)

// place is one connection of one tenant.
type place struct {
	tenant     identity.TenantID
	connection identity.ConnectionID
}

// leases say which process polls a connection. Whoever does adds a beat to its
// row now and then; whoever sees a row stand still for a lease by its own clock
// may take it over, by a step that compares the row with what was seen. Nothing
// rests on anybody's time of day. Two may poll for a moment if one of them stands
// still: a token that both get is heeded once all the same.
type leases struct {
	stores authn.Stores
	holder string // this process
	life   time.Duration
	seen   map[place]sighting // by others' rows; of [Poller.look] alone
}

// beat is what stands in a row.
type beat struct {
	holder string
	beats  int64
}

type sighting struct {
	beat
	since time.Time
}

// claim takes a place that nobody holds, or whose holder has been silent for a
// lease.
func (l *leases) claim(ctx context.Context, at place) (bool, error) {
	found, err := l.read(ctx, at)
	switch {
	case errors.Is(err, store.ErrNoRows):
		return l.change(ctx, at, `INSERT INTO signal_polls (connection_id, holder, beats) VALUES ($1, $2, 1) ON CONFLICT DO NOTHING`, at.connection, l.holder)
	case err != nil:
		return false, err
	}
	if last, ok := l.seen[at]; found.holder != l.holder && (!ok || last.beat != found) {
		l.seen[at] = sighting{found, time.Now()}
		return false, nil
	} else if found.holder != l.holder && time.Since(last.since) < l.life {
		return false, nil
	}
	delete(l.seen, at)
	return l.change(ctx, at, `UPDATE signal_polls SET holder = $1, beats = beats + 1 WHERE connection_id = $2 AND holder = $3 AND beats = $4`,
		l.holder, at.connection, found.holder, found.beats)
}

// keepSeen lets go of sightings that are of no use any more.
func (l *leases) keepSeen(wanted func(place) bool) {
	maps.DeleteFunc(l.seen, func(at place, _ sighting) bool { return !wanted(at) })
}

func (l *leases) read(ctx context.Context, at place) (found beat, err error) {
	err = l.stores.Tenant(at.tenant).Read(ctx, func(tx *store.Tx) error {
		found, err = store.One(ctx, tx, func(row store.Row) (b beat, err error) {
			err = row.Scan(&b.holder, &b.beats)
			return b, err
		}, `SELECT holder, beats FROM signal_polls WHERE connection_id = $1`, at.connection)
		return err
	})
	return found, err
}

// renew adds a beat; not if the place is another's by now.
func (l *leases) renew(ctx context.Context, at place) (bool, error) {
	return l.change(ctx, at, `UPDATE signal_polls SET beats = beats + 1 WHERE connection_id = $1 AND holder = $2`, at.connection, l.holder)
}

// release gives a place up, so that the next need not wait.
func (l *leases) release(ctx context.Context, at place) error {
	_, err := l.change(ctx, at, `DELETE FROM signal_polls WHERE connection_id = $1 AND holder = $2`, at.connection, l.holder)
	return err
}

func (l *leases) change(ctx context.Context, at place, query string, args ...any) (changed bool, err error) {
	err = l.stores.Tenant(at.tenant).Write(ctx, func(tx *store.Tx) error {
		n, err := tx.Exec(ctx, query, args...)
		changed = n > 0
		return err
	})
	return changed && err == nil, err
}
