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

// A refusal says where in the spec it is wrong, as a program finds it.
func TestARefusedConnectionSaysWhere(t *testing.T) {
	h := newHouse(t)
	operator := h.operator("acme")
	spec := map[string]any{"type": "oidc", "issuer": "https://idp.example", "client_id": "gatehouse"}
	rules := func(claims ...string) (all []map[string]any) {
		for _, claim := range claims {
			all = append(all, map[string]any{"claim": claim, "values": []string{"x"}, "group": "g"})
		}
		return all
	}
	for location, wrong := range map[string]map[string]any{
		"body.scopes":               with(spec, "scopes", []string{"email"}),
		"body.idp_initiated":        with(spec, "idp_initiated", true),
		"body.claims":               with(spec, "claims", map[string]any{"subject": "id"}),
		"body.claims.groups":        with(spec, "claims", map[string]any{"groups": "a\nb"}),
		"body.recheck_grace":        with(spec, "recheck_grace", "1h"),
		"body.group_rules[1].claim": with(spec, "group_rules", rules("a", "b\n")),
		"body.signals.issuer":       with(spec, "signals", map[string]any{"issuer": "http://mdm.example"}),
		"body.signals.poll.token":   with(spec, "signals", map[string]any{"issuer": "https://mdm.example", "poll": map[string]any{"endpoint": "https://mdm.example/poll"}}),
		"body.idp_metadata":         {"type": "saml"},
		"body.idp_metadata.url":     {"type": "saml", "idp_metadata": map[string]any{"url": "http://idp.example"}},
		"body.claims.subject":       {"type": "oauth2", "authorization_url": "https://x.example/a", "token_url": "https://x.example/t", "userinfo_url": "https://x.example/u", "client_id": "x", "client_secret": "y", "client_auth": "client_secret_post"},
	} {
		r := operator.do("PUT", "connections/idp", wrong)
		r.problem(http.StatusBadRequest, "bad-connection")
		if p := into[problem](r); len(p.Errors) != 1 || p.Errors[0].Location != location || p.Errors[0].Message != p.Detail {
			t.Errorf("%s: %s", location, r.body)
		}
	}
	r := operator.do("PUT", "connections/No_Name", spec)
	if p := into[problem](r); len(p.Errors) != 1 || p.Errors[0].Location != "path.name" {
		t.Errorf("a name: %s", r.body)
	}
}
