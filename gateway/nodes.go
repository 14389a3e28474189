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

	"gatehouse/directory"
	"gatehouse/identity"
	"gatehouse/internal/cluster"
	"gatehouse/internal/fault"
)

// What nodes tell each other, beside the ends of sessions.
const (
	// topicChanged: what the rooms remember of a tenant may be old.
	topicChanged = "gateway.changed"
	// topicStreams: what is open without a session has to be closed, of one
	// principal or of the whole tenant.
	topicStreams = "gateway.streams"
	// topicPerson: who knows somebody, now that SQL cannot be asked.
	topicPerson = "gateway.person"
)

// What a change of a tenant is about. A node of an older version does not say, so
// that anything may have changed.
const (
	aboutTenant = "tenant" // its settings and connections
	aboutPeople = "people" // and groups and teams
	aboutPolicy = "policy"
	aboutTokens = "tokens" // and OAuth clients; their ends are told by topicStreams
)

const (
	// proveTime bounds reading anew what the rooms remember.
	proveTime = cluster.Lease / 2
	// proveRest is how long it is not tried again after a failure.
	proveRest = cluster.Lease / 8
	// maxNamed is how many people or principals one message names; people of a larger
	// change are everybody.
	maxNamed = 64
	// maxAsking bounds the questions for people that the other nodes have at a time.
	maxAsking = 256
)

// word is the body of a message.
type word struct {
	From      string `json:"from"` // the process that says it, which has done it already
	Principal string `json:"principal,omitempty"`
	// Principals are those whose streams are to end, where they are several.
	Principals []string `json:"principals,omitempty"`
	About      string   `json:"about,omitempty"`
	// People are those whom a change is about, or who are asked for.
	People []identity.UserID `json:"people,omitempty"`
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
	asking  chan struct{} // holds maxAsking

	mu      sync.Mutex
	unsaid  map[saying]uint64              // what the others may not have heard of, by its number
	said    uint64                         // the last number
	changed map[identity.TenantID]struct{} // whose policy has not been looked at since
}

// saying is what is told to the others.
type saying struct {
	topic     string
	tenant    identity.TenantID
	principal string
	about     string
}

func newNodes(bus cluster.Bus, r *rooms, log *slog.Logger) *nodes {
	n := &nodes{id: rand.Text(), bus: bus, rooms: r, log: log, began: time.Now(),
		proving: make(chan struct{}, 1), asking: make(chan struct{}, maxAsking),
		unsaid: map[saying]uint64{}, changed: map[identity.TenantID]struct{}{}}
	bus.Subscribe(topicChanged, n.hearChange)
	bus.Subscribe(topicPerson, n.hearQuestion)
	bus.Subscribe(topicStreams, n.hearEnd)
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
	n.rooms.machines.RefreshAll()
	if err := n.reviewStreams(ctx); err != nil {
		return err
	}
	for _, t := range n.rooms.tenants.List() {
		n.renewSoon(t.ID)
		if err := n.review(ctx, t.ID, directory.Everybody); err != nil {
			n.log.WarnContext(ctx, "not everything that is open was looked at anew", "tenant", t.ID, "error", err)
		}
	}
	for caught := n.caught.Load(); caught < missed && !n.caught.CompareAndSwap(caught, missed); {
		caught = n.caught.Load()
	}
	return nil
}

// AnnounceTenant tells the other nodes that a tenant, or a connection of it, has
// changed, and returns once none of them goes by what was. Where nothing has
// changed now, it says only what they may not have heard earlier.
func (n *nodes) AnnounceTenant(ctx context.Context, tenant identity.TenantID, changed bool) error {
	if n.rooms.machines != nil { // else it is the start
		n.rooms.machines.Refresh(tenant) // some are recognised by what a connection's provider says
	}
	return n.announce(ctx, saying{topic: topicChanged, tenant: tenant, about: aboutTenant}, changed, nil)
}

