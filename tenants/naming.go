package tenants

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
)

// Naming is a digest of what the connection says of who names its people: as long as it
// stays, a subject is the same person. "" for local accounts, whose names are ours.
func (c Connection) Naming() string {
	by := []string{string(c.Type)}
	switch {
	case c.OIDC != nil:
		by = append(by, c.OIDC.Issuer)
	case c.SAML != nil:
		by = append(by, c.SAML.IDPMetadata.URL, c.SAML.IDPMetadata.XML)
	case c.OAuth2 != nil:
		whole := c.OAuth2.Whole()
		by = append(by, whole.Issuer, whole.AuthorizationURL, whole.TokenURL, whole.UserinfoURL, whole.Claims.Subject)
	default:
		return ""
	}
	encoded, _ := json.Marshal(by) // of plain text: cannot fail
	sum := sha256.Sum256(encoded)
	return hex.EncodeToString(sum[:16])
}

// Namer is how a provider of the connection calls itself, apart from what is called so by
// another protocol; "" if it does not say.
func (c Connection) Namer(issuer string) string {
	if issuer == "" {
		return ""
	}
	return string(c.Type) + " " + issuer
}
