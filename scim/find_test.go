package scim_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"gatehouse/directory"
	"gatehouse/scim"
)

const (
	userURN       = "urn:ietf:params:scim:schemas:core:2.0:User"
	groupURN      = "urn:ietf:params:scim:schemas:core:2.0:Group"
	enterpriseURN = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
)

// library is a service with four people and two groups.
type library struct {
	*bench
	ada, bob, cyd, dee string // ids
	readers, writers   string
}

func newLibrary(t *testing.T) library {
	t.Helper()
	b := newBench(t)
	l := library{bench: b}
	l.ada = b.user(t, "ada", `,"externalId":"E-1","displayName":"Ada","title":"Countess","profileUrl":"https://X.example/Ada","name":{"givenName":"Ada","familyName":"Lovelace"},
		"emails":[{"value":"Ada@work.example","type":"work","primary":true},{"value":"ada@home.example","type":"home"}],
		"photos":[{"value":"https://p.example/A.jpg","type":"photo"},{"value":"https://p.example/a.jpg","type":"thumbnail"}],
		"`+enterpriseURN+`":{"department":"Engines","employeeNumber":"7","manager":{"value":"M-1"}}`)
	l.bob = b.user(t, "bob", `,"externalId":"e-1","displayName":"Bob","title":"","active":false,"name":{"familyName":"Ümit"},
		"emails":[{"value":"not an address","type":"Home"}],"`+enterpriseURN+`":{"department":"engines"}`)
	l.cyd = b.user(t, "cyd@acme.example", `,"name":{"familyName":"zeta"},"phoneNumbers":[{"value":"tel:1","type":"work"},{"value":"tel:0","primary":true}]`)
	l.dee = b.user(t, "dee", `,"title":"Dean"`)
	l.readers, l.writers = b.group(t, "Readers", l.ada, l.bob), b.group(t, "Writers", l.ada)
	return l
}

// found gives whom a filter finds by the first letters of their user names.
func (l library) found(t *testing.T, filter string) string {
	t.Helper()
	return initials(l.do(t, "GET", "/Users?filter="+escape(filter), "").wants(200))
}

func initials(a answer) string {
	a.t.Helper()
	var letters string
	for name := range strings.FieldsSeq(a.names("userName")) {
		letters += name[:1]
	}
	return letters
}

func (l library) finds(t *testing.T, cases map[string]string) {
	t.Helper()
	for filter, want := range cases {
		if got := l.found(t, filter); got != want {
			t.Errorf("%s: found %q, want %q", filter, got, want)
		}
	}
}

func TestRFC7644_3_4_2_2_EveryAttribute(t *testing.T) {
	l := newLibrary(t)
	l.finds(t, map[string]string{
		`title eq "COUNTESS"`:                                     "a",
		`title co "e"`:                                            "ad",
		`title sw "de"`:                                           "d",
		`title ew "SS"`:                                           "a",
		`title gt "countess"`:                                     "d",
		`title le "countess"`:                                     "a",
		`name.familyName eq "ümit"`:                               "b",
		`name.familyName sw "Ü"`:                                  "b",
		`name[familyName eq "LOVELACE"]`:                          "a",
		`userType pr`:                                             "",
		`profileUrl eq "https://X.example/Ada"`:                   "a",
		`profileUrl eq "https://x.example/ada"`:                   "",
		`emails.type eq "home"`:                                   "ab",
		`emails.primary eq true`:                                  "ac",
		`emails.primary eq "True"`:                                "ac",
		`phoneNumbers eq "TEL:0"`:                                 "c",
		`photos.value co "A.jpg"`:                                 "a",
		`id sw "usr_"`:                                            "abcd",
		`id eq "` + strings.ToUpper(l.ada) + `"`:                  "",
		enterpriseURN + `:department eq "ENGINES"`:                "ab",
		strings.ToUpper(enterpriseURN) + `:employeeNumber eq "7"`: "a",
		`employeeNumber eq "7"`:                                   "a",
		enterpriseURN + `:manager eq "m-1"`:                       "a",
		enterpriseURN + `:manager.value eq "m-1"`:                 "a",
		`manager[value eq "m-1"]`:                                 "a",
		userURN + `:title eq "dean"`:                              "d",
	})
}

