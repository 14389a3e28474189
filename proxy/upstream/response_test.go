package upstream

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
)

func readAnswer(text, method string) (*Response, int64, error) {
	raw, err := readHead(bufio.NewReaderSize(strings.NewReader(text), 16), nil, 4096)
	if err != nil {
		return nil, 0, err
	}
	answer, err := parseHead(raw)
	if err != nil {
		return nil, 0, err
	}
	length, err := answer.frame(method)
	return answer, length, err
}

func TestAnswersAreReadStrictly(t *testing.T) {
	tests := map[string]struct {
		head   string
		method string
		length int64
		err    error
	}{
		"length":              {head: "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", length: 5},
		"equal lengths":       {head: "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n", length: 5},
		"chunked":             {head: "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n", length: chunked},
		"neither":             {head: "HTTP/1.1 200 OK\r\n\r\n", length: untilClose},
		"no reason":           {head: "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n"},
		"no content":          {head: "HTTP/1.1 204 No Content\r\n\r\n"},
		"not modified":        {head: "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n"},
		"answer to HEAD":      {head: "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", method: "HEAD"},
		"HTTP/1.0":            {head: "HTTP/1.0 200 OK\r\n\r\n", length: untilClose},
		"longer than buffer":  {head: "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 100) + "\r\nContent-Length: 7\r\n\r\n", length: 7},
		"other lengths":       {head: "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", err: errAmbiguous},
		"list of lengths":     {head: "HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\n", err: errAmbiguous},
		"length and chunked":  {head: "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", err: errAmbiguous},
		"signed length":       {head: "HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\n", err: errAmbiguous},
		"negative length":     {head: "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n", err: errAmbiguous},
		"empty length":        {head: "HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n", err: errAmbiguous},
		"huge length":         {head: "HTTP/1.1 200 OK\r\nContent-Length: 9223372036854775808\r\n\r\n", err: errAmbiguous},
		"other coding":        {head: "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", err: errAmbiguous},
		"two codings":         {head: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n", err: errAmbiguous},
		"chunked in HTTP/1.0": {head: "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", err: errAmbiguous},
		"bare LF":             {head: "HTTP/1.1 200 OK\nContent-Length: 5\n\r\n", err: errMalformed},
		"bare LF in fields":   {head: "HTTP/1.1 200 OK\r\nA: b\nC: d\r\n\r\n", err: errMalformed},
		"bare CR":             {head: "HTTP/1.1 200 OK\r\nA: b\rC: d\r\n\r\n", err: errMalformed},
		"LF before a value":   {head: "HTTP/1.1 200 OK\r\nA:\nb\r\n\r\n", err: errMalformed},
		"folded":              {head: "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", err: errMalformed},
		"space before colon":  {head: "HTTP/1.1 200 OK\r\nContent-Length : 5\r\n\r\n", err: errMalformed},
		"no colon":            {head: "HTTP/1.1 200 OK\r\nContent-Length\r\n\r\n", err: errMalformed},
		"NUL":                 {head: "HTTP/1.1 200 OK\r\nA: b\x00\r\n\r\n", err: errMalformed},
		"other protocol":      {head: "HTTP/2.0 200 OK\r\n\r\n", err: errMalformed},
		"no protocol":         {head: "ICY 200 OK\r\n\r\n", err: errMalformed},
		"status too short":    {head: "HTTP/1.1 20\r\n\r\n", err: errMalformed},
		"status too long":     {head: "HTTP/1.1 2000 OK\r\n\r\n", err: errMalformed},
		"status no number":    {head: "HTTP/1.1 2x0 OK\r\n\r\n", err: errMalformed},
		"status out of range": {head: "HTTP/1.1 999 OK\r\n\r\n", err: errMalformed},
		"empty":               {head: "\r\n", err: errMalformed},
		"cut off":             {head: "HTTP/1.1 200 OK\r\nA: b", err: io.ErrUnexpectedEOF},
		"too large":           {head: "HTTP/1.1 200 OK\r\nA: " + strings.Repeat("x", 5000) + "\r\n\r\n", err: errHeadTooLarge},
		"endless":             {head: strings.Repeat("x", 5000), err: errHeadTooLarge},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			method := test.method
			if method == "" {
				method = "GET"
			}
			_, length, err := readAnswer(test.head, method)
			if !errors.Is(err, test.err) || err == nil && length != test.length {
				t.Errorf("length %d, error %v", length, err)
			}
		})
	}
}

// What we accept, net/http accepts, and reads the same.
func FuzzResponse(f *testing.F) {
	for _, seed := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\nA: b\r\nA: c\r\n\r\n",
		"HTTP/1.0 404 Not Found\r\nConnection: keep-alive\r\nX:\t y \r\n\r\n", "HTTP/1.1 304 x\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
	} {
		f.Add([]byte(seed), false)
	}
	f.Fuzz(func(t *testing.T, head []byte, isHead bool) {
		method := "GET"
		if isHead {
			method = "HEAD"
		}
		end := bytes.Index(head, []byte("\r\n\r\n"))
		if end < 0 {
			return
		}
		ours, length, err := readAnswer(string(head[:end+4]), method)
		if err != nil || ours.Status < 200 {
			return
		}
		theirs, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(head[:end+4])), &http.Request{Method: method})
		if err != nil {
			t.Fatalf("net/http refuses %q: %v", head, err)
		}
		if theirs.StatusCode != ours.Status {
			t.Fatalf("status %d, net/http reads %d", ours.Status, theirs.StatusCode)
		}
		wantLength := theirs.ContentLength
		if len(theirs.TransferEncoding) > 0 {
			wantLength = chunked
		}
		switch {
		case isHead, ours.Status == 204, ours.Status == 304:
			wantLength = 0
		}
		if length != wantLength {
			t.Fatalf("length %d, net/http reads %d in %q", length, wantLength, head)
		}
		for name, values := range theirs.Header {
			if name == "Cache-Control" {
				continue // net/http adds one beside Pragma
			}
			if len(values) > 0 && !slices.Equal(values, ours.Header[name]) {
				t.Fatalf("%s: %q, net/http reads %q", name, ours.Header[name], values)
			}
		}
	})
}
