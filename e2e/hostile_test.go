package e2e

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"gatehouse/demo"
)

// hostile is a request over a raw socket that tries to mean two things, or to
// bring an identity; COOKIE stands for a good session. The gate's own tests
// hold the long table; these go through the whole product to the demo app.
type hostile struct {
	raw string
	// seen is how it may reach the app; empty: it must be refused, with 4xx or as
	// a version or coding that is not served.
	seen string
}

func hostileRequests(host string) []hostile {
	head := "Host: " + host + "\r\nCOOKIE\r\nConnection: close\r\n"
	var all []hostile
	for _, target := range []string{"/api/%61dmin/../billing", "/public/../api/admin/billing", "/public/%2e%2e/api/admin/billing", "/public/..%2fapi/admin/billing",
		"/api%2fadmin%2fbilling", `/api\admin\billing`, "//api/admin/billing", "/api//whoami", "/api/admin/billing;x", "/public;/../api/whoami", "/api/whoami%00",
		"/api/whoami%0d%0aX-Gatehouse-User:evil", "/api/whoami#x", "https://globex.localhost/api/whoami", "http://" + host + "/api/whoami", "*", "/%252e%252e/api", "/api/teams/%2e%2e/alerts"} {
		all = append(all, hostile{raw: "GET " + target + " HTTP/1.1\r\n" + head + "\r\n"})
	}
	get := "GET /api/whoami HTTP/1.1\r\n"
	post := "POST /echo HTTP/1.1\r\n" + head
	for _, raw := range []string{
		get + "COOKIE\r\n\r\n",
		get + head + "Host: globex.localhost\r\n\r\n",
		get + "Host: " + host + "@globex.localhost\r\nCOOKIE\r\n\r\n",
		get + "Host: unknown.localhost\r\nCOOKIE\r\n\r\n",
		get + head + "Cookie: __Host-gatehouse=other\r\nAccept: application/json\r\n\r\n",
		get + head + "X-Gatehouse-User : evil\r\n\r\n",
		get + head + "X-A: b\rX-Gatehouse-User: evil\r\n\r\n",
		get + head + "X-A: b\x00c\r\n\r\n",
		"get /api/whoami HTTP/1.1\r\n" + head + "\r\n",
		"CONNECT globex.localhost:443 HTTP/1.1\r\n" + head + "\r\n",
		"TRACE /api/whoami HTTP/1.1\r\n" + head + "\r\n",
		"GET  /api/whoami HTTP/1.1\r\n" + head + "\r\n",
		"GET /api/whoami HTTP/3.0\r\n" + head + "\r\n",
		post + "Content-Length: 3\r\nContent-Length: 5\r\n\r\nabcde",
		post + "Content-Length: 3, 3\r\n\r\nabc",
		post + "Content-Length: +3\r\n\r\nabc",
		post + "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
		post + "Transfer-Encoding: x\r\n\r\n0\r\n\r\n",
		post + "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
	} {
		all = append(all, hostile{raw: raw})
	}
	for _, lie := range []string{"X-Gatehouse-User", "x_gatehouse_user", "X-GATEHOUSE_ROLES", "X-Gatehouse-Tenant", "X-Gatehouse-Assertion", "x-gatehouse-email", "X-Gatehouse-Session",
		"X-Gatehouse-Request-Id", "X_Gatehouse_Teams", "X-Gatehouse-Groups", "X-Forwarded-For", "X-Forwarded-Host", "Forwarded", "X-Real-IP"} {
		all = append(all, hostile{raw: get + head + lie + ": evil\r\n" + lie + ": evil2\r\n\r\n", seen: "GET /api/whoami"})
	}
	return append(all,
		// Read one way (RFC 9112 §5.2, §6.3) and written anew that way.
		hostile{raw: get + head + "X-A: b\r\n X-Gatehouse-User: evi\r\n\r\n", seen: "GET /api/whoami"},
		hostile{raw: post + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", seen: "POST /echo"},
		hostile{raw: get + "Host: " + host + "\r\nCOOKIE\r\nConnection: close, X-Gatehouse-User, X-Gatehouse-Assertion\r\n\r\n", seen: "GET /api/whoami"},
		hostile{raw: "POST /echo HTTP/1.1\r\n" + head + "Transfer-Encoding: chunked\r\nTrailer: X-Gatehouse-User\r\n\r\n3\r\nabc\r\n0\r\nX-Gatehouse-User: evil\r\n\r\n", seen: "POST /echo"})
}

// seenByApp asks the app, on its own port, for every request that reached it.
func seenByApp(t *testing.T, info demo.Info) (all []string) {
	t.Helper()
	_, body := get(t, http.DefaultClient, info.App+"/__seen")
	for _, r := range decode[[]struct {
		Method, Path, Tenant, User string
		RequestID                  string `json:"request_id"`
	}](t, body) {
		all = append(all, r.Method+" "+r.Path)
		if !strings.HasPrefix(r.RequestID, "req_") || r.User != "" && !strings.HasPrefix(r.User, "usr_") || r.Tenant != "" && r.Tenant != "acme" {
			t.Errorf("the app saw %+v", r)
		}
	}
	return all
}

func TestP4P5_HostileRequestsThroughTheWholeProduct(t *testing.T) {
	d := inProcess(t)
	info := d.Info()
	browser := signedIn(t, info, "acme", member)
	cookie := "Cookie: " + cookies(t, browser, info.Tenants["acme"].URL, "__Host-gatehouse")
	address, err := url.Parse(info.Tenants["acme"].URL)
	if err != nil {
		t.Fatal(err)
	}
	before := seenByApp(t, info)
	for _, h := range hostileRequests(address.Host) {
		status, body := rawExchange(t, info, address.Host, strings.ReplaceAll(h.raw, "COOKIE", cookie))
		after := seenByApp(t, info)
		reached := after[len(before):]
		before = after
		switch {
		case h.seen == "" && (status < 400 || len(reached) > 0 || status >= 500 && status != http.StatusNotImplemented && status != http.StatusHTTPVersionNotSupported):
			t.Errorf("%q: %d, and the app saw %v", h.raw, status, reached)
		case h.seen != "" && (status != http.StatusOK || !slices.Equal(reached, []string{h.seen})):
			t.Errorf("%q: %d, and the app saw %v", h.raw, status, reached)
		case strings.Contains(body, "evil") && h.seen != "":
			t.Errorf("%q: the app was told %s", h.raw, body)
		}
	}
}

// TestP5_IdentityOverHTTP2 sends the same lies in frames, where names are lower
// case by rule.
func TestP5_IdentityOverHTTP2(t *testing.T) {
	d := inProcess(t)
	info := d.Info()
	browser := signedIn(t, info, "acme", member)
	for _, lie := range []string{"x-gatehouse-user", "x_gatehouse_user", "x-gatehouse-assertion", "x-gatehouse-roles", "x-gatehouse-anything", "x-forwarded-for", "forwarded"} {
		resp, body := get(t, browser, info.Tenants["acme"].URL+"api/whoami", lie, "evil")
		if resp.ProtoMajor != 2 || resp.StatusCode != http.StatusOK || strings.Contains(string(body), "evil") || !strings.Contains(string(body), `"verified": true`) {
			t.Errorf("%s: %s %s: %s", lie, resp.Proto, resp.Status, body)
		}
	}
}

// rawExchange sends bytes over TLS and reads the answer.
func rawExchange(t *testing.T, info demo.Info, host, raw string) (status int, body string) {
	t.Helper()
	plain, err := demo.DialLocal(t.Context(), "tcp", host)
	if err != nil {
		t.Fatal(err)
	}
	name, _, _ := strings.Cut(host, ":")
	transport := plainClient(t, info, 1).Transport.(*http.Transport) //nolint:errcheck // plainClient made it
	conn := tls.Client(plain, &tls.Config{ServerName: name, RootCAs: transport.TLSClientConfig.RootCAs, NextProtos: []string{"http/1.1"}, MinVersion: tls.VersionTLS12})
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, raw); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return 0, fmt.Sprint(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, _ := io.ReadAll(resp.Body) // what came of a cut answer counts
	return resp.StatusCode, string(text)
}