// A person without addresses of their own is answered with the one that their user
// name is, and found by it in the same way.
func TestRFC7644_3_4_2_2_AnAddressThatIsAnswered(t *testing.T) {
	l := newLibrary(t)
	l.do(t, "GET", "/Users/"+l.cyd, "").wants(200).same(`[{"value":"cyd@acme.example","type":"work","primary":true}]`, "emails")
	l.finds(t, map[string]string{
		`emails eq "CYD@acme.example"`:                                       "c",
		`emails.value sw "cyd"`:                                              "c",
		`emails[type eq "work" and value eq "cyd@acme.example"]`:             "c",
		`emails[type eq "home" and value eq "cyd@acme.example"]`:             "",
		`emails[type eq "work"].value eq "cyd@acme.example"`:                 "c", // Entra ID's form
		`emails eq "not an address"`:                                         "b",
		`emails eq "ada@home.example"`:                                       "a",
		`emails pr`:                                                          "abc",
		`not (emails eq "cyd@acme.example")`:                                 "abd",
		`emails ne "cyd@acme.example"`:                                       "abd",
		`emails[not (value eq "cyd@acme.example") and primary eq true]`:      "a",
		`not (emails[type eq "work" and value eq "cyd@acme.example"])`:       "abd",
		`emails[value eq "cyd@acme.example" or value eq "ada@home.example"]`: "ac",
	})
	l.do(t, "PATCH", "/Users/"+l.cyd, patch(`{"op":"add","path":"emails","value":[{"value":"other@acme.example","type":"other"}]}`)).wants(200)
	l.finds(t, map[string]string{`emails.type eq "other"`: "c", `emails[type eq "work"].value sw "other"`: "", `emails.value eq "other@acme.example"`: "c"})
}

func TestRFC7644_3_4_2_2_ValuePaths(t *testing.T) {
	l := newLibrary(t)
	l.finds(t, map[string]string{
		`emails[type eq "work"]`:                                                                 "ac",
		`emails[type eq "home" and value co "home"]`:                                             "a",
		`emails[type eq "home" and value co "work"]`:                                             "", // not both of one value
		`emails.type eq "home" and emails.value co "work"`:                                       "a",
		`emails[type eq "work" or type eq "home"]`:                                               "abc",
		`emails[not (type eq "work")]`:                                                           "ab",
		`not (emails[type eq "work"])`:                                                           "bd",
		`emails[(type eq "home" or type eq "other") and not (primary eq true) and value co "@"]`: "a",
		`emails[type eq "WORK" and (value sw "ada" or value sw "cyd") and primary eq true]`:      "ac",
		`emails[primary pr]`:                                                                     "ac",
		`emails[primary eq null]`:                                                                "ab",
		`emails[primary ne null]`:                                                                "ac",
		`emails[type ne "work"]`:                                                                 "ab",
		`emails [ type eq "home" ]`:                                                              "ab",
		`photos[value eq "https://p.example/A.jpg" and type eq "PHOTO"]`:                         "a", // one exact, one not
		`photos[value eq "https://p.example/A.jpg" and type eq "thumbnail"]`:                     "",
		`photos[value eq "https://p.example/a.jpg" and type eq "thumbnail"]`:                     "a",
		`emails[value co "]"] or emails[value co "[ ( \" "]`:                                     "",
		`title eq "]" or title eq "value-path-0"`:                                                "",
		`groups[value eq "` + l.readers + `" and display eq "READERS"]`:                          "ab",
		`groups[value eq "` + l.readers + `" and display eq "Writers"]`:                          "",
		`groups[type eq "direct" and not (display sw "r")]`:                                      "a",
		`(emails[type eq "work"] and not (active eq false)) or title pr`:                         "acd",
	})
}

// What is not assigned is not identical to anything: ne holds for it, nothing else does
// (RFC 7643 §2.5).
func TestRFC7644_3_4_2_2_WhatIsNotThere(t *testing.T) {
	l := newLibrary(t)
	l.finds(t, map[string]string{
		`title pr`: "ad", `not (title pr)`: "bc", // an empty text is no value
		`title eq ""`: "", `title ne ""`: "abcd", `title co ""`: "ad", `title sw ""`: "ad",
		`title ne "Dean"`: "abc", `not (title eq "Dean")`: "abc",
		`title lt "zzz"`: "ad", `title gt ""`: "ad", `not (title lt "zzz")`: "bc",
		`title eq null`: "bc", `title ne null`: "ad",
		`externalId lt "zzz"`: "ab", `externalId ne "E-1"`: "bcd", `externalId eq ""`: "", `externalId eq null`: "cd",
		`name pr`: "abc", `name eq null`: "d", `not (name pr)`: "d",
		enterpriseURN + `:manager pr`: "a", enterpriseURN + `:manager eq null`: "bcd",
		`phoneNumbers pr`: "c", `phoneNumbers eq null`: "abd", `phoneNumbers ne "tel:1"`: "abcd",
		`phoneNumbers.type ne "work"`: "abd", `phoneNumbers[type ne "work"]`: "c",
		`active ne false`: "acd", `active pr`: "abcd", `active eq null`: "",
		`emails.primary ne true`: "bd", `emails.primary eq null`: "bd",
		`groups pr`: "ab", `groups eq null`: "cd", `groups ne "` + l.writers + `"`: "abcd",
		`addresses pr`: "", `userName eq null`: "", `meta.created ne null`: "abcd",
	})
}

