package authn_test

import (
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/beevik/etree"
	dsig "github.com/russellhaering/goxmldsig"

	"gatehouse/audit"
	"gatehouse/authn"
	"gatehouse/authn/saml/attacktest"
	"gatehouse/tenants"
)

// publisher is where a provider's metadata is found.
type publisher struct {
	*httptest.Server
	mu    sync.Mutex
	text  string
	asked int
	hangs chan struct{} // nothing is answered before it is closed, if set
}

func publish(t *testing.T, text string) *publisher {
	t.Helper()
	p := &publisher{text: text}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		p.asked++
		text, hangs := p.text, p.hangs
		p.mu.Unlock()
		if hangs != nil {
			select {
			case <-hangs:
			case <-r.Context().Done():
			}
		}
		if text == "" {
			http.Error(w, "no", http.StatusInternalServerError)
			return
		}
		_, _ = w.Write([]byte(text)) // the reader may be gone
	}))
	t.Cleanup(p.Close)
	return p
}

func (p *publisher) now(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.text = text
}

// hang has nothing be answered any more.
func (p *publisher) hang() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hangs = make(chan struct{})
}

func (p *publisher) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.asked
}

// by gives an answer signed with a key.
func (f flight) by(t *testing.T, key signer) []byte {
	t.Helper()
	doc := f.message.Document(t)
	key.sign(t, assertionOf(doc), dsig.RSASHA256SignatureMethod)
	return bytesOf(t, doc)
}

const sso = "https://idp.acme.example/sso"

// A provider changes its key: first both are listed, then only the new one.
func TestAProvidersKeyRotatesInTheMiddle(t *testing.T) {
	w := newWorld(t)
	p := publish(t, idpMetadata(sso, ourKey()))
	w.connections.put(tenants.Connection{Name: "adfs", Type: tenants.SAML, Enabled: true, SAML: &tenants.SAMLSpec{
		IDPMetadata: tenants.MetadataSource{URL: p.URL}, Attributes: tenants.AttributeMap{Email: "mail"}}})
	accepted := func(when string, key signer) {
		t.Helper()
		b := w.browser()
		f := b.samlFlight()
		if got := b.postFromElsewhere(f.acs, f.form(f.by(t, key))); got.status != http.StatusOK || !strings.Contains(got.body, "app /reports for gil@globex.example") {
			t.Fatalf("%s: %d, %s", when, got.status, w.journal.lastRefusal(t))
		}
	}
	unaccepted := func(key signer) {
		t.Helper()
		b := w.browser()
		f := b.samlFlight()
		refused(t, b, f, f.form(f.by(t, key)), authn.WrongKey)
	}
	accepted("the first key", ourKey())
	unaccepted(otherKey())
	if n := p.count(); n != 1 {
		t.Errorf("asked %d times: who sends what fits nothing has the provider asked at will", n)
	}
	// Both: the new one is believed as soon as it is used.
	p.now(idpMetadata(sso, ourKey(), otherKey()))
	w.advance(11 * time.Second)
	accepted("the new key", otherKey())
	accepted("the old key, while both are listed", ourKey())
	if n := p.count(); n != 2 {
		t.Errorf("asked %d times", n)
	}
	// The new one alone: what the old one has signed is refused from when that is known.
	p.now(idpMetadata(sso, otherKey()))
	w.advance(11 * time.Second)
	third, err := attacktest.NewSigner(time.Now().Add(time.Hour))
	check(t, err)
	unaccepted(signer{third})
	unaccepted(ourKey())
	accepted("the new key alone", otherKey())

	// The address answers nothing any more, or hangs: what is known goes on.
	p.now("")
	w.advance(11 * time.Second)
	unaccepted(ourKey())
	accepted("while the metadata is down", otherKey())
}

