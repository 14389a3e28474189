package authn_test

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"gatehouse/audit"
	"gatehouse/authn/saml/attacktest"
	"gatehouse/identity"
	"gatehouse/internal/httpkit"
	"gatehouse/tenants"
)

func TestP2_ALogoutRequestEndsWhatItNames(t *testing.T) {
	for _, binding := range []string{redirectBind, postBind} {
		w := newWorld(t)
		w.connections.put(samlWithLogout(ourKey()))
		other := samlWithLogout(ourKey())
		other.Name = "other" // the same provider, trusted once more
		w.connections.put(other)
		for name, c := range map[string]struct {
			name    string
			indexes []string
			ends    []int
		}{
			"a session of the person's":    {"ann", []string{"s1"}, []int{0}},
			"both sessions":                {"ann", []string{"s1", "s2"}, []int{0, 1}},
			"the person":                   {" ann\n", nil, []int{0, 1}},
			"a session of somebody else's": {"bob", []string{"s1"}, nil},
			"a session that there is not":  {"ann", []string{"s9"}, nil},
			"somebody whom nobody knows":   {"cid", nil, nil},
		} {
			t.Run(name+" "+binding, func(t *testing.T) {
				var browsers []*browser
				var wires []*wire
				for _, at := range []struct{ connection, name, index string }{{"adfs", "ann", "s1"}, {"adfs", "ann", "s2"}, {"adfs", "bob", "s3"}, {"other", "ann", "s1"}} {
					b := w.browser()
					b.t = t
					b.samlSignIn(at.connection, at.name, at.index)
					browsers, wires = append(browsers, b), append(wires, b.stream())
				}
				asked := w.logoutRequest(c.name, c.indexes...)
				p := browsers[0].send(asked, binding, "back/to?me&now")
				p.has(t, http.StatusSeeOther)
				target := p.header.Get("Location")
				if !strings.HasPrefix(target, sloAtIDP+"?SAMLResponse=") || p.header.Get("Cache-Control") != "no-store" {
					t.Errorf("sent to %s, %v", target, p.header)
				}
				answer := w.readRedirect(t, target, "SAMLResponse")
				if answer.InResponseTo != asked.ID || answer.Destination != sloAtIDP || answer.Issuer != w.url+"/.gatehouse/saml/adfs/metadata" ||
					answer.Status.StatusCode.Value != samlStatus+"Success" || answer.relay != "back/to?me&now" || answer.ID == "" || answer.Version != "2.0" {
					t.Errorf("answered %+v", answer)
				}
				ends := map[int]bool{}
				for _, i := range c.ends {
					ends[i] = true
				}
				// A browser that sends its cookie along is rid of it.
				if kept := browsers[0].cookie(httpkit.SessionCookie) != ""; binding == redirectBind && kept == ends[0] {
					t.Errorf("the browser has its cookie: %t", kept)
				}
				for i, b := range browsers {
					if over := wires[i].cut.Load(); over != ends[i] || (i > 0 && b.signedIn() == ends[i]) {
						t.Errorf("browser %d: stream cut %t", i, over)
					}
					if !ends[i] {
						wires[i].leave()
					}
				}
				revoked := w.journal.all(audit.SessionsRevoked)
				e := revoked[len(revoked)-1]
				if e.Reason != "signed-out-at-provider" || e.Actor.Kind != identity.KindIDP || e.Actor.Name != "adfs" || e.Connection != "con_adfs" || e.IP.String() != "203.0.113.7" {
					t.Errorf("recorded as %+v", e)
				}
				w.endAll(t)
			})
		}
	}
}

