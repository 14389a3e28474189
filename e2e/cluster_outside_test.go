package e2e

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"gatehouse/authn/signals/transmittertest"
	"gatehouse/demo/oidcidp"
)

// TestP2_ClusterSignOutFromOutside has everybody who may tell of a sign-out tell
// one node: an OpenID provider, SimpleSAMLphp, and a transmitter of security
// events. Of who is meant nothing passes after the answer, on any node; and what is
// forged, stale, of another tenant, or shown again to another node ends nothing.
func TestP2_ClusterSignOutFromOutside(t *testing.T) {
	const people = 4
	f := newFront(t, people)
	stay := []*guest{f.byOIDC(t, "acme", 0), f.byOIDC(t, "globex", 0), f.bySAML(t, "acme", ida)}
	ctx, stop := context.WithCancel(t.Context())
	var watching sync.WaitGroup
	defer func() { stop(); watching.Wait() }()
	for i, g := range stay {
		g.holds(t, nil)
		for j, n := range f.nodes {
			watching.Go(func() { g.stay(ctx, t, n, f.client(i+j)) })
		}
	}
	for _, way := range []struct {
		name string
		try  func(*testing.T, *front)
	}{
		{"OpenID Connect", outsideByOIDC},
		{"SAML", outsideBySAML},
		{"pushed signals", outsideByPush},
		{"fetched signals", outsideByPoll},
	} {
		t.Run(way.name, func(t *testing.T) { way.try(t, f) })
		if t.Failed() {
			return
		}
		f.unmoved(t, "by "+way.name, stay...)
	}
}

// holds opens streams at nodes other than that.
func (g *guest) holds(t *testing.T, but *node) {
	t.Helper()
	g.hold(t, g.any(but), g.any(but))
}

// busy has guests use all nodes, with streams open at others than that.
func (f *front) busy(t *testing.T, but *node, guests ...*guest) {
	t.Helper()
	for _, g := range guests {
		g.holds(t, but)
		for i, n := range f.nodes {
			<-g.hammer(t, n, f.client(i))
		}
	}
}

// over checks that guests are out, since somebody has been answered just now.
func (f *front) over(t *testing.T, guests ...*guest) {
	t.Helper()
	for _, g := range guests {
		g.leave()
	}
	for _, g := range guests {
		g.left(t)
		for _, n := range f.nodes {
			g.out(t, n)
		}
		if g.through.Load() == 0 {
			t.Errorf("no request of session %s got through before", g.session)
		}
	}
	f.tight(t)
}

// unmoved checks that guests are where they were, on all nodes.
func (f *front) unmoved(t *testing.T, what string, guests ...*guest) {
	t.Helper()
	for _, g := range guests {
		for _, n := range f.nodes {
			if got := g.ask(t, n); got != http.StatusOK {
				t.Errorf("%s: session %s of %s is answered %d by node %d", what, g.session, g.tenant, got, n.number)
			}
		}
		for _, c := range g.open {
			c.stays(t)
		}
	}
}

