package configs

import (
	"strconv"
	"strings"
)

// isName reports whether s is lower-case letters, digits and inner hyphens or
// underscores: names of environments and placeholders.
func isName(s string) bool {
	return s != "" && len(s) <= 63 && s[0] != '-' && s[len(s)-1] != '-' &&
		!strings.ContainsFunc(s, func(r rune) bool {
			return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' && r != '_'
		})
}

// isHost reports whether s is a canonical host name: lower case, no port, no
// trailing dot (RFC 1123 §2.1).
func isHost(s string) bool {
	if s == "" || len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if !isName(label) || strings.Contains(label, "_") {
			return false
		}
	}
	return true
}

// index is the key path of a list's entry.
func index(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }

// quote shows a value in a message, shortened if it is long.
func quote(s string) string {
	if len(s) > 60 {
		s = strings.ToValidUTF8(s[:60], "") + "…"
	}
	return strconv.Quote(s)
}

// suggestion names the candidate that was probably meant.
func suggestion(got string, candidates []string) string {
	best, distance := "", len(got)/3+2
	for _, candidate := range candidates {
		if d := editDistance(strings.ToLower(got), strings.ToLower(candidate)); d < distance {
			best, distance = candidate, d
		}
	}
	if best == "" {
		return ""
	}
	return "; did you mean " + best + "?"
}

// editDistance counts the insertions, deletions and replacements between a and
// b (Levenshtein); words longer than any key are not compared.
func editDistance(a, b string) int {
	if len(a) > 64 || len(b) > 64 {
		return max(len(a), len(b))
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replaced := diagonal
			if a[i] != b[j] {
				replaced++
			}
			diagonal = row[j+1]
			row[j+1] = min(replaced, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
