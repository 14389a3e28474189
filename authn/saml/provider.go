package saml

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	crewjam "github.com/crewjam/saml"

	"gatehouse/authn"
	"gatehouse/tenants"
)

// maxKeys bounds how many keys one provider may sign with at a time.
const maxKeys = 8

// provider is an identity provider, as its metadata describes it.
type provider struct {
	metadata *crewjam.EntityDescriptor
	keys     []*x509.Certificate
}

// load reads a provider's metadata, from its URL where it has one. What the
// admin gave (XML) stands in when the URL cannot be reached.
func (p *Protocol) load(ctx context.Context, c tenants.Connection) (*provider, error) {
	if c.SAML == nil {
		return nil, authn.Refuse(authn.ProviderUnusable, "The connection has no SAML settings.")
	}
	source := c.SAML.IDPMetadata
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
	return parsed, nil
}

func (p *Protocol) fetch(ctx context.Context, url string) ([]byte, error) {
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

// wantsSignedRequests reports whether a provider takes signed requests alone
// (SAML metadata §2.4.3).
func (p *provider) wantsSignedRequests() bool {
	return slices.ContainsFunc(p.metadata.IDPSSODescriptors, func(role crewjam.IDPSSODescriptor) bool {
		return role.WantAuthnRequestsSigned != nil && *role.WantAuthnRequestsSigned
	})
}

// parseMetadata reads the metadata of one identity provider.
func parseMetadata(raw []byte) (*provider, error) {
	raw = bytes.TrimPrefix(raw, []byte("\ufeff")) // as that of Entra ID begins (XML §4.3.3)
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
