package sessions

import (
	"crypto/sha256"
	"strings"
	"testing"
	"unicode/utf8"
)

// FuzzToken: whatever is taken for a token is spelled as we spell it, and its
// hash is that of its text.
func FuzzToken(f *testing.F) {
	token, _ := newToken()
	for _, seed := range []string{token, "", token[:42], token + "A", token[:42] + "=", token[:41] + "\r\n", strings.Repeat("A", 43), strings.Repeat("_", 43)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, token string) {
		hash, ok := hashToken(token)
		if !ok {
			if hash != (TokenHash{}) {
				t.Errorf("%q was refused with a hash", token)
			}
			return
		}
		raw, err := tokenText.DecodeString(token)
		if err != nil || tokenText.EncodeToString(raw) != token || hash != sha256.Sum256([]byte(token)) {
			t.Errorf("%q was taken for a token", token)
		}
	})
}

// FuzzDescribe: no User-Agent, however long or strange, makes a device's name
// that its owner could not have given.
func FuzzDescribe(f *testing.F) {
	for _, seed := range []string{"", "curl/8.5", "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 Version/18.5 Mobile/15E148 Safari/604.1",
		"\x00\xff\u202e(((((", strings.Repeat("(", 1000), strings.Repeat("é/", 600)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, header string) {
		a := describe(header)
		if name := a.name(); !validDeviceName(name) || !utf8.ValidString(a.os+a.browser) {
			t.Errorf("%q names a device %q", header, name)
		}
	})
}

// FuzzCursor: a cursor that is taken means one place.
func FuzzCursor(f *testing.F) {
	for _, seed := range []string{"", "!", mark{1, "ses_x"}.cursor(), mark{-1, " "}.cursor(), "AAAA"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, cursor string) {
		at, err := parseCursor(cursor)
		if err != nil {
			return
		}
		if again, err := parseCursor(at.cursor()); err != nil || again != at {
			t.Errorf("%q is %+v, and again %+v, %v", cursor, at, again, err)
		}
	})
}
