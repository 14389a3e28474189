package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"gatehouse/demo"
	"gatehouse/internal/telemetry"
)

// flowSecrets are the fields of queries and forms that nobody but the two
// parties of a sign-in may see.
var flowSecrets = []string{"code", "state", "nonce", "id_token_hint", "RelayState", "SAMLResponse", "SAMLRequest", "password", "code_challenge"}

// witness is the wire between a browser and everybody it talks to: it collects
// the secrets that pass, and what the gate says when it refuses.
type witness struct {
	http.RoundTripper

	mu       sync.Mutex
	secrets  map[string]string // value: what it is
	callback []*http.Request   // requests of the sign-ins' last hop, to be repeated
	bodies   [][]byte          // of those, in the same order
	refusals strings.Builder   // answers of the gate with 400 and above
}

func (w *witness) secret(value, what string) {
	if len(value) >= 8 { // shorter ones would be found anywhere
		w.secrets[value] = what
	}
}

func (w *witness) fields(values url.Values) {
	for _, name := range flowSecrets {
		for _, value := range values[name] {
			w.secret(value, name)
		}
	}
}

// RoundTrip looks at a request and its answer as they pass.
func (w *witness) RoundTrip(r *http.Request) (*http.Response, error) {
	var sent []byte
	if r.Body != nil {
		var err error
		if sent, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
		r = r.Clone(r.Context())
		r.Body = io.NopCloser(bytes.NewReader(sent))
	}
	resp, err := w.RoundTripper.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	answer, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	resp.Body = io.NopCloser(bytes.NewReader(answer))
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fields(r.URL.Query())
	if form, bad := url.ParseQuery(string(sent)); bad == nil {
		w.fields(form)
	}
	if to, bad := resp.Location(); bad == nil {
		w.fields(to.Query())
	}
	for _, c := range resp.Cookies() {
		w.secret(c.Value, "cookie "+c.Name)
	}
	if _, token, ok := strings.Cut(r.Header.Get("Authorization"), " "); ok {
		w.secret(token, "token of a request")
	}
	if strings.HasSuffix(r.URL.Path, "/callback") || strings.HasSuffix(r.URL.Path, "/acs") {
		w.callback, w.bodies = append(w.callback, r.Clone(r.Context())), append(w.bodies, sent)
	}
	if strings.HasSuffix(r.URL.Hostname(), ".localhost") && resp.StatusCode >= http.StatusBadRequest {
		_, _ = fmt.Fprintf(&w.refusals, "%s %s: %s\n%v\n%s\n", r.Method, r.URL.Path, resp.Status, resp.Header, answer)
	}
	return resp, err
}

// watched is a browser whose every byte the witness sees.
func watched(t *testing.T, info demo.Info, w *witness) *http.Client {
	t.Helper()
	client, err := info.Client()
	if err != nil {
		t.Fatal(err)
	}
	if w.RoundTripper == nil {
		w.RoundTripper = client.Transport
	}
	client.Transport = w
	return client
}

// confidant is the app: it writes down everything that it is sent.
type confidant struct {
	mu   sync.Mutex
	told strings.Builder
}

func (c *confidant) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	headers := r.Header.Clone()
	if headers.Get("X-Gatehouse-Assertion") == "" && headers.Get("X-Gatehouse-User") != "" {
		http.Error(w, "an identity that is not signed", http.StatusInternalServerError)
		return
	}
	headers.Del("X-Gatehouse-Assertion") // made for the app
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	_, _ = fmt.Fprintf(&c.told, "%s %s %v %s\n", r.Method, r.RequestURI, headers, body)
}

