package audit

import (
	"bytes"
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse/audit/segment"
	"gatehouse/identity"
	"gatehouse/internal/fault"
)

const acme identity.TenantID = "ten_acme"

// fixedKeys stands in for the key ring: a key per tenant, made from its id.
type fixedKeys struct{}

func (fixedKeys) Derive(_ context.Context, tenant identity.TenantID, purpose string, size int) ([]byte, error) {
	return hkdf.Key(sha256.New, []byte(tenant), nil, purpose, size)
}

func open(t testing.TB, o Options) *Journal {
	t.Helper()
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	if o.Node == "" {
		o.Node = "node-1"
	}
	o.Keys = fixedKeys{}
	j, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := j.Close(); err != nil {
			t.Error(err)
		}
	})
	return j
}

// read collects the journal; any error fails the test.
func read(t testing.TB, j *Journal, tenant identity.TenantID) []Event {
	t.Helper()
	var all []Event
	for e, err := range j.Read(t.Context(), tenant, 0) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, e)
	}
	return all
}

// verified fails the test unless the journal is whole.
func verified(t testing.TB, dir string, tenant identity.TenantID) Report {
	t.Helper()
	report, err := Verify(t.Context(), dir, tenant)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range report.Problems {
		t.Error(p)
	}
	return report
}

func must[T any](t testing.TB) func(v T, err error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// patience is how long something may take on a busy machine.
const patience = 2 * time.Minute

// eventually waits for something that another goroutine brings about.
func eventually(t testing.TB, failure string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); !ok(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatal(failure)
		}
	}
}

func TestWhatIsWrittenIsRead(t *testing.T) {
	j := open(t, Options{})
	e := access("/a")
	r := must[Receipt](t)(j.Write(t.Context(), &e))
	if !r.Valid() || r.Event() != e.ID || r.Tenant() != acme || r.Request() != e.RequestID {
		t.Errorf("receipt %+v of %+v", r, e)
	}
	c := must[Receipt](t)(j.Commit(t.Context(), Event{Tenant: acme, Type: SignInSucceeded, Outcome: Success}))
	got := read(t, j, acme)
	if len(got) != 2 || !reflect.DeepEqual(got[0], e) || got[1].ID != c.Event() || got[1].Seq != 2 {
		t.Errorf("%+v", got)
	}
	if (Receipt{}).Valid() {
		t.Error("the zero receipt is valid")
	}
}

func TestSegmentsRotateAndLink(t *testing.T) {
	dir := t.TempDir()
	for run := range 3 {
		j := must[*Journal](t)(Open(Options{Dir: dir, Node: "node-1", Keys: fixedKeys{}, SegmentBytes: 4 << 10}))
		for range 40 {
			e := access("/")
			must[Receipt](t)(j.Write(t.Context(), &e))
		}
		if got := read(t, j, acme); len(got) != 40*(run+1) {
			t.Fatalf("run %d: %d records", run, len(got))
		}
		var after []uint64
		for e, err := range j.Read(t.Context(), acme, 33) {
			if err != nil {
				t.Fatal(err)
			}
			after = append(after, e.Seq)
		}
		if len(after) != 40*(run+1)-33 || after[0] != 34 {
			t.Fatalf("run %d: after 33 come %v", run, after)
		}
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := j.Write(t.Context(), &Event{Tenant: acme}); !fault.Is(err, fault.Unavailable) {
			t.Error("a closed journal writes:", err)
		}
	}
	if report := verified(t, dir, acme); report.Records != 120 || report.Segments < 12 {
		t.Errorf("%+v", report)
	}
}

func TestNodeNamesBelongToOneProcess(t *testing.T) {
	dir := t.TempDir()
	open(t, Options{Dir: dir})
	if _, err := Open(Options{Dir: dir, Node: "node-1", Keys: fixedKeys{}}); err == nil {
		t.Error("two journals write as one node")
	}
	open(t, Options{Dir: dir, Node: "node-2"})
	for _, bad := range []string{"", "..", "a/b", ".hidden"} {
		if _, err := Open(Options{Dir: dir, Node: bad, Keys: fixedKeys{}}); err == nil {
			t.Errorf("%q passes as a node's name", bad)
		}
	}
}