// outsideByOIDC tells of person 1.
func outsideByOIDC(t *testing.T, f *front) {
	// The provider tells of one session itself.
	one, two, hears := f.byOIDC(t, "acme", 1), f.byOIDC(t, "acme", 1), f.any()
	f.busy(t, hears, one, two)
	f.hearing.Store(hears)
	resp, err := one.browser.PostForm(f.issuer+"/sign-out", nil)
	f.hearing.Store(nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = read(t, resp)
	session, status := f.back.last()
	if status != http.StatusOK { // the node was not sure
		if a := f.logoutToken(t, "acme", hears, session); a.Status != http.StatusOK {
			t.Fatalf("after %d: %+v", status, a)
		}
	}
	f.over(t, one)
	f.unmoved(t, "the sign-out of another session", two)

	// All of the person's, at another node.
	three, token := f.byOIDC(t, "acme", 1), f.tokenAbout(t, f.provider, "acme")
	hears = f.any(hears)
	f.busy(t, hears, three)
	if a := f.logoutToken(t, "acme", hears, token); a.Status != http.StatusOK {
		t.Fatalf("%+v", a)
	}
	f.over(t, two, three)

	here, there := f.byOIDC(t, "acme", 1), f.byOIDC(t, "globex", 1)
	here.holds(t, nil)
	there.holds(t, nil)
	stranger, err := oidcidp.New(oidcidp.Options{Issuer: f.issuer, Key: newKey(t), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, tenant, token, reason string
		at                          *node
	}{
		{"forged", "acme", f.tokenAbout(t, stranger, "acme"), "wrong-key", f.any()},
		{"stale", "acme", f.aged(t, f.tokenAbout(t, f.provider, "acme")), "expired", f.any()},
		{"replayed", "acme", token, "replayed", f.any(hears)},
		{"replayed about a session", "acme", session, "replayed", f.any(hears)},
		{"another tenant's", "globex", f.tokenAbout(t, f.provider, "acme"), "wrong-audience", f.any()},
		{"of another tenant's client", "acme", f.tokenAbout(t, f.provider, "globex"), "wrong-audience", f.any()},
	} {
		a := f.logoutToken(t, c.tenant, c.at, c.token)
		if a.Status != http.StatusBadRequest || !strings.Contains(a.Body, `"invalid_request"`) {
			t.Errorf("%s: %+v", c.name, a)
		}
		f.unmoved(t, c.name, here, there)
		f.recorded(t, c.tenant, "signout.refused", c.reason, a.Header.Get(requestIDField))
	}

	hears = f.any()
	f.busy(t, hears, there)
	if a := f.logoutToken(t, "globex", hears, f.tokenAbout(t, f.provider, "globex")); a.Status != http.StatusOK {
		t.Errorf("%+v", a)
	}
	f.over(t, there)
	f.unmoved(t, "a sign-out at globex", here)
}

const requestIDField = "X-Gatehouse-Request-Id"

// tokenAbout says that all sessions of person 1 are over.
func (f *front) tokenAbout(t *testing.T, p *oidcidp.Provider, client string) string {
	t.Helper()
	token, err := p.LogoutToken(client, "1", "")
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// aged is a logout token of ten minutes ago, signed anew.
func (f *front) aged(t *testing.T, raw string) string {
	t.Helper()
	claims := jwt.MapClaims{}
	token, _, err := jwt.NewParser().ParseUnverified(raw, claims)
	if err != nil {
		t.Fatal(err)
	}
	then := time.Now().Add(-10 * time.Minute)
	claims["iat"], claims["exp"] = then.Unix(), then.Add(2*time.Minute).Unix()
	old, err := token.SignedString(f.key)
	if err != nil {
		t.Fatal(err)
	}
	return old
}

// outsideBySAML tells of gil.
func outsideBySAML(t *testing.T, f *front) {
	one, two, hears := f.bySAML(t, "acme", gil), f.bySAML(t, "acme", gil), f.any()
	f.busy(t, hears, one, two)
	a := f.singleLogout(t, "acme", hears, f.asksToSignOut(t, one))
	if a.Status != http.StatusSeeOther || !strings.HasPrefix(a.Header.Get("Location"), f.saml.URL) {
		t.Fatalf("%+v", a)
	}
	f.over(t, one)
	f.unmoved(t, "the sign-out of another session", two)
	if resp, text := get(t, one.browser, a.Header.Get("Location")); resp.StatusCode != http.StatusOK || resp.Request.URL.Path != "/logout.php" {
		t.Errorf("SimpleSAMLphp takes the answer as %s at %s: %s", resp.Status, resp.Request.URL, text)
	}

	unchanged := func(message string) string { return message }
	three, all := f.bySAML(t, "acme", gil), f.like(t, f.saml.Key, unchanged)
	hears = f.any(hears)
	f.busy(t, hears, three)
	if a := f.singleLogout(t, "acme", hears, all); a.Status != http.StatusSeeOther {
		t.Fatalf("%+v", a)
	}
	f.over(t, two, three)

	here, there := f.bySAML(t, "acme", gil), f.bySAML(t, "globex", gil)
	here.holds(t, nil)
	there.holds(t, nil)
	stranger, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	atGlobex := func(message string) string { return strings.ReplaceAll(message, f.url("acme"), f.url("globex")) }
	for _, c := range []struct {
		name, tenant, query, reason string
		at                          *node
	}{
		{"forged", "acme", f.like(t, stranger, unchanged), "signature-invalid", f.any()},
		{"stale", "acme", f.like(t, f.saml.Key, longAgo), "expired", f.any()},
		{"replayed", "acme", all, "replayed", f.any(hears)},
		{"another tenant's", "globex", f.like(t, f.saml.Key, unchanged), "wrong-destination", f.any()},
		{"for another tenant", "acme", f.like(t, f.saml.Key, atGlobex), "wrong-destination", f.any()},
	} {
		a := f.singleLogout(t, c.tenant, c.at, c.query)
		if a.Status != http.StatusBadRequest || a.Header.Get("Location") != "" || !strings.Contains(a.Body, "The sign-out was not completed") {
			t.Errorf("%s: %+v", c.name, a)
		}
		f.unmoved(t, c.name, here, there)
		f.recorded(t, c.tenant, "signout.refused", c.reason, a.Header.Get(requestIDField))
	}

	hears = f.any()
	f.busy(t, hears, there)
	if a := f.singleLogout(t, "globex", hears, f.like(t, f.saml.Key, atGlobex)); a.Status != http.StatusSeeOther {
		t.Errorf("%+v", a)
	}
	f.over(t, there)
	f.unmoved(t, "a sign-out at globex", here)
}

var instants = regexp.MustCompile(`(IssueInstant|NotOnOrAfter)="[^"]*"`)

// longAgo has a request be of ten minutes ago.
func longAgo(message string) string {
	return instants.ReplaceAllString(message, `${1}="`+time.Now().Add(-10*time.Minute).UTC().Format(time.RFC3339)+`"`)
}

// outsideByPush tells of person 2.
func outsideByPush(t *testing.T, f *front) {
	person := map[string]any{"format": "iss_sub", "iss": f.issuer, "sub": "2"}
	var heeded string
	var hears *node
	for _, c := range []struct {
		event   string
		about   map[string]any
		subject func(*guest) map[string]any
		all     bool // of the person's sessions
	}{
		{transmittertest.CAEP + "session-revoked", nil, func(g *guest) map[string]any {
			return map[string]any{"format": "complex", "user": person, "session": map[string]any{"format": "opaque", "id": g.atProvider(t)}}
		}, false},
		{transmittertest.RISC + "account-disabled", map[string]any{"reason": "hijacking"}, func(*guest) map[string]any {
			return map[string]any{"format": "email", "email": account(2)}
		}, true},
		{transmittertest.CAEP + "credential-change", map[string]any{"change_type": "revoke", "credential_type": "password"}, func(*guest) map[string]any { return person }, true},
	} {
		one, two := f.byOIDC(t, "acme", 2), f.byOIDC(t, "acme", 2)
		hears = f.any()
		f.busy(t, hears, one, two)
		heeded, _ = f.event(t, "acme", c.event, c.about, c.subject(one), nil)
		if a := f.push(t, "acme", hears, heeded); a.Status != http.StatusAccepted || a.Body != "" {
			t.Fatalf("%s: %+v", c.event, a)
		}
		if c.all {
			f.over(t, one, two)
			continue
		}
		f.over(t, one)
		f.unmoved(t, c.event+" of another session", two)
		heeded, _ = f.event(t, "acme", c.event, nil, person, nil)
		if a := f.push(t, "acme", f.any(), heeded); a.Status != http.StatusAccepted {
			t.Fatalf("%s: %+v", c.event, a)
		}
		f.over(t, two)
	}

	here, there := f.byOIDC(t, "acme", 2), f.byOIDC(t, "globex", 2)
	here.holds(t, nil)
	there.holds(t, nil)
	const event = transmittertest.CAEP + "session-revoked"
	token := func(tenant string, change func(*jwt.Token, jwt.MapClaims)) string {
		raw, _ := f.event(t, tenant, event, nil, person, change)
		return raw
	}
	unsigned, _ := f.pushes.Event(f.audience("acme"), event, nil, person)
	forged, err := unsigned.SignedString(newKey(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, tenant, token, code, reason string
		at                                *node
	}{
		{"forged", "acme", forged, "invalid_key", "wrong-key", f.any()},
		{"stale", "acme", token("acme", func(_ *jwt.Token, claims jwt.MapClaims) {
			claims["iat"] = time.Now().Add(-8 * 24 * time.Hour).Unix()
		}), "invalid_request", "expired", f.any()},
		{"replayed", "acme", heeded, "", "replayed", f.any(hears)}, // who did not get the answer is given it again
		{"another tenant's", "globex", token("acme", nil), "invalid_audience", "wrong-audience", f.any()},
		{"for another tenant", "acme", token("globex", nil), "invalid_audience", "wrong-audience", f.any()},
		{"of another transmitter", "acme", token("acme", func(_ *jwt.Token, claims jwt.MapClaims) { claims["iss"] = f.polled.URL }), "invalid_issuer", "wrong-issuer", f.any()},
	} {
		a := f.push(t, c.tenant, c.at, c.token)
		if c.code == "" && (a.Status != http.StatusAccepted || a.Body != "") ||
			c.code != "" && (a.Status != http.StatusBadRequest || !strings.Contains(a.Body, `"`+c.code+`"`)) {
			t.Errorf("%s: %+v", c.name, a)
		}
		f.unmoved(t, c.name, here, there)
		f.recorded(t, c.tenant, "signal.refused", c.reason, a.Header.Get(requestIDField))
	}

	hears = f.any()
	f.busy(t, hears, there)
	if a := f.push(t, "globex", hears, token("globex", nil)); a.Status != http.StatusAccepted {
		t.Errorf("%+v", a)
	}
	f.over(t, there)
	f.unmoved(t, "a signal at globex", here)
}

// event is a signed security event for a tenant.
func (f *front) event(t *testing.T, tenant, event string, about, subject map[string]any, change func(*jwt.Token, jwt.MapClaims)) (raw, id string) {
	t.Helper()
	token, id := f.pushes.Event(f.audience(tenant), event, about, subject)
	claims, ok := token.Claims.(jwt.MapClaims)
	if !ok {
		t.Fatalf("claims of %T", token.Claims)
	}
	if change != nil {
		change(token, claims)
	}
	return f.pushes.Sign(token), id
}

func (f *front) audience(tenant string) string { return f.url(tenant) + ".gatehouse/signals/oidc" }

// atProvider is the guest's session at the OpenID provider (sid).
func (g *guest) atProvider(t *testing.T) string {
	t.Helper()
	at, err := url.Parse(g.issuer)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range g.browser.Jar.Cookies(at) {
		if c.Name == "demo_oidc_session" {
			return c.Value
		}
	}
	t.Fatal("no session at the provider")
	return ""
}

// outsideByPoll tells of gil, to whichever node asks.
func outsideByPoll(t *testing.T, f *front) {
	about := map[string]any{"format": "email", "email": gil.Email}
	const event = transmittertest.CAEP + "session-revoked"
	told := func(id, token string) (said string) {
		f.polled.Queue(id, token)
		soon(t, "what is said of an event", func() bool { said = f.polled.Told()[id]; return said != "" })
		return said
	}
	g := f.bySAML(t, "acme", gil)
	f.busy(t, nil, g)
	elsewhere, id := f.polled.Event("https://other.example", event, nil, about)
	if said := told(id, f.polled.Sign(elsewhere)); said != "invalid_audience" {
		t.Errorf("another audience's: %s", said)
	}
	f.recorded(t, "acme", "signal.refused", "wrong-audience", "")
	forged, id := f.polled.Event(audiencePolled, event, nil, about)
	raw, err := forged.SignedString(newKey(t))
	if err != nil {
		t.Fatal(err)
	}
	if said := told(id, raw); said != "invalid_key" {
		t.Errorf("forged: %s", said)
	}
	f.recorded(t, "acme", "signal.refused", "wrong-key", "")
	f.unmoved(t, "events that are not believed", g)
	good, id := f.polled.Event(audiencePolled, event, nil, about)
	if said := told(id, f.polled.Sign(good)); said != "ack" {
		t.Fatalf("%s", said)
	}
	f.over(t, g)
	if polls, most := f.polled.Polls(); most != 1 {
		t.Errorf("%d nodes asked at once, in %d polls", most, len(polls))
	}
	again := f.bySAML(t, "acme", gil)
	again.holds(t, nil)
	f.polled.Queue(id, f.polled.Sign(good))
	f.recorded(t, "acme", "signal.refused", "replayed", "")
	f.unmoved(t, "an event that is shown again", again)
}
