package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"gatehouse/internal/store/postgrestest"
)

const (
	bulkRounds = 3
	bulkInRow  = 200 // people who are made in a row, and so together
	bulkParts  = 50  // each of five people, a group of two of them, a deactivation and a deletion
	bulkPeople = bulkInRow + 5*bulkParts
	// bulkTogether is how many changes can have a record when the gateway is killed,
	// and not be made: those that are made together. The next process says so.
	bulkTogether = 100
)

// scimProvider is an identity provider that sends the same Bulk until it is done.
type scimProvider struct {
	t      *testing.T
	h      *house
	client *http.Client
	prefix string // of the names of a round
}

func (p *scimProvider) send(method, path, body string, into any) int {
	p.t.Helper()
	tenant := p.h.Tenants["acme"]
	resp, answer := do(p.t, p.client, request(p.t, method, tenant.SCIM+path, body, "Authorization", "Bearer "+tenant.SCIMToken))
	if into != nil && resp.StatusCode/100 == 2 {
		if err := json.Unmarshal(answer, into); err != nil {
			p.t.Fatalf("%s %s: %v: %s", method, path, err, answer)
		}
	}
	return resp.StatusCode
}

func (p *scimProvider) name(kind string, i int) string {
	return fmt.Sprintf("%s-%s-%d", p.prefix, kind, i)
}

type bulkOperation struct {
	Method string `json:"method"`
	Path   string `json:"path"`
	BulkID string `json:"bulkId,omitempty"`
	Data   any    `json:"data,omitempty"`
}

type bulkMessage struct {
	Schemas    []string        `json:"schemas"`
	Operations []bulkOperation `json:"Operations"`
}

// scimMember is somebody in a group.
type scimMember struct {
	Value string `json:"value"`
}

// scimPerson and scimGroup are what a provider says, and is told, of people and groups.
type scimPerson struct {
	Schemas  []string `json:"schemas"`
	ID       string   `json:"id,omitempty"`
	UserName string   `json:"userName"`
	NickName string   `json:"nickName"`
	Active   bool     `json:"active"`
}

type scimGroup struct {
	Schemas     []string     `json:"schemas"`
	ID          string       `json:"id,omitempty"`
	DisplayName string       `json:"displayName"`
	Members     []scimMember `json:"members"`
}

func newPerson(name string) scimPerson {
	return scimPerson{Schemas: []string{"urn:ietf:params:scim:schemas:core:2.0:User"}, UserName: name, NickName: "of " + name, Active: true}
}

func (p *scimProvider) group(i int, members ...string) scimGroup {
	g := scimGroup{Schemas: []string{"urn:ietf:params:scim:schemas:core:2.0:Group"}, DisplayName: p.name("group", i)}
	for _, m := range members {
		g.Members = append(g.Members, scimMember{m})
	}
	return g
}

// message is the Bulk of a round; there are people to deactivate and to delete.
func (p *scimProvider) message(ids map[string]string) []bulkOperation {
	var all []bulkOperation
	person := func(i int) {
		name := p.name("new", i)
		all = append(all, bulkOperation{"POST", "/Users", name, newPerson(name)})
	}
	for i := range bulkInRow {
		person(i)
	}
	for i := range bulkParts {
		for n := range 5 {
			person(bulkInRow + 5*i + n)
		}
		all = append(all,
			bulkOperation{"POST", "/Groups", p.name("group", i), p.group(i, "bulkId:"+p.name("new", i), "bulkId:"+p.name("new", bulkInRow+5*i))},
			bulkOperation{"PATCH", "/Users/" + ids[p.name("idle", i)], "", map[string]any{"schemas": []string{"urn:ietf:params:scim:api:messages:2.0:PatchOp"},
				"Operations": []any{map[string]any{"op": "replace", "path": "active", "value": false}}}},
			bulkOperation{"DELETE", "/Users/" + ids[p.name("gone", i)], "", nil})
	}
	return all
}

