package configs

import (
	"encoding/json"
	"net/netip"
	"reflect"
	"strconv"
	"strings"
	"time"
)

//go:generate go test -run "TestSchemaIsPublished|TestManualIsPublished" -update .

// Schema is the JSON Schema of the file (draft 2020-12), for editors. It is
// published as schema.json beside this package and made from the same tags
// that loading goes by.
func Schema() ([]byte, error) {
	schema := schemaOf(reflect.TypeFor[Config](), reflect.StructField{})
	schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	schema["title"] = "Gatehouse configuration"
	text, err := json.MarshalIndent(schema, "", "  ")
	return append(text, '\n'), err
}

func schemaOf(t reflect.Type, field reflect.StructField) map[string]any {
	var schema map[string]any
	switch {
	case t == reflect.TypeFor[time.Duration]():
		schema = map[string]any{"type": "string", "pattern": `^([0-9]+(\.[0-9]+)?(ns|us|ms|s|m|h))+$`}
	case t == reflect.TypeFor[Size]():
		schema = map[string]any{"type": []string{"string", "integer"}, "pattern": `^[0-9]+ ?(B|KiB|MiB|GiB)?$`, "minimum": 0}
	case t == reflect.TypeFor[netip.Prefix]():
		schema = map[string]any{"type": "string"}
	case t.Kind() == reflect.Int:
		schema = map[string]any{"type": "integer"}
	case t.Kind() == reflect.Bool:
		schema = map[string]any{"type": "boolean"}
	case t.Kind() == reflect.Slice:
		schema = map[string]any{"type": "array", "items": schemaOf(t.Elem(), reflect.StructField{})}
	case t.Kind() == reflect.Struct:
		schema = objectSchema(t)
	default:
		schema = map[string]any{"type": "string"}
	}
	if choices := field.Tag.Get("enum"); choices != "" {
		schema["enum"] = strings.Split(choices, ",")
	}
	if standard := field.Tag.Get("default"); standard != "" {
		schema["default"] = standard
		if n, err := strconv.Atoi(standard); err == nil && t.Kind() == reflect.Int {
			schema["default"] = n
		}
	}
	if doc := field.Tag.Get("doc"); doc != "" {
		schema["description"] = doc
	}
	return schema
}

func objectSchema(t reflect.Type) map[string]any {
	properties, required := map[string]any{}, []string{}
	for _, field := range orderedFields(t) {
		name := field.Tag.Get("yaml")
		properties[name] = schemaOf(field.Type, field)
		if field.Tag.Get("required") == "true" {
			required = append(required, name)
		}
	}
	schema := map[string]any{"type": "object", "additionalProperties": false, "properties": properties}
	if len(required) > 0 {
		schema["required"] = required
	}
	return schema
}
