package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"strconv"
	"time"

	"gatehouse/demo"
)

// The parts that this program plays as a child of itself.
const (
	partApp   = "app"   // answers every request with 1 KiB
	partProxy = "proxy" // partProxy UPSTREAM CERT KEY
	partGate  = "gate"  // partGate UPSTREAM DATA
)

// play runs one part until ctx ends or the parent, which holds the other end of
// stdin, has gone. Its first line on stdout says where it serves.
func play(ctx context.Context, args []string) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin) // ends with the parent, however that ends
		stop()
	}()
	switch {
	case args[0] == partApp && len(args) == 1:
		l, err := listenLoopback(ctx)
		if err != nil {
			return err
		}
		return serveUntil(ctx, l, http.HandlerFunc(answer))
	case args[0] == partProxy && len(args) == 4:
		return playProxy(ctx, args[1], args[2], args[3])
	case args[0] == partGate && len(args) == 3:
		return playGate(ctx, args[1], args[2])
	}
	return fmt.Errorf("unknown part %q; run it without arguments", args)
}

var body = func() []byte {
	text := make([]byte, answerBytes)
	for i := range text {
		text[i] = byte('a' + i%26)
	}
	return text
}()

func answer(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body) // the client may be gone
}

// playProxy is the bare Go reverse proxy that the gate is compared with: no
// buffer pool, default garbage collection, enough idle connections.
func playProxy(ctx context.Context, upstream, cert, key string) error {
	to, err := url.Parse(upstream)
	if err != nil {
		return err
	}
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return err
	}
	proxy := &httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(to); r.SetXForwarded() },
		Transport: &http.Transport{MaxIdleConnsPerHost: 1024, MaxIdleConns: 1024},
	}
	l, err := listenLoopback(ctx)
	if err != nil {
		return err
	}
	return serveUntil(ctx, tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}}), proxy)
}

// playGate is the gateway with everything on: the demo, with another app.
func playGate(ctx context.Context, upstream, data string) error {
	d, err := demo.Start(ctx, demo.Options{App: upstream, Data: data, Log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))})
	if err != nil {
		return err
	}
	defer d.Close() //nolint:contextcheck // it closes what must be closed although ctx has ended
	if err := json.NewEncoder(os.Stdout).Encode(d.Info()); err != nil {
		return err
	}
	return d.Wait()
}

func listenLoopback(ctx context.Context) (net.Listener, error) {
	var config net.ListenConfig
	return config.Listen(ctx, "tcp", "127.0.0.1:0")
}

// serveUntil says where it serves, and serves until ctx ends.
func serveUntil(ctx context.Context, l net.Listener, handler http.Handler) error {
	fmt.Println(l.Addr())
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 64 << 10}
	stopped := context.AfterFunc(ctx, func() { _ = server.Close() }) // Serve tells of it
	defer stopped()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
