package scim_test

import (
	"net/http"
	"strings"
	"testing"

	"gatehouse/tenants"
)

// RFC 7643 §3.1: meta.location is what Content-Location says, of descriptions as well.
func TestRFC7643_3_1_DescriptionsStandAtTheirLocation(t *testing.T) {
	b := newBench(t)
	for _, path := range []string{"/ServiceProviderConfig", "/ResourceTypes/User", "/ResourceTypes/Group", "/Schemas/" + userURN, "/Schemas/" + enterpriseURN} {
		got := b.do(t, "GET", path, "").wants(200).same(`"`+base+path+`"`, "meta", "location")
		if at := got.header.Get("Content-Location"); at != base+path {
			t.Errorf("%s stands at %q", path, at)
		}
	}
	for _, path := range []string{"/ResourceTypes", "/Schemas"} { // which have no meta
		if got := b.do(t, "GET", path, "").wants(200); got.header.Get("Content-Location") != "" {
			t.Errorf("%s has %v", path, got.header)
		}
	}
}

// RFC 7643 §2.5, §7: what a tenant has given no name is published without one.
func TestRFC7643_2_5_DescriptionsWithoutEmptyTexts(t *testing.T) {
	b := newBench(t)
	b.define(tenants.SCIMSchema{URN: badgeURN, Attributes: []tenants.SCIMAttribute{{Name: "number", Type: tenants.IntegerType},
		{Name: "desk", Type: tenants.ComplexType, Description: "Where they sit.", SubAttributes: []tenants.SCIMSubAttribute{{Name: "floor", Type: tenants.IntegerType}}}}})
	for _, path := range []string{"/Schemas/" + badgeURN, "/Schemas", "/ResourceTypes", "/ServiceProviderConfig"} {
		if got := b.do(t, "GET", path, "").wants(200); strings.Contains(got.raw, `:""`) {
			t.Errorf("%s has empty texts: %s", path, got.raw)
		}
	}
	b.do(t, "GET", "/Schemas/"+badgeURN, "").wants(200).same(`"number"`, "attributes", "0", "name").
		same(`"Where they sit."`, "attributes", "1", "description").same(`"floor"`, "attributes", "1", "subAttributes", "0", "name")
}

// RFC 7644 §4, §3.4.3: what says nothing where it stands is passed over, however it reads:
// which attributes a description, a search by its address, a Bulk or a deletion is to have.
func TestRFC7644_4_ParametersThatMeanNothing(t *testing.T) {
	b := newBench(t)
	const both = "?attributes=userName&excludedAttributes=emails"
	for _, path := range []string{"/ServiceProviderConfig", "/Schemas", "/ResourceTypes", "/Schemas/" + userURN, "/ResourceTypes/User"} {
		with, without := b.do(t, "GET", path+both+"&startIndex=x&count=x&sortBy=nonsense", "").wants(200), b.do(t, "GET", path, "").wants(200)
		if with.raw != without.raw {
			t.Errorf("%s answers otherwise: %s", path, with.raw)
		}
	}
	id := b.user(t, "ada", `,"title":"x"`)
	for _, path := range []string{"/.search", "/Users/.search"} {
		got := b.do(t, "POST", path+both, search(`,"attributes":["title"]`)).wants(200).same(`"x"`, "Resources", "0", "title")
		if got.names("userName") != "" {
			t.Errorf("%s answers %s", path, got.raw)
		}
	}
	b.do(t, "POST", "/Bulk"+both, bulk("", operation("PATCH", "/Users/"+id, "", patch(`{"op":"add","path":"title","value":"y"}`)))).wants(200).same(`"200"`, "Operations", "0", "status")
	b.do(t, "GET", "/Users/"+id, "").wants(200).same(`"y"`, "title")
	b.do(t, "DELETE", "/Users/"+id+both, "").wants(http.StatusNoContent)
	// Where it says something, it is one or the other.
	for _, path := range []string{"/Users", "/Groups", "", "/Users/usr_x", "/Groups/grp_x"} {
		b.do(t, "GET", path+both, "").wants(400, "invalidValue")
	}
}
