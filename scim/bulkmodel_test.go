package scim_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// TestRFC7644_3_7_ABulkDoesWhatSingleRequestsDo gives random operations to one tenant
// in a Bulk and to another one by one.
func TestRFC7644_3_7_ABulkDoesWhatSingleRequestsDo(t *testing.T) {
	b := newBench(t)
	follower, runs := b.follow(t), 0
	rapid.Check(t, func(r *rapid.T) {
		runs++
		prefix := fmt.Sprintf("run%d-", runs)
		one, other := &side{t, b, b.acme, prefix, map[string]string{}}, &side{t, b, b.globex, prefix, map[string]string{}}
		for _, s := range []*side{one, other} {
			s.together(modelSteps{
				{"POST", "/Users", "u0", `{` + asUser + `,"userName":"` + prefix + `u0"}`}, {"POST", "/Users", "u1", `{` + asUser + `,"userName":"` + prefix + `u1"}`},
				{"POST", "/Users", "u2", `{` + asUser + `,"userName":"` + prefix + `u2"}`},
				{"POST", "/Groups", "g0", `{` + asGroup + `,"displayName":"` + prefix + `g0","members":[{"value":"<u0>"},{"value":"<u1>"}]}`}})
		}
		steps := randomSteps(r, prefix)
		if got, want := one.together(steps), other.oneByOne(steps); !slices.Equal(got, want) {
			r.Fatalf("%s\nended with %v, one by one with %v", strings.Join(steps.texts(), "\n"), got, want)
		}
		if got, want := one.state(), other.state(); !reflect.DeepEqual(got, want) {
			r.Fatalf("%s\nled to %v, one by one to %v", strings.Join(steps.texts(), "\n"), got, want)
		}
	})
	follower.agrees(t)
}

// modelStep is an operation; <x> stands for the id of x, or for bulkId:x where x is made on
// the way.
type modelStep struct{ method, path, bulkID, data string }

type modelSteps []modelStep

func (s modelSteps) texts() (all []string) {
	for _, o := range s {
		all = append(all, operation(o.method, o.path, o.bulkID, o.data))
	}
	return all
}

func randomSteps(r *rapid.T, prefix string) (all modelSteps) {
	people, groups := []string{"u0", "u1", "u2"}, []string{"g0"}
	of := func(from []string, label string) string { return "<" + rapid.SampledFrom(from).Draw(r, label) + ">" }
	for i := range rapid.IntRange(1, 12).Draw(r, "operations") {
		id := "n" + strconv.Itoa(i)
		name := rapid.SampledFrom([]string{"u0", "U9", "u9", "x", "y", "", "z"}).Draw(r, "name")
		if name != "" {
			name = prefix + name
		}
		nick := rapid.SampledFrom([]string{`"a"`, `"b"`, `5`}).Draw(r, "nick")
		switch rapid.SampledFrom([]string{"person", "person", "person", "group", "rename", "deactivate", "member", "remove person", "remove group"}).Draw(r, "what") {
		case "person":
			all = append(all, modelStep{"POST", "/Users", id, `{` + asUser + `,"userName":"` + name + `","nickName":` + nick + `}`})
			people = append(people, id)
		case "group":
			all = append(all, modelStep{"POST", "/Groups", id, `{` + asGroup + `,"displayName":"` + name + `","members":[{"value":"` + of(people, "first") + `"},{"value":"` + of(people, "second") + `"}]}`})
			groups = append(groups, id)
		case "rename":
			all = append(all, modelStep{"PUT", "/Users/" + of(people, "whom"), "", `{` + asUser + `,"userName":"` + name + `","nickName":` + nick + `}`})
		case "deactivate":
			all = append(all, modelStep{"PATCH", "/Users/" + of(people, "whom"), "", patch(`{"op":"replace","path":"active","value":false}`)})
		case "member":
			all = append(all, modelStep{"PATCH", "/Groups/" + of(groups, "which"), "", patch(`{"op":"` + rapid.SampledFrom([]string{"add", "remove"}).Draw(r, "op") + `","path":"members","value":[{"value":"` + of(people, "whom") + `"}]}`)})
		case "remove person":
			all = append(all, modelStep{"DELETE", "/Users/" + of(people, "whom"), "", ""})
		case "remove group":
			all = append(all, modelStep{"DELETE", "/Groups/" + of(groups, "which"), "", ""})
		}
	}
	return all
}

// side is a tenant with the ids of what it has.
type side struct {
	t      *testing.T
	b      *bench
	to     tenant
	prefix string // of the names of this run
	ids    map[string]string
}

func (s *side) send(method, path, body string) answer {
	r := s.b.newRequest(s.t.Context(), method, path, body)
	r.Header.Set("Authorization", "Bearer "+s.to.token)
	return s.b.request(s.t, s.to, r)
}

// fill writes ids for what stands for them; false if there is none.
func (s *side) fill(text string, id func(name string) string) (string, bool) {
	for {
		before, rest, found := strings.Cut(text, "<")
		if !found {
			return text, true
		}
		name, rest, _ := strings.Cut(rest, ">")
		is := id(name)
		if is == "" {
			return "", false
		}
		text = before + is + rest
	}
}

func (s *side) oneByOne(all modelSteps) (statuses []string) {
	known := func(name string) string { return s.ids[name] }
	for _, o := range all {
		path, there := s.fill(o.path, known)
		data, all := s.fill(o.data, known)
		if !there || !all { // what it needs was not made
			statuses = append(statuses, "409")
			continue
		}
		got := s.send(o.method, path, data)
		if got.status == 201 {
			s.ids[o.bulkID] = got.id()
		}
		statuses = append(statuses, strconv.Itoa(got.status))
	}
	return statuses
}

func (s *side) together(all modelSteps) (statuses []string) {
	known := func(name string) string {
		if id := s.ids[name]; id != "" {
			return id
		}
		return "bulkId:" + name
	}
	texts := make([]string, 0, len(all))
	for _, o := range all {
		path, _ := s.fill(o.path, known)
		data, _ := s.fill(o.data, known)
		texts = append(texts, operation(o.method, path, o.bulkID, data))
	}
	var results struct{ Operations []done }
	must(s.t, json.Unmarshal([]byte(s.send("POST", "/Bulk", bulk("", texts...)).wants(200).raw), &results))
	for _, d := range results.Operations {
		if statuses = append(statuses, d.Status); d.Status == "201" {
			s.ids[d.BulkID] = d.id()
		}
	}
	return statuses
}

// state is what is there, without ids and times.
func (s *side) state() map[string]string {
	is, names := map[string]string{}, map[string]string{}
	list, _ := s.send("GET", "/Users?count=200&filter="+escape(`userName sw "`+s.prefix+`"`), "").wants(200).at("Resources").([]any)
	for _, v := range list {
		u, _ := v.(map[string]any)
		names[fmt.Sprint(u["id"])] = fmt.Sprint(u["userName"])
		is["person "+fmt.Sprint(u["userName"])] = fmt.Sprint(u["nickName"], u["active"])
	}
	list, _ = s.send("GET", "/Groups?count=200&filter="+escape(`displayName sw "`+s.prefix+`"`), "").wants(200).at("Resources").([]any)
	for _, v := range list {
		g, _ := v.(map[string]any)
		members := map[string]bool{}
		inside, _ := g["members"].([]any)
		for _, v := range inside {
			m, _ := v.(map[string]any)
			members[names[fmt.Sprint(m["value"])]] = true
		}
		is["group "+fmt.Sprint(g["displayName"])] = fmt.Sprint(slices.Sorted(maps.Keys(members)))
	}
	return is
}
