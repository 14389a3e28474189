package api

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"gatehouse/audit"
	"gatehouse/authn/local"
	"gatehouse/authz"
	"gatehouse/directory"
	"gatehouse/identity"
	"gatehouse/internal/store"
	"gatehouse/sessions"
)

// localAccounts speaks the API's form of them over the room, as the wiring does.
type localAccounts struct{ service *local.Service }

func (l localAccounts) MayInvite(ctx context.Context, tenant identity.TenantID, user identity.UserID, life time.Duration) error {
	return l.service.MayInvite(ctx, tenant, user, life)
}

func (l localAccounts) Invite(ctx context.Context, cause audit.Cause, tenant identity.TenantID, user identity.UserID, life time.Duration) (LocalInvitation, error) {
	made, err := l.service.Invite(ctx, cause, tenant, user, life)
	return LocalInvitation{Path: local.InvitationURL(made.Token), ExpiresAt: made.Expires, User: user, Event: made.Event}, err
}

func (l localAccounts) List(ctx context.Context, tenant identity.TenantID) ([]LocalAccount, error) {
	all, err := l.service.List(ctx, tenant)
	views := make([]LocalAccount, len(all))
	for i, a := range all {
		views[i] = LocalAccount{User: a.User, UserName: a.UserName, Active: a.Active, Password: a.Password, AcceptedAt: timestamp(a.Accepted), InvitedBy: a.InvitedBy, InvitedUntil: timestamp(a.InvitedTill)}
	}
	return views, err
}

func (l localAccounts) Delete(ctx context.Context, cause audit.Cause, tenant identity.TenantID, user identity.UserID) error {
	return l.service.Delete(ctx, cause, tenant, user)
}

// accepts has somebody have a local account, with a password that nobody can show.
func (h *house) accepts(tenant identity.TenantID, user identity.UserID) {
	h.t.Helper()
	if err := h.db.Tenant(tenant).Write(h.t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(h.t.Context(), `INSERT INTO local_accounts (user_id, password, generation, accepted_at) VALUES ($1, $2, 1, 1)`, user, []byte("x"))
		return err
	}); err != nil {
		h.t.Fatal(err)
	}
}

// roles are what somebody has been given, account-wide.
func (h *house) roles(tenant identity.TenantID, user identity.UserID) string {
	h.t.Helper()
	all, err := h.authz.Assignments(h.t.Context(), tenant)
	if err != nil {
		h.t.Fatal(err)
	}
	var names []string
	for _, a := range all {
		if a.User == user {
			names = append(names, a.Role)
		}
	}
	return strings.Join(names, " ")
}

// An owner's way around the identity provider: they are made, get the role, and one
// link, whose address names the tenant's host.
func TestOwnersAreInvited(t *testing.T) {
	h := newHouse(t)
	owner := h.signIn(h.acme, "owner", "owner")
	before := time.Now()
	made := into[LocalInvitation](owner.do("POST", "local-accounts", map[string]any{"email": "Glass@Acme.example", "display_name": "Break glass", "expires_in": "48h"}).want(http.StatusCreated))
	if !strings.HasPrefix(made.URL, "https://acme.localhost/.gatehouse/local/invitation?token=") || made.Event == "" || made.ExpiresAt.Before(before.Add(47*time.Hour)) || made.ExpiresAt.After(time.Now().Add(49*time.Hour)) {
		t.Errorf("made %+v", made)
	}
	u, err := h.people.User(t.Context(), h.acme.ID, made.User)
	if err != nil || u.Email != "glass@acme.example" || u.DisplayName != "Break glass" || u.Source != directory.SourceAdmin || h.roles(h.acme.ID, u.ID) != "owner" {
		t.Errorf("%+v, %v, %q", u, err, h.roles(h.acme.ID, u.ID))
	}
	c, err := h.tenants.Connection(t.Context(), h.acme.ID, "local")
	if err != nil || !c.Enabled {
		t.Errorf("%+v, %v", c, err)
	}
	again := into[LocalInvitation](owner.do("POST", "local-accounts", map[string]any{"email": "glass@acme.example"}).want(http.StatusCreated))
	if again.User != made.User || again.URL == made.URL || h.roles(h.acme.ID, u.ID) != "owner" {
		t.Errorf("again %+v", again)
	}
	h.accepts(h.acme.ID, u.ID)
	h.factor(h.acme.ID, u.ID)
	list := into[page[LocalAccount]](owner.do("GET", "local-accounts", nil).want(http.StatusOK))
	if len(list.Items) != 1 || strings.Join(list.Items[0].Credentials, " ") != "password totp" || list.Items[0].InvitedUntil == nil || list.Items[0].InvitedBy != "owner@acme.example" {
		t.Errorf("%+v", list)
	}
	if invited := h.recorded(h.acme, audit.LocalInvited); len(invited) != 2 || invited[0].Target.Name != "glass@acme.example" || invited[0].Actor.Name != "owner@acme.example" {
		t.Errorf("recorded %+v", invited)
	}
	// A secret is given once.
	body := map[string]any{"email": "glass@acme.example"}
	owner.do("POST", "local-accounts", body, "Idempotency-Key", "k1").want(http.StatusCreated)
	if second := owner.do("POST", "local-accounts", body, "Idempotency-Key", "k1"); second.status == http.StatusCreated && strings.Contains(string(second.body), "token=") {
		t.Errorf("given twice: %s", second.body)
	}
}

