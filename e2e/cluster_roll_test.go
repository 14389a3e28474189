package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// balancer chooses nodes as a load balancer does: it asks for their readiness, and
// sends nobody to a node that is not ready.
type balancer struct {
	*fleet

	ready [fleetSize]atomic.Bool
	turn  atomic.Int64
}

// balance asks until the test ends.
func (f *fleet) balance(t *testing.T) *balancer {
	t.Helper()
	b := &balancer{fleet: f}
	ctx, cancel := context.WithCancel(t.Context())
	var asking sync.WaitGroup
	t.Cleanup(func() { cancel(); asking.Wait() })
	for i, n := range f.nodes {
		asking.Go(func() {
			client := &http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
			for ; ctx.Err() == nil; breathe(ctx) {
				status, _ := n.readiness(ctx, client)
				b.ready[i].Store(status == http.StatusOK)
			}
		})
	}
	soon(t, "all nodes in the balancer", func() bool {
		for i := range b.ready {
			if !b.ready[i].Load() {
				return false
			}
		}
		return true
	})
	return b
}

// readiness asks a node whether it is ready.
func (n *node) readiness(ctx context.Context, client *http.Client) (status int, text string) {
	at := n.opsNow.Load()
	if at == nil {
		return 0, "not started"
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+*at+"/readyz", nil)
	if err != nil {
		return 0, err.Error()
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer func() { _ = resp.Body.Close() }()
	var said struct{ Status string }
	if err := json.NewDecoder(resp.Body).Decode(&said); err != nil {
		return 0, err.Error()
	}
	return resp.StatusCode, said.Status
}

// next is a node that is ready, each in its turn.
func (b *balancer) next(ctx context.Context) *node {
	for ; ctx.Err() == nil; breathe(ctx) {
		for range fleetSize {
			if i := int(b.turn.Add(1)) % fleetSize; b.ready[i].Load() {
				return b.nodes[i]
			}
		}
	}
	return nil
}

// roll is what clients have seen.
type roll struct {
	requests, retried, sockets, streams atomic.Int64
}

// TestClusterRollingRestart restarts every node in its turn, as an init system
// does, while people work: on connections that are kept, with WebSockets and event
// streams. No request fails, everything that is open is asked to come back and
// does so with the same session, what is slow finishes, and nobody signs in again.
func TestClusterRollingRestart(t *testing.T) {
	const people = 8
	f := newFleet(t, people+2+fleetSize)
	guests := f.sit(t, 0, people+1)
	leavers := f.sit(t, people+1, 1+fleetSize)
	b := f.balance(t)
	ctx, stop := context.WithCancel(t.Context())
	var clients sync.WaitGroup
	var seen roll
	for i, g := range guests[:people] {
		for turn := range 2 {
			clients.Go(func() { g.works(ctx, t, b, f.client(i+turn), &seen) })
		}
		clients.Go(func() { g.talks(ctx, t, b, &seen) })
		clients.Go(func() { g.listens(ctx, t, b, &seen) })
	}
	soon(t, "everybody at work", func() bool {
		return seen.requests.Load() > 4*people && seen.sockets.Load() >= people && seen.streams.Load() >= people
	})
	slow := guests[people]
	for i, n := range f.nodes {
		var during *guest
		if i == 0 {
			during = leavers[fleetSize]
		}
		f.restart(t, b, n, slow, during, leavers[i])
		if t.Failed() {
			break
		}
	}
	stop()
	clients.Wait()
	for _, g := range guests {
		for _, n := range f.nodes {
			if got := g.ask(t, n); got != http.StatusOK {
				t.Errorf("session %s at node %d after the roll: %d", g.session, n.number, got)
			}
		}
	}
	for _, g := range leavers {
		for _, n := range f.nodes {
			g.out(t, n)
		}
	}
	f.tight(t)
	t.Logf("%d requests, %d of them sent again to another node; %d WebSockets and %d event streams were opened",
		seen.requests.Load(), seen.retried.Load(), seen.sockets.Load(), seen.streams.Load())
	if sockets, streams := seen.sockets.Load(), seen.streams.Load(); sockets < people+fleetSize || streams < people+fleetSize {
		t.Errorf("only %d WebSockets and %d event streams: what was open did not come back", sockets, streams)
	}
}

// restart stops a node by SIGTERM in the midst of a slow request, and starts it
// again. Who is signed out while it drains, by another, is out there too (P2), and
// nobody waits for it once it is gone.
func (f *fleet) restart(t *testing.T, b *balancer, n *node, slow, during, after *guest) {
	t.Helper()
	before := f.app.polls.Load()
	finished := make(chan error, 1)
	go func() { finished <- slow.polls(t.Context(), n, f.client(n.number)) }()
	soon(t, "the slow request", func() bool { return f.app.polls.Load() > before })
	if during != nil {
		during.hold(t, n, n)
	}
	told := time.Now()
	if err := n.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	over := func() bool { return time.Since(told) >= drainNotice } // on a machine that stands still
	// Readiness says so while connections are taken still.
	client := &http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	soon(t, "the word that it drains", func() bool {
		status, text := n.readiness(t.Context(), client)
		return status == http.StatusServiceUnavailable && text == "draining" || over()
	})
	if resp, err := f.h1.Do(slow.at(n)().request(t.Context(), http.MethodGet, "/", nil)); err != nil {
		if !over() {
			t.Errorf("node %d refuses while it only announces its end: %v", n.number, err)
		}
	} else {
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusOK || !resp.Close {
			t.Errorf("node %d announces its end: %s, close %t", n.number, resp.Status, resp.Close)
		}
	}
	if during != nil {
		var calls tally
		during.insist(t, &calls, n)
		during.leave()
		during.left(t)
	}
	f.app.release.Store(true)
	if err := <-finished; err != nil {
		t.Errorf("node %d: the slow request: %v", n.number, err)
	}
	f.app.release.Store(false)
	<-n.read
	if err := n.cmd.Wait(); err != nil {
		t.Errorf("node %d did not end cleanly: %v", n.number, err)
	}
	n.release()
	var calls tally
	for _, said := range after.insist(t, &calls, n).Nodes {
		if said.ID == n.name(t) {
			t.Errorf("node %d has taken its leave, and is waited for: %+v", n.number, said)
		}
	}
	after.leave()
	f.start(t, n)
	f.well(t)
	soon(t, "the node in the balancer", func() bool { return b.ready[n.number].Load() })
}

// polls sends a request that the app answers late.
func (g *guest) polls(ctx context.Context, n *node, client *http.Client) error {
	resp, err := client.Do(g.at(n)().request(ctx, http.MethodGet, "/poll", nil))
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK || string(text) != inTime {
		return fmt.Errorf("%s: %q, %w", resp.Status, text, err)
	}
	return nil
}

// works sends requests on connections that are kept. One that was refused, or
// whose connection was closed before an answer began, is sent to another node
// (RFC 9110 §9.2.2): a GET is idempotent.
func (g *guest) works(ctx context.Context, t *testing.T, b *balancer, client *http.Client, seen *roll) {
	for ; ctx.Err() == nil; breathe(ctx) {
		const tries = 3
		for try := 1; ctx.Err() == nil; try++ {
			n := b.next(ctx)
			if n == nil {
				return
			}
			resp, err := client.Do(g.at(n)().request(ctx, http.MethodGet, "/who", nil))
			if err != nil {
				if ctx.Err() == nil && try == tries {
					t.Errorf("a request failed %d times, at last at node %d: %v", tries, n.number, err)
					return
				}
				seen.retried.Add(1)
				continue
			}
			text, err := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			if ctx.Err() != nil {
				return
			}
			if err != nil || resp.StatusCode != http.StatusOK || string(text) != g.session {
				t.Errorf("a request at node %d: %s, %v: %s", n.number, resp.Status, err, text)
				return
			}
			seen.requests.Add(1)
			break
		}
	}
}

// talks keeps a WebSocket, and opens another whenever it is asked to come back.
func (g *guest) talks(ctx context.Context, t *testing.T, b *balancer, seen *roll) {
	for ; ctx.Err() == nil; breathe(ctx) {
		n := b.next(ctx)
		if n == nil {
			return
		}
		at := g.at(n)()
		socket, resp, err := websocket.Dial(ctx, at.url+"ws", &websocket.DialOptions{HTTPClient: g.h1, HTTPHeader: http.Header{"Cookie": {sessionIn + "=" + at.cookie}}})
		if err != nil {
			if resp != nil && ctx.Err() == nil {
				t.Errorf("a WebSocket at node %d: %s, %v", n.number, resp.Status, err)
				return
			}
			continue // the node went away meanwhile
		}
		opened := false
		for err == nil {
			if err = socket.Write(ctx, websocket.MessageText, []byte(inTime)); err == nil {
				_, _, err = socket.Read(ctx)
			}
			if err == nil && !opened {
				opened = true
				seen.sockets.Add(1)
			}
			breathe(ctx)
		}
		if code := websocket.CloseStatus(err); ctx.Err() == nil && code != websocket.StatusServiceRestart {
			t.Errorf("a WebSocket at node %d ended with %v", n.number, err)
		}
		_ = socket.CloseNow()
	}
}

// listens keeps an event stream, and opens another whenever it ends. It must not
// end as if it were complete.
func (g *guest) listens(ctx context.Context, t *testing.T, b *balancer, seen *roll) {
	for ; ctx.Err() == nil; breathe(ctx) {
		n := b.next(ctx)
		if n == nil {
			return
		}
		resp, err := g.h1.Do(g.at(n)().request(ctx, http.MethodGet, "/events", nil))
		if err != nil {
			continue // the node went away meanwhile
		}
		if resp.StatusCode != http.StatusOK {
			t.Errorf("an event stream at node %d: %s", n.number, resp.Status)
		}
		lines := bufio.NewScanner(resp.Body)
		if lines.Scan() {
			seen.streams.Add(1)
		}
		for lines.Scan() {
			if strings.Contains(lines.Text(), late) {
				t.Errorf("an event stream of node %d says that the session is over", n.number)
			}
		}
		if err := lines.Err(); ctx.Err() == nil && (err == nil || errors.Is(err, context.Canceled)) {
			t.Errorf("an event stream at node %d ended with %v", n.number, err)
		}
		_ = resp.Body.Close()
	}
}
