package audit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"time"

	"gatehouse/audit/segment"
	"gatehouse/identity"
)

// Reader reads journal files and changes nothing: neither repair nor lock, so
// it serves the command line on a stopped gateway's data as well.
type Reader struct {
	dir  string
	keys Secrets
}

// OpenReader reads the journal in o.Dir; of o only Dir and Keys matter.
func OpenReader(o Options) (*Reader, error) {
	if o.Dir == "" || o.Keys == nil {
		return nil, errors.New("audit: a journal needs a folder and keys")
	}
	return &Reader{dir: o.Dir, keys: o.Keys}, nil
}

func (r *Reader) secret(ctx context.Context, tenant identity.TenantID) ([]byte, error) {
	secret, err := r.keys.Derive(ctx, tenant, "journal", 32)
	if err != nil {
		return nil, fmt.Errorf("audit: the key of %s: %w", tenant, err)
	}
	return secret, nil
}

// Cursor is how far somebody has read, node by node: every node counts its
// records for itself. An empty one is the beginning.
type Cursor map[string]place

// Read gives a tenant's records behind the cursor, if there is one, and moves it
// along: each node's in order, one node after the other. A place that cannot be
// read yields an error, and reading goes on behind it.
func (r *Reader) Read(ctx context.Context, tenant identity.TenantID, behind Cursor) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		nodes, err := r.nodes(tenant)
		if err != nil {
			yield(Event{}, err)
			return
		}
		for _, node := range nodes {
			for rec, err := range r.records(ctx, tenant, node, behind[node]) {
				if behind != nil && rec.at.Offset > 0 {
					behind[node] = rec.at
				}
				if !yield(rec.eventOr(err)) {
					return
				}
			}
		}
	}
}

// folder is where a tenant's records are.
func (r *Reader) folder(tenant identity.TenantID) (string, error) {
	if !isFolderName(string(tenant)) {
		return "", fmt.Errorf("audit: %q is no tenant's id", tenant)
	}
	return filepath.Join(r.dir, string(tenant)), nil
}

// nodes lists whose records of the tenant there are, those that began first
// before others.
func (r *Reader) nodes(tenant identity.TenantID) ([]string, error) {
	dir, err := r.folder(tenant)
	if err != nil {
		return nil, err
	}
	names, err := folders(dir)
	if err != nil {
		return nil, err
	}
	begun := make(map[string]time.Time, len(names))
	for _, name := range names {
		begun[name] = firstBegun(filepath.Join(dir, name))
	}
	slices.SortStableFunc(names, func(a, b string) int { return begun[a].Compare(begun[b]) })
	return names, nil
}

// firstBegun is when a node's first segment was begun, as it says itself; what
// cannot be read counts as old, and says so when its records are read.
func firstBegun(dir string) time.Time {
	files, err := segment.List(dir)
	if err != nil || len(files) == 0 {
		return time.Time{}
	}
	r, err := segment.Open(files[0])
	if r != nil {
		defer func() { _ = r.Close() }() // read only
	}
	if err != nil {
		return time.Time{}
	}
	return r.Header().Created
}

func (r *Reader) tenants() ([]identity.TenantID, error) { return Tenants(r.dir) }

// Tenants lists whose journals there are in a folder; no key is needed. A
// folder that is not there has none.
func Tenants(dir string) ([]identity.TenantID, error) {
	names, err := folders(dir)
	ids := make([]identity.TenantID, len(names))
	for i, name := range names {
		ids[i] = identity.TenantID(name)
	}
	return ids, err
}

// folders lists the folders in a folder that are named as we name them.
func folders(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("audit: %w", err)
	}
	var names []string
	for _, e := range entries {
		if e.IsDir() && isFolderName(e.Name()) {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// place is where reading a log stands. With a Position of nothing but a number
// it is found by scanning, with all of it reading goes on at once.
type place struct {
	segment uint64 // the segment's first number; 0: to be found
	segment.Position
}

// record is one opened record; plain is valid until the next one.
type record struct {
	plain  []byte
	tenant identity.TenantID
	node   string
	at     place // behind it
}

// isAccess tells an access decision without parsing it.
func (r record) isAccess() bool { return len(r.plain) > 0 && r.plain[0] == kindAccess }

func (r record) event() (Event, error) {
	e, err := parseRecord(r.plain)
	e.Tenant, e.Node, e.Seq = r.tenant, r.node, r.at.Seq
	return e, err
}

// eventOr reads the record, unless it is there for an error only.
func (r record) eventOr(err error) (Event, error) {
	if err != nil {
		return Event{}, err
	}
	return r.event()
}

// records opens a log's records behind a place, in order.
func (r *Reader) records(ctx context.Context, tenant identity.TenantID, node string, from place) iter.Seq2[record, error] {
	return func(yield func(record, error) bool) {
		dir, err := r.folder(tenant)
		if err != nil {
			yield(record{}, err)
			return
		}
		files, err := segment.List(filepath.Join(dir, node))
		if err != nil {
			yield(record{}, err)
			return
		}
		// The record after from is in the last segment that begins at or before it.
		start := 0
		for i, f := range files {
			if f.First <= from.Seq+1 {
				start = i
			}
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
		next := from.Seq + 1
		for _, f := range files[start:] {
			if f.First > next {
				if !yield(record{}, fmt.Errorf("audit: %s: records %d to %d are missing", tenant, next, f.First-1)) {
					return
				}
			}
			reading := fileReading{tenant: tenant, node: node, file: f, secret: secret, from: from}
			last, ok := reading.run(ctx, yield)
			if !ok {
				return
			}
			next = max(next, last+1)
		}
	}
}

// fileReading is the reading of one segment of a log.
type fileReading struct {
	tenant identity.TenantID
	node   string
	file   segment.File
	secret []byte
	from   place // records up to here were read before
}

// run yields the segment's records; it returns the last number seen, and false
// when the reader has had enough.
func (f fileReading) run(ctx context.Context, yield func(record, error) bool) (last uint64, ok bool) {
	last = f.file.First - 1
	r, err := segment.Open(f.file)
	if r != nil {
		defer func() { _ = r.Close() }() // read only
	}
	if err == nil {
		err = r.Unlock(f.secret)
	}
	if err == nil && (r.Header().Tenant != string(f.tenant) || r.Header().Node != f.node) {
		err = errors.New("audit: the segment belongs to another tenant or node")
	}
	if err != nil {
		return last, yield(record{}, fmt.Errorf("%s: %w", f.file.Path, err))
	}
	at := r.Start()
	if f.from.segment == f.file.First {
		at = f.from.Position
	}
	last = at.Seq
	for s := r.Scan(at); ; {
		if err := ctx.Err(); err != nil {
			_ = yield(record{}, err)
			return last, false
		}
		frame, err := s.Next()
		if errors.Is(err, io.EOF) {
			return last, true
		}
		if d := (*segment.Damage)(nil); errors.As(err, &d) && d.Torn {
			// The end of a write that was cut short, or that is under way. If records
			// are missing, the next segment's number tells.
			return last, true
		}
		last = s.Position().Seq
		if err == nil && frame.Seq <= f.from.Seq {
			continue
		}
		rec := record{tenant: f.tenant, node: f.node, at: place{segment: f.file.First, Position: s.Position()}}
		if err == nil {
			rec.plain, err = r.Plain(frame)
		}
		if err != nil {
			err = fmt.Errorf("%s: %w", f.file.Path, err)
		}
		if !yield(rec, err) {
			return last, false
		}
	}
}
