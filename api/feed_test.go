package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"gatehouse/audit"
	"gatehouse/authz"
	"gatehouse/directory"
	"gatehouse/identity"
	"gatehouse/tenants"
)

// comes adds somebody to a tenant's directory.
func (h *house) comes(tenant identity.TenantID, name string) directory.User {
	h.t.Helper()
	u, err := h.people.CreateUser(h.t.Context(), audit.SystemCause(), tenant, directory.User{UserName: name, Active: true, Source: directory.SourceSCIM,
		Attributes: json.RawMessage(`{"title":"Baker"}`)})
	if err != nil {
		h.t.Fatal(err)
	}
	return u
}

// letIn waits until one more call was let in.
func (h *house) letIn(before int) {
	h.t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for len(h.recorded(h.acme, audit.AccessAllowed)) == before {
		<-tick.C
	}
}

func TestChangesAreFollowed(t *testing.T) {
	h := newHouse(t)
	program := h.bearer(h.acme, "admin")
	now := into[directoryChanges](program.do("GET", "directory/changes?from=now", nil).want(http.StatusOK))
	if len(now.Items) != 0 || now.Cursor == "" || now.More {
		t.Errorf("%+v", now)
	}
	for i := range 3 {
		h.comes(h.acme.ID, fmt.Sprintf("p%d", i))
	}
	first := into[directoryChanges](program.do("GET", "directory/changes?limit=2&cursor="+now.Cursor, nil).want(http.StatusOK))
	if len(first.Items) != 2 || !first.More || first.Items[0].Type != directory.UserCreated || first.Items[0].User.UserName != "p0" || string(first.Items[0].User.Attributes) != `{"title":"Baker"}` {
		t.Errorf("%+v", first)
	}
	rest := into[directoryChanges](program.do("GET", "directory/changes?wait=30&cursor="+first.Cursor, nil).want(http.StatusOK))
	if len(rest.Items) != 1 || rest.More || rest.Items[0].User.UserName != "p2" {
		t.Errorf("%+v", rest)
	}
	// Another tenant's changes are none of these.
	h.comes(h.globex.ID, "stranger")
	none := into[directoryChanges](program.do("GET", "directory/changes?cursor="+rest.Cursor, nil).want(http.StatusOK))
	if len(none.Items) != 0 || none.Cursor != rest.Cursor {
		t.Errorf("%+v", none)
	}
	program.do("GET", "directory/changes?from=now&cursor="+rest.Cursor, nil).problem(http.StatusBadRequest, "bad-cursor")
	program.do("GET", "directory/changes?cursor=x", nil).problem(http.StatusBadRequest, "bad-cursor")
	gone := program.do("GET", "directory/changes?cursor=MS45OTk5OTkuMA", nil).problem(http.StatusGone, "cursor-expired") // "1.999999.0"
	if !strings.Contains(gone.Detail, "from=now") {
		t.Errorf("it does not say how to go on: %s", gone.Detail)
	}
}

// Whoever waits is told as soon as something changes, and nobody waits once the gateway
// is about to stop.
func TestReadersWaitForChanges(t *testing.T) {
	h := newHouse(t)
	program := h.bearer(h.acme, "admin")
	now := into[directoryChanges](program.do("GET", "directory/changes?from=now", nil).want(http.StatusOK))
	answers := make(chan *reply, 1)
	wait := func() {
		before := len(h.recorded(h.acme, audit.AccessAllowed))
		go func() { answers <- program.do("GET", "directory/changes?wait=30&cursor="+now.Cursor, nil) }()
		h.letIn(before)
	}
	wait()
	h.comes(h.acme.ID, "ada")
	h.feed.Wake(h.acme.ID)
	got := into[directoryChanges]((<-answers).want(http.StatusOK))
	if len(got.Items) != 1 || got.Items[0].User.UserName != "ada" {
		t.Errorf("%+v", got)
	}
	now.Cursor = got.Cursor
	wait()
	h.feed.Dismiss()
	if got := into[directoryChanges]((<-answers).want(http.StatusOK)); len(got.Items) != 0 || got.Cursor != now.Cursor {
		t.Errorf("%+v", got)
	}
}

