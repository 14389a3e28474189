package directory_test

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"gatehouse/directory"
	"gatehouse/internal/fault"
	"gatehouse/internal/store"
)

func (b *bench) attributes(t *testing.T, name, attributes string) directory.User {
	t.Helper()
	return b.create(t, directory.User{UserName: name, DisplayName: name, Attributes: json.RawMessage(attributes), Active: true, Source: directory.SourceSCIM})
}

func (b *bench) found(t *testing.T, q directory.Query) string {
	t.Helper()
	page, err := b.Find(t.Context(), b.tenant, q)
	must(t, err)
	var names string
	for _, item := range page.Items {
		names += item.User.UserName
	}
	return names
}

// Values that are not of the sort that is asked for are none, and do no harm.
func TestFiltersByAttributes(t *testing.T) {
	b := newBench(t)
	b.attributes(t, "a", `{"n":1.5,"t":"Text","b":true,"urn:x:1.0:Y":{"Deep":{"Er":"X"}},"list":[{"v":"One","n":1,"b":false},{"v":"two"}]}`)
	b.attributes(t, "b", `{"n":-20,"t":5,"b":"true","urn:x:1.0:Y":[],"list":{"v":"one"}}`)
	b.attributes(t, "c", `{"n":"1.5","t":null,"list":["one",["one"],null,{"v":["one"]},{"n":7}]}`)
	b.attributes(t, "d", `{"n":1e300,"t":{"a":"text"},"list":[]}`)
	is := func(kind directory.Kind, exact bool, op directory.Op, v any, path ...string) directory.Filter {
		return directory.Value{Path: path, Kind: kind, Exact: exact, Op: op, Value: v}
	}
	some := func(of directory.Filter) directory.Filter { return directory.Some{Path: []string{"list"}, Of: of} }
	for name, c := range map[string]struct {
		filter directory.Filter
		want   string
	}{
		"text":                  {is(directory.Text, false, directory.Equal, "TEXT", "T"), "a"},
		"exact":                 {is(directory.Text, true, directory.Equal, "Text", "t"), "a"},
		"exact, other case":     {is(directory.Text, true, directory.Equal, "text", "t"), ""},
		"exact, name too":       {is(directory.Text, true, directory.Equal, "Text", "T"), ""},
		"not text":              {is(directory.Text, false, directory.NotEqual, "text", "t"), "bcd"},
		"no number as text":     {is(directory.Text, false, directory.Present, nil, "n"), "c"},
		"number":                {is(directory.Number, false, directory.Equal, 1.5, "n"), "a"},
		"number, not":           {is(directory.Number, false, directory.NotEqual, 1.5, "n"), "bcd"},
		"number, less":          {is(directory.Number, false, directory.Less, 2.0, "n"), "ab"},
		"number, not less":      {directory.Not{Of: is(directory.Number, false, directory.Less, 2.0, "n")}, "cd"},
		"number, there":         {is(directory.Number, false, directory.Present, nil, "n"), "abd"},
		"bool":                  {is(directory.Bool, false, directory.Equal, true, "b"), "a"},
		"bool, not":             {is(directory.Bool, false, directory.NotEqual, true, "b"), "bcd"},
		"deep":                  {is(directory.Text, true, directory.Equal, "X", "urn:x:1.0:Y", "Deep", "Er"), "a"},
		"deep, folded":          {is(directory.Text, false, directory.Equal, "x", "URN:X:1.0:y", "deep", "er"), "a"},
		"element":               {some(is(directory.Text, false, directory.Equal, "one", "v")), "a"},
		"element, exact":        {some(is(directory.Text, true, directory.Equal, "One", "v")), "a"},
		"element, both":         {some(directory.All{is(directory.Text, true, directory.Equal, "One", "v"), is(directory.Number, false, directory.Equal, 1.0, "n")}), "a"},
		"element, both, exact":  {some(directory.All{is(directory.Text, true, directory.Equal, "One", "v"), is(directory.Number, true, directory.Equal, 1.0, "n")}), "a"},
		"elements, not one":     {some(directory.All{is(directory.Text, false, directory.Equal, "two", "v"), is(directory.Number, false, directory.Equal, 1.0, "n")}), ""},
		"element without":       {some(directory.Not{Of: is(directory.Text, false, directory.Present, nil, "v")}), "c"},
		"no element":            {directory.Not{Of: some(directory.All{})}, "bd"},
		"list in a list":        {some(directory.Some{Path: []string{"v"}, Of: directory.All{}}), "c"},
		"a path into a list":    {is(directory.Text, false, directory.Present, nil, "list", "v"), "b"},
		"behind the last one":   {is(directory.Text, false, directory.StartsWith, "\U0010FFFF", "t"), ""},
		"before the surrogates": {is(directory.Text, false, directory.StartsWith, "\uD7FF", "t"), ""},
	} {
		if got := b.found(t, directory.Query{Users: &directory.Part{Filter: c.filter}, Count: 10}); got != c.want {
			t.Errorf("%s: found %q, want %q", name, got, c.want)
		}
	}
	for name, key := range map[string]struct {
		by   directory.Key
		want string
	}{
		"number":          {directory.Key{Path: []string{"n"}, Kind: directory.Number}, "badc"},
		"text":            {directory.Key{Path: []string{"t"}}, "abcd"},
		"element":         {directory.Key{List: []string{"list"}, Path: []string{"v"}}, "abcd"},
		"exact element":   {directory.Key{List: []string{"list"}, Path: []string{"v"}, Exact: true}, "abcd"},
		"element, number": {directory.Key{List: []string{"list"}, Path: []string{"n"}, Kind: directory.Number}, "abcd"},
		"nobody's":        {directory.Key{}, "abcd"},
	} {
		backwards := []byte(key.want)
		slices.Reverse(backwards)
		for _, descending := range []bool{false, true} {
			want := map[bool]string{false: key.want, true: string(backwards)}[descending]
			q := directory.Query{Users: &directory.Part{By: key.by}, Sorted: true, Descending: descending, Count: 1}
			got := ""
			for { // one by one, from position to position
				page, err := b.Find(t.Context(), b.tenant, q)
				must(t, err)
				if len(page.Items) == 0 || page.More != (len(got) < 3) {
					t.Fatalf("%s: after %q: %+v", name, got, page)
				}
				got += page.Items[0].User.UserName
				if q.At = page.Items[0].At; !page.More {
					break
				}
			}
			if got != want {
				t.Errorf("%s, descending %t: %q, want %q", name, descending, got, want)
			}
			q.Back, q.Count, q.Total = true, 2, true // what comes before the last one
			page, err := b.Find(t.Context(), b.tenant, q)
			must(t, err)
			if len(page.Items) != 2 || page.Items[0].User.UserName+page.Items[1].User.UserName != want[1:3] || !page.More || page.Total != 3 {
				t.Errorf("%s, descending %t: before the last one: %+v", name, descending, page)
			}
		}
	}
}

