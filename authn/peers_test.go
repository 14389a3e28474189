package authn_test

import (
	"html"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"gatehouse/audit"
	"gatehouse/authn"
	"gatehouse/internal/httpkit"
	"gatehouse/tenants"
)

// realPeer is an identity provider that others have written, as far as a test can
// have it behave.
type realPeer interface {
	// connection is one named "peer" that trusts it.
	connection() tenants.Connection
	// person is the address of whoever signs in there.
	person() string
	// goThrough signs in, from the provider's first page to what comes of it here.
	goThrough(b *browser, p page) page
	// leave signs out here, and goes through what the provider asks.
	leave(b *browser) page
	// leaveThere signs out at the provider; false if it tells nobody.
	leaveThere(b *browser) bool
	// rotate has it sign by a new key at once, and publish that one alone.
	rotate(t *testing.T)
	// relapse has it sign by the key of before again, and still publish the new one
	// alone; false if it cannot be brought to that.
	relapse(t *testing.T) bool
	// clocks are by how much its clock and ours may differ.
	clocks() []clock
	// renewed tries what stands for refreshing.
	renewed(t *testing.T, w *world)
}

// clock is how much ours is ahead of a provider's, and what comes of it.
type clock struct {
	ahead time.Duration
	want  authn.Reason // "": somebody is signed in
}

// peerCases are what is tried with every peer. One follows the other: the last
// leaves something at work.
var peerCases = []struct {
	name string
	try  func(t *testing.T, w *world, p realPeer)
}{
	{"sign-in", peerSignsIn},
	{"sign-out", peerSignsOut},
	{"clock skew", peerClocksDiffer},
	{"rotation in the middle", peerRotates},
	{"refresh", func(t *testing.T, w *world, p realPeer) { p.renewed(t, w) }},
}

// TestRealPeers is every case with every peer. What a peer has not stands beside it.
func TestRealPeers(t *testing.T) {
	for name, start := range map[string]func(*testing.T, *world) realPeer{
		"oidc-provider": startOIDCProvider,
		"zitadel":       startZitadel,
		"SimpleSAMLphp": startSimpleSAML,
		"samlidp":       startSAMLIDP,
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			p := start(t, w)
			w.connections.put(p.connection())
			for _, c := range peerCases {
				if !t.Run(c.name, func(t *testing.T) { c.try(t, w, p) }) {
					return
				}
			}
		})
	}
}

// peerBrowser is a new one of a case.
func (w *world) peerBrowser(t *testing.T) *browser {
	t.Helper()
	b := w.browser()
	b.t = t
	return b
}

func (b *browser) atPeer(p realPeer) page {
	b.t.Helper()
	return p.goThrough(b, b.open("/reports"))
}

func (b *browser) inByPeer(p realPeer) {
	b.t.Helper()
	got := b.atPeer(p)
	if got.status != http.StatusOK || !strings.Contains(got.body, "app /reports for "+p.person()) {
		b.t.Fatalf("%d, refused: %+v\n%s", got.status, b.w.journal.all(audit.SignInRefused), got.body)
	}
}

func (b *browser) turnedAwayByPeer(p realPeer, want authn.Reason) {
	b.t.Helper()
	b.atPeer(p).has(b.t, http.StatusForbidden, "You are not signed in")
	if got := b.w.journal.lastRefusal(b.t); got != want || b.cookie(httpkit.SessionCookie) != "" {
		b.t.Errorf("reason %q, want %q; a session: %t", got, want, b.cookie(httpkit.SessionCookie) != "")
	}
}

func peerSignsIn(t *testing.T, w *world, p realPeer) {
	b := w.peerBrowser(t)
	b.inByPeer(p)
	b.open("/still").has(t, http.StatusOK, "app /still for "+p.person())
}

// Signing out here ends the session at the provider as well, which asks for the
// password the next time; signing out there ends the one here, and no other.
func peerSignsOut(t *testing.T, w *world, p realPeer) {
	b := w.peerBrowser(t)
	b.inByPeer(p)
	p.leave(b).has(t, http.StatusOK, "You are signed out")
	if b.signedIn() {
		t.Error("signed in after signing out")
	}
	b.open("/reports").has(t, http.StatusOK, `name="password"`)

	here, elsewhere := w.peerBrowser(t), w.peerBrowser(t)
	here.inByPeer(p)
	elsewhere.inByPeer(p)
	if p.leaveThere(here) && here.signedIn() {
		t.Error("signed in after signing out at the provider")
	}
	if !elsewhere.signedIn() {
		t.Error("another session of the same person has ended as well")
	}
}

func peerClocksDiffer(t *testing.T, w *world, p realPeer) {
	for _, c := range p.clocks() {
		t.Run(c.ahead.String(), func(t *testing.T) {
			w.advance(c.ahead)
			defer w.advance(-c.ahead)
			b := w.peerBrowser(t)
			if c.want == "" {
				b.inByPeer(p)
				return
			}
			b.turnedAwayByPeer(p, c.want)
		})
	}
}

