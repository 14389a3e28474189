package resource

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// RFC 7643 §2.1: names are one where they differ in letter case alone. What is told apart
// by [folded] is told apart everywhere, as all else reads names by [strings.EqualFold].
func TestRFC7643_2_1_NamesThatAreOne(t *testing.T) {
	letters := "abcdefghijklmnopqrstuvwxyz"
	for r := rune(0); r <= unicode.MaxRune; r++ {
		if !utf8.ValidRune(r) {
			continue
		}
		name := string(r)
		key := folded(name)
		for i := range letters {
			if (key == letters[i:i+1]) != strings.EqualFold(name, letters[i:i+1]) {
				t.Fatalf("%U has the key %q beside %c", r, key, letters[i])
			}
		}
	}
	// Letters with more forms than two, or that only one of the ways to fold makes others of.
	some := []rune("sSſkK\u212AiIİıåÅ\u212BßẞµμΜθϑΘϴσςΣǅǆǄaAäÄ1-$.: ")
	name := rapid.StringOfN(rapid.SampledFrom(some), 0, 3, -1)
	rapid.Check(t, func(t *rapid.T) {
		one, other := name.Draw(t, "one"), name.Draw(t, "other")
		if (folded(one) == folded(other)) != strings.EqualFold(one, other) {
			t.Fatalf("%q and %q have the keys %q and %q", one, other, folded(one), folded(other))
		}
	})
}
