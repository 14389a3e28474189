package demo

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"gatehouse/audit"
	"gatehouse/demo/browse"
	"gatehouse/tenants"
)

// signingOutAtTheIdentityProviderEndsTheSession: back-channel logout by a real
// provider, through the real gate.
func signingOutAtTheIdentityProviderEndsTheSession(t *testing.T, d *Demo) {
	t.Helper()
	a := d.Info().Tenants[acme]
	here, elsewhere := browser(t, d), browser(t, d)
	for _, client := range []*http.Client{here, elsewhere} {
		if err := d.SignIn(t.Context(), client, acme, a.Users[1].Email); err != nil {
			t.Fatal(err)
		}
	}
	open, other := events(t, here, a.URL), events(t, elsewhere, a.URL)
	issuer := issuerOf(t, d)
	resp, err := here.PostForm(issuer+"/sign-out", nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Fatal(resp.Status)
	}
	// The provider has its answer by now, so nothing is left to wait for (P2) but
	// the bytes that were on their way.
	if _, err := io.Copy(io.Discard, open); errors.Is(err, context.DeadlineExceeded) {
		t.Fatal("the stream goes on")
	}
	if status, text := get(t, here, a.URL+"api/whoami", ""); status != http.StatusUnauthorized {
		t.Errorf("after signing out at the provider: %d %s", status, text)
	}
	if status, text := get(t, elsewhere, a.URL+"api/whoami", ""); status != http.StatusOK {
		t.Errorf("the other browser: %d %s", status, text)
	}
	if _, err := other.ReadString('\n'); err != nil {
		t.Errorf("the other browser's stream: %v", err)
	}
	logoutTokensAreForOneTenantAndOneUse(t, d, issuer, elsewhere)
}

// logoutTokensAreForOneTenantAndOneUse: elsewhere is signed in at acme.
func logoutTokensAreForOneTenantAndOneUse(t *testing.T, d *Demo, issuer string, elsewhere *http.Client) {
	t.Helper()
	a, g := d.Info().Tenants[acme], d.Info().Tenants[globex]
	s, err := loadState(d.data)
	if err != nil {
		t.Fatal(err)
	}
	provider, err := newOIDC(issuer, s.oidcKey, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	// Globex trusts the same provider, as another client.
	services := d.Gateway().Services()
	other, _ := services.Tenants.ByName(globex)
	if _, err := services.Tenants.PutConnection(t.Context(), audit.SystemCause(), other.ID, tenants.Connection{Name: "oidc", Type: tenants.OIDC, Enabled: true,
		OIDC: &tenants.OIDCSpec{Issuer: issuer, ClientID: "globex", ClientSecret: "s"}}); err != nil {
		t.Fatal(err)
	}
	token, err := provider.LogoutToken(acme, customers[0].accounts()[1].Subject, "")
	if err != nil {
		t.Fatal(err)
	}
	send := func(to string) (int, string) {
		resp, err := browser(t, d).PostForm(to+".gatehouse/oidc/oidc/backchannel-logout", url.Values{"logout_token": {token}})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(text)
	}
	if status, text := send(g.URL); status != http.StatusBadRequest || !strings.Contains(text, `"invalid_request"`) {
		t.Errorf("at another tenant: %d %s", status, text)
	}
	if status, _ := get(t, elsewhere, a.URL+"api/whoami", ""); status != http.StatusOK {
		t.Errorf("another tenant's sign-out: %d", status)
	}
	if status, text := send(a.URL); status != http.StatusOK || text != "" {
		t.Errorf("%d %s", status, text)
	}
	if status, _ := get(t, elsewhere, a.URL+"api/whoami", ""); status != http.StatusUnauthorized {
		t.Errorf("after a sign-out of all sessions: %d", status)
	}
	if err := d.SignIn(t.Context(), elsewhere, acme, a.Users[1].Email); err != nil {
		t.Fatal(err)
	}
	if status, text := send(a.URL); status != http.StatusBadRequest || !strings.Contains(text, `"invalid_request"`) {
		t.Errorf("once more: %d %s", status, text)
	}
	if status, _ := get(t, elsewhere, a.URL+"api/whoami", ""); status != http.StatusOK {
		t.Errorf("after a replay: %d", status)
	}
	for tenant, want := range map[*Tenant]string{&a: "replayed", &g: "wrong-audience"} {
		if got := refusedSignOuts(t, d, tenant); len(got) != 1 || got[0] != want {
			t.Errorf("%s: refusals %v, want %s", tenant.URL, got, want)
		}
	}
}

// refusedSignOuts are the reasons in a tenant's journal, once its index holds
// them.
func refusedSignOuts(t *testing.T, d *Demo, tenant *Tenant) (reasons []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for len(reasons) == 0 && ctx.Err() == nil {
		status, text := get(t, browser(t, d), tenant.URL+".gatehouse/api/v1/audit/events?type=signout.refused", tenant.APIToken)
		var found struct{ Items []struct{ Reason string } }
		if err := json.Unmarshal([]byte(text), &found); status != http.StatusOK || err != nil {
			t.Fatal(status, err, text)
		}
		for _, e := range found.Items {
			reasons = append(reasons, e.Reason)
		}
	}
	return reasons
}

// events opens the app's stream and reads its first line.
func events(t *testing.T, client *http.Client, base string) *bufio.Reader {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"events", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", "text/event-stream")
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	lines := bufio.NewReader(resp.Body)
	if line, err := lines.ReadString('\n'); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatal(resp.Status, line, err)
	}
	return lines
}

