package upstream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"gatehouse/internal/fault"
)

// ErrAborted is what an exchange ends with after [Exchange.Abort], when its
// context ends, or when the request does not stand any more.
var ErrAborted = errors.New("upstream: the exchange was aborted")

// Request is what is sent.
type Request struct {
	Method string
	Head   *Head // began with Head.Reset and the same method

	// Body, if not nil, is sent while the answer is awaited; Length is its size
	// in bytes, negative if unknown. Reading it may block; Interrupt must make a
	// blocked read return at once, and is called when the answer is complete
	// before the body is.
	Body      io.Reader
	Length    int64
	Interrupt func()
	// Continue holds the body back until the app asks for it (RFC 9110 §10.1.1).
	Continue bool

	// Stands, if set, is asked right before the head is sent, and so again after
	// whatever has held the request up. If it does not, nothing is sent.
	Stands func() bool

	// Upgrade names the protocol that the client wants to switch to, or is empty.
	Upgrade string
	// Interim, if set, is told of interim answers other than 100 and 101.
	Interim func(*Response)
}

// replayable reports whether sending the request twice does no more than
// sending it once, and can be done (RFC 9110 §9.2.2).
func (r *Request) replayable() bool {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodPut, http.MethodDelete:
		return r.Body == nil && r.Upgrade == ""
	}
	return false
}

// Exchange is one request and its answer. Do, CopyBody and Finish are called by
// one goroutine in this order; Abort by any, at any time.
type Exchange struct {
	pool    *Pool
	request *Request
	answer  *Response
	upload  *upload // while it is under way
	body    bodyReader

	bodyRead bool // once upload is over: the request's body was read to its end
	heard    bool // the app has sent at least a byte
	clean    bool // the answer was read to its end and the connection may be used again

	mu      sync.Mutex
	conn    *conn
	dialing context.CancelFunc
	aborted bool
}

// NewExchange begins an exchange; Finish must be called in the end.
func (p *Pool) NewExchange() *Exchange { return &Exchange{pool: p} }

// Abort makes everything of the exchange that waits for the app fail now.
func (x *Exchange) Abort() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.aborted = true
	if x.dialing != nil {
		x.dialing()
	}
	if x.conn != nil {
		x.conn.close()
	}
}

// Do sends the request and reads the head of the answer. Errors are faults of
// kind BadGateway, GatewayTimeout or Unavailable, [ErrAborted], or what reading
// the request's body failed with. A request is sent again only if the app
// closed an idle connection before it answered a byte, and if sending it twice
// does no harm.
func (x *Exchange) Do(ctx context.Context, r *Request) (*Response, error) {
	if err := r.Head.finish(r); err != nil {
		return nil, err
	}
	x.request = r
	for first := true; ; first = false {
		c, err := x.connect(ctx, first)
		if err != nil {
			return nil, err
		}
		answer, err := x.roundTrip(c)
		if err == nil {
			c.target.succeeded()
			x.answer = answer
			return answer, nil
		}
		if errors.Is(err, ErrAborted) {
			return nil, err
		}
		reused := c.reused
		if again := first && reused && !x.heard && r.replayable() && !timedOut(err); !again {
			return nil, x.explain(c.target, err)
		}
		x.drop()
	}
}

// connect lends an idle connection, or dials; a target that cannot be reached
// is passed over once, since nothing was sent to it.
func (x *Exchange) connect(ctx context.Context, idleToo bool) (*conn, error) {
	t := x.pool.pick(nil)
	for attempt := 0; ; attempt++ {
		if idleToo {
			if c := t.take(time.Now(), x.pool.config.IdleTimeout); c != nil {
				return x.hold(c)
			}
		}
		if t.open.Load() >= int64(x.pool.config.MaxOpen) {
			f := fault.New(fault.Unavailable, "app-busy", "The app is at its limit of connections. Try again in a moment.")
			f.RetryAfter = time.Second
			return nil, f
		}
		c, err := x.dial(ctx, t)
		if err == nil {
			return x.hold(c)
		}
		if errors.Is(err, ErrAborted) || ctx.Err() != nil {
			return nil, ErrAborted
		}
		t.failed()
		next := x.pool.pick(t)
		if attempt > 0 || next == t {
			return nil, fault.Wrap(fmt.Errorf("dial %s: %w", t.name, err), fault.BadGateway, "app-unreachable", "The app cannot be reached right now. Try again in a moment.")
		}
		t = next
	}
}

func (x *Exchange) dial(ctx context.Context, t *target) (*conn, error) {
	ctx, cancel := context.WithTimeout(ctx, x.pool.config.DialTimeout)
	defer cancel()
	x.mu.Lock()
	if x.aborted {
		x.mu.Unlock()
		return nil, ErrAborted
	}
	x.dialing = cancel
	x.mu.Unlock()
	c, err := t.dial(ctx, x.pool.dialer)
	x.mu.Lock()
	x.dialing = nil
	if err != nil && x.aborted {
		err = ErrAborted
	}
	x.mu.Unlock()
	return c, err
}

// hold makes c the connection that Abort closes.
func (x *Exchange) hold(c *conn) (*conn, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.aborted {
		c.close()
		return nil, ErrAborted
	}
	x.conn = c
	c.target.busy.Add(1)
	return c, nil
}

