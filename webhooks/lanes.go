package webhooks

import (
	"context"
	"time"

	"gatehouse/identity"
)

const (
	// maxQuick and maxSlow are how many webhooks of all tenants are sent something at a
	// time: those that answer at once, and those that are slow or did not take the last
	// message, who thereby never stand in the way of the others.
	maxQuick, maxSlow = 64, 32
	// maxOwn is how many of either kind may be one tenant's.
	maxOwn = 4
	// slowAnswer is from when on an answer is slow, and slowFor how long the webhook counts
	// as slow after it: who answers slowly now and then gains nothing by the quick answers.
	slowAnswer, slowFor = time.Second, 10 * time.Minute
)

// lane is where webhooks of one tenant wait for each other.
type lane struct {
	tenant identity.TenantID
	slow   bool
}

// lanes are the places of messages under way. Only entering is for more than one caller
// at a time.
type lanes struct {
	quick, slow chan struct{}          // a token per webhook that is being sent something
	own         map[lane]chan struct{} // the same of one tenant
	slowUntil   map[place]time.Time
}

func newLanes() *lanes {
	return &lanes{quick: make(chan struct{}, maxQuick), slow: make(chan struct{}, maxSlow), own: map[lane]chan struct{}{}, slowUntil: map[place]time.Time{}}
}

// entry is what a webhook must have a place in, one after the other: of its tenant first,
// so that no more than maxOwn of a tenant wait for the places of all.
type entry [2]chan struct{}

// of gives the lane of a webhook.
func (l *lanes) of(at place, failing bool, now time.Time) entry {
	in := lane{at.tenant, failing || now.Before(l.slowUntil[at])}
	if l.own[in] == nil {
		l.own[in] = make(chan struct{}, maxOwn)
	}
	if in.slow {
		return entry{l.own[in], l.slow}
	}
	return entry{l.own[in], l.quick}
}

// keep lets go of what is known of tenants that are not served, and of what is over.
func (l *lanes) keep(served map[identity.TenantID]bool, now time.Time) {
	for in := range l.own {
		if !served[in.tenant] {
			delete(l.own, in)
		}
	}
	for at, until := range l.slowUntil {
		if !served[at.tenant] || !now.Before(until) {
			delete(l.slowUntil, at)
		}
	}
}

// enter waits for a place, in the order of those who ask; false if ctx ends before.
func (e entry) enter(ctx context.Context) (leave func(), ok bool) {
	for i, places := range e {
		select {
		case places <- struct{}{}:
		case <-ctx.Done():
			e.leave(i)
			return nil, false
		}
	}
	return func() { e.leave(len(e)) }, true
}

func (e entry) leave(n int) {
	for _, places := range e[:n] {
		<-places
	}
}
