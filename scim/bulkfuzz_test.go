package scim_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
)

// FuzzBulk sends bodies to /Bulk: each is answered, one that is refused, or all of whose
// operations are, changes nothing, and what is answered as made or deleted is what was.
func FuzzBulk(f *testing.F) {
	b := newBench(f)
	for _, seed := range []string{
		bulk("", newUser("a", "ann"), newGroup("g", "one", "bulkId:a")), bulk(`"failOnErrors":1,`, newGroup("g", "two", "bulkId:h"), newGroup("h", "three", "bulkId:g")),
		bulk("", newReport("a", "ann", "b"), newReport("b", "bob", "a"), newReport("c", "cy", "c"), operation("DELETE", "/Users/bulkId:a", "", "")),
		bulk("", newUser("a", "zed"), operation("PATCH", "/Users/bulkId:a", "", patch(`{"op":"add","path":"manager[value eq \"bulkId:a\"]","value":["bulkId:a",{"value":["bulkId:a"]}]}`))),
		bulk("", operation("PUT", "/Groups/bulkId:g", "x", `{"members":{"value":{"value":"bulkId:g"}}}`), newGroup("g", "four")),
		bulk("", operation("PATCH", "/Users/bulkId:", "", `{"operations":[null,{"PATH":"members[value eq \"bulkId:","value":null}]}`), newUser("a", "")),
		bulk("", newUser("a", "ann"), newUser("b", "ANN"), newUser("c", "cy")), `{"schemas":[],"Operations":[]}`, `{"Operations":[[[`, bulk("", `null`), "\ufeff{}",
	} {
		f.Add(seed)
	}
	count := func(t *testing.T, path string) int {
		total, _ := b.do(t, "GET", path+"?count=0", "").wants(200).at("totalResults").(float64)
		return int(total)
	}
	state := func(t *testing.T) string {
		var all strings.Builder
		for cursor := ""; ; {
			page := b.do(t, "GET", "?count=200&sortBy=id&cursor="+cursor, "").wants(200)
			all.WriteString(page.json("Resources"))
			next, more := page.at("nextCursor").(string)
			if !more {
				return all.String()
			}
			cursor = next
		}
	}
	f.Fuzz(func(t *testing.T, body string) {
		if len(body) > 4<<10 {
			return
		}
		want := map[string]int{"/Users": count(t, "/Users"), "/Groups": count(t, "/Groups")}
		before := state(t)
		got := b.do(t, "POST", "/Bulk", body)
		changed := false
		if body == "" {
			got.wants(415)
			return
		}
		if got.status == 200 {
			var results struct{ Operations []done }
			must(t, json.Unmarshal([]byte(got.raw), &results))
			for _, d := range results.Operations {
				changed = changed || d.Status[0] == '2'
				for path := range want {
					switch {
					case !strings.HasPrefix(d.Location, base+path+"/"):
					case d.Method == http.MethodPost && d.Status == "201":
						want[path]++
					case d.Method == http.MethodDelete && d.Status == "204":
						want[path]--
					}
				}
				if d.Status[0] == '5' {
					t.Errorf("answered %s", got.raw)
				}
			}
		} else if got.wants(400); got.body["scimType"] == nil {
			t.Errorf("answered %s", got.raw)
		}
		if now := state(t); !changed && now != before {
			t.Errorf("%s has left\n%s\nof\n%s", got.raw, now, before)
		}
		for path, n := range want {
			if is := count(t, path); is != n {
				t.Errorf("%d at %s, want %d: %s", is, path, n, got.raw)
			}
		}
	})
}