// Nobody makes by a link what they could not make otherwise, nor becomes who has more
// than they have; and what is refused has changed nothing.
func TestInvitingTakesWhatItGives(t *testing.T) {
	h := newHouse(t)
	owner, admin, member := h.signIn(h.acme, "owner", "owner"), h.signIn(h.acme, "admin", "admin"), h.signIn(h.acme, "member", "member")
	to := func(email string, more ...string) map[string]any {
		body := map[string]any{"email": email}
		for i := 0; i+1 < len(more); i += 2 {
			body[more[i]] = more[i+1]
		}
		return body
	}
	admin.do("POST", "local-accounts", to("new@acme.example")).problem(http.StatusForbidden, "more-than-you-have")
	admin.do("POST", "local-accounts", to("owner@acme.example")).problem(http.StatusForbidden, "more-than-you-have")
	admin.do("POST", "local-accounts", to("member@acme.example")).problem(http.StatusForbidden, "more-than-you-have")
	member.do("POST", "local-accounts", to("member@acme.example")).problem(http.StatusForbidden, "not-allowed")
	member.do("GET", "local-accounts", nil).want(http.StatusForbidden)
	owner.do("POST", "local-accounts", to("owner@acme.example")).problem(http.StatusForbidden, "own-account")
	owner.do("POST", "local-accounts", to("new@acme.example", "role", "member")).problem(http.StatusBadRequest, "owners-only")
	owner.do("POST", "local-accounts", to("no address")).want(http.StatusBadRequest)
	for _, life := range []string{"1m", "169h", "-1h"} {
		owner.do("POST", "local-accounts", to("admin@acme.example", "expires_in", life)).problem(http.StatusBadRequest, "bad-life")
	}
	_, err := h.people.UpdateUser(t.Context(), audit.SystemCause(), h.acme.ID, member.user.ID, 0, func(u *directory.User) error { u.Active = false; return nil })
	if err != nil {
		t.Fatal(err)
	}
	owner.do("POST", "local-accounts", to("member@acme.example")).problem(http.StatusConflict, "person-inactive")
	if n := len(h.recorded(h.acme, audit.LocalInvited)); n != 0 {
		t.Errorf("%d were invited", n)
	}
	found, err := h.people.Users(t.Context(), h.acme.ID, directory.UserQuery{Filter: directory.Compare{Attr: directory.AttrEmail, Op: directory.Equal, Value: "new@acme.example"}, Count: 1})
	if err != nil || found.Total != 0 || h.roles(h.acme.ID, member.user.ID) != "member" || h.roles(h.acme.ID, admin.user.ID) != "admin" {
		t.Errorf("%+v, %v", found, err)
	}
	h.accepts(h.acme.ID, owner.user.ID)
	admin.do("DELETE", "local-accounts/"+string(owner.user.ID), nil).problem(http.StatusForbidden, "more-than-you-have")
	owner.do("DELETE", "local-accounts/usr_nobody", nil).want(http.StatusNotFound)
}

