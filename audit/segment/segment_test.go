package segment

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

var secret = bytes.Repeat([]byte{7}, 32)

// write makes a segment of n records in dir and returns it.
func write(t testing.TB, dir string, n int) *Writer {
	t.Helper()
	w, err := NewWriter(dir, Header{Tenant: "acme", Node: "node-1", First: 1, Created: time.UnixMilli(1_700_000_000_000)}, secret)
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		if synced, err := w.Append(fmt.Appendf(w.Begin(), "record %d", i+1)); err != nil || synced != (i == 0) {
			t.Fatal(synced, err)
		}
	}
	t.Cleanup(func() { _ = w.Park() })
	return w
}

// scan reads a whole file and returns the plaintexts and the damage.
func scan(t testing.TB, path string) (plain []string, damage []*Damage) {
	t.Helper()
	r, err := Open(File{Path: path, First: 1})
	return scanAll(t, r, err)
}

func scanAll(t testing.TB, r *Reader, err error) (plain []string, damage []*Damage) {
	t.Helper()
	if d := (*Damage)(nil); errors.As(err, &d) {
		damage = append(damage, d)
	} else if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	locked := err != nil
	if !locked {
		if err := r.Unlock(secret); err != nil {
			t.Fatal(err)
		}
	}
	for s := r.Scan(r.Start()); ; {
		f, err := s.Next()
		if errors.Is(err, io.EOF) {
			return plain, damage
		}
		if d := (*Damage)(nil); errors.As(err, &d) {
			damage = append(damage, d)
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if !locked {
			p, err := r.Plain(f)
			if err != nil {
				t.Fatal(err)
			}
			plain = append(plain, string(p))
		}
	}
}

func TestRoundTripForwardsAndBackwards(t *testing.T) {
	w := write(t, t.TempDir(), 3000)
	plain, damage := scan(t, w.Path())
	if len(plain) != 3000 || len(damage) != 0 || plain[2999] != "record 3000" {
		t.Fatal(len(plain), damage)
	}
	r, err := Open(File{Path: w.Path(), First: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	if err := r.Unlock(secret); err != nil {
		t.Fatal(err)
	}
	b, err := r.Back(0)
	if err != nil {
		t.Fatal(err)
	}
	var back []string
	for {
		f, err := b.Prev()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		p, err := r.Plain(f)
		if err != nil {
			t.Fatal(err)
		}
		back = append(back, string(p))
	}
	slices.Reverse(back)
	if !slices.Equal(plain, back) {
		t.Error("backwards differs from forwards")
	}
}

func TestP6NothingIsLegible(t *testing.T) {
	w := write(t, t.TempDir(), 10)
	b, err := os.ReadFile(w.Path())
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(b, []byte("record")) {
		t.Error("plaintext in the file")
	}
	r, err := Open(File{Path: w.Path(), First: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	if err := r.Unlock(bytes.Repeat([]byte{8}, 32)); err != nil {
		t.Fatal(err)
	}
	f, err := r.Scan(r.Start()).Next()
	if err != nil {
		t.Fatal(err)
	}
	if p, err := r.Plain(f); err == nil {
		t.Errorf("another key opened the record: %q", p)
	}
}

// Every single changed bit is found, and named within the record it is in.
func TestEveryFlippedByteIsFound(t *testing.T) {
	dir := t.TempDir()
	w := write(t, dir, 4)
	whole, err := os.ReadFile(w.Path())
	if err != nil {
		t.Fatal(err)
	}
	size := (len(whole) - w.headerSize(t)) / 4
	path := filepath.Join(dir, "copy")
	for i := range whole {
		flipped := bytes.Clone(whole)
		flipped[i] ^= 1 << (i % 8)
		if err := os.WriteFile(path, flipped, 0o600); err != nil {
			t.Fatal(err)
		}
		_, damage := scan(t, path)
		if len(damage) == 0 {
			t.Fatalf("byte %d changed unseen", i)
		}
		want := uint64(1)
		if at := i - w.headerSize(t); at >= 0 {
			want = uint64(at/size) + 1
		}
		if damage[0].Seq != want {
			t.Errorf("byte %d: %v, want record %d", i, damage[0], want)
		}
	}
}

func (w *Writer) headerSize(t *testing.T) int {
	r, err := Open(File{Path: w.path, First: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	return int(r.start)
}

func TestScanningGoesOnBehindDamage(t *testing.T) {
	w := write(t, t.TempDir(), 50)
	b, err := os.ReadFile(w.Path())
	if err != nil {
		t.Fatal(err)
	}
	for i := 600; i < 700; i++ {
		b[i] = 0
	}
	if err := os.WriteFile(w.Path(), b, 0o600); err != nil {
		t.Fatal(err)
	}
	plain, damage := scan(t, w.Path())
	if len(damage) != 1 || damage[0].Torn || damage[0].Lost < 100 {
		t.Fatal(damage)
	}
	if len(plain) < 45 || plain[len(plain)-1] != "record 50" {
		t.Error("records behind the damage are lost:", len(plain))
	}
}

func TestEveryCutIsSeenAsTorn(t *testing.T) {
	dir := t.TempDir()
	w := write(t, dir, 3)
	whole, err := os.ReadFile(w.Path())
	if err != nil {
		t.Fatal(err)
	}
	start := w.headerSize(t)
	size := (len(whole) - start) / 3
	path := filepath.Join(dir, "copy")
	for n := start; n < len(whole); n++ {
		if err := os.WriteFile(path, whole[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		plain, damage := scan(t, path)
		if want := (n - start) / size; len(plain) != want {
			t.Fatalf("cut at %d: %d records, want %d", n, len(plain), want)
		}
		if torn := (n-start)%size != 0; torn != (len(damage) == 1 && damage[0].Torn) {
			t.Fatalf("cut at %d: %v", n, damage)
		}
	}
}

func TestWriterGivesUpAFileThatIsNotItsOwn(t *testing.T) {
	for name, harm := range map[string]func(path string) error{
		"removed":   os.Remove,
		"truncated": func(p string) error { return os.Truncate(p, 300) },
		"grown": func(p string) error {
			f, err := os.OpenFile(p, os.O_APPEND|os.O_WRONLY, 0)
			if err != nil {
				return err
			}
			_, err = f.WriteString("x")
			return errors.Join(err, f.Close())
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := write(t, t.TempDir(), 3)
			if err := w.Check(); err != nil {
				t.Fatal(err)
			}
			if err := harm(w.Path()); err != nil {
				t.Fatal(err)
			}
			if err := w.Check(); !errors.Is(err, ErrGone) {
				t.Error("check:", err)
			}
			if _, err := w.Append(append(w.Begin(), "x"...)); !errors.Is(err, ErrGone) {
				t.Error("append:", err)
			}
			if _, err := w.Append(append(w.Begin(), "x"...)); err == nil {
				t.Error("a segment was written after an error")
			}
			if w.Seq() != 3 {
				t.Error("a record counts that was not written:", w.Seq())
			}
		})
	}
}

func TestParkAndResume(t *testing.T) {
	w := write(t, t.TempDir(), 3)
	if err := w.Park(); err != nil || !w.Parked() {
		t.Fatal(err)
	}
	if err := w.Resume(); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Append(append(w.Begin(), "record 4"...)); err != nil {
		t.Fatal(err)
	}
	plain, damage := scan(t, w.Path())
	if len(plain) != 4 || len(damage) != 0 {
		t.Error(plain, damage)
	}
}

func FuzzScanner(f *testing.F) {
	w := write(f, f.TempDir(), 3)
	whole, err := os.ReadFile(w.Path())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Add(whole[:len(whole)-5])
	f.Add([]byte(magic))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := newReader(inMemory{bytes.NewReader(b)}, int64(len(b)), 1)
		scanAll(t, r, err) // fails if something passes the chain and does not open
		back, err := r.Back(0)
		if err != nil {
			return
		}
		for range b {
			if _, err := back.Prev(); err != nil {
				return
			}
		}
		if len(b) > 0 {
			t.Error("reading backwards does not end")
		}
	})
}

type inMemory struct{ *bytes.Reader }

func (inMemory) Close() error { return nil }
