package scim_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/audit"
	"gatehouse/authz"
	"gatehouse/identity"
	"gatehouse/internal/httpkit"
	"gatehouse/scim"
)

// wire is the service behind a real HTTP server.
type wire struct {
	*bench
	url string
}

func newWire(t *testing.T) wire {
	t.Helper()
	return newWireOf(newBench(t))
}

// gate hands requests on to the service: those of globex by their host, all others as
// acme's.
func (b *bench) gate() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b.serving.Add(1)
		defer b.serving.Done()
		to := b.acme
		if "https://"+r.Host == b.globex.origin {
			to = b.globex
		}
		b.handler.ServeHTTP(w, r.WithContext(httpkit.WithRequest(r.Context(), &httpkit.Request{ID: identity.NewRequestID(), Start: time.Now(),
			ClientIP: netip.MustParseAddr("192.0.2.7"), Tenant: to.id, Origin: to.origin})))
	})
}

// send sends a request as it stands; the headers take the place of what a client
// would send.
func (w wire) send(t *testing.T, method, path string, body io.Reader, headers ...string) answer {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, w.url+path, body)
	must(t, err)
	r.Header.Set("Authorization", "Bearer "+w.acme.token)
	if body != nil {
		r.Header.Set("Content-Type", "application/scim+json")
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(r)
	must(t, err)
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(resp.Body)
	must(t, err)
	a := answer{t: t, status: resp.StatusCode, header: resp.Header, raw: string(raw)}
	if len(raw) > 0 {
		must(t, json.Unmarshal(raw, &a.body))
		if got := resp.Header.Get("Content-Type"); got != "application/scim+json" {
			t.Errorf("Content-Type %q", got)
		}
	}
	return a
}

func (w wire) people(t *testing.T, want string) {
	t.Helper()
	w.send(t, "GET", "/Users?count=0", nil).wants(200).same(want, "totalResults")
}

const eve = `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"eve"`

// RFC 7644 §3.12: the form of every error, whatever answers it.
func TestRFC7644_3_12_TheFormOfErrors(t *testing.T) {
	w := newWire(t)
	id := w.user(t, "ada", "")
	for name, c := range map[string]struct {
		method, path, body string
		status, scimType   any
	}{
		"syntax":     {"POST", "/Users", `{`, "400", "invalidSyntax"},
		"value":      {"POST", "/Users", eve + `,"active":"perhaps"}`, "400", "invalidValue"},
		"uniqueness": {"POST", "/Users", strings.Replace(eve, "eve", "ada", 1) + `}`, "409", "uniqueness"},
		"filter":     {"GET", "/Users?filter=(", "", "400", "invalidFilter"},
		"path":       {"PATCH", "/Users/" + id, patch(`{"op":"add","path":"[","value":1}`), "400", "invalidPath"},
		"target":     {"PATCH", "/Users/" + id, patch(`{"op":"remove"}`), "400", "noTarget"},
		"mutability": {"PATCH", "/Users/" + id, patch(`{"op":"replace","path":"id","value":"x"}`), "400", "mutability"},
		"not found":  {"GET", "/Users/usr_x", "", "404", nil},
		"method":     {"DELETE", "/Users", "", "405", nil},
		"too large":  {"POST", "/Users", eve + strings.Repeat(" ", 1<<20) + `}`, "413", nil},
	} {
		t.Run(name, func(t *testing.T) {
			var body io.Reader
			if c.body != "" {
				body = strings.NewReader(c.body)
			}
			got := w.send(t, c.method, c.path, body)
			want := map[string]any{"schemas": []any{"urn:ietf:params:scim:api:messages:2.0:Error"}, "status": c.status, "detail": got.body["detail"]}
			if c.scimType != nil {
				want["scimType"] = c.scimType
			}
			if detail, _ := want["detail"].(string); !reflect.DeepEqual(got.body, want) || detail == "" || http.StatusText(got.status) == "" || !strings.HasPrefix(got.raw, `{"schemas"`) {
				t.Errorf("answered %s, want %v", got.raw, want)
			}
			if got.header.Get("Cache-Control") != "no-store" || got.header.Get("X-Content-Type-Options") != "nosniff" {
				t.Errorf("headers %v", got.header)
			}
		})
	}
	w.people(t, "1")
}

