package cluster

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"gatehouse/identity"
)

// term is one stretch of taking part in an epoch, from joining it to the first
// doubt. There is no way back from doubt but to join anew.
type term struct {
	epoch   Epoch
	since   time.Duration // when this node first heard of the epoch
	entered time.Duration
	ctx     context.Context
	cancel  context.CancelCauseFunc
	deaths  chan struct{} // others have died since what is cached was last verified

	// What follows is guarded by the bus's mu.
	// settled: nobody is left in the epoch before. SQL has answered for a Lease since
	// this node heard of the epoch, so by now all have heard of it.
	settled bool
	from    uint64        // every message after this number,
	applied uint64        // up to this one, has been applied
	moved   chan struct{} // closed when applied moves
	renewed time.Duration // when the newest renewal was sent that has been caught up with
	asked   time.Duration // when SQL was last asked, and did not say otherwise
}

var (
	errLapsed  = errors.New("the lease ran out")
	errMissing = errors.New("messages are missing from the log")
	errAnother = errors.New("another epoch has begun")
	errTrimmed = errors.New("messages are missing from the outbox")
)

// serve reads the log and renews the lease until the term ends. What it does
// beside ends with it.
func (b *Redis) serve(t *term) {
	var group sync.WaitGroup
	group.Go(func() { b.follow(t) })
	group.Go(func() { b.verifyAfterDeaths(t) })
	b.renew(t)
	b.finish(t, context.Canceled) // if Run's context ended it
	group.Wait()
	b.mu.Lock()
	b.read = position{t.epoch.Number, t.from, t.applied}
	if errors.Is(context.Cause(t.ctx), errMissing) {
		b.read = position{} // reading on would find the same hole again
	}
	b.mu.Unlock()
	if why := context.Cause(t.ctx); !errors.Is(why, context.Canceled) {
		b.log.Warn("joins the other nodes anew and makes sure of all that is cached", "reason", why, "epoch", t.epoch.Number)
	}
}

// finish ends a term. From here on the node is not fresh, and it joins anew.
func (b *Redis) finish(t *term, why error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.finishLocked(t, why)
}

func (b *Redis) finishLocked(t *term, why error) {
	if b.term != t {
		return
	}
	b.term = nil
	b.until.Store(0)
	t.cancel(why)
	b.wake()
}

// prove sets the lease from what is proved; b.mu is held.
//
// A renewal that was sent at r and has been caught up with proves: every message
// that was in the log at r has been applied here. (Its answer named the last
// number at an instant after r, and all up to it are applied.)
//
// A question that was sent to SQL at a and was answered proves: at an instant
// after a the epoch was this one, and all of the outbox is applied here.
//
// A question that could not be answered proves nothing by itself. But an epoch
// begun, or a message put into the outbox, since the last answer is not relied
// on by whoever did it before SQL has answered for a Lease after it (settled,
// publishBySQL), and in that time this node asks, and hears of it. So it goes on
// with Redis alone, and the lease counts from the failure, lest it run on when
// the failures end.
//
// So a message of any kind whose publishing was over before min(r, a) has been
// applied, and one that has not been applied is not over before the lease is.
func (b *Redis) prove(t *term) {
	if b.term != t || !t.settled || t.renewed == 0 || t.asked == 0 {
		return
	}
	now := int64(b.now())
	if until := b.until.Load(); until != 0 && until <= now {
		// Others have gone on without this node meanwhile. What it missed stands in
		// the log still, but a cache that stood still for so long is verified first.
		b.finishLocked(t, errLapsed)
		return
	}
	if until := int64(min(t.renewed, t.asked) + Lease); until > now {
		b.until.Store(until)
	}
}

// renew keeps the lease, one renewal after the other: it sends the next when
// the last has been caught up with. A node whose reader is stuck so stops being
// a member, and nobody waits for it any more.
func (b *Redis) renew(t *term) {
	for t.ctx.Err() == nil {
		sent := b.now()
		b.mu.Lock()
		b.renewals++
		applied := t.applied
		args := append([]any{t.epoch.Number, t.epoch.Server, b.id, b.renewals, applied, t.from, t.settled}, b.goneLocked(sent)...)
		b.mu.Unlock()
		answer, err := b.run(t.ctx, renewScript, []string{b.keys.bus(), b.keys.log(t.epoch.Number), b.keys.acks(b.id)}, args...)
		got, missing, err := parseRenewal(answer, err)
		b.reached(err)
		switch {
		case errors.Is(err, errEpoch):
			b.finish(t, err)
			return
		case err != nil:
			sleep(t.ctx, pause)
			continue
		case missing || got.seq < applied:
			b.finish(t, errMissing)
			return
		}
		b.mu.Lock()
		b.meet(t, got)
		b.mu.Unlock()
		b.mourn(t)
		if !b.caughtUp(t, got.seq, sent+Lease) {
			b.finish(t, errLapsed)
			return
		}
		b.mu.Lock()
		t.renewed = sent
		b.prove(t)
		b.mu.Unlock()
		sleep(t.ctx, sent+interval-b.now())
	}
}

