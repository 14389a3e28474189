package authn_test

import (
	"net/http"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"gatehouse/audit"
	"gatehouse/authn/setup"
	"gatehouse/internal/fault"
	"gatehouse/sessions"
	"gatehouse/tenants"
)

// By a connection whose provider is asked again, a program goes on for as long as the
// provider is asked about its person, and no longer.
func TestP9_AProgramEndsWithWhatIsAskedAbout(t *testing.T) {
	for name, end := range map[string]func(*browser, *issuer){
		"refused":    func(_ *browser, idp *issuer) { idp.change(func(o *offline) { o.refuses = "invalid_grant" }) },
		"signed out": func(b *browser, _ *issuer) { b.post("/.gatehouse/logout", nil) },
	} {
		t.Run(name, func(t *testing.T) {
			w, idp := newWorld(t), newIssuer(t)
			w.connections.put(idp.rechecked())
			b := w.browser()
			b.open("/").has(t, http.StatusOK)
			p := w.asks()
			b.allows(p.User)
			token := p.wants("").Token
			w.rechecking()
			w.later(idp, 2*time.Hour)
			soon(t, "a refresh", func() bool { renewed, _ := idp.counts(); return renewed > 0 })
			soon(t, "the end of it", func() bool { return w.held() == 0 })
			if status, _ := p.as(token, "/x"); status != http.StatusOK {
				t.Fatalf("the program is answered %d", status)
			}
			end(b, idp)
			w.later(idp, 2*time.Hour)
			soon(t, "the end of the program's session", func() bool { status, _ := p.as(token, "/x"); return status == http.StatusUnauthorized })
		})
	}
}

// A link that was not finished is none to a connection that was in use since.
func TestAnUnfinishedLinkIsNoneToAConnectionOfSomebodyElse(t *testing.T) {
	w, idp, evil := newWorld(t), newIssuer(t), newIssuer(t)
	_, path := w.link(t, setup.Terms{})
	holder := w.browser()
	holder.begin(path)
	c := idp.connection()
	c.Name = "corp"
	w.connections.put(c)
	c.Enabled = false
	w.connections.put(c)
	holder.enter(evil).has(t, http.StatusConflict, "was changed by somebody else")
	for _, action := range []string{"test", "finish"} {
		holder.post(setup.Path+"/"+action, nil).has(t, http.StatusConflict, "was changed by somebody else")
	}
	if now, err := w.connections.Connection(t.Context(), acme, "corp"); err != nil || now.Enabled || now.OIDC.Issuer != idp.URL {
		t.Errorf("%+v, %v", now, err)
	}
}

// A link that is taken back while it is finished switches nothing on.
func TestALinkTakenBackSwitchesNothingOn(t *testing.T) {
	w, idp := newWorld(t), newIssuer(t)
	l, path := w.link(t, setup.Terms{})
	b := w.browser()
	b.begin(path)
	b.enter(idp)
	b.open(refreshOf(t, b.post(setup.Path+"/test", url.Values{"provider": {"keycloak"}})))
	w.journal.on(audit.SetupLinkFinished, func() { check(t, w.setup.Delete(t.Context(), operator, acme, l.ID)) })
	b.post(setup.Path+"/finish", nil)
	if now, _ := w.connections.Connection(t.Context(), acme, "corp"); now.Enabled {
		t.Error("the link was taken back before the connection was switched on")
	}
}

