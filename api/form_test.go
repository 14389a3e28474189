package api

import (
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"gatehouse/api/resources"
)

// moment is the one form of times: RFC 3339, UTC, milliseconds at most.
var moment = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,3})?Z$`)

// TestAnswersKeepToOneForm looks through the answers of every operation that
// reads, and of those that make something: no null, and times in one form.
func TestAnswersKeepToOneForm(t *testing.T) {
	h := newHouse(t)
	owner, operator := h.signIn(h.acme, "owner", "owner"), h.operator("platform")
	answers := map[string]*reply{
		"tenant":     operator.do("POST", "platform/tenants", map[string]any{"name": "hooli", "hosts": []string{"hooli.localhost"}}),
		"changed":    operator.do("PATCH", "platform/tenants/hooli", map[string]any{"display_name": "Hooli"}),
		"team":       owner.do("POST", "teams", map[string]any{"name": "payments"}),
		"role":       owner.do("PUT", "roles/support", map[string]any{"permissions": []string{"alerts:read"}}),
		"assignment": owner.do("POST", "assignments", map[string]any{"role": "support", "user": owner.user.ID}),
		"token":      owner.do("POST", "tokens", map[string]any{"name": "x", "scope": "api", "role": "viewer"}),
		"connection": owner.do("PUT", "connections/idp", map[string]any{"type": "oidc", "issuer": "https://idp.example", "client_id": "x"}),
		"webhook":    owner.do("PUT", "webhooks/hr", map[string]any{"url": "https://hr.example"}),
		"google":     owner.do("PUT", "directory/google", map[string]any{"admin": h.workspace.Admin, "key": string(h.workspace.Key()), "paused": true}),
		"sent":       owner.do("POST", "webhooks/hr/test", nil),
		"revocation": owner.do("POST", "sessions/revoke", map[string]any{"device": h.signIn(h.acme, "other", "").signed.Device.ID}),
		"explained":  owner.do("POST", "authorize/explain", map[string]any{"user": owner.user.ID, "permission": "alerts:write"}),
		"applied": operator.do("POST", "platform/apply", map[string]any{"documents": []resources.Document{
			{Kind: resources.KindTeam, Tenant: "hooli", Name: "box", Spec: []byte(`{}`)}}}),
		"my token": h.bearer(h.acme, "viewer").do("GET", "me", nil),
	}
	for _, op := range h.api.operations {
		if op.method != http.MethodGet || op.id == "stream-events" || op.id == "export-events" || strings.Contains(op.path, "{") {
			continue
		}
		who := owner
		if op.platform {
			who = operator
		}
		answers[op.id] = who.do("GET", strings.TrimPrefix(op.path, "/"), nil)
	}
	for name, r := range answers {
		if r.status >= 300 {
			t.Errorf("%s: status %d: %s", name, r.status, r.body)
			continue
		}
		var body any
		if err := json.Unmarshal(r.body, &body); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		look(t, name, body)
	}
}

// look fails for nulls and for times that are not in the one form.
func look(t *testing.T, where string, v any) {
	t.Helper()
	switch v := v.(type) {
	case nil:
		t.Errorf("%s is null", where)
	case map[string]any:
		for name, member := range v {
			if at, ok := member.(string); ok && (strings.HasSuffix(name, "_at") || name == "time") && !moment.MatchString(at) {
				t.Errorf("%s.%s is %s", where, name, at)
			}
			look(t, where+"."+name, member)
		}
	case []any:
		for _, item := range v {
			look(t, where+"[]", item)
		}
	}
}
