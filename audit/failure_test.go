package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"gatehouse/audit/segment"
	"gatehouse/internal/fault"
)

// The test binary runs itself as a child where the real thing is needed: a
// process that is killed, a limit that holds for a whole process.
func TestMain(m *testing.M) {
	switch os.Getenv("AUDIT_TEST_CHILD") {
	case "writer":
		writeUntilKilled()
	case "full":
		writeOnFullDisk()
	}
	os.Exit(m.Run())
}

func child(t *testing.T, role, dir string) *exec.Cmd {
	t.Helper()
	c := exec.CommandContext(t.Context(), os.Args[0])
	c.Env = append(os.Environ(), "AUDIT_TEST_CHILD="+role, "AUDIT_TEST_DIR="+dir)
	c.Stderr = os.Stderr
	return c
}

// refused fails the test unless the error is what callers are promised.
func refused(t *testing.T, err error) {
	t.Helper()
	f, ok := errors.AsType[*fault.Fault](err)
	if !ok || f.Kind != fault.Unavailable || f.Code != "journal-unavailable" || f.RetryAfter == 0 {
		t.Errorf("got %v, want journal-unavailable", err)
	}
}

// healed waits until the journal can be written again, by itself.
func healed(t *testing.T, j *Journal) {
	t.Helper()
	eventually(t, "the journal does not heal", func() bool { return j.Check(t.Context(), acme) == nil })
}

func TestP7ChecksSeeWhatWritingWouldNot(t *testing.T) {
	for name, c := range map[string]struct {
		harm, mend func(node, file string) error
		reason     string
	}{
		"folder read-only": {
			func(node, _ string) error { return os.Chmod(node, 0o500) },
			func(node, _ string) error { return os.Chmod(node, 0o700) }, "read-only"},
		"root read-only": {
			func(node, _ string) error { return os.Chmod(filepath.Dir(filepath.Dir(node)), 0o500) },
			func(node, _ string) error { return os.Chmod(filepath.Dir(filepath.Dir(node)), 0o700) }, "read-only"},
		"folder moved away": {
			func(node, _ string) error { return os.Rename(node, node+".away") },
			func(node, _ string) error { return os.Rename(node+".away", node) }, "folder-missing"},
		"file moved away": {
			func(_, file string) error { return os.Rename(file, file+".away") },
			func(_, file string) error { return os.Rename(file+".away", file) }, "segment-removed"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			j := open(t, Options{Dir: dir})
			must[Receipt](t)(j.Commit(t.Context(), Event{Tenant: acme, Type: GatewayStarted}))
			node := filepath.Join(dir, string(acme), "node-1")
			file := filepath.Join(node, segment.Name(1))
			if err := j.Check(t.Context(), acme); err != nil {
				t.Fatal(err)
			}
			if err := c.harm(node, file); err != nil {
				t.Fatal(err)
			}
			refused(t, j.Check(t.Context(), acme))
			_, err := j.Write(t.Context(), &Event{Tenant: acme, Type: AccessAllowed})
			refused(t, err)
			if err := c.mend(node, file); err != nil {
				t.Fatal(err)
			}
			healed(t, j)
			must[Receipt](t)(j.Commit(t.Context(), Event{Tenant: acme, Type: GatewayStopped}))
			all := read(t, j, acme)
			if len(all) != 3 || all[1].Type != JournalRecovered || all[1].Reason != c.reason {
				t.Errorf("%+v", all)
			}
			verified(t, dir, acme)
		})
	}
}

func TestP7NoRecordGoesToARemovedFile(t *testing.T) {
	dir := t.TempDir()
	j := open(t, Options{Dir: dir})
	e := access("/")
	must[Receipt](t)(j.Write(t.Context(), &e))
	file := filepath.Join(dir, string(acme), "node-1", segment.Name(1))
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	_, err := j.Write(t.Context(), &e) // without a check before
	refused(t, err)
	healed(t, j)
	must[Receipt](t)(j.Write(t.Context(), &e))
	if found := problems(t, dir); len(found) != 1 || found[0].What != "records 1 to 1 are missing before this segment" {
		t.Errorf("the loss does not show: %v", found)
	}
}

