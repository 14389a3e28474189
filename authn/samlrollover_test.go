package authn_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/beevik/etree"
	dsig "github.com/russellhaering/goxmldsig"

	"gatehouse/audit"
	"gatehouse/authn"
	"gatehouse/authn/keyring"
	"gatehouse/authn/saml"
	"gatehouse/authn/saml/attacktest"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/tenants"
)

// samlSide is our side of a connection, as another node would see it.
func (w *world) samlSide(t *testing.T) (*saml.Protocol, tenants.Connection) {
	t.Helper()
	p := saml.New(saml.Config{Store: w.db, Keys: w.keys, Journal: w.journal, Client: w.egress, Now: w.clock})
	t.Cleanup(p.Close)
	c, err := w.connections.Connection(t.Context(), acme, "adfs")
	check(t, err)
	return p, c
}

var shownCertificate = regexp.MustCompile(`<KeyDescriptor use="(\w+)">.*?<X509Certificate[^>]*>([^<]*)<`)

// shown gives the certificates in our metadata, whose signature is verified, by what
// they are for.
func (w *world) shown(t *testing.T) (signing, encryption []*x509.Certificate) {
	t.Helper()
	p := w.browser().open("/.gatehouse/saml/adfs/metadata")
	p.has(t, http.StatusOK)
	for _, m := range shownCertificate.FindAllStringSubmatch(p.body, -1) {
		raw, err := base64.StdEncoding.DecodeString(m[2])
		check(t, err)
		certificate, err := x509.ParseCertificate(raw)
		check(t, err)
		if m[1] == "signing" {
			signing = append(signing, certificate)
		} else {
			encryption = append(encryption, certificate)
		}
	}
	doc := etree.NewDocument()
	check(t, doc.ReadFromString(p.body))
	if first := doc.Root().ChildElements()[0]; first.Tag != "Signature" {
		t.Errorf("metadata begins with %s", first.Tag)
	}
	ctx := dsig.NewDefaultValidationContext(&dsig.MemoryX509CertificateStore{Roots: signing[:1]})
	ctx.Clock = dsig.NewFakeClockAt(w.clock())
	if _, err := ctx.Validate(doc.Root()); err != nil {
		t.Errorf("our metadata is not signed by the key that signs: %v", err)
	}
	return signing, encryption
}

// signs reports whether a request of ours is signed by a certificate's key.
func (w *world) signs(t *testing.T, c *x509.Certificate) bool {
	t.Helper()
	location := w.browser().look("/.gatehouse/login?connection=adfs").header.Get("Location")
	u, err := url.Parse(location)
	check(t, err)
	over, _, _ := strings.Cut(u.RawQuery, "&Signature=")
	signature, err := base64.StdEncoding.DecodeString(u.Query().Get("Signature"))
	check(t, err)
	return c.CheckSignature(x509.SHA256WithRSA, []byte(over), signature) == nil
}