// A provider may take the answer elsewhere, or by a form alone, or not at all.
func TestAnswersGoWhereTheMetadataSays(t *testing.T) {
	w := newWorld(t)
	const answers = "https://answers.acme.example/slo?x=1"
	b := w.browser()
	asks := func(services ...string) page {
		w.connections.put(withLogout(samlConnection(ourKey()), services...))
		b.samlSignIn("adfs", "gil", "s1")
		defer func() {
			if b.signedIn() {
				t.Error("still signed in")
			}
		}()
		return b.send(w.logoutRequest("gil", "s1"), postBind, "state")
	}

	p := asks(service(postBind, "https://idp.acme.example/post", ""), service(redirectBind, sloAtIDP, answers))
	if to := p.header.Get("Location"); !strings.HasPrefix(to, answers+"&SAMLResponse=") {
		t.Errorf("sent to %s", to)
	}

	p = asks(service(postBind, "https://idp.acme.example/post", answers))
	p.has(t, http.StatusOK, `action="`+answers+`"`, "<script>document.forms[0].submit()</script>")
	answer := w.readForm(t, p, "SAMLResponse")
	if answer.Destination != answers || answer.Status.StatusCode.Value != samlStatus+"Success" || answer.relay != "state" {
		t.Errorf("answered %+v", answer)
	}
	policy := p.header.Get("Content-Security-Policy")
	for _, want := range []string{"form-action 'self' https://answers.acme.example https:;", "script-src 'sha256-", "frame-ancestors https://answers.acme.example;"} {
		if !strings.Contains(policy, want) {
			t.Errorf("%q is not in %q", want, policy)
		}
	}

	asks().has(t, http.StatusOK, "You are signed out")

	p = asks(service("urn:oasis:names:tc:SAML:2.0:bindings:SOAP", "https://idp.acme.example/soap", ""))
	p.has(t, http.StatusOK, "You are signed out")
}

func TestALogoutRequestIsHeededOnce(t *testing.T) {
	for _, binding := range []string{redirectBind, postBind} {
		w := newWorld(t)
		w.connections.put(samlWithLogout(ourKey()))
		b := w.browser()
		b.samlSignIn("adfs", "gil", "s1")
		asked := w.logoutRequest("gil", "s1")

		// A sign-out that did not come about may be asked for again.
		w.journal.fail(errors.New("disk full"))
		if p := b.send(asked, binding, ""); p.status != http.StatusServiceUnavailable || p.header.Get("Retry-After") == "" {
			t.Errorf("without a journal: %d", p.status)
		}
		w.journal.mend()
		b.send(asked, binding, "").has(t, http.StatusSeeOther)
		if b.signedIn() {
			t.Fatal("still signed in")
		}
		b.samlSignIn("adfs", "gil", "s1")
		for _, again := range []string{redirectBind, postBind} {
			b.send(asked, again, "").has(t, http.StatusBadRequest, "The sign-out was not completed", "<dt>Event</dt>")
		}
		refused := w.journal.all(audit.SignOutRefused)
		if len(refused) != 2 || refused[1].Reason != "replayed" || !b.signedIn() {
			t.Errorf("signed in %t, recorded as %+v", b.signedIn(), refused)
		}
		// Steps of sign-ins drive out what has expired, and this has not.
		w.advance(5 * time.Minute)
		w.browser().look("/.gatehouse/login")
		if p := b.send(asked, binding, ""); p.status != http.StatusBadRequest || !b.signedIn() {
			t.Errorf("later: %d", p.status)
		}
	}
}

