package resource

import (
	"cmp"
	"errors"
	"maps"
	"slices"
	"strings"

	filter "github.com/scim2/filter-parser/v2"

	"gatehouse/identity"
)

// MemberStep is one step in what a client does to the members of a group.
type MemberStep struct {
	Op      MemberOp
	Members []GroupMember // whom it adds or removes
	// Type is of whom [RemoveAllMembers] leaves none: "User", "Group", or empty: of both.
	Type string
}

// MemberOp is what a [MemberStep] does.
type MemberOp uint8

// The steps. Whoever is removed and added again has never left.
const (
	AddMembers MemberOp = iota
	RemoveMembers
	RemoveAllMembers
)

// GroupMember names a member of a group by id. Type is "User", "Group", or empty: the id
// alone says who it is.
type GroupMember struct{ ID, Type string }

// maxSelected bounds the members that the brackets of a path select by name.
const maxSelected = 1000

// ApplyToGroup is [Patch.Apply] for a group whose members are not in res: what becomes
// of them is told instead, in steps, so that adding one to a large group needs none of
// the others. stored gives those there are, in the schema's form, for the few operations
// that cannot be told without.
func (steps Patch) ApplyToGroup(res Object, stored func() ([]any, error)) ([]MemberStep, error) {
	p := &patcher{kind: Group, res: maps.Clone(res), members: &[]MemberStep{}}
	err := steps.applyBy(p)
	if errors.Is(err, errNeedsStored) {
		return steps.applyToStored(res, stored)
	}
	if err != nil {
		return nil, err
	}
	clear(res)
	maps.Copy(res, p.res)
	return *p.members, nil
}

// applyToStored works on all of the members, and has them replaced.
func (steps Patch) applyToStored(res Object, stored func() ([]any, error)) ([]MemberStep, error) {
	members, err := stored()
	if err != nil {
		return nil, err
	}
	if len(members) > 0 {
		res["members"] = members
	}
	if err := steps.Apply(Group, res); err != nil {
		return nil, err
	}
	left := res["members"]
	delete(res, "members")
	return ReplaceMembers(left), nil
}

// ReplaceMembers is what a list of members, as [Kind.Clean] leaves it, makes of a group:
// these and nobody else.
func ReplaceMembers(list any) []MemberStep {
	elements, _ := list.([]any)
	return []MemberStep{{Op: RemoveAllMembers}, {Op: AddMembers, Members: membersIn(elements)}}
}

// membersIn reads a list that the schema has been held against. Who writes no type, or
// one that no member can have, goes by the id alone.
func membersIn(elements []any) []GroupMember {
	members := make([]GroupMember, 0, len(elements))
	for _, v := range elements {
		if object, ok := v.(map[string]any); ok {
			id, _ := object["value"].(string)
			kind, _ := object["type"].(string)
			members = append(members, GroupMember{id, memberType(kind)})
		}
	}
	return members
}

func memberType(text string) string {
	for _, k := range []*Kind{User, Group} {
		if strings.EqualFold(text, k.Name) {
			return k.Name
		}
	}
	return ""
}

// sayTypes has members say what they are, as those that are stored do, so that a filter
// by type finds who was added before it. Who says nothing of it is what the id says.
func sayTypes(members []any) {
	for i, v := range members {
		member, _ := v.(map[string]any)
		id, _ := member["value"].(string)
		said, _ := member["type"].(string)
		kind := User
		switch {
		case memberType(said) != "":
			continue
		case strings.HasPrefix(id, identity.GroupPrefix):
			kind = Group
		case !strings.HasPrefix(id, identity.UserPrefix):
			continue // nobody has such an id
		}
		member = maps.Clone(member)
		member["type"] = kind.Name
		members[i] = member
	}
}

// errNeedsStored says that an operation cannot be told without the members there are.
var errNeedsStored = errors.New("resource: the stored members are needed")

// applyMembers tells what an operation does to the members of a group.
func (p *patcher) applyMembers(t *target, o operation) error {
	tell := func(s MemberStep) { *p.members = append(*p.members, s) }
	if t.where != nil {
		selected, ok := selectedMembers(t.where.expression)
		if o.op != "remove" || t.sub != nil || !ok {
			return errNeedsStored
		}
		var named []GroupMember
		for _, m := range selected {
			if m.ID == "" {
				tell(MemberStep{Op: RemoveAllMembers, Type: m.Type})
			} else {
				named = append(named, m)
			}
		}
		tell(MemberStep{Op: RemoveMembers, Members: named})
		return nil
	}
	if t.sub != nil {
		return errNeedsStored
	}
	if o.op == "remove" && o.value == nil {
		tell(MemberStep{Op: RemoveAllMembers})
		return nil
	}
	list, _, err := addValues(nil, t, o)
	if err != nil {
		return err
	}
	members := membersIn(list)
	switch o.op {
	case "remove": // those alone (Entra ID), whatever they are said to be
		if _, err := removeValues(nil, t, o); err != nil {
			return err
		}
		for i := range members {
			members[i].Type = ""
		}
		tell(MemberStep{Op: RemoveMembers, Members: members})
		return nil
	case "replace":
		tell(MemberStep{Op: RemoveAllMembers})
	}
	tell(MemberStep{Op: AddMembers, Members: members})
	return nil
}

// selectedMembers gives whom a filter over members selects, each by id, by type, or by
// both; ok is false where the members there are must be asked.
func selectedMembers(e filter.Expression) (selected []GroupMember, ok bool) {
	switch e := e.(type) {
	case *filter.AttributeExpression:
		text, isText := e.CompareValue.(string)
		if e.Operator != filter.EQ || !isText || text == "" {
			return nil, false
		}
		switch strings.ToLower(e.AttributePath.AttributeName) {
		case "value":
			return []GroupMember{{ID: text}}, true
		case "type":
			if kind := memberType(text); kind != "" {
				return []GroupMember{{Type: kind}}, true
			}
			return nil, true // nobody is of that type
		}
	case *filter.LogicalExpression:
		left, ok := selectedMembers(e.Left)
		if !ok {
			return nil, false
		}
		right, ok := selectedMembers(e.Right)
		if !ok {
			return nil, false
		}
		if e.Operator == filter.OR {
			selected = slices.Concat(left, right)
		} else {
			selected = both(left, right)
		}
		return selected, len(selected) <= maxSelected
	}
	return nil, false
}

// both gives whom two selections have in common, nobody twice.
func both(left, right []GroupMember) (common []GroupMember) {
	agree := func(a, b string) bool { return a == "" || b == "" || a == b }
	for _, l := range left {
		for _, r := range right {
			m := GroupMember{cmp.Or(l.ID, r.ID), cmp.Or(l.Type, r.Type)}
			if agree(l.ID, r.ID) && agree(l.Type, r.Type) && len(common) <= maxSelected && !slices.Contains(common, m) {
				common = append(common, m)
			}
		}
	}
	return common
}
