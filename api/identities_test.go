package api

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"gatehouse/audit"
	"gatehouse/authz"
	"gatehouse/directory"
	"gatehouse/sessions"
	"gatehouse/tenants"
)

// signInAs signs a person in by an identity, in a browser of its own.
func (h *house) signInAs(tenant *tenants.Tenant, v *visitor, subject string) *visitor {
	h.t.Helper()
	door := h.door(tenant)
	made, err := h.sessions.Create(h.t.Context(), audit.SystemCause(), tenant.ID, sessions.NewSession{User: v.user.ID, Connection: door.ID, ConnectionVersion: door.Version,
		IDPSubject: subject, UserAgent: "Mozilla/5.0"})
	if err != nil {
		h.t.Fatal(err)
	}
	return &visitor{h: h, server: h.server, host: tenant.Hosts[0], user: v.user, signed: made,
		header: http.Header{"Cookie": {"session=" + made.Token}, "Sec-Fetch-Site": {"same-origin"}}}
}

func identitiesOf(v *visitor) string { return "users/" + string(v.user.ID) + "/identities" }

func theIdentity(v *visitor, connection, subject string) string {
	return identitiesOf(v) + "?" + url.Values{"connection": {connection}, "subject": {subject}}.Encode()
}

func linkTo(connection, subject string) map[string]any {
	return map[string]any{"connection": connection, "subject": subject}
}

func (h *house) identities(by, of *visitor) (all []string) {
	h.t.Helper()
	for _, i := range into[identities](by.do("GET", identitiesOf(of), nil).want(http.StatusOK)).Items {
		all = append(all, i.Connection+" "+i.Subject)
	}
	return all
}

// An admin links an identity to somebody, and takes it from them: what it has begun is
// over when the answer comes, and nothing else is.
func TestP2_UnlinkingEndsWhatTheIdentityHasBegun(t *testing.T) {
	h := newHouse(t)
	h.door(h.acme)
	owner, admin, ann := h.signIn(h.acme, "owner", "owner"), h.signIn(h.acme, "admin", "admin"), h.signIn(h.acme, "ann", "viewer")
	made := into[personIdentity](owner.do("POST", identitiesOf(ann), linkTo("door", "a/1 &?|ä")).want(http.StatusCreated))
	if made.Connection != "door" || made.ConnectionID != h.door(h.acme).ID || made.Subject != "a/1 &?|ä" || made.LinkedAt.IsZero() || made.LastSeenAt != nil {
		t.Errorf("made %+v", made)
	}
	owner.do("POST", identitiesOf(ann), linkTo("door", "a/1 &?|ä")).want(http.StatusCreated)
	owner.do("POST", identitiesOf(ann), linkTo(string(h.door(h.acme).ID), "a2")).want(http.StatusCreated)
	if got := strings.Join(h.identities(admin, ann), ", "); got != "door a/1 &?|ä, door a2" {
		t.Errorf("they have %s", got)
	}
	linked := h.recorded(h.acme, audit.IdentityLinked)
	if len(linked) != 2 || linked[0].Actor.ID != string(owner.user.ID) || linked[0].Target.ID != string(ann.user.ID) || linked[0].Details["subject"] != "a/1 &?|ä" || linked[0].Connection != made.ConnectionID {
		t.Errorf("recorded %+v", linked)
	}

	gone, stays := h.signInAs(h.acme, ann, "a/1 &?|ä"), h.signInAs(h.acme, ann, "a2")
	if done := into[revocation](admin.do("DELETE", theIdentity(ann, "door", "a/1 &?|ä"), nil).want(http.StatusOK)); done.Sessions != 1 || done.EventID == "" {
		t.Errorf("ended %+v", done)
	}
	gone.do("GET", "me", nil).want(http.StatusUnauthorized)
	stays.do("GET", "me", nil).want(http.StatusOK)
	ann.do("GET", "me", nil).want(http.StatusOK)
	if got := strings.Join(h.identities(admin, ann), ", "); got != "door a2" {
		t.Errorf("they have %s", got)
	}
	if e := h.recorded(h.acme, audit.IdentityUnlinked); len(e) != 1 || e[0].Actor.ID != string(admin.user.ID) || e[0].Details["subject"] != "a/1 &?|ä" {
		t.Errorf("recorded %+v", e)
	}
	if done := into[revocation](admin.do("DELETE", theIdentity(ann, "door", "a/1 &?|ä"), nil).want(http.StatusOK)); done.Sessions != 0 {
		t.Errorf("ended %+v", done)
	}
	for _, never := range []string{"a9", strings.Repeat("x", 401)} {
		admin.do("DELETE", theIdentity(ann, "door", never), nil).problem(http.StatusNotFound, "identity-unknown")
	}
	ann.do("GET", "me", nil).want(http.StatusOK)

	// A call that did not come to its end is completed by another one.
	if unlinked, err := h.people.Unlink(t.Context(), audit.SystemCause(), h.acme.ID, ann.user.ID, h.door(h.acme).ID, "a2"); err != nil || !unlinked {
		t.Fatal(unlinked, err)
	}
	if done := into[revocation](admin.do("DELETE", theIdentity(ann, "door", "a2"), nil).want(http.StatusOK)); done.Sessions != 1 {
		t.Errorf("ended %+v", done)
	}
	stays.do("GET", "me", nil).want(http.StatusUnauthorized)

	// Names that are too long for a message to the nodes end with their person.
	long := strings.Repeat("<", 1024)
	owner.do("POST", identitiesOf(ann), linkTo("door", long)).want(http.StatusCreated)
	begun := h.signInAs(h.acme, ann, long)
	admin.do("DELETE", theIdentity(ann, "door", long), nil).want(http.StatusOK)
	begun.do("GET", "me", nil).want(http.StatusUnauthorized)
}

