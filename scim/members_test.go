package scim_test

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"pgregory.net/rapid"

	"gatehouse/audit"
	"gatehouse/directory"
	"gatehouse/internal/store"
)

// crowd is a service with a group of three people, and others outside of it.
type crowd struct {
	*bench
	people []string
	group  string // its address
}

func newCrowd(t *testing.T, in int) crowd {
	t.Helper()
	c := crowd{bench: newBench(t)}
	for _, name := range []string{"ada", "bob", "cid", "dee", "eve"} {
		c.people = append(c.people, c.user(t, name, `,"displayName":"`+name+`"`))
	}
	c.group = "/Groups/" + c.bench.group(t, "ops", c.people[:in]...)
	return c
}

// sent puts the people's ids into operations, where they stand as 0, 1, ...
func (c *crowd) sent(operations string) string {
	for i, id := range c.people {
		operations = strings.ReplaceAll(operations, "$"+strconv.Itoa(i), id)
	}
	return patch(operations)
}

// has checks who is in the group.
func (c *crowd) has(t *testing.T, people ...int) {
	t.Helper()
	ids := make([]string, len(people))
	for i, p := range people {
		ids[i] = c.people[p]
	}
	c.do(t, "GET", c.group, "").wants(200).members(ids...)
}

func (c *crowd) version(t *testing.T) string {
	t.Helper()
	return c.do(t, "GET", c.group+"?excludedAttributes=members", "").wants(200).header.Get("ETag")
}

// TestRFC7644_3_5_2_EveryWayToChangeMembers: each begins with the first three in the
// group, and is answered without a body, as nothing was asked for.
func TestRFC7644_3_5_2_EveryWayToChangeMembers(t *testing.T) {
	c := newCrowd(t, 3)
	for _, s := range []struct {
		section, operations string
		left                []int
	}{
		{"§3.5.2.1 add", `{"op":"add","path":"members","value":[{"value":"$3"},{"value":"$4","type":"User"}]}`, []int{0, 1, 2, 3, 4}},
		{"§3.5.2.1 add, one object", `{"op":"add","path":"members","value":{"value":"$3","display":"whoever","$ref":"x"}}`, []int{0, 1, 2, 3}},
		{"§3.5.2.1 add without a path", `{"op":"add","value":{"members":[{"value":"$3"}]}}`, []int{0, 1, 2, 3}},
		{"§3.5.2.1 add of who is there, and of one twice", `{"op":"add","path":"members","value":[{"value":"$0"},{"value":"$3"},{"value":"$3"}]}`, []int{0, 1, 2, 3}},
		{"§3.5.2.2 remove all", `{"op":"remove","path":"members"}`, nil},
		{"§3.5.2.2 remove one", `{"op":"remove","path":"members[value eq \"$1\"]"}`, []int{0, 2}},
		{"§3.5.2.2 remove two", `{"op":"remove","path":"members[value eq \"$1\" or value eq \"$0\"]"}`, []int{2}},
		{"§3.5.2.2 remove by type", `{"op":"remove","path":"members[type eq \"User\"]"}`, nil},
		{"§3.5.2.2 remove by another type", `{"op":"remove","path":"members[type eq \"Group\"]"}`, []int{0, 1, 2}},
		{"§3.5.2.2 remove by what must be looked at", `{"op":"remove","path":"members[display sw \"a\" or display ew \"d\"]"}`, []int{1}},
		{"§3.5.2.2 remove of who is not there", `{"op":"remove","path":"members[value eq \"$4\"]"}`, []int{0, 1, 2}},
		{"§3.5.2.3 replace", `{"op":"replace","path":"members","value":[{"value":"$4"},{"value":"$0"}]}`, []int{0, 4}},
		{"§3.5.2.3 replace without a path", `{"op":"replace","value":{"members":[{"value":"$3"}],"displayName":"ops"}}`, []int{3}},
		{"§3.5.2.3 replace one by another", `{"op":"replace","path":"members[value eq \"$1\"]","value":{"value":"$3"}}`, []int{0, 2, 3}},
		{"§3.5.2 several, in their order", `{"op":"add","path":"members","value":[{"value":"$3"}]},{"op":"remove","path":"members[value eq \"$0\"]"},{"op":"add","path":"members","value":[{"value":"$0"},{"value":"$4"}]},{"op":"remove","path":"members[value eq \"$4\"]"}`, []int{0, 1, 2, 3}},
		{"§3.5.2 all out and some in", `{"op":"remove","path":"members"},{"op":"add","path":"members","value":[{"value":"$4"},{"value":"$0"}]}`, []int{0, 4}},
		{"Entra ID adds", `{"op":"Add","path":"members","value":[{"$ref":null,"value":"$3"}]}`, []int{0, 1, 2, 3}},
		{"Entra ID removes those alone", `{"op":"Remove","path":"members","value":[{"$ref":null,"value":"$1"}]}`, []int{0, 2}},
		{"a filter, beside which no value counts", `{"op":"remove","path":"members[value eq \"$1\"]","value":null}`, []int{0, 2}},
		{"Entra ID with the flag removes", `{"op":"Remove","path":"members[value eq \"$1\"]"}`, []int{0, 2}},
		{"Okta empties", `{"op":"replace","path":"members","value":[]}`, nil},
		{"Okta replaces without a path", `{"op":"replace","value":{"members":[{"value":"$1","display":"bob"}]}}`, []int{1}},
		{"Okta renames without touching anybody", `{"op":"replace","value":{"id":"` + strings.TrimPrefix(c.group, "/Groups/") + `","displayName":"OPS"}}`, []int{0, 1, 2}},
		{"OneLogin adds strings", `{"op":"add","path":"members","value":["$3","$4"]}`, []int{0, 1, 2, 3, 4}},
		{"JumpCloud names the type", `{"op":"add","path":"members","value":[{"value":"$3","type":"user"}]},{"op":"remove","path":"members","value":[{"value":"$0","type":"user"}]}`, []int{1, 2, 3}},
	} {
		t.Run(s.section, func(t *testing.T) {
			c.do(t, "PUT", c.group, `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group"],"displayName":"ops","members":["`+strings.Join(c.people[:3], `","`)+`"]}`).wants(200)
			if got := c.do(t, "PATCH", c.group, c.sent(s.operations)).wants(204); got.raw != "" || got.header.Get("ETag") != c.version(t) {
				t.Errorf("answered %q, ETag %s", got.raw, got.header.Get("ETag"))
			}
			c.has(t, s.left...)
		})
	}
}

