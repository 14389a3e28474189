package proxy

import (
	"context"
	"io"
	"net/http"
	"strings"

	"gatehouse/internal/fault"
	"gatehouse/sessions"
)

// serveOwn is stage 3: our own endpoints find out themselves who calls, since
// some of them are there for people who have not signed in yet; a credential
// that is not good is for them to refuse. The request ends with its session,
// token or tenant all the same (P2), unless it is the one that ends them.
func (g *Gate) serveOwn(v *visit) error {
	ctx, cancel := context.WithCancel(v.r.Context())
	defer cancel()
	s := newStream(v, nil)
	s.onCut = cancel
	defer s.finish()
	events := strings.Contains(v.r.Header.Get("Accept"), "text/event-stream")
	if events {
		g.admitted.enter(s)
	}
	var c caller
	p, live, err := g.callerOf(v.r, s)
	switch {
	case err == nil:
		c = caller{principal: p, live: live}
	case !fault.Is(err, fault.Unauthenticated):
		return err
	}
	if c.principal == nil {
		if err := v.Haste(); err != nil {
			return err
		}
	}
	if err := g.attend(v, s, c); err != nil {
		return err
	}
	if events {
		g.long.add(s)
		defer g.long.remove(s)
	}
	r := v.r.WithContext(sessions.Calling(ctx, s))
	if r.ContentLength != 0 {
		// From now on, also if nobody reads it: net/http takes in the rest.
		if err := s.awaitBody(v.Limits.BodyTime); err != nil {
			return err
		}
		r.Body = ownBody{s.body(r.Body, 0, v.Limits.ownPace()), r.Body}
	}
	g.config.Own.ServeHTTP(v.w, r)
	if s.cutOff() || c.principal != nil && s.flush() != nil {
		// What net/http would send after this function returns has gone by now, or
		// never will.
		panic(http.ErrAbortHandler)
	}
	return nil
}

type ownBody struct {
	io.Reader
	io.Closer
}