func TestRFC7644_3_4_2_2_CommonAttributes(t *testing.T) {
	l := newLibrary(t)
	l.do(t, "PATCH", "/Users/"+l.dee, patch(`{"op":"replace","path":"title","value":"Head"}`)).wants(200)
	ada := l.do(t, "GET", "/Users/"+l.ada, "").wants(200)
	created := fmt.Sprint(ada.at("meta", "created"))
	l.finds(t, map[string]string{
		`meta.resourceType eq "User"`: "abcd", `meta.resourceType eq "user"`: "", `meta.resourceType ne "User"`: "", `meta.resourceType sw "U"`: "abcd",
		`meta.version eq "W/\"2\""`: "d", `meta.version ne "W/\"2\""`: "abc", `meta.version co "1"`: "abc", `meta.version eq "2"`: "",
		`meta.location eq "` + base + "/Users/" + l.ada + `"`: "a", `meta.location eq "` + l.ada + `"`: "", `meta.location ew "` + l.ada + `"`: "a",
		`meta.location sw "` + base + `/Users/usr_"`: "abcd", `meta.location ne "` + base + "/Users/" + l.ada + `"`: "bcd",
		`meta[location ew "` + l.ada + `" and version pr]`:        "a",
		`meta.created le "` + created + `" and userName eq "ada"`: "a", `meta.created ge "` + created + `" and userName eq "ada"`: "a",
		`meta.created gt "` + strings.TrimSuffix(created, "Z") + `4Z" and userName eq "ada"`: "", // between two milliseconds
		`meta.lastModified pr`:         "abcd",
		`schemas eq "` + userURN + `"`: "abcd", `schemas eq "` + strings.ToUpper(enterpriseURN) + `"`: "ab", `schemas eq "urn:x"`: "",
		`not (schemas co "enterprise")`: "cd", `schemas pr`: "abcd",
		`groups.$ref eq "` + base + "/Groups/" + l.writers + `"`: "a", `groups.display eq "readers"`: "ab", `groups eq "` + strings.ToUpper(l.writers) + `"`: "a",
	})
	for filter, want := range map[string]string{
		`members.value eq "` + l.bob + `"`: "Readers", `members.display eq "ADA"`: "Readers Writers", `members.type eq "User"`: "Readers Writers",
		`members[value eq "` + l.bob + `" and display eq "bob"]`: "Readers", `members[value eq "` + l.bob + `" and display eq "ada"]`: "",
		`not (members[display eq "bob"])`: "Writers", `members.$ref eq "` + base + "/Users/" + l.bob + `"`: "Readers", `members pr`: "Readers Writers",
		`members.type eq "Group"`: "", `externalId pr`: "", `meta.resourceType eq "Group" and displayName sw "w"`: "Writers", `members eq "` + strings.ToUpper(l.bob) + `"`: "",
		`displayName ne "readers"`: "Writers", `schemas eq "` + groupURN + `"`: "Readers Writers", `displayName gt "readers"`: "Writers",
	} {
		if got := l.do(t, "GET", "/Groups?filter="+escape(filter), "").wants(200).names("displayName"); got != want {
			t.Errorf("%s: found %q, want %q", filter, got, want)
		}
	}
}

