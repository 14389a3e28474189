package local_test

import (
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"gatehouse/audit"
	"gatehouse/authn"
	"gatehouse/authn/local"
	"gatehouse/directory"
	"gatehouse/internal/store"
	"gatehouse/sessions"
	"gatehouse/tenants"
)

// Somebody who was invited sets up a password with an app, signs in by both, and
// comes back by a recovery code when the app is lost.
func TestAnInvitedPersonSignsInByPasswordAndApp(t *testing.T) {
	w := newWorld(t)
	ann := w.person(w.acme, "ann@acme.test")
	link := w.invites(w.acme, ann)
	b := w.browser()
	key, done := b.choosesPassword(link, secret)
	done.has(http.StatusOK, "Your account is set up", "recovery codes", "https://acme.test/.gatehouse/login?connection=local")
	codes := regexp.MustCompile(`<li><code>([^<]+)</code></li>`).FindAllStringSubmatch(done.body, -1)
	if len(codes) != 10 {
		t.Fatalf("%d recovery codes", len(codes))
	}
	w.advance(30 * time.Second)
	if all, err := w.List(t.Context(), w.acme.ID); err != nil || len(all) != 1 || !all[0].Password || !all[0].Used.IsZero() || all[0].Accepted.IsZero() || !all[0].InvitedTill.IsZero() {
		t.Errorf("%+v, %v", all, err)
	}
	b.open("/x").has(http.StatusOK, "Sign in with a local account") // there is no other way in
	b.signsIn("Ann@ACME.test", secret, key).has(http.StatusOK, "app /x for ann@acme.test by pwd otp mfa")
	signed := w.journal.all(audit.SignInSucceeded)
	if len(signed) != 1 || signed[0].Details["protocol"] != "local" || signed[0].Details["amr"] != "pwd otp mfa" {
		t.Errorf("recorded %+v", signed)
	}
	if all, err := w.List(t.Context(), w.acme.ID); err != nil || all[0].Used.IsZero() {
		t.Errorf("last used: %+v, %v", all, err)
	}

	// A code counts once, the password alone never.
	other := w.browser()
	p := other.enters("ann@acme.test", secret).has(http.StatusOK, "Enter your code")
	used := w.code(key, -1)
	other.post(authn.PathLocal, with(p.hidden("kind", "totp"), "code", used)).has(http.StatusForbidden, "That did not work")
	if reason := w.journal.last(t, audit.FactorRefused); reason != string(authn.FactorUsed) {
		t.Errorf("a code that was used: %s", reason)
	}
	other.open("/x").has(http.StatusOK, "Sign in with a local account")

	p = other.enters("ann@acme.test", secret)
	recovery := with(p.hidden("kind", "recovery-code"), "code", codes[3][1])
	other.post(authn.PathLocal, recovery).has(http.StatusOK, "app /x for ann@acme.test by pwd mfa")
	third := w.browser()
	third.post(authn.PathLocal, with(third.enters("ann@acme.test", secret).hidden("kind", "recovery-code"), "code", codes[3][1])).has(http.StatusForbidden, "That did not work")
	for _, step := range []audit.Type{audit.LocalInvited, audit.LocalAccepted} {
		if n := len(w.journal.all(step)); n != 1 {
			t.Errorf("%s: %d records", step, n)
		}
	}
}

