package resources

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// Bounds of one file; the parser's time grows faster than its input in keys
// and nesting, so they are checked on the tokens, which come in linear time.
const (
	MaxBytes     = 1 << 20
	maxTokens    = 20_000
	maxDepth     = 16 // of brackets, and of lists begun on one line
	maxIndent    = 64
	maxLine      = 128 << 10 // a logo is one of 86 KiB
	maxDocuments = 1_000
	maxReference = 512 << 10
)

// Surroundings is where references are looked up.
type Surroundings struct {
	LookupEnv func(name string) (string, bool)
	// ReadFile reads a file that a document names, at most 512 KiB of it.
	ReadFile func(path string) ([]byte, error)
}

// Mistake is one thing wrong with a file, and where: File, Line and Column are
// as an editor counts them.
type Mistake struct {
	File         string
	Line, Column int
	What         string
}

// Error gives "file:line:column: what".
func (m *Mistake) Error() string {
	return fmt.Sprintf("%s:%d:%d: %s", m.File, m.Line, m.Column, m.What)
}

// Parse reads every document of a file, strictly: unknown and duplicate keys,
// anchors, tags and documents of unknown kinds are mistakes. References are
// replaced by what they refer to. On failure the error joins a [Mistake] per
// document.
func Parse(file string, data []byte, around Surroundings) ([]Document, error) {
	p := &reader{file: file, around: around}
	tokens, err := p.admit(data)
	if err != nil {
		return nil, err
	}
	parsed, err := parser.Parse(tokens, 0)
	if err != nil {
		return nil, p.mistake(err)
	}
	if len(parsed.Docs) > maxDocuments {
		return nil, p.at(nil, fmt.Sprintf("the file holds more than %d documents", maxDocuments))
	}
	var documents []Document
	var mistakes []error
	for _, doc := range parsed.Docs {
		if doc.Body == nil || doc.Body.Type() == ast.NullType {
			continue
		}
		document, err := p.document(doc.Body)
		if err != nil {
			mistakes = append(mistakes, err)
			continue
		}
		documents = append(documents, document)
	}
	return documents, errors.Join(mistakes...)
}

type reader struct {
	file   string
	around Surroundings
}

// admit cuts the text into tokens and refuses what resources have no use for.
func (p *reader) admit(data []byte) (token.Tokens, error) {
	switch {
	case len(data) > MaxBytes:
		return nil, p.at(nil, "the file is larger than 1 MiB")
	case !utf8.Valid(data):
		return nil, p.at(nil, "the file is not UTF-8 text")
	}
	for line := range strings.Lines(string(data)) {
		if len(line) > maxLine {
			return nil, p.at(nil, fmt.Sprintf("a line is longer than %d bytes", maxLine))
		}
	}
	tokens := lexer.Tokenize(string(data))
	depth, line, dashes := 0, 0, 0
	for i, t := range tokens {
		if t.Position.Line != line {
			line, dashes = t.Position.Line, 0
		}
		switch t.Type {
		case token.AnchorType, token.AliasType, token.MergeKeyType:
			return nil, p.at(t, "anchors and aliases (&, *, <<) are not accepted: write the value out")
		case token.TagType, token.DirectiveType:
			return nil, p.at(t, "tags and directives (!, %) are not accepted: write the plain value")
		case token.SequenceEntryType:
			dashes++
		case token.SequenceStartType, token.MappingStartType:
			depth++
		case token.SequenceEndType, token.MappingEndType:
			depth--
		}
		if max(depth, dashes) > maxDepth || i > maxTokens || t.Position.IndentNum > maxIndent {
			return nil, p.at(t, "the file is nested too deeply or holds too many values")
		}
	}
	return tokens, nil
}

// envelope is the frame that every kind shares.
type envelope[T any] struct {
	Kind   Kind   `yaml:"kind"`
	Tenant string `yaml:"tenant,omitempty"`
	Name   string `yaml:"name"`
	Spec   T      `yaml:"spec"`
}

