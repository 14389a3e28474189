package sessions

import (
	"sync"
	"sync/atomic"
	"time"

	"gatehouse/identity"
)

// Stream is a request or connection that lasts while its session does.
type Stream interface {
	// Terminate cuts the connection. It is called at most once, from a goroutine
	// of its own, and must lead to the leave function being called soon. It may
	// come before Enter has returned, and still run when the stream leaves at the
	// same moment: a Stream stands for one use and is not recycled. Streams are
	// compared, so they are pointers.
	Terminate(reason string)
}

// Proof says whether what a node knows of sessions counts at this instant. Both
// methods are on the way of every request and must be cheap.
type Proof interface {
	// Fresh reports whether all that is in memory counts.
	Fresh() bool
	// Now is a monotonic clock that goes on while the process is stopped.
	Now() time.Duration
}

// Live is a session that is being served. All its methods may be called at
// once from many goroutines.
type Live struct {
	// What is looked at for every request comes first and together: among a million
	// sessions each further line of memory is one more that no cache has.
	proof   Proof        // of a registry that several nodes share; nil: always good
	proven  atomic.Int64 // until when, by the proof's clock, SQL's last answer counts
	created int64        // Unix milliseconds
	until   int64        // Unix milliseconds of the end that the provider gave it; 0: none
	seen    atomic.Int64 // Unix milliseconds of the last request
	ended   atomic.Bool  // set with mu held
	listed  atomic.Bool  // in the roll's list of those in use

	session   Session
	hash      TokenHash
	principal atomic.Pointer[identity.Principal] // made when it is first asked for

	saved atomic.Int64 // what SQL knows of seen
	memo  atomic.Pointer[any]

	roll   *roll // that it is in, whose mu guards beside
	beside [lists]neighbours

	mu    sync.Mutex
	first *entry        // the streams inside
	open  int           // how many they are
	left  chan struct{} // closed once ended and nobody is inside; made by end
}

// entry is one stream's place in its session's list.
type entry struct {
	stream     Stream
	prev, next *entry
	inside     bool
	told       bool
}

// nobody is the left channel of sessions that ended with nobody inside.
var nobody = func() chan struct{} { c := make(chan struct{}); close(c); return c }()

// NewLive makes the live form of a session whose token has this hash. It is
// for registries and their tests; everybody else is handed one by
// [Service.Find].
func NewLive(s Session, hash TokenHash) *Live {
	l := &Live{session: s, hash: hash, created: s.CreatedAt.UnixMilli()}
	if !s.Until.IsZero() {
		l.until = s.Until.UnixMilli()
	}
	l.seen.Store(s.SeenAt.UnixMilli())
	l.saved.Store(s.SeenAt.UnixMilli())
	return l
}

// Under has the session served only while the proof holds. It is for registries,
// before anybody is handed the session.
func (l *Live) Under(p Proof) *Live {
	l.proof = p
	return l
}

// Prove has the session count until then, by the clock of its proof, even if the
// proof does not hold. It never takes back what was said before.
func (l *Live) Prove(until time.Duration) {
	for {
		old := l.proven.Load()
		if old >= int64(until) || l.proven.CompareAndSwap(old, int64(until)) {
			return
		}
	}
}

// Current reports whether the session may be served at this instant: it has not
// ended, and what this node knows of it counts.
func (l *Live) Current() bool {
	// In this order: whoever is proven to have missed no end has applied it, and
	// so finds it below.
	return l.holds() && !l.Ended()
}

func (l *Live) holds() bool {
	return l.proof == nil || l.proof.Fresh() || int64(l.proof.Now()) < l.proven.Load()
}

// Proven is until when SQL's last answer counts, by the clock of the proof.
func (l *Live) Proven() time.Duration { return time.Duration(l.proven.Load()) }

// Principal is the signed-in person, without email and name: those change, and
// authz knows them. It is shared and must not be changed.
func (l *Live) Principal() *identity.Principal {
	if made := l.principal.Load(); made != nil {
		return made
	}
	s := &l.session
	l.principal.CompareAndSwap(nil, &identity.Principal{
		Kind: identity.KindUser, Tenant: s.Tenant, ID: string(s.User),
		User: s.User, Session: s.ID, Device: s.Device, Connection: s.Connection, Program: s.Program,
		AuthTime: s.AuthAt, FactorTime: s.FactorAt, AMR: s.AMR, ACR: s.ACR,
	})
	return l.principal.Load()
}