// The operators are people of the platform: the machine's own operator invites the
// first, who is an owner; others get what they are given, by who has it.
func TestOperatorsAreInvited(t *testing.T) {
	h := newHouse(t)
	made := into[LocalInvitation](h.operator("platform").do("POST", "local-accounts", map[string]any{"email": "ops@example.com"}).want(http.StatusCreated))
	if !strings.HasPrefix(made.URL, "https://admin.localhost:8443/") || h.roles(identity.Platform, made.User) != authz.Owner {
		t.Errorf("made %+v", made)
	}
	ops := h.signIn(h.platform, "boss", "owner")
	viewer := into[LocalInvitation](ops.do("POST", "local-accounts", map[string]any{"email": "eyes@example.com", "role": "viewer"}).want(http.StatusCreated))
	if h.roles(identity.Platform, viewer.User) != "viewer" {
		t.Errorf("got %q", h.roles(identity.Platform, viewer.User))
	}
	// Who has a role keeps it, and gets no other unasked.
	into[LocalInvitation](ops.do("POST", "local-accounts", map[string]any{"email": "eyes@example.com"}).want(http.StatusCreated))
	if h.roles(identity.Platform, viewer.User) != "viewer" {
		t.Errorf("got %q", h.roles(identity.Platform, viewer.User))
	}
	// On behalf of a tenant, over the socket.
	glass := into[LocalInvitation](h.operator("acme").do("POST", "local-accounts", map[string]any{"email": "glass@acme.example"}).want(http.StatusCreated))
	if !strings.HasPrefix(glass.URL, "https://acme.localhost:8443/") || h.roles(h.acme.ID, glass.User) != authz.Owner {
		t.Errorf("made %+v", glass)
	}
}

// Whose account is taken away is signed out when the answer comes; the link is gone
// with it, and the person stays.
func TestP2_DeletingALocalAccountEndsItsSessions(t *testing.T) {
	h := newHouse(t)
	owner, other := h.signIn(h.acme, "owner", "owner"), h.signIn(h.acme, "other", "owner")
	h.accepts(h.acme.ID, other.user.ID)
	made := into[LocalInvitation](owner.do("POST", "local-accounts", map[string]any{"email": "other@acme.example"}).want(http.StatusCreated))
	ended := into[revocation](owner.do("DELETE", "local-accounts/"+string(other.user.ID), nil).want(http.StatusOK))
	if ended.Sessions != 1 || ended.EventID == "" {
		t.Errorf("ended %+v", ended)
	}
	other.do("GET", "me", nil).want(http.StatusUnauthorized)
	if live, _, err := h.sessions.List(t.Context(), h.acme.ID, sessions.Filter{User: other.user.ID, State: sessions.StateLive}); err != nil || len(live) != 0 {
		t.Errorf("%v, %v", live, err)
	}
	if list := into[page[LocalAccount]](owner.do("GET", "local-accounts", nil).want(http.StatusOK)); len(list.Items) != 0 {
		t.Errorf("%+v", list)
	}
	link, err := url.Parse(made.URL)
	if err != nil || link.Query().Get("token") == "" {
		t.Fatal(err)
	}
	deleted := h.recorded(h.acme, audit.LocalDeleted)
	if len(deleted) != 1 || deleted[0].Target.ID != string(other.user.ID) {
		t.Errorf("recorded %+v", deleted)
	}
	// Repeating it completes what was cut short.
	again := into[revocation](owner.do("DELETE", "local-accounts/"+string(other.user.ID), nil).want(http.StatusOK))
	if again.Sessions != 0 {
		t.Errorf("ended %+v", again)
	}
}