// roundTrip writes the head, starts the body and reads up to the answer's head.
func (x *Exchange) roundTrip(c *conn) (*Response, error) {
	r := x.request
	deadline := time.Now().Add(x.pool.config.HeaderTimeout)
	if err := c.nc.SetDeadline(deadline); err != nil {
		return nil, err
	}
	if r.Stands != nil && !r.Stands() {
		return nil, ErrAborted
	}
	if _, err := c.nc.Write(r.Head.buf); err != nil {
		return nil, err
	}
	if r.Body != nil {
		// The app may wait for the whole body before it answers: its time to
		// answer begins when the upload ends.
		if err := c.nc.SetReadDeadline(time.Time{}); err != nil {
			return nil, err
		}
		x.upload = startUpload(c, r, x.pool.config)
	}
	for range maxInterim {
		answer, err := x.readAnswer(c)
		if err != nil {
			return nil, err
		}
		switch {
		case answer.Status == http.StatusSwitchingProtocols:
			if r.Upgrade == "" {
				return nil, fmt.Errorf("%w: a switch of protocols that nobody asked for", errMalformed)
			}
			return answer, c.nc.SetDeadline(time.Time{})
		case answer.Status == http.StatusContinue:
			if x.upload != nil {
				x.upload.proceed()
			}
		case answer.Status < 200:
			if r.Interim != nil {
				r.Interim(answer)
			}
		default:
			return answer, x.begin(c, answer)
		}
	}
	return nil, fmt.Errorf("%w: too many interim answers", errMalformed)
}

func (x *Exchange) readAnswer(c *conn) (*Response, error) {
	var err error
	c.head, err = readHead(c.br, c.head, x.pool.config.MaxHeadBytes)
	x.heard = x.heard || len(c.head) > 0
	if err != nil {
		return nil, err
	}
	return parseHead(c.head)
}

// begin prepares for reading the body of the answer.
func (x *Exchange) begin(c *conn, answer *Response) error {
	length, err := answer.frame(x.request.Method)
	if err != nil {
		return err
	}
	answer.Length = length
	x.body = newBodyReader(c, length, x.pool.config.MaxHeadBytes)
	if x.upload != nil {
		return x.upload.answered(c)
	}
	if length >= 0 && int64(c.br.Buffered()) >= length {
		return nil // no read will block: the deadline may stay
	}
	return c.nc.SetReadDeadline(time.Time{})
}

// BodyRead reports whether the request's body was read to its end, or there is
// none; the client's connection must not be used again if not.
func (x *Exchange) BodyRead() bool {
	switch {
	case x.request == nil || x.request.Body == nil:
		return true
	case x.upload != nil:
		return x.upload.read.Load()
	}
	return x.bodyRead
}

// Hijack hands over the connection after a 101 answer, with what the app has
// sent already in the returned prefix. Abort and Finish still close it.
func (x *Exchange) Hijack() (net.Conn, []byte) {
	prefix, _ := x.conn.br.Peek(x.conn.br.Buffered()) // cannot fail: no more than is buffered
	return x.conn.nc, prefix
}

// Finish ends the exchange: the body's sender is awaited, and the connection
// goes back to the pool if it is in a known state, or is closed.
func (x *Exchange) Finish() {
	x.mu.Lock()
	c := x.conn
	x.mu.Unlock()
	if c == nil {
		return
	}
	reusable := x.clean && x.answer.keepAlive() && c.br.Buffered() == 0 && (x.upload == nil || x.upload.wholly())
	if !reusable {
		x.drop()
		return
	}
	x.settle()
	c.target.busy.Add(-1)
	x.mu.Lock()
	x.conn = nil
	aborted := x.aborted
	x.mu.Unlock()
	if aborted {
		c.close()
		return
	}
	c.target.put(c, x.pool.config.MaxIdle)
}

// drop closes the connection and waits for the body's sender.
func (x *Exchange) drop() {
	x.mu.Lock()
	c := x.conn
	x.conn = nil
	x.mu.Unlock()
	if c == nil {
		return
	}
	c.close()
	x.settle()
	c.target.busy.Add(-1)
}

// settle waits until nobody reads the request's body any more.
func (x *Exchange) settle() {
	if x.upload != nil {
		x.upload.stop(x.request)
		x.bodyRead = x.upload.read.Load()
		x.upload = nil
	}
}

// explain turns what went wrong with a target into what the caller tells.
func (x *Exchange) explain(t *target, err error) error {
	x.mu.Lock()
	aborted := x.aborted
	x.mu.Unlock()
	if aborted {
		return ErrAborted
	}
	if x.upload != nil {
		if inner := x.upload.clientError(); inner != nil {
			return inner
		}
	}
	err = fmt.Errorf("exchange with %s: %w", t.name, err)
	switch {
	case timedOut(err):
		return fault.Wrap(err, fault.GatewayTimeout, "app-timeout", "The app did not answer in time. Try again in a moment.")
	case errors.Is(err, errMalformed), errors.Is(err, errAmbiguous), errors.Is(err, errHeadTooLarge):
		return fault.Wrap(err, fault.BadGateway, "app-malformed", "The app's answer could not be understood.")
	}
	t.failed()
	return fault.Wrap(err, fault.BadGateway, "app-failed", "The app broke off before it answered. Try again in a moment.")
}

func timedOut(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }
