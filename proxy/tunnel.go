package proxy

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"gatehouse/proxy/upstream"
)

// tunnelBuffer is the size of one read in each direction, in bytes.
const tunnelBuffer = 16 << 10

// lingerWait is how long a client may take to end a connection that we closed,
// before what it still sends makes the closing frame unreadable to it.
const lingerWait = time.Second

// lingerBytes bounds what is taken in meanwhile.
const lingerBytes = 1 << 20

// tunnel joins the two connections after the app has agreed to switch
// protocols (RFC 9110 §7.8), until one side ends or the session does. From the
// hijack on it owns the client's connection.
func (g *Gate) tunnel(v *visit, x *upstream.Exchange, s *stream, a *upstream.Response) error {
	client, buffered, err := s.rc.Hijack()
	if err != nil {
		return fmt.Errorf("take over the client's connection: %w", err)
	}
	early, _ := buffered.Peek(buffered.Reader.Buffered()) // cannot fail: no more than is buffered
	if !s.adopt(client) {
		_ = client.Close() // cut before anything was sent
		return nil
	}
	g.long.add(s)
	defer g.long.remove(s)

	app, prefix := x.Hijack()
	t := &tunnelEnds{client: client, app: app, webSocket: strings.EqualFold(a.Header.Get("Upgrade"), "websocket")}
	if _, err := client.Write(append(g.switchingHead(v, a), prefix...)); err == nil {
		t.frames.advance(prefix)
		t.join(early, s, x)
	}
	t.part(s)
	return nil
}

// adopt makes the stream's cutting act on the hijacked connection; false if
// it was cut already.
func (s *stream) adopt(client net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cut {
		return false
	}
	s.raw = client
	_ = client.SetDeadline(time.Time{}) // the request's own; fails only if the connection is gone
	return true
}

// switchingHead renders the 101 answer.
func (g *Gate) switchingHead(v *visit, a *upstream.Response) []byte {
	h := http.Header{}
	g.copyFields(h, a.Header)
	h.Del("Content-Type")
	h.Set("Connection", "Upgrade")
	h["Upgrade"] = a.Header["Upgrade"]
	h.Set(g.config.Headers.RequestID, string(v.ID))
	var head bytes.Buffer
	head.WriteString("HTTP/1.1 101 Switching Protocols\r\n")
	_ = h.Write(&head) // a buffer takes all
	head.WriteString("\r\n")
	return head.Bytes()
}

// tunnelEnds are the two connections while they are joined.
type tunnelEnds struct {
	client, app net.Conn
	webSocket   bool
	frames      frameTracker // from the app to the client
}

// join copies both ways until either direction ends.
func (t *tunnelEnds) join(early []byte, s *stream, x *upstream.Exchange) {
	var up sync.WaitGroup
	up.Go(func() {
		defer x.Abort()
		app := whileStanding{t.app, s}
		if _, err := app.Write(early); err == nil {
			_, _ = io.CopyBuffer(app, readerOnly{t.client}, make([]byte, tunnelBuffer)) // whatever ended it ends the tunnel
		}
	})
	t.down(s)
	x.Abort()
	_ = t.client.SetReadDeadline(past) // fails only if the connection is gone
	up.Wait()
}

// down copies from the app to the client, frame by frame as far as it can tell.
func (t *tunnelEnds) down(s *stream) {
	buf := make([]byte, tunnelBuffer)
	for {
		n, err := t.app.Read(buf)
		if !s.stands() {
			return
		}
		if n > 0 {
			if err := t.extend(s); err != nil {
				return
			}
			if _, werr := t.client.Write(buf[:n]); werr != nil {
				t.frames.lost = true
				return
			}
			t.frames.advance(buf[:n])
		}
		if err != nil {
			return
		}
	}
}

// extend bounds how long the client may take for the next piece.
func (t *tunnelEnds) extend(s *stream) error {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cut {
		return errCut
	}
	if now.Sub(s.extended) < s.writeIdle/4 {
		return nil
	}
	s.extended = now
	return t.client.SetWriteDeadline(now.Add(s.writeIdle))
}

// part ends the client's connection: with a closing frame that says why, if
// the tunnel was cut between two frames.
func (t *tunnelEnds) part(s *stream) {
	code := s.closeCode()
	if code == 0 {
		_ = t.client.Close() // the client or the app ended it themselves
		return
	}
	socket := t.client
	if secured, ok := t.client.(interface{ NetConn() net.Conn }); ok {
		socket = secured.NetConn()
	}
	// Closing the socket itself: TLS would first try for seconds to say goodbye
	// to a client that does not read.
	defer func() { _ = socket.Close() }()
	if !t.webSocket || !t.frames.between() {
		return
	}
	if _, err := t.client.Write(closeFrame(code)); err != nil {
		return
	}
	s.finish() // nothing more will be sent: whoever waits for that need not wait for the client
	half, ok := socket.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil || socket.SetReadDeadline(time.Now().Add(lingerWait)) != nil {
		return
	}
	_, _ = io.CopyN(io.Discard, socket, lingerBytes) // until the client closes too, or never mind
}

// readerOnly and whileStanding hide the shortcuts that io.Copy would take past
// the buffer of the size we chose.
type (
	readerOnly    struct{ io.Reader }
	whileStanding struct {
		to io.Writer
		s  *stream
	}
)

func (w whileStanding) Write(p []byte) (int, error) {
	if !w.s.stands() {
		return 0, errCut
	}
	return w.to.Write(p)
}
