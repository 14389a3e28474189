package proxy

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"gatehouse/internal/httpkit"
)

// hostile is one request that tries to mean two things, or to bring its own
// identity.
type hostile struct {
	name string
	// raw is the whole request; COOKIE stands for a good session's cookie line.
	raw string
	// line is how it may arrive at the app; empty: it must be refused.
	line string
	body string
}

// identityLies are identity fields in spellings that some app might read as ours.
func identityLies() []string {
	return []string{
		"X-Gatehouse-User", "x-gatehouse-user", "X-GATEHOUSE-USER", "X_Gatehouse_User", "x_gatehouse_user", "X-Gatehouse_User", "X.Gatehouse.User",
		"X~Gatehouse~User", "X!Gatehouse!User", "X*Gatehouse-User", "X-Gatehouse-Email", "X-Gatehouse-Name", "X-Gatehouse-Groups", "X-Gatehouse-Roles",
		"X_GATEHOUSE_ROLES", "X-Gatehouse-Teams", "X-Gatehouse-Tenant", "X-Gatehouse-Session", "X-Gatehouse-Assertion", "x_gatehouse_assertion",
		"X-Gatehouse-Request-Id", "X-Gatehouse-Anything", "X-Gatehouse-", "X-Forwarded-For", "X_Forwarded_For", "x-forwarded-host", "X-Forwarded-Proto",
		"X-Forwarded-Port", "X-Forwarded-Prefix", "X-Forwarded-User", "Forwarded", "X-Real-Ip", "True-Client-IP", "X-Client-IP", "X-Original-Url", "X-Original-URI", "X-Rewrite-Url",
		"X-Http-Method-Override", "X-HTTP-Method", "X-Method-Override", "X-Host", "Proxy",
	}
}

