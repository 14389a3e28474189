package signals

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"
)

// maxDepth is how deep a document of strangers may be nested: a subject in an
// event takes five.
const maxDepth = 12

var errTooDeep = fmt.Errorf("signals: nested deeper than %d levels", maxDepth)

// object is a JSON object that was read strictly.
type object map[string]any

// parse reads one JSON object in UTF-8, in which no name comes twice: what is
// read twice can be read in two ways (RFC 8725 §2.4).
func parse(raw []byte) (object, error) {
	if !utf8.Valid(raw) {
		return nil, errors.New("signals: not UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	v, err := value(d, maxDepth)
	if err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("signals: something follows the JSON")
	}
	o, ok := v.(object)
	if !ok {
		return nil, errors.New("signals: no JSON object")
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
		return nil, errTooDeep
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

func members(d *json.Decoder, depth int) (object, error) {
	o := object{}
	for d.More() {
		token, err := d.Token()
		if err != nil {
			return nil, err
		}
		name, ok := token.(string)
		if !ok {
			return nil, errors.New("signals: no name of a member")
		}
		if _, twice := o[name]; twice {
			return nil, errors.New("signals: a member comes twice")
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

// text is a member that is a string; "" if it is not there or another thing.
func (o object) text(name string) string {
	s, _ := o[name].(string)
	return s
}

// has reports whether there is a member, null included.
func (o object) has(name string) bool {
	_, there := o[name]
	return there
}

// texts is a member that is a string or a list of them, as aud is (RFC 7519
// §4.1.3).
func (o object) texts(name string) []string {
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