// With a passkey nobody says who they are: the passkey does.
func TestAnInvitedPersonSignsInByPasskey(t *testing.T) {
	w := newWorld(t)
	ann := w.person(w.acme, "ann@acme.test")
	b := w.browser()
	k := b.choosesPasskey(w.invites(w.acme, ann))
	p := b.begins()
	if asked := string(p.options()); strings.Contains(asked, "allowCredentials") || !strings.Contains(asked, `"userVerification":"required"`) {
		t.Errorf("asked %s", asked)
	}
	b.shows(k).has(http.StatusOK, "app /x for ann@acme.test by hwk user mfa")
	all, err := w.List(t.Context(), w.acme.ID)
	if err != nil || len(all) != 1 || all[0].Password || all[0].Used.IsZero() {
		t.Errorf("%+v, %v", all, err)
	}
	// It is what they sign in with, so it stays; nor is a second factor asked for,
	// whatever the tenant asks of others.
	_, err = w.tenants.Update(t.Context(), operator, w.acme.ID, 0, func(x *tenants.Tenant) error {
		x.Settings.SecondFactor.Policy = tenants.FactorAlways
		return nil
	})
	must(t, err)
	b = w.browser()
	b.shows(k).has(http.StatusOK, "app /x for ann@acme.test")
	held, err := w.factors.Held(t.Context(), w.acme.ID, ann)
	must(t, err)
	_, err = w.tenants.Update(t.Context(), operator, w.acme.ID, 0, func(x *tenants.Tenant) error {
		x.Settings.SecondFactor.Policy = tenants.FactorNever
		return nil
	})
	must(t, err)
	b.post("/.gatehouse/mfa", url.Values{"do": {"remove"}, "factor": {held.Factors[0].ID}}).has(http.StatusConflict, "You sign in with this, so it stays")

	// An answer without its person's PIN, one to something else asked, and none at all.
	k.Flags = 1
	b = w.browser()
	b.shows(k).has(http.StatusForbidden, "That did not work")
	k.Flags = 5
	first, second := b.begins(), b.begins()
	b.post(authn.PathLocal, with(second.hidden("do", "passkey"), "credential", k.Get(first.options()))).has(http.StatusForbidden, "That did not work")
	b.post(authn.PathLocal, with(second.hidden("do", "passkey"), "kept", first.hidden("do", "passkey").Get("kept"), "credential", k.Get(first.options()))).has(http.StatusForbidden, "took too long")
	b.post(authn.PathLocal, second.hidden("do", "passkey")).has(http.StatusForbidden, "That did not work")
	k.Handle = []byte("usr_nobody\x00'")
	b.shows(k).has(http.StatusForbidden, "That did not work")
	k.Handle = []byte("usr_nobody")
	b.shows(k).has(http.StatusForbidden, "That did not work")
}

// A passkey that somebody has as a second factor alone is no way in.
func TestASecondFactorIsNoLocalAccount(t *testing.T) {
	w := newWorld(t)
	ann := w.person(w.acme, "ann@acme.test")
	b := w.browser()
	k := b.choosesPasskey(w.invites(w.acme, ann))
	must(t, w.Delete(t.Context(), operator, w.acme.ID, ann))
	b.shows(k).has(http.StatusForbidden, "That did not work")
	if reason := w.journal.last(t, audit.SignInRefused); reason != "account-unknown" {
		t.Errorf("recorded %s", reason)
	}
	if held, err := w.factors.Held(t.Context(), w.acme.ID, ann); err != nil || len(held.Factors) != 1 {
		t.Errorf("held %+v, %v", held, err)
	}
}

