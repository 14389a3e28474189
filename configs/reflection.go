package configs

import (
	"encoding"
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// fieldsOf maps a struct's keys to its fields.
func fieldsOf(t reflect.Type) map[string]reflect.StructField {
	fields := map[string]reflect.StructField{}
	for _, field := range orderedFields(t) {
		fields[field.Tag.Get("yaml")] = field
	}
	return fields
}

// orderedFields are the fields that the file can hold, in their order.
func orderedFields(t reflect.Type) []reflect.StructField {
	var fields []reflect.StructField
	for field := range t.Fields() {
		if field.Tag.Get("yaml") != "" {
			fields = append(fields, field)
		}
	}
	return fields
}

func sortedKeys(fields map[string]reflect.StructField) []string {
	return slices.Sorted(maps.Keys(fields))
}

// isText reports whether a struct is written as one scalar.
func isText(v reflect.Value) bool {
	switch v.Addr().Interface().(type) {
	case *netip.Prefix, encoding.TextUnmarshaler:
		return true
	}
	return false
}

// textOf gives a scalar as it was written; numbers stand for their digits, so
// that min_version: 1.2 means what it says.
func textOf(n ast.Node) (string, bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return strings.TrimSuffix(n.Value.Value, "\n"), true
	case *ast.IntegerNode, *ast.FloatNode:
		return n.GetToken().Value, true
	}
	return "", false
}

// describe names a kind of node for a person.
func describe(n ast.Node) string {
	switch n.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		return "keys with values"
	case *ast.SequenceNode:
		return "a list"
	case *ast.BoolNode:
		return "true or false"
	case *ast.NullNode:
		return "nothing"
	case *ast.StringNode, *ast.LiteralNode, *ast.IntegerNode, *ast.FloatNode:
		return "a single value"
	}
	return "this"
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

func ofPath(path string) string {
	if path == "" {
		return ""
	}
	return " in " + path
}
