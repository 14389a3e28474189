package segment

import (
	"errors"
	"fmt"
	"io"
	"os"
)

// Reader is a segment opened for reading. It is not safe for concurrent use.
type Reader struct {
	file   source
	header Header
	hash   Hash  // the header's
	start  int64 // where the first record begins
	size   int64
	codec  *codec
	plain  []byte
}

// source is the file that is read.
type source interface {
	io.ReaderAt
	io.Closer
}

// Open opens a segment and checks its header. A header that is damaged gives a
// [*Damage] and a reader as well, which can scan the file but not unlock it.
func Open(f File) (*Reader, error) {
	file, err := os.Open(f.Path)
	if err != nil {
		return nil, fmt.Errorf("segment: %w", err)
	}
	info, err := file.Stat()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("segment: %w", err), file.Close())
	}
	return newReader(file, info.Size(), f.First)
}

func newReader(file source, size int64, first uint64) (r *Reader, err error) {
	r = &Reader{file: file, size: size}
	r.header, r.hash, r.start, err = readHeader(file)
	if errors.Is(err, errHeader) {
		r.header, r.hash, r.start = Header{First: first}, Hash{}, 0
		return r, &Damage{Seq: first, What: "the segment's header is damaged", Lost: size}
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return r, nil
}

// Header is what the segment says of itself.
func (r *Reader) Header() Header { return r.header }

// Limit reads no further than size: behind it the file is being written.
func (r *Reader) Limit(size int64) { r.size = min(r.size, size) }

// Start is the place before the first record.
func (r *Reader) Start() Position {
	return Position{Offset: r.start, Seq: r.header.First - 1, Hash: r.hash}
}

// Scan reads records in order from a place between two of them.
func (r *Reader) Scan(from Position) *Scanner { return newScanner(r.file, r.size, from) }

// Back reads records from the newest to the oldest, beginning with the one that
// ends at this offset; 0 is the end of the file, which is found by scanning when
// the tail is torn.
func (r *Reader) Back(end int64) (*Backward, error) {
	b := &Backward{r: r.file, start: r.start, end: end}
	if end != 0 {
		if end < r.start || end > r.size {
			return nil, &Damage{Offset: end, What: "no record ends here"}
		}
		return b, nil
	}
	b.end = r.size
	if _, err := b.Prev(); err == nil || errors.Is(err, io.EOF) {
		b.end = r.size
		return b, nil
	}
	s := r.Scan(r.Start())
	for {
		_, err := s.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if d := (*Damage)(nil); err != nil && !errors.As(err, &d) {
			return nil, err
		}
	}
	return &Backward{r: r.file, start: r.start, end: s.Position().Offset}, nil
}

// Unlock gives the reader the tenant's secret, for [Reader.Plain].
func (r *Reader) Unlock(secret []byte) (err error) {
	r.codec, err = newCodec(secret, r.header, r.hash)
	return err
}

// Plain opens a record; the bytes are valid until the next call.
func (r *Reader) Plain(f Frame) ([]byte, error) {
	plain, err := r.codec.open(r.plain[:0], f.bytes)
	if err != nil {
		return nil, &Damage{Offset: f.Offset, Seq: f.Seq, What: err.Error(), Lost: int64(len(f.bytes))}
	}
	r.plain = plain
	return plain, nil
}

// Close closes the file.
func (r *Reader) Close() error { return r.file.Close() }
