package scim_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// newWireOf is a service with the address of its server.
func newWireOf(b *bench) wire {
	return wire{b, b.server.URL + "/scim/v2"}
}

// exchange sends a request by a client, and gives what came back as it is.
func (w wire) exchange(client *http.Client, method, path, body string) (status int, raw []byte, err error) {
	r, err := http.NewRequestWithContext(context.Background(), method, w.url+path, strings.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	r.Header.Set("Authorization", "Bearer "+w.acme.token)
	if body != "" {
		r.Header.Set("Content-Type", "application/scim+json")
	}
	resp, err := client.Do(r)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	raw, err = io.ReadAll(resp.Body)
	return resp.StatusCode, raw, err
}

const (
	loadClients = 4
	loadBatch   = 1000 // as many as a Bulk may have
)

func personBody(i int) string {
	return fmt.Sprintf(`{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User","urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"],`+
		`"externalId":"ext-%07[1]d","userName":"person-%07[1]d@acme.example","name":{"givenName":"Given %[2]d","familyName":"Family %[1]d"},"displayName":"Person %07[1]d",`+
		`"title":"Title %[2]d","active":true,"emails":[{"value":"person-%07[1]d@acme.example","type":"work","primary":true}],"phoneNumbers":[{"value":"+1 555 %07[1]d","type":"work"}],`+
		`"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":{"department":"Department %[2]d","employeeNumber":"%[1]d"}}`, i, i%100)
}

// load brings everybody in, in full Bulk requests of several clients at once.
func (m *million) load() {
	m.progress("loading")
	var next, done atomic.Int64
	var all sync.WaitGroup
	heaps, marks := []string{heap()}, []int64{int64(m.people) / 10, int64(m.people) / 2, int64(m.people)}
	var mark sync.Mutex
	start, used := time.Now(), processorTime(m.b)
	for range loadClients {
		all.Go(func() {
			for {
				from := int(next.Add(loadBatch)) - loadBatch
				if from >= m.people || m.b.Failed() {
					return
				}
				to := min(from+loadBatch, m.people)
				m.bulkOf(to-from, func(i int) string {
					return `{"method":"POST","path":"/Users","bulkId":"` + fmt.Sprint(i) + `","data":` + personBody(from+i) + `}`
				})
				n := done.Add(int64(to - from))
				mark.Lock()
				if len(marks) > 0 && n >= marks[0] {
					marks, heaps = marks[1:], append(heaps, heap())
					m.progress(fmt.Sprintf("%d people, %.0f/s", n, float64(n)/time.Since(start).Seconds()))
				}
				mark.Unlock()
			}
		})
	}
	all.Wait()
	if m.b.Failed() {
		m.b.FailNow()
	}
	took, cpu := time.Since(start), processorTime(m.b)-used
	m.column.put(fmt.Sprintf("Bulk, %d clients", loadClients), fmt.Sprintf("%.0f people/s", float64(m.people)/took.Seconds()))
	m.column.put("processor's time of the gateway for one of them", fmt.Sprintf("%d µs", cpu.Microseconds()/int64(m.people)))
	m.column.put("sent again, for want of time", fmt.Sprintf("%d people", m.again.Load()))
	m.column.put("heap before, at a tenth, a half, the end", strings.Join(heaps, ", "))
	m.column.put("memory at its peak, loading", m.peak())
}

// bulkOf sends operations that must all make something. What is answered with 503, on a
// machine or database that has no time, is sent again, as a client does.
func (m *million) bulkOf(n int, operation func(i int) string) {
	left := make([]int, n)
	for i := range left {
		left[i] = i
	}
	for range 20 {
		var message strings.Builder
		message.WriteString(`{"schemas":["urn:ietf:params:scim:api:messages:2.0:BulkRequest"],"Operations":[`)
		for at, i := range left {
			if at > 0 {
				message.WriteByte(',')
			}
			message.WriteString(operation(i))
		}
		message.WriteString(`]}`)
		status, raw, err := m.exchange(m.client, "POST", "/Bulk", message.String())
		if err == nil && status == 200 && bytes.Count(raw, []byte(`"status":"201"`)) == len(left) {
			return
		}
		var results struct{ Operations []done }
		if err == nil {
			err = json.Unmarshal(raw, &results)
		}
		if err != nil || status != 200 || len(results.Operations) != len(left) {
			m.b.Errorf("Bulk: %d, %v: %.500s", status, err, raw)
			return
		}
		var again []int
		for at, d := range results.Operations {
			switch d.Status {
			case "201", "409": // 409: its answer was lost
			case "503":
				again = append(again, left[at])
			default:
				m.b.Errorf("Bulk: %s, %v", d.Status, d.Response)
				return
			}
		}
		m.again.Add(int64(len(again)))
		if left = again; len(left) == 0 {
			return
		}
	}
	m.b.Errorf("Bulk: %d operations are never done", len(left))
}

// sizes are those of the three groups that are changed.
func (m *million) sizes() []int {
	sizes := []int{m.people / 10000, m.people / 100, m.people / 10}
	sizes[0] = max(sizes[0], 2)
	return slices.Compact(sizes)
}

// fill makes the groups: three of the sizes that are measured, the others with ten
// members each.
func (m *million) fill() {
	m.progress("filling groups")
	groups, start := m.people/100, time.Now()
	people := m.firstPeople(min(m.people, 10*groups))
	for from := 0; from < groups; from += loadBatch {
		m.bulkOf(min(loadBatch, groups-from), func(i int) string {
			n := from + i
			members := people[(n*10)%len(people):]
			list := `{"value":"` + strings.Join(members[:min(10, len(members))], `"},{"value":"`) + `"}`
			return fmt.Sprintf(`{"method":"POST","path":"/Groups","bulkId":"%d","data":{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group"],"displayName":"Group %d","members":[%s]}}`, n, n, list)
		})
	}
	m.column.put("Bulk of groups with ten members", fmt.Sprintf("%.0f groups/s", float64(groups)/time.Since(start).Seconds()))
	for _, size := range m.sizes() {
		var made struct{ ID string }
		must(m.b, json.Unmarshal(m.quick("POST", "/Groups", fmt.Sprintf(`{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group"],"displayName":"Of %d"}`, size), 201), &made))
		m.groups[size] = "/Groups/" + made.ID
		start := time.Now()
		for some := range slices.Chunk(people[:size], 10_000) {
			m.quick("PATCH", m.groups[size], patch(`{"op":"add","path":"members","value":["`+strings.Join(some, `","`)+`"]}`), 204)
		}
		if size == m.people/10 {
			m.column.put("filling the largest group, 10,000 in a PATCH", fmt.Sprintf("%.0f members/s", float64(size)/time.Since(start).Seconds()))
		}
	}
}

// everybody reads all pages by cursor, until each has enough.
func (m *million) everybody(each func(ids []string) (more bool)) {
	for cursor := ""; ; {
		var page struct {
			NextCursor string
			Resources  []struct{ ID string }
		}
		must(m.b, json.Unmarshal(m.quick("GET", "/Users?count=200&cursor="+cursor, "", 200), &page))
		ids := make([]string, len(page.Resources))
		for i, r := range page.Resources {
			ids[i] = r.ID
		}
		if cursor = page.NextCursor; !each(ids) || cursor == "" {
			return
		}
	}
}

func (m *million) firstPeople(n int) (all []string) {
	m.everybody(func(ids []string) bool {
		all = append(all, ids...)
		return len(all) < n
	})
	return all[:min(n, len(all))]
}

// outsider is somebody who is in none of the groups: whoever came last.
func (m *million) outsider() string {
	if m.last == "" {
		var found struct{ Resources []struct{ ID string } }
		must(m.b, json.Unmarshal(m.quick("GET", "/Users?count=1&sortBy=id&sortOrder=descending", "", 200), &found))
		m.last = found.Resources[0].ID
	}
	return m.last
}

func (m *million) secondPage() string {
	var page struct{ NextCursor string }
	must(m.b, json.Unmarshal(m.quick("GET", "/Users?count=100&cursor", "", 200), &page))
	return "/Users?count=100&cursor=" + page.NextCursor
}

// heap is what is in use once the garbage is collected.
func heap() string {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return fmt.Sprintf("%.0f MiB", float64(stats.HeapAlloc)/(1<<20))
}

// peak is the most memory that the process has had, garbage and what the allocator holds
// ready among it, since this database's part began (VmHWM, proc(5)).
func (m *million) peak() string {
	status, err := os.ReadFile("/proc/self/status")
	must(m.b, err)
	_, rest, _ := strings.Cut(string(status), "\nVmHWM:")
	var kib int64
	_, err = fmt.Sscanf(rest, "%d kB", &kib)
	must(m.b, err)
	return fmt.Sprintf("%d MiB", kib>>10)
}

func quantiles(times []time.Duration) string {
	slices.Sort(times)
	at := func(share float64) time.Duration {
		return times[min(len(times)-1, int(math.Ceil(share*float64(len(times)))))]
	}
	if len(times) < 100 {
		return took(at(0.5)) + " (longest " + took(times[len(times)-1]) + ")"
	}
	return took(at(0.5)) + ", p99 " + took(at(0.99))
}

func took(d time.Duration) string {
	switch {
	case d < 10*time.Millisecond:
		return fmt.Sprintf("%.2f ms", d.Seconds()*1000)
	case d < time.Second:
		return fmt.Sprintf("%.0f ms", d.Seconds()*1000)
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}

// results is a table whose rows stand in the order in which they came.
type results struct {
	rows    []string
	columns []*column
}

type column struct {
	of    *results
	name  string
	cells map[string]string
}

func (r *results) column(name string) *column {
	c := &column{of: r, name: name, cells: map[string]string{}}
	r.columns = append(r.columns, c)
	return c
}

func (c *column) put(row, cell string) {
	if !slices.Contains(c.of.rows, row) {
		c.of.rows = append(c.of.rows, row)
	}
	c.cells[row] = cell
	fmt.Fprintf(os.Stderr, "%s: %s: %s\n", c.name, row, cell)
}

// String is the table in Markdown.
func (r *results) String() string {
	var b strings.Builder
	line := func(first string, cell func(*column) string) {
		b.WriteString("| " + first)
		for _, c := range r.columns {
			b.WriteString(" | " + cell(c))
		}
		b.WriteString(" |\n")
	}
	line("", func(c *column) string { return c.name })
	line("---", func(*column) string { return "---:" })
	for _, row := range r.rows {
		line(row, func(c *column) string { return c.cells[row] })
	}
	return b.String()
}
