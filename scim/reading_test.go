package scim

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse/directory"
)

func TestReadingsAreForgottenAndBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r readings
		key := readingKey{tenant: "ten_1", token: "tok_1"}
		r.note(key, index{start: 1}, index{3, directory.Position{ID: "usr_b"}})
		time.Sleep(readingLife)
		if got := r.find(key, 3); got.after.ID != "usr_b" {
			t.Errorf("found %+v", got)
		}
		time.Sleep(time.Nanosecond)
		if got := r.find(key, 3); got != (index{start: 3}) {
			t.Errorf("found %+v", got)
		}
		r.note(readingKey{token: "tok_2"}, index{}, index{})
		if len(r.last) != 1 {
			t.Error("what ran out is still kept")
		}
		for i := range maxReadings + 10 {
			r.note(readingKey{token: fmt.Sprint(i)}, index{}, index{})
		}
		if len(r.last) != maxReadings {
			t.Errorf("%d readings are kept", len(r.last))
		}
	})
}
