package saml

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/beevik/etree"

	"gatehouse/authn"
	"gatehouse/authn/saml/attacktest"
	"gatehouse/tenants"
)

// Rules go by all that a provider says, by the names that it calls it.
func TestClaimsAreAllAttributes(t *testing.T) {
	now := time.Now()
	claims := func(change func(statement *etree.Element)) map[string][]string {
		t.Helper()
		a := attacktest.Attack{With: func(t testing.TB, f attacktest.Flight, doc *etree.Document) {
			change(doc.FindElement("//AttributeStatement"))
			attacktest.SignAssertion(t, f, doc)
		}}
		v := testVerification(t, tenants.SAMLSpec{}, now)
		if err := v.verify([]byte(a.Forge(t, testFlight(now)))); err != nil {
			t.Fatal(err)
		}
		p, err := v.person()
		if err != nil {
			t.Fatal(err)
		}
		return p.Claims
	}
	add := func(statement *etree.Element, name, friendly string, values ...string) {
		a := statement.CreateElement("saml:Attribute")
		a.CreateAttr("Name", name)
		if friendly != "" {
			a.CreateAttr("FriendlyName", friendly)
		}
		for _, v := range values {
			a.CreateElement("saml:AttributeValue").SetText(v)
		}
	}
	got := claims(func(s *etree.Element) {
		add(s, "urn:oid:2.5.4.10", "department", " sales ", "", "eu")
		add(s, "urn:oid:2.5.4.11", "mail", "evil@evil.example") // a name of its own is not a friendly name
		add(s, "roles", "roles", "a")
		add(s, "roles", "", "b")
		add(s, "long", "", strings.Repeat("x", authn.MaxClaim+1), "short")
		add(s, "", "", "nameless")
	})
	for name, want := range map[string][]string{"urn:oid:2.5.4.10": {"sales", "eu"}, "department": {"sales", "eu"}, "mail": {"gil@globex.example"},
		"urn:oid:2.5.4.11": {"evil@evil.example"}, "roles": {"a", "b"}, "long": {"short"}, "displayName": {"Gil"}} {
		if !slices.Equal(got[name], want) {
			t.Errorf("%s: %q, not %q", name, got[name], want)
		}
	}
	if len(got) != 7 {
		t.Errorf("claims: %q", got)
	}
	var many strings.Builder
	for range 3 {
		many.WriteString(`<Attribute Name="many" FriendlyName="friends">` + strings.Repeat(`<AttributeValue>x</AttributeValue>`, 900) + `</Attribute>`)
	}
	v := testVerification(t, tenants.SAMLSpec{}, now)
	var err error
	if v.assertion, err = scan([]byte(`<Assertion xmlns="urn:oasis:names:tc:SAML:2.0:assertion"><AttributeStatement>` + many.String() + `</AttributeStatement></Assertion>`)); err != nil {
		t.Fatal(err)
	}
	total := 0
	for _, values := range v.claims() {
		total += len(values)
	}
	if total != authn.MaxClaims {
		t.Errorf("%d values", total)
	}
}

// Nodes forget by their own clocks what was used: not before any of them would no
// longer take it.
func TestWhatWasUsedIsKnownOnNodesThatAreAhead(t *testing.T) {
	now := time.Now()
	flight := testFlight(now)
	v := testVerification(t, tenants.SAMLSpec{}, now)
	err := v.verify([]byte(attacktest.Controls()[0].Forge(t, flight)))
	if err != nil {
		t.Fatal(err)
	}
	p, err := v.person()
	if want := flight.Message.ConfirmUntil.Add(usualSkew + maxSkew).Truncate(time.Second); err != nil || p.ReplayUntil.Before(want) {
		t.Errorf("known until %v, %v; want %v", p.ReplayUntil, err, want)
	}
}
