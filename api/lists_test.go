package api

import (
	"slices"
	"testing"
)

// A page goes on behind its cursor, also when what the cursor names is gone.
func TestPagesGoOnBehindTheirCursor(t *testing.T) {
	same := func(s string) string { return s }
	items := []string{"d", "a", "c", "b", "e"}
	first := pageWithin(Paging{Limit: 2}, items, same, same).Body
	if !slices.Equal(first.Items, []string{"a", "b"}) || first.NextCursor != "b" {
		t.Errorf("the first page: %+v", first)
	}
	for name, left := range map[string][]string{"all there": items, "the cursor's gone": {"d", "a", "c", "e"}} {
		second := pageWithin(Paging{Limit: 2, Cursor: first.NextCursor}, left, same, same).Body
		if !slices.Equal(second.Items, []string{"c", "d"}) || second.NextCursor != "d" {
			t.Errorf("%s: the second page: %+v", name, second)
		}
	}
	if last := pageWithin(Paging{Limit: 2, Cursor: "z"}, items, same, same).Body; len(last.Items) != 0 || last.NextCursor != "" {
		t.Errorf("behind the last: %+v", last)
	}
}
