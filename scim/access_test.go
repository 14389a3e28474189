package scim_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse/audit"
	"gatehouse/authn/token"
	"gatehouse/directory"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/internal/throttle"
	"gatehouse/scim"
	"gatehouse/tenants"
)

// limited makes a token of acme that may do these things alone.
func (b *bench) limited(t testing.TB, access ...string) string {
	t.Helper()
	_, secret, err := b.tokens.Create(t.Context(), system, b.acme.id,
		token.Spec{Name: "limited", Scope: token.ScopeSCIM, Access: access, Expires: time.Now().Add(time.Hour)})
	must(t, err)
	return secret
}

// Every request and every operation of a Bulk is for what its token may do.
func TestATokenMayDoWhatItsAccessSays(t *testing.T) {
	b := newBench(t)
	ann, ops := b.user(t, "ann@acme.example", ""), b.group(t, "ops")
	const person, group = `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"%s"}`, `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group"],"displayName":"%s"}`
	search := `{"schemas":["urn:ietf:params:scim:api:messages:2.0:SearchRequest"]}`
	rename := patch(`{"op":"replace","path":"displayName","value":"x"}`)
	calls := []struct {
		method, path, body, access string
		ok                         int
	}{
		{"GET", "/Users", "", "users:read", 200}, {"GET", "/Users/" + ann, "", "users:read", 200}, {"HEAD", "/Users/" + ann, "", "users:read", 200},
		{"POST", "/Users/.search", search, "users:read", 200}, {"POST", "/Users", fmt.Sprintf(person, "new@acme.example"), "users:write", 201},
		{"PUT", "/Users/" + ann, fmt.Sprintf(person, "ann@acme.example"), "users:write", 200}, {"PATCH", "/Users/" + ann, rename, "users:write", 200},
		{"GET", "/Groups", "", "groups:read", 200}, {"GET", "/Groups/" + ops, "", "groups:read", 200}, {"POST", "/Groups/.search", search, "groups:read", 200},
		{"POST", "/Groups", fmt.Sprintf(group, "new"), "groups:write", 201}, {"PUT", "/Groups/" + ops, fmt.Sprintf(group, "ops"), "groups:write", 200},
		{"PATCH", "/Groups/" + ops, rename, "groups:write", 204},
		{"GET", "", "", "users:read groups:read", 200}, {"GET", "/", "", "users:read groups:read", 200}, {"POST", "/.search", search, "users:read groups:read", 200},
		{"DELETE", "/Groups/" + ops, "", "groups:delete", 204}, {"DELETE", "/Users/" + ann, "", "users:delete", 204},
	}
	for _, c := range calls {
		needed := strings.Fields(c.access)
		var others []string
		for _, word := range identity.AllAccess {
			if word != needed[0] {
				others = append(others, word)
			}
		}
		a := b.do(t, c.method, c.path, c.body, "Authorization", "Bearer "+b.limited(t, others...))
		if a.status != 403 || c.method != "HEAD" && !strings.Contains(a.wants(403).raw, needed[0]) || a.header.Get("WWW-Authenticate") != `Bearer realm="scim", error="insufficient_scope"` {
			t.Errorf("%s %s without %s: %d %s", c.method, c.path, needed[0], a.status, a.raw)
		}
		if a := b.do(t, c.method, c.path, c.body, "Authorization", "Bearer "+b.limited(t, needed...)); a.status != c.ok {
			t.Errorf("%s %s with %s alone: %d %s", c.method, c.path, c.access, a.status, a.raw)
		}
	}
	// What the service says of itself is for all of them.
	for _, path := range []string{"/ServiceProviderConfig", "/Schemas", "/ResourceTypes"} {
		b.do(t, "GET", path, "", "Authorization", "Bearer "+b.limited(t, "groups:delete")).wants(200)
	}
	// In a Bulk each operation is looked at.
	bob := b.user(t, "bob@acme.example", "")
	some := b.limited(t, "users:write", "groups:read")
	a := b.do(t, "POST", "/Bulk", `{"schemas":["urn:ietf:params:scim:api:messages:2.0:BulkRequest"],"Operations":[
		{"method":"POST","path":"/Users","bulkId":"a","data":`+fmt.Sprintf(person, "one@acme.example")+`},
		{"method":"POST","path":"/Users","bulkId":"b","data":`+fmt.Sprintf(person, "two@acme.example")+`},
		{"method":"POST","path":"/Groups","bulkId":"c","data":`+fmt.Sprintf(group, "sly")+`},
		{"method":"DELETE","path":"/Users/`+bob+`"}]}`, "Authorization", "Bearer "+some).wants(200)
	for i, want := range []string{"201", "201", "403", "403"} {
		a.same(`"`+want+`"`, "Operations", fmt.Sprint(i), "status")
	}
	b.do(t, "GET", "/Users/"+bob, "").wants(200)
	b.do(t, "GET", `/Groups?filter=displayName+eq+"sly"`, "").wants(200).same("0", "totalResults")
	refused := 0
	for _, e := range b.events(t) {
		if e.Type == audit.AccessRefused && e.Reason == "insufficient-scope" {
			refused++
		}
	}
	if refused != len(calls)+2 {
		t.Errorf("%d refusals are recorded, of %d", refused, len(calls)+2)
	}
}

