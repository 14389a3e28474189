package demo

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"testing"

	"gatehouse/demo/browse"
)

func start(t *testing.T, data string) *Demo {
	t.Helper()
	d, err := Start(context.Background(), Options{Data: data, Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func get(t *testing.T, client *http.Client, address, bearer string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", "application/json")
	if bearer != "" {
		req.Header.Set("Authorization", "Bearer "+bearer)
	}
	resp, err := client.Do(req)
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

func browser(t *testing.T, d *Demo) *http.Client {
	t.Helper()
	client, err := d.Client()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.CloseIdleConnections)
	return client
}

// person is the part of /api/whoami that the tests look at.
type person struct {
	Verified bool
	Claims   struct {
		Sub, Tenant, Email string
		Roles              []string
		Teams              map[string][]string
	}
}

func whoami(t *testing.T, client *http.Client, base string) (who person) {
	t.Helper()
	status, text := get(t, client, base+"api/whoami", "")
	if err := json.Unmarshal([]byte(text), &who); status != http.StatusOK || err != nil {
		t.Fatal(status, err, text)
	}
	return who
}

func TestDemo(t *testing.T) {
	d := start(t, "")
	defer d.Close()
	t.Run("everybody signs in and has their role", func(t *testing.T) { everybodySignsInAndHasTheirRole(t, d) })
	t.Run("sign-out goes to the identity provider and back", func(t *testing.T) { signOutGoesToTheIdentityProviderAndBack(t, d) })
	t.Run("signing out at the identity provider ends the session", func(t *testing.T) { signingOutAtTheIdentityProviderEndsTheSession(t, d) })
	t.Run("single logout by SAML, both ways", func(t *testing.T) { singleLogoutBothWays(t, d) })
	t.Run("a signal ends the session", func(t *testing.T) { aSignalEndsTheSession(t, d) })
	t.Run("tokens open what they are for", func(t *testing.T) { tokensOpenWhatTheyAreFor(t, d) })
}

func everybodySignsInAndHasTheirRole(t *testing.T, d *Demo) {
	t.Helper()
	for name, tenant := range d.Info().Tenants {
		for _, u := range tenant.Users {
			client := browser(t, d)
			if err := d.SignIn(t.Context(), client, name, u.Email); err != nil {
				t.Fatal(err)
			}
			who := whoami(t, client, tenant.URL)
			if !who.Verified || who.Claims.Tenant != name || who.Claims.Email != u.Email || len(who.Claims.Roles) != 1 || who.Claims.Roles[0] != u.Role {
				t.Errorf("%s is %+v", u.Email, who)
			}
			want := map[string]int{"api/admin/billing": http.StatusForbidden, "api/teams/payments/alerts": http.StatusOK, "public/ping": http.StatusOK, "api/recent": http.StatusOK, "api/factor": http.StatusUnauthorized}
			if u.Role == "owner" {
				want["api/admin/billing"] = http.StatusOK
			}
			for path, status := range want {
				if got, text := get(t, client, tenant.URL+path, ""); got != status {
					t.Errorf("%s at %s: %d %s", u.Email, path, got, text)
				}
			}
		}
	}
	if status, text := get(t, http.DefaultClient, d.Info().App+"/__seen", ""); status != http.StatusOK || !strings.Contains(text, `"tenant":"globex"`) {
		t.Errorf("seen: %d %.200s", status, text)
	}
}

func signOutGoesToTheIdentityProviderAndBack(t *testing.T, d *Demo) {
	t.Helper()
	for name, tenant := range d.Info().Tenants {
		client := browser(t, d)
		if err := d.SignIn(t.Context(), client, name, tenant.Users[1].Email); err != nil {
			t.Fatal(err)
		}
		resp, err := browse.SignIn(t.Context(), client, tenant.URL+".gatehouse/logout", "", "")
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusOK || !strings.Contains(string(text), "You are signed out") {
			t.Errorf("%s: signing out ended at %s with %s: %s", name, resp.Request.URL, resp.Status, text)
		}
		if status, _ := get(t, client, tenant.URL+"api/whoami", ""); status != http.StatusUnauthorized {
			t.Errorf("%s: after signing out: %d", name, status)
		}
	}
}

func tokensOpenWhatTheyAreFor(t *testing.T, d *Demo) {
	t.Helper()
	client, a, g := browser(t, d), d.Info().Tenants[acme], d.Info().Tenants[globex]
	for _, c := range []struct {
		address, token string
		want           int
	}{
		{a.URL + ".gatehouse/api/v1/me", a.APIToken, http.StatusOK},
		{a.SCIM + "/Users", a.SCIMToken, http.StatusOK},
		{d.Info().Operator.URL + ".gatehouse/api/v1/platform/tenants", d.Info().Operator.Token, http.StatusOK},
		{g.URL + ".gatehouse/api/v1/me", a.APIToken, http.StatusUnauthorized},
		{g.SCIM + "/Users", a.SCIMToken, http.StatusUnauthorized},
		{a.SCIM + "/Users", a.APIToken, http.StatusUnauthorized},
	} {
		if got, text := get(t, client, c.address, c.token); got != c.want {
			t.Errorf("%s: %d %s", c.address, got, text)
		}
	}
}

func TestASecondStartFindsTheFirst(t *testing.T) {
	data := t.TempDir()
	d := start(t, data)
	client := browser(t, d)
	if err := d.SignIn(t.Context(), client, acme, "member@acme.example"); err != nil {
		t.Fatal(err)
	}
	before, old := whoami(t, client, d.Info().Tenants[acme].URL), d.Info().Tenants[acme]
	d.Close()

	d = start(t, data)
	defer d.Close()
	client = browser(t, d)
	if err := d.SignIn(t.Context(), client, acme, "member@acme.example"); err != nil {
		t.Fatal(err)
	}
	now := d.Info().Tenants[acme]
	if after := whoami(t, client, now.URL); after.Claims.Sub != before.Claims.Sub {
		t.Errorf("the member was %s and is %s", before.Claims.Sub, after.Claims.Sub)
	}
	machine := browser(t, d) // without the member's cookie: one caller at a time
	if status, _ := get(t, machine, now.SCIM+"/Users", old.SCIMToken); status != http.StatusUnauthorized {
		t.Errorf("the last start's token is answered with %d", status)
	}
	if status, text := get(t, machine, now.SCIM+"/Users", now.SCIMToken); status != http.StatusOK || strings.Count(text, `"userName"`) != len(members) {
		t.Errorf("people after the second start: %d %s", status, text)
	}
}

func TestCloseLeavesNothing(t *testing.T) {
	d := start(t, "")
	info := d.Info()
	d.Close()
	if err := d.Wait(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(info.CA); !os.IsNotExist(err) {
		t.Errorf("the temporary folder is left: %v", err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, info.App, nil)
	if err != nil {
		t.Fatal(err)
	}
	if resp, err := http.DefaultClient.Do(req); err == nil {
		_ = resp.Body.Close()
		t.Error("the app still answers")
	}
}