func TestRFC7644_3_4_2_2_FiltersThatAreRefused(t *testing.T) {
	l := newLibrary(t)
	for _, filter := range []string{
		`title eq 5`, `title eq true`, `title gt null`, `active co "t"`, `emails.primary gt true`, `x509Certificates.value gt "a"`, `meta.created co "2"`, `meta.created eq true`,
		`name eq "x"`, `addresses sw "x"`, `name.nothing pr`, `emails.nothing pr`, `emails[nothing pr]`, `emails[name.x pr]`, `emails[urn:x:value pr]`,
		`title[value eq "x"]`, `emails.value[type eq "x"]`, `emails[]`, `emails[type eq "a"`, `emails type eq "a"]`, `emails[type eq "a"]]`, `emails[emails[type eq "a"]]`,
		`emails[type eq "a"].`, `emails[type eq "a"].value`, `emails[type eq "a"].nothing eq "x"`, `emails[type eq "a"] eq "x"`, `emails[type eq "a"]and title pr`,
		`emails.value-path-0 pr`, `emails.value-path-0 pr and emails[type eq "x"]`, `emails.value-path-00 pr`, `[type eq "x"]`, `members eq "x"`,
		groupURN + `:displayName eq "x"`, `urn:x:title eq "x"`, enterpriseURN + `:title eq "x"`,
		strings.Repeat(`not (title pr and not (`, 8) + `title pr` + strings.Repeat(`))`, 8) + strings.Repeat(" or title pr", 160),
	} {
		l.do(t, "GET", "/Users?filter="+escape(filter), "").wants(400, "invalidFilter")
	}
	l.do(t, "GET", "/Groups?filter="+escape(`userName pr`), "").wants(400, "invalidFilter")
	l.do(t, "GET", "/Groups?filter="+escape(`emails[type eq "x"]`), "").wants(400, "invalidFilter")
}

// At the root a filter is of both kinds, and what one of them has not is not assigned.
func TestRFC7644_3_4_2_1_TheRoot(t *testing.T) {
	l := newLibrary(t)
	ids := func(path string) string {
		t.Helper()
		return l.do(t, "GET", path, "").wants(200).names("id")
	}
	all := strings.Join([]string{l.readers, l.writers, l.ada, l.bob, l.cyd, l.dee}, " ")
	for filter, want := range map[string][]string{
		`displayName sw "a" or displayName sw "r"`:    {l.readers, l.ada},
		`userName eq "ada"`:                           {l.ada},
		`userName ne "ada"`:                           {l.readers, l.writers, l.bob, l.cyd, l.dee},
		`userName eq null`:                            {l.readers, l.writers},
		`not (userName pr)`:                           {l.readers, l.writers},
		`emails[type eq "work"]`:                      {l.ada, l.cyd},
		`members[value eq "` + l.bob + `"]`:           {l.readers},
		`meta.resourceType eq "Group"`:                {l.readers, l.writers},
		`schemas eq "` + enterpriseURN + `"`:          {l.ada, l.bob},
		userURN + `:displayName sw "a"`:               {l.ada},
		groupURN + `:displayName ne "readers"`:        {l.writers, l.ada, l.bob, l.cyd, l.dee},
		`externalId pr and meta.resourceType pr`:      {l.ada, l.bob},
		`meta.location sw "` + base + `/Groups/grp_"`: {l.readers, l.writers},
	} {
		if got := ids("?filter=" + escape(filter)); got != strings.Join(want, " ") {
			t.Errorf("%s: found %q, want %q", filter, got, want)
		}
	}
	if got := ids("/"); got != all {
		t.Errorf("all are %s, want %s", got, all)
	}
	l.do(t, "GET", "", "").wants(200).same(`6`, "totalResults").same(`6`, "itemsPerPage")
	sorted := strings.Join([]string{l.ada, l.bob, l.dee, l.readers, l.writers, l.cyd}, " ") // who is called zeta
	if got := ids("?sortBy=displayName"); got != sorted {
		t.Errorf("sorted are %s, want %s", got, sorted)
	}
	if got := ids("?sortBy=title&sortOrder=descending"); got != strings.Join([]string{l.cyd, l.bob, l.writers, l.readers, l.dee, l.ada}, " ") {
		t.Errorf("by title, descending: %s", got)
	}
	var paged []string
	for start := 1; start <= 6; start += 2 {
		got := l.do(t, "GET", fmt.Sprint("?count=2&sortBy=displayName&startIndex=", start), "").wants(200).same(`6`, "totalResults")
		paged = append(paged, got.names("id"))
	}
	if got := strings.Join(paged, " "); got != sorted {
		t.Errorf("in pages they are %s, want %s", got, sorted)
	}
	if got := ids("?count=2&sortBy=displayName&startIndex=4"); got != l.readers+" "+l.writers { // a jump
		t.Errorf("from the fourth on: %s", got)
	}
	l.do(t, "POST", "", "{}").wants(405)
	l.do(t, "GET", "?filter="+escape(`nonsense pr`), "").wants(400, "invalidFilter")
	if got := l.do(t, "GET", "?filter="+escape(`displayName sw "r"`)+"&attributes=displayName", "").wants(200); strings.Contains(got.raw, "members") {
		t.Error(got.raw)
	}
}

