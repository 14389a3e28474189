package gateway

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"io"
	"math/big"
	"net/http"
	"testing"
	"time"

	"gatehouse/audit"
	"gatehouse/machines"
)

const billingURI = "spiffe://acme.example/billing"

func certified(a *authority) machines.Credential {
	return machines.Credential{Certificate: &machines.Certificate{CA: a.pem, SANURI: billingURI}}
}

// A client certificate makes a program who it is, over HTTP/1.1 and HTTP/2, with TLS
// 1.2 and 1.3, and again when its TLS session is resumed.
func TestAServiceCallsByItsCertificate(t *testing.T) {
	p := newPlant(t)
	roots := newAuthority(t, "acme's own")
	billing := p.hire("billing", "viewer", certified(roots))
	selfMade := (&authority{t: t}).make(&x509.Certificate{SerialNumber: big.NewInt(5), NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour)}, nil)
	pinned := p.hire("pinned", "member", machines.Credential{Certificate: &machines.Certificate{Pinned: pemOf(selfMade)}})
	byHost := roots.leaf(billingURI, func(c *x509.Certificate) { c.URIs, c.DNSNames = nil, []string{"Batch.acme.example"} })
	batch := p.hire("batch", "viewer", machines.Credential{Certificate: &machines.Certificate{CA: roots.pem, SANDNS: "batch.acme.example"}})
	for name, c := range map[string]struct {
		shown tls.Certificate
		id    string
	}{"by its URI": {roots.leaf(billingURI, nil), string(billing.ID)}, "by its host": {byHost, string(batch.ID)}, "pinned": {selfMade, string(pinned.ID)}} {
		for _, h2 := range []bool{false, true} {
			for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
				cache := tls.NewLRUClientSessionCache(4)
				var resumed bool
				with := func(config *tls.Config) {
					offering(c.shown)(config)
					config.ClientSessionCache, config.MinVersion, config.MaxVersion = cache, version, version
					config.VerifyConnection = func(state tls.ConnectionState) error { resumed = state.DidResume; return nil }
				}
				for range 2 {
					got := p.client(h2, with).get("/", "Authorization", "Basic YTpi")
					if got.Status != http.StatusOK || got.User != c.id || got.Authorization != "Basic YTpi" {
						t.Fatalf("%s, HTTP/2 %t, %x: %+v", name, h2, version, got)
					}
				}
				if !resumed {
					t.Errorf("%s, HTTP/2 %t, %x: the TLS session was not resumed", name, h2, version)
				}
			}
		}
	}
}

// Nobody else is anybody, and each is told apart in the journal.
func TestHostileCertificates(t *testing.T) {
	p := newPlant(t)
	roots, others := newAuthority(t, "acme's own"), newAuthority(t, "acme's own") // of the same name
	p.hire("billing", "owner", certified(roots))
	own, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	p.must(err)
	claimed := *roots.cert // says to be issued by the authority
	claimed.PublicKey = &own.PublicKey
	impostor := &authority{t: t, cert: &claimed, key: own}
	middle := roots.leaf("spiffe://acme.example/middle", nil)
	byLeaf := (&authority{t: t, cert: middle.Leaf, key: keyOf(t, middle)}).leaf(billingURI, nil)
	byLeaf.Certificate = append(byLeaf.Certificate, middle.Certificate...)
	long := roots.leaf(billingURI, nil)
	for range 8 {
		long.Certificate = append(long.Certificate, roots.cert.Raw)
	}
	_, seq := p.refusals(p.acme.ID, 0)
	for name, c := range map[string]struct {
		shown  tls.Certificate
		reason string
	}{
		"expired":                       {roots.leaf(billingURI, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Second) }), "certificate-expired"},
		"not good yet":                  {roots.leaf(billingURI, func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Minute) }), "certificate-expired"},
		"of another authority":          {others.leaf(billingURI, nil), "certificate-untrusted"},
		"signed by somebody":            {impostor.leaf(billingURI, nil), "certificate-untrusted"},
		"self-made":                     {(&authority{t: t}).make(roots.leaf(billingURI, nil).Leaf, nil), "certificate-untrusted"},
		"issued by a program":           {byLeaf, "certificate-untrusted"},
		"for servers":                   {roots.leaf(billingURI, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }), "certificate-purpose"},
		"for nothing that it says":      {roots.leaf(billingURI, func(c *x509.Certificate) { c.ExtKeyUsage = nil }), "certificate-purpose"},
		"for another name":              {roots.leaf(billingURI+"2", nil), "certificate-unknown"},
		"for a name in other letters":   {roots.leaf("spiffe://acme.example/Billing", nil), "certificate-unknown"},
		"for the name as a host":        {roots.leaf(billingURI, func(c *x509.Certificate) { c.URIs, c.DNSNames = nil, []string{"billing"} }), "certificate-unknown"},
		"with more than there can be":   {long, "certificate-untrusted"},
		"for no name but a common name": {roots.leaf(billingURI, func(c *x509.Certificate) { c.URIs, c.Subject.CommonName = nil, billingURI }), "certificate-unknown"},
	} {
		for range 2 {
			if got := p.client(true, showing(c.shown)).get("/"); got.Status != http.StatusUnauthorized || got.User != "" {
				t.Errorf("%s: %+v", name, got)
			}
		}
		var reasons []string
		if reasons, seq = p.refusals(p.acme.ID, seq); len(reasons) != 2 || reasons[0] != c.reason || reasons[1] != c.reason {
			t.Errorf("%s: recorded as %q, want %q", name, reasons, c.reason)
		}
		if got := p.client(false, showing(c.shown)).get("/public/a"); got.Status != http.StatusOK || got.User != "" {
			t.Errorf("%s, on a public route: %+v", name, got)
		}
	}
}

