package scim

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"unicode/utf8"

	scimerrors "github.com/elimity-com/scim/errors"

	"gatehouse/internal/fault"
)

const (
	maxBody  = 1 << 20
	maxDepth = 64
)

// readObject reads the request's one JSON object: at most 1 MiB and 64 levels,
// valid UTF-8, no name twice in an object whatever its letter case (RFC 7643
// §2.1: attribute names ignore it), so that no two readers see different things.
func readObject(w http.ResponseWriter, r *http.Request) (map[string]any, error) {
	if err := checkContentType(r.Header.Values("Content-Type")); err != nil {
		return nil, err
	}
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if tooBig, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return nil, fault.Wrap(tooBig, fault.TooLarge, "body-too-large", "The request body is larger than 1 MiB.")
	}
	if err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "body-unreadable", "The request body ended early.")
	}
	v, err := decodeStrict(data)
	if err != nil {
		return nil, bad(scimerrors.ScimTypeInvalidSyntax, "The request body cannot be used: %v.", err)
	}
	object, ok := v.(map[string]any)
	if !ok {
		return nil, bad(scimerrors.ScimTypeInvalidSyntax, "The request body is not a JSON object.")
	}
	return object, nil
}

// checkContentType accepts SCIM's own media type and plain JSON (RFC 7644
// §3.1), in UTF-8.
func checkContentType(values []string) error {
	if len(values) == 1 {
		media, params, err := mime.ParseMediaType(values[0])
		charset, given := params["charset"]
		if err == nil && (media == mediaType || media == "application/json") && (!given || strings.EqualFold(charset, "utf-8")) {
			return nil
		}
	}
	return scimerrors.ScimError{Status: http.StatusUnsupportedMediaType,
		Detail: "The Content-Type must be application/scim+json or application/json, in UTF-8."}
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
		key := strings.ToLower(name)
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

// member finds an attribute of an object, letter case ignored.
func member(object map[string]any, name string) (any, bool) {
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
