package cluster

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// member is a node as the others see it.
type member struct {
	renewal string        // as the node wrote it
	seen    time.Duration // when this renewal was first seen here
	epoch   uint64
}

// The lease that a node holds by its renewal r ends Lease after it sent r, so at
// the latest Lease after anybody first saw r. Nobody's time of day counts, Redis'
// neither.
func (m member) end() time.Duration { return m.seen + patience }

// has reports whether the node said that it has applied a message. One that has
// made sure of its cache instead, because messages were missing, has not.
func (m member) has(seq uint64) bool {
	parts := strings.Fields(m.renewal)
	return len(parts) == 3 && parseNumber(parts[1]) >= seq && parseNumber(parts[2]) < seq
}

// meet notes what Redis told of the members; b.mu is held. What was told earlier
// and comes later makes a lease look longer, never shorter.
func (b *Redis) meet(t *term, got standing) {
	now := b.now()
	for id, renewal := range got.members {
		if m, ok := b.members[id]; !ok || m.renewal != renewal || m.epoch != t.epoch.Number {
			b.members[id] = member{renewal: renewal, seen: now, epoch: t.epoch.Number}
			b.noteLocked(sign{node: id})
		}
	}
	for id, m := range b.members {
		if _, here := got.members[id]; !here && m.epoch <= t.epoch.Number {
			delete(b.members, id)
		}
	}
}

// goneLocked gives the members whose lease has run out, for renew.lua; b.mu is
// held.
func (b *Redis) goneLocked(now time.Duration) (pairs []any) {
	for id, m := range b.members {
		if id != b.id && now >= m.end() {
			pairs = append(pairs, id, m.renewal)
		}
	}
	return pairs
}

// publication is a message on its way.
type publication struct {
	answers map[string]Confirmation // by the node's id
	news    chan struct{}
}

func (b *Redis) expect(message string) *publication {
	p := &publication{answers: map[string]Confirmation{}, news: make(chan struct{}, 1)}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.pending[message] = p
	return p
}

func (b *Redis) forget(message string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.pending, message)
}

// confirmed notes what a node, by its id, says of a message.
func (b *Redis) confirmed(message string, c Confirmation) {
	b.mu.Lock()
	defer b.mu.Unlock()
	p := b.pending[message]
	if p == nil || len(c.Report) > MaxReport {
		return
	}
	if _, twice := p.answers[c.Node]; !twice {
		p.answers[c.Node] = c
		select {
		case p.news <- struct{}{}:
		default:
		}
	}
}

// acked reads an ack as ack.lua wrote it.
func (b *Redis) acked(values map[string]any) {
	text := func(name string) string { s, _ := values[name].(string); return s }
	c := Confirmation{Node: text("node"), Problem: text("problem")}
	if c.Confirmed = c.Problem == ""; c.Confirmed && text("report") != "" {
		c.Report = []byte(text("report"))
	}
	b.confirmed(text("id"), c)
}

// Publish makes a message known: through Redis while this node is fresh, and
// through SQL else. With neither it fails (promise P7).
//
// SQL is asked first, after the publisher's own commit. If it still names the
// epoch of this node, whoever joins a later one verifies its cache after that
// commit (join). And who lives by SQL and is not among those that it lists came
// onto the list later, and asked for all that it relies on after that commit. If
// SQL cannot be asked, nobody joins; and who lived by it has run out of answers a
// Lease after it was lost.
func (b *Redis) Publish(ctx context.Context, m Message) ([]Confirmation, error) {
	if err := m.check(); err != nil {
		return nil, err
	}
	if !b.life.enter() {
		return nil, unavailable(errClosed)
	}
	defer b.life.group.Done()
	ctx, cancel := b.life.within(ctx)
	defer cancel()
	ctx, cancelTime := context.WithTimeout(ctx, publishTime)
	defer cancelTime()
	select {
	case b.slots <- struct{}{}:
		defer func() { <-b.slots }()
	case <-ctx.Done():
		return nil, unavailable(ctx.Err())
	}
	m.ID = rand.Text()
	p := b.expect(m.ID)
	defer b.forget(m.ID)

	began := b.now()
	q := b.asker.ask(ctx)
	if q == nil {
		return nil, unavailable(context.Cause(ctx))
	}
	if t := b.current(); t != nil && b.Fresh() {
		seq, others, err := b.send(ctx, t, m, q, began)
		if err == nil {
			if q.err != nil {
				sleep(ctx, b.lostSince()+patience-b.now())
			}
			return b.await(ctx, t, p, seq, others)
		}
		if errors.Is(err, errEpoch) {
			b.finish(t, err)
		}
		// Whether it got there or not: it is known by its id.
	}
	if q.err != nil {
		return nil, unavailable(fmt.Errorf("neither Redis nor SQL: %w", q.err))
	}
	return b.publishBySQL(ctx, p, m)
}

