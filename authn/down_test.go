package authn_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	dsig "github.com/russellhaering/goxmldsig"

	"gatehouse/authn/oauth2/oauth2test"
	"gatehouse/authn/saml/attacktest"
	"gatehouse/identity"
	"gatehouse/internal/httpkit"
	"gatehouse/tenants"
)

// atOnce is how many sign-ins fail at the same time, and withStep how many of those
// that keep a step before: writing waits for nobody for long.
const atOnce, withStep = 64, 8

// barrage is very many sign-ins that fail, from a network each, so that none is turned
// away for having come too often.
type barrage struct {
	*world
	b       *browser // of somebody who is signed in by the provider that fails
	sent    atomic.Int64
	most    atomic.Int64 // goroutines
	browser string       // the mark of all those who try
}

// failing is a way in which a provider fails.
type failing struct {
	how   string
	times int
	at    int // once
	begin func()
	try   func() *httptest.ResponseRecorder
	says  []string // one of which stands on the page
	hangs bool     // and is not waited for for long
}

func (x *barrage) do(method, target string, form url.Values) *httptest.ResponseRecorder {
	n := x.sent.Add(1)
	r := httptest.NewRequest(method, target, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Accept", "text/html")
	r.AddCookie(&http.Cookie{Name: httpkit.FlowCookie, Value: x.browser})
	r = r.WithContext(httpkit.WithRequest(context.Background(), &httpkit.Request{ID: identity.NewRequestID(), Start: time.Now(),
		ClientIP: netip.AddrFrom4([4]byte{198, byte(18 + n>>16), byte(n >> 8), byte(n)}), Tenant: acme, TenantName: "acme", Origin: x.url}))
	answer := httptest.NewRecorder()
	x.Handler().ServeHTTP(answer, r)
	if now := int64(runtime.NumGoroutine()); now > x.most.Load() {
		x.most.Store(now)
	}
	return answer
}

// begins is the way to a sign-in at a connection.
func (x *barrage) begins(connection string) *httptest.ResponseRecorder {
	return x.do(http.MethodGet, x.url+"/.gatehouse/login?connection="+connection, nil)
}

// answers begins a sign-in that the provider takes, and comes back with a code that
// says which nonce was asked for.
func (x *barrage) answers(protocol, connection, issuer string) *httptest.ResponseRecorder {
	asked := x.begins(connection)
	to, err := url.Parse(asked.Header().Get("Location"))
	if err != nil || asked.Code != http.StatusSeeOther {
		return asked
	}
	back := url.Values{"state": to.Query()["state"], "code": {"for " + to.Query().Get("nonce")}}
	if issuer != "" {
		back.Set("iss", issuer)
	}
	return x.do(http.MethodGet, x.url+"/.gatehouse/"+protocol+"/"+connection+"/callback?"+back.Encode(), nil)
}

// fire has all of them fail, while whoever is signed in goes on.
func (x *barrage) fire(t *testing.T, f failing) {
	t.Helper()
	if x.egress.Timeout = time.Minute; f.hangs {
		x.egress.Timeout = time.Second
	}
	f.begin()
	var failed, next atomic.Int64
	var all sync.WaitGroup
	var other atomic.Pointer[string]
	for range f.at {
		all.Go(func() {
			for next.Add(1) <= int64(f.times) {
				answer := f.try()
				text := answer.Body.String()
				told := false
				for _, says := range f.says {
					told = told || strings.Contains(text, says)
				}
				if told && (answer.Code == http.StatusBadGateway || answer.Code == http.StatusForbidden) {
					failed.Add(1)
					continue
				}
				what := fmt.Sprint(answer.Code, " ", text)
				other.Store(&what)
			}
		})
	}
	over := make(chan struct{})
	go func() { all.Wait(); close(over) }()
	for going := true; going; {
		x.b.open("/still").has(t, http.StatusOK, "app /still for ")
		select {
		case <-over:
			going = false
		case <-time.After(20 * time.Millisecond): // as people do
		}
	}
	if n := failed.Load(); n != int64(f.times) {
		t.Errorf("%s: %d of %d were told what is wrong; another was told %s", f.how, n, f.times, *other.Load())
	}
	x.advance(time.Minute) // it is asked anew
}

// TestP7_TenThousandFailedSignIns at providers that hang, are gone or change their
// keys all the time: whoever is signed in goes on, the page says what is wrong, and
// nothing grows. OAuth 2.0 asks its provider for nothing before the answer, and so
// has most of its attempts where no step is kept (authn/oauth2).
func TestP7_TenThousandFailedSignIns(t *testing.T) {
	for name, protocol := range map[string]struct {
		times int
		ways  func(t *testing.T, x *barrage) []failing
	}{
		"OIDC":   {10_000, oidcFailing},
		"SAML":   {10_000, samlFailing},
		"OAuth2": {200, oauth2Failing},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			x := &barrage{world: w, b: w.browser()}
			x.b.t = t
			ways := protocol.ways(t, x)
			x.browser = strings.Repeat("B", 43)
			before, heap, times := runtime.NumGoroutine(), heapNow(), 0
			for _, f := range ways {
				x.fire(t, f)
				times += f.times
			}
			if times != protocol.times {
				t.Errorf("%d attempts", times)
			}
			// Of each attempt under way there is a request to the provider at most, with
			// both ends of its connection in this program.
			if grown := x.most.Load() - int64(before); grown > 8*atOnce {
				t.Errorf("%d goroutines more meanwhile", grown)
			}
			w.egress.CloseIdleConnections()
			soon(t, "the end of them", func() bool { return runtime.NumGoroutine() < before+atOnce })
			w.journal.mu.Lock()
			w.journal.events = nil // which are in a file otherwise
			w.journal.mu.Unlock()
			if grown := heapNow() - heap; grown > 16<<20 {
				t.Errorf("%d bytes more", grown)
			}
			x.b.open("/still").has(t, http.StatusOK, "app /still for ")
		})
	}
}

