package upstream

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// Head collects the bytes of a request's head. Every field is checked as it is
// added, so that no value can end its line and begin another (RFC 9112 §11.1);
// the first failure is kept and reported when the request is sent. Framing and
// connection fields are the [Exchange]'s own and refused here. The zero value
// is ready; Reset makes it so again.
type Head struct {
	buf []byte
	err error
}

// Block is a checked run of fields, rendered once to be sent many times.
type Block struct{ fields string }

// Len is the size of the block on the wire, in bytes.
func (b Block) Len() int { return len(b.fields) }

// Reset begins a request. The target is sent as it is: origin-form, in the
// bytes that were authorised (RFC 9112 §3.2.1).
func (h *Head) Reset(method, target, host string) {
	h.buf, h.err = h.buf[:0], nil
	if !httpguts.ValidHeaderFieldName(method) {
		h.fail("method %q is not a token", method)
	}
	if target == "" || target[0] != '/' || !visible(target) {
		h.fail("target is not in origin-form")
	}
	if host == "" || !visible(host) || !httpguts.ValidHostHeader(host) {
		h.fail("host %q is not an authority", host)
	}
	h.buf = append(h.buf, method...)
	h.buf = append(h.buf, ' ')
	h.buf = append(h.buf, target...)
	h.buf = append(h.buf, " HTTP/1.1\r\nHost: "...)
	h.buf = append(h.buf, host...)
	h.buf = append(h.buf, "\r\n"...)
}

// Field adds one field line.
func (h *Head) Field(name, value string) {
	if err := checkField(name, value); err != nil {
		h.fail("%w", err)
		return
	}
	h.buf = appendField(h.buf, name, value)
}

// Add appends fields that were rendered before.
func (h *Head) Add(b Block) { h.buf = append(h.buf, b.fields...) }

func (h *Head) fail(format string, args ...any) {
	if h.err == nil {
		h.err = fmt.Errorf("upstream: "+format, args...)
	}
}

// NewBlock renders name, value pairs.
func NewBlock(pairs ...string) (Block, error) {
	if len(pairs)%2 != 0 {
		return Block{}, errors.New("upstream: a field without a value")
	}
	var buf []byte
	for i := 0; i < len(pairs); i += 2 {
		if err := checkField(pairs[i], pairs[i+1]); err != nil {
			return Block{}, fmt.Errorf("upstream: %w", err)
		}
		buf = appendField(buf, pairs[i], pairs[i+1])
	}
	return Block{fields: string(buf)}, nil
}

// checkField never repeats the value in its error: values may be secrets.
func checkField(name, value string) error {
	if !httpguts.ValidHeaderFieldName(name) {
		return fmt.Errorf("field name %q is not a token", name)
	}
	if framing(name) {
		return fmt.Errorf("field %s is not the caller's to set", name)
	}
	if !httpguts.ValidHeaderFieldValue(value) {
		return fmt.Errorf("the value of field %s holds control bytes", name)
	}
	return nil
}

// framing reports whether a field says where a message ends, to whom it goes
// or what becomes of the connection.
func framing(name string) bool {
	switch len(name) {
	case len("Te"):
		return strings.EqualFold(name, "Te")
	case len("Host"):
		return strings.EqualFold(name, "Host")
	case len("Expect"):
		return strings.EqualFold(name, "Expect")
	case len("Upgrade"): // Trailer is as long
		return strings.EqualFold(name, "Upgrade") || strings.EqualFold(name, "Trailer")
	case len("Connection"): // Keep-Alive is as long
		return strings.EqualFold(name, "Connection") || strings.EqualFold(name, "Keep-Alive")
	case len("Content-Length"):
		return strings.EqualFold(name, "Content-Length")
	case len("Transfer-Encoding"):
		return strings.EqualFold(name, "Transfer-Encoding")
	}
	return false
}

func appendField(buf []byte, name, value string) []byte {
	buf = append(buf, name...)
	buf = append(buf, ": "...)
	buf = append(buf, value...)
	return append(buf, "\r\n"...)
}

// finish adds the fields that are this client's own: how the body is framed
// and what the connection is for.
func (h *Head) finish(r *Request) error {
	if h.err != nil {
		return h.err
	}
	switch {
	case r.Body == nil && (r.Method == http.MethodPost || r.Method == http.MethodPut || r.Method == http.MethodPatch):
		h.buf = append(h.buf, "Content-Length: 0\r\n"...) // expected with these (RFC 9110 §8.6)
	case r.Body == nil: // no field means no body (RFC 9112 §6.3)
	case r.Length >= 0:
		h.buf = append(h.buf, "Content-Length: "...)
		h.buf = strconv.AppendInt(h.buf, r.Length, 10)
		h.buf = append(h.buf, "\r\n"...)
	default:
		h.buf = append(h.buf, "Transfer-Encoding: chunked\r\n"...)
	}
	if r.Continue && r.Body != nil {
		h.buf = append(h.buf, "Expect: 100-continue\r\n"...)
	}
	if r.Upgrade != "" {
		if !httpguts.ValidHeaderFieldName(strings.ReplaceAll(r.Upgrade, "/", "-")) {
			return errors.New("upstream: the protocol to upgrade to is not a token")
		}
		h.buf = append(h.buf, "Connection: Upgrade\r\nUpgrade: "...)
		h.buf = append(h.buf, r.Upgrade...)
		h.buf = append(h.buf, "\r\n"...)
	}
	h.buf = append(h.buf, "\r\n"...)
	return nil
}

// visible reports whether s holds nothing but visible ASCII.
func visible(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return true
}
