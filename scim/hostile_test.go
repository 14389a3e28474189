package scim_test

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"

	"gatehouse/audit"
	"gatehouse/authn/token"
	"gatehouse/identity"
	"gatehouse/internal/httpkit"
)

func TestHostileBodies(t *testing.T) {
	b := newBench(t)
	id := b.user(t, "ada", "")
	const head = `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"eve"`
	for name, c := range map[string]struct {
		body   string
		status int
	}{
		"empty":               {" ", 400},
		"not JSON":            {`{"schemas":`, 400},
		"trailing comma":      {head + `,}`, 400},
		"two values":          {head + `}{}`, 400},
		"an array":            {`[]`, 400},
		"null":                {`null`, 400},
		"a name twice":        {head + `,"active":true,"active":false}`, 400},
		"in another case":     {head + `,"active":true,"ACTIVE":false}`, 400},
		"with a long s":       {head + `,"u\u017fername":"mallory"}`, 400},
		"with a Kelvin sign":  {head + `,"nickName":"a","nic\u212aName":"b"}`, 400},
		"twice further down":  {head + `,"name":{"givenName":"a","givenName":"b"}}`, 400},
		"not UTF-8":           {head + ",\"title\":\"\xff\"}", 400},
		"deep":                {head + `,"name":` + strings.Repeat(`{"a":`, 70) + `1` + strings.Repeat(`}`, 70) + `}`, 400},
		"deeper than a stack": {strings.Repeat(`[`, 1<<20-1), 400},
		"over the limit":      {head + `,"title":"` + strings.Repeat("a", 1<<20) + `"}`, 413},
		"kept attributes":     {head + `,"title":"` + strings.Repeat("a", 70_000) + `"}`, 413},
		"two @":               {strings.Replace(head, "eve", "eve@a.example@b.example", 1) + `}`, 400},
		"bidi":                {strings.Replace(head, "eve", `eve\u202e`, 1) + `}`, 400},
		"NUL":                 {strings.Replace(head, "eve", `eve\u0000`, 1) + `}`, 400},
		"many operations":     {patch(strings.TrimSuffix(strings.Repeat(`{"op":"remove","path":"title"},`, 1001), ",")), 413},
		"long path":           {patch(`{"op":"remove","path":"emails[value eq \"` + strings.Repeat("a", 3000) + `\"]"}`), 400},
		"deep path":           {patch(`{"op":"remove","path":"emails` + strings.Repeat("[(", 50_000) + `"}`), 400},
	} {
		t.Run(name, func(t *testing.T) {
			method, path := "POST", "/Users"
			if strings.Contains(c.body, "PatchOp") {
				method, path = "PATCH", "/Users/"+id
			}
			b.do(t, method, path, c.body).wants(c.status)
		})
	}
	b.do(t, "GET", "/Users", "").wants(200).same(`1`, "totalResults")
}

func TestALargeGroupIsNotWorkedOnForEver(t *testing.T) {
	b := newBench(t)
	var members strings.Builder
	for i := range 12_000 {
		fmt.Fprintf(&members, `{"value":"usr_%05d"},`, i)
	}
	group := "/Groups/" + b.group(t, "ops")
	operations := `{"op":"add","path":"members","value":[` + strings.TrimSuffix(members.String(), ",") + `]}` +
		strings.Repeat(`,{"op":"remove","path":"members[display eq \"x\"]"}`, 999)
	b.do(t, "PATCH", group, patch(operations)).wants(400, "tooMany")
}

func TestP3_CallersWithoutAValidTokenOfThisTenant(t *testing.T) {
	b := newBench(t)
	api := b.newToken(t, b.acme.id, token.ScopeAPI, "owner")
	for name, header := range map[string]string{
		"none": "", "empty": "Bearer ", "basic": "Basic YTpi", "garbage": "Bearer \x00\xff", "another tenant's": "Bearer " + b.globex.token,
		"of no tenant": "Bearer gh_" + strings.Repeat("a", 43), "cut": "Bearer " + b.acme.token[:20], "long": "Bearer " + strings.Repeat("a", 100_000),
		"without scheme": b.acme.token, "twice in one": "Bearer " + b.acme.token + ", Bearer " + b.acme.token,
	} {
		t.Run(name, func(t *testing.T) {
			got := b.do(t, "GET", "/Users", "", "Authorization", header).wants(401)
			if got.header.Get("WWW-Authenticate") == "" || strings.Contains(got.raw, "gh_") || !strings.Contains(got.raw, "evt_") {
				t.Errorf("answered %s", got.raw)
			}
		})
	}
	t.Run("two headers", func(t *testing.T) {
		r := httptest.NewRequestWithContext(t.Context(), "GET", "https://acme.example/scim/v2/Users", nil)
		r.Header["Authorization"] = []string{"Bearer " + b.acme.token, "Bearer " + b.acme.token}
		b.request(t, b.acme, r).wants(401)
	})
	t.Run("beside a session", func(t *testing.T) {
		b.do(t, "GET", "/Users", "", "Cookie", httpkit.SessionCookie+"=a").wants(401)
	})
	b.do(t, "GET", "/Nothing", "", "Authorization", "").wants(401)
	b.do(t, "DELETE", "/Users/usr_x", "", "Authorization", "Bearer "+api).wants(401)
}

