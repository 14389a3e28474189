package api

import (
	"fmt"
	"net/http"
	"net/url"
	"testing"
	"time"

	"gatehouse/identity"
)

// Everybody is given what concerns their tenant, page by page, the oldest first.
func TestP3_AlertsAreThoseOfTheTenant(t *testing.T) {
	h := newHouse(t)
	begin := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	theirs := Alert{Reason: "tenant-unready", Level: "critical", Since: begin, Means: "Acme is not served.", Advice: "Wait."}
	h.health.alerts = map[identity.TenantID][]Alert{h.acme.ID: {theirs}, h.platform.ID: nil}
	for i := range 3 {
		h.health.alerts[h.platform.ID] = append(h.health.alerts[h.platform.ID],
			Alert{Reason: "redis-unreachable", Level: "warning", Node: fmt.Sprint("n", i), Since: begin.Add(time.Duration(-i) * time.Minute)})
	}
	list := func(v *visitor, query string) page[Alert] {
		t.Helper()
		return into[page[Alert]](v.do("GET", "alerts"+query, nil).want(http.StatusOK))
	}
	if got := list(h.signIn(h.acme, "owner", "owner"), ""); len(got.Items) != 1 || got.Items[0] != theirs {
		t.Errorf("acme is told %+v", got)
	}
	if got := list(h.signIn(h.globex, "owner", "owner"), ""); len(got.Items) != 0 || got.Items == nil {
		t.Errorf("globex is told %+v", got)
	}
	operator := h.signIn(h.platform, "root", "owner")
	first := list(operator, "?limit=2")
	rest := list(operator, "?limit=2&cursor="+url.QueryEscape(first.NextCursor))
	if len(first.Items) != 2 || len(rest.Items) != 1 || first.Items[0].Node != "n2" || rest.Items[0].Node != "n0" || rest.NextCursor != "" {
		t.Errorf("the operator is told %+v, %+v", first, rest)
	}
}

func TestOperatorsSeeTheNodes(t *testing.T) {
	h := newHouse(t)
	yes := true
	h.health.nodes = []Node{{Name: "n2", Heard: "silent"}, {Name: "n1", Heard: "self", Mode: "fresh", Redis: &yes, Alerts: []string{"config-refused"}}}
	got := into[page[Node]](h.signIn(h.platform, "root", "owner").do("GET", "platform/nodes", nil).want(http.StatusOK))
	if len(got.Items) != 2 || got.Items[0].Name != "n1" || !*got.Items[0].Redis || got.Items[1].Redis != nil || got.Items[1].Heard != "silent" {
		t.Errorf("%+v", got)
	}
}
