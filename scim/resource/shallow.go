package resource

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// maxRawNames bounds an object that is read as it stands.
const maxRawNames = 64

// Raw is a JSON object whose values stand as they were sent: a message that may be
// large is unpacked piece by piece, so that a few bytes never become many.
type Raw map[string]json.RawMessage

// DecodeRaw reads one JSON object as strictly as [Decode], as far as it looks.
func DecodeRaw(data []byte) (Raw, error) {
	if !utf8.Valid(data) {
		return nil, unusable(errors.New("it is not valid UTF-8"))
	}
	if !json.Valid(data) {
		return nil, unusable(errors.New("it is not valid JSON"))
	}
	d := json.NewDecoder(bytes.NewReader(data))
	if token, err := d.Token(); err != nil || token != json.Delim('{') {
		return nil, errNoObject
	}
	object, seen := make(Raw), make(map[string]bool)
	for d.More() {
		token, err := d.Token()
		if err != nil {
			return nil, unusable(err)
		}
		if len(object) == maxRawNames {
			return nil, unusable(fmt.Errorf("it has more than %d names", maxRawNames))
		}
		name, _ := token.(string) // in a valid object it is one
		key := folded(name)
		if seen[key] {
			return nil, unusable(fmt.Errorf("it has %.64q twice", name))
		}
		seen[key] = true
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return nil, unusable(err)
		}
		object[name] = value
	}
	return object, nil
}

// Text gives a value that is a string, as Member finds it; false if it is something
// else. One that is not there, or null, is empty.
func (r Raw) Text(name string) (text string, ok bool) {
	value := r.Value(name)
	if value == nil {
		return "", true
	}
	return text, value[0] == '"' && json.Unmarshal(value, &text) == nil
}

// Value gives a value, letter case ignored; nil if it is not there, or null.
func (r Raw) Value(name string) json.RawMessage {
	value, ok := r[name]
	for k, v := range r {
		if !ok && strings.EqualFold(k, name) {
			value = v
		}
	}
	if value == nil || value[0] == 'n' {
		return nil
	}
	return value
}

// List gives the elements of a value that is a list, at most so many and one more;
// false if it is something else.
func (r Raw) List(name string, most int) (list []json.RawMessage, ok bool) {
	d := json.NewDecoder(bytes.NewReader(r.Value(name)))
	if token, err := d.Token(); err != nil || token != json.Delim('[') {
		return nil, false
	}
	for d.More() && len(list) <= most {
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return nil, false
		}
		list = append(list, value)
	}
	return list, true
}
