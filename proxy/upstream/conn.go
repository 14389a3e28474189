package upstream

import (
	"bufio"
	"net"
	"sync/atomic"
	"syscall"
	"time"
)

// readBuffer is the size of a connection's read buffer, in bytes: a usual
// answer's head and a small body in one read.
const readBuffer = 4 << 10

// keepScratch is the largest head scratch, in bytes, that an idle connection
// holds on to.
const keepScratch = 16 << 10

// conn is one connection to a target: lent to one exchange at a time.
type conn struct {
	target *target
	nc     net.Conn
	probe  *probe // nil where the platform gives no raw access
	br     *bufio.Reader
	head   []byte // scratch for the answer's head
	reused bool
	since  time.Time // idle since
	closed atomic.Bool
}

func newConn(t *target, nc net.Conn) *conn {
	return &conn{target: t, nc: nc, probe: newProbe(rawConn(nc)), br: bufio.NewReaderSize(nc, readBuffer)}
}

// close ends the connection at once; it may be called from any goroutine, and
// more than once.
func (c *conn) close() {
	if c.closed.CompareAndSwap(false, true) {
		_ = c.nc.Close() // nothing of value is lost: the exchange is over or given up
		c.target.open.Add(-1)
	}
}

// quiet reports whether an idle connection is still open and the app has sent
// nothing on it. Bytes that nobody asked for would be read as the answer to
// the next request, whoever makes it.
func (c *conn) quiet() bool {
	return c.br.Buffered() == 0 && (c.probe == nil || c.probe.quiet())
}

// rawConn finds the socket beneath TLS.
func rawConn(nc net.Conn) syscall.RawConn {
	if inner, ok := nc.(interface{ NetConn() net.Conn }); ok {
		nc = inner.NetConn()
	}
	sc, ok := nc.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return nil
	}
	return raw
}