func TestP3TenantsHaveFilesAndKeysOfTheirOwn(t *testing.T) {
	dir := t.TempDir()
	j := open(t, Options{Dir: dir})
	for _, tenant := range []identity.TenantID{acme, "ten_globex"} {
		e := access("/only-for-" + string(tenant))
		e.Tenant = tenant
		must[Receipt](t)(j.Write(t.Context(), &e))
	}
	if got := read(t, j, "ten_globex"); len(got) != 1 || got[0].Tenant != "ten_globex" {
		t.Error(got)
	}
	for _, bad := range []identity.TenantID{"", "..", "../ten_acme", "ten_acme/node-1"} {
		if _, err := j.Write(t.Context(), &Event{Tenant: bad}); err == nil {
			t.Errorf("%q passes as a tenant", bad)
		}
	}

	// One tenant's file in the other's folder is neither whole nor read.
	a, b := filepath.Join(dir, "ten_acme", "node-1", segment.Name(1)), filepath.Join(dir, "ten_globex", "node-1", segment.Name(1))
	content := must[[]byte](t)(os.ReadFile(a))
	if err := os.WriteFile(b, content, 0o600); err != nil {
		t.Fatal(err)
	}
	report := must[Report](t)(Verify(t.Context(), dir, "ten_globex"))
	if len(report.Problems) == 0 {
		t.Error("the swap passes")
	}
	for e, err := range j.Read(t.Context(), "ten_globex", 0) {
		if err == nil {
			t.Error("read across tenants:", e)
		}
	}
}

func TestP6FilesHoldNoPlaintext(t *testing.T) {
	dir := t.TempDir()
	j := open(t, Options{Dir: dir})
	e := access("/a-very-telling-path")
	must[Receipt](t)(j.Write(t.Context(), &e))
	for _, f := range must[[]segment.File](t)(segment.List(filepath.Join(dir, "ten_acme", "node-1"))) {
		b := must[[]byte](t)(os.ReadFile(f.Path))
		for _, word := range []string{"telling", "member@", "alerts", "access.allowed", string(e.ID)} {
			if bytes.Contains(b, []byte(word)) {
				t.Errorf("%q is legible in %s", word, f.Path)
			}
		}
	}
}

