package scim_test

import (
	"fmt"
	"testing"
)

// User names are prepared by PRECIS (RFC 8265, UsernameCaseMapped) before they are
// compared: letter case, width, and how a letter is composed make no other name. What is
// answered is what was sent.
func TestRFC7644_5_UserNames(t *testing.T) {
	b := newBench(t)
	const sent = "Jose\u0301@acme.example"
	jose, jane, other := b.user(t, sent, ""), b.user(t, "Jane Doe", ""), b.user(t, "other", "")
	for _, name := range []string{"jos\u00e9@acme.example", "JOSE\u0301@ACME.example", "\uff2aos\u00e9\uff20acme.example", "\uff4aane\u3000doe"} {
		b.do(t, "POST", "/Users", `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"`+name+`"}`).wants(409, "uniqueness")
		b.do(t, "PATCH", "/Users/"+other, patch(`{"op":"replace","path":"userName","value":"`+name+`"}`)).wants(409, "uniqueness")
	}
	for filter, want := range map[string]string{
		"userName eq \"jos\u00e9@acme.example\"":                           jose,
		"userName eq \"JOSE\u0301@acme.example\"":                          jose,
		"userName sw \"\uff2aos\u00c9\"":                                   jose,
		"userName co \"e\u0301@\"":                                         jose,
		"userName ew \"S\u00c9\uff20acme.example\"":                        jose,
		"userName eq \"\uff2aane doe\"":                                    jane,
		"userName ne \"jos\u00e9@acme.example\" and userName ne \"other\"": jane,
	} {
		if got := b.do(t, "GET", "/Users?filter="+escape(filter), "").wants(200); got.names("id") != want {
			t.Errorf("%s finds %s, want %s", filter, got.names("userName"), want)
		}
	}
	b.do(t, "GET", "/Users/"+jose, "").wants(200).same(fmt.Sprintf("%q", sent), "userName")
	b.do(t, "PUT", "/Users/"+jose, `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"JOS\u00c9@acme.example"}`).
		wants(200).same("\"JOS\u00c9@acme.example\"", "userName") // one's own name in another form

	ops := b.group(t, "O\u0308ps")
	b.do(t, "POST", "/Groups", `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group"],"displayName":"\u00f6PS"}`).wants(409, "uniqueness")
	if got := b.do(t, "GET", "/Groups?filter="+escape("displayName eq \"\u00d6ps\""), "").wants(200); got.names("id") != ops {
		t.Error(got.raw)
	}
}

// What is case exact is compared as it is, in this as well (RFC 7643 §2.2).
func TestRFC7644_5_WhatIsExactStaysExact(t *testing.T) {
	b := newBench(t)
	a, e := b.user(t, "a", `,"externalId":"e\u0301"`), b.user(t, "b", `,"externalId":"\u00e9"`)
	for filter, want := range map[string]string{"externalId eq \"e\u0301\"": a, "externalId eq \"\u00e9\"": e, "externalId eq \"\u00c9\"": ""} {
		if got := b.do(t, "GET", "/Users?filter="+escape(filter), "").wants(200); got.names("id") != want {
			t.Errorf("%s finds %s, want %s", filter, got.names("userName"), want)
		}
	}
}
