package machine

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"gatehouse/authn/strict"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/machines"
	"gatehouse/tenants"
)

const acme identity.TenantID = "ten_acme"

// kept is what SQL would say.
type kept struct {
	all         []machines.Machine
	connections []tenants.Connection
	err         error
	reads       atomic.Int64
	during      func() // while it is read
}

func (k *kept) All(context.Context, identity.TenantID) ([]machines.Machine, error) {
	k.reads.Add(1)
	all, err := k.all, k.err
	if k.during != nil {
		k.during()
	}
	return all, err
}

func (k *kept) Connections(context.Context, identity.TenantID) ([]tenants.Connection, error) {
	return k.connections, nil
}

// issuer has one key, and answers for it.
type issuer struct {
	*httptest.Server
	key *ecdsa.PrivateKey
}

func newIssuer(tb testing.TB) *issuer {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	i := &issuer{key: key}
	point, err := key.PublicKey.Bytes()
	if err != nil {
		tb.Fatal(err)
	}
	b64 := base64.RawURLEncoding.EncodeToString
	i.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintf(w, `{"keys":[{"kty":"EC","crv":"P-256","kid":"k1","x":%q,"y":%q}]}`, b64(point[1:33]), b64(point[33:]))
	}))
	tb.Cleanup(i.Close)
	return i
}

func (i *issuer) sign(claims jwt.MapClaims) string {
	token := jwt.NewWithClaims(jwt.SigningMethodES256, claims)
	token.Header["typ"], token.Header["kid"] = "at+jwt", "k1"
	raw, err := token.SignedString(crypto.Signer(i.key))
	if err != nil {
		panic(err)
	}
	return raw
}

func (i *issuer) claims() jwt.MapClaims {
	return jwt.MapClaims{"iss": i.URL, "aud": []string{"app"}, "sub": "s", "client_id": "billing", "exp": time.Now().Add(time.Hour).Unix(), "iat": time.Now().Unix()}
}

func (i *issuer) billing() machines.Machine {
	return machines.Machine{ID: "svc_billing", Name: "billing", DisplayName: "Billing", Role: "viewer", Enabled: true, Version: 1, Credentials: []machines.Credential{
		{JWT: &machines.JWT{Issuer: i.URL, JWKSURL: i.URL, Claims: machines.Claims{Audience: "app", ClientID: "billing"}}}}}
}

func newVerifier(tb testing.TB, k *kept) *Verifier {
	tb.Helper()
	v := New(Config{Services: k, Connections: k, Client: &http.Client{Transport: http.DefaultTransport}})
	tb.Cleanup(v.Close)
	return v
}

// A change while services are read is not lost on whoever asks after it.
func TestWhatWasReadBeforeAChangeDoesNotStay(t *testing.T) {
	i := newIssuer(t)
	k := &kept{all: []machines.Machine{i.billing()}}
	v := newVerifier(t, k)
	for name, forget := range map[string]func(){"of the tenant": func() { v.Refresh(acme) }, "of any": v.RefreshAll} {
		k.all, k.during = []machines.Machine{i.billing()}, nil
		v.Refresh(acme)
		k.during = func() { k.all, k.during = nil, nil; forget() }
		if _, err := v.Bearer(t.Context(), acme, i.sign(i.claims()), nil); err != nil {
			t.Errorf("a change %s, for who asked before: %v", name, err)
		}
		if p, err := v.Bearer(t.Context(), acme, i.sign(i.claims()), nil); err != nil || p != nil {
			t.Errorf("a change %s, for who asks after it: %+v, %v", name, p, err)
		}
	}
}

// What is open is judged by what the service was when it was let in, where nobody has
// told of a change.
func TestP2_UnheardChangesAreFound(t *testing.T) {
	i := newIssuer(t)
	k := &kept{}
	v := newVerifier(t, k)
	good := func() bool {
		t.Helper()
		all, err := v.Good(t.Context(), acme, []string{"svc_billing", "svc_other"})
		if err != nil || all["svc_other"] {
			t.Fatal(all, err)
		}
		return all["svc_billing"]
	}
	enter := func(all ...machines.Machine) {
		t.Helper()
		k.all = all
		v.RefreshAll()
		if _, err := v.Bearer(t.Context(), acme, i.sign(i.claims()), nil); err != nil {
			t.Fatal(err)
		}
	}
	as, changed, off := i.billing(), i.billing(), i.billing()
	changed.Version, off.Enabled = 2, false
	enter(as)
	for range 2 {
		if !good() {
			t.Error("unchanged, and not good")
		}
	}
	k.all = []machines.Machine{changed}
	if good() {
		t.Error("changed, and good")
	}
	if !good() { // of what was before nothing is open any more
		t.Error("not good for ever")
	}
	enter(as)
	enter(changed) // somebody entered after the change, and before anybody looked
	if good() {
		t.Error("partly changed, and good")
	}
	enter(changed)
	for name, all := range map[string][]machines.Machine{"disabled": {off}, "gone": nil} {
		if k.all = all; good() {
			t.Errorf("%s, and good", name)
		}
	}
	by := i.billing()
	by.Credentials[0].JWT.Connection, by.Credentials[0].JWT.ConnectionID = "okta", "con_1"
	k.connections = []tenants.Connection{{ID: "con_1", Name: "okta", Version: 1, Enabled: true, OIDC: &tenants.OIDCSpec{Issuer: i.URL}}}
	enter(by)
	good()
	enter(by)
	if !good() {
		t.Error("by a connection that is unchanged, and not good")
	}
	k.connections = []tenants.Connection{{ID: "con_1", Name: "okta", Version: 2, OIDC: &tenants.OIDCSpec{Issuer: i.URL}}}
	if good() {
		t.Error("by a connection that has changed, and good")
	}
}

