package audit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"gatehouse/audit/segment"
	"gatehouse/identity"
)

// Report is what verifying a tenant's journal came to; it is whole when there
// are no Problems.
type Report struct {
	Tenant   identity.TenantID `json:"tenant"`
	Segments int               `json:"segments"`
	Records  uint64            `json:"records"`
	// Opened is how many of the records were opened with the tenant's key, which
	// nobody can make anew; of the others only the chain was followed.
	Opened uint64 `json:"opened"`
	// Unopened is why none was.
	Unopened string    `json:"unopened,omitempty"`
	Problems []Problem `json:"problems"`
	// Notes are oddities that do not touch any record, such as a write that a
	// crash cut short.
	Notes []Problem `json:"notes,omitempty"`
}

// Problem is a place where the journal is not as it was written.
type Problem struct {
	File   string `json:"file"`   // with its path
	Offset int64  `json:"offset"` // in bytes
	Seq    uint64 `json:"seq"`    // the record that should be there
	What   string `json:"what"`
}

// String gives the problem in one line.
func (p Problem) String() string {
	return fmt.Sprintf("%s: byte %d, record %d: %s", p.File, p.Offset, p.Seq, p.What)
}

// maxProblems bounds a report on a journal that is nothing but damage.
const maxProblems = 1000

// Verify checks the hash chain of every node's files of a tenant, without any
// key: that each record and each segment follows on the one before. Whoever may
// write the files can compute such a chain anew; see [Reader.Verify].
func Verify(ctx context.Context, dir string, tenant identity.TenantID) (Report, error) {
	report, err := proof{}.verify(ctx, dir, tenant)
	report.Unopened = "there is no key to it"
	return report, err
}

// Verify checks the files of a tenant and opens every record with the tenant's
// key, which binds tenant, node, number and what came before the segment. Without
// the key it follows the chain only, and the report says so. What the files alone
// cannot show is their newest records being cut off; see [Index.Verify].
func (r *Reader) Verify(ctx context.Context, tenant identity.TenantID) (Report, error) {
	secret, err := r.secret(ctx, tenant)
	if err != nil {
		report, failed := proof{}.verify(ctx, r.dir, tenant)
		report.Unopened = err.Error()
		return report, failed
	}
	defer clear(secret)
	return proof{secret: secret}.verify(ctx, r.dir, tenant)
}

// Verify checks the tenant's files as [Reader.Verify] does, while the journal is
// written, and that they reach as far as this process has written and the index
// has read: whoever cuts records off does not reach those two. Allowed accesses
// move no cursor by themselves, so those of an earlier run that no other record
// follows can be cut off unseen.
func (x *Index) Verify(ctx context.Context, tenant identity.TenantID) (Report, error) {
	nodes, err := x.j.files.nodes(tenant)
	if err != nil {
		return Report{}, err
	}
	// The cursors before the files, which grow meanwhile.
	ends := make(map[string]uint64)
	for _, node := range append(nodes, x.j.o.Node) {
		if ends[node], err = x.cursor(ctx, tenant, node); err != nil {
			return Report{}, err
		}
	}
	return x.j.verify(ctx, tenant, ends)
}

// verify reads of the current file what was complete when it began.
func (j *Journal) verify(ctx context.Context, tenant identity.TenantID, ends map[string]uint64) (Report, error) {
	secret, err := j.files.secret(ctx, tenant)
	if err != nil {
		return Report{}, err
	}
	defer clear(secret)
	l, err := j.logOf(tenant)
	if err != nil {
		return Report{}, err
	}
	last, err := l.last()
	if err != nil {
		return Report{}, err
	}
	ends[j.o.Node] = max(ends[j.o.Node], last)
	live := make(map[string]int64)
	l.mu.Lock()
	if l.tail != nil {
		live[l.tail.writer.Path()] = l.tail.writer.Size()
	}
	l.mu.Unlock()
	return proof{secret: secret, live: live, ends: ends}.verify(ctx, j.o.Dir, tenant)
}

// proof is what a verification has to go by beside the files themselves.
type proof struct {
	secret []byte            // opens the tenant's records; nil: the chain alone
	live   map[string]int64  // of the files being written, how much to read
	ends   map[string]uint64 // each node's last record, as far as it is known from elsewhere
}

func (p proof) verify(ctx context.Context, dir string, tenant identity.TenantID) (Report, error) {
	report := Report{Tenant: tenant, Problems: []Problem{}}
	if !isFolderName(string(tenant)) {
		return report, fmt.Errorf("audit: %q is no tenant's id", tenant)
	}
	if _, err := os.Stat(dir); err != nil {
		return report, fmt.Errorf("audit: %w", err)
	}
	nodes, err := folders(filepath.Join(dir, string(tenant)))
	if err != nil {
		return report, err
	}
	for node := range p.ends {
		if !slices.Contains(nodes, node) {
			nodes = append(nodes, node)
		}
	}
	for _, node := range nodes {
		v := verification{proof: p, report: &report, tenant: string(tenant), node: node}
		if err := v.run(ctx, filepath.Join(dir, string(tenant), node)); err != nil {
			return report, err
		}
	}
	return report, nil
}

// verification follows one node's segments.
type verification struct {
	proof
	report *Report
	tenant string
	node   string

	seq  uint64       // the last good record
	hash segment.Hash // and its hash
	lost bool         // the link was lost: the last segment did not tell its end
	torn *Problem     // how the last segment ended, if not with a whole record
}

