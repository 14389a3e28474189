package local

import (
	_ "embed"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"gatehouse/internal/fault"
)

const (
	minPassword = 12  // characters (NIST SP 800-63B §3.1.1.2 asks for 8 where a second factor goes with it)
	maxPassword = 256 // bytes, once normalised
	maxTyped    = 1 << 10
)

//go:embed common.txt
var commonText string

// common are long passwords that many people have, one a line.
var common = func() map[string]struct{} {
	all := map[string]struct{}{}
	for line := range strings.Lines(commonText) {
		all[strings.TrimSpace(line)] = struct{}{}
	}
	return all
}()

// normalise brings a password into the one form that is hashed, however a keyboard
// composes its letters (RFC 8265 §4.2.2). What nobody can have as a password is false.
func normalise(typed string) (string, bool) {
	if len(typed) > maxTyped || !utf8.ValidString(typed) {
		return "", false
	}
	password := norm.NFC.String(typed)
	return password, password != "" && len(password) <= maxPassword
}

func badPassword(why string) error { return fault.New(fault.Invalid, "bad-password", why) }

// checkPassword gives a new password as it is hashed. Those that are guessed first are
// refused; of what it is made, nothing is asked.
func checkPassword(typed string, about ...string) (string, error) {
	password, ok := normalise(typed)
	switch {
	case !ok && typed != "":
		return "", badPassword(fmt.Sprintf("A password is at most %d bytes of text.", maxPassword))
	case utf8.RuneCountInString(password) < minPassword:
		return "", badPassword(fmt.Sprintf("A password has at least %d characters. Several words are easy to remember.", minPassword))
	}
	plain := strings.ToLower(password)
	if _, found := common[plain]; found || repeats(plain) {
		return "", badPassword("Many people have this password, so it is guessed first. Take another one.")
	}
	for _, known := range about {
		known = strings.ToLower(norm.NFC.String(known))
		local, _, _ := strings.Cut(known, "@")
		if word := letters(plain); plain == known || word != "" && (word == letters(known) || word == letters(local)) {
			return "", badPassword("This password is a name or address of yours or of your organisation, which others know. Take another one.")
		}
	}
	return password, nil
}

// letters is a text without what people add to a name to make it longer.
func letters(text string) string {
	return strings.Map(func(c rune) rune {
		if unicode.IsLetter(c) {
			return c
		}
		return -1
	}, text)
}

// repeats reports whether a text is a short one over and over, or a run of neighbours
// such as 123456789012.
func repeats(text string) bool {
	all := []rune(text)
	for n := 1; n <= len(all)/3; n++ {
		same := true
		for i := n; i < len(all) && same; i++ {
			same = all[i] == all[i-n]
		}
		if same {
			return true
		}
	}
	run := true
	for i := 2; i < len(all) && run; i++ {
		run = all[i]-all[i-1] == all[1]-all[0]
	}
	return run
}
