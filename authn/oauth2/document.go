package oauth2

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"unicode/utf8"

	"gatehouse/authn"
)

// document is what an answer says, and in what form.
type document struct {
	asked question
	raw   []byte
	value any // once it is decoded; objects are map[string]any, numbers json.Number
	utf8  bool
	depth int
	twice bool // a name comes twice in one object
	more  bool // something follows
}

// read reads an answer, and refuses one that is not clearly one answer.
func (q *inquiry) read(r *reply) (*document, error) {
	if err := all(q.checks.replies, r); err != nil {
		return nil, err
	}
	unreadable := authn.Refuse(authn.Malformed, "The identity provider's answer about %s cannot be read.", r.asked)
	d, err := inspect(r)
	if err != nil {
		return nil, unreadable.Because(err)
	}
	if err := all(q.checks.documents, d); err != nil {
		return nil, err
	}
	if err := d.decode(); err != nil {
		return nil, unreadable.Because(err)
	}
	return d, nil
}

// inspect looks at the form of an answer, which costs the same however it is
// nested.
func inspect(r *reply) (*document, error) {
	d := &document{asked: r.asked, raw: r.body, utf8: utf8.Valid(r.body)}
	if r.media == mediaForm {
		return d, d.lookAtForm()
	}
	return d, d.look()
}

// decode reads what the document says.
func (d *document) decode() error {
	if d.value != nil {
		return nil // a form, which is read already
	}
	decoder := json.NewDecoder(bytes.NewReader(d.raw))
	decoder.UseNumber() // float64 would round ids
	return decoder.Decode(&d.value)
}

// look notes the form of the JSON in one pass that does not recurse.
func (d *document) look() error {
	decoder := json.NewDecoder(bytes.NewReader(d.raw))
	decoder.UseNumber()
	var open []map[string]bool // the names of each object around, nil for a list
	naming := false            // the next text is a name
	for first := true; first || len(open) > 0; first = false {
		token, err := decoder.Token()
		if err != nil {
			return err
		}
		switch t := token.(type) {
		case json.Delim:
			switch t {
			case '{':
				open = append(open, map[string]bool{})
			case '[':
				open = append(open, nil)
			default:
				open = open[:len(open)-1]
			}
			d.depth = max(d.depth, len(open))
			naming = len(open) > 0 && open[len(open)-1] != nil
			continue
		case string:
			if naming {
				names := open[len(open)-1]
				d.twice = d.twice || names[t]
				names[t], naming = true, false
				continue
			}
		}
		naming = len(open) > 0 && open[len(open)-1] != nil
	}
	_, err := decoder.Token()
	d.more = !errors.Is(err, io.EOF)
	return nil
}

// lookAtForm reads the encoding that some token endpoints answer in.
func (d *document) lookAtForm() error {
	form, err := url.ParseQuery(string(d.raw))
	if err != nil {
		return errors.New("not form-encoded") // an error that does not quote it
	}
	object := map[string]any{}
	for name, values := range form {
		last := values[len(values)-1]
		object[name] = last
		d.twice = d.twice || len(values) > 1
		d.utf8 = d.utf8 && utf8.ValidString(name) && utf8.ValidString(last)
	}
	d.value = object
	return nil
}

// at follows a path through objects; nil if it leads nowhere.
func at(value any, path string) any {
	for name := range strings.SplitSeq(path, ".") {
		object, ok := value.(map[string]any)
		if !ok {
			return nil
		}
		value = object[name]
	}
	return value
}

// text is what a value says as text; a number is as it was written.
func text(value any) string {
	switch v := value.(type) {
	case string:
		return v
	case nil:
		return ""
	}
	return fmt.Sprint(value)
}

// wordOf is a value that is text.
func wordOf(value any) string {
	s, _ := value.(string)
	return s
}

// isWhole reports whether a value is a whole number above 0, written as such: 1e3
// and 1.0 are other ways to write a number, and an id has one.
func isWhole(value any) bool {
	n, ok := value.(json.Number)
	return ok && n != "" && n[0] != '0' && strings.Trim(string(n), "0123456789") == ""
}

// label is what a thing is called: by text or by a number.
func label(value any) string {
	if isWhole(value) {
		return text(value)
	}
	return wordOf(value)
}
