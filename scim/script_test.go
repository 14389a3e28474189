package scim_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"gatehouse/tenants"
)

func TestScriptsLeaveNothingOpen(t *testing.T) {
	for text, want := range map[string]string{
		"== a\n> GET /Users\n@ nothing changes\n":                   "no status",
		"== a\n> GET /Users\n< 200\n":                               "no word on what it does",
		"== a\n< 200\n@ nothing changes\n":                          "no request",
		"== a\n> POST /Users\n{}\n< 201\n@ nothing changes\n":       "no name for what it makes",
		"== \n> GET /Users\n< 200\n@ nothing changes\n":             "no name",
		"> GET /Users\n":                                            "before the first step",
		"== a\n> GET /Users\n< 200\n@ something changes\n":          "no change",
		"== each 3..1: a\n> GET /U\n< 200\n@ nothing changes\n":     "no range",
		"== a\n> GET /Users\n< 200\n@ nothing changes\nmore\n":      "belongs to nothing",
		"== a\n> GET /Users\n{}\n> A: b\n< 200\n@ nothing changes":  "no header",
		"== a\n> GET /Users\n< 200\n@ nothing changes\n== b\n> G /": "no status",
	} {
		file := filepath.Join(t.TempDir(), "script.txt")
		must(t, os.WriteFile(file, []byte(text), 0o600))
		if _, err := readScript(file); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

// A script is the requests of one client in their order, each with what it must
// be answered and what the directory must hold afterwards. Its lines:
//
//	# a remark
//	== what the step is
//	== each 1..40: what the steps are, with {n} in all of what follows
//	! a schema of the tenant's own, as JSON, which its people have from here on
//	> METHOD /path?name=value, as it reads before it is escaped
//	> Header: value
//	the body, as JSON, until the next of these lines
//	< status NAME {"json": "that the answer has"}
//	@ person NAME {"a": "change of what is expected", "of": "a person"}
//	@ group NAME {"members": ["NAME"]}
//	@ nothing changes
//
// NAME is one that the step gives to the id in its answer, and $NAME that id.
// The part of an answer is a part in every object and the whole in every list;
// "*x*" is a text with x in it. A change is a merge patch (RFC 7396): null takes
// away. What no step has changed must still be as it was.
type script struct {
	file  string
	steps []step
}

type step struct {
	line         int
	name         string
	first, last  int    // {n}; 0 and 0: once
	schema       string // JSON, empty: none
	method, path string
	headers      [][2]string
	body         string
	status       int
	made         string // name for the id in the answer
	answer       string // JSON, empty: not looked at
	changes      []change
}

// change is one of what is expected of the directory; kind "" changes nothing.
type change struct{ kind, name, patch string }

// readScript refuses a file that leaves open what a step must be answered, or
// what it does to the directory.
func readScript(file string) (*script, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	s := &script{file: file}
	var into *string // where lines without a mark go on
	for i, line := range strings.Split(string(data), "\n") {
		mark, rest, _ := strings.Cut(line, " ")
		rest = strings.TrimSpace(rest)
		switch {
		case mark == "#":
			into = nil
		case mark == "==":
			if err := s.finish(); err != nil {
				return nil, err
			}
			s.steps = append(s.steps, step{line: i + 1})
			into, err = nil, s.steps[len(s.steps)-1].readName(rest)
		case len(s.steps) == 0 && strings.TrimSpace(line) != "":
			err = fmt.Errorf("%q stands before the first step", line)
		case mark == "!" || mark == ">" || mark == "<" || mark == "@":
			into, err = s.steps[len(s.steps)-1].read(mark, rest)
		case into != nil:
			*into += line + "\n"
		case strings.TrimSpace(line) != "":
			err = fmt.Errorf("%q belongs to nothing", line)
		}
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", file, i+1, err)
		}
	}
	return s, s.finish()
}

// finish checks the last step that was read.
func (s *script) finish() error {
	if len(s.steps) == 0 {
		return nil
	}
	last := &s.steps[len(s.steps)-1]
	missing := ""
	switch {
	case last.method == "":
		missing = "request"
	case last.status == 0:
		missing = "status that it must be answered with"
	case len(last.changes) == 0:
		missing = "word on what it does to the directory"
	case last.status == 201 && last.made == "":
		missing = "name for what it makes"
	}
	if missing != "" {
		return fmt.Errorf("%s:%d: step %q has no %s", s.file, last.line, last.name, missing)
	}
	return nil
}

// readSchema reads a schema of a tenant's own.
func readSchema(text string) (s tenants.SCIMSchema, err error) {
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	return s, d.Decode(&s)
}

func (s *step) readName(text string) error {
	s.name = text
	rest, ok := strings.CutPrefix(text, "each ")
	if !ok {
		if text == "" {
			return fmt.Errorf("a step has no name")
		}
		return nil
	}
	_, err := fmt.Sscanf(rest, "%d..%d:", &s.first, &s.last)
	if err == nil && (s.first < 1 || s.last < s.first) {
		err = fmt.Errorf("%q is no range", rest)
	}
	return err
}

func (s *step) read(mark, rest string) (into *string, err error) {
	switch mark {
	case "!":
		s.schema = rest
		return &s.schema, nil
	case ">":
		if s.method == "" {
			s.method, s.path, _ = strings.Cut(rest, " ")
			return &s.body, nil
		}
		name, value, ok := strings.Cut(rest, ": ")
		if !ok || s.body != "" {
			return nil, fmt.Errorf("%q is no header", rest)
		}
		s.headers = append(s.headers, [2]string{name, value})
		return &s.body, nil
	case "<":
		status, more, _ := strings.Cut(rest, " ")
		if s.status, err = strconv.Atoi(status); err != nil {
			return nil, err
		}
		if more != "" && !strings.HasPrefix(more, "{") {
			s.made, more, _ = strings.Cut(more, " ")
		}
		s.answer = more
		return &s.answer, nil
	}
	if rest == "nothing changes" {
		s.changes = append(s.changes, change{})
		return nil, nil
	}
	kind, more, _ := strings.Cut(rest, " ")
	name, patch, ok := strings.Cut(more, " ")
	if !ok || kind != "person" && kind != "group" {
		return nil, fmt.Errorf("%q is no change of the directory", rest)
	}
	s.changes = append(s.changes, change{kind, name, patch})
	return &s.changes[len(s.changes)-1].patch, nil
}

// times gives the step as often as it is to be done.
func (s *step) times() []step {
	if s.last == 0 {
		return []step{*s}
	}
	var all []step
	for n := s.first; n <= s.last; n++ {
		fill := func(text string) string { return strings.ReplaceAll(text, "{n}", strconv.Itoa(n)) }
		one := *s
		one.name, one.path, one.body, one.made, one.answer = fill(s.name), fill(s.path), fill(s.body), fill(s.made), fill(s.answer)
		one.changes = make([]change, 0, len(s.changes))
		for _, c := range s.changes {
			one.changes = append(one.changes, change{c.kind, fill(c.name), fill(c.patch)})
		}
		all = append(all, one)
	}
	return all
}

// mergePatch applies a change to a JSON value (RFC 7396 §2).
func mergePatch(target, patch any) any {
	changes, ok := patch.(map[string]any)
	if !ok {
		return patch
	}
	out := make(map[string]any)
	if object, ok := target.(map[string]any); ok {
		for name, v := range object {
			out[name] = v
		}
	}
	for name, v := range changes {
		if v == nil {
			delete(out, name)
			continue
		}
		out[name] = mergePatch(out[name], v)
	}
	return out
}

// lacks says where an answer is not as a script has it; empty: nowhere.
func lacks(got, want any, at string) string {
	switch want := want.(type) {
	case map[string]any:
		object, ok := got.(map[string]any)
		if !ok {
			return fmt.Sprintf("%s is %v", at, got)
		}
		for name, v := range want {
			if wrong := lacks(object[name], v, at+"."+name); wrong != "" {
				return wrong
			}
		}
		return ""
	case []any:
		list, ok := got.([]any)
		if got == nil && len(want) == 0 {
			return ""
		}
		if !ok || len(list) != len(want) {
			return fmt.Sprintf("%s is %v", at, got)
		}
		for i := range want {
			if wrong := lacks(list[i], want[i], fmt.Sprint(at, "[", i, "]")); wrong != "" {
				return wrong
			}
		}
		return ""
	case string:
		text, _ := got.(string)
		if inner, ok := strings.CutPrefix(want, "*"); ok && strings.Contains(text, strings.TrimSuffix(inner, "*")) {
			return ""
		}
	}
	if got != want {
		return fmt.Sprintf("%s is %v, not %v", at, got, want)
	}
	return ""
}

func parseJSON(text string) (v any, err error) {
	err = json.Unmarshal([]byte(text), &v)
	return v, err
}
