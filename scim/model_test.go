package scim_test

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// model is a directory in a few maps: what SCIM's operations are to do, said a second
// time and as simply as can be. People and groups have names of the test's own.
type model struct {
	people map[string]*modelPerson
	groups map[string]*modelGroup
}

type modelPerson struct {
	userName, externalID, displayName, title, given, family, department, manager string
	active                                                                       bool
	emails                                                                       []modelEmail
	version                                                                      int
}

type modelEmail struct {
	value, kind string
	primary     string // "": it does not say
}

type modelGroup struct {
	displayName, externalID string
	members                 map[string]bool
	version                 int
	unknown                 bool // a change names somebody who is not there
}

// refusal is how an operation is refused; nil: it is done.
type refusal struct {
	status   int
	scimType string
}

var (
	refusedNotFound = &refusal{404, ""}
	refusedVersion  = &refusal{412, ""}
	refusedTaken    = &refusal{409, "uniqueness"}
	refusedValue    = &refusal{400, "invalidValue"}
)

func newModel() *model { return &model{map[string]*modelPerson{}, map[string]*modelGroup{}} }

func (m *model) nameTaken(key, userName string) bool {
	for other, p := range m.people {
		if other != key && strings.EqualFold(p.userName, userName) {
			return true
		}
	}
	return false
}

func (m *model) groupTaken(key, name string) bool {
	for other, g := range m.groups {
		if other != key && strings.EqualFold(g.displayName, name) {
			return true
		}
	}
	return false
}

func (m *model) createPerson(key string, p modelPerson) *refusal {
	if r := p.clean(); r != nil {
		return r
	}
	if m.nameTaken(key, p.userName) {
		return refusedTaken
	}
	p.version = 1
	m.people[key] = &p
	return nil
}

// stale reports whether a change that depends on a version comes too late.
func stale(ifMatch string, version int) bool {
	return ifMatch != "" && ifMatch != "*" && ifMatch != fmt.Sprintf(`W/"%d"`, version)
}

// changePerson is PUT and PATCH: as a whole or not at all, and a new version only if
// something is different.
func (m *model) changePerson(key, ifMatch string, edit func(*modelPerson) *refusal) *refusal {
	before := m.people[key]
	switch {
	case before == nil:
		return refusedNotFound
	case stale(ifMatch, before.version):
		return refusedVersion
	}
	after := *before
	after.emails = slices.Clone(before.emails)
	if r := edit(&after); r != nil {
		return r
	}
	if r := after.clean(); r != nil {
		return r
	}
	if reflect.DeepEqual(after, *before) {
		return nil
	}
	if m.nameTaken(key, after.userName) {
		return refusedTaken
	}
	after.version++
	m.people[key] = &after
	return nil
}

// patchPerson is a PATCH: the addresses that a person is answered with are there to be
// changed, also where they are the user name.
func (m *model) patchPerson(key, ifMatch string, steps []func(*modelPerson) *refusal) *refusal {
	return m.changePerson(key, ifMatch, func(p *modelPerson) *refusal {
		made := len(p.emails) == 0
		shown := p.shown()
		p.emails = slices.Clone(shown)
		for _, step := range steps {
			if r := step(p); r != nil {
				return r
			}
		}
		if made && slices.Equal(p.emails, shown) {
			p.emails = nil
		}
		return nil
	})
}

func (m *model) deletePerson(key, ifMatch string) *refusal {
	p := m.people[key]
	switch {
	case p == nil:
		return refusedNotFound
	case stale(ifMatch, p.version):
		return refusedVersion
	}
	delete(m.people, key)
	m.leaves(key)
	return nil
}

// leaves takes who is gone out of the groups, each of which is another version without them.
func (m *model) leaves(key string) {
	for _, g := range m.groups {
		if g.members[key] {
			delete(g.members, key)
			g.version++
		}
	}
}

// clean has no address twice, and at most one primary one.
func (p *modelPerson) clean() *refusal {
	p.emails, _ = mergeEmails(nil, p.emails)
	primary := 0
	for _, e := range p.emails {
		if e.primary == "true" {
			primary++
		}
	}
	if len(p.emails) == 0 {
		p.emails = nil
	}
	if primary > 1 {
		return refusedValue
	}
	return nil
}

func (p *modelPerson) shown() []modelEmail {
	if len(p.emails) == 0 && strings.Contains(p.userName, "@") {
		return []modelEmail{{strings.ToLower(p.userName), "work", "true"}}
	}
	return p.emails
}

func (p *modelPerson) shownName() string {
	for _, name := range []string{p.displayName, strings.TrimSpace(p.given + " " + p.family)} {
		if name != "" {
			return name
		}
	}
	return p.userName
}