// http1Table is spoken over TLS, byte by byte.
func http1Table() []hostile {
	const tail = " HTTP/1.1\r\nHost: acme.test\r\nCOOKIE\r\n"
	var all []hostile
	refuse := func(name, raw string) { all = append(all, hostile{name: name, raw: raw}) }
	pass := func(name, raw, line, body string) { all = append(all, hostile{name, raw, line, body}) }

	for _, target := range []string{
		"/%2e%2e/admin/x", "/public/%2e%2e/admin", "/public/..%2fadmin", "/public/%2e%2e%2fadmin", "/a%2fb", "/a%2Fb", "/a%5cb", "/a%5Cb", `/a\b`, `/public\..\admin`,
		"//admin/x", "/public//admin", "/a//", "///", "/./a", "/../a", "/a/.", "/a/..", "/public/../admin", "/public/./x", "/.%2e/a", "/%2e", "/a/%2E%2E/b",
		"/public;x/a", "/public/..;/admin", "/a;jsessionid=1", "/a%3bb", "/a%00", "/%00", "/a%0d%0aX-Gatehouse-User:%20evil", "/a%0a", "/a%7f", "/a%09b",
		"/a%", "/a%2", "/a%zz", "/%ff%fe", "/%c0%af", "/%c0%ae%c0%ae/", "/%e0%80%af", "/%252e%252e/admin", "/a%252fb", "/a%255cb", "/a%2500",
		"http://globex.test/a", "https://globex.test/a", "http://acme.test/a", "https://acme.test:443/a", "acme.test/a", "acme.test:443", "*", "a", "?a", "/a#b", "/a?b#c",
		"/a\x01b", "/a\x7fb", "/a\x80b", "/\xc3\xa9", "/a?b\x01", "/a?\xff", "/a\tb", "/a b", "/" + strings.Repeat("a", 9000),
	} {
		refuse("target "+clipName(target), "GET "+target+tail+"\r\n")
	}
	for _, target := range []string{"/%61dmin-not", "/a%20b", "/caf%C3%A9", "/a?next=/../x;y", "/a?q=%2e%2e%2f", "/a|b", "/...", "/a..b", "/100%25", "/A/B?c=d&e"} {
		pass("target "+target, "GET "+target+tail+"\r\n", "GET "+target+" HTTP/1.1", "")
	}
	for _, method := range []string{"CONNECT", "TRACE", "TRACK", "get", "GETX", "PRI", "PROPFIND", "DEBUG", "G@T", "GET\t", ""} {
		refuse("method "+method, method+" /a"+tail+"\r\n")
	}
	for _, version := range []string{"HTTP/1.0", "HTTP/0.9", "HTTP/2.0", "HTTP/1.2x", "HTTP/1", "http/1.1", "HTTP/1.1 x", "HTTQ/1.1", ""} {
		refuse("version "+version, "GET /a "+version+"\r\nHost: acme.test\r\nCOOKIE\r\n\r\n")
	}
	for _, host := range []string{
		"", "Host:\r\n", "Host: acme.test\r\nHost: acme.test\r\n", "Host: acme.test\r\nHost: globex.test\r\n", "Host: globex.test, acme.test\r\n", "Host: acme.test/x\r\n",
		"Host: u@acme.test\r\n", "Host: acme.test@globex.test\r\n", "Host: acme%2etest\r\n", "Host: acme.test#x\r\n", "Host: acme test\r\n", "Host: acme.test\x00\r\n",
		"Host: unknown.test\r\n", "Host: acme.test.\r\n", "Host: .acme.test\r\n", "Host : acme.test\r\n", " Host: acme.test\r\n", "host\r\n", "Host: acme.test\\\r\n", "Host: ac\xffme.test\r\n",
		"Host: acme.test:\r\n", "Host: acme.test:0443\r\n", "Host: acme.test:0\r\n", "Host: acme.test:65536\r\n", "Host: acme.test:https\r\n", "Host: acme.test:443:443\r\n",
	} {
		refuse("host "+host, "GET /a HTTP/1.1\r\n"+host+"COOKIE\r\n\r\n")
	}
	const post = "POST /a" + tail
	for name, fields := range map[string]string{
		"two lengths":           "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
		"list of lengths":       "Content-Length: 3, 3\r\n\r\nabc",
		"list of other lengths": "Content-Length: 3, 4\r\n\r\nabcd",
		"signed length":         "Content-Length: +3\r\n\r\nabc",
		"negative length":       "Content-Length: -1\r\n\r\nabc",
		"hexadecimal length":    "Content-Length: 0x3\r\n\r\nabc",
		"empty length":          "Content-Length:\r\n\r\nabc",
		"huge length":           "Content-Length: 99999999999999999999\r\n\r\nabc",
		"length over the limit": "Content-Length: 9999999999999\r\n\r\nabc",
		"length with a space":   "Content-Length : 3\r\n\r\nabc",
		"coding with a space":   "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
		"other coding":          "Transfer-Encoding: gzip\r\n\r\nabc",
		"identity":              "Transfer-Encoding: identity\r\nContent-Length: 3\r\n\r\nabc",
		"two codings":           "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
		"chunked twice":         "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"chunked and more":      "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
		"coding spelled oddly":  "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
		"coding with VT":        "Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
		"NUL in a name":         "X\x00Y: 1\r\n\r\n",
		"NUL in a value":        "X: a\x00b\r\n\r\n",
		"CR in a value":         "X: a\rX-Gatehouse-User: evil\r\n\r\n",
		"control in a value":    "X: a\x01\r\n\r\n",
		"DEL in a value":        "X: a\x7f\r\n\r\n",
		"no colon":              "X-Gatehouse-User evil\r\n\r\n",
		"empty name":            ": evil\r\n\r\n",
		"space in a name":       "X Gatehouse-User: evil\r\n\r\n",
		"tab after a name":      "X-Gatehouse-User\t: evil\r\n\r\n",
		"expectation":           "Expect: 200-ok\r\nContent-Length: 3\r\n\r\nabc",
		"two expectations":      "Expect: 100-continue\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc",
		"upgrade of a POST":     "Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 0\r\n\r\n",
		"huge field":            "X: " + strings.Repeat("x", 100_000) + "\r\n\r\n",
		"many fields":           strings.Repeat("X: y\r\n", 200) + "\r\n",
	} {
		refuse(name, post+fields)
	}
	refuse("h2c", "GET /a"+tail+"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n")
	refuse("two upgrades", "GET /a"+tail+"Connection: Upgrade\r\nUpgrade: websocket, h2c\r\n\r\n")
	refuse("prior knowledge", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
	refuse("blank line first", "\r\n \r\nGET /a"+tail+"\r\n")
	refuse("fold in the first field", "GET /a HTTP/1.1\r\n X: y\r\nHost: acme.test\r\nCOOKIE\r\n\r\n")

	const arrived = "POST /a HTTP/1.1"
	pass("equal lengths", post+"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc", arrived, "abc")
	pass("length and chunked", post+"Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", arrived, "")
	pass("chunked and length", post+"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n5\r\nhello\r\n0\r\n\r\n", arrived, "hello")
	pass("chunk extensions", post+"Transfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0;x\r\n\r\n", arrived, "hello")
	pass("length with an underscore", post+"Content_Length: 100\r\nContent-Length: 3\r\n\r\nabc", arrived, "abc")
	pass("coding with an underscore", post+"Transfer_Encoding: chunked\r\nContent-Length: 3\r\n\r\nabc", arrived, "abc")
	pass("bare LF", "POST /a HTTP/1.1\nHost: acme.test\nCOOKIE\nContent-Length: 3\nX-Gatehouse-User: evil\n\nabc", arrived, "abc")
	pass("folded field", post+"X-Note: a\r\n X-Gatehouse-User: evil\r\nContent-Length: 0\r\n\r\n", arrived, "")
	pass("folded identity", post+"X-Gatehouse-User:\r\n evil\r\nContent-Length: 0\r\n\r\n", arrived, "")
	pass("trailer", post+"Transfer-Encoding: chunked\r\nTrailer: X-Gatehouse-User\r\n\r\n1\r\na\r\n0\r\nX-Gatehouse-User: evil\r\n\r\n", arrived, "a")
	pass("unannounced trailer", post+"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX_Gatehouse_User: evil\r\n\r\n", arrived, "a")
	pass("TE", post+"TE: trailers\r\nConnection: TE\r\nContent-Length: 0\r\n\r\n", arrived, "")
	pass("host in another spelling", post+"H.ost: x\r\nX_Host: globex.test\r\nContent-Length: 0\r\n\r\n", arrived, "")
	for _, named := range []string{
		"X-Gatehouse-User", "x-gatehouse-assertion, X-Gatehouse-Tenant", "close, X-Gatehouse-Roles", "X-Forwarded-For, X-Forwarded-Proto, X-Forwarded-Host", "Host", "Content-Length", "Cookie, X-Gatehouse-Request-Id", "keep-alive, , ,X-Gatehouse-Email", "*", "Upgrade",
	} {
		pass("Connection: "+named, post+"Connection: "+named+"\r\nX-Gatehouse-User: evil\r\nContent-Length: 0\r\n\r\n", arrived, "")
	}
	for _, name := range identityLies() {
		pass("field "+name, post+name+": evil\r\n"+name+": evil2\r\nContent-Length: 0\r\n\r\n", arrived, "")
	}
	return all
}

func clipName(s string) string { return s[:min(len(s), 40)] }

// TestP4P5_HostileRequests sends every request of the table: it is refused with
// 4xx, or arrives exactly as authorised, with none of the client's own
// identity and all of ours.
func TestP4P5_HostileRequests(t *testing.T) {
	w := newWorld(t, nil)
	p := w.signIn("mia")
	cookie := "Cookie: " + httpkit.SessionCookie + "=" + p.token
	table := http1Table()
	for _, test := range table {
		c := w.rawTLS("http/1.1")
		_, err := io.WriteString(c, strings.ReplaceAll(test.raw, "COOKIE", cookie))
		w.must(err)
		if test.line == "" {
			_ = c.CloseWrite() // a request that is read as a longer one must not wait for more
		}
		status := http.StatusBadRequest // also when the connection is closed without a word
		answer, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err == nil {
			status = answer.StatusCode
			_ = answer.Body.Close()
		} else if !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatalf("%q: %v", test.name, err)
		}
		_ = c.Close()
		w.judge(test, p, status)
	}
	http2 := w.http2Table()
	for _, test := range http2 {
		w.judge(test.hostile, p, w.sendFrames(test, p))
	}
	if n := len(table) + len(http2); n < 150 {
		t.Errorf("the table holds only %d requests", n)
	}
}

