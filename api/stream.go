package api

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"gatehouse/audit"
	"gatehouse/identity"
	"gatehouse/internal/fault"
)

// heartbeat keeps proxies between from taking a quiet stream for a dead one.
const heartbeat = 15 * time.Second

// errNotAStream: a gate that stops tells event streams at once to come back
// elsewhere, and by this header it knows one.
var errNotAStream = fault.New(fault.Invalid, "not-a-stream", "Ask for it with Accept: text/event-stream.")

type streamInput struct {
	LastEventID identity.EventID `header:"Last-Event-ID" maxLength:"64" doc:"Id of the event that was seen last: what came after it is sent first"`
}

// streamEvents follows the log. It ends when the client leaves, when the gate
// ends the session or stops (by the request's context), when the caller may no
// longer follow, or when the reader is too slow; the client then connects anew
// and names the event that it saw last (HTML Living Standard §9.2.4).
func (a *API) streamEvents(ctx context.Context, c *call, in *streamInput) (*huma.StreamResponse, error) {
	if !strings.Contains(c.http.Header.Get("Accept"), "text/event-stream") {
		return nil, errNotAStream
	}
	// Before what was missed is looked for, so that nothing falls between the two.
	events, cancel, err := a.cfg.Log.Subscribe(ctx, c.tenant())
	if err != nil {
		return nil, err
	}
	var last audit.Indexed
	missed := func(func(audit.Indexed, error) bool) {}
	if in.LastEventID != "" {
		switch last, err = a.cfg.Log.Locate(ctx, c.tenant(), in.LastEventID); {
		case err == nil:
			missed = whileAllowed(ctx, a, c, a.cfg.Log.After(ctx, c.tenant(), last.Position))
		case !fault.Is(err, fault.NotFound): // an event that never was has nothing after it
			cancel()
			return nil, err
		}
	}
	return &huma.StreamResponse{Body: func(hc huma.Context) {
		defer cancel()
		_, w := humago.Unwrap(hc)
		h := w.Header()
		h.Set("Content-Type", "text/event-stream")
		h.Set("X-Accel-Buffering", "no")
		if err := follow(ctx, w, last, missed, events, func() error { return a.still(ctx, c) }); err != nil && ctx.Err() == nil {
			slog.InfoContext(ctx, "event stream ended", "request_id", c.request.ID, "error", err)
		}
	}}, nil
}

// follow writes what was missed since the last event, and then events as they come
// (HTML Living Standard §9.2), each once, until ctx ends, the channel is closed, or still, asked before
// each event and each heartbeat, says no.
func follow(ctx context.Context, w http.ResponseWriter, last audit.Indexed, missed iter.Seq2[audit.Indexed, error], events <-chan audit.Indexed, still func() error) error {
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
	at := last.Position
	seen := func(event audit.Indexed) bool {
		return event.Position <= at || event.Node == last.Node && event.Seq <= last.Seq
	}
	send := func(event audit.Indexed) error {
		data, err := json.Marshal(event.Event)
		if err != nil {
			return err
		}
		at = event.Position
		return write("event: event\nid: " + string(event.ID) + "\ndata: " + string(data) + "\n\n")
	}
	if err := write("retry: 2000\n\n"); err != nil {
		return err
	}
	for event, err := range missed {
		if err == nil && !seen(event) {
			err = send(event)
		}
		if err != nil {
			return err
		}
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
			if seen(event) {
				continue
			}
			if err := still(); err != nil {
				return err
			}
			if err := send(event); err != nil {
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
