package e2e

import (
	"bytes"
	"compress/flate"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"gatehouse/authn/saml/simplesamltest"
	"gatehouse/authn/signals/transmittertest"
	"gatehouse/demo/oidcidp"
)

// courier is the way from the identity provider to whoever it tells of sign-outs.
// It keeps what it carried last, and what came of it.
type courier struct {
	way http.RoundTripper // set before there is something to carry

	mu     sync.Mutex
	token  string
	status int // 0: no answer
}

// RoundTrip carries a logout request.
func (c *courier) RoundTrip(r *http.Request) (*http.Response, error) {
	text, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	form, err := url.ParseQuery(string(text))
	if err != nil {
		return nil, err
	}
	carried := r.Clone(r.Context())
	carried.Body = io.NopCloser(bytes.NewReader(text))
	resp, err := c.way.RoundTrip(carried)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.token, c.status = form.Get("logout_token"), 0; err == nil {
		c.status = resp.StatusCode
	}
	return resp, err
}

func (c *courier) last() (token string, status int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.token, c.status
}

// front is a fleet with one address for all its nodes, as a balancer of connections
// gives them one, and with all who may tell it of sign-outs.
type front struct {
	*fleet

	port    string
	hearing atomic.Pointer[node] // whom connections lead to; nil: each to one by chance
	way     *http.Transport      // through the front, for each request anew
	saml    *simplesamltest.Provider
	pushes  *transmittertest.Transmitter // to both tenants
	polled  *transmittertest.Transmitter // by acme
	tokens  map[string]string            // of the tenants' owners
	asked   signOutRequest               // the last one of SimpleSAMLphp's own
}

// answer is what somebody is told who tells of a sign-out.
type answer = transmittertest.Answer

var (
	ida = simplesamltest.User{Name: "ida", Password: "hunter3", Email: "ida@acme.example"}

	xmlDeclaration = regexp.MustCompile(`^\s*<\?xml[^>]*\?>`)
)

const audiencePolled = "https://fleet.example/signals"

// newFront has acme and globex trust the same identity providers, each as another
// client, and the same transmitter.
func newFront(t *testing.T, people int) *front {
	t.Helper()
	// What nodes talk to ends after them.
	f := &front{saml: simplesamltest.Start(t, gil, ida), pushes: transmittertest.New(t), polled: transmittertest.New(t)}
	f.polled.Expect("poll-secret")
	f.fleet = newFleet(t, people)
	f.listen(t)
	transport, ok := f.h1.Transport.(*http.Transport)
	if !ok {
		t.Fatalf("goes by %T", f.h1.Transport)
	}
	f.way = transport.Clone()
	f.way.DisableKeepAlives = true
	f.back.way = f.way
	f.provider.Register(oidcidp.Client{ID: "acme", Secret: f.secret, RedirectURIs: f.callbacks("acme"), BackChannelURI: f.url("acme") + backChannelPath})
	f.provider.Register(oidcidp.Client{ID: "globex", Secret: f.secret, RedirectURIs: f.callbacks("globex")})
	f.tokens = map[string]string{"acme": f.token,
		"globex": strings.TrimSpace(f.nodes[0].run(t, "token", "create", "--tenant", "globex", "--scope", "api", "--role", "owner"))}
	var trusted []string
	for tenant := range f.tokens {
		f.put(t, tenant, "oidc", map[string]any{"type": "oidc", "issuer": f.issuer, "client_id": tenant, "client_secret": f.secret,
			"scopes": []string{"openid", "email", "profile"}, "claims": map[string]string{"email": "email", "name": "name"}, "default_role": "member",
			"signals": map[string]string{"issuer": f.pushes.URL}})
		simple := map[string]any{"type": "saml", "idp_metadata": map[string]string{"url": f.saml.MetadataURL()},
			"attributes": map[string]string{"email": "mail", "name": "displayName"}, "default_role": "viewer"}
		if tenant == "acme" {
			simple["signals"] = map[string]any{"issuer": f.polled.URL, "audience": audiencePolled,
				"poll": map[string]string{"endpoint": f.polled.URL + "/poll", "token": "poll-secret"}}
		}
		f.put(t, tenant, "simple", simple)
		resp, text := get(t, &http.Client{Transport: f.way}, f.url(tenant)+".gatehouse/saml/simple/metadata")
		if resp.StatusCode != http.StatusOK {
			t.Fatalf("%s: %s", resp.Status, text)
		}
		trusted = append(trusted, xmlDeclaration.ReplaceAllString(string(text), ""))
	}
	f.saml.Trust(t, []byte(`<EntitiesDescriptor xmlns="urn:oasis:names:tc:SAML:2.0:metadata">`+strings.Join(trusted, "")+`</EntitiesDescriptor>`))
	return f
}