func TestP3_IdsOfAnotherTenant(t *testing.T) {
	b := newBench(t)
	ada := b.user(t, "ada", "")
	group := b.group(t, "ops", ada)
	toGlobex := func(method, path, body string) answer {
		r := httptest.NewRequestWithContext(t.Context(), method, "https://globex.example/scim/v2"+path, strings.NewReader(body))
		r.Header.Set("Authorization", "Bearer "+b.globex.token)
		r.Header.Set("Content-Type", "application/json")
		return b.request(t, b.globex, r)
	}
	toGlobex("GET", "/Users/"+ada, "").wants(404)
	toGlobex("GET", "/Groups/"+group, "").wants(404)
	toGlobex("DELETE", "/Users/"+ada, "").wants(404)
	toGlobex("PATCH", "/Users/"+ada, patch(`{"op":"replace","path":"active","value":false}`)).wants(404)
	toGlobex("GET", "/Users", "").wants(200).same(`0`, "totalResults")
	b.do(t, "GET", "/Users/"+ada, "").wants(200).same(`true`, "active")
}

func TestP1_EveryRequestHasItsRecord(t *testing.T) {
	b := newBench(t)
	id := b.user(t, "ada", "")
	b.do(t, "GET", "/Users/"+id, "").wants(200)
	b.do(t, "PATCH", "/Users/"+id, patch(`{"op":"replace","path":"active","value":"False"}`)).wants(200)
	b.do(t, "DELETE", "/Users/"+id, "").wants(204)
	b.do(t, "GET", "/Users", "", "Authorization", "").wants(401)

	var told []string
	for _, e := range b.events(t) {
		if e.Type == audit.TokenCreated {
			continue
		}
		told = append(told, string(e.Type)+" "+e.Permission)
		if e.RequestID == "" || !e.IP.IsValid() {
			t.Errorf("%s without request or address", e.Type)
		}
		if e.Type != audit.AccessRefused && e.Actor.Kind != identity.KindSCIMToken {
			t.Errorf("%s by %+v", e.Type, e.Actor)
		}
	}
	want := []string{"access.allowed gatehouse.scim:write", "user.created ", "access.allowed gatehouse.scim:read",
		"access.allowed gatehouse.scim:write", "user.deactivated ", "access.allowed gatehouse.scim:delete", "user.deleted ", "access.refused "}
	got := strings.Join(told, "\n")
	for _, ignored := range []string{"session.revoked \n"} { // sessions may tell that there were none
		got = strings.ReplaceAll(got, ignored, "")
	}
	if got != strings.Join(want, "\n") {
		t.Errorf("the journal tells\n%s", got)
	}
}

func TestP7_NothingIsAnsweredWithoutTheJournal(t *testing.T) {
	b := newBench(t)
	id := b.user(t, "ada", "")
	must(t, b.journal.Close())
	for _, method := range []string{"GET", "DELETE"} {
		got := b.do(t, method, "/Users/"+id, "")
		if got.status < 500 || strings.Contains(got.raw, "ada") {
			t.Errorf("%s: %d %s", method, got.status, got.raw)
		}
	}
	if u, err := b.directory.User(t.Context(), b.acme.id, identity.UserID(id)); err != nil || !u.Active {
		t.Errorf("%+v, %v", u, err)
	}
}

// What is searched for is never more than a text to the database.
func TestFiltersAreNotSQL(t *testing.T) {
	b := newBench(t)
	b.user(t, "ada", `,"title":"%' OR 1=1 --","nickName":"$1 ?1 {} [0] $.\"x\"","emails":[{"value":"\\","type":"\"] or id pr or x[y eq \""}]`)
	b.user(t, "bob", `,"title":"x"`)
	for filter, want := range map[string]string{
		`title eq "' OR 1=1 --"`: "", `title co "%' OR 1=1 --"`: "ada", `title co "%"`: "ada", `title co "_"`: "", `title sw "x' --"`: "", `title eq "x\u0000"`: "",
		`title eq "x'; DROP TABLE users; --"`: "", `nickName sw "$1 ?1 {}"`: "ada", `nickName ew "[0] $.\"x\""`: "ada", `nickName co "$1"`: "ada",
		`emails[value eq "\\"]`: "ada", `emails[type eq "\"] or id pr or x[y eq \""]`: "ada", `emails[type eq "'] or 1=1 --"]`: "",
		`externalId eq "\" OR \"\"=\""`: "", `id sw "' UNION SELECT user_name FROM users --"`: "", `meta.location co "' OR '1'='1"`: "", `groups.$ref eq "' OR '1'='1"`: "",
		`meta.version ne "') OR (1=1"`: "ada bob", `schemas eq "') OR (1=1"`: "",
	} {
		got := b.do(t, "GET", "/Users?filter="+escape(filter), "")
		if strings.Contains(filter, `\u0000`) { // which no text has
			got.wants(400)
		} else if got.wants(200).names("userName") != want {
			t.Errorf("%s: found %q, want %q", filter, got.names("userName"), want)
		}
	}
	for _, filter := range []string{`title' eq "x"`, `title" eq "x"`, `title;-- pr`, `title) OR (1=1`, `$.title eq "x"`, `name."x" pr`, `name.$ pr`, `emails[0].value pr`, `emails[*] pr`,
		`emails['x' eq 'x']`, `urn:x' OR 1=1:title pr`, `t.user_key pr`, `search pr`, `attributes pr`, `tenant_id eq "x"`, `user_emails[email pr]`} {
		b.do(t, "GET", "/Users?filter="+escape(filter), "").wants(400, "invalidFilter")
	}
	for _, sort := range []string{`userName; DROP TABLE users`, `title'`, `"title"`, `t.id`, `(SELECT 1)`, `name.$`, `random()`, `title DESC`} {
		b.do(t, "GET", "/Users?sortBy="+escape(sort), "").wants(400, "invalidValue")
	}
	b.do(t, "GET", "/Users?sortBy=title&sortOrder="+escape("descending; --"), "").wants(400, "invalidValue")
	b.do(t, "GET", "/Users", "").wants(200).same(`2`, "totalResults")
}