// A link is good once, for its time, until a newer one, and for whom it was made
// alone; looking at it uses nothing up.
func TestAnInvitationIsGoodOnce(t *testing.T) {
	w := newWorld(t)
	ann := w.person(w.acme, "ann@acme.test")
	gone := func(what, path string) {
		t.Helper()
		w.browser().open(path).has(http.StatusForbidden, "used already")
		token := strings.TrimPrefix(path, local.PathInvitation+"?token=")
		w.browser().post(local.PathInvitation, url.Values{"token": {token}, "do": {"choose"}, "kind": {"totp"}}).has(http.StatusForbidden, "used already")
		if all := w.journal.all(audit.AccessRefused); all[len(all)-1].Reason != "invitation-unusable" {
			t.Errorf("%s: recorded %s", what, all[len(all)-1].Reason)
		}
	}
	old := w.invites(w.acme, ann)
	link := w.invites(w.acme, ann)
	gone("replaced", old)
	for range 3 {
		w.browser().open(link).has(http.StatusOK, "ann@acme.test", "Take a passkey")
	}
	b := w.browser()
	p := b.post(local.PathInvitation, b.open(link).hidden("kind", "totp"))
	q := b.post(local.PathInvitation, b.open(link).hidden("kind", "totp"))
	b.choosesPasskey(link)
	gone("used", link)
	// A page of it that was open meanwhile comes too late, with its own key.
	key := keyShown.FindStringSubmatch(q.body)[1]
	b.post(local.PathInvitation, with(q.hidden("do", "accept"), "password", secret, "code", w.code(key, 0))).has(http.StatusForbidden, "used already")
	_ = p

	link = w.invites(w.acme, ann)
	w.advance(25 * time.Hour)
	gone("run out", link)
	gone("no token at all", local.PathInvitation+"?token=x")
	gone("a token of nobody", local.InvitationURL(local.NewToken()))
	for _, life := range []time.Duration{-time.Hour, time.Minute, 8 * 24 * time.Hour} {
		if _, err := w.Invite(t.Context(), operator, w.acme.ID, ann, life); err == nil {
			t.Errorf("a link for %v was made", life)
		}
	}
	if _, err := w.Invite(t.Context(), operator, w.acme.ID, "usr_nobody", 0); err == nil {
		t.Error("a link for nobody was made")
	}
}

// Two pages of one link at once: one of them sets what counts.
func TestOneOfTwoPagesOfALinkCounts(t *testing.T) {
	w := newWorld(t)
	link := w.invites(w.acme, w.person(w.acme, "ann@acme.test"))
	b := w.browser()
	p := b.post(local.PathInvitation, b.open(link).hidden("kind", "totp"))
	key := keyShown.FindStringSubmatch(p.body)[1]
	form := with(p.hidden("do", "accept"), "password", secret, "code", w.code(key, 0))
	// The other one comes in right after this one's record.
	w.journal.on(audit.LocalAccepted, func() { w.browser().choosesPasskey(link) })
	b.post(local.PathInvitation, form).has(http.StatusForbidden, "used already")
	if all, err := w.List(t.Context(), w.acme.ID); err != nil || len(all) != 1 || all[0].Password {
		t.Errorf("%+v, %v", all, err)
	}
	accepted := w.journal.all(audit.LocalAccepted)
	if len(accepted) != 3 || accepted[2].Outcome != audit.Failed {
		t.Errorf("recorded %+v", accepted)
	}
}

