package directory_test

import (
	"strings"
	"testing"
	"unicode"

	"golang.org/x/text/unicode/norm"

	"gatehouse/directory"
)

// One address is one person, however it is written.
func TestAnAddressHasOneForm(t *testing.T) {
	for given, want := range map[string]string{
		"\tAda@Acme.Example\n":    "ada@acme.example",
		"jose\u0301@acme.example": "jos\u00e9@acme.example", "JOS\u00c9@acme.example": "jos\u00e9@acme.example",
		"\u03a3\u03af\u03c3\u03c5\u03c6\u03bf\u03c2@acme.example": "\u03c3\u03af\u03c3\u03c5\u03c6\u03bf\u03c3@acme.example", // both forms of a sigma
		"stra\u1e9ee@acme.example":                                "stra\u00dfe@acme.example",
	} {
		if got, err := directory.CanonicalEmail(given); err != nil || got != want {
			t.Errorf("%+q: %+q, %v; want %+q", given, got, err, want)
		}
	}
}

// No letter at all makes two addresses of which one passes for the other.
func TestNoLetterPassesForAnother(t *testing.T) {
	lower, upper := map[string]string{}, map[string]string{}
	for r := rune(1); r <= unicode.MaxRune; r++ {
		kept, err := directory.CanonicalEmail("x" + string(r) + "x@acme.example")
		if err != nil {
			continue
		}
		if again, err := directory.CanonicalEmail(kept); err != nil || again != kept {
			t.Errorf("%U: %+q is kept as %+q, %v", r, kept, again, err)
		}
		for _, by := range []struct {
			seen map[string]string
			key  string
		}{{lower, strings.ToLower(kept)}, {upper, strings.ToUpper(kept)}} {
			if other, ok := by.seen[by.key]; ok && other != kept {
				t.Errorf("%U: %+q and %+q are one", r, kept, other)
			}
			by.seen[by.key] = kept
		}
	}
}

// What is accepted is in its one form, and no two of those are one where case is
// ignored.
func FuzzCanonicalEmail(f *testing.F) {
	for _, pair := range [][2]string{{"ada@acme.example", "ADA@acme.example"}, {"\u017fam@acme.example", "sam@acme.example"}, {"\u0131@a.b", "i@a.b"}, {"e\u0301@a.b", "\u00e9@a.b"},
		{"\u03c2@a.b", "\u03c3@a.b"}, {"\u0345@a.b", "\u03b9@a.b"}, {"a@b.", "a@b"}, {"\"a@b\"@c", "a(b)@c"}, {"a\u0327\u0301@b", "a\u0301\u0327@b"}, {"\u1e9e@a", "\u00df@a"}} {
		f.Add(pair[0], pair[1])
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		first, err := directory.CanonicalEmail(a)
		if err != nil {
			if first != "" {
				t.Errorf("%+q is refused and read as %+q", a, first)
			}
			return
		}
		if again, err := directory.CanonicalEmail(first); err != nil || again != first {
			t.Errorf("%+q is kept as %+q, and that as %+q, %v", a, first, again, err)
		}
		if len(first) > 254 || strings.Count(first, "@") != 1 || !norm.NFC.IsNormalString(first) || strings.HasSuffix(first, ".") {
			t.Errorf("%+q is kept as %+q", a, first)
		}
		second, err := directory.CanonicalEmail(b)
		upper, other := strings.ToUpper(first), strings.ToUpper(second)
		if err == nil && first != second && (strings.EqualFold(first, second) || upper == other) {
			t.Errorf("%+q and %+q are two, and one where case is ignored", first, second)
		}
	})
}