// listen opens the front until the test ends.
func (f *front) listen(t *testing.T) {
	t.Helper()
	var config net.ListenConfig
	l, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, f.port, _ = net.SplitHostPort(l.Addr().String()) // of a listener
	var all sync.WaitGroup
	t.Cleanup(func() { _ = l.Close(); all.Wait() })
	all.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			to := f.hearing.Load()
			if to == nil {
				to = f.any()
			}
			all.Go(func() { join(client, to.https) })
		}
	})
}

// join carries bytes both ways until either side ends.
func join(client net.Conn, address string) {
	defer func() { _ = client.Close() }()
	server, err := net.Dial("tcp", address)
	if err != nil {
		return
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(server, client) // until one of them is gone
		_ = server.Close()
	}()
	_, _ = io.Copy(client, server)
	_ = client.Close()
	<-done
}

// url is where a tenant is, at the front.
func (f *front) url(tenant string) string { return "https://" + tenant + ".localhost:" + f.port + "/" }

// put makes or changes a connection.
func (f *front) put(t *testing.T, tenant, name string, spec map[string]any) {
	t.Helper()
	text, err := json.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	resp := sure(t, func() (*http.Response, error) {
		return f.h1.Do(request(t, http.MethodPut, f.any().url(tenant)+apiPath+"connections/"+name, string(text), "Authorization", "Bearer "+f.tokens[tenant]))
	})
	if said := read(t, resp); resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusCreated {
		t.Fatalf("%s: %s", resp.Status, said)
	}
}

// bySAML signs somebody in through the front, every request at a node by chance.
func (f *front) bySAML(t *testing.T, tenant string, user simplesamltest.User) *guest {
	t.Helper()
	return seated(t, f.enter(t, f.way, f.url(tenant), "simple", user.Name, user.Password))
}

// byOIDC signs somebody in at a node by chance.
func (f *front) byOIDC(t *testing.T, tenant string, person int) *guest {
	t.Helper()
	return seated(t, f.enter(t, f.h2.Transport, f.any().url(tenant), "oidc", account(person), fleetPassword))
}

// seated ends the test if nobody came in.
func seated(t *testing.T, g *guest) *guest {
	t.Helper()
	if g == nil {
		t.FailNow()
	}
	return g
}

// tell has a node hear something; it is told again while it is not sure (P7).
func (f *front) tell(t *testing.T, n *node, send func() answer) answer {
	t.Helper()
	f.hearing.Store(n)
	defer f.hearing.Store(nil)
	var a answer
	soon(t, "an answer to who tells of a sign-out", func() bool {
		a = send()
		return a.Status != http.StatusServiceUnavailable
	})
	return a
}

