package oauth2

import (
	"net/http"
	"reflect"
	"strings"
	"testing"

	"gatehouse/authn"
	"gatehouse/authn/oauth2/oauth2test"
	"gatehouse/tenants"
)

// TestWhatRulesGoBy: all that the user API says, by path; of addresses and groups
// what was fetched, and not what a profile shows.
func TestWhatRulesGoBy(t *testing.T) {
	hub := oauth2test.New(t)
	a, err := newProtocol(0).signIn(t, hub.Connection())
	if err != nil {
		t.Fatal(err)
	}
	want := map[string][]string{"id": {"9007199254740993"}, "login": {"ann"}, "name": {"Ann"}, "email": {"ann@acme.example"}, "site_admin": {"false"},
		"plan.name": {"pro"}, "plan.seats": {"10"}, "groups": {"acme", "acme/ops", "acme/payments"}}
	if !reflect.DeepEqual(a.Claims, want) {
		t.Errorf("%v", a.Claims)
	}
	nobody := oauth2test.Ann()
	nobody.Emails, nobody.Orgs, nobody.Teams = nil, nil, nil
	hub.SignIn(nobody)
	a, err = newProtocol(0).signIn(t, hub.Connection())
	if err != nil || a.Claims["email"] != nil || a.Claims["groups"] != nil || a.Email != "" || a.Groups == nil || len(a.Groups) != 0 {
		t.Errorf("%+v, %v", a, err)
	}
}

// TestGroupsByAClaim: no claim says nothing, which is not the same as none.
func TestGroupsByAClaim(t *testing.T) {
	for claim, want := range map[string][]string{
		``: nil, `,"roles":null`: nil, `,"roles":[]`: {}, `,"roles":"ops"`: {"ops"}, `,"roles":["b","a","b",7]`: {"7", "a", "b"},
	} {
		hub := oauth2test.New(t)
		hub.Instead(oauth2test.User, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write([]byte(`{"id":"ann"` + claim + `}`))
		})
		c := hub.Connection()
		c.OAuth2.GroupsFrom, c.OAuth2.EmailsURL, c.OAuth2.Claims.Groups = nil, "", "roles"
		a, err := newProtocol(0).signIn(t, c)
		if err != nil || !reflect.DeepEqual(a.Groups, want) {
			t.Errorf("%q: %#v, %v", claim, a.Groups, err)
		}
		if calls := strings.Join(hub.Calls(), " "); calls != strings.Join([]string{oauth2test.Authorize, oauth2test.Token, oauth2test.User}, " ") {
			t.Errorf("asked %s", calls)
		}
	}
}

func TestClaimsAreBounded(t *testing.T) {
	long := strings.Repeat("x", authn.MaxClaim)
	deep := map[string]any{"a": map[string]any{"b": map[string]any{"c": "in"}}}
	for range 10 {
		deep = map[string]any{"d": deep}
	}
	var many []any
	for range authn.MaxClaims + 5 {
		many = append(many, "v")
	}
	q := &inquiry{spec: tenants.OAuth2Spec{}.Whole()}
	got := q.claims(map[string]any{"long": long, "longer": long + "y", "some": []any{long + "y", "b"}, "deep": deep, "a.b": "no path leads here", "": "nor here",
		"mixed": []any{"a", true}, "z": many}, authn.Assertion{})
	if len(got) != 3 || got["long"][0] != long || len(got["some"]) != 1 || len(got["z"]) != authn.MaxClaims-2 {
		t.Errorf("%d claims, %d of z", len(got), len(got["z"]))
	}
}