// peerRotates changes the key while somebody is at the provider's page.
func peerRotates(t *testing.T, w *world, p realPeer) {
	before, within := w.peerBrowser(t), w.peerBrowser(t)
	before.inByPeer(p)
	w.advance(11 * time.Second) // a provider is not asked anew right after it was
	asked := within.open("/reports")
	p.rotate(t)
	p.goThrough(within, asked).has(t, http.StatusOK, "app /reports for "+p.person())
	w.peerBrowser(t).inByPeer(p)
	before.open("/still").has(t, http.StatusOK, "app /still for "+p.person())
	if p.relapse(t) {
		w.peerBrowser(t).turnedAwayByPeer(p, authn.WrongKey)
		p.rotate(t)
	}
}

// samlPeer is what the peers of SAML have in common.
type samlPeer struct {
	w         *world
	email     string
	fields    url.Values    // of their page
	published *publisher    // where their metadata is found, also when they are away
	source    func() string // the metadata itself
}

func (s *samlPeer) connection() tenants.Connection {
	return tenants.Connection{Name: "peer", Type: tenants.SAML, Enabled: true, SAML: &tenants.SAMLSpec{
		IDPMetadata: tenants.MetadataSource{URL: s.published.URL}, Attributes: tenants.AttributeMap{Email: "mail", Name: "displayName"}}}
}

func (s *samlPeer) person() string { return s.email }

func (s *samlPeer) goThrough(b *browser, p page) page {
	b.t.Helper()
	p.has(b.t, http.StatusOK, `name="password"`)
	p = b.submit(p, s.fields)
	p.has(b.t, http.StatusOK, "SAMLResponse")
	return b.postFromElsewhere(s.w.url+"/.gatehouse/saml/peer/acs", hiddenFields(p))
}

func (s *samlPeer) leave(b *browser) page {
	b.t.Helper()
	p := b.post("/.gatehouse/logout", nil)
	p.has(b.t, http.StatusOK, "Signing out")
	_, way, _ := strings.Cut(p.body, `content="0; url=`)
	way, _, _ = strings.Cut(way, `"`)
	p = b.open(html.UnescapeString(way))
	p.has(b.t, http.StatusOK, "Close the browser window") // which is said once the provider has answered
	return p
}

// A response is 90 s old at most, and a minute more is given to the clocks.
func (s *samlPeer) clocks() []clock {
	return []clock{{110 * time.Second, ""}, {-40 * time.Second, ""}, {200 * time.Second, authn.Expired}, {-90 * time.Second, authn.NotYetValid}}
}

// republish has what the provider says of itself now be found.
func (s *samlPeer) republish() { s.published.now(s.source()) }

// announced tries what SAML has in the place of refresh tokens: metadata that is
// read anew by itself. A key that it has announced counts when it comes, also while
// the provider's metadata cannot be had; nobody had to bring an answer that did
// not fit.
func (s *samlPeer) announced(t *testing.T, p realPeer, announce, use func()) {
	t.Helper()
	// What is begun later is answered now: no answer may be that old.
	later := func(d time.Duration) {
		t.Helper()
		b := s.w.peerBrowser(t)
		s.w.advance(d)
		asked := b.open("/reports")
		s.w.advance(-d)
		p.goThrough(b, asked).has(t, http.StatusOK, "app /reports for "+p.person())
	}
	later(0)
	announce()
	s.republish()
	asked := s.published.count()
	later(16 * time.Minute) // by the key of before
	if n := s.published.count(); n != asked+1 {
		t.Errorf("the metadata was read %d times", n-asked)
	}
	s.published.now("")
	use()
	later(0)
	later(32 * time.Minute) // when it is to be read again, and cannot be
	if n := s.published.count(); n != asked+2 {
		t.Errorf("the metadata was asked for %d times", n-asked)
	}
}

// oidcClocks: an id token is good for an hour with these, and a minute more is given
// to the clocks.
func oidcClocks() []clock {
	return []clock{{time.Hour + 20*time.Second, ""}, {-40 * time.Second, ""}, {time.Hour + 100*time.Second, authn.Expired}, {-100 * time.Second, authn.NotYetValid}}
}

// askedAgain tries refresh tokens: the person goes on as long as the provider says
// so, and is out when it does not.
func askedAgain(t *testing.T, w *world, p realPeer, gone func()) {
	t.Helper()
	c := p.connection()
	const often = 20 * time.Minute
	c.OIDC.Recheck = tenants.Duration(often)
	w.connections.put(c)
	b := w.peerBrowser(t)
	b.inByPeer(p)
	w.rechecking()
	for round := range 2 { // the second is by what the first has brought
		w.advance(often)
		soon(t, "a refresh", func() bool { return w.held() == 0 && w.checked(time.Duration(round)*often+often/2) })
	}
	if failed := w.journal.all(audit.SessionRechecked); len(failed) != 0 || !b.signedIn() || w.kept() == 0 {
		t.Fatalf("failed: %+v, signed in %t", failed, b.signedIn())
	}
	gone()
	w.advance(often)
	soon(t, "the end of the session", func() bool { return !b.signedIn() })
}
