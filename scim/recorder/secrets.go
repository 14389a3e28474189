package recorder

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"gatehouse/internal/telemetry"
)

// Secrets takes out of texts what must not be kept of a request (promise P6): the token by
// which it came, what is named like a secret, and what is shaped like one. What it has
// found in one text it takes out of the others. It is for one goroutine.
type Secrets struct{ known []string }

// NewSecrets begins with secrets that are known.
func NewSecrets(known ...string) *Secrets {
	s := &Secrets{}
	for _, k := range known {
		s.learn(k)
	}
	return s
}

// leftOut stands in the place of a secret.
const leftOut = "[left out]"

// parts are in names whose values are never kept; of words that are more in other words,
// endings and words are looked for.
var (
	parts   = []string{"password", "passwd", "passphrase", "passcode", "credential", "authorization", "apikey", "api_key", "api-key"}
	endings = []string{"pwd", "secret", "token", "cookie", "assertion"}
	words   = []string{"pin", "private"}
	rare    = slices.Concat(endings, words)
	aWord   = regexp.MustCompile(`[A-Z]+s?\b|[A-Z]?[a-z]+|[A-Z]+`)
	quoted  = regexp.MustCompile(`"(?:[^"\\]|\\.)*"?`)
	// compared is a comparison in a filter (RFC 7644 §3.4.2.2).
	compared  = regexp.MustCompile(`(?i)([\w$.:-]+)(\s+(?:` + strings.Join(operators, "|") + `)\s+)("(?:[^"\\]|\\.)*"?|[^\s()\]]+)`)
	operators = []string{"eq", "ne", "co", "sw", "ew", "gt", "ge", "lt", "le"}
)

// IsSecret reports whether what has this name, or is at this path, is not to be kept.
func IsSecret(name string) bool {
	lower := strings.ToLower(name)
	if slices.ContainsFunc(parts, func(p string) bool { return strings.Contains(lower, p) }) {
		return true
	}
	if !slices.ContainsFunc(rare, func(r string) bool { return strings.Contains(lower, r) }) {
		return false // as of nearly all names: the expression is slow
	}
	for _, word := range aWord.FindAllString(name, -1) {
		word = strings.TrimSuffix(strings.ToLower(word), "s")
		if slices.Contains(words, word) || slices.ContainsFunc(endings, func(e string) bool { return strings.HasSuffix(word, e) }) {
			return true
		}
	}
	return false
}

// isSecretPath does not go by the values that stand in a path.
func isSecretPath(path string) bool {
	if strings.Contains(path, `"`) {
		path = quoted.ReplaceAllString(path, "")
	}
	return IsSecret(path)
}

// filter leaves out of a filter what a secret is compared with.
func filter(text string) string {
	if !compares(text) {
		return text
	}
	return compared.ReplaceAllStringFunc(text, func(one string) string {
		m := compared.FindStringSubmatch(one)
		if !IsSecret(m[1]) {
			return one
		}
		return m[1] + m[2] + strconv.Quote(leftOut)
	})
}

// compares reports whether an operator of a filter may be in a text: the expression is
// slow, and nearly nothing that is sent compares anything.
func compares(text string) bool {
	if strings.Contains(text, "ſ") { // which is an "s" without regard to case
		return true
	}
	const space = " \t\n\f\r"
	for at := strings.IndexAny(text, space); at >= 0 && at+3 < len(text); {
		if strings.IndexByte(space, text[at+3]) >= 0 && slices.Contains(operators, strings.ToLower(text[at+1:at+3])) {
			return true
		}
		next := strings.IndexAny(text[at+1:], space)
		if next < 0 {
			break
		}
		at += 1 + next
	}
	return false
}

// shortest is how long a secret is that is looked for elsewhere: a shorter one is part of
// too much else.
const shortest = 6

func (s *Secrets) learn(secret string) {
	if len(secret) >= shortest && secret != leftOut && !slices.Contains(s.known, secret) && len(s.known) < 100 {
		s.known = append(s.known, secret)
	}
}