// RFC 7644 §3.1 and §8.1: JSON in UTF-8, as it is, and nothing else.
func TestRFC7644_3_1_WhatABodyIs(t *testing.T) {
	w := newWire(t)
	for _, media := range []string{"text/plain", "application/xml", "application/json, application/xml", "application/json;", "application/x-www-form-urlencoded",
		"application/json; charset=iso-8859-1", "application/scim+json; charset=utf-16", "application/scim", "json", "*/*", "application/*"} {
		status := 415
		if media == "application/json;" { // RFC 9110 §5.6.6 allows it
			status = 400
		}
		w.send(t, "POST", "/Users", strings.NewReader(`{}`), "Content-Type", media).wants(status)
		w.send(t, "POST", "/Bulk", strings.NewReader(`{}`), "Content-Type", media).wants(status)
	}
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, err := z.Write([]byte(eve + `}`))
	must(t, err)
	must(t, z.Close())
	for _, coding := range []string{"gzip", "GZIP", "deflate", "br", "identity, gzip", ""} {
		got := w.send(t, "POST", "/Users", bytes.NewReader(packed.Bytes()), "Content-Encoding", coding)
		if coding == "" {
			got.wants(400) // it is what it is
			continue
		}
		if got.wants(415).header.Get("Accept-Encoding") != "identity" {
			t.Errorf("%s: headers %v", coding, got.header)
		}
	}
	w.people(t, "0")
	w.send(t, "POST", "/Users", strings.NewReader(eve+`}`), "Content-Type", `application/json; charset="UTF-8"`, "Content-Encoding", "identity").wants(201)
}

// RFC 7644 §3.8: answers are JSON. RFC 9110 §12.5.1 leaves it to the server to pass
// over an Accept that excludes it.
func TestRFC7644_3_8_AnswersAreJSON(t *testing.T) {
	w := newWire(t)
	for _, accept := range []string{"", "application/scim+json", "application/json", "text/html", "application/xml;q=1, */*;q=0", "nonsense"} {
		w.send(t, "GET", "/ServiceProviderConfig", nil, "Accept", accept).wants(200)
	}
	// Nor does a browser's make an error a page.
	w.send(t, "GET", "/Users/usr_x", nil, "Accept", "text/html", "Sec-Fetch-Mode", "navigate").wants(404)
}

// RFC 9110 §9.3.1, §9.3.5: what a body of a GET or DELETE means is undefined, so it
// means nothing.
func TestRFC9110_9_3_BodiesThatMeanNothing(t *testing.T) {
	w := newWire(t)
	id := w.user(t, "ada", "")
	for _, body := range []string{`{"schemas":[]}`, "\xff", strings.Repeat("x", 4<<20)} {
		w.send(t, "GET", "/Users/"+id, strings.NewReader(body)).wants(200).same(`"ada"`, "userName")
		w.send(t, "GET", "/Users", strings.NewReader(body), "Content-Type", "text/plain").wants(200).same(`1`, "totalResults")
	}
	w.send(t, "DELETE", "/Users/"+id, strings.NewReader(`{"active":true}`), "Content-Type", "text/plain").wants(204)
	w.people(t, "0")
}

// RFC 9110 §9.3.2: HEAD is GET without the body.
func TestRFC9110_9_3_2_HEAD(t *testing.T) {
	w := newWire(t)
	id := w.user(t, "ada", "")
	for _, path := range []string{"/Users/" + id, "/Users", "/Schemas", "/Users/usr_x", "/Bulk"} {
		get, head := w.send(t, "GET", path, nil), w.send(t, "HEAD", path, nil)
		if head.status != get.status || head.raw != "" || head.header.Get("ETag") != get.header.Get("ETag") ||
			head.header.Get("Content-Type") != get.header.Get("Content-Type") {
			t.Errorf("%s: HEAD is %d %v, GET %d %v", path, head.status, head.header, get.status, get.header)
		}
	}
	w.send(t, "HEAD", "/Users/"+id, nil, "If-None-Match", `W/"1"`).wants(304)
}

// RFC 9110 §15.4.5: what is not modified is answered with what the whole would have of the
// fields that say what and where it is.
func TestRFC9110_15_4_5_NotModified(t *testing.T) {
	w := newWire(t)
	id := w.user(t, "ada", "")
	for _, path := range []string{"/Users/" + id, "/Groups/" + w.group(t, "ops", id)} {
		for _, method := range []string{"GET", "HEAD"} {
			whole := w.send(t, method, path, nil).wants(200)
			got := w.send(t, method, path, nil, "If-None-Match", whole.header.Get("ETag")).wants(304)
			for _, name := range []string{"Content-Location", "ETag", "Cache-Control"} {
				if want := whole.header.Get(name); want == "" || got.header.Get(name) != want {
					t.Errorf("%s %s: %s is %q, not %q", method, path, name, got.header.Get(name), want)
				}
			}
		}
	}
}

