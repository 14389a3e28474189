package api

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"gatehouse/audit"
	"gatehouse/identity"
)

// ids fills the path parameters of an operation with ids that name nothing.
var ids = strings.NewReplacer("{id}", "xxx_none", "{name}", "none")

// body is the smallest body that passes the schema of an operation.
var body = map[string]any{
	"revoke-sessions":      map[string]any{"user": "usr_none"},
	"change-device":        map[string]any{"name": "x"},
	"change-my-device":     map[string]any{"name": "x"},
	"change-user":          map[string]any{"active": true},
	"create-user":          map[string]any{"user_name": "somebody"},
	"create-group":         map[string]any{"name": "some"},
	"change-group":         map[string]any{"name": "x"},
	"create-team":          map[string]any{"name": "matrix"},
	"change-team":          map[string]any{"display_name": "x"},
	"put-role":             map[string]any{"permissions": []string{"gatehouse.users:read"}},
	"explain-decision":     map[string]any{"user": "usr_none", "permission": "alerts:read"},
	"create-assignment":    map[string]any{"role": "viewer", "user": "usr_none"},
	"put-connection":       map[string]any{"type": "oidc", "issuer": "https://idp.example", "client_id": "x"},
	"check-connection":     map[string]any{"type": "oidc", "issuer": "https://idp.example", "client_id": "x"},
	"prepare-saml-key":     map[string]any{},
	"create-token":         map[string]any{"name": "x", "scope": "api", "role": "viewer"},
	"put-settings":         map[string]any{"display_name": "Acme"},
	"create-tenant":        map[string]any{"name": "matrix", "hosts": []string{"matrix.localhost"}},
	"change-tenant":        map[string]any{"display_name": "x"},
	"change-group-members": map[string]any{"add": []any{map[string]any{"user": "usr_none"}}},
	"apply-resources":      map[string]any{"documents": []any{}},
	"put-webhook":          map[string]any{"url": "https://hr.example"},
	"put-google-sync":      map[string]any{"admin": "admin@acme.example"},
	"test-google-sync":     map[string]any{"admin": "admin@acme.example"},
}

func TestEveryOperationDeclaresWhatItNeeds(t *testing.T) {
	h := newHouse(t)
	if len(h.api.operations) < 40 {
		t.Fatalf("only %d operations are registered", len(h.api.operations))
	}
	for _, op := range h.api.operations {
		switch {
		case op.anybody && !strings.HasPrefix(op.path, "/me"):
			t.Errorf("%s is open to everybody who is signed in, and is not about the caller", op.id)
		case op.anybody && op.needs.String() != "", !op.anybody && !strings.HasPrefix(op.needs.Object, "gatehouse."):
			t.Errorf("%s needs %q", op.id, op.needs)
		case op.platform != strings.HasPrefix(op.path, "/platform/"):
			t.Errorf("%s is at %s, and its platform mark differs", op.id, op.path)
		case op.method == http.MethodGet && !op.anybody && op.needs.Action != "read":
			t.Errorf("%s only reads, and needs %s", op.id, op.needs)
		case op.method != http.MethodGet && op.id != "explain-decision" && !op.anybody && op.needs.Action == "read":
			t.Errorf("%s changes something, and needs no more than %s", op.id, op.needs)
		}
	}
}

