package proxy

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"
)

func TestContinueComesFromTheApp(t *testing.T) {
	w := newWorld(t, nil)
	w.app.handle(func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/public/refuse" {
			rw.WriteHeader(http.StatusForbidden)
			return
		}
		_, _ = io.Copy(rw, r.Body)
	})
	ask := func(path string) (*bufio.Reader, net.Conn) {
		c := w.rawTLS("http/1.1")
		_, err := fmt.Fprintf(c, "POST %s HTTP/1.1\r\nHost: acme.test\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n", path)
		w.must(err)
		return bufio.NewReader(c), c
	}
	br, c := ask("/public/accept")
	line, err := br.ReadString('\n')
	if err != nil || !strings.HasPrefix(line, "HTTP/1.1 100 ") {
		t.Fatalf("%q %v", line, err)
	}
	_, _ = br.ReadString('\n')
	_, err = io.WriteString(c, "body")
	w.must(err)
	answer, err := http.ReadResponse(br, nil)
	w.must(err)
	if got := w.body(answer); got != "body" {
		t.Errorf("%q", got)
	}
	for _, path := range []string{"/public/refuse", "/needs-sign-in"} {
		br, _ = ask(path)
		if line, err = br.ReadString('\n'); err != nil || !strings.HasPrefix(line, "HTTP/1.1 40") {
			t.Errorf("%s: %q %v", path, line, err)
		}
	}
}

// After an answer that came before the end of the body, what is left of the
// body is never taken for a request.
func TestP4_TheRestOfABodyIsNotARequest(t *testing.T) {
	w := newWorld(t, nil)
	w.app.handle(func(rw http.ResponseWriter, _ *http.Request) {
		_ = http.NewResponseController(rw).EnableFullDuplex()
		rw.Header().Set("Connection", "close")
		rw.WriteHeader(http.StatusTeapot)
	})
	for _, framing := range []string{"Content-Length: 100", "Transfer-Encoding: chunked"} {
		c := w.rawTLS("http/1.1")
		_, err := fmt.Fprintf(c, "POST /public/x HTTP/1.1\r\nHost: acme.test\r\n%s\r\n\r\n", framing)
		w.must(err)
		br := bufio.NewReader(c)
		answer, err := http.ReadResponse(br, nil)
		w.must(err)
		w.body(answer)
		_, _ = io.WriteString(c, "GET /public/smuggled HTTP/1.1\r\nHost: acme.test\r\n\r\n")
		_, _ = io.Copy(io.Discard, br)
	}
	for _, s := range w.app.take() {
		if strings.Contains(s.line, "smuggled") {
			t.Errorf("the app saw %q", s.line)
		}
	}
}

func TestTrailersAndEarlyHintsPass(t *testing.T) {
	w := newWorld(t, nil)
	w.app.handle(func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Link", "</style.css>; rel=preload")
		rw.WriteHeader(http.StatusEarlyHints)
		rw.Header().Del("Link")
		rw.Header().Set("Trailer", "X-Sum, X-Gatehouse-User")
		_, _ = io.WriteString(rw, "body")
		_ = http.NewResponseController(rw).Flush()
		rw.Header().Set("X-Sum", "42")
		rw.Header().Set("X-Gatehouse-User", "forged")
	})
	p := w.signIn("mia")
	for _, http2 := range []bool{false, true} {
		answer := w.get(w.client(http2), "/", &p)
		if got := w.body(answer); got != "body" || answer.Trailer.Get("X-Sum") != "42" || answer.Trailer.Get("X-Gatehouse-User") != "" {
			t.Errorf("HTTP/2 %t: %q with trailer %v", http2, got, answer.Trailer)
		}
	}
}

func TestLargeBodiesPassUnchanged(t *testing.T) {
	w := newWorld(t, nil)
	w.app.handle(func(rw http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(rw).EnableFullDuplex()
		if r.ContentLength >= 0 {
			rw.Header().Set("Content-Length", fmt.Sprint(r.ContentLength))
		}
		_, _ = io.Copy(rw, r.Body)
	})
	p := w.signIn("mia")
	content := strings.Repeat("0123456789abcdef", 512<<10) // 8 MiB
	for _, http2 := range []bool{false, true} {
		for _, announced := range []bool{true, false} {
			var body io.Reader = strings.NewReader(content)
			if !announced {
				body = struct{ io.Reader }{body}
			}
			answer, err := w.client(http2).Do(w.request(http.MethodPost, "https://acme.test/echo", body, &p))
			w.must(err)
			if got := w.body(answer); got != content {
				t.Errorf("HTTP/2 %t, announced %t: %d bytes came back", http2, announced, len(got))
			}
		}
	}
}

func TestABodyOverTheLimitIsCutOff(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.Limits.BodyBytes = 1000 })
	for _, http2 := range []bool{false, true} {
		for _, announced := range []bool{true, false} {
			var body io.Reader = strings.NewReader(strings.Repeat("x", 200_000))
			if !announced {
				body = struct{ io.Reader }{body}
			}
			answer, err := w.client(http2).Do(w.request(http.MethodPost, "https://acme.test/public/x", body, nil))
			w.must(err)
			if answer.StatusCode != http.StatusRequestEntityTooLarge {
				t.Errorf("HTTP/2 %t, announced %t: %d", http2, announced, answer.StatusCode)
			}
		}
	}
	for _, s := range w.app.take() {
		if s.err == nil {
			t.Errorf("the app took %d bytes for the whole body", len(s.body))
		}
	}
}

func TestAnUploadThatBreaksOffIsNotCompleted(t *testing.T) {
	w := newWorld(t, nil)
	p := w.signIn("mia")
	for _, http2 := range []bool{false, true} {
		body := io.MultiReader(strings.NewReader("part"), iotest.ErrReader(io.ErrClosedPipe))
		if answer, err := w.client(http2).Do(w.request(http.MethodPost, "https://acme.test/", body, &p)); err == nil && answer.StatusCode == http.StatusOK {
			t.Error("answered as if complete")
		}
	}
	w.stop()
	for _, s := range w.app.take() {
		if s.err == nil {
			t.Errorf("the app took %q for the whole body", s.body)
		}
	}
}

func TestAClientThatLeavesFreesTheApp(t *testing.T) {
	w := newWorld(t, nil)
	left := make(chan struct{}, 1)
	entered := make(chan struct{}, 1)
	w.app.handle(func(_ http.ResponseWriter, r *http.Request) {
		entered <- struct{}{}
		<-r.Context().Done()
		left <- struct{}{}
	})
	p := w.signIn("mia")
	for _, http2 := range []bool{false, true} {
		ctx, cancel := context.WithCancel(t.Context())
		go func() { <-entered; cancel() }()
		if _, err := w.client(http2).Do(w.request(http.MethodGet, "https://acme.test/", nil, &p).WithContext(ctx)); err == nil {
			t.Error("answered")
		}
		<-left
	}
}