func TestRFC7643_5_AuthenticationSchemes(t *testing.T) {
	b := newBench(t)
	a := b.do(t, "GET", "/ServiceProviderConfig", "").wants(200).same(`"oauthbearertoken"`, "authenticationSchemes", "0", "type").
		same(`true`, "authenticationSchemes", "0", "primary").same(`"oauth2"`, "authenticationSchemes", "1", "type")
	if about, _ := a.at("authenticationSchemes", "1", "description").(string); !strings.Contains(about, "https://acme.example/.gatehouse/oauth/token") {
		t.Errorf("it does not say where: %q", about)
	}
	_, secret, err := b.tokens.Create(t.Context(), system, b.acme.id, token.Spec{Name: "okta", Scope: token.ScopeSCIM, Client: true, Access: identity.Access{"users:read"}, Expires: time.Now().Add(time.Hour)})
	must(t, err)
	b.do(t, "GET", "/Users", "", "Authorization", "Bearer "+secret).wants(401)
	all, err := b.tokens.List(t.Context(), b.acme.id)
	must(t, err)
	for _, one := range all {
		if one.ClientID != "" {
			access, _, _, err := b.tokens.Grant(t.Context(), audit.Cause{}, b.acme.id, one.ClientID, secret, "")
			must(t, err)
			b.do(t, "GET", "/Users", "", "Authorization", "Bearer "+access).wants(200)
			b.do(t, "POST", "/Users", `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"x"}`, "Authorization", "Bearer "+access).wants(403)
			must(t, b.tokens.Revoke(t.Context(), system, b.acme.id, one.ID))
			b.do(t, "GET", "/Users", "", "Authorization", "Bearer "+access).wants(401)
		}
	}
}

// slow has a bench be limited, on one node.
func (b *bench) slow(each, all throttle.Limit) {
	b.config.Throttle = throttle.New(nil, "test", nil)
	b.config.Rates = func(identity.TenantID) (throttle.Limit, throttle.Limit) { return each, all }
	b.handler = scim.New(b.config).Handler()
}

func TestRFC6585_4_TooManyRequests(t *testing.T) {
	b := newBench(t)
	hourly := func(burst int) throttle.Limit { return throttle.Limit{Every: time.Hour, Burst: burst} }
	b.slow(hourly(3), hourly(5))
	other := b.newToken(t, b.acme.id, token.ScopeSCIM, "")
	for range 3 {
		b.do(t, "GET", "/Users", "").wants(200)
	}
	for range 30 {
		a := b.do(t, "GET", "/Users", "").wants(429)
		if wait := a.header.Get("Retry-After"); wait != "3600" && wait != "3599" {
			t.Fatalf("Retry-After %q", wait)
		}
	}
	// Another token goes on, until all of them are too many; another tenant is not held up.
	for range 2 {
		b.do(t, "GET", "/Users", "", "Authorization", "Bearer "+other).wants(200)
	}
	b.do(t, "GET", "/Users", "", "Authorization", "Bearer "+other).wants(429)
	r := b.newRequest(t.Context(), "GET", "/Users", "")
	r.Header.Set("Authorization", "Bearer "+b.globex.token)
	b.request(t, b.globex, r).wants(200)
	// Of a flood the first have a record each, and one stands for the rest.
	alone, rest := 0, 0
	for _, e := range b.events(t) {
		if e.Type == audit.AccessRefused && e.Reason == audit.RateLimited && e.Actor.Kind == identity.KindSCIMToken {
			if e.Details["aggregated"] == "first" {
				rest++
			} else {
				alone++
			}
		}
	}
	if alone != 10+1 || rest != 1 {
		t.Errorf("%d records, and %d for the rest", alone, rest)
	}
	// Off is off.
	b.slow(throttle.Limit{}, throttle.Limit{})
	for range 20 {
		b.do(t, "GET", "/Users", "").wants(200)
	}
}

