package segment

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Frame is one record as it stands in a file. Its bytes are valid until the
// next one is asked for.
type Frame struct {
	Offset int64
	Seq    uint64
	Hash   Hash
	bytes  []byte
}

// Position is a place between two records, from which scanning can go on.
type Position struct {
	Offset int64
	Seq    uint64 // of the record before it
	Hash   Hash   // of the record before it, or of the header
}

// Damage is a place in a segment where the bytes are not what was written.
type Damage struct {
	Offset int64
	Seq    uint64 // the record that should stand there
	What   string
	// Torn tells that no further record was found behind it: an append may have
	// been cut short there.
	Torn bool
	// Lost is how many bytes are unreadable.
	Lost int64
}

// Error names the place.
func (d *Damage) Error() string {
	return fmt.Sprintf("segment: at byte %d, record %d: %s", d.Offset, d.Seq, d.What)
}

// Scanner reads a segment's records in order and checks number, length and
// chain of each. It needs no key.
type Scanner struct {
	r    io.ReaderAt
	size int64
	buf  *bufio.Reader
	at   Position
	done bool
}

const scanWindow = 256 << 10

func newScanner(r io.ReaderAt, size int64, at Position) *Scanner {
	s := &Scanner{r: r, size: size}
	s.seek(at)
	return s
}

func (s *Scanner) seek(at Position) {
	s.at = at
	section := io.NewSectionReader(s.r, at.Offset, s.size-at.Offset)
	if s.buf == nil {
		s.buf = bufio.NewReaderSize(section, int(min(max(s.size-at.Offset, int64(maxFrame)), scanWindow)))
		return
	}
	s.buf.Reset(section)
}

// Position is where the scanner stands: behind the last good record.
func (s *Scanner) Position() Position { return s.at }

// End is the offset behind the record.
func (f Frame) End() int64 { return f.Offset + int64(len(f.bytes)) }

// Next returns the next record, io.EOF at the end of the file, or a [*Damage],
// after which it goes on with the next record that can be proved, if any.
func (s *Scanner) Next() (Frame, error) {
	if s.done {
		return Frame{}, io.EOF
	}
	b, what, err := s.peek()
	switch {
	case err != nil:
		s.done = true
		return Frame{}, err
	case what != "":
		return Frame{}, s.damaged(what)
	}
	f := Frame{Offset: s.at.Offset, Seq: frameSeq(b), Hash: frameHash(b), bytes: b}
	s.at = Position{Offset: f.End(), Seq: f.Seq, Hash: f.Hash}
	_, _ = s.buf.Discard(len(b)) // peeked, so it is there
	return f, nil
}

// peek returns the next whole frame, or what is wrong with it.
func (s *Scanner) peek() (frame []byte, what string, err error) {
	const short = "the file ends inside a record"
	head, err := s.buf.Peek(headSize)
	switch {
	case len(head) == 0 && errors.Is(err, io.EOF):
		return nil, "", io.EOF
	case errors.Is(err, io.EOF):
		return nil, short, nil
	case err != nil:
		return nil, "", fmt.Errorf("segment: reading: %w", err)
	}
	total, ok := frameLength(head)
	if !ok {
		return nil, "the record's length is impossible", nil
	}
	frame, err = s.buf.Peek(total)
	switch {
	case errors.Is(err, io.EOF):
		return nil, short, nil
	case err != nil:
		return nil, "", fmt.Errorf("segment: reading: %w", err)
	case frameSeq(frame) != s.at.Seq+1:
		return nil, fmt.Sprintf("record %d stands where record %d belongs", frameSeq(frame), s.at.Seq+1), nil
	case !chained(s.at.Hash, frame):
		return nil, "the record or its hash was changed", nil
	case !bothEnds(frame):
		return nil, "the length at the record's end was changed", nil
	}
	return frame, "", nil
}

// damaged reports the damage at the current place and moves behind it.
func (s *Scanner) damaged(what string) error {
	d := &Damage{Offset: s.at.Offset, Seq: s.at.Seq + 1, What: what}
	next, found, err := s.resync()
	if err != nil {
		s.done = true
		return err
	}
	if !found {
		s.done = true
		d.Torn, d.Lost = true, s.size-s.at.Offset
		return d
	}
	d.Lost = next.Offset - s.at.Offset
	s.seek(next)
	return d
}

// resync looks for the next record that continues from the 32 bytes that stand
// where its predecessor's hash belongs. The number and the length at both ends
// are looked at first, so that hashing stays rare on hostile bytes.
func (s *Scanner) resync() (at Position, found bool, err error) {
	const window = 1 << 20
	b := make([]byte, min(window, s.size-s.at.Offset))
	most := s.at.Seq + 1 + uint64((s.size-s.at.Offset)/int64(minFrame)) // #nosec G115 -- both are positive
	for base := s.at.Offset; base < s.size; {
		n, err := s.r.ReadAt(b, base)
		if err != nil && !errors.Is(err, io.EOF) {
			return at, false, fmt.Errorf("segment: reading: %w", err)
		}
		w := b[:n]
		for i := tailSize; i+minFrame <= n; i++ {
			total, ok := frameLength(w[i:])
			if !ok || i+total > n {
				continue
			}
			frame := w[i : i+total]
			seq := frameSeq(frame)
			if seq <= s.at.Seq+1 || seq > most || !bothEnds(frame) {
				continue
			}
			if prev := Hash(w[i-tailSize : i-4]); chained(prev, frame) {
				return Position{Offset: base + int64(i), Seq: seq - 1, Hash: prev}, true, nil
			}
		}
		if base+int64(n) >= s.size || n <= maxFrame+tailSize {
			break
		}
		base += int64(n - maxFrame - tailSize)
	}
	return at, false, nil
}

// Backward reads a segment's records from the newest to the oldest. It does not
// follow the chain: what it returns is proved by opening it.
type Backward struct {
	r     io.ReaderAt
	start int64 // where the first record begins
	end   int64 // where the next one to return ends
	buf   []byte
	base  int64 // the file offset of buf
}

// Prev returns the record that ends where the last returned one began, or
// io.EOF at the header.
func (b *Backward) Prev() (Frame, error) {
	if b.end == b.start {
		return Frame{}, io.EOF
	}
	if b.end-b.base < int64(maxFrame) && b.base > b.start || b.buf == nil {
		if err := b.fill(); err != nil {
			return Frame{}, err
		}
	}
	w := b.buf[:b.end-b.base]
	if len(w) >= minFrame {
		length := binary.BigEndian.Uint32(w[len(w)-4:])
		total := headSize + int(length) + tailSize
		if length <= MaxPlain+tagSize && total <= len(w) && bothEnds(w[len(w)-total:]) {
			f := w[len(w)-total:]
			b.end -= int64(total)
			return Frame{Offset: b.end, Seq: frameSeq(f), Hash: frameHash(f), bytes: f}, nil
		}
	}
	d := &Damage{Offset: b.end, What: "no record ends here", Lost: b.end - b.start}
	b.end = b.start
	return Frame{}, d
}

func (b *Backward) fill() error {
	if b.buf == nil {
		b.buf = make([]byte, min(scanWindow, b.end-b.start))
	}
	b.base = max(b.start, b.end-int64(len(b.buf)))
	if _, err := b.r.ReadAt(b.buf[:b.end-b.base], b.base); err != nil {
		return fmt.Errorf("segment: reading: %w", err)
	}
	return nil
}