// judge holds what arrived against what may.
func (w *world) judge(test hostile, p person, status int) {
	w.t.Helper()
	arrived := w.app.take()
	if test.line == "" {
		if status < 400 || status > 499 && status != http.StatusNotImplemented && status != http.StatusHTTPVersionNotSupported || len(arrived) != 0 {
			w.t.Errorf("%q: status %d, the app saw %+v", test.name, status, arrived)
		}
		return
	}
	if len(arrived) != 1 {
		w.t.Errorf("%q: status %d, %d requests arrived", test.name, status, len(arrived))
		return
	}
	s := arrived[0]
	if s.line != test.line || s.body != test.body || s.err != nil {
		w.t.Errorf("%q arrived as %q with body %q (%v)", test.name, s.line, s.body, s.err)
	}
	mustBe := map[string]string{
		"host": "acme.test", "x-gatehouse-user": string(p.user.ID), "x-gatehouse-tenant": "acme", "x-gatehouse-session": string(p.session.ID),
		"x-forwarded-for": "127.0.0.1", "x-forwarded-host": "acme.test", "x-forwarded-proto": "https",
	}
	counted := map[string]int{}
	for _, f := range s.fields {
		if strings.Contains(f[1], "evil") && f[0] != "X-Note" {
			w.t.Errorf("%q: %s: %s arrived", test.name, f[0], f[1])
		}
		// Whatever an app could read as ours counts as ours.
		counted[strings.ToLower(spelling(http.CanonicalHeaderKey(f[0])))]++
	}
	for name, want := range mustBe {
		if got := s.values(name); len(got) != 1 || got[0] != want || counted[name] != 1 {
			w.t.Errorf("%q: %s arrived as %q, %d spellings", test.name, name, got, counted[name])
		}
	}
	if counted["transfer-encoding"]+counted["content-length"] > 1 {
		w.t.Errorf("%q arrived with two framings: %v", test.name, s.fields)
	}
	for _, name := range []string{"te", "trailer", "upgrade", "keep-alive", "connection", "expect"} {
		if counted[name] != 0 {
			w.t.Errorf("%q: %s arrived", test.name, name)
		}
	}
	if strings.Contains(fmt.Sprint(s.fields), p.token) {
		w.t.Errorf("%q: the session's token arrived", test.name)
	}
}

