package model

// current reports whether B may serve what it has cached.
func (b *server) current() bool { return b.fresh() || b.proven > 0 }

// apply drops the session, and what was looked up before.
func (c *search) apply(b *server) {
	b.cached, b.proven, b.withheld = false, 0, true
	if !c.rules.Overtaken {
		b.lookup = lookup{}
	}
}

func (b *server) finish() {
	b.node.finish()
	b.renewal, b.verifying, b.caught, b.applied = renewal{}, false, false, false
}

// keepServer is how B keeps its lease.
func (c *search) keepServer(now state) {
	c.join(now)
	c.renew(now)
	c.ask(now)
	c.try("B reads the message from the log and applies it", now, func(s *state) bool {
		b := &s.b
		if b.term == 0 || b.verifying || b.applied || s.redis[b.at].log != b.term {
			return false
		}
		c.apply(b)
		b.applied, b.unacked = true, true
		return true
	})
	c.try("B confirms the message", now, func(s *state) bool {
		_, holds := c.holds(s, &s.b.node)
		s.b.unacked = false
		if s.a.phase == awaiting {
			s.a.wait = 0
		}
		return now.b.unacked && holds
	})
}

func (c *search) join(now state) {
	c.try("B joins and fixes where it reads on", now, func(s *state) bool {
		b := &s.b
		if !c.enter(s, &b.node) {
			return false
		}
		b.applied = s.redis[b.at].log == b.term
		if !c.rules.Unverified {
			b.verifying, b.caught, b.lookup = true, b.cached, lookup{}
		}
		return true
	})
	c.try("B has verified its cache", now, func(s *state) bool {
		b := &s.b
		if !b.verifying || !b.settled && !c.rules.Early {
			return false
		}
		if s.sql.away {
			b.finish()
			return true
		}
		if s.redis[b.at].listed {
			b.withheld, b.cached, b.proven = true, false, 0
		}
		if s.sql.revoked && b.caught {
			b.cached, b.proven = false, 0
		}
		b.verifying, b.caught = false, false
		return true
	})
	c.try("B begins an epoch", now, func(s *state) bool { return advance(s, &s.b.node) })
	c.try("B makes the marker", now, func(s *state) bool { return mark(s, &s.b.node) })
}

func (c *search) renew(now state) {
	b := &now.b
	switch {
	case !b.renewal.is && b.term != 0 && !b.verifying:
		c.try("B renews", now, func(s *state) bool {
			b := &s.b
			p, holds := c.holds(s, &b.node)
			if p.run == 0 {
				return false
			}
			if !holds {
				b.finish()
				return true
			}
			p.member, p.settled = true, p.settled || b.settled
			if s.a.at == b.at && s.a.met == b.term {
				s.a.seen = 0
			}
			b.renewal = renewal{is: true, need: p.log == b.term}
			return true
		})
	case b.renewal.is && b.renewal.age >= lease && !c.rules.FromAnswer:
		c.try("B's renewal is answered too late", now, func(s *state) bool {
			s.b.finish()
			return true
		})
	case b.renewal.is && (!b.renewal.need || b.applied):
		c.try("B's renewal is answered", now, func(s *state) bool {
			b := &s.b
			age := b.renewal.age
			if c.rules.FromAnswer {
				age = 0
			}
			b.renewal = renewal{}
			if !b.prove(&b.renewed, age) {
				b.finish()
			}
			return true
		})
	}
}

// ask is a question to SQL with its answer. One that is longer on its way counts
// from when it was sent as well, so it is worth no more than this.
func (c *search) ask(now state) {
	if now.sql.away {
		c.try("B asks SQL and hears nothing", now, func(s *state) bool {
			b := &s.b
			if b.sqlOK = false; !c.rules.Prompt {
				b.apart = 0
			}
			if b.term != 0 && !b.settled || (b.asked < lease || c.rules.Stale) && !b.prove(&b.asked, 0) {
				b.finish()
			}
			return true
		})
		return
	}
	c.try("B asks SQL", now, func(s *state) bool {
		b := &s.b
		ripe := b.ripe()
		if !b.learn(s.sql.epoch, 0) {
			b.finish()
		}
		if s.sql.outbox {
			c.apply(b)
		}
		if b.term != 0 {
			if b.settled = b.settled || ripe; !b.prove(&b.asked, 0) {
				b.finish()
			}
		}
		return true
	})
}

// serve is what becomes of requests of the session; true: one is forwarded that
// must not be.
func (c *search) serve(now state) (broken bool) {
	b := &now.b
	if now.a.phase == done && b.cached && (b.current() || b.admitted && c.rules.Once) {
		return true
	}
	if c.rules.Once && !b.admitted && b.cached && b.current() {
		c.try("a request of the session arrives at B", now, func(s *state) bool {
			s.b.admitted = true
			return true
		})
	}
	return false
}

// lookUp is how B finds a session that it cannot serve from memory.
func (c *search) lookUp(now state) {
	b := &now.b
	if b.lookup.is {
		c.try("B keeps what it has looked up", now, func(s *state) bool {
			b, l := &s.b, now.b.lookup
			b.lookup, b.cached = lookup{}, true
			if l.apart {
				b.proven = max(b.proven, lease-l.age)
			}
			return true
		})
	} else if (!b.cached || !b.current()) && (b.fresh() || b.apart > 0) && !now.sql.away {
		if now.sql.revoked || b.withheld && !c.rules.Believing {
			c.try("B looks the session up in SQL: it is over", now, func(s *state) bool {
				s.b.cached, s.b.proven = false, 0
				return true
			})
		} else {
			c.try("B looks the session up in SQL: it lives", now, func(s *state) bool {
				s.b.lookup = lookup{is: true, apart: b.apart > 0}
				return true
			})
		}
	}
	c.try("B says that it lives by SQL", now, func(s *state) bool {
		s.b.apart, s.sql.apart = lease, apartFor
		if c.rules.Forgetful {
			s.sql.apart = lease
		}
		low := !s.b.fresh() || max(s.b.renewed, s.b.asked) >= lease/2
		steady := c.rules.Prompt || s.b.sqlOK && s.b.turned >= lease
		return low && steady && !s.sql.away && s.faults.alone()
	})
}
