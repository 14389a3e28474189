package saml

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"slices"
	"strings"

	"gatehouse/authn"
)

// Limits on a document, before anything costly looks at it. Real responses
// are a tenth of these.
const (
	maxDocument   = 256 << 10
	maxDepth      = 32
	maxElements   = 4096
	maxAttributes = 32
)

// element is an XML element as far as its shape matters.
type element struct {
	name     xml.Name
	attrs    []xml.Attr
	parent   *element
	children []*element
	text     []byte // its own text, joined
}

// scan reads a document into its elements in time linear to its size. It
// refuses what could make two parsers read it differently: document types,
// entities, processing instructions, comments, an attribute given twice, and
// anything after the end.
func scan(raw []byte) (*element, error) { return strict.scan(raw) }

// scanMetadata is scan for documents that people write, and comment.
func scanMetadata(raw []byte) (*element, error) {
	lenient := strict
	lenient.tokens = slices.DeleteFunc(slices.Clone(strict.tokens), func(c check[piece]) bool { return c.name == "comment" })
	return lenient.scan(raw)
}

func (r *rules) scan(raw []byte) (*element, error) {
	if err := pass(r.size, raw); err != nil {
		return nil, err
	}
	d := xml.NewDecoder(bytes.NewReader(raw)) // #nosec G709 -- reading it strictly is what this function is for
	s := &scanner{}
	for first := true; ; first = false {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, authn.Refuse(authn.Malformed, "The message is not well-formed XML.").Because(err)
		}
		if err := pass(r.tokens, piece{token, first, s}); err != nil {
			return nil, err
		}
		s.take(token)
	}
	if s.root == nil {
		return nil, authn.Refuse(authn.Malformed, "The message is empty.")
	}
	return s.root, nil
}

func bounded(raw []byte) error {
	if len(raw) > maxDocument {
		return authn.Refuse(authn.TooLarge, "The message is larger than %d bytes.", maxDocument)
	}
	return nil
}

type scanner struct {
	root, at *element
	depth    int
	elements int
}

// take adds what was let through to the tree.
func (s *scanner) take(token xml.Token) {
	switch t := token.(type) {
	case xml.StartElement:
		s.depth++
		s.elements++
		e := &element{name: t.Name, attrs: slices.Clone(t.Attr), parent: s.at}
		if s.at != nil {
			s.at.children = append(s.at.children, e)
		} else if s.root == nil {
			s.root = e
		}
		s.at = e
	case xml.EndElement:
		s.at = s.at.parent
		s.depth--
	case xml.CharData:
		if s.at != nil {
			s.at.text = append(s.at.text, t...)
		}
	}
}

// piece is a token of a document and where it comes.
type piece struct {
	token xml.Token
	first bool
	in    *scanner // what has been read before it
}

func shallow(p piece) error {
	if _, begins := p.token.(xml.StartElement); begins && p.in.depth >= maxDepth {
		return authn.Refuse(authn.TooDeep, "The message is nested deeper than %d levels.", maxDepth)
	}
	return nil
}

func narrow(p piece) error {
	if _, begins := p.token.(xml.StartElement); begins && p.in.elements >= maxElements {
		return authn.Refuse(authn.TooLarge, "The message holds more than %d elements.", maxElements)
	}
	return nil
}

func fewAttributes(p piece) error {
	if t, begins := p.token.(xml.StartElement); begins && len(t.Attr) > maxAttributes {
		return authn.Refuse(authn.TooLarge, "An element holds more than %d attributes.", maxAttributes)
	}
	return nil
}

func onceEach(p piece) error {
	t, _ := p.token.(xml.StartElement)
	for i, a := range t.Attr {
		if slices.ContainsFunc(t.Attr[:i], func(b xml.Attr) bool { return a.Name == b.Name }) {
			return authn.Refuse(authn.Malformed, "An attribute is given twice.")
		}
	}
	return nil
}

func oneDocument(p piece) error {
	if _, begins := p.token.(xml.StartElement); begins && p.in.at == nil && p.in.root != nil {
		return authn.Refuse(authn.Malformed, "There is a second document after the message.")
	}
	return nil
}

func nothingOutside(p piece) error {
	if t, text := p.token.(xml.CharData); text && p.in.at == nil && len(bytes.TrimSpace(t)) > 0 {
		return authn.Refuse(authn.Malformed, "There is text outside of the message.")
	}
	return nil
}

func noComment(p piece) error {
	if _, comment := p.token.(xml.Comment); comment {
		return authn.Refuse(authn.Malformed, "The message holds a comment; text around a comment can be read in two ways.")
	}
	return nil
}

func noDirective(p piece) error {
	if _, directive := p.token.(xml.Directive); directive {
		return authn.Refuse(authn.Malformed, "The message holds a document type declaration.")
	}
	return nil
}

func noInstruction(p piece) error {
	if t, instruction := p.token.(xml.ProcInst); instruction && (!p.first || t.Target != "xml") {
		return authn.Refuse(authn.Malformed, "The message holds a processing instruction.")
	}
	return nil
}

// attr is the value of an attribute without a namespace. An element that is not
// there (nil) has no attributes and no children.
func (e *element) attr(name string) (string, bool) {
	if e == nil {
		return "", false
	}
	for _, a := range e.attrs {
		if a.Name.Space == "" && a.Name.Local == name {
			return a.Value, true
		}
	}
	return "", false
}

// all gives the children of a name.
func (e *element) all(space, local string) []*element {
	if e == nil {
		return nil
	}
	var found []*element
	for _, c := range e.children {
		if c.name.Space == space && c.name.Local == local {
			found = append(found, c)
		}
	}
	return found
}

// one gives the only child of a name; nil if there is none or more than one.
func (e *element) one(space, local string) *element {
	if found := e.all(space, local); len(found) == 1 {
		return found[0]
	}
	return nil
}

// only reports whether all children have one of these names in a namespace.
func (e *element) only(space string, locals ...string) bool {
	if e == nil {
		return true
	}
	for _, c := range e.children {
		if c.name.Space != space || !slices.Contains(locals, c.name.Local) {
			return false
		}
	}
	return true
}

// plainText is the text of an element, without the white space of XML around it (XML
// §2.3): other blanks are part of a name.
func (e *element) plainText() string {
	if e == nil {
		return ""
	}
	return strings.Trim(string(e.text), " \t\r\n")
}

// walk visits e and everything below it until visit fails.
func (e *element) walk(visit func(*element) error) error {
	if err := visit(e); err != nil {
		return err
	}
	for _, c := range e.children {
		if err := c.walk(visit); err != nil {
			return err
		}
	}
	return nil
}

// isID reports whether an attribute may be taken for an element's id by any
// parser, in whatever spelling.
func isID(name xml.Name) bool { return strings.EqualFold(name.Local, "id") }