func TestLogoutRequestsOfOtherConnections(t *testing.T) {
	w, idp := newWorld(t), newIssuer(t)
	w.connections.put(samlWithLogout(ourKey()))
	for name, key := range map[string]signer{"same": ourKey(), "stranger": otherKey()} {
		c := samlWithLogout(key)
		c.Name = name
		w.connections.put(c)
	}
	off := samlWithLogout(ourKey())
	off.Name, off.Enabled = "off", false
	w.connections.put(off)
	w.connections.put(idp.connection())
	b := w.browser()
	b.samlSignIn("adfs", "gil", "s1")
	for name, want := range map[string]string{
		"same": "wrong-destination", "stranger": "signature-invalid", "off": "connection-unknown", "nobody": "connection-unknown", "idp": "connection-unknown"} {
		p := b.look("/.gatehouse/saml/" + name + "/slo?" + w.logoutRequest("gil", "s1").redirected(t, ""))
		p.has(t, http.StatusBadRequest)
		refused := w.journal.all(audit.SignOutRefused)
		if got := refused[len(refused)-1].Reason; got != want || !b.signedIn() {
			t.Errorf("%s: %q, signed in %t", name, got, b.signedIn())
		}
	}
	// One that means this connection, signed by another's provider, and one that
	// ends the same name there.
	stranger := w.logoutRequest("gil", "s1")
	stranger.Destination = w.url + "/.gatehouse/saml/same/slo"
	b.look("/.gatehouse/saml/same/slo?"+stranger.redirected(t, "")).has(t, http.StatusSeeOther)
	if !b.signedIn() {
		t.Error("another connection's sign-out ended the session")
	}
}

// signOutHere signs out and gives what the browser is sent on with.
func (b *browser) signOutHere() page {
	b.t.Helper()
	b.open("/.gatehouse/logout").has(b.t, http.StatusOK, "You are then sent to idp.acme.example")
	p := b.post("/.gatehouse/logout", nil)
	p.has(b.t, http.StatusOK, "You are signed out here", "Continue")
	if b.cookie(httpkit.SessionCookie) != "" {
		b.t.Error("the browser has its session's cookie")
	}
	return p
}

// onward is the address that a page sends the browser to.
func (p page) onward(t *testing.T) string {
	t.Helper()
	_, rest, ok := strings.Cut(p.body, `content="0; url=`)
	target, _, closed := strings.Cut(rest, `"`)
	if !ok || !closed {
		t.Fatalf("nowhere to go:\n%s", p.body)
	}
	return strings.ReplaceAll(target, "&amp;", "&")
}

func TestSigningOutHereSignsOutAtTheProvider(t *testing.T) {
	w := newWorld(t)
	w.connections.put(samlWithLogout(ourKey()))
	for name, c := range map[string]struct {
		status, reason string
		outcome        audit.Outcome
		page           string
	}{
		"done":             {"Success", "", audit.Success, "Close the browser window"},
		"not everywhere":   {"Success PartialLogout", "partial-logout", audit.Refused, "could not sign you out of every other app"},
		"not everywhere 2": {"Responder PartialLogout", "partial-logout", audit.Refused, "could not sign you out of every other app"},
		"not done":         {"Requester RequestDenied", "provider-refused", audit.Refused, "you may still be signed in there"},
	} {
		for _, binding := range []string{redirectBind, postBind} {
			t.Run(name+" "+binding, func(t *testing.T) {
				b := w.browser()
				b.t = t
				b.samlSignIn("adfs", "gil", "s1")
				live, token := b.live(), b.cookie(httpkit.SessionCookie)
				asked := w.readRedirect(t, b.signOutHere().onward(t), "SAMLRequest")
				if _, err := w.sessions.Find(t.Context(), acme, token); err == nil {
					t.Error("still signed in")
				}
				if asked.Destination != sloAtIDP || asked.Issuer != w.url+"/.gatehouse/saml/adfs/metadata" || asked.NameID.Value != "gil" ||
					asked.NameID.Format != persistentID || len(asked.SessionIndex) != 1 || asked.SessionIndex[0] != "s1" ||
					time.Until(asked.NotOnOrAfter) < 4*time.Minute || asked.relay == "" || asked.Version != "2.0" {
					t.Errorf("asked %+v", asked)
				}
				p := b.send(w.logoutAnswer(asked, c.status), binding, asked.relay)
				p.has(t, http.StatusOK, "You are signed out", c.page)
				told := w.journal.all(audit.SignOutAtProvider)
				e := told[len(told)-1]
				if e.Outcome != c.outcome || e.Reason != c.reason || e.Connection != "con_adfs" || e.Actor.ID != string(live.Principal().User) {
					t.Errorf("recorded as %+v", e)
				}
			})
		}
	}
}