func parseRenewal(answer any, err error) (standing, bool, error) {
	if err != nil {
		return standing{}, false, err
	}
	list, err := texts(answer)
	if err != nil || len(list) == 0 {
		return standing{}, false, errAnswer
	}
	got, err := parseStanding(list[1:])
	return got, list[0] != "0", err
}

// caughtUp waits until everything up to a number is applied.
func (b *Redis) caughtUp(t *term, seq uint64, until time.Duration) bool {
	timer := time.NewTimer(until - b.now())
	defer timer.Stop()
	for {
		b.mu.Lock()
		applied, moved := t.applied, t.moved
		b.mu.Unlock()
		if applied >= seq {
			return true
		}
		select {
		case <-moved:
		case <-timer.C:
			return false
		case <-t.ctx.Done():
			return false
		}
	}
}

const (
	readCount = 128
	// readBlock is how long Redis holds the reader's question; it bounds how long
	// the end of a term takes.
	readBlock = Lease / 8
)

// follow reads the log of the epoch, and beside it the acks to this node.
func (b *Redis) follow(t *term) {
	logKey, acksKey, acksAt := b.keys.log(t.epoch.Number), b.keys.acks(b.id), "0-0"
	for t.ctx.Err() == nil {
		ctx, cancel := context.WithTimeout(t.ctx, readBlock+reach)
		streams, err := b.client.XRead(ctx, &redis.XReadArgs{
			Streams: []string{logKey, acksKey, number(b.applied(t)) + "-0", acksAt},
			Count:   readCount, Block: readBlock,
		}).Result()
		cancel()
		if err != nil {
			if !errors.Is(err, redis.Nil) {
				sleep(t.ctx, pause) // the renewals find out what is the matter
			}
			continue
		}
		for _, s := range streams {
			for _, entry := range s.Messages {
				if t.ctx.Err() != nil {
					return
				}
				if s.Stream == acksKey {
					acksAt = entry.ID
					b.acked(entry.Values)
				} else if err := b.receive(t, entry); err != nil {
					b.finish(t, err)
					return
				}
			}
		}
	}
}

func (b *Redis) applied(t *term) uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return t.applied
}

// receive applies the next message of the log. The numbers have no holes: one
// that is not the next means that those between are lost.
func (b *Redis) receive(t *term, entry redis.XMessage) error {
	seq := b.applied(t) + 1
	if entry.ID != number(seq)+"-0" {
		return fmt.Errorf("%w: %s came after %d", errMissing, entry.ID, seq-1)
	}
	text := func(name string) string { s, _ := entry.Values[name].(string); return s }
	m := Message{ID: text("id"), Topic: text("topic"), Tenant: identity.TenantID(text("tenant")), Body: []byte(text("body"))}
	from := text("from")
	if err := m.check(); err != nil || m.ID == "" || from == "" {
		return fmt.Errorf("%w: %s cannot be read", errMissing, entry.ID)
	}
	b.inbox.take(t.ctx, m, func(report []byte, err error) {
		c := confirmation(b.id, report, err)
		if from == b.id {
			b.confirmed(m.ID, c)
			return
		}
		b.answer(t, ack{to: from, message: m.ID, Confirmation: c})
	})
	b.mu.Lock()
	t.applied = seq
	close(t.moved)
	t.moved = make(chan struct{})
	b.mu.Unlock()
	return nil
}

// ack is what this node tells a publisher.
type ack struct {
	to, message string
	Confirmation
}

// answer hands an ack to its sender. It outlives the term, as the wait does. A
// reader that is held up by too many acks lets go when its term ends: then Redis
// is not there to take them, and the publisher waits for the lease instead.
func (b *Redis) answer(t *term, a ack) {
	select {
	case b.acks <- a:
	default:
		select {
		case b.acks <- a:
		case <-t.ctx.Done():
		}
	}
}

const ackBatch = 64

// keepAcking sends the acks, as many at a time as there are, and again until
// Redis has taken them: a second one of the same does no harm.
func (b *Redis) keepAcking(ctx context.Context) {
	for {
		var batch []ack
		select {
		case <-ctx.Done():
			return
		case a := <-b.acks:
			batch = append(batch, a)
		}
		for more := true; more && len(batch) < ackBatch; {
			select {
			case a := <-b.acks:
				batch = append(batch, a)
			default:
				more = false
			}
		}
		for ctx.Err() == nil && b.sendAcks(ctx, batch) != nil {
			sleep(ctx, pause)
		}
	}
}

func (b *Redis) sendAcks(ctx context.Context, batch []ack) error {
	t := b.current()
	if t == nil {
		return errLapsed
	}
	keys, args := []string{b.keys.bus()}, []any{t.epoch.Number, t.epoch.Server, b.id}
	for _, a := range batch {
		keys = append(keys, b.keys.acks(a.to))
		args = append(args, a.message, strings.ToValidUTF8(a.Problem, ""), a.Report)
	}
	_, err := b.run(ctx, ackScript, keys, args...)
	if errors.Is(err, errEpoch) {
		b.finish(t, err)
	}
	return err
}

func (b *Redis) current() *term {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.term
}
