package authn_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"github.com/zitadel/oidc/v3/example/server/exampleop"
	"github.com/zitadel/oidc/v3/example/server/storage"
	"github.com/zitadel/oidc/v3/pkg/op"

	"gatehouse/authn/oidc/oidcprovidertest"
	"gatehouse/tenants"
)

func oidcPeer(issuer string) tenants.Connection {
	return tenants.Connection{Name: "peer", Type: tenants.OIDC, Enabled: true,
		OIDC: &tenants.OIDCSpec{Issuer: issuer, ClientID: "gatehouse-peer", ClientSecret: "secret", Prompt: []string{"consent"}}}
}

// oidcProvider is oidc-provider, which is certified. It wants PKCE, rotates its
// refresh tokens, and asks before it signs out. What it signs with is what it
// publishes, so that it cannot relapse ([TestKeysRotateBetweenTwoSignIns] does).
type oidcProvider struct {
	w   *world
	idp *oidcprovidertest.Provider
}

func startOIDCProvider(t *testing.T, w *world) realPeer {
	return &oidcProvider{w, oidcprovidertest.Start(t, oidcprovidertest.Client{ID: "gatehouse-peer", Secret: "secret", AuthMethod: "client_secret_basic",
		RedirectURIs: []string{w.url + "/.gatehouse/oidc/peer/callback"}, SignedOutURIs: []string{w.url + "/.gatehouse/logout"},
		BackChannelURI: w.url + "/.gatehouse/oidc/peer/backchannel-logout", NamesSessions: true})}
}

func (o *oidcProvider) connection() tenants.Connection    { return oidcPeer(o.idp.URL) }
func (o *oidcProvider) person() string                    { return "nora@acme.example" }
func (o *oidcProvider) goThrough(b *browser, p page) page { return b.atOIDCProvider(p) }
func (o *oidcProvider) clocks() []clock                   { return oidcClocks() }
func (o *oidcProvider) relapse(*testing.T) bool           { return false }

func (o *oidcProvider) leave(b *browser) page {
	b.t.Helper()
	return b.submit(b.post("/.gatehouse/logout", nil), url.Values{"logout": {"yes"}})
}

// leaveThere has it send a logout token before it answers.
func (o *oidcProvider) leaveThere(b *browser) bool {
	b.t.Helper()
	b.submit(b.open(o.idp.URL+"/session/end"), url.Values{"logout": {"yes"}}).has(b.t, http.StatusOK)
	return true
}

func (o *oidcProvider) rotate(t *testing.T) {
	o.idp.Control(t, oidcprovidertest.Control{Rotate: true})
}

func (o *oidcProvider) renewed(t *testing.T, w *world) {
	askedAgain(t, w, o, func() { o.idp.Control(t, oidcprovidertest.Control{Gone: true}) })
}

// zitadel is the provider of zitadel/oidc, which keeps its id tokens small: what
// they leave out, userinfo tells. It has no session of its own and tells nobody of a
// sign-out; the demo's provider, which is built on it, does both.
type zitadel struct {
	w    *world
	url  string
	kept *zitadelStorage
}

func startZitadel(t *testing.T, w *world) realPeer {
	t.Helper()
	idp := httptest.NewUnstartedServer(nil)
	z := &zitadel{w: w, url: "http://" + idp.Listener.Addr().String()}
	storage.RegisterClients(storage.WebClient("gatehouse-peer", "secret", w.url+"/.gatehouse/oidc/peer/callback"))
	z.kept = &zitadelStorage{Storage: storage.NewStorage(storage.NewUserStore(z.url)), signedOut: w.url + "/.gatehouse/logout"}
	z.rotate(t)
	idp.Config.Handler = exampleop.SetupServer(z.url, z.kept, slog.New(slog.DiscardHandler), false)
	idp.Start()
	t.Cleanup(idp.Close)
	return z
}

func (z *zitadel) connection() tenants.Connection {
	c := oidcPeer(z.url)
	c.OIDC.Prompt = nil
	return c
}

func (z *zitadel) person() string         { return "test-user@zitadel.ch" }
func (z *zitadel) clocks() []clock        { return oidcClocks() }
func (*zitadel) leaveThere(*browser) bool { return false }

func (z *zitadel) goThrough(b *browser, p page) page {
	b.t.Helper()
	p.has(b.t, http.StatusOK, `name="password"`)
	fields := hiddenFields(p)
	fields.Set("username", "test-user@127.0.0.1")
	fields.Set("password", "verysecure")
	return b.post(p.url.String(), fields)
}

func (z *zitadel) leave(b *browser) page {
	b.t.Helper()
	before := z.kept.left.Load()
	p := b.post("/.gatehouse/logout", nil)
	if n := z.kept.left.Load() - before; n != 1 {
		b.t.Errorf("the provider heard of %d sign-outs", n)
	}
	return p
}

func (z *zitadel) rotate(t *testing.T) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	check(t, err)
	z.kept.mu.Lock()
	defer z.kept.mu.Unlock()
	next := zitadelKey{rand.Text(), key}
	z.kept.before, z.kept.signs, z.kept.shows = z.kept.shows, next, next
}

func (z *zitadel) relapse(*testing.T) bool {
	z.kept.mu.Lock()
	defer z.kept.mu.Unlock()
	z.kept.signs = z.kept.before
	return true
}

func (z *zitadel) renewed(t *testing.T, w *world) {
	askedAgain(t, w, z, func() { check(t, z.kept.Storage.TerminateSession(t.Context(), "id1", "gatehouse-peer")) })
}

// zitadelStorage is the library's own, with keys that change and an address to come
// back to.
type zitadelStorage struct {
	*storage.Storage

	signedOut string
	left      atomic.Int64 // sign-outs

	mu                   sync.Mutex
	before, signs, shows zitadelKey
}

// TerminateSession notes that it was asked to.
func (s *zitadelStorage) TerminateSession(ctx context.Context, user, client string) error {
	s.left.Add(1)
	return s.Storage.TerminateSession(ctx, user, client)
}

func (s *zitadelStorage) SigningKey(context.Context) (op.SigningKey, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.signs, nil
}

func (s *zitadelStorage) KeySet(context.Context) ([]op.Key, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return []op.Key{zitadelPublic{s.shows}}, nil
}

func (s *zitadelStorage) GetClientByClientID(ctx context.Context, id string) (op.Client, error) {
	c, err := s.Storage.GetClientByClientID(ctx, id)
	return zitadelClient{c, s.signedOut}, err
}

type zitadelClient struct {
	op.Client

	signedOut string
}

func (c zitadelClient) PostLogoutRedirectURIs() []string { return []string{c.signedOut} }

type zitadelKey struct {
	id  string
	key *rsa.PrivateKey
}

func (k zitadelKey) ID() string                                  { return k.id }
func (k zitadelKey) Key() any                                    { return k.key }
func (k zitadelKey) SignatureAlgorithm() jose.SignatureAlgorithm { return jose.RS256 }

type zitadelPublic struct{ zitadelKey }

func (k zitadelPublic) Key() any                           { return &k.key.PublicKey }
func (k zitadelPublic) Use() string                        { return "sig" }
func (k zitadelPublic) Algorithm() jose.SignatureAlgorithm { return jose.RS256 }