// The connection of local accounts is shown as any other, and nothing can be said of
// it but whether it is open and what it is called; a file that says the same changes
// nothing, and one of nothing else makes it.
func TestTheConnectionOfLocalAccounts(t *testing.T) {
	h := newHouse(t)
	owner := h.signIn(h.acme, "owner", "owner")
	owner.do("POST", "local-accounts", map[string]any{"email": "glass@acme.example"}).want(http.StatusCreated)
	c := into[connection](owner.do("GET", "connections/local", nil).want(http.StatusOK))
	if c.Spec.Type != "local" || c.Spec.DisplayName != "Local account" || c.HasSecret {
		t.Errorf("%+v", c)
	}
	owner.do("PUT", "connections/local", map[string]any{"type": "local", "display_name": "Break glass", "enabled": false}).want(http.StatusOK)
	owner.do("POST", "local-accounts", map[string]any{"email": "glass@acme.example"}).problem(http.StatusConflict, "local-disabled")
	owner.do("PUT", "connections/local", map[string]any{"type": "local"}).want(http.StatusOK)
	for name, body := range map[string]map[string]any{
		"role": {"type": "local", "default_role": "owner"}, "link": {"type": "local", "link": "email"}, "domains": {"type": "local", "allowed_domains": []string{"acme.example"}},
		"rules":   {"type": "local", "group_rules": []map[string]any{{"claim": "a", "values": []string{"b"}, "group": "c"}}},
		"signals": {"type": "local", "signals": map[string]any{"issuer": "https://evil.example"}}, "issuer": {"type": "local", "issuer": "https://evil.example"},
		"unknown": {"type": "local", "unknown_people": "refuse"}, "another type": oidcBody,
	} {
		if r := owner.do("PUT", "connections/local", body); r.status != http.StatusBadRequest && r.status != http.StatusUnprocessableEntity {
			t.Errorf("%s: %d %s", name, r.status, r.body)
		}
	}
	owner.do("PUT", "connections/other", map[string]any{"type": "local"}).want(http.StatusBadRequest)
	owner.do("DELETE", "connections/local", nil).problem(http.StatusConflict, "local-stays")
	if c := into[connection](owner.do("GET", "connections/local", nil).want(http.StatusOK)); c.Spec.Enabled != nil {
		t.Error("what is not deleted was closed")
	}

	ops := h.signIn(h.platform, "boss", "owner")
	file := func(tenant string) map[string]any {
		return map[string]any{"documents": []map[string]any{{"kind": "Connection", "tenant": tenant, "name": "local", "spec": map[string]any{"type": "local"}}}}
	}
	for tenant, want := range map[string]action{"acme": unchanged, "globex": created} {
		result := into[applyResult](ops.do("POST", "platform/apply", file(tenant)).want(http.StatusOK))
		if result.Failed || len(result.Results) != 1 || result.Results[0].Action != want {
			t.Errorf("%s: %+v", tenant, result)
		}
	}
	if text := string(ops.do("GET", "platform/export", nil).want(http.StatusOK).body); !strings.Contains(text, `"local"`) {
		t.Errorf("exported %s", text)
	}
}

// The role of an invitation comes beside what there is: nothing that anybody has been
// given before goes, whatever its name.
func TestAnInvitationTakesNoRoleAway(t *testing.T) {
	h := newHouse(t)
	owner, admin, member := h.signIn(h.acme, "owner", "owner"), h.signIn(h.acme, "admin", "admin"), h.signIn(h.acme, "member", "member")
	for name, a := range map[string]authz.Assignment{"of their own": {Role: authz.Viewer, User: member.user.ID}, "somebody else's": {Role: authz.Viewer, User: admin.user.ID}} {
		a.Name = "local-" + string(a.User)
		if name == "somebody else's" {
			a.Name = "local-" + string(owner.user.ID)
		}
		if _, err := h.authz.Assign(t.Context(), audit.SystemCause(), h.acme.ID, a); err != nil {
			t.Fatal(err)
		}
	}
	made := into[LocalInvitation](owner.do("POST", "local-accounts", map[string]any{"email": "member@acme.example"}).want(http.StatusCreated))
	again := into[LocalInvitation](owner.do("POST", "local-accounts", map[string]any{"email": "member@acme.example"}).want(http.StatusCreated))
	if made.User != member.user.ID || again.User != made.User {
		t.Errorf("invited %s and %s", made.User, again.User)
	}
	has := strings.Fields(h.roles(h.acme.ID, member.user.ID))
	slices.Sort(has)
	if !slices.Equal(has, []string{"member", "owner", "viewer"}) {
		t.Errorf("they have %q", has)
	}
	if has := strings.Fields(h.roles(h.acme.ID, admin.user.ID)); len(has) != 2 {
		t.Errorf("somebody else has %q", has)
	}
}
