// Package strict reads the JSON of strangers in the one way in which it can be
// read: what says the same thing twice, is nested deeply or goes on after its end
// is refused.
//
// It exists because tokens and the answers about them are judged by what stands in
// them, and two readers must not find two things there. It must not know what any
// of it means.
package strict

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
	"unicode/utf8"
)

// MaxDepth is how deep a document of strangers may be nested: a subject in an
// event takes five.
const MaxDepth = 12

// ErrTooDeep is why a document that is nested deeper is not read.
var ErrTooDeep = fmt.Errorf("strict: nested deeper than %d levels", MaxDepth)

// Object is a JSON object that was read strictly.
type Object map[string]any

// Parse reads one JSON object in UTF-8, in which no name comes twice: what is
// read twice can be read in two ways (RFC 8725 §2.4).
func Parse(raw []byte) (Object, error) {
	if !utf8.Valid(raw) {
		return nil, errors.New("strict: not UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	v, err := value(d, MaxDepth)
	if err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("strict: something follows the JSON")
	}
	o, ok := v.(Object)
	if !ok {
		return nil, errors.New("strict: no JSON object")
	}
	return o, nil
}

// value reads the next value, which may be nested so many levels deep.
func value(d *json.Decoder, depth int) (any, error) {
	token, err := d.Token()
	if err != nil {
		return nil, err
	}
	delimiter, ok := token.(json.Delim)
	if !ok {
		return token, nil
	}
	if depth == 0 {
		return nil, ErrTooDeep
	}
	var all any
	if delimiter == '{' {
		all, err = members(d, depth-1)
	} else {
		all, err = elements(d, depth-1)
	}
	if err != nil {
		return nil, err
	}
	_, err = d.Token() // the end of it
	return all, err
}

func members(d *json.Decoder, depth int) (Object, error) {
	o := Object{}
	for d.More() {
		token, err := d.Token()
		if err != nil {
			return nil, err
		}
		name, ok := token.(string)
		if !ok {
			return nil, errors.New("strict: no name of a member")
		}
		if _, twice := o[name]; twice {
			return nil, errors.New("strict: a member comes twice")
		}
		if o[name], err = value(d, depth); err != nil {
			return nil, err
		}
	}
	return o, nil
}

func elements(d *json.Decoder, depth int) ([]any, error) {
	list := []any{}
	for d.More() {
		v, err := value(d, depth)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	return list, nil
}

// Text is a member that is a string; "" if it is not there or another thing.
func (o Object) Text(name string) string {
	s, _ := o[name].(string)
	return s
}

// Has reports whether there is a member, null included.
func (o Object) Has(name string) bool {
	_, there := o[name]
	return there
}

// Texts is a member that is a string or a list of them, as aud is (RFC 7519
// §4.1.3).
func (o Object) Texts(name string) []string {
	switch v := o[name].(type) {
	case string:
		return []string{v}
	case []any:
		var all []string
		for _, one := range v {
			s, ok := one.(string)
			if !ok {
				return nil
			}
			all = append(all, s)
		}
		return all
	}
	return nil
}

// Seconds is a member that is a NumericDate (RFC 7519 §2), as far as it can be a
// time.
func (o Object) Seconds(name string) (time.Time, bool) {
	const latest = 1 << 40
	number, ok := o[name].(json.Number)
	if !ok {
		return time.Time{}, false
	}
	n, err := number.Float64()
	if err != nil || n <= 0 || n > latest {
		return time.Time{}, false
	}
	return time.Unix(int64(n), 0), true
}
