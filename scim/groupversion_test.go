package scim_test

import (
	"strings"
	"testing"
	"time"

	"gatehouse/internal/store"
)

// TestRFC7644_3_14_AGroupsVersionMovesWhenAMemberGoes: whoever asks for what they have not
// seen is told of the members that are left, and what is written for those that were there
// is refused. What a member is called moves the member's version alone.
func TestRFC7644_3_14_AGroupsVersionMovesWhenAMemberGoes(t *testing.T) {
	c := newCrowd(t, 3)
	inner := c.bench.group(t, "inner", c.people[3])
	outer := "/Groups/" + c.bench.group(t, "outer", inner, c.people[0])
	other := "/Groups/" + c.bench.group(t, "other", c.people[4])
	versions := map[string]string{}
	// moves checks which groups have another version than they had, and were changed now.
	moves := func(what string, want ...string) {
		t.Helper()
		var moved []string
		for _, path := range []string{c.group, outer, other} {
			got := c.do(t, "GET", path, "", "If-None-Match", versions[path])
			if got.status == 304 {
				continue
			}
			moved, versions[path] = append(moved, path), got.wants(200).header.Get("ETag")
			if at, err := time.Parse(time.RFC3339Nano, strings.Trim(got.json("meta", "lastModified"), `"`)); err != nil || time.Since(at) > time.Hour {
				t.Errorf("%s: %s was modified at %v, %v", what, path, at, err)
			}
			c.do(t, "GET", path, "", "If-None-Match", versions[path]).wants(304)
		}
		if strings.Join(moved, " ") != strings.Join(want, " ") {
			t.Errorf("%s moves %v, want %v", what, moved, want)
		}
		must(t, c.db.Tenant(c.acme.id).Write(t.Context(), func(tx *store.Tx) error {
			_, err := tx.Exec(t.Context(), `UPDATE groups SET updated_at = 0`)
			return err
		}))
	}
	moves("the beginning", c.group, outer, other)
	was := versions[c.group]
	c.do(t, "PATCH", "/Users/"+c.people[1], patch(`{"op":"replace","path":"displayName","value":"Robert"}`)).wants(200)
	c.do(t, "PATCH", "/Groups/"+inner, patch(`{"op":"replace","path":"displayName","value":"within"}`)).wants(204)
	c.do(t, "PATCH", "/Users/"+c.people[1], patch(`{"op":"replace","path":"active","value":false}`)).wants(200)
	moves("a new name")
	c.do(t, "DELETE", "/Users/"+c.people[0], "", "If-Match", `W/"9"`).wants(412)
	moves("a deletion that is refused")
	c.do(t, "DELETE", "/Users/"+c.people[0], "").wants(204)
	moves("a deletion", c.group, outer)
	c.do(t, "PATCH", c.group, c.sent(`{"op":"add","path":"members","value":["$3"]}`), "If-Match", was).wants(412)
	c.do(t, "DELETE", "/Users/"+c.people[0], "").wants(404)
	moves("a deletion of who is gone")
	c.do(t, "DELETE", "/Users/"+c.people[3], "").wants(204)
	moves("a deletion of a member's member")
	c.do(t, "DELETE", "/Groups/"+inner, "").wants(204)
	moves("a deletion of a group in it", outer)
	c.has(t, 1, 2)
}