func TestP7FailedFsyncIsNotForgotten(t *testing.T) {
	dir := t.TempDir()
	j := open(t, Options{Dir: dir})
	e := access("/")
	must[Receipt](t)(j.Write(t.Context(), &e))
	l := must[*log](t)(j.logOf(acme))
	l.mu.Lock()
	if err := l.tail.writer.Park(); err != nil { // an fsync of a closed file fails
		t.Fatal(err)
	}
	if err := l.tail.writer.Resume(); err != nil {
		t.Fatal(err)
	}
	closed := l.tail
	l.mu.Unlock()
	must[Receipt](t)(j.Write(t.Context(), &e))
	if err := closed.writer.Handle().Close(); err != nil {
		t.Fatal(err)
	}
	refused(t, l.sync(closed, e.Seq))
	healed(t, j)
	refused(t, l.sync(closed, e.Seq)) // also after others succeeded
	must[Receipt](t)(j.Commit(t.Context(), Event{Tenant: acme, Type: SignedOut}))
	if all := read(t, j, acme); all[2].Type != JournalRecovered {
		t.Errorf("%+v", all)
	}
	verified(t, dir, acme)
}

// The kernel tells of a page that it could not write once per open file. Whoever
// goes on to the next segment, or closes the journal, must not take the silence
// of a second fsync for success.
func TestP8AFailedFsyncIsNotRepeatedForSuccess(t *testing.T) {
	for name, end := range map[string]func(j *Journal){
		"rotation": func(j *Journal) { _, _ = j.Write(context.Background(), &Event{Tenant: acme, Type: AccessAllowed}) },
		"close":    func(j *Journal) { _ = j.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			j := open(t, Options{Dir: dir})
			e := access("/")
			for range 2 { // the first record of a segment is durable at once
				must[Receipt](t)(j.Write(t.Context(), &e))
			}
			j.o.SegmentBytes = 1
			l := must[*log](t)(j.logOf(acme))
			l.mu.Lock()
			mend := failFsync(t, l.tail.writer.Handle())
			failing, before := l.tail, j.Stats().Syncs
			l.lead(failing)
			eventually(t, "no fsync", func() bool { return j.Stats().Syncs > before })
			mend()
			l.mu.Unlock()
			end(j)
			refused(t, l.sync(failing, e.Seq))
			if name == "close" {
				return
			}
			healed(t, j)
			must[Receipt](t)(j.Commit(t.Context(), Event{Tenant: acme, Type: SignedOut}))
			if report := verified(t, dir, acme); report.Segments < 2 {
				t.Errorf("%+v", report)
			}
		})
	}
}

// failFsync lets fsyncs of the file fail until it is mended, as it has a device
// in its place that knows none.
func failFsync(t *testing.T, file *os.File) (mend func()) {
	t.Helper()
	fd := int(file.Fd()) // #nosec G115 -- a file descriptor is small
	device := must[*os.File](t)(os.OpenFile(os.DevNull, os.O_WRONLY, 0))
	kept := must[int](t)(unix.FcntlInt(file.Fd(), unix.F_DUPFD_CLOEXEC, 0))
	t.Cleanup(func() {
		if err := errors.Join(device.Close(), unix.Close(kept)); err != nil {
			t.Error(err)
		}
	})
	put := func(other int) {
		if err := unix.Dup3(other, fd, unix.O_CLOEXEC); err != nil {
			t.Fatal(err)
		}
	}
	put(int(device.Fd())) // #nosec G115 -- a file descriptor is small
	return func() { put(kept) }
}

