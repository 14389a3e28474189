package scim_test

import (
	"encoding/json"
	"slices"
	"testing"
)

// The standard's own example: two groups, each in the other.
func TestRFC7644_3_7_1_GroupsOfABulkInACircle(t *testing.T) {
	b := newBench(t)
	ada := b.user(t, "ada", "")
	results := b.bulk(t, bulk("", newGroup("qwerty", "Group A", "bulkId:ytrewq", ada), newGroup("ytrewq", "Group B", "bulkId:qwerty"),
		newGroup("outer", "All", "bulkId:qwerty", "bulkId:u"), newUser("u", "bob")), "201", "201", "201", "201")
	members := func(d done) []string {
		t.Helper()
		var ids []string
		list, _ := b.do(t, "GET", "/Groups/"+d.id(), "").wants(200).at("members").([]any)
		for _, m := range list {
			id, _ := m.(map[string]any)["value"].(string)
			ids = append(ids, id)
		}
		slices.Sort(ids)
		return ids
	}
	for i, want := range [][]string{{ada, results[1].id()}, {results[0].id()}, {results[0].id(), results[3].id()}} {
		if slices.Sort(want); !slices.Equal(members(results[i]), want) {
			t.Errorf("the members of group %d are %v, want %v", i+1, members(results[i]), want)
		}
	}
	for _, d := range results[:2] {
		version, err := json.Marshal(d.Version)
		must(t, err)
		b.do(t, "GET", "/Groups/"+d.id(), "").wants(200).same(string(version), "meta", "version")
	}
	// One of them cannot be made: neither is, nor what refers to them.
	b.bulk(t, bulk("", newGroup("a", "C", "bulkId:b"), newGroup("b", "group a", "bulkId:a"), newGroup("c", "D", "bulkId:a"), newGroup("d", "E", "bulkId:d")),
		"409", "409", "409", "400")
	b.do(t, "GET", "/Groups", "").wants(200).same(`3`, "totalResults")
}
