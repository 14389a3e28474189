package sessions

import (
	"context"
	"errors"
	"strconv"
	"strings"

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

// Which gives those of up to [MaxAsked] token hashes whose sessions live.
func (r *Record) Which(ctx context.Context, tenant identity.TenantID, hashes []TokenHash) (map[TokenHash]bool, error) {
	live := make(map[TokenHash]bool, len(hashes))
	if len(hashes) == 0 {
		return live, nil
	}
	args, places := make([]any, len(hashes)), make([]string, len(hashes))
	for i := range hashes {
		args[i], places[i] = hashes[i][:], "$"+strconv.Itoa(i+1)
	}
	var found [][]byte
	err := r.store.Tenant(tenant).Read(ctx, func(tx *store.Tx) (err error) {
		found, err = store.All(ctx, tx, store.Scalar[[]byte],
			`SELECT s.token_hash`+fromLive+`s.token_hash IN (`+strings.Join(places, ", ")+`)`, args...)
		return err
	})
	for _, found := range found {
		var hash TokenHash
		copy(hash[:], found)
		live[hash] = true
	}
	return live, err
}
