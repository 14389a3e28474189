package e2e

import (
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"gatehouse/internal/cluster"
	"gatehouse/internal/store/postgrestest"
)

// TestP8_LiveSessionsGoOnWithoutSQL takes PostgreSQL away soon after changes to the
// tenant's people, teams and roles. Who is signed in goes on at every node, also at
// those that have never seen them; what needs the record is answered 503, and nobody
// is signed out by mistake.
func TestP8_LiveSessionsGoOnWithoutSQL(t *testing.T) {
	silent := heads()
	if full || silent {
		t.Run("silent", func(t *testing.T) { goOnWithoutSQL(t, (*postgrestest.Server).Pause, (*postgrestest.Server).Continue) })
	}
	if full || !silent {
		t.Run("gone", func(t *testing.T) { goOnWithoutSQL(t, (*postgrestest.Server).Kill, (*postgrestest.Server).Restart) })
	}
}

func goOnWithoutSQL(t *testing.T, lose, restore func(*postgrestest.Server, testing.TB)) {
	f := newFleet(t, 4)
	guests := f.sit(t, 0, 4)
	last := guests[3]
	for _, n := range f.nodes { // where a tenant is in use
		if got := guests[0].ask(t, n); got != http.StatusOK {
			t.Fatalf("node %d answers %d", n.number, got)
		}
	}
	_, listed := f.api(t, f.nodes[0], http.MethodGet, "users?search="+account(3), "")
	id := regexp.MustCompile(`"id": ?"(usr_[0-9a-z]+)"`).FindStringSubmatch(listed)
	if id == nil {
		t.Fatal(listed)
	}
	for i, change := range []struct{ method, path, body string }{
		{http.MethodPost, "teams", `{"name":"red"}`},
		{http.MethodPut, "roles/reader", `{"permissions":["reports:read"]}`},
		{http.MethodPatch, "users/" + id[1], `{"active":false}`},
	} {
		if status, said := f.api(t, f.nodes[i], change.method, change.path, change.body); status >= http.StatusMultipleChoices {
			t.Fatalf("%s %s: %d %s", change.method, change.path, status, said)
		}
	}
	guests = guests[:3]
	<-time.After(cluster.Lease / 2)
	for until := time.Now().Add(patience); !f.withoutSQL(t, guests, lose, restore); {
		if time.Now().After(until) {
			t.Fatal("leases run out by themselves all the time")
		}
	}
	for _, n := range f.nodes {
		for _, g := range guests {
			if got := g.ask(t, n); got != http.StatusOK {
				t.Errorf("node %d answers %d", n.number, got)
			}
		}
		last.out(t, n)
	}
}

// withoutSQL has guests go on for two leases, and SQL come back. It is not calm if a
// node's own lease ran out meanwhile, as on a machine that stands still: who has lost
// both answers nobody.
func (f *fleet) withoutSQL(t *testing.T, guests []*guest, lose, restore func(*postgrestest.Server, testing.TB)) (calm bool) {
	t.Helper()
	lose(f.sql, t)
	defer func() {
		restore(f.sql, t)
		f.well(t)
	}()
	for until := time.Now().Add(2 * cluster.Lease); time.Now().Before(until); breathe(t.Context()) {
		for _, n := range f.nodes {
			for who, g := range guests {
				got := g.once(t, n)
				if got == http.StatusOK {
					continue
				}
				if _, mode := n.standing(t); mode == cluster.ModeFresh {
					t.Fatalf("without SQL node %d answers guest %d with %d", n.number, who, got)
				}
				return false
			}
		}
	}
	if status, said := f.api(t, f.any(), http.MethodPost, "teams", `{"name":"blue"}`); status != http.StatusServiceUnavailable {
		t.Errorf("a change without SQL: %d %s", status, said)
	}
	return true
}

// api calls the admin API of acme at a node.
func (f *fleet) api(t *testing.T, n *node, method, path, body string) (status int, said string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, *n.acme.Load()+apiPath+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+f.token)
	req.Header.Set("Content-Type", "application/json")
	resp, err := f.h2.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, read(t, resp)
}

// once sends one request.
func (g *guest) once(t *testing.T, n *node) int {
	t.Helper()
	resp, err := g.h1.Do(g.at(n)().request(t.Context(), http.MethodGet, "/", nil))
	if err != nil {
		t.Fatal(err)
	}
	_ = read(t, resp)
	return resp.StatusCode
}