func TestFindingThatIsRefused(t *testing.T) {
	b := newBench(t)
	value := func(path ...string) directory.Filter { return directory.Value{Path: path, Op: directory.Present} }
	deep := value("x")
	for range 40 {
		deep = directory.Some{Path: []string{"x"}, Of: deep}
	}
	for name, f := range map[string]directory.Filter{
		"no path": value(), "empty": value(""), "quote": value(`a"b`), "backslash": value(`a\`), "a place": value("0"), "another": value("a", "-1"), "long": value(strings.Repeat("a", 300)),
		"many": value("a", "b", "c", "d", "e"), "NUL": value("a\x00"), "not UTF-8": value("\xff"), "list, quote": directory.Some{Path: []string{`a"`}, Of: value("x")},
		"nothing in the list": directory.Some{Path: []string{"a"}}, "no list": directory.Some{Of: value("x")}, "unknown list": directory.Some{In: directory.AttrMember, Of: value("x")},
		"attributes of a group": directory.Some{In: directory.AttrGroup, Of: value("x")}, "column of an element": directory.Some{Path: []string{"a"}, Of: directory.Compare{Attr: directory.AttrID, Value: "x"}},
		"a group's group": directory.Some{In: directory.AttrGroup, Of: directory.Some{In: directory.AttrGroup, Of: directory.All{}}}, "deep": deep,
		"type": directory.Value{Path: []string{"a"}, Value: 5.0}, "kind": directory.Value{Path: []string{"a"}, Kind: 77, Value: "x"},
		"not a number": directory.Value{Path: []string{"a"}, Kind: directory.Number, Value: math.NaN()}, "part of a number": directory.Value{Path: []string{"a"}, Kind: directory.Number, Op: directory.Contains, Value: 1.0},
		"order of a bool": directory.Value{Path: []string{"a"}, Kind: directory.Bool, Op: directory.Less, Value: true}, "operator": directory.Value{Path: []string{"a"}, Op: 99, Value: "x"},
		"huge": directory.Value{Path: []string{"a"}, Value: strings.Repeat("a", 3000)}, "many comparisons": directory.Any(slices.Repeat([]directory.Filter{value("a")}, 501)),
	} {
		if _, err := b.Find(t.Context(), b.tenant, directory.Query{Users: &directory.Part{Filter: f}, Count: 1}); fault.As(err).Code != "invalid-filter" {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := b.Find(t.Context(), b.tenant, directory.Query{Groups: &directory.Part{Filter: value("a")}, Count: 1}); fault.As(err).Code != "invalid-filter" {
		t.Errorf("attributes of groups: %v", err)
	}
	for name, by := range map[string]directory.Key{
		"unknown": {Attr: "password"}, "list": {Attr: directory.AttrEmail}, "list's": {Attr: directory.AttrID, In: directory.AttrMember}, "path": {Path: []string{`"`}},
		"list path": {List: []string{`"`}, Path: []string{"a"}}, "kind": {Path: []string{"a"}, Kind: 77},
	} {
		if _, err := b.Find(t.Context(), b.tenant, directory.Query{Users: &directory.Part{By: by}, Sorted: true, Count: 1}); fault.As(err).Code != "invalid-filter" {
			t.Errorf("sorted by %s: %v", name, err)
		}
	}
	for _, by := range []directory.Key{{Attr: directory.AttrCreated}, {Path: []string{"a"}, Kind: directory.Number}} {
		_, err := b.Find(t.Context(), b.tenant, directory.Query{Users: &directory.Part{By: by}, Sorted: true, Count: 1, At: directory.Position{Key: "x'", ID: "y"}})
		wantFault(t, err, fault.Invalid, "invalid-position")
	}
}

// However somebody comes or is changed, they are found as they are now.
func TestWhoIsChangedIsFoundAsTheyAre(t *testing.T) {
	b := newBench(t)
	address := func(email string) string {
		t.Helper()
		return b.found(t, directory.Query{Count: 5, Users: &directory.Part{Filter: directory.Some{Path: []string{"emails"}, Of: directory.All{
			directory.Value{Path: []string{"value"}, Value: email}, directory.Value{Path: []string{"type"}, Value: "WORK"}, directory.Value{Path: []string{"primary"}, Kind: directory.Bool, Value: true}}}}})
	}
	made := b.signIn(t, okta("s1", "ada@acme.example"))
	if address("ADA@acme.example") != made.UserName {
		t.Error("who signed in is not found")
	}
	b.signIn(t, okta("s1", "countess@acme.example"))
	if address("ada@acme.example") != "" || address("countess@acme.example") != "countess@acme.example" {
		t.Error("who has another address now is found by the old one, or not by the new one")
	}
	_, err := b.UpdateUser(t.Context(), cause, b.tenant, made.ID, 0, func(u *directory.User) error {
		u.Attributes = json.RawMessage(`{"emails":[{"value":"ÄDA@x.example","type":"Work","primary":true}]}`)
		return nil
	})
	must(t, err)
	if address("äda@x.example") != "countess@acme.example" || address("countess@acme.example") != "" {
		t.Error("who has attributes of their own is not found by these alone")
	}
}

func TestAttributesThatCannotBeSearchedAreRefused(t *testing.T) {
	b := newBench(t)
	for attributes, code := range map[string]string{
		`{"a":"\u0000"}`: "invalid-text", `{"a":["x",{"b\u0000":1}]}`: "invalid-text", `{"a":"\\\u0000"}`: "invalid-text",
		`[]`: "invalid-attributes", `{`: "invalid-attributes", `"a"`: "invalid-attributes", `null`: "invalid-attributes",
	} {
		_, err := b.CreateUser(t.Context(), cause, b.tenant, directory.User{UserName: "eve", Attributes: json.RawMessage(attributes)})
		wantFault(t, err, fault.Invalid, code)
	}
	for i, attributes := range []string{`{"a":"\\u0000"}`, `{"a":"\\"}`, `{"a":"\u0001\n\"\\\\u0000"}`, ` {}`} {
		b.attributes(t, fmt.Sprint("fine", i), attributes)
	}
}

// However a document writes a character, it is found.
func TestWhatJSONWritesInSeveralWaysIsFound(t *testing.T) {
	b := newBench(t)
	b.attributes(t, "a", `{"t":"R&D <x>"}`)
	b.attributes(t, "b", `{"t":"R&d <x>"}`)
	must(t, b.db.Tenant(b.tenant).Write(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(t.Context(), `UPDATE users SET search = '{"t":"r&d <x>"}' WHERE user_key = 'b'`)
		return err
	}))
	for _, op := range []directory.Op{directory.Equal, directory.Contains, directory.StartsWith, directory.EndsWith} {
		if got := b.found(t, directory.Query{Users: &directory.Part{Filter: directory.Value{Path: []string{"t"}, Op: op, Value: "r&D <X>"}}, Count: 9}); got != "ab" && got != "ba" { // made within a millisecond
			t.Errorf("%d finds %q", op, got)
		}
	}
}
