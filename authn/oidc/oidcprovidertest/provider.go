package oidcprovidertest

import (
	"bufio"
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// Client is the one client that a provider knows, as OpenID Connect Dynamic Client
// Registration §2 describes it.
type Client struct {
	ID                string   `json:"client_id"`
	Secret            string   `json:"client_secret,omitempty"`
	AuthMethod        string   `json:"token_endpoint_auth_method"`
	JWKS              string   `json:"jwks_uri,omitempty"`
	RedirectURIs      []string `json:"redirect_uris"`
	SignedOutURIs     []string `json:"post_logout_redirect_uris"`
	BackChannelURI    string   `json:"backchannel_logout_uri,omitempty"`
	NamesSessions     bool     `json:"backchannel_logout_session_required,omitempty"` // in logout tokens
	GrantTypes        []string `json:"grant_types"`
	ResponseTypes     []string `json:"response_types"`
	IDTokenAlgorithms string   `json:"id_token_signed_response_alg"`
}

// Control is how a provider behaves.
type Control struct {
	Ahead  int64 `json:"ahead"`            // its clock is, in milliseconds
	Gone   bool  `json:"gone"`             // nobody has an account
	Rotate bool  `json:"rotate,omitempty"` // it has another key from now on
}

// Provider is a running oidc-provider. Whatever name somebody signs in by is theirs.
type Provider struct {
	URL string // its issuer
}

// Start runs a provider until the test ends.
func Start(t *testing.T, c Client) *Provider {
	t.Helper()
	if testing.Short() {
		t.Skip("needs Node.js and oidc-provider")
	}
	_, file, _, _ := runtime.Caller(0)
	dir := filepath.Dir(file)
	if _, err := os.Stat(filepath.Join(dir, "node_modules", "oidc-provider")); err != nil {
		t.Fatalf("oidc-provider is missing (.ci/parts installs it): %v", err)
	}
	c.GrantTypes, c.ResponseTypes, c.IDTokenAlgorithms = []string{"authorization_code", "refresh_token"}, []string{"code"}, "RS256"
	text, err := json.Marshal(c) // #nosec G117 -- a test's own secret
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "node", "provider.mjs", string(text)) // #nosec G204 -- a test's own command
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "NODE_TLS_REJECT_UNAUTHORIZED=0") // our keys are behind a certificate of the test's
	var problems bytes.Buffer
	cmd.Stderr = &problems
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // it is killed
		if t.Failed() {
			t.Logf("oidc-provider:\n%s", &problems)
		}
	})
	url, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("oidc-provider does not start: %v\n%s", err, &problems)
	}
	return &Provider{URL: strings.TrimSpace(url)}
}

// Control has the provider behave so from now on.
func (p *Provider) Control(t *testing.T, c Control) {
	t.Helper()
	text, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.URL+"/control", bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	if err := answer.Body.Close(); err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("%s, %v", answer.Status, err)
	}
}