// hostileFrames is a request of HTTP/2, whose fields are sent as they stand.
type hostileFrames struct {
	hostile
	fields  [][2]string
	body    string
	trailer [][2]string
}

// http2Table is what of the same ideas HTTP/2 can express, and its own.
func (w *world) http2Table() []hostileFrames {
	var all []hostileFrames
	head := func(method, path string) [][2]string {
		return [][2]string{{":method", method}, {":scheme", "https"}, {":authority", "acme.test"}, {":path", path}}
	}
	refuse := func(name string, fields [][2]string) {
		all = append(all, hostileFrames{hostile: hostile{name: "h2 " + name}, fields: fields})
	}
	for _, path := range []string{
		"/a%2fb", "/public/%2e%2e/admin", "/public/../admin", "//a", "/a//b", "/a;b", `/a\b`, "/a%00", "/a%0d%0aX:y", "/a#b", "/a b", "/a\x00", "/\xc3\xa9",
		"/%252e%252e/a", "http://globex.test/a", "*", "a", "", "/a HTTP/1.1\r\nX-Gatehouse-User: evil", "/" + strings.Repeat("a", 9000),
	} {
		refuse("path "+clipName(path), head("GET", path))
	}
	for _, method := range []string{"TRACE", "get", "GET /x", "GE\r\nT", "", "PROPFIND"} {
		refuse("method "+method, head(method, "/a"))
	}
	for name, more := range map[string][2]string{
		"CRLF in a value": {"x", "a\r\nx-gatehouse-user: evil"}, "LF in a value": {"x", "a\nb"}, "NUL in a value": {"x", "a\x00b"}, "upper-case name": {"X-Gatehouse-User", "evil"},
		"space in a name": {"x gatehouse", "evil"}, "colon in a name": {"x:y", "evil"}, "connection": {"connection", "x-gatehouse-user"}, "coding": {"transfer-encoding", "chunked"},
		"upgrade": {"upgrade", "h2c"}, "keep-alive": {"keep-alive", "1"}, "proxy-connection": {"proxy-connection", "close"}, "te": {"te", "gzip"}, "another host": {"host", "globex.test"},
		"pseudo-field last": {":path", "/admin/x"}, "unknown pseudo-field": {":evil", "1"}, "length without a body": {"content-length", "5"}, "signed length": {"content-length", "+0"},
	} {
		refuse(name, append(head("POST", "/a"), more))
	}
	refuse("two authorities", [][2]string{{":method", "GET"}, {":scheme", "https"}, {":authority", "acme.test"}, {":authority", "globex.test"}, {":path", "/a"}})
	refuse("no authority", [][2]string{{":method", "GET"}, {":scheme", "https"}, {":path", "/a"}})
	refuse("authority with a user", [][2]string{{":method", "GET"}, {":scheme", "https"}, {":authority", "u@acme.test"}, {":path", "/a"}})
	refuse("authority with a path", [][2]string{{":method", "GET"}, {":scheme", "https"}, {":authority", "acme.test/x"}, {":path", "/a"}})
	refuse("authority with an empty port", [][2]string{{":method", "GET"}, {":scheme", "https"}, {":authority", "acme.test:"}, {":path", "/a"}})
	refuse("two paths", [][2]string{{":method", "GET"}, {":scheme", "https"}, {":authority", "acme.test"}, {":path", "/a"}, {":path", "/b"}})
	refuse("tunnel", [][2]string{{":method", "CONNECT"}, {":authority", "acme.test"}})

	for _, name := range identityLies() {
		all = append(all, hostileFrames{hostile: hostile{name: "h2 field " + name, line: "GET /a HTTP/1.1"},
			fields: append(head("GET", "/a"), [2]string{strings.ToLower(name), "evil"}, [2]string{strings.ToLower(name), "evil2"})})
	}
	all = append(all,
		hostileFrames{hostile: hostile{name: "h2 trailer", line: "POST /a HTTP/1.1", body: "abc"}, fields: head("POST", "/a"), body: "abc", trailer: [][2]string{{"x-gatehouse-user", "evil"}}},
		hostileFrames{hostile: hostile{name: "h2 path", line: "GET /a%20b?c=%2F;d HTTP/1.1"}, fields: head("GET", "/a%20b?c=%2F;d")},
		hostileFrames{hostile: hostile{name: "h2 te", line: "GET /a HTTP/1.1"}, fields: append(head("GET", "/a"), [2]string{"te", "trailers"})},
	)
	return all
}