// AnnouncePolicy is [nodes.AnnounceTenant] for a tenant's roles.
func (n *nodes) AnnouncePolicy(ctx context.Context, tenant identity.TenantID, changed bool) error {
	return n.announce(ctx, saying{topic: topicChanged, tenant: tenant, about: aboutPolicy}, changed, nil)
}

// AnnouncePeople is [nodes.AnnounceTenant] for a tenant's directory: who these people
// are has changed.
func (n *nodes) AnnouncePeople(ctx context.Context, tenant identity.TenantID, changed bool, people []identity.UserID) error {
	return n.announce(ctx, saying{topic: topicChanged, tenant: tenant, about: aboutPeople}, changed, people)
}

// AnnounceTokens is [nodes.AnnounceTenant] for a tenant's tokens, which go on.
func (n *nodes) AnnounceTokens(ctx context.Context, tenant identity.TenantID) error {
	return n.say(ctx, saying{topic: topicChanged, tenant: tenant, about: aboutTokens}, nil)
}

func (n *nodes) announce(ctx context.Context, this saying, changed bool, people []identity.UserID) error {
	if !changed && !n.owes(this) {
		return nil
	}
	if !changed || len(people) > maxNamed || this.about != aboutPeople {
		people = directory.Everybody
	}
	n.renewSoon(this.tenant)
	reviewed := n.review(ctx, this.tenant, people)
	err := n.say(ctx, this, people)
	if reviewed != nil {
		n.owe(this)
	}
	return errors.Join(reviewed, err)
}

// review has what is open here to these people, or [directory.Everybody] and programs,
// judged by what they are at this moment: what would not be let in is closed.
func (n *nodes) review(ctx context.Context, tenant identity.TenantID, people []identity.UserID) error {
	front := n.rooms.front
	switch {
	case front == nil || len(people) == 0: // nothing is served yet, or nobody is another one now
		return nil
	case slices.Equal(people, directory.Everybody):
		return front.Review(ctx, tenant, nil)
	}
	return front.Review(ctx, tenant, func(p *identity.Principal) bool {
		return p.Kind == identity.KindUser && slices.Contains(people, p.User)
	})
}

// owe has something be said again.
func (n *nodes) owe(this saying) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.said++
	n.unsaid[this] = n.said
}

func (n *nodes) owes(this saying) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.unsaid[this] != 0
}

// owesAny reports whether there is something that the others may not have heard.
func (n *nodes) owesAny() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.unsaid) > 0
}

// say tells the other nodes, and returns once they have done what it asks for. If
// that cannot be, it is said again until they have.
func (n *nodes) say(ctx context.Context, this saying, people []identity.UserID) error {
	n.mu.Lock()
	n.said++
	number := n.said
	n.mu.Unlock()
	err := n.publish(ctx, this, word{Principal: this.principal, About: this.about, People: people})
	n.mu.Lock()
	defer n.mu.Unlock()
	if err != nil {
		n.unsaid[this] = max(n.unsaid[this], number)
		return err
	}
	// What was said after this has not been heard, nor what an earlier message said of
	// others than this one.
	if covers := this.about != aboutPeople || slices.Equal(people, directory.Everybody); covers && n.unsaid[this] <= number {
		delete(n.unsaid, this)
	}
	return nil
}

