package gateway

import (
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gatehouse/api"
	"gatehouse/audit"
	"gatehouse/identity"
	"gatehouse/internal/cluster"
	"gatehouse/tenants"
)

// shows gives the open alerts that a tenant is told of, by reason.
func (h *house) shows(tenant identity.TenantID) map[string]api.Alert {
	all := map[string]api.Alert{}
	for _, one := range (health{h.rooms}).Alerts(tenant) {
		all[one.Reason+one.Tenant] = one
	}
	return all
}

// heardOf is what a node knows of the nodes, in a few words each.
func (h *house) heardOf() (all []string) {
	for _, n := range (health{h.rooms}).Nodes() {
		all = append(all, n.Heard+" "+n.Mode)
	}
	slices.Sort(all)
	return all
}

// Operators see all nodes at each, what is wrong with it and when that is over, in
// the API, readiness and metrics. Tenants see nothing of it (P3).
func TestOperatorsSeeTheNodesAndWhatIsWrong(t *testing.T) {
	s := newStreet(t)
	acme, err := s.a.Services().Tenants.Create(s.Context(), cause, tenants.Tenant{Name: "acme", Hosts: []string{"acme.test"}, Status: tenants.Active})
	must(t, err)
	both := []*house{s.a, s.b}
	for _, h := range both {
		h.soon("both nodes", func() bool { return slices.Equal(h.heardOf(), []string{"now fresh", "self fresh"}) })
	}
	s.redis.Kill()
	s.both("life by SQL", cluster.ModeSQLOnly)
	for _, h := range both {
		h.soon("the alerts", func() bool {
			all := h.shows(platform)
			return all["redis-unreachable"].EventID != "" && all["node-living-by-sql"].EventID != ""
		})
		h.soon("the other by SQL's list", func() bool { return slices.Equal(h.heardOf(), []string{"listed sql_only", "self sql_only"}) })
		if all := h.shows(acme.ID); len(all) != 0 {
			t.Errorf("a tenant is told %+v", all)
		}
		if _, text := h.ops("/readyz"); !strings.Contains(text, `"redis-unreachable"`) {
			t.Errorf("readyz: %s", text)
		}
		if _, text := h.ops("/metrics"); !strings.Contains(text, `gatehouse_alert{level="warning",reason="redis-unreachable"} 1`) ||
			!strings.Contains(text, `gatehouse_alert{level="critical",reason="node-lost"} 0`) {
			t.Error("the metrics do not tell")
		}
	}
	s.redis.Restart()
	s.fresh()
	for _, h := range both {
		h.soon("the end of the alerts", func() bool { return len(h.rooms.alerts.open()) == 0 })
		h.soon("both nodes again", func() bool { return slices.Equal(h.heardOf(), []string{"now fresh", "self fresh"}) })
		var told map[audit.Type]int
		h.soon("the record of the end", func() bool {
			told = map[audit.Type]int{}
			for e, err := range h.rooms.journal.Read(t.Context(), platform, 0) {
				must(t, err)
				if e.Reason == "redis-unreachable" {
					told[e.Type]++
				}
			}
			return told[audit.AlertCleared] > 0
		})
		if told[audit.AlertRaised] != 1 || told[audit.AlertCleared] != 1 {
			t.Errorf("the journal tells of it %v", told)
		}
	}
	must(t, s.b.stop())
	s.a.soon("one that has left", func() bool { return slices.Equal(s.a.heardOf(), []string{"self fresh"}) })
}

// A tenant whose part is missing learns that it is not served, and another tenant
// learns nothing of it (P3). The operator is told what to look for.
func TestP3_ATenantLearnsOfItsOwnAlerts(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	globex, err := h.Services().Tenants.Create(t.Context(), cause, tenants.Tenant{Name: "globex", Hosts: []string{"globex.test"}, Status: tenants.Active})
	must(t, err)
	key := filepath.Join(h.dir, "keys", string(h.acme.ID)+".key")
	must(t, os.Rename(key, key+".away"))
	h.soon("the tenant's failure", func() bool { return h.status("/") == http.StatusServiceUnavailable })
	h.put("nonsense: true\n")
	h.soon("the alerts", func() bool {
		all := h.shows(platform)
		return all["tenant-unreadyacme"].EventID != "" && all["config-refused"].EventID != ""
	})
	own := h.shows(h.acme.ID)
	if got := own["tenant-unready"]; len(own) != 1 || got.EventID != "" || got.Node != "" || got.Tenant != "" || got.Level != "critical" {
		t.Errorf("acme is told %+v", own)
	}
	if all := h.shows(globex.ID); len(all) != 0 {
		t.Errorf("globex is told %+v", all)
	}
	must(t, os.Rename(key+".away", key))
	h.write(nil)
	h.soon("the end of the alerts", func() bool { return len(h.rooms.alerts.open()) == 0 })
	if h.status("/") != http.StatusOK {
		t.Error("the tenant is not served again")
	}
}
