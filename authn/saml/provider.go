package saml

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	crewjam "github.com/crewjam/saml"

	"gatehouse/authn"
	"gatehouse/identity"
	"gatehouse/tenants"
)

const (
	// metadataFresh is how long fetched metadata is used: short, so that a
	// provider that changes its keys is followed.
	metadataFresh = 15 * time.Minute
	// metadataStale is how long it may still be used while the provider cannot be
	// reached.
	metadataStale = 24 * time.Hour
	// maxProviders bounds the cache.
	maxProviders = 512
	// maxKeys bounds how many keys one provider may sign with at a time.
	maxKeys = 8
)

// provider is an identity provider, as its metadata describes it.
type provider struct {
	metadata *crewjam.EntityDescriptor
	keys     []*x509.Certificate
	fetched  time.Time
}

// cacheKey keeps tenants apart, and an old version of a connection from a new.
type cacheKey struct {
	tenant     identity.TenantID
	connection identity.ConnectionID
	version    uint64
}

// providers keeps parsed metadata.
type providers struct {
	client *http.Client
	now    func() time.Time

	mu    sync.Mutex
	cache map[cacheKey]*provider
}

func newProviders(client *http.Client, now func() time.Time) *providers {
	return &providers{client: client, now: now, cache: map[cacheKey]*provider{}}
}

// of gives the provider of a connection, from its metadata's URL where it has
// one, and otherwise as the admin gave it.
func (p *providers) of(ctx context.Context, tenant identity.TenantID, c tenants.Connection) (*provider, error) {
	if c.SAML == nil {
		return nil, authn.Refuse(authn.ProviderUnusable, "The connection has no SAML settings.")
	}
	key := cacheKey{tenant, c.ID, c.Version}
	known := p.lookup(key)
	if known != nil && (c.SAML.IDPMetadata.URL == "" || p.now().Sub(known.fetched) < metadataFresh) {
		return known, nil
	}
	fresh, err := p.load(ctx, c.SAML.IDPMetadata)
	switch {
	case err == nil:
		p.keep(key, fresh)
		return fresh, nil
	case known != nil && p.now().Sub(known.fetched) < metadataStale:
		return known, nil
	}
	return nil, err
}

func (p *providers) lookup(key cacheKey) *provider {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cache[key]
}

func (p *providers) keep(key cacheKey, fresh *provider) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for other := range p.cache {
		if len(p.cache) < maxProviders {
			break
		}
		delete(p.cache, other)
	}
	p.cache[key] = fresh
}

// load gets and reads metadata. What was fetched by the admin's tools (XML)
// stands in when the URL cannot be reached.
func (p *providers) load(ctx context.Context, source tenants.MetadataSource) (*provider, error) {
	raw := []byte(source.XML)
	if source.URL != "" {
		fetched, err := p.fetch(ctx, source.URL)
		if err != nil && len(raw) == 0 {
			return nil, authn.Refuse(authn.ProviderUnreachable, "The identity provider's metadata cannot be fetched.").Because(err)
		}
		if err == nil {
			raw = fetched
		}
	}
	parsed, err := parseMetadata(raw)
	if err != nil {
		return nil, authn.Refuse(authn.ProviderUnusable, "The identity provider's metadata cannot be used.").Because(err)
	}
	parsed.fetched = p.now()
	return parsed, nil
}

func (p *providers) fetch(ctx context.Context, url string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return nil, err
	}
	resp, err := p.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }() // the body was read, or is not wanted
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("saml: metadata: %s", resp.Status)
	}
	return io.ReadAll(resp.Body) // bounded by the guarded client
}

// parseMetadata reads the metadata of one identity provider.
func parseMetadata(raw []byte) (*provider, error) {
	root, err := scan(raw, true)
	if err != nil {
		return nil, err
	}
	if root.name.Local != "EntityDescriptor" {
		return nil, fmt.Errorf("saml: metadata is a %q, not the descriptor of one entity", root.name.Local)
	}
	m := &crewjam.EntityDescriptor{}
	if err := xml.Unmarshal(raw, m); err != nil {
		return nil, fmt.Errorf("saml: read metadata: %w", err)
	}
	if m.EntityID == "" || len(m.IDPSSODescriptors) == 0 {
		return nil, errors.New("saml: metadata describes no identity provider")
	}
	keys, err := signingKeys(m)
	if err != nil {
		return nil, err
	}
	return &provider{metadata: m, keys: keys}, nil
}

// signingKeys gives the certificates whose keys may sign: those for signing
// and those for anything (SAML metadata §2.4.1.1).
func signingKeys(m *crewjam.EntityDescriptor) ([]*x509.Certificate, error) {
	var keys []*x509.Certificate
	for _, role := range m.IDPSSODescriptors {
		for _, descriptor := range role.KeyDescriptors {
			if descriptor.Use != "" && descriptor.Use != "signing" {
				continue
			}
			for _, c := range descriptor.KeyInfo.X509Data.X509Certificates {
				der, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(c.Data), ""))
				if err != nil {
					return nil, fmt.Errorf("saml: certificate in metadata: %w", err)
				}
				key, err := x509.ParseCertificate(der)
				if err != nil {
					return nil, fmt.Errorf("saml: certificate in metadata: %w", err)
				}
				if !strong(key) {
					return nil, fmt.Errorf("saml: a signing key in the metadata is shorter than %d bits", minRSABits)
				}
				keys = append(keys, key)
			}
		}
	}
	if len(keys) == 0 || len(keys) > maxKeys {
		return nil, fmt.Errorf("saml: metadata lists %d signing keys; 1 to %d are expected", len(keys), maxKeys)
	}
	return keys, nil
}