const (
	unreachable = "cannot be reached right now"
	untrusted   = "could not be trusted"
)

// oidcFailing signs in by one provider, which then fails before there is a step;
// another is asked for tokens that it does not give, or that nobody can verify.
func oidcFailing(t *testing.T, x *barrage) []failing {
	idp, second := newIssuer(t), newIssuer(t)
	x.connections.put(idp.connection())
	x.b.open("/").has(t, http.StatusOK)
	front := func(i *issuer, path string, answer http.HandlerFunc) {
		i.mu.Lock()
		defer i.mu.Unlock()
		i.front = map[string]http.HandlerFunc{path: answer}
	}
	changed := func(i *issuer) { // another version of the connection, of which nothing is known
		c := i.connection()
		c.DisplayName = "changed"
		x.connections.put(c)
	}
	begins := func() *httptest.ResponseRecorder { return x.begins("idp") }
	answers := func() *httptest.ResponseRecorder { return x.answers("oidc", "idp", second.URL) }
	begun := time.Now()
	t.Cleanup(func() {
		if n, most := second.keysAsked.Load(), 10+int64(time.Since(begun).Seconds()); n > most {
			t.Errorf("the keys were asked for %d times", n)
		}
	})
	return []failing{
		{"discovery hangs", 4850, atOnce, func() { front(idp, atDiscovery, hangs); changed(idp) }, begins, []string{unreachable}, true},
		{"it is gone", 4850, atOnce, func() { idp.CloseClientConnections(); _ = idp.Listener.Close() }, begins, []string{unreachable}, false},
		{"tokens hang", 30, withStep, func() { changed(second); front(second, atTokenEndpoint, hangs) }, answers, []string{unreachable}, true},
		{"tokens fail", 70, withStep, func() {
			front(second, atTokenEndpoint, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
		}, answers, []string{unreachable}, false},
		{"keys change all the time", 200, withStep, func() {
			front(second, atTokenEndpoint, second.strangeToken)
			second.answerKeys(strangeKeys)
		}, answers, []string{untrusted, unreachable}, false}, // whose keys are not asked for at will
	}
}

// strangeToken answers with an id token that is good but for its key, which nobody has
// seen before.
func (i *issuer) strangeToken(w http.ResponseWriter, r *http.Request) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	claims := i.claimsNow()
	claims["nonce"] = strings.TrimPrefix(r.PostFormValue("code"), "for ")
	token := jwt.NewWithClaims(jwt.SigningMethodES256, claims)
	token.Header["kid"] = rand.Text()
	raw, err := token.SignedString(key)
	if err != nil {
		panic(err)
	}
	reply(w, map[string]any{"access_token": "at", "token_type": "Bearer", "id_token": raw})
}

