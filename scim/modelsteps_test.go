package scim_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"pgregory.net/rapid"
)

// modelAction is one operation: as it is sent, with <x> for the id of x, and as it is
// done to the model.
type modelAction struct {
	method, path, data, ifMatch string
	makes                       string // the name of what it makes
	do                          func(*model) *refusal
}

// author draws actions.
type author struct {
	*rapid.T
	people, groups []string // the names of all that were ever made, or refused
	made           int
}

func (a *author) one(label string, from ...string) string {
	return rapid.SampledFrom(from).Draw(a.T, label)
}

func (a *author) yes(label string) bool { return rapid.Bool().Draw(a.T, label) }

func (a *author) userName() string {
	return a.one("userName", "ann", "Ann", "bob", "cy@x.example", "CY@X.example", "dee@x.example", "eve", "flo", "gus@x.example", "hal", "ida")
}

func (a *author) groupName() string { return a.one("group name", "one", "ONE", "two", "three", "four") }

func (a *author) word(label string) string { return a.one(label, "red", "blue", "Grün") }

// email draws an address as it is written and as it is meant.
func (a *author) email() (string, modelEmail) {
	e := modelEmail{value: a.one("address", "a@x.example", "A@X.example", "b@x.example", "c@x.example"), kind: a.one("kind", "work", "home", "")}
	text := `{"value":"` + e.value + `"`
	if e.kind != "" {
		text += `,"type":"` + e.kind + `"`
	}
	if p := a.one("primary", "", "", "true", "false"); p != "" {
		e.primary, text = p, text+`,"primary":`+a.one("spelling", p, `"`+strings.ToUpper(p)+`"`)
	}
	return text + "}", e
}

func (a *author) emails() (string, []modelEmail) {
	var texts []string
	var all []modelEmail
	for range rapid.IntRange(1, 3).Draw(a.T, "addresses") {
		text, e := a.email()
		texts, all = append(texts, text), append(all, e)
	}
	return "[" + strings.Join(texts, ",") + "]", all
}

// person draws a whole person, and whether it says that they are active or not.
func (a *author) person() (text string, p modelPerson, says bool) {
	p = modelPerson{userName: a.userName(), active: true}
	text = `{"schemas":["` + userURN + `","` + enterpriseURN + `"],"userName":"` + p.userName + `"`
	if a.yes("title") {
		p.title = a.word("title")
		text += `,"title":"` + p.title + `"`
	}
	if a.yes("name") {
		p.given = a.word("given")
		text += `,"name":{"givenName":"` + p.given + `","familyName":null}`
	}
	if a.yes("externalId") {
		p.externalID = a.word("externalId")
		text += `,"externalId":"` + p.externalID + `"`
	}
	if a.yes("emails") {
		list, emails := a.emails()
		p.emails = emails
		text += `,"emails":` + list
	}
	if a.yes("department") {
		p.department = a.word("department")
		text += `,"` + enterpriseURN + `":{"department":"` + p.department + `"}`
	}
	if says = a.yes("says active"); says {
		p.active = a.yes("active")
		text += fmt.Sprintf(`,"active":%v`, p.active)
	}
	return text + "}", p, says
}

