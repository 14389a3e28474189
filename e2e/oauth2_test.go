package e2e

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"gatehouse/api/resources"
	"gatehouse/authn/oauth2/oauth2test"
	"gatehouse/demo"
)

// connectHub connects a provider of GitHub's shape to a tenant by its admin API.
func connectHub(t *testing.T, info demo.Info, hub *oauth2test.Provider, tenant string) {
	t.Helper()
	c := hub.Connection()
	spec := resources.SpecOfConnection(c)
	spec.ClientSecret, spec.RevocationURL = c.OAuth2.ClientSecret, hub.URL+oauth2test.Revoke
	body, err := json.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	if status, text := at(t, info, tenant, http.MethodPut, v1+"connections/hub", string(body)); status != http.StatusOK {
		t.Fatalf("%d %s", status, text)
	}
}

// TestSignInByOAuth2ReachesTheApp: from the connection's first word to what the app
// is told, and nothing of the access token on the way.
func TestSignInByOAuth2ReachesTheApp(t *testing.T) {
	d := inProcess(t)
	info := d.Info()
	hub := oauth2test.New(t)
	const token = "gho_thetokenthatmustnotgetout"
	hub.NewToken = func() string { return token }
	connectHub(t, info, hub, "acme")
	client, err := info.Client()
	if err != nil {
		t.Fatal(err)
	}
	start := info.Tenants["acme"].URL + ".gatehouse/login?" + url.Values{"connection": {"hub"}, "return_to": {"/api/whoami"}}.Encode()
	resp, body := get(t, client, start)
	if text := string(body); resp.StatusCode != http.StatusOK || !strings.Contains(text, "ann@acme.example") || !strings.Contains(text, "acme/payments") {
		t.Fatalf("%d %s", resp.StatusCode, body)
	}
	if revoked := hub.Revoked(); len(revoked) != 1 || revoked[0] != token {
		t.Errorf("taken back: %v", revoked)
	}
	_, log := at(t, info, "acme", http.MethodGet, v1+"audit/events?limit=200", "")
	if !strings.Contains(string(log), `"signin.succeeded"`) || !strings.Contains(string(log), "9007199254740993") {
		t.Errorf("the log: %s", log)
	}
	for where, text := range map[string]string{"the app": string(body), "the log": string(log)} {
		if strings.Contains(text, token) || strings.Contains(text, oauth2test.ClientSecret) {
			t.Errorf("%s has the token or the secret", where)
		}
	}
}

// TestP3_AnOAuth2AnswerOfOneTenantIsNothingAtAnother: the same provider and the same
// name of the connection; the browser brings all that it holds.
func TestP3_AnOAuth2AnswerOfOneTenantIsNothingAtAnother(t *testing.T) {
	d := inProcess(t)
	info := d.Info()
	hub := oauth2test.New(t)
	connectHub(t, info, hub, "acme")
	connectHub(t, info, hub, "globex")
	acme, globex := info.Tenants["acme"].URL, info.Tenants["globex"].URL
	client, err := info.Client()
	if err != nil {
		t.Fatal(err)
	}
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	follow := func(address string) *url.URL {
		t.Helper()
		resp, body := get(t, client, address)
		to, err := resp.Location()
		if err != nil {
			t.Fatalf("%s: %d %s", address, resp.StatusCode, body)
		}
		return to
	}
	// A sign-in at each of them, so that the browser holds a mark of its own at both.
	answer := follow(follow(acme + ".gatehouse/login?connection=hub").String())
	_ = follow(globex + ".gatehouse/login?connection=hub")
	asked := len(hub.Calls())
	there, err := url.Parse(globex)
	if err != nil {
		t.Fatal(err)
	}
	answer.Host = there.Host
	here, err := url.Parse(acme)
	if err != nil {
		t.Fatal(err)
	}
	for _, everything := range []bool{false, true} {
		var brought []string
		if everything {
			var line []string
			for _, c := range client.Jar.Cookies(here) {
				line = append(line, c.Name+"="+c.Value)
			}
			brought = []string{"Cookie", strings.Join(line, "; ")}
		}
		resp, body := get(t, client, answer.String(), append(brought, "Accept", "text/html")...)
		if resp.StatusCode != http.StatusForbidden || !strings.Contains(string(body), "was not begun here") || strings.Contains(strings.Join(resp.Header.Values("Set-Cookie"), " "), "__Host-gatehouse=") {
			t.Errorf("%d %s", resp.StatusCode, body)
		}
	}
	if len(hub.Calls()) != asked {
		t.Error("the code was redeemed")
	}
}
