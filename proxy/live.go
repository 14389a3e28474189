package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"gatehouse/authz"
	"gatehouse/identity"
	"gatehouse/proxy/upstream"
	"gatehouse/sessions"
)

// past is a deadline that has passed: whatever waits fails at once.
var past = time.Unix(1, 0)

// closeWait is how long the last words to a client may take when its
// connection is cut.
const closeWait = 100 * time.Millisecond

var errCut = errors.New("proxy: the connection was cut")

// Why a connection is cut decides the close code of a WebSocket (RFC 6455
// §7.4.1 and its registry).
const (
	closePolicy  = 1008 // the session is over
	closeRestart = 1012 // the client may come again: the gate is stopping, or must decide anew
)

// stream is the client's side of one request: what a revocation cuts
// (it implements sessions.Stream). Everything that touches the client's
// connection from outside the handler goes through it, since net/http forbids
// touching it once the handler has returned.
type stream struct {
	w         http.ResponseWriter
	rc        http.ResponseController
	exchange  *upstream.Exchange // nil for our own endpoints
	socket    *net.TCPConn       // of HTTP/1.1, where the request has the connection to itself; or nil
	onCut     func()             // called once when cut, if set
	leave     func()             // takes the stream out of its session, if it is in one
	live      *sessions.Live     // the session that lets it through to the app; or nil
	memory    Memory             // what does otherwise
	writeIdle time.Duration
	tenant    identity.TenantID
	admitted  *admittedShard // where a change of the tenant's settings finds it; or nil
	ip        netip.Addr     // where it comes from

	whose atomic.Pointer[identity.Principal] // nil: nobody's, or not known yet
	asked atomic.Pointer[authz.Query]        // what it was let through for; nil: it was not yet, or it is our own

	mu          sync.Mutex
	over        bool          // the handler is done with the connection
	left        chan struct{} // closed when it is; nil unless somebody waits for that
	cut         bool
	code        int
	interrupted bool     // nobody needs the rest of the client's body
	raw         net.Conn // the client's connection once it is a tunnel
	extended    time.Time
}

func newStream(v *visit, x *upstream.Exchange) *stream {
	s := &stream{w: v.w, rc: *http.NewResponseController(v.w), exchange: x, writeIdle: v.Limits.WriteIdle, tenant: v.Tenant, ip: v.ClientIP, extended: v.Start}
	if v.r.ProtoMajor == 1 {
		s.socket = socketOf(v.r.Context())
	}
	return s
}

type socketKey struct{}

// withSocket keeps a connection's socket at hand (http.Server.ConnContext).
func withSocket(ctx context.Context, c net.Conn) context.Context {
	if secured, ok := c.(*tls.Conn); ok {
		c = secured.NetConn()
	}
	return context.WithValue(ctx, socketKey{}, c)
}

func socketOf(ctx context.Context) *net.TCPConn {
	socket, _ := ctx.Value(socketKey{}).(*net.TCPConn)
	return socket
}

// Terminate cuts the stream because its session is over.
func (s *stream) Terminate(string) { s.terminate(closePolicy) }

// terminate makes every read and write of both sides fail from now on. The
// handler, which is in one of them, ends the connection.
func (s *stream) terminate(code int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over || s.cut {
		return
	}
	s.cut, s.code = true, code
	if s.exchange != nil {
		s.exchange.Abort()
	}
	if s.onCut != nil {
		s.onCut()
	}
	if s.raw != nil {
		// A write under way may finish its frame, so that a closing frame can follow.
		_ = s.raw.SetWriteDeadline(time.Now().Add(closeWait))
		_ = s.raw.SetReadDeadline(past)
		return
	}
	if s.socket != nil {
		// A deadline would not do: net/http closes a connection whose write failed,
		// and TLS then tries for seconds to say goodbye to a client that does not
		// read. What the kernel still holds for the client goes, too.
		_ = s.socket.SetLinger(0)
		_ = s.socket.Close()
		return
	}
	// Both fail only if the connection is gone already.
	_ = s.rc.SetReadDeadline(past)
	_ = s.rc.SetWriteDeadline(past)
}

// finish is called by the handler before it returns. From then on nobody else
// touches the connection, and only after that the session is left.
func (s *stream) finish() {
	s.mu.Lock()
	if s.interrupted && !s.cut && !s.over {
		_ = s.rc.SetReadDeadline(time.Now().Add(lingerWait)) // fails only if the connection is gone
	}
	if s.left != nil && !s.over {
		close(s.left)
	}
	s.over = true
	s.mu.Unlock()
	if s.leave != nil {
		s.leave()
	}
	if s.admitted != nil {
		s.admitted.leave(s)
	}
}