// personStep draws one operation of a PATCH of a person.
func (a *author) personStep() (string, func(*modelPerson) *refusal) {
	set := func(field func(*modelPerson) *string, value string) func(*modelPerson) *refusal {
		return func(p *modelPerson) *refusal { *field(p) = value; return nil }
	}
	title := func(p *modelPerson) *string { return &p.title }
	given := func(p *modelPerson) *string { return &p.given }
	department := func(p *modelPerson) *string { return &p.department }
	word, op := a.word("value"), a.one("op", "add", "replace", "Add", "REPLACE")
	kind := a.one("of kind", "work", "home")
	isKind := func(e modelEmail) bool { return e.kind == kind }
	switch a.one("step", "add emails", "add emails", "replace emails", "primary", "value of", "title", "no title", "null title", "name", "given", "no given", "several", "active", "add emails", "replace emails", "no emails", "emails of", "no emails of",
		"value of", "no value of", "primary", "remove named", "department", "extension", "no extension", "no manager", "userName", "externalId", "displayName", "no displayName", "wrong") {
	case "title":
		return fmt.Sprintf(`{"op":"%s","path":"%s","value":"%s"}`, op, a.one("spelling", "title", "TITLE", userURN+":title"), word), set(title, word)
	case "no title":
		return `{"op":"remove","path":"title"}`, set(title, "")
	case "null title":
		return `{"op":"replace","path":"title","value":null}`, set(title, "")
	case "name":
		return fmt.Sprintf(`{"op":"%s","path":"name","value":{"familyName":"%s"}}`, op, word), func(p *modelPerson) *refusal { p.family = word; return nil }
	case "given":
		return fmt.Sprintf(`{"op":"%s","path":"name.givenName","value":"%s"}`, op, word), set(given, word)
	case "no given":
		return `{"op":"Remove","path":"name.givenName"}`, set(given, "")
	case "several":
		active := a.yes("active")
		return fmt.Sprintf(`{"op":"%s","value":{"title":"%s","name.givenName":"%s","active":"%v","%s:department":"%s"}}`, op, word, word, active, enterpriseURN, word), func(p *modelPerson) *refusal {
			p.title, p.given, p.active, p.department = word, word, active, word
			return nil
		}
	case "active":
		active := a.yes("active")
		return fmt.Sprintf(`{"op":"%s","path":"active","value":%s}`, op, a.one("spelling", fmt.Sprint(active), fmt.Sprintf(`"%v"`, active))), func(p *modelPerson) *refusal { p.active = active; return nil }
	case "add emails":
		list, emails := a.emails()
		return `{"op":"add","path":"emails","value":` + list + `}`, func(p *modelPerson) *refusal { p.write(mergeEmails(p.emails, emails)); return nil }
	case "replace emails":
		list, emails := a.emails()
		return `{"op":"replace","value":{"emails":` + list + `}}`, func(p *modelPerson) *refusal { p.write(mergeEmails(nil, emails)); return nil }
	case "no emails":
		return a.one("how", `{"op":"remove","path":"emails"}`, `{"op":"replace","path":"emails","value":[]}`), func(p *modelPerson) *refusal { p.emails = nil; return nil }
	case "no emails of":
		return `{"op":"remove","path":"emails[type eq \"` + kind + `\"]"}`, func(p *modelPerson) *refusal { p.emails = slices.DeleteFunc(p.emails, isKind); return nil }
	case "no value of":
		return `{"op":"Remove","path":"emails[type eq \"` + kind + `\"].value"}`, func(p *modelPerson) *refusal { p.emails = slices.DeleteFunc(p.emails, isKind); return nil }
	case "value of", "emails of":
		op := a.one("op", "add", "replace", "Replace")
		return `{"op":"` + op + `","path":"emails[type eq \"` + kind + `\"].value","value":"d@x.example"}`, func(p *modelPerson) *refusal {
			written := map[int]bool{}
			for i := range p.emails {
				if isKind(p.emails[i]) {
					p.emails[i].value, written[i] = "d@x.example", true
				}
			}
			if len(written) == 0 {
				if op == "replace" {
					return &refusal{400, "noTarget"}
				}
				p.emails, written = append(p.emails, modelEmail{value: "d@x.example", kind: kind}), map[int]bool{len(p.emails): true}
			}
			p.write(p.emails, written)
			return nil
		}
	case "primary":
		return `{"op":"replace","path":"emails[type eq \"` + kind + `\"].primary","value":true}`, func(p *modelPerson) *refusal {
			written := map[int]bool{}
			for i := range p.emails {
				if isKind(p.emails[i]) {
					p.emails[i].primary, written[i] = "true", true
				}
			}
			if len(written) == 0 {
				return &refusal{400, "noTarget"}
			}
			p.write(p.emails, written)
			return nil
		}
	case "remove named":
		text, gone := a.email()
		return `{"op":"remove","path":"emails","value":[` + text + `]}`, func(p *modelPerson) *refusal {
			p.emails = slices.DeleteFunc(p.emails, func(e modelEmail) bool { return e.same(gone) })
			return nil
		}
	case "department":
		return fmt.Sprintf(`{"op":"%s","path":"%s:department","value":"%s"}`, op, enterpriseURN, word), set(department, word)
	case "extension":
		return fmt.Sprintf(`{"op":"%s","path":"%s","value":{"department":"%s","manager":"%s"}}`, op, enterpriseURN, word, word), func(p *modelPerson) *refusal {
			p.department, p.manager = word, word
			return nil
		}
	case "no extension":
		return `{"op":"remove","path":"` + enterpriseURN + `"}`, func(p *modelPerson) *refusal { p.department, p.manager = "", ""; return nil }
	case "no manager":
		return fmt.Sprintf(`{"op":"replace","path":"%s:manager","value":""}`, enterpriseURN), func(p *modelPerson) *refusal { p.manager = ""; return nil }
	case "userName":
		name := a.userName()
		return fmt.Sprintf(`{"op":"replace","path":"userName","value":"%s"}`, name), func(p *modelPerson) *refusal { p.userName = name; return nil }
	case "externalId":
		return fmt.Sprintf(`{"op":"%s","path":"externalId","value":"%s"}`, op, word), func(p *modelPerson) *refusal { p.externalID = word; return nil }
	case "displayName":
		return fmt.Sprintf(`{"op":"%s","path":"displayName","value":"Called %s"}`, op, word), func(p *modelPerson) *refusal { p.displayName = "Called " + word; return nil }
	case "no displayName":
		return `{"op":"remove","path":"displayName"}`, func(p *modelPerson) *refusal { p.displayName = ""; return nil }
	}
	wrong := rapid.SampledFrom([]struct {
		text string
		is   refusal
	}{
		{`{"op":"replace","path":"nonsense","value":1}`, refusal{400, "invalidPath"}}, {`{"op":"remove","path":"userName"}`, refusal{400, "mutability"}},
		{`{"op":"replace","path":"active","value":"perhaps"}`, refusal{400, "invalidValue"}}, {`{"op":"replace","path":"id","value":"x"}`, refusal{400, "mutability"}},
		{`{"op":"replace","path":"groups","value":[]}`, refusal{400, "mutability"}}, {`{"op":"add","value":{"nonsense":1}}`, refusal{400, "invalidPath"}},
		{`{"op":"remove","path":"emails[type eq 5]"}`, refusal{400, "invalidFilter"}},
	}).Draw(a.T, "wrong")
	return wrong.text, func(*modelPerson) *refusal { return &wrong.is }
}

