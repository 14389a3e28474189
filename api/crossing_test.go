package api

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"gatehouse/audit"
	"gatehouse/tenants"
)

// TestP3_NoOperationTakesForeignCredentials calls every operation at a tenant's host
// with what an owner, and a token with all rights, of another tenant has. Where it
// belongs, each is good.
func TestP3_NoOperationTakesForeignCredentials(t *testing.T) {
	h := newHouse(t)
	h.signIn(h.globex, "victim", "owner")
	strangers := map[string]*visitor{"a session's cookie": h.signIn(h.acme, "owner", "owner"), "a token": h.bearer(h.acme, "owner")}
	operators := map[string]*visitor{"an operator's cookie": h.signIn(h.platform, "root", "owner"), "an operator's token": h.bearer(h.platform, "owner")}
	done := func(tenant *tenants.Tenant) (n int) {
		for e, err := range h.journal.Read(t.Context(), tenant.ID, 0) {
			if err != nil {
				t.Fatal(err)
			}
			if e.Outcome != audit.Refused {
				n++
			}
		}
		return n
	}
	before := map[*tenants.Tenant]int{h.globex: done(h.globex), h.platform: done(h.platform)}
	cross := func(what string, v *visitor, there *tenants.Tenant) {
		elsewhere := *v
		elsewhere.host = there.Hosts[0]
		for _, op := range h.api.operations {
			r := elsewhere.do(op.method, strings.TrimPrefix(ids.Replace(op.path), "/"), body[op.id])
			// There are no platform operations at a tenant's host, for nobody.
			if nowhere := op.platform && there != h.platform && r.status == http.StatusNotFound; r.status != http.StatusUnauthorized && !nowhere {
				t.Errorf("%s with %s at %s: status %d: %s", op.id, what, there.Name, r.status, r.body)
			}
		}
	}
	for what, v := range strangers {
		v.do("GET", "users", nil).want(http.StatusOK)
		cross(what, v, h.globex)
		cross(what, v, h.platform)
	}
	for what, v := range operators {
		v.do("GET", "platform/tenants", nil).want(http.StatusOK)
		before[h.platform] = done(h.platform)
		cross(what, v, h.globex)
	}
	if !slices.ContainsFunc(h.api.operations, func(op operation) bool { return op.platform }) {
		t.Error("there are no platform operations")
	}
	for tenant, n := range before {
		if now := done(tenant); now != n {
			t.Errorf("%s: %d more records of something that was done", tenant.Name, now-n)
		}
	}
}