// Session is the session as it is now. ExpiresAt is as it was at sign-in;
// [Service.Get] gives it by the settings of today.
func (l *Live) Session() Session {
	s := l.session
	s.SeenAt = time.UnixMilli(l.seen.Load()).UTC()
	return s
}

// On reports whether a device's token is that of the device on which the session
// was made.
func (l *Live) On(deviceToken string) bool {
	hash, ok := hashToken(deviceToken)
	return ok && hash == l.session.DeviceHash
}

// Hash is the SHA-256 of the session's token.
func (l *Live) Hash() TokenHash { return l.hash }

// Memo is what the last SetMemo kept: one slot for whoever serves the
// session's requests and prepares the same things for each. Nil at first.
func (l *Live) Memo() any {
	if kept := l.memo.Load(); kept != nil {
		return *kept
	}
	return nil
}

// SetMemo keeps a value for Memo.
func (l *Live) SetMemo(v any) { l.memo.Store(&v) }

// Enter registers a request or connection under its session; it is served only
// when ok. leave must be called when it is over; calling it again does
// nothing. Once the session has ended, and while it is not [Live.Current],
// nobody enters.
func (l *Live) Enter(c Stream) (leave func(), ok bool) {
	if !l.holds() { // before the door is looked at, as in Current
		return func() {}, false
	}
	e := &entry{stream: c, inside: true}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended.Load() {
		return func() {}, false
	}
	if e.next = l.first; e.next != nil {
		e.next.prev = e
	}
	l.first = e
	l.open++
	l.use()
	return func() { l.leave(e) }, true
}

func (l *Live) leave(e *entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e.inside {
		l.remove(e)
	}
}

// remove takes a stream off the list; l.mu is held.
func (l *Live) remove(e *entry) {
	e.inside = false
	if e.prev != nil {
		e.prev.next = e.next
	} else {
		l.first = e.next
	}
	if e.next != nil {
		e.next.prev = e.prev
	}
	if l.open--; l.open == 0 && l.ended.Load() {
		close(l.left)
	}
}

// Open is how many requests and connections the session has right now.
func (l *Live) Open() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.open
}

// Ended reports whether the session is over: nobody enters any more.
func (l *Live) Ended() bool { return l.ended.Load() }

// ending is what the end of a session finds inside.
type ending struct {
	first  bool            // this call ended it
	open   int             // streams that were inside
	untold []Stream        // those of them that have not been told to go yet
	left   <-chan struct{} // closed when the last one has gone
}

// end shuts the door. The spared stream, if it is inside, has left by that: it
// is the one that asks for the end.
func (l *Live) end(spared Stream) ending {
	l.mu.Lock()
	defer l.mu.Unlock()
	for e := l.first; e != nil; e = e.next {
		if e.stream == spared {
			l.remove(e)
		}
	}
	now := ending{first: !l.ended.Load(), open: l.open}
	if now.first {
		l.left = nobody
		if l.open > 0 {
			l.left = make(chan struct{})
		}
		l.ended.Store(true)
	}
	for e := l.first; e != nil; e = e.next {
		if !e.told {
			e.told = true
			now.untold = append(now.untold, e.stream)
		}
	}
	now.left = l.left
	return now
}

// retire ends a session on this node that has nothing open; false if it has.
func (l *Live) retire() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended.Load() || l.open > 0 {
		return false
	}
	l.left = nobody
	l.ended.Store(true)
	return true
}

// touchStep keeps a busy session from writing the same cache line for every
// request; the last-seen time is exact to within it.
const touchStep = time.Second

// touch notes a request at this Unix millisecond.
func (l *Live) touch(now int64) {
	if now-l.seen.Load() >= touchStep.Milliseconds() {
		l.seen.Store(now)
		l.use()
	}
}

// use lists the session among those in use, after it has been.
func (l *Live) use() {
	if l.roll != nil && !l.listed.Load() {
		l.roll.use(l)
	}
}

// busy reports whether the session has something open, or was used since SQL was
// told so.
func (l *Live) busy() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.ended.Load() && (l.open > 0 || l.seen.Load() > l.saved.Load())
}

// expired reports whether the session ran out by these limits; zero means no
// limit.
func (l *Live) expired(now int64, idle, absolute time.Duration) bool {
	return (absolute > 0 && now-l.created >= absolute.Milliseconds()) || (l.until != 0 && now >= l.until) ||
		(idle > 0 && now-l.seen.Load() >= idle.Milliseconds())
}