// Nothing comes of half a credential: neither a password without the code that shows
// that the app is there, nor a code with a password that cannot be.
func TestHalfACredentialIsNone(t *testing.T) {
	w := newWorld(t)
	link := w.invites(w.acme, w.person(w.acme, "ann@acme.test"))
	b := w.browser()
	p := b.post(local.PathInvitation, b.open(link).hidden("kind", "totp"))
	key := keyShown.FindStringSubmatch(p.body)[1]
	again := func(p page, status int, say string, pairs ...string) page {
		t.Helper()
		p = b.post(local.PathInvitation, with(p.hidden("do", "accept"), pairs...)).has(status, say)
		if keyShown.FindStringSubmatch(p.body)[1] != key {
			t.Error("the app would have to be set up anew")
		}
		return p
	}
	p = again(p, http.StatusForbidden, "Wait for the next code", "password", secret, "code", "000000")
	p = again(p, http.StatusBadRequest, "at least 12 characters", "password", "short", "code", w.code(key, 0))
	p = again(p, http.StatusBadRequest, "Many people have this password", "password", "Password12345", "code", w.code(key, 0))
	p = again(p, http.StatusBadRequest, "a name or address of yours", "password", "ann@acme.test", "code", w.code(key, 0))
	p = again(p, http.StatusBadRequest, "or of your organisation", "password", "Acme!20242025", "code", w.code(key, 0))
	p = again(p, http.StatusBadRequest, "at most 256 bytes", "password", strings.Repeat("long ", 60), "code", w.code(key, 0))
	if all, err := w.List(t.Context(), w.acme.ID); err != nil || !all[0].Accepted.IsZero() {
		t.Errorf("%+v, %v", all, err)
	}
	b.enters("ann@acme.test", secret).has(http.StatusForbidden, "That did not work")
	foreign := p.hidden("do", "accept").Get("kept")
	k := b.post(local.PathInvitation, b.open(link).hidden("kind", "passkey"))
	b.post(local.PathInvitation, with(k.hidden("do", "accept"), "kept", foreign, "credential", "{}")).has(http.StatusForbidden, "took too long")
	b.post(local.PathInvitation, with(k.hidden("do", "accept"), "credential", "{}")).has(http.StatusForbidden, "That did not work")
	b.post(local.PathInvitation, with(k.hidden("do", "accept"), "kind", "sms")).has(http.StatusBadRequest, "Choose a passkey")
	b.post(local.PathInvitation, with(k.hidden("do", "accept"), "do", "x")).has(http.StatusBadRequest, "does not say what to do")
	p = b.post(local.PathInvitation, with(p.hidden("do", "accept"), "kept", "AAAA")).has(http.StatusForbidden, "took too long")
	key = keyShown.FindStringSubmatch(p.body)[1]
	b.post(local.PathInvitation, with(p.hidden("do", "accept"), "password", secret, "code", w.code(key, 0))).has(http.StatusOK, "Your account is set up")
}

// New credentials take the place of all old ones: the sessions that those have made
// are over when the page says so, and a sign-in by them that was under way as well.
func TestP2_NewCredentialsEndWhatTheOldOnesMade(t *testing.T) {
	w := newWorld(t)
	ann, key := w.owner("ann@acme.test")
	b, late := w.browser(), w.browser()
	b.signsIn("ann@acme.test", secret, key).has(http.StatusOK, "app /x")
	underWay := late.enters("ann@acme.test", secret)

	fresh := w.browser()
	link := w.invites(w.acme, ann)
	fresh.open(link).has(http.StatusOK, "you are signed out everywhere")
	b.open("/x").has(http.StatusOK, "app /x") // until the link is used
	k := fresh.choosesPasskey(link)
	if live, _, err := w.sessions.List(t.Context(), w.acme.ID, sessions.Filter{User: ann, State: sessions.StateLive}); err != nil || len(live) != 0 {
		t.Errorf("sessions: %v, %v", live, err)
	}
	b.open("/x").has(http.StatusOK, "Sign in with a local account")
	late.post(authn.PathLocal, with(underWay.hidden("do", "code"), "code", w.code(key, 0))).has(http.StatusForbidden, "took too long")
	if reason := w.journal.last(t, audit.SignInRefused); reason != string(authn.CredentialsReplaced) {
		t.Errorf("recorded %s", reason)
	}
	late.enters("ann@acme.test", secret).has(http.StatusForbidden, "That did not work")
	fresh.shows(k).has(http.StatusOK, "app /x")
}

// Whoever has lost their account gets no session by it, however far they had come.
func TestP2_ASignInDoesNotOutliveItsAccount(t *testing.T) {
	w := newWorld(t)
	ann, key := w.owner("ann@acme.test")
	b := w.browser()
	p := b.enters("ann@acme.test", secret)
	w.journal.on(audit.SignInSucceeded, func() {
		must(t, w.Delete(t.Context(), operator, w.acme.ID, ann))
		_, err := w.sessions.Revoke(t.Context(), operator, w.acme.ID, sessions.Selector{User: ann}, "test")
		must(t, err)
	})
	b.post(authn.PathLocal, with(p.hidden("do", "code"), "code", w.code(key, 0))).has(http.StatusForbidden, "was replaced or taken away")
	if live, _, err := w.sessions.List(t.Context(), w.acme.ID, sessions.Filter{User: ann, State: sessions.StateLive}); err != nil || len(live) != 0 {
		t.Errorf("sessions: %v, %v", live, err)
	}
	b.open("/x").has(http.StatusOK, "Sign in with a local account")
}