// Nobody adds a factor to a person by a sign-in that would be refused.
func TestNoFactorIsAddedByASignInThatIsOver(t *testing.T) {
	for name, change := range map[string]func(w *world, idp *issuer){
		"connection off": func(w *world, idp *issuer) { c := idp.connection(); c.Enabled = false; w.connections.put(c) },
		"signed out at the provider": func(w *world, idp *issuer) {
			w.tellToken(t, idp.logoutToken(t, nil)).has(t, http.StatusOK)
		},
		"suspended": func(w *world, _ *issuer) { w.connections.setStatus(tenants.Suspended) },
	} {
		t.Run(name, func(t *testing.T) {
			w, idp := newWorld(t), newIssuer(t)
			w.connections.put(idp.connection())
			w.connections.setFactor(tenants.SecondFactor{Policy: tenants.FactorAlways})
			b := w.browser()
			p := b.open("/")
			p.has(t, http.StatusOK, "Set up a second factor")
			offered := b.open(p.url.String() + "&add=totp")
			key := offered.find(t, keyOnPage)
			change(w, idp)
			done := b.post(factors, form(offered, "code", w.digits(key), "name", "of a thief"))
			if n := len(w.journal.all(audit.FactorAdded)); n != 0 {
				t.Errorf("the sign-in is answered %d (%s), and %d factors were added", done.status, w.journal.lastRefusal(t), n)
			}
		})
	}
}

// A test counts once it is in the journal.
func TestP1_ATestCountsNotWithoutItsRecord(t *testing.T) {
	w, idp := newWorld(t), newIssuer(t)
	w.connections.put(idp.connection())
	path := w.trial(t, "idp")
	idp.claims = func(jwt.MapClaims) { w.journal.fail(fault.New(fault.Unavailable, "journal", "no journal")) }
	p := w.browser().open(path)
	w.journal.mend()
	c, err := w.connections.Connection(t.Context(), acme, "idp")
	check(t, err)
	tested, err := w.Tested(t.Context(), acme, c)
	check(t, err)
	if tested {
		t.Errorf("answered %d, %d records, and the connection counts as tested", p.status, len(w.journal.all(audit.ConnectionTested)))
	}
}

// A group is left because of a claim that says otherwise, not of one that is not there.
func TestARecheckThatSaysGroupsLeavesRulesAlone(t *testing.T) {
	w, idp := newWorld(t), newIssuer(t)
	c := idp.rechecked()
	c.GroupRules = []tenants.GroupRule{{Claim: "dept", Values: []string{"Tax"}, Group: "money"}}
	w.connections.put(c)
	idp.claims = func(c jwt.MapClaims) { c["groups"], c["dept"] = []string{"app"}, "Tax" }
	w.browser().open("/").has(t, http.StatusOK)
	idp.mu.Lock()
	idp.claims = func(c jwt.MapClaims) { c["groups"] = []string{"app"} }
	idp.mu.Unlock()
	w.rechecking()
	w.later(idp, time.Hour)
	soon(t, "a refresh", func() bool { renewed, _ := idp.counts(); return renewed == 1 })
	soon(t, "the end of it", func() bool { return w.held() == 0 })
	groups := w.groupsOfAnn()
	slices.Sort(groups)
	if !slices.Equal(groups, []string{"app", "money"}) {
		t.Errorf("in %v", groups)
	}
}

// A session that is renewed while the provider is asked ends when it refuses.
func TestP2_ARefusedRefreshEndsARenewedSession(t *testing.T) {
	w, idp := newWorld(t), newIssuer(t)
	w.connections.put(idp.rechecked())
	b := w.browser()
	b.open("/").has(t, http.StatusOK)
	live := b.live()
	made := make(chan sessions.Created, 1)
	asked := 0
	idp.change(func(o *offline) {
		o.instead = func(rw http.ResponseWriter, _ *http.Request) bool {
			if asked++; asked == 1 {
				created, err := w.sessions.Renew(t.Context(), audit.SystemCause(), live, sessions.Renewal{FactorAt: time.Now(), AMR: []string{"otp"}, Method: "totp"})
				if err != nil {
					t.Error(err)
				}
				made <- created
			}
			replyError(rw, http.StatusBadRequest, "invalid_grant")
			return true
		}
	})
	w.rechecking()
	w.later(idp, time.Hour)
	created := <-made
	soon(t, "the end of the session that took its place", func() bool {
		_, err := w.sessions.Find(t.Context(), acme, created.Token)
		return err != nil
	})
	if asked != 1 {
		t.Errorf("asked %d times", asked)
	}
}

