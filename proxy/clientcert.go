package proxy

import (
	"crypto/tls"
)

// asking has client certificates be asked for at the hosts where programs have
// some. Nobody must have one, so that people's browsers go on without. TLS makes
// sure that a client has its certificate's key; whose it is, and who has issued it,
// is looked at for each request, by the host of that request: connections are used
// for others as well (RFC 9113 §9.1.1), and outlive what a tenant says.
func (s *Server) asking(base *tls.Config) *tls.Config {
	if s.authorities == nil {
		return base
	}
	// Sessions that begin where certificates are asked for have keys of their own. If
	// others could be resumed there, whoever was not asked when theirs began would not
	// be asked for as long as it lives.
	tickets := &tls.Config{MinVersion: tls.VersionTLS12}
	plain := base.Clone()
	base.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		pool := s.authorities(hello.Context(), canonicalHost(hello.ServerName))
		if pool == nil {
			return nil, nil
		}
		asking := plain.Clone()
		asking.ClientAuth, asking.ClientCAs = tls.RequestClientCert, pool
		asking.WrapSession, asking.UnwrapSession = tickets.EncryptTicket, tickets.DecryptTicket
		return asking, nil
	}
	return base
}