// Whoever links an identity to a person can become them: that is for who may make owners;
// whoever unlinks one takes all that they have. What is refused has changed nothing.
func TestLinkingTakesTheRightToMakeOwners(t *testing.T) {
	h := newHouse(t)
	h.door(h.acme)
	owner, admin, member, ann := h.signIn(h.acme, "owner", "owner"), h.signIn(h.acme, "admin", "admin"), h.signIn(h.acme, "member", "member"), h.signIn(h.acme, "ann", "viewer")
	owner.do("POST", identitiesOf(owner), linkTo("door", "o1")).want(http.StatusCreated) // they may be the only one there is
	owner.do("POST", identitiesOf(admin), linkTo("door", "a1")).want(http.StatusCreated)
	for _, try := range []struct {
		by, of              *visitor
		connection, subject string
		status              int
		code                string
	}{
		{member, ann, "door", "x", http.StatusForbidden, "not-allowed"},
		{admin, owner, "door", "x", http.StatusForbidden, "more-than-you-have"},
		{admin, admin, "door", "x", http.StatusForbidden, "more-than-you-have"},
		{admin, ann, "door", "x", http.StatusForbidden, "more-than-you-have"}, // the app may give them more than their roles
		{owner, ann, "door", "o1", http.StatusConflict, "uniqueness"},
		{owner, ann, "nowhere", "x", http.StatusNotFound, "no-such-connection"},
		{owner, ann, "con_nowhere", "x", http.StatusNotFound, "no-such-connection"},
		{h.bearer(h.acme, "viewer"), ann, "door", "x", http.StatusForbidden, "not-allowed"},
		{h.bearer(h.acme, "admin"), ann, "door", "x", http.StatusForbidden, "more-than-you-have"},
	} {
		if p := try.by.do("POST", identitiesOf(try.of), linkTo(try.connection, try.subject)).problem(try.status, try.code); try.status == http.StatusForbidden && p.EventID == "" {
			t.Errorf("refused without a record: %+v", p)
		}
	}
	for _, subject := range []string{"", strings.Repeat("x", 1025), strings.Repeat("ä", 600), "a\x00b", "a\u202eb", "a\nb", "a\xff"} {
		if r := owner.do("POST", identitiesOf(ann), linkTo("door", subject)); r.status != http.StatusBadRequest && r.status != http.StatusUnprocessableEntity {
			t.Errorf("%q: %d %s", subject, r.status, r.body)
		}
	}
	member.do("GET", identitiesOf(ann), nil).problem(http.StatusForbidden, "not-allowed")
	member.do("DELETE", theIdentity(ann, "door", "x"), nil).problem(http.StatusForbidden, "not-allowed")
	admin.do("DELETE", theIdentity(owner, "door", "o1"), nil).problem(http.StatusForbidden, "more-than-you-have")
	admin.do("DELETE", theIdentity(ann, "door", "o1"), nil).problem(http.StatusNotFound, "identity-unknown") // the owner's
	admin.do("DELETE", identitiesOf(ann)+"?connection=door", nil).want(http.StatusUnprocessableEntity)
	admin.do("GET", "users/usr_nobody/identities", nil).want(http.StatusNotFound)
	owner.do("POST", "users/usr_nobody/identities", linkTo("door", "x")).want(http.StatusNotFound)
	if got := h.identities(owner, owner); len(got) != 1 || len(h.identities(owner, ann)) != 0 {
		t.Errorf("the owner has %v", got)
	}
	h.bearer(h.acme, "owner").do("POST", identitiesOf(ann), linkTo("door", "n1")).want(http.StatusCreated)
	admin.do("DELETE", theIdentity(admin, "door", "a1"), nil).want(http.StatusOK) // one's own may go

	// What somebody has by a group counts.
	lead := h.signIn(h.acme, "lead", "")
	group, err := h.people.CreateGroup(t.Context(), audit.SystemCause(), h.acme.ID, directory.Group{DisplayName: "leads", Members: []directory.Member{{User: lead.user.ID}}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.authz.Assign(t.Context(), audit.SystemCause(), h.acme.ID, authz.Assignment{Role: "owner", Group: group.ID}); err != nil {
		t.Fatal(err)
	}
	owner.do("POST", identitiesOf(lead), linkTo("door", "x")).want(http.StatusCreated)
	admin.do("DELETE", theIdentity(lead, "door", "x"), nil).problem(http.StatusForbidden, "more-than-you-have")
}

// Local accounts have a list and an invitation of their own.
func TestLocalAccountsAreNoIdentities(t *testing.T) {
	h := newHouse(t)
	owner := h.signIn(h.acme, "owner", "owner")
	glass := into[LocalInvitation](owner.do("POST", "local-accounts", map[string]any{"email": "glass@acme.example"}).want(http.StatusCreated))
	c, err := h.tenants.Connection(t.Context(), h.acme.ID, "local")
	if err != nil {
		t.Fatal(err)
	}
	if err := h.people.Link(t.Context(), audit.SystemCause(), h.acme.ID, glass.User, directory.Namer{}, c.ID, string(glass.User)); err != nil {
		t.Fatal(err)
	}
	path := "users/" + string(glass.User) + "/identities"
	if list := into[identities](owner.do("GET", path, nil).want(http.StatusOK)); len(list.Items) != 0 {
		t.Errorf("listed %+v", list)
	}
	for _, name := range []string{"local", string(c.ID)} {
		owner.do("POST", path, linkTo(name, "x")).problem(http.StatusConflict, "local-identity")
		owner.do("DELETE", path+"?"+url.Values{"connection": {name}, "subject": {string(glass.User)}}.Encode(), nil).problem(http.StatusConflict, "local-identity")
	}
}

// What is left of a connection that was deleted is shown by its id, and may be unlinked.
func TestIdentitiesOfADeletedConnection(t *testing.T) {
	h := newHouse(t)
	owner, ann := h.signIn(h.acme, "owner", "owner"), h.signIn(h.acme, "ann", "viewer")
	c := into[connection](owner.do("PUT", "connections/old", map[string]any{"type": "oidc", "issuer": "https://old.example", "client_id": "gatehouse"}).want(http.StatusOK))
	owner.do("POST", identitiesOf(ann), linkTo("old", "a1")).want(http.StatusCreated)
	owner.do("DELETE", "connections/old", nil).want(http.StatusNoContent)
	list := into[identities](owner.do("GET", identitiesOf(ann), nil).want(http.StatusOK))
	if len(list.Items) != 1 || list.Items[0].Connection != "" || list.Items[0].ConnectionID != c.ID {
		t.Fatalf("listed %+v", list)
	}
	owner.do("POST", identitiesOf(ann), linkTo(string(c.ID), "a2")).problem(http.StatusNotFound, "no-such-connection")
	owner.do("DELETE", theIdentity(ann, string(c.ID), "a1"), nil).want(http.StatusOK)
	if got := h.identities(owner, ann); len(got) != 0 {
		t.Errorf("left are %v", got)
	}
}

func TestP3_IdentitiesAreTheirTenants(t *testing.T) {
	h := newHouse(t)
	h.door(h.acme)
	h.door(h.globex)
	ann, other := h.signIn(h.acme, "ann", "owner"), h.signIn(h.globex, "other", "owner")
	ann.do("POST", identitiesOf(ann), linkTo("door", "a1")).want(http.StatusCreated)
	begun := h.signInAs(h.acme, ann, "a1")
	other.do("GET", identitiesOf(ann), nil).want(http.StatusNotFound)
	other.do("POST", identitiesOf(ann), linkTo("door", "x")).want(http.StatusNotFound)
	other.do("DELETE", theIdentity(ann, "door", "a1"), nil).want(http.StatusNotFound)
	other.do("POST", identitiesOf(other), linkTo(string(h.door(h.acme).ID), "a1")).problem(http.StatusNotFound, "no-such-connection")
	other.do("DELETE", theIdentity(other, string(h.door(h.acme).ID), "a1"), nil).problem(http.StatusNotFound, "identity-unknown")
	other.do("POST", identitiesOf(other), linkTo("door", "a1")).want(http.StatusCreated) // the same names are somebody else there
	other.do("DELETE", theIdentity(other, "door", "a1"), nil).want(http.StatusOK)
	begun.do("GET", "me", nil).want(http.StatusOK)
	if got := h.identities(ann, ann); len(got) != 1 {
		t.Errorf("left are %v", got)
	}
}
