package authn_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"gatehouse/audit"
	"gatehouse/authn"
	"gatehouse/identity"
	"gatehouse/internal/httpkit"
	"gatehouse/sessions"
)

const backChannel = "/.gatehouse/oidc/idp/backchannel-logout"

// logoutToken is one as it should be, of the session that every sign-in is
// given unless change says otherwise.
func (i *issuer) logoutToken(t *testing.T, change func(header map[string]any, claims jwt.MapClaims)) string {
	t.Helper()
	now := time.Now()
	claims := jwt.MapClaims{"iss": i.URL, "aud": clientID, "sub": "subject-1", "sid": "idp-session",
		"iat": now.Unix(), "exp": now.Add(2 * time.Minute).Unix(), "jti": rand.Text(),
		"events": map[string]any{"http://schemas.openid.net/event/backchannel-logout": map[string]any{}}}
	token := jwt.NewWithClaims(jwt.SigningMethodES256, claims)
	token.Header["kid"], token.Header["typ"] = "k1", "logout+jwt"
	if change != nil {
		change(token.Header, claims)
	}
	raw, err := token.SignedString(i.key)
	check(t, err)
	return raw
}

func claim(name string, value any) func(map[string]any, jwt.MapClaims) {
	return func(_ map[string]any, c jwt.MapClaims) {
		if c[name] = value; value == nil {
			delete(c, name)
		}
	}
}

// tell posts as an identity provider's server does: without cookies.
func (w *world) tell(t *testing.T, path string, form url.Values) page {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.url+path, strings.NewReader(form.Encode()))
	check(t, err)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	b := w.browser()
	transport, ok := b.Transport.(asBrowser)
	if !ok {
		t.Fatalf("a browser of another kind: %T", b.Transport)
	}
	return b.read(transport.next.RoundTrip(req))
}

func (w *world) tellToken(t *testing.T, raw string) page {
	t.Helper()
	return w.tell(t, backChannel, url.Values{"logout_token": {raw}})
}

// wire is what a browser has open.
type wire struct {
	leave func()
	cut   atomic.Bool
}

func (c *wire) Terminate(string) {
	c.cut.Store(true)
	c.leave()
}

func (b *browser) live() *sessions.Live {
	b.t.Helper()
	live, err := b.w.sessions.Find(b.t.Context(), acme, b.cookie(httpkit.SessionCookie))
	check(b.t, err)
	return live
}

// stream opens something that stays open.
func (b *browser) stream() *wire {
	b.t.Helper()
	c := &wire{leave: func() {}}
	ready := make(chan struct{})
	var leave func()
	c.leave = func() { <-ready; leave() }
	leave, ok := b.live().Enter(c)
	close(ready)
	if !ok {
		b.t.Fatal("the session is over")
	}
	return c
}

func (b *browser) signedIn() bool {
	_, err := b.w.sessions.Find(b.t.Context(), acme, b.cookie(httpkit.SessionCookie))
	return err == nil
}

// atIDPSession has the next sign-ins belong to a session of the provider's.
func (i *issuer) atIDPSession(sub, sid, email string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.claims = func(c jwt.MapClaims) { c["sub"], c["sid"], c["email"] = sub, sid, email }
}

