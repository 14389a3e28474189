package resource

import (
	"maps"
	"net/http"
	"slices"
	"strings"

	scimerrors "github.com/elimity-com/scim/errors"
	"github.com/elimity-com/scim/schema"
)

// patchURN names the message of a PATCH (RFC 7644 §8.2).
const patchURN = "urn:ietf:params:scim:api:messages:2.0:PatchOp"

const (
	maxOperations = 1000
	// maxWork bounds how many list elements one PATCH looks at, and texts of 64 octets
	// in them, each counted once for every comparison that its filter makes: about a
	// second of computing.
	maxWork = 1_000_000
	// maxFiltered bounds the octets of a PATCH's paths that have a filter in them,
	// which take about 5 µs each to read.
	maxFiltered = 256 << 10
)

func errTooMany() error {
	return Bad(scimerrors.ScimTypeTooMany, "The operations are too many for a resource of this size. Send fewer at a time.")
}

// Patch is a change of a resource, step by step (RFC 7644 §3.5.2).
type Patch []operation

// operation is one step of a PATCH.
type operation struct {
	op    string // add, replace, remove
	path  string // empty: value holds attributes of the resource
	value any    // nil: none given, or null
	null  bool   // it was given as null
	makes bool   // a replace makes what its path describes and is not there
}

// ReadPatch reads the message of a PATCH; the letter case of op is ignored,
// because Entra ID writes "Replace".
func ReadPatch(body map[string]any) (Patch, error) {
	if err := CheckSchemas(body, patchURN); err != nil {
		return nil, err
	}
	v, _ := Member(body, "Operations")
	list, ok := v.([]any)
	if !ok || len(list) == 0 {
		return nil, Bad(scimerrors.ScimTypeInvalidSyntax, "A PATCH needs a list of Operations.")
	}
	if len(list) > maxOperations {
		return nil, scimerrors.ScimError{Status: http.StatusRequestEntityTooLarge, Detail: "A PATCH can have at most 1000 operations."}
	}
	operations := make(Patch, 0, len(list))
	for i, v := range list {
		object, ok := v.(map[string]any)
		if !ok {
			return nil, Bad(scimerrors.ScimTypeInvalidSyntax, "Operation %d is not an object.", i+1)
		}
		o, err := readOperation(object)
		if err != nil {
			return nil, err
		}
		operations = append(operations, o)
	}
	return operations, nil
}

func readOperation(object map[string]any) (o operation, err error) {
	name, _ := Member(object, "op")
	text, _ := name.(string)
	o.op = strings.ToLower(text)
	// Entra ID, alone in writing its operations with a capital, replaces values
	// that it takes to be there: a work address at whom the directory knows one
	// without a type. A refusal would stop the person's synchronisation for good.
	o.makes = text == "Replace"
	if o.op != "add" && o.op != "replace" && o.op != "remove" {
		return o, Bad(scimerrors.ScimTypeInvalidSyntax, "The op of an operation is add, replace or remove.")
	}
	if path, given := Member(object, "path"); given && path != nil {
		text, ok := path.(string)
		if !ok {
			return o, Bad(scimerrors.ScimTypeInvalidPath, "A path is a string.")
		}
		o.path = strings.TrimSpace(text)
	}
	var given bool
	o.value, given = Member(object, "value")
	o.null = given && o.value == nil
	switch {
	case o.op == "remove" && o.path == "":
		return o, Bad(scimerrors.ScimTypeNoTarget, "A remove needs a path.") // RFC 7644 §3.5.2.2
	case o.op != "remove" && !given, o.op == "add" && o.value == nil:
		return o, Bad(scimerrors.ScimTypeInvalidValue, "An %s needs a value.", o.op)
	}
	return o, nil
}

// patcher applies operations to one resource.
type patcher struct {
	kind *Kind
	res  Object
	work int // see maxWork
	read int // see maxFiltered
	// members takes what becomes of a group's members; nil: they are in res.
	members *[]MemberStep
}

// Apply changes a resource, which is a working copy: a PATCH takes effect as a
// whole or not at all (RFC 7644 §3.5.2), so whoever gets an error throws it away.
func (steps Patch) Apply(k *Kind, res Object) error {
	return steps.applyBy(&patcher{kind: k, res: res})
}

