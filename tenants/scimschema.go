package tenants

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// SCIMSchema is an extension of a tenant's own of what a person is in SCIM (RFC 7643 §3.3).
type SCIMSchema struct {
	URN         string `json:"urn" yaml:"urn" maxLength:"200" pattern:"^[uU][rR][nN](:[A-Za-z0-9.]+)+$" doc:"Its name, such as urn:ietf:params:scim:schemas:extension:Acme:2.0:User"`
	Name        string `json:"name,omitempty" yaml:"name,omitempty" maxLength:"100" doc:"What people call it"`
	Description string `json:"description,omitempty" yaml:"description,omitempty" maxLength:"500"`
	// Required has a client that makes or replaces a person say something of it.
	Required   bool            `json:"required,omitempty" yaml:"required,omitempty" doc:"Whether everybody has it who is made or replaced"`
	Attributes []SCIMAttribute `json:"attributes" yaml:"attributes" minItems:"1" maxItems:"100"`
}

// SCIMAttribute is one attribute of a [SCIMSchema], with the characteristics of RFC 7643 §7.
type SCIMAttribute struct {
	Name            string             `json:"name" yaml:"name" maxLength:"64" pattern:"^[A-Za-z][A-Za-z0-9_-]*$"`
	Type            AttributeType      `json:"type" yaml:"type" enum:"string,boolean,decimal,integer,dateTime,binary,reference,complex"`
	Description     string             `json:"description,omitempty" yaml:"description,omitempty" maxLength:"500"`
	MultiValued     bool               `json:"multi_valued,omitempty" yaml:"multi_valued,omitempty" doc:"Whether it is a list"`
	Required        bool               `json:"required,omitempty" yaml:"required,omitempty" doc:"Whether who has anything of the schema must have it"`
	Immutable       bool               `json:"immutable,omitempty" yaml:"immutable,omitempty" doc:"Whether it stays as it was set first"`
	CaseExact       bool               `json:"case_exact,omitempty" yaml:"case_exact,omitempty" doc:"Whether letter case matters; for string"`
	CanonicalValues []string           `json:"canonical_values,omitempty" yaml:"canonical_values,omitempty" maxItems:"100" doc:"The values that it can have; for string; absent: any"`
	ReferenceTypes  []string           `json:"reference_types,omitempty" yaml:"reference_types,omitempty" maxItems:"10" doc:"User, Group, external or uri; for reference; absent: external"`
	SubAttributes   []SCIMSubAttribute `json:"sub_attributes,omitempty" yaml:"sub_attributes,omitempty" maxItems:"20" doc:"For complex"`
}

// SCIMSubAttribute is one attribute inside of a complex one: it has one value.
type SCIMSubAttribute struct {
	Name            string        `json:"name" yaml:"name" maxLength:"64" pattern:"^[A-Za-z][A-Za-z0-9_-]*$"`
	Type            AttributeType `json:"type" yaml:"type" enum:"string,boolean,decimal,integer,dateTime,binary,reference"`
	Description     string        `json:"description,omitempty" yaml:"description,omitempty" maxLength:"500"`
	CaseExact       bool          `json:"case_exact,omitempty" yaml:"case_exact,omitempty" doc:"Whether letter case matters; for string"`
	CanonicalValues []string      `json:"canonical_values,omitempty" yaml:"canonical_values,omitempty" maxItems:"100" doc:"The values that it can have; for string; absent: any"`
	ReferenceTypes  []string      `json:"reference_types,omitempty" yaml:"reference_types,omitempty" maxItems:"10" doc:"User, Group, external or uri; for reference; absent: external"`
}

// AttributeType is one of the data types of RFC 7643 §2.3.
type AttributeType string

// The types.
const (
	StringType    AttributeType = "string"
	BooleanType   AttributeType = "boolean"
	DecimalType   AttributeType = "decimal"
	IntegerType   AttributeType = "integer"
	DateTimeType  AttributeType = "dateTime"
	BinaryType    AttributeType = "binary"
	ReferenceType AttributeType = "reference"
	ComplexType   AttributeType = "complex"
)

var simpleTypes = []AttributeType{StringType, BooleanType, DecimalType, IntegerType, DateTimeType, BinaryType, ReferenceType}

// equal compares what is kept of both: an empty list is none.
func (s SCIMSchema) equal(o SCIMSchema) bool {
	a, errA := json.Marshal(s)
	b, errB := json.Marshal(o)
	return errA == nil && errB == nil && bytes.Equal(a, b)
}

const (
	maxSchemas = 10
	// maxAttributes counts those of all schemas, and what is inside of them: a filter by
	// a schema asks for each.
	maxAttributes  = 100
	maxParts       = 20
	maxURN         = 200
	maxSchemaName  = 100
	maxAttribute   = 64
	maxDescription = 500
	maxCanonical   = 100 // values, and characters of each
	maxReferences  = 10
)

