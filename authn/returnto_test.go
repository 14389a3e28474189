package authn

import (
	"net/url"
	"strings"
	"testing"
)

var hostileTargets = []string{
	"", "//evil.example", "///evil.example", "/\\evil.example", "\\/evil.example", "/\t/evil.example", "/\n/evil.example",
	"https://evil.example", "https:evil.example", "javascript:alert(1)", "data:text/html,x", "evil.example", "?x", "#x",
	"/%2f/evil.example", "/%5cevil.example", "/%2e%2e//evil.example", "/./", "/..//evil.example", "/a/../..//evil.example",
	"/.//evil.example", "/%2E%2E/", "/a%00b", "/a%252fb", "/ä", "/a b", "/%zz", " /a", "/a\r\nSet-Cookie: x=y",
	"/.gatehouse/login", "/.gatehouse/login?return_to=/", "/.gatehouse/logout", "/.gatehouse/oidc/x/callback", "/.gatehouse/saml/x/acs", "/.gatehouse/oauth2/x/callback", "/.gatehouse/oauth2/",
	"/" + strings.Repeat("a", maxReturnTo),
	"HTTPS://evil.example", "http:/evil.example", "http:///evil.example", "https://acme.test@evil.example", "https://acme.test", "//acme.test",
	"////evil.example", "//evil.example/%2f..", "/\\evil.example", "/\t//evil.example", "\t//evil.example", "\x00//evil.example", "/\x0b/evil.example",
	"/\u2028/evil.example", "/\uff0fevil.example", "／／evil.example", "/\u202e/a", "/%09/evil.example/..", "/a/%2e%2e/%2e%2e//evil.example", "/%2e/a",
	"/.%2e/evil.example", "/a/.", "/a/..", "/a//b", "/;@evil.example//x", "/%5C%5Cevil.example", "/a%2Fb", "/%0d%0aSet-Cookie:x=y//", "vbscript:x", "mailto:a@b",
	"/.gatehouse/login/", "/.gatehouse/saml/", "/.gatehouse/oidc/", "/.gatehouse/logout?x", "/.gatehouse/logout#x", "/\x7f", "/a\\b", "[::1]", ":80/a", "/%",
}

// HostileTargets are for the tests of the whole room.
var HostileTargets = hostileTargets

func TestReturnToStaysHere(t *testing.T) {
	if n := len(hostileTargets); n < 50 {
		t.Errorf("%d targets", n)
	}
	for _, raw := range hostileTargets {
		if got := safeReturn(raw); got != "/" {
			t.Errorf("%q led to %q", raw, got)
		}
	}
	for _, raw := range []string{"/", "/a", "/a/b/", "/a?b=c&d=https://x.example/", "/a?b=%2F%2Fx", "/a#top", "/.gatehouse/devices", "/.gatehouse/console/", "/@x", "/a:b", "/%20", "/.well-known/x"} {
		if got := safeReturn(raw); got != raw {
			t.Errorf("%q led to %q", raw, got)
		}
	}
}

// FuzzReturnTo: whatever is accepted is a path on this host to Go's parser,
// and to a browser that drops tabs and newlines and reads "\" as "/".
func FuzzReturnTo(f *testing.F) {
	for _, raw := range append(hostileTargets, "/a?b=c", "/a#b") {
		f.Add(raw)
	}
	base, err := url.Parse("https://acme.example/.gatehouse/login")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		got := safeReturn(raw)
		if got != raw && got != "/" {
			t.Fatalf("%q became %q", raw, got)
		}
		browser := strings.NewReplacer("\t", "", "\n", "", "\r", "", "\\", "/").Replace(got)
		for _, reading := range []string{got, browser} {
			u, err := base.Parse(reading)
			if err != nil || u.Scheme != "https" || u.Host != "acme.example" || strings.HasPrefix(u.Path, "//") {
				t.Fatalf("%q leads to %v (%v)", raw, u, err)
			}
		}
		if again := safeReturn(got); again != got {
			t.Fatalf("%q is not stable: %q", got, again)
		}
	})
}
