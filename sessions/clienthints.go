package sessions

import (
	"strconv"
	"strings"
)

// ClientHints are the user-agent client hints that a browser has sent (User-Agent
// Client Hints §3), as they stand in their fields. Like the User-Agent they are
// the device's own claim. A field that came more than once, or not at all, is
// empty.
type ClientHints struct {
	Brands          string // Sec-CH-UA: a list of strings with parameters
	Mobile          string // Sec-CH-UA-Mobile: a boolean
	Model           string // Sec-CH-UA-Model: a string
	Platform        string // Sec-CH-UA-Platform: a string
	PlatformVersion string // Sec-CH-UA-Platform-Version: a string
}

const (
	maxHint   = 1024 // bytes of a field; one that is longer says nothing
	maxBrands = 16
)

// describeBy is describe with what the hints say better. Each counts by itself:
// one that is missing or malformed leaves what the User-Agent says.
func describeBy(h ClientHints, header string) agent {
	a := describe(header)
	if brands, ok := parseBrands(h.Brands); ok {
		if name := brandOf(brands); name != "" {
			a.browser = name
		}
	}
	platform, known := parseHint(h.Platform)
	if platform = printable(platform); known && platform != "" && platform != "Unknown" {
		a.os = platform
		if version, ok := parseHint(h.PlatformVersion); ok && platform == "Windows" {
			a.os = windows(version)
		}
		if a.kind != "bot" {
			a.kind = kindOf(platform, h.Mobile, a.kind)
		}
	}
	if model, ok := parseHint(h.Model); ok {
		a.model = printable(model)
	}
	return a
}

// windows names the release by the version that Windows gives of its interface,
// the only way to tell them apart: the User-Agent of all of them is the same.
func windows(version string) string {
	major, _, _ := strings.Cut(version, ".")
	n, err := strconv.Atoi(major)
	switch {
	case err != nil || n <= 0:
		return "Windows"
	case n >= 13:
		return "Windows 11"
	}
	return "Windows 10"
}

// kindOf says what a device is on which browsers say of themselves whether they
// prefer a small screen.
func kindOf(platform, mobile, otherwise string) string {
	switch {
	case mobile == "?1":
		return "phone"
	case mobile != "?0":
		return otherwise
	case platform == "Android":
		return "tablet"
	case platform == "Windows", platform == "macOS", platform == "Linux", platform == "Chrome OS", platform == "Chromium OS":
		return "desktop"
	}
	return otherwise
}

// brandOf chooses the name that people know a browser by: not the engine that it
// is made of, nor the made-up brand that keeps servers from counting on a fixed
// list (User-Agent Client Hints §6.2, GREASE).
func brandOf(brands []string) string {
	name := ""
	for _, brand := range brands {
		letters := strings.ToLower(strings.Map(func(r rune) rune {
			if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
				return r
			}
			return -1
		}, brand))
		switch brand = printable(brand); {
		case letters == "" || strings.HasPrefix(letters, "notabrand") || strings.ContainsAny(brand, `;:=?\"()/`): // no name has these
		case brand == "Chromium":
			if name == "" {
				name = brand
			}
		case name == "" || name == "Chromium":
			name = brand
		}
	}
	switch name {
	case "Google Chrome":
		return "Chrome"
	case "Microsoft Edge":
		return "Edge"
	}
	return name
}

// parseHint reads a field that is a string (RFC 8941 §3.3.3), whose parameters say
// nothing here.
func parseHint(field string) (string, bool) {
	if len(field) > maxHint {
		return "", false
	}
	text, rest, ok := cutString(strings.Trim(field, " "))
	if !ok {
		return "", false
	}
	rest, ok = cutParameters(rest)
	return text, ok && rest == ""
}

// parseBrands reads a field that is a list of strings (RFC 8941 §3.1).
func parseBrands(field string) ([]string, bool) {
	if len(field) > maxHint {
		return nil, false
	}
	var brands []string
	for rest := strings.Trim(field, " "); ; {
		text, after, ok := cutString(rest)
		if ok {
			after, ok = cutParameters(after)
		}
		if !ok || len(brands) == maxBrands {
			return nil, false
		}
		brands = append(brands, text)
		if after = strings.TrimLeft(after, " \t"); after == "" {
			return brands, true
		}
		if after[0] != ',' {
			return nil, false
		}
		rest = strings.TrimLeft(after[1:], " \t")
	}
}

// cutString takes a string off the front (RFC 8941 §4.2.5).
func cutString(s string) (text, rest string, ok bool) {
	if s == "" || s[0] != '"' {
		return "", "", false
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			return b.String(), s[i+1:], true
		case c == '\\':
			if i++; i == len(s) || s[i] != '"' && s[i] != '\\' {
				return "", "", false
			}
			b.WriteByte(s[i])
		case c < 0x20 || c > 0x7e:
			return "", "", false
		default:
			b.WriteByte(c)
		}
	}
	return "", "", false
}

// cutParameters takes parameters off the front (RFC 8941 §4.2.3.2). Those of the
// hints are strings; a value of another type is read as a token would be.
func cutParameters(s string) (rest string, ok bool) {
	for strings.HasPrefix(s, ";") {
		s = strings.TrimLeft(s[1:], " ")
		key := span(s, keyChars)
		if key == 0 || s[0] != '*' && (s[0] < 'a' || s[0] > 'z') {
			return "", false
		}
		if s = s[key:]; !strings.HasPrefix(s, "=") {
			continue // true
		}
		if s = s[1:]; strings.HasPrefix(s, `"`) {
			if _, s, ok = cutString(s); !ok {
				return "", false
			}
			continue
		}
		value := span(s, valueChars)
		if value == 0 {
			return "", false
		}
		s = s[value:]
	}
	return s, true
}

const (
	lower      = "abcdefghijklmnopqrstuvwxyz"
	keyChars   = lower + "0123456789_-.*"
	valueChars = lower + "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'*+-.^_`|~:/?="
)

// span is how many bytes at the front are of these.
func span(s, chars string) int { return len(s) - len(strings.TrimLeft(s, chars)) }