// awaited is a node that a publication waits for, until then at the longest.
type awaited struct {
	id     string
	until  time.Duration
	member bool
}

// send appends the message to the log and answers its number and whom to wait
// for.
func (b *Redis) send(ctx context.Context, t *term, m Message, q *question, began time.Duration) (uint64, []awaited, error) {
	select {
	case b.steps <- struct{}{}:
		defer func() { <-b.steps }()
	case <-ctx.Done():
		return 0, nil, ctx.Err()
	}
	answer, err := b.run(ctx, publishScript, []string{b.keys.bus(), b.keys.log(t.epoch.Number)},
		t.epoch.Number, t.epoch.Server, b.id, m.ID, m.Topic, string(m.Tenant), m.Body, m.Keep)
	if err != nil {
		return 0, nil, err
	}
	list, err := texts(answer)
	if err != nil {
		return 0, nil, err
	}
	got, err := parseStanding(list)
	if err != nil {
		return 0, nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.meet(t, got)
	return got.seq, b.awaitedLocked(q, got, began), nil
}

// awaitedLocked names whom a message concerns; b.mu is held.
func (b *Redis) awaitedLocked(q *question, got standing, began time.Duration) []awaited {
	list := []awaited{{id: b.id, until: b.now() + patience, member: true}}
	for id := range got.members {
		if id != b.id {
			// A member without the message is fresh by the renewal that stood beside it
			// at the longest: any later one is told of the message.
			list = append(list, awaited{id: id, until: b.members[id].end(), member: true})
		}
	}
	for _, id := range q.epoch.Apart {
		// It got what it answers from SQL before began, and keeps it for a Lease.
		at := slices.IndexFunc(list, func(w awaited) bool { return w.id == id })
		switch {
		case at < 0:
			list = append(list, awaited{id: id, until: began + patience})
		case id != b.id:
			list[at].until = max(list[at].until, began+patience)
		}
	}
	return list
}

// await waits for those who must apply a message.
func (b *Redis) await(ctx context.Context, t *term, p *publication, seq uint64, open []awaited) ([]Confirmation, error) {
	var all []Confirmation
	for {
		open = b.settle(p, open, &all)
		if len(open) == 0 {
			break
		}
		next := slices.MinFunc(open, func(a, b awaited) int { return cmp.Compare(a.until, b.until) })
		if b.now() >= next.until {
			open = b.review(ctx, t, seq, open, &all)
			continue
		}
		if !b.news(ctx, p, next.until) {
			for _, w := range open {
				all = append(all, Confirmation{Node: nodeOf(w.id), Problem: "no answer in time"})
			}
			break
		}
	}
	if ctx.Err() != nil && verdict(all) == nil {
		return all, unavailable(fmt.Errorf("%w: %w", ErrUnconfirmed, context.Cause(ctx)))
	}
	return all, verdict(all)
}

// news waits for an answer, or until then; false if ctx ended.
func (b *Redis) news(ctx context.Context, p *publication, until time.Duration) bool {
	timer := time.NewTimer(until - b.now())
	defer timer.Stop()
	select {
	case <-p.news:
	case <-timer.C:
	case <-ctx.Done():
		return false
	}
	return true
}

// settle moves the nodes that have answered from open to all.
func (b *Redis) settle(p *publication, open []awaited, all *[]Confirmation) []awaited {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.DeleteFunc(open, func(w awaited) bool {
		c, answered := p.answers[w.id]
		if answered {
			c.Node = nodeOf(w.id)
			*all = append(*all, c)
		}
		return answered
	})
}

// review looks again at members whose time is over. One that has applied the
// message, and renews, is busy with its wait: its streams are still there, and so
// it is waited for as long as it renews. Every other one is not fresh until it
// has applied the message.
func (b *Redis) review(ctx context.Context, t *term, seq uint64, open []awaited, all *[]Confirmation) []awaited {
	if seen, got, err := b.lookInTurn(ctx); err == nil && seen.epoch == t.epoch.Number && seen.server == t.epoch.Server {
		b.mu.Lock()
		b.meet(t, got)
		b.mu.Unlock()
	}
	now := b.now()
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range open {
		m := b.members[open[i].id]
		if open[i].until <= now && open[i].member && m.epoch == t.epoch.Number && m.has(seq) {
			open[i].until = m.end()
		}
	}
	return slices.DeleteFunc(open, func(w awaited) bool {
		over := w.until <= now
		if over {
			*all = append(*all, Confirmation{Node: nodeOf(w.id)})
		}
		return over
	})
}

func (b *Redis) lookInTurn(ctx context.Context) (view, standing, error) {
	select {
	case b.steps <- struct{}{}:
		defer func() { <-b.steps }()
	case <-ctx.Done():
		return view{}, standing{}, ctx.Err()
	}
	return b.look(ctx)
}

func (b *Redis) lostSince() time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.lost
}

