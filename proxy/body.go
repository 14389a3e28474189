package proxy

import (
	"errors"
	"io"
	"math"
	"time"

	"gatehouse/internal/fault"
)

// pace is how fast a client must send its body. Only the time counts that is
// spent waiting for the client: an app that takes its time slows nobody down.
type pace struct {
	time time.Duration // for the whole body
	rate int64         // bytes that buy a second more; 0: none do
	idle time.Duration // between two pieces; 0: no limit of its own
}

// wait is how long the next piece may take after so many bytes and so much
// waiting; always positive.
func (p pace) wait(received int64, waited time.Duration) time.Duration {
	left := p.time - waited
	if p.rate > 0 {
		left += time.Duration(min(received/p.rate, math.MaxInt32)) * time.Second
	}
	if p.idle > 0 {
		left = min(left, p.idle)
	}
	return max(left, 1)
}

func (l Limits) ownPace() pace { return pace{time: l.BodyTime} }

func (l Limits) forwardedPace() pace {
	return pace{time: l.BodyTime, rate: l.BodyRate, idle: l.BodyIdle}
}

// body reads the client's body, piece by piece, each within its time; at most
// limit bytes of it, if limit is not zero or less.
func (s *stream) body(r io.Reader, limit int64, pace pace) io.Reader {
	return &requestBody{s: s, r: r, limit: limit, pace: pace}
}

type requestBody struct {
	s        *stream
	r        io.Reader
	limit    int64
	pace     pace
	received int64
	waited   time.Duration
}

func (b *requestBody) Read(p []byte) (int, error) {
	begun := time.Now()
	if err := b.s.awaitBody(b.pace.wait(b.received, b.waited)); err != nil {
		return 0, err
	}
	n, err := b.r.Read(p)
	b.waited += time.Since(begun)
	b.received += int64(n)
	if !b.s.stands() {
		return 0, errCut
	}
	if errors.Is(err, io.EOF) {
		// The app may take its time to answer; net/http watches the connection
		// meanwhile, and must not mistake the silence for a slow body.
		if derr := b.s.awaitBody(0); derr != nil {
			return n, derr
		}
	}
	if b.limit > 0 && b.received > b.limit {
		return 0, fault.New(fault.TooLarge, "body-too-large", "The request body is larger than this address accepts.")
	}
	return n, err
}
