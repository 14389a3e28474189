package gateway

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"gatehouse/configs"
	"gatehouse/identity"
	"gatehouse/internal/httpkit"
)

// open opens a gateway on a folder of its own, without serving.
func open(t *testing.T) *Gateway {
	t.Helper()
	dir := t.TempDir()
	text := fmt.Sprintf(`
environment: test
data: %[1]s
listen: { https: "127.0.0.1:0", http: "", ops: "" }
tls: { mode: internal }
store: sqlite://%[1]s/store
keys: file://%[1]s/kek.key
operator: { host: admin.localhost }
app: { upstreams: ["http://127.0.0.1:1"], routes: [{ path: /**, access: signed_in }] }
`, dir)
	cfg, problems := configs.Parse("test.yaml", []byte(text), configs.Surroundings{})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	g, err := New(t.Context(), cfg, Options{Log: slog.New(slog.DiscardHandler), Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	})
	return g
}

func TestOwnAddressesAnswerInOneForm(t *testing.T) {
	h := open(t).rooms.own()
	for _, c := range []struct {
		method, path string
		status       int
		allow        string
	}{
		{"GET", "/.gatehouse", http.StatusNotFound, ""},
		{"GET", "/.gatehouse/", http.StatusNotFound, ""},
		{"GET", "/.gatehouse/nothing", http.StatusNotFound, ""},
		{"PUT", "/.gatehouse/login", http.StatusMethodNotAllowed, "GET, HEAD, POST"},
		{"PUT", "/.gatehouse/console/", http.StatusMethodNotAllowed, "GET, HEAD"},
		{"POST", "/.gatehouse/jwks.json", http.StatusMethodNotAllowed, "GET, HEAD"},
		{"GET", "/nothing", http.StatusNotFound, ""},
		{"POST", "/", http.StatusMethodNotAllowed, "GET, HEAD"},
		{"GET", "/.gatehouse/api", http.StatusNotFound, ""},
		{"PUT", "/.gatehouse/api/v1/me", http.StatusMethodNotAllowed, "GET, HEAD"},
	} {
		for _, accept := range []string{"text/html", "application/json"} {
			r := httptest.NewRequest(c.method, c.path, http.NoBody)
			r.Header.Set("Accept", accept)
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r.WithContext(httpkit.WithRequest(r.Context(), &httpkit.Request{ID: "req_1", Tenant: identity.Platform, TenantName: identity.PlatformName})))
			form := "application/problem+json"
			if accept == "text/html" && !strings.HasPrefix(c.path, "/.gatehouse/api") {
				form = "text/html; charset=utf-8"
			}
			if got := w.Header(); w.Code != c.status || got.Get("Allow") != c.allow || got.Get("Content-Type") != form || got.Get("Cache-Control") != "no-store" {
				t.Errorf("%s %s for %s: %d %v", c.method, c.path, accept, w.Code, got)
			}
		}
	}
}
