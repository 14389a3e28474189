package scim_test

import (
	"strings"
	"testing"
)

// What is referred to several times is made once.
func TestRFC7644_3_7_2_OneReferenceTwice(t *testing.T) {
	b := newBench(t)
	results := b.bulk(t, bulk(`"failOnErrors":1,`, newGroup("g", "Staff", "bulkId:u", "bulkId:u"), newUser("u", "ada"),
		operation("PATCH", "/Users/bulkId:v", "", patch(`{"op":"replace","path":"nickName","value":"v"},{"op":"add","path":"`+enterpriseURN+`:manager","value":{"value":"bulkId:v"}}`)),
		newUser("v", "bob")), "201", "201", "200", "201")
	b.do(t, "GET", "/Groups?filter="+escape(`members.value eq "`+results[1].id()+`"`), "").wants(200).same(`1`, "totalResults")
}

// Whoever has come into a circle by another goes with all of it.
func TestRFC7644_3_7_1_ACircleInACircle(t *testing.T) {
	b := newBench(t)
	b.bulk(t, bulk("", newGroup("r", "R", "bulkId:a", "bulkId:b", "usr_nosuch"), newGroup("a", "A", "bulkId:m", "bulkId:r"),
		newGroup("m", "M", "bulkId:a"), newGroup("b", "B", "bulkId:m")), "400", "409", "409", "409")
	b.do(t, "GET", "/Groups", "").wants(200).same(`0`, "totalResults")
}

// A circle is undone whatever versions its operations name.
func TestRFC7644_3_7_1_ACircleWithVersions(t *testing.T) {
	b := newBench(t)
	b.user(t, "taken", "")
	manager := func(of string) string { return `,"` + enterpriseURN + `":{"manager":{"value":"bulkId:` + of + `"}}` }
	person := func(bulkID, name, of string) string {
		return strings.Replace(operation("POST", "/Users", bulkID, `{`+asUser+`,"userName":"`+name+`"`+manager(of)+`}`), `"method"`, `"version":"W/\"5\"","method"`, 1)
	}
	b.bulk(t, bulk("", person("a", "ada", "b"), person("b", "taken", "a")), "409", "409")
	b.do(t, "GET", "/Users", "").wants(200).same(`1`, "totalResults")
}

// A path that is longer than any is refused, however often it refers to something.
func TestRFC7644_3_7_4_APathOfReferences(t *testing.T) {
	b := newBench(t)
	path := `members[` + strings.Repeat(`value eq \"bulkId:u\" or `, 20_000) + `value eq \"x\"]`
	b.bulk(t, bulk("", newUser("u", "ada"), newGroup("g", "Staff", "bulkId:u"), operation("PATCH", "/Groups/bulkId:g", "", patch(`{"op":"remove","path":"`+path+`"}`))), "201", "201", "400")
}
