package demo

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"strings"
	"time"

	"gatehouse/demo/browse"
)

// landing is where [Info.SignIn] comes out: it answers with the identity.
const landing = "/api/whoami"

// Client is a fresh browser: an empty cookie jar, trusting the demo's CA, and
// finding every *.localhost name at the gate.
func (i Info) Client() (*http.Client, error) {
	transport, err := i.transport()
	if err != nil {
		return nil, err
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, fmt.Errorf("demo: %w", err)
	}
	return &http.Client{Transport: transport, Jar: jar, Timeout: time.Minute}, nil
}

// transport is the way to the gate, by HTTP/2 where it is offered.
func (i Info) transport() (*http.Transport, error) {
	authority, err := os.ReadFile(i.CA)
	if err != nil {
		return nil, fmt.Errorf("demo: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(authority) {
		return nil, fmt.Errorf("demo: %s holds no certificate", i.CA)
	}
	return &http.Transport{
		DialContext:         DialLocal,
		TLSClientConfig:     &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout: 10 * time.Second,
		MaxIdleConnsPerHost: 64,
		IdleConnTimeout:     30 * time.Second,
		ForceAttemptHTTP2:   true,
	}, nil
}

// DialLocal connects to an address and resolves *.localhost as browsers do (RFC 6761 §6.3): Go's resolver
// and glibc's ask the network instead.
func DialLocal(ctx context.Context, network, address string) (net.Conn, error) {
	if host, port, err := net.SplitHostPort(address); err == nil && strings.HasSuffix(host, ".localhost") {
		address = net.JoinHostPort("127.0.0.1", port)
	}
	dialer := net.Dialer{Timeout: 5 * time.Second}
	return dialer.DialContext(ctx, network, address)
}

// SignIn signs a demo account in, through the tenant's identity provider and
// its form; the client then holds the session.
func (i Info) SignIn(ctx context.Context, client *http.Client, tenant, email string) error {
	t, ok := i.Tenants[tenant]
	if !ok {
		return fmt.Errorf("demo: there is no tenant %q", tenant)
	}
	for _, u := range t.Users {
		if u.Email != email {
			continue
		}
		start := t.URL + ".gatehouse/login?" + url.Values{"connection": {t.Connection}, "return_to": {landing}}.Encode()
		resp, err := browse.SignIn(ctx, client, start, u.Email, u.Password)
		if err != nil {
			return fmt.Errorf("demo: %w", err)
		}
		_ = resp.Body.Close() // read already
		if resp.StatusCode != http.StatusOK || resp.Request.URL.Path != landing {
			return fmt.Errorf("demo: sign-in of %s ended at %s with %s", email, resp.Request.URL, resp.Status)
		}
		return nil
	}
	return fmt.Errorf("demo: there is no account %q", email)
}