// What a reader may not see any more by the time something changes, they are not told.
func TestWhoLosesTheRightIsToldNothing(t *testing.T) {
	h := newHouse(t)
	program := h.bearer(h.acme, "admin")
	now := into[directoryChanges](program.do("GET", "directory/changes?from=now", nil).want(http.StatusOK))
	before := len(h.recorded(h.acme, audit.AccessAllowed))
	answers := make(chan *reply, 1)
	go func() { answers <- program.do("GET", "directory/changes?wait=30&cursor="+now.Cursor, nil) }()
	h.letIn(before)
	all, err := h.tokens.List(t.Context(), h.acme.ID)
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range all {
		if err := h.tokens.Revoke(t.Context(), audit.SystemCause(), h.acme.ID, one.ID); err != nil {
			t.Fatal(err)
		}
	}
	h.comes(h.acme.ID, "ada")
	h.feed.Wake(h.acme.ID)
	if got := <-answers; got.status == http.StatusOK && strings.Contains(string(got.body), "ada") {
		t.Errorf("they are told: %s", got.body)
	}
}

func TestFollowingTakesTheRightToReadAllOfIt(t *testing.T) {
	h := newHouse(t)
	for role, permissions := range map[string][]string{
		"people":   {"gatehouse.users:read"},
		"webhooks": {"gatehouse.webhooks:*"},
		"half":     {"gatehouse.webhooks:*", "gatehouse.users:read"},
		"all":      {"gatehouse.webhooks:*", "gatehouse.users:read", "gatehouse.groups:read"},
	} {
		if _, err := h.authz.PutRole(t.Context(), audit.SystemCause(), h.acme.ID, authz.Role{Name: role, Permissions: permissions}, 0); err != nil {
			t.Fatal(err)
		}
	}
	spec := map[string]any{"url": "https://hr.example/in"}
	h.bearer(h.acme, "people").do("GET", "directory/changes?from=now", nil).problem(http.StatusForbidden, "not-allowed")
	for _, role := range []string{"people", "webhooks", "half"} {
		h.bearer(h.acme, role).do("PUT", "webhooks/hr", spec).problem(http.StatusForbidden, "not-allowed")
	}
	all := h.bearer(h.acme, "all")
	all.do("GET", "directory/changes?from=now", nil).want(http.StatusOK)
	all.do("PUT", "webhooks/hr", spec).want(http.StatusOK)
	half := h.bearer(h.acme, "half")
	half.do("PUT", "webhooks/hr", map[string]any{"url": "https://mine.example"}).problem(http.StatusForbidden, "not-allowed")
	half.do("POST", "webhooks/hr/rotate", nil).problem(http.StatusForbidden, "not-allowed")
	half.do("GET", "webhooks/hr", nil).want(http.StatusOK)
}

// The path of an address may be a secret of the receiver's: it is for who may change it.
func TestOnlyWhoMayChangeAWebhookSeesItsPath(t *testing.T) {
	h := newHouse(t)
	for role, permissions := range map[string][]string{"looks": {"gatehouse.webhooks:read"}, "exports": {"gatehouse.tenants:read"}} {
		for _, at := range []*tenants.Tenant{h.acme, h.platform} {
			if _, err := h.authz.PutRole(t.Context(), audit.SystemCause(), at.ID, authz.Role{Name: role, Permissions: permissions}, 0); err != nil {
				t.Fatal(err)
			}
		}
	}
	owner := h.signIn(h.acme, "owner", "owner")
	owner.do("PUT", "webhooks/hr", map[string]any{"url": "https://hr.example/s3cret?k=s3cret"}).want(http.StatusOK)
	reader := h.bearer(h.acme, "looks")
	for _, path := range []string{"webhooks", "webhooks/hr"} {
		if body := string(reader.do("GET", path, nil).want(http.StatusOK).body); strings.Contains(body, "s3cret") || !strings.Contains(body, `"https://hr.example/…"`) {
			t.Errorf("%s shows who only looks %s", path, body)
		}
		if body := string(owner.do("GET", path, nil).want(http.StatusOK).body); !strings.Contains(body, "https://hr.example/s3cret?k=s3cret") {
			t.Errorf("%s shows the owner %s", path, body)
		}
	}
	owner.do("PUT", "webhooks/hr", map[string]any{"url": "https://hr.example/…"}).problem(http.StatusBadRequest, "bad-webhook")
	if body := string(h.bearer(h.platform, "exports").do("GET", "platform/export", nil).want(http.StatusOK).body); strings.Contains(body, "s3cret") || !strings.Contains(body, "hr.example/…") {
		t.Errorf("an export for who only looks is %s", body)
	}
	if body := string(h.signIn(h.platform, "root", "owner").do("GET", "platform/export", nil).want(http.StatusOK).body); !strings.Contains(body, "s3cret") {
		t.Errorf("an export for an owner is %s", body)
	}
}