func TestRFC7644_3_4_2_3_Sorting(t *testing.T) {
	l := newLibrary(t)
	for query, want := range map[string]string{
		"sortBy=userName":                                    "abcd",
		"sortBy=userName&sortOrder=descending":               "dcba",
		"sortBy=userName&sortOrder=Descending":               "dcba",
		"sortOrder=descending":                               "abcd", // nothing to be sorted by
		"sortBy=externalId":                                  "abcd", // exact: E before e; the others have none
		"sortBy=externalId&sortOrder=descending":             "dcba",
		"sortBy=title":                                       "adbc", // who has none comes last
		"sortBy=title&sortOrder=descending":                  "cbda", // and first
		"sortBy=NAME.familyName":                             "acbd", // by code points: "lovelace" "zeta" "ümit"
		"sortBy=name.familyName&filter=" + escape("name pr"): "acb",
		"sortBy=active":                                      "bacd",
		"sortBy=emails":                                      "acbd", // by the primary one
		"sortBy=emails.type":                                 "bacd",
		"sortBy=phoneNumbers":                                "cabd",
		"sortBy=phoneNumbers.type":                           "abcd", // the primary one has no type
		"sortBy=photos":                                      "abcd",
		"sortBy=groups.display":                              "abcd",
		"sortBy=groups":                                      "abcd",
		"sortBy=groups.display&sortOrder=descending":         "dcba",
		"sortBy=" + enterpriseURN + ":department":            "abcd",
		"sortBy=" + enterpriseURN + ":manager":               "abcd",
		"sortBy=meta.created":                                "abcd",
		"sortBy=meta.lastModified&sortOrder=descending":      "dcba",
		"sortBy=id&sortOrder=descending":                     "dcba",
		"sortBy=meta.location&sortOrder=descending":          "dcba",
		"sortBy=meta.resourceType":                           "abcd",
		"sortBy=meta.version":                                "abcd",
		"sortBy=schemas":                                     "abcd",
	} {
		if got := initials(l.do(t, "GET", "/Users?"+query, "").wants(200)); got != want {
			t.Errorf("%s: %q, want %q", query, got, want)
		}
	}
	for query, want := range map[string]string{
		"sortBy=displayName&sortOrder=descending": "Writers Readers", "sortBy=members.display": "Readers Writers", "sortBy=members": "Readers Writers",
		"sortBy=members.type": "Readers Writers", "sortBy=externalId": "Readers Writers",
	} {
		if got := l.do(t, "GET", "/Groups?"+query, "").wants(200).names("displayName"); got != want {
			t.Errorf("%s: %q, want %q", query, got, want)
		}
	}
	for _, query := range []string{"sortBy=nothing", "sortBy=name", "sortBy=addresses", "sortBy=emails[type]", "sortBy=(", "sortBy=x509Certificates", "sortBy=password",
		"sortBy=userName&sortOrder=up", "sortBy=members", "sortBy=" + strings.Repeat("a", 3000)} {
		l.do(t, "GET", "/Users?"+query, "").wants(400, "invalidValue")
	}
}

// Pages by index, of a sorted list of which people are deleted between them.
func TestRFC7644_3_4_2_4_SortedPages(t *testing.T) {
	b := newBench(t)
	for i := range 8 {
		b.user(t, fmt.Sprint("user-", i), fmt.Sprintf(`,"title":"t%d"`, (7-i)/2))
	}
	all := strings.Fields(b.do(t, "GET", "/Users?sortBy=title", "").wants(200).names("id"))
	page := func(start int) string {
		t.Helper()
		return b.do(t, "GET", fmt.Sprint("/Users?sortBy=title&count=2&startIndex=", start), "").wants(200).names("id")
	}
	if got := page(1); got != all[0]+" "+all[1] {
		t.Fatalf("the first page is %s of %s", got, all)
	}
	b.do(t, "DELETE", "/Users/"+all[0], "").wants(204)
	b.do(t, "DELETE", "/Users/"+all[1], "").wants(204)
	for i := 2; i < len(all); i += 2 {
		if got := page(i + 1); got != all[i]+" "+all[i+1] {
			t.Errorf("the page at %d is %s, want %s", i+1, got, all[i:i+2])
		}
	}
	if got := b.do(t, "GET", "/Users?count=2&startIndex=3", "").wants(200).names("userName"); got != "user-2 user-3" { // another order is another reading
		t.Errorf("by id it is %s", got)
	}
}

