package feed

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"strings"

	"gatehouse/directory"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/internal/store"
)

// Page is a part of the changes of a tenant.
type Page struct {
	Events []Notice
	// Cursor is where to go on.
	Cursor string
	// More says that there are changes behind it already.
	More bool
}

// cursor is a place in the changes of a tenant: right behind one of them.
type cursor struct {
	seq uint64
	// at is when that one came true, in Unix milliseconds, as far as it is known: a
	// database that was restored from a backup has others under the same numbers.
	at int64
}

// String gives what a reader hands back, who is not to read anything into it.
func (c cursor) String() string {
	return base64.RawURLEncoding.EncodeToString([]byte("1." + strconv.FormatUint(c.seq, 10) + "." + strconv.FormatInt(c.at, 10)))
}

func parseCursor(text string) (c cursor, err error) {
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return c, errCursor(err)
	}
	version, rest, _ := strings.Cut(string(raw), ".")
	seq, at, _ := strings.Cut(rest, ".")
	if c.seq, err = strconv.ParseUint(seq, 10, 63); err == nil {
		c.at, err = strconv.ParseInt(at, 10, 64)
	}
	if err != nil || version != "1" {
		return c, errCursor(err)
	}
	return c, nil
}

func errCursor(err error) error {
	return fault.Wrap(err, fault.Invalid, "bad-cursor", "That is no cursor of this list. Begin with from=now.")
}

// ErrGone is the cause when a cursor is of no use any more.
var ErrGone = fault.New(fault.Gone, "cursor-expired",
	"The changes behind this cursor are kept no longer, so read everything anew: ask for a cursor with from=now, then list all users and groups, and then go on from that cursor.")

// Now gives the cursor behind which everything comes that has not happened yet.
func (s *Service) Now(ctx context.Context, tenant identity.TenantID) (Page, error) {
	var c cursor
	err := s.store.Tenant(tenant).Read(ctx, func(tx *store.Tx) error {
		h, err := loadHead(ctx, tx)
		if err == nil {
			c, err = place(ctx, tx, h.last)
		}
		return err
	})
	return Page{Events: []Notice{}, Cursor: c.String()}, err
}

// place is right behind a change, whether it is kept or not.
func place(ctx context.Context, tx *store.Tx, seq uint64) (cursor, error) {
	at, err := store.All(ctx, tx, store.Scalar[int64], `SELECT changed_at FROM feed_changes WHERE seq = $1`, seq)
	if err != nil || len(at) == 0 {
		return cursor{seq: seq}, err
	}
	return cursor{seq: seq, at: at[0]}, nil
}

// stands refuses a cursor of which something may have been missed.
func (c cursor) stands(ctx context.Context, tx *store.Tx, h head) error {
	if c.seq < h.floor || c.seq > h.last {
		return ErrGone
	}
	now, err := place(ctx, tx, c.seq)
	if err == nil && now.at != c.at && now.at != 0 && c.at != 0 {
		err = ErrGone
	}
	return err
}

// After gives so many changes behind a cursor, with the people and groups as they are
// now. A cursor that is too old is [ErrGone].
func (s *Service) After(ctx context.Context, tenant identity.TenantID, from string, limit int) (Page, error) {
	c, err := parseCursor(from)
	if err != nil {
		return Page{}, err
	}
	var rows []row
	var h head
	err = s.store.Tenant(tenant).Read(ctx, func(tx *store.Tx) error {
		if h, err = loadHead(ctx, tx); err != nil {
			return err
		}
		if err := c.stands(ctx, tx, h); err != nil {
			return err
		}
		rows, err = rowsAfter(ctx, tx, c.seq, math.MaxInt64, limit, maxBytes)
		return err
	})
	if err != nil {
		return Page{}, err
	}
	events, err := s.complete(ctx, tenant, rows, maxBytes)
	if err != nil {
		return Page{}, err
	}
	if n := len(events); n > 0 {
		c = cursor{rows[n-1].seq, store.Millis(rows[n-1].at)}
	}
	return Page{Events: events, Cursor: c.String(), More: c.seq < h.last}, nil
}

// maxBytes is about how much is told at once; one change is told whatever its size.
const maxBytes = 1 << 20

// complete gives changes together with whom they are about, as many as go into so many
// bytes.
func (s *Service) complete(ctx context.Context, tenant identity.TenantID, rows []row, most int) ([]Notice, error) {
	events := make([]Notice, 0, len(rows))
	users, groups := map[string]*PersonNow{}, map[string]*GroupNow{}
	size := 0
	for _, c := range rows {
		e := noticeOf(c)
		switch {
		case c.Type.Deletes():
		case c.Type.OfGroup():
			g, known := groups[c.ID]
			if !known {
				found, err := s.people.Group(ctx, tenant, identity.GroupID(c.ID), false)
				if err == nil {
					g = groupOf(&found)
				} else if !fault.Is(err, fault.NotFound) {
					return nil, err
				}
				groups[c.ID] = g
			}
			e.Group = g
		default:
			u, known := users[c.ID]
			if !known {
				found, err := s.people.User(ctx, tenant, identity.UserID(c.ID))
				if err == nil {
					u = personOf(&found)
				} else if !fault.Is(err, fault.NotFound) {
					return nil, err
				}
				users[c.ID] = u
			}
			e.User = u
		}
		text, err := json.Marshal(e)
		if err != nil {
			return nil, err
		}
		if size += len(text); size > most && len(events) > 0 {
			break
		}
		events = append(events, e)
	}
	return events, nil
}

// wanted reports whether a receiver asks for changes of a type; none named: all.
func wanted(types []directory.ChangeType, t directory.ChangeType) bool {
	return len(types) == 0 || slices.Contains(types, t)
}
