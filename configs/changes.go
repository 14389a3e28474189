package configs

import "reflect"

// Changes names the keys whose values another config has differently: those
// that may take effect now, and those that wait for a restart.
func (c *Config) Changes(other *Config) (live, waiting []string) {
	for _, k := range keys(reflect.TypeFor[Config](), "", nil, false) {
		if reflect.DeepEqual(k.of(c).Interface(), k.of(other).Interface()) {
			continue
		}
		if k.live {
			live = append(live, k.path)
		} else {
			waiting = append(waiting, k.path)
		}
	}
	return live, waiting
}

// Renewed is the config with the live keys of another.
func (c *Config) Renewed(other *Config) *Config {
	next := *c
	for _, k := range keys(reflect.TypeFor[Config](), "", nil, false) {
		if k.live {
			k.of(&next).Set(k.of(other))
		}
	}
	return &next
}

// LiveKeys names every key that may take effect while the gateway runs.
func LiveKeys() (paths []string) {
	for _, k := range keys(reflect.TypeFor[Config](), "", nil, false) {
		if k.live {
			paths = append(paths, k.path)
		}
	}
	return paths
}

// key is one that holds a value or a list, and no keys of its own.
type key struct {
	path  string
	index []int
	live  bool
}

func (k key) of(c *Config) reflect.Value { return reflect.ValueOf(c).Elem().FieldByIndex(k.index) }

// keys lists those of a section, in the order of the reference.
func keys(section reflect.Type, path string, index []int, live bool) (all []key) {
	for _, field := range orderedFields(section) {
		k := key{join(path, field.Tag.Get("yaml")), append(index[:len(index):len(index)], field.Index...), live || isLive(field)}
		if field.Type.Kind() == reflect.Struct && !isText(reflect.New(field.Type).Elem()) {
			all = append(all, keys(field.Type, k.path, k.index, k.live)...)
			continue
		}
		all = append(all, k)
	}
	return all
}

func isLive(field reflect.StructField) bool { return field.Tag.Get("live") == "true" }
