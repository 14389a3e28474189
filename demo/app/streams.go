package app

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/coder/websocket"
)

const (
	maxMessage   = 1 << 20
	writeTimeout = 10 * time.Second
	tick         = time.Second
)

// echoMessages sends every WebSocket message back. Pages of other origins are
// refused by the library's default.
func (a *App) echoMessages(w http.ResponseWriter, r *http.Request) {
	c, err := websocket.Accept(w, r, nil)
	if err != nil {
		a.log.Info("websocket refused", "error", err) // the library has answered
		return
	}
	defer func() { _ = c.CloseNow() }() // closed already, or the peer is gone
	c.SetReadLimit(maxMessage)
	for {
		kind, message, err := c.Read(r.Context())
		if err != nil {
			return
		}
		if err := write(r, c, kind, message); err != nil {
			return
		}
	}
}

func write(r *http.Request, c *websocket.Conn, kind websocket.MessageType, message []byte) error {
	ctx, cancel := context.WithTimeout(r.Context(), writeTimeout)
	defer cancel()
	return c.Write(ctx, kind, message)
}

// events sends a tick a second until the client or the gate ends it
// (server-sent events, HTML Standard §9.2).
func (a *App) events(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	control := http.NewResponseController(w)
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for n := 1; ; n++ {
		if _, err := fmt.Fprintf(w, "event: tick\nid: %d\ndata: {\"tick\":%d}\n\n", n, n); err != nil {
			return
		}
		if err := control.Flush(); err != nil {
			return
		}
		select {
		case <-ticker.C:
		case <-r.Context().Done():
			return
		}
	}
}