// A Bulk counts by its operations, and is refused before any of them is done.
func TestABulkCountsByItsOperations(t *testing.T) {
	b := newBench(t)
	limit := throttle.Limit{Every: time.Hour, Burst: 5}
	b.slow(limit, throttle.Limit{})
	bulk := func(from, n int) string {
		var ops []string
		for i := range n {
			ops = append(ops, fmt.Sprintf(`{"method":"POST","path":"/Users","bulkId":"b%d","data":{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"p%d"}}`, from+i, from+i))
		}
		return `{"schemas":["urn:ietf:params:scim:api:messages:2.0:BulkRequest"],"Operations":[` + strings.Join(ops, ",") + `]}`
	}
	b.do(t, "POST", "/Bulk", bulk(0, 25)).wants(200) // 1 and 2
	b.do(t, "POST", "/Bulk", bulk(100, 25)).wants(429)
	b.do(t, "GET", "/Users?count=1", "", "Authorization", "Bearer "+b.newToken(t, b.acme.id, token.ScopeSCIM, "")).wants(200).same("25", "totalResults")
}

// Whoever waits for as long as Retry-After says is let through.
func TestRetryAfterIsLongEnough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		th := throttle.New(nil, "test", nil)
		limit := throttle.PerSecond(100, 500)
		for range 500 {
			if ok, _ := th.AllowN(t.Context(), "a", limit, 1); !ok {
				t.Fatal("within the burst")
			}
		}
		ok, wait := th.AllowN(t.Context(), "a", limit, 101)
		if ok || wait > 2*time.Second {
			t.Fatalf("%v, %v", ok, wait)
		}
		time.Sleep(wait)
		if ok, wait := th.AllowN(t.Context(), "a", limit, 101); !ok {
			t.Errorf("after that: %v", wait)
		}
		time.Sleep(time.Hour)
		if ok, _ := th.AllowN(t.Context(), "a", limit, 1000); !ok { // as much as there can be
			t.Error("more than the burst is never let through")
		}
	})
}

// Whom one connection's token has provisioned and who comes by another one is let in by
// a rule alone; the token's own connection has no other rule.
func TestPeopleOfAnotherConnectionAreLinkedByRuleAlone(t *testing.T) {
	b := newBench(t)
	tokens := token.New(token.Config{Store: b.db, Journal: b.journal, Connections: enabled{}})
	b.config.Tokens = tokens
	b.handler = scim.New(b.config).Handler()
	_, secret, err := tokens.Create(t.Context(), system, b.acme.id, token.Spec{Name: "okta", Scope: token.ScopeSCIM, Connection: "con_1", Expires: time.Now().Add(time.Hour)})
	must(t, err)
	for name, c := range map[string]struct {
		connection            identity.ConnectionID
		byEmail, byExternalID bool
		lets                  bool
	}{
		"no rule":                          {"con_2", false, false, false},
		"by address":                       {"con_2", true, false, true},
		"by external id":                   {"con_2", false, true, true},
		"no rule by the connection either": {"con_1", false, false, false},
		"by the connection too":            {"con_1", false, true, true},
	} {
		who := strings.ReplaceAll(name, " ", "-")
		mail := who + "@acme.example"
		id := b.do(t, "POST", "/Users", fmt.Sprintf(`{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":%q,"externalId":%q,"emails":[{"value":%q,"primary":true}]}`, mail, who, mail),
			"Authorization", "Bearer "+secret).wants(201).id()
		u, _, err := b.directory.SignIn(t.Context(), system, b.acme.id, directory.SignIn{Connection: c.connection, Subject: who, Email: mail, EmailVerified: true,
			LinkByEmail: c.byEmail, LinkByExternalID: c.byExternalID, CreateMissing: true})
		if c.lets && (err != nil || string(u.ID) != id) || !c.lets && !fault.Is(err, fault.Denied) {
			t.Errorf("%s: %q is let in: %v", name, u.ID, err)
		}
		found := b.do(t, "GET", "/Users?filter=userName+eq+%22"+mail+"%22", "", "Authorization", "Bearer "+secret).wants(200)
		found.same("1", "totalResults") // and nobody is made beside them
	}
	for _, e := range b.events(t) {
		if e.Type == audit.UserCreated && e.Connection != "con_1" {
			t.Errorf("the record does not say whose token it was: %+v", e)
		}
	}
}

// enabled are connections that are all there.
type enabled struct{}

func (enabled) ConnectionByID(_ context.Context, _ identity.TenantID, id identity.ConnectionID) (tenants.Connection, error) {
	return tenants.Connection{ID: id, Type: tenants.OIDC, Enabled: true}, nil
}