// A certificate without its key opens no connection.
func TestACertificateTakesItsKey(t *testing.T) {
	p := newPlant(t)
	roots := newAuthority(t, "acme's own")
	p.hire("billing", "owner", certified(roots))
	stolen := roots.leaf(billingURI, nil)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	p.must(err)
	stolen.PrivateKey = key
	if got := p.client(false, showing(stolen)).get("/"); got.Status != 0 {
		t.Errorf("%+v", got)
	}
	// Nor does it by negotiating anew in the midst of one (RFC 9113 §9.2.1).
	conn, err := p.dial(func(config *tls.Config) {
		config.MaxVersion, config.Renegotiation = tls.VersionTLS12, tls.RenegotiateFreelyAsClient
	})
	p.must(err)
	_, err = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: acme.test\r\nConnection: close\r\n\r\n")
	p.must(err)
	if !ended(conn) {
		t.Error("the connection is still open")
	}
}

// Only where programs have certificates is anybody asked for one, and then by the
// names of those who have issued them, so that browsers are left alone.
func TestCertificatesAreAskedForWhereTheyAreUsed(t *testing.T) {
	p := newPlant(t)
	asked := func(host string) (names []string, asked bool) {
		t.Helper()
		c := p.client(false, func(config *tls.Config) {
			config.GetClientCertificate = func(r *tls.CertificateRequestInfo) (*tls.Certificate, error) {
				asked = true
				for _, name := range r.AcceptableCAs {
					names = append(names, string(name))
				}
				return &tls.Certificate{}, nil
			}
		})
		if got := c.get(host + "/public/a"); got.Status != http.StatusOK {
			t.Fatalf("without a certificate: %+v", got)
		}
		return names, asked
	}
	if _, is := asked("acme.test"); is {
		t.Error("asked for where there are no services")
	}
	p.hire("other", "viewer", p.signed("other"))
	if _, is := asked("acme.test"); is {
		t.Error("asked for where services have tokens alone")
	}
	roots := newAuthority(t, "acme's own")
	p.hire("billing", "viewer", certified(roots))
	names, is := asked("acme.test")
	if !is || len(names) != 1 || names[0] != string(roots.cert.RawSubject) {
		t.Errorf("asked %t, for %q", is, names)
	}
	if _, is := asked("globex.test"); is {
		t.Error("asked for at another tenant")
	}
	// A session of TLS that began before does not spare anybody the question.
	p.must(p.Services().Machines.Delete(t.Context(), audit.SystemCause(), p.acme.ID, "billing", 0))
	cache := tls.NewLRUClientSessionCache(4)
	with := func(config *tls.Config) {
		offering(roots.leaf(billingURI, nil))(config)
		config.ClientSessionCache = cache
	}
	if got := p.client(false, with).get("/"); got.Status != http.StatusUnauthorized {
		t.Errorf("%+v", got)
	}
	p.hire("billing", "viewer", certified(roots))
	if got := p.client(false, with).get("/"); got.Status != http.StatusOK {
		t.Errorf("by a session that began before: %+v", got)
	}
}

