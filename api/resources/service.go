package resources

import (
	"gatehouse/machines"
)

// ServiceSpec is the spec of a Service: a program that calls as a principal of its
// own, recognised by any of its credentials.
type ServiceSpec struct {
	DisplayName string           `json:"display_name,omitempty" yaml:"display_name,omitempty" maxLength:"200" doc:"Absent: its name"`
	Enabled     *bool            `json:"enabled,omitempty" yaml:"enabled,omitempty" doc:"Absent: true"`
	Role        string           `json:"role" yaml:"role" minLength:"1" maxLength:"63" doc:"Account-wide role"`
	Credentials []CredentialSpec `json:"credentials,omitempty" yaml:"credentials,omitempty" maxItems:"10" doc:"What it is recognised by"`
}

// CredentialSpec is one thing that a service is recognised by: exactly one field.
type CredentialSpec struct {
	JWT           *JWTSpec           `json:"jwt,omitempty" yaml:"jwt,omitempty" doc:"A signed access token (RFC 9068)"`
	Introspection *IntrospectionSpec `json:"introspection,omitempty" yaml:"introspection,omitempty" doc:"A token of which its authorization server is asked (RFC 7662)"`
	Certificate   *CertificateSpec   `json:"certificate,omitempty" yaml:"certificate,omitempty" doc:"A client certificate (RFC 8705)"`
}

// JWTSpec says whose signed tokens count. Exactly one of Connection and Issuer is
// set, and at least one of Subject and ClientID.
type JWTSpec struct {
	Connection string               `json:"connection,omitempty" yaml:"connection,omitempty" maxLength:"63" doc:"Name of an oidc connection whose provider has issued it"`
	Issuer     string               `json:"issuer,omitempty" yaml:"issuer,omitempty" maxLength:"2048" doc:"Another issuer, as its tokens name it"`
	JWKSURL    string               `json:"jwks_url,omitempty" yaml:"jwks_url,omitempty" maxLength:"2048" doc:"Where the issuer's keys are; absent: where its metadata says so"`
	Audience   string               `json:"audience" yaml:"audience" minLength:"1" maxLength:"512" doc:"Whom the token must be for"`
	Subject    string               `json:"subject,omitempty" yaml:"subject,omitempty" maxLength:"512" doc:"Its sub; absent: any"`
	ClientID   string               `json:"client_id,omitempty" yaml:"client_id,omitempty" maxLength:"512" doc:"Its client_id, azp, appid or cid, whichever are there; absent: any"`
	Types      []machines.TokenType `json:"types,omitempty" yaml:"types,omitempty" maxItems:"2" doc:"at+jwt, and jwt for tokens that do not say what they are for; absent: at+jwt alone"`
}

// IntrospectionSpec says who is asked, and what the answer must be.
type IntrospectionSpec struct {
	Endpoint         string `json:"endpoint" yaml:"endpoint" minLength:"1" maxLength:"2048"`
	AuthClientID     string `json:"auth_client_id" yaml:"auth_client_id" minLength:"1" maxLength:"512" doc:"Client by which the gateway asks"`
	AuthClientSecret string `json:"auth_client_secret,omitempty" yaml:"auth_client_secret,omitempty" maxLength:"4096" writeOnly:"true" doc:"Absent: the one that there is for this client at this endpoint stays"`
	Issuer           string `json:"issuer,omitempty" yaml:"issuer,omitempty" maxLength:"2048" doc:"iss that the answer must have; absent: any"`
	Audience         string `json:"audience" yaml:"audience" minLength:"1" maxLength:"512"`
	Subject          string `json:"subject,omitempty" yaml:"subject,omitempty" maxLength:"512"`
	ClientID         string `json:"client_id,omitempty" yaml:"client_id,omitempty" maxLength:"512"`
}

