package scim

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

func TestReadingsAreForgottenAndBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r readings
		key := readingKey{tenant: "ten_1", token: "tok_1"}
		r.note(key, place{1, ""}, place{3, "usr_b"})
		time.Sleep(readingLife)
		if got := r.find(key, 3); got.after != "usr_b" {
			t.Errorf("found %+v", got)
		}
		time.Sleep(time.Nanosecond)
		if got := r.find(key, 3); got != (place{start: 3}) {
			t.Errorf("found %+v", got)
		}
		r.note(readingKey{token: "tok_2"}, place{}, place{})
		if len(r.last) != 1 {
			t.Error("what ran out is still kept")
		}
		for i := range maxReadings + 10 {
			r.note(readingKey{token: fmt.Sprint(i)}, place{}, place{})
		}
		if len(r.last) != maxReadings {
			t.Errorf("%d readings are kept", len(r.last))
		}
	})
}
