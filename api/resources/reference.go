package resources

import (
	"errors"
	"io/fs"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// resolve replaces references in the values of a document: ${NAME} by the
// environment's value, and file:PATH by the file's content without its last
// line break. "$${" stands for "${". What is found is not looked through again
// and never quoted in a mistake.
func (p *reader) resolve(root ast.Node) error {
	v := &resolver{reader: p}
	ast.Walk(v, root)
	return v.err
}

type resolver struct {
	reader *reader
	err    error
}

// Visit implements ast.Visitor; keys are left alone.
func (v *resolver) Visit(node ast.Node) ast.Visitor {
	if v.err != nil {
		return nil
	}
	switch n := node.(type) {
	case *ast.MappingValueNode:
		ast.Walk(v, n.Value)
		return nil
	case *ast.StringNode:
		value, what := v.reader.expand(n.Value)
		if what != "" {
			v.err = v.reader.at(n.GetToken(), what)
			return nil
		}
		n.Value = value
	}
	return v
}

func (p *reader) expand(value string) (expanded, what string) {
	if path, ok := strings.CutPrefix(value, "file:"); ok {
		return p.read(path)
	}
	var b strings.Builder
	for rest := value; ; {
		before, after, found := strings.Cut(rest, "${")
		if !found {
			b.WriteString(rest)
			return b.String(), ""
		}
		if literal, escaped := strings.CutSuffix(before, "$"); escaped {
			b.WriteString(literal + "${")
			rest = after
			continue
		}
		name, tail, closed := strings.Cut(after, "}")
		if !closed || name == "" {
			return "", "${ begins a reference to an environment variable: write ${NAME}, or $${ for the characters themselves"
		}
		content, set := p.around.LookupEnv(name)
		if !set || content == "" {
			return "", "the environment variable " + clip(name) + " is not set"
		}
		b.WriteString(before + content)
		rest = tail
	}
}

// read reads a file of text.
func (p *reader) read(path string) (content, what string) {
	data, what := p.load(path)
	return strings.TrimSuffix(strings.TrimSuffix(string(data), "\n"), "\r"), what
}

// load reads a file as it is.
func (p *reader) load(path string) (content []byte, what string) {
	data, err := p.around.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, "there is no file " + clip(path)
	case err != nil:
		return nil, "the file " + clip(path) + " cannot be read"
	case len(data) > maxReference:
		return nil, "the file " + clip(path) + " is larger than 512 KiB"
	case len(data) == 0:
		return nil, "the file " + clip(path) + " is empty"
	}
	return data, ""
}
