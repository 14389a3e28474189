package machine

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/machines"
	"gatehouse/tenants"
)

// A service that is recognised by the subject of its tokens is not recognised by
// another's, whether they are signed or asked about.
func TestASubjectIsOneServices(t *testing.T) {
	i := newIssuer(t)
	asked := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintf(w, `{"active":true,"aud":"app","sub":%q,"token_type":"Bearer"}`, r.PostFormValue("token"))
	}))
	t.Cleanup(asked.Close)
	wanted := machines.Claims{Audience: "app", Subject: "m-billing"}
	k := &kept{all: []machines.Machine{{ID: "svc_billing", Name: "billing", Role: "viewer", Enabled: true, Version: 1, Credentials: []machines.Credential{
		{JWT: &machines.JWT{Issuer: i.URL, JWKSURL: i.URL, Claims: wanted}},
		{Introspection: &machines.Introspection{Endpoint: asked.URL, AuthClientID: "g", AuthClientSecret: "s", Claims: wanted}}}}}}
	v := newVerifier(t, k)
	for _, subject := range []string{"m-billing", "m-other", "M-BILLING", "m-billing/x", ""} {
		claims := i.claims()
		claims["sub"] = subject
		opaque := subject
		if opaque == "" {
			opaque = "nobody"
		}
		for name, token := range map[string]string{"signed": i.sign(claims), "asked about": opaque} {
			p, err := v.Bearer(from(t.Context(), "192.0.2.1"), acme, token, nil)
			if subject == "m-billing" {
				if err != nil || p == nil || p.ID != "svc_billing" {
					t.Errorf("%s: %+v, %v", name, p, err)
				}
				continue
			}
			if f, ok := errors.AsType[*fault.Fault](err); p != nil || !ok || f.Reason != string(unknownClient) {
				t.Errorf("%s, of %q: %+v, %v", name, subject, p, err)
			}
		}
	}
}

// Metadata that is another issuer's says nothing of this one's keys (RFC 8414 §3.3):
// one who serves documents at many addresses would vouch for others.
func TestMetadataIsItsIssuersOwn(t *testing.T) {
	i := newIssuer(t) // which has the keys
	var mu sync.Mutex
	said := map[string]string{} // by path
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		text, ok := said[r.URL.Path]
		mu.Unlock()
		if !ok {
			http.NotFound(w, r)
			return
		}
		_, _ = fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":%q}`, text, i.URL)
	}))
	t.Cleanup(server.Close)
	const oidc, oauth = "/tenant/.well-known/openid-configuration", "/.well-known/oauth-authorization-server/tenant"
	own := server.URL + "/tenant"
	for name, try := range map[string]struct {
		at, issuer string
		good       bool
	}{
		"its own":                    {oidc, own, true},
		"its own, of OAuth 2.0":      {oauth, own, true},
		"of the server it stands on": {oidc, server.URL, false},
		"of another, of OAuth 2.0":   {oauth, "https://elsewhere.example", false},
		"its own, with a slash":      {oidc, own + "/", false},
		"of nobody":                  {oidc, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			mu.Lock()
			clear(said)
			said[try.at] = try.issuer
			mu.Unlock()
			m := i.billing()
			m.Credentials[0].JWT.Issuer, m.Credentials[0].JWT.JWKSURL = own, ""
			v := newVerifier(t, &kept{all: []machines.Machine{m}})
			claims := i.claims()
			claims["iss"] = own
			p, err := v.Bearer(from(t.Context(), "192.0.2.1"), acme, i.sign(claims), nil)
			if (p != nil) != try.good || (err == nil) != try.good {
				t.Errorf("%+v, %v", p, err)
			}
			if !try.good && !fault.Is(err, fault.Unavailable) {
				t.Errorf("answered %v", err)
			}
		})
	}
}

// Tokens that are for the gate itself are no service's, though the service asks for
// that audience: they are the id tokens of people who sign in by the connection. A
// service that was there before the connection is held to that too.
func TestWhatIsForTheGateIsNoServices(t *testing.T) {
	i := newIssuer(t)
	connection := tenants.Connection{ID: "con_1", Version: 1, Enabled: true, Type: tenants.OIDC, OIDC: &tenants.OIDCSpec{Issuer: i.URL, ClientID: "app"}}
	closed := connection
	closed.Enabled = false
	otherClient, otherIssuer := connection, connection
	otherClient.OIDC = &tenants.OIDCSpec{Issuer: i.URL, ClientID: "gatehouse"}
	otherIssuer.OIDC = &tenants.OIDCSpec{Issuer: "https://elsewhere.example", ClientID: "app"}
	by := func(change func(*machines.JWT)) machines.Machine {
		m := i.billing()
		change(m.Credentials[0].JWT)
		return m
	}
	named := by(func(*machines.JWT) {})
	through := by(func(j *machines.JWT) { j.Issuer, j.ConnectionID = "", identity.ConnectionID("con_1") })
	for name, try := range map[string]struct {
		service    machines.Machine
		connection tenants.Connection
		good       bool
	}{
		"another client":                      {named, otherClient, true},
		"another issuer":                      {named, otherIssuer, true},
		"another client, by the connection":   {through, otherClient, true},
		"the connection's client":             {named, connection, false},
		"of a connection that is closed":      {named, closed, false},
		"the connection's, by the connection": {through, connection, false},
	} {
		k := &kept{all: []machines.Machine{try.service}, connections: []tenants.Connection{try.connection}}
		p, err := newVerifier(t, k).Bearer(from(t.Context(), "192.0.2.1"), acme, i.sign(i.claims()), nil)
		if (p != nil) != try.good || err != nil {
			t.Errorf("%s: %+v, %v", name, p, err)
		}
	}
}
