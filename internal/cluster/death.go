package cluster

// A node that dies between its commit to SQL and its Publish has told nobody of
// what it did, and nobody repeats it. So when another shows no sign of life for a
// Lease, every node makes sure of what it has cached, while it goes on: what the
// dead node did, it committed before it fell silent. One that has left, or stands
// still, is taken for dead as well, which costs a verification and no more.

// sign is what shows that a node lives: its renewals, or its name on SQL's list
// while it lives by SQL.
type sign struct {
	node  string
	apart bool
}

// noteLocked notes a sign of life of a node; b.mu is held.
func (b *Redis) noteLocked(s sign) {
	if s.node != b.id {
		b.signs[s] = b.now()
	}
}

// silentLocked reports whether another node has fallen silent since it was last
// asked; b.mu is held. A member whose name goes off SQL's list has but come back.
func (b *Redis) silentLocked() (silent bool) {
	now := b.now()
	for s, at := range b.signs {
		if now < at+patience {
			continue
		}
		delete(b.signs, s)
		if _, member := b.signs[sign{node: s.node}]; !s.apart || !member {
			silent = true
		}
	}
	return silent
}

// verifyAfterDeaths makes sure of what is cached once others have fallen silent,
// one time after the other, until it succeeds. If the term ends, the next one
// begins with the same.
func (b *Redis) verifyAfterDeaths(t *term) {
	for {
		select {
		case <-t.deaths:
		case <-t.ctx.Done():
			return
		}
		trouble := ""
		for err := b.verifyAll(t.ctx); err != nil && t.ctx.Err() == nil; err = b.verifyAll(t.ctx) {
			if err.Error() != trouble {
				trouble = err.Error()
				b.log.WarnContext(t.ctx, "another node is gone, and what it did last cannot be made sure of yet", "error", err)
			}
			sleep(t.ctx, interval+jitter())
		}
	}
}

// mourn has what is cached verified if others have fallen silent.
func (b *Redis) mourn(t *term) {
	b.mu.Lock()
	silent := b.silentLocked()
	b.mu.Unlock()
	if silent {
		select {
		case t.deaths <- struct{}{}:
		default: // the verification that is to come will do
		}
	}
}
