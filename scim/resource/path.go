package resource

import (
	"strings"

	scimerrors "github.com/elimity-com/scim/errors"
	scimfilter "github.com/elimity-com/scim/filter"
	"github.com/elimity-com/scim/schema"
)

// target is what a PATCH path points at (RFC 7644 §3.5.2).
type target struct {
	extension string // the URN of the extension that the attribute belongs to
	attr      schema.CoreAttribute
	where     *elementFilter        // nil: every element
	sub       *schema.CoreAttribute // nil: the whole value
}

// resolve finds what a path points at and that a client may change it.
func (k *Kind) resolve(path string) (*target, error) {
	if err := checkExpression(path); err != nil {
		return nil, Bad(scimerrors.ScimTypeInvalidPath, "A path cannot be used: %v.", err)
	}
	if strings.EqualFold(path, "password") {
		return nil, Bad(scimerrors.ScimTypeInvalidPath, "There are no passwords here: people sign in at their identity provider. Switch the synchronisation of passwords off.")
	}
	var extensions []schema.Schema
	if k.Extension != nil {
		extensions = append(extensions, *k.Extension)
	}
	checked, err := scimfilter.NewPathValidator(k.spelled(path), k.full, extensions...)
	if err != nil {
		return nil, Bad(scimerrors.ScimTypeInvalidPath, "The path %.256q does not follow the grammar.", path)
	}
	if err := checked.Validate(); err != nil {
		return nil, Bad(scimerrors.ScimTypeInvalidPath, "The path %.256q names nothing that this service knows.", path)
	}
	parsed := checked.Path()
	t := new(target)
	name, uri := parsed.AttributePath.AttributeName, parsed.AttributePath.URI()
	attr, found := k.full.Attributes.ContainsAttribute(name)
	if k.Extension != nil && (uri == k.Extension.ID || !found) {
		attr, _ = k.Extension.Attributes.ContainsAttribute(name)
		t.extension = k.Extension.ID
	}
	t.attr = attr

	sub := parsed.AttributePath.SubAttributeName()
	if parsed.ValueExpression != nil {
		if sub != "" || !attr.HasSubAttributes() {
			return nil, Bad(scimerrors.ScimTypeInvalidPath, "In the path %.256q the brackets are in the wrong place.", path)
		}
		sub = parsed.SubAttributeName()
		if t.where, err = newElementFilter(parsed.ValueExpression, attr.SubAttributes()); err != nil {
			return nil, Bad(scimerrors.ScimTypeInvalidFilter, "The filter in the path %.256q cannot be used: %v.", path, err)
		}
	}
	if sub != "" {
		a, _ := attr.SubAttributes().ContainsAttribute(sub)
		t.sub = &a
	}
	return t, t.checkMutability()
}

// spelled gives a path with a schema's URN as the schema has it: names ignore letter case
// (RFC 7643 §2.1, RFC 7644 §3.10), and the library does not where a URN is in front.
func (k *Kind) spelled(path string) string {
	urns := []string{k.Core.ID}
	if k.Extension != nil {
		urns = append(urns, k.Extension.ID)
	}
	for _, urn := range urns {
		if n := len(urn); len(path) > n && path[n] == ':' && strings.EqualFold(path[:n], urn) {
			return urn + path[n:]
		}
	}
	return path
}

func (t *target) checkMutability() error {
	if t.attr.Mutability() == "readOnly" {
		return Bad(scimerrors.ScimTypeMutability, "%s cannot be changed by a client.", t.attr.Name())
	}
	if t.sub != nil && t.sub.Mutability() != "readWrite" {
		return Bad(scimerrors.ScimTypeMutability, "%s.%s cannot be changed on its own.", t.attr.Name(), t.sub.Name())
	}
	return nil
}
