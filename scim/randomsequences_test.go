package scim_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// TestRandomSequencesOfAllOperations mixes whatever clients do with people, groups,
// groups in groups, Bulk and versions, and holds every answer and all that is there after
// it to a model; at the end, the feed and the journal to what is there.
func TestRandomSequencesOfAllOperations(t *testing.T) {
	b := newBench(t)
	follower := b.follow(t)
	rapid.Check(t, func(r *rapid.T) {
		s := &sequence{author: &author{T: r}, t: t, b: b, model: newModel(), ids: map[string]string{}}
		s.empty()
		for range rapid.IntRange(4, 24).Draw(r, "length") {
			if rapid.IntRange(0, 3).Draw(r, "together") == 0 {
				s.together()
			} else {
				s.single()
			}
			s.check()
		}
	})
	follower.agrees(t)
}

type sequence struct {
	*author
	t     *testing.T
	b     *bench
	model *model
	ids   map[string]string // of what was made, by its name
	sent  []string
}

// send sends a request for the sequence, whose failures are rapid's to shrink.
func (s *sequence) send(method, path, body string, headers ...string) answer {
	s.sent = append(s.sent, strings.Join(append([]string{method, path, body}, headers...), " "))
	return s.b.do(s.t, method, path, body, headers...)
}

// empty takes away what the sequence before has left.
func (s *sequence) empty() {
	for _, path := range []string{"/Groups", "/Users"} {
		list, _ := s.send("GET", path+"?count=200&attributes=id", "").wants(200).at("Resources").([]any)
		for _, v := range list {
			object, _ := v.(map[string]any)
			s.send("DELETE", path+"/"+fmt.Sprint(object["id"]), "").wants(204)
		}
	}
	s.sent = nil
}

var mention = regexp.MustCompile(`<(\w+)>`)

// filled has ids for names: those that there are, what stands for one in a Bulk, or one
// that nobody has.
func (s *sequence) filled(text string, inBulk map[string]bool) string {
	return mention.ReplaceAllStringFunc(text, func(m string) string {
		key := m[1 : len(m)-1]
		switch id, made := s.ids[key]; {
		case inBulk[key]:
			return "bulkId:" + key
		case made:
			return id
		}
		return "usr_" + key
	})
}

// is compares how an operation ended with what the model says.
func (s *sequence) is(status int, scimType any, want *refusal, ok int) {
	if want == nil {
		want = &refusal{status: ok}
	}
	kind, _ := scimType.(string)
	if status != want.status || kind != want.scimType {
		s.Fatalf("%s\nended with %d %s, the model with %d %s", strings.Join(s.sent, "\n"), status, kind, want.status, want.scimType)
	}
}

var succeeds = map[string]int{"POST": 201, "PUT": 200, "PATCH": 200, "DELETE": 204}

func (a modelAction) succeeds() int {
	if a.method == "PATCH" && strings.HasPrefix(a.path, "/Groups") {
		return 204
	}
	return succeeds[a.method]
}

func (s *sequence) single() {
	a := s.action()
	var headers []string
	if a.ifMatch != "" {
		headers = []string{"If-Match", a.ifMatch}
	}
	got := s.send(a.method, s.filled(a.path, nil), s.filled(a.data, nil), headers...)
	s.is(got.status, got.body["scimType"], a.do(s.model), a.succeeds())
	if got.status == 201 {
		s.ids[a.makes] = fmt.Sprint(got.body["id"])
	}
}

