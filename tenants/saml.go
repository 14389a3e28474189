package tenants

import (
	"fmt"
	"reflect"
	"unicode/utf8"
)

// SAMLSpec is what a SAML 2.0 connection needs.
type SAMLSpec struct {
	IDPMetadata  MetadataSource `json:"idp_metadata" yaml:"idp_metadata"`
	Attributes   AttributeMap   `json:"attributes,omitzero" yaml:"attributes,omitempty"`
	IDPInitiated bool           `json:"idp_initiated,omitempty" yaml:"idp_initiated,omitempty"`
}

// MetadataSource says where the identity provider's metadata comes from; XML
// is what was given or last fetched. There is no file: whoever applies a
// resource reads it, because a tenant's admin must not name files of ours.
type MetadataSource struct {
	URL string `json:"url,omitempty" yaml:"url,omitempty"`
	XML string `json:"xml,omitempty" yaml:"xml,omitempty"`
}

// named is what of the source names it: of a URL it is not what was fetched last.
func (m MetadataSource) named() MetadataSource {
	if m.URL != "" {
		m.XML = ""
	}
	return m
}

// trustsAnew compares all but what changes nothing about whom the connection
// believes.
func (s SAMLSpec) trustsAnew(before SAMLSpec) bool {
	for _, of := range []*SAMLSpec{&s, &before} {
		of.IDPMetadata, of.IDPInitiated = of.IDPMetadata.named(), false
	}
	return !reflect.DeepEqual(s, before)
}

func (s *SAMLSpec) check() error {
	m := s.IDPMetadata
	if m.URL == "" && m.XML == "" {
		return badConnection("idp_metadata has neither a URL nor XML")
	}
	if m.URL != "" {
		if _, err := fetchable(m.URL); err != nil {
			return badConnection("the URL of idp_metadata is an https URL (http only for loopback addresses)")
		}
	}
	if len(m.XML) > maxMetadata {
		return badConnection(fmt.Sprintf("idp_metadata is larger than %d bytes", maxMetadata))
	}
	if !utf8.ValidString(m.XML) {
		return badConnection("idp_metadata is not UTF-8 text")
	}
	return s.Attributes.check("attributes")
}
