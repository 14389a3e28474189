package authn_test

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/zitadel/oidc/v3/example/server/exampleop"
	"github.com/zitadel/oidc/v3/example/server/storage"

	"gatehouse/audit"
	"gatehouse/tenants"
)

// TestSignInAtARealOIDCProvider signs in at zitadel's provider, which keeps
// its id tokens small and checks PKCE and the client's secret.
func TestSignInAtARealOIDCProvider(t *testing.T) {
	w := newWorld(t)
	idp := httptest.NewUnstartedServer(nil)
	issuer := "http://" + idp.Listener.Addr().String()
	storage.RegisterClients(storage.WebClient("gatehouse-peer", "secret", w.url+"/.gatehouse/oidc/zitadel/callback"))
	idp.Config.Handler = exampleop.SetupServer(issuer, storage.NewStorage(storage.NewUserStore(issuer)), slog.New(slog.DiscardHandler), false)
	idp.Start()
	defer idp.Close()
	w.connections.put(tenants.Connection{Name: "zitadel", Type: tenants.OIDC, Enabled: true,
		OIDC: &tenants.OIDCSpec{Issuer: issuer, ClientID: "gatehouse-peer", ClientSecret: "secret"}})

	b := w.browser()
	login := b.open("/reports")
	login.has(t, http.StatusOK, "password")
	fields := hiddenFields(login)
	fields.Set("username", "test-user@127.0.0.1")
	fields.Set("password", "verysecure")
	b.post(login.url.String(), fields).has(t, http.StatusOK, "app /reports for test-user@zitadel.ch")
	if n := len(w.journal.all(audit.SignInSucceeded)); n != 1 {
		t.Errorf("%d sign-ins in the journal", n)
	}
	// This provider knows no address of ours to come back to, and says so; here
	// the person is signed out all the same.
	if p := b.post("/.gatehouse/logout", nil); p.url.Host != idp.Listener.Addr().String() {
		t.Errorf("signing out ended at %s", p.url)
	}
	b.open("/.gatehouse/logout").has(t, http.StatusOK, "You are signed out")
}

// TestAskedAgainAtARealOIDCProvider, which rotates its refresh tokens, until it has
// ended the session there.
func TestAskedAgainAtARealOIDCProvider(t *testing.T) {
	w := newWorld(t)
	idp := httptest.NewUnstartedServer(nil)
	issuer := "http://" + idp.Listener.Addr().String()
	storage.RegisterClients(storage.WebClient("gatehouse-again", "secret", w.url+"/.gatehouse/oidc/zitadel/callback"))
	kept := storage.NewStorage(storage.NewUserStore(issuer))
	idp.Config.Handler = exampleop.SetupServer(issuer, kept, slog.New(slog.DiscardHandler), false)
	idp.Start()
	defer idp.Close()
	w.connections.put(tenants.Connection{Name: "zitadel", Type: tenants.OIDC, Enabled: true, OIDC: &tenants.OIDCSpec{Issuer: issuer,
		ClientID: "gatehouse-again", ClientSecret: "secret", Recheck: tenants.Duration(30 * time.Minute)}})
	b := w.browser()
	login := b.open("/")
	fields := hiddenFields(login)
	fields.Set("username", "test-user@127.0.0.1")
	fields.Set("password", "verysecure")
	b.post(login.url.String(), fields).has(t, http.StatusOK, "for test-user@zitadel.ch")
	w.rechecking()
	for round := range 2 {
		w.advance(30 * time.Minute)
		soon(t, "a refresh", func() bool { return w.held() == 0 && w.checked(time.Duration(round)*30*time.Minute+15*time.Minute) })
	}
	if failed := w.journal.all(audit.SessionRechecked); len(failed) != 0 || !b.signedIn() {
		t.Fatalf("failed: %+v, signed in %t", failed, b.signedIn())
	}
	check(t, kept.TerminateSession(t.Context(), "id1", "gatehouse-again"))
	w.advance(30 * time.Minute)
	soon(t, "the end of the session", func() bool { return !b.signedIn() })
}
