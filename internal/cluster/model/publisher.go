package model

// keepPublisher is how the publisher keeps its lease.
func (c *search) keepPublisher(now state) {
	a := &now.a
	if a.asked != 0 || !now.nothingNew() {
		c.try("A asks SQL", now, (*state).askA)
	}
	_, holds := c.holds(&now, &a.node)
	switch {
	case a.term != 0 && !holds:
		c.try("A meets another epoch in Redis", now, func(s *state) bool {
			s.a.finish()
			return s.redis[s.a.at].run != 0
		})
	case holds && (a.renewed != 0 || a.settled && !now.redis[a.at].settled):
		c.try("A renews", now, func(s *state) bool {
			a := &s.a
			s.redis[a.at].settled = s.redis[a.at].settled || a.settled
			if !a.prove(&a.renewed, 0) {
				a.finish()
			}
			return true
		})
	}
	c.try("A joins", now, func(s *state) bool {
		if !c.enter(s, &s.a.node) {
			return false
		}
		if s.a.met != s.a.term {
			s.a.met, s.a.seen = s.a.term, 0
		}
		return true
	})
	c.try("A begins an epoch and makes the marker", now, func(s *state) bool { return advance(s, &s.a.node) && mark(s, &s.a.node) })
}

// nothingNew reports whether SQL would say what it has said to A before.
func (s *state) nothingNew() bool {
	if s.sql.away {
		return !s.a.sqlOK && s.a.settled
	}
	return s.a.sqlOK && s.a.known == s.sql.epoch && (s.a.settled || !s.a.ripe())
}

// keepUp has A renew and ask with every tick, if it did at the last one and hears
// nothing new.
func (c *search) keepUp(s *state, before state) {
	a := &s.a
	if _, holds := c.holds(s, &a.node); holds && before.a.renewed == 0 {
		a.renewed = 0
	}
	if a.term != 0 && before.a.asked == 0 && s.nothingNew() {
		a.asked = 0
	}
}

// askA is a question to SQL with its answer.
func (s *state) askA() bool {
	a := &s.a
	if s.sql.away {
		if a.sqlOK {
			a.sqlOK, a.turned = false, 0
		}
		if a.term != 0 && !a.settled || a.asked < lease && !a.prove(&a.asked, 0) {
			a.finish()
		}
		return true
	}
	ripe := a.ripe()
	if !a.learn(s.sql.epoch, 0) {
		a.finish()
	}
	if a.term != 0 {
		if a.settled = a.settled || ripe; !a.prove(&a.asked, 0) {
			a.finish()
		}
	}
	return true
}

// publish is the revocation: commit, ask, publish, wait.
func (c *search) publish(now state) {
	switch now.a.phase {
	case idle:
		if c.rules.CommitLast {
			c.try("A publishes, and has not committed", now, func(s *state) bool {
				s.a.phase, s.a.since = committed, 0
				return true
			})
			return
		}
		c.try("A commits the revocation", now, func(s *state) bool {
			s.sql.revoked = true
			s.a.phase, s.a.since = committed, 0
			return !s.sql.away
		})
		c.try("A cannot commit", now, func(s *state) bool {
			s.a.phase = refused
			return s.sql.away
		})
	case refused:
		c.try("A notes on its disk what SQL is owed", now, func(s *state) bool {
			s.a.phase, s.a.since, s.sql.owed, s.a.owing = committed, 0, true, true
			return true
		})
	case committed:
		c.try("A asks SQL, to publish", now, func(s *state) bool {
			s.askA()
			s.a.qOK, s.a.apart = !s.sql.away, s.sql.away || s.sql.apart > 0
			if s.sql.away {
				s.a.since = s.a.turned
			}
			s.a.phase = asked
			return true
		})
	case asked:
		c.try("A is fresh and publishes through Redis", now, func(s *state) bool {
			s.a.phase = sending
			return s.a.fresh()
		})
		c.try("A does not reach Redis and appends the message to the outbox", now, (*state).appendOutbox)
	case sending:
		c.try("A's message is in the log", now, func(s *state) bool { return c.send(s) })
		c.try("A's message is refused, so A appends it to the outbox", now, func(s *state) bool {
			p, holds := c.holds(s, &s.a.node)
			return p.run != 0 && !holds && s.appendOutbox()
		})
	case awaiting:
		c.try("A has waited for B", now, func(s *state) bool {
			s.a.phase = published
			return s.a.wait == 0
		})
	case appended:
		c.try("A asks SQL", now, func(s *state) bool {
			a := &s.a
			if !s.sql.away && !a.sqlOK {
				a.since = 0
			}
			a.sqlOK = !s.sql.away
			return true
		})
		c.try("A has asked SQL for a lease", now, func(s *state) bool {
			over := !s.sql.away && s.a.sqlOK && s.a.since >= lease
			s.a.phase = published
			return over || c.rules.Hasty
		})
	case published:
		c.try("A returns: the session is revoked", now, func(s *state) bool {
			s.a.phase = done
			s.sql.revoked = s.sql.revoked || !s.a.owing // in the order of CommitLast
			return !now.a.owing && (now.sql.revoked || !now.sql.away) || now.a.owing && (now.sql.away || c.rules.Trustful)
		})
		c.try("A finds SQL back, commits what it was owed, and publishes again", now, func(s *state) bool {
			s.sql.revoked, s.sql.owed, s.a.owing = true, false, false
			s.a.phase, s.a.since = committed, 0
			// It is another message that says the same: the first is left out from here on.
			s.redis[0].log, s.redis[1].log, s.b.applied, s.b.unacked = 0, 0, false, false
			return now.a.owing && !now.sql.away
		})
	case done, failed:
	}
	c.try("SQL gets what it was owed", now, func(s *state) bool {
		s.sql.revoked, s.sql.owed = true, false
		return now.sql.owed && !s.sql.away
	})
}

// mayPass reports whether time goes on: what SQL is owed it gets before it has been
// back for a lease.
func (s *state) mayPass() bool { return !s.sql.owed || s.sql.away || s.sql.back < lease-1 }

// send appends the message to the log, and finds how long B is to be waited for.
func (c *search) send(s *state) bool {
	p, holds := c.holds(s, &s.a.node)
	if !holds {
		return false
	}
	p.log, p.listed = s.a.term, s.sql.owed && !c.rules.Unlisted
	if p.member && !c.rules.Impatient {
		s.a.wait = lease - s.a.seen
	}
	if s.a.apart && !c.rules.Unaware {
		s.a.wait = max(s.a.wait, lease-s.a.since)
	}
	s.a.phase = awaiting
	return true
}

// appendOutbox puts the message into SQL.
func (s *state) appendOutbox() bool {
	s.a.phase = failed
	if s.a.qOK && !s.sql.away {
		s.sql.outbox = true
		s.a.phase, s.a.since = appended, 0
	}
	return true
}
