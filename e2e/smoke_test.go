package e2e

import (
	"net/http"
	"testing"
)

func TestBothProtocolsSignIn(t *testing.T) {
	d := inProcess(t)
	for tenant, email := range map[string]string{"acme": member, "globex": "member@globex.example"} {
		client := signedIn(t, d.Info(), tenant, email)
		resp, body := get(t, client, d.Info().Tenants[tenant].URL+"api/whoami")
		if resp.StatusCode != http.StatusOK {
			t.Fatalf("%s: %s: %s", tenant, resp.Status, body)
		}
		seen := decode[struct {
			Headers http.Header `json:"headers"`
		}](t, body).Headers
		if seen.Get("X-Gatehouse-Tenant") != tenant || seen.Get("X-Gatehouse-Email") != email {
			t.Errorf("%s: the app was told %v", tenant, seen)
		}
	}
}
