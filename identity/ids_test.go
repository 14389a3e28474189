package identity_test

import (
	"testing"
	"testing/synctest"
	"time"

	"gatehouse/identity"
)

// TestIDsComeInTheOrderInWhichTheyAreMade: lists are in it.
func TestIDsComeInTheOrderInWhichTheyAreMade(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		last := identity.NewUserID()
		for range 10_000 {
			time.Sleep(time.Microsecond)
			next := identity.NewUserID()
			if next <= last || len(next) != len(last) {
				t.Fatalf("%s behind %s, at %s", next, last, time.Now())
			}
			last = next
		}
	})
}
