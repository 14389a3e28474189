package configs

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// The parser's time grows faster than its input in keys and nesting, so both
// are bounded on the tokens, which come in linear time.
const (
	maxTokens = 20_000
	maxDepth  = 32
	maxLine   = 4096
)

// parseYAML gives the document's root mapping; nil after reporting why not.
func parseYAML(c *checker, data []byte) ast.Node {
	start := position{1, 1}
	switch {
	case len(data) > MaxBytes:
		c.addAt(start, "the file is larger than 1 MiB", "shorten it")
		return nil
	case bytes.ContainsAny(data, "\ue000\ue001"):
		c.addAt(start, "the file holds characters of Unicode's private use area", "remove them")
		return nil
	case !utf8.Valid(data):
		c.addAt(start, "the file is not UTF-8 text", "save it as UTF-8")
		return nil
	}
	line := 0
	for text := range strings.Lines(string(data)) {
		if line++; len(text) > maxLine {
			c.addAt(position{line, 1}, fmt.Sprintf("the line is longer than %d characters", maxLine), "break it up")
			return nil
		}
	}
	tokens := tokenize(string(data))
	if !admit(c, tokens) {
		return nil
	}
	// Duplicate keys are found by the decoder, which goes on to find the rest.
	file, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		reportSyntax(c, err)
		return nil
	}
	var bodies []ast.Node
	for _, document := range file.Docs {
		if document.Body != nil {
			bodies = append(bodies, document.Body)
		}
	}
	switch len(bodies) {
	case 0:
		c.addAt(start, "the file is empty", "start from configs/samples/minimal.yaml")
		return nil
	case 1:
		return bodies[0]
	}
	c.addAt(positionOf(bodies[1]), "there is more than one document in the file", "keep one, without ---")
	return nil
}

// placeholders are braces in a path that stands without quotes. YAML gives
// braces a meaning inside { ... } (YAML 1.2 §7.3.3), where routes are usually
// written: path: /api/teams/{team}/** shall mean what it shows all the same.
var placeholders = regexp.MustCompile(`\bpath:[ \t]+/[^\s,'"#]*`)

// hide and unhide replace such braces while the text is cut into tokens, one rune
// for one, so that columns stay true.
var (
	hide   = regexp.MustCompile(`\{([A-Za-z0-9_-]+)\}`)
	unhide = strings.NewReplacer("\ue000", "{", "\ue001", "}")
)

func tokenize(text string) token.Tokens {
	tokens := lexer.Tokenize(placeholders.ReplaceAllStringFunc(text, func(path string) string {
		return hide.ReplaceAllString(path, "\ue000$1\ue001")
	}))
	for _, t := range tokens {
		t.Value, t.Origin = unhide.Replace(t.Value), unhide.Replace(t.Origin)
	}
	return tokens
}

// admit refuses what a config file has no use for: references inside the
// document (whose expansion can grow without bound), tags, and sheer mass.
func admit(c *checker, tokens token.Tokens) bool {
	depth := 0
	for i, t := range tokens {
		at := position{t.Position.Line, t.Position.Column}
		if i == maxTokens {
			c.addAt(at, "the file holds more values than any configuration needs", "shorten it")
			return false
		}
		switch t.Type {
		case token.AnchorType, token.AliasType, token.MergeKeyType:
			c.addAt(at, "anchors and aliases (&, *, <<) are not accepted", "write the value out")
			return false
		case token.TagType, token.DirectiveType:
			c.addAt(at, "tags and directives (!, %) are not accepted", "write the plain value")
			return false
		case token.SequenceStartType, token.MappingStartType:
			depth++
		case token.SequenceEndType, token.MappingEndType:
			depth--
		}
		if depth > maxDepth {
			c.addAt(at, "the brackets are nested too deeply", "flatten it")
			return false
		}
	}
	return true
}

func reportSyntax(c *checker, err error) {
	at, what := position{1, 1}, "the YAML cannot be read"
	if syntax, ok := errors.AsType[yaml.Error](err); ok {
		what += ": " + syntax.GetMessage()
		if t := syntax.GetToken(); t != nil {
			at = position{t.Position.Line, t.Position.Column}
		}
	}
	c.addAt(at, what, "check indentation, quotes and brackets around here")
}

func positionOf(n ast.Node) position {
	if mapping, ok := n.(*ast.MappingNode); ok && !mapping.IsFlowStyle && len(mapping.Values) > 0 {
		n = mapping.Values[0].Key // a block mapping's own token is its first colon
	}
	if t := n.GetToken(); t != nil {
		return position{t.Position.Line, t.Position.Column}
	}
	return position{1, 1}
}
