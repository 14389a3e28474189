package scim_test

import (
	"fmt"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
)

// nodes are services of their own over one database.
func (b *bench) nodes(t *testing.T, n int) []*bench {
	t.Helper()
	all := []*bench{b}
	for len(all) < n {
		all = append(all, b.another(t))
	}
	return all
}

// patience is how often a request is sent at most.
const patience = 10

// patient sends a request again while a node has no time for it.
func (b *bench) patient(t *testing.T, method, path, body string, headers ...string) (a answer) {
	t.Helper()
	for range patience {
		if a = b.do(t, method, path, body, headers...); a.status != 503 {
			break
		}
	}
	return a
}

// TestRFC7644_3_14_FiftyClientsChangeTheSamePeople: at three nodes each of fifty clients
// adds one to what it has read of a person, and reads again when it comes too late; the
// first round of all but one has to. Nothing is lost.
func TestRFC7644_3_14_FiftyClientsChangeTheSamePeople(t *testing.T) {
	const clients, people = 50, 5
	b := newBench(t)
	nodes, follower := b.nodes(t, 3), b.follow(t)
	all := make([]string, 0, people)
	for i := range people {
		all = append(all, "/Users/"+b.user(t, fmt.Sprint("person-", i), `,"title":"0"`))
	}
	group := "/Groups/" + b.group(t, "0")
	var read, done sync.WaitGroup
	var late, groupLate atomic.Int32
	read.Add(clients)
	// count adds one, by PUT with the version that was read.
	count := func(node *bench, path, name, kind string, late *atomic.Int32, first func()) {
		for {
			got := node.patient(t, "GET", path, "")
			n, err := strconv.Atoi(fmt.Sprint(got.at(name)))
			if err != nil {
				t.Errorf("%s is %s", path, got.raw)
				return
			}
			first()
			body := `{` + kind + `,"userName":` + got.json("userName") + `,"` + name + `":"` + strconv.Itoa(n+1) + `"}`
			switch a := node.patient(t, "PUT", path, body, "If-Match", got.header.Get("ETag")); a.status {
			case 200:
				return
			case 412:
				late.Add(1)
			default:
				t.Errorf("%d: %s", a.status, a.raw)
				return
			}
		}
	}
	for i := range clients {
		done.Go(func() {
			begin := sync.OnceFunc(func() { read.Done(); read.Wait() })
			count(nodes[i%len(nodes)], all[i%people], "title", asUser, &late, begin)
			count(nodes[(i+1)%len(nodes)], group, "displayName", asGroup, &groupLate, func() {})
		})
	}
	done.Wait()
	if late.Load() < clients-people {
		t.Errorf("%d changes were late, want at least %d", late.Load(), clients-people)
	}
	for _, path := range all {
		b.do(t, "GET", path, "").wants(200).same(`"`+strconv.Itoa(clients/people)+`"`, "title").same(fmt.Sprintf(`"W/\"%d\""`, 1+clients/people), "meta", "version")
	}
	b.do(t, "GET", group, "").wants(200).same(`"`+strconv.Itoa(clients)+`"`, "displayName").same(fmt.Sprintf(`"W/\"%d\""`, 1+clients), "meta", "version")
	follower.agrees(t)
}

// TestClientsThatAddAndDeleteTheSamePeople: people are put into groups, groups into each
// other, renamed, and deleted at once on three nodes, in every order; each request ends as
// one of a sequence could, and at the end nothing is left of who was deleted.
func TestClientsThatAddAndDeleteTheSamePeople(t *testing.T) {
	b := newBench(t)
	nodes, follower := b.nodes(t, 3), b.follow(t)
	var people, groups []string
	for i := range 24 {
		people = append(people, b.user(t, fmt.Sprint("person-", i), ""))
	}
	for i := range 4 {
		groups = append(groups, b.group(t, fmt.Sprint("group-", i), people[i]))
	}
	stays := b.user(t, "stays", "")
	var all sync.WaitGroup
	try := func(i int, method, path, body string, may ...int) {
		all.Go(func() {
			if a := nodes[i%len(nodes)].patient(t, method, path, body); !slices.Contains(may, a.status) {
				t.Errorf("%s %s: %d %s", method, path, a.status, a.raw)
			}
		})
	}
	for i, id := range people {
		one, other := groups[i%4], groups[(i+1)%4]
		try(i, "PATCH", "/Groups/"+one, patch(`{"op":"add","path":"members","value":["`+id+`","`+stays+`"]}`), 204, 400, 404)
		try(i+1, "DELETE", "/Users/"+id, "", 204, 404)
		try(i+2, "PATCH", "/Groups/"+other, patch(`{"op":"add","path":"members","value":["`+id+`","`+one+`"]}`), 204, 400, 404)
		try(i, "PATCH", "/Users/"+id, patch(fmt.Sprintf(`{"op":"replace","path":"title","value":"%d"}`, i)), 200, 404)
		if i == 12 {
			try(i, "DELETE", "/Groups/"+groups[3], "", 204)
		}
	}
	all.Wait()
	b.do(t, "GET", "/Users", "").wants(200).same(`1`, "totalResults")
	for _, id := range groups[:3] {
		list, _ := b.do(t, "GET", "/Groups/"+id, "").wants(200).at("members").([]any)
		for _, m := range list {
			member, _ := m.(map[string]any)
			if value := member["value"]; value != stays && !slices.Contains(groups[:3], fmt.Sprint(value)) {
				t.Errorf("%v is in %s", value, id)
			}
		}
	}
	b.do(t, "GET", "/Groups/"+groups[3], "").wants(404)
	follower.agrees(t)
}
