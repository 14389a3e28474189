package api

import (
	"context"
	"maps"
	"net/http"
	"strings"
	"testing"

	"gatehouse/audit"
	"gatehouse/authz"
	"gatehouse/directory"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/internal/store"
	"gatehouse/tenants"
)

// with copies a body with one field changed.
func with(body map[string]any, name string, value any) map[string]any {
	changed := maps.Clone(body)
	changed[name] = value
	return changed
}

func TestP2_ClosedConnectionsHaveNoSessions(t *testing.T) {
	h := newHouse(t)
	operator := h.operator("acme")
	door := map[string]any{"type": "oidc", "issuer": "https://door.example", "client_id": "gatehouse"}
	apply := func(issuer string) func() {
		return func() {
			_, result := h.operator("platform").apply(parse(t, "{kind: Connection, tenant: acme, name: door, spec: {type: oidc, issuer: '"+issuer+"', client_id: gatehouse}}"), false)
			if result.Failed {
				t.Errorf("%+v", result)
			}
		}
	}
	for _, step := range []struct {
		name string
		do   func()
	}{
		{"disabled", func() { operator.do("PUT", "connections/door", with(door, "enabled", false)).want(http.StatusOK) }},
		{"another issuer", func() {
			operator.do("PUT", "connections/door", with(door, "issuer", "https://other.example")).want(http.StatusOK)
		}},
		{"applied", apply("https://third.example")},
		{"deleted", func() { operator.do("DELETE", "connections/door", nil).want(http.StatusNoContent) }},
	} {
		member := h.signIn(h.acme, strings.ReplaceAll(step.name, " ", "-"), "member")
		member.do("GET", "me", nil).want(http.StatusOK)
		step.do()
		member.do("GET", "me", nil).want(http.StatusUnauthorized)
		// Opened again, it does not bring the session back.
		if c, err := h.tenants.Connection(t.Context(), h.acme.ID, "door"); err == nil {
			operator.do("PUT", "connections/door", with(door, "issuer", c.OIDC.Issuer)).want(http.StatusOK)
			if now, err := h.tenants.Connection(t.Context(), h.acme.ID, "door"); err != nil || !now.Enabled {
				t.Errorf("%s: %+v, %v", step.name, now, err)
			}
			member.do("GET", "me", nil).want(http.StatusUnauthorized)
		}
	}
	// What cannot be kept closes nothing.
	member := h.signIn(h.acme, "last", "member")
	operator.do("PUT", "connections/door", with(door, "issuer", "nonsense")).want(http.StatusBadRequest)
	operator.do("PUT", "connections/door", with(door, "scopes", []string{"openid"})).want(http.StatusOK)
	member.do("GET", "me", nil).want(http.StatusOK)
}

func TestP2_SessionsOfADeletedConnectionCanBeRevoked(t *testing.T) {
	h := newHouse(t)
	owner := h.signIn(h.acme, "owner", "owner")
	id := h.door(h.acme).ID
	if err := h.tenants.DeleteConnection(t.Context(), audit.SystemCause(), h.acme.ID, "door", 0); err != nil {
		t.Fatal(err)
	}
	done := into[revocationSeen](owner.do("POST", "sessions/revoke", map[string]any{"connection": id}).want(http.StatusOK))
	if done.Sessions != 1 {
		t.Errorf("revoked %+v", done)
	}
	owner.do("GET", "me", nil).want(http.StatusUnauthorized)
}

// What secures signals is never shown, stays where nothing new is said, and goes
// to no other place than it was given for.
func TestP6_SecretsOfSignalsAreKeptAndNotShown(t *testing.T) {
	h := newHouse(t)
	operator := h.operator("acme")
	door := map[string]any{"type": "oidc", "issuer": "https://door.example", "client_id": "gatehouse"}
	const hidden = "hidden-from-everybody"
	kept := func() *tenants.Signals {
		t.Helper()
		c, err := h.tenants.Connection(t.Context(), h.acme.ID, "door")
		if err != nil {
			t.Fatal(err)
		}
		return c.Signals
	}
	put := func(signals map[string]any) connection {
		t.Helper()
		answer := operator.do("PUT", "connections/door", with(door, "signals", signals)).want(http.StatusOK)
		if strings.Contains(string(answer.body), hidden) {
			t.Errorf("shown: %s", answer.body)
		}
		return into[connection](answer)
	}
	push := map[string]any{"issuer": "https://mdm.example", "authorization": hidden}
	if c := put(push); !c.SignalsGuarded || c.Spec.Signals.Issuer != "https://mdm.example" || kept().Authorization != hidden {
		t.Errorf("%+v", c)
	}
	exported := operator.do("GET", "connections/door", nil).want(http.StatusOK)
	if !into[connection](exported).SignalsGuarded || strings.Contains(string(exported.body), hidden) {
		t.Errorf("%s", exported.body)
	}
	delete(push, "authorization")
	put(push)
	if kept().Authorization != hidden {
		t.Error("the secret is lost")
	}
	push["issuer"] = "https://other.example"
	if c := put(push); c.SignalsGuarded || kept().Authorization != "" {
		t.Error("another issuer has the secret of the one before")
	}
	poll := func(endpoint string, more map[string]any) map[string]any {
		to := map[string]any{"endpoint": endpoint}
		maps.Copy(to, more)
		return map[string]any{"issuer": "https://mdm.example", "poll": to}
	}
	put(poll("https://mdm.example/poll", map[string]any{"token": hidden}))
	put(poll("https://mdm.example/poll", nil))
	if kept().Poll.Token != hidden {
		t.Error("the token is lost")
	}
	operator.do("PUT", "connections/door", with(door, "signals", poll("https://evil.example/poll", nil))).want(http.StatusBadRequest)
	if kept().Poll.Endpoint != "https://mdm.example/poll" {
		t.Error("the token was sent elsewhere")
	}

	// apply and export say the same, without secrets.
	documents := parse(t, "{kind: Connection, tenant: acme, name: door, spec: {type: oidc, issuer: 'https://door.example', client_id: gatehouse, "+
		"signals: {issuer: 'https://mdm.example', poll: {endpoint: 'https://mdm.example/poll'}}}}")
	if _, result := h.operator("platform").apply(documents, false); result.Failed || result.Results[0].Action != unchanged {
		t.Errorf("%+v", result)
	}
	all := h.operator("platform").do("GET", "platform/export", nil).want(http.StatusOK)
	if strings.Contains(string(all.body), hidden) || !strings.Contains(string(all.body), "https://mdm.example/poll") {
		t.Errorf("%s", all.body)
	}
}

