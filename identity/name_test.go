package identity_test

import (
	"strings"
	"testing"
	"unicode"

	"golang.org/x/text/unicode/norm"
	"pgregory.net/rapid"

	"gatehouse/identity"
)

func TestRFC8265_3_3_2_NameKey(t *testing.T) {
	for given, want := range map[string]string{
		"Ada@Acme.Example":         "ada@acme.example",
		"Jane Doe":                 "jane doe",
		"Jose\u0301":               "jos\u00e9",
		"JOS\u00c9":                "jos\u00e9",
		"\uff21\uff24\uff21":       "ada",                // fullwidth
		"ada\uff20acme":            "ada@acme",           // also what is no letter
		"\uff76\uff9e\uff72\uff84": "\u30ac\u30a4\u30c8", // halfwidth, its voiced sound mark as well
		"Jane\u3000Doe":            "jane doe",
		"\u0130rem":                "i\u0307rem", // is not "irem"
		"I\u0307rem":               "i\u0307rem",
		"\u03a3\u03af\u03c2":       "\u03c3\u03af\u03c2", // case is lowered and not folded
		"stra\u1e9ee":              "stra\u00dfe",
		"\u212bngstrom":            "\u00e5ngstrom",
		"a\u0327\u0301":            "\u00e1\u0327",
		"\u2460\ufb01":             "\u2460\ufb01", // compatible is not the same
		"":                         "",
	} {
		if got := identity.NameKey(given); got != want {
			t.Errorf("%+q: %+q, want %+q", given, got, want)
		}
	}
}

// checkNameKey is what holds for every text.
func checkNameKey(t interface{ Errorf(string, ...any) }, s string) {
	key := identity.NameKey(s)
	for how, same := range map[string]string{
		"itself": key, "composed": norm.NFC.String(s), "decomposed": norm.NFD.String(s), "in lower case": strings.ToLower(strings.ReplaceAll(s, "\u0130", "i\u0307")),
	} {
		if got := identity.NameKey(same); got != key {
			t.Errorf("%+q has the key %+q, and %s %+q", s, key, how, got)
		}
	}
	if !norm.NFC.IsNormalString(key) {
		t.Errorf("%+q has the key %+q, which is not in NFC", s, key)
	}
}

// Every character there is, but for ideographs, which have one form.
func TestNameKeyOfEveryCharacter(t *testing.T) {
	for r := rune(0); r <= unicode.MaxRune; r++ {
		if unicode.In(r, unicode.L, unicode.M, unicode.N, unicode.P, unicode.S, unicode.Z) && !unicode.Is(unicode.Unified_Ideograph, r) {
			checkNameKey(t, "X"+string(r)+"\u0301\u0307x")
		}
	}
}

// However a name is composed its key is one, and names in ASCII are told apart by no
// more than letter case.
func TestNameKeyProperties(t *testing.T) {
	marks := rapid.SampledFrom([]rune("eEiIsSkKaA@ \u0300\u0301\u0307\u0327\u0328\u0345\u3099\uff9e\uff76\uff21\uff20\u0130\u0131\u00c9\u00e9\u212a\u212b\u2126\u03a3\u03c2\u1f88\u1e9e\u01c5\uac00\u1100\u1161\uffa1\uffc2"))
	rapid.Check(t, func(t *rapid.T) {
		checkNameKey(t, rapid.StringOf(rapid.OneOf(marks, rapid.Rune())).Draw(t, "name"))
		ascii := rapid.StringOf(rapid.RuneFrom(nil, unicode.ASCII_Hex_Digit, &unicode.RangeTable{R16: []unicode.Range16{{Lo: 0, Hi: unicode.MaxASCII, Stride: 1}}}))
		a, b := ascii.Draw(t, "a"), ascii.Draw(t, "b")
		if one, other := identity.NameKey(a), identity.NameKey(b); one != strings.ToLower(a) || (one == other) != strings.EqualFold(a, b) {
			t.Errorf("%q has the key %q, and %q has %q", a, one, b, other)
		}
	})
}

func FuzzNameKey(f *testing.F) {
	for _, s := range []string{"Ada", "jose\u0301", "\uff21\u030a", "I\u0307", "\u0130\u0307", "\uff76\u0301\uff9e", "\u03a3\u0345", "\u1fef", "\xff\u0301"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) { checkNameKey(t, s) })
}
