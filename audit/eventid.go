package audit

import (
	"crypto/rand"
	"encoding/base32"
	"encoding/binary"
	"strings"
	"time"

	"gatehouse/identity"
)

const (
	idPrefix = "evt_"
	idChars  = 26 // 16 bytes in base32
)

// The alphabet of identity's ids: base32hex in lower case (RFC 4648 §7).
var idEncoding = base32.NewEncoding("0123456789abcdefghijklmnopqrstuv").WithPadding(base32.NoPadding)

// eventIDs makes ids of the form that identity gives them (48 bits of Unix
// milliseconds, 80 more), with two differences: the first 16 of the 80 bits
// count the events of one millisecond, so that ids sort in the order of the
// journal, and one costs one allocation.
type eventIDs struct {
	milli int64
	count uint16
	raw   [16]byte
	text  [len(idPrefix) + idChars]byte
}

func (g *eventIDs) next(now time.Time) identity.EventID {
	if milli := now.UnixMilli(); milli != g.milli {
		g.milli, g.count = milli, 0
	} else {
		g.count++
	}
	// #nosec G115 -- milliseconds since 1970 fit 48 bits until the year 10889.
	binary.BigEndian.PutUint64(g.raw[:], uint64(g.milli)<<16|uint64(g.count))
	_, _ = rand.Read(g.raw[8:]) // never fails: crypto/rand aborts the program instead
	copy(g.text[:], idPrefix)
	idEncoding.Encode(g.text[len(idPrefix):], g.raw[:])
	return identity.EventID(g.text[:])
}

// eventTime is when an event with this id was recorded; ok is false for what
// is no event's id.
func eventTime(id identity.EventID) (at time.Time, ok bool) {
	text, ok := strings.CutPrefix(string(id), idPrefix)
	if !ok || len(text) != idChars {
		return at, false
	}
	raw, err := idEncoding.DecodeString(text)
	if err != nil {
		return at, false
	}
	return time.UnixMilli(int64(binary.BigEndian.Uint64(raw) >> 16)), true // #nosec G115 -- 48 bits
}