// TestP6_SecretsStayInside walks through everything that handles secrets, and
// through its refusals, and then looks for each secret of the run wherever
// somebody else can read. It does not run in parallel: the process's own log is
// one of those places.
func TestP6_SecretsStayInside(t *testing.T) {
	app := &confidant{}
	upstream := httptest.NewServer(app)
	t.Cleanup(upstream.Close)
	logged := &lockedBuffer{}
	log := telemetry.NewLogger(logged, telemetry.Text, slog.LevelDebug)
	before := slog.Default()
	slog.SetDefault(log)
	t.Cleanup(func() { slog.SetDefault(before) })
	data := t.TempDir()
	d, err := demo.Start(t.Context(), demo.Options{Data: data, App: upstream.URL, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)

	w := &witness{secrets: map[string]string{}}
	shown := walkThrough(t, d.Info(), w)
	upstream.Close()
	if resp, body := get(t, watched(t, d.Info(), w), d.Info().Tenants["acme"].URL+"public/ping"); resp.StatusCode != http.StatusBadGateway {
		t.Errorf("without the app: %s: %s", resp.Status, body)
	}
	collectStored(t, data, d.Info(), w)

	for _, tenant := range []string{"acme", "globex", "platform"} {
		for _, format := range []string{"jsonl", "csv"} {
			stdout, stderr, code := gatehouse(t, "audit", "export", "--tenant", tenant, "--format", format, "--data", data)
			if code != 0 || stdout == "" {
				t.Fatalf("export of %s: %s", tenant, stderr)
			}
			shown["the "+format+" export of "+tenant] = stdout
		}
	}
	resources, stderr, code := gatehouse(t, "export", "--data", data)
	if code != 0 {
		t.Fatal(stderr)
	}
	shown["the resources' export"] = resources
	_, metrics := get(t, http.DefaultClient, d.Info().Ops+"/metrics")
	shown["the metrics"] = string(metrics)
	d.Close()
	shown["the log"] = logged.String()
	shown["what the gate said when it refused"] = w.refusals.String()
	shown["what the app received"] = app.told.String()
	addFiles(t, data, shown)

	for place, text := range shown {
		for value, what := range w.secrets {
			if leaks(text, value) {
				t.Errorf("%s is in %s", what, place)
			}
		}
	}
	kinds := map[string]int{}
	for _, what := range w.secrets {
		kinds[what]++
	}
	for _, what := range []string{"cookie __Host-gatehouse", "cookie __Host-gatehouse-device", "cookie __Host-gatehouse-flow", "code", "state", "nonce",
		"RelayState", "SAMLResponse", "id_token_hint", "password", "client secret", "key-encryption key", "new token", "SCIM token", "API token"} {
		if kinds[what] == 0 {
			t.Errorf("the run had no %s to look for", what)
		}
	}
	t.Logf("looked for %d secrets %v in %d places", len(w.secrets), kinds, len(shown))
}

// leaks reports whether a text holds a secret, whole or in part, as it is or as
// it stands in a URL.
func leaks(text, secret string) bool {
	if len(secret) > 96 { // a piece of a long one is enough: it may have been cut
		secret = secret[len(secret)/2:][:48]
	}
	return strings.Contains(text, secret) || strings.Contains(text, url.QueryEscape(secret))
}

// walkThrough signs in by both protocols, uses every kind of credential well
// and badly, and signs out. It gives the answers that are open to other readers.
func walkThrough(t *testing.T, info demo.Info, w *witness) map[string]string {
	t.Helper()
	acme, globex := info.Tenants["acme"], info.Tenants["globex"]
	expect := func(client *http.Client, status int, req *http.Request) []byte {
		t.Helper()
		resp, body := do(t, client, req)
		if resp.StatusCode != status {
			t.Errorf("%s %s: %s, expected %d: %s", req.Method, req.URL.Path, resp.Status, status, body)
		}
		return body
	}
	member1, member2 := watched(t, info, w), watched(t, info, w)
	for _, in := range []struct {
		client        *http.Client
		tenant, email string
	}{{member1, "acme", member}, {member2, "globex", "member@globex.example"}} {
		if err := info.SignIn(t.Context(), in.client, in.tenant, in.email); err != nil {
			t.Fatal(err)
		}
	}
	page := []string{"Accept", "text/html"}
	expect(member1, http.StatusForbidden, request(t, http.MethodGet, acme.URL+"api/admin/billing?code=a-code-in-a-query", "", page...))
	expect(member2, http.StatusForbidden, request(t, http.MethodGet, globex.URL+"api/admin/billing", ""))
	expect(member1, http.StatusOK, request(t, http.MethodGet, acme.URL+"api/whoami", "", "Cookie", "theme=dark"))

	// The last hop of each sign-in once more, with everything that was good once.
	stranger := watched(t, info, w)
	for i, r := range w.callback {
		again := r.Clone(t.Context())
		again.RequestURI, again.Body = "", io.NopCloser(bytes.NewReader(w.bodies[i]))
		again.Header.Del("Cookie")
		resp, body := do(t, stranger, again)
		if resp.StatusCode < http.StatusBadRequest {
			t.Errorf("%s answers a replay with %s: %s", r.URL.Path, resp.Status, body)
		}
	}
	expect(stranger, http.StatusForbidden, request(t, http.MethodGet, acme.URL+".gatehouse/oidc/oidc/callback?state=a-state-nobody-gave&code=a-code-nobody-gave", "", page...))
	expect(stranger, http.StatusForbidden, request(t, http.MethodPost, globex.URL+".gatehouse/saml/saml/acs", "SAMLResponse=PGFueXRoaW5nLz4%3D&RelayState=a-state-nobody-gave",
		"Content-Type", "application/x-www-form-urlencoded"))

	// Tokens, good and bad, ours and those of others.
	bearer := func(token string) []string { return []string{"Authorization", "Bearer " + token} }
	expect(stranger, http.StatusOK, request(t, http.MethodGet, acme.URL+"api/whoami", "", bearer(acme.APIToken)...))
	expect(stranger, http.StatusOK, request(t, http.MethodGet, acme.URL+"public/ping", "", bearer(globex.APIToken)...))
	for _, token := range []string{globex.APIToken, acme.SCIMToken, "gh_" + strings.Repeat("wrong", 9)[:43]} {
		resp, body := do(t, stranger, request(t, http.MethodGet, acme.URL+"api/whoami", "", bearer(token)...))
		if resp.StatusCode != http.StatusUnauthorized && resp.StatusCode != http.StatusForbidden {
			t.Errorf("a wrong token is answered with %s: %s", resp.Status, body)
		}
	}
	expect(stranger, http.StatusUnauthorized, request(t, http.MethodGet, acme.URL+"api/whoami", "", "Cookie", "__Host-gatehouse="+strings.Repeat("garbage", 7)[:43]))
	expect(stranger, http.StatusOK, request(t, http.MethodGet, acme.SCIM+"/Users", "", bearer(acme.SCIMToken)...))
	expect(stranger, http.StatusUnauthorized, request(t, http.MethodGet, acme.SCIM+"/Users", "", bearer(globex.SCIMToken)...))
	expect(stranger, http.StatusCreated, request(t, http.MethodPost, acme.SCIM+"/Users",
		`{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"new@acme.example","password":"a-password-by-scim"}`, bearer(acme.SCIMToken)...))
	w.secrets["a-password-by-scim"] = "password by SCIM"
	made := decode[struct{ Secret string }](t, expect(stranger, http.StatusCreated,
		request(t, http.MethodPost, acme.URL+".gatehouse/api/v1/tokens", `{"name":"robot","scope":"api","role":"viewer"}`, bearer(acme.APIToken)...)))
	w.secrets[made.Secret] = "new token"

	// What a tenant's admin and the operator can read.
	shown := map[string]string{}
	for _, list := range []string{"tokens", "connections", "sessions", "devices", "users", "audit/events", "audit/access", "me"} {
		shown["the API's "+list] = string(expect(stranger, http.StatusOK, request(t, http.MethodGet, acme.URL+".gatehouse/api/v1/"+list, "", bearer(acme.APIToken)...)))
	}
	for _, out := range []struct {
		client *http.Client
		tenant demo.Tenant
		status int
	}{{member1, acme, http.StatusSeeOther}, {member2, globex, http.StatusOK}} { // SAML goes on by a page
		out.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
		expect(out.client, out.status, request(t, http.MethodPost, out.tenant.URL+".gatehouse/logout", "", "Sec-Fetch-Site", "same-origin"))
		expect(out.client, http.StatusUnauthorized, request(t, http.MethodGet, out.tenant.URL+"api/whoami", ""))
	}
	return shown
}

// collectStored adds the secrets that no browser sees.
func collectStored(t *testing.T, data string, info demo.Info, w *witness) {
	t.Helper()
	kek, err := os.ReadFile(filepath.Join(data, "kek.key"))
	if err != nil {
		t.Fatal(err)
	}
	w.secrets[strings.TrimSpace(string(kek))] = "key-encryption key"
	text, err := os.ReadFile(filepath.Join(data, "demo.json"))
	if err != nil {
		t.Fatal(err)
	}
	var state struct {
		ClientSecret string `json:"client_secret"`
	}
	if err := json.Unmarshal(text, &state); err != nil {
		t.Fatal(err)
	}
	w.secrets[state.ClientSecret] = "client secret"
	w.secrets[info.Operator.Token] = "operator's token"
	for _, tenant := range info.Tenants {
		w.secrets[tenant.APIToken], w.secrets[tenant.SCIMToken] = "API token", "SCIM token"
	}
}

// addFiles adds what is in the data folder. Two files are meant to hold
// secrets: the key-encryption key, of mode 0600, which in an installation lives
// elsewhere, and the state of the demo's own identity providers.
func addFiles(t *testing.T, data string, shown map[string]string) {
	t.Helper()
	meant := []string{"kek.key", "demo.json"}
	err := filepath.WalkDir(data, func(path string, file fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // a write-ahead log that was done with
		}
		if err != nil || !file.Type().IsRegular() || slices.Contains(meant, file.Name()) {
			return err
		}
		content, err := os.ReadFile(path)
		shown["the file "+strings.TrimPrefix(path, data)] = string(content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
