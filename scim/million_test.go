package scim_test

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/directory"
	"gatehouse/directory/brake"
	"gatehouse/identity"
	"gatehouse/internal/store/postgrestest"
)

// BenchmarkMillion measures a tenant of a million people (or of -people, in seconds):
// all of it comes and goes over HTTP, through every part of the service, and onto the
// disk. It prints one table for both databases.
//
//	go test ./scim -run '^$' -bench Million -benchtime 1x -timeout 3h -people 1000000
//
// TMPDIR says on which disk, to which PostgreSQL's own user must be let.
func BenchmarkMillion(b *testing.B) {
	var table results
	for _, d := range []struct {
		name     string
		database func(b *testing.B, dir string) string
	}{
		{"SQLite", func(_ *testing.B, dir string) string { return "sqlite://" + filepath.Join(dir, "db") }},
		{"PostgreSQL", func(b *testing.B, _ string) string {
			return postgrestest.StartDurable(b).Database(b).Application
		}},
	} {
		b.Run(d.name, func(b *testing.B) {
			dir := b.TempDir()
			m := newMillion(b, newBenchOn(b, dir, d.database(b, dir)), table.column(d.name))
			m.load()
			m.fill()
			m.find()
			m.read()
			m.change()
			m.leave()
			b.ReportMetric(0, "ns/op")
		})
	}
	fmt.Printf("\n%d people, %d groups, of which the largest has %d members\n\n%s\n", *benchPeople, *benchPeople/100, *benchPeople/10, &table)
}

// million is a tenant on its way to a million people.
type million struct {
	wire
	b      *testing.B
	client *http.Client
	column *column
	people int
	brake  *brake.Service
	groups map[int]string // the addresses of some, by how many members they have
	random *rand.Rand
	last   string       // see outsider
	again  atomic.Int64 // operations that were sent once more
}

func newMillion(b *testing.B, bench *bench, c *column) *million {
	m := &million{b: b, column: c, people: *benchPeople, groups: map[int]string{}, random: rand.New(rand.NewPCG(1, 2)), // the same for all
		client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 8}}}
	bench.brake = brake.New(brake.Config{Store: bench.db, Journal: bench.journal, Log: slog.New(slog.DiscardHandler),
		Rules:   func(identity.TenantID) brake.Rules { return brake.Rules{Share: 20, Window: time.Hour, Least: 10} },
		Tenants: bench.tenants})
	bench.serve(b)
	m.brake, m.wire = bench.brake, newWireOf(bench)
	must(b, os.WriteFile("/proc/self/clear_refs", []byte("5"), 0)) // begins the peak anew: proc(5)
	b.Cleanup(m.client.CloseIdleConnections)
	return m
}

// timed sends a request so many times, each another one, and notes what it took.
func (m *million) timed(row string, times int, method string, next func(i int) (path, body string), status int) {
	took := make([]time.Duration, times)
	for i := range took {
		path, body := next(i)
		start := time.Now()
		m.quick(method, path, body, status)
		took[i] = time.Since(start)
	}
	m.column.put(row, quantiles(took))
}

// quick sends a request and reads its answer without looking into it.
func (m *million) quick(method, path, body string, status int) []byte {
	m.b.Helper()
	got, raw, err := m.exchange(m.client, method, path, body)
	if err != nil || got != status {
		m.b.Fatalf("%s %s: %d %.500s, %v", method, path, got, raw, err)
	}
	return raw
}

func (m *million) anybody() int { return m.random.IntN(m.people) }

// find looks people up by what has an index, and by what has none.
func (m *million) find() {
	m.progress("finding")
	by := func(filter string) func(int) (string, string) {
		return func(int) (string, string) {
			return "/Users?filter=" + escape(strings.ReplaceAll(filter, "#", fmt.Sprintf("%07d", m.anybody()))), ""
		}
	}
	m.timed("`userName eq`", 2000, "GET", by(`userName eq "Person-#@acme.example"`), 200)
	m.timed("`externalId eq`", 2000, "GET", by(`externalId eq "ext-#"`), 200)
	m.timed("`emails[type eq \"work\"].value eq`", 1000, "GET", by(`emails[type eq "work"].value eq "person-#@acme.example"`), 200)
	m.timed("`userName eq`, of nobody", 1000, "GET", by(`userName eq "nobody-#"`), 200)
	m.timed("`userName sw`, of ten", 200, "GET", func(int) (string, string) {
		return "/Users?filter=" + escape(fmt.Sprintf(`userName sw "person-%06d"`, m.anybody()/10)), ""
	}, 200)
}

