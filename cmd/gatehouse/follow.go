package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"gatehouse/audit"
	"gatehouse/identity"
)

const (
	// pageSize is how many events of a list are asked for at once.
	pageSize = 200
	// maxMessage bounds one line and one message of an event stream.
	maxMessage = 1 << 20
	// silence is after how long without a byte a stream is taken for dead: the
	// gateway writes something every 15 s.
	silence = 45 * time.Second
	// The pause before connecting again, if the server asks for no other; each
	// failure doubles it.
	firstPause   = 2 * time.Second
	longestPause = 30 * time.Second
)

// tailServer gives the newest n events of a server's log and, if they are to be
// followed, what comes. The log has no allowed requests.
func (f *files) tailServer(cmd *cobra.Command, n int, follow bool) iter.Seq2[audit.Event, error] {
	ctx := cmd.Context()
	return func(yield func(audit.Event, error) bool) {
		var last []audit.Event
		for e, err := range pages[audit.Event](ctx, &f.target, "audit/events", url.Values{"limit": {strconv.Itoa(min(n, pageSize))}}) {
			if err != nil {
				yield(e, err)
				return
			}
			if last = append(last, e); len(last) == n {
				break
			}
		}
		s := stream{target: &f.target, pause: firstPause, lost: func(why error) { tell(cmd, "The stream was cut (%v); connecting again.", why) }}
		shown := map[identity.EventID]bool{}
		for _, e := range slices.Backward(last) {
			// The log goes by when an event came into it, and the list by its time.
			s.last, shown[e.ID] = e.ID, true
			if !yield(e, nil) {
				return
			}
		}
		if follow {
			s.run(ctx, func(e audit.Event, err error) bool { return err == nil && shown[e.ID] || yield(e, err) })
		}
	}
}

// stream follows a server's log by server-sent events (HTML Living Standard
// §9.2), across lost connections.
type stream struct {
	target *target
	last   identity.EventID // seen last; the server goes on after it
	pause  time.Duration    // before connecting again
	lost   func(why error)  // is called before that
}

// run yields events until ctx ends, yield has enough, or the server refuses.
func (s *stream) run(ctx context.Context, yield func(audit.Event, error) bool) {
	for ctx.Err() == nil {
		more, err := s.once(ctx, yield)
		if !more || ctx.Err() != nil {
			return
		}
		if no, ok := errors.AsType[*refusal](err); ok && no.final() || errors.Is(err, errNoStream) {
			yield(audit.Event{}, err)
			return
		}
		s.lost(err)
		select {
		case <-ctx.Done():
		case <-time.After(s.pause):
		}
		s.pause = min(2*s.pause, longestPause)
	}
}

// final reports whether asking again will be answered the same.
func (r *refusal) final() bool {
	return r.status < http.StatusInternalServerError && r.status != http.StatusTooManyRequests
}

var errSilent = errors.New("the server is silent")

// errNoStream is what a server sends that does not speak as the API does.
var errNoStream = errors.New("the server sends no stream of events")

// once connects and yields events until the connection is lost, which err
// tells of; more is false when yield has enough.
func (s *stream) once(ctx context.Context, yield func(audit.Event, error) bool) (more bool, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	fields := http.Header{"Accept": {"text/event-stream"}}
	if s.last != "" {
		fields.Set("Last-Event-ID", string(s.last))
	}
	resp, err := s.target.do(ctx, http.MethodGet, "audit/stream", nil, fields)
	if err != nil {
		return true, err
	}
	defer func() { _ = resp.Body.Close() }() // only read from
	if media, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); media != "text/event-stream" {
		return true, errNoStream
	}
	watch := time.AfterFunc(silence, func() { cancel(errSilent) })
	defer watch.Stop()
	s.pause = firstPause
	messages := newMessages(alive{resp.Body, func() { watch.Reset(silence) }})
	for {
		m, err := messages.next()
		if messages.retry > 0 {
			s.pause = min(max(messages.retry, followEvery), longestPause)
		}
		switch {
		case errors.Is(err, io.EOF):
			return true, errors.New("the server ended it")
		case err != nil && context.Cause(ctx) != nil:
			return true, context.Cause(ctx)
		case err != nil:
			return true, err
		case m.name != "event":
			continue
		}
		var e audit.Event
		if err := json.Unmarshal(m.data, &e); err != nil {
			return true, fmt.Errorf("%w: %w", errNoStream, err)
		}
		s.last = e.ID
		if !yield(e, nil) {
			return false, nil
		}
	}
}

// alive calls heard whenever something was read.
type alive struct {
	io.Reader
	heard func()
}

func (a alive) Read(p []byte) (int, error) {
	n, err := a.Reader.Read(p)
	if n > 0 {
		a.heard()
	}
	return n, err
}

// message is one message of an event stream.
type message struct {
	name string
	data []byte
}

// messages reads an event stream. Lines end with LF or CRLF.
type messages struct {
	lines *bufio.Scanner
	retry time.Duration // the pause that the server asked for; 0: none
}

func newMessages(r io.Reader) *messages {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxMessage)
	return &messages{lines: lines}
}

// next gives the next message that has data; io.EOF ends the stream, and what it
// breaks off in is no message. A message that is too long is errNoStream.
func (s *messages) next() (message, error) {
	var m message
	for s.lines.Scan() {
		line := s.lines.Bytes()
		if len(line) == 0 {
			if len(m.data) > 0 {
				return m, nil
			}
			m = message{}
			continue
		}
		field, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimPrefix(value, []byte(" "))
		switch string(field) {
		case "event":
			m.name = string(value)
		case "data":
			if len(m.data) > 0 {
				m.data = append(m.data, '\n')
			}
			if m.data = append(m.data, value...); len(m.data) > maxMessage {
				return message{}, fmt.Errorf("%w: a message is too long", errNoStream)
			}
		case "retry":
			if ms, err := strconv.ParseUint(string(value), 10, 31); err == nil {
				s.retry = time.Duration(ms) * time.Millisecond
			}
		}
	}
	switch err := s.lines.Err(); {
	case err == nil:
		return message{}, io.EOF
	case errors.Is(err, bufio.ErrTooLong):
		return message{}, fmt.Errorf("%w: %w", errNoStream, err)
	default:
		return message{}, err
	}
}
