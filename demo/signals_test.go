package demo

import (
	"context"
	"errors"
	"io"
	"net/http"
	"testing"

	"gatehouse/audit"
	"gatehouse/authn/signals/transmittertest"
	"gatehouse/tenants"
)

// aSignalEndsTheSession: a security event is pushed through the real gate, with a
// secret in the header that the gate looks at as well.
func aSignalEndsTheSession(t *testing.T, d *Demo) {
	t.Helper()
	a, g := d.Info().Tenants[acme], d.Info().Tenants[globex]
	services, x := d.Gateway().Services(), transmittertest.New(t)
	tenant, _ := services.Tenants.ByName(acme)
	c, err := services.Tenants.Connection(t.Context(), tenant.ID, "oidc")
	if err != nil {
		t.Fatal(err)
	}
	c.Signals = &tenants.Signals{Issuer: x.URL, Authorization: "Bearer gh_not-one-of-ours"}
	if _, err := services.Tenants.PutConnection(t.Context(), audit.SystemCause(), tenant.ID, c); err != nil {
		t.Fatal(err)
	}
	client := browser(t, d)
	if err := d.SignIn(t.Context(), client, acme, a.Users[1].Email); err != nil {
		t.Fatal(err)
	}
	open := events(t, client, a.URL)
	const path = ".gatehouse/signals/oidc"
	token, _ := x.Event(a.URL+path, transmittertest.CAEP+"session-revoked", nil,
		map[string]any{"format": "email", "email": a.Users[1].Email})
	raw, agreed := x.Sign(token), http.Header{"Authorization": {c.Signals.Authorization}}
	if told := x.Push(browser(t, d), g.URL+path, raw, agreed); told.Status != http.StatusBadRequest {
		t.Errorf("at another tenant: %d %s", told.Status, told.Body)
	}
	if told := x.Push(browser(t, d), a.URL+path, raw, nil); told.Status != http.StatusUnauthorized {
		t.Errorf("without the secret: %d %s", told.Status, told.Body)
	}
	if status, text := get(t, client, a.URL+"api/whoami", ""); status != http.StatusOK {
		t.Fatalf("before: %d %s", status, text)
	}
	if told := x.Push(browser(t, d), a.URL+path, raw, agreed); told.Status != http.StatusAccepted || told.Body != "" {
		t.Fatalf("%d %s", told.Status, told.Body)
	}
	if _, err := io.Copy(io.Discard, open); errors.Is(err, context.DeadlineExceeded) {
		t.Fatal("the stream goes on")
	}
	if status, text := get(t, client, a.URL+"api/whoami", ""); status != http.StatusUnauthorized {
		t.Errorf("after: %d %s", status, text)
	}
}