// gone is closed once the handler is done with the connection.
func (s *stream) gone() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.left == nil {
		s.left = make(chan struct{})
		if s.over {
			close(s.left)
		}
	}
	return s.left
}

func (s *stream) cutOff() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cut
}

// stands reports whether another piece may pass: it is not cut, and what let the
// request in still counts on this node at this instant (P2). Where only that is
// not known any more, the client is asked to connect again.
func (s *stream) stands() bool {
	code := closeRestart
	switch {
	case s.exchange == nil: // our own endpoint: it may have to tell that the session is over
		return !s.cutOff()
	case s.live != nil:
		if s.live.Current() {
			return !s.cutOff()
		}
		if s.live.Ended() {
			code = closePolicy
		}
	case s.memory.Holds():
		return !s.cutOff()
	}
	s.terminate(code)
	return false
}

// closeCode is why the stream was cut; 0 if it was not.
func (s *stream) closeCode() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.code
}

// extend gives the client time for the next piece. Deadlines are costly, so
// they move only when a good part of the last has been used up.
func (s *stream) extend() error {
	if !s.stands() {
		return errCut
	}
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if now.Sub(s.extended) < s.writeIdle/4 {
		return nil
	}
	s.extended = now
	return s.rc.SetWriteDeadline(now.Add(s.writeIdle))
}

// begin sends the status and fields, with what is written next.
func (s *stream) begin(status int) error {
	if err := s.extend(); err != nil {
		return err
	}
	s.w.WriteHeader(status)
	return nil
}

// Write sends a piece of the body to the client.
func (s *stream) Write(p []byte) (int, error) {
	if err := s.extend(); err != nil {
		return 0, err
	}
	return s.w.Write(p)
}

func (s *stream) flush() error {
	if err := s.extend(); err != nil {
		return err
	}
	return s.rc.Flush()
}

// pause sends what there is, because the app has no more for now. Until it has,
// there is nothing that the client could be slow to take; but net/http resets a
// stream of HTTP/2 whose deadline passes, whether or not it has something to
// send.
func (s *stream) pause() error {
	if err := s.flush(); err != nil || s.socket != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cut {
		return errCut
	}
	s.extended = time.Time{} // with the next piece
	return s.rc.SetWriteDeadline(time.Time{})
}

// interim passes on early hints (RFC 8297); other interim answers say
// something of the app's connection alone.
func (s *stream) interim(a *upstream.Response) {
	if a.Status != http.StatusEarlyHints || !s.stands() {
		return
	}
	h := s.w.Header()
	h["Link"] = a.Header["Link"]
	s.w.WriteHeader(http.StatusEarlyHints)
	delete(h, "Link")
}

// fullDuplex lets the answer begin while the body is still being read.
func (s *stream) fullDuplex() error {
	if err := s.rc.EnableFullDuplex(); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	return nil
}

// interrupt makes a read of the client's body return at once. The connection
// then gets a moment to take in what the client is still sending, or the
// answer could be lost with it.
func (s *stream) interrupt() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.interrupted = true
	_ = s.rc.SetReadDeadline(past) // fails only if the connection is gone
}

// awaitBody gives the client time for the next piece of its body; zero: no end.
func (s *stream) awaitBody(idle time.Duration) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cut || s.interrupted {
		return errCut
	}
	var deadline time.Time
	if idle > 0 {
		deadline = time.Now().Add(idle)
	}
	return s.rc.SetReadDeadline(deadline)
}

// longLived are the streams that would keep a stopping gate from ever being
// idle: tunnels and event streams.
type longLived struct {
	mu       sync.Mutex
	streams  map[*stream]struct{}
	stopping bool
	empty    chan struct{} // closed when stopping and none is left; made by restart
}

func (l *longLived) add(s *stream) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.streams == nil {
		l.streams = map[*stream]struct{}{}
	}
	l.streams[s] = struct{}{}
	if l.stopping {
		s.terminate(closeRestart)
	}
}

func (l *longLived) remove(s *stream) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.streams, s)
	if l.stopping && len(l.streams) == 0 {
		l.tellEmpty()
	}
}

func (l *longLived) tellEmpty() {
	select {
	case <-l.empty:
	default:
		close(l.empty)
	}
}

// restart cuts them all, and any that comes after; their clients connect
// again, to another node or to the one that follows. The channel is closed
// once none is left.
func (l *longLived) restart() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.stopping {
		l.stopping, l.empty = true, make(chan struct{})
	}
	for s := range l.streams {
		s.terminate(closeRestart)
	}
	if len(l.streams) == 0 {
		l.tellEmpty()
	}
	return l.empty
}
