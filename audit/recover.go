package audit

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"

	"gatehouse/audit/segment"
	"gatehouse/identity"
)

// recovery is what the first record after an interruption tells.
type recovery struct {
	reason  string // stable: see reasonOf, and "torn-tail", "damaged"
	segment string // the file that it happened to
	bytes   int64  // how many of them hold no whole record
	lost    bool   // records that were there are not readable any more
}

func (r *recovery) event(tenant identity.TenantID) Event {
	e := SystemCause().Event(tenant, JournalRecovered, Success)
	e.Reason = r.reason
	e.Target = Target{Kind: "segment", ID: r.segment}
	e.Message = "The journal goes on in a new segment after it could not be written."
	e.Details = map[string]string{"segment": r.segment, "bytes": strconv.FormatInt(r.bytes, 10)}
	switch {
	case r.lost:
		e.Outcome = Failed
		e.Message = "The journal's newest segment is damaged; it goes on in a new one. Run the verification."
		e.Details["lost"] = "true"
	case r.reason == "torn-tail":
		e.Message = "The last write before a crash was cut short; nothing that was acknowledged is missing."
	}
	return e
}

// reasonOf gives the stable code of why writing failed.
func reasonOf(err error) string {
	for _, known := range []struct {
		is   error
		code string
	}{
		{segment.ErrGone, "segment-removed"},
		{unix.ENOSPC, "no-space"},
		{unix.EDQUOT, "no-space"},
		{unix.EFBIG, "no-space"},
		{unix.EROFS, "read-only"},
		{errReadOnly, "read-only"},
		{unix.EIO, "disk-error"},
		{fs.ErrPermission, "not-permitted"},
		{fs.ErrNotExist, "folder-missing"},
	} {
		if errors.Is(err, known.is) {
			return known.code
		}
	}
	return "write-failed"
}

// load finds out where earlier runs ended. It never appends to their files: the
// log goes on in a new segment, which links to the last record that is whole.
// Bytes behind that record stay where they are.
func (l *log) load() error {
	files, err := segment.List(l.dir)
	if err != nil {
		return err
	}
	if len(files) > 0 {
		l.placed = true
		if err := l.follow(files[len(files)-1]); err != nil {
			return err
		}
	}
	l.loaded = true
	return nil
}

// follow takes the end of a segment as the end of the log. Whatever is wrong
// with the file, the next segment's first number is beyond every number in this
// one, so that it has a name of its own; [Verify] names the damage.
func (l *log) follow(f segment.File) error {
	r, err := segment.Open(f)
	damage := (*segment.Damage)(nil)
	if err != nil && !errors.As(err, &damage) {
		return err
	}
	defer func() { _ = r.Close() }() // read only
	var found *recovery
	if damage != nil {
		found = &recovery{reason: "damaged", bytes: damage.Lost, lost: true}
	}
	s := r.Scan(r.Start())
	for {
		_, err := s.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil && !errors.As(err, &damage) {
			return err
		}
		if err == nil || found != nil && found.lost {
			continue
		}
		// A segment begins with a record that was durable: without even that one,
		// this is no write that was cut short.
		found = &recovery{reason: "torn-tail", bytes: damage.Lost}
		if !damage.Torn || s.Position() == r.Start() {
			found.reason, found.lost = "damaged", true
		}
	}
	if found != nil {
		found.segment = segment.Name(f.First)
		l.recovery = found
	}
	l.seq, l.chain = max(s.Position().Seq, f.First), s.Position().Hash
	return nil
}

// place makes the log's folder. It is made once: a folder that vanishes later
// was taken away, and the journal waits for it to come back.
func (l *log) place() error {
	if l.placed {
		return nil
	}
	for _, dir := range []string{filepath.Dir(l.dir), l.dir} {
		if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("audit: making the tenant's journal folder: %w", err)
		}
		if err := syncFolder(filepath.Dir(dir)); err != nil {
			return err
		}
	}
	l.placed = true
	return nil
}

var errReadOnly = errors.New("audit: the folder is read-only")

// probe looks, without writing, whether folders and current file are in place
// and meant to be written. The caller holds the lock.
func (l *log) probe() error {
	folders := []string{l.j.o.Dir, filepath.Dir(l.dir), l.dir}
	if !l.placed {
		folders = folders[:1]
	}
	for _, dir := range folders {
		if err := probeFolder(dir); err != nil {
			return err
		}
	}
	if l.tail == nil || l.tail.writer.Parked() {
		return nil
	}
	err := l.tail.writer.Check()
	if errors.Is(err, segment.ErrGone) {
		l.abandon(err)
	}
	return err
}

func probeFolder(dir string) error {
	var stat unix.Stat_t
	if err := unix.Stat(dir, &stat); err != nil {
		return fmt.Errorf("audit: %s: %w", dir, err)
	}
	// Root may write where nobody should; the owner's bit says what is meant.
	if stat.Mode&unix.S_IFMT != unix.S_IFDIR || stat.Mode&0o200 == 0 {
		return fmt.Errorf("%w: %s", errReadOnly, dir)
	}
	// Access sees a file system that is mounted read-only, even for root.
	if err := unix.Access(dir, unix.W_OK|unix.X_OK); err != nil {
		return fmt.Errorf("audit: %s: %w", dir, err)
	}
	return nil
}

func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	return errors.Join(d.Sync(), d.Close())
}
