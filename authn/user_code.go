package authn

import (
	"crypto/rand"
	"strings"
	"unicode"
)

const (
	// userCodeLetters make no words, and look like no digits (RFC 8628 §6.1).
	userCodeLetters = "BCDFGHJKLMNPQRSTVWXZ"
	userCodeLength  = 8
	// maxTyped bounds what somebody may type for a code, in bytes.
	maxTyped = 64
)

// userCode is what a program shows and a person types: 8 letters, one of 25 billion.
type userCode string

func newUserCode() userCode {
	const fair = 256 / len(userCodeLetters) * len(userCodeLetters) // below it every letter is as likely
	code := make([]byte, 0, userCodeLength)
	for len(code) < userCodeLength {
		var raw [2 * userCodeLength]byte
		_, _ = rand.Read(raw[:]) // never fails: crypto/rand aborts the program instead
		for _, b := range raw {
			if int(b) < fair && len(code) < userCodeLength {
				code = append(code, userCodeLetters[int(b)%len(userCodeLetters)])
			}
		}
	}
	return userCode(code)
}

// String is how a code is shown: in two halves.
func (c userCode) String() string {
	half := len(c) / 2
	return string(c[:half]) + "-" + string(c[half:])
}

// parseUserCode reads a code as people type it: in any case, with dashes and
// blanks anywhere or nowhere.
func parseUserCode(typed string) (userCode, bool) {
	if len(typed) > maxTyped {
		return "", false
	}
	letters := strings.Map(func(r rune) rune {
		switch {
		case unicode.Is(unicode.Pd, r) || r == ' ' || r == '\t' || r == '\u00a0':
			return -1
		case r >= 'a' && r <= 'z':
			return r - 'a' + 'A'
		}
		return r
	}, typed)
	if len(letters) != userCodeLength || strings.Trim(letters, userCodeLetters) != "" {
		return "", false
	}
	return userCode(letters), true
}