// Somebody who is deactivated neither signs in nor sets anything up, and learns no
// more than a stranger.
func TestP9_WhoIsDeactivatedHasNoWayIn(t *testing.T) {
	w := newWorld(t)
	ann, key := w.owner("ann@acme.test")
	b := w.browser()
	p := b.enters("ann@acme.test", secret)
	link := w.invites(w.acme, ann)
	_, err := w.directory.UpdateUser(t.Context(), operator, w.acme.ID, ann, 0, func(u *directory.User) error { u.Active = false; return nil })
	must(t, err)
	b.post(authn.PathLocal, with(p.hidden("do", "code"), "code", w.code(key, 0))).has(http.StatusForbidden, "That did not work")
	b.enters("ann@acme.test", secret).has(http.StatusForbidden, "That did not work")
	if reason := w.journal.last(t, audit.SignInRefused); reason != "person-inactive" {
		t.Errorf("recorded %s", reason)
	}
	b.open(link).has(http.StatusForbidden, "not active")
	if _, err := w.Invite(t.Context(), operator, w.acme.ID, ann, 0); err == nil {
		t.Error("a link for somebody inactive was made")
	}
}

// Links, passkeys, passwords and steps of one tenant are nothing at another.
func TestP3_LocalAccountsAreTheirTenants(t *testing.T) {
	w := newWorld(t)
	ann, key := w.owner("ann@acme.test")
	w.invites(w.globex, w.person(w.globex, "gus@globex.test")) // there is a connection
	link := w.invites(w.acme, ann)
	g := w.browser().of("globex")
	g.open(link).has(http.StatusForbidden, "used already")
	for _, step := range []string{"choose", "accept"} {
		g.post(local.PathInvitation, url.Values{"do": {step}, "kind": {"totp"}, "token": {strings.TrimPrefix(link, local.PathInvitation+"?token=")}}).has(http.StatusForbidden, "used already")
	}
	g.enters("ann@acme.test", secret).has(http.StatusForbidden, "That did not work")

	a := w.browser()
	p := a.enters("ann@acme.test", secret)
	// The same browser, with acme's step at globex's address and the other way round.
	g.Jar = a.Jar
	g.post(authn.PathLocal, with(p.hidden("do", "code"), "code", w.code(key, 0))).has(http.StatusForbidden, "not begun here")
	with2 := g.begins().hidden("do", "password")
	g.post(authn.PathLocal, url.Values{"state": with2["state"], "do": {"code"}, "kind": {"totp"}, "kept": p.hidden("do", "code")["kept"], "code": {w.code(key, 0)}}).has(http.StatusForbidden, "took too long")

	k := w.browser().choosesPasskey(w.invites(w.acme, ann))
	q := g.begins()
	g.post(authn.PathLocal, with(q.hidden("do", "passkey"), "credential", k.Get(q.options()))).has(http.StatusForbidden, "That did not work")
	k.RPID, k.Origin = "globex.test", "https://globex.test"
	g.shows(k).has(http.StatusForbidden, "That did not work")
	if live, _, err := w.sessions.List(t.Context(), w.globex.ID, sessions.Filter{State: sessions.StateLive}); err != nil || len(live) != 0 {
		t.Errorf("%v, %v", live, err)
	}
}

