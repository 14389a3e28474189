package api

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"gatehouse/audit"
	"gatehouse/internal/fault"
)

// heartbeat keeps proxies between from taking a quiet stream for a dead one.
const heartbeat = 15 * time.Second

// errNotAStream: a gate that stops tells event streams at once to come back
// elsewhere, and by this header it knows one.
var errNotAStream = fault.New(fault.Invalid, "not-a-stream", "Ask for it with Accept: text/event-stream.")

// streamEvents follows the log. It ends when the client leaves, when the gate
// ends the session or stops (by the request's context), when the caller may no
// longer follow, or when the reader is too slow; a browser then connects anew
// and reads the list for what it missed.
func (a *API) streamEvents(ctx context.Context, c *call, _ *struct{}) (*huma.StreamResponse, error) {
	if !strings.Contains(c.http.Header.Get("Accept"), "text/event-stream") {
		return nil, errNotAStream
	}
	return &huma.StreamResponse{Body: func(hc huma.Context) {
		_, w := humago.Unwrap(hc)
		events, cancel := a.cfg.Log.Subscribe(c.tenant())
		defer cancel()
		h := w.Header()
		h.Set("Content-Type", "text/event-stream")
		h.Set("X-Accel-Buffering", "no")
		if err := follow(ctx, w, events, func() error { return a.still(ctx, c) }); err != nil && ctx.Err() == nil {
			slog.InfoContext(ctx, "event stream ended", "request_id", c.request.ID, "error", err)
		}
	}}, nil
}

// follow writes events as they come (HTML Living Standard §9.2) until ctx ends,
// the channel is closed, or still, asked before each event and each heartbeat,
// says no.
func follow(ctx context.Context, w http.ResponseWriter, events <-chan audit.Event, still func() error) error {
	controller := http.NewResponseController(w)
	// The stream outlives the server's write timeout; each write has its own.
	write := func(text string) error {
		if err := controller.SetWriteDeadline(time.Now().Add(heartbeat)); err != nil && !errors.Is(err, http.ErrNotSupported) {
			return err
		}
		if _, err := io.WriteString(w, text); err != nil {
			return err
		}
		return controller.Flush()
	}
	if err := write("retry: 2000\n\n"); err != nil {
		return err
	}
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case event, open := <-events:
			if !open {
				return nil
			}
			if err := still(); err != nil {
				return err
			}
			data, err := json.Marshal(event)
			if err != nil {
				return err
			}
			if err := write("event: event\nid: " + string(event.ID) + "\ndata: " + string(data) + "\n\n"); err != nil {
				return err
			}
		case <-beat.C:
			if err := still(); err != nil {
				return err
			}
			if err := write(": still here\n\n"); err != nil {
				return err
			}
		}
	}
}

// abort ends an answer that has begun and cannot be finished, so that the
// client does not take it for a whole one.
func abort(ctx context.Context, err error) {
	if ctx.Err() == nil {
		slog.ErrorContext(ctx, "answer cut short", "request_id", requestID(ctx), "error", err)
	}
	panic(http.ErrAbortHandler)
}
