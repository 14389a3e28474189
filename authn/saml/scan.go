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
// entities, processing instructions, comments (unless they are allowed), an
// attribute given twice, and anything after the end.
func scan(raw []byte, comments bool) (*element, error) {
	if len(raw) > maxDocument {
		return nil, authn.Refuse(authn.TooLarge, "The message is larger than %d bytes.", maxDocument)
	}
	d := xml.NewDecoder(bytes.NewReader(raw)) // #nosec G709 -- reading it strictly is what this function is for
	s := scanner{comments: comments}
	for first := true; ; first = false {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, authn.Refuse(authn.Malformed, "The message is not well-formed XML.").Because(err)
		}
		if err := s.take(token, first); err != nil {
			return nil, err
		}
	}
	if s.root == nil {
		return nil, authn.Refuse(authn.Malformed, "The message is empty.")
	}
	return s.root, nil
}

type scanner struct {
	comments bool
	root, at *element
	depth    int
	elements int
}

func (s *scanner) take(token xml.Token, first bool) error {
	switch t := token.(type) {
	case xml.StartElement:
		return s.open(t)
	case xml.EndElement:
		s.at = s.at.parent
		s.depth--
	case xml.CharData:
		if s.at == nil && len(bytes.TrimSpace(t)) > 0 {
			return authn.Refuse(authn.Malformed, "There is text outside of the message.")
		}
		if s.at != nil {
			s.at.text = append(s.at.text, t...)
		}
	case xml.Comment:
		if s.comments {
			return nil
		}
		return authn.Refuse(authn.Malformed, "The message holds a comment; text around a comment can be read in two ways.")
	case xml.Directive:
		return authn.Refuse(authn.Malformed, "The message holds a document type declaration.")
	case xml.ProcInst:
		if !first || t.Target != "xml" {
			return authn.Refuse(authn.Malformed, "The message holds a processing instruction.")
		}
	}
	return nil
}

func (s *scanner) open(t xml.StartElement) error {
	s.depth++
	s.elements++
	switch {
	case s.depth > maxDepth:
		return authn.Refuse(authn.TooDeep, "The message is nested deeper than %d levels.", maxDepth)
	case s.elements > maxElements:
		return authn.Refuse(authn.TooLarge, "The message holds more than %d elements.", maxElements)
	case len(t.Attr) > maxAttributes:
		return authn.Refuse(authn.TooLarge, "An element holds more than %d attributes.", maxAttributes)
	case s.at == nil && s.root != nil:
		return authn.Refuse(authn.Malformed, "There is a second document after the message.")
	}
	for i, a := range t.Attr {
		if slices.ContainsFunc(t.Attr[:i], func(b xml.Attr) bool { return a.Name == b.Name }) {
			return authn.Refuse(authn.Malformed, "An attribute is given twice.")
		}
	}
	e := &element{name: t.Name, attrs: slices.Clone(t.Attr), parent: s.at}
	if s.at == nil {
		s.root = e
	} else {
		s.at.children = append(s.at.children, e)
	}
	s.at = e
	return nil
}

// attr is the value of an attribute without a namespace.
func (e *element) attr(name string) (string, bool) {
	for _, a := range e.attrs {
		if a.Name.Space == "" && a.Name.Local == name {
			return a.Value, true
		}
	}
	return "", false
}

// all gives the children of a name.
func (e *element) all(space, local string) []*element {
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
	for _, c := range e.children {
		if c.name.Space != space || !slices.Contains(locals, c.name.Local) {
			return false
		}
	}
	return true
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