// A step is one browser's, is used once, and ends after ten minutes; a form of another
// site does nothing.
func TestALocalSignInIsForOneBrowserAndUse(t *testing.T) {
	w := newWorld(t)
	_, key := w.owner("ann@acme.test")
	b, other := w.browser(), w.browser()
	p := b.enters("ann@acme.test", secret)
	form := with(p.hidden("do", "code"), "code", w.code(key, 0))
	other.begins()
	other.post(authn.PathLocal, form).has(http.StatusForbidden, "begun in another browser")
	b.post(authn.PathLocal, form).has(http.StatusOK, "app /x")
	b.post(authn.PathLocal, form).has(http.StatusForbidden, "used already")
	w.browser().open(authn.PathLocal).has(http.StatusForbidden, "not begun here")

	late := w.browser()
	p = late.begins()
	w.advance(11 * time.Minute)
	late.post(authn.PathLocal, with(p.hidden("do", "password"), "address", "ann@acme.test", "password", secret)).has(http.StatusForbidden, "took too long")

	p = late.begins()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.url+authn.PathLocal,
		strings.NewReader(with(p.hidden("do", "password"), "address", "ann@acme.test", "password", secret).Encode()))
	must(t, err)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	late.read(late.Do(r)).has(http.StatusForbidden, "another site")
	r, err = http.NewRequestWithContext(t.Context(), http.MethodPost, w.url+local.PathInvitation, strings.NewReader("do=choose"))
	must(t, err)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Origin", "https://evil.example")
	late.read(late.Do(r)).has(http.StatusForbidden, "another site")
	for _, target := range []string{"https://evil.example/", "//evil.example", `/\evil.example`} {
		in := w.browser()
		in.open("/.gatehouse/login?connection=local&return_to="+url.QueryEscape(target)).has(http.StatusOK, "Sign in with")
	}
}

// Somebody whose factors an admin has taken away gets nowhere with the password: they
// are not let to set up another by it.
func TestAPasswordAloneIsNoWayIn(t *testing.T) {
	w := newWorld(t)
	ann, _ := w.owner("ann@acme.test")
	_, err := w.factors.Reset(t.Context(), operator, w.acme.ID, ann)
	must(t, err)
	w.browser().enters("ann@acme.test", secret).has(http.StatusForbidden, "That did not work")
	if reason := w.journal.last(t, audit.SignInRefused); reason != "factors-missing" {
		t.Errorf("recorded %s", reason)
	}
}

// A connection that is switched off lets nobody in, a domain that is another
// connection's keeps nobody out, and a tenant that is suspended is.
func TestWhenLocalAccountsLetPeopleIn(t *testing.T) {
	w := newWorld(t)
	ann, key := w.owner("ann@acme.test")
	link := w.invites(w.acme, ann)
	okta, err := w.tenants.PutConnection(t.Context(), operator, w.acme.ID, tenants.Connection{Name: "okta", Type: tenants.OIDC, Enabled: true,
		OIDC: &tenants.OIDCSpec{Issuer: "https://okta.example", ClientID: "x"}})
	must(t, err)
	_, err = w.tenants.PutDomain(t.Context(), operator, w.acme.ID, tenants.Domain{Name: "acme.test", Connection: okta.ID, Required: true})
	must(t, err)
	must(t, w.db.Tenant(w.acme.ID).Write(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(t.Context(), `UPDATE domains SET verified_at = 1`)
		return err
	}))
	must(t, w.tenants.Refresh(t.Context()))
	w.browser().signsIn("ann@acme.test", secret, key).has(http.StatusOK, "app /x")

	c, err := w.tenants.Connection(t.Context(), w.acme.ID, tenants.LocalName)
	must(t, err)
	if _, err := w.tenants.PutDomain(t.Context(), operator, w.acme.ID, tenants.Domain{Name: "other.test", Connection: c.ID}); err == nil {
		t.Error("a domain leads to local accounts")
	}
	b := w.browser()
	p := b.enters("ann@acme.test", secret)
	c.Enabled = false
	_, err = w.tenants.PutConnection(t.Context(), operator, w.acme.ID, c)
	must(t, err)
	b.post(authn.PathLocal, with(p.hidden("do", "code"), "code", w.code(key, 0))).has(http.StatusForbidden, "does not exist here, or is switched off")
	b.open("/.gatehouse/login?connection=local").has(http.StatusForbidden, "does not exist here, or is switched off")
	if _, err := w.Invite(t.Context(), operator, w.acme.ID, ann, 0); err == nil {
		t.Error("a link that leads nowhere was made")
	}
	_, err = w.tenants.Update(t.Context(), operator, w.acme.ID, 0, func(x *tenants.Tenant) error { x.Status = tenants.Suspended; return nil })
	must(t, err)
	b.open(link).has(http.StatusForbidden, "suspended")
}

