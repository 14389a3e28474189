package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	answerBytes = 1024 // what the app answers with
	dialTimeout = 5 * time.Second
	// replyTimeout is far above any latency that is worth measuring.
	replyTimeout = 10 * time.Second
)

// target is an address with everything a request to it needs.
type target struct {
	addr   string // host:port to connect to
	host   string // host:port as in the URL, for TLS and the Host header
	tls    *tls.Config
	cookie string // empty: none
}

func (t target) request() []byte {
	text := "GET /api/whoami HTTP/1.1\r\nHost: " + t.host + "\r\nUser-Agent: gatehouse-bench\r\nAccept: application/json\r\n"
	if t.cookie != "" {
		text += "Cookie: " + t.cookie + "\r\n"
	}
	return []byte(text + "\r\n")
}

// outcome is what one round of load gave.
type outcome struct {
	requests  int
	took      time.Duration
	latencies []time.Duration // sorted
}

// quantile is the latency that a share of the requests kept below.
func (o outcome) quantile(share float64) time.Duration {
	if len(o.latencies) == 0 {
		return 0
	}
	return o.latencies[min(len(o.latencies)-1, int(math.Ceil(share*float64(len(o.latencies))))-1)]
}

// load keeps conns connections busy, one request at a time each, for a while.
// Any answer but the expected one ends it: a fast refusal is no result.
func load(ctx context.Context, t target, conns int, duration time.Duration) (outcome, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, duration, errRoundOver)
	defer cancel()
	latencies, errs := make([][]time.Duration, conns), make([]error, conns)
	var all sync.WaitGroup
	start := time.Now()
	for i := range conns {
		all.Go(func() {
			latencies[i], errs[i] = drive(ctx, t)
			if errs[i] != nil {
				cancel()
			}
		})
	}
	all.Wait()
	o := outcome{took: time.Since(start), latencies: slices.Concat(latencies...)}
	o.requests = len(o.latencies)
	slices.Sort(o.latencies)
	if err := errors.Join(errs...); err != nil {
		return o, err
	}
	if !errors.Is(context.Cause(ctx), errRoundOver) {
		return o, context.Cause(ctx)
	}
	return o, nil
}

var errRoundOver = errors.New("the round is over")

// drive sends requests over one connection until ctx ends.
func drive(ctx context.Context, t target) ([]time.Duration, error) {
	dialer := net.Dialer{Timeout: dialTimeout}
	raw, err := dialer.DialContext(context.WithoutCancel(ctx), "tcp", t.addr)
	if err != nil {
		return nil, err
	}
	config := t.tls.Clone()
	config.MinVersion, config.NextProtos = tls.VersionTLS13, []string{"http/1.1"}
	if config.ServerName, _, err = net.SplitHostPort(t.host); err != nil {
		return nil, errors.Join(err, raw.Close())
	}
	conn := tls.Client(raw, config)
	defer func() { _ = conn.Close() }() // nothing is in flight
	request, reader := t.request(), bufio.NewReaderSize(conn, 8<<10)
	latencies := make([]time.Duration, 0, 1<<14)
	for ctx.Err() == nil {
		start := time.Now()
		if err := conn.SetDeadline(start.Add(replyTimeout)); err != nil {
			return latencies, err
		}
		if _, err := conn.Write(request); err != nil {
			return latencies, fmt.Errorf("send: %w", err)
		}
		if err := readAnswer(reader); err != nil {
			return latencies, err
		}
		latencies = append(latencies, time.Since(start))
	}
	return latencies, nil
}

// readAnswer reads one answer of a known length; it does no more than that, so
// that the generator takes little of the CPU that it shares with the subject.
func readAnswer(r *bufio.Reader) error {
	status, err := r.ReadSlice('\n')
	if err != nil {
		return fmt.Errorf("read: %w", err)
	}
	if !strings.HasPrefix(string(status), "HTTP/1.1 200") {
		return fmt.Errorf("answered %q", strings.TrimSpace(string(status)))
	}
	length := -1
	for {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return fmt.Errorf("read: %w", err)
		}
		if len(line) <= 2 {
			break
		}
		name, value, _ := strings.Cut(string(line), ":")
		if strings.EqualFold(name, "Content-Length") {
			if length, err = strconv.Atoi(textproto.TrimString(value)); err != nil {
				return err
			}
		}
	}
	if length != answerBytes {
		return fmt.Errorf("answered %d bytes, not %d", length, answerBytes)
	}
	_, err = io.CopyN(io.Discard, r, int64(length))
	return err
}
