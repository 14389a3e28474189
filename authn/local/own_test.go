package local_test

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"gatehouse/audit"
	"gatehouse/authn"
	"gatehouse/authn/local"
	"gatehouse/authz"
	"gatehouse/sessions"
)

const another = "other words of mine"

// changes sends the form by which a password is changed.
func (b *browser) changes(current, password string) page {
	b.t.Helper()
	return b.post(authn.PathPassword, url.Values{"current": {current}, "password": {password}})
}

// Somebody changes their password where they are signed in: what they had open
// elsewhere ends, and the old one lets nobody in, however far they had come.
func TestAPersonChangesTheirPassword(t *testing.T) {
	w := newWorld(t)
	ann, key := w.owner("ann@acme.test")
	b, elsewhere, late := w.browser(), w.browser(), w.browser()
	b.signsIn("ann@acme.test", secret, key).has(http.StatusOK, "app /x")
	elsewhere.signsIn("ann@acme.test", secret, key).has(http.StatusOK, "app /x")
	underWay := late.enters("ann@acme.test", secret).has(http.StatusOK, "Enter your code")
	b.open("/.gatehouse/mfa").has(http.StatusOK, `href="/.gatehouse/local/password"`, "Change your password")
	b.open(authn.PathPassword).has(http.StatusOK, "Change your password", "ann@acme.test", `autocomplete="current-password"`, `autocomplete="new-password"`)
	b.changes(secret, another).has(http.StatusOK, "Your password is changed")

	b.open("/x").has(http.StatusOK, "app /x")
	elsewhere.open("/x").has(http.StatusOK, "Sign in with a local account")
	if live, _, err := w.sessions.List(t.Context(), w.acme.ID, sessions.Filter{User: ann, State: sessions.StateLive}); err != nil || len(live) != 1 {
		t.Errorf("sessions: %+v, %v", live, err)
	}
	late.post(authn.PathLocal, with(underWay.hidden("do", "code"), "code", w.code(key, 0))).has(http.StatusForbidden, "took too long")
	if reason := w.journal.last(t, audit.SignInRefused); reason != string(authn.CredentialsReplaced) {
		t.Errorf("recorded %s", reason)
	}
	w.browser().enters("ann@acme.test", secret).has(http.StatusForbidden, "That did not work")
	w.browser().signsIn("ann@acme.test", another, key).has(http.StatusOK, "app /x")
	changed := w.journal.all(audit.LocalPasswordChanged)
	if len(changed) != 1 || changed[0].Actor.ID != string(ann) || changed[0].Target.ID != string(ann) || changed[0].Session == "" || len(changed[0].Details) != 0 {
		t.Errorf("recorded %+v", changed)
	}

	// It is nothing at another tenant, in another browser, nor from another site.
	g := w.browser().of("globex")
	g.Jar = b.Jar
	w.invites(w.globex, w.person(w.globex, "gus@globex.test"))
	g.open(authn.PathPassword).has(http.StatusOK, "Sign in with a local account")
	g.changes(another, secret).has(http.StatusOK, "Sign in with a local account")
	w.browser().changes(another, secret).has(http.StatusOK, "Sign in with a local account")
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.url+authn.PathPassword, strings.NewReader(url.Values{"current": {another}, "password": {secret}}.Encode()))
	must(t, err)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	b.read(b.Do(r)).has(http.StatusForbidden, "another site")
	b.open(authn.PathPassword+"?step=x").has(http.StatusBadRequest, "by whoever is signed in")
	if n := len(w.journal.all(audit.LocalPasswordChanged)); n != 1 {
		t.Errorf("%d were changed", n)
	}
}

