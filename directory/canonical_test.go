package directory

import (
	"strings"
	"testing"
)

// FuzzCanonicalEmail: an address has one form, which is its own and that of every
// spelling by ASCII case, and one part behind one @.
func FuzzCanonicalEmail(f *testing.F) {
	for _, seed := range []string{"ann@acme.example", " Ann@ACME.Example ", "a@b@c", "@", "ann@", "@acme.example", `"a b"@acme.example`, "ann@[127.0.0.1]", "ann@acme.example,eve@evil.example",
		"ann\n@acme.example", "ann\u200b@acme.example", "\u212aim@acme.example", "stra\u00dfe@b\u00fccher.example", "ann@acme\u3002example", "ann@acme.example.", "\u0130@x", "a\u0301@x", "\xff@x",
		strings.Repeat("a", 400) + "@x", "<ann@acme.example>", "ann@acme.example\u00a0", "ann\u202e@x"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		email, err := CanonicalEmail(text)
		if err != nil {
			if email != "" {
				t.Errorf("%q is refused and gives %q", text, email)
			}
			return
		}
		local, domain, _ := strings.Cut(email, "@")
		if local == "" || domain == "" || strings.Contains(domain, "@") || len(email) > maxEmail || strings.ContainsAny(email, "\"(),:;<>[\\] \t\r\n\x00") {
			t.Errorf("%q is kept as %q", text, email)
		}
		for _, spelling := range []string{email, " " + email + "\t", strings.Map(asciiUpper, email)} {
			if again, err := CanonicalEmail(spelling); err != nil || again != email {
				t.Errorf("%q is %q, and %q, which is the same, %q: %v", text, email, spelling, again, err)
			}
		}
	})
}

func asciiUpper(r rune) rune {
	if 'a' <= r && r <= 'z' {
		return r - 'a' + 'A'
	}
	return r
}
