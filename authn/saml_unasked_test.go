package authn_test

import (
	"net/http"
	"net/url"
	"testing"
	"time"

	"gatehouse/audit"
	"gatehouse/authn"
	"gatehouse/authn/saml/attacktest"
	"gatehouse/internal/httpkit"
)

// unasked is a sign-in that the provider begins.
func (b *browser) unasked(id, relay string, change func(*message)) (flight, url.Values) {
	b.t.Helper()
	at := b.w.url + "/.gatehouse/saml/adfs/"
	f := flight{w: b.w, relayState: relay, acs: at + "acs", message: attacktest.Answer("", at+"acs", at+"metadata", time.Now())}
	f.message.AssertionID = id
	if change != nil {
		change(&f.message)
	}
	return f, f.form(honest(b.t, f))
}

func TestAProviderMayBeginASignIn(t *testing.T) {
	w := newWorld(t)
	w.connections.put(samlConnection(ourKey()))
	b := w.browser()
	f, form := b.unasked("_1", "/reports?year=2026", nil)
	refused(t, b, f, form, "unsolicited")

	c := samlConnection(ourKey())
	c.SAML.IDPInitiated = true
	w.connections.put(c)
	f, form = b.unasked("_2", "/reports?year=2026", nil)
	b.postFromElsewhere(f.acs, form).has(t, http.StatusOK, "app /reports?year=2026 for gil@globex.example")
	if all := w.journal.all(audit.SignInSucceeded); len(all) != 1 || all[0].Details["begun_by"] != "provider" {
		t.Errorf("recorded as %+v", all)
	}
	// It is for one use, whoever brings it.
	other := w.browser()
	refused(t, other, f, form, "replayed")

	// Whoever is signed in stays who they are: any site can bring such an answer.
	before := b.cookie(httpkit.SessionCookie)
	_, form = b.unasked("_3", "/reports", func(m *message) { m.NameID, m.Email = "eve", "eve@evil.example" })
	b.postFromElsewhere(f.acs, form).has(t, http.StatusOK, "app /reports for gil@globex.example")
	if b.cookie(httpkit.SessionCookie) != before || len(w.journal.all(audit.SignInSucceeded)) != 1 || len(w.journal.all(audit.UserCreated)) != 1 {
		t.Error("the answer of somebody else was of effect")
	}

	// The hop after it is for this browser.
	f, form = other.unasked("_4", "/", nil)
	resp := other.sendFromElsewhere(f.acs, form)
	_ = resp.Body.Close()
	second, err := resp.Location()
	check(t, err)
	w.browser().open(second.String()).has(t, http.StatusForbidden, "another browser")

	// It goes nowhere else than here.
	for _, relay := range []string{"https://evil.example/", "//evil.example", "", "/.gatehouse/logout", "deep-link-7"} {
		fresh := w.browser()
		f, form := fresh.unasked("_5"+relay, relay, nil)
		fresh.postFromElsewhere(f.acs, form).has(t, http.StatusOK, "app / for gil@globex.example")
	}
}

// A connection whose provider may begin sign-ins checks those that are begun here as
// strictly as any other.
func TestProvidersThatMayBeginDoNotWeakenRequests(t *testing.T) {
	w := newWorld(t)
	c := samlConnection(ourKey())
	c.SAML.IDPInitiated = true
	w.connections.put(c)
	b := w.browser()

	// An answer to a request names it, and no other.
	f := b.samlFlight()
	f.message.InResponseTo, f.message.SubjectInResponseTo = "", ""
	refused(t, b, f, f.form(honest(t, f)), authn.WrongRequest)
	f = b.samlFlight()
	f.message.SubjectInResponseTo = ""
	refused(t, b, f, f.form(honest(t, f)), authn.WrongRequest)

	// What names a request does not come in as if nobody had asked, neither
	// another's nor one's own: without its token, with another, or in another browser.
	f = b.samlFlight()
	form := f.form(honest(t, f))
	form.Del("RelayState")
	refused(t, w.browser(), f, form, authn.WrongRequest)
	form.Set("RelayState", "/reports")
	refused(t, b, f, form, authn.WrongRequest)
	form.Set("RelayState", f.relayState)
	refused(t, w.browser(), f, form, "other-browser")
	refused(t, b, f, form, "replayed")
	g, _ := b.unasked("_half", "/", func(m *message) { m.SubjectInResponseTo = f.message.InResponseTo })
	refused(t, b, g, g.form(honest(t, g)), authn.WrongRequest)

	// And what it may begin is checked like everything else.
	for name, try := range map[string]struct {
		change func(*message)
		want   authn.Reason
	}{
		"old":      {func(m *message) { m.Issued = m.Issued.Add(-time.Hour) }, authn.Expired},
		"audience": {func(m *message) { m.Audience = "https://other.example" }, authn.WrongAudience},
		"no id":    {func(m *message) { m.AssertionID = "" }, authn.Malformed},
	} {
		t.Run(name, func(t *testing.T) {
			b := w.browser()
			b.t = t
			f, _ := b.unasked("_"+name, "/", try.change)
			doc := f.message.Document(t)
			attacktest.SignResponse(t, attacktest.Flight{}, doc)
			refused(t, b, f, f.form(bytesOf(t, doc)), try.want)
		})
	}
}

// What nobody here has begun is anybody's to send, and each costs a signature: one
// network sends so many and no more, and another is let in all the same.
func TestSignInsThatProvidersBeginAreLimitedPerNetwork(t *testing.T) {
	w := newWorld(t)
	c := samlConnection(ourKey())
	c.SAML.IDPInitiated = true
	w.connections.put(c)
	acs := w.url + "/.gatehouse/saml/adfs/acs"
	form := url.Values{"SAMLResponse": {"bm8gWE1M"}} // which is soon refused
	send := func() *http.Response {
		resp := w.browser().sendFromElsewhere(acs, form)
		check(t, resp.Body.Close())
		return resp
	}
	for range startBurst {
		if resp := send(); resp.StatusCode != http.StatusForbidden {
			t.Fatalf("status %d", resp.StatusCode)
		}
	}
	limited := false
	for range 10 * startBurst { // a slow machine earns some more on the way
		if resp := send(); resp.StatusCode != http.StatusForbidden {
			if limited = true; resp.StatusCode != http.StatusTooManyRequests || resp.Header.Get("Retry-After") == "" {
				t.Errorf("status %d", resp.StatusCode)
			}
			break
		}
	}
	if !limited {
		t.Error("nobody was refused")
	}
	w.from.Store(1)
	b := w.browser()
	f, good := b.unasked("_elsewhere", "/reports", nil)
	b.postFromElsewhere(f.acs, good).has(t, http.StatusOK, "app /reports for gil@globex.example")
}