// TestRFC7644_3_5_2_AGroupIsChangedAsAWhole: what cannot be done in the end was not done
// at the beginning, and left the version where it was.
func TestRFC7644_3_5_2_AGroupIsChangedAsAWhole(t *testing.T) {
	c := newCrowd(t, 2)
	before, records := c.version(t), len(c.changes(t))
	for operation, kind := range map[string]string{
		`{"op":"add","path":"members","value":[{"value":"$3"},{"value":"usr_nobody"}]}`:                         "invalidValue",
		`{"op":"add","path":"members","value":[{"value":"$3","type":"Group"}]}`:                                 "invalidValue",
		`{"op":"add","path":"members","value":[{"value":"` + c.group[8:] + `"}]}`:                               "invalidValue", // in itself
		`{"op":"add","path":"members","value":[{"value":"` + c.group[8:] + `","type":"User"}]}`:                 "invalidValue",
		`{"op":"replace","path":"members[value eq \"$0\"].value","value":"$3"}`:                                 "mutability",
		`{"op":"replace","path":"members[value eq \"$4\"]","value":{"value":"$4"}}`:                             "noTarget",
		`{"op":"remove","path":"members","value":null}`:                                                         "invalidValue", // of whom, it does not say
		`{"op":"remove","path":"members","value":[]}`:                                                           "invalidValue",
		`{"op":"Remove","path":"members","value":[null]}`:                                                       "invalidValue",
		`{"op":"remove","path":"members","value":[{}]}`:                                                         "invalidValue",
		`{"op":"remove","path":"members","value":""}`:                                                           "invalidValue",
		`{"op":"remove","path":"urn:ietf:params:scim:schemas:core:2.0:Group:members","value":null}`:             "invalidValue",
		`{"op":"remove","path":"urn:ietf:params:scim:schemas:core:2.0:Group","value":{"members":null}}`:         "invalidValue",
		`{"op":"remove","path":"members[not (value eq \"$0\")]"},{"op":"remove","path":"members","value":null}`: "invalidValue", // with the stored ones at hand
		`{"op":"remove","path":"displayName"}`:                                                                  "mutability",
		`{"op":"replace","path":"displayName","value":""}`:                                                      "invalidValue",
		`{"op":"replace","path":"nonsense","value":"x"}`:                                                        "invalidPath",
		`{"op":"remove","path":"members[display eq 5]"}`:                                                        "invalidFilter",
	} {
		t.Run(operation, func(t *testing.T) {
			c.do(t, "PATCH", c.group, c.sent(`{"op":"replace","path":"displayName","value":"other"},{"op":"remove","path":"members"},`+operation)).wants(400, kind)
			c.has(t, 0, 1)
		})
	}
	if got := c.version(t); got != before || len(c.changes(t)) != records {
		t.Errorf("version %s, %d records; before %s, %d", got, len(c.changes(t)), before, records)
	}
}

