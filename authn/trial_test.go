package authn_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"gatehouse/audit"
	"gatehouse/directory"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/internal/httpkit"
	"gatehouse/sessions"
	"gatehouse/tenants"
)

// trial prepares a test of a connection, as an admin's request does.
func (w *world) trial(t *testing.T, c string) string {
	t.Helper()
	found, err := w.connections.Connection(t.Context(), acme, c)
	check(t, err)
	r := w.passed(&http.Request{URL: &url.URL{}})
	path, until, err := w.Test(r.Context(), audit.Actor{Kind: identity.KindUser, ID: "usr_admin", Name: "admin@acme.example"}, acme, found, true)
	check(t, err)
	if left := until.Sub(w.clock()); left < 9*time.Minute || left > 10*time.Minute {
		t.Errorf("the test may be begun for %v", left)
	}
	return path
}

// A test shows all that came back, says what would have become of it, and leaves
// nothing behind: also of a connection that is not enabled yet.
func TestATestOfAConnectionShowsWhatCameBack(t *testing.T) {
	w, idp := newWorld(t), newIssuer(t)
	c := idp.connection()
	c.Enabled = false
	c.GroupRules = []tenants.GroupRule{{Claim: "department", Values: []string{"Finance"}, Group: "finance"}}
	w.connections.put(c)
	idp.claims = func(claims jwt.MapClaims) {
		claims["department"], claims["groups"], claims["<b>"] = "Finance", []string{"ops"}, "<script>alert(1)</script>"
	}
	b := w.browser()
	b.open(w.trial(t, "idp")).has(t, http.StatusOK, "The connection idp works", "a new person would be made: Ann", "ann@acme.example",
		"department", "Finance", "ops", "&lt;script&gt;alert(1)&lt;/script&gt;", "subject-1")
	if b.cookie(httpkit.SessionCookie) != "" || b.cookie(httpkit.DeviceCookie) != "" {
		t.Error("the test signed somebody in")
	}
	users, err := w.directory.Users(t.Context(), acme, directory.UserQuery{})
	check(t, err)
	live, _, err := w.sessions.List(t.Context(), acme, sessions.Filter{})
	check(t, err)
	if len(users.Items) != 0 || len(live) != 0 || len(w.journal.all(audit.UserCreated)) != 0 || len(w.journal.all(audit.SignInSucceeded)) != 0 {
		t.Errorf("the test left %v and %v behind", users, live)
	}
	tested := w.journal.all(audit.ConnectionTested)
	if len(tested) != 1 || tested[0].Outcome != audit.Success || tested[0].Actor.Name != "admin@acme.example" || tested[0].Connection != "con_idp" {
		t.Errorf("recorded: %+v", tested)
	}
}

// What is wrong is said in the words for an admin, whether the provider cannot be
// reached, its answer not be believed, or the person may not come in.
func TestATestOfAConnectionSaysWhatIsWrong(t *testing.T) {
	for name, try := range map[string]struct {
		spoil  func(*tenants.Connection, *issuer)
		title  string
		reason string
	}{
		"no provider there": {func(c *tenants.Connection, _ *issuer) { c.OIDC.Issuer = "http://127.0.0.1:1" }, "does not work yet", "provider-unreachable"},
		"a wrong audience": {func(_ *tenants.Connection, i *issuer) {
			i.claims = func(c jwt.MapClaims) { c["aud"] = "another" }
		}, "does not work yet", "wrong-audience"},
		"a domain of others": {func(c *tenants.Connection, _ *issuer) { c.Admits.Domains = []string{"globex.example"} }, "does not let this person in", "domain-not-allowed"},
		"nobody known":       {func(c *tenants.Connection, _ *issuer) { c.Unknown = tenants.RefuseUnknown }, "does not let this person in", "person-unknown"},
	} {
		t.Run(name, func(t *testing.T) {
			w, idp := newWorld(t), newIssuer(t)
			c := idp.connection()
			try.spoil(&c, idp)
			w.connections.put(c)
			w.browser().open(w.trial(t, "idp")).has(t, http.StatusOK, try.title, try.reason)
			tested := w.journal.all(audit.ConnectionTested)
			if len(tested) != 1 || tested[0].Outcome != audit.Refused || tested[0].Reason != try.reason || tested[0].Message == "" {
				t.Errorf("recorded: %+v", tested)
			}
			if n := len(w.journal.all(audit.SignInRefused)); n != 0 {
				t.Errorf("%d sign-ins refused", n)
			}
		})
	}
}

