package audit

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"gatehouse/identity"
)

const killNode = "node-1"

// writeUntilKilled acknowledges each record on stdout only once the journal has.
func writeUntilKilled() {
	j, err := Open(Options{Dir: os.Getenv("AUDIT_TEST_DIR"), Node: killNode, Keys: fixedKeys{}, SegmentBytes: 256 << 10})
	if err != nil {
		panic(err)
	}
	// A small pipe keeps the writers from running far ahead of the reader.
	if _, err := unix.FcntlInt(os.Stdout.Fd(), unix.F_SETPIPE_SZ, 4096); err != nil {
		panic(err)
	}
	var out sync.Mutex
	var group sync.WaitGroup
	for w := range 4 {
		group.Go(func() {
			for n := 0; ; n++ {
				e := access("/")
				e.RequestID = identity.RequestID(fmt.Sprintf("req_%d_%d_%d", os.Getpid(), w, n))
				var err error
				if w == 0 {
					e.Type = SignInSucceeded
					_, err = j.Commit(context.Background(), e)
				} else {
					_, err = j.Write(context.Background(), &e)
				}
				if err != nil {
					panic(err)
				}
				out.Lock()
				fmt.Println(e.RequestID)
				out.Unlock()
			}
		})
	}
	group.Wait()
}

// TestP1KilledAtAnyMoment kills a writing process again and again: whatever it
// had acknowledged is in the journal, which reopens and verifies each time.
func TestP1KilledAtAnyMoment(t *testing.T) {
	dir := t.TempDir()
	all := 0
	var last uint64
	for run := range 20 {
		acknowledged := untilKilled(t, dir)
		all += len(acknowledged)

		j := must[*Journal](t)(Open(Options{Dir: dir, Node: killNode, Keys: fixedKeys{}}))
		must[Receipt](t)(j.Commit(t.Context(), Event{Tenant: acme, Type: GatewayStarted, Reason: strconv.Itoa(run)}))
		for e, err := range j.Read(t.Context(), acme, last) {
			if err != nil {
				t.Fatal(err)
			}
			delete(acknowledged, e.RequestID)
			last = e.Seq
		}
		if len(acknowledged) != 0 {
			t.Fatalf("run %d: missing, though acknowledged: %v", run, acknowledged)
		}
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
		if report := verified(t, dir, acme); report.Records != last || all > int(last) {
			t.Fatalf("run %d: %d records, last number %d, %d acknowledged", run, report.Records, last, all)
		}
	}
}

// untilKilled runs a writer, kills it at a random moment, and returns the
// requests whose record it had acknowledged.
func untilKilled(t *testing.T, dir string) map[identity.RequestID]bool {
	t.Helper()
	c := child(t, "writer", dir)
	out := must[io.ReadCloser](t)(c.StdoutPipe())
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	acknowledged := make(map[identity.RequestID]bool)
	lines := bufio.NewReader(out)
	for left := rand.IntN(300); ; left-- {
		line, err := lines.ReadString('\n')
		if err != nil {
			break // dead, and everything that it said is read
		}
		acknowledged[identity.RequestID(strings.TrimSpace(line))] = true
		if left == 0 {
			if err := c.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := c.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Fatal("the writer ended by itself:", err)
	}
	return acknowledged
}
