package httpkit

import (
	"bufio"
	"net/http"
	"net/url"
	"path"
	"strings"
	"testing"
	"unicode/utf8"

	"gatehouse/internal/fault"
)

func TestP4_TargetsWithTwoReadingsAreRefused(t *testing.T) {
	for _, target := range []string{
		"", "*", "a", "http://h/a", "https://h/a", "h:443", "//a", "/a//b", "/a//", "/%2f", "/a%2Fb", "/a%5cb", "/a%5Cb", `/a\b`,
		"/.", "/..", "/./a", "/../a", "/a/.", "/a/..", "/a/./b", "/a/../b", "/%2e", "/%2E%2e", "/.%2e/a", "/a/%2e%2e/b", "/a/%2e",
		"/a;b", "/a;jsessionid=1", "/a%3bb", "/..;/a", "/a/..;/b", "/%00", "/a%00", "/a%0d%0aX:y", "/a%1f", "/a%7f", "/a%09",
		"/%", "/%2", "/%zz", "/a%g0", "/a%", "/%ff", "/%c0%ae", "/%c0%ae%c0%ae/a", "/%e0%80%af", "/%ed%a0%80",
		"/%252e%252e/a", "/a%252fb", "/a%255cb", "/a%2500", "/a%25252f", "/%2561dmin", "/a%25C3", "/a%25%36%31", "/a%256%31", "/a#b", "/a?b#c", "/a b", "/a\tb", "/a\x00", "/a\x7f", "/a\x80", "/é",
		"/a?b c", "/a?\x00", "/a?\xff",
	} {
		if err := CheckTarget(target); !fault.Is(err, fault.Invalid) {
			t.Errorf("target %q: got %v, want it refused", target, err)
		}
	}
}

func TestP4_PlainTargetsPass(t *testing.T) {
	for _, target := range []string{
		"/", "/a", "/a/", "/a/b.c", "/.well-known/x", "/...", "/a..b", "/a/..b", "/a/b..", "/%61", "/caf%C3%A9", "/a%20b", "/%E2%82%AC",
		"/a?", "/a?b=c&d=%2F..%2f", "/a?x=//y", "/a?x=;y", "/100%25", "/a%25b", "/a:b@c!$&'()*+,=", "/~u/-_", "/a|b", "/a?q=100%",
	} {
		if err := CheckTarget(target); err != nil {
			t.Errorf("target %q: %v", target, err)
		}
	}
}

// What passes has one reading: decoding once and cleaning change nothing.
func FuzzCheckTarget(f *testing.F) {
	for _, seed := range []string{"/a/b?c", "/%2e%2e/a", "/a%252fb", "/caf%C3%A9/", "/a;b", "//", "/a/./b", "/%00"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, target string) {
		if CheckTarget(target) != nil {
			return
		}
		u, err := url.ParseRequestURI(target)
		if err != nil {
			t.Fatalf("%q passes, and net/url refuses it: %v", target, err)
		}
		if u.Host != "" || u.Scheme != "" {
			t.Fatalf("%q names another host", target)
		}
		if cleaned := path.Clean(u.Path); cleaned != strings.TrimSuffix(u.Path, "/") && cleaned != u.Path {
			t.Fatalf("%q is cleaned to %q", u.Path, cleaned)
		}
		if !utf8.ValidString(u.Path) || strings.ContainsAny(u.Path, ";\\\x00\r\n") {
			t.Fatalf("%q decodes to %q", target, u.Path)
		}
		raw, _, _ := strings.Cut(target, "?")
		if strings.Count(raw, "/") != strings.Count(u.Path, "/") {
			t.Fatalf("%q has other segments decoded than raw", target)
		}
	})
}

func request(t *testing.T, text string) *http.Request {
	t.Helper()
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(strings.ReplaceAll(text, "\n", "\r\n") + "\r\n\r\n")))
	if err != nil {
		t.Fatal(err)
	}
	delete(r.Header, "Host") // as the server does
	return r
}