func (steps Patch) applyBy(p *patcher) error {
	for _, o := range steps {
		if err := p.apply(o); err != nil {
			return err
		}
	}
	return nil
}

func (p *patcher) apply(o operation) error {
	if o.path == "" || strings.EqualFold(o.path, p.kind.Core.ID) {
		return p.applyObject(o, "")
	}
	for _, e := range p.kind.Extensions {
		if !strings.EqualFold(o.path, e.ID) {
			continue
		}
		if o.op != "add" && o.value == nil {
			if e.Required {
				return Bad(scimerrors.ScimTypeMutability, "%s is required and cannot be removed.", e.ID)
			}
			delete(p.res, e.ID)
			return nil
		}
		return p.applyObject(o, e.ID)
	}
	if strings.Contains(o.path, "[") {
		if p.read += len(o.path); p.read > maxFiltered {
			return errTooMany()
		}
	}
	t, err := p.kind.resolve(o.path)
	if err != nil {
		return err
	}
	return p.applyTarget(t, o)
}

// applyObject applies an operation whose value holds attributes under their
// names. Providers write there what elsewhere is a path: "name.givenName", or
// a name under its URN (Entra ID). What is not understood is refused, never
// passed over in silence. extension is the URN of the one that has them.
func (p *patcher) applyObject(o operation, extension string) error {
	object, ok := ReadAttributes(o.value)
	if !ok {
		return Bad(scimerrors.ScimTypeInvalidValue, "Without the path of an attribute, the value of an operation is an object.")
	}
	understood := false
	for _, name := range slices.Sorted(maps.Keys(object)) {
		path, common := extension+":"+name, ""
		if extension == "" {
			path, common = name, strings.ToLower(name)
		}
		switch common {
		case "schemas", "meta":
			continue // Okta repeats them; neither is the client's to change
		case "id":
			if object[name] != p.res["id"] {
				return Bad(scimerrors.ScimTypeMutability, "The id of a resource never changes.")
			}
			continue
		}
		if err := p.apply(operation{op: o.op, path: path, value: object[name], null: object[name] == nil, makes: o.makes}); err != nil {
			return err
		}
		understood = true
	}
	if !understood {
		return Bad(scimerrors.ScimTypeInvalidValue, "The operation names nothing that can be changed.")
	}
	return nil
}

// ReadAttributes reads a value of a PATCH that holds attributes under their names; ok is
// false if it is none. SCIM-SDK, with which Keycloak's clients are made, sends it in a list of one, or as text.
func ReadAttributes(v any) (map[string]any, bool) {
	if list, ok := v.([]any); ok && len(list) == 1 {
		v = list[0]
	}
	if text, ok := v.(string); ok {
		decoded, err := decodeStrict([]byte(text))
		if err != nil {
			return nil, false
		}
		v = decoded
	}
	object, ok := v.(map[string]any)
	return object, ok
}

// isMembers reports whether a path is that of the members of a group.
func (k *Kind) isMembers(t *target) bool {
	return k.Is(Group) && t.extension == "" && t.attr.Name() == "members"
}

// spend counts what it takes to look at a value, at the longer texts in it too.
func (p *patcher) spend(v any, t *target) error {
	each := 1
	if t.where != nil {
		each = t.where.comparisons
	}
	if p.work += (weight(v) + 1) * each; p.work > maxWork {
		return errTooMany()
	}
	return nil
}

// weight is how many elements and short texts a value is worth.
func weight(v any) (n int) {
	switch v := v.(type) {
	case string:
		return len(v) / 64
	case []any:
		for _, element := range v {
			n += 1 + weight(element)
		}
	case map[string]any:
		for _, part := range v {
			n += weight(part)
		}
	}
	return n
}

// applyTarget changes one attribute, in the resource or in its extension.
func (p *patcher) applyTarget(t *target, o operation) error {
	in := map[string]any(p.res)
	if t.extension != "" {
		stored, _ := p.res[t.extension].(map[string]any)
		ext := make(map[string]any, len(stored)+1)
		maps.Copy(ext, stored)
		in = ext
		defer func() {
			if delete(p.res, t.extension); len(ext) > 0 {
				p.res[t.extension] = ext
			}
		}()
	}
	switch {
	case o.op == "remove" && o.null && p.kind.isMembers(t) && t.where == nil:
		return errNotWhich() // RFC 7644 §3.5.2.2 empties where there is no value, not where a client has lost it
	case p.members != nil && p.kind.isMembers(t):
		return p.applyMembers(t, o)
	case t.attr.MultiValued():
		return p.applyList(in, t, o)
	case t.attr.HasSubAttributes():
		return p.applyComplex(in, t, o)
	}
	return applySimple(in, t, o)
}

