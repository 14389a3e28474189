package gateway

import (
	"cmp"
	"context"
	"encoding/json"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"gatehouse/internal/cluster"
)

const (
	// noteEvery is how often a node tells of itself, and silentAfter how long it may
	// not have while others hear it.
	noteEvery   = time.Second
	silentAfter = 6 * time.Second
	// forgetSilent is when a node that is silent is struck off.
	forgetSilent = time.Hour
	// noteTime bounds a step in Redis.
	noteTime = 500 * time.Millisecond

	maxNodes     = 256
	maxNote      = 8 << 10
	maxNoteTexts = 64
)

// note is what a node tells of itself, for people: nothing is decided by it.
type note struct {
	Beat     uint64       `json:"beat"` // another with every note
	Process  string       `json:"process"`
	Version  string       `json:"version"`
	Started  time.Time    `json:"started"`
	Mode     cluster.Mode `json:"mode"`
	Epoch    uint64       `json:"epoch"`
	Gaps     uint64       `json:"gaps"`
	Redis    bool         `json:"redis"`
	SQL      bool         `json:"sql"`
	Draining bool         `json:"draining"`
	Unready  int          `json:"unready"`
	Alerts   []told       `json:"alerts"`
}

// told is an alert of a node, those about tenants aside.
type told struct {
	Reason string    `json:"reason"`
	About  string    `json:"about,omitempty"`
	Since  time.Time `json:"since"`
	Event  string    `json:"event,omitempty"`
}

// heard is what was heard of another node.
type heard struct {
	note
	raw   string
	at    time.Time     // when this note was first heard, by this node's clock
	quiet time.Duration // for how long it could have been heard since, and was not
}

// roster is what the nodes tell each other of themselves in Redis, so that an
// operator sees all of them at any of them. It is not what they agree by: that is
// the bus.
type roster struct {
	node   string
	client redis.UniversalClient // nil: this node is alone
	key    string
	self   func() note
	log    *slog.Logger

	mu    sync.Mutex
	beat  uint64
	asked time.Time // when Redis last told of the others
	nodes map[string]*heard
}

func newRoster(node, environment string, client redis.UniversalClient, log *slog.Logger) *roster {
	return &roster{node: node, client: client, key: environment + ":{gatehouse}:nodes", log: log, nodes: map[string]*heard{}}
}

// Run tells and hears until ctx ends, and then takes this node's leave.
func (r *roster) Run(ctx context.Context) error {
	if r.client == nil {
		<-ctx.Done()
		return nil
	}
	r.exchange(ctx)
	every(ctx, noteEvery, r.exchange)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), noteTime)
	defer cancel()
	if err := r.client.HDel(ctx, r.key, r.node).Err(); err != nil {
		r.log.DebugContext(ctx, "left the roster without a word", "error", err)
	}
	return nil
}

// exchange tells of this node and hears of the others. Without Redis nothing is
// heard, and what was stays as it is.
func (r *roster) exchange(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, noteTime)
	defer cancel()
	this := r.self()
	r.mu.Lock()
	r.beat++
	this.Beat = r.beat
	r.mu.Unlock()
	text, err := json.Marshal(this)
	if err != nil {
		return
	}
	var all *redis.MapStringStringCmd
	_, err = r.client.Pipelined(ctx, func(p redis.Pipeliner) error {
		p.HSet(ctx, r.key, r.node, text)
		all = p.HGetAll(ctx, r.key)
		return nil
	})
	if err != nil {
		return // the bus says so
	}
	if gone := r.hear(all.Val(), time.Now()); len(gone) > 0 {
		_ = r.client.HDel(ctx, r.key, gone...).Err() // again with the next exchange
	}
}

// hear takes down what Redis told, and names who is to be struck off.
func (r *roster) hear(all map[string]string, now time.Time) (gone []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	// Time in which nothing could be heard says nothing of the others.
	passed := min(now.Sub(r.asked), 2*noteEvery)
	if r.asked.IsZero() {
		passed = 0
	}
	r.asked = now
	for name := range r.nodes {
		if _, there := all[name]; !there {
			delete(r.nodes, name)
		}
	}
	for name, raw := range all {
		if name == r.node || len(name) > maxNoteTexts || len(raw) > maxNote {
			continue
		}
		known := r.nodes[name]
		switch {
		case known != nil && known.raw == raw:
			if known.quiet += passed; known.quiet > forgetSilent {
				gone = append(gone, name)
			}
			continue
		case known == nil && len(r.nodes) >= maxNodes:
			continue
		}
		next := &heard{raw: raw, at: now}
		if json.Unmarshal([]byte(raw), &next.note) != nil {
			continue // of a version that speaks otherwise
		}
		next.Alerts = next.Alerts[:min(len(next.Alerts), maxNoteTexts)]
		r.nodes[name] = next
	}
	return gone
}

// others gives what was heard, by name, and whether Redis tells of them now.
func (r *roster) others() (names []string, all map[string]heard, current bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	all = make(map[string]heard, len(r.nodes))
	for name, h := range r.nodes {
		names = append(names, name)
		all[name] = *h
	}
	slices.Sort(names)
	return names, all, time.Since(r.asked) < 3*noteEvery
}

// silent gives the nodes that have fallen silent. The first of those that can be
// heard tells of them, for all.
func (r *roster) silent() (all []subject) {
	names, others, current := r.others()
	if !current {
		return nil
	}
	for _, name := range names {
		switch h := others[name]; {
		case h.quiet >= silentAfter:
			all = append(all, subject{Node: name, Name: name})
		case cmp.Less(name, r.node):
			return nil
		}
	}
	return all
}
