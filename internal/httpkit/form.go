package httpkit

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"unicode/utf8"

	"gatehouse/internal/fault"
)

// FormLimits bound the size of a request's head and body, in bytes; zero means
// no limit.
type FormLimits struct {
	Target int   // path and query
	Fields int   // how many header fields
	Header int   // names and values of all fields together
	Body   int64 // announced or counted
}

// CheckForm refuses a request that two readers could understand in two ways
// (promise P4): what is authorised here must be what the app sees there. It
// checks what net/http has parsed, and the target as it stood on the wire.
//
// What net/http settles before anybody sees the request: it refuses a missing
// or repeated Host, differing Content-Lengths, a Transfer-Encoding other than
// a single "chunked", spaces around field names and control bytes in fields.
// It joins folded lines, accepts a bare LF, folds equal Content-Lengths into
// one and lets chunked win over a Content-Length; none of these reach the app,
// whose request is framed anew from the result.
func CheckForm(r *http.Request, limits FormLimits) error {
	if r.ProtoMajor == 1 && r.ProtoMinor == 0 {
		// HTTP/1.0 has no chunked coding and no Host, so net/http guesses where
		// the body of a 1.0 request that has them ends.
		return refused("HTTP/1.0 is not spoken here")
	}
	if !knownMethod(r.Method) {
		return refused("this request method is not served")
	}
	if limits.Target > 0 && len(r.RequestURI) > limits.Target {
		return fault.New(fault.TooLarge, "target-too-long", "The address of this request is too long.")
	}
	if err := CheckTarget(r.RequestURI); err != nil {
		return err
	}
	if err := checkHost(r.Host); err != nil {
		return err
	}
	if also := r.Header["Host"]; len(also) > 1 || len(also) == 1 && also[0] != r.Host {
		return refused("the request names two hosts") // HTTP/2: :authority and host (RFC 9113 §8.3.1)
	}
	if limits.Body > 0 && r.ContentLength > limits.Body {
		return fault.New(fault.TooLarge, "body-too-large", "The request body is larger than this address accepts.")
	}
	return checkFields(r, limits)
}

// knownMethod lists the methods of RFC 9110 §9 and RFC 5789 that address a
// resource of the app: no tunnel (CONNECT), no echo of credentials (TRACE),
// and nothing that a route's permission has no word for.
func knownMethod(method string) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut,
		http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return true
	}
	return false
}

// CheckTarget refuses every request target but an origin-form (RFC 9112
// §3.2.1) whose path has exactly one reading: nothing that is encoded or
// normalised away by one reader and kept by another. The query is data, and
// only has to be visible ASCII.
func CheckTarget(target string) error {
	if target == "" || target[0] != '/' {
		return refused("the target is not a path of this host")
	}
	for i := range len(target) {
		if target[i] <= ' ' || target[i] >= 0x7f || target[i] == '#' {
			return refused("the target holds a byte that must be encoded")
		}
	}
	path, _, _ := strings.Cut(target, "?")
	if plain(path) {
		return nil
	}
	return checkPath(path)
}

// plain reports whether a path holds only bytes that can never be part of an
// ambiguity: most paths, most of the time.
func plain(path string) bool {
	for i := 1; i < len(path); i++ {
		switch c := path[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_', c == '~':
		case c == '/' && path[i-1] != '/':
		case c == '.' && path[i-1] != '/' && path[i-1] != '.':
		default:
			return false
		}
	}
	return true
}

func checkPath(path string) error {
	decoded := make([]byte, 0, len(path))
	for i := 0; i < len(path); i++ {
		c := path[i]
		if c != '%' {
			if c == ';' || c == '\\' {
				return refused("the path holds a semicolon or a backslash")
			}
			decoded = append(decoded, c)
			continue
		}
		b, ok := unhex(path[i+1:])
		if !ok {
			return refused("the path holds a broken percent-encoding")
		}
		switch {
		case b == '/' || b == '\\' || b == ';':
			return refused("the path holds an encoded separator")
		case b < ' ' || b == 0x7f:
			return refused("the path holds an encoded control byte")
		}
		decoded = append(decoded, b)
		i += 2
	}
	if encodedStill(string(decoded)) {
		return refused("the path is percent-encoded twice")
	}
	if !utf8.Valid(decoded) {
		return refused("the path is not UTF-8")
	}
	for segment := range strings.SplitSeq(string(decoded), "/") {
		if segment == "." || segment == ".." {
			return refused("the path holds a dot segment")
		}
	}
	if strings.Contains(path, "//") {
		return refused("the path holds an empty segment")
	}
	return nil
}