// mergeEmails adds some to others: one of the same value in any letter case, and of the
// same type or of none, is the same one. written are the places that it wrote.
func mergeEmails(list, more []modelEmail) (merged []modelEmail, written map[int]bool) {
	written = map[int]bool{}
	for _, e := range more {
		i := slices.IndexFunc(list, func(old modelEmail) bool { return old.same(e) })
		if i < 0 {
			i = len(list)
			list = append(list, e)
		} else {
			list[i].value = e.value
			if e.kind != "" {
				list[i].kind = e.kind
			}
			if e.primary != "" {
				list[i].primary = e.primary
			}
		}
		written[i] = true
	}
	return list, written
}

func (e modelEmail) same(other modelEmail) bool {
	return strings.EqualFold(e.value, other.value) && (e.kind == other.kind || e.kind == "" || other.kind == "")
}

// write puts addresses in the place of those that there are; where one of the written
// is primary, the others are so no longer.
func (p *modelPerson) write(list []modelEmail, written map[int]bool) {
	p.emails = list
	if !slices.ContainsFunc(slices.Collect(maps.Keys(written)), func(i int) bool { return list[i].primary == "true" }) {
		return
	}
	for i := range list {
		if !written[i] && list[i].primary == "true" {
			list[i].primary = "false"
		}
	}
}

func (m *model) createGroup(key string, g modelGroup) *refusal {
	if m.groupTaken(key, g.displayName) {
		return refusedTaken
	}
	if !m.allThere(g.members) || g.members[key] {
		return refusedValue
	}
	g.version = 1
	m.groups[key] = &g
	return nil
}

func (m *model) allThere(keys map[string]bool) bool {
	for key := range keys {
		if m.people[key] == nil && m.groups[key] == nil {
			return false
		}
	}
	return true
}

func (m *model) changeGroup(key, ifMatch string, edit func(*modelGroup) *refusal) *refusal {
	before := m.groups[key]
	switch {
	case before == nil:
		return refusedNotFound
	case stale(ifMatch, before.version):
		return refusedVersion
	}
	after := *before
	after.members = maps.Clone(before.members)
	if r := edit(&after); r != nil {
		return r
	}
	if after.unknown || !m.allThere(after.members) || after.members[key] || after.displayName == "" {
		return refusedValue
	}
	if reflect.DeepEqual(after, *before) {
		return nil
	}
	if m.groupTaken(key, after.displayName) {
		return refusedTaken
	}
	after.version++
	m.groups[key] = &after
	return nil
}

func (m *model) deleteGroup(key, ifMatch string) *refusal {
	g := m.groups[key]
	switch {
	case g == nil:
		return refusedNotFound
	case stale(ifMatch, g.version):
		return refusedVersion
	}
	delete(m.groups, key)
	m.leaves(key)
	return nil
}

// groupsOf are those that somebody is in, and whether directly.
func (m *model) groupsOf(key string) map[string]string {
	in := map[string]string{}
	for name, g := range m.groups {
		if g.members[key] {
			in[name] = "direct"
		}
	}
	for more := true; more; {
		more = false
		for name, g := range m.groups {
			for inner := range in {
				if in[name] == "" && g.members[inner] {
					in[name], more = "indirect", true
				}
			}
		}
	}
	return in
}

// state is all that a client is to see, as a text for each resource.
func (m *model) state() map[string]string {
	all := map[string]string{}
	for key, p := range m.people {
		all[key] = seenPerson{p.userName, p.externalID, p.shownName(), p.title, p.given, p.family, p.department, p.manager, p.active, p.shown(),
			m.groupsOf(key), fmt.Sprintf(`W/"%d"`, p.version)}.text()
	}
	for key, g := range m.groups {
		members := map[string]string{}
		for member := range g.members {
			if members[member] = "User"; m.groups[member] != nil {
				members[member] = "Group"
			}
		}
		all[key] = seenGroup{g.displayName, g.externalID, members, fmt.Sprintf(`W/"%d"`, g.version)}.text()
	}
	return all
}

// seenPerson and seenGroup are what a client sees.
type seenPerson struct {
	userName, externalID, displayName, title, given, family, department, manager string
	active                                                                       bool
	emails                                                                       []modelEmail
	groups                                                                       map[string]string
	version                                                                      string
}

func (p seenPerson) text() string { return fmt.Sprintf("%+v", p) }

type seenGroup struct {
	displayName, externalID string
	members                 map[string]string
	version                 string
}

func (g seenGroup) text() string { return fmt.Sprintf("%+v", g) }
