package machine

import (
	"net/http"
	"strings"
	"testing"

	"golang.org/x/sync/singleflight"

	"gatehouse/internal/fault"
)

type panicking struct{}

func (panicking) RoundTrip(*http.Request) (*http.Response, error) { panic("a library's") }

// A panic in what several wait for is an answer that nobody could give: 503, and the
// gateway goes on.
func TestAPanicIsAnAnswerThatCannotBeHad(t *testing.T) {
	v := New(Config{Client: &http.Client{Transport: panicking{}}})
	t.Cleanup(v.Close)
	s := newSnapshot("ten_acme", nil, nil)
	s.asked = []inquiry{{endpoint: "https://as.example/introspect"}}
	for range 2 { // nothing is held by the first
		if _, err := v.introspect(from(t.Context(), "192.0.2.1"), s, digest{}, "opaque"); !fault.Is(err, fault.Unavailable) {
			t.Errorf("%v", err)
		}
	}
	var loads singleflight.Group
	done := <-loads.DoChan("x", func() (_ any, err error) {
		defer contain(&err)
		panic("a library's")
	})
	if done.Err == nil || !strings.Contains(done.Err.Error(), "contain_test.go") {
		t.Errorf("%v", done.Err)
	}
}
