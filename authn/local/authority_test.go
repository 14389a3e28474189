package local_test

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"gatehouse/audit"
	"gatehouse/authn"
	"gatehouse/authn/local"
	"gatehouse/authz"
	"gatehouse/directory"
	"gatehouse/identity"
	"gatehouse/internal/store"
	"gatehouse/tenants"
)

// by is somebody, as they ask for something.
func by(kind identity.Kind, id string) audit.Cause {
	return audit.Cause{Actor: audit.Actor{Kind: kind, ID: id, Name: "whoever made it"}}
}

// A link is worth what its maker could give at the moment of its use: not when its
// person has been given more since, by themselves or through a group, nor when its
// maker may less, or is gone.
func TestALinkIsWorthWhatItsMakerMayGive(t *testing.T) {
	w := newWorld(t)
	ops, _ := w.tenants.ByID(identity.Platform)
	w.person(ops, "boss@ops.test")
	maker, viv := w.person(ops, "maker@ops.test"), w.person(ops, "viv@ops.test")
	w.gives(ops.ID, maker, "admin")
	w.gives(ops.ID, viv, "viewer")
	b := w.browser().of("platform")
	made := func(cause audit.Cause) string {
		t.Helper()
		link, err := w.Invite(t.Context(), cause, ops.ID, viv, 0)
		must(t, err)
		return local.InvitationURL(link.Token)
	}
	good := func(link string) page {
		t.Helper()
		return b.open(link).has(http.StatusOK, "viv@ops.test")
	}
	lost := func(what, link string) {
		t.Helper()
		if p := b.open(link).has(http.StatusForbidden, "This link is not good any more"); strings.Contains(p.body, "viv@ops.test") {
			t.Errorf("%s: the page says whose it was", what)
		}
		if all := w.journal.all(audit.AccessRefused); all[len(all)-1].Reason != "invitation-outgrown" {
			t.Errorf("%s: recorded %s", what, all[len(all)-1].Reason)
		}
	}

	link := made(by(identity.KindUser, string(maker)))
	p := b.post(local.PathInvitation, good(link).hidden("kind", "totp"))
	key := keyShown.FindStringSubmatch(p.body)[1]
	accept := with(p.hidden("do", "accept"), "password", secret, "code", w.code(key, 0))
	w.gives(ops.ID, viv, authz.Owner)
	lost("promoted", link)
	b.post(local.PathInvitation, accept).has(http.StatusForbidden, "This link is not good any more") // though the page was open
	b.post(local.PathInvitation, with(p.hidden("do", "accept"), "do", "choose")).has(http.StatusForbidden, "This link is not good any more")
	w.gives(ops.ID, viv, "viewer")
	good(link)

	group, err := w.directory.CreateGroup(t.Context(), operator, ops.ID, directory.Group{DisplayName: "owners", Source: directory.SourceAdmin, Members: []directory.Member{{User: viv}}})
	must(t, err)
	_, err = w.roles.Assign(t.Context(), operator, ops.ID, authz.Assignment{Name: "by-group", Role: authz.Owner, Group: group.ID})
	must(t, err)
	lost("promoted by a group", link)
	must(t, w.directory.DeleteGroup(t.Context(), operator, ops.ID, group.ID, 0))
	good(link)

	w.gives(ops.ID, maker, "viewer")
	lost("made by whoever may not any more", link)
	w.gives(ops.ID, maker, "admin")
	good(link)
	_, err = w.directory.UpdateUser(t.Context(), operator, ops.ID, maker, 0, func(u *directory.User) error { u.Active = false; return nil })
	must(t, err)
	lost("made by somebody deactivated", link)
	must(t, w.directory.DeleteUser(t.Context(), operator, ops.ID, maker, 0))
	lost("made by somebody deleted", link)

	good(made(operator))
	good(made(by(identity.KindAPIToken, "tok_good")))
	lost("made by a token that was revoked", made(by(identity.KindAPIToken, "tok_gone")))
	lost("made by a service that is gone", made(by(identity.KindService, "svc_gone")))
	lost("made by nobody", made(by(identity.KindSystem, "")))
	link = made(operator)
	must(t, w.db.Tenant(ops.ID).Write(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(t.Context(), `UPDATE local_invitations SET maker_kind = '', maker_id = ''`)
		return err
	}))
	lost("made before its maker was kept", link)
	if all, err := w.List(t.Context(), ops.ID); err != nil || len(all) != 1 || !all[0].Accepted.IsZero() {
		t.Errorf("%+v, %v", all, err)
	}
}