// TestRFC7644_3_14_AGroupsVersionMovesWithItsMembers: only when something changes; and a
// change that depends on an older one is 412.
func TestRFC7644_3_14_AGroupsVersionMovesWithItsMembers(t *testing.T) {
	c := newCrowd(t, 1)
	add := func(i int) string {
		return c.sent(fmt.Sprintf(`{"op":"add","path":"members","value":[{"value":"$%d"}]}`, i))
	}
	for _, s := range []struct {
		ifMatch string
		who     int
		status  int
		version string
	}{
		{`W/"1"`, 0, 204, `W/"1"`}, {`W/"1"`, 1, 204, `W/"2"`}, {`W/"1"`, 2, 412, `W/"2"`}, {`W/"1"`, 1, 412, `W/"2"`},
		{`"5", W/"2"`, 2, 204, `W/"3"`}, {`*`, 3, 204, `W/"4"`}, {``, 3, 204, `W/"4"`},
	} {
		c.do(t, "PATCH", c.group, add(s.who), "If-Match", s.ifMatch).wants(s.status)
		if got := c.version(t); got != s.version {
			t.Errorf("%s of %d: version %s, want %s", s.ifMatch, s.who, got, s.version)
		}
	}
	c.has(t, 0, 1, 2, 3)
	c.do(t, "PUT", c.group, `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group"],"displayName":"ops","members":["`+c.people[4]+`"]}`, "If-Match", `W/"3"`).wants(412)
	c.do(t, "PUT", c.group, `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group"],"displayName":"ops","members":["`+c.people[4]+`"]}`, "If-Match", `W/"4"`).wants(200).
		same(`"W/\"5\""`, "meta", "version").members(c.people[4])
}

// TestRFC7644_3_9_MembersAreAnsweredToWhomeverWantsThem: and to nobody else.
func TestRFC7644_3_9_MembersAreAnsweredToWhomeverWantsThem(t *testing.T) {
	c := newCrowd(t, 1)
	operation := c.sent(`{"op":"add","path":"members","value":["$1"]}`)
	c.do(t, "PATCH", c.group+"?attributes=members", operation).wants(200).members(c.people[0], c.people[1])
	for _, query := range []string{"?attributes=displayName", "?excludedAttributes=members"} {
		c.do(t, "PATCH", c.group+query, operation).wants(200).same(`null`, "members").same(`"ops"`, "displayName")
		c.do(t, "PUT", c.group+query, `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group"],"displayName":"ops","members":["`+c.people[0]+`"]}`).wants(200).same(`null`, "members")
	}
	c.has(t, 0)
	for query, want := range map[string]string{
		"?attributes=members.value":                     `[{"value":"` + c.people[0] + `"}]`,
		"?attributes=members.display,members.type":      `[{"type":"User","display":"ada"}]`,
		"?excludedAttributes=members.$ref,members.TYPE": `[{"value":"` + c.people[0] + `","display":"ada"}]`,
		"?attributes=members.nonsense":                  `null`,
		"?attributes=displayName":                       `null`,
		"?attributes=members":                           `[{"value":"` + c.people[0] + `","type":"User","display":"ada","$ref":"` + base + `/Users/` + c.people[0] + `"}]`,
	} {
		c.do(t, "GET", c.group+query, "").wants(200).same(want, "members")
	}
}