func (w *world) logoutAnswer(asked ours, status string) notice {
	return notice{Kind: "LogoutResponse", ID: "_answer", Version: "2.0", Destination: w.url + slo, Issuer: idpEntity, InResponseTo: asked.ID,
		Status: status, Issued: time.Now()}
}

// Whom the provider knew is told back to it as it said it.
func TestTheNameIDGoesBackAsItCame(t *testing.T) {
	w := newWorld(t)
	w.connections.put(samlWithLogout(ourKey()))
	b := w.browser()
	f := b.samlFlight()
	doc := f.message.Document(t)
	name := doc.FindElement("//NameID")
	name.SetText(" gil & co ")
	name.CreateAttr("NameQualifier", idpEntity)
	name.CreateAttr("SPNameQualifier", w.url+"/.gatehouse/saml/adfs/metadata")
	attacktest.SignAssertion(t, attacktest.Flight{}, doc)
	b.postFromElsewhere(f.acs, f.form(bytesOf(t, doc))).has(t, http.StatusOK)
	asked := w.readRedirect(t, b.signOutHere().onward(t), "SAMLRequest")
	if asked.NameID.Value != " gil & co " || asked.NameID.NameQualifier != idpEntity ||
		asked.NameID.SPNameQualifier != w.url+"/.gatehouse/saml/adfs/metadata" || asked.NameID.Format != persistentID {
		t.Errorf("named %+v", asked.NameID)
	}
}

func TestSignOutAtAProviderThatTakesForms(t *testing.T) {
	w := newWorld(t)
	w.connections.put(withLogout(samlConnection(ourKey()), service(postBind, sloAtIDP, "")))
	b := w.browser()
	b.samlSignIn("adfs", "gil", "s1")
	p := b.signOutHere()
	asked := w.readForm(t, p, "SAMLRequest")
	if asked.Destination != sloAtIDP || asked.NameID.Value != "gil" || !strings.Contains(p.header.Get("Content-Security-Policy"), "form-action 'self' https://idp.acme.example https:;") {
		t.Errorf("asked %+v under %s", asked, p.header.Get("Content-Security-Policy"))
	}
	b.send(w.logoutAnswer(asked, "Success"), postBind, asked.relay).has(t, http.StatusOK, "You are signed out")
}

func TestAProviderWithoutSingleLogoutIsLeftAlone(t *testing.T) {
	w := newWorld(t)
	for name, c := range map[string]tenants.Connection{
		"none":       samlConnection(ourKey()),
		"no TLS":     withLogout(samlConnection(ourKey()), service(redirectBind, "http://idp.acme.example/slo", "")),
		"other ways": withLogout(samlConnection(ourKey()), service("urn:oasis:names:tc:SAML:2.0:bindings:SOAP", sloAtIDP, "")),
	} {
		t.Run(name, func(t *testing.T) {
			w.connections.put(c)
			b := w.browser()
			b.t = t
			b.samlSignIn("adfs", "gil", "s1")
			p := b.look("/.gatehouse/logout")
			if strings.Contains(p.body, "You are then sent") {
				t.Errorf("%s", p.body)
			}
			b.post("/.gatehouse/logout", nil).has(t, http.StatusOK, "You are signed out", "Close the browser window")
			if b.cookie(httpkit.FlowCookie) != "" {
				t.Error("a step is waited for")
			}
		})
	}
}

