package resource

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	scimerrors "github.com/elimity-com/scim/errors"
	filter "github.com/scim2/filter-parser/v2"
	"pgregory.net/rapid"
)

// groupPatch reads operations as they stand in a request.
func groupPatch(t testing.TB, operations string) Patch {
	t.Helper()
	body, err := Decode([]byte(`{"schemas":["` + patchURN + `"],"Operations":[` + operations + `]}`))
	if err != nil {
		t.Fatal(err)
	}
	list, err := ReadPatch(body)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// TestRFC7644_3_5_2_MembersInSteps: what a PATCH does to members is told without those
// there are, wherever it can be.
func TestRFC7644_3_5_2_MembersInSteps(t *testing.T) {
	a, b := GroupMember{ID: "a"}, GroupMember{ID: "b"}
	all := MemberStep{Op: RemoveAllMembers}
	add := func(m ...GroupMember) MemberStep { return MemberStep{Op: AddMembers, Members: m} }
	remove := func(m ...GroupMember) MemberStep { return MemberStep{Op: RemoveMembers, Members: m} }
	for operations, want := range map[string][]MemberStep{
		`{"op":"add","path":"members","value":[{"value":"a"},{"value":"b","type":"group","$ref":"x","display":"B"}]}`:                          {add(a, GroupMember{"b", "Group"})},
		`{"op":"Add","path":"MEMBERS","value":{"value":"a","type":"user"}}`:                                                                    {add(GroupMember{"a", "User"})},
		`{"op":"add","path":"members","value":["a"]}`:                                                                                          {add(a)},
		`{"op":"add","path":"members","value":"a"}`:                                                                                            {add(a)},
		`{"op":"add","path":"urn:ietf:params:scim:schemas:core:2.0:Group:members","value":[{"value":"a"}]}`:                                    {add(a)},
		`{"op":"add","value":{"members":[{"value":"a","type":"direct"}]}}`:                                                                     {add(a)},
		`{"op":"Replace","value":{"displayName":"x","members":[{"value":"a"}]}}`:                                                               {all, add(a)},
		`{"op":"replace","value":{"displayName":"x"}}`:                                                                                         nil,
		`{"op":"replace","path":"members","value":[{"value":"a"}]}`:                                                                            {all, add(a)},
		`{"op":"replace","path":"members","value":[]}`:                                                                                         {all, add()},
		`{"op":"replace","path":"members","value":null}`:                                                                                       {all, add()},
		`{"op":"remove","path":"members"}`:                                                                                                     {all},
		`{"op":"Remove","path":"members","value":[{"value":"a","type":"User"},{"$ref":null,"value":"b"}]}`:                                     {remove(a, b)},
		`{"op":"remove","path":"members","value":{"value":"a"}}`:                                                                               {remove(a)},
		`{"op":"remove","path":"members[value eq \"a\"]"}`:                                                                                     {remove(a)},
		`{"op":"remove","path":"members[ VALUE Eq \"a\" or value eq \"b\"]"}`:                                                                  {remove(a, b)},
		`{"op":"remove","path":"members[value eq \"a\" or value eq \"b\" or value eq \"a\"]"}`:                                                 {remove(a, b, a)},
		`{"op":"remove","path":"members[(value eq \"a\" or value eq \"b\" or value eq \"a\") and (type eq \"User\" or (type eq \"Group\"))]"}`: {remove(GroupMember{"a", "User"}, GroupMember{"a", "Group"}, GroupMember{"b", "User"}, GroupMember{"b", "Group"})},
		`{"op":"remove","path":"members[value eq \"\\u0061\" and type eq \"\\u0055s\\u0065r\" and type eq \"us\\u0065\\u0072\"]"}`:             {remove(GroupMember{"a", "User"})},
		`{"op":"remove","path":"members[type eq \"GROUP\"]"}`:                                                                                  {{Op: RemoveAllMembers, Type: "Group"}, remove()},
		`{"op":"remove","path":"members[type eq \"Device\"]"}`:                                                                                 {remove()},
		`{"op":"remove","path":"members[type eq \"user\" and value eq \"a\"]"}`:                                                                {remove(GroupMember{"a", "User"})},
		`{"op":"remove","path":"members[value eq \"a\" and value eq \"b\"]"}`:                                                                  {remove()},
		`{"op":"remove","path":"members"},{"op":"add","path":"members","value":[{"value":"a"}]}`:                                               {all, add(a)},
	} {
		res := Object{"id": "grp_1", "displayName": "g"}
		got, err := groupPatch(t, operations).ApplyToGroup(res, func() ([]any, error) { return nil, errors.New("they are asked for") })
		if err != nil || !slices.EqualFunc(got, want, func(a, b MemberStep) bool {
			return a.Op == b.Op && a.Type == b.Type && slices.Equal(a.Members, b.Members)
		}) || res["members"] != nil {
			t.Errorf("%s: %v, %v, want %v", operations, got, err, want)
		}
	}
}

// TestRFC7644_3_5_2_MembersThatMustBeSeen: where those there are decide, they are asked.
func TestRFC7644_3_5_2_MembersThatMustBeSeen(t *testing.T) {
	stored := []any{map[string]any{"value": "a", "type": "User", "display": "Ada"}, map[string]any{"value": "b", "type": "User", "display": "Bob"},
		map[string]any{"value": "g", "type": "Group", "display": "Ops"}}
	for operations, want := range map[string]string{
		`{"op":"remove","path":"members[display sw \"A\"]"}`:                                                     "b/User g/Group",
		`{"op":"remove","path":"members[display eq \"\uff21da\"]"}`:                                              "b/User g/Group", // a wide A
		`{"op":"remove","path":"members[not (value eq \"a\")]"}`:                                                 "a/User",
		`{"op":"remove","path":"members[type ne \"User\"]"}`:                                                     "a/User b/User",
		`{"op":"remove","path":"members[value eq \"a\" and type eq \"User\" and display sw \"a\"]"}`:             "b/User g/Group",
		`{"op":"remove","path":"members[not (value eq \"a\") and not (type eq \"Group\") or display eq \"x\"]"}`: "a/User g/Group",
		`{"op":"remove","path":"members[value pr]"}`:                                                             "",
		`{"op":"add","path":"members","value":["c"]},{"op":"remove","path":"members[display eq \"Bob\"]"}`:       "a/User g/Group c/",
		`{"op":"replace","path":"members[value eq \"a\"]","value":{"value":"c"}}`:                                "c/ b/User g/Group",
		`{"op":"add","path":"members[value eq \"z\"]","value":{"value":"z"}}`:                                    "a/User b/User g/Group z/",
	} {
		res := Object{"id": "grp_1", "displayName": "g"}
		got, err := groupPatch(t, operations).ApplyToGroup(res, func() ([]any, error) { return stored, nil })
		if err != nil || len(got) != 2 || got[0].Op != RemoveAllMembers || got[0].Type != "" || got[1].Op != AddMembers {
			t.Errorf("%s: %v, %v", operations, got, err)
			continue
		}
		var left []string
		for _, m := range got[1].Members {
			left = append(left, m.ID+"/"+m.Type)
		}
		if strings.Join(left, " ") != want || res["members"] != nil {
			t.Errorf("%s: left are %v, want %s", operations, left, want)
		}
	}
	broken := errors.New("broken")
	if _, err := groupPatch(t, `{"op":"remove","path":"members[value pr]"}`).ApplyToGroup(Object{"displayName": "g"}, func() ([]any, error) { return nil, broken }); !errors.Is(err, broken) {
		t.Errorf("not to be seen: %v", err)
	}
}

// TestRFC7644_3_5_2_AGroupIsPatchedAsAWhole: an operation that fails leaves what those
// before it have done nowhere.
func TestRFC7644_3_5_2_AGroupIsPatchedAsAWhole(t *testing.T) {
	for operation, kind := range map[string]scimerrors.ScimType{
		`{"op":"replace","path":"members[value eq \"a\"].value","value":"b"}`:     scimerrors.ScimTypeMutability,
		`{"op":"replace","path":"members.type","value":"b"}`:                      scimerrors.ScimTypeMutability,
		`{"op":"add","path":"members","value":[{"display":"x"}]}`:                 scimerrors.ScimTypeInvalidValue,
		`{"op":"add","path":"members","value":[5]}`:                               scimerrors.ScimTypeInvalidValue,
		`{"op":"remove","path":"members","value":[{"value":5}]}`:                  scimerrors.ScimTypeInvalidValue,
		`{"op":"remove","path":"members[nonsense eq \"a\"]"}`:                     scimerrors.ScimTypeInvalidPath,
		`{"op":"remove","path":"members[value eq true]"}`:                         scimerrors.ScimTypeInvalidFilter,
		`{"op":"replace","path":"members[value eq \"z\"]","value":{"value":"z"}}`: scimerrors.ScimTypeNoTarget,
		`{"op":"remove","path":"displayName"}`:                                    scimerrors.ScimTypeMutability,
	} {
		res := Object{"id": "grp_1", "displayName": "g"}
		steps, err := groupPatch(t, `{"op":"replace","path":"displayName","value":"other"},{"op":"remove","path":"members"},`+operation).
			ApplyToGroup(res, func() ([]any, error) { return nil, nil })
		if refused, ok := errors.AsType[scimerrors.ScimError](err); !ok || refused.ScimType != kind || steps != nil {
			t.Errorf("%s: %v, %v", operation, steps, err)
		}
	}
}

// TestRFC7644_3_4_2_2_WhomAFilterNames: by ids and types alone, however they are put together.
func TestRFC7644_3_4_2_2_WhomAFilterNames(t *testing.T) {
	for text, want := range map[string][]GroupMember{
		`value eq "a" or (value eq "b" or value eq "c")`:                         {{"a", ""}, {"b", ""}, {"c", ""}},
		`type eq "user" and (value eq "a" or value eq "b")`:                      {{"a", "User"}, {"b", "User"}},
		`(type eq "User" or value eq "a") and (type eq "Group" or value eq "b")`: {{"b", "User"}, {"a", "Group"}},
		`value eq "a" and type eq "Device"`:                                      {},
		`value eq "a" and not (value eq "b")`:                                    nil,
		`value eq "a" or display eq "x"`:                                         nil,
		`value eq true`:                                                          nil, `value eq ""`: nil, `value ne "a"`: nil, `value pr`: nil,
		strings.Repeat(`value eq "x" or `, maxSelected) + `value eq "y"`: nil,
	} {
		e, err := filter.ParseFilter([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		got, ok := selectedMembers(e)
		if ok != (want != nil) || ok && !slices.Equal(got, want) {
			t.Errorf("%.80s: %v, %v, want %v", text, got, ok, want)
		}
	}
}

// modelMembers are the members there are in the tests below.
func modelMembers() []any {
	var list []any
	for i := range 6 {
		kind := "User"
		if i > 3 {
			kind = "Group"
		}
		list = append(list, map[string]any{"value": fmt.Sprint("m", i), "type": kind, "display": fmt.Sprint("member-", i)})
	}
	return list
}

// follow applies steps to a list of members, and gives who is left, by id.
func follow(list []any, steps []MemberStep) []string {
	for _, s := range steps {
		if s.Op == RemoveAllMembers {
			list = slices.DeleteFunc(slices.Clone(list), func(v any) bool { return s.Type == "" || of(v, "type") == s.Type })
		}
		for _, m := range s.Members {
			at := slices.IndexFunc(list, func(v any) bool {
				return of(v, "value") == m.ID && (s.Op == AddMembers || m.Type == "" || of(v, "type") == m.Type)
			})
			switch {
			case s.Op == AddMembers && at < 0:
				list = append(slices.Clone(list), map[string]any{"value": m.ID, "type": m.Type})
			case s.Op == RemoveMembers && at >= 0:
				list = slices.Delete(slices.Clone(list), at, at+1)
			}
		}
	}
	return ids(list)
}

// of gives a text of a member.
func of(member any, name string) string {
	m, _ := member.(map[string]any)
	text, _ := m[name].(string)
	return text
}

func ids(list []any) []string {
	left := []string{}
	for _, v := range list {
		left = append(left, of(v, "value"))
	}
	slices.Sort(left)
	return slices.Compact(left)
}

// TestRFC7644_3_5_2_StepsComeToTheSame: the steps lead where working on all of the
// members does.
func TestRFC7644_3_5_2_StepsComeToTheSame(t *testing.T) {
	kind := func(i int) string { return map[bool]string{false: "User", true: "Group"}[i > 3] }
	rapid.Check(t, func(t *rapid.T) {
		some := rapid.IntRange(0, 7)
		values := func() string {
			var list []string
			for _, i := range rapid.SliceOfN(some, 1, 3).Draw(t, "values") {
				list = append(list, fmt.Sprintf(`{"value":"m%d","type":"%s"}`, i, kind(i)))
			}
			return "[" + strings.Join(list, ",") + "]"
		}
		one := func() string {
			switch n := rapid.IntRange(0, 5).Draw(t, "comparison"); {
			case n < 3:
				return fmt.Sprintf(`value eq \"m%d\"`, some.Draw(t, "whose"))
			case n < 5:
				return `type eq \"` + rapid.SampledFrom([]string{"User", "group", "Device"}).Draw(t, "type") + `\"`
			}
			return fmt.Sprintf(`display ew \"%d\"`, some.Draw(t, "whose"))
		}
		where := func() string {
			filter := one()
			for range rapid.IntRange(0, 4).Draw(t, "more") {
				form := rapid.SampledFrom([]string{"(%s) and %s", "%s and %s", "%s or %s", "(%s) or %s", "%[2]s and (%[1]s)", "not (%s) or %s"}).Draw(t, "with")
				filter = fmt.Sprintf(form, filter, one())
			}
			if rapid.IntRange(0, 3).Draw(t, "negated") == 0 {
				return "not (" + filter + ")"
			}
			return filter
		}
		var operations []string
		for range rapid.IntRange(1, 5).Draw(t, "operations") {
			operations = append(operations, rapid.OneOf(
				rapid.Custom(func(*rapid.T) string { return `{"op":"add","path":"members","value":` + values() + `}` }),
				rapid.Custom(func(*rapid.T) string { return `{"op":"replace","path":"members","value":` + values() + `}` }),
				rapid.Custom(func(*rapid.T) string { return `{"op":"remove","path":"members","value":` + values() + `}` }),
				rapid.Custom(func(*rapid.T) string { return `{"op":"remove","path":"members[` + where() + `]"}` }),
				rapid.Just(`{"op":"remove","path":"members"}`),
			).Draw(t, "operation"))
		}
		list, err := Decode([]byte(`{"schemas":["` + patchURN + `"],"Operations":[` + strings.Join(operations, ",") + `]}`))
		if err != nil {
			t.Fatal(err)
		}
		patch, err := ReadPatch(list)
		if err != nil {
			t.Fatal(err)
		}
		whole := Object{"id": "grp_1", "displayName": "g", "members": modelMembers()}
		if err := patch.Apply(Group, whole); err != nil {
			t.Fatal(err)
		}
		steps, err := patch.ApplyToGroup(Object{"id": "grp_1", "displayName": "g"}, func() ([]any, error) { return modelMembers(), nil })
		if err != nil {
			t.Fatal(err)
		}
		want, _ := whole["members"].([]any)
		if got := follow(modelMembers(), steps); !slices.Equal(got, ids(want)) {
			t.Fatalf("%v leave %v, want %v", operations, got, ids(want))
		}
	})
}

// A PATCH of a group is refused whether or not its members are at hand, or leaves the
// same in both cases.
func FuzzGroupPatch(f *testing.F) {
	for _, seed := range []string{
		`{"op":"add","path":"members","value":[{"value":"m1"},{"value":"x","type":"Group"}]}`, `{"op":"remove","path":"members[value eq \"m1\" or type eq \"Group\"]"}`,
		`{"op":"remove","path":"members[not (display co \"1\")]"},{"op":"replace","path":"displayName","value":"x"}`, `{"op":"replace","value":{"members":null,"displayName":"y"}}`,
		`{"op":"Remove","path":"members","value":[{"value":"m2"}]}`, `{"op":"add","path":"members[value eq \"q\"]","value":{"type":"User"}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, operations []byte) {
		body, err := Decode([]byte(`{"schemas":["` + patchURN + `"],"Operations":[` + string(operations) + `]}`))
		if err != nil {
			return
		}
		patch, err := ReadPatch(body)
		if err != nil {
			return
		}
		whole, without := Object{"id": "grp_1", "displayName": "g", "members": modelMembers()}, Object{"id": "grp_1", "displayName": "g"}
		errWhole := patch.Apply(Group, whole)
		steps, err := patch.ApplyToGroup(without, func() ([]any, error) { return modelMembers(), nil })
		if (err == nil) != (errWhole == nil) {
			t.Fatalf("%s: %v, but %v", operations, err, errWhole)
		}
		if err != nil {
			return
		}
		list, _ := whole["members"].([]any)
		if !slices.ContainsFunc(list, unknownType) {
			delete(whole, "members")
			if got := follow(modelMembers(), steps); !slices.Equal(got, ids(list)) || !reflect.DeepEqual(whole, without) {
				t.Fatalf("%s: %v of %v, want %v of %v", operations, got, without, ids(list), whole)
			}
		}
	})
}

// unknownType reports a member of whom the directory alone knows what it is.
func unknownType(v any) bool {
	m, ok := v.(map[string]any)
	return !ok || m["type"] != "User" && m["type"] != "Group"
}