func search(fields string) string {
	return `{"schemas":["urn:ietf:params:scim:api:messages:2.0:SearchRequest"]` + fields + `}`
}

func TestRFC7644_3_4_3_SearchByPOST(t *testing.T) {
	l := newLibrary(t)
	got := l.do(t, "POST", "/Users/.search", search(`,"attributes":["userName","name.familyName"],"filter":"title pr","sortBy":"userName","sortOrder":"descending","startIndex":1,"count":1`)).wants(200)
	got.same(`2`, "totalResults").same(`1`, "itemsPerPage").same(`["urn:ietf:params:scim:api:messages:2.0:ListResponse"]`, "schemas")
	if got.names("userName") != "dee" || strings.Contains(got.raw, "title") {
		t.Error(got.raw)
	}
	if got := l.do(t, "POST", "/Users/.search", search(`,"excludedAttributes":["emails","meta"],"Filter":"userName eq \"ada\"","count":null`)).wants(200); got.names("userName") != "ada" || strings.Contains(got.raw, "emails") {
		t.Error(got.raw)
	}
	if got := l.do(t, "POST", "/Groups/.search", search(`,"filter":"displayName eq \"READERS\""`)).wants(200); got.names("id") != l.readers {
		t.Error(got.raw)
	}
	if got := l.do(t, "POST", "/.search", search(`,"filter":"displayName sw \"a\" or displayName sw \"w\"","sortBy":"displayName"`)).wants(200); got.names("id") != l.ada+" "+l.writers {
		t.Error(got.raw)
	}
	if got := l.do(t, "POST", "/Users/.search?filter=nonsense&count=1", search(``)).wants(200); initials(got) != "abcd" { // the body alone counts
		t.Error(got.raw)
	}
	first := l.do(t, "POST", "/.search", search(`,"cursor":"","count":4`)).wants(200).same(`6`, "totalResults")
	second := l.do(t, "POST", "/.search", search(`,"count":4,"cursor":`+first.json("nextCursor"))).wants(200).same(`6`, "totalResults")
	if first.names("id")+" "+second.names("id") != strings.Join([]string{l.readers, l.writers, l.ada, l.bob, l.cyd, l.dee}, " ") || second.at("nextCursor") != nil {
		t.Error(first.raw, second.raw)
	}
	for body, scimType := range map[string]string{
		`{}`: "invalidSyntax", `{"filter":"title pr"}`: "invalidSyntax", search(`,"filters":"title pr"`): "invalidSyntax",
		search(`,"filter":5`): "invalidValue", search(`,"filter":["title pr"]`): "invalidValue", search(`,"count":"5"`): "invalidValue", search(`,"count":1.5`): "invalidValue",
		search(`,"startIndex":true`): "invalidValue", search(`,"attributes":"userName"`): "invalidValue", search(`,"attributes":[5]`): "invalidValue",
		search(`,"attributes":["a,b"]`): "invalidValue", search(`,"attributes":["a"],"excludedAttributes":["b"]`): "invalidValue",
		search(`,"attributes":[` + strings.TrimSuffix(strings.Repeat(`"a",`, 200), ",") + `]`): "invalidValue",
		search(`,"filter":"nonsense pr"`): "invalidFilter", search(`,"cursor":"x"`): "invalidCursor", search(`,"sortBy":"nonsense"`): "invalidValue",
		search(`,"filter":"title pr","FILTER":"title eq \"x\""`): "invalidSyntax",
	} {
		for _, path := range []string{"/.search", "/Users/.search"} {
			l.do(t, "POST", path, body).wants(400, scimType)
		}
	}
	l.do(t, "POST", "/.search", search(``), "Content-Type", "text/plain").wants(415)
	l.do(t, "POST", "/.search", search(`,"filter":"`+strings.Repeat("a", 1<<20)+`"`)).wants(413)
	if got := l.do(t, "GET", "/Users/.search", "").wants(405); got.header.Get("Allow") != "POST" {
		t.Error(got.header)
	}
	var last string
	for _, e := range l.events(t) {
		last = e.Permission
	}
	if last != "gatehouse.scim:read" { // searching writes nothing
		t.Errorf("searching takes %q", last)
	}
}