func TestHostileAnswersToASignOut(t *testing.T) {
	w := newWorld(t)
	w.connections.put(samlWithLogout(ourKey()))
	other := samlWithLogout(ourKey())
	other.Name = "other"
	w.connections.put(other)
	for name, c := range map[string]struct {
		wrong func(*notice)
		query func(string) string
		at    string
		want  string
	}{
		"another request's":  {wrong: func(n *notice) { n.InResponseTo = "_other" }, want: "wrong-request"},
		"no request's":       {wrong: func(n *notice) { n.InResponseTo = "" }, want: "wrong-request"},
		"another issuer's":   {wrong: func(n *notice) { n.Issuer = "https://evil.example" }, want: "wrong-issuer"},
		"another address":    {wrong: func(n *notice) { n.Destination = "https://evil.example" }, want: "wrong-destination"},
		"old":                {wrong: func(n *notice) { n.Issued = time.Now().Add(-7 * time.Minute) }, want: "expired"},
		"no status":          {wrong: func(n *notice) { n.Kind, n.Status = "LogoutResponse", ""; n.NameID = "x" }, want: "malformed"},
		"unsigned":           {query: func(q string) string { q, _, _ = strings.Cut(q, "&SigAlg"); return q }, want: "signature-missing"},
		"changed":            {query: func(q string) string { return strings.Replace(q, "SAMLResponse=", "SAMLResponse=A", 1) }, want: "malformed"},
		"another connection": {at: "/.gatehouse/saml/other/slo", want: "other-connection"},
	} {
		t.Run(name, func(t *testing.T) {
			b := w.browser()
			b.t = t
			b.samlSignIn("adfs", "gil", "s1")
			asked := w.readRedirect(t, b.signOutHere().onward(t), "SAMLRequest")
			n := w.logoutAnswer(asked, "Success")
			if c.wrong != nil {
				c.wrong(&n)
			}
			q := n.redirected(t, asked.relay)
			if c.query != nil {
				q = c.query(q)
			}
			if c.at == "" {
				c.at = slo
			}
			told := len(w.journal.all(audit.SignOutAtProvider))
			b.look(c.at+"?"+q).has(t, http.StatusBadRequest, "The sign-out was not completed")
			refused := w.journal.all(audit.SignOutRefused)
			if got := refused[len(refused)-1]; got.Reason != c.want || len(w.journal.all(audit.SignOutAtProvider)) != told {
				t.Errorf("recorded as %s: %s, want %s", got.Reason, got.Message, c.want)
			}
			// The step is used up.
			b.look(slo+"?"+w.logoutAnswer(asked, "Success").redirected(t, asked.relay)).has(t, http.StatusBadRequest)
		})
	}
	b := w.browser()
	b.samlSignIn("adfs", "gil", "s1")
	asked := w.readRedirect(t, b.signOutHere().onward(t), "SAMLRequest")
	w.browser().look(slo+"?"+w.logoutAnswer(asked, "Success").redirected(t, asked.relay)).has(t, http.StatusBadRequest)
	refused := w.journal.all(audit.SignOutRefused)
	if got := refused[len(refused)-1].Reason; got != "other-browser" {
		t.Errorf("in another browser: %s", got)
	}
}

func TestAuthnRequestsAreSignedWhereThatIsWanted(t *testing.T) {
	w := newWorld(t)
	c := samlConnection(ourKey())
	w.connections.put(c)
	begin := func() *url.URL {
		to, err := url.Parse(w.browser().look("/.gatehouse/login?connection=adfs").header.Get("Location"))
		check(t, err)
		return to
	}
	if to := begin(); to.Query().Has("Signature") {
		t.Errorf("signed: %s", to)
	}
	c.SAML.IDPMetadata.XML = strings.Replace(c.SAML.IDPMetadata.XML, "<IDPSSODescriptor", `<IDPSSODescriptor WantAuthnRequestsSigned="true"`, 1)
	c.SAML.IDPMetadata.XML = strings.Replace(c.SAML.IDPMetadata.XML, "example/sso", "example/sso?of=acme", 1)
	w.connections.put(c)
	to := begin()
	if to.Query().Get("of") != "acme" {
		t.Errorf("sent to %s", to)
	}
	_, own, _ := strings.Cut(to.String(), "&") // the provider's own parameter is not signed
	if asked := w.readRedirect(t, "?"+own, "SAMLRequest"); asked.Issuer != w.url+"/.gatehouse/saml/adfs/metadata" || asked.relay == "" {
		t.Errorf("asked %+v", asked)
	}
}