// Whoever has rights by a rule of one connection and is signed in by another loses
// them with the rule, what it asks for, or the connection, before the answer; whoever
// the rule as it is would have put there keeps them.
func TestP2_RightsByARuleEndWithIt(t *testing.T) {
	h := newHouse(t)
	operator := h.operator("acme")
	rule := func(claim, group string, values ...string) map[string]any {
		return map[string]any{"claim": claim, "values": append(values, "yes"), "group": group}
	}
	lead, aud := rule("lead", "leads"), rule("aud", "auditors")
	hr := map[string]any{"type": "oidc", "issuer": "https://hr.example", "client_id": "gatehouse", "group_rules": []any{lead, aud}}
	ann := h.signIn(h.acme, "ann", "")
	put := func(spec map[string]any) func() {
		return func() { operator.do("PUT", "connections/hr", spec).want(http.StatusOK) }
	}
	ruled := func(rules ...any) func() { return put(with(hr, "group_rules", rules)) }
	arrive := func() {
		t.Helper()
		c, err := h.tenants.Connection(t.Context(), h.acme.ID, "hr")
		if err != nil {
			t.Fatal(err)
		}
		in := directory.SignIn{Connection: c.ID, Version: c.Version, Subject: "ann", Rules: map[string]bool{"leads": true, "auditors": true}}
		if err := h.people.Link(t.Context(), audit.SystemCause(), h.acme.ID, ann.user.ID, directory.Namer{}, c.ID, "ann"); err != nil {
			t.Fatal(err)
		}
		u, _, err := h.people.SignIn(t.Context(), audit.SystemCause(), h.acme.ID, in)
		if err != nil {
			t.Fatal(err)
		}
		for _, g := range u.Groups {
			if g.Name == "leads" {
				if _, err := h.authz.Assign(t.Context(), audit.SystemCause(), h.acme.ID, authz.Assignment{Role: "owner", Group: g.ID}); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	const keeps, loses = http.StatusOK, http.StatusForbidden
	for _, step := range []struct {
		name string
		do   func()
		want int
	}{
		{"the rule goes", ruled(aud), loses},
		{"the rule names another group", ruled(rule("lead", "heads")), loses},
		{"the rule asks for another claim", ruled(rule("boss", "leads"), aud), loses},
		{"the rule asks for another value", ruled(map[string]any{"claim": "lead", "values": []string{"no"}, "group": "leads"}, aud), loses},
		{"another rule changes", ruled(lead, rule("aud", "heads")), keeps},
		{"the rule takes more values", ruled(rule("lead", "leads", "maybe"), aud), keeps},
		{"another provider says so", put(with(hr, "issuer", "https://other.example")), loses},
		{"it goes as it is switched off", put(with(with(hr, "group_rules", []any{aud}), "enabled", false)), loses},
		{"the connection is switched off", put(with(hr, "enabled", false)), loses},
		{"nothing changes", put(hr), keeps},
		{"the connection goes", func() { operator.do("DELETE", "connections/hr", nil).want(http.StatusNoContent) }, loses},
	} {
		put(hr)()
		arrive()
		ann.do("GET", "users", nil).want(http.StatusOK)
		step.do()
		if status := ann.do("GET", "users", nil).status; status != step.want {
			t.Errorf("%s: answered %d", step.name, status)
		}
		ann.do("GET", "me", nil).want(http.StatusOK)
	}

	// What could not be done as it was switched off, another call completes.
	put(hr)()
	c, err := h.tenants.Connection(t.Context(), h.acme.ID, "hr")
	if err != nil {
		t.Fatal(err)
	}
	off := c
	off.Enabled = false
	again := map[string]func(){
		"switching it off":     put(with(hr, "enabled", false)),
		"changing what it was": put(hr),
		"applying that": func() {
			document := parse(t, "{kind: Connection, tenant: acme, name: hr, spec: {type: oidc, issuer: 'https://hr.example', client_id: gatehouse, enabled: false, "+
				"group_rules: [{claim: lead, values: ['yes'], group: leads}, {claim: aud, values: ['yes'], group: auditors}]}}")
			if _, result := h.operator("platform").apply(document, false); result.Failed || result.Results[0].Action != unchanged {
				t.Errorf("%+v", result)
			}
		},
	}
	for name, complete := range again {
		put(hr)()
		arrive()
		off.Version = 0
		if _, err := h.tenants.PutConnection(t.Context(), audit.SystemCause(), h.acme.ID, off); err != nil {
			t.Fatal(err)
		}
		complete()
		if status := ann.do("GET", "users", nil).status; status != loses {
			t.Errorf("%s: answered %d", name, status)
		}
	}
}

// A connection that an earlier release kept, and today's rules would not, is closed
// as every other is.
func TestP2_ConnectionsAgainstTodaysRulesAreClosed(t *testing.T) {
	for name, stop := range map[string]func(*visitor){
		"deleted": func(operator *visitor) { operator.do("DELETE", "connections/local", nil).want(http.StatusNoContent) },
		"disabled": func(operator *visitor) {
			spec := into[connection](operator.do("GET", "connections/local", nil).want(http.StatusOK)).Spec
			operator.do("PUT", "connections/local", spec).problem(http.StatusBadRequest, "bad-connection")
			spec.Enabled = new(bool)
			if change := into[connectionChange](operator.do("POST", "connections/local/check", spec).want(http.StatusOK)); change != (connectionChange{EndsSessions: true}) {
				t.Errorf("checked as %+v", change)
			}
			operator.do("PUT", "connections/local", spec).want(http.StatusOK)
			operator.do("DELETE", "connections/local", nil).want(http.StatusNoContent)
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			member := h.signIn(h.acme, "member", "member")
			if err := h.db.Tenant(h.acme.ID).Write(t.Context(), func(tx *store.Tx) error {
				_, err := tx.Exec(t.Context(), `UPDATE connections SET name = 'local' WHERE name = 'door'`)
				return err
			}); err != nil {
				t.Fatal(err)
			}
			if err := h.tenants.Refresh(t.Context()); err != nil {
				t.Fatal(err)
			}
			member.do("GET", "me", nil).want(http.StatusOK)
			stop(h.operator("acme"))
			member.do("GET", "me", nil).want(http.StatusUnauthorized)
		})
	}
}

// meddled has somebody else make a connection right after it was looked for.
type meddled struct {
	*tenants.Service
	make func()
}

func (m meddled) Connection(ctx context.Context, tenant identity.TenantID, name string) (tenants.Connection, error) {
	c, err := m.Service.Connection(ctx, tenant, name)
	m.make()
	return c, err
}

func TestAConnectionThatIsThereIsNotMadeAnew(t *testing.T) {
	h := newHouse(t)
	operator := h.operator("acme")
	spec := map[string]any{"type": "oidc", "issuer": "https://idp.example", "client_id": "gatehouse"}
	operator.do("PUT", "connections/idp", spec, "If-None-Match", `"1"`).want(http.StatusUnprocessableEntity)
	operator.do("PUT", "connections/idp", spec, "If-None-Match", "*").want(http.StatusOK)
	operator.do("PUT", "connections/idp", with(spec, "client_id", "other"), "If-None-Match", "*").problem(http.StatusPreconditionFailed, "there-already")

	// Nor if it comes between, with what the caller may not decide.
	admin := h.signIn(h.acme, "admin", "admin")
	admin.do("PUT", "connections/late", with(spec, "issuer", "https://mine.example")).want(http.StatusOK) // may make one
	operator.do("DELETE", "connections/late", nil).want(http.StatusNoContent)
	h.api.cfg.Connections = meddled{h.tenants, func() {
		if _, err := h.tenants.PutConnection(t.Context(), audit.SystemCause(), h.acme.ID, tenants.Connection{Name: "late", Type: tenants.OIDC, Enabled: true,
			OIDC: &tenants.OIDCSpec{Issuer: "https://theirs.example", ClientID: "gatehouse"}}); err != nil {
			t.Error(err)
		}
	}}
	for _, enabled := range []bool{true, false} {
		if err := h.tenants.DeleteConnection(t.Context(), audit.SystemCause(), h.acme.ID, "late", 0); err != nil && !fault.Is(err, fault.NotFound) {
			t.Fatal(err)
		}
		admin.do("PUT", "connections/late", with(with(spec, "issuer", "https://mine.example"), "enabled", enabled)).problem(http.StatusPreconditionFailed, "version-changed")
		if c, err := h.tenants.Connection(t.Context(), h.acme.ID, "late"); err != nil || c.OIDC.Issuer != "https://theirs.example" || !c.Enabled {
			t.Errorf("%+v, %v", c, err)
		}
	}
}