var (
	// urns are those that a filter can name: what reads filters knows letters, digits and
	// dots between colons.
	urns           = regexp.MustCompile(`^(?i:urn)(:[A-Za-z0-9.]+)+$`)
	attributeNames = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_-]*$`) // RFC 7644 §3.4.2.2, figure 1
	// standards are the beginnings of what standards define.
	standards      = []string{"urn:ietf:params:scim:schemas:core:", "urn:ietf:params:scim:schemas:extension:enterprise:", "urn:ietf:params:scim:api:"}
	referenceTypes = []string{"User", "Group", "external", "uri"} // RFC 7643 §7
)

func badSchema(format string, args ...any) error {
	return invalid("bad-settings", fmt.Sprintf("scim.schemas: "+format, args...))
}

func checkSchemas(all []SCIMSchema) error {
	if len(all) > maxSchemas {
		return badSchema("there can be at most %d.", maxSchemas)
	}
	attributes := 0
	for i, s := range all {
		if err := s.check(); err != nil {
			return err
		}
		for _, other := range all[:i] {
			a, b := strings.ToLower(s.URN)+":", strings.ToLower(other.URN)+":"
			if strings.HasPrefix(a, b) || strings.HasPrefix(b, a) {
				return badSchema("%s and %s are the same, or one begins with the other.", other.URN, s.URN)
			}
		}
		for _, a := range s.Attributes {
			attributes += 1 + len(a.SubAttributes)
		}
	}
	if attributes > maxAttributes {
		return badSchema("all of them can have %d attributes together, those inside of others counted.", maxAttributes)
	}
	return nil
}

func (s SCIMSchema) check() error {
	if len(s.URN) > maxURN || !urns.MatchString(s.URN) {
		return badSchema("%.256q is no URN of letters, digits and dots between colons, such as urn:ietf:params:scim:schemas:extension:Acme:2.0:User.", s.URN)
	}
	for _, prefix := range standards {
		if urn := strings.ToLower(s.URN) + ":"; strings.HasPrefix(urn, prefix) || strings.HasPrefix(prefix, urn) {
			return badSchema("%s belongs to a standard. Choose a name of your own.", s.URN)
		}
	}
	if err := checkWords(s.URN, s.Name, maxSchemaName); err != nil {
		return err
	}
	if err := checkWords(s.URN, s.Description, maxDescription); err != nil {
		return err
	}
	if len(s.Attributes) == 0 {
		return badSchema("%s needs an attribute.", s.URN)
	}
	names := make(map[string]bool)
	for i := range s.Attributes {
		if err := s.Attributes[i].check(s.URN, names); err != nil {
			return err
		}
	}
	return nil
}

func (a *SCIMAttribute) check(urn string, names map[string]bool) error {
	part := SCIMSubAttribute{a.Name, a.Type, a.Description, a.CaseExact, a.CanonicalValues, a.ReferenceTypes}
	if a.Type != ComplexType {
		if len(a.SubAttributes) > 0 {
			return badSchema("%s:%.64s is not complex, and so has no sub_attributes.", urn, a.Name)
		}
		return part.check(urn, names)
	}
	part.Type = StringType
	if err := part.check(urn, names); err != nil {
		return err
	}
	if a.CaseExact || len(a.CanonicalValues) > 0 || len(a.ReferenceTypes) > 0 {
		return badSchema("%s:%s is complex: case_exact, canonical_values and reference_types belong to what is inside of it.", urn, a.Name)
	}
	if n := len(a.SubAttributes); n == 0 || n > maxParts {
		return badSchema("%s:%s has 1 to %d sub_attributes.", urn, a.Name, maxParts)
	}
	inside := make(map[string]bool)
	for i := range a.SubAttributes {
		if err := a.SubAttributes[i].check(urn+":"+a.Name, inside); err != nil {
			return err
		}
	}
	return nil
}

// check makes sure that the attribute is one, and that its name is none of those before.
func (p *SCIMSubAttribute) check(of string, names map[string]bool) error {
	if len(p.Name) > maxAttribute || !attributeNames.MatchString(p.Name) {
		return badSchema("%.100q of %s is no name of an attribute: a letter, and then letters, digits, - and _, at most %d.", p.Name, of, maxAttribute)
	}
	key := strings.ToLower(p.Name)
	if names[key] {
		return badSchema("%s has %s twice. Letter case makes no difference.", of, p.Name)
	}
	names[key] = true
	if !slices.Contains(simpleTypes, p.Type) {
		return badSchema("%s of %s is of no type that can be there: %.64q.", p.Name, of, p.Type)
	}
	if err := checkWords(of, p.Description, maxDescription); err != nil {
		return err
	}
	if p.Type != StringType && (p.CaseExact || len(p.CanonicalValues) > 0) {
		return badSchema("%s of %s is no string: case_exact and canonical_values mean nothing for it.", p.Name, of)
	}
	if len(p.CanonicalValues) > maxCanonical {
		return badSchema("%s of %s lists more than %d canonical_values.", p.Name, of, maxCanonical)
	}
	for _, v := range p.CanonicalValues {
		if v == "" {
			return badSchema("%s of %s has an empty text among its canonical_values.", p.Name, of)
		}
		if err := checkWords(of, v, maxCanonical); err != nil {
			return err
		}
	}
	if len(p.ReferenceTypes) > maxReferences || p.Type != ReferenceType && len(p.ReferenceTypes) > 0 {
		return badSchema("%s of %s has reference_types, which only a reference has, at most %d.", p.Name, of, maxReferences)
	}
	for _, t := range p.ReferenceTypes {
		if !slices.Contains(referenceTypes, t) {
			return badSchema("%s of %s refers to %.64q: it can be %s.", p.Name, of, t, strings.Join(referenceTypes, ", "))
		}
	}
	return nil
}

// checkWords checks a text that people read.
func checkWords(of, text string, limit int) error {
	if !utf8.ValidString(text) || utf8.RuneCountInString(text) > limit || strings.ContainsFunc(text, unicode.IsControl) {
		return badSchema("a text of %s is longer than %d characters, or has a control character in it.", of, limit)
	}
	return nil
}