// The end of a segment waits for the disk as its records do: as long, and
// without keeping others from being told.
func TestP7RotationDoesNotWaitForeverEither(t *testing.T) {
	dir := t.TempDir()
	j := open(t, Options{Dir: dir, SegmentBytes: 1})
	must[Receipt](t)(j.Commit(t.Context(), Event{Tenant: acme, Type: GatewayStarted}))
	synctest.Test(t, func(t *testing.T) {
		resume, begun := stall(t, j), time.Now()
		var group sync.WaitGroup
		for range 3 {
			group.Go(func() {
				_, err := j.Write(t.Context(), &Event{Tenant: acme, Type: AccessAllowed})
				refused(t, err)
				if waited := time.Since(begun); waited != durableWithin { // by the bubble's clock
					t.Errorf("waited %v", waited)
				}
			})
		}
		group.Wait()
		resume()
		must[Receipt](t)(j.Commit(t.Context(), Event{Tenant: acme, Type: SignedOut}))
	})
	if report := verified(t, dir, acme); report.Records != 2 || report.Segments != 2 {
		t.Errorf("%+v", report)
	}
}

// full is what the child on the full disk found.
type full struct {
	Before, Between, After int  // records that were acknowledged
	Refused                int  // records that were not
	Healed                 bool // a Check succeeded once there was room
	Wrong                  string
}

// writeOnFullDisk writes until the limit on a file's size stands for a full
// disk (it gives EFBIG and short writes, to root as well), goes on against it,
// lifts it, and goes on.
func writeOnFullDisk() {
	signal.Ignore(syscall.SIGXFSZ)
	var r full
	j, err := Open(Options{Dir: os.Getenv("AUDIT_TEST_DIR"), Node: "node-1", Keys: fixedKeys{}})
	if err != nil {
		panic(err)
	}
	limit := unix.Rlimit{}
	if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &limit); err != nil {
		panic(err)
	}
	write := func() error {
		e := access("/")
		_, err := j.Write(context.Background(), &e)
		if err != nil && !fault.Is(err, fault.Unavailable) {
			r.Wrong = err.Error()
		}
		return err
	}
	if err := write(); err != nil {
		panic(err)
	}
	r.Before = 1
	set := func(soft uint64) {
		if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: soft, Max: limit.Max}); err != nil {
			panic(err)
		}
	}
	set(3000)
	for write() == nil {
		r.Before++
	}
	set(100) // not even a segment's header fits
	for end := time.Now().Add(3 * retryEvery); time.Now().Before(end); {
		if write() == nil {
			r.Between++
		} else {
			r.Refused++
		}
	}
	set(limit.Cur)
	for end := time.Now().Add(patience); !r.Healed && time.Now().Before(end); {
		r.Healed = j.Check(context.Background(), acme) == nil
	}
	for range 5 {
		if write() == nil {
			r.After++
		}
	}
	if err := j.Close(); err != nil {
		panic(err)
	}
	if err := json.NewEncoder(os.Stdout).Encode(r); err != nil {
		panic(err)
	}
	os.Exit(0)
}

func TestP7FullDiskRefusesAndHeals(t *testing.T) {
	dir := t.TempDir()
	out, err := child(t, "full", dir).Output()
	if err != nil {
		t.Fatal(err)
	}
	var r full
	if err := json.Unmarshal(out, &r); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if r.Wrong != "" || r.Before < 2 || r.Between != 0 || r.Refused < 3 || !r.Healed || r.After != 5 {
		t.Errorf("%+v", r)
	}
	report := verified(t, dir, acme)
	if want := uint64(r.Before + r.After + 1); report.Records != want || len(report.Notes) != 1 {
		t.Errorf("%d records, want %d; notes %v", report.Records, want, report.Notes)
	}
	j := open(t, Options{Dir: dir})
	if all := read(t, j, acme); all[r.Before].Type != JournalRecovered || all[r.Before].Reason != "no-space" {
		t.Error(fmt.Sprint(all[r.Before]))
	}
}
