package audit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
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
	Problems []Problem         `json:"problems"`
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

// Verify checks every node's files of a tenant, without any key: that each
// record is unchanged and in its place, that the segments follow on each other,
// and that none is missing. What it cannot see is the newest records being cut
// off at the very end; the index notices that when the gateway starts.
func Verify(ctx context.Context, dir string, tenant identity.TenantID) (Report, error) {
	return verify(ctx, dir, tenant, nil)
}

// verify reads of the files in live no more than the given length: they are
// being written.
func verify(ctx context.Context, dir string, tenant identity.TenantID, live map[string]int64) (Report, error) {
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
	for _, node := range nodes {
		v := verification{report: &report, tenant: string(tenant), node: node, live: live}
		if err := v.run(ctx, filepath.Join(dir, string(tenant), node)); err != nil {
			return report, err
		}
	}
	return report, nil
}

// verification follows one node's segments.
type verification struct {
	report *Report
	tenant string
	node   string
	live   map[string]int64

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
	if err != nil {
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
		v.problem(*v.torn)
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
	}
	if size, ok := v.live[f.Path]; ok {
		r.Limit(size)
	}
	return v.scan(ctx, f, r)
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

func (v *verification) scan(ctx context.Context, f segment.File, r *segment.Reader) error {
	s := r.Scan(r.Start())
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		_, err := s.Next()
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
	}
	v.seq, v.hash = s.Position().Seq, s.Position().Hash
	if s.Position() == r.Start() && !v.lost {
		v.problem(Problem{File: f.Path, Offset: s.Position().Offset, Seq: f.First, What: "the segment has lost its first record"})
		v.lost = true
	}
	return nil
}
