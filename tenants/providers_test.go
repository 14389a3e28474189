package tenants_test

import (
	"os"
	"testing"

	"gatehouse/tenants"
)

// What is told of a provider leads to a page that there is.
func TestProvidersHaveGuides(t *testing.T) {
	seen := map[string]bool{}
	for _, p := range tenants.Providers() {
		if _, err := os.Stat("../docs/guides/" + p.Guide + ".md"); err != nil || p.Title == "" || seen[p.ID] {
			t.Errorf("%s: %v", p.ID, err)
		}
		seen[p.ID] = true
	}
}