// publish returns once the other nodes have done what a word asks for.
func (n *nodes) publish(ctx context.Context, this saying, w word) error {
	w.From = n.id
	body, err := json.Marshal(w)
	if err == nil {
		_, err = n.bus.Publish(ctx, cluster.Message{Topic: this.topic, Tenant: this.tenant, Body: body})
	}
	return fault.OutOfReach(err, "nodes-unconfirmed", "It is done, but not every node of the gateway is known to go by it yet. Try again in a moment.")
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
	return n.hear(m, func(w word) wait {
		switch w.About {
		case aboutTokens:
			n.rooms.tokens.Refresh(m.Tenant)
			return nil
		case aboutPeople:
			n.rooms.tokens.Refresh(m.Tenant) // those of somebody who has left are good no more
			n.rooms.directory.Refresh(m.Tenant, w.People)
			n.rooms.follow(m.Tenant)
		case aboutPolicy, aboutTenant:
			n.rooms.directory.Refresh(m.Tenant, nil)
		default:
			n.rooms.directory.Refresh(m.Tenant, directory.Everybody)
			n.rooms.follow(m.Tenant)
		}
		n.renewSoon(m.Tenant)
		return func(ctx context.Context) ([]byte, error) {
			if w.About != aboutPeople && w.About != aboutPolicy {
				if err := n.rooms.tenants.Refresh(ctx); err != nil {
					n.missed.Add(1)
					return nil, err
				}
				n.rooms.machines.Refresh(m.Tenant)
			}
			people := directory.Everybody
			if w.About == aboutPeople {
				people = w.People
			}
			return nil, n.review(ctx, m.Tenant, people)
		}
	})
}

// Run keeps memory proven while this node lives by SQL, closes what nobody can
// make sure of, and says again what the others may not have heard.
func (n *nodes) Run(ctx context.Context) error {
	var work sync.WaitGroup
	defer work.Wait()
	work.Go(func() { every(ctx, proveRest, n.tend) })
	work.Go(func() { every(ctx, proveRest, n.renew) })
	work.Go(func() { every(ctx, proveRest, n.giveBack) })
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
		n.cut(ctx, tenant, "")
	}
}

func (n *nodes) renewSoon(tenant identity.TenantID) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.changed[tenant] = struct{}{}
}

// renew reads the policies and services of tenants that have changed, before anybody
// asks: by then SQL may be away.
func (n *nodes) renew(ctx context.Context) {
	n.mu.Lock()
	changed := n.changed
	n.changed = map[identity.TenantID]struct{}{}
	n.mu.Unlock()
	away := false
	for tenant := range changed {
		if !away {
			bounded, cancel := context.WithTimeout(ctx, proveTime)
			err := errors.Join(n.rooms.authz.Refresh(bounded, tenant), n.rooms.machines.Renew(bounded, tenant))
			cancel()
			if away = err != nil && !n.bus.State().SQLReached; err == nil {
				continue
			}
		}
		n.renewSoon(tenant)
	}
}

// giveBack lets go of what others have told of people, once SQL is there. Who changes
// something by way of SQL waits for longer than this takes.
func (n *nodes) giveBack(context.Context) {
	if !n.bus.State().SQLReached {
		return
	}
	for _, tenant := range n.rooms.directory.GiveBack() {
		n.renewSoon(tenant)
	}
}

func (n *nodes) repeat(ctx context.Context) {
	n.mu.Lock()
	unsaid := slices.Collect(maps.Keys(n.unsaid))
	n.mu.Unlock()
	for _, this := range unsaid {
		if this.topic == topicChanged && n.review(ctx, this.tenant, directory.Everybody) != nil {
			continue
		}
		if err := n.say(ctx, this, directory.Everybody); err != nil {
			n.log.WarnContext(ctx, "the other nodes may not have heard of a change; they will be told again", "tenant", this.tenant, "error", err)
			return
		}
	}
}

// standing is how this node stands to the others, for operators.
func (n *nodes) standing() map[string]any {
	state := n.bus.State()
	seen := map[string]any{"mode": state.Mode, "members": append([]string{}, state.Members...)}
	if state.Mode != cluster.ModeAlone {
		seen["unsettled"] = n.rooms.sessions.Unsettled()
		seen["epoch"], seen["gaps"], seen["redis_reached"], seen["sql_reached"] = state.Epoch, state.Gaps, state.RedisReached, state.SQLReached
		seen["apart"] = append([]string{}, state.Apart...)
	}
	return seen
}