// changes gives acme's records of changed groups.
func (b *bench) changes(t testing.TB) (all []audit.Event) {
	t.Helper()
	for _, e := range b.events(t) {
		if e.Type == audit.GroupChanged {
			all = append(all, e)
		}
	}
	return all
}

// TestP1_TheJournalCountsTheMembersThatChange: not those who are named.
func TestP1_TheJournalCountsTheMembersThatChange(t *testing.T) {
	c := newCrowd(t, 3)
	for _, s := range []struct{ operations, added, removed string }{
		{`{"op":"add","path":"members","value":["$0","$1","$3"]}`, "1", "0"},
		{`{"op":"remove","path":"members","value":["$0","$4"]}`, "0", "1"},
		{`{"op":"replace","path":"members","value":["$1","$4","$0"]}`, "2", "2"},
		{`{"op":"remove","path":"members"},{"op":"add","path":"members","value":["$1","$2"]}`, "1", "2"},
		{`{"op":"remove","path":"members"}`, "0", "2"},
	} {
		before := len(c.changes(t))
		c.do(t, "PATCH", c.group, c.sent(s.operations)).wants(204)
		c.do(t, "PATCH", c.group, c.sent(s.operations)).wants(204) // changes nothing any more
		all := c.changes(t)
		if last := all[len(all)-1]; len(all) != before+1 || last.Details["added"] != s.added || last.Details["removed"] != s.removed || last.Details["changed"] != "members" {
			t.Errorf("%s: %d records, the last %v", s.operations, len(all)-before, last.Details)
		}
	}
}

// TestRFC7644_3_5_2_2_AFilterByTypeFindsWhoWasAddedByID: also where an operation before
// it had the stored members read.
func TestRFC7644_3_5_2_2_AFilterByTypeFindsWhoWasAddedByID(t *testing.T) {
	c := newCrowd(t, 2)
	inner := c.bench.group(t, "inner")
	for _, first := range []string{"", `{"op":"remove","path":"members[not (value eq \"$0\")]"},`, `{"op":"remove","path":"members[display eq \"bob\"]"},`} {
		for _, added := range []string{`["` + inner + `","$1"]`, `[{"value":"` + inner + `"},{"value":"$1"}]`, `[{"value":"` + inner + `","type":"direct"},{"value":"$1","type":"x"}]`} {
			add := first + `{"op":"add","path":"members","value":` + added + `},`
			c.do(t, "PATCH", c.group, c.sent(add+`{"op":"remove","path":"members[type eq \"Group\"]"}`)).wants(204)
			c.has(t, 0, 1)
			c.do(t, "PATCH", c.group, c.sent(add+`{"op":"remove","path":"members[type ne \"Group\"]"}`)).wants(204)
			c.do(t, "GET", c.group, "").wants(200).members(inner)
			c.do(t, "PATCH", c.group, c.sent(`{"op":"replace","path":"members","value":["$0","$1"]}`)).wants(204)
		}
	}
}

