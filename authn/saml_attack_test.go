package authn_test

import (
	"crypto/x509"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"gatehouse/audit"
	"gatehouse/authn"
	"gatehouse/authn/saml/attacktest"
	"gatehouse/internal/httpkit"
)

// TestHostileSAMLResponsesAreRefused sends every attack to a sign-in under way:
// each is in the journal with its own reason, and nobody is signed in. What is
// nearly the same and no attack is accepted.
func TestHostileSAMLResponsesAreRefused(t *testing.T) {
	w := newWorld(t)
	w.connections.put(samlConnection(ourKey()))
	w.browser().open("/.gatehouse/saml/adfs/metadata").has(t, http.StatusOK)
	certificate := w.encryptionCertificate(t)
	begin := func(t *testing.T, a attacktest.Attack) (*browser, flight, url.Values) {
		c := samlConnection(ourKey())
		if a.Set != nil {
			a.Set(c.SAML)
		}
		w.connections.put(c)
		b := w.browser()
		b.t = t
		f := b.samlFlight()
		return b, f, f.form([]byte(a.Forge(t, attacktest.Flight{Message: f.message, Certificate: certificate})))
	}
	for _, a := range attacktest.Attacks() {
		t.Run(a.Name, func(t *testing.T) {
			b, f, form := begin(t, a)
			refused(t, b, f, form, a.Want)
		})
	}
	for _, a := range attacktest.Controls() {
		t.Run(a.Name, func(t *testing.T) {
			b, f, form := begin(t, a)
			b.postFromElsewhere(f.acs, form).has(t, http.StatusOK, "app /reports for gil@globex.example")
		})
	}
}

// encryptionCertificate is what assertions may be encrypted for, once our metadata
// was asked for.
func (w *world) encryptionCertificate(t *testing.T) *x509.Certificate {
	t.Helper()
	certificates, _ := w.keyRows(t, "adfs")
	certificate, err := x509.ParseCertificate(certificates[len(certificates)-1])
	check(t, err)
	return certificate
}

// honest is an answer that is to be accepted.
func honest(t testing.TB, f flight) []byte {
	t.Helper()
	return []byte(attacktest.Attack{}.Forge(t, attacktest.Flight{Message: f.message}))
}

// refused sends an answer and wants it refused: reason, page, and no session.
func refused(t *testing.T, b *browser, f flight, form url.Values, want authn.Reason) {
	t.Helper()
	p := b.postFromElsewhere(f.acs, form)
	p.has(t, http.StatusForbidden, "You are not signed in", "<dt>Event</dt>", "Sign in again")
	if got := b.w.journal.lastRefusal(t); got != want {
		all := b.w.journal.all(audit.SignInRefused)
		t.Errorf("reason %q (%s), want %q", got, all[len(all)-1].Message, want)
	}
	if b.cookie(httpkit.SessionCookie) != "" {
		t.Error("there is a session")
	}
}

func TestSAMLReplayIsRefused(t *testing.T) {
	w := newWorld(t)
	w.connections.put(samlConnection(ourKey()))
	b := w.browser()
	f := b.samlFlight()
	form := f.form(honest(t, f))
	b.postFromElsewhere(f.acs, form).has(t, http.StatusOK, "app /reports")
	b.post("/.gatehouse/logout", nil).has(t, http.StatusOK)
	again := w.browser()
	again.samlFlight()
	refused(t, again, f, form, "replayed")

	// The same assertion with a new step of one's own answers another request.
	g := again.samlFlight()
	form.Set("RelayState", g.relayState)
	refused(t, again, g, form, authn.WrongRequest)

	// The same assertion id, signed for the new request.
	h := again.samlFlight()
	h.message.AssertionID = f.message.AssertionID
	refused(t, again, h, h.form(honest(t, h)), "replayed")
}

func TestUnsolicitedSAMLIsRefused(t *testing.T) {
	w := newWorld(t)
	w.connections.put(samlConnection(ourKey()))
	b := w.browser()
	f := b.samlFlight()
	form := f.form(honest(t, f))
	form.Del("RelayState")
	refused(t, b, f, form, "unsolicited")
	form.Set("RelayState", "https://deep.link.example/")
	refused(t, b, f, form, "unsolicited")
	// Somebody else's browser cannot finish it, and then nobody can.
	form.Set("RelayState", f.relayState)
	refused(t, w.browser(), f, form, "other-browser")
	refused(t, b, f, form, "replayed")
}

func TestTheHopAfterSAMLIsForOneUseAndOneBrowser(t *testing.T) {
	w := newWorld(t)
	w.connections.put(samlConnection(ourKey()))
	b := w.browser()
	f := b.samlFlight()
	// The token of one hop is worthless at the other.
	b.open("/.gatehouse/saml/adfs/acs?step="+f.relayState).has(t, http.StatusForbidden, "not begun here")
	b.open("/.gatehouse/saml/adfs/acs?step="+strings.Repeat("A", 43)).has(t, http.StatusForbidden)
	b.open("/.gatehouse/saml/adfs/acs").has(t, http.StatusForbidden)
}

// counted is a body that never ends, and counts what is read of it.
type counted struct{ n int64 }

func (c *counted) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'A'
	}
	c.n += int64(len(p))
	return len(p), nil
}

// Of 50 MB, what is not refused by its length alone is not read either.
func TestSAMLBodiesOf50MBAreNotRead(t *testing.T) {
	w := newWorld(t)
	w.connections.put(samlConnection(ourKey()))
	for _, length := range []int64{50 << 20, -1} {
		body := &counted{}
		req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, w.url+"/.gatehouse/saml/adfs/acs",
			io.MultiReader(strings.NewReader("SAMLResponse="), io.LimitReader(body, 50<<20)))
		req.ContentLength = length
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		answer := httptest.NewRecorder()
		w.Handler().ServeHTTP(answer, w.passed(req))
		if answer.Code != http.StatusRequestEntityTooLarge || body.n > 1<<20 {
			t.Errorf("%d, after %d bytes", answer.Code, body.n)
		}
	}
}

func TestSAMLFormsAreBounded(t *testing.T) {
	w := newWorld(t)
	w.connections.put(samlConnection(ourKey()))
	b := w.browser()
	p := b.postFromElsewhere(w.url+"/.gatehouse/saml/adfs/acs", url.Values{"SAMLResponse": {strings.Repeat("A", 600<<10)}})
	p.has(t, http.StatusRequestEntityTooLarge)
}