func encodeBulk(t *testing.T, operations []bulkOperation) string {
	t.Helper()
	text, err := json.Marshal(bulkMessage{[]string{"urn:ietf:params:scim:api:messages:2.0:BulkRequest"}, operations})
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// bulk sends operations and gives their statuses.
func (p *scimProvider) bulk(operations []bulkOperation) []string {
	p.t.Helper()
	var results struct {
		Operations []struct{ Status string }
	}
	if status := p.send(http.MethodPost, "/Bulk", encodeBulk(p.t, operations), &results); status != http.StatusOK || len(results.Operations) != len(operations) {
		p.t.Fatalf("the Bulk was answered with %d, and %d results", status, len(results.Operations))
	}
	statuses := make([]string, len(results.Operations))
	for i, r := range results.Operations {
		statuses[i] = r.Status
	}
	return statuses
}

// people and groups are those of the round, by name.
func (p *scimProvider) people() map[string]scimPerson {
	p.t.Helper()
	all := map[string]scimPerson{}
	for start := 1; ; {
		var page struct {
			TotalResults int
			Resources    []scimPerson
		}
		p.send(http.MethodGet, fmt.Sprintf("/Users?count=200&startIndex=%d&filter=%s", start, url.QueryEscape(`userName sw "`+p.prefix+`"`)), "", &page)
		for _, u := range page.Resources {
			if all[u.UserName].ID != "" {
				p.t.Errorf("%s is there twice", u.UserName)
			}
			all[u.UserName] = u
		}
		if start += len(page.Resources); len(page.Resources) == 0 || start > page.TotalResults {
			return all
		}
	}
}

func (p *scimProvider) groups() map[string]scimGroup {
	p.t.Helper()
	all := map[string]scimGroup{}
	for i := range bulkParts {
		var page struct{ Resources []scimGroup }
		p.send(http.MethodGet, "/Groups?filter="+url.QueryEscape(`displayName eq "`+p.name("group", i)+`"`), "", &page)
		for _, g := range page.Resources {
			all[g.DisplayName] = g
		}
	}
	return all
}

// count is how many of the people to be made are there.
func (p *scimProvider) count() (n int) {
	p.t.Helper()
	var page struct{ TotalResults int }
	p.send(http.MethodGet, "/Users?count=0&filter="+url.QueryEscape(`userName sw "`+p.prefix+`-new"`), "", &page)
	return page.TotalResults
}

// TestP1_KillNineDuringABulk kills the gateway while it works on a Bulk. After the
// next start each operation is wholly there, with its record, or not at all; and a
// provider who sends the same again has what it wants.
func TestP1_KillNineDuringABulk(t *testing.T) {
	t.Parallel()
	t.Run("SQLite", func(t *testing.T) {
		t.Parallel()
		killBulks(t, newHouse(t))
	})
	t.Run("PostgreSQL", func(t *testing.T) {
		t.Parallel()
		if testing.Short() {
			t.Skip("needs PostgreSQL")
		}
		database := postgrestest.Start(t).Database(t)
		killBulks(t, newHouseOn(t, t.TempDir(), storage{database.Application, database.Owner}))
	})
}

func killBulks(t *testing.T, h *house) {
	t.Helper()
	cut := 0
	for round := range bulkRounds {
		client, err := h.Client()
		if err != nil {
			t.Fatal(err)
		}
		client.Timeout = patience
		p := &scimProvider{t, h, client, fmt.Sprint("round", round)}
		var before []bulkOperation
		for i := range bulkParts {
			for _, kind := range []string{"idle", "gone"} {
				name := p.name(kind, i)
				before = append(before, bulkOperation{"POST", "/Users", name, newPerson(name)})
			}
		}
		p.bulk(before)
		ids := map[string]string{}
		for name, u := range p.people() {
			ids[name] = u.ID
		}
		operations := p.message(ids)
		if p.killed(operations, rand.IntN(bulkPeople)) { // #nosec G404 -- a moment, not a secret
			cut++
		}
		client.CloseIdleConnections()
		h.start(t)
		if p.client, err = h.Client(); err != nil {
			t.Fatal(err)
		}
		p.client.Timeout = patience
		p.checkAgainstJournal(ids)
		p.converge(operations)
		p.client.CloseIdleConnections()
		if out := h.run(t, "audit", "verify"); strings.Contains(out, "BROKEN") {
			t.Fatal(out)
		}
		if t.Failed() {
			t.Fatalf("round %d; the gateway said:\n%s", round, h.stderr)
		}
	}
	if cut == 0 {
		t.Error("no Bulk was cut short")
	}
}

// killed kills the gateway once so many people are there; false if the Bulk was over
// by then.
func (p *scimProvider) killed(operations []bulkOperation, after int) (cut bool) {
	p.t.Helper()
	tenant := p.h.Tenants["acme"]
	r := request(p.t, http.MethodPost, tenant.SCIM+"/Bulk", encodeBulk(p.t, operations), "Authorization", "Bearer "+tenant.SCIMToken)
	ended := make(chan error, 1)
	go func() {
		resp, err := p.client.Do(r)
		if err == nil {
			_, err = io.Copy(io.Discard, resp.Body)
			err = errors.Join(err, resp.Body.Close())
		}
		ended <- err
	}()
	for end := time.Now().Add(patience); p.count() <= after && time.Now().Before(end); {
		<-time.After(time.Millisecond)
	}
	p.h.kill()
	err := <-ended
	p.t.Logf("killed after %d people: %v", after, err)
	return err != nil
}

// scimChange is a record of the journal about a change.
type scimChange struct {
	Type, Outcome string
	Target        struct{ ID, Name string }
}

// changes are the records of changes, save those that are said not to have been made.
func (p *scimProvider) changes() (all []scimChange, failed int) {
	p.t.Helper()
	lines := json.NewDecoder(strings.NewReader(p.h.run(p.t, "audit", "export", "--tenant", "acme")))
	for {
		var c scimChange
		if err := lines.Decode(&c); errors.Is(err, io.EOF) {
			return all, failed
		} else if err != nil {
			p.t.Fatal(err)
		}
		switch {
		case !strings.HasPrefix(c.Target.Name, p.prefix) || c.Type == "session.revoked":
		case c.Outcome == "failed":
			i := slices.IndexFunc(all, func(e scimChange) bool { return e.Type == c.Type && e.Target == c.Target })
			if i < 0 {
				p.t.Errorf("%+v tells of nothing that was recorded before", c)
				continue
			}
			all, failed = slices.Delete(all, i, i+1), failed+1
		case c.Outcome == "success":
			all = append(all, c)
		}
	}
}

// checkAgainstJournal holds what is there against what is recorded.
func (p *scimProvider) checkAgainstJournal(ids map[string]string) {
	p.t.Helper()
	people, groups, recorded := p.people(), p.groups(), map[string]bool{}
	changes, failed := p.changes()
	untrue := p.untrue(changes, people, groups)
	// The gateway looks for it as soon as it is started.
	for end := time.Now().Add(patience); len(untrue) > 0 && time.Now().Before(end); untrue = p.untrue(changes, people, groups) {
		<-time.After(10 * time.Millisecond)
		changes, failed = p.changes()
	}
	for _, c := range changes {
		recorded[c.Type+" "+c.Target.ID] = true
	}
	if len(untrue) > 0 || failed > bulkTogether {
		p.t.Errorf("of %d changes, these were recorded and not made: %v; of %d that is said", len(changes), untrue, failed)
	}
	p.checkEffects(people, groups, recorded, ids)
	p.t.Logf("%d of %d people, %d of %d groups; %d changes recorded, and %d that are said not to have been made",
		len(people), bulkPeople+2*bulkParts, len(groups), bulkParts, len(changes), failed)
}

// untrue gives the changes that are recorded and were not made, by their place.
func (p *scimProvider) untrue(changes []scimChange, people map[string]scimPerson, groups map[string]scimGroup) (untrue []int) {
	p.t.Helper()
	for i, c := range changes {
		made := false
		switch u := people[c.Target.Name]; c.Type {
		case "user.created":
			made = u.ID == c.Target.ID || slices.ContainsFunc(changes[i:], func(later scimChange) bool {
				return later.Type == "user.deleted" && later.Target.ID == c.Target.ID
			})
		case "user.deactivated":
			made = u.ID == c.Target.ID && !u.Active
		case "user.deleted":
			made = u.ID == ""
		case "group.created":
			made = groups[c.Target.Name].ID == c.Target.ID
		default:
			p.t.Errorf("recorded %+v", c)
		}
		if !made {
			untrue = append(untrue, i)
		}
	}
	return untrue
}

// checkEffects holds what is there against the records there must be of it.
func (p *scimProvider) checkEffects(people map[string]scimPerson, groups map[string]scimGroup, recorded map[string]bool, ids map[string]string) {
	p.t.Helper()
	for i := range bulkPeople {
		name := p.name("new", i)
		if u := people[name]; u.ID != "" && (!recorded["user.created "+u.ID] || !u.Active || u.NickName != "of "+name) {
			p.t.Errorf("%s is there as %+v; recorded: %v", name, u, recorded["user.created "+u.ID])
		}
	}
	for i := range bulkParts {
		g := groups[p.name("group", i)]
		if g.ID != "" && (!recorded["group.created "+g.ID] || len(g.Members) != 2) {
			p.t.Errorf("the group %+v is half there; recorded: %v", g, recorded["group.created "+g.ID])
		}
		idle := people[p.name("idle", i)]
		if idle.ID == "" || !idle.Active && !recorded["user.deactivated "+idle.ID] {
			p.t.Errorf("%+v was deactivated without a record", idle)
		}
		if name := p.name("gone", i); people[name].ID == "" && !recorded["user.deleted "+ids[name]] {
			p.t.Errorf("%s was deleted without a record", name)
		}
	}
}

// converge sends the same again: what is there answers that it is, and groups whose
// people are there are sent with their ids.
func (p *scimProvider) converge(operations []bulkOperation) {
	p.t.Helper()
	want := map[string][]string{"POST": {"201", "409"}, "PATCH": {"200"}, "DELETE": {"204", "404"}}
	for i, status := range p.bulk(operations) {
		if o := operations[i]; !slices.Contains(want[o.Method], status) {
			p.t.Errorf("%s %s %s again: %s", o.Method, o.Path, o.BulkID, status)
		}
	}
	people, groups := p.people(), p.groups()
	members := func(i int) []string {
		both := []string{people[p.name("new", i)].ID, people[p.name("new", bulkInRow+5*i)].ID}
		slices.Sort(both)
		return both
	}
	var left []bulkOperation
	for i := range bulkParts {
		if name := p.name("group", i); groups[name].ID == "" {
			left = append(left, bulkOperation{"POST", "/Groups", name, p.group(i, members(i)...)})
		}
	}
	if len(left) > 0 {
		for i, status := range p.bulk(left) {
			if status != "201" {
				p.t.Errorf("%s: %s", left[i].BulkID, status)
			}
		}
	}
	groups = p.groups()
	for i := range bulkParts {
		var is []string
		for _, m := range groups[p.name("group", i)].Members {
			is = append(is, m.Value)
		}
		if slices.Sort(is); !slices.Equal(is, members(i)) {
			p.t.Errorf("%s has %v, want %v", p.name("group", i), is, members(i))
		}
		if people[p.name("idle", i)].Active || people[p.name("gone", i)].ID != "" {
			p.t.Errorf("part %d: %+v, %+v", i, people[p.name("idle", i)], people[p.name("gone", i)])
		}
	}
	if len(people) != bulkPeople+bulkParts {
		p.t.Errorf("%d people, want %d", len(people), bulkPeople+bulkParts)
	}
}
