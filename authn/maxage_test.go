package authn_test

import (
	"net/http"
	"testing"
	"time"

	"gatehouse/audit"
	"gatehouse/authn"
	"gatehouse/tenants"
)

// The provider is asked for a sign-in that is not too old, and held to it: without the
// answer nobody knows whether it was asked, for that goes through the browser.
func TestAConnectionsMaxAge(t *testing.T) {
	now := time.Now()
	for name, c := range map[string]struct {
		say  func(*issuer)
		want authn.Reason
	}{
		"just now":                    {claimed("auth_time", now.Unix()), ""},
		"half an hour ago":            {claimed("auth_time", now.Add(-30*time.Minute).Unix()), ""},
		"two hours ago":               {claimed("auth_time", now.Add(-2*time.Hour).Unix()), "authentication-too-old"},
		"not said":                    {claimed("auth_time", nil), "authentication-undated"},
		"not said by one that cannot": {func(i *issuer) { i.lacksAuthTime() }, "authentication-undated"},
		"nothing":                     {claimed("auth_time", 0), "authentication-undated"},
		"text":                        {claimed("auth_time", now.Format(time.RFC3339)), "authentication-undated"},
		"to come":                     {claimed("auth_time", now.Add(time.Hour).Unix()), "authentication-undated"},
		"in milliseconds":             {claimed("auth_time", now.UnixMilli()), "authentication-undated"},
		"said by userinfo": {func(i *issuer) {
			claimed("email", nil)(i)
			i.userinfo = map[string]any{"sub": "subject-1", "email": "ann@acme.example", "auth_time": now.Unix()}
		}, "authentication-undated"},
	} {
		t.Run(name, func(t *testing.T) {
			w, idp := newWorld(t), newIssuer(t)
			c.say(idp)
			connection := idp.connection()
			connection.OIDC.MaxAge = tenants.Duration(time.Hour)
			w.connections.put(connection)
			b := w.browser()
			p := b.open("/")
			if q := idp.lastAsked(); q.Get("max_age") != "3600" || q.Has("prompt") {
				t.Errorf("asked for %v", q)
			}
			if c.want == "" {
				p.has(t, http.StatusOK, "for ann@acme.example")
				return
			}
			p.has(t, http.StatusForbidden, "This needs a new sign-in")
			if got := w.journal.lastRefusal(t); got != c.want || len(w.journal.all(audit.SignInSucceeded)) != 0 {
				t.Errorf("reason %q, want %q", got, c.want)
			}
		})
	}
}

// A route that asks for less than the connection gets less, and never more.
func TestMaxAgeOfAConnectionAndOfARoute(t *testing.T) {
	w, idp := newWorld(t), newIssuer(t)
	connection := idp.connection()
	connection.OIDC.MaxAge, connection.OIDC.Prompt = tenants.Duration(time.Hour), []string{"select_account"}
	w.connections.put(connection)
	for age, want := range map[time.Duration]string{5 * time.Minute: "300", 2 * time.Hour: "3600"} {
		w.connections.set(tenants.SessionSettings{ReauthAge: tenants.Duration(age)})
		idp.saysAt(time.Now().Unix())
		w.browser().open(again).has(t, http.StatusOK, "app /sensitive")
		if q := idp.lastAsked(); q.Get("max_age") != want || q.Get("prompt") != "login select_account" {
			t.Errorf("with a reauth_age of %v asked for %v", age, q)
		}
	}
}