// Whoever has got hold of a session has no password of theirs by it: they need the old
// one, few of which are looked at, and a second factor that was shown just now.
func TestASessionAloneChangesNoPassword(t *testing.T) {
	w := newWorld(t)
	ann, key := w.owner("ann@acme.test")
	b := w.browser()
	b.signsIn("ann@acme.test", secret, key).has(http.StatusOK, "app /x")
	refused := func(p page, status int, reason, say string) {
		t.Helper()
		p.has(status, say, "Change your password")
		all := w.journal.all(audit.AccessRefused)
		if len(all) == 0 || all[len(all)-1].Reason != reason || all[len(all)-1].Target.ID != string(ann) || all[len(all)-1].Actor.ID != string(ann) {
			t.Errorf("recorded %+v", all)
		}
	}
	refused(b.changes("not it, not it", another), http.StatusForbidden, "password-wrong", "is not right. Nothing was changed")
	refused(b.changes("", another), http.StatusForbidden, "password-wrong", "is not right. Nothing was changed")
	refused(b.changes(strings.Repeat("x", 2000), another), http.StatusForbidden, "password-wrong", "is not right. Nothing was changed")
	refused(b.changes(secret, "short"), http.StatusBadRequest, "bad-password", "at least 12 characters")
	refused(b.changes(secret, "ann@acme.test"), http.StatusBadRequest, "bad-password", "a name or address of yours")
	refused(b.changes(secret, secret), http.StatusBadRequest, "bad-password", "the password that you have")
	for range local.PerBrowser.Burst {
		if b.changes("not it, not it", another).status == http.StatusTooManyRequests {
			break
		}
	}
	p := b.changes(secret, another)
	refused(p, http.StatusTooManyRequests, "too-many-passwords", "Too many passwords were tried")
	if p.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	b.open("/x").has(http.StatusOK, "app /x")

	w.advance(16 * time.Minute) // the factor was shown too long ago
	b.open(authn.PathPassword).has(http.StatusOK, "Show your second factor")
	b.changes(secret, another).has(http.StatusOK, "Show your second factor")
	if n := len(w.journal.all(audit.LocalPasswordChanged)); n != 0 {
		t.Errorf("%d were changed", n)
	}
	w.browser().enters("ann@acme.test", secret).has(http.StatusOK, "Enter your code")
}

// Nobody has a password to change who has none, or may not have one any more.
func TestWhoHasNoPasswordChangesNone(t *testing.T) {
	w := newWorld(t)
	w.person(w.acme, "boss@acme.test")
	kim := w.person(w.acme, "kim@acme.test")
	b := w.browser()
	b.shows(b.choosesPasskey(w.invites(w.acme, kim))).has(http.StatusOK, "app /x")
	if p := b.open("/.gatehouse/mfa").has(http.StatusOK, "Your second factors"); strings.Contains(p.body, authn.PathPassword) {
		t.Error("who has no password is offered to change it")
	}
	b.open(authn.PathPassword).has(http.StatusNotFound, "You have no password here")
	b.changes(secret, another).has(http.StatusNotFound, "You have no password here")

	ann, key := w.owner("ann@acme.test")
	b = w.browser()
	b.signsIn("ann@acme.test", secret, key).has(http.StatusOK, "app /x")
	w.gives(w.acme.ID, ann, "member")
	b.changes(secret, another).has(http.StatusForbidden, "cannot sign in with a local account any more")
	w.gives(w.acme.ID, ann, authz.Owner)
	must(t, w.Delete(t.Context(), operator, w.acme.ID, ann))
	b.changes(secret, another).has(http.StatusNotFound, "You have no password here")
}

// No password is changed without its record, and of two at once one counts.
func TestP1_NoPasswordIsChangedWithoutItsRecord(t *testing.T) {
	w := newWorld(t)
	_, key := w.owner("ann@acme.test")
	b := w.browser()
	b.signsIn("ann@acme.test", secret, key).has(http.StatusOK, "app /x")
	full := errors.New("the journal is full")
	for _, kind := range []audit.Type{audit.LocalPasswordChanged, audit.SessionsRevoked} {
		w.journal.breaks(kind, full)
		b.changes(secret, another).has(http.StatusServiceUnavailable)
		w.journal.breaks("", nil)
		w.browser().enters("ann@acme.test", secret).has(http.StatusOK, "Enter your code")
	}
	w.journal.on(audit.LocalPasswordChanged, func() { b.changes(secret, "the words of somebody else").has(http.StatusOK, "is changed") })
	b.changes(secret, another).has(http.StatusConflict, "changed or replaced while you did this")
	changed := w.journal.all(audit.LocalPasswordChanged)
	if last := changed[len(changed)-1]; last.Outcome != audit.Failed {
		t.Errorf("recorded %+v", last)
	}
	w.browser().enters("ann@acme.test", "the words of somebody else").has(http.StatusOK, "Enter your code")
}
