package feed

import (
	"context"
	"encoding/json"
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
	// keepBytes bounds the members that the changes of a tenant name, together.
	keepBytes = 256 << 20
	// sweepShare is after which part of keepBytes a tenant is swept out of turn, and
	// rowBytes about what a change takes without its members.
	sweepShare, rowBytes = 8, 256
)

// head says how far the changes of a tenant go.
type head struct{ last, floor uint64 }

func loadHead(ctx context.Context, tx *store.Tx) (head, error) {
	return store.One(ctx, tx, func(row store.Row) (h head, err error) {
		err = row.Scan(&h.last, &h.floor)
		return h, err
	}, `SELECT `+last+`, `+floor)
}

// floor is the number up to which changes are kept no longer, and last the highest that
// was given to one.
const (
	floor = `coalesce((SELECT floor FROM feed_floor WHERE id = 1), 0)`
	last  = `coalesce((SELECT max(seq) FROM feed_changes), ` + floor + `)`
)

// Last is for [directory.Feed].
func (s *Service) Last(ctx context.Context, tx *store.Tx) (uint64, error) {
	return store.One(ctx, tx, store.Scalar[uint64], `SELECT `+last)
}

// noteBatch is how many changes one statement writes.
const noteBatch = 64

// Note is for [directory.Feed]. Writers of a tenant go one after the other on all nodes,
// each until it has committed: so no number is seen before those below it, and what was
// not committed has none.
func (s *Service) Note(ctx context.Context, tx *store.Tx, tenant identity.TenantID, at time.Time, changes []directory.Change) error {
	size := 0
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
			size += rowBytes + len(members)
			if i > 0 {
				rows.WriteString(", ")
			}
			table := "users"
			if c.Type.OfGroup() {
				table = "groups"
			}
			n := len(args)
			place := func(k int) string { return "$" + strconv.Itoa(n+k) }
			rows.WriteString("(" + last + " + " + place(1) + ", " + place(2) + ", " + place(3) + ", coalesce((SELECT version FROM " + table + " WHERE id = " + place(3) + "), 0), " +
				place(4) + ", " + place(5) + ", " + place(6) + ", " + place(7) + ", " + place(8) + ")")
			args = append(args, i+1, c.Type, c.ID, store.Millis(at), c.Event, c.Name, c.ExternalID, members)
		}
		if _, err := tx.Exec(ctx, `INSERT INTO feed_changes (seq, type, target_id, version, changed_at, event_id, name, external_id, members) VALUES `+rows.String(), args...); err != nil {
			return err
		}
	}
	s.grows(tenant, size)
	return nil
}

// grows has a tenant swept that has written much since it was swept last.
func (s *Service) grows(tenant identity.TenantID, size int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.grown[tenant] += size; s.grown[tenant] < s.keepBytes/sweepShare {
		return
	}
	select {
	case s.full <- tenant:
		delete(s.grown, tenant)
	default: // the next change asks again
	}
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

// age is what of a change decides whether it is kept.
type age struct {
	seq uint64
	at  time.Time
}

func scanAge(r store.Row) (a age, err error) {
	var at int64
	err = r.Scan(&a.seq, &at)
	a.at = store.Time(at)
	return a, err
}

// rowsAfter gives the changes behind a number, up to another one: as many as name members
// in about so many bytes, and one at least.
func rowsAfter(ctx context.Context, tx *store.Tx, after, upTo uint64, limit, most int) ([]row, error) {
	return store.All(ctx, tx, scanRow, `SELECT seq, type, target_id, version, changed_at, event_id, name, external_id, members FROM
		(SELECT near.*, sum(length(members)) OVER (ORDER BY seq) - length(members) AS ahead FROM
			(SELECT * FROM feed_changes WHERE seq > $1 AND seq <= $2 ORDER BY seq LIMIT $3) AS near) AS sized
		WHERE ahead < $4 ORDER BY seq`, after, upTo, limit, most)
}

// sweepBatch is how many changes one transaction lets go of.
const sweepBatch = 2000

// Sweep lets go of the changes of a tenant that are too old, too many, or name too many
// members together.
func (s *Service) Sweep(ctx context.Context, tenant identity.TenantID) error {
	var heavy uint64 // behind it they name as many as may be
	err := s.store.Tenant(tenant).Read(ctx, func(tx *store.Tx) (err error) {
		heavy, err = store.One(ctx, tx, store.Scalar[uint64], `SELECT coalesce(max(seq), 0) FROM
			(SELECT seq, sum(length(members)) OVER (ORDER BY seq DESC) AS kept FROM feed_changes) AS sized WHERE kept > $1`, s.keepBytes)
		return err
	})
	if err != nil {
		return err
	}
	for more := true; more; {
		more = false
		err := s.store.Tenant(tenant).Write(ctx, func(tx *store.Tx) error {
			h, err := loadHead(ctx, tx)
			if err != nil {
				return err
			}
			oldest, err := store.All(ctx, tx, scanAge, `SELECT seq, changed_at FROM feed_changes WHERE seq > $1 ORDER BY seq LIMIT $2`, h.floor, sweepBatch)
			if err != nil {
				return err
			}
			n := 0
			for n < len(oldest) && (oldest[n].at.Before(s.now().Add(-keepTime)) || oldest[n].seq+s.keepChanges <= h.last || oldest[n].seq <= heavy) {
				n++
			}
			if n == 0 {
				return nil
			}
			up := oldest[n-1].seq
			more = n == sweepBatch
			if _, err := tx.Exec(ctx, `DELETE FROM feed_changes WHERE seq <= $1`, up); err != nil {
				return err
			}
			_, err = tx.Exec(ctx, `INSERT INTO feed_floor (id, floor) VALUES (1, $1) ON CONFLICT (id) DO UPDATE SET floor = excluded.floor`, up)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}
