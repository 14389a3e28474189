package scim

import (
	"cmp"
	"fmt"
	"maps"
	"net/url"
	"reflect"
	"slices"
	"strings"

	scimerrors "github.com/elimity-com/scim/errors"

	"gatehouse/directory"
	"gatehouse/scim/recorder"
	"gatehouse/scim/resource"
)

// What was understood of a request, and what it has changed, as people are told.

// flat gives the attributes of a resource by the paths to them, those of complex ones and
// extensions each by its own.
func flat(res map[string]any) map[string]any {
	all := make(map[string]any, len(res))
	for name, v := range res {
		inner, ok := v.(map[string]any)
		if !ok {
			all[name] = v
			continue
		}
		between := "."
		if strings.Contains(name, ":") { // the URN of an extension
			between = ":"
		}
		for sub, v := range inner {
			if deeper, ok := v.(map[string]any); ok {
				for part, v := range deeper {
					all[name+between+sub+"."+part] = v
				}
				continue
			}
			all[name+between+sub] = v
		}
	}
	return all
}

func resourceLines(s *recorder.Secrets, res resource.Object) []string {
	attributes := flat(res)
	delete(attributes, "schemas")
	lines := make([]string, 0, len(attributes))
	for _, name := range slices.Sorted(maps.Keys(attributes)) {
		lines = append(lines, s.Text(name)+" = "+s.JSON(name, attributes[name], recorder.MaxLine))
	}
	return lines
}

func patchLines(s *recorder.Secrets, steps []resource.Step) []string {
	lines := make([]string, 0, len(steps))
	for _, step := range steps {
		line := strings.TrimSpace(step.Op + " " + s.Text(recorder.Cut(step.Path, recorder.MaxLine)))
		if step.Value != nil {
			line += " = " + s.JSON(step.Path, step.Value, recorder.MaxLine)
		}
		lines = append(lines, line)
	}
	return lines
}

func listLines(s *recorder.Secrets, query url.Values) (lines []string) {
	for _, name := range []string{"filter", "sortBy", "sortOrder", "startIndex", "count", "cursor", "attributes", "excludedAttributes"} {
		value := query.Get(name)
		if value == "" {
			continue
		}
		if e, err := resource.ParseFilter(value); name == "filter" && err == nil {
			value = fmt.Sprint(e)
		}
		lines = append(lines, name+" = "+s.Text(value))
	}
	if lines == nil {
		lines = []string{"everybody"}
	}
	return lines
}

// line tells of one operation of a Bulk.
func (o *operation) line(number int) string {
	line := fmt.Sprintf("%d. %s %s", number, o.method, o.path)
	if o.bulkID != "" {
		line += " (bulkId " + o.bulkID + ")"
	}
	if o.result == nil {
		return line + ": not begun"
	}
	line += ": " + o.result.Status
	if e, ok := o.result.Response.(scimerrors.ScimError); ok {
		return line + " " + strings.TrimSpace(string(e.ScimType)+" "+e.Detail)
	}
	return line + " " + o.id
}

// changes tells what has become of each resource: of what was made, changed and taken
// away again by one request, what it comes to.
func changes(s *recorder.Secrets, effects []directory.Effect) []recorder.Change {
	var order []string
	of := make(map[string]*directory.Effect)
	for _, e := range effects {
		id := subject(&e)
		first := of[id]
		if first == nil {
			of[id], order = &e, append(order, id)
			continue
		}
		first.UserAfter, first.GroupAfter = e.UserAfter, e.GroupAfter
		first.Joined, first.Left = both(first.Joined, e.Joined), both(first.Left, e.Left)
	}
	var all []recorder.Change
	for _, id := range order {
		if e := of[id]; e.UserBefore != nil || e.UserAfter != nil || e.GroupBefore != nil || e.GroupAfter != nil {
			all = append(all, change(s, id, e))
		}
	}
	return all
}

// both adds up members who came or went in two steps.
func both(a, b directory.Members) directory.Members {
	a.Count += b.Count
	a.First = append(a.First[:len(a.First):len(a.First)], b.First...)
	return a
}

func subject(e *directory.Effect) string {
	if u := cmp.Or(e.UserBefore, e.UserAfter); u != nil {
		return string(u.ID)
	}
	return string(cmp.Or(e.GroupBefore, e.GroupAfter).ID)
}

func change(s *recorder.Secrets, id string, e *directory.Effect) recorder.Change {
	c := recorder.Change{ID: id, Action: recorder.Changed, Joined: members(s, e.Joined), Left: members(s, e.Left)}
	var before, after map[string]any
	var gone, made bool
	if u := cmp.Or(e.UserAfter, e.UserBefore); u != nil {
		c.Kind, c.Name = resource.User.Name, s.Text(u.UserName)
		before, after = userToldOf(e.UserBefore), userToldOf(e.UserAfter)
		made, gone = e.UserBefore == nil, e.UserAfter == nil
	} else {
		g := cmp.Or(e.GroupAfter, e.GroupBefore)
		c.Kind, c.Name = resource.Group.Name, s.Text(g.DisplayName)
		before, after = groupToldOf(e.GroupBefore), groupToldOf(e.GroupAfter)
		made, gone = e.GroupBefore == nil, e.GroupAfter == nil
	}
	if made {
		c.Action = recorder.Created
	} else if gone {
		c.Action = recorder.Deleted
	}
	names := maps.Clone(before)
	maps.Copy(names, after)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		was, wasThere := before[name]
		is, isThere := after[name]
		if wasThere == isThere && reflect.DeepEqual(was, is) {
			continue
		}
		if len(c.Attributes) == recorder.MaxAttributes {
			break
		}
		a := recorder.Attribute{Name: s.Text(name)}
		if wasThere {
			a.Before = s.JSON(name, was, recorder.MaxLine)
		}
		if isThere {
			a.After = s.JSON(name, is, recorder.MaxLine)
		}
		c.Attributes = append(c.Attributes, a)
	}
	return c
}

// userToldOf are a person's attributes by their paths.
func userToldOf(u *directory.User) map[string]any {
	if u == nil {
		return map[string]any{}
	}
	res, err := keptUser(u)
	if err != nil {
		return map[string]any{}
	}
	if delete(res, "id"); u.DisplayName != "" {
		res["displayName"] = u.DisplayName
	}
	return flat(res)
}

func groupToldOf(g *directory.Group) map[string]any {
	if g == nil {
		return map[string]any{}
	}
	res := groupResource(g)
	delete(res, "id")
	return flat(res)
}

func members(s *recorder.Secrets, of directory.Members) recorder.Members {
	told := recorder.Members{Count: of.Count}
	for _, m := range of.First[:min(len(of.First), 100)] {
		kind, id := memberOf(m)
		told.First = append(told.First, recorder.Member{ID: id, Kind: kind.Name, Name: s.Text(m.Display)})
	}
	return told
}
