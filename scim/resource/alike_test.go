package resource

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	scimerrors "github.com/elimity-com/scim/errors"
)

// Each element of a value is compared with the others of it, so there is an end to them.
func TestElementsOfOneValueAreBounded(t *testing.T) {
	alike := func(n int) string {
		var all []string
		for i := range n {
			all = append(all, fmt.Sprintf(`{"value":"x","type":"t%d"}`, i))
		}
		return "[" + strings.Join(all, ",") + "]"
	}
	const person = `{"userName":"a"}`
	for n, refused := range map[int]bool{maxAlike: false, maxAlike + 1: true} {
		_, added := patched(t, person, `{"op":"add","path":"emails","value":`+alike(n)+`}`)
		_, removed := patched(t, `{"userName":"a","emails":[{"value":"x"}]}`, `{"op":"remove","path":"emails","value":`+alike(n)+`}`)
		body, err := Decode([]byte(`{"userName":"a","emails":` + alike(n) + `}`))
		if err != nil {
			t.Fatal(err)
		}
		_, whole := User.Clean(body)
		for how, err := range map[string]error{"added": added, "removed": removed, "whole": whole} {
			e, ok := errors.AsType[scimerrors.ScimError](err)
			if (err != nil) != refused || refused && (!ok || e.ScimType != scimerrors.ScimTypeTooMany) {
				t.Errorf("%d %s: %v", n, how, err)
			}
		}
	}
}
