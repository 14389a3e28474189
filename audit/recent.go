package audit

import (
	"context"
	"iter"
	"path/filepath"

	"gatehouse/audit/segment"
	"gatehouse/identity"
)

// recentSegments is how many of a log's last files [Journal.Recent] looks through.
const recentSegments = 4

// Node is the name under which this journal is written.
func (j *Journal) Node() string { return j.o.Node }

// Last is the number of this node's newest record of a tenant; 0 if there is none.
func (j *Journal) Last(tenant identity.TenantID) (uint64, error) {
	l, err := j.logOf(tenant)
	if err != nil {
		return 0, err
	}
	return l.last()
}

// Recent gives this node's records of a tenant after the one numbered afterSeq, in
// order, save allowed accesses: as far back as the last four files reach, which is far
// enough for what went on when the process before this one died. A place that cannot
// be read yields an error, and reading goes on behind it.
func (j *Journal) Recent(ctx context.Context, tenant identity.TenantID, afterSeq uint64) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		dir, err := j.files.folder(tenant)
		if err != nil {
			yield(Event{}, err)
			return
		}
		files, err := segment.List(filepath.Join(dir, j.o.Node))
		if err != nil {
			yield(Event{}, err)
			return
		}
		if n := len(files); n > recentSegments {
			afterSeq = max(afterSeq, files[n-recentSegments].First-1)
		}
		for rec, err := range j.files.records(ctx, tenant, j.o.Node, place{Position: segment.Position{Seq: afterSeq}}) {
			if err == nil && rec.isAccess() {
				continue
			}
			if !yield(rec.eventOr(err)) {
				return
			}
		}
	}
}
