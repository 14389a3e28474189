package gateway

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"gatehouse/identity"
	"gatehouse/internal/cluster"
	"gatehouse/internal/fault"
	"gatehouse/tenants"
)

// What nodes tell each other, beside the ends of sessions.
const (
	// topicChanged: what the rooms remember of a tenant may be old.
	topicChanged = "gateway.changed"
	// topicStreams: what is open without a session has to be closed, of one
	// principal or of the whole tenant.
	topicStreams = "gateway.streams"
	// topicReconnect: what is open of a tenant has to be asked for again.
	topicReconnect = "gateway.reconnect"
)

const (
	// proveTime bounds reading anew what the rooms remember.
	proveTime = cluster.Lease / 2
	// proveRest is how long it is not tried again after a failure.
	proveRest = cluster.Lease / 8
)

// word is the body of a message.
type word struct {
	From      string `json:"from"` // the process that says it, which has done it already
	Principal string `json:"principal,omitempty"`
}

// nodes keeps what the rooms remember in step with the other nodes. While the
// bus is fresh every change of theirs has been applied, and memory counts. While
// this node lives by SQL alone, all of it is read anew once per lease. With
// neither, nothing is served (P7).
type nodes struct {
	id    string
	bus   cluster.Bus
	rooms *rooms
	log   *slog.Logger

	began   time.Time
	missed  atomic.Uint64 // changes that were heard of and could not be read
	caught  atomic.Uint64 // of these, how many were read since
	proven  atomic.Int64  // until when memory counts without the bus, since began
	failed  atomic.Int64  // when it was last found that it cannot be read
	proving chan struct{} // holds one

	mu     sync.Mutex
	unsaid map[identity.TenantID]bool // changes that the others may not have heard of
}

func newNodes(bus cluster.Bus, r *rooms, log *slog.Logger) *nodes {
	n := &nodes{id: rand.Text(), bus: bus, rooms: r, log: log, began: time.Now(),
		proving: make(chan struct{}, 1), unsaid: map[identity.TenantID]bool{}}
	bus.Subscribe(topicChanged, n.hearChange)
	bus.Subscribe(topicStreams, n.hearEnd)
	bus.Subscribe(topicReconnect, n.hearReconnect)
	bus.OnGap(n.reread)
	return n
}

func (n *nodes) now() int64 { return int64(time.Since(n.began)) }

// Holds reports whether what this node remembers counts at this instant.
func (n *nodes) Holds() bool { return n.holdsFor(0) }

func (n *nodes) holdsFor(d time.Duration) bool {
	return n.inStep() || n.now()+int64(d) < n.proven.Load()
}

func (n *nodes) inStep() bool { return n.bus.Fresh() && n.caught.Load() == n.missed.Load() }

var errApart = fault.New(fault.Unavailable, "registry-unavailable",
	"This node can ask neither the other nodes nor the database who is still signed in, so nothing is let through. Try again in a moment.")

// Current makes sure that what this node remembers counts, if need be by reading
// it anew.
func (n *nodes) Current() error {
	if n.Holds() {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), proveTime)
	defer cancel()
	return n.prove(ctx, 0)
}

// prove makes sure that what is remembered counts for some time to come.
func (n *nodes) prove(ctx context.Context, ahead time.Duration) error {
	select {
	case n.proving <- struct{}{}:
		defer func() { <-n.proving }()
	case <-ctx.Done():
		return errApart
	}
	if n.holdsFor(ahead) {
		return nil // whoever was before has seen to it
	}
	// In this order: what is read after these two may be relied on by them.
	sent := n.now()
	fresh, apart := n.bus.Fresh(), n.bus.Apart()
	if !fresh && !apart || n.failed.Load() != 0 && sent-n.failed.Load() < int64(proveRest) {
		return errApart
	}
	if err := n.reread(ctx); err != nil {
		n.failed.Store(n.now())
		n.log.WarnContext(ctx, "what this node remembers could not be read anew", "error", err)
		return errApart
	}
	if apart {
		n.proven.Store(sent + int64(cluster.Lease))
	}
	return nil
}

// reread lets go of all that is remembered, reads what no request reads for
// itself, and closes what is open without a session and may not be any more.
// What cannot be read stays as it was.
func (n *nodes) reread(ctx context.Context) error {
	missed := n.missed.Load() // first: what is missed meanwhile is to be read after this
	if err := n.rooms.tenants.Refresh(ctx); err != nil {
		return err
	}
	n.rooms.directory.RefreshAll()
	n.rooms.tokens.RefreshAll()
	if err := n.reviewStreams(ctx); err != nil {
		return err
	}
	for caught := n.caught.Load(); caught < missed && !n.caught.CompareAndSwap(caught, missed); {
		caught = n.caught.Load()
	}
	return nil
}

// Announce tells the other nodes that something of a tenant has changed that
// they may remember, and returns once none of them goes by what was. If that
// cannot be, it is tried again until they know.
func (n *nodes) Announce(ctx context.Context, tenant identity.TenantID) error {
	err := n.publish(ctx, topicChanged, tenant, "")
	n.mu.Lock()
	defer n.mu.Unlock()
	if err == nil {
		delete(n.unsaid, tenant)
		return nil
	}
	n.unsaid[tenant] = true
	return fault.OutOfReach(err, "nodes-unconfirmed", "It is done, but not every node of the gateway is known to go by it yet. Try again in a moment.")
}