func TestAProviderWhoseMetadataIsDown(t *testing.T) {
	w := newWorld(t)
	p := publish(t, "")
	c := tenants.Connection{Name: "adfs", Type: tenants.SAML, Enabled: true, SAML: &tenants.SAMLSpec{
		IDPMetadata: tenants.MetadataSource{URL: p.URL}, Attributes: tenants.AttributeMap{Email: "mail"}}}
	w.connections.put(c)
	w.browser().open("/.gatehouse/login?connection=adfs").has(t, http.StatusBadGateway, "cannot be reached")
	if got := w.journal.lastRefusal(t); got != authn.ProviderUnreachable {
		t.Errorf("recorded as %q", got)
	}
	// Nothing else stands in: with an address, the address alone counts.
	c.SAML.IDPMetadata.XML = idpMetadata(sso, ourKey())
	w.connections.put(c)
	w.browser().open("/.gatehouse/login?connection=adfs").has(t, http.StatusBadGateway, "cannot be reached")
	// What was read there goes on for a day, and then does not.
	p.now(idpMetadata(sso, ourKey()))
	w.advance(11 * time.Second)
	in := func() page {
		b := w.browser()
		f := b.samlFlight()
		return b.postFromElsewhere(f.acs, f.form(f.by(t, ourKey())))
	}
	in().has(t, http.StatusOK, "app /reports")
	p.now("")
	w.advance(23 * time.Hour)
	w.browser().samlFlight() // goes on to the provider
	w.advance(2 * time.Hour)
	w.browser().open("/.gatehouse/login?connection=adfs").has(t, http.StatusBadGateway, "cannot be reached")
}

// Metadata that is over is not used, even if it was good when it was read.
func TestMetadataEnds(t *testing.T) {
	w := newWorld(t)
	until := func(at time.Time) string {
		return strings.Replace(idpMetadata(sso, ourKey()), "entityID=", `validUntil="`+at.UTC().Format(time.RFC3339)+`" entityID=`, 1)
	}
	c := samlConnection(ourKey())
	over := func() {
		t.Helper()
		w.browser().open("/.gatehouse/login?connection=adfs").has(t, http.StatusForbidden, "not set up correctly")
		all := w.journal.all(audit.SignInRefused)
		if last := all[len(all)-1]; last.Reason != string(authn.ProviderUnusable) || !strings.Contains(last.Message, "metadata ended at") {
			t.Errorf("recorded as %s: %s", last.Reason, last.Message)
		}
	}
	c.SAML.IDPMetadata.XML = until(time.Now().Add(-time.Second))
	w.connections.put(c)
	over()
	c.SAML.IDPMetadata.XML = until(time.Now().Add(30 * time.Second))
	w.connections.put(c)
	b := w.browser()
	f := b.samlFlight()
	b.postFromElsewhere(f.acs, f.form(f.by(t, ourKey()))).has(t, http.StatusOK, "app /reports")
	w.advance(31 * time.Second)
	over()
	c.SAML.IDPMetadata.XML = strings.Replace(idpMetadata(sso, ourKey()), "<IDPSSODescriptor", `<IDPSSODescriptor validUntil="2020-01-01T00:00:00Z"`, 1)
	w.connections.put(c)
	over()
}

