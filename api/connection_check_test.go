package api

import (
	"net/http"
	"testing"
)

func TestACheckTellsWhatAChangeWouldDo(t *testing.T) {
	h := newHouse(t)
	operator := h.operator("acme")
	spec := map[string]any{"type": "oidc", "issuer": "https://idp.example", "client_id": "gatehouse", "client_secret": "hidden",
		"signals": map[string]any{"issuer": "https://mdm.example", "authorization": "hidden"}}
	check := func(name string, spec map[string]any) connectionChange {
		t.Helper()
		return into[connectionChange](operator.do("POST", "connections/"+name+"/check", spec).want(http.StatusOK))
	}
	if got := check("idp", spec); got != (connectionChange{New: true}) {
		t.Errorf("a new one: %+v", got)
	}
	operator.do("GET", "connections/idp", nil).want(http.StatusNotFound)
	before := into[connection](operator.do("PUT", "connections/idp", spec).want(http.StatusOK))
	delete(spec, "client_secret")
	spec["signals"] = map[string]any{"issuer": "https://mdm.example"}
	for name, c := range map[string]struct {
		field string
		value any
		want  connectionChange
	}{
		"nothing":             {"issuer", "https://idp.example", connectionChange{}},
		"what trusts no more": {"prompt", []string{"login"}, connectionChange{}},
		"another claim":       {"claims", map[string]any{"groups": "roles"}, connectionChange{TrustsAnew: true, EndsSessions: true}},
		"another client":      {"client_id", "other", connectionChange{TrustsAnew: true, EndsSessions: true, LosesSecrets: true}},
		"off":                 {"enabled", false, connectionChange{EndsSessions: true}},
		"no signals":          {"signals", nil, connectionChange{}},
		"other signals":       {"signals", map[string]any{"issuer": "https://other.example"}, connectionChange{LosesSecrets: true}},
	} {
		changed := with(spec, c.field, c.value)
		if c.value == nil {
			delete(changed, c.field)
		}
		if got := check("idp", changed); got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
	// A connection that lets nobody in has nobody to sign out.
	operator.do("PUT", "connections/idp", with(spec, "enabled", false)).want(http.StatusOK)
	if got := check("idp", with(with(spec, "enabled", false), "link", "email")); got != (connectionChange{TrustsAnew: true}) {
		t.Errorf("one that is off: %+v", got)
	}
	if after := into[connection](operator.do("GET", "connections/idp", nil).want(http.StatusOK)); after.Spec.Issuer != before.Spec.Issuer || !after.HasSecret || !after.SignalsGuarded {
		t.Errorf("a check has changed it: %+v", after)
	}
}

// What a change is refused for, its check is refused for as well.
func TestACheckRefusesAsTheChangeDoes(t *testing.T) {
	h := newHouse(t)
	operator, admin := h.operator("acme"), h.signIn(h.acme, "admin", "admin")
	spec := map[string]any{"type": "oidc", "issuer": "https://idp.example", "client_id": "gatehouse"}
	operator.do("PUT", "connections/idp", spec).want(http.StatusOK)
	for name, c := range map[string]struct {
		spec   map[string]any
		status int
		code   string
	}{
		"a mixture":       {with(spec, "idp_initiated", true), http.StatusBadRequest, "bad-connection"},
		"a bad rule":      {with(spec, "scopes", []string{"email"}), http.StatusBadRequest, "bad-connection"},
		"a role too high": {with(spec, "default_role", "owner"), http.StatusForbidden, "more-than-you-have"},
		"another issuer":  {with(spec, "issuer", "https://other.example"), http.StatusForbidden, "more-than-you-have"},
	} {
		for _, call := range [][2]string{{"PUT", "connections/idp"}, {"POST", "connections/idp/check"}} {
			r := admin.do(call[0], call[1], c.spec)
			t.Log(name, call[0])
			r.problem(c.status, c.code)
		}
	}
}
