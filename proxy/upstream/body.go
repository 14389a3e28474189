package upstream

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"gatehouse/internal/fault"
)

// pieceSize is the size of one read of a body, in bytes.
const pieceSize = 32 << 10

// The framing of one chunk fits in front of and behind a piece: eight
// hexadecimal digits and two line ends (RFC 9112 §7.1).
const (
	chunkFront = 10
	chunkBack  = 2
)

var pieces = sync.Pool{New: func() any { return new([chunkFront + pieceSize + chunkBack]byte) }}

// sentWait is how long an exchange whose answer is whole waits for its body to have
// been sent: the app has it, as a rule, and the sender has only to notice.
const sentWait = time.Second / 4

// continueWait is how long a client's body is held back for the app's 100;
// apps that know nothing of it never send one (RFC 9110 §10.1.1).
const continueWait = time.Second

// upload sends a request's body, in a goroutine of its own that stop waits for.
type upload struct {
	read atomic.Bool // all of the client's body was read
	over atomic.Bool // and its end was seen: of HTTP/2 that may come later, or never
	sent atomic.Bool // and all of it was written to the app

	proceedOnce sync.Once
	goAhead     chan struct{}
	stopping    chan struct{}
	done        chan struct{}

	mu         sync.Mutex
	gotAnswer  bool
	readFailed error
}

func startUpload(c *conn, r *Request, config Config) *upload {
	u := &upload{goAhead: make(chan struct{}), stopping: make(chan struct{}), done: make(chan struct{})}
	if !r.Continue {
		u.proceed()
	}
	go u.run(c, r, config)
	return u
}

func (u *upload) run(c *conn, r *Request, config Config) {
	defer close(u.done)
	wait := time.NewTimer(continueWait)
	defer wait.Stop()
	select {
	case <-u.goAhead:
	case <-wait.C:
	case <-u.stopping:
		return
	}
	if err := u.send(c, r, config.WriteTimeout); err != nil {
		u.mu.Lock()
		answered := u.gotAnswer
		u.mu.Unlock()
		if u.clientError() != nil && !answered {
			c.close() // a body cut short must not look complete, nor be waited for
		}
		return
	}
	u.sent.Store(true)
	u.mu.Lock()
	defer u.mu.Unlock()
	if !u.gotAnswer {
		_ = c.nc.SetReadDeadline(time.Now().Add(config.HeaderTimeout)) // a closed connection fails the read anyway
	}
}

// wholly reports whether the app was sent all of the body. It waits for no client: one
// that has more to send is cut off.
func (u *upload) wholly() bool {
	if !u.sent.Load() && u.read.Load() {
		wait := time.NewTimer(sentWait)
		defer wait.Stop()
		select {
		case <-u.done:
		case <-wait.C:
		}
	}
	return u.sent.Load()
}

// send copies the body, in chunks if its length is not known.
func (u *upload) send(c *conn, r *Request, timeout time.Duration) error {
	piece := pieces.Get().(*[chunkFront + pieceSize + chunkBack]byte) //nolint:errcheck // the pool holds nothing else
	defer pieces.Put(piece)
	var total int64
	for {
		n, err := r.Body.Read(piece[chunkFront : chunkFront+pieceSize])
		total += int64(n)
		switch {
		case err != nil && !errors.Is(err, io.EOF):
			return u.fail(err)
		case r.Length >= 0 && (total > r.Length || err != nil && total != r.Length):
			return u.fail(fmt.Errorf("body of %d bytes announced as %d", total, r.Length))
		}
		if err != nil {
			u.over.Store(true)
		}
		if err != nil || total == r.Length {
			u.read.Store(true)
		}
		if werr := c.nc.SetWriteDeadline(time.Now().Add(timeout)); werr != nil {
			return werr
		}
		out := piece[chunkFront : chunkFront+n]
		if r.Length < 0 {
			out = frameChunk(piece, n, err != nil)
		}
		if len(out) > 0 {
			if _, werr := c.nc.Write(out); werr != nil {
				return werr
			}
		}
		if err != nil {
			return nil
		}
	}
}

// frameChunk puts the n bytes of a piece into a chunk, where they stand, and
// adds the last chunk if this is the end. The client's trailer fields end
// here: an app could take them for header fields (RFC 9110 §6.5.1).
func frameChunk(piece *[chunkFront + pieceSize + chunkBack]byte, n int, last bool) []byte {
	start, end := chunkFront, chunkFront
	if n > 0 {
		var digits [chunkFront]byte
		size := append(strconv.AppendInt(digits[:0], int64(n), 16), "\r\n"...)
		start = chunkFront - len(size)
		copy(piece[start:], size)
		end = chunkFront + n + copy(piece[chunkFront+n:], "\r\n")
	}
	out := piece[start:end]
	if last {
		out = append(append(make([]byte, 0, len(out)+5), out...), "0\r\n\r\n"...)
	}
	return out
}

