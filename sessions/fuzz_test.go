package sessions

import (
	"crypto/sha256"
	"slices"
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
		// A program's token is one of these with its prefix, and neither is the other.
		if _, ours := hashProgramToken(token); ours && (ok || !strings.HasPrefix(token, "gh_cli_")) {
			t.Errorf("%q was taken for two tokens, or for a program's", token)
		}
		if program, ours := hashProgramToken("gh_cli_" + token); ours != ok || ours && program == hash {
			t.Errorf("%q with a prefix: %v", token, ours)
		}
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

// FuzzClientHints: no hints, however long or strange, make a device's name that its
// owner could not have given, or a kind that there is not; and what is read as a
// list of brands is read the same when it is written anew.
func FuzzClientHints(f *testing.F) {
	f.Add(`"Chromium";v="140", "Not=A?Brand";v="24", "Google Chrome";v="140"`, "?0", `""`, `"Windows"`, `"15.0.0"`)
	f.Add(`"a\\\"b";v=1;x;y=?1 ,	"c"`, "?1", `"Pixel 9"`, `"Android"`, `"16"`)
	f.Add(strings.Repeat(`"x",`, 1000)+`"x"`, "?2", `"\`, `"\x"`, `"`)
	f.Add(strings.Repeat(`"`, 64<<10), "", strings.Repeat("x", 64<<10), `"é"`, `"-1"`)
	f.Fuzz(func(t *testing.T, brands, mobile, model, platform, version string) {
		h := ClientHints{Brands: brands, Mobile: mobile, Model: model, Platform: platform, PlatformVersion: version}
		a := describeBy(h, chromeOnWindows)
		if name := a.name(); !validDeviceName(name) || !utf8.ValidString(a.os+a.browser) || len(a.os) > maxLabel || len(a.browser) > maxLabel {
			t.Errorf("%+v names a device %q, %+v", h, name, a)
		}
		if !slices.Contains([]string{"desktop", "phone", "tablet"}, a.kind) {
			t.Errorf("%+v is a %q", h, a.kind)
		}
		list, ok := parseBrands(brands)
		if !ok {
			return
		}
		var anew []string
		for _, brand := range list {
			anew = append(anew, `"`+strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(brand)+`"`)
		}
		if again, ok := parseBrands(strings.Join(anew, ", ")); len(strings.Join(anew, ", ")) <= maxHint && (!ok || !slices.Equal(again, list)) {
			t.Errorf("%q is %q, and written anew %q", brands, list, again)
		}
	})
}

const chromeOnWindows = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"

func TestClientHintsDescribeADevice(t *testing.T) {
	const (
		chrome = `"Chromium";v="140", "Not=A?Brand";v="24", "Google Chrome";v="140"`
		edge   = `"Not)A;Brand";v="8", "Chromium";v="138", "Microsoft Edge";v="138"`
		brave  = `" Not A;Brand";v="99", "Brave";v="120", "Chromium";v="120"`
	)
	for name, try := range map[string]struct {
		hints                   ClientHints
		agent                   string
		kind, os, browser, name string
	}{
		"none":                    {ClientHints{}, chromeOnWindows, "desktop", "Windows", "Chrome", "Chrome on Windows"},
		"Windows 11":              {ClientHints{Brands: edge, Mobile: "?0", Platform: `"Windows"`, PlatformVersion: `"15.0.0"`, Model: `""`}, chromeOnWindows, "desktop", "Windows 11", "Edge", "Edge on Windows 11"},
		"Windows 10":              {ClientHints{Brands: chrome, Mobile: "?0", Platform: `"Windows"`, PlatformVersion: `"10.0.0"`}, chromeOnWindows, "desktop", "Windows 10", "Chrome", "Chrome on Windows 10"},
		"Windows 7":               {ClientHints{Platform: `"Windows"`, PlatformVersion: `"0.1.0"`}, chromeOnWindows, "desktop", "Windows", "Chrome", "Chrome on Windows"},
		"low entropy":             {ClientHints{Brands: brave, Mobile: "?0", Platform: `"macOS"`}, chromeOnWindows, "desktop", "macOS", "Brave", "Brave on macOS"},
		"a phone":                 {ClientHints{Brands: chrome, Mobile: "?1", Platform: `"Android"`, PlatformVersion: `"16"`, Model: `"Pixel 9"`}, "Mozilla/5.0 (Linux; Android 10; K) Chrome/140.0.0.0 Mobile", "phone", "Android", "Chrome", "Chrome on Pixel 9"},
		"a tablet":                {ClientHints{Brands: chrome, Mobile: "?0", Platform: `"Android"`, Model: `"SM-X910"`}, "Mozilla/5.0 (Linux; Android 10; K) Chrome/140.0.0.0", "tablet", "Android", "Chrome", "Chrome on SM-X910"},
		"no brand but the engine": {ClientHints{Brands: `"Chromium";v="1"`, Platform: `"Linux"`}, chromeOnWindows, "desktop", "Linux", "Chromium", "Chromium on Linux"},
		"made-up brands alone":    {ClientHints{Brands: `"Not/A)Brand";v="8", ";Not_A Brand";v="1", "(Not;Browser";v="9", "%";v="1"`}, chromeOnWindows, "desktop", "Windows", "Chrome", "Chrome on Windows"},
		"malformed":               {ClientHints{Brands: `"Edge`, Mobile: "1", Platform: `Windows`, Model: `"a" "b"`}, chromeOnWindows, "desktop", "Windows", "Chrome", "Chrome on Windows"},
		"not in ASCII":            {ClientHints{Brands: `"Edgé"`, Platform: "\"Win\x00dows\""}, chromeOnWindows, "desktop", "Windows", "Chrome", "Chrome on Windows"},
		"unknown":                 {ClientHints{Platform: `"Unknown"`}, chromeOnWindows, "desktop", "Windows", "Chrome", "Chrome on Windows"},
		"too long":                {ClientHints{Brands: `"` + strings.Repeat("x", 64<<10) + `"`, Platform: `"` + strings.Repeat("x", 64<<10) + `"`}, chromeOnWindows, "desktop", "Windows", "Chrome", "Chrome on Windows"},
		"thousands of brands":     {ClientHints{Brands: strings.Repeat(`"x", `, 5000) + `"x"`}, chromeOnWindows, "desktop", "Windows", "Chrome", "Chrome on Windows"},
		"too many brands":         {ClientHints{Brands: strings.Repeat(`"x",`, 16) + `"x"`}, chromeOnWindows, "desktop", "Windows", "Chrome", "Chrome on Windows"},
		"a program":               {ClientHints{Brands: chrome, Mobile: "?0", Platform: `"Linux"`}, "Googlebot/2.1 (+http://www.google.com/bot.html)", "bot", "Linux", "Chrome", "Chrome on Linux"},
	} {
		a := describeBy(try.hints, try.agent)
		if a.kind != try.kind || a.os != try.os || a.browser != try.browser || a.name() != try.name {
			t.Errorf("%s: %+v, named %q", name, a, a.name())
		}
	}
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