func issuerOf(t *testing.T, d *Demo) string {
	t.Helper()
	services := d.Gateway().Services()
	tenant, _ := services.Tenants.ByName(acme)
	c, err := services.Tenants.Connection(t.Context(), tenant.ID, "oidc")
	if err != nil {
		t.Fatal(err)
	}
	return c.OIDC.Issuer
}

// singleLogoutBothWays: SAML through the real gate, begun there and begun here.
func singleLogoutBothWays(t *testing.T, d *Demo) {
	t.Helper()
	g := d.Info().Tenants[globex]
	here, elsewhere := browser(t, d), browser(t, d)
	for _, client := range []*http.Client{here, elsewhere} {
		if err := d.SignIn(t.Context(), client, globex, g.Users[1].Email); err != nil {
			t.Fatal(err)
		}
	}
	open, other := events(t, here, g.URL), events(t, elsewhere, g.URL)
	at := samlOf(t, d)
	resp, err := here.PostForm(at+"/sign-out", nil)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if err != nil || resp.StatusCode != http.StatusOK || resp.Request.URL.Path != "/signed-out" {
		t.Fatalf("the sign-out ended at %s: %s %s", resp.Request.URL, resp.Status, text)
	}
	if _, err := io.Copy(io.Discard, open); errors.Is(err, context.DeadlineExceeded) {
		t.Fatal("the stream goes on")
	}
	if status, text := get(t, here, g.URL+"api/whoami", ""); status != http.StatusUnauthorized {
		t.Errorf("after signing out at the provider: %d %s", status, text)
	}
	if _, err := other.ReadString('\n'); err != nil {
		t.Errorf("the other browser's stream: %v", err)
	}

	// The page's form, the way to the provider and back.
	resp, err = browse.SignIn(t.Context(), elsewhere, g.URL+".gatehouse/logout", "", "")
	if err != nil {
		t.Fatal(err)
	}
	text, err = io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if err != nil || resp.Request.URL.Path != "/.gatehouse/saml/saml/slo" || !strings.Contains(string(text), "Close the browser window") {
		t.Errorf("the sign-out ended at %s: %s %s", resp.Request.URL, resp.Status, text)
	}
	if _, err := io.Copy(io.Discard, other); errors.Is(err, context.DeadlineExceeded) {
		t.Error("the stream goes on")
	}
	if status, _ := get(t, elsewhere, g.URL+"api/whoami", ""); status != http.StatusUnauthorized {
		t.Errorf("after signing out here: %d", status)
	}
}

func samlOf(t *testing.T, d *Demo) string {
	t.Helper()
	services := d.Gateway().Services()
	tenant, _ := services.Tenants.ByName(globex)
	c, err := services.Tenants.Connection(t.Context(), tenant.ID, "saml")
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSuffix(c.SAML.IDPMetadata.URL, "/metadata")
}
