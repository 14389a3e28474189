package scim_test

import (
	"maps"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// At least 120 shapes of requests are there, over all providers.
func TestSequencesHaveManyShapes(t *testing.T) {
	files, err := filepath.Glob(sequences)
	must(t, err)
	shapes := make(map[string]bool)
	for _, file := range files {
		s, err := readScript(file)
		must(t, err)
		for i := range s.steps {
			shape, err := s.steps[i].shape()
			if err != nil {
				t.Fatalf("%s:%d: the body is no JSON: %v", file, s.steps[i].line, err)
			}
			shapes[shape] = true
		}
	}
	t.Logf("%d shapes in %d files", len(shapes), len(files))
	if len(shapes) < 120 {
		t.Errorf("%d shapes are too few", len(shapes))
	}
}

var (
	quotedText = regexp.MustCompile(`"(\\.|[^"\\])*"`)
	scriptName = regexp.MustCompile(`\$[A-Za-z][A-Za-z0-9]*`)
	anyNumber  = regexp.MustCompile(`\b[0-9]+\b`)
)

// shape is what is left of a request when the values are taken out of it: the
// method, the form of the path, and the form of the body.
func (s *step) shape() (string, error) {
	path, query, _ := strings.Cut(s.path, "?")
	path = scriptName.ReplaceAllString(path, "{id}")
	for _, part := range strings.Split(query, "&") {
		name, value, _ := strings.Cut(part, "=")
		value = anyNumber.ReplaceAllString(quotedText.ReplaceAllString(value, "{text}"), "{number}")
		path += " " + name + "=" + value
	}
	if s.body == "" {
		return s.method + " " + path, nil
	}
	body, err := parseJSON(manyMembers.ReplaceAllString(s.body, `{"value":"x"}`))
	return s.method + " " + path + " " + formOf(body, "", s.method == "PATCH"), err
}

// formOf gives the form of a JSON value. Lists of many of one form count as one
// of it. In a PATCH the operation is part of the form, and so is its path but
// for the values in it.
func formOf(v any, name string, patch bool) string {
	switch v := v.(type) {
	case map[string]any:
		var members []string
		for _, key := range slices.Sorted(maps.Keys(v)) {
			members = append(members, quotedText.ReplaceAllString(key, "{text}")+":"+formOf(v[key], key, patch))
		}
		return "{" + strings.Join(members, ",") + "}"
	case []any:
		var forms []string
		for _, element := range v {
			if form := formOf(element, "", patch); !slices.Contains(forms, form) || name == "Operations" {
				forms = append(forms, form)
			}
		}
		return "[" + strings.Join(forms, ",") + "]"
	case string:
		switch {
		case patch && name == "op":
			return v
		case patch && name == "path":
			return quotedText.ReplaceAllString(v, "{text}")
		case strings.EqualFold(v, "true"), strings.EqualFold(v, "false"):
			return "boolean as text"
		case v == "":
			return "no text"
		case strings.HasPrefix(v, "{"):
			return "JSON as text"
		}
		return "text"
	case bool:
		return "boolean"
	case nil:
		return "null"
	}
	return "number"
}

// escaped is a path with its query as it goes over the wire.
func escaped(path string) string {
	path, query, ok := strings.Cut(path, "?")
	if !ok {
		return path
	}
	var parts []string
	for _, part := range strings.Split(query, "&") {
		name, value, _ := strings.Cut(part, "=")
		parts = append(parts, name+"="+strings.ReplaceAll(url.QueryEscape(value), "+", "%20"))
	}
	return path + "?" + strings.Join(parts, "&")
}
