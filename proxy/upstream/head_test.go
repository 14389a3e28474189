package upstream

import (
	"bufio"
	"bytes"
	"net/http"
	"strings"
	"testing"
)

func TestHeadRefusesWhatWouldChangeTheMessage(t *testing.T) {
	tests := map[string]func(*Head){
		"CRLF in a value":    func(h *Head) { h.Field("A", "x\r\nB: y") },
		"LF in a value":      func(h *Head) { h.Field("A", "x\ny") },
		"NUL in a value":     func(h *Head) { h.Field("A", "x\x00y") },
		"space in a name":    func(h *Head) { h.Field("A B", "x") },
		"colon in a name":    func(h *Head) { h.Field("A:", "x") },
		"empty name":         func(h *Head) { h.Field("", "x") },
		"own length":         func(h *Head) { h.Field("content-length", "3") },
		"own coding":         func(h *Head) { h.Field("Transfer-encoding", "chunked") },
		"own host":           func(h *Head) { h.Field("HOST", "x") },
		"own connection":     func(h *Head) { h.Field("Connection", "x") },
		"own expectation":    func(h *Head) { h.Field("Expect", "100-continue") },
		"CRLF in the target": func(h *Head) { h.Reset("GET", "/a HTTP/1.1\r\nX: y", "h") },
		"absolute target":    func(h *Head) { h.Reset("GET", "http://x/", "h") },
		"space in method":    func(h *Head) { h.Reset("GET /x", "/", "h") },
		"CRLF in the host":   func(h *Head) { h.Reset("GET", "/", "h\r\nX: y") },
		"no host":            func(h *Head) { h.Reset("GET", "/", "") },
	}
	for name, spoil := range tests {
		t.Run(name, func(t *testing.T) {
			h := new(Head)
			h.Reset("GET", "/", "h")
			spoil(h)
			if err := h.finish(&Request{}); err == nil {
				t.Errorf("it would be sent: %q", h.buf)
			}
		})
	}
}

func TestHeadErrorsTellNoValue(t *testing.T) {
	h := new(Head)
	h.Reset("GET", "/", "h")
	h.Field("Cookie", "secret\n")
	if err := h.finish(&Request{}); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("got %v", err)
	}
}

// Whatever is handed to a head, what would be sent is exactly one request with
// exactly the fields that were accepted.
func FuzzHead(f *testing.F) {
	f.Add("GET", "/a?b", "acme.test", "X-A", "v", int64(-1))
	f.Add("POST", "/", "h:1", "X", "a\r\n\r\nGET / HTTP/1.1\r\n", int64(3))
	f.Add("GE T", "/\x00", "h h", "Transfer-Encoding", "chunked", int64(0))
	f.Fuzz(func(t *testing.T, method, target, host, name, value string, length int64) {
		h := new(Head)
		h.Reset(method, target, host)
		h.Field(name, value)
		request := &Request{Method: method, Head: h}
		if length != 0 {
			request.Body, request.Length = strings.NewReader(""), length
		}
		if h.finish(request) != nil {
			return
		}
		br := bufio.NewReader(bytes.NewReader(h.buf))
		r, err := http.ReadRequest(br)
		if err != nil {
			if strings.HasPrefix(err.Error(), "parse ") || strings.HasPrefix(err.Error(), "invalid URI") || strings.Contains(err.Error(), "bad Content-Length") {
				return // net/url knows fewer targets; what it refuses did not smuggle
			}
			t.Fatalf("%q: %v", h.buf, err)
		}
		if r.Method != method || r.RequestURI != target || !strings.HasPrefix(target, "//") && r.Host != host {
			t.Fatalf("%q was read as %s %s at %s", h.buf, r.Method, r.RequestURI, r.Host)
		}
		if got := r.Header.Values(name); len(got) != 1 || got[0] != strings.Trim(value, " \t") {
			if !strings.EqualFold(name, "Pragma") && !strings.EqualFold(name, "Cache-Control") {
				t.Fatalf("%q: field %q reads %q", h.buf, name, got)
			}
		}
		if br.Buffered() != 0 {
			t.Fatalf("%q holds more than a head", h.buf)
		}
	})
}
