package scim

import (
	"maps"
	"sync"
	"time"

	"gatehouse/directory"
	"gatehouse/identity"
)

const (
	// readingLife is how long a client may take from one page to the next.
	readingLife = 10 * time.Minute
	// maxReadings bounds what is remembered of all tenants together; whatever the
	// map yields first makes room.
	maxReadings = 1024
)

// readings remembers where the pages end that clients read one after the other
// (RFC 7644 §3.4.2.4). When people are deleted meanwhile, all behind them move
// up, so that the next index alone would pass over as many. Whoever comes to
// another node, or too late, gets the page by its index.
type readings struct {
	mu   sync.Mutex
	last map[readingKey]reading
}

// readingKey says which pages belong together.
type readingKey struct {
	tenant                identity.TenantID
	token, filter, sorted string
	kind                  string // empty: all of them
}

// reading is the last page: where it began, and where the next one does.
type reading struct {
	this, next index
	until      time.Time
}

// index is a startIndex, and the record that comes before it; the zero position: not
// known.
type index struct {
	start int
	after directory.Position
}

// find gives the index with its position: after the last page, or of the last page
// itself, which a client whose connection broke asks for again.
func (r *readings) find(k readingKey, start int) index {
	r.mu.Lock()
	defer r.mu.Unlock()
	last, ok := r.last[k]
	switch {
	case !ok || time.Now().After(last.until):
	case start == last.next.start:
		return last.next
	case start == last.this.start:
		return last.this
	}
	return index{start: start}
}

func (r *readings) note(k readingKey, this, next index) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.last == nil {
		r.last = make(map[readingKey]reading)
	}
	now := time.Now()
	maps.DeleteFunc(r.last, func(_ readingKey, old reading) bool { return now.After(old.until) })
	for other := range r.last {
		if len(r.last) < maxReadings {
			break
		}
		delete(r.last, other)
	}
	r.last[k] = reading{this, next, now.Add(readingLife)}
}