func TestP2_BackChannelLogoutEndsWhatItNames(t *testing.T) {
	w, idp := newWorld(t), newIssuer(t)
	w.connections.put(idp.connection())
	other := idp.connection()
	other.Name = "other" // the same provider, trusted once more
	w.connections.put(other)
	for name, c := range map[string]struct {
		sub, sid any
		ends     []int
	}{
		"a session of the person's":     {"ann", "s1", []int{0}},
		"a session":                     {nil, "s2", []int{1}},
		"the person":                    {"ann", nil, []int{0, 1}},
		"a session of somebody else's":  {"bob", "s1", nil},
		"a session that there is not":   {nil, "s9", nil},
		"somebody whom nobody knows":    {"cid", nil, nil},
		"a person by their name's case": {"Ann", nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			var browsers []*browser
			var wires []*wire
			for _, at := range []struct{ connection, sub, sid string }{{"idp", "ann", "s1"}, {"idp", "ann", "s2"}, {"idp", "bob", "s3"}, {"other", "ann", "s1"}} {
				b := w.browser()
				b.t = t
				idp.atIDPSession(at.sub, at.sid, at.sub+"."+at.connection+"@acme.example")
				b.open("/.gatehouse/login?connection="+at.connection).has(t, http.StatusOK, "app /")
				browsers, wires = append(browsers, b), append(wires, b.stream())
			}
			raw := idp.logoutToken(t, func(_ map[string]any, claims jwt.MapClaims) {
				claim("sub", c.sub)(nil, claims)
				claim("sid", c.sid)(nil, claims)
			})
			p := w.tellToken(t, raw)
			p.has(t, http.StatusOK)
			if p.header.Get("Cache-Control") != "no-store" || p.body != "" {
				t.Errorf("%v %q", p.header, p.body)
			}
			ends := map[int]bool{}
			for _, i := range c.ends {
				ends[i] = true
			}
			for i, b := range browsers {
				if b.signedIn() == ends[i] || wires[i].cut.Load() != ends[i] {
					t.Errorf("browser %d: signed in %t, stream cut %t", i, b.signedIn(), wires[i].cut.Load())
				}
				if !ends[i] {
					wires[i].leave()
				}
			}
			revoked := w.journal.all(audit.SessionsRevoked)
			e := revoked[len(revoked)-1]
			if e.Reason != "signed-out-at-provider" || e.Actor.Kind != identity.KindIDP || e.Actor.Name != "idp" || e.Connection != "con_idp" || e.IP.String() != "203.0.113.7" {
				t.Errorf("recorded as %+v", e)
			}
			_, err := w.sessions.Revoke(t.Context(), audit.SystemCause(), acme, sessions.Selector{All: true}, "test")
			check(t, err)
		})
	}
}