func applySimple(in map[string]any, t *target, o operation) error {
	if o.op == "remove" {
		return put(in, t, nil)
	}
	v, err := o.read(t.attr)
	if err != nil {
		return err
	}
	return put(in, t, v)
}

// read gives an operation's value as the schema allows it; nil stands for
// nothing: null, an empty list, or no text where an object is due.
func (o operation) read(a schema.CoreAttribute) (any, error) {
	v := unwrap(a, o.value)
	checked, err := validate(a, v)
	if err != nil || checked != nil {
		return checked, err
	}
	list, isList := v.([]any)
	switch {
	case v == nil, v == "" && !a.MultiValued(), isList && len(list) == 0:
		if o.op == "add" && !isList {
			return nil, Bad(scimerrors.ScimTypeInvalidValue, "An add needs a value.")
		}
		return nil, nil
	}
	return nil, Bad(scimerrors.ScimTypeInvalidValue, "The value of %s holds nothing that the schema knows.", a.Name())
}

// unwrap takes one value out of the list that SCIM-SDK (Keycloak) sends it in,
// and a simple one out of the object that Entra ID's older jobs put around it.
func unwrap(a schema.CoreAttribute, v any) any {
	list, ok := v.([]any)
	if a.MultiValued() || !ok || len(list) != 1 {
		return v
	}
	object, ok := list[0].(map[string]any)
	if !ok || a.HasSubAttributes() {
		return list[0]
	}
	if inner, ok := Member(object, "value"); ok {
		return inner
	}
	return v // which the schema refuses
}

// put stores an attribute, or takes it away where nothing is left of it.
func put(in map[string]any, t *target, v any) error {
	name := t.attr.Name()
	if v != nil {
		in[name] = v
		return nil
	}
	if t.attr.Required() {
		return Bad(scimerrors.ScimTypeMutability, "%s is required and cannot be removed.", name)
	}
	delete(in, name)
	return nil
}

// applyComplex changes a single complex attribute such as name or manager.
// Sub-attributes that are not named stay (RFC 7644 §3.5.2.1, §3.5.2.3).
func (p *patcher) applyComplex(in map[string]any, t *target, o operation) error {
	stored, _ := in[t.attr.Name()].(map[string]any)
	if err := p.spend(stored, t); err != nil {
		return err
	}
	now := maps.Clone(stored)
	if t.where != nil && (now == nil || !t.where.matches(now)) {
		if o.op == "remove" {
			return nil
		}
		example, ok := t.where.example()
		if now != nil || o.op == "replace" && !o.makes || !ok {
			return errNoTarget(o.path)
		}
		now = example
	}
	if now == nil {
		now = make(map[string]any)
	}
	if o.op == "remove" && t.sub == nil {
		return put(in, t, nil)
	}
	if err := t.change(now, o); err != nil {
		return err
	}
	if len(now) == 0 {
		return put(in, t, nil)
	}
	return put(in, t, now)
}

// change applies an operation to one complex value: to a sub-attribute where
// the path names one, else to those that the operation's value holds.
func (t *target) change(element map[string]any, o operation) error {
	if t.sub != nil {
		if o.op == "remove" {
			delete(element, t.sub.Name())
			return nil
		}
		v, err := o.read(*t.sub)
		if err != nil {
			return err
		}
		if delete(element, t.sub.Name()); v != nil {
			element[t.sub.Name()] = v
		}
		return nil
	}
	v, err := o.read(t.attr)
	if err != nil {
		return err
	}
	if v == nil && o.op == "replace" { // by nothing
		clear(element)
		return nil
	}
	if list, ok := v.([]any); ok && len(list) == 1 {
		v = list[0]
	}
	values, ok := v.(map[string]any)
	if !ok {
		return Bad(scimerrors.ScimTypeInvalidValue, "%s takes one object here.", t.attr.Name())
	}
	maps.Copy(element, values)
	return nil
}

func errNoTarget(path string) error {
	return Bad(scimerrors.ScimTypeNoTarget, "Nothing matches the path %.256q.", path)
}
