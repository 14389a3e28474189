package gateway

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"io"
	"maps"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"gatehouse/audit"
	"gatehouse/identity"
	"gatehouse/machines"
	"gatehouse/tenants"
)

// plant is a gateway with an app that tells what it was told, two tenants, and an
// authorization server.
type plant struct {
	*house
	as     *authServer
	globex *tenants.Tenant
	seen   *telling
}

// telling is an app that tells of each request who it is for, and keeps some open.
type telling struct {
	*httptest.Server
	entered chan struct{}
}

type answered struct {
	Status        int
	Proto         string
	Header        http.Header // of the answer
	User          string
	Name          string
	Roles         string
	Authorization string
	Problem       string
	Body          string
}

func newTelling(t *testing.T) *telling {
	a := &telling{entered: make(chan struct{}, 100)}
	a.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/hold" {
			w.WriteHeader(http.StatusOK)
			_, _ = io.WriteString(w, "held\n")
			_ = http.NewResponseController(w).Flush()
			a.entered <- struct{}{}
			<-r.Context().Done()
			return
		}
		_ = json.NewEncoder(w).Encode(answered{User: r.Header.Get("X-Gatehouse-User"), Name: r.Header.Get("X-Gatehouse-Name"),
			Roles: r.Header.Get("X-Gatehouse-Roles"), Authorization: r.Header.Get("Authorization")})
	}))
	t.Cleanup(a.Close)
	return a
}

func newPlant(t *testing.T) *plant {
	t.Helper()
	return newPlantWith(t, nil)
}

// newPlantWith makes one whose config differs from the usual by some keys.
func newPlantWith(t *testing.T, keys map[string]string) *plant {
	t.Helper()
	p := &plant{as: newAuthServer(t), seen: newTelling(t)}
	all := map[string]string{
		"app.upstreams": `["` + p.seen.URL + `"]`, "egress.allow": `["127.0.0.0/8"]`, "limits.rate_per_client": "1000000",
		"app.routes": "[ { path: /public/**, access: public }, { path: /alerts, permission: alerts }, { path: /**, access: signed_in } ]"}
	maps.Copy(all, keys)
	p.house = newHouse(t, all)
	var err error
	p.globex, err = p.Services().Tenants.Create(t.Context(), audit.SystemCause(),
		tenants.Tenant{Name: "globex", DisplayName: "Globex", Hosts: []string{"globex.test"}, Status: tenants.Active})
	p.must(err)
	return p
}