// members draws a list of members by their ids.
func (a *author) members() (list string, keys []string) {
	from := append(slices.Clone(a.people), a.groups...)
	if len(from) == 0 {
		return "[]", nil
	}
	keys = rapid.SliceOfNDistinct(rapid.SampledFrom(from), 1, 3, rapid.ID).Draw(a.T, "members")
	return `[{"value":"<` + strings.Join(keys, `>"},{"value":"<`) + `>"}]`, keys
}

func keySet(keys []string) map[string]bool {
	is := map[string]bool{}
	for _, key := range keys {
		is[key] = true
	}
	return is
}

// groupStep draws one operation of a PATCH of a group.
func (a *author) groupStep() (string, func(*model, *modelGroup) *refusal) {
	list, keys := a.members()
	what := a.one("step", "add", "remove", "remove one", "all but", "clear", "replace", "rename", "externalId", "wrong")
	if len(keys) == 0 && what != "rename" && what != "externalId" && what != "wrong" {
		what = "clear"
	}
	without := func(gone func(string) bool) func(*model, *modelGroup) *refusal {
		return func(_ *model, g *modelGroup) *refusal {
			maps.DeleteFunc(g.members, func(key string, _ bool) bool { return gone(key) })
			return nil
		}
	}
	switch what {
	case "add":
		return a.one("how", `{"op":"add","path":"members","value":`+list+`}`, `{"op":"Add","value":{"members":`+list+`}}`), func(m *model, g *modelGroup) *refusal {
			g.unknown = g.unknown || !m.allThere(keySet(keys))
			maps.Copy(g.members, keySet(keys))
			return nil
		}
	case "remove":
		return `{"op":"Remove","path":"members","value":` + list + `}`, without(func(key string) bool { return slices.Contains(keys, key) })
	case "remove one":
		return `{"op":"remove","path":"members[value eq \"<` + keys[0] + `>\"]"}`, without(func(key string) bool { return key == keys[0] })
	case "all but":
		return `{"op":"remove","path":"members[not (value eq \"<` + keys[0] + `>\")]"}`, func(m *model, g *modelGroup) *refusal {
			maps.DeleteFunc(g.members, func(key string, _ bool) bool { return key != keys[0] })
			g.unknown = !m.allThere(g.members) // it looks at who is there by then
			return nil
		}
	case "clear":
		return a.one("how", `{"op":"remove","path":"members"}`, `{"op":"replace","path":"members","value":[]}`), without(func(string) bool { return true })
	case "replace":
		return `{"op":"replace","path":"members","value":` + list + `}`, func(m *model, g *modelGroup) *refusal {
			g.members = keySet(keys)
			g.unknown = g.unknown || !m.allThere(g.members)
			return nil
		}
	case "rename":
		name := a.groupName()
		return `{"op":"replace","value":{"displayName":"` + name + `"}}`, func(_ *model, g *modelGroup) *refusal { g.displayName = name; return nil }
	case "externalId":
		word := a.word("externalId")
		return `{"op":"add","path":"externalId","value":"` + word + `"}`, func(_ *model, g *modelGroup) *refusal { g.externalID = word; return nil }
	}
	if a.yes("nobody") {
		return `{"op":"add","path":"members","value":[{"value":"usr_nobody"}]}`, func(_ *model, g *modelGroup) *refusal { g.unknown = true; return nil }
	}
	return `{"op":"replace","path":"displayName","value":""}`, func(_ *model, g *modelGroup) *refusal { g.displayName = ""; return nil }
}