// together sends several in a Bulk, which may end early.
func (s *sequence) together() {
	var texts []string
	var all []modelAction
	inBulk := map[string]bool{}
	for range rapid.IntRange(1, 5).Draw(s.T, "operations") {
		a := s.action()
		text := operation(a.method, s.filled(a.path, inBulk), a.makes, s.filled(a.data, inBulk))
		if a.ifMatch != "" {
			text = strings.Replace(text, `{`, `{"version":`+strconv.Quote(a.ifMatch)+`,`, 1)
		}
		texts, all = append(texts, text), append(all, a)
		if a.makes != "" {
			inBulk[a.makes] = true
		}
	}
	failures := rapid.IntRange(0, 2).Draw(s.T, "failOnErrors")
	got := s.send("POST", "/Bulk", bulk(fmt.Sprintf(`"failOnErrors":%d,`, failures), texts...)).wants(200)
	var results struct{ Operations []done }
	must(s.t, json.Unmarshal([]byte(got.raw), &results))
	failed, made := 0, map[string]bool{}
	for i, a := range all {
		if failures > 0 && failed == failures {
			all = all[:i]
			break
		}
		if i >= len(results.Operations) {
			break
		}
		want := &refusal{status: 409} // it refers to what was not made
		if !slices.ContainsFunc(mention.FindAllStringSubmatch(a.path+a.data, -1), func(m []string) bool { return inBulk[m[1]] && !made[m[1]] }) {
			want = a.do(s.model)
		}
		d := results.Operations[i]
		status, err := strconv.Atoi(d.Status)
		must(s.t, err)
		s.is(status, d.Response["scimType"], want, a.succeeds())
		if want != nil {
			failed++
		} else if a.makes != "" {
			made[a.makes], s.ids[a.makes] = true, d.id()
		}
	}
	if len(results.Operations) != len(all) {
		s.Fatalf("%s\n%d of %d operations were done", strings.Join(s.sent, "\n"), len(results.Operations), len(all))
	}
}

// check compares all that is there with the model.
func (s *sequence) check() {
	names := map[string]string{}
	for key, id := range s.ids {
		names[id] = key
	}
	is, want := map[string]string{}, s.model.state()
	text := func(v any) string { t, _ := v.(string); return t }
	var read struct {
		Resources []map[string]any
	}
	must(s.t, json.Unmarshal([]byte(s.b.do(s.t, "GET", "/Users?count=200", "").wants(200).raw), &read))
	of := func(v any, name string) any { object, _ := v.(map[string]any); return object[name] }
	for _, u := range read.Resources {
		p := seenPerson{userName: text(u["userName"]), externalID: text(u["externalId"]), displayName: text(u["displayName"]), title: text(u["title"]),
			given: text(of(u["name"], "givenName")), family: text(of(u["name"], "familyName")), department: text(of(u[enterpriseURN], "department")),
			manager: text(of(of(u[enterpriseURN], "manager"), "value")), active: u["active"] == true, groups: map[string]string{}, version: text(of(u["meta"], "version"))}
		emails, _ := u["emails"].([]any)
		for _, e := range emails {
			primary := of(e, "primary")
			if primary == nil {
				primary = ""
			}
			p.emails = append(p.emails, modelEmail{text(of(e, "value")), text(of(e, "type")), fmt.Sprint(primary)})
		}
		groups, _ := u["groups"].([]any)
		for _, g := range groups {
			p.groups[names[text(of(g, "value"))]] = text(of(g, "type"))
		}
		is[names[text(u["id"])]] = p.text()
	}
	read.Resources = nil
	must(s.t, json.Unmarshal([]byte(s.b.do(s.t, "GET", "/Groups?count=200", "").wants(200).raw), &read))
	for _, g := range read.Resources {
		seen := seenGroup{text(g["displayName"]), text(g["externalId"]), map[string]string{}, text(of(g["meta"], "version"))}
		members, _ := g["members"].([]any)
		for _, m := range members {
			seen.members[names[text(of(m, "value"))]] = text(of(m, "type"))
		}
		is[names[text(g["id"])]] = seen.text()
	}
	if !maps.Equal(is, want) {
		s.Fatalf("%s\nleft\n%s\nand the model\n%s", strings.Join(s.sent, "\n"), lines(is), lines(want))
	}
}

func lines(state map[string]string) string {
	var b strings.Builder
	for _, key := range slices.Sorted(maps.Keys(state)) {
		fmt.Fprintf(&b, "%s %s\n", key, state[key])
	}
	return b.String()
}
