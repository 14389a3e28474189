package saml

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/beevik/etree"
	crewjam "github.com/crewjam/saml"

	"gatehouse/authn"
	"gatehouse/identity"
	"gatehouse/tenants"
)

// maxKeys bounds how many keys one provider may sign with at a time.
const maxKeys = 8

// provider is an identity provider, as its metadata describes it.
type provider struct {
	metadata *crewjam.EntityDescriptor
	keys     []*x509.Certificate
	// pinned is the certificate that has signed the metadata; nil if none had to.
	pinned *x509.Certificate
	// until is when the metadata ends; zero: it does not say (SAML metadata §2.3.2).
	until time.Time
}

// provider gives a connection's identity provider. Metadata that is over is not
// used, however it came (SAML metadata §2.3.2).
func (p *Protocol) provider(ctx context.Context, tenant identity.TenantID, c tenants.Connection) (*provider, error) {
	idp, err := p.providers.Of(ctx, tenant, c)
	if err != nil {
		return nil, err
	}
	return idp, idp.current(p.now())
}

// anew reads a provider's metadata again, if it is found at an address and was not
// read a moment ago.
func (p *Protocol) anew(ctx context.Context, tenant identity.TenantID, c tenants.Connection) (*provider, bool) {
	if specOf(c).IDPMetadata.URL == "" {
		return nil, false
	}
	idp, asked := p.providers.Again(ctx, tenant, c)
	return idp, asked && idp.current(p.now()) == nil
}

func (p *provider) current(now time.Time) error {
	if !p.until.IsZero() && !now.Before(p.until) {
		return authn.Refuse(authn.ProviderUnusable, "The identity provider's metadata ended at %s.", stamp(p.until))
	}
	return nil
}

func (p *provider) sameKeys(o *provider) bool {
	return slices.EqualFunc(p.keys, o.keys, (*x509.Certificate).Equal)
}

// load reads a provider's metadata, from its URL where it has one, and then from
// nowhere else: what was last read there goes on by the rules of [authn.Providers] and
// until it ends.
func (p *Protocol) load(ctx context.Context, c tenants.Connection) (*provider, error) {
	if c.SAML == nil {
		return nil, authn.Refuse(authn.ProviderUnusable, "The connection has no SAML settings.")
	}
	source := c.SAML.IDPMetadata
	raw := []byte(source.XML)
	if source.URL != "" {
		var err error
		if raw, err = p.fetch(ctx, source.URL); err != nil {
			return nil, authn.Refuse(authn.ProviderUnreachable, "The identity provider's metadata cannot be fetched.").Because(err)
		}
	}
	parsed, err := parsePinned(raw, source.Fingerprint, p.now())
	if refusal, ok := errors.AsType[*authn.Refusal](err); ok && source.Fingerprint != "" {
		return nil, authn.Refuse(authn.ProviderUnusable, "The identity provider's metadata is not signed as the connection wants it: %s", refusal.Message).Because(err)
	}
	if err != nil {
		return nil, authn.Refuse(authn.ProviderUnusable, "The identity provider's metadata cannot be used.").Because(err)
	}
	// What was known before goes on being used, where this one is over.
	return parsed, parsed.current(p.now())
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

// parsePinned reads metadata that a certificate of this fingerprint must have
// signed, if there is one, and then no more than what it has signed.
func parsePinned(raw []byte, fingerprint string, now time.Time) (*provider, error) {
	raw = bytes.TrimPrefix(raw, []byte("\ufeff")) // as that of Entra ID begins (XML §4.3.3)
	if fingerprint == "" {
		return parseMetadata(raw)
	}
	certificate, covered, err := pinned(raw, fingerprint, now)
	if err != nil {
		return nil, err
	}
	p, err := parseMetadata(covered)
	if err == nil {
		p.pinned = certificate
	}
	return p, err
}

// pinned verifies the signature of metadata, which names its certificate itself,
// and gives what it covers (SAML metadata §3.1).
func pinned(raw []byte, fingerprint string, now time.Time) (_ *x509.Certificate, covered []byte, err error) {
	defer guard(&err)
	root, err := scanMetadata(raw)
	if err != nil {
		return nil, nil, err
	}
	if err := uniqueIDs(root); err != nil {
		return nil, nil, err
	}
	signatures := root.all(nsSignature, "Signature")
	if len(signatures) != 1 {
		return nil, nil, authn.Refuse(authn.SignatureMissing, "It does not hold exactly one signature.")
	}
	if err := pass(strict.signature, signed{signature: signatures[0], owner: root}); err != nil {
		return nil, nil, err
	}
	shown := signatures[0].one(nsSignature, "KeyInfo").one(nsSignature, "X509Data").one(nsSignature, "X509Certificate").plainText()
	certificate, err := parseCertificate(shown)
	if err != nil {
		return nil, nil, authn.Refuse(authn.WrongKey, "Its signature does not show one certificate.").Because(err)
	}
	if sum := sha256.Sum256(certificate.Raw); hex.EncodeToString(sum[:]) != fingerprint {
		return nil, nil, authn.Refuse(authn.WrongKey, "It is signed with a certificate of another fingerprint.")
	}
	doc := etree.NewDocument()
	if err := doc.ReadFromBytes(raw); err != nil || doc.Root() == nil {
		return nil, nil, authn.Refuse(authn.Malformed, "It cannot be read.").Because(err)
	}
	el, err := verifySignature(doc.Root(), []*x509.Certificate{certificate}, now)
	if err != nil {
		return nil, nil, err
	}
	doc = etree.NewDocument()
	doc.SetRoot(el)
	covered, err = doc.WriteToBytes()
	return certificate, covered, err
}

// parseMetadata reads the metadata of one identity provider.
func parseMetadata(raw []byte) (*provider, error) {
	root, err := scanMetadata(raw)
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
	p := &provider{metadata: m, keys: keys, until: m.ValidUntil}
	for _, role := range m.IDPSSODescriptors { // each may end earlier (SAML metadata §2.4.1)
		if end := role.ValidUntil; end != nil && !end.IsZero() && (p.until.IsZero() || end.Before(p.until)) {
			p.until = *end
		}
	}
	return p, nil
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
				key, err := parseCertificate(c.Data)
				if err != nil {
					return nil, fmt.Errorf("saml: certificate in metadata: %w", err)
				}
				if !strong(key) {
					return nil, fmt.Errorf("saml: a signing key in the metadata is shorter than %d bits", minRSABits)
				}
				if !slices.ContainsFunc(keys, func(k *x509.Certificate) bool { return bytes.Equal(k.Raw, key.Raw) }) {
					keys = append(keys, key)
				}
			}
		}
	}
	if len(keys) == 0 || len(keys) > maxKeys {
		return nil, fmt.Errorf("saml: metadata lists %d signing keys; 1 to %d are expected", len(keys), maxKeys)
	}
	return keys, nil
}

func parseCertificate(text string) (*x509.Certificate, error) {
	der, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(text), ""))
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}
