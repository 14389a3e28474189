package resource

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	scimerrors "github.com/elimity-com/scim/errors"
)

const maxDepth = 64

// Decode reads one JSON object: at most 64 levels, valid UTF-8, no name twice
// in an object whatever its letter case (RFC 7643 §2.1: attribute names ignore
// it), so that no two readers see different things.
func Decode(data []byte) (map[string]any, error) {
	v, err := decodeStrict(data)
	if err != nil {
		return nil, unusable(err)
	}
	object, ok := v.(map[string]any)
	if !ok {
		return nil, errNoObject
	}
	return object, nil
}

var errNoObject = Bad(scimerrors.ScimTypeInvalidSyntax, "The request body is not a JSON object.")

func unusable(why error) error {
	return Bad(scimerrors.ScimTypeInvalidSyntax, "The request body cannot be used: %v.", why)
}

// decodeStrict decodes one JSON value into maps, slices, strings, bools,
// json.Number and nil.
func decodeStrict(data []byte) (any, error) {
	if !utf8.Valid(data) {
		return nil, errors.New("it is not valid UTF-8")
	}
	// The token reader below is laxer about commas than the grammar is.
	if !json.Valid(data) {
		return nil, errors.New("it is not valid JSON")
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	return decodeValue(d, 0)
}

func decodeValue(d *json.Decoder, depth int) (any, error) {
	token, err := d.Token()
	if err != nil {
		return nil, err
	}
	delim, ok := token.(json.Delim)
	if !ok {
		return token, nil
	}
	if depth >= maxDepth {
		return nil, fmt.Errorf("it is nested more than %d deep", maxDepth)
	}
	if delim == '[' {
		return decodeArray(d, depth)
	}
	return decodeMembers(d, depth)
}

func decodeArray(d *json.Decoder, depth int) (any, error) {
	list := []any{}
	for d.More() {
		v, err := decodeValue(d, depth+1)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	_, err := d.Token() // the closing bracket
	return list, err
}

func decodeMembers(d *json.Decoder, depth int) (any, error) {
	object := make(map[string]any)
	seen := make(map[string]bool)
	for d.More() {
		token, err := d.Token()
		if err != nil {
			return nil, err
		}
		name, ok := token.(string)
		if !ok {
			return nil, errors.New("a name is not a string")
		}
		key := folded(name)
		if seen[key] {
			return nil, fmt.Errorf("it has %.64q twice", name)
		}
		seen[key] = true
		if object[name], err = decodeValue(d, depth+1); err != nil {
			return nil, err
		}
	}
	_, err := d.Token() // the closing brace
	return object, err
}

// folded gives the same text for all names that are one and the same, which are those
// that [strings.EqualFold] takes for equal: s, S and the long s (U+017F) are, of which
// [strings.ToLower] makes two.
func folded(name string) string {
	return strings.Map(func(r rune) rune {
		least := r
		for other := unicode.SimpleFold(r); other != r; other = unicode.SimpleFold(other) {
			least = min(least, other)
		}
		if 'A' <= least && least <= 'Z' { // as most names are written
			return least + 'a' - 'A'
		}
		return least
	}, name)
}

// Member finds an attribute of an object, letter case ignored.
func Member(object map[string]any, name string) (any, bool) {
	if v, ok := object[name]; ok {
		return v, true
	}
	for k, v := range object {
		if strings.EqualFold(k, name) {
			return v, true
		}
	}
	return nil, false
}