// CertificateSpec says which client certificates count: those of an authority for
// one name, or one single certificate.
type CertificateSpec struct {
	CA          string `json:"ca,omitempty" yaml:"ca,omitempty" maxLength:"32768" doc:"Authorities, in PEM"`
	SANURI      string `json:"san_uri,omitempty" yaml:"san_uri,omitempty" maxLength:"2048" doc:"URI that the certificate is for, with ca"`
	SANDNS      string `json:"san_dns,omitempty" yaml:"san_dns,omitempty" maxLength:"253" doc:"DNS name that the certificate is for, with ca"`
	Certificate string `json:"certificate,omitempty" yaml:"certificate,omitempty" maxLength:"32768" doc:"The certificate itself, in PEM"`
}

// SpecOfService shows a service as a spec, without its secrets.
func SpecOfService(m machines.Machine) ServiceSpec {
	spec := ServiceSpec{DisplayName: m.DisplayName, Role: m.Role}
	if !m.Enabled {
		spec.Enabled = new(bool)
	}
	for _, c := range m.Credentials {
		var shown CredentialSpec
		switch {
		case c.JWT != nil:
			shown.JWT = &JWTSpec{Connection: c.JWT.Connection, Issuer: c.JWT.Issuer, JWKSURL: c.JWT.JWKSURL,
				Audience: c.JWT.Audience, Subject: c.JWT.Subject, ClientID: c.JWT.ClientID, Types: c.JWT.Types}
		case c.Introspection != nil:
			shown.Introspection = &IntrospectionSpec{Endpoint: c.Introspection.Endpoint, AuthClientID: c.Introspection.AuthClientID,
				Issuer: c.Introspection.Issuer, Audience: c.Introspection.Audience, Subject: c.Introspection.Subject, ClientID: c.Introspection.ClientID}
		case c.Certificate != nil:
			shown.Certificate = &CertificateSpec{CA: c.Certificate.CA, SANURI: c.Certificate.SANURI, SANDNS: c.Certificate.SANDNS, Certificate: c.Certificate.Pinned}
		}
		spec.Credentials = append(spec.Credentials, shown)
	}
	return spec
}

// Service makes the service that the spec describes, keeping of the current one
// (zero if there is none) its identity, and its secrets where the spec has none.
func (s ServiceSpec) Service(name string, current machines.Machine) machines.Machine {
	wanted := machines.Machine{ID: current.ID, Name: name, DisplayName: s.DisplayName, Enabled: s.Enabled == nil || *s.Enabled, Role: s.Role,
		Version: current.Version, CreatedAt: current.CreatedAt, UpdatedAt: current.UpdatedAt}
	if wanted.DisplayName == "" {
		wanted.DisplayName = name
	}
	for _, c := range s.Credentials {
		var made machines.Credential
		if c.JWT != nil {
			made.JWT = &machines.JWT{Connection: c.JWT.Connection, Issuer: c.JWT.Issuer, JWKSURL: c.JWT.JWKSURL, Types: append([]machines.TokenType(nil), c.JWT.Types...),
				Claims: machines.Claims{Audience: c.JWT.Audience, Subject: c.JWT.Subject, ClientID: c.JWT.ClientID}}
		}
		if c.Introspection != nil {
			made.Introspection = c.Introspection.introspection(current)
		}
		if c.Certificate != nil {
			made.Certificate = &machines.Certificate{CA: c.Certificate.CA, SANURI: c.Certificate.SANURI, SANDNS: c.Certificate.SANDNS, Pinned: c.Certificate.Certificate}
		}
		wanted.Credentials = append(wanted.Credentials, made)
	}
	return wanted
}

// introspection keeps a secret where none is said anew, but shows it to nobody else
// than it was meant for.
func (s IntrospectionSpec) introspection(current machines.Machine) *machines.Introspection {
	wanted := &machines.Introspection{Endpoint: s.Endpoint, AuthClientID: s.AuthClientID, AuthClientSecret: s.AuthClientSecret, Issuer: s.Issuer,
		Claims: machines.Claims{Audience: s.Audience, Subject: s.Subject, ClientID: s.ClientID}}
	for _, c := range current.Credentials {
		if i := c.Introspection; i != nil && wanted.AuthClientSecret == "" && i.Endpoint == s.Endpoint && i.AuthClientID == s.AuthClientID {
			wanted.AuthClientSecret = i.AuthClientSecret
		}
	}
	return wanted
}
