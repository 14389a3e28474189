//go:build unix

package upstream

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// probe looks at an idle socket without reading from it and without waiting.
type probe struct {
	raw    syscall.RawConn
	look   func(fd uintptr)
	asked  [1]unix.PollFd
	silent bool
}

func newProbe(raw syscall.RawConn) *probe {
	if raw == nil {
		return nil
	}
	p := &probe{raw: raw}
	p.look = func(fd uintptr) {
		p.asked[0] = unix.PollFd{Fd: int32(fd), Events: unix.POLLIN} // #nosec G115 -- a file descriptor is a small int
		n, err := unix.Poll(p.asked[:], 0)
		p.silent = n == 0 && err == nil
	}
	return p
}

// quiet reports whether the socket is open with nothing to read: its end, a
// failure and data would each be an event.
func (p *probe) quiet() bool {
	p.silent = false
	return p.raw.Control(p.look) == nil && p.silent
}
