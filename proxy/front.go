package proxy

import (
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

// front serves the connections of the same terms. It is not shut down when it
// is retired: net/http would drop requests that have just arrived.
type front struct {
	http.Server
	server      *Server
	lent        lent
	connections atomic.Int64
	retired     atomic.Bool
}

// ServeHTTP hands a request to the gate, and ends its connection when the front
// is retired or the server is about to end (with GOAWAY, if it is one of HTTP/2).
func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if f.retired.Load() {
		w.Header().Set("Connection", "close")
		// The gate goes by the limits of this moment, not by the connection's. It
		// fails only if the connection is gone.
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(f.server.terms.Load().writeIdle))
	}
	f.server.gate.ServeHTTP(w, r)
}

func (f *front) count(_ net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		f.connections.Add(1)
	case http.StateClosed, http.StateHijacked:
		f.connections.Add(-1)
	}
}

// retire ends accepting, and every connection with its next answer.
func (f *front) retire() error {
	f.retired.Store(true)
	return f.lent.takeBack()
}

// lent is the server's listener in the hands of one front. The kernel keeps
// what comes between one front and the next.
type lent struct {
	*net.TCPListener
	over atomic.Bool
}

func (l *lent) takeBack() error {
	l.over.Store(true)
	return l.SetDeadline(past)
}

// Accept ends for good, and not for a moment, once the listener was taken back.
func (l *lent) Accept() (net.Conn, error) {
	c, err := l.TCPListener.Accept()
	if err != nil && l.over.Load() {
		return nil, net.ErrClosed
	}
	return c, err
}

// Close leaves the listener to the next front.
func (l *lent) Close() error { return nil }
