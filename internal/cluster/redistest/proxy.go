package redistest

import (
	"context"
	"net"
	"sync"
	"testing"
)

// Proxy is a way to a server that can be cut.
type Proxy struct {
	listener net.Listener
	target   func(context.Context) (string, error) // where a new connection goes
	group    sync.WaitGroup

	mu    sync.Mutex
	cut   chan struct{} // open while the way is cut: nothing passes, and nobody is told
	conns map[net.Conn]bool
	down  bool
}

// Through starts a proxy to an address.
func Through(t testing.TB, target string) *Proxy {
	t.Helper()
	return through(t, func(context.Context) (string, error) { return target, nil })
}

// ThroughToMaster starts a proxy to whoever is the master of a Sentinel when a
// connection is made.
func ThroughToMaster(t testing.TB, sentinel *Server) *Proxy {
	t.Helper()
	return through(t, sentinel.Master)
}

func through(t testing.TB, target func(context.Context) (string, error)) *Proxy {
	t.Helper()
	l := listen(t)
	p := &Proxy{listener: l, target: target, conns: map[net.Conn]bool{}}
	p.group.Go(p.accept)
	t.Cleanup(func() {
		_ = l.Close()
		p.mu.Lock()
		p.down = true
		p.mu.Unlock()
		p.Mend()
		p.Reset()
		p.group.Wait()
	})
	return p
}

// Addr is host:port of the way.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// URL is that of the server at the end of the way.
func (p *Proxy) URL() string { return "redis://" + p.Addr() }

// Cut makes bytes stand still in both directions, as an unplugged cable does.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cut == nil {
		p.cut = make(chan struct{})
	}
}

// Mend lets the bytes go on from where they were.
func (p *Proxy) Mend() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cut != nil {
		close(p.cut)
		p.cut = nil
	}
}

// Reset closes the connections of this moment.
func (p *Proxy) Reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		_ = c.Close()
	}
}

func (p *Proxy) accept() {
	for {
		c, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.group.Go(func() { p.serve(c) })
	}
}

func (p *Proxy) serve(c net.Conn) {
	p.pass()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	target, err := p.target(ctx)
	if err != nil {
		_ = c.Close()
		return
	}
	var dialer net.Dialer
	s, err := dialer.DialContext(ctx, "tcp", target)
	if err != nil {
		_ = c.Close()
		return
	}
	if !p.keep(c, s) {
		return
	}
	var group sync.WaitGroup
	group.Go(func() { p.copy(s, c) })
	group.Go(func() { p.copy(c, s) })
	group.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
	delete(p.conns, s)
}

func (p *Proxy) keep(conns ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range conns {
		if p.down {
			_ = c.Close()
		}
		p.conns[c] = true
	}
	return !p.down
}

func (p *Proxy) copy(to, from net.Conn) {
	defer func() {
		_ = to.Close()
		_ = from.Close()
	}()
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		p.pass()
		if n > 0 {
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// pass waits while the way is cut.
func (p *Proxy) pass() {
	p.mu.Lock()
	cut := p.cut
	p.mu.Unlock()
	if cut != nil {
		<-cut
	}
}