func TestHostileLogoutTokensEndNothing(t *testing.T) {
	w, idp := newWorld(t), newIssuer(t)
	w.connections.put(idp.connection())
	stranger, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	b := w.browser()
	b.open("/").has(t, http.StatusOK)
	open := b.stream()
	defer open.leave()

	type form = url.Values
	token := func(change func(map[string]any, jwt.MapClaims)) form {
		return form{"logout_token": {idp.logoutToken(t, change)}}
	}
	header := func(name string, value any) func(map[string]any, jwt.MapClaims) {
		return func(h map[string]any, _ jwt.MapClaims) { h[name] = value }
	}
	signed := func(method jwt.SigningMethod, key any) form {
		var claims jwt.MapClaims
		idp.logoutToken(t, func(_ map[string]any, c jwt.MapClaims) { claims = c })
		raw, err := idp.signed(method, key, claims)
		check(t, err)
		return form{"logout_token": {raw}}
	}
	good := idp.logoutToken(t, nil)
	const event = "http://schemas.openid.net/event/backchannel-logout"
	now := time.Now()
	for name, c := range map[string]struct {
		form form
		want authn.Reason
	}{
		"wrong issuer":       {token(claim("iss", "https://evil.example")), authn.WrongIssuer},
		"wrong audience":     {token(claim("aud", "another")), authn.WrongAudience},
		"several audiences":  {token(claim("aud", []string{clientID, "another"})), authn.WrongAudience},
		"another key":        {signed(jwt.SigningMethodES256, stranger), authn.WrongKey},
		"unknown key":        {token(header("kid", "k2")), authn.WrongKey},
		"changed after":      {form{"logout_token": {good[:len(good)-6] + "AAAAAA"}}, authn.WrongKey},
		"algorithm none":     {signed(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType), authn.WrongAlgorithm},
		"algorithm HS256":    {signed(jwt.SigningMethodHS256, []byte(clientSecret)), authn.WrongAlgorithm},
		"another type":       {token(header("typ", "at+jwt")), authn.Malformed},
		"a nonce":            {token(claim("nonce", "n")), authn.WrongNonce},
		"an empty nonce":     {token(func(_ map[string]any, c jwt.MapClaims) { c["nonce"] = nil }), authn.WrongNonce},
		"no events":          {token(claim("events", nil)), authn.Malformed},
		"another event":      {token(claim("events", map[string]any{"http://schemas.openid.net/event/other": map[string]any{}})), authn.Malformed},
		"an event of null":   {token(claim("events", map[string]any{event: nil})), authn.Malformed},
		"an event of text":   {token(claim("events", map[string]any{event: "yes"})), authn.Malformed},
		"a list of events":   {token(claim("events", []string{event})), authn.Malformed},
		"old":                {token(claim("iat", now.Add(-7*time.Minute).Unix())), authn.Expired},
		"expired":            {token(claim("exp", now.Add(-2*time.Minute).Unix())), authn.Expired},
		"never expires":      {token(claim("exp", nil)), authn.Expired},
		"never issued":       {token(claim("iat", nil)), authn.NotYetValid},
		"of the future":      {token(claim("iat", now.Add(2*time.Minute).Unix())), authn.NotYetValid},
		"not valid yet":      {token(claim("nbf", now.Add(2*time.Minute).Unix())), authn.NotYetValid},
		"no id":              {token(claim("jti", nil)), authn.Malformed},
		"a long id":          {token(claim("jti", strings.Repeat("j", 256))), authn.Malformed},
		"an id that is none": {token(claim("jti", 7)), authn.Malformed},
		"of nobody":          {token(func(_ map[string]any, c jwt.MapClaims) { delete(c, "sub"); delete(c, "sid") }), authn.SubjectUnusable},
		"of nobody, by name": {token(func(_ map[string]any, c jwt.MapClaims) { c["sub"], c["sid"] = "", "" }), authn.SubjectUnusable},
		"a long subject":     {token(claim("sub", strings.Repeat("s", 256))), authn.SubjectUnusable},
		"a long session":     {token(claim("sid", strings.Repeat("s", 256))), authn.SubjectUnusable},
		"not a token":        {form{"logout_token": {"x.y"}}, authn.Malformed},
		"encrypted":          {form{"logout_token": {"a.b.c.d.e"}}, authn.Malformed},
		"nothing":            {form{}, authn.Malformed},
		"two tokens":         {form{"logout_token": {good, good}}, authn.Malformed},
		"a large token":      {form{"logout_token": {strings.Repeat("a", 70_000)}}, authn.TooLarge},
		"a large form":       {form{"logout_token": {good}, "more": {strings.Repeat("a", 90_000)}}, authn.TooLarge},
		"an id token":        {form{"logout_token": {b.idToken(idp)}}, authn.Malformed},
		"a form that is not": {nil, authn.Malformed},
	} {
		t.Run(name, func(t *testing.T) {
			before := len(w.journal.all(audit.SignOutRefused))
			p := w.tell(t, backChannel, c.form)
			if c.form == nil {
				p = w.tell(t, backChannel+"?logout_token="+good, nil) // not in the body
			}
			p.has(t, http.StatusBadRequest)
			refused := w.journal.all(audit.SignOutRefused)
			if len(refused) == before || authn.Reason(refused[len(refused)-1].Reason) != c.want {
				t.Errorf("recorded as %+v, want %s", refused[before:], c.want)
			}
			oauthError(t, p, "invalid_request")
			if !b.signedIn() || open.cut.Load() || len(w.journal.all(audit.SessionsRevoked)) != 0 {
				t.Error("something was ended")
			}
		})
	}
	w.tellToken(t, good).has(t, http.StatusOK)
	if b.signedIn() {
		t.Error("the good token ended nothing")
	}
}

