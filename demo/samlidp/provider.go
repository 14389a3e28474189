package samlidp

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/xml"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"sync"
	"time"

	"github.com/crewjam/saml"
	"github.com/crewjam/saml/samlidp"
	dsig "github.com/russellhaering/goxmldsig"

	"gatehouse/demo/idp"
)

const (
	maxFormBytes = 256 << 10
	maxServices  = 1024
	sessionLife  = time.Hour
	// dither is how long a person may take over the form; the library gives an
	// AuthnRequest 90 s.
	dither = 15 * time.Minute
)

// metadataLife is how long a service provider may keep the metadata: longer
// than anybody leaves a demo running.
var metadataLife = 365 * 24 * time.Hour

// Provider is a SAML identity provider for a handful of accounts.
type Provider struct {
	server   *samlidp.Server
	accounts idp.Accounts
	log      *slog.Logger
	mux      http.ServeMux
	base     string
	key      *rsa.PrivateKey

	mu       sync.Mutex
	services map[string]*saml.EntityDescriptor // by entity id, at most maxServices
	sessions sessions                          // at most maxSessions
	leaving  map[string][]visit                // sign-outs under way by RelayState: who is asked next; at most maxSessions
}

// Options say what a provider is made of.
type Options struct {
	URL         string // base, such as http://127.0.0.1:9101
	Key         *rsa.PrivateKey
	Certificate *x509.Certificate // of Key, shown in the metadata
	Accounts    idp.Accounts
	Log         *slog.Logger
}

// New makes a provider; it serves nothing before [Provider.Register].
func New(o Options) (*Provider, error) {
	base, err := url.Parse(o.URL)
	if err != nil {
		return nil, fmt.Errorf("saml provider: %w", err)
	}
	p := &Provider{accounts: o.Accounts, log: o.Log, base: o.URL, key: o.Key,
		services: map[string]*saml.EntityDescriptor{}, sessions: sessions{}, leaving: map[string][]visit{}}
	p.server, err = samlidp.New(samlidp.Options{URL: *base, Key: o.Key, Certificate: o.Certificate,
		Logger: slog.NewLogLogger(o.Log.Handler(), slog.LevelDebug), Store: &samlidp.MemoryStore{}})
	if err != nil {
		return nil, fmt.Errorf("saml provider: %w", err)
	}
	p.server.IDP.SignatureMethod = dsig.RSASHA256SignatureMethod // the library's default is SHA-1
	p.server.IDP.ServiceProviderProvider = p
	p.server.IDP.ValidDuration = &metadataLife
	p.mux.HandleFunc("GET /metadata", p.metadata)
	p.mux.HandleFunc("/sso", p.signOn)
	p.mux.HandleFunc("GET "+sloPath, p.singleLogout)
	p.mux.HandleFunc("GET "+signOutPath, askToSignOut)
	p.mux.HandleFunc("POST "+signOutPath, p.signOut)
	p.mux.HandleFunc("GET "+signedOut, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("You are signed out.\n"))
	})
	return p, nil
}

// MetadataURL is where a service provider finds this provider's metadata.
func (p *Provider) MetadataURL() string { return p.server.IDP.MetadataURL.String() }

// Register makes a service provider known by its metadata.
func (p *Provider) Register(metadata []byte) error {
	service := &saml.EntityDescriptor{}
	if err := xml.Unmarshal(metadata, service); err != nil {
		return fmt.Errorf("saml provider: service metadata: %w", err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, known := p.services[service.EntityID]; !known && len(p.services) >= maxServices {
		return fmt.Errorf("saml provider: more than %d services", maxServices)
	}
	p.services[service.EntityID] = service
	return nil
}

func (p *Provider) metadata(w http.ResponseWriter, _ *http.Request) {
	document := p.server.IDP.Metadata()
	for i := range document.IDPSSODescriptors {
		// The library names transient alone; subjects here are stable.
		document.IDPSSODescriptors[i].NameIDFormats = []saml.NameIDFormat{saml.PersistentNameIDFormat}
		document.IDPSSODescriptors[i].SingleLogoutServices = []saml.Endpoint{{Binding: saml.HTTPRedirectBinding, Location: p.sloURL()}}
	}
	text, err := xml.Marshal(document)
	if err != nil {
		p.log.Error("metadata", "error", err)
		http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/samlmetadata+xml")
	_, _ = w.Write(text) // the reader may be gone
}

// GetServiceProvider finds a registered service provider; the library asks.
func (p *Provider) GetServiceProvider(_ *http.Request, entityID string) (*saml.EntityDescriptor, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	service, ok := p.services[entityID]
	if !ok {
		return nil, os.ErrNotExist // the error the library asks for
	}
	return service, nil
}

// ServeHTTP serves the metadata, the sign-on and the sign-out.
func (p *Provider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxFormBytes)
	p.mux.ServeHTTP(w, r)
}