func (u *upload) fail(err error) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.readFailed = err
	return err
}

// clientError is why the client's body could not be read; nil if it could.
func (u *upload) clientError() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.readFailed == nil {
		return nil
	}
	if fault.As(u.readFailed).Kind != fault.Internal {
		return u.readFailed
	}
	return fault.Wrap(u.readFailed, fault.Invalid, "body-incomplete", "The request's body ended before its announced end.")
}

// proceed lets a body go that was held back.
func (u *upload) proceed() { u.proceedOnce.Do(func() { close(u.goAhead) }) }

// answered notes that the head of the answer is there: from now on its body may
// take its time.
func (u *upload) answered(c *conn) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.gotAnswer = true
	return c.nc.SetReadDeadline(time.Time{})
}

// stop ends an upload that nobody needs any more and waits for it.
func (u *upload) stop(r *Request) {
	close(u.stopping)
	select {
	case <-u.done:
		return
	default:
	}
	if !u.over.Load() && r.Interrupt != nil {
		r.Interrupt()
	}
	<-u.done
}

// bodyReader reads the body of an answer by its framing.
type bodyReader struct {
	br       *bufio.Reader
	left     int64     // bytes still to come, if the length is known
	chunks   io.Reader // if chunked
	trailer  http.Header
	maxBytes int
}

func newBodyReader(c *conn, length int64, maxTrailer int) bodyReader {
	b := bodyReader{br: c.br, left: length, maxBytes: maxTrailer}
	if length == chunked {
		b.chunks = httputil.NewChunkedReader(c.br)
	}
	return b
}

// Read gives io.EOF at the body's own end, and io.ErrUnexpectedEOF when the
// connection ended first.
func (b *bodyReader) Read(p []byte) (int, error) {
	switch {
	case b.chunks != nil:
		n, err := b.chunks.Read(p)
		if errors.Is(err, io.EOF) {
			if terr := b.readTrailer(); terr != nil {
				return n, terr
			}
		}
		return n, err
	case b.left == 0:
		return 0, io.EOF
	case b.left < 0:
		return b.br.Read(p)
	}
	if int64(len(p)) > b.left {
		p = p[:b.left]
	}
	n, err := b.br.Read(p)
	b.left -= int64(n)
	switch {
	case b.left == 0:
		err = io.EOF // with the last bytes: nobody need wait to learn of it
	case errors.Is(err, io.EOF):
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

func (b *bodyReader) readTrailer() error {
	raw, err := readHead(b.br, nil, b.maxBytes)
	if err != nil {
		return fmt.Errorf("trailer: %w", err)
	}
	if len(raw) > 0 {
		b.trailer, err = parseFields(raw)
	}
	return err
}

// CopyBody copies the answer's body to w. Before a read that may have to wait
// for the app it calls pause, so that the caller can send on what it has.
func (x *Exchange) CopyBody(w io.Writer, pause func() error) (int64, error) {
	if x.answer.Length == 0 {
		x.clean = true
		return 0, nil
	}
	if n := x.answer.Length; n > 0 && n <= int64(x.body.br.Buffered()) {
		body, _ := x.body.br.Peek(int(n)) // cannot fail: no more than is buffered
		written, err := w.Write(body)
		_, _ = x.body.br.Discard(int(n)) // cannot fail either
		x.clean = err == nil
		return int64(written), err
	}
	piece := pieces.Get().(*[chunkFront + pieceSize + chunkBack]byte) //nolint:errcheck // the pool holds nothing else
	defer pieces.Put(piece)
	var total int64
	for {
		if x.body.br.Buffered() == 0 {
			if err := pause(); err != nil {
				return total, err
			}
		}
		n, err := x.body.Read(piece[:])
		if n > 0 {
			if _, werr := w.Write(piece[:n]); werr != nil {
				return total, werr
			}
			total += int64(n)
		}
		if errors.Is(err, io.EOF) {
			x.clean = x.answer.Length != untilClose
			return total, nil
		}
		if err != nil {
			return total, fmt.Errorf("upstream: read the answer's body: %w", err)
		}
	}
}

// Trailer is what followed a chunked body, once CopyBody has read it.
func (x *Exchange) Trailer() http.Header { return x.body.trailer }
