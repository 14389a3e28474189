package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gatehouse/audit/segment"
)

// threeSegments writes a small journal of several segments and closes it.
func threeSegments(t *testing.T) (dir string, files []segment.File) {
	t.Helper()
	dir = t.TempDir()
	j := must[*Journal](t)(Open(Options{Dir: dir, Node: "node-1", Keys: fixedKeys{}, SegmentBytes: 400}))
	for n := range 6 {
		must[Receipt](t)(j.Commit(t.Context(), Event{Tenant: acme, Type: SignInSucceeded, Outcome: Success, Reason: fmt.Sprint(n)}))
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	files = must[[]segment.File](t)(segment.List(filepath.Join(dir, string(acme), "node-1")))
	if len(files) != 3 {
		t.Fatalf("%d segments", len(files))
	}
	verified(t, dir, acme)
	return dir, files
}

func problems(t *testing.T, dir string) []Problem {
	t.Helper()
	return must[Report](t)(Verify(t.Context(), dir, acme)).Problems
}

func TestVerifyFindsEveryFlippedByte(t *testing.T) {
	dir, files := threeSegments(t)
	for _, f := range files {
		whole := must[[]byte](t)(os.ReadFile(f.Path))
		for i := range whole {
			flipped := bytes.Clone(whole)
			flipped[i] ^= 0x40
			if err := os.WriteFile(f.Path, flipped, 0o600); err != nil {
				t.Fatal(err)
			}
			found := problems(t, dir)
			if len(found) == 0 || found[0].File != f.Path || found[0].Seq < f.First || found[0].Seq > f.First+1 || found[0].Offset > int64(i) {
				t.Fatalf("byte %d of %s: %v", i, f.Path, found)
			}
		}
		if err := os.WriteFile(f.Path, whole, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestVerifyFindsCutsSwapsAndGaps(t *testing.T) {
	for name, c := range map[string]struct {
		harm func(t *testing.T, files []segment.File) error
		what string
	}{
		"first segment missing": {func(_ *testing.T, f []segment.File) error { return os.Remove(f[0].Path) }, "records 1 to 2 are missing"},
		"a segment missing":     {func(_ *testing.T, f []segment.File) error { return os.Remove(f[1].Path) }, "records 3 to 4 are missing"},
		"tail cut within a record": {func(_ *testing.T, f []segment.File) error {
			return os.Truncate(f[0].Path, size(t, f[0])-10)
		}, "ends inside a record"},
		"a whole record cut off": {func(t *testing.T, f []segment.File) error {
			return os.Truncate(f[0].Path, ends(t, f[0])[0])
		}, "records 2 to 2 are missing"},
		"all records cut off": {func(t *testing.T, f []segment.File) error {
			return os.Truncate(f[0].Path, start(t, f[0]))
		}, "has lost its first record"},
		"records exchanged": {func(t *testing.T, f []segment.File) error {
			b, e, s := must[[]byte](t)(os.ReadFile(f[1].Path)), ends(t, f[1]), start(t, f[1])
			swapped := append(append(bytes.Clone(b[:s]), b[e[0]:e[1]]...), b[s:e[0]]...)
			return os.WriteFile(f[1].Path, swapped, 0o600)
		}, "record 4 stands where record 3 belongs"},
		"segments exchanged": {func(_ *testing.T, f []segment.File) error {
			aside := f[0].Path + ".aside"
			for _, move := range [][2]string{{f[0].Path, aside}, {f[1].Path, f[0].Path}, {aside, f[1].Path}} {
				if err := os.Rename(move[0], move[1]); err != nil {
					return err
				}
			}
			return nil
		}, "not with that of its name"},
		"bytes added": {func(t *testing.T, f []segment.File) error {
			b := must[[]byte](t)(os.ReadFile(f[2].Path))
			return os.WriteFile(f[2].Path, append(b, "more"...), 0o600)
		}, "ends inside"},
		"a foreign file": {func(_ *testing.T, f []segment.File) error {
			return os.WriteFile(f[0].Path+".bak", nil, 0o600)
		}, "not a file of the journal"},
	} {
		t.Run(name, func(t *testing.T) {
			dir, files := threeSegments(t)
			if err := c.harm(t, files); err != nil {
				t.Fatal(err)
			}
			found := problems(t, dir)
			if !strings.Contains(fmt.Sprint(found), c.what) {
				t.Errorf("found %v, want %q", found, c.what)
			}
		})
	}
}

func size(t *testing.T, f segment.File) int64 {
	t.Helper()
	return must[os.FileInfo](t)(os.Stat(f.Path)).Size()
}

// start is the offset of the first record.
func start(t *testing.T, f segment.File) int64 {
	t.Helper()
	r := must[*segment.Reader](t)(segment.Open(f))
	defer func() { _ = r.Close() }()
	return r.Start().Offset
}

// ends gives the offset behind each record.
func ends(t *testing.T, f segment.File) (offsets []int64) {
	t.Helper()
	r := must[*segment.Reader](t)(segment.Open(f))
	defer func() { _ = r.Close() }()
	for s := r.Scan(r.Start()); ; {
		if _, err := s.Next(); err != nil {
			return offsets
		}
		offsets = append(offsets, s.Position().Offset)
	}
}

// A tail that a crash tore off is a note once the journal has gone on behind
// it, and the first record afterwards tells of it.
func TestTornTailsAreNoted(t *testing.T) {
	dir, files := threeSegments(t)
	last := files[2]
	if err := os.Truncate(last.Path, size(t, last)-10); err != nil {
		t.Fatal(err)
	}
	if len(problems(t, dir)) == 0 {
		t.Error("nobody has gone on behind it yet: it may be a record that was acknowledged")
	}
	j := open(t, Options{Dir: dir})
	must[Receipt](t)(j.Commit(t.Context(), Event{Tenant: acme, Type: GatewayStarted}))
	report := verified(t, dir, acme)
	if len(report.Notes) != 1 || report.Notes[0].File != last.Path || report.Notes[0].Seq != 6 {
		t.Errorf("%+v", report.Notes)
	}
	all := read(t, j, acme)
	if len(all) != 7 || all[5].Type != JournalRecovered || all[5].Reason != "torn-tail" || all[5].Outcome != Success {
		t.Errorf("%+v", all)
	}
}

// Damage is not taken for a torn tail: the journal goes on, says so, and
// verifying names the place for ever.
func TestDamageStaysKnownAfterGoingOn(t *testing.T) {
	for name, at := range map[string]func(f segment.File) int64{
		"header":       func(segment.File) int64 { return 20 },
		"first record": func(f segment.File) int64 { return ends(t, f)[0] - 60 },
	} {
		t.Run(name, func(t *testing.T) {
			dir, files := threeSegments(t)
			last := files[2]
			b := must[[]byte](t)(os.ReadFile(last.Path))
			b[at(last)] ^= 1
			if err := os.WriteFile(last.Path, b, 0o600); err != nil {
				t.Fatal(err)
			}
			j := open(t, Options{Dir: dir})
			must[Receipt](t)(j.Commit(t.Context(), Event{Tenant: acme, Type: GatewayStarted}))
			found := problems(t, dir)
			if len(found) != 1 || found[0].File != last.Path || found[0].Seq != 5 {
				t.Errorf("%v", found)
			}
			var recovered bool
			for e, err := range j.Read(t.Context(), acme, 0) {
				if err == nil && e.Type == JournalRecovered {
					recovered = e.Outcome == Failed && e.Reason == "damaged" && e.Seq == 7
				}
			}
			if !recovered {
				t.Error("the journal does not tell of it")
			}
		})
	}
}

// forge changes a segment from its header on as somebody would who may write the
// file and has no key: with every hash computed anew. It gives the last one.
func forge(t *testing.T, f segment.File, prev *segment.Hash, change func(n int, frame []byte)) segment.Hash {
	t.Helper()
	from := start(t, f)
	b := must[[]byte](t)(os.ReadFile(f.Path))
	head := b[:from-sha256.Size]
	if prev != nil {
		copy(head[len(head)-sha256.Size:], prev[:])
	}
	link := segment.Hash(sha256.Sum256(head))
	copy(b[len(head):], link[:])
	for n, rest := 0, b[from:]; len(rest) > 0; n++ {
		sealed := 12 + int(binary.BigEndian.Uint32(rest))
		change(n, rest[:sealed])
		link = sha256.Sum256(append(link[:], rest[:sealed]...))
		copy(rest[sealed:], link[:])
		rest = rest[sealed+len(link)+4:]
	}
	if err := os.WriteFile(f.Path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return link
}

// The chain has no key, so only opening the records shows that they are ours, in
// the place that they were written for.
func TestVerifyOpensEveryRecord(t *testing.T) {
	var first []byte // the sealed bytes of a segment's first record
	for name, c := range map[string]struct {
		segment int // of three with two records each
		change  func(n int, frame []byte)
		bad     []uint64
	}{
		"nothing": {2, func(int, []byte) {}, nil},
		"a record's text": {2, func(n int, frame []byte) {
			if n == 1 {
				frame[20] ^= 1
			}
		}, []uint64{6}},
		"a record in another's place": {2, func(n int, frame []byte) {
			if n == 0 {
				first = bytes.Clone(frame[12:])
			} else {
				copy(frame[12:], first)
			}
		}, []uint64{6}},
		// What follows is bound to what was there before.
		"a record in the midst": {0, func(n int, frame []byte) {
			if n == 0 {
				frame[20] ^= 1
			}
		}, []uint64{1, 3, 4, 5, 6}},
	} {
		t.Run(name, func(t *testing.T) {
			dir, files := threeSegments(t)
			link := forge(t, files[c.segment], nil, c.change)
			for _, f := range files[c.segment+1:] {
				link = forge(t, f, &link, func(int, []byte) {})
			}
			if report := verified(t, dir, acme); report.Opened != 0 || report.Unopened == "" {
				t.Errorf("without a key: %+v", report)
			}
			reader := must[*Reader](t)(OpenReader(Options{Dir: dir, Keys: fixedKeys{}}))
			report := must[Report](t)(reader.Verify(t.Context(), acme))
			if report.Records != 6 || report.Opened != uint64(6-len(c.bad)) || len(report.Problems) != len(c.bad) || report.Unopened != "" {
				t.Fatalf("%+v", report)
			}
			for i, seq := range c.bad {
				f := files[(seq-1)/2]
				at := start(t, f)
				if seq%2 == 0 {
					at = ends(t, f)[0]
				}
				if p := report.Problems[i]; p.File != f.Path || p.Offset != at || p.Seq != seq || !strings.Contains(p.What, "does not open") {
					t.Errorf("record %d: %v", seq, p)
				}
			}
		})
	}
}

// Cutting whole records off the end leaves files that are whole; the process that
// wrote them knows better.
func TestVerifyMissesWhatThisProcessWrote(t *testing.T) {
	dir := t.TempDir()
	j := open(t, Options{Dir: dir})
	x := NewIndex(j, openStore(t, acme))
	for range 3 {
		e := access("/")
		must[Receipt](t)(j.Write(t.Context(), &e))
	}
	if report := must[Report](t)(x.Verify(t.Context(), acme)); len(report.Problems) != 0 || report.Opened != 3 {
		t.Fatalf("%+v", report)
	}
	node := filepath.Join(dir, string(acme), "node-1")
	f := must[[]segment.File](t)(segment.List(node))[0]
	for _, c := range []struct {
		cut  func() error
		want string
	}{
		{func() error { return os.Truncate(f.Path, ends(t, f)[1]) }, "records 3 to 3 were written and are missing"},
		{func() error { return os.Remove(f.Path) }, "records 1 to 3 were written and are missing"},
		{func() error { return os.RemoveAll(filepath.Dir(node)) }, "records 1 to 3 were written and are missing"},
	} {
		if err := c.cut(); err != nil {
			t.Fatal(err)
		}
		found := must[Report](t)(x.Verify(t.Context(), acme)).Problems
		if len(found) != 1 || !strings.Contains(found[0].What, c.want) {
			t.Errorf("%v, want %q", found, c.want)
		}
	}
}