// TestOurKeyRollsOver: a new key is shown before it signs, and what was encrypted for
// the old one is still opened after.
func TestOurKeyRollsOver(t *testing.T) {
	w := newWorld(t)
	c := samlConnection(ourKey())
	c.SAML.SignRequests, c.SAML.Encryption = true, tenants.EncryptionRequired
	w.connections.put(c)
	p, c := w.samlSide(t)
	signing, encryption := w.shown(t)
	if len(signing) != 1 || len(encryption) != 1 || !w.signs(t, signing[0]) {
		t.Fatalf("at first: %d and %d certificates", len(signing), len(encryption))
	}
	first := signing[0]
	opened := func(when string, to *x509.Certificate) {
		t.Helper()
		b := w.browser()
		f := b.samlFlight()
		seal := attacktest.Attack{Change: attacktest.Sealing{}.Encrypt}
		got := b.postFromElsewhere(f.acs, f.form([]byte(seal.Forge(t, attacktest.Flight{Message: f.message, Certificate: to}))))
		if got.status != http.StatusOK {
			t.Errorf("%s: %d, %s", when, got.status, w.journal.lastRefusal(t))
		}
	}
	opened("at first", first)

	// P1: no key without its record.
	w.journal.fail(errors.New("disk full"))
	cause := audit.SystemCause()
	if _, err := p.PrepareKey(t.Context(), cause, acme, c, 20*time.Second); !fault.Is(err, fault.Unavailable) {
		t.Errorf("without the journal: %v", err)
	}
	w.journal.mend()
	if certificates, _ := w.keyRows(t, "adfs"); len(certificates) != 1 {
		t.Fatalf("%d keys without a record", len(certificates))
	}
	keys, err := p.PrepareKey(t.Context(), cause, acme, c, 20*time.Second)
	check(t, err)
	if len(keys) != 2 || keys[0].State != keyring.Prepared || keys[1].State != keyring.Signing || !keys[1].Certificate.Equal(first) {
		t.Fatalf("prepared: %+v", keys)
	}
	second := keys[0].Certificate
	records := w.journal.all(audit.ConnectionChanged)
	if len(records) != 1 || records[0].Details["change"] != "key-prepared" || records[0].Target.Name != "adfs" || records[0].Details["certificate"] == "" {
		t.Errorf("recorded as %+v", records)
	}
	if _, err := p.PrepareKey(t.Context(), cause, acme, c, 0); !fault.Is(err, fault.Conflict) {
		t.Errorf("a second one at a time: %v", err)
	}
	// The overlap: both are shown, the old one signs, either opens.
	signing, encryption = w.shown(t)
	if len(signing) != 2 || len(encryption) != 2 || !signing[0].Equal(first) || !signing[1].Equal(second) || !w.signs(t, first) {
		t.Errorf("while both are published: %d and %d", len(signing), len(encryption))
	}
	opened("for the old one", first)
	opened("for the new one", second)

	// It is taken back, and another one prepared.
	w.journal.fail(errors.New("disk full"))
	for _, end := range []func() error{
		func() error { return p.TakeBackKey(t.Context(), cause, acme, c) }, func() error { return p.FinishKey(t.Context(), cause, acme, c) }} {
		if err := end(); !fault.Is(err, fault.Unavailable) {
			t.Errorf("without the journal: %v", err)
		}
	}
	w.journal.mend()
	if signing, _ = w.shown(t); len(signing) != 2 || !w.signs(t, first) {
		t.Errorf("changed without a record: %d certificates", len(signing))
	}
	check(t, p.TakeBackKey(t.Context(), cause, acme, c))
	if signing, _ = w.shown(t); len(signing) != 1 || !signing[0].Equal(first) || !w.signs(t, first) {
		t.Errorf("after the next one was taken back: %d certificates", len(signing))
	}
	if err := p.TakeBackKey(t.Context(), cause, acme, c); !fault.Is(err, fault.Conflict) {
		t.Errorf("taken back twice: %v", err)
	}
	keys, err = p.PrepareKey(t.Context(), cause, acme, c, 20*time.Second)
	check(t, err)
	if keys[0].Certificate.Equal(second) {
		t.Error("the same key was prepared again")
	}
	second = keys[0].Certificate
	records = w.journal.all(audit.ConnectionChanged)
	if e := records[len(records)-2]; len(records) != 3 || e.Details["change"] != "key-taken-back" || e.Details["certificate"] == "" || e.Details["signs_at"] != "" || e.Target.Name != "adfs" {
		t.Errorf("recorded as %+v", records)
	}

	// It is over.
	w.advance(21 * time.Second)
	signing, _ = w.shown(t)
	if len(signing) != 1 || !signing[0].Equal(second) || !w.signs(t, second) {
		t.Errorf("after the overlap: %d certificates", len(signing))
	}
	opened("by a provider that has not heard of it", first)
	opened("for the new one", second)

	// Three are kept: the oldest goes with the next but one. One signs before its time.
	_, err = p.PrepareKey(t.Context(), cause, acme, c, saml.Overlap)
	check(t, err)
	check(t, p.FinishKey(t.Context(), cause, acme, c))
	records = w.journal.all(audit.ConnectionChanged)
	if e := records[len(records)-1]; e.Details["change"] != "key-finished" || e.Details["certificate"] == "" || e.Details["signs_at"] == "" || e.Connection != c.ID {
		t.Errorf("recorded as %+v", e)
	}
	if signing, _ = w.shown(t); len(signing) != 1 || signing[0].Equal(second) || !w.signs(t, signing[0]) {
		t.Errorf("after the overlap was ended: %d certificates", len(signing))
	}
	keys, err = p.PrepareKey(t.Context(), cause, acme, c, 0)
	check(t, err)
	if len(keys) != 3 || keys[0].State != keyring.Signing || keys[1].State != keyring.Retired || !keys[2].Certificate.Equal(second) {
		t.Errorf("kept: %+v", keys)
	}
	if certificates, _ := w.keyRows(t, "adfs"); len(certificates) != 3 {
		t.Errorf("%d rows", len(certificates))
	}
	b := w.browser()
	f := b.samlFlight()
	seal := attacktest.Attack{Change: attacktest.Sealing{}.Encrypt}
	refused(t, b, f, f.form([]byte(seal.Forge(t, attacktest.Flight{Message: f.message, Certificate: first}))), authn.Encrypted)
}

