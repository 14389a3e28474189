package signals

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	gooidc "github.com/coreos/go-oidc/v3/oidc"

	"gatehouse/authn"
	"gatehouse/authn/keyset"
	"gatehouse/identity"
	"gatehouse/internal/httpkit"
	"gatehouse/tenants"
)

// Reader implements [authn.SignalReader].
type Reader struct {
	keys   *authn.Providers[gooidc.KeySet]
	client *http.Client
	now    func() time.Time
}

// New makes a reader. client talks to transmitters and must be the guarded one; a
// nil now means [time.Now]. The reader must be closed.
func New(client *http.Client, now func() time.Time) *Reader {
	if now == nil {
		now = time.Now
	}
	r := &Reader{client: client, now: now}
	r.keys = authn.NewProviders(now, r.discover)
	return r
}

// Read implements [authn.SignalReader].
func (r *Reader) Read(ctx context.Context, tenant identity.TenantID, c tenants.Connection, audiences []string, token string) (authn.Signal, error) {
	v := verification{issuer: c.Signals.Issuer, audiences: audiences, now: r.now(),
		keys: func(ctx context.Context) (gooidc.KeySet, error) { return r.keys.Of(ctx, tenant, c) }}
	verified, err := v.verify(ctx, token)
	if err != nil {
		return authn.Signal{}, err
	}
	return verified.signal()
}

// Forget implements [authn.SignalReader].
func (r *Reader) Forget(tenant identity.TenantID) { r.keys.Forget(tenant) }

// Close implements [authn.SignalReader].
func (r *Reader) Close() { r.keys.Close() }

// discover finds the keys of a connection's transmitter.
func (r *Reader) discover(ctx context.Context, c tenants.Connection) (gooidc.KeySet, error) {
	if c.Signals == nil {
		return nil, authn.Refuse(authn.ProviderUnusable, "The connection hears no signals.")
	}
	address := c.Signals.JWKSURL
	if address == "" {
		var err error
		if address, err = r.configured(ctx, c.Signals.Issuer); err != nil {
			return nil, authn.Refuse(authn.ProviderUnreachable, "The transmitter's configuration cannot be had.").Because(err)
		}
	}
	keys, err := keyset.Fetch(ctx, r.client, address)
	if err != nil {
		return nil, authn.Refuse(authn.ProviderUnreachable, "The transmitter's keys cannot be fetched.").Because(err)
	}
	return keys, nil
}

// configured reads where a transmitter says that its keys are (SSF 1.0, transmitter configuration metadata).
func (r *Reader) configured(ctx context.Context, issuer string) (keys string, err error) {
	at, err := url.Parse(issuer)
	if err != nil {
		return "", err
	}
	path := at.EscapedPath()
	if path == "/" {
		path = ""
	}
	// In front of the path that the issuer may have, as in RFC 8414 §3.1.
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at.Scheme+"://"+at.Host+"/.well-known/ssf-configuration"+path, http.NoBody)
	if err != nil {
		return "", err
	}
	resp, err := r.client.Do(req)
	if err != nil {
		return "", err
	}
	defer func() { _ = resp.Body.Close() }() // the body was read, or is not wanted
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("signals: configuration: %s", resp.Status)
	}
	raw, err := io.ReadAll(resp.Body) // bounded by the guarded client
	if err != nil {
		return "", err
	}
	var said struct {
		Issuer string `json:"issuer"`
		JWKS   string `json:"jwks_uri"`
	}
	if err := json.Unmarshal(raw, &said); err != nil {
		return "", fmt.Errorf("signals: configuration: %w", err)
	}
	if said.Issuer != issuer { // as in RFC 8414 §3.3
		return "", errors.New("signals: the configuration is that of another issuer")
	}
	if u, err := url.Parse(said.JWKS); err != nil || u.Host == "" || u.User != nil || (u.Scheme != "https" && !httpkit.PlainLoopback(u.Scheme, u.Hostname())) {
		return "", errors.New("signals: the configuration's jwks_uri is missing or not an address over TLS")
	}
	return said.JWKS, nil
}