func (v *verification) run(ctx context.Context, dir string) error {
	files, err := segment.List(dir)
	if err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("audit: %w", err)
	}
	known := make(map[string]bool, len(files))
	for _, f := range files {
		known[filepath.Base(f.Path)] = true
	}
	for _, e := range entries {
		if !known[e.Name()] && !strings.HasSuffix(e.Name(), segment.Suffix+".tmp") {
			v.problem(Problem{File: filepath.Join(dir, e.Name()), What: "this is not a file of the journal"})
		}
	}
	for _, f := range files {
		if err := v.file(ctx, f); err != nil {
			return err
		}
	}
	if v.torn != nil {
		v.torn.What += "; if a crash did that, the gateway's next start goes on from here and no record is missing"
		v.problem(*v.torn)
	}
	if end := v.ends[v.node]; v.seq < end {
		v.problem(Problem{File: dir, Seq: v.seq + 1, What: fmt.Sprintf("records %d to %d were written and are missing at the end", v.seq+1, end)})
	}
	return nil
}

func (v *verification) problem(p Problem) {
	if len(v.report.Problems) < maxProblems {
		v.report.Problems = append(v.report.Problems, p)
	}
}

func (v *verification) file(ctx context.Context, f segment.File) error {
	v.report.Segments++
	r, err := segment.Open(f)
	damage := (*segment.Damage)(nil)
	if err != nil && !errors.As(err, &damage) {
		return err
	}
	defer func() { _ = r.Close() }() // read only
	if damage != nil {
		v.settle(false)
		v.problem(Problem{File: f.Path, Offset: damage.Offset, Seq: damage.Seq, What: damage.What})
	} else {
		v.link(f, r.Header())
		if v.secret != nil {
			if err := r.Unlock(v.secret); err != nil {
				return fmt.Errorf("%s: %w", f.Path, err)
			}
		}
	}
	if size, ok := v.live[f.Path]; ok {
		r.Limit(size)
	}
	return v.scan(ctx, f, r, damage == nil && v.secret != nil)
}

// link checks that a segment is what its name says and goes on where the one
// before ended.
func (v *verification) link(f segment.File, h segment.Header) {
	wrong := func(format string, a ...any) {
		v.problem(Problem{File: f.Path, Seq: f.First, What: fmt.Sprintf(format, a...)})
	}
	if h.Tenant != v.tenant || h.Node != v.node {
		wrong("the segment belongs to tenant %s, node %s", h.Tenant, h.Node)
	}
	if h.First != f.First {
		wrong("the segment begins with record %d, not with that of its name", h.First)
	}
	follows := h.First == v.seq+1 && h.Prev == v.hash
	v.settle(follows)
	switch {
	case follows || v.lost:
	case h.First > v.seq+1:
		wrong("records %d to %d are missing before this segment", v.seq+1, h.First-1)
	case h.First <= v.seq:
		wrong("the segment begins again at record %d", h.First)
	default:
		wrong("the segment does not link to the one before")
	}
	v.lost = false
}

// settle judges how the segment before ended: a torn tail is what a crash
// leaves if the next segment goes on right before it, and damage otherwise.
func (v *verification) settle(follows bool) {
	if v.torn == nil {
		return
	}
	if follows {
		v.torn.What = "a write was cut short here by a crash; no record is missing (" + v.torn.What + ")"
		v.report.Notes = append(v.report.Notes, *v.torn)
	} else {
		v.problem(*v.torn)
	}
	v.torn = nil
}

func (v *verification) scan(ctx context.Context, f segment.File, r *segment.Reader, unlocked bool) error {
	s := r.Scan(r.Start())
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		frame, err := s.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if d := (*segment.Damage)(nil); errors.As(err, &d) {
			p := Problem{File: f.Path, Offset: d.Offset, Seq: d.Seq, What: d.What}
			if d.Offset == 0 && !d.Torn {
				continue // the damaged header again: no record begins there
			}
			if d.Torn && s.Position() != r.Start() {
				v.torn = &p
			} else {
				v.problem(p)
				v.lost = v.lost || d.Torn
			}
			continue
		}
		if err != nil {
			return fmt.Errorf("%s: %w", f.Path, err)
		}
		v.report.Records++
		if unlocked {
			v.open(f, r, frame)
		}
	}
	v.seq, v.hash = s.Position().Seq, s.Position().Hash
	if s.Position() == r.Start() && !v.lost {
		v.problem(Problem{File: f.Path, Offset: s.Position().Offset, Seq: f.First, What: "the segment has lost its first record"})
		v.lost = true
	}
	return nil
}

// open checks that a record was sealed for its place by somebody who has the key.
func (v *verification) open(f segment.File, r *segment.Reader, frame segment.Frame) {
	wrong := func(what string) {
		v.problem(Problem{File: f.Path, Offset: frame.Offset, Seq: frame.Seq, What: what})
	}
	plain, err := r.Plain(frame)
	if err != nil {
		wrong("the record does not open with the tenant's key: it is not what was written here")
		return
	}
	v.report.Opened++
	rec := record{plain: plain}
	if rec.isAccess() {
		return
	}
	e, err := rec.event()
	switch {
	case err != nil:
		wrong("the record opens, but cannot be read: " + err.Error())
	case e.Type == JournalShortened:
		// The journal goes on with the numbers of what was cut off.
		wrong(fmt.Sprintf("before this record the journal was found to end with record %s, though record %s had been written", e.Details["found"], e.Details["indexed"]))
	}
}
