package scim_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"gatehouse/directory"
	"gatehouse/identity"
	"gatehouse/internal/store"
	"gatehouse/internal/store/postgrestest"
)

var benchPeople = flag.Int("people", 100_000, "how many people BenchmarkFinding has")

// BenchmarkFinding asks as identity providers do, in a tenant with many people. Each
// result has the median and the 99th percentile; the time per operation is the mean.
//
//	go test ./scim -run '^$' -bench Finding -people 100000
func BenchmarkFinding(b *testing.B) {
	for name, database := range map[string]func(dir string) string{
		"SQLite":     func(dir string) string { return "sqlite://" + filepath.Join(dir, "db") },
		"PostgreSQL": func(string) string { return postgrestest.Shared(b).Borrow(b).Application },
	} {
		b.Run(name, func(b *testing.B) {
			dir := b.TempDir()
			s := newBenchOn(b, dir, database(dir))
			s.populate(b, *benchPeople)
			n := 0
			for _, c := range []struct {
				name string
				path func() string
			}{
				{"userName eq", func() string {
					return "/Users?filter=" + escape(fmt.Sprintf(`userName eq "Person-%07d@acme.example"`, n))
				}},
				{"externalId eq", func() string { return "/Users?filter=" + escape(fmt.Sprintf(`externalId eq "ext-%07d"`, n)) }},
				{"emails eq", func() string {
					return "/Users?filter=" + escape(fmt.Sprintf(`emails[type eq "work"].value eq "person-%07d@acme.example"`, n))
				}},
				{"first page", func() string { return "/Users?cursor&count=100" }},
				{"last page", s.lastPage(b, "/Users?count=100", "")},
				{"first page by displayName", func() string { return "/Users?cursor&count=100&sortBy=displayName" }},
				{"last page by displayName", s.lastPage(b, "/Users?count=100&sortBy=displayName", directory.AttrDisplayName)},
				{"last page by index", func() string { return fmt.Sprint("/Users?count=100&startIndex=", *benchPeople-99) }},
				{"title eq, of nobody", func() string { return "/Users?filter=" + escape(`title eq "nobody"`) }},
			} {
				b.Run(c.name, func(b *testing.B) {
					var took []time.Duration
					for b.Loop() {
						n = (n*7919 + 13) % *benchPeople
						path := c.path()
						start := time.Now()
						s.do(b, "GET", path, "").wants(200)
						took = append(took, time.Since(start))
					}
					slices.Sort(took)
					b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-us")
					b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-us")
				})
			}
		})
	}
}

// populate fills the directory past the journal, which would take an hour.
func (b *bench) populate(t testing.TB, people int) {
	t.Helper()
	const batch = 5000
	for from := 0; from < people; from += batch {
		must(t, b.db.Tenant(b.acme.id).Write(t.Context(), func(tx *store.Tx) error {
			for i := from; i < min(from+batch, people); i++ {
				id, email := identity.NewUserID(), fmt.Sprintf("person-%07d@acme.example", i)
				attributes, err := json.Marshal(map[string]any{"title": fmt.Sprint("Title ", i%100), "name": map[string]any{"familyName": fmt.Sprint("Family ", i)},
					"emails": []any{map[string]any{"value": email, "type": "work", "primary": true}}})
				must(t, err)
				if _, err := tx.Exec(t.Context(), `INSERT INTO users (id, user_name, user_key, external_id, email, display_name, display_key, active, source, attributes, version, created_at, updated_at, search)
					VALUES ($1, $2, $2, $3, $2, $4, $5, TRUE, 'scim', $6, 1, $7, $7, $8)`, id, email, fmt.Sprintf("ext-%07d", i), fmt.Sprint("Person ", i), fmt.Sprint("person ", i),
					string(attributes), i, strings.ToLower(string(attributes))); err != nil {
					return err
				}
				if _, err := tx.Exec(t.Context(), `INSERT INTO user_emails (user_id, email) VALUES ($1, $2)`, id, email); err != nil {
					return err
				}
			}
			return nil
		}))
	}
}

// lastPage gives the path of a list's last 100 people, sorted by a key.
func (b *bench) lastPage(t testing.TB, path string, by directory.Attr) func() string {
	t.Helper()
	page, err := b.directory.Find(t.Context(), b.acme.id, directory.Query{Users: &directory.Part{By: directory.Key{Attr: by}}, Sorted: by != "", Descending: true, Count: 101})
	must(t, err)
	at := page.Items[100].At
	first := b.do(t, "GET", path+"&cursor", "").wants(200)
	cursor := b.altered(t, fmt.Sprint(first.at("nextCursor")), map[string]any{"i": at.ID, "k": at.Key})
	if last := b.do(t, "GET", path+"&cursor="+cursor, "").wants(200); last.at("nextCursor") != nil || last.at("itemsPerPage") != 100.0 {
		t.Fatalf("not the last page: %s", last.raw)
	}
	return func() string { return path + "&cursor=" + cursor }
}