// RFC 9110 §5.3: the lines of a list are one list.
func TestRFC9110_5_3_VersionsInSeveralLines(t *testing.T) {
	w := newWire(t)
	id := w.user(t, "ada", "")
	r := w.newRequest(t.Context(), "GET", "/Users/"+id, "")
	r.Header["If-None-Match"] = []string{`"7"`, `W/"1", "8"`}
	w.request(t, w.acme, r).wants(304)
	r = w.newRequest(t.Context(), "PATCH", "/Users/"+id, patch(`{"op":"add","path":"title","value":"x"}`))
	r.Header["If-Match"] = []string{`"7"`, `W/"1", "8"`}
	w.request(t, w.acme, r).wants(200)
}

// RFC 9110 §15.5.6: a method that an address does not have is answered with those
// that it has.
func TestRFC9110_15_5_6_Methods(t *testing.T) {
	w := newWire(t)
	id := w.user(t, "ada", "")
	for path, methods := range map[string]string{"/Users": "GET, HEAD, POST", "/Users/" + id: "GET, HEAD, PUT, PATCH, DELETE", "/Groups": "GET, HEAD, POST", "/Groups/grp_x": "GET, HEAD, PUT, PATCH, DELETE",
		"/Bulk": "POST", "/Users/.search": "POST", "/ServiceProviderConfig": "GET, HEAD", "/ResourceTypes": "GET, HEAD", "/ResourceTypes/User": "GET, HEAD", "/Schemas": "GET, HEAD"} {
		for _, method := range []string{"OPTIONS", "GET", "POST", "PUT", "PATCH", "DELETE"} {
			if strings.Contains(methods, method) {
				continue
			}
			if got := w.send(t, method, path, strings.NewReader(`{}`)).wants(405); got.header.Get("Allow") != methods {
				t.Errorf("%s %s allows %q, want %q", method, path, got.header.Get("Allow"), methods)
			}
		}
	}
	w.people(t, "1")
}

// An address has one spelling; every other one is nothing's.
func TestRFC7644_3_2_AddressesThatAreNone(t *testing.T) {
	w := newWire(t)
	id := w.user(t, "ada", "")
	for _, path := range []string{"/Users/", "/users", "/USERS", "/Users.json", "/Users/" + id + ".json", "/Users/" + id + "/", "/Users/" + id + "/emails",
		"/Users/" + strings.ToUpper(id), "/Groups/" + id, "/User", "/Devices", "/Bulk/", "/Bulk/x", "/Schemas/", "/v2/Users", "/Users/" + strings.Repeat("x", 129),
		"/Users/" + id + "%20", "/Users/%27%20OR%20%271%27=%271", "/Users/*", "/Users/null", "/Users/0"} {
		got := w.send(t, "GET", path, nil).wants(404)
		if strings.Contains(got.raw, "ada") {
			t.Errorf("%s tells %s", path, got.raw)
		}
		w.send(t, "DELETE", path, nil).wants(404)
	}
	w.people(t, "1")
}

// RFC 7644 §3.4.2: a parameter that comes twice could be read in two ways.
func TestRFC7644_3_4_2_Queries(t *testing.T) {
	w := newWire(t)
	w.user(t, "ada", "")
	for _, query := range []string{"count=1&count=1", "filter=userName+pr&filter=", "attributes=id&attributes=userName", "a=1&a=2", "a=%zz", "a=1;b=2",
		"startIndex=1e3", "startIndex=0x1", "count=1.0", "count=+%201", "count=-"} {
		w.send(t, "GET", "/Users?"+query, nil).wants(400)
	}
	w.send(t, "DELETE", "/Users/usr_x?a=1&a=2", nil).wants(400)
	w.send(t, "GET", "/Users?unknown=1&count=1", nil).wants(200).same(`1`, "totalResults")
	w.send(t, "GET", "/Users?filter=", nil).wants(200).same(`1`, "totalResults")
}