// A default role that is not there keeps newcomers out, so it is said in a test,
// whoever makes it.
func TestATestOfAConnectionForeseesAMissingRole(t *testing.T) {
	w, idp := newWorld(t), newIssuer(t)
	w.connections.put(idp.connection())
	w.browser().open("/x").has(t, http.StatusOK, "app /x") // is known here
	w.grants.err = fault.New(fault.NotFound, "role-not-found", "There is no such role.")
	w.browser().open(w.trial(t, "idp")).has(t, http.StatusOK, "does not let this person in", "default-role-unusable", "default role cannot be given: There is no such role")
	c, err := w.connections.Connection(t.Context(), acme, "idp")
	check(t, err)
	if tested, err := w.Tested(t.Context(), acme, c); err != nil || tested {
		t.Errorf("counts as tested: %v, %v", tested, err)
	}
	c.DefaultRole = ""
	w.connections.put(c)
	w.browser().open(w.trial(t, "idp")).has(t, http.StatusOK, "The connection idp works")
}

// A test is begun once, of its connection, and its answer signs nobody in: neither
// does that of a sign-in that was begun before the connection was closed.
func TestATestIsNoWayIn(t *testing.T) {
	w, idp := newWorld(t), newIssuer(t)
	w.connections.put(idp.connection())
	other := idp.connection()
	other.Name = "other"
	w.connections.put(other)
	path := w.trial(t, "idp")
	w.browser().open(strings.Replace(path, "connection=idp", "connection=other", 1)).has(t, http.StatusForbidden, "not signed in")
	w.browser().open(path).has(t, http.StatusForbidden, "not signed in") // that one use was its last
	path = w.trial(t, "idp")
	w.browser().open(path).has(t, http.StatusOK, "works")
	w.browser().open(path).has(t, http.StatusForbidden, "used already")
	w.browser().open("/.gatehouse/login?connection=idp&test=").has(t, http.StatusForbidden, "not begun here")
	w.advance(11 * time.Minute)
	w.browser().open(path).has(t, http.StatusForbidden, "not signed in")

	// The token of a test is no answer, and the token of an answer no test.
	path = w.trial(t, "idp")
	token := path[strings.LastIndex(path, "=")+1:]
	w.browser().open("/.gatehouse/oidc/idp/callback?code=c0de&state="+token).has(t, http.StatusForbidden, "not signed in")
	b := w.browser()
	b.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	begun := b.open("/.gatehouse/login?connection=idp").header.Get("Location")
	b.CheckRedirect = nil
	closed := idp.connection()
	closed.Enabled = false
	w.connections.put(closed)
	b.open(begun).has(t, http.StatusForbidden, "does not exist here, or is switched off")
	if n := len(w.journal.all(audit.SignInSucceeded)); n != 0 {
		t.Errorf("%d signed in", n)
	}
}

// Groups follow from what a provider says, at every sign-in.
func TestGroupRulesFollowClaims(t *testing.T) {
	w, idp := newWorld(t), newIssuer(t)
	c := idp.connection()
	c.GroupRules = []tenants.GroupRule{{Claim: "department", Values: []string{"Finance", "Tax"}, Group: "money"},
		{Claim: "level", Values: []string{"3"}, Group: "seniors"}, {Claim: "level", Values: []string{"9"}, Group: "money"}}
	w.connections.put(c)
	idp.userinfo = map[string]any{"sub": "subject-1"} // which is asked for what the id token lacks
	for _, step := range []struct {
		claims map[string]any
		want   string
	}{
		{map[string]any{"department": "Tax", "level": 3}, "money ops seniors"},
		{map[string]any{"department": []string{"Sales", "Finance"}}, "money ops"},
		{map[string]any{"department": "finance"}, "ops"},
		{map[string]any{"level": "9"}, "money ops"},
		{nil, "ops"},
	} {
		idp.claims = func(claims jwt.MapClaims) {
			for k, v := range step.claims {
				claims[k] = v
			}
		}
		w.browser().open("/x").has(t, http.StatusOK, "app /x")
		live, _, err := w.sessions.List(t.Context(), acme, sessions.Filter{})
		check(t, err)
		person, err := w.directory.Person(t.Context(), acme, live[0].User)
		check(t, err)
		var names []string
		for _, g := range person.Groups {
			names = append(names, g.Name)
		}
		if got := strings.Join(names, " "); got != step.want {
			t.Errorf("%v: groups %q, want %q", step.claims, got, step.want)
		}
	}
}