// encodedStill reports whether a reader that decodes once more than the gate
// would read something else.
func encodedStill(decoded string) bool {
	for i := range len(decoded) {
		if decoded[i] != '%' {
			continue
		}
		if _, ok := unhex(decoded[i+1:]); ok {
			return true
		}
	}
	return false
}

// unhex decodes the two digits after a percent sign.
func unhex(s string) (byte, bool) {
	if len(s) < 2 {
		return 0, false
	}
	hi, ok1 := nibble(s[0])
	lo, ok2 := nibble(s[1])
	return hi<<4 | lo, ok1 && ok2
}

func nibble(c byte) (byte, bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10, true
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}

// checkHost lets a name or address, or one with a port, through (RFC 9110
// §4.2.3: no user information), in the bytes that certificates know.
func checkHost(host string) error {
	if host == "" || len(host) > 255+len(":65535") {
		return refused("the request names no host")
	}
	port := portOf(host)
	name := host[:len(host)-len(port)]
	switch {
	case name == "" || name[len(name)-1] == '.':
		return refused("the host ends with a dot") // the same host to DNS, another to cookies and apps
	case name[0] != '[' && strings.Contains(name, ":"):
		return refused("the host is not a name")
	case port != "" && !isPort(port[1:]):
		return refused("the host's port is not a number")
	}
	for i := range len(host) {
		switch c := host[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case c == '-', c == '.', c == ':', c == '[', c == ']', c == '_':
		default:
			return refused("the host is not a name")
		}
	}
	return nil
}

// portOf is the port of a host with its colon, or nothing.
func portOf(host string) string {
	i := strings.LastIndexByte(host, ':')
	if i < 0 || strings.IndexByte(host[i:], ']') >= 0 {
		return ""
	}
	return host[i:]
}

// isPort reports whether a port is written in the one way that every reader
// takes for the same: the grammar allows none at all and leading zeros
// (RFC 3986 §3.2.3), which others drop or keep.
func isPort(s string) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return err == nil && n > 0 && s[0] != '0'
}

func checkFields(r *http.Request, limits FormLimits) error {
	fields, size := 0, 0
	for name, values := range r.Header {
		fields += len(values)
		for _, v := range values {
			size += len(name) + len(v)
		}
	}
	if limits.Fields > 0 && fields > limits.Fields || limits.Header > 0 && size > limits.Header {
		return fault.New(fault.TooLarge, "header-too-large", "The header of this request is too large.")
	}
	if len(r.TransferEncoding) > 0 && (len(r.TransferEncoding) > 1 || r.TransferEncoding[0] != "chunked") {
		return refused("the transfer coding is not supported")
	}
	// HTTP/2 frames a body by itself; a length that says something else makes the
	// request malformed (RFC 9113 §8.1.1).
	if length := r.Header["Content-Length"]; len(length) > 1 || len(length) == 1 && length[0] != strconv.FormatInt(r.ContentLength, 10) {
		return refused("the length of the body is announced in two ways")
	}
	if expect := r.Header["Expect"]; len(expect) > 1 || len(expect) == 1 && !strings.EqualFold(expect[0], "100-continue") {
		return refused("this expectation cannot be met")
	}
	return checkUpgrade(r)
}

// checkUpgrade lets a client ask for one protocol, on a request without a body
// that is a GET, as WebSocket does (RFC 6455 §4.1). h2c is refused: it would
// turn the connection into a tunnel past the gate.
func checkUpgrade(r *http.Request) error {
	upgrade := r.Header["Upgrade"]
	if len(upgrade) == 0 {
		return nil
	}
	named := false
	for _, line := range r.Header["Connection"] {
		for token := range strings.SplitSeq(line, ",") {
			named = named || strings.EqualFold(strings.TrimSpace(token), "upgrade")
		}
	}
	switch {
	case !named:
		return nil // not meant for this hop, and not passed on
	case len(upgrade) > 1, strings.ContainsAny(upgrade[0], ", \t"):
		return refused("one upgrade at a time")
	case strings.HasPrefix(strings.ToLower(upgrade[0]), "h2"):
		return refused("an upgrade to HTTP/2 is not served")
	case r.Method != http.MethodGet || r.ContentLength != 0 || r.ProtoMajor != 1:
		return refused("only a GET without a body can be upgraded")
	}
	return nil
}

func refused(why string) error {
	return fault.Wrap(errors.New(why), fault.Invalid, "malformed-request", "This request cannot be served: %s.", fault.Sentence{Format: why})
}
