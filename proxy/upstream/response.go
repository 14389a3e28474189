package upstream

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// untilClose is the length of a body that ends with the connection, chunked of
// one that says itself where it ends (RFC 9112 §6.3).
const (
	untilClose int64 = -1
	chunked    int64 = -2
)

// maxInterim bounds how many interim answers (1xx) may come before the answer.
const maxInterim = 5

var (
	errHeadTooLarge = errors.New("the answer's head is larger than allowed")
	errMalformed    = errors.New("the answer is not well-formed HTTP/1.1")
	errAmbiguous    = errors.New("the answer's length can be read in two ways")
)

// Response is the head of the app's answer. Header still holds the app's
// connection fields; which of them go on is the caller's to say.
type Response struct {
	Status int
	Header http.Header
	// Length of the body in bytes; negative: not known beforehand.
	Length int64

	minor int // of the app's HTTP/1.x
}

// readHead reads the lines of a head, or of a trailer section, up to and
// without its empty line, into scratch.
func readHead(br *bufio.Reader, scratch []byte, limit int) ([]byte, error) {
	scratch = scratch[:0]
	for {
		line, err := br.ReadSlice('\n')
		if len(scratch)+len(line) > limit {
			return scratch, errHeadTooLarge
		}
		scratch = append(scratch, line...)
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if err != nil {
			if errors.Is(err, io.EOF) && len(scratch) > 0 {
				err = io.ErrUnexpectedEOF
			}
			return scratch, err
		}
		if len(line) == 2 && line[0] == '\r' && endsLine(scratch[:len(scratch)-2]) {
			return scratch[:len(scratch)-2], nil
		}
	}
}

// endsLine reports whether b is empty or ends a whole line, so that the tail of
// a line longer than the read buffer is not taken for the empty line.
func endsLine(b []byte) bool { return len(b) == 0 || b[len(b)-1] == '\n' }

// parseHead reads a status line and its fields. It accepts less than RFC 9112
// lets it: no bare LF (§2.2), no obs-fold (§5.2), no space before a colon
// (§5.1), no control bytes.
func parseHead(head []byte) (*Response, error) {
	line, rest, ok := cutLine(head)
	if !ok {
		return nil, errMalformed
	}
	r := new(Response)
	if r.Status, r.minor, ok = parseStatus(line); !ok {
		return nil, fmt.Errorf("%w: status line", errMalformed)
	}
	var err error
	r.Header, err = parseFields(rest)
	return r, err
}

// parseStatus reads "HTTP/1.1 200 OK"; a missing reason is common, and so is a
// missing space before it (RFC 9112 §4).
func parseStatus(line []byte) (status, minor int, ok bool) {
	const prefix = "HTTP/1."
	if len(line) < len("HTTP/1.1 200") || string(line[:len(prefix)]) != prefix {
		return 0, 0, false
	}
	minor = int(line[7]) - '0'
	if minor != 0 && minor != 1 || line[8] != ' ' {
		return 0, 0, false
	}
	for _, c := range line[9:12] {
		if c < '0' || c > '9' {
			return 0, 0, false
		}
		status = status*10 + int(c-'0')
	}
	if len(line) > 12 && line[12] != ' ' {
		return 0, 0, false
	}
	return status, minor, status >= 100 && status <= 599 && !bytes.ContainsAny(line, "\x00\r\n")
}

func parseFields(block []byte) (http.Header, error) {
	lines := bytes.Count(block, []byte{'\n'})
	header := make(http.Header, lines)
	if lines == 0 {
		return header, nil
	}
	text := string(block) // one copy; every value is a part of it
	values := make([]string, lines)
	for i := 0; len(text) > 0; i++ {
		line, rest, ok := strings.Cut(text, "\r\n")
		if !ok {
			return nil, fmt.Errorf("%w: a line without CRLF", errMalformed)
		}
		text = rest
		name, value, ok := strings.Cut(line, ":")
		if !ok || !httpguts.ValidHeaderFieldName(name) {
			return nil, fmt.Errorf("%w: field name", errMalformed)
		}
		value = strings.Trim(value, " \t") // and not a bare LF, which ends the line for other readers
		if !httpguts.ValidHeaderFieldValue(value) {
			return nil, fmt.Errorf("%w: the value of %s", errMalformed, name)
		}
		name = textproto.CanonicalMIMEHeaderKey(name)
		values[i] = value
		if have := header[name]; have != nil {
			header[name] = append(have, value)
		} else {
			header[name] = values[i : i+1 : i+1]
		}
	}
	return header, nil
}

// frame says how long the body is, from the head and the request's method
// (RFC 9112 §6.3). What could be read in two ways is an error, since another
// reader might read it in the other.
func (r *Response) frame(method string) (int64, error) {
	lengths, codings := r.Header["Content-Length"], r.Header["Transfer-Encoding"]
	length := untilClose
	for i, text := range lengths {
		n, err := strconv.ParseUint(text, 10, 63)
		if err != nil || i > 0 && text != lengths[0] {
			return 0, errAmbiguous
		}
		length = int64(n) // #nosec G115 -- parsed with 63 bits
	}
	if len(lengths) > 1 {
		r.Header["Content-Length"] = lengths[:1]
	}
	if len(codings) > 0 {
		if len(lengths) > 0 || r.minor == 0 || len(codings) > 1 || !strings.EqualFold(codings[0], "chunked") {
			return 0, errAmbiguous
		}
		length = chunked
	}
	if method == http.MethodHead || r.Status < 200 || r.Status == http.StatusNoContent || r.Status == http.StatusNotModified {
		return 0, nil
	}
	return length, nil
}

// keepAlive reports whether the app lets the connection serve another request
// (RFC 9112 §9.3).
func (r *Response) keepAlive() bool {
	tokens := r.Header["Connection"]
	if r.minor == 0 {
		return httpguts.HeaderValuesContainsToken(tokens, "keep-alive")
	}
	return !httpguts.HeaderValuesContainsToken(tokens, "close")
}

func cutLine(b []byte) (line, rest []byte, ok bool) {
	i := bytes.IndexByte(b, '\n')
	if i < 1 || b[i-1] != '\r' {
		return nil, nil, false
	}
	return b[:i-1], b[i+1:], true
}