// Services that cannot be read are not taken for none (P7), and are not read for
// every request.
func TestP7_ServicesThatCannotBeRead(t *testing.T) {
	i := newIssuer(t)
	k := &kept{err: fault.New(fault.Unavailable, "store-unavailable", "Not now.")}
	v := newVerifier(t, k)
	if p, err := v.Bearer(t.Context(), acme, i.sign(i.claims()), nil); p != nil || !fault.Is(err, fault.Unavailable) {
		t.Errorf("%+v, %v", p, err)
	}
	if may, err := v.MayBear(t.Context(), acme, "x"); may || !fault.Is(err, fault.Unavailable) {
		t.Errorf("%t, %v", may, err)
	}
	k.err = nil
	before := k.reads.Load()
	for range 10 {
		if p, err := v.Bearer(t.Context(), acme, "x", nil); p != nil || err != nil {
			t.Errorf("%+v, %v", p, err)
		}
	}
	if n := k.reads.Load() - before; n != 1 {
		t.Errorf("read %d times", n)
	}
}

// A handshake goes by what was so while services cannot be read, and does not wait
// for it again and again.
func TestHandshakesDoNotWait(t *testing.T) {
	k := &kept{all: []machines.Machine{{ID: "svc_a", Enabled: true, Version: 1, Credentials: []machines.Credential{{Certificate: &machines.Certificate{Pinned: selfMade(t)}}}}}}
	v := newVerifier(t, k)
	if v.Authorities(t.Context(), acme) == nil {
		t.Fatal("nobody is asked for")
	}
	k.err = fault.New(fault.Unavailable, "store-unavailable", "Not now.")
	v.Refresh(acme)
	before := k.reads.Load()
	for range 5 {
		if v.Authorities(t.Context(), acme) == nil {
			t.Error("nobody is asked for any more")
		}
	}
	if n := k.reads.Load() - before; n != 1 {
		t.Errorf("read %d times", n)
	}
	k.err, k.all = nil, nil
	if err := v.Renew(t.Context(), acme); err != nil || v.Authorities(t.Context(), acme) != nil {
		t.Errorf("after it was read again: %v", err)
	}
	if err := v.Renew(t.Context(), "ten_unused"); err != nil || k.reads.Load() != before+2 {
		t.Errorf("of a tenant that is not in use: %v, read %d times", err, k.reads.Load()-before)
	}
}

func selfMade(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "a"}, NotAfter: time.Now().Add(time.Hour)}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw}))
}

// Beside a session a token is the app's own unless it may be a service's.
func TestWhichTokensMayBeAServices(t *testing.T) {
	i := newIssuer(t)
	k := &kept{all: []machines.Machine{i.billing()}}
	v := newVerifier(t, k)
	foreign := i.claims()
	foreign["iss"] = "https://elsewhere.example"
	spent := i.claims()
	spent["exp"] = 1
	may := func(token string) bool {
		t.Helper()
		is, err := v.MayBear(t.Context(), acme, token)
		if err != nil {
			t.Fatal(err)
		}
		return is
	}
	for name, c := range map[string]struct {
		token string
		may   bool
	}{
		"good": {i.sign(i.claims()), true}, "expired": {i.sign(spent), true}, "of another issuer": {i.sign(foreign), false},
		"opaque": {"opaque", false}, "larger than any": {strings.Repeat("a", maxToken+1), false},
	} {
		if got := may(c.token); got != c.may {
			t.Errorf("%s: %t", name, got)
		}
	}
	asked := i.billing()
	asked.Credentials = []machines.Credential{{Introspection: &machines.Introspection{Endpoint: i.URL, AuthClientID: "g", AuthClientSecret: "s", Claims: machines.Claims{Audience: "app", Subject: "s"}}}}
	k.all = []machines.Machine{asked}
	v.Refresh(acme)
	if !may("opaque") || may(strings.Repeat("a", maxToken+1)) {
		t.Error("of opaque tokens only those that are asked for may be a service's")
	}
}

