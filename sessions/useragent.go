package sessions

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/mileusna/useragent"
)

const (
	maxUserAgent  = 512 // bytes of it that are looked at and kept
	maxDeviceName = 100 // characters
	maxLabel      = 45  // bytes of an OS' or browser's name; two of them make a device's
)

// agent is what a browser says of its device. It is the device's own claim: good
// for recognising it in a list, never for a decision.
type agent struct{ kind, os, browser, model string }

func describe(header string) agent {
	ua := useragent.Parse(clip(header, maxUserAgent))
	a := agent{kind: "unknown", os: printable(ua.OS), browser: printable(ua.Name)}
	switch {
	case ua.Bot:
		a.kind = "bot"
	case ua.Tablet:
		a.kind = "tablet"
	case ua.Mobile:
		a.kind = "phone"
	case ua.Desktop:
		a.kind = "desktop"
	}
	return a
}

// agent describes the browser that signs in, or the program.
func (n *NewSession) agent() agent {
	a := describeBy(n.Hints, n.UserAgent)
	if n.Program != nil {
		a.kind, a.browser, a.model = kindCLI, printable(n.Program.Name), printable(n.Program.Host)
		for _, system := range systems {
			if a.os == "" && strings.Contains(n.UserAgent, "("+system.word) {
				a.os = system.name
			}
		}
	}
	return a
}

// systems are those that our own programs name, in the words of Go (GOOS).
var systems = []struct{ word, name string }{{"linux", "Linux"}, {"darwin", "macOS"}, {"windows", "Windows"}, {"freebsd", "FreeBSD"}}

// kindCLI is what a device of a program is.
const kindCLI = "cli"

// name is the device's name until its owner gives it another.
func (a agent) name() string {
	switch {
	case a.browser != "" && a.model != "":
		return a.browser + " on " + a.model
	case a.browser != "" && a.os != "":
		return a.browser + " on " + a.os
	case a.browser != "":
		return a.browser
	case a.os != "":
		return a.os + " device"
	default:
		return "Unknown device"
	}
}

// clip shortens to at most n bytes of valid UTF-8.
func clip(s string, n int) string {
	return strings.ToValidUTF8(s[:min(len(s), n)], "")
}

// printable makes a short label of a word that a stranger chose.
func printable(s string) string {
	return strings.TrimSpace(clip(strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return -1
	}, s), maxLabel))
}

func validDeviceName(name string) bool {
	return name != "" && name == strings.TrimSpace(name) && utf8.ValidString(name) &&
		utf8.RuneCountInString(name) <= maxDeviceName && !strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) })
}
