package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"gatehouse/audit/segment"
	"gatehouse/identity"
	"gatehouse/internal/fault"
)

const (
	// accessWork is how many records one page of access decisions may cost.
	accessWork = 20_000
	// clockSlack is how far records and segments may be out of the order of
	// time, because a clock was set.
	clockSlack = time.Minute
)

// refused tells a refused access from an allowed one without parsing it whole:
// the type stands at its fixed place, before anything that came from outside.
func (r record) refused() bool {
	head := r.plain[:min(len(r.plain), 160)]
	return bytes.Contains(head, []byte(`,"type":"`+string(AccessRefused)+`",`))
}

// Access finds access decisions, allowed and refused, newest first: this node's
// and then those of nodes that wrote in its folder before. They are read from the journal's files backwards; a page ends early,
// with a cursor to go on from, when it has cost enough. Damaged places are
// passed over.
func (x *Index) Access(ctx context.Context, tenant identity.TenantID, f Filter) (Page, error) {
	if err := f.check(); err != nil {
		return Page{}, err
	}
	nodes, err := x.j.files.nodes(tenant)
	if err != nil {
		return Page{}, err
	}
	slices.Reverse(nodes)
	var before place
	if f.Cursor != "" {
		var node string
		if _, err := fmt.Sscanf(decodeCursor(f.Cursor), accessCursor, &before.segment, &before.Offset, &node); err != nil ||
			before.segment == 0 || before.Offset <= 0 || !slices.Contains(nodes, node) {
			return Page{}, errCursor
		}
		nodes = nodes[slices.Index(nodes, node):]
	}
	var page Page
	work := 0
	for rec, err := range x.j.files.through(ctx, tenant, nodes, before, f.From, f.To) {
		if ctx.Err() != nil {
			return Page{}, ctx.Err()
		}
		if work++; err == nil && (work > accessWork || len(page.Items) == f.Limit) {
			page.Next = encodeCursor(fmt.Sprintf(accessCursor, rec.at.segment, rec.at.Offset, rec.node))
			break
		}
		var e Event
		if err == nil && rec.isAccess() {
			if e, err = rec.event(); err == nil && f.matches(&e) {
				page.Items = append(page.Items, e)
			}
		}
		if err != nil {
			x.j.o.Log.ErrorContext(ctx, "a record of the journal cannot be read", "tenant", tenant, "error", err)
		}
	}
	return page, nil
}

// accessCursor is the segment and offset behind the next record to look at, and
// its node.
const accessCursor = "%d.%d.%s"

// matches is for events what searchQuery is for SQL.
func (f *Filter) matches(e *Event) bool {
	is := func(want, have string) bool { return want == "" || want == have }
	var ip string
	if e.IP.IsValid() {
		ip = e.IP.String()
	}
	return (f.From.IsZero() || !e.Time.Before(f.From)) && (f.To.IsZero() || e.Time.Before(f.To)) &&
		(len(f.Types) == 0 || slices.Contains(f.Types, e.Type)) &&
		is(string(f.Outcome), string(e.Outcome)) &&
		(is(f.Actor, e.Actor.ID) || strings.EqualFold(f.Actor, e.Actor.Name)) &&
		is(f.Target, e.Target.ID) && is(f.Session, string(e.Session)) &&
		is(f.Request, string(e.RequestID)) && is(f.IP, ip) &&
		(f.Text == "" || containsFold(string(appendEvent(nil, e)), string(appendEscaped(nil, f.Text, 6*maxTerm))))
}

func containsFold(s, part string) bool {
	return strings.Contains(strings.ToLower(s), strings.ToLower(part))
}

// find looks for a record in the segment of the time that its id tells.
func (r *Reader) find(ctx context.Context, tenant identity.TenantID, id identity.EventID) (Event, error) {
	missing := fault.New(fault.NotFound, "event-not-found", "There is no event of this id.")
	at, ok := eventTime(id)
	if !ok {
		return Event{}, missing
	}
	nodes, err := r.nodes(tenant)
	if err != nil {
		return Event{}, err
	}
	for _, node := range nodes {
		for rec, err := range r.backwards(ctx, tenant, node, place{}, at, at.Add(time.Millisecond)) {
			if ctx.Err() != nil {
				return Event{}, ctx.Err()
			}
			if err == nil && rec.id() == id {
				return rec.event()
			}
		}
	}
	return Event{}, missing
}

// id reads the event's id, which a record begins with.
func (r record) id() identity.EventID {
	const start = len(`e{"id":"`)
	if len(r.plain) < start+len(idPrefix)+idChars {
		return ""
	}
	return identity.EventID(r.plain[start : start+len(idPrefix)+idChars])
}

// through is [Reader.backwards] over the logs of nodes, one after the other; before
// is a place of the first.
func (r *Reader) through(ctx context.Context, tenant identity.TenantID, nodes []string, before place, from, to time.Time) iter.Seq2[record, error] {
	return func(yield func(record, error) bool) {
		for _, node := range nodes {
			for rec, err := range r.backwards(ctx, tenant, node, before, from, to) {
				if !yield(rec, err) {
					return
				}
			}
			before = place{}
		}
	}
}

// backwards opens a log's records before a place, newest first, of the segments
// that can hold something of the time between from and to. It stops at the
// first record that is clearly older.
func (r *Reader) backwards(ctx context.Context, tenant identity.TenantID, node string, before place, from, to time.Time) iter.Seq2[record, error] {
	return func(yield func(record, error) bool) {
		files, err := segment.List(filepath.Join(r.dir, string(tenant), node))
		if err != nil {
			yield(record{}, err)
			return
		}
		if len(files) == 0 {
			return
		}
		secret, err := r.secret(ctx, tenant)
		if err != nil {
			yield(record{}, err)
			return
		}
		defer clear(secret)
		for _, f := range slices.Backward(files) {
			if before.segment != 0 && f.First > before.segment {
				continue
			}
			var end int64
			if f.First == before.segment {
				end = before.Offset
			}
			reading := fileReading{tenant: tenant, node: node, file: f, secret: secret}
			if !reading.back(ctx, end, from, to, yield) {
				return
			}
		}
	}
}

// back yields one segment's records backwards; false when older ones are not
// wanted.
func (f fileReading) back(ctx context.Context, end int64, from, to time.Time, yield func(record, error) bool) bool {
	r, err := segment.Open(f.file)
	if r != nil {
		defer func() { _ = r.Close() }() // read only
	}
	if err == nil && !to.IsZero() && r.Header().Created.After(to.Add(clockSlack)) {
		return true
	}
	var b *segment.Backward
	if err == nil {
		err = r.Unlock(f.secret)
	}
	if err == nil {
		b, err = r.Back(end)
	}
	if err != nil {
		return yield(record{}, fmt.Errorf("%s: %w", f.file.Path, err))
	}
	for ctx.Err() == nil {
		frame, err := b.Prev()
		if errors.Is(err, io.EOF) {
			// Older segments end before this one was begun.
			return !r.Header().Created.Before(from.Add(-clockSlack))
		}
		rec := record{tenant: f.tenant, node: f.node, at: place{segment: f.file.First}}
		if err == nil {
			rec.at.Seq, rec.at.Offset = frame.Seq, frame.End()
			rec.plain, err = r.Plain(frame)
		}
		if err != nil {
			err = fmt.Errorf("%s: %w", f.file.Path, err)
		} else if at, ok := eventTime(rec.id()); ok && at.Before(from.Add(-clockSlack)) {
			return false
		}
		if !yield(rec, err) {
			return false
		}
	}
	return false
}