// TestAuthorisationMatrix calls every operation as everybody: what is refused
// is refused before the input is looked at, and is recorded; what is allowed
// gets past the decision (and then finds nothing, or does what it says).
func TestAuthorisationMatrix(t *testing.T) {
	h := newHouse(t)
	roles := map[string]bool{"owner": true, "admin": true, "member": false, "viewer": false, "": false}
	for role, manages := range roles {
		v := h.signIn(h.acme, "as-"+role, role)
		for _, op := range h.api.operations {
			if op.platform {
				continue // they have a test of their own
			}
			r := v.do(op.method, strings.TrimPrefix(ids.Replace(op.path), "/"), body[op.id])
			refused := r.status == http.StatusForbidden
			if allowed := op.anybody || manages; allowed == refused {
				t.Errorf("%s as %q: status %d: %s", op.id, role, r.status, r.body)
			}
			if refused {
				p := r.problem(http.StatusForbidden, "not-allowed")
				if !strings.Contains(p.Detail, op.needs.String()) || p.EventID == "" {
					t.Errorf("%s as %q: %+v", op.id, role, p)
				}
			}
			if r.status >= http.StatusInternalServerError {
				t.Errorf("%s as %q: status %d: %s", op.id, role, r.status, r.body)
			}
		}
	}
	for _, op := range h.api.operations {
		if op.platform {
			continue
		}
		p := h.anonymous(h.acme).do(op.method, strings.TrimPrefix(ids.Replace(op.path), "/"), body[op.id]).problem(http.StatusUnauthorized, "sign-in-required")
		if p.EventID == "" {
			t.Errorf("%s as nobody: no event", op.id)
		}
	}
}

func TestPlatformOperationsExistForOperatorsAlone(t *testing.T) {
	h := newHouse(t)
	owner, operator, member := h.signIn(h.acme, "owner", "owner"), h.signIn(h.platform, "root", "owner"), h.signIn(h.platform, "guest", "member")
	for _, op := range h.api.operations {
		if !op.platform || op.method != http.MethodGet {
			continue
		}
		path := strings.TrimPrefix(strings.ReplaceAll(op.path, "{name}", "acme"), "/")
		owner.do(op.method, path, nil).problem(http.StatusNotFound, "no-such-address")
		member.do(op.method, path, nil).problem(http.StatusForbidden, "not-allowed")
		operator.do(op.method, path, nil).want(http.StatusOK)
	}
}

func TestP1_NothingIsAnsweredWithoutARecord(t *testing.T) {
	h := newHouse(t)
	owner := h.signIn(h.acme, "owner", "owner")
	r := owner.do("GET", "sessions", nil).want(http.StatusOK)
	allowed := h.recorded(h.acme, audit.AccessAllowed)
	if len(allowed) != 1 {
		t.Fatalf("%d records of an allowed call", len(allowed))
	}
	e := allowed[0]
	if e.Actor.ID != string(owner.user.ID) || e.Route != "list-sessions" || e.Permission != "gatehouse.sessions:read" || e.Role != "owner" ||
		e.Session != owner.signed.Session.ID || e.Path != Prefix+"/v1/sessions" || e.Method != http.MethodGet || e.IP.String() != "203.0.113.7" {
		t.Errorf("record %+v", e)
	}
	if r.header.Get("Cache-Control") != "no-store" {
		t.Error("the answer may be stored")
	}
	refused := h.signIn(h.acme, "member", "member").do("GET", "users", nil).problem(http.StatusForbidden, "not-allowed")
	found := h.recorded(h.acme, audit.AccessRefused)
	if len(found) != 1 || string(found[0].ID) != refused.EventID || found[0].Reason != "no-role" {
		t.Errorf("records of the refusal: %+v", found)
	}
}

func TestP1_RefusalsWithinACallAreRecordedAsRefusals(t *testing.T) {
	h := newHouse(t)
	owner, admin := h.signIn(h.acme, "owner", "owner"), h.signIn(h.acme, "admin", "admin")
	p := admin.do("POST", "assignments", map[string]any{"role": "owner", "user": admin.user.ID}).problem(http.StatusForbidden, "more-than-you-have")
	hidden := admin.do("DELETE", "me/devices/"+string(owner.signed.Device.ID), nil).problem(http.StatusNotFound, "no-such-device")
	none := admin.do("DELETE", "me/devices/dev_none", nil)
	if hidden.EventID != "" || hidden.Detail != none.problem(http.StatusNotFound, none.code()).Detail {
		t.Errorf("%+v tells that the device exists: %s", hidden, none.body)
	}
	admin.do("DELETE", "me/sessions/"+string(owner.signed.Session.ID), nil).want(http.StatusNotFound)
	refused := h.recorded(h.acme, audit.AccessRefused)
	if len(refused) != 3 || string(refused[0].ID) != p.EventID || refused[0].Reason != "more-than-you-have" || refused[0].Route != "create-assignment" ||
		refused[0].Actor.ID != string(admin.user.ID) || refused[0].Session != admin.signed.Session.ID || refused[0].Outcome != audit.Refused {
		t.Fatalf("records %+v", refused)
	}
	if refused[1].Reason != "not-yours" || refused[1].Route != "end-my-device" || refused[2].Reason != "not-yours" {
		t.Errorf("records %+v", refused[1:])
	}
}

