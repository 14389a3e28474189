//go:build unix

package upstream

import (
	"errors"
	"syscall"

	"golang.org/x/sys/unix"
)

// probe looks at an idle socket without reading from it and without waiting.
type probe struct {
	raw   syscall.RawConn
	peek  func(fd uintptr) bool
	empty bool
	buf   [1]byte
}

func newProbe(raw syscall.RawConn) *probe {
	if raw == nil {
		return nil
	}
	p := &probe{raw: raw}
	p.peek = func(fd uintptr) bool {
		// #nosec G115 -- a file descriptor is a small int
		_, _, err := unix.Recvfrom(int(fd), p.buf[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
		p.empty = errors.Is(err, unix.EAGAIN)
		return true
	}
	return p
}

// quiet reports whether the socket is open with nothing to read.
func (p *probe) quiet() bool {
	p.empty = false
	return p.raw.Read(p.peek) == nil && p.empty
}
