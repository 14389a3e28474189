package fault_test

import (
	"errors"
	"fmt"
	"testing"

	"gatehouse/internal/fault"
)

func TestAPartOutOfReachKeepsAWordThatWasSaid(t *testing.T) {
	if err := fault.OutOfReach(nil, "x", "y"); err != nil {
		t.Errorf("no cause gives %v", err)
	}
	cause := errors.New("disk full")
	err := fault.OutOfReach(cause, "store-unavailable", "Try again.")
	if f := fault.As(err); f.Kind != fault.Unavailable || f.Code != "store-unavailable" || f.Detail != "Try again." || f.RetryAfter == 0 || !errors.Is(err, cause) {
		t.Errorf("got %+v", f)
	}
	said := fmt.Errorf("read: %w", fault.New(fault.NotFound, "no-such-user", "There is none."))
	if got := fault.OutOfReach(said, "store-unavailable", "Try again."); !errors.Is(got, said) || fault.As(got).Code != "no-such-user" {
		t.Errorf("got %v", got)
	}
}