// strangeKeys are other ones each time.
func strangeKeys(w http.ResponseWriter) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	point, err := key.PublicKey.Bytes()
	if err != nil {
		panic(err)
	}
	b64 := base64.RawURLEncoding.EncodeToString
	reply(w, map[string]any{"keys": []any{map[string]string{"kty": "EC", "crv": "P-256", "kid": rand.Text(), "alg": "ES256", "use": "sig",
		"x": b64(point[1:33]), "y": b64(point[33:])}}})
}

// samlFailing signs in by a provider whose metadata then hangs and is gone; and has
// one send answers by a key that its metadata, another each time, does not list.
func samlFailing(t *testing.T, x *barrage) []failing {
	third, err := attacktest.NewSigner(time.Now().Add(time.Hour))
	check(t, err)
	published, changing := publish(t, idpMetadata(sso, ourKey())), publish(t, idpMetadata(sso, ourKey()))
	from := func(p *publisher) {
		x.connections.put(tenants.Connection{Name: "adfs", Type: tenants.SAML, Enabled: true, SAML: &tenants.SAMLSpec{IDPInitiated: true,
			IDPMetadata: tenants.MetadataSource{URL: p.URL}, Attributes: tenants.AttributeMap{Email: "mail"}}})
	}
	from(published)
	x.b.samlSignIn("adfs", "gil", "s1")
	begins := func() *httptest.ResponseRecorder { return x.begins("adfs") }
	var answers []url.Values
	for n := range 16 {
		f, _ := x.b.unasked(fmt.Sprint("_strange", n), "/", nil)
		doc := f.message.Document(t)
		signer{third}.sign(t, assertionOf(doc), dsig.RSASHA256SignatureMethod)
		answers = append(answers, f.form(bytesOf(t, doc)))
	}
	begun := time.Now()
	t.Cleanup(func() {
		if n, most := changing.count(), 3+int(time.Since(begun).Seconds()/10); n > most {
			t.Errorf("the metadata was asked for %d times", n)
		}
	})
	return []failing{
		{"metadata hangs", 4750, atOnce, func() { published.hang(); from(published) }, begins, []string{unreachable}, true},
		{"it is gone", 4750, atOnce, func() { published.CloseClientConnections(); _ = published.Listener.Close() }, begins, []string{unreachable}, false},
		{"keys change all the time", 500, atOnce, func() { from(changing) }, func() *httptest.ResponseRecorder {
			n := int(x.sent.Load())
			changing.now(idpMetadata(sso, []signer{ourKey(), otherKey()}[n%2]))
			return x.do(http.MethodPost, x.url+"/.gatehouse/saml/adfs/acs", answers[n%len(answers)])
		}, []string{untrusted}, false},
	}
}

func oauth2Failing(t *testing.T, x *barrage) []failing {
	hub := oauth2test.New(t)
	x.connections.put(hub.Connection())
	x.b.open("/").has(t, http.StatusOK)
	answers := func() *httptest.ResponseRecorder { return x.answers("oauth2", "hub", "") }
	return []failing{
		{"tokens are refused", 100, withStep, func() {
			hub.Instead(oauth2test.Token, func(w http.ResponseWriter, _ *http.Request) { replyError(w, http.StatusUnauthorized, "invalid_client") })
		}, answers, []string{"not set up correctly", untrusted}, false},
		{"it is gone", 100, withStep, func() { hub.CloseClientConnections(); _ = hub.Listener.Close() }, answers, []string{unreachable}, false},
	}
}

func heapNow() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc) // #nosec G115 -- no heap is that large
}