// No link, no account and no sign-in comes about without its record, and what has one
// comes about though whoever asked is gone.
func TestP1_NothingOfALocalAccountWithoutItsRecord(t *testing.T) {
	w := newWorld(t)
	ann, key := w.owner("ann@acme.test")
	full := errors.New("the journal is full")
	w.journal.breaks(audit.LocalInvited, full)
	if _, err := w.Invite(t.Context(), operator, w.acme.ID, ann, 0); err == nil {
		t.Error("invited without a record")
	}
	w.journal.breaks(audit.LocalDeleted, full)
	if err := w.Delete(t.Context(), operator, w.acme.ID, ann); err == nil {
		t.Error("deleted without a record")
	}
	w.journal.breaks("", nil)
	link := w.invites(w.acme, ann)
	for _, kind := range []audit.Type{audit.LocalAccepted, audit.RecoveryCodesMade, audit.FactorAdded} {
		w.journal.breaks(kind, full)
		_, done := w.browser().choosesPassword(link, "another password of mine")
		done.has(http.StatusServiceUnavailable)
	}
	w.journal.breaks(audit.SignInRefused, full)
	w.browser().enters("ann@acme.test", "not it, not it").has(http.StatusServiceUnavailable)
	w.journal.breaks(audit.SignInSucceeded, full)
	p := w.browser().signsIn("ann@acme.test", secret, key)
	p.has(http.StatusServiceUnavailable)
	w.journal.breaks("", nil)
	w.browser().signsIn("ann@acme.test", secret, key).has(http.StatusOK, "app /x") // the old ones count still
}

// What is kept of passwords and links is of no use to who gets hold of it.
func TestP6_LocalSecretsAreNotToBeRead(t *testing.T) {
	w := newWorld(t)
	ann, _ := w.owner("ann@acme.test")
	token := strings.TrimPrefix(w.invites(w.acme, ann), local.PathInvitation+"?token=")
	must(t, w.db.Tenant(w.acme.ID).Read(t.Context(), func(tx *store.Tx) error {
		sealed, err := store.One(t.Context(), tx, store.Scalar[[]byte], `SELECT password FROM local_accounts`)
		if err != nil || strings.Contains(string(sealed), "argon2") || strings.Contains(string(sealed), secret) {
			t.Errorf("kept %q, %v", sealed, err)
		}
		hashed, err := store.One(t.Context(), tx, store.Scalar[[]byte], `SELECT token_hash FROM local_invitations`)
		if err != nil || strings.Contains(string(hashed), token) || len(hashed) != 32 {
			t.Errorf("kept %q, %v", hashed, err)
		}
		plain, err := w.keys.Open(t.Context(), w.acme.ID, "authn.local-password."+string(ann), sealed)
		if err != nil || !local.Same(string(plain), secret) {
			t.Errorf("opened %q, %v", plain, err)
		}
		if _, err := w.keys.Open(t.Context(), w.acme.ID, "authn.local-password.usr_other", sealed); err == nil {
			t.Error("it is somebody else's as well")
		}
		return nil
	}))
	for _, e := range w.journal.events {
		for _, v := range e.Details {
			if strings.Contains(v, token) || strings.Contains(v, secret) {
				t.Errorf("%s tells %s", e.Type, v)
			}
		}
	}
}