func TestRFC7644_3_11_Me(t *testing.T) {
	b := newBench(t)
	for _, method := range []string{"GET", "PATCH", "DELETE"} {
		if got := b.do(t, method, "/Me", "").wants(501); !strings.Contains(got.raw, "token") {
			t.Error(got.raw)
		}
	}
}

func TestRFC7644_4_DiscoveryIsNotFiltered(t *testing.T) {
	b := newBench(t)
	for _, path := range []string{"/ServiceProviderConfig", "/Schemas", "/ResourceTypes", "/Schemas/" + userURN, "/ResourceTypes/User"} {
		b.do(t, "GET", path+"?filter="+escape(`id pr`), "").wants(403)
		b.do(t, "GET", path+"?sortBy=id&count=1", "").wants(200)
	}
}

// Whoever came in another way than by SCIM is found as they are answered.
func TestFilteringPeopleOfOtherSources(t *testing.T) {
	b := newBench(t)
	_, err := b.directory.CreateUser(t.Context(), system, b.acme.id, directory.User{UserName: "eve", Email: "eve@acme.example", OtherEmails: []string{"e@home.example"}, Source: directory.SourceAdmin})
	must(t, err)
	for filter, want := range map[string]string{
		`emails[type eq "work" and primary eq true and value eq "EVE@acme.example"]`: "eve", `emails eq "e@home.example"`: "", `displayName pr`: "", `title pr`: "", `active eq false`: "eve",
	} {
		if got := b.do(t, "GET", "/Users?filter="+escape(filter), "").wants(200).names("userName"); got != want {
			t.Errorf("%s: found %q, want %q", filter, got, want)
		}
	}
}

// A search that takes too long is refused, as RFC 7644 §3.12 has it.
func TestRFC7644_3_12_ASearchThatTakesTooLong(t *testing.T) {
	b := newBench(t)
	id := b.user(t, "ada", "")
	hasty := b.config
	hasty.SearchTime = time.Nanosecond
	b.handler = scim.New(hasty).Handler()
	for _, path := range []string{"/Users", "/Users?cursor", "?filter=" + escape("title pr")} {
		b.do(t, "GET", path, "").wants(400, "tooMany")
	}
	b.do(t, "POST", "/Groups/.search", search("")).wants(400, "tooMany")
	b.do(t, "GET", "/Users/"+id, "").wants(200)
}

// Groups in groups are found as they are answered.
func TestRFC7643_4_2_FindingGroupsInGroups(t *testing.T) {
	l := newLibrary(t)
	all := l.group(t, "All", l.readers, l.dee)
	l.finds(t, map[string]string{
		`groups.display eq "all"`: "abd", `groups eq "` + all + `"`: "abd", `groups[value eq "` + all + `" and type eq "direct"]`: "d",
		`groups[display eq "All" and type eq "indirect"]`: "ab", `groups.type eq "indirect"`: "ab", `not (groups.type eq "direct")`: "c",
		`groups.$ref eq "` + base + "/Groups/" + all + `"`: "abd",
	})
	for query, want := range map[string]string{"sortBy=groups.display": "abdc", "sortBy=groups.type": "dabc"} { // by the first of their groups
		if got := initials(l.do(t, "GET", "/Users?"+query, "").wants(200)); got != want {
			t.Errorf("%s: %q, want %q", query, got, want)
		}
	}
	for filter, want := range map[string]string{
		`members.type eq "Group"`: "All", `members[type eq "Group" and value eq "` + l.readers + `"]`: "All", `members[type eq "User" and value eq "` + l.readers + `"]`: "",
		`members.$ref eq "` + base + "/Groups/" + l.readers + `"`: "All", `members.$ref eq "` + base + "/Users/" + l.readers + `"`: "", `members.display eq "READERS"`: "All",
		`members eq "` + l.readers + `"`: "All", `members eq "` + l.dee + `"`: "All", `members.$ref ew "` + l.ada + `"`: "Readers Writers",
	} {
		if got := l.do(t, "GET", "/Groups?filter="+escape(filter), "").wants(200).names("displayName"); got != want {
			t.Errorf("%s: found %q, want %q", filter, got, want)
		}
	}
}