func (n *nodes) publish(ctx context.Context, topic string, tenant identity.TenantID, principal string) error {
	body, err := json.Marshal(word{From: n.id, Principal: principal})
	if err != nil {
		return err
	}
	_, err = n.bus.Publish(ctx, cluster.Message{Topic: topic, Tenant: tenant, Body: body})
	return err
}

// wait is what a node does that takes longer than hearing of it.
type wait = func(context.Context) ([]byte, error)

func (n *nodes) hear(m cluster.Message, then func(word) wait) wait {
	var w word
	if err := json.Unmarshal(m.Body, &w); err != nil {
		return func(context.Context) ([]byte, error) {
			return nil, fmt.Errorf("gateway: read what a node says: %w", err)
		}
	}
	if w.From == n.id {
		return nil
	}
	return then(w)
}

func (n *nodes) hearChange(_ context.Context, m cluster.Message) wait {
	return n.hear(m, func(word) wait {
		n.rooms.directory.Refresh(m.Tenant)
		n.rooms.tokens.Refresh(m.Tenant)
		return func(ctx context.Context) ([]byte, error) {
			if err := n.rooms.tenants.Refresh(ctx); err != nil {
				n.missed.Add(1)
				return nil, err
			}
			return nil, nil
		}
	})
}

func (n *nodes) hearEnd(_ context.Context, m cluster.Message) wait {
	return n.hear(m, func(w word) wait {
		n.rooms.tokens.Refresh(m.Tenant)
		return func(ctx context.Context) ([]byte, error) { return nil, n.endHere(ctx, m.Tenant, w.Principal) }
	})
}

func (n *nodes) endHere(ctx context.Context, tenant identity.TenantID, principal string) error {
	front := n.rooms.front
	switch {
	case front == nil: // nothing is served yet
		return nil
	case principal == "":
		return front.EndTenant(ctx, tenant)
	}
	return front.End(ctx, tenant, principal)
}

// endStreams closes on every node what is open without a session, of one
// principal or, if that is empty, of the whole tenant.
func (n *nodes) endStreams(ctx context.Context, tenant identity.TenantID, principal string) error {
	return errors.Join(n.endHere(ctx, tenant, principal), n.publish(ctx, topicStreams, tenant, principal))
}

// reconnect has clients connect again whose tenant's settings have changed.
func (n *nodes) reconnect(ctx context.Context, tenant identity.TenantID) error {
	n.reconnectHere(tenant)
	return n.publish(ctx, topicReconnect, tenant, "")
}

func (n *nodes) hearReconnect(_ context.Context, m cluster.Message) wait {
	return n.hear(m, func(word) wait {
		n.reconnectHere(m.Tenant)
		return nil
	})
}

func (n *nodes) reconnectHere(tenant identity.TenantID) {
	if front := n.rooms.front; front != nil {
		front.Reconnect(tenant)
	}
}

// reviewStreams asks SQL for whoever has something open without a session, and
// closes what is of those that may not any more.
func (n *nodes) reviewStreams(ctx context.Context) error {
	front := n.rooms.front
	if front == nil {
		return nil
	}
	var failures []error
	for tenant, principals := range front.Sessionless() {
		t, ok := n.rooms.tenants.ByID(tenant)
		if !ok || t.Status != tenants.Active {
			failures = append(failures, front.EndTenant(ctx, tenant))
			continue
		}
		for principal := range principals {
			if principal == "" {
				continue
			}
			good, err := n.rooms.tokens.Good(ctx, tenant, identity.TokenID(principal))
			if err == nil && !good {
				err = front.End(ctx, tenant, principal)
			}
			failures = append(failures, err)
		}
	}
	return errors.Join(failures...)
}

// Run keeps memory proven while this node lives by SQL, closes what nobody can
// make sure of, and says again what the others may not have heard.
func (n *nodes) Run(ctx context.Context) error {
	var work sync.WaitGroup
	defer work.Wait()
	work.Go(func() { every(ctx, proveRest, n.tend) })
	every(ctx, proveRest, n.repeat)
	return nil
}

func every(ctx context.Context, d time.Duration, do func(context.Context)) {
	tick := time.NewTicker(d)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			do(ctx)
		}
	}
}

func (n *nodes) tend(ctx context.Context) {
	if n.inStep() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, proveTime)
	defer cancel()
	if n.prove(ctx, cluster.Lease/2) == nil || n.Holds() || n.rooms.front == nil {
		return
	}
	for tenant := range n.rooms.front.Sessionless() {
		_ = n.rooms.front.EndTenant(ctx, tenant) // it closes what it can; the next turn sees the rest
	}
}

func (n *nodes) repeat(ctx context.Context) {
	n.mu.Lock()
	unsaid := slices.Collect(maps.Keys(n.unsaid))
	n.mu.Unlock()
	for _, tenant := range unsaid {
		if err := n.Announce(ctx, tenant); err != nil {
			n.log.WarnContext(ctx, "the other nodes may not have heard of a change; they will be told again", "tenant", tenant, "error", err)
			return
		}
	}
}

// standing is how this node stands to the others, for operators.
func (n *nodes) standing() map[string]any {
	state := n.bus.State()
	seen := map[string]any{"mode": state.Mode, "members": append([]string{}, state.Members...)}
	if state.Mode != cluster.ModeAlone {
		seen["epoch"], seen["gaps"], seen["redis_reached"], seen["sql_reached"] = state.Epoch, state.Gaps, state.RedisReached, state.SQLReached
	}
	return seen
}
