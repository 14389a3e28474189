package sessions

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strings"

	"gatehouse/identity"
)

// TokenHash is how a session's or device's token is known everywhere but in
// the cookie: the SHA-256 of its text. A hash of 256 random bits needs no salt
// and no constant-time comparison, because nobody can aim at one.
type TokenHash [sha256.Size]byte

// MarshalText writes the hash as a token is written.
func (h TokenHash) MarshalText() ([]byte, error) { return []byte(tokenText.EncodeToString(h[:])), nil }

// UnmarshalText reads what MarshalText writes.
func (h *TokenHash) UnmarshalText(text []byte) error {
	var raw [2 * sha256.Size]byte
	if len(text) != tokenChars {
		return errHash
	}
	if n, err := tokenText.Decode(raw[:], text); err != nil || n != len(h) {
		return errHash
	}
	copy(h[:], raw[:])
	return nil
}

var errHash = errors.New("sessions: not the hash of a token")

const (
	tokenBytes = 32
	tokenChars = 43 // base64url of tokenBytes without padding (RFC 4648 §5)
)

// tokenText is strict, so that one token has exactly one spelling.
var tokenText = base64.RawURLEncoding.Strict()

// newToken makes 256 random bits as text for a cookie, and their hash.
func newToken() (string, TokenHash) {
	var raw [tokenBytes]byte
	_, _ = rand.Read(raw[:]) // never fails: crypto/rand aborts the program instead
	token := tokenText.EncodeToString(raw[:])
	return token, sha256.Sum256([]byte(token))
}

// newProgramToken is [newToken] for a program. What is hashed is the text with its
// prefix, so that one kind of token never counts as the other.
func newProgramToken() (string, TokenHash) {
	token, _ := newToken()
	token = identity.ProgramTokenPrefix + token
	return token, sha256.Sum256([]byte(token))
}

// programDevicePrefix begins the token by which the machine of a program is known
// again. It is no secret that lets anybody in, and never counts as a cookie, which has
// no prefix, nor the other way round.
const programDevicePrefix = identity.TokenPrefix + "device_"

// newDeviceToken makes the token of a device, and its hash.
func (n *NewSession) newDeviceToken() (string, TokenHash) {
	token, hash := newToken()
	if n.Program == nil {
		return token, hash
	}
	token = programDevicePrefix + token
	return token, sha256.Sum256([]byte(token))
}

// deviceHash is how the device is known that the sign-in says it comes from; false if
// it is none of this kind.
func (n *NewSession) deviceHash() (TokenHash, bool) {
	if n.Program == nil {
		return hashToken(n.DeviceToken)
	}
	secret, ours := strings.CutPrefix(n.DeviceToken, programDevicePrefix)
	if _, ok := hashToken(secret); !ok || !ours {
		return TokenHash{}, false
	}
	return sha256.Sum256([]byte(n.DeviceToken)), true
}

// hashProgramToken is [hashToken] for the token of a program. It does not allocate
// either.
func hashProgramToken(token string) (TokenHash, bool) {
	secret, ours := strings.CutPrefix(token, identity.ProgramTokenPrefix)
	if _, ok := hashToken(secret); !ok || !ours {
		return TokenHash{}, false
	}
	var text [identity.ProgramTokenLength]byte
	copy(text[:], token)
	return sha256.Sum256(text[:]), true
}

// hashToken refuses whatever newToken cannot have made before it spends
// anything on it. It does not allocate.
func hashToken(token string) (TokenHash, bool) {
	if len(token) != tokenChars {
		return TokenHash{}, false
	}
	var text [tokenChars]byte
	copy(text[:], token)
	var raw [tokenBytes + 1]byte // DecodedLen rounds up
	// The decoder skips line breaks, hence the check of the length.
	if n, err := tokenText.Decode(raw[:], text[:]); err != nil || n != tokenBytes {
		return TokenHash{}, false
	}
	return sha256.Sum256(text[:]), true
}
