package segment

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// magic names the format and its version.
const magic = "GHJRNL\x00\x01"

const (
	// Suffix is how the name of a segment ends.
	Suffix = ".journal"

	maxName   = 128
	maxHeader = len(magic) + 2*(1+maxName) + 8 + 8 + 3*len(Hash{})
)

// Hash is one link of the chain (SHA-256).
type Hash [sha256.Size]byte

// Header is what a segment says of itself; Salt is filled by [NewWriter].
type Header struct {
	Tenant  string
	Node    string
	First   uint64    // the number of its first record
	Created time.Time // to the millisecond: no record in it is much older
	Salt    [32]byte
	Prev    Hash // the last hash of the segment before; zero for the very first
}

func (h Header) encode() ([]byte, Hash, error) {
	if h.Tenant == "" || len(h.Tenant) > maxName || h.Node == "" || len(h.Node) > maxName {
		return nil, Hash{}, fmt.Errorf("segment: tenant and node need 1 to %d bytes", maxName)
	}
	b := append(make([]byte, 0, maxHeader), magic...)
	for _, name := range []string{h.Tenant, h.Node} {
		b = append(append(b, byte(len(name))), name...) // #nosec G115 -- at most maxName
	}
	b = binary.BigEndian.AppendUint64(b, h.First)
	b = binary.BigEndian.AppendUint64(b, uint64(h.Created.UnixMilli())) // #nosec G115 -- read back by the reverse conversion
	b = append(b, h.Salt[:]...)
	b = append(b, h.Prev[:]...)
	hash := Hash(sha256.Sum256(b))
	return append(b, hash[:]...), hash, nil
}

// errHeader is any header that cannot be believed.
var errHeader = errors.New("segment: the header is damaged")

// readHeader returns the header, its hash and its length in bytes.
func readHeader(r io.ReaderAt) (h Header, hash Hash, length int64, err error) {
	b := make([]byte, maxHeader)
	n, err := r.ReadAt(b, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return h, hash, 0, fmt.Errorf("segment: reading the header: %w", err)
	}
	b = b[:n]
	rest, ok := bytes.CutPrefix(b, []byte(magic))
	if !ok {
		return h, hash, 0, errHeader
	}
	name := func() (s string) {
		if len(rest) == 0 || len(rest) <= int(rest[0]) {
			ok = false
			return ""
		}
		end := 1 + int(rest[0])
		s, rest = string(rest[1:end]), rest[end:]
		return s
	}
	h.Tenant = name()
	h.Node = name()
	if !ok || len(rest) < 16+3*len(Hash{}) {
		return h, hash, 0, errHeader
	}
	h.First = binary.BigEndian.Uint64(rest)
	h.Created = time.UnixMilli(int64(binary.BigEndian.Uint64(rest[8:]))) // #nosec G115 -- written by the reverse conversion
	copy(h.Salt[:], rest[16:])
	copy(h.Prev[:], rest[48:])
	copy(hash[:], rest[80:])
	body := len(b) - len(rest) + 80
	if sha256.Sum256(b[:body]) != hash {
		return h, hash, 0, errHeader
	}
	return h, hash, int64(body + len(hash)), nil
}

// Name is the file name of the segment whose first record has this number.
func Name(first uint64) string { return fmt.Sprintf("%016d%s", first, Suffix) }

// File is a segment by its place and name, unread.
type File struct {
	Path  string
	First uint64
}

// List finds the segments of a folder in order; a folder that is missing has none.
func List(dir string) ([]File, error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("segment: %w", err)
	}
	var files []File
	for _, e := range entries {
		digits, ok := strings.CutSuffix(e.Name(), Suffix)
		first, err := strconv.ParseUint(digits, 10, 64)
		if ok && err == nil && Name(first) == e.Name() {
			files = append(files, File{Path: filepath.Join(dir, e.Name()), First: first})
		}
	}
	slices.SortFunc(files, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	return files, nil
}