// idToken is what the provider said at a sign-in.
func (b *browser) idToken(idp *issuer) string {
	b.t.Helper()
	hint, err := b.w.sessions.LogoutHint(b.t.Context(), acme, b.live().Principal().Session)
	check(b.t, err)
	return hint
}

func oauthError(t *testing.T, p page, code string) {
	t.Helper()
	var told struct {
		Error       string `json:"error"`
		Description string `json:"error_description"`
	}
	check(t, json.Unmarshal([]byte(p.body), &told))
	if told.Error != code || told.Description == "" || p.header.Get("Cache-Control") != "no-store" || p.header.Get("Content-Type") != "application/json" {
		t.Errorf("%v %s", p.header, p.body)
	}
}

func TestALogoutTokenIsHeededOnce(t *testing.T) {
	w, idp := newWorld(t), newIssuer(t)
	w.connections.put(idp.connection())
	b := w.browser()
	b.open("/").has(t, http.StatusOK)
	raw := idp.logoutToken(t, claim("sid", nil))

	// A sign-out that did not come about may be asked for again.
	w.journal.fail(errors.New("disk full"))
	if p := w.tellToken(t, raw); p.status != http.StatusServiceUnavailable || p.header.Get("Retry-After") == "" {
		t.Errorf("without a journal: %d", p.status)
	}
	w.journal.mend()
	w.tellToken(t, raw).has(t, http.StatusOK)
	if b.signedIn() {
		t.Fatal("still signed in")
	}
	b.open("/").has(t, http.StatusOK)
	for range 2 {
		p := w.tellToken(t, raw)
		p.has(t, http.StatusBadRequest)
		oauthError(t, p, "invalid_request")
	}
	refused := w.journal.all(audit.SignOutRefused)
	if len(refused) != 2 || refused[1].Reason != "replayed" || !b.signedIn() {
		t.Errorf("signed in %t, recorded as %+v", b.signedIn(), refused)
	}
	// Steps of sign-ins drive out what has expired, and this has not.
	w.advance(6 * time.Minute)
	w.browser().open("/.gatehouse/login")
	if p := w.tellToken(t, raw); p.status != http.StatusBadRequest || !b.signedIn() {
		t.Errorf("later: %d", p.status)
	}
}

func TestLogoutTokensOfOtherConnections(t *testing.T) {
	w, idp := newWorld(t), newIssuer(t)
	w.connections.put(idp.connection())
	other := idp.connection()
	other.Name = "other"
	other.OIDC.ClientID = "another client"
	w.connections.put(other)
	off := idp.connection()
	off.Name, off.Enabled = "off", false
	w.connections.put(off)
	w.connections.put(samlConnection(ourKey()))
	b := w.browser()
	b.open("/.gatehouse/login?connection=idp").has(t, http.StatusOK)
	raw := idp.logoutToken(t, nil)
	for name, want := range map[string]authn.Reason{
		"other": authn.WrongAudience, "off": "connection-unknown", "nobody": "connection-unknown", "adfs": "connection-unknown"} {
		p := w.tell(t, "/.gatehouse/oidc/"+name+"/backchannel-logout", url.Values{"logout_token": {raw}})
		p.has(t, http.StatusBadRequest)
		oauthError(t, p, "invalid_request")
		refused := w.journal.all(audit.SignOutRefused)
		if got := authn.Reason(refused[len(refused)-1].Reason); got != want || !b.signedIn() {
			t.Errorf("%s: %q, signed in %t", name, got, b.signedIn())
		}
	}
	if p := b.open(backChannel); p.status != http.StatusMethodNotAllowed {
		t.Errorf("GET: %d", p.status)
	}
}