func (p *plant) must(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

// hire makes a service of acme, or changes it.
func (p *plant) hire(name, role string, credentials ...machines.Credential) machines.Machine {
	p.t.Helper()
	return p.hireAt(p.acme.ID, machines.Machine{Name: name, Role: role, Enabled: true, Credentials: credentials})
}

func (p *plant) hireAt(tenant identity.TenantID, m machines.Machine) machines.Machine {
	p.t.Helper()
	made, err := p.Services().Machines.Put(p.t.Context(), audit.SystemCause(), tenant, m)
	p.must(err)
	return made
}

// signed is a credential by tokens of the authorization server.
func (p *plant) signed(client string, types ...machines.TokenType) machines.Credential {
	return machines.Credential{JWT: &machines.JWT{Issuer: p.as.URL, Claims: machines.Claims{Audience: "app", ClientID: client}, Types: types}}
}

// client is one program: its connections are its own.
type client struct {
	p         *plant
	transport *http.Transport
}

// client makes a program that opens its connections as change says.
func (p *plant) client(h2 bool, change func(*tls.Config)) *client {
	p.t.Helper()
	protocols := new(http.Protocols)
	protocols.SetHTTP1(!h2)
	protocols.SetHTTP2(h2)
	c := &client{p: p, transport: &http.Transport{Protocols: protocols,
		DialTLSContext: func(_ context.Context, _, address string) (net.Conn, error) {
			host, _, err := net.SplitHostPort(address)
			if err != nil {
				return nil, err
			}
			return p.dial(func(config *tls.Config) {
				config.ServerName = host
				config.NextProtos = []string{"http/1.1"}
				if h2 {
					config.NextProtos = []string{"h2"}
				}
				if change != nil {
					change(config)
				}
			})
		}}}
	p.t.Cleanup(c.transport.CloseIdleConnections)
	return c
}

// get asks for a path at a host; a path that begins with a host is at that.
func (c *client) get(path string, header ...string) answered {
	c.p.t.Helper()
	if strings.HasPrefix(path, "/") {
		path = "acme.test" + path
	}
	r, err := http.NewRequest(http.MethodGet, "https://"+path, http.NoBody)
	c.p.must(err)
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	resp, err := c.transport.RoundTrip(r)
	if err != nil {
		return answered{Body: err.Error()}
	}
	defer func() { _ = resp.Body.Close() }()
	return c.read(resp)
}

func (c *client) read(resp *http.Response) (answer answered) {
	body, _ := io.ReadAll(resp.Body) // what there is of it
	var problem struct{ Type string }
	_ = json.Unmarshal(body, &answer) // else it is no answer of the app
	_ = json.Unmarshal(body, &problem)
	answer.Status, answer.Proto, answer.Header, answer.Body = resp.StatusCode, resp.Proto, resp.Header, string(body)
	answer.Problem = strings.TrimPrefix(problem.Type, "urn:gatehouse:problem:")
	return answer
}

func (c *client) bear(path, token string) answered {
	return c.get(path, "Authorization", "Bearer "+token)
}

// hold opens a stream, and gives a function that waits for its end.
func (c *client) hold(header ...string) (ended func() bool) {
	c.p.t.Helper()
	r, err := http.NewRequest(http.MethodGet, "https://acme.test/hold", http.NoBody)
	c.p.must(err)
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	resp, err := c.transport.RoundTrip(r)
	c.p.must(err)
	if resp.StatusCode != http.StatusOK {
		c.p.t.Fatalf("holding: %d", resp.StatusCode)
	}
	lines := bufio.NewReader(resp.Body)
	if _, err := lines.ReadString('\n'); err != nil {
		c.p.t.Fatal(err)
	}
	over := make(chan struct{})
	go func() {
		defer close(over)
		_, _ = lines.ReadString('\n')
		_ = resp.Body.Close()
	}()
	return func() bool {
		select {
		case <-over:
			return true
		case <-time.After(patience):
			return false
		}
	}
}

// refusals are the reasons in acme's journal since a number of records, which it
// gives with them.
func (p *plant) refusals(tenant identity.TenantID, since uint64) (reasons []string, last uint64) {
	p.t.Helper()
	last = since
	for e, err := range p.rooms.journal.Read(context.Background(), tenant, since) {
		p.must(err)
		last = max(last, e.Seq)
		// Whoever asks for unknown keys too often comes again, and is judged then.
		if e.Seq > since && e.Reason != "keys-asked-too-often" && (e.Type == audit.AccessRefused || e.Type == audit.RequestRefused) {
			reasons = append(reasons, e.Reason)
		}
	}
	return reasons, last
}

// authServer is an authorization server that issues whatever a test wants.
type authServer struct {
	*httptest.Server
	key *ecdsa.PrivateKey

	mu         sync.Mutex
	keys       map[string]*ecdsa.PublicKey
	answer     http.HandlerFunc // for keys and introspection, if set
	active     map[string]map[string]any
	credential string // by which it was asked last
	keysAsked  atomic.Int64
	asked      atomic.Int64
}

func newAuthServer(t *testing.T) *authServer {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a := &authServer{key: key, keys: map[string]*ecdsa.PublicKey{"k1": &key.PublicKey}, active: map[string]map[string]any{}}
	mux := http.NewServeMux()
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, r *http.Request) {
		if !a.otherwise(w, r) {
			answerJSON(w, map[string]any{"issuer": a.URL, "jwks_uri": a.URL + "/jwks"})
		}
	})
	mux.HandleFunc("/jwks", a.jwks)
	mux.HandleFunc("/introspect", a.introspect)
	a.Server = httptest.NewServer(mux)
	t.Cleanup(a.Close)
	return a
}

func answerJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}

// answers has everything be answered otherwise; nil: as it should be.
func (a *authServer) answers(h http.HandlerFunc) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.answer = h
}

func (a *authServer) otherwise(w http.ResponseWriter, r *http.Request) bool {
	a.mu.Lock()
	h := a.answer
	a.mu.Unlock()
	if h != nil {
		h(w, r)
	}
	return h != nil
}