// TestRFC7644_3_5_2_MembersAgainstAModel: random changes of a group in random shapes,
// against a set.
func TestRFC7644_3_5_2_MembersAgainstAModel(t *testing.T) {
	c := newCrowd(t, 0)
	all := append(slices.Clone(c.people), c.bench.group(t, "inner-1"), c.bench.group(t, "inner-2"))
	model := map[string]bool{}
	in := func(ids []string) {
		for _, id := range ids {
			model[id] = true
		}
	}
	rapid.Check(t, func(r *rapid.T) {
		before := maps.Clone(model)
		var operations []string
		for range rapid.IntRange(1, 4).Draw(r, "operations") {
			some := rapid.SliceOfNDistinct(rapid.SampledFrom(all), 1, 4, rapid.ID).Draw(r, "some")
			list := `["` + strings.Join(some, `","`) + `"]`
			drop := func(gone func(string) bool) { maps.DeleteFunc(model, func(id string, _ bool) bool { return gone(id) }) }
			named := func(id string) bool { return slices.Contains(some, id) }
			switch rapid.IntRange(0, 7).Draw(r, "what") {
			case 0, 1:
				operations = append(operations, `{"op":"add","path":"members","value":`+list+`}`)
				in(some)
			case 2:
				operations = append(operations, `{"op":"Remove","path":"members","value":`+list+`}`)
				drop(named)
			case 3:
				some = some[:min(len(some), 2)] // as many as the library reads in brackets
				operations = append(operations, `{"op":"remove","path":"members[value eq \"`+strings.Join(some, `\" or value eq \"`)+`\"]"}`)
				drop(func(id string) bool { return slices.Contains(some, id) })
			case 4:
				operations = append(operations, `{"op":"remove","path":"members[type eq \"Group\"]"}`)
				drop(func(id string) bool { return strings.HasPrefix(id, "grp_") })
			case 5:
				operations = append(operations, `{"op":"remove","path":"members[not (value eq \"`+some[0]+`\")]"}`)
				drop(func(id string) bool { return id != some[0] })
			case 6:
				operations = append(operations, `{"op":"replace","value":{"members":`+list+`}}`)
				clear(model)
				in(some)
			case 7:
				operations = append(operations, `{"op":"remove","path":"members"}`)
				clear(model)
			}
		}
		// One in some does not come about: all of it, or nothing.
		if rapid.IntRange(0, 5).Draw(r, "broken") == 0 {
			operations = append(operations, `{"op":"add","path":"members","value":["usr_nobody"]}`)
			c.do(t, "PATCH", c.group, patch(strings.Join(operations, ","))).wants(400)
			model = before
		} else {
			c.do(t, "PATCH", c.group, patch(strings.Join(operations, ","))).wants(204)
		}
		got := c.do(t, "GET", c.group, "").wants(200)
		got.members(slices.Collect(maps.Keys(model))...)
		if t.Failed() {
			r.Fatalf("after %v", operations)
		}
	})
}