// What is remembered ends with the token, after a minute, and is bounded.
func TestMemoryIsBounded(t *testing.T) {
	i := newIssuer(t)
	k := &kept{all: []machines.Machine{i.billing()}}
	v := newVerifier(t, k)
	s, err := v.of(t.Context(), acme)
	if err != nil {
		t.Fatal(err)
	}
	claims := i.claims()
	soon := time.Now().Add(20 * time.Second).Truncate(time.Second)
	claims["exp"] = soon.Unix()
	short, long := i.sign(claims), i.sign(i.claims())
	for _, raw := range []string{short, long} {
		if _, err := v.Bearer(t.Context(), acme, raw, nil); err != nil {
			t.Fatal(err)
		}
	}
	if known := s.good.kept[tokenKey(short)]; !known.until.Equal(soon) || !known.principal.Expires.Equal(soon) {
		t.Errorf("kept until %v, want %v", known.until, soon)
	}
	if known := s.good.kept[tokenKey(long)]; time.Until(known.until) > time.Minute {
		t.Errorf("kept until %v", known.until)
	}
	for n := range 3 * maxRemembered {
		s.good.put(tokenKey(fmt.Sprint(n)), verdict{})
	}
	if n := len(s.good.kept); n > maxRemembered {
		t.Errorf("%d are remembered", n)
	}
}

// FuzzBearer: whatever is shown, nobody is recognised but by what the issuer has
// signed for the service, and what is taken apart says the same when it is read again.
func FuzzBearer(f *testing.F) {
	i := newIssuer(f)
	k := &kept{all: []machines.Machine{i.billing()}}
	v := newVerifier(f, k)
	s, err := v.of(f.Context(), acme)
	if err != nil {
		f.Fatal(err)
	}
	good := i.sign(i.claims())
	f.Add(good)
	parts := strings.Split(good, ".")
	b64 := base64.RawURLEncoding.EncodeToString
	for _, raw := range []string{"", ".", "..", "a.b.c", "gh_x", parts[0] + "." + parts[1] + ".", parts[0] + "..", good + "\n", " " + good,
		b64([]byte(`{"alg":"none"}`)) + "." + parts[1] + ".", b64([]byte(`{"alg":"ES256","alg":"none"}`)) + "." + parts[1] + "." + parts[2],
		parts[0] + "." + b64([]byte(`{"iss":"`+i.URL+`","iss":1}`)) + ".AA", parts[0] + "." + b64([]byte(`{"iss":"`+i.URL+`","exp":1e400}`)) + ".AA"} {
		f.Add(raw)
	}
	// Keys are not asked for here: what is not signed with the one that is known is not good.
	if p, err := v.Bearer(f.Context(), acme, good, nil); err != nil || p == nil {
		f.Fatal(p, err)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		token, refusal := s.claimed(raw)
		if token == nil || refusal != nil {
			if token != nil && refusal == nil {
				t.Fatal("both taken and refused")
			}
			return
		}
		written, err := json.Marshal(token.claims)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := strict.Parse(written); err != nil || !reflect.DeepEqual(again, token.claims) {
			t.Fatalf("%s is read as %v, %v", written, again, err)
		}
		expires, refusal := token.valid(time.Now())
		if refusal == nil && !expires.After(time.Now().Add(-time.Second)) {
			t.Fatalf("good until %v", expires)
		}
		rules, refusal := token.candidates()
		if refusal == nil && (len(rules) != 1 || rules[0].id != "svc_billing" || token.claims.Text("client_id") != "billing") {
			t.Fatalf("%v for %v", rules, token.claims)
		}
		_, _ = bindingOf(token.claims)
	})
}

// BenchmarkBearer is what a token costs that was verified before, and one that was
// not.
func BenchmarkBearer(b *testing.B) {
	i := newIssuer(b)
	k := &kept{all: []machines.Machine{i.billing()}}
	v := newVerifier(b, k)
	raw := i.sign(i.claims())
	s, err := v.of(b.Context(), acme)
	if err != nil {
		b.Fatal(err)
	}
	for name, before := range map[string]func(){"remembered": func() {}, "verified": func() { clear(s.good.kept) }} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				before()
				if p, err := v.Bearer(b.Context(), acme, raw, nil); err != nil || p == nil {
					b.Fatal(p, err)
				}
			}
		})
	}
}
