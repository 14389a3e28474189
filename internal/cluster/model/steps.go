package model

// steps reaches every state that can come next, and reports whether the promise
// is broken right now. Nothing says when a step is taken: a node that is paused,
// stuck or cut off is one whose steps do not come for some ticks.
func (c *search) steps(now state) (broken bool) {
	if now.mayPass() {
		s := now
		s.pass()
		c.keepUp(&s, now)
		c.reach(passing, s)
	}
	c.faults(now)
	c.publish(now)
	if now.a.phase <= asked || now.a.owing && now.a.phase == published {
		c.keepPublisher(now)
	}
	c.keepServer(now)
	c.lookUp(now)
	return c.serve(now)
}

// try reaches the state after a step, if the step can be taken.
func (c *search) try(by string, now state, step func(*state) bool) {
	c.next = now
	if step(&c.next) {
		c.reach(by, c.next)
	}
}

func (c *search) faults(now state) {
	if now.faults.All > 0 {
		for i := range now.redis {
			if now.redis[i].run == 0 {
				continue
			}
			c.try("Redis is flushed", now, func(s *state) bool {
				s.redis[i] = process{run: s.redis[i].run}
				return s.faults.take(empty)
			})
			c.try("Redis dies and starts empty", now, func(s *state) bool {
				s.redis[i] = process{run: s.redis[i].run + 2}
				return s.faults.take(empty)
			})
		}
		c.try("a replica with all takes over", now, func(s *state) bool {
			s.redis[1] = s.redis[0]
			s.redis[1].run = 2
			return now.redis[0].run != 0 && now.redis[1].run == 0 && s.faults.take(failover)
		})
		c.try("a replica without the message takes over", now, func(s *state) bool {
			s.redis[1] = s.redis[0]
			s.redis[1].run, s.redis[1].log, s.redis[1].listed = 2, 0, false
			return now.redis[1].run == 0 && (now.redis[0].log != 0 || now.redis[0].listed) && s.faults.take(failover)
		})
		c.try("SQL goes away", now, func(s *state) bool {
			s.sql.away = true
			return !now.sql.away && c.noticed(s) && s.faults.take(away)
		})
		c.try("B dies and starts again", now, func(s *state) bool {
			// It is another by its id, so nobody waits for it. Who waits for the dead one
			// does it no harm.
			s.b = server{node: node{at: s.b.at, turned: lease, renewed: never, asked: never}}
			s.sql.apart = 0
			s.redis[0].member, s.redis[1].member = false, false
			return s.faults.take(crash)
		})
	}
	c.try("SQL is back", now, func(s *state) bool {
		s.sql.away = false
		return now.sql.away && c.noticed(s)
	})
	if now.redis[1].run != 0 {
		if now.a.at == 0 && (now.a.phase <= asked || now.a.owing && now.a.phase == published) {
			c.try("A finds the other Redis", now, func(s *state) bool { s.a.at = 1; return true })
		}
		if now.b.at == 0 {
			c.try("B finds the other Redis", now, func(s *state) bool { s.b.at = 1; return true })
		}
	}
}

// holds is the check that every step in Redis begins with.
func (c *search) holds(s *state, n *node) (*process, bool) {
	p := &s.redis[n.at]
	return p, p.run != 0 && n.term != 0 && (c.rules.Trusting || p.marker == n.term && p.run == s.sql.servers[n.term])
}

// fresh reports whether the lease holds.
func (n *node) fresh() bool { return n.held && max(n.renewed, n.asked) < lease }

func (n *node) finish() {
	n.term, n.settled, n.renewed, n.asked, n.held = 0, false, never, never, false
}

// prove sets what the lease rests on; false: the lease has run out, and the term
// is over.
func (n *node) prove(what *uint8, age uint8) bool {
	if n.held && !n.fresh() {
		return false
	}
	*what = min(*what, age)
	n.held = n.held || n.settled && max(n.renewed, n.asked) < lease
	return true
}

// learn notes what SQL says of the epoch; false: a term of another is over.
func (n *node) learn(epoch, age uint8) bool {
	if !n.sqlOK {
		n.sqlOK, n.turned = true, age
	}
	if epoch > n.known {
		n.known, n.turned = epoch, 0
	}
	return n.term == 0 || n.term == n.known
}

// ripe reports whether SQL has answered for a lease, and named this epoch all the time.
func (n *node) ripe() bool { return n.sqlOK && n.turned >= lease }

// enter begins a term, if Redis holds the epoch.
func (c *search) enter(s *state, n *node) bool {
	p := &s.redis[n.at]
	if n.term != 0 || !n.sqlOK || n.making != 0 || n.known == 0 || p.marker != n.known || p.run != s.sql.servers[n.known] {
		return false
	}
	n.finish()
	n.term, n.settled = n.known, p.settled || c.rules.Unsettled
	return true
}

// advance begins an epoch in SQL for the Redis that the node sees.
func advance(s *state, n *node) bool {
	p := &s.redis[n.at]
	if n.term != 0 || n.making != 0 || s.sql.away || p.run == 0 || n.known != s.sql.epoch || n.known == epochs ||
		p.marker == n.known && p.run == s.sql.servers[n.known] {
		return false
	}
	s.sql.epoch++
	s.sql.servers[s.sql.epoch] = p.run
	n.known, n.turned, n.making = s.sql.epoch, 0, s.sql.epoch
	return true
}

// mark makes the marker of the epoch that the node has begun.
func mark(s *state, n *node) bool {
	if n.making == 0 {
		return false
	}
	if p := &s.redis[n.at]; p.run == s.sql.servers[n.making] && p.marker < n.making {
		*p = process{run: p.run, marker: n.making, log: p.log}
	}
	n.making = 0
	return true
}

// noticed reports whether both nodes know that SQL was away, or was back, before it
// changes again.
func (c *search) noticed(s *state) bool {
	asks := s.a.phase <= asked || s.a.phase == appended || s.a.owing && s.a.phase < done
	return c.rules.Unnoticed || s.b.sqlOK == s.sql.away && (s.a.sqlOK == s.sql.away || !asks)
}
