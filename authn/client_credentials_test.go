package authn_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"gatehouse/audit"
	"gatehouse/authn/token"
	"gatehouse/identity"
	"gatehouse/tenants"
)

// asks is what a client sends to be given an access token.
type asks struct {
	form    url.Values
	basic   string // id:secret, as it is sent
	headers []string
}

func (w *world) grant(a asks) (answer, map[string]any) {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), http.MethodPost, w.url+atToken, strings.NewReader(a.form.Encode()))
	check(w.t, err)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if id, secret, ok := strings.Cut(a.basic, ":"); ok {
		req.SetBasicAuth(id, secret)
	}
	for _, h := range a.headers {
		req.Header.Add("Authorization", h)
	}
	resp, err := w.program().Do(req)
	check(w.t, err)
	defer func() { _ = resp.Body.Close() }()
	var body map[string]any
	check(w.t, json.NewDecoder(resp.Body).Decode(&body))
	said := answer{status: resp.StatusCode, header: resp.Header}
	said.Error, _ = body["error"].(string)
	said.Token, _ = body["access_token"].(string)
	if resp.Header.Get("Cache-Control") != "no-store" {
		w.t.Error("RFC 6749 §5.1: an answer that may be kept")
	}
	return said, body
}

// OAuth clients get access tokens for SCIM (RFC 6749 §4.4), and errors as §5.2 has them.
func TestClientCredentials(t *testing.T) {
	w := newWorld(t)
	w.connections.put(tenants.Connection{ID: "con_okta", Name: "okta", Type: tenants.OIDC, Enabled: true})
	client, secret, err := w.tokens.Create(t.Context(), audit.SystemCause(), acme, token.Spec{Name: "Okta", Scope: token.ScopeSCIM, Client: true, Connection: "con_okta",
		Access: identity.Access{"users:read", "users:write"}, Expires: w.clock().Add(24 * time.Hour)})
	check(t, err)
	id := client.ClientID
	form := func(more ...string) url.Values {
		f := url.Values{"grant_type": {"client_credentials"}}
		for i := 0; i < len(more); i += 2 {
			f.Add(more[i], more[i+1])
		}
		return f
	}
	for name, c := range map[string]struct {
		asks
		scope string
	}{
		"client_secret_basic":         {asks{form: form(), basic: id + ":" + secret}, "users:read users:write"},
		"client_secret_post":          {asks{form: form("client_id", id, "client_secret", secret)}, "users:read users:write"},
		"basic, with its id again":    {asks{form: form("client_id", id, "scope", "users:read"), basic: id + ":" + secret}, "users:read"},
		"basic, encoded as in a form": {asks{form: form("scope", "users:write"), basic: strings.ReplaceAll(id, "_", "%5F") + ":" + secret}, "users:write"},
	} {
		a, body := w.grant(c.asks)
		if a.status != http.StatusOK || body["token_type"] != "Bearer" || body["expires_in"] != 3600.0 || body["scope"] != c.scope {
			t.Fatalf("%s: %d %v", name, a.status, body)
		}
		p, err := w.tokens.Verify(t.Context(), acme, a.Token)
		if err != nil || p.Kind != identity.KindSCIMToken || p.Access.String() != c.scope || p.Connection != "con_okta" {
			t.Errorf("%s: its bearer is %+v, %v", name, p, err)
		}
	}
	if granted := w.journal.all(audit.TokenGranted); len(granted) != 4 || granted[0].Actor.ID != string(client.ID) || granted[0].Connection != "con_okta" {
		t.Errorf("recorded %+v", granted)
	}
	refused := 0
	for name, c := range map[string]struct {
		asks
		status int
		code   string
	}{
		"another secret":          {asks{form: form(), basic: id + ":" + secret[:45] + "!"}, 401, "invalid_client"},
		"another client":          {asks{form: form(), basic: "tok_x:" + secret}, 401, "invalid_client"},
		"nobody":                  {asks{form: form()}, 401, "invalid_client"},
		"no secret":               {asks{form: form("client_id", id)}, 401, "invalid_client"},
		"a bearer token":          {asks{form: form(), headers: []string{"Bearer " + secret}}, 401, "invalid_client"},
		"no base64":               {asks{form: form(), headers: []string{"Basic ???"}}, 401, "invalid_client"},
		"no colon":                {asks{form: form(), headers: []string{"Basic aGFsbG8="}}, 401, "invalid_client"},
		"a bad escape":            {asks{form: form(), basic: "%zz:" + secret}, 401, "invalid_client"},
		"both":                    {asks{form: form("client_id", id, "client_secret", secret), basic: id + ":" + secret}, 400, "invalid_request"},
		"two who are not one":     {asks{form: form("client_id", "tok_x"), basic: id + ":" + secret}, 400, "invalid_request"},
		"twice":                   {asks{form: form("client_id", id, "client_id", id, "client_secret", secret)}, 400, "invalid_request"},
		"two headers":             {asks{form: form(), headers: []string{"Basic eDp4", "Basic eDp4"}}, 400, "invalid_request"},
		"what it may not":         {asks{form: form("scope", "groups:read"), basic: id + ":" + secret}, 400, "invalid_scope"},
		"a scope that is none":    {asks{form: form("scope", "openid"), basic: id + ":" + secret}, 400, "invalid_scope"},
		"another grant":           {asks{form: url.Values{"grant_type": {"password"}, "client_id": {"gatehouse-cli"}}}, 400, "unsupported_grant_type"},
		"a client as of a person": {asks{form: url.Values{"grant_type": {deviceGrant}, "client_id": {id}, "device_code": {"x"}}}, 400, "invalid_client"},
	} {
		a, body := w.grant(c.asks)
		if a.status != c.status || a.Error != c.code || a.Token != "" || (a.header.Get("WWW-Authenticate") == "") != (c.status != 401) {
			t.Errorf("%s: %d %v", name, a.status, body)
		}
		if strings.Contains(fmt.Sprint(body["error_description"]), secret[3:]) {
			t.Errorf("P6 %s: the secret is told", name)
		}
		refused++
	}
	if n := len(w.journal.all(audit.TokenRefused)) + len(w.journal.all(audit.DeviceLoginRefused)); n != refused {
		t.Errorf("%d of %d refusals are recorded", n, refused)
	}
	// What ends the client ends its access.
	ok := asks{form: form(), basic: id + ":" + secret}
	made, _ := w.grant(ok)
	w.connections.remove("okta")
	if a, _ := w.grant(ok); a.Error != "invalid_client" {
		t.Errorf("without its connection: %+v", a)
	}
	if _, err := w.tokens.Verify(t.Context(), acme, made.Token); err == nil {
		t.Error("P2 an access token outlives the connection")
	}
	w.connections.setStatus(tenants.Suspended)
	if a, _ := w.grant(ok); a.Error != "unauthorized_client" {
		t.Errorf("of a suspended tenant: %+v", a)
	}
	w.connections.setStatus(tenants.Active)
	w.connections.put(tenants.Connection{ID: "con_okta", Name: "okta", Type: tenants.OIDC, Enabled: true})
	w.journal.fail(errors.New("disk full"))
	if a, _ := w.grant(ok); a.status != http.StatusServiceUnavailable {
		t.Errorf("P1 without the journal: %+v", a)
	}
}
