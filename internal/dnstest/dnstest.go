// Package dnstest is a DNS server for tests: it answers for TXT records over UDP.
//
// It exists so that whoever asks the DNS is tested with the real protocol, on this
// machine alone. It must not be used outside tests.
package dnstest

import (
	"context"
	"net"
	"sync"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

// Server answers with the records that it was given.
type Server struct {
	conn net.PacketConn

	mu      sync.Mutex
	records map[string][]string
	silent  func()
}

// Start begins to answer, until the test ends.
func Start(t testing.TB) *Server {
	t.Helper()
	conn, err := new(net.ListenConfig).ListenPacket(t.Context(), "udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{conn: conn, records: map[string][]string{}}
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.serve()
	}()
	t.Cleanup(func() {
		_ = conn.Close() // ends serve
		<-done
	})
	return s
}

// Addr is where the server answers, as address:port.
func (s *Server) Addr() string { return s.conn.LocalAddr().String() }

// Set has a name have these TXT records; none: there is no such name.
func (s *Server) Set(name string, values ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.records[name+"."] = values
}

// Silence has nobody be answered, and calls a function in the place of that; nil ends
// it.
func (s *Server) Silence(instead func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.silent = instead
}

// Resolver asks this server alone.
func (s *Server) Resolver() *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", s.Addr())
	}}
}

func (s *Server) serve() {
	b := make([]byte, 512) // RFC 1035 §4.2.1
	for {
		n, from, err := s.conn.ReadFrom(b)
		if err != nil {
			return
		}
		if answer, ok := s.answer(b[:n]); ok {
			_, _ = s.conn.WriteTo(answer, from) // whoever asked asks again
		}
	}
}

func (s *Server) answer(asked []byte) ([]byte, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.silent != nil {
		s.silent()
		return nil, false
	}
	var m dnsmessage.Message
	if m.Unpack(asked) != nil || len(m.Questions) != 1 {
		return nil, false
	}
	q := m.Questions[0]
	reply := dnsmessage.Message{Header: dnsmessage.Header{ID: m.ID, Response: true, Authoritative: true, RecursionDesired: m.RecursionDesired}, Questions: m.Questions}
	values := s.records[q.Name.String()]
	if len(values) == 0 {
		reply.RCode = dnsmessage.RCodeNameError
	}
	for _, v := range values {
		if q.Type == dnsmessage.TypeTXT {
			reply.Answers = append(reply.Answers, dnsmessage.Resource{
				Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class}, Body: &dnsmessage.TXTResource{TXT: []string{v}}})
		}
	}
	packed, err := reply.Pack()
	return packed, err == nil
}