// code is the stable code of a problem.
func (r *reply) code() string {
	return strings.TrimPrefix(into[struct {
		Type, Title, Detail string
		Status              int
		RequestID           string `json:"request_id"`
	}](r).Type, typeOf(""))
}

func TestP7_NoJournalNoAnswer(t *testing.T) {
	h := newHouse(t)
	owner := h.signIn(h.acme, "owner", "owner")
	if err := h.journal.Close(); err != nil {
		t.Fatal(err)
	}
	r := owner.do("GET", "sessions", nil).want(http.StatusServiceUnavailable)
	if r.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	owner.do("DELETE", "sessions/"+string(owner.signed.Session.ID), nil).want(http.StatusServiceUnavailable)
}

func TestDocumentDescribesEveryOperation(t *testing.T) {
	h := newHouse(t)
	r := h.anonymous(h.acme).do("GET", Prefix+"/openapi.json", nil).want(http.StatusOK)
	var document struct {
		OpenAPI string
		Paths   map[string]map[string]struct {
			OperationID string
			Summary     string
			Tags        []string
			Security    []any
			Parameters  []struct{ Name, In string }
			Responses   map[string]struct {
				Description string
				Content     map[string]any
			}
			Permission string `json:"x-gatehouse-permission"`
		}
		Components struct{ Schemas map[string]any }
	}
	if err := json.Unmarshal(r.body, &document); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(document.OpenAPI, "3.1") {
		t.Errorf("version %s", document.OpenAPI)
	}
	seen := map[string]bool{}
	for path, methods := range document.Paths {
		for method, op := range methods {
			if op.OperationID == "" || seen[op.OperationID] || op.Summary == "" || len(op.Tags) != 1 || len(op.Security) != 2 || op.Permission == "" {
				t.Errorf("%s %s is described by halves: %+v", method, path, op)
			}
			seen[op.OperationID] = true
			var good, bad bool
			for status, response := range op.Responses {
				good = good || strings.HasPrefix(status, "2")
				_, problem := response.Content["application/problem+json"]
				bad = bad || problem
			}
			if !good || !bad {
				t.Errorf("%s %s: answers %v", method, path, op.Responses)
			}
			for _, name := range []string{"id", "name"} {
				has := false
				for _, p := range op.Parameters {
					has = has || p.In == "path" && p.Name == name
				}
				if strings.Contains(path, "{"+name+"}") != has {
					t.Errorf("%s %s: the path parameter %s is not described", method, path, name)
				}
			}
		}
	}
	if len(seen) != len(h.api.operations) {
		t.Errorf("%d operations are described, %d exist", len(seen), len(h.api.operations))
	}
	for _, reference := range strings.Split(string(r.body), `"$ref": "#/components/schemas/`)[1:] {
		name, _, _ := strings.Cut(reference, `"`)
		if document.Components.Schemas[name] == nil {
			t.Errorf("the schema %s is referred to and missing", name)
		}
	}
}

func TestUnknownAddressesAreProblems(t *testing.T) {
	h := newHouse(t)
	for _, path := range []string{Prefix + "/", Prefix + "/v1/nothing", Prefix + "/v2/sessions", Prefix + "/docs"} {
		h.signIn(h.acme, "u"+strings.ToLower(string(identity.NewUserID())[4:]), "owner").do("GET", path, nil).problem(http.StatusNotFound, "no-such-address")
	}
}