// sendFrames speaks HTTP/2 without a client's manners. A reset stream or a
// closed connection counts as a refusal with 400.
func (w *world) sendFrames(test hostileFrames, p person) int {
	w.t.Helper()
	c := w.rawTLS("h2")
	defer func() { _ = c.Close() }()
	_, err := io.WriteString(c, http2.ClientPreface)
	w.must(err)
	framer := http2.NewFramer(c, c)
	framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	w.must(framer.WriteSettings())
	encode := func(fields [][2]string) []byte {
		var block bytes.Buffer
		encoder := hpack.NewEncoder(&block)
		for _, f := range fields {
			w.must(encoder.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]}))
		}
		return block.Bytes()
	}
	fields := slices.Clone(test.fields)
	// The cookie goes before a misplaced pseudo-field and behind the others.
	at := slices.IndexFunc(fields, func(f [2]string) bool { return !strings.HasPrefix(f[0], ":") })
	if test.name == "h2 pseudo-field last" {
		at = len(fields) - 1
	}
	if at < 0 {
		at = len(fields)
	}
	fields = slices.Insert(fields, at, [2]string{"cookie", httpkit.SessionCookie + "=" + p.token})
	hasBody := test.body != ""
	w.must(framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: encode(fields), EndHeaders: true, EndStream: !hasBody}))
	if hasBody {
		w.must(framer.WriteData(1, test.trailer == nil, []byte(test.body)))
		if test.trailer != nil {
			w.must(framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: encode(test.trailer), EndHeaders: true, EndStream: true}))
		}
	}
	for {
		frame, err := framer.ReadFrame()
		if err != nil {
			if errors.Is(err, io.EOF) {
				return http.StatusBadRequest
			}
			w.t.Fatalf("%s: %v", test.name, err)
		}
		switch f := frame.(type) {
		case *http2.RSTStreamFrame, *http2.GoAwayFrame:
			return http.StatusBadRequest
		case *http2.MetaHeadersFrame:
			var status int
			_, err := fmt.Sscan(f.PseudoValue("status"), &status)
			w.must(err)
			return status
		}
	}
}

// FuzzPassingFields: whatever a client's field is called, what passes cannot be
// read as one of ours, in the most forgiving of readings.
func FuzzPassingFields(f *testing.F) {
	for _, name := range identityLies() {
		f.Add(name)
	}
	filter := newFieldFilter(DefaultHeaderNames())
	f.Fuzz(func(t *testing.T, name string) {
		name = http.CanonicalHeaderKey(name)
		if !filter.passes(name) {
			return
		}
		folded := strings.Map(func(r rune) rune {
			if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
				return r
			}
			return '_'
		}, strings.ToLower(name))
		if strings.HasPrefix(folded, "x_gatehouse_") || strings.HasPrefix(folded, "x_forwarded_") || folded == "content_length" || folded == "host" {
			t.Fatalf("%q passes", name)
		}
	})
}
