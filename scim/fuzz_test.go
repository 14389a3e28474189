package scim

import (
	"testing"

	"gatehouse/scim/resource"
)

// A filter either is refused with invalidFilter or becomes the directory's.
func FuzzFilter(f *testing.F) {
	for _, seed := range []string{`userName eq "a"`, `not (active eq true) and (emails[value co "x"] or meta.created gt "2020-01-01T00:00:00Z")`,
		`urn:ietf:params:scim:schemas:core:2.0:User:userName sw "\u00FC"`, `((((((((`, `a[b[c eq 1]]`, `members eq "x"`, `id pr`, `externalId eq 1e999`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, k := range []*resource.Kind{resource.User, resource.Group} {
			l := &listing{kinds: []*resource.Kind{k}, base: "https://acme.example/scim/v2"}
			if _, err := l.filters(text); err != nil && describe(err).ScimType != "invalidFilter" {
				t.Fatalf("%q: %v", text, err)
			}
		}
	})
}
