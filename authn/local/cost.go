package local

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"golang.org/x/crypto/argon2"
)

// Cost is what a hash costs whoever makes one.
type Cost struct {
	Memory  uint32 // KiB
	Passes  uint32
	Threads uint8
}

// recommended is the second recommended option of RFC 9106 §4, for where memory is
// not without end.
var recommended = Cost{Memory: 64 << 10, Passes: 3, Threads: 4}

const (
	saltLength = 16 // RFC 9106 §3.1
	tagLength  = 32
	// Bounds of what is read again, and of what it would then cost.
	maxHash    = 256
	minSalt    = 8
	maxPart    = 64
	minTag     = 16
	maxMemory  = 1 << 20 // KiB: 1 GiB
	maxPasses  = 64
	maxThreads = 64
)

// hash is a password as it is kept.
type hash struct {
	cost      Cost
	salt, tag []byte
}

var errHash = errors.New("local: this is no hash of a password")

func newHash(password string, c Cost) hash {
	salt := make([]byte, saltLength)
	_, _ = rand.Read(salt) // never fails: crypto/rand aborts the program instead
	return hash{cost: c, salt: salt, tag: derive(password, salt, c, tagLength)}
}

func derive(password string, salt []byte, c Cost, length uint32) []byte {
	return argon2.IDKey([]byte(password), salt, c.Passes, c.Memory, c.Threads, length)
}

// noHash is what a password is compared with where there is none: it takes as long,
// and nothing is like it.
func noHash(c Cost) hash {
	h := hash{cost: c, salt: make([]byte, saltLength), tag: make([]byte, tagLength)}
	_, _ = rand.Read(h.salt)
	_, _ = rand.Read(h.tag)
	return h
}

func (h hash) is(password string) bool {
	return subtle.ConstantTimeCompare(derive(password, h.salt, h.cost, uint32(len(h.tag))), h.tag) == 1 // #nosec G115 -- at most maxPart
}

// String is the hash in the form of the password hashing competition (PHC).
func (h hash) String() string {
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, h.cost.Memory, h.cost.Passes, h.cost.Threads,
		base64.RawStdEncoding.EncodeToString(h.salt), base64.RawStdEncoding.EncodeToString(h.tag))
}

// parseHash reads what String writes, and nothing else.
func parseHash(text string) (h hash, err error) {
	parts := strings.Split(text, "$")
	if len(text) > maxHash || len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" || parts[2] != "v="+strconv.Itoa(argon2.Version) {
		return hash{}, errHash
	}
	numbers := strings.Split(parts[3], ",")
	if len(numbers) != 3 {
		return hash{}, errHash
	}
	var read [3]uint32
	for i, of := range []struct {
		name string
		most uint64
	}{{"m=", maxMemory}, {"t=", maxPasses}, {"p=", maxThreads}} {
		digits, ok := strings.CutPrefix(numbers[i], of.name)
		n, err := strconv.ParseUint(digits, 10, 32)
		if !ok || err != nil || n == 0 || n > of.most || n > math.MaxUint32 {
			return hash{}, errHash
		}
		read[i] = uint32(n)
	}
	h.cost = Cost{Memory: read[0], Passes: read[1], Threads: uint8(read[2])} // #nosec G115 -- at most maxThreads
	strict := base64.RawStdEncoding.Strict()
	h.salt, err = strict.DecodeString(parts[4])
	if err == nil {
		h.tag, err = strict.DecodeString(parts[5])
	}
	if err != nil || len(h.salt) < minSalt || len(h.salt) > maxPart || len(h.tag) < minTag || len(h.tag) > maxPart || h.String() != text {
		return hash{}, errHash
	}
	return h, nil
}
