package identity

import (
	"strings"

	"golang.org/x/text/unicode/norm"
	"golang.org/x/text/width"
)

// NameKey is what all spellings of one name have in common: of people, as RFC 7644 §5
// asks, and of groups. It maps as PRECIS does by its profile UsernameCaseMapped (RFC 8265
// §3.3.2): fullwidth and halfwidth characters to their usual form, letters to lower case,
// and the whole to Unicode's form NFC. It refuses nothing: which names there can be is the
// directory's to say, and texts that are searched for have to be no names.
//
// The keys are stored. Whoever has this give others makes those anew by a migration.
func NameKey(s string) string {
	s = width.Fold.String(s)
	s = strings.ReplaceAll(s, "\u0130", "i\u0307") // its lower case is of two characters, which ToLower does not know
	return norm.NFC.String(strings.ToLower(s))
}