// Text gives a text without secrets that are known, or shaped like some, as text that a
// database can hold.
func (s *Secrets) Text(text string) string {
	for _, secret := range s.known {
		text = strings.ReplaceAll(text, secret, leftOut)
	}
	text = strings.ReplaceAll(strings.ToValidUTF8(text, "\uFFFD"), "\x00", "\uFFFD")
	return telemetry.RedactText(filter(text))
}

// Query gives the query of an address without secrets.
func (s *Secrets) Query(raw string) string {
	var parts []string
	for part := range strings.SplitSeq(raw, "&") {
		name, value, given := strings.Cut(part, "=")
		plain, err := url.QueryUnescape(name)
		if err != nil || IsSecret(plain) && !strings.EqualFold(plain, "filter") {
			if given && value != "" {
				part = name + "=" + url.QueryEscape(leftOut)
			}
		} else if v, err := url.QueryUnescape(value); err == nil && s.Text(v) != v {
			part = name + "=" + url.QueryEscape(s.Text(v))
		}
		parts = append(parts, part)
	}
	return s.Text(strings.Join(parts, "&"))
}

// JSON gives a value that stands under a name as JSON, at most limit bytes of it.
func (s *Secrets) JSON(name string, v any, limit int) string {
	if isSecretPath(name) {
		return strconv.Quote(leftOut)
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if e.Encode(v) != nil {
		return ""
	}
	return Cut(s.Body(bytes.TrimSpace(b.Bytes())), limit)
}

// Cut gives at most limit bytes of a text, and says how many are missing.
func Cut(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	at := limit
	for at > 0 && !utf8.RuneStart(text[at]) {
		at--
	}
	return text[:at] + "… (" + strconv.Itoa(len(text)-at) + " bytes more)"
}

// Body gives a body without secrets, as it was sent apart from that. It need not be JSON,
// nor be there to its end: of what cannot be read, all goes that may be a secret.
func (s *Secrets) Body(body []byte) string {
	if !utf8.Valid(trimRune(body)) {
		return "[" + strconv.Itoa(len(body)) + " bytes that are no text]"
	}
	h := hider{text: body}
	if err := h.value(false, 0); err == nil {
		h.space()
	}
	end := len(body)
	if rest := string(body[h.at:]); h.at < end && (IsSecret(rest) || strings.Contains(rest, `\u`)) {
		h.hide(h.at, end)
	}
	var b strings.Builder
	from := 0
	slices.SortFunc(h.hidden, func(a, b span) int { return a.from - b.from })
	for _, piece := range h.hidden {
		if piece.to <= from { // inside of one that is out already
			continue
		}
		piece.from = max(piece.from, from)
		b.Write(body[from:piece.from])
		secret := body[piece.from:piece.to]
		var text string
		if json.Unmarshal(secret, &text) == nil {
			s.learn(text)
		}
		s.learn(string(bytes.Trim(secret, `" `)))
		if piece.from = piece.to; piece.to == end && h.at < end {
			b.WriteString(`"[` + strconv.Itoa(len(secret)) + ` bytes that cannot be read and may hold a secret are left out]"`)
		} else {
			b.WriteString(strconv.Quote(leftOut))
		}
		from = piece.to
	}
	b.Write(body[from:])
	return s.Text(b.String())
}

// trimRune leaves out a rune at the end that was cut in two.
func trimRune(text []byte) []byte {
	for n := 1; n < utf8.UTFMax && n <= len(text); n++ {
		if last := text[len(text)-n:]; utf8.RuneStart(last[0]) {
			if !utf8.FullRune(last) {
				return text[:len(text)-n]
			}
			break
		}
	}
	return text
}

// hider reads JSON as far as it is some, and notes where the secrets are.
type hider struct {
	text   []byte
	at     int // the first byte that is not understood
	hidden []span
}

type span struct{ from, to int }

var errNoJSON = errors.New("recorder: no JSON")

// maxNested is how deep a hider looks.
const maxNested = 64

func (h *hider) hide(from, to int) { h.hidden = append(h.hidden, span{from, to}) }

func (h *hider) space() {
	for h.at < len(h.text) && strings.IndexByte(" \t\r\n", h.text[h.at]) >= 0 {
		h.at++
	}
}

// next takes one of the bytes, behind space.
func (h *hider) next(of string) (byte, bool) {
	if h.space(); h.at < len(h.text) && strings.IndexByte(of, h.text[h.at]) >= 0 {
		h.at++
		return h.text[h.at-1], true
	}
	return 0, false
}

// value reads one value; secret has it hidden, with all behind it where it has no end.
func (h *hider) value(secret bool, depth int) (err error) {
	h.space()
	from := h.at
	if secret {
		defer func() {
			if err != nil {
				h.at = len(h.text) // there is nothing behind it that could be told from it
				h.hide(from, h.at)
				return
			}
			h.hide(from, h.at)
		}()
	}
	if h.at == len(h.text) || depth > maxNested {
		return errNoJSON
	}
	switch h.text[h.at] {
	case '{':
		return h.object(depth)
	case '[':
		h.at++
		if _, ok := h.next("]"); ok {
			return nil
		}
		for {
			if err := h.value(false, depth+1); err != nil {
				return err
			}
			if c, ok := h.next(",]"); !ok {
				return errNoJSON
			} else if c == ']' {
				return nil
			}
		}
	case '"':
		text, err := h.string()
		// Some put JSON into a text.
		if inner := strings.TrimSpace(text); err == nil && inner != "" && (inner[0] == '{' || inner[0] == '[') && (IsSecret(inner) || strings.Contains(inner, `\u`)) {
			h.hide(from, h.at)
		}
		if err == nil && filter(text) != text {
			h.hide(from, h.at)
		}
		return err
	}
	for h.at < len(h.text) && strings.IndexByte("-+.0123456789abcdefghijklmnopqrstuvwxyzE", h.text[h.at]) >= 0 {
		h.at++
	}
	if word := h.text[from:h.at]; h.at < len(h.text) && !json.Valid(word) || len(word) == 0 {
		h.at = from
		return errNoJSON
	}
	return nil
}

// string reads a string. One without an end is not understood from its beginning on.
func (h *hider) string() (text string, err error) {
	from, plain := h.at, true
	for i := from + 1; i < len(h.text); i++ {
		switch c := h.text[i]; {
		case c == '\\':
			i++
			plain = false
		case c < ' ':
			return "", errNoJSON
		case c == '"':
			if text = string(h.text[from+1 : i]); !plain && json.Unmarshal(h.text[from:i+1], &text) != nil {
				return "", errNoJSON
			}
			h.at = i + 1
			return text, nil
		}
	}
	return "", errNoJSON
}

// object reads an object. In the operation of a PATCH, the path says what the value is.
func (h *hider) object(depth int) (err error) {
	var values []span // all, where a name is there twice
	secret, given := false, false
	defer func() {
		// Of one without an end the path may be yet to come.
		for _, value := range values {
			if value.to > value.from && (secret || err != nil && !given && h.plain(value)) {
				h.hide(value.from, value.to)
			}
		}
	}()
	h.at++
	if _, ok := h.next("}"); ok {
		return nil
	}
	for {
		h.space()
		if h.at == len(h.text) || h.text[h.at] != '"' {
			return errNoJSON
		}
		name, err := h.string()
		if err != nil {
			return err
		}
		if _, ok := h.next(":"); !ok {
			return errNoJSON
		}
		h.space()
		from := h.at
		if strings.EqualFold(name, "value") {
			values = append(values, span{from, len(h.text)})
		}
		if err := h.value(IsSecret(name), depth+1); err != nil {
			return err
		}
		switch {
		case strings.EqualFold(name, "value"):
			values[len(values)-1].to = h.at
		case strings.EqualFold(name, "path"):
			var path string
			given = json.Unmarshal(h.text[from:h.at], &path) == nil || given
			secret = secret || isSecretPath(path)
		}
		if c, ok := h.next(",}"); !ok {
			return errNoJSON
		} else if c == '}' {
			return nil
		}
	}
}

// plain reports whether a value is no object, nor a list of such: those have names of
// their own for what is in them.
func (h *hider) plain(s span) bool {
	text := bytes.TrimLeft(h.text[s.from:s.to], " \t\r\n[")
	return len(text) > 0 && text[0] != '{'
}