func (p *reader) document(node ast.Node) (Document, error) {
	if err := p.resolve(node); err != nil {
		return Document{}, err
	}
	var head envelope[any]
	if err := yaml.NodeToValue(node, &head); err != nil {
		return Document{}, p.mistake(err)
	}
	switch {
	case head.Kind.Order() < 0:
		return Document{}, p.at(node.GetToken(), fmt.Sprintf("kind %q is not known: use Tenant, Connection, Team, Role, Assignment, Service, Webhook or GoogleSync", clip(string(head.Kind))))
	case head.Name == "":
		return Document{}, p.at(node.GetToken(), "the document has no name")
	case head.Kind == KindTenant && head.Tenant != "":
		return Document{}, p.at(node.GetToken(), "a Tenant is in no tenant: remove the key tenant")
	case head.Kind != KindTenant && head.Tenant == "":
		return Document{}, p.at(node.GetToken(), "the document does not say which tenant it is for")
	}
	switch head.Kind {
	case KindTenant:
		return p.tenant(node)
	case KindTeam:
		return strict[TeamSpec](p, node)
	case KindRole:
		return strict[RoleSpec](p, node)
	case KindAssignment:
		return strict[AssignmentSpec](p, node)
	case KindService:
		return strict[ServiceSpec](p, node)
	case KindWebhook:
		return strict[WebhookSpec](p, node)
	case KindGoogleSync:
		return strict[GoogleSyncSpec](p, node)
	}
	return p.connection(node)
}

// strict reads a whole document, refusing keys that its kind does not have.
func strict[T any](p *reader, node ast.Node) (Document, error) {
	var whole envelope[T]
	if err := yaml.NodeToValue(node, &whole, yaml.Strict()); err != nil {
		return Document{}, p.mistake(err)
	}
	return New(whole.Kind, whole.Tenant, whole.Name, whole.Spec)
}

// tenant also reads the file of a logo in, as connection does.
func (p *reader) tenant(node ast.Node) (Document, error) {
	var whole envelope[TenantSpec]
	if err := yaml.NodeToValue(node, &whole, yaml.Strict()); err != nil {
		return Document{}, p.mistake(err)
	}
	if logo := whole.Spec.Logo; logo != nil {
		if (logo.File == "") == (logo.Base64 == "") {
			return Document{}, p.at(node.GetToken(), "a logo has exactly one of file and base64")
		}
		if logo.File != "" {
			content, what := p.load(logo.File)
			if what != "" {
				return Document{}, p.at(node.GetToken(), what)
			}
			logo.Base64, logo.File = base64.StdEncoding.EncodeToString(content), ""
		}
	}
	return New(whole.Kind, whole.Tenant, whole.Name, whole.Spec)
}

// connection also reads a metadata file in: what is sent names no local file.
func (p *reader) connection(node ast.Node) (Document, error) {
	var whole envelope[ConnectionSpec]
	if err := yaml.NodeToValue(node, &whole, yaml.Strict()); err != nil {
		return Document{}, p.mistake(err)
	}
	if metadata := whole.Spec.IDPMetadata; metadata != nil && metadata.File != "" {
		content, what := p.read(metadata.File)
		if what != "" {
			return Document{}, p.at(node.GetToken(), what)
		}
		metadata.XML, metadata.File = content, ""
	}
	return New(whole.Kind, whole.Tenant, whole.Name, whole.Spec)
}

func (p *reader) at(t *token.Token, what string) error {
	m := &Mistake{File: p.file, Line: 1, Column: 1, What: what}
	if t != nil && t.Position != nil {
		m.Line, m.Column = t.Position.Line, t.Position.Column
	}
	return m
}

func (p *reader) mistake(err error) error {
	if positioned, ok := errors.AsType[yaml.Error](err); ok {
		return p.at(positioned.GetToken(), positioned.GetMessage())
	}
	return p.at(nil, "the document cannot be read")
}

func clip(s string) string {
	if len(s) > 40 {
		return strings.ToValidUTF8(s[:40], "") + "..."
	}
	return s
}