func (a *authServer) jwks(w http.ResponseWriter, r *http.Request) {
	a.keysAsked.Add(1)
	if a.otherwise(w, r) {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	all := []any{}
	for id, key := range a.keys {
		point, err := key.Bytes()
		if err != nil {
			panic(err)
		}
		b64 := base64.RawURLEncoding.EncodeToString
		all = append(all, map[string]string{"kty": "EC", "crv": "P-256", "kid": id, "use": "sig", "alg": "ES256", "x": b64(point[1:33]), "y": b64(point[33:])})
	}
	answerJSON(w, map[string]any{"keys": all})
}

// publish makes these its keys from now on.
func (a *authServer) publish(keys map[string]*ecdsa.PublicKey) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.keys = keys
}

func (a *authServer) introspect(w http.ResponseWriter, r *http.Request) {
	a.asked.Add(1)
	if a.otherwise(w, r) {
		return
	}
	user, password, _ := r.BasicAuth()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.credential = user + " " + password
	if said, ok := a.active[r.PostFormValue("token")]; ok {
		answerJSON(w, said)
		return
	}
	answerJSON(w, map[string]any{"active": false})
}

// knows has the server say this of a token; nil: that it is not active.
func (a *authServer) knows(token string, said map[string]any) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.active, token)
	if said != nil {
		a.active[token] = said
	}
}

// claims are those of a good token.
func (a *authServer) claims(client string) jwt.MapClaims {
	now := time.Now()
	return jwt.MapClaims{"iss": a.URL, "aud": "app", "sub": "subject-of-" + client, "client_id": client,
		"iat": now.Unix(), "exp": now.Add(5 * time.Minute).Unix(), "jti": rand.Text()}
}

// sign makes a token, with the header as change leaves it.
func (a *authServer) sign(claims jwt.MapClaims, change func(header map[string]any)) string {
	token := jwt.NewWithClaims(jwt.SigningMethodES256, claims)
	token.Header["typ"], token.Header["kid"] = "at+jwt", "k1"
	if change != nil {
		change(token.Header)
	}
	raw, err := token.SignedString(a.key)
	if err != nil {
		panic(err)
	}
	return raw
}

func (a *authServer) token(client string) string { return a.sign(a.claims(client), nil) }

// signRaw signs a token whose parts are these texts.
func (a *authServer) signRaw(header, payload string) string {
	b64 := base64.RawURLEncoding.EncodeToString
	text := b64([]byte(header)) + "." + b64([]byte(payload))
	signature, err := jwt.SigningMethodES256.Sign(text, a.key)
	if err != nil {
		panic(err)
	}
	return text + "." + b64(signature)
}

// authority issues client certificates.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  string
}

func newAuthority(t *testing.T, name string) *authority {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign}
	a := &authority{t: t}
	made := a.make(template, nil)
	a.cert, a.key = made.Leaf, keyOf(t, made)
	a.pem = pemOf(made)
	return a
}

func keyOf(t *testing.T, c tls.Certificate) *ecdsa.PrivateKey {
	t.Helper()
	key, ok := c.PrivateKey.(*ecdsa.PrivateKey)
	if !ok {
		t.Fatalf("a key of type %T", c.PrivateKey)
	}
	return key
}

// make issues what a template says; without an issuer it is self-made.
func (a *authority) make(template, issuer *x509.Certificate) tls.Certificate {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	signer := a.key
	if issuer == nil {
		self := *template
		self.PublicKey = nil
		issuer, signer = &self, key
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, issuer, &key.PublicKey, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(raw)
	if err != nil {
		a.t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{raw}, PrivateKey: key, Leaf: leaf}
}

// leaf issues a certificate for a URI, as change leaves it.
func (a *authority) leaf(uri string, change func(*x509.Certificate)) tls.Certificate {
	a.t.Helper()
	u, err := url.Parse(uri)
	if err != nil {
		a.t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "billing"}, URIs: []*url.URL{u},
		NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	if change != nil {
		change(template)
	}
	return a.make(template, a.cert)
}

func pemOf(c tls.Certificate) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Certificate[0]}))
}

// showing has a client show a certificate whatever it is asked for.
func showing(c tls.Certificate) func(*tls.Config) {
	return func(config *tls.Config) {
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &c, nil }
	}
}

// offering has a client show a certificate if it is asked for such a one, as
// browsers and most libraries do.
func offering(c tls.Certificate) func(*tls.Config) {
	return func(config *tls.Config) { config.Certificates = []tls.Certificate{c} }
}

func has(all []string, want string) bool { return slices.Contains(all, want) }