func TestManyWritersShareFsyncs(t *testing.T) {
	dir := t.TempDir()
	j := open(t, Options{Dir: dir, SegmentBytes: 64 << 10})
	const writers, each = 64, 20
	var group sync.WaitGroup
	for w := range writers {
		group.Go(func() {
			tenant := acme
			if w%4 == 0 {
				tenant = "ten_globex"
			}
			for range each {
				e := access("/")
				e.Tenant = tenant
				if _, err := j.Commit(context.Background(), e); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	if n := len(read(t, j, acme)) + len(read(t, j, "ten_globex")); n != writers*each {
		t.Errorf("%d records, want %d", n, writers*each)
	}
	if s := j.Stats(); s.Syncs*4 > s.Records*3 {
		t.Errorf("%d fsyncs for %d records: they are not grouped", s.Syncs, s.Records)
	}
	verified(t, dir, acme)
	verified(t, dir, "ten_globex")
}

// stall lets the next commits of a tenant wait for an fsync that does not end
// before resume is called.
func stall(t *testing.T, j *Journal) (resume func()) {
	l := must[*log](t)(j.logOf(acme))
	l.mu.Lock()
	defer l.mu.Unlock()
	stuck := make(chan struct{})
	l.tail.syncing = stuck
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.tail.syncing = nil
		close(stuck)
	}
}

// A record of success that stands is followed by its effect: whoever leaves
// while it goes to the disk does not take it back.
func TestP1WaitingForTheDiskOutlivesTheCaller(t *testing.T) {
	j := open(t, Options{})
	must[Receipt](t)(j.Commit(t.Context(), Event{Tenant: acme, Type: GatewayStarted}))
	synctest.Test(t, func(t *testing.T) {
		resume := stall(t, j)
		ctx, cancel := context.WithCancel(t.Context())
		result := make(chan error, 1)
		go func() {
			receipt, err := j.Commit(ctx, Event{Tenant: acme, Type: SignInSucceeded})
			if err == nil && !receipt.Valid() {
				err = errors.New("no receipt")
			}
			result <- err
		}()
		synctest.Wait()
		cancel()
		synctest.Wait()
		select {
		case err := <-result:
			t.Fatal("the record stands, and its caller was told before it was durable:", err)
		default:
		}
		resume()
		if err := <-result; err != nil {
			t.Error(err)
		}
	})
	if all := read(t, j, acme); len(all) != 2 || all[1].Type != SignInSucceeded {
		t.Errorf("%+v", all)
	}
}

// Before the record is written, the caller's context counts.
func TestCallersWhoLeaveBeforeTheirRecordHaveNone(t *testing.T) {
	j := open(t, Options{})
	j.files.keys = slowKeys{}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := j.Commit(ctx, Event{Tenant: acme, Type: SignInSucceeded}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	j.files.keys = fixedKeys{}
	must[Receipt](t)(j.Commit(t.Context(), Event{Tenant: acme, Type: SignedOut}))
	if all := read(t, j, acme); len(all) != 1 || all[0].Type != SignedOut {
		t.Errorf("%+v", all)
	}
}

// slowKeys gives no key before its caller leaves.
type slowKeys struct{}

func (slowKeys) Derive(ctx context.Context, _ identity.TenantID, _ string, _ int) ([]byte, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func TestP7ADiskThatDoesNotAnswerIsNotWaitedForForever(t *testing.T) {
	j := open(t, Options{})
	must[Receipt](t)(j.Commit(t.Context(), Event{Tenant: acme, Type: GatewayStarted}))
	synctest.Test(t, func(t *testing.T) {
		resume, failed := stall(t, j), j.Stats().Failures
		begun := time.Now()
		_, err := j.Commit(t.Context(), Event{Tenant: acme, Type: SignInSucceeded})
		refused(t, err)
		if waited := time.Since(begun); waited != durableWithin { // by the bubble's clock
			t.Errorf("waited %v", waited)
		}
		if j.Stats().Failures == failed {
			t.Error("no failure is counted")
		}
		resume()
		must[Receipt](t)(j.Commit(t.Context(), Event{Tenant: acme, Type: SignedOut}))
	})
}

func TestRunFsyncsWithinASecondAndClosesIdleFiles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := open(t, Options{IdleAfter: time.Nanosecond})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		e := access("/")
		for range 2 { // the first record of a segment is durable at once
			must[Receipt](t)(j.Write(t.Context(), &e))
		}
		l := must[*log](t)(j.logOf(acme))
		begun := time.Now()
		go func() { done <- j.Run(ctx) }()
		eventually(t, "the file is not fsynced and closed", func() bool {
			l.mu.Lock()
			defer l.mu.Unlock()
			return l.tail.synced == 2 && l.tail.writer.Parked()
		})
		if took := time.Since(begun); took > time.Second { // by the bubble's clock
			t.Errorf("only after %v", took)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		must[Receipt](t)(j.Write(t.Context(), &e)) // opens the file again
		if got := read(t, j, acme); len(got) != 3 {
			t.Error(len(got))
		}
		if report, err := j.verify(t.Context(), acme, map[string]uint64{}); err != nil || len(report.Problems) != 0 || report.Segments != 1 {
			t.Error(report, err)
		}
	})
}

func TestOpenFilesAreBounded(t *testing.T) {
	dir := t.TempDir()
	j := open(t, Options{Dir: dir, MaxOpen: 4})
	for range 3 {
		for n := range 20 {
			e := access("/")
			e.Tenant = identity.TenantID(fmt.Sprint("ten_", n))
			must[Receipt](t)(j.Write(t.Context(), &e))
			if len(j.open) > 4 {
				t.Fatal(len(j.open), "files are open")
			}
		}
	}
	for n := range 20 {
		if report := verified(t, dir, identity.TenantID(fmt.Sprint("ten_", n))); report.Records != 3 || report.Segments != 1 {
			t.Errorf("%+v", report)
		}
	}
}

func TestP10DropLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	j := open(t, Options{Dir: dir})
	e := access("/")
	must[Receipt](t)(j.Write(t.Context(), &e))
	if err := j.Drop(acme); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, string(acme))); !errors.Is(err, fs.ErrNotExist) {
		t.Error("the folder is still there:", err)
	}
}

func BenchmarkWrite(b *testing.B) {
	j := open(b, Options{})
	e := access("/api/teams/payments/alerts")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := j.Write(b.Context(), &e); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCommitParallel(b *testing.B) {
	j := open(b, Options{})
	b.SetParallelism(16)
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			if _, err := j.Commit(b.Context(), access("/")); err != nil {
				b.Error(err)
			}
		}
	})
	b.ReportMetric(float64(j.Stats().Records)/float64(j.Stats().Syncs), "records/fsync")
}

func access(path string) Event {
	return Event{Tenant: acme, Type: AccessAllowed, Outcome: Success,
		Actor:   Actor{Kind: identity.KindUser, ID: "usr_0123456789abcdefghijklmnop", Name: "member@acme.example"},
		Session: "ses_0123456789abcdefghijklmnop", Device: "dev_0123456789abcdefghijklmnop",
		RequestID: "req_0123456789abcdefghijklmnop", Method: "GET", Host: "acme.localhost", Path: path,
		Route: "/api/teams/{team}/**", UserAgent: "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36",
		Permission: "alerts:read", Team: "payments", Role: "member", PolicyVersion: 3}
}
