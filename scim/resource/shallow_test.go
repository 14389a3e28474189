package resource

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestRawValues(t *testing.T) {
	raw, err := DecodeRaw([]byte(` { "Text" : "a\u00e9" , "none":null,"list":[1, {"a" :[]} ,"x"],"number": 5 ,"empty":"" } `))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]struct {
		text string
		ok   bool
	}{"text": {"aé", true}, "TEXT": {"aé", true}, "none": {"", true}, "missing": {"", true}, "empty": {"", true}, "number": {"", false}, "list": {"", false}} {
		if text, ok := raw.Text(name); text != want.text || ok != want.ok {
			t.Errorf("%s is %q, %v", name, text, ok)
		}
	}
	if raw.Value("none") != nil || raw.Value("missing") != nil || string(raw.Value("Number")) != "5" {
		t.Errorf("values are %s, %s, %s", raw.Value("none"), raw.Value("missing"), raw.Value("Number"))
	}
	for most, want := range []string{"1", `1,{"a" :[]}`, `1,{"a" :[]},"x"`, `1,{"a" :[]},"x"`} {
		list, ok := raw.List("list", most)
		var texts []string
		for _, v := range list {
			texts = append(texts, string(v))
		}
		if got := strings.Join(texts, ","); !ok || got != want {
			t.Errorf("of at most %d there are %s, want %s", most, got, want)
		}
	}
	for _, name := range []string{"number", "text", "none", "missing"} {
		if _, ok := raw.List(name, 5); ok {
			t.Errorf("%s is a list", name)
		}
	}
}

// A name that is there twice is refused, in whatever letters it is written.
func TestRawNamesThatAreOne(t *testing.T) {
	for _, text := range []string{`{"op":1,"OP":2}`, `{"schemas":[],"\u017fchemas":[]}`, `{"kind":1,"\u212aind":2}`} {
		if raw, err := DecodeRaw([]byte(text)); err == nil {
			t.Errorf("%s is %v", text, raw)
		}
		if whole, err := Decode([]byte(text)); err == nil {
			t.Errorf("%s is %v", text, whole)
		}
	}
}

// FuzzRaw holds what is read piece by piece to what is read whole.
func FuzzRaw(f *testing.F) {
	for _, seed := range []string{`{}`, `{"a":1,"A":2}`, ` {"a" : [1,{"b":null}] , "c":"\ud800"}`, `{"a":1,}`, `[1]`, `null`, "\ufeff{}", `{"a":"` + "\xff" + `"}`, `{"a":{"b":1,"b":2}}`, `{"a":1}{}`, `{"s":1,"\u017f":2}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		whole, err := Decode(data)
		raw, rawErr := DecodeRaw(data)
		if err == nil && rawErr != nil && len(whole) <= maxRawNames {
			t.Fatalf("%q: %v", data, rawErr)
		}
		if rawErr != nil {
			return
		}
		for name, value := range raw {
			if !json.Valid(value) || slices.Contains([]byte(" \t\r\n"), value[0]) {
				t.Fatalf("%q: %s is %q", data, name, value)
			}
			if err != nil {
				continue // something further down is refused when it is read
			}
			v, err := decodeStrict(value)
			if err != nil || !reflect.DeepEqual(v, whole[name]) {
				t.Fatalf("%q: %s is %v, %v, and %v in the whole", data, name, v, err, whole[name])
			}
		}
		if err == nil && len(raw) != len(whole) {
			t.Fatalf("%q: %v, and %v in the whole", data, raw, whole)
		}
	})
}
