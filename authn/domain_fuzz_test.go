package authn

import (
	"strings"
	"testing"

	"gatehouse/tenants"
)

// FuzzDomainOf: an address, which a provider asserts or a stranger enters, leads to one
// domain in the one form that domains are kept in, or to none.
func FuzzDomainOf(f *testing.F) {
	for _, seed := range []string{"ann@acme.example", "Ann@ACME.Example", "ann@b\u00fccher.example", "ann@xn--bcher-kva.example", "ann@acme.example@evil.example", "ann@acme\u3002example",
		"ann@acme.example.", "ann@127.0.0.1", "ann@[::1]", "ann@-x", "ann@x_y.example", "ann@" + strings.Repeat("a.", 200) + "b", "ann@xn--", "ann@acme.example/x", "ann@\u2488example", "", "@"} {
		f.Add(seed)
	}
	if domain := domainOf("Ann@B\u00dcCHER.example"); domain != "xn--bcher-kva.example" {
		f.Fatal(domain)
	}
	f.Fuzz(func(t *testing.T, address string) {
		domain := domainOf(address)
		if domain == "" {
			return
		}
		if kept, err := tenants.CanonicalHost(domain); err != nil || kept != domain || strings.ContainsFunc(domain, func(r rune) bool { return r > '~' || r <= ' ' || r == '@' }) {
			t.Errorf("%q leads to %q", address, domain)
		}
		if again := domainOf("x@" + domain); again != domain {
			t.Errorf("%q leads to %q, and that to %q", address, domain, again)
		}
	})
}