// The record of a sign-in that the provider began says so, with a factor as well.
func TestASignInByTheProviderIsRecordedAsSuchWithAFactor(t *testing.T) {
	w := newWorld(t)
	c := samlConnection(ourKey())
	c.SAML.IDPInitiated = true
	w.connections.put(c)
	w.connections.setFactor(tenants.SecondFactor{Policy: tenants.FactorAlways})
	b := w.browser()
	f, form := b.unasked("_1", "/reports", nil)
	_, done := b.enrolApp(b.postFromElsewhere(f.acs, form))
	done.has(t, http.StatusOK, "Your recovery codes")
	if all := w.journal.all(audit.SignInSucceeded); len(all) != 1 || all[0].Details["begun_by"] != "provider" {
		t.Errorf("recorded as %+v", all)
	}
}

// A sign-in that the provider began changes nobody who has signed in meanwhile.
func TestASignInByTheProviderReplacesNobodyWithAFactor(t *testing.T) {
	w, idp := newWorld(t), newIssuer(t)
	c := samlConnection(ourKey())
	c.SAML.IDPInitiated = true
	w.connections.put(c)
	w.connections.put(idp.connection())
	w.connections.setFactor(tenants.SecondFactor{Policy: tenants.FactorAlways})
	b := w.browser()
	f, form := b.unasked("_1", "/reports", nil)
	asked := b.postFromElsewhere(f.acs, form)
	_, done := b.enrolApp(b.open("/.gatehouse/login?connection=idp"))
	done.has(t, http.StatusOK, "Your recovery codes")
	before := b.live().Principal().User
	_, done = b.enrolApp(asked)
	done.has(t, http.StatusOK)
	if now := b.live().Principal().User; now != before {
		t.Errorf("the browser of %s is that of %s", before, now)
	}
}

// A domain that is made another connection's on the way counts at the factor.
func TestARequiredDomainCountsAtTheFactor(t *testing.T) {
	w, _, key, _ := alwaysAsked(t)
	b := w.browser()
	asked := b.open("/")
	w.connections.setDomains(tenants.Domain{Name: "acme.example", Connection: "con_other", Required: true, VerifiedAt: time.Now()})
	if p := b.post(factors, form(asked, "kind", "totp", "code", w.digits(key))); p.status != http.StatusForbidden {
		t.Errorf("signed in: %d", p.status)
	}
}

// An international domain is one domain in both of its spellings.
func TestARequiredDomainInEitherSpelling(t *testing.T) {
	w, idp, other := newWorld(t), newIssuer(t), newIssuer(t)
	w.connections.put(idp.connection())
	second := other.connection()
	second.Name = "other"
	w.connections.put(second)
	w.connections.setDomains(tenants.Domain{Name: "xn--bcher-kva.example", Connection: "con_idp", Required: true, VerifiedAt: time.Now()})
	for _, email := range []string{"ann@xn--bcher-kva.example", "ann@bücher.example", "ann@xn--bcher-kva.example."} {
		other.claims = func(c jwt.MapClaims) { c["sub"], c["email"] = "for "+email, email }
		p := w.browser().open("/.gatehouse/login?connection=other")
		if p.status != http.StatusForbidden {
			t.Errorf("%s: %d %s", email, p.status, p.body)
		}
	}
}

// A test counts for a day.
func TestATestCountsForADay(t *testing.T) {
	w, idp := newWorld(t), newIssuer(t)
	w.connections.put(idp.connection())
	w.browser().open(w.trial(t, "idp")).has(t, http.StatusOK, "works")
	c, err := w.connections.Connection(t.Context(), acme, "idp")
	check(t, err)
	w.advance(48 * time.Hour)
	if tested, err := w.Tested(t.Context(), acme, c); err != nil || tested {
		t.Errorf("after two days: %v, %v", tested, err)
	}
}
