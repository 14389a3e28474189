package model

// lease is the length of a lease in ticks. All clocks go alike, so others wait for
// as long.
const lease = 3

// apartFor is how long SQL keeps a node on its list: as short as it may be.
const apartFor = 2 * lease

// epochs bounds the epochs of one run, the first included.
const epochs = 2

// Ages count ticks. They stop at a lease: beyond that all mean the same, and the
// same as never.
const never = lease

// state is all that there is at one instant. It has no pointers and no clock, only
// ages and what is left, so that states which go on alike are equal.
type state struct {
	sql    record
	redis  [2]process
	a      publisher
	b      server
	faults Faults // that may still come
}

// record is SQL.
type record struct {
	away    bool
	revoked bool // the session, committed
	outbox  bool // the message is there
	epoch   uint8
	servers [epochs + 1]uint8 // the run_id that each epoch trusts
	apart   uint8             // how long the server stays on the list
	owed    bool              // the nodes go by the revocation, and it is not committed
	back    uint8             // for how long SQL could have got it
}

// process is one process of Redis: the first, or the replica that took over.
type process struct {
	run     uint8 // run_id; 0: not there
	marker  uint8 // the epoch's
	settled bool
	log     uint8 // the epoch in whose log the message stands
	member  bool  // the server is one
	listed  bool  // that SQL has not got the revocation
}

// node is what both nodes have.
type node struct {
	at     uint8 // the process that it talks to
	known  uint8 // the epoch that SQL has named last
	sqlOK  bool  // SQL has answered the last question
	turned uint8 // the age of the last change in these two
	making uint8 // the epoch that it has begun and makes the marker of

	term    uint8 // the epoch that it has joined
	settled bool
	held    bool // there was a lease in this term
	renewed uint8
	asked   uint8
}

// publisher is the node that revokes. Its steps take no time, it renews whenever
// it can, and it asks SQL all the time while that says nothing new: all else makes
// its lease shorter and its waits longer.
type publisher struct {
	node
	seen  uint8 // the age of the server's last renewal
	met   uint8 // in which epoch
	phase phase
	since uint8 // the age of the commit, then of the outbox's message
	wait  uint8 // how long it waits for the server yet
	qOK   bool  // SQL has answered the question that a publication begins with
	apart bool  // the server may live by SQL
	owing bool  // it could not commit
}

type phase uint8

const (
	idle      phase = iota
	refused         // SQL was not there to commit
	committed       // Publish is called
	asked           // SQL has been asked
	sending         // was fresh, so the message goes through Redis
	awaiting        // the message is in the log
	appended        // the message is in the outbox
	published       // all have it
	done            // the call has returned
	failed
)

// server is the node that has the session in memory, and its steps under way.
type server struct {
	node
	cached    bool  // the session
	proven    uint8 // how long SQL's answer counts without a lease
	apart     uint8 // how long it counts on being on SQL's list
	admitted  bool  // a request of the session has passed its first check
	applied   bool  // the message, in this term
	unacked   bool
	verifying bool // what is cached, before a term counts
	caught    bool // the session was cached when that began
	withheld  bool // it goes by the revocation, whatever SQL says

	renewal renewal
	lookup  lookup
}

// renewal is one that Redis has answered, on its way back.
type renewal struct {
	is   bool
	age  uint8
	need bool // the message must be applied for it to count
}

// lookup is one that has found the session in SQL, on its way back.
type lookup struct {
	is    bool
	age   uint8
	apart bool // asked as one that lives by SQL
}

// start is the cluster at rest: both are fresh, and the session is cached.
func start(faults Faults) state {
	n := node{known: 1, sqlOK: true, turned: lease, term: 1, settled: true, held: true}
	s := state{
		sql: record{epoch: 1, servers: [epochs + 1]uint8{1: 1}},
		a:   publisher{node: n, met: 1},
		b:   server{node: n, cached: true},

		faults: faults,
	}
	s.redis[0] = process{run: 1, marker: 1, settled: true, member: true}
	return s
}

// over reports whether nothing that can still come breaks the promise, whatever
// the rules: B has not got the session, and cannot get it any more.
func (s *state) over() bool {
	b := &s.b
	return s.a.phase == failed || s.sql.revoked && !b.cached && !b.lookup.is
}

// pass lets a tick go by.
func (s *state) pass() {
	a, b := &s.a, &s.b
	for _, age := range []*uint8{
		&a.turned, &a.renewed, &a.asked, &a.seen, &a.since,
		&b.turned, &b.renewed, &b.asked, &b.renewal.age, &b.lookup.age,
	} {
		if *age < lease {
			*age++
		}
	}
	if s.sql.owed && !s.sql.away {
		s.sql.back++
	}
	for _, left := range []*uint8{&a.wait, &b.proven, &b.apart, &s.sql.apart} {
		if *left > 0 {
			*left--
		}
	}
}

// normal takes away what makes no difference any more, so that more states are
// equal.
func (s *state) normal() {
	a, b := &s.a, &s.b
	if !b.renewal.is {
		b.renewal = renewal{}
	}
	if b.lookup.age == lease {
		b.lookup.apart = false
	}
	if !b.lookup.apart {
		b.lookup.age = 0
	}
	if !b.cached {
		b.proven, b.admitted = 0, false
	}
	if !b.sqlOK {
		b.turned = 0
	} else if b.settled && (s.faults.Apart == 0 || a.phase > refused && !a.owing && !s.sql.owed) {
		b.turned = lease
	}
	if !s.sql.owed {
		s.sql.back, b.withheld = 0, false
		s.redis[0].listed, s.redis[1].listed = false, false
	}
	if a.sqlOK && a.settled {
		a.turned = lease
	}
	for _, n := range []*node{&a.node, &b.node} {
		if n.held && !n.fresh() {
			n.renewed, n.asked = never, never // the term is over in any case
		}
	}
	if a.phase >= asked && !a.owing {
		s.sql.apart = 0
	}
	if a.phase == idle || a.phase == committed && s.sql.apart == 0 && s.faults.Apart == 0 {
		a.since = 0
	}
	switch {
	case a.owing && a.phase < done: // it may have to publish again
	case a.phase >= published:
		*a = publisher{phase: a.phase}
	case a.phase == appended:
		*a = publisher{phase: appended, node: node{sqlOK: a.sqlOK}, since: a.since}
	case a.phase == awaiting:
		*a = publisher{phase: awaiting, wait: a.wait}
	case a.phase == sending:
		a.node = node{at: a.at, term: a.term, sqlOK: a.sqlOK}
	}
	if (a.phase == asked || a.phase == sending) && !a.apart {
		a.since = 0
	}
	over := a.phase > sending && (!a.owing || a.phase >= done) // nothing more is published
	if !s.redis[a.at].member || over {
		a.seen = 0
	}
	if b.at == 1 && (a.at == 1 || over) {
		s.redis[0] = process{}
	}
	if over {
		s.redis[0].member, s.redis[1].member = false, false
	}
	for e := range uint8(len(s.sql.servers)) {
		if e != s.sql.epoch && e != b.term && e != b.known && e != a.term && e != a.known {
			s.sql.servers[e] = 0
		}
	}
}