// sends is a request through the front, by somebody without cookies who goes
// nowhere else.
func (f *front) sends(t *testing.T, req func() *http.Request) func() answer {
	client := &http.Client{Transport: f.way, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return func() answer {
		resp, body := do(t, client, req())
		return answer{Status: resp.StatusCode, Header: resp.Header, Body: string(body)}
	}
}

const backChannelPath = ".gatehouse/oidc/oidc/backchannel-logout"

// logoutToken has a tenant hear a logout token, at a node.
func (f *front) logoutToken(t *testing.T, tenant string, n *node, token string) answer {
	t.Helper()
	return f.tell(t, n, f.sends(t, func() *http.Request {
		return request(t, http.MethodPost, f.url(tenant)+backChannelPath, url.Values{"logout_token": {token}}.Encode(),
			"Content-Type", "application/x-www-form-urlencoded")
	}))
}

// singleLogout has a tenant hear a LogoutRequest, at a node.
func (f *front) singleLogout(t *testing.T, tenant string, n *node, query string) answer {
	t.Helper()
	return f.tell(t, n, f.sends(t, func() *http.Request {
		return request(t, http.MethodGet, f.url(tenant)+".gatehouse/saml/simple/slo?"+query, "")
	}))
}

// push has a tenant hear a security event, at a node.
func (f *front) push(t *testing.T, tenant string, n *node, token string) answer {
	t.Helper()
	return f.tell(t, n, func() answer {
		return f.pushes.Push(&http.Client{Transport: f.way}, f.url(tenant)+".gatehouse/signals/oidc", token, nil)
	})
}

// signOutRequest is what SimpleSAMLphp asks for, as the browser carries it.
type signOutRequest struct{ message, relay, algorithm string }

// asksToSignOut has SimpleSAMLphp sign a guest out there, and gives where it sends
// the browser, which does not go yet.
func (f *front) asksToSignOut(t *testing.T, g *guest) (query string) {
	t.Helper()
	client := *g.browser
	client.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
		if strings.HasPrefix(r.URL.String(), f.url("acme")) {
			return http.ErrUseLastResponse
		}
		return nil
	}
	resp, text := get(t, &client, f.saml.SignOutURL())
	to, err := resp.Location()
	if err != nil || to.Path != "/.gatehouse/saml/simple/slo" {
		t.Fatalf("SimpleSAMLphp sends to %s, %v: %s", to, err, text)
	}
	packed, err := base64.StdEncoding.DecodeString(to.Query().Get("SAMLRequest"))
	if err != nil {
		t.Fatal(err)
	}
	message, err := io.ReadAll(flate.NewReader(bytes.NewReader(packed)))
	if err != nil {
		t.Fatal(err)
	}
	f.asked = signOutRequest{string(message), to.Query().Get("RelayState"), to.Query().Get("SigAlg")}
	return to.RawQuery
}

// requestID makes every message another one.
var requestID = regexp.MustCompile(` ID="[^"]*"`)

// like makes another request of SimpleSAMLphp's last one, about all sessions, and
// changes it; the key signs.
func (f *front) like(t *testing.T, key *rsa.PrivateKey, change func(string) string) (query string) {
	t.Helper()
	message := requestID.ReplaceAllString(f.asked.message, ` ID="_`+rand.Text()+`"`)
	message = regexp.MustCompile(`<samlp:SessionIndex>[^<]*</samlp:SessionIndex>`).ReplaceAllString(message, "")
	if message == f.asked.message || strings.Contains(message, "SessionIndex") {
		t.Fatalf("another form of request: %s", message)
	}
	var packed bytes.Buffer
	w, err := flate.NewWriter(&packed, flate.DefaultCompression)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(w, change(message)) // into memory
	_ = w.Close()
	query = "SAMLRequest=" + url.QueryEscape(base64.StdEncoding.EncodeToString(packed.Bytes()))
	if f.asked.relay != "" {
		query += "&RelayState=" + url.QueryEscape(f.asked.relay)
	}
	query += "&SigAlg=" + url.QueryEscape(f.asked.algorithm)
	digest := sha256.Sum256([]byte(query))
	signature, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	return query + "&Signature=" + url.QueryEscape(base64.StdEncoding.EncodeToString(signature))
}

// recorded waits until a tenant's journal says why something was refused, by
// whichever node it is asked. What was fetched came with no request.
func (f *front) recorded(t *testing.T, tenant, kind, reason, requestID string) {
	t.Helper()
	soon(t, kind+" for the reason "+reason, func() bool {
		resp, text := get(t, f.h1, f.any().url(tenant)+apiPath+"audit/events?type="+kind, "Authorization", "Bearer "+f.tokens[tenant])
		if resp.StatusCode != http.StatusOK {
			return false
		}
		type record struct {
			Reason    string `json:"reason"`
			Outcome   string `json:"outcome"`
			RequestID string `json:"request_id"`
		}
		for _, e := range decode[struct{ Items []record }](t, text).Items {
			if e.RequestID == requestID && e.Reason == reason && e.Outcome == "refused" {
				return true
			}
		}
		return false
	})
}