func TestPinnedMetadataHasToBeSigned(t *testing.T) {
	w := newWorld(t)
	plain := idpMetadata(sso, ourKey())
	by := func(key signer, text string, odd func(*etree.Element)) string {
		return attacktest.SignedMetadata(t, key.Signer, text, odd)
	}
	good := by(otherKey(), plain, nil)
	c := samlConnection()
	c.SAML.IDPMetadata.Fingerprint = attacktest.Fingerprint(otherKey().Signer)
	begin := func(text string) (reason authn.Reason, message string) {
		t.Helper()
		c.SAML.IDPMetadata.XML = text
		w.connections.put(c)
		before := len(w.journal.all(audit.SignInRefused))
		p := w.browser().look("/.gatehouse/login?connection=adfs")
		all := w.journal.all(audit.SignInRefused)
		if len(all) == before {
			p.has(t, http.StatusSeeOther)
			return "", ""
		}
		return authn.Reason(all[len(all)-1].Reason), all[len(all)-1].Message
	}
	if reason, message := begin(good); reason != "" {
		t.Fatalf("control: %s: %s", reason, message)
	}
	b := w.browser()
	f := b.samlFlight()
	b.postFromElsewhere(f.acs, f.form(f.by(t, ourKey()))).has(t, http.StatusOK, "app /reports")

	evil := strings.Replace(good, idpEntity, "https://evil.example", 1)
	_, inner, _ := strings.Cut(good, "<EntityDescriptor")
	inner = "<EntityDescriptor" + inner
	for name, text := range map[string]string{
		"not signed":        plain,
		"signed by another": by(ourKey(), plain, nil),
		"changed":           evil,
		"another address":   strings.Replace(good, sso, "https://evil.example/sso", 1),
		"SHA-1": by(otherKey(), plain, func(info *etree.Element) {
			info.FindElement("./SignatureMethod").CreateAttr("Algorithm", dsig.RSASHA1SignatureMethod)
		}),
		"of something else":      by(otherKey(), plain, func(info *etree.Element) { info.FindElement("./Reference").CreateAttr("URI", "") }),
		"another's, ours shown":  strings.Replace(by(ourKey(), plain, nil), cut(by(ourKey(), plain, nil), "<ds:X509Certificate>", "</ds:X509Certificate>"), cut(good, "<ds:X509Certificate>", "</ds:X509Certificate>"), 1),
		"around the good one":    strings.Replace(plain, "<IDPSSODescriptor", inner+"<IDPSSODescriptor", 1),
		"the good one in a list": `<EntitiesDescriptor xmlns="urn:oasis:names:tc:SAML:2.0:metadata">` + inner + `</EntitiesDescriptor>`,
		"the same id twice":      strings.Replace(good, "<IDPSSODescriptor", `<IDPSSODescriptor ID="_metadata"`, 1),
	} {
		if reason, message := begin(text); reason != authn.ProviderUnusable || !strings.Contains(message, "not signed as the connection wants it") {
			t.Errorf("%s: %q: %s", name, reason, message)
		}
	}
}

func TestRequestsSayWhatTheConnectionAsksFor(t *testing.T) {
	w := newWorld(t)
	c := samlConnection(ourKey())
	w.connections.put(c)
	if f := w.browser().samlFlight(); f.force != "" || f.format != "" || f.contexts != nil || f.signed {
		t.Errorf("by default: %+v", f)
	}
	c.SAML.ForceAuthn, c.SAML.SignRequests, c.SAML.NameIDFormat, c.SAML.AuthnContexts = true, true, tenants.NameIDEmail, []string{"a", "b"}
	w.connections.put(c)
	f := w.browser().samlFlight()
	if f.force != "true" || f.format != "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress" || !slices.Equal(f.contexts, c.SAML.AuthnContexts) || !f.signed {
		t.Errorf("asked: %+v", f)
	}
	w.browser().open("/.gatehouse/saml/adfs/metadata").has(t, http.StatusOK, `AuthnRequestsSigned="true"`, "nameid-format:emailAddress", `use="signing"`)
}

var marks = regexp.MustCompile(`(evt|req)_[a-z0-9]+`)

// Whatever goes wrong where a key has touched what a stranger wrote, the answer is
// the same: page, status, headers, and what the journal says.
func TestPaddingOraclesHaveOneAnswer(t *testing.T) {
	w := newWorld(t)
	w.connections.put(samlConnection(ourKey()))
	w.browser().open("/.gatehouse/saml/adfs/metadata").has(t, http.StatusOK)
	certificate := w.encryptionCertificate(t)
	var first, of string
	for _, a := range attacktest.Attacks() {
		if !strings.HasPrefix(a.Name, "oracle: ") {
			continue
		}
		c := samlConnection(ourKey())
		if a.Set != nil {
			a.Set(c.SAML)
		}
		w.connections.put(c)
		b := w.browser()
		f := b.samlFlight()
		p := b.postFromElsewhere(f.acs, f.form([]byte(a.Forge(t, attacktest.Flight{Message: f.message, Certificate: certificate}))))
		p.header.Del("Date")
		all := w.journal.all(audit.SignInRefused)
		var answer strings.Builder
		answer.WriteString(http.StatusText(p.status) + "\n" + all[len(all)-1].Reason + ": " + all[len(all)-1].Message + "\n" + p.body + "\n")
		check(t, p.header.Write(&answer))
		if got := marks.ReplaceAllString(answer.String(), ""); first == "" {
			first, of = got, a.Name
		} else if got != first {
			t.Errorf("%s is told from %s:\n%s\n%s", a.Name, of, got, first)
		}
	}
	if !strings.Contains(first, "cannot be opened") {
		t.Errorf("answered: %s", first)
	}
}