// TestRFC7644_3_14_FiftyClientsChangeOneGroup: they add their own, take others out, and
// change the same people, all at once and on two nodes; nothing is lost.
func TestRFC7644_3_14_FiftyClientsChangeOneGroup(t *testing.T) {
	b := newBench(t)
	const clients = 50
	follower := b.follow(t)
	var in, out []string
	for i := range clients {
		in = append(in, b.user(t, fmt.Sprint("in-", i), ""))
		out = append(out, b.user(t, fmt.Sprint("out-", i), ""))
	}
	shared := []string{b.user(t, "one", ""), b.user(t, "two", "")}
	group := "/Groups/" + b.group(t, "ops", out...)
	nodes := b.nodes(t, 2)
	// atOnce has every client do something.
	atOnce := func(do func(i int, send func(path, operation string, headers ...string) int)) {
		var all sync.WaitGroup
		for i := range clients {
			node := nodes[i%2]
			all.Go(func() {
				do(i, func(path, operation string, headers ...string) int {
					return node.patient(t, "PATCH", path, patch(operation), headers...).status
				})
			})
		}
		all.Wait()
	}
	atOnce(func(i int, send func(string, string, ...string) int) {
		added := send(group, `{"op":"add","path":"members","value":["`+in[i]+`"]}`)
		removed := send(group, `{"op":"Remove","path":"members","value":[{"value":"`+out[i]+`"}]}`)
		changed := send("/Users/"+shared[i%2], fmt.Sprintf(`{"op":"add","path":"phoneNumbers","value":[{"value":"tel:+%d"}]}`, i))
		if added != 204 || removed != 204 || changed != 200 {
			t.Errorf("client %d: %d, %d, %d", i, added, removed, changed)
		}
	})
	b.do(t, "GET", group, "").wants(200).members(in...)
	for i, id := range shared {
		numbers, _ := b.do(t, "GET", "/Users/"+id, "").wants(200).at("phoneNumbers").([]any)
		if len(numbers) != clients/2 {
			t.Errorf("person %d has %d of %d numbers", i, len(numbers), clients/2)
		}
	}
	version := b.do(t, "GET", group+"?attributes=displayName", "").header.Get("ETag")
	var won, late atomic.Int32
	atOnce(func(i int, send func(string, string, ...string) int) {
		switch status := send(group, `{"op":"replace","path":"externalId","value":"`+strconv.Itoa(i)+`"}`, "If-Match", version); status {
		case 204:
			won.Add(1)
		case 412:
			late.Add(1)
		default:
			t.Errorf("client %d: %d", i, status)
		}
	})
	if won.Load() != 1 || late.Load() != clients-1 {
		t.Errorf("of those who depend on one version %d won and %d were late", won.Load(), late.Load())
	}
	added, removed := 0, 0
	for _, e := range b.changes(t) {
		sign := 1
		if e.Outcome == audit.Failed {
			sign = -1
		}
		n, err := strconv.Atoi(e.Details["added"])
		must(t, err)
		m, err := strconv.Atoi(e.Details["removed"])
		must(t, err)
		added, removed = added+sign*n, removed+sign*m
	}
	if added != clients || removed != clients {
		t.Errorf("the journal counts %d added and %d removed, want %d each", added, removed, clients)
	}
	follower.agrees(t)
}

// BenchmarkOneMember adds a member to a group of a size, and removes one: what that
// takes does not depend on the size.
func BenchmarkOneMember(b *testing.B) {
	for _, size := range []int{100, 10_000, 100_000} {
		b.Run(strconv.Itoa(size), func(b *testing.B) {
			s := newBench(b)
			group := s.filled(b, size)
			one := []string{patch(`{"op":"add","path":"members","value":[{"value":"usr_0"}]}`), patch(`{"op":"remove","path":"members[value eq \"usr_0\"]"}`)}
			s.do(b, "PATCH", "/Groups/"+group, one[1]).wants(204)
			i := 0
			for b.Loop() {
				s.do(b, "PATCH", "/Groups/"+group, one[i%2]).wants(204)
				i++
			}
		})
	}
}

// filled makes a group of people, and usr_0 who is outside of it, past the service.
func (b *bench) filled(t testing.TB, size int) string {
	t.Helper()
	g, err := b.directory.CreateGroup(t.Context(), system, b.acme.id, directory.Group{DisplayName: "large"})
	must(t, err)
	for _, statement := range []string{
		`INSERT INTO users (id, user_name, user_key, external_id, email, display_name, display_key, active, source, attributes, version, created_at, updated_at)
			WITH RECURSIVE n (i) AS (SELECT CAST($1 AS BIGINT) UNION ALL SELECT i - 1 FROM n WHERE i > 0)
			SELECT 'usr_' || CAST(i AS TEXT), 'user-' || CAST(i AS TEXT), 'user-' || CAST(i AS TEXT), '', '', 'User', 'user', TRUE, 'scim', '{}', 1, 0, 0 FROM n`,
		`INSERT INTO group_members (group_id, user_id) SELECT $1, id FROM users WHERE id <> 'usr_0'`,
	} {
		arg := any(size)
		if strings.Contains(statement, "group_members") {
			arg = g.ID
		}
		must(t, b.db.Tenant(b.acme.id).Write(t.Context(), func(tx *store.Tx) error {
			_, err := tx.Exec(t.Context(), statement, arg)
			return err
		}))
	}
	return string(g.ID)
}
