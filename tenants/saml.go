package tenants

import (
	"crypto/sha256"
	"encoding/hex"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"
)

// SAMLSpec is what a SAML 2.0 connection needs.
type SAMLSpec struct {
	IDPMetadata  MetadataSource `json:"idp_metadata" yaml:"idp_metadata"`
	Attributes   AttributeMap   `json:"attributes,omitzero" yaml:"attributes,omitempty"`
	IDPInitiated bool           `json:"idp_initiated,omitempty" yaml:"idp_initiated,omitempty"`
	// Signed is what of an answer the provider must have signed.
	Signed SignedRule `json:"signed,omitempty"`
	// Encryption is what becomes of encrypted assertions.
	Encryption EncryptionRule `json:"encryption,omitempty"`
	// AllowSHA1 takes signatures by SHA-1, whose collisions can be bought, and
	// AllowCBC encryption by AES-CBC, which whoever carries it can change.
	AllowSHA1 bool `json:"allow_sha1,omitempty"`
	AllowCBC  bool `json:"allow_cbc,omitempty"`
	// ClockSkew is by how many seconds the provider's clock may be wrong; 0: a
	// minute.
	ClockSkew int `json:"clock_skew_seconds,omitempty"`
	// SignRequests signs every request; otherwise only a provider that wants it
	// gets them signed.
	SignRequests bool `json:"sign_requests,omitempty"`
	// RequestBinding is how requests for authentication go; empty: by a redirect where
	// the provider has an address for that, else by a form.
	RequestBinding RequestBinding `json:"request_binding,omitempty"`
	// ForceAuthn has people authenticate at every sign-in.
	ForceAuthn bool `json:"force_authn,omitempty"`
	// AuthnContexts are the classes of authentication that count; none: any, and the
	// provider is not asked for one.
	AuthnContexts []string `json:"requested_authn_context,omitempty"`
	// NameIDFormat is what the provider is asked to name people by; empty: as it
	// likes.
	NameIDFormat NameIDFormat `json:"name_id_format,omitempty"`
}

// SignedRule is what of an answer must be signed.
type SignedRule string

const (
	// SignedAny wants the response signed, or the assertion.
	SignedAny SignedRule = ""
	// SignedResponse wants the response signed, whatever the assertion is.
	SignedResponse SignedRule = "response"
	// SignedAssertion wants the assertion signed, whatever the response is.
	SignedAssertion SignedRule = "assertion"
	// SignedBoth wants both.
	SignedBoth SignedRule = "both"
)

// EncryptionRule is what becomes of encrypted assertions. Those that come are
// decrypted under every rule.
type EncryptionRule string

const (
	// EncryptionNotOffered shows the provider no key to encrypt with. Some encrypt
	// as soon as they see one, in ways that are not taken.
	EncryptionNotOffered EncryptionRule = ""
	// EncryptionOffered shows one in our metadata.
	EncryptionOffered EncryptionRule = "offered"
	// EncryptionRequired also refuses what is not encrypted.
	EncryptionRequired EncryptionRule = "required"
)

// NameIDFormat is a way to name people.
type NameIDFormat string

const (
	// NameIDPersistent is a lasting name that says nothing else.
	NameIDPersistent NameIDFormat = "persistent"
	// NameIDEmail is an email address.
	NameIDEmail NameIDFormat = "email"
	// NameIDUnspecified leaves the choice to the provider, in so many words.
	NameIDUnspecified NameIDFormat = "unspecified"
)

// RequestBinding is how a request goes to the provider by way of the browser.
type RequestBinding string

const (
	// RequestRedirect is in an address: the binding HTTP-Redirect.
	RequestRedirect RequestBinding = "redirect"
	// RequestPost is in a form: the binding HTTP-POST.
	RequestPost RequestBinding = "post"
)

// MaxClockSkew bounds how wrong a provider's clock may be: whatever is out of
// date is believed for that long.
const MaxClockSkew = 5 * 60

