package directory

import (
	"fmt"
	"testing"

	"gatehouse/identity"
)

const acme, globex identity.TenantID = "ten_acme", "ten_globex"

// TestRememberedUntilAChangeIsAboutThem: and what was read before a change of
// anybody is not remembered after it.
func TestRememberedUntilAChangeIsAboutThem(t *testing.T) {
	var m memory
	ann, bob := identity.Person{ID: "usr_ann"}, identity.Person{ID: "usr_bob"}
	all := func() {
		for _, tenant := range []identity.TenantID{acme, globex} {
			version := m.version(tenant)
			m.put(tenant, version, ann)
			m.put(tenant, version, bob)
		}
	}
	know := func(what string, want ...bool) {
		t.Helper()
		var got []bool
		n := 0
		for _, tenant := range []identity.TenantID{acme, globex} {
			for _, p := range []identity.Person{ann, bob} {
				_, ok := m.get(tenant, p.ID)
				if got = append(got, ok); ok {
					n++
				}
			}
		}
		if fmt.Sprint(got) != fmt.Sprint(want) || m.people != n {
			t.Errorf("%s: %v are known, want %v; counted %d", what, got, want, m.people)
		}
	}
	know("nothing read", false, false, false, false)
	all()
	know("read", true, true, true, true)
	for _, c := range []struct {
		what   string
		change func()
		known  []bool
	}{
		{"a change about nobody", func() { m.change(acme, nil) }, []bool{true, true, true, true}},
		{"about Ann, and one who is not known", func() { m.change(acme, []identity.UserID{"usr_eve", ann.ID}) }, []bool{false, true, true, true}},
		{"about everybody", func() { m.change(acme, Everybody) }, []bool{false, false, true, true}},
		{"everywhere", func() { m.changeEverywhere() }, []bool{false, false, false, false}},
		{"a tenant that goes", func() { m.drop(acme) }, []bool{false, false, true, true}},
	} {
		all()
		before := m.version(acme)
		c.change()
		know(c.what, c.known...)
		if m.version(acme) == before {
			t.Errorf("%s: the version is the same", c.what)
		}
		m.put(acme, before, ann)
		if c.known[0] {
			continue
		}
		know(c.what+", and read before it", c.known...)
	}
}

// TestRememberedPeopleAreBounded over all tenants together.
func TestRememberedPeopleAreBounded(t *testing.T) {
	var m memory
	for i := range maxPeople + 100 {
		tenant := []identity.TenantID{acme, globex}[i%2]
		m.put(tenant, m.version(tenant), identity.Person{ID: identity.UserID(fmt.Sprint("usr_", i))})
	}
	if n := len(m.tenants[acme].people) + len(m.tenants[globex].people); n != maxPeople || m.people != n {
		t.Errorf("%d are remembered, counted %d", n, m.people)
	}
}