// publishBySQL puts the message into the outbox and waits until SQL has answered
// for a Lease. Who is fresh then has asked after the commit, and has applied what
// it found; who lives by SQL has asked for all that it relies on. Nobody is asked
// to confirm, so nobody else does.
func (b *Redis) publishBySQL(ctx context.Context, p *publication, m Message) ([]Confirmation, error) {
	sqlCtx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	if err := b.arbiter.Append(sqlCtx, m); err != nil {
		return nil, unavailable(err)
	}
	appended := b.now()
	if b.life.enter() {
		go func() {
			defer b.life.group.Done()
			b.inbox.take(ctx, m, func(report []byte, err error) { b.confirmed(m.ID, confirmation(b.id, report, err)) })
		}()
	}
	q, err := b.outlast(ctx, appended)
	if err != nil {
		return nil, err
	}
	var all []Confirmation
	for open := []awaited{{id: b.id}}; len(open) > 0; {
		if open = b.settle(p, open, &all); len(open) > 0 && !b.news(ctx, p, b.now()+publishTime) {
			return all, unavailable(fmt.Errorf("%w: %w", ErrUnconfirmed, context.Cause(ctx)))
		}
	}
	b.mu.Lock()
	others := slices.AppendSeq(slices.Clone(q.epoch.Apart), maps.Keys(b.members))
	b.mu.Unlock()
	slices.Sort(others)
	for _, id := range slices.Compact(others) {
		if id != b.id {
			all = append(all, Confirmation{Node: nodeOf(id)})
		}
	}
	return all, verdict(all)
}

// outlast waits until SQL has answered every question for a Lease since then, and
// gives the last one.
func (b *Redis) outlast(ctx context.Context, since time.Duration) (*question, error) {
	for {
		q := b.asker.ask(ctx)
		if q == nil {
			return nil, unavailable(fmt.Errorf("%w: %w", ErrUnconfirmed, context.Cause(ctx)))
		}
		b.mu.Lock()
		over := max(since, b.steady) + patience
		b.mu.Unlock()
		if q.err == nil && q.sent >= over {
			return q, nil
		}
		sleep(ctx, min(interval, max(pause, over-b.now())))
	}
}
