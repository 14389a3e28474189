package tenants_test

import (
	"context"
	"strings"
	"testing"

	"gatehouse/audit"
	"gatehouse/internal/fault"
	"gatehouse/tenants"
)

// A domain counts once its record is in the DNS, and stays so whatever is changed
// of it; its token is its own, and not that of another tenant's.
func TestADomainIsVerifiedByItsRecord(t *testing.T) {
	h := newHouse(t)
	acme, globex := h.add(t, "acme"), h.add(t, "globex")
	c, err := h.service.PutConnection(t.Context(), cause, acme.ID, oidc("okta"))
	must(t, err)
	second, err := h.service.PutConnection(t.Context(), cause, acme.ID, saml("adfs"))
	must(t, err)
	d, err := h.service.PutDomain(t.Context(), cause, acme.ID, tenants.Domain{Name: "Acme.Example", Connection: c.ID})
	must(t, err)
	name, value := d.Record()
	if d.Name != "acme.example" || d.Verified() || name != "_gatehouse.acme.example" || len(value) < 40 {
		t.Fatalf("%+v, %s %s", d, name, value)
	}
	foreign, err := h.service.PutConnection(t.Context(), cause, globex.ID, oidc("okta"))
	must(t, err)
	theirs, err := h.service.PutDomain(t.Context(), cause, globex.ID, tenants.Domain{Name: "acme.example", Connection: foreign.ID})
	must(t, err)
	_, other := theirs.Record()

	verify := func(want fault.Kind) {
		t.Helper()
		_, err := h.service.VerifyDomain(t.Context(), cause, acme.ID, "acme.example")
		wantFault(t, "verify", err, want)
	}
	verify(fault.Conflict)
	for _, wrong := range []string{other, strings.ToLower(value), value + " ", " " + value, "x" + value, strings.TrimPrefix(value, "gatehouse-domain=")} {
		h.dns.Set(name, wrong)
		verify(fault.Conflict)
	}
	h.dns.Set("acme.example", value) // not where it belongs
	h.dns.Set(name)
	verify(fault.Conflict)
	if now, err := h.service.Domain(t.Context(), acme.ID, "acme.example"); err != nil || now.Verified() || now.Version != 1 {
		t.Fatalf("%+v, %v", now, err)
	}
	h.dns.Set(name, "v=spf1 -all", value)
	d, err = h.service.VerifyDomain(t.Context(), cause, acme.ID, "acme.example")
	must(t, err)
	if e, _ := h.journal.last(); !d.Verified() || d.Version != 2 || e.Type != audit.DomainVerified || e.Target.ID != "acme.example" || e.Tenant != acme.ID {
		t.Fatalf("%+v, %+v", d, e)
	}
	h.dns.Set(name)
	d, err = h.service.VerifyDomain(t.Context(), cause, acme.ID, "acme.example")
	must(t, err)
	d, err = h.service.PutDomain(t.Context(), cause, acme.ID, tenants.Domain{Name: "acme.example", Connection: second.ID, Required: true, Version: d.Version})
	must(t, err)
	_, err = h.service.PutDomain(t.Context(), cause, acme.ID, tenants.Domain{Name: "acme.example", Connection: c.ID, Version: 2})
	wantFault(t, "an old version", err, fault.Precondition)
	h.open(t)
	again, err := h.service.Domain(t.Context(), acme.ID, "acme.example")
	must(t, err)
	if again != d || !again.Verified() || !again.Required || again.Connection != second.ID {
		t.Errorf("after a restart %+v, before %+v", again, d)
	}
	if other, err := h.service.Domain(t.Context(), globex.ID, "acme.example"); err != nil || other.Verified() {
		t.Errorf("P3: the other tenant's: %+v, %v", other, err)
	}

	// Without its connection it leads nowhere.
	must(t, h.service.DeleteConnection(t.Context(), cause, acme.ID, "adfs", 0))
	_, err = h.service.Domain(t.Context(), acme.ID, "acme.example")
	wantFault(t, "of a deleted connection", err, fault.NotFound)
	wantFault(t, "deleted", h.service.DeleteDomain(t.Context(), cause, acme.ID, "acme.example", 0), fault.NotFound)
	h.meanwhile(t, globex.ID, `UPDATE domains SET version = version + 1`)
	wantFault(t, "changed by another node", h.service.DeleteDomain(t.Context(), cause, globex.ID, "acme.example", theirs.Version), fault.Precondition)
	must(t, h.service.DeleteDomain(t.Context(), cause, globex.ID, "acme.example", theirs.Version+1))
}

// A DNS that does not answer verifies nothing, and holds nobody up for ever.
func TestASilentDNSVerifiesNothing(t *testing.T) {
	h := newHouse(t)
	acme := h.add(t, "acme")
	c, err := h.service.PutConnection(t.Context(), cause, acme.ID, oidc("okta"))
	must(t, err)
	d, err := h.service.PutDomain(t.Context(), cause, acme.ID, tenants.Domain{Name: "acme.example", Connection: c.ID})
	must(t, err)
	name, value := d.Record()
	h.dns.Set(name, value)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	h.dns.Silence(cancel) // who asks gives up
	_, err = h.service.VerifyDomain(ctx, cause, acme.ID, "acme.example")
	wantFault(t, "silent", err, fault.Unavailable)
	h.dns.Silence(nil)
	_, err = h.service.VerifyDomain(t.Context(), cause, acme.ID, "acme.example")
	must(t, err)
}

func TestDomainsAreChecked(t *testing.T) {
	h := newHouse(t)
	acme := h.add(t, "acme")
	c, err := h.service.PutConnection(t.Context(), cause, acme.ID, oidc("okta"))
	must(t, err)
	for _, name := range []string{"", "localhost", "a b.example", "acme.example/", "*.example", "10.0.0.1", "[::1]", "x@acme.example", strings.Repeat("a", 64) + ".example", "acme..example", "-a.example"} {
		_, err := h.service.PutDomain(t.Context(), cause, acme.ID, tenants.Domain{Name: name, Connection: c.ID})
		wantFault(t, name, err, fault.Invalid)
	}
	_, err = h.service.PutDomain(t.Context(), cause, acme.ID, tenants.Domain{Name: "acme.example", Connection: "con_other"})
	wantFault(t, "an unknown connection", err, fault.NotFound)
	h.journal.refuse(errJournal)
	if _, err = h.service.PutDomain(t.Context(), cause, acme.ID, tenants.Domain{Name: "acme.example", Connection: c.ID}); err == nil {
		t.Error("P1: kept without its record")
	}
	h.journal.refuse(nil)
	if all, err := h.service.Domains(t.Context(), acme.ID); err != nil || len(all) != 0 {
		t.Errorf("%v, %v", all, err)
	}
}
