package segment

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// ErrGone is a segment whose file was removed, replaced or changed by somebody
// else while it was written: records must not go there any more.
var ErrGone = errors.New("segment: the file was removed or changed from outside")

// Writer appends records to one segment. It is not safe for concurrent use.
// After any error of Append the segment must be given up: whether the failed
// record is there is unknown, so going on could use its nonce twice.
type Writer struct {
	path   string
	header Header
	head   []byte // the encoded header, until it is on disk
	codec  *codec
	buf    []byte

	file *os.File
	fd   int
	stat unix.Stat_t // scratch, so that Append does not allocate
	ino  uint64
	dev  uint64

	size   int64
	seq    uint64 // the last record's number
	hash   Hash   // and hash
	failed bool
}

// NewWriter prepares a segment in dir that goes on after the record whose hash
// is h.Prev. Nothing is on disk until the first [Writer.Append]: a segment
// comes into being whole, together with its first record.
func NewWriter(dir string, h Header, secret []byte) (*Writer, error) {
	_, _ = rand.Read(h.Salt[:]) // never fails: crypto/rand aborts the program instead
	head, hash, err := h.encode()
	if err != nil {
		return nil, err
	}
	c, err := newCodec(secret, h, hash)
	if err != nil {
		return nil, err
	}
	return &Writer{path: filepath.Join(dir, Name(h.First)), header: h, head: head, codec: c, seq: h.First - 1, hash: hash}, nil
}

// Path is where the segment is.
func (w *Writer) Path() string { return w.path }

// Seq is the number of the last record, [Header].First-1 if there is none.
func (w *Writer) Seq() uint64 { return w.seq }

// Hash is the last link of the chain.
func (w *Writer) Hash() Hash { return w.hash }

// Size is the length of the file in bytes.
func (w *Writer) Size() int64 { return w.size }

// Begin returns the buffer to append the next record's plaintext to, at most
// [MaxPlain] bytes of it, for [Writer.Append]. It is valid until then.
func (w *Writer) Begin() []byte {
	if w.buf == nil {
		w.buf = make([]byte, 0, 1<<10)
	}
	return w.buf[:linkSize+headSize]
}

// Append seals what was appended to [Writer.Begin]'s buffer and writes it with
// one write(2). synced tells that it is on disk already, which is so for the
// record that a segment begins with.
func (w *Writer) Append(b []byte) (synced bool, err error) {
	if w.failed {
		return false, errors.New("segment: given up after an earlier error")
	}
	b, hash, err := w.codec.seal(b, w.seq+1, w.hash)
	if err != nil {
		return false, err
	}
	w.buf = b
	synced = w.head != nil
	if synced {
		err = w.create(b[linkSize:])
	} else {
		err = w.write(b[linkSize:])
	}
	if err != nil {
		w.failed = true
		return false, err
	}
	w.seq++
	w.hash = hash
	return synced, nil
}

func (w *Writer) write(frame []byte) error {
	n, err := w.file.Write(frame)
	w.size += int64(n)
	if err != nil {
		return fmt.Errorf("segment: %w", err)
	}
	// A file without a name would swallow the record, a file of another length
	// is written or cut by somebody else; looking costs a fifth of a microsecond.
	if err := unix.Fstat(w.fd, &w.stat); err != nil {
		return fmt.Errorf("segment: %w", err)
	}
	if w.stat.Nlink == 0 || w.stat.Size != w.size {
		return ErrGone
	}
	return nil
}

// create puts header and first record under a temporary name, makes them
// durable, and only then gives the file its name, so that a crash at any moment
// leaves a segment with its first record or none.
func (w *Writer) create(frame []byte) error {
	temporary := w.path + ".tmp"
	file, err := os.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|os.O_APPEND|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return fmt.Errorf("segment: %w", err)
	}
	w.file, w.fd = file, int(file.Fd()) // #nosec G115 -- a file descriptor is small
	w.size = int64(len(w.head) + len(frame))
	if _, err = file.Write(append(w.head, frame...)); err == nil {
		err = file.Sync()
	}
	if err == nil {
		// What stands there under this name can only be an earlier attempt that
		// failed before its record was acknowledged.
		err = os.Rename(temporary, w.path)
	}
	if err == nil {
		err = syncDir(filepath.Dir(w.path))
	}
	if err == nil {
		err = unix.Fstat(w.fd, &w.stat)
	}
	if err != nil {
		return fmt.Errorf("segment: creating %s: %w", filepath.Base(w.path), err)
	}
	w.ino, w.dev = w.stat.Ino, w.stat.Dev
	w.head = nil
	return nil
}

// Check looks whether the file is still the one under its name, as long as it
// should be, and meant to be written.
func (w *Writer) Check() error {
	if w.file == nil && w.head != nil {
		return nil // not on disk yet
	}
	if err := unix.Stat(w.path, &w.stat); err != nil {
		return fmt.Errorf("%w: %w", ErrGone, err)
	}
	if w.stat.Ino != w.ino || w.stat.Dev != w.dev || w.stat.Size != w.size {
		return ErrGone
	}
	// Root may write where nobody should; the owner's bit says what is meant.
	if w.stat.Mode&0o200 == 0 {
		return fmt.Errorf("segment: %s is read-only", filepath.Base(w.path))
	}
	return nil
}

// Handle is the open file, for an fsync beside further Appends; nil while
// there is none. On an error of its Sync nothing written since the last success
// may be believed durable.
func (w *Writer) Handle() *os.File { return w.file }

// Park closes the file, to be opened again by [Writer.Resume]: an idle tenant
// costs no file descriptor. The caller has synced before.
func (w *Writer) Park() error {
	if w.file == nil {
		return nil
	}
	err := w.file.Close()
	w.file, w.buf = nil, nil
	if err != nil {
		return fmt.Errorf("segment: %w", err)
	}
	return nil
}

// Parked reports whether [Writer.Resume] is needed before the next Append.
func (w *Writer) Parked() bool { return w.file == nil && w.head == nil }

// Resume opens a parked segment again; [ErrGone] if it is not as it was left.
func (w *Writer) Resume() error {
	file, err := os.OpenFile(w.path, os.O_WRONLY|os.O_APPEND|unix.O_NOFOLLOW, 0)
	if err != nil {
		return fmt.Errorf("segment: %w", err)
	}
	w.file, w.fd = file, int(file.Fd()) // #nosec G115 -- a file descriptor is small
	return w.Check()
}

// syncDir makes the names in a folder durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
