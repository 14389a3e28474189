package authn_test

import (
	"encoding/base64"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/authn/saml/attacktest"
	"gatehouse/authn/saml/simplesamltest"
	"gatehouse/demo/idp"
	"gatehouse/demo/samlidp"
)

// simpleSAML is SimpleSAMLphp. Nothing is encrypted here: TestSimpleSAMLphpEncryptsAndRotates
// does that through the whole product.
type simpleSAML struct {
	samlPeer

	idp  *simplesamltest.Provider
	keys []string // the one that signs, and the other
}

func startSimpleSAML(t *testing.T, w *world) realPeer {
	t.Helper()
	const password = "hunter2"
	s := &simpleSAML{idp: simplesamltest.Start(t, simplesamltest.User{Name: "gil", Password: password, Email: "gil@acme.example"}), keys: []string{"idp", "next"}}
	s.samlPeer = samlPeer{w: w, email: "gil@acme.example", fields: url.Values{"username": {"gil"}, "password": {password}},
		source: func() string { return fetched(t, s.idp.MetadataURL()) }}
	s.published = publish(t, s.source())
	w.connections.put(s.connection())
	s.idp.Trust(t, []byte(w.browser().open("/.gatehouse/saml/peer/metadata").body))
	return s
}

func fetched(t *testing.T, address string) string {
	t.Helper()
	resp, err := http.Get(address)
	check(t, err)
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	check(t, err)
	return string(text)
}

func (s *simpleSAML) leaveThere(b *browser) bool {
	b.t.Helper()
	if p := b.open(s.idp.SignOutURL()); p.status != http.StatusOK || !strings.HasPrefix(p.url.String(), s.idp.URL) {
		b.t.Errorf("the sign-out ended at %s: %d", p.url, p.status)
	}
	return true
}

// goBy has the provider go by other settings. PHP may go by those of before for a
// moment.
func (s *simpleSAML) goBy(t *testing.T, to simplesamltest.Settings) {
	t.Helper()
	before := s.source()
	s.idp.Set(t, to)
	soon(t, "other metadata", func() bool { return s.source() != before })
}

func (s *simpleSAML) swap(t *testing.T) {
	t.Helper()
	s.keys[0], s.keys[1] = s.keys[1], s.keys[0]
	s.goBy(t, simplesamltest.Settings{Signs: s.keys[0], Shows: s.keys[0]})
}

func (s *simpleSAML) rotate(t *testing.T) {
	t.Helper()
	s.swap(t)
	s.republish()
}

func (s *simpleSAML) relapse(t *testing.T) bool {
	t.Helper()
	s.swap(t)
	return true // what was found of it stays
}

func (s *simpleSAML) renewed(t *testing.T, _ *world) {
	s.announced(t, s,
		func() { s.goBy(t, simplesamltest.Settings{Signs: s.keys[0], Shows: s.keys[0], Next: s.keys[1]}) },
		func() { s.goBy(t, simplesamltest.Settings{Signs: s.keys[1], Shows: s.keys[1]}) })
}

// samlIDP is crewjam's samlidp, with the single logout that the demo adds to it.
type samlIDP struct {
	samlPeer

	url     string
	trusted []byte // our metadata
	serves  atomic.Pointer[samlidp.Provider]
	keys    []attacktest.Signer
}

func startSAMLIDP(t *testing.T, w *world) realPeer {
	t.Helper()
	const email, password = "gil@globex.example", "hunter2"
	s := &samlIDP{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.serves.Load().ServeHTTP(w, r) }))
	t.Cleanup(server.Close)
	s.url = server.URL
	for range 2 {
		key, err := attacktest.NewSigner(time.Now().Add(24 * time.Hour))
		check(t, err)
		s.keys = append(s.keys, key)
	}
	s.samlPeer = samlPeer{w: w, email: email, fields: url.Values{"username": {email}, "password": {password}},
		source: func() string { return fetched(t, s.url+"/metadata") }}
	s.begin(t)
	s.published = publish(t, s.source())
	w.connections.put(s.connection())
	s.trusted = []byte(w.browser().open("/.gatehouse/saml/peer/metadata").body)
	check(t, s.serves.Load().Register(s.trusted))
	return s
}

// begin has it run with its first key from now on.
func (s *samlIDP) begin(t *testing.T) {
	t.Helper()
	p, err := samlidp.New(samlidp.Options{URL: s.url, Key: s.keys[0].Private(), Certificate: s.keys[0].Cert, Log: slog.New(slog.DiscardHandler),
		Accounts: idp.Accounts{{Subject: "g-1", Email: s.email, Name: "Gil", Password: s.fields.Get("password")}}})
	check(t, err)
	if s.trusted != nil {
		check(t, p.Register(s.trusted))
	}
	s.serves.Store(p)
}

func (s *samlIDP) swap(t *testing.T) {
	t.Helper()
	s.keys[0], s.keys[1] = s.keys[1], s.keys[0]
	s.begin(t)
}

func (s *samlIDP) leaveThere(b *browser) bool {
	b.t.Helper()
	b.post(s.url+"/sign-out", nil).has(b.t, http.StatusOK, "You are signed out")
	return true
}

func (s *samlIDP) rotate(t *testing.T) {
	t.Helper()
	s.swap(t)
	s.republish()
}

func (s *samlIDP) relapse(t *testing.T) bool {
	t.Helper()
	s.swap(t)
	return true // what was found of it stays
}

// The library shows one key: what announces the other is written beside it.
func (s *samlIDP) renewed(t *testing.T, _ *world) {
	source := s.source
	defer func() { s.source = source }()
	announce := func() {
		now := source()
		_, descriptor, _ := strings.Cut(now, "<KeyDescriptor")
		descriptor, _, _ = strings.Cut(descriptor, "</KeyDescriptor>")
		old := "<KeyDescriptor" + descriptor + "</KeyDescriptor>"
		s.source = func() string {
			return strings.Replace(now, old, old+strings.Replace(old, certificateOf(s.keys[0]), certificateOf(s.keys[1]), 1), 1)
		}
	}
	s.announced(t, s, announce, func() { s.swap(t) })
}

func certificateOf(key attacktest.Signer) string {
	return base64.StdEncoding.EncodeToString(key.Cert.Raw)
}