// read fetches pages at both ends, and then all of them.
func (m *million) read() {
	m.progress("reading")
	page := func(path string) func(int) (string, string) { return func(int) (string, string) { return path, "" } }
	m.timed("first page of 100 by cursor, which counts all", 20, "GET", page("/Users?count=100&cursor"), 200)
	m.timed("second page of 100 by cursor", 200, "GET", page(m.secondPage()), 200)
	m.timed("last page of 100 by cursor", 200, "GET", page(m.lastPage(m.b, "/Users?count=100", "")()), 200)
	m.timed("last page of 100 by cursor, sorted by `displayName`", 200, "GET", page(m.lastPage(m.b, "/Users?count=100&sortBy=displayName", directory.AttrDisplayName)()), 200)
	m.timed("first page of 100 by index", 20, "GET", page("/Users?count=100"), 200)
	m.timed("last page of 100 by index, asked for at once", 20, "GET", page(fmt.Sprint("/Users?count=100&startIndex=", m.people-99)), 200)
	m.timed("groups, 100 on a page without members", 20, "GET", page("/Groups?count=100&excludedAttributes=members"), 200)
	largest := m.groups[m.people/10]
	m.timed("the largest group without its members", 200, "GET", page(largest+"?excludedAttributes=members"), 200)
	m.timed("the largest group with its members", 5, "GET", page(largest), 200)

	start, n := time.Now(), 0
	m.everybody(func([]string) bool { n++; return true })
	took := time.Since(start)
	m.column.put("all people by cursor, 200 on a page", fmt.Sprintf("%.0f s, %.1f ms a page", took.Seconds(), took.Seconds()*1000/float64(n)))
	m.column.put("heap after reading all", heap())
	m.column.put("memory at its peak, until then", m.peak())
}

// change adds and removes one member of groups of three sizes, and changes people.
func (m *million) change() {
	m.progress("changing")
	for _, size := range m.sizes() {
		one := m.outsider
		m.timed(fmt.Sprintf("one member more or less in a group of %d", size), 400, "PATCH", func(i int) (string, string) {
			if i%2 == 0 {
				return m.groups[size], patch(`{"op":"add","path":"members","value":[{"value":"` + one() + `"}]}`)
			}
			return m.groups[size], patch(`{"op":"remove","path":"members[value eq \"` + one() + `\"]"}`)
		}, 204)
	}
	m.timed("PATCH of a person", 400, "PATCH", func(i int) (string, string) {
		return "/Users/" + m.outsider(), patch(fmt.Sprintf(`{"op":"replace","path":"title","value":"Title %d"}`, i))
	}, 200)
	m.timed("POST of a person", 400, "POST", func(i int) (string, string) {
		return "/Users", personBody(m.people + i)
	}, 201)
}

// leave deactivates and deletes, under the brake, and deletes the largest group.
func (m *million) leave() {
	m.progress("leaving")
	left := m.firstPeople(1000)
	m.timed("deactivating, the brake counting", 40, "PATCH", func(i int) (string, string) {
		return "/Users/" + left[i], patch(`{"op":"replace","path":"active","value":false}`)
	}, 200)
	m.timed("deleting a person in two groups", 200, "DELETE", func(i int) (string, string) { return "/Users/" + left[100+i], "" }, 204)
	start := time.Now()
	m.brake.Look(m.b.Context())
	m.column.put("the brake's hourly look", took(time.Since(start)))
	m.timed("deleting the largest group", 1, "DELETE", func(int) (string, string) { return m.groups[m.people/10], "" }, 204)
	start = time.Now()
	status, raw, err := m.exchange(m.client, "GET", "/Users?filter="+escape(`title eq "nobody"`), "")
	if err != nil || status != 200 && !strings.Contains(string(raw), "tooMany") {
		m.b.Fatalf("%d %s, %v", status, raw, err)
	}
	m.column.put("a title that nobody has, which looks at everybody", took(time.Since(start))+map[bool]string{true: "", false: ", refused"}[status == 200])
	m.column.put("memory at its peak, of all", m.peak())
}

func (m *million) progress(what string) {
	fmt.Fprintf(os.Stderr, "%s %s: %s\n", time.Now().Format(time.TimeOnly), m.b.Name(), what)
}