// watch is the watch over the world's connections.
func (w *world) watch(p *saml.Protocol) *saml.Watch {
	return saml.NewWatch(p, w.connections, slog.New(slog.DiscardHandler))
}

// TestOurKeyIsReplacedBeforeItEnds: nobody has to ask.
func TestOurKeyIsReplacedBeforeItEnds(t *testing.T) {
	w := newWorld(t)
	w.connections.put(samlConnection(ourKey()))
	p, c := w.samlSide(t)
	watch := w.watch(p)
	watch.Look(t.Context())
	if certificates, _ := w.keyRows(t, "adfs"); len(certificates) != 0 {
		t.Fatal("a key is made that nobody has asked for")
	}
	keys, err := p.Keys(t.Context(), acme, c)
	check(t, err)
	watch.Look(t.Context())
	w.advance(time.Until(keys[0].Certificate.NotAfter) - 121*24*time.Hour)
	watch.Look(t.Context())
	if certificates, _ := w.keyRows(t, "adfs"); len(certificates) != 1 {
		t.Fatalf("%d keys long before the end", len(certificates))
	}
	w.advance(2 * 24 * time.Hour)
	watch.Look(t.Context())
	watch.Look(t.Context())
	next, err := p.Keys(t.Context(), acme, c)
	check(t, err)
	if len(next) != 2 || next[0].State != keyring.Prepared || next[0].SignsAt.Sub(w.clock()).Round(time.Hour) != saml.Overlap || !next[1].Certificate.Equal(keys[0].Certificate) {
		t.Fatalf("before the end: %+v", next)
	}
	if records := w.journal.all(audit.ConnectionChanged); len(records) != 1 || records[0].Actor.Kind != identity.KindSystem {
		t.Errorf("recorded as %+v", records)
	}
	w.advance(saml.Overlap)
	if next, err = p.Keys(t.Context(), acme, c); err != nil || next[0].State != keyring.Signing || next[1].State != keyring.Retired {
		t.Errorf("after the overlap: %+v, %v", next, err)
	}
}

