package identity

import (
	"slices"
	"strings"
)

// Access is what of the SCIM service a token may use, as words such as "users:read";
// without any, all of it. Each word is for itself: who may write may neither find nor
// read by that, but the answer to a change shows whom or what was changed. People are
// shown with the names of their groups.
type Access []string

// AllAccess are the words there are.
var AllAccess = Access{"users:read", "users:write", "users:delete", "groups:read", "groups:write", "groups:delete"}

// ParseAccess reads words with spaces between them, in any order; false if there is one
// that is unknown. A text without any is the zero Access.
func ParseAccess(text string) (Access, bool) {
	var a Access
	for _, word := range AllAccess {
		if slices.Contains(strings.Fields(text), word) {
			a = append(a, word)
		}
	}
	for word := range strings.FieldsSeq(text) {
		if !slices.Contains(AllAccess, word) {
			return nil, false
		}
	}
	return a, true
}

// String is what [ParseAccess] reads.
func (a Access) String() string { return strings.Join(a, " ") }

// Allows reports whether what one word stands for may be done.
func (a Access) Allows(word string) bool { return len(a) == 0 || slices.Contains(a, word) }

// Within reports whether it is no more than another one.
func (a Access) Within(other Access) bool {
	if len(a) == 0 {
		a = AllAccess
	}
	return !slices.ContainsFunc(a, func(word string) bool { return !other.Allows(word) })
}
