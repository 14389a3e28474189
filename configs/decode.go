package configs

import (
	"encoding"
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
)

// decoder fills the types of this package from the YAML tree, reporting what
// does not fit and going on.
type decoder struct {
	*checker
	around Surroundings
}

func (d *decoder) root(n ast.Node, config *Config) {
	d.structure(n, reflect.ValueOf(config).Elem(), "")
}

// entry is one key of a mapping.
type entry struct {
	name  string
	key   position
	value ast.Node
}

// entries lists a mapping's keys; ok is false after reporting that n is none.
func (d *decoder) entries(n ast.Node, path string) (list []entry, ok bool) {
	mapping, ok := n.(*ast.MappingNode)
	if !ok {
		d.unreadable(path, positionOf(n), "here stand keys with values, not "+describe(n), "write key: value"+ofPath(path))
		return nil, false
	}
	for _, v := range mapping.Values {
		name, ok := v.Key.(*ast.StringNode)
		if !ok {
			d.addAt(positionOf(v.Key), "a key is a plain word, not "+describe(v.Key), "write key: value")
			continue
		}
		list = append(list, entry{name.Value, positionOf(v.Key), v.Value})
	}
	return list, true
}

// structure fills a struct from a mapping; n is nil where the file has none,
// which leaves the defaults.
func (d *decoder) structure(n ast.Node, into reflect.Value, path string) {
	fields := fieldsOf(into.Type())
	found := map[string]ast.Node{}
	if n != nil {
		list, ok := d.entries(n, path)
		if !ok {
			return
		}
		first := map[string]position{}
		for _, e := range list {
			if _, known := fields[e.name]; !known {
				d.addAt(e.key, "unknown key "+quote(e.name)+ofPath(path), "remove it"+suggestion(e.name, sortedKeys(fields)))
				continue
			}
			if p, twice := first[e.name]; twice {
				d.addAt(e.key, "the key "+e.name+" stands here twice, first in line "+strconv.Itoa(p.line), "keep one")
				continue
			}
			first[e.name] = e.key
			d.at[join(path, e.name)] = e.key
			if _, null := e.value.(*ast.NullNode); null {
				d.unreadable(join(path, e.name), e.key, "the key "+e.name+" has no value", "give it one, or remove the key")
				continue
			}
			found[e.name] = e.value
		}
	}
	for _, field := range orderedFields(into.Type()) {
		name := field.Tag.Get("yaml")
		target, at := into.FieldByIndex(field.Index), join(path, name)
		value := found[name]
		switch {
		case value != nil:
			d.value(value, target, at, field)
		case field.Tag.Get("required") == "true":
			d.add(at, "the key "+name+" is missing"+ofPath(path), "add it. "+field.Tag.Get("doc"))
			d.broken[at] = true
		case field.Type.Kind() == reflect.Struct:
			d.structure(nil, target, at)
		case field.Tag.Get("default") != "":
			if err := d.text(field.Tag.Get("default"), target); err != nil {
				panic("configs: default of " + at + ": " + err.Error()) // a mistake in a tag of this package, seen by every test
			}
		}
	}
}

// value fills one field.
func (d *decoder) value(n ast.Node, into reflect.Value, path string, field reflect.StructField) {
	switch {
	case into.Kind() == reflect.Slice:
		d.list(n, into, path, field)
	case into.Kind() == reflect.Struct && !isText(into):
		d.structure(n, into, path)
	default:
		d.scalar(n, into, path, field)
	}
}

func (d *decoder) list(n ast.Node, into reflect.Value, path string, field reflect.StructField) {
	sequence, ok := n.(*ast.SequenceNode)
	if !ok {
		d.unreadable(path, positionOf(n), field.Tag.Get("yaml")+" is a list, not "+describe(n), "write each value on a line of its own after a hyphen, or [ a, b ]")
		return
	}
	into.Set(reflect.MakeSlice(into.Type(), len(sequence.Values), len(sequence.Values)))
	for i, v := range sequence.Values {
		at := index(path, i)
		d.at[at] = positionOf(v)
		if _, null := v.(*ast.NullNode); null {
			d.unreadable(at, positionOf(v), "the list has an empty entry", "give it a value, or remove it")
			continue
		}
		d.value(v, into.Index(i), at, reflect.StructField{Type: into.Type().Elem()})
	}
}

func (d *decoder) scalar(n ast.Node, into reflect.Value, path string, field reflect.StructField) {
	written, ok := textOf(n)
	if flag, is := n.(*ast.BoolNode); is && into.Kind() == reflect.Bool {
		written, ok = flag.GetToken().Value, true
	}
	if !ok {
		d.unreadable(path, positionOf(n), "here stands one value, not "+describe(n), "write a single value")
		return
	}
	d.at[path] = positionOf(n)
	value, problem, fix := d.expand(written, into.Type() == reflect.TypeFor[Secret]())
	if problem != "" {
		d.unreadable(path, positionOf(n), problem, fix)
		return
	}
	if allowed := field.Tag.Get("enum"); allowed != "" {
		if choices := strings.Split(allowed, ","); !slices.Contains(choices, value) {
			d.unreadable(path, positionOf(n), "unknown value "+quote(value), "write one of "+strings.Join(choices, ", ")+suggestion(value, choices))
			return
		}
	}
	if err := d.text(value, into); err != nil {
		d.unreadable(path, positionOf(n), err.Error(), "see "+path+" in configs/schema.json")
	}
}

// text sets a scalar from its written form.
func (d *decoder) text(value string, into reflect.Value) error {
	switch target := into.Addr().Interface().(type) {
	case *netip.Prefix:
		return parsePrefix(value, target)
	case *time.Duration:
		duration, err := time.ParseDuration(value)
		if err != nil {
			return &valueError{value, "a time such as 30s, 10m or 8h"}
		}
		*target = duration
		return nil
	case encoding.TextUnmarshaler:
		return target.UnmarshalText([]byte(value))
	}
	switch into.Kind() {
	case reflect.Int:
		n, err := strconv.Atoi(value)
		if err != nil {
			return &valueError{value, "a whole number"}
		}
		into.SetInt(int64(n))
	case reflect.Bool:
		if value != "true" && value != "false" {
			return &valueError{value, "true or false"}
		}
		into.SetBool(value == "true")
	default:
		into.SetString(value)
	}
	return nil
}

// parsePrefix accepts a network, or one address as the network of itself. What
// is written as IPv4 inside IPv6 (RFC 4291 §2.5.5.2) stands for the IPv4, as it
// does of a client's address.
func parsePrefix(value string, into *netip.Prefix) error {
	if address, err := netip.ParseAddr(value); err == nil && address.Zone() == "" {
		address = address.Unmap()
		*into = netip.PrefixFrom(address, address.BitLen())
		return nil
	}
	prefix, err := netip.ParsePrefix(value)
	if err != nil {
		return &valueError{value, "an address or network such as 10.0.0.0/8"}
	}
	if prefix.Addr().Is4In6() && prefix.Bits() >= 96 {
		prefix = netip.PrefixFrom(prefix.Addr().Unmap(), prefix.Bits()-96)
	}
	*into = prefix.Masked()
	return nil
}

type valueError struct{ value, want string }

func (e *valueError) Error() string { return quote(e.value) + " is not " + e.want }