// MetadataSource says where the identity provider's metadata comes from: a URL, or
// the XML that was given, never both, so that what was given once does not stand in
// for what the provider publishes by now. There is no file: whoever applies a
// resource reads it, because a tenant's admin must not name files of ours.
type MetadataSource struct {
	URL string `json:"url,omitempty" yaml:"url,omitempty"`
	XML string `json:"xml,omitempty" yaml:"xml,omitempty"`
	// Fingerprint is the SHA-256 of the certificate that must have signed the
	// metadata, in hex; empty: it need not be signed.
	Fingerprint string `json:"fingerprint,omitempty" yaml:"fingerprint,omitempty"`
}

func (s SAMLSpec) clone() SAMLSpec {
	s.AuthnContexts = slices.Clone(s.AuthnContexts)
	return s
}

// trustsAnew compares all but what changes nothing about whom the connection
// believes.
func (s SAMLSpec) trustsAnew(before SAMLSpec) bool {
	for _, of := range []*SAMLSpec{&s, &before} {
		of.IDPInitiated, of.ClockSkew = false, 0
		of.SignRequests, of.RequestBinding, of.ForceAuthn, of.AuthnContexts, of.NameIDFormat = false, "", false, nil, ""
		if of.Encryption == EncryptionNotOffered {
			of.Encryption = EncryptionOffered // which takes the same
		}
	}
	return !reflect.DeepEqual(s, before)
}

func (s *SAMLSpec) check() error {
	m := s.IDPMetadata
	if (m.URL == "") == (m.XML == "") {
		return badConnection("idp_metadata has exactly one of a URL and XML").At("idp_metadata")
	}
	if m.URL != "" {
		if _, err := fetchable(m.URL); err != nil {
			return badConnection("the URL of idp_metadata is an https URL (http only for loopback addresses)").At("idp_metadata.url")
		}
	}
	if len(m.XML) > maxMetadata {
		return badConnection("idp_metadata is larger than %d bytes", maxMetadata).At("idp_metadata.xml")
	}
	if !utf8.ValidString(m.XML) {
		return badConnection("idp_metadata is not UTF-8 text").At("idp_metadata.xml")
	}
	if err := s.IDPMetadata.checkFingerprint(); err != nil {
		return err
	}
	if err := s.checkRules(); err != nil {
		return err
	}
	return s.Attributes.check("attributes")
}

// checkFingerprint brings the fingerprint to its canonical form as well: people
// copy it with colons.
func (m *MetadataSource) checkFingerprint() error {
	plain := strings.ToLower(strings.ReplaceAll(m.Fingerprint, ":", ""))
	if raw, err := hex.DecodeString(plain); err != nil || len(raw) != 0 && len(raw) != sha256.Size {
		return badConnection("the fingerprint of idp_metadata is a SHA-256 in hex").At("idp_metadata.fingerprint")
	}
	m.Fingerprint = plain
	return nil
}

func (s *SAMLSpec) checkRules() error {
	if !slices.Contains([]SignedRule{SignedAny, SignedResponse, SignedAssertion, SignedBoth}, s.Signed) {
		return badConnection(`signed is empty, "response", "assertion" or "both"`).At("signed")
	}
	if !slices.Contains([]EncryptionRule{EncryptionNotOffered, EncryptionOffered, EncryptionRequired}, s.Encryption) {
		return badConnection(`encryption is empty, "offered" or "required"`).At("encryption")
	}
	if !slices.Contains([]NameIDFormat{"", NameIDPersistent, NameIDEmail, NameIDUnspecified}, s.NameIDFormat) {
		return badConnection(`name_id_format is empty, "persistent", "email" or "unspecified"`).At("name_id_format")
	}
	if !slices.Contains([]RequestBinding{"", RequestRedirect, RequestPost}, s.RequestBinding) {
		return badConnection(`request_binding is empty, "redirect" or "post"`).At("request_binding")
	}
	if s.ClockSkew < 0 || s.ClockSkew > MaxClockSkew {
		return badConnection("clock_skew_seconds is 0 to %d", MaxClockSkew).At("clock_skew_seconds")
	}
	if len(s.AuthnContexts) > maxACRValues {
		return badConnection("there are at most %d classes in requested_authn_context", maxACRValues).At("requested_authn_context")
	}
	for _, class := range s.AuthnContexts {
		if class == "" || len(class) > maxACRValue || !isToken(class) {
			return badConnection("the classes in requested_authn_context are words without spaces").At("requested_authn_context")
		}
	}
	return nil
}