// RFC 7643 §2.1, RFC 8259: what two readers could take for two things, or one for
// more than there is, is refused, and nothing is done.
func TestRFC8259_BodiesThatAreRefused(t *testing.T) {
	w := newWire(t)
	id := w.user(t, "ada", "")
	for name, c := range map[string]struct {
		body   string
		status int
	}{
		"BOM":                     {"\ufeff" + eve + `}`, 400},
		"UTF-16":                  {"\xff\xfe{\x00}\x00", 400},
		"overlong":                {eve + ",\"title\":\"\xc0\xaf\"}", 400},
		"a surrogate in UTF-8":    {eve + ",\"title\":\"\xed\xa0\x80\"}", 400},
		"a name twice":            {eve + `,"active":false,"active":true}`, 400},
		"escaped":                 {eve + `,"active":false,"\u0061ctive":true}`, 400},
		"the URN twice":           {eve + `,"urn:x":{},"URN:X":{}}`, 400},
		"10 MB in one string":     {eve + `,"title":"` + strings.Repeat("a", 10<<20) + `"}`, 413},
		"10 MB of space":          {eve + strings.Repeat(" ", 10<<20) + `}`, 413},
		"deep":                    {eve + `,"x":` + strings.Repeat(`[`, 65) + strings.Repeat(`]`, 65) + `}`, 400},
		"deeper than the decoder": {eve + `,"x":` + strings.Repeat(`[`, 100_000) + strings.Repeat(`]`, 100_000) + `}`, 400},
		"a number for a boolean":  {eve + `,"active":1e999}`, 400},
		"a number for a text":     {eve + `,"title":123456789012345678901234567890}`, 400},
		"a leading zero":          {eve + `,"x":01}`, 400},
		"NaN":                     {eve + `,"x":NaN}`, 400},
		"a comment":               {eve + `/**/}`, 400},
		"single quotes":           {`{'schemas':[]}`, 400},
		"a line end in a text":    {eve + ",\"title\":\"a\nb\"}", 400},
		"cut":                     {eve, 400},
		"behind it":               {eve + `}x`, 400},
		"a form":                  {"userName=eve", 400},
		"nothing":                 {"", 400},
	} {
		t.Run(name, func(t *testing.T) {
			w.send(t, "POST", "/Users", strings.NewReader(c.body)).wants(c.status)
			w.send(t, "PUT", "/Users/"+id, strings.NewReader(c.body)).wants(c.status)
			w.send(t, "PATCH", "/Users/"+id, strings.NewReader(c.body)).wants(c.status)
			if c.status == 400 {
				w.send(t, "POST", "/Bulk", strings.NewReader(c.body)).wants(400)
			}
		})
	}
	w.people(t, "1")
	w.send(t, "GET", "/Users/"+id, nil).wants(200).same(`"W/\"1\""`, "meta", "version")
	// A number that nobody reads is anybody's, and an escape without its other half is
	// what every reader makes of it.
	w.send(t, "POST", "/Users", strings.NewReader(eve+`,"x":1e999,"title":"\ud800"}`)).wants(201).same(`"\ufffd"`, "title")
}

// A body that never ends is read no further than its limit, nor is one that comes
// without a length.
func TestRFC7644_3_7_4_BodiesWithoutAnEnd(t *testing.T) {
	w := newWire(t)
	for path, limit := range map[string]int64{"/Users": 1 << 20, "/Bulk": 8 << 20} {
		read := &counting{}
		w.send(t, "POST", path, io.MultiReader(strings.NewReader(`{"a":"`), read)).wants(413)
		if n := read.bytes.Load(); n > 4*limit+(8<<20) { // what the network holds as well
			t.Errorf("%s: %d bytes were taken", path, n)
		}
	}
}

// counting is a text without an end.
type counting struct{ bytes atomic.Int64 }

func (c *counting) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'a'
	}
	c.bytes.Add(int64(len(p)))
	return len(p), nil
}

// slow takes longer for each decision than a server gives an answer.
type slow struct {
	authz.Decider
	time time.Duration
}

func (s slow) Decide(ctx context.Context, p *identity.Principal, q authz.Query) (authz.Permit, authz.Decision, error) {
	<-time.After(s.time)
	return s.Decider.Decide(ctx, p, q)
}

// A Bulk may take longer than any other request, and is answered all the same.
func TestABulkIsAnsweredHoweverLongItTakes(t *testing.T) {
	b := newBench(t)
	const answerTime = 300 * time.Millisecond
	b.handler = scim.New(scim.Config{Directory: b.directory, Tokens: b.tokens, Keys: b.keys, Journal: b.journal, Refusals: audit.NewRefusals(b.journal),
		Permissions: slow{b.roles, answerTime / 2}}).Handler()
	for protocol, two := range map[string]bool{"HTTP/1.1": false, "HTTP/2.0": true} {
		t.Run(protocol, func(t *testing.T) {
			server := httptest.NewUnstartedServer(b.gate())
			server.Config.WriteTimeout = answerTime
			server.EnableHTTP2 = two
			server.StartTLS()
			t.Cleanup(server.Close)
			message := bulk("", newGroup("a", "a "+protocol), newGroup("b", "b "+protocol), newGroup("c", "c "+protocol), newGroup("d", "d "+protocol))
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+"/scim/v2/Bulk", strings.NewReader(message))
			must(t, err)
			r.Header.Set("Authorization", "Bearer "+b.acme.token)
			r.Header.Set("Content-Type", "application/scim+json")
			resp, err := server.Client().Do(r)
			must(t, err)
			defer func() { _ = resp.Body.Close() }()
			raw, err := io.ReadAll(resp.Body)
			if must(t, err); resp.StatusCode != http.StatusOK || resp.Proto != protocol || strings.Count(string(raw), `"status":"201"`) != 4 {
				t.Errorf("%s %s: %s", resp.Proto, resp.Status, raw)
			}
		})
	}
}
