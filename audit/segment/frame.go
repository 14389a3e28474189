package segment

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
)

const (
	// MaxPlain is the most bytes that one record can hold.
	MaxPlain = 16 << 10

	tagSize   = 16
	headSize  = 4 + 8
	tailSize  = len(Hash{}) + 4
	maxFrame  = headSize + MaxPlain + tagSize + tailSize
	minFrame  = headSize + tagSize + tailSize
	linkSize  = len(Hash{}) // the previous hash, in front of a frame that is being made
	keyLength = 32
)

var errTooLarge = errors.New("segment: the record is too large")

// codec seals and opens the records of one segment. It is not safe for
// concurrent use.
type codec struct {
	aead  cipher.AEAD
	nonce [12]byte
	bound [len(Hash{}) + headSize]byte // header hash, length, seq
}

// newCodec derives the segment's own key from the tenant's secret. The salt is
// random and 256 bits long, so no two segments share a key, and the record's
// number is a nonce that cannot repeat under it (NIST SP 800-38D §8.2.1).
func newCodec(secret []byte, h Header, hash Hash) (*codec, error) {
	key, err := hkdf.Key(sha256.New, secret, h.Salt[:], "gatehouse journal segment v1", keyLength)
	if err != nil {
		return nil, fmt.Errorf("segment: deriving the key: %w", err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("segment: %w", err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("segment: %w", err)
	}
	c := &codec{aead: aead}
	copy(c.bound[:], hash[:])
	return c, nil
}

func (c *codec) bind(head []byte) {
	copy(c.nonce[4:], head[4:headSize])
	copy(c.bound[len(Hash{}):], head)
}

// seal turns a buffer of room for the link and the head, followed by the
// plaintext, into link and frame, in place where the capacity allows.
func (c *codec) seal(b []byte, seq uint64, prev Hash) ([]byte, Hash, error) {
	plain := len(b) - linkSize - headSize
	if plain < 0 || plain > MaxPlain {
		return nil, Hash{}, errTooLarge
	}
	length := uint32(plain + tagSize) // #nosec G115 -- at most MaxPlain+tagSize
	copy(b, prev[:])
	head := b[linkSize : linkSize+headSize]
	binary.BigEndian.PutUint32(head, length)
	binary.BigEndian.PutUint64(head[4:], seq)
	c.bind(head)
	b = c.aead.Seal(b[:linkSize+headSize], c.nonce[:], b[linkSize+headSize:], c.bound[:])
	hash := Hash(sha256.Sum256(b))
	b = append(b, hash[:]...)
	return binary.BigEndian.AppendUint32(b, length), hash, nil
}

// open decrypts a frame, appending to dst.
func (c *codec) open(dst, frame []byte) ([]byte, error) {
	c.bind(frame[:headSize])
	plain, err := c.aead.Open(dst, c.nonce[:], frame[headSize:len(frame)-tailSize], c.bound[:])
	if err != nil {
		return nil, errors.New("segment: the record does not open with this tenant's key")
	}
	return plain, nil
}

// frameLength reads the length of the whole frame from its head; ok is false
// if no frame has that length.
func frameLength(head []byte) (total int, ok bool) {
	length := binary.BigEndian.Uint32(head)
	if length < tagSize || length > MaxPlain+tagSize {
		return 0, false
	}
	return headSize + int(length) + tailSize, true
}

func frameSeq(frame []byte) uint64 { return binary.BigEndian.Uint64(frame[4:]) }

func frameHash(frame []byte) Hash { return Hash(frame[len(frame)-tailSize : len(frame)-4]) }

// bothEnds reports whether the length is the same at both ends.
func bothEnds(frame []byte) bool {
	return binary.BigEndian.Uint32(frame) == binary.BigEndian.Uint32(frame[len(frame)-4:])
}

// chained reports whether a frame's hash continues from prev.
func chained(prev Hash, frame []byte) bool {
	h := sha256.New()
	h.Write(prev[:])
	h.Write(frame[:len(frame)-tailSize])
	var sum Hash
	return Hash(h.Sum(sum[:0])) == frameHash(frame)
}