// TestTheWatchFindsWhatEnds: certificates and metadata, before it is too late.
func TestTheWatchFindsWhatEnds(t *testing.T) {
	w := newWorld(t)
	long, err := attacktest.NewSigner(time.Now().Add(400 * 24 * time.Hour))
	check(t, err)
	lasting := signer{long}
	until := func(text string, in time.Duration) string {
		return strings.Replace(text, "entityID=", `validUntil="`+time.Now().Add(in).UTC().Format(time.RFC3339)+`" entityID=`, 1)
	}
	pinnedBy := func(key signer) func(*tenants.SAMLSpec) {
		return func(s *tenants.SAMLSpec) {
			s.IDPMetadata.Fingerprint = attacktest.Fingerprint(key.Signer)
			s.IDPMetadata.XML = attacktest.SignedMetadata(t, key.Signer, s.IDPMetadata.XML, nil)
		}
	}
	good := idpMetadata(sso, lasting)
	p := publish(t, until(good, 2*24*time.Hour))
	down := publish(t, "")
	side, _ := w.samlSideOf(t, good)
	watch := w.watch(side)
	for name, try := range map[string]struct {
		xml  string
		set  func(*tenants.SAMLSpec)
		want string
	}{
		"all is well":                {good, nil, ""},
		"an old certificate as well": {idpMetadata(sso, ourKey(), lasting), nil, ""},
		"the last certificate":       {idpMetadata(sso, ourKey(), otherKey()), nil, "the last of the identity provider's certificates ends at"},
		"metadata in a year":         {until(good, 365*24*time.Hour), nil, ""},
		"metadata in a week":         {until(good, 7*24*time.Hour), nil, "metadata ends at"},
		"metadata that is over":      {until(good, -time.Hour), nil, "metadata ended at"},
		"metadata that is renewed":   {"", func(s *tenants.SAMLSpec) { s.IDPMetadata.URL = p.URL }, ""},
		"metadata that is down":      {"", func(s *tenants.SAMLSpec) { s.IDPMetadata.URL = down.URL }, "cannot be fetched"},
		"pinned":                     {good, pinnedBy(lasting), ""},
		"pinned, and soon over":      {good, pinnedBy(otherKey()), "the certificate that signs the identity provider's metadata ends at"},
		"pinned, and not signed":     {good, func(s *tenants.SAMLSpec) { s.IDPMetadata.Fingerprint = strings.Repeat("00", 32) }, "not signed as the connection wants it"},
		"no metadata":                {"<html/>", nil, "cannot be used"},
	} {
		c := samlConnection()
		c.SAML.IDPMetadata.XML = try.xml
		if try.set != nil {
			try.set(c.SAML)
		}
		w.connections.put(c)
		watch.Look(t.Context())
		found := watch.Ending()
		if try.want == "" && len(found) != 0 || try.want != "" && (len(found) != 1 || found[0].Tenant != acme || !strings.Contains(found[0].Why, "Connection adfs: ") || !strings.Contains(found[0].Why, try.want)) {
			t.Errorf("%s: %+v", name, found)
		}
	}
	// Who has mended it is not told of it any more, and nobody is looked at besides.
	broken, other := samlConnection(), samlConnection(ourKey())
	broken.SAML.IDPMetadata.XML, other.Name = "<html/>", "other"
	other.SAML.IDPMetadata.XML = good
	w.connections.put(broken)
	w.connections.put(other)
	watch.Look(t.Context())
	other.SAML.IDPMetadata.XML = "<html/>"
	w.connections.put(other)
	watch.LookAgain(t.Context())
	if found := watch.Ending(); len(found) != 1 || found[0].Connection != "adfs" {
		t.Errorf("looked at again: %+v", found)
	}
	broken.SAML.IDPMetadata.XML = good
	w.connections.put(broken)
	watch.LookAgain(t.Context())
	if found := watch.Ending(); len(found) != 0 {
		t.Errorf("mended: %+v", found)
	}
	w.connections.remove("other")

	// Nobody is told of a connection that nobody signs in by.
	c := samlConnection(ourKey())
	c.Enabled = false
	w.connections.put(c)
	if watch.Look(t.Context()); len(watch.Ending()) != 0 {
		t.Errorf("disabled: %+v", watch.Ending())
	}
	// A watch that is broken off has not found that all is well.
	w.connections.put(samlConnection(ourKey()))
	watch.Look(t.Context())
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if watch.Look(ended); len(watch.Ending()) != 1 {
		t.Errorf("broken off: %+v", watch.Ending())
	}
	standing, err := side.Standing(t.Context(), acme, mustConnection(t, w))
	if err != nil || standing.Entity != idpEntity || len(standing.Certificates) != 1 || !bytes.Equal(standing.Certificates[0].Raw, ourKey().Cert.Raw) {
		t.Errorf("standing: %+v, %v", standing, err)
	}
}

func (w *world) samlSideOf(t *testing.T, metadata string) (*saml.Protocol, tenants.Connection) {
	t.Helper()
	c := samlConnection()
	c.SAML.IDPMetadata.XML = metadata
	w.connections.put(c)
	return w.samlSide(t)
}

func mustConnection(t *testing.T, w *world) tenants.Connection {
	t.Helper()
	c, err := w.connections.Connection(t.Context(), acme, "adfs")
	check(t, err)
	return c
}