// A tenant's local accounts are its owners': who is none any more signs in as
// everybody else does, however far they had come; the operators' are for all of them.
func TestWhoIsNoOwnerAnyMoreHasNoLocalAccount(t *testing.T) {
	w := newWorld(t)
	w.person(w.acme, "boss@acme.test")
	ann, key := w.owner("ann@acme.test")
	kim := w.person(w.acme, "kim@acme.test")
	k := w.browser().choosesPasskey(w.invites(w.acme, kim))
	late := w.browser()
	underWay := late.enters("ann@acme.test", secret).has(http.StatusOK, "Enter your code")
	link := w.invites(w.acme, ann)
	for _, user := range []identity.UserID{ann, kim} {
		w.gives(w.acme.ID, user, "member")
	}
	refused := func(p page) {
		t.Helper()
		p.has(http.StatusForbidden, "That did not work")
		if reason := w.journal.last(t, audit.SignInRefused); reason != "not-an-owner" {
			t.Errorf("recorded %s", reason)
		}
	}
	refused(w.browser().enters("ann@acme.test", secret))
	refused(late.post(authn.PathLocal, with(underWay.hidden("do", "code"), "code", w.code(key, 0))))
	refused(w.browser().shows(k))
	w.browser().open(link).has(http.StatusForbidden, "for the organisation&#39;s owners alone")
	// What they learn is no more than what a wrong password tells.
	if wrong, right := w.browser().enters("ann@acme.test", "not it, not it"), w.browser().enters("ann@acme.test", secret); wrong.status != right.status {
		t.Errorf("%d and %d", wrong.status, right.status)
	}
	w.gives(w.acme.ID, ann, authz.Owner)
	w.browser().signsIn("ann@acme.test", secret, key).has(http.StatusOK, "app /x")
}

// A link leads nowhere from where its person could not sign in either, nor where
// nobody signs in by local accounts at all.
func TestALinkIsForWhereItsPersonMaySignIn(t *testing.T) {
	w := newWorld(t)
	link := w.invites(w.acme, w.person(w.acme, "ann@acme.test"))
	set := func(change func(*tenants.SessionSettings)) {
		t.Helper()
		_, err := w.tenants.Update(t.Context(), operator, w.acme.ID, 0, func(x *tenants.Tenant) error { change(&x.Settings.Session); return nil })
		must(t, err)
	}
	office := []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	from := func(ip string) page { return w.browser().from(ip).open(link) }
	set(func(s *tenants.SessionSettings) { s.Networks = office })
	from("198.51.100.1").has(http.StatusForbidden, "does not allow the network")
	b := w.browser().from("192.0.2.1")
	form := b.open(link).has(http.StatusOK, "ann@acme.test").hidden("kind", "totp")
	b.from("198.51.100.1").post(local.PathInvitation, form).has(http.StatusForbidden, "does not allow the network")
	set(func(s *tenants.SessionSettings) {
		s.Networks, s.RoleNetworks = nil, map[string][]netip.Prefix{authz.Owner: office}
	})
	from("198.51.100.1").has(http.StatusForbidden, "for one of your roles")
	from("192.0.2.1").has(http.StatusOK)
	c, err := w.tenants.Connection(t.Context(), w.acme.ID, tenants.LocalName)
	must(t, err)
	c.Enabled = false
	_, err = w.tenants.PutConnection(t.Context(), operator, w.acme.ID, c)
	must(t, err)
	from("192.0.2.1").has(http.StatusForbidden, "has been closed")
}
