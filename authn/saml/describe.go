package saml

import (
	"context"
	"encoding/base64"
	"encoding/xml"
	"fmt"
	"time"

	"github.com/beevik/etree"
	crewjam "github.com/crewjam/saml"

	"gatehouse/authn"
	"gatehouse/identity"
	"gatehouse/tenants"
)

// metadataLife is how long our own metadata says it holds. Some providers stop
// accepting requests when it has run out, so it is long.
const metadataLife = 365 * 24 * time.Hour

// offeredCiphers are what an assertion may be encrypted by, what we like best
// first. AES-CBC is never asked for.
var offeredCiphers = []string{"http://www.w3.org/2009/xmlenc11#aes256-gcm", "http://www.w3.org/2009/xmlenc11#aes128-gcm", oaep, oaepMGF1P}

// Metadata describes this side of a connection (SAML metadata §2.4.4), signed with
// the key that requests are signed with. While a new key is prepared, it shows
// both, so that a provider which reads it now and then knows the new one before it
// is used.
func (p *Protocol) Metadata(ctx context.Context, tenant identity.TenantID, c tenants.Connection, e authn.Endpoints) (document []byte, mediaType string, err error) {
	published, err := p.published(ctx, tenant, c.ID)
	if err != nil {
		return nil, "", err
	}
	key, err := p.signing(ctx, tenant, c.ID)
	if err != nil {
		return nil, "", err
	}
	sp, err := serviceProvider(e, &provider{})
	if err != nil {
		return nil, "", err
	}
	sp.MetadataValidDuration = metadataLife
	d := sp.Metadata()
	d.ID = newID()
	role := &d.SPSSODescriptors[0]
	spec := specOf(c)
	signs := spec.SignRequests
	role.AuthnRequestsSigned = &signs
	role.KeyDescriptors = nil
	for _, certificate := range published {
		role.KeyDescriptors = append(role.KeyDescriptors, keyDescriptor("signing", certificate))
	}
	if spec.Encryption != tenants.EncryptionNotOffered {
		for _, certificate := range published {
			of := keyDescriptor("encryption", certificate)
			for _, algorithm := range offeredCiphers {
				of.EncryptionMethods = append(of.EncryptionMethods, crewjam.EncryptionMethod{Algorithm: algorithm})
			}
			role.KeyDescriptors = append(role.KeyDescriptors, of)
		}
	}
	role.SingleLogoutServices = []crewjam.Endpoint{
		{Binding: crewjam.HTTPRedirectBinding, Location: e.Logout}, {Binding: crewjam.HTTPPostBinding, Location: e.Logout}}
	role.NameIDFormats = []crewjam.NameIDFormat{crewjam.PersistentNameIDFormat, crewjam.EmailAddressNameIDFormat, crewjam.UnspecifiedNameIDFormat}
	if format, asked := nameIDFormats[spec.NameIDFormat]; asked {
		role.NameIDFormats = []crewjam.NameIDFormat{crewjam.NameIDFormat(format)}
	}
	// The library also offers the artifact binding, which is not spoken here.
	role.AssertionConsumerServices = []crewjam.IndexedEndpoint{{Binding: crewjam.HTTPPostBinding, Location: e.Callback, Index: 1}}
	plain, err := xml.Marshal(d)
	if err != nil {
		return nil, "", fmt.Errorf("saml: write metadata: %w", err)
	}
	if document, err = key.signDocument(plain); err != nil {
		return nil, "", err
	}
	return append([]byte(xml.Header), document...), "application/samlmetadata+xml", nil
}

func keyDescriptor(use string, certificate []byte) crewjam.KeyDescriptor {
	return crewjam.KeyDescriptor{Use: use, KeyInfo: crewjam.KeyInfo{X509Data: crewjam.X509Data{
		X509Certificates: []crewjam.X509Certificate{{Data: base64.StdEncoding.EncodeToString(certificate)}}}}}
}

// signDocument puts a signature at the beginning of a document, where the schema
// of metadata wants it (SAML metadata §2.3.2).
func (k *signingKey) signDocument(plain []byte) ([]byte, error) {
	doc := etree.NewDocument()
	if err := doc.ReadFromBytes(plain); err != nil {
		return nil, fmt.Errorf("saml: read metadata: %w", err)
	}
	if err := k.signElement(doc.Root(), 0); err != nil {
		return nil, err
	}
	signed, err := doc.WriteToBytes()
	if err != nil {
		return nil, fmt.Errorf("saml: write metadata: %w", err)
	}
	return signed, nil
}