// TestLogoutTokensAskTheProviderSeldom: whoever makes up keys must not have us
// ask the provider for each, and must not keep a good token from being heeded.
// What the provider was not asked about may be good: it may be sent again.
func TestLogoutTokensAskTheProviderSeldom(t *testing.T) {
	w, idp := newWorld(t), newIssuer(t)
	w.connections.put(idp.connection())
	b := w.browser()
	b.open("/").has(t, http.StatusOK)
	before, begun := idp.keysAsked.Load(), time.Now()
	for range 40 {
		asked := idp.keysAsked.Load()
		p := w.tellToken(t, idp.logoutToken(t, func(h map[string]any, _ jwt.MapClaims) { h["kid"] = rand.Text() }))
		if p.status != http.StatusBadRequest && (p.status != http.StatusServiceUnavailable || idp.keysAsked.Load() != asked) {
			t.Errorf("status %d, the keys were asked for %d times", p.status, idp.keysAsked.Load()-asked)
		}
	}
	if asked, most := idp.keysAsked.Load()-before, 6+int64(time.Since(begun)/time.Second); asked > most {
		t.Errorf("the keys were asked for %d times, at most %d are wanted", asked, most)
	}
	w.tellToken(t, idp.logoutToken(t, nil)).has(t, http.StatusOK)
	if b.signedIn() {
		t.Error("still signed in")
	}
}

func TestAProviderThatCannotBeReachedIsAskedToTryAgain(t *testing.T) {
	w, idp := newWorld(t), newIssuer(t)
	w.connections.put(idp.connection())
	raw := idp.logoutToken(t, nil)
	idp.Close()
	p := w.tellToken(t, raw)
	p.has(t, http.StatusServiceUnavailable)
	oauthError(t, p, "temporarily_unavailable")
	if refused := w.journal.all(audit.SignOutRefused); len(refused) != 1 || refused[0].Reason != "provider-unreachable" {
		t.Errorf("recorded as %+v", refused)
	}
}

// A provider does not repeat what was answered with 400: the sign-out would be
// lost.
func TestALogoutTokenIsNotRefusedForWantOfKeys(t *testing.T) {
	for name, answer := range withoutKeys {
		t.Run(name, func(t *testing.T) {
			w, idp := newWorld(t), newIssuer(t)
			w.connections.put(idp.connection())
			b := w.browser()
			b.open("/").has(t, http.StatusOK)
			idp.rollKey(t) // so that the known key does not do
			raw := idp.logoutToken(t, nil)
			idp.answerKeys(answer)
			p := w.tellToken(t, raw)
			p.has(t, http.StatusServiceUnavailable)
			oauthError(t, p, "temporarily_unavailable")
			refused := w.journal.all(audit.SignOutRefused)
			if len(refused) != 1 || refused[0].Reason != "provider-unreachable" || p.header.Get("Retry-After") == "" || !b.signedIn() {
				t.Errorf("signed in %t, %v, recorded as %+v", b.signedIn(), p.header, refused)
			}
			idp.answerKeys(nil)
			w.tellToken(t, raw).has(t, http.StatusOK)
			if b.signedIn() {
				t.Error("still signed in")
			}
		})
	}
}

// TestP2_BackChannelLogoutWithoutTheDatabase: what cannot be looked up whether it
// was heeded is heeded, and asked for again until it can be remembered.
func TestP2_BackChannelLogoutWithoutTheDatabase(t *testing.T) {
	w, idp := newWorld(t), newIssuer(t)
	w.connections.put(idp.connection())
	b := w.browser()
	b.open("/.gatehouse/login?connection=idp").has(t, http.StatusOK, "app /")
	open, raw := b.stream(), idp.logoutToken(t, nil)
	w.lost.Store(true)
	p := w.tellToken(t, raw)
	p.has(t, http.StatusServiceUnavailable)
	if p.header.Get("Retry-After") == "" {
		t.Error("no word of when to come again")
	}
	if !open.cut.Load() || b.signedIn() {
		t.Error("the session goes on")
	}
	w.lost.Store(false)
	w.tellToken(t, raw).has(t, http.StatusOK)
	w.tellToken(t, raw).has(t, http.StatusBadRequest)
}
