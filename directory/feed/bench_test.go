package feed_test

import (
	"slices"
	"strconv"
	"testing"
	"time"

	"gatehouse/authz"
	"gatehouse/directory"
	"gatehouse/internal/store/postgrestest"
)

// BenchmarkAChange is one change of a person, as a PATCH makes it, with its record and
// all: with and without the feed by turns, and the medians of both, so that what else the
// machine does counts on both sides.
func BenchmarkAChange(b *testing.B) {
	for name, where := range map[string]func(*testing.B) string{
		"SQLite":     func(*testing.B) string { return "" },
		"PostgreSQL": func(b *testing.B) string { return postgrestest.Shared(b).Borrow(b).Application },
	} {
		b.Run(name, func(b *testing.B) {
			h := newHouseOn(b, where(b), 0)
			plain := directory.New(directory.Config{Store: h.a.db, Journal: h.a.journal, Sessions: noSessions{}, Withdraw: authz.Withdraw})
			u := h.a.person("ada")
			var took [2][]time.Duration
			for i := 0; b.Loop(); i++ {
				for which, people := range []*directory.Service{plain, h.a.Service} {
					began := time.Now()
					_, err := people.UpdateUser(b.Context(), admin, h.tenant, u.ID, 0, func(u *directory.User) error {
						u.DisplayName = strconv.Itoa(2*i + which)
						return nil
					})
					must(b, err)
					took[which] = append(took[which], time.Since(began))
				}
			}
			for which, unit := range []string{"µs/plain", "µs/followed"} {
				slices.Sort(took[which])
				b.ReportMetric(float64(took[which][len(took[which])/2].Microseconds()), unit)
			}
		})
	}
}
