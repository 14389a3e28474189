package main

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"gatehouse/demo"
)

const (
	startTimeout = 30 * time.Second
	stopTimeout  = 10 * time.Second
)

// children are the processes that were started, to be stopped in reverse order.
type children struct{ stops []func() }

func (c *children) stop() {
	for _, stop := range slices.Backward(c.stops) {
		stop()
	}
}

// start runs a command and returns its pid and, for a part of our own, the
// first line that it prints.
func (c *children) start(cmd *exec.Cmd, speaks bool) (pid int, line string, err error) {
	cmd.Stderr = os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = stopTimeout
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return 0, "", err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return 0, "", err
	}
	if err := cmd.Start(); err != nil {
		return 0, "", err
	}
	c.stops = append(c.stops, func() {
		_ = stdin.Close() // parts of ours end by it
		if !speaks {
			_ = cmd.Process.Signal(os.Interrupt) // gone already, or about to go
		}
		timer := time.AfterFunc(stopTimeout, func() { _ = cmd.Process.Kill() })
		defer timer.Stop()
		_ = cmd.Wait() // how it ends is of no interest any more
	})
	if !speaks {
		return cmd.Process.Pid, "", nil
	}
	timer := time.AfterFunc(startTimeout, func() { _ = cmd.Process.Kill() })
	defer timer.Stop()
	line, err = bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		return 0, "", fmt.Errorf("%s did not start: %w", strings.Join(cmd.Args[:2], " "), err)
	}
	return cmd.Process.Pid, strings.TrimSpace(line), nil
}

// startAll starts the app and every subject that can be had here.
func startAll(ctx context.Context, dir string) (_ []*subject, stop func(), err error) {
	c := &children{}
	self, err := os.Executable()
	if err != nil {
		return nil, c.stop, err
	}
	part := func(args ...string) *exec.Cmd { return exec.CommandContext(ctx, self, args...) } // #nosec G204 -- this very program
	_, address, err := c.start(part(partApp), true)
	if err != nil {
		return nil, c.stop, err
	}
	app := "http://" + address
	cert, key, err := writeCertificate(dir)
	if err != nil {
		return nil, c.stop, err
	}
	plain := &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS13}
	pemText, err := os.ReadFile(cert)
	if err != nil {
		return nil, c.stop, err
	}
	plain.RootCAs.AppendCertsFromPEM(pemText)

	gate, err := startGate(ctx, c, part(partGate, app, filepath.Join(dir, "gate")))
	if err != nil {
		return nil, c.stop, err
	}
	pid, address, err := c.start(part(partProxy, app, cert, key), true)
	if err != nil {
		return nil, c.stop, err
	}
	subjects := []*subject{gate, {name: bareProxy, pid: pid, target: target{addr: address, host: local(address), tls: plain}}}
	if binary, lookErr := exec.LookPath("nginx"); lookErr != nil {
		fmt.Fprintln(os.Stderr, "nginx is not installed: left out")
	} else {
		nginx, err := startNginx(ctx, c, binary, dir, app, cert, key, plain)
		if err != nil {
			return nil, c.stop, err
		}
		subjects = append(subjects, nginx)
	}
	if binary := os.Getenv("OAUTH2_PROXY"); binary != "" {
		peer, err := startOAuth2Proxy(ctx, c, binary, app, cert, key, plain)
		if err != nil {
			return nil, c.stop, err
		}
		subjects = append(subjects, peer)
	}
	return subjects, c.stop, nil
}

// startGate starts the gateway and signs in at it through the identity
// provider, as anybody would.
func startGate(ctx context.Context, c *children, cmd *exec.Cmd) (*subject, error) {
	pid, line, err := c.start(cmd, true)
	if err != nil {
		return nil, err
	}
	var info demo.Info
	if err := json.Unmarshal([]byte(line), &info); err != nil {
		return nil, err
	}
	client, err := info.Client()
	if err != nil {
		return nil, err
	}
	defer client.CloseIdleConnections()
	if err := info.SignIn(ctx, client, "acme", "member@acme.example"); err != nil {
		return nil, err
	}
	base, err := url.Parse(info.Tenants["acme"].URL)
	if err != nil {
		return nil, err
	}
	transport, ok := client.Transport.(*http.Transport)
	if !ok {
		return nil, errors.New("the demo's client has no transport of its own")
	}
	return &subject{name: "Gatehouse, everything on", pid: pid, target: target{addr: net.JoinHostPort("127.0.0.1", base.Port()), host: base.Host,
		tls: transport.TLSClientConfig, cookie: cookiesFor(client, base)}}, nil
}

func cookiesFor(client *http.Client, at *url.URL) string {
	var pairs []string
	for _, cookie := range client.Jar.Cookies(at) {
		pairs = append(pairs, cookie.Name+"="+cookie.Value)
	}
	return strings.Join(pairs, "; ")
}

// local is a loopback address under the name in the certificate.
func local(address string) string {
	_, port, _ := net.SplitHostPort(address)
	return net.JoinHostPort("localhost", port)
}

// writeCertificate makes a self-signed certificate for the plain proxies.
func writeCertificate(dir string) (cert, key string, err error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", "", err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		return "", "", err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return "", "", err
	}
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	return cert, key, errors.Join(
		os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600),
		os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}), 0o600))
}

// await waits until something answers at an address.
func await(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	var dialer net.Dialer
	for {
		conn, err := dialer.DialContext(ctx, "tcp", address)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("%s does not listen: %w", address, err)
		}
	}
}

// freeAddress finds a port for a program that cannot pick one itself.
func freeAddress(ctx context.Context) (string, error) {
	l, err := listenLoopback(ctx)
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}
