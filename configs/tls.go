package configs

import "time"

// maxHSTS bounds for how long browsers are told to come by TLS alone: a mistake lasts as long.
const maxHSTS = 2 * 365 * 24 * time.Hour

// TLSMode says where the server's certificates come from.
type TLSMode string

const (
	// TLSFiles reads certificates from files.
	TLSFiles TLSMode = "files"
	// TLSInternal issues certificates from a CA in the data folder.
	TLSInternal TLSMode = "internal"
	// TLSACME asks a public CA; refused until it is built.
	TLSACME TLSMode = "acme"
)

// TLS says how the gate proves its hosts.
type TLS struct {
	Mode         TLSMode       `yaml:"mode" required:"true" enum:"files,internal,acme" doc:"files: certificates from files; internal: issued by the gateway's own CA in the data folder; acme: not available yet."`
	Certificates []Certificate `yaml:"certificates" doc:"With mode files: the certificate chains; which one is used follows from the host names in it."`
	MinVersion   string        `yaml:"min_version" default:"1.2" enum:"1.2,1.3" doc:"Lowest TLS version that is accepted."`

	HSTS           time.Duration `yaml:"hsts" default:"8760h" doc:"For how long browsers come to a host by TLS alone once they have been there (Strict-Transport-Security, RFC 6797): up to 17520h, in whole seconds. It is said with every answer, and with those of the app that say nothing of it, but at localhost and at addresses. 0: nothing is said."`
	HSTSSubdomains bool          `yaml:"hsts_subdomains" doc:"Whether that holds for all hosts below as well, whoever serves them."`
}

// Certificate is a chain and its private key, as PEM files. Relative paths
// start at the config file's folder.
type Certificate struct {
	Cert string `yaml:"cert" required:"true" doc:"PEM file with the certificate, followed by its intermediates."`
	Key  string `yaml:"key" required:"true" doc:"PEM file with the private key."`
}

func (t *TLS) check(c *checker) {
	switch t.Mode {
	case TLSACME:
		c.add("tls.mode", "acme is not available yet", "use files with certificates of your own, or internal")
	case TLSFiles:
		if len(t.Certificates) == 0 {
			c.add("tls", "mode files needs at least one certificate", "add certificates: [ { cert: FILE, key: FILE } ]")
		}
	case TLSInternal:
		if len(t.Certificates) > 0 {
			c.add("tls.certificates", "certificates are not used with mode internal", "remove them, or use mode: files")
		}
	}
	if t.HSTS < 0 || t.HSTS > maxHSTS || t.HSTS%time.Second != 0 {
		c.add("tls.hsts", "hsts is 0, or whole seconds of at most 17520h", "leave it out, or write something like 8760h")
	}
	for i := range t.Certificates {
		certificate := &t.Certificates[i]
		certificate.Cert = c.resolve(certificate.Cert)
		certificate.Key = c.resolve(certificate.Key)
	}
}