// version draws what a change depends on.
func (a *author) version() string {
	return a.one("If-Match", "", "", "", "", "", "*", `W/"1"`, `W/"2"`)
}

func (a *author) name(kind string) string {
	a.made++
	return fmt.Sprint(kind, a.made)
}

// action draws one operation on what is there, or was.
func (a *author) action() modelAction {
	kinds := []string{"new person", "new group"}
	switch {
	case len(a.people) < 2:
		kinds = kinds[:1] // somebody to do something with
	default:
		kinds = append(kinds, "patch person", "patch person", "put person", "patch person", "patch person", "patch person", "delete person")
	}
	if len(a.groups) > 0 {
		kinds = append(kinds, "put group", "patch group", "patch group", "patch group", "delete group")
	}
	switch a.one("action", kinds...) {
	case "new person":
		text, p, _ := a.person()
		key := a.name("u")
		a.people = append(a.people, key)
		return modelAction{method: "POST", path: "/Users", data: text, makes: key, do: func(m *model) *refusal { return m.createPerson(key, p) }}
	case "put person":
		text, p, says := a.person()
		key, version := a.one("whom", a.people...), a.version()
		return modelAction{method: "PUT", path: "/Users/<" + key + ">", data: text, ifMatch: version, do: func(m *model) *refusal {
			return m.changePerson(key, version, func(now *modelPerson) *refusal {
				active := now.active && !says || p.active && says
				v := now.version
				*now = p
				now.emails, now.active, now.version = slices.Clone(p.emails), active, v
				return nil
			})
		}}
	case "patch person":
		key, version := a.one("whom", a.people...), a.version()
		var texts []string
		var steps []func(*modelPerson) *refusal
		for range rapid.IntRange(1, 3).Draw(a.T, "steps") {
			text, step := a.personStep()
			texts, steps = append(texts, text), append(steps, step)
		}
		return modelAction{method: "PATCH", path: "/Users/<" + key + ">", data: patch(strings.Join(texts, ",")), ifMatch: version, do: func(m *model) *refusal { return m.patchPerson(key, version, steps) }}
	case "delete person":
		key, version := a.one("whom", a.people...), a.version()
		return modelAction{method: "DELETE", path: "/Users/<" + key + ">", ifMatch: version, do: func(m *model) *refusal { return m.deletePerson(key, version) }}
	case "new group":
		list, keys := a.members()
		key, g := a.name("g"), modelGroup{displayName: a.groupName(), members: keySet(keys)}
		a.groups = append(a.groups, key)
		return modelAction{method: "POST", path: "/Groups", data: `{` + asGroup + `,"displayName":"` + g.displayName + `","members":` + list + `}`, makes: key, do: func(m *model) *refusal {
			g.members = maps.Clone(g.members)
			return m.createGroup(key, g)
		}}
	case "put group":
		list, keys := a.members()
		key, version, name := a.one("which", a.groups...), a.version(), a.groupName()
		return modelAction{method: "PUT", path: "/Groups/<" + key + ">", ifMatch: version, data: `{` + asGroup + `,"displayName":"` + name + `","members":` + list + `}`, do: func(m *model) *refusal {
			return m.changeGroup(key, version, func(g *modelGroup) *refusal {
				g.displayName, g.externalID, g.members = name, "", keySet(keys)
				return nil
			})
		}}
	case "patch group":
		key, version := a.one("which", a.groups...), a.version()
		var texts []string
		var steps []func(*model, *modelGroup) *refusal
		for range rapid.IntRange(1, 3).Draw(a.T, "steps") {
			text, step := a.groupStep()
			texts, steps = append(texts, text), append(steps, step)
		}
		return modelAction{method: "PATCH", path: "/Groups/<" + key + ">", data: patch(strings.Join(texts, ",")), ifMatch: version, do: func(m *model) *refusal {
			return m.changeGroup(key, version, func(g *modelGroup) *refusal {
				for _, step := range steps {
					if r := step(m, g); r != nil {
						return r
					}
				}
				return nil
			})
		}}
	}
	key, version := a.one("which", a.groups...), a.version()
	return modelAction{method: "DELETE", path: "/Groups/<" + key + ">", ifMatch: version, do: func(m *model) *refusal { return m.deleteGroup(key, version) }}
}
