package local_test

import (
	"net/http"
	"net/url"
	"testing"

	"gatehouse/audit"
	"gatehouse/authn"
	"gatehouse/authn/local"
	"gatehouse/authn/mfa/mfatest"
	"gatehouse/directory"
	"gatehouse/identity"
)

// Of two passkeys that somebody removes at once one stays: it is all that they sign in
// with. What has not come about is recorded as that.
func TestTheLastPasskeyStaysWhicheverGoesFirst(t *testing.T) {
	w := newWorld(t)
	ann := w.person(w.acme, "ann@acme.test")
	b, other := w.browser(), w.browser()
	k := b.choosesPasskey(w.invites(w.acme, ann))
	h := authn.Holder{Tenant: w.acme.ID, User: ann, Name: "ann", Issuer: "Acme", Origin: "https://acme.test"}
	offer, err := w.factors.Offer(t.Context(), h, authn.Passkey, nil)
	must(t, err)
	second := mfatest.New(t, "https://acme.test", "acme.test")
	_, _, err = w.factors.Enrol(t.Context(), operator, h, authn.Enrolment{Private: offer.Private, Name: "second", Proof: authn.Proof{Kind: authn.Passkey, Value: second.Create(offer.Options)}})
	must(t, err)
	for _, b := range []*browser{b, other} {
		b.shows(k).has(http.StatusOK, "app /x")
	}
	held, err := w.factors.Held(t.Context(), w.acme.ID, ann)
	must(t, err)
	if len(held.Factors) != 2 {
		t.Fatalf("held are %+v", held)
	}
	remove := func(b *browser, n int) page {
		return b.post("/.gatehouse/mfa", url.Values{"do": {"remove"}, "factor": {held.Factors[n].ID}})
	}
	w.journal.on(audit.FactorRemoved, func() { remove(other, 1).has(http.StatusOK, "Your second factors") })
	remove(b, 0).has(http.StatusConflict, "You sign in with this, so it stays")
	left, err := w.factors.Held(t.Context(), w.acme.ID, ann)
	if err != nil || len(left.Factors) != 1 || left.Factors[0].ID != held.Factors[0].ID {
		t.Errorf("left are %+v, %v", left, err)
	}
	removed := w.journal.all(audit.FactorRemoved)
	if len(removed) != 3 || removed[2].Outcome != audit.Failed || removed[2].Target.ID != held.Factors[0].ID {
		t.Errorf("recorded %+v", removed)
	}
	w.browser().shows(k).has(http.StatusOK, "app /x")
	remove(b, 0).has(http.StatusConflict, "You sign in with this, so it stays")
	if n := len(w.journal.all(audit.FactorRemoved)); n != 3 {
		t.Errorf("%d records", n)
	}
}

// Who is deactivated and comes back finds none of the links again that were for them, nor
// any that they have made; what else becomes of them leaves links alone.
func TestP9_ComingBackRevivesNoLink(t *testing.T) {
	w := newWorld(t)
	w.person(w.acme, "boss@acme.test")
	ann, bob, kim := w.person(w.acme, "ann@acme.test"), w.person(w.acme, "bob@acme.test"), w.person(w.acme, "kim@acme.test")
	change := func(user identity.UserID, edit func(u *directory.User)) {
		t.Helper()
		_, err := w.directory.UpdateUser(t.Context(), operator, w.acme.ID, user, 0, func(u *directory.User) error { edit(u); return nil })
		must(t, err)
	}
	forAnn := w.invites(w.acme, ann)
	made, err := w.Invite(t.Context(), by(identity.KindUser, string(bob)), w.acme.ID, kim, 0)
	must(t, err)
	ofBob := local.InvitationURL(made.Token)
	links := func(status int, text string, links ...string) {
		t.Helper()
		for _, link := range links {
			w.browser().open(link).has(status, text)
		}
	}
	for _, user := range []identity.UserID{ann, bob, kim} {
		change(user, func(u *directory.User) { u.DisplayName = "Somebody" })
	}
	links(http.StatusOK, "passkey", forAnn, ofBob)
	for _, user := range []identity.UserID{ann, bob} {
		change(user, func(u *directory.User) { u.Active = false })
		change(user, func(u *directory.User) { u.Active = true })
	}
	links(http.StatusForbidden, "This link was used already", forAnn, ofBob)
	links(http.StatusOK, "passkey", w.invites(w.acme, ann))
}
