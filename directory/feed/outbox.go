package feed

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"time"

	"gatehouse/directory"
	"gatehouse/identity"
	"gatehouse/internal/store"
)

// The bounds of what is kept: whoever is further behind reads everything anew.
const (
	keepTime           = 7 * 24 * time.Hour
	keepChanges uint64 = 1_000_000
)

// head says how far the changes of a tenant go.
type head struct{ last, floor uint64 }

func loadHead(ctx context.Context, tx *store.Tx) (head, error) {
	h, err := store.One(ctx, tx, func(row store.Row) (h head, err error) {
		err = row.Scan(&h.last, &h.floor)
		return h, err
	}, `SELECT last, floor FROM feed_head WHERE id = 1`)
	if errors.Is(err, store.ErrNoRows) {
		err = nil
	}
	return h, err
}

// noteBatch is how many changes one statement writes.
const noteBatch = 64

// Note is for [directory.Feed]. The row of the head is held by whoever writes until they
// have committed, so that no number is seen before those below it.
func (s *Service) Note(ctx context.Context, tx *store.Tx, at time.Time, changes []directory.Change) error {
	last, err := store.One(ctx, tx, store.Scalar[int64], `INSERT INTO feed_head (id, last, floor) VALUES (1, $1, 0)
		ON CONFLICT (id) DO UPDATE SET last = feed_head.last + excluded.last RETURNING last`, len(changes))
	if err != nil {
		return err
	}
	next := last - int64(len(changes)) + 1
	for len(changes) > 0 {
		batch := changes[:min(noteBatch, len(changes))]
		changes = changes[len(batch):]
		var rows strings.Builder
		var args []any
		for i, c := range batch {
			members := ""
			if !c.Members.Empty() {
				text, err := json.Marshal(c.Members)
				if err != nil {
					return err
				}
				members = string(text)
			}
			if i > 0 {
				rows.WriteString(", ")
			}
			table := "users"
			if c.Type.OfGroup() {
				table = "groups"
			}
			n := len(args)
			place := func(k int) string { return "$" + strconv.Itoa(n+k) }
			rows.WriteString("(" + place(1) + ", " + place(2) + ", " + place(3) + ", coalesce((SELECT version FROM " + table + " WHERE id = " + place(3) + "), 0), " +
				place(4) + ", " + place(5) + ", " + place(6) + ", " + place(7) + ", " + place(8) + ")")
			args = append(args, next+int64(i), c.Type, c.ID, store.Millis(at), c.Event, c.Name, c.ExternalID, members)
		}
		next += int64(len(batch))
		if _, err := tx.Exec(ctx, `INSERT INTO feed_changes (seq, type, target_id, version, changed_at, event_id, name, external_id, members) VALUES `+rows.String(), args...); err != nil {
			return err
		}
	}
	return nil
}

// row is a change as it is kept.
type row struct {
	directory.Change
	seq     uint64
	version uint64 // of the person or group after it; 0 once they are gone
	at      time.Time
}

func scanRow(r store.Row) (c row, err error) {
	var at int64
	var members string
	if err := r.Scan(&c.seq, &c.Type, &c.ID, &c.version, &at, &c.Event, &c.Name, &c.ExternalID, &members); err != nil {
		return c, err
	}
	c.at = store.Time(at)
	if members != "" {
		err = json.Unmarshal([]byte(members), &c.Members)
	}
	return c, err
}

// rowsAfter gives the changes behind a number, up to another one.
func rowsAfter(ctx context.Context, tx *store.Tx, after, upTo uint64, limit int) ([]row, error) {
	return store.All(ctx, tx, scanRow, `SELECT seq, type, target_id, version, changed_at, event_id, name, external_id, members
		FROM feed_changes WHERE seq > $1 AND seq <= $2 ORDER BY seq LIMIT $3`, after, upTo, limit)
}

// sweepBatch is how many changes one transaction lets go of.
const sweepBatch = 2000

// Sweep lets go of the changes of a tenant that are too old, or too many.
func (s *Service) Sweep(ctx context.Context, tenant identity.TenantID) error {
	for more := true; more; {
		more = false
		err := s.store.Tenant(tenant).Write(ctx, func(tx *store.Tx) error {
			h, err := loadHead(ctx, tx)
			if err != nil {
				return err
			}
			oldest, err := rowsAfter(ctx, tx, h.floor, h.last, sweepBatch)
			if err != nil {
				return err
			}
			n := 0
			for n < len(oldest) && (oldest[n].at.Before(s.now().Add(-keepTime)) || oldest[n].seq+s.keepChanges <= h.last) {
				n++
			}
			if n == 0 {
				return nil
			}
			floor := oldest[n-1].seq
			more = n == sweepBatch
			if _, err := tx.Exec(ctx, `DELETE FROM feed_changes WHERE seq <= $1`, floor); err != nil {
				return err
			}
			_, err = tx.Exec(ctx, `UPDATE feed_head SET floor = $1 WHERE id = 1 AND floor < $1`, floor)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}
