package sessions

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"gatehouse/identity"
	"gatehouse/internal/store"
)

// MaxAsked is the most sessions that [Record.Which] is asked for at once.
const MaxAsked = 500

// Record is what SQL knows of the live sessions, for registries that do not hold
// them all.
type Record struct{ store Stores }

// NewRecord makes the record of these tenants.
func NewRecord(s Stores) *Record { return &Record{store: s} }

// Live gives the live session with this token hash; nil if there is none.
func (r *Record) Live(ctx context.Context, tenant identity.TenantID, hash TokenHash) (live *Live, err error) {
	err = r.store.Tenant(tenant).Read(ctx, func(tx *store.Tx) (err error) {
		live, err = store.One(ctx, tx, scanLive(tenant), `SELECT `+sessionColumns+`, s.token_hash, d.token_hash`+fromLive+`s.token_hash = $1`, hash[:])
		return err
	})
	if errors.Is(err, store.ErrNoRows) {
		return nil, nil
	}
	return live, err
}

// Place is where a reading of a tenant's live sessions goes on: after the session
// that was made then and has this id. They are read in this order; the zero Place
// is before all.
type Place struct {
	CreatedAt time.Time
	ID        identity.SessionID
}

// After gives the live sessions among the first so many after a place, and the
// place of the last of those; more is false once there are none after it.
func (r *Record) After(ctx context.Context, tenant identity.TenantID, place Place, limit int) (lives []*Live, end Place, more bool, err error) {
	err = r.store.Tenant(tenant).Read(ctx, func(tx *store.Tx) (err error) {
		lives, end, more, err = liveAfter(ctx, tx, tenant, place, limit)
		return err
	})
	return lives, end, more, err
}

// Which gives those of up to [MaxAsked] token hashes whose sessions live.
func (r *Record) Which(ctx context.Context, tenant identity.TenantID, hashes []TokenHash) (map[TokenHash]bool, error) {
	live := make(map[TokenHash]bool, len(hashes))
	if len(hashes) == 0 {
		return live, nil
	}
	args, places := anyOf(hashes, 1, hashValue)
	var found [][]byte
	err := r.store.Tenant(tenant).Read(ctx, func(tx *store.Tx) (err error) {
		found, err = store.All(ctx, tx, store.Scalar[[]byte],
			`SELECT s.token_hash FROM sessions s WHERE s.ended_at IS NULL AND s.token_hash IN (`+places+`) AND `+served, args...)
		return err
	})
	for _, found := range found {
		var hash TokenHash
		copy(hash[:], found)
		live[hash] = true
	}
	return live, err
}

// Lives gives those of up to [MaxAsked] sessions that live.
func (r *Record) Lives(ctx context.Context, tenant identity.TenantID, hashes []TokenHash) ([]*Live, error) {
	if len(hashes) == 0 {
		return nil, nil
	}
	args, places := anyOf(hashes, 1, hashValue)
	var lives []*Live
	err := r.store.Tenant(tenant).Read(ctx, func(tx *store.Tx) (err error) {
		lives, err = store.All(ctx, tx, scanLive(tenant), `SELECT `+sessionColumns+`, s.token_hash,
				(SELECT d.token_hash FROM devices d WHERE d.id = s.device_id)
			FROM sessions s WHERE s.ended_at IS NULL AND s.token_hash IN (`+places+`) AND `+served, args...)
		return err
	})
	return lives, err
}

// anyOf gives the arguments and places, from $first on, for a list in a statement.
// Only some lengths occur, the last value standing there more than once, so that
// there are few statements to prepare.
func anyOf[T any](list []T, first int, value func(T) any) (args []any, places string) {
	n := 1
	for n < len(list) {
		n *= 4
	}
	names := make([]string, min(n, max(endBatch, len(list))))
	args = make([]any, len(names))
	for i := range names {
		args[i], names[i] = value(list[min(i, len(list)-1)]), "$"+strconv.Itoa(first+i)
	}
	return args, strings.Join(names, ", ")
}

func hashValue(hash TokenHash) any { return hash[:] }
