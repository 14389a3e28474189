package machine

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// publishes answers with the same everywhere, and notes where it was asked.
type publishes struct {
	text  string
	asked []string
}

// RoundTrip implements [http.RoundTripper].
func (p *publishes) RoundTrip(r *http.Request) (*http.Response, error) {
	p.asked = append(p.asked, r.URL.String())
	return &http.Response{StatusCode: http.StatusOK, Request: r, Body: io.NopCloser(strings.NewReader(p.text))}, nil
}

// FuzzIssuerMetadata: whatever is published for an issuer of bearer tokens, its keys are
// fetched only from where that issuer says, and over TLS.
func FuzzIssuerMetadata(f *testing.F) {
	const good = `{"issuer":"https://as.example/t","jwks_uri":"https://keys.example/jwks"}`
	for _, seed := range []string{good, strings.Replace(good, "as.example/t", "as.example/t/", 1), strings.Replace(good, "https://keys", "http://keys", 1), strings.Replace(good, "keys.example", "u:p@keys.example", 1),
		strings.Replace(good, "https://keys.example/jwks", "", 1), strings.Replace(good, "https://keys.example/jwks", "https:///jwks", 1), strings.Replace(good, "https://keys.example/jwks", "file:///etc/passwd", 1),
		`{"issuer":["https://as.example/t"]}`, `{}`, `[]`, `null`, "", "<html>", good + good, strings.Repeat(`{"a":`, 100)} {
		f.Add(seed)
	}
	control := &Verifier{client: &http.Client{Transport: &publishes{text: good}}}
	if address, err := control.published(f.Context(), "https://as.example/t"); err != nil || address != "https://keys.example/jwks" {
		f.Fatal(address, err)
	}
	f.Fuzz(func(t *testing.T, text string) {
		const issuer = "https://as.example/t"
		web := &publishes{text: text}
		v := &Verifier{client: &http.Client{Transport: web}}
		address, err := v.published(t.Context(), issuer)
		if len(web.asked) != 1 || web.asked[0] != issuer+"/.well-known/openid-configuration" {
			t.Errorf("asked %q", web.asked)
		}
		if err != nil {
			if address != "" {
				t.Errorf("%q with %v", address, err)
			}
			return
		}
		if u, err := url.Parse(address); err != nil || u.Host == "" || u.User != nil || u.Scheme != "https" && u.Scheme != "http" || u.Scheme == "http" && !strings.HasPrefix(u.Hostname(), "127.") && u.Hostname() != "::1" && u.Hostname() != "localhost" {
			t.Errorf("%s has keys fetched from %q", text, address)
		}
		var said struct{ Issuer string }
		if json.Unmarshal([]byte(text), &said) != nil || said.Issuer != issuer {
			t.Errorf("believed as that of %s: %s", issuer, text)
		}
	})
}