func TestAWebhookAndItsSecret(t *testing.T) {
	h := newHouse(t)
	admin := h.signIn(h.acme, "admin", "admin")
	spec := map[string]any{"url": "https://hr.example/in", "types": []string{"user.created", "user.deleted"}}
	r := admin.do("PUT", "webhooks/hr", spec, "If-None-Match", "*").want(http.StatusOK)
	made := into[webhook](r)
	if !strings.HasPrefix(made.Secret, "whsec_") || made.State != "on" || made.Behind != 0 || len(made.Spec.Types) != 2 {
		t.Errorf("%+v", made)
	}
	admin.do("PUT", "webhooks/hr", spec, "If-None-Match", "*").problem(http.StatusPreconditionFailed, "there-already")
	again := into[webhook](admin.do("PUT", "webhooks/hr", map[string]any{"url": "https://hr.example/other", "enabled": false}, "If-Match", r.header.Get("ETag")).want(http.StatusOK))
	if again.Secret != "" || again.State != "off" || again.ID != made.ID {
		t.Errorf("%+v", again)
	}
	admin.do("PUT", "webhooks/hr", spec, "If-Match", r.header.Get("ETag")).problem(http.StatusPreconditionFailed, "version-changed")
	h.comes(h.acme.ID, "ada")
	rotated := into[webhook](admin.do("POST", "webhooks/hr/rotate", nil).want(http.StatusOK))
	if rotated.Secret == made.Secret || rotated.PreviousUntil == nil || rotated.Behind != 1 {
		t.Errorf("%+v", rotated)
	}
	for _, path := range []string{"webhooks", "webhooks/hr", "webhooks/hr/deliveries"} {
		if body := string(admin.do("GET", path, nil).want(http.StatusOK).body); strings.Contains(body, "whsec_") || strings.Contains(body, rotated.Secret[6:]) {
			t.Errorf("%s shows a secret: %s", path, body)
		}
	}
	if sent := into[delivery](admin.do("POST", "webhooks/hr/test", nil).want(http.StatusOK)); !sent.Taken || sent.Status != http.StatusNoContent {
		t.Errorf("%+v", sent)
	}
	for _, kind := range []audit.Type{audit.WebhookChanged} {
		told := h.recorded(h.acme, kind)
		if len(told) != 3 || told[0].Details["change"] != "created" || told[1].Details["change"] != "replaced" || told[2].Details["change"] != "secret-rotated" || told[0].Details["host"] != "hr.example" {
			t.Errorf("told as %+v", told)
		}
		for _, e := range told {
			if strings.Contains(fmt.Sprint(e), "whsec_") {
				t.Errorf("a record holds a secret: %+v", e)
			}
		}
	}
	h.signIn(h.globex, "owner", "owner").do("GET", "webhooks/hr", nil).problem(http.StatusNotFound, "no-such-webhook")
	admin.do("DELETE", "webhooks/hr", nil).want(http.StatusNoContent)
	admin.do("GET", "webhooks/hr", nil).problem(http.StatusNotFound, "no-such-webhook")
	if told := h.recorded(h.acme, audit.WebhookDeleted); len(told) != 1 {
		t.Errorf("told as %+v", told)
	}
	admin.do("PUT", "webhooks/hr", map[string]any{"url": "http://hr.example"}).problem(http.StatusBadRequest, "bad-webhook")
}