// A certificate is the connection's, and what it says is asked for each request: a
// service that changes is out at once, on connections that stay open (P2).
func TestP2_ACertificateCountsAsLongAsItsService(t *testing.T) {
	p := newPlant(t)
	roots := newAuthority(t, "acme's own")
	on := machines.Machine{Name: "billing", Role: "viewer", Enabled: true, Credentials: []machines.Credential{certified(roots)}}
	off, other := on, on
	off.Enabled = false
	other.Credentials = []machines.Credential{p.signed("billing")}
	for _, h2 := range []bool{false, true} {
		for name, changed := range map[string]machines.Machine{"disabled": off, "another credential": other} {
			p.hireAt(p.acme.ID, on)
			c := p.client(h2, offering(roots.leaf(billingURI, nil)))
			if got := c.get("/"); got.Status != http.StatusOK {
				t.Fatalf("%s: %+v", name, got)
			}
			over := c.hold()
			p.hireAt(p.acme.ID, changed)
			if !over() {
				t.Errorf("%s, HTTP/2 %t: what was open is still open", name, h2)
			}
			if got := c.get("/"); got.Status != http.StatusUnauthorized {
				t.Errorf("%s, HTTP/2 %t: afterwards %+v", name, h2, got)
			}
		}
	}
}

// Over one connection of HTTP/2 a client may ask at the hosts of two tenants: at each
// its certificate is what that tenant says of it (P3).
func TestP3_ACertificateIsLookedAtByTheHostOfTheRequest(t *testing.T) {
	p := newPlant(t)
	roots := newAuthority(t, "acme's own")
	ours := p.hire("billing", "viewer", certified(roots))
	leaf := roots.leaf(billingURI, nil)
	coalescing := func(host string) answered {
		t.Helper()
		c := p.client(true, offering(leaf))
		r, err := http.NewRequest(http.MethodGet, "https://acme.test/", http.NoBody)
		p.must(err)
		r.Host = host
		resp, err := c.transport.RoundTrip(r)
		p.must(err)
		defer func() { _ = resp.Body.Close() }()
		return c.read(resp)
	}
	if got := coalescing("acme.test"); got.Status != http.StatusOK || got.User != string(ours.ID) {
		t.Errorf("at home: %+v", got)
	}
	if got := coalescing("globex.test"); got.Status != http.StatusUnauthorized || got.User != "" {
		t.Errorf("where it is nobody's: %+v", got)
	}
	theirs := p.hireAt(p.globex.ID, machines.Machine{Name: "billing", Role: "owner", Enabled: true, Credentials: []machines.Credential{
		{Certificate: &machines.Certificate{CA: newAuthority(t, "acme's own").pem, SANURI: billingURI}}}})
	if got := coalescing("globex.test"); got.Status != http.StatusUnauthorized || got.User == string(theirs.ID) {
		t.Errorf("where another authority's is: %+v", got)
	}
}

// A certificate beside another credential, and what a browser shows by itself.
func TestCertificatesAreNotGuessed(t *testing.T) {
	p := newPlant(t)
	roots := newAuthority(t, "acme's own")
	billing := p.hire("billing", "viewer", certified(roots), p.signed("billing"))
	other := p.hire("other", "member", p.signed("other"))
	leaf := roots.leaf(billingURI, nil)
	c, stranger := p.client(false, offering(leaf)), p.client(false, showing(newAuthority(t, "x").leaf(billingURI, nil)))
	if got := c.bear("/", p.as.token("billing")); got.Status != http.StatusOK || got.User != string(billing.ID) || got.Authorization != "" {
		t.Errorf("both of one service: %+v", got)
	}
	if got := c.bear("/", p.as.token("other")); got.Status != http.StatusUnauthorized || got.Problem != "ambiguous-credentials" {
		t.Errorf("of two services: %+v", got)
	}
	if got := stranger.bear("/", p.as.token("other")); got.Status != http.StatusOK || got.User != string(other.ID) {
		t.Errorf("a token over somebody's connection: %+v", got)
	}
	for name, field := range map[string][]string{"Fetch Metadata": {"Sec-Fetch-Site", "cross-site"}, "an origin": {"Origin", "https://evil.example"}, "its own page": {"Sec-Fetch-Site", "same-origin"}} {
		if got := c.get("/", field...); got.Status != http.StatusUnauthorized || got.User != "" {
			t.Errorf("a browser, by %s: %+v", name, got)
		}
	}
	// A token that is bound to a certificate counts over its connections alone.
	sum := sha256.Sum256(leaf.Certificate[0])
	claims := p.as.claims("billing")
	claims["cnf"] = map[string]string{"x5t#S256": base64.RawURLEncoding.EncodeToString(sum[:])}
	bound := p.as.sign(claims, nil)
	for range 2 {
		if got := c.bear("/", bound); got.Status != http.StatusOK {
			t.Errorf("bound, over its own: %+v", got)
		}
		if got := stranger.bear("/", bound); got.Status != http.StatusUnauthorized {
			t.Errorf("bound, over another: %+v", got)
		}
		if got := p.client(false, nil).bear("/", bound); got.Status != http.StatusUnauthorized {
			t.Errorf("bound, over none: %+v", got)
		}
	}
}