func TestP4_CheckForm(t *testing.T) {
	limits := FormLimits{Target: 64, Fields: 5, Header: 256, Body: 100}
	tests := map[string]struct {
		request string
		kind    fault.Kind
		ok      bool
	}{
		"plain":               {request: "GET /a HTTP/1.1\nHost: acme.test", ok: true},
		"with a port":         {request: "GET /a HTTP/1.1\nHost: acme.test:8443", ok: true},
		"IPv6":                {request: "GET /a HTTP/1.1\nHost: [::1]:8443", ok: true},
		"WebSocket":           {request: "GET /ws HTTP/1.1\nHost: a\nConnection: keep-alive, Upgrade\nUpgrade: websocket", ok: true},
		"stray Upgrade":       {request: "GET /ws HTTP/1.1\nHost: a\nUpgrade: h2c", ok: true},
		"expecting":           {request: "POST /a HTTP/1.1\nHost: a\nExpect: 100-Continue\nContent-Length: 3", ok: true},
		"HTTP/1.0":            {request: "GET /a HTTP/1.0\nHost: a", kind: fault.Invalid},
		"absolute-form":       {request: "GET http://other/a HTTP/1.1\nHost: a", kind: fault.Invalid},
		"tunnel":              {request: "CONNECT a:443 HTTP/1.1\nHost: a:443", kind: fault.Invalid},
		"trace":               {request: "TRACE /a HTTP/1.1\nHost: a", kind: fault.Invalid},
		"lower-case method":   {request: "get /a HTTP/1.1\nHost: a", kind: fault.Invalid},
		"invented method":     {request: "GETX /a HTTP/1.1\nHost: a", kind: fault.Invalid},
		"asterisk":            {request: "OPTIONS * HTTP/1.1\nHost: a", kind: fault.Invalid},
		"no host":             {request: "GET /a HTTP/1.1", kind: fault.Invalid},
		"empty host":          {request: "GET /a HTTP/1.1\nHost:", kind: fault.Invalid},
		"user in host":        {request: "GET /a HTTP/1.1\nHost: u@acme.test", kind: fault.Invalid},
		"dot at the end":      {request: "GET /a HTTP/1.1\nHost: acme.test.:443", kind: fault.Invalid},
		"port alone":          {request: "GET /a HTTP/1.1\nHost: :443", kind: fault.Invalid},
		"highest port":        {request: "GET /a HTTP/1.1\nHost: acme.test:65535", ok: true},
		"empty port":          {request: "GET /a HTTP/1.1\nHost: acme.test:", kind: fault.Invalid},
		"empty port of IPv6":  {request: "GET /a HTTP/1.1\nHost: [::1]:", kind: fault.Invalid},
		"port zero":           {request: "GET /a HTTP/1.1\nHost: acme.test:0", kind: fault.Invalid},
		"port too high":       {request: "GET /a HTTP/1.1\nHost: acme.test:65536", kind: fault.Invalid},
		"port with a zero":    {request: "GET /a HTTP/1.1\nHost: acme.test:0443", kind: fault.Invalid},
		"port in letters":     {request: "GET /a HTTP/1.1\nHost: acme.test:https", kind: fault.Invalid},
		"hexadecimal port":    {request: "GET /a HTTP/1.1\nHost: acme.test:0x1bb", kind: fault.Invalid},
		"negative port":       {request: "GET /a HTTP/1.1\nHost: acme.test:-1", kind: fault.Invalid},
		"port with a score":   {request: "GET /a HTTP/1.1\nHost: acme.test:4_43", kind: fault.Invalid},
		"two ports":           {request: "GET /a HTTP/1.1\nHost: acme.test:443:443", kind: fault.Invalid},
		"other length":        {request: "POST /a HTTP/1.1\nHost: a\nContent-Length: 03", kind: fault.Invalid},
		"path in host":        {request: "GET /a HTTP/1.1\nHost: acme.test/x", kind: fault.Invalid},
		"encoded host":        {request: "GET /a HTTP/1.1\nHost: acme%2etest", kind: fault.Invalid},
		"two expectations":    {request: "POST /a HTTP/1.1\nHost: a\nExpect: 100-continue\nExpect: x\nContent-Length: 3", kind: fault.Invalid},
		"other expectation":   {request: "POST /a HTTP/1.1\nHost: a\nExpect: x, 100-continue\nContent-Length: 3", kind: fault.Invalid},
		"h2c":                 {request: "GET /a HTTP/1.1\nHost: a\nConnection: Upgrade, HTTP2-Settings\nUpgrade: h2c\nHTTP2-Settings: AAMAAABk", kind: fault.Invalid},
		"two upgrades":        {request: "GET /a HTTP/1.1\nHost: a\nConnection: Upgrade\nUpgrade: websocket, foo", kind: fault.Invalid},
		"upgrade of a POST":   {request: "POST /a HTTP/1.1\nHost: a\nConnection: Upgrade\nUpgrade: websocket", kind: fault.Invalid},
		"upgrade with a body": {request: "GET /a HTTP/1.1\nHost: a\nConnection: Upgrade\nUpgrade: websocket\nContent-Length: 3", kind: fault.Invalid},
		"long target":         {request: "GET /" + strings.Repeat("a", 64) + " HTTP/1.1\nHost: a", kind: fault.TooLarge},
		"many fields":         {request: "GET /a HTTP/1.1\nHost: a\nA: 1\nA: 2\nA: 3\nB: 4\nB: 5\nB: 6", kind: fault.TooLarge},
		"large fields":        {request: "GET /a HTTP/1.1\nHost: a\nA: " + strings.Repeat("x", 256), kind: fault.TooLarge},
		"large body":          {request: "POST /a HTTP/1.1\nHost: a\nContent-Length: 101", kind: fault.TooLarge},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			err := CheckForm(request(t, test.request), limits)
			if test.ok && err != nil || !test.ok && !fault.Is(err, test.kind) {
				t.Fatalf("got %v", err)
			}
		})
	}
}

func TestP4_TwoHostsOfHTTP2AreRefused(t *testing.T) {
	r := request(t, "GET /a HTTP/1.1\nHost: acme.test")
	r.Header["Host"] = []string{"globex.test"}
	if err := CheckForm(r, FormLimits{}); !fault.Is(err, fault.Invalid) {
		t.Fatalf("got %v", err)
	}
}
