package saml

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"net/http"
	"net/url"
	"time"

	crewjam "github.com/crewjam/saml"

	"gatehouse/authn"
	"gatehouse/identity"
	"gatehouse/tenants"
)

// metadataLife is how long our own metadata says it holds. Some providers stop
// accepting requests when it has run out, so it is long.
const metadataLife = 365 * 24 * time.Hour

// Protocol is SAML 2.0. It implements [authn.Protocol], [authn.SingleLogout] and
// [authn.MetadataPublisher].
type Protocol struct {
	providers *authn.Providers[*provider]
	keys      *keyring
	client    *http.Client
	now       func() time.Time
}

// Config names what the protocol is built of. Store and Keys keep what it signs
// with; Client fetches metadata and must be the guarded one.
type Config struct {
	Store  authn.Stores
	Keys   authn.Keys
	Client *http.Client
	// Now is the clock; nil means [time.Now].
	Now func() time.Time
}

// New makes the protocol. It must be closed.
func New(c Config) *Protocol {
	if c.Now == nil {
		c.Now = time.Now
	}
	p := &Protocol{client: c.Client, keys: newKeyring(c.Store, c.Keys, c.Now), now: c.Now}
	p.providers = authn.NewProviders(c.Now, p.load)
	return p
}

// private is what must be known of a request when its answer comes.
type private struct {
	RequestID string `json:"request_id"`
}

func readPrivate(state []byte) (asked private, err error) {
	if err := json.Unmarshal(state, &asked); err != nil {
		return private{}, fmt.Errorf("saml: read what was asked: %w", err)
	}
	return asked, nil
}

// Start makes an authentication request for the redirect binding (SAML
// bindings §3.4), signed if the provider wants it so.
func (p *Protocol) Start(ctx context.Context, c tenants.Connection, s authn.Step) (redirect string, state []byte, err error) {
	idp, err := p.providers.Of(ctx, s.Tenant, c)
	if err != nil {
		return "", nil, err
	}
	sp, err := serviceProvider(s.Endpoints, idp)
	if err != nil {
		return "", nil, err
	}
	at := sp.GetSSOBindingLocation(crewjam.HTTPRedirectBinding)
	if !usable(at) {
		return "", nil, authn.Refuse(authn.ProviderUnusable, "The identity provider's metadata names no address for sign-in by redirect over TLS.")
	}
	request, err := sp.MakeAuthenticationRequest(at, crewjam.HTTPRedirectBinding, crewjam.HTTPPostBinding)
	if err != nil {
		return "", nil, fmt.Errorf("saml: make request: %w", err)
	}
	if s.MaxAge > 0 {
		fresh := true
		request.ForceAuthn = &fresh // SAML core §3.4.1
	}
	request.NameIDPolicy.Format = nil // the provider's own choice; some choke on an unknown wish
	var key *signingKey
	if idp.wantsSignedRequests() {
		if key, err = p.keys.signing(ctx, s.Tenant, c.ID); err != nil {
			return "", nil, err
		}
	}
	departure, err := depart(crewjam.HTTPRedirectBinding, at, paramRequest, request.Element(), s.Token, key)
	if err != nil {
		return "", nil, err
	}
	state, err = json.Marshal(private{RequestID: request.ID})
	if err != nil {
		return "", nil, fmt.Errorf("saml: keep request: %w", err)
	}
	return departure.URL, state, nil
}

// Token is the RelayState that the answer brings back (SAML bindings §3.4.3,
// §3.5.3).
func (p *Protocol) Token(r *http.Request) string {
	sent := r.PostForm
	if r.Method != http.MethodPost {
		sent = r.URL.Query()
	}
	if v := sent[paramRelay]; len(v) == 1 {
		return v[0]
	}
	return ""
}

// Finish verifies the response.
func (p *Protocol) Finish(ctx context.Context, c tenants.Connection, s authn.Step, state []byte, r *http.Request) (authn.Assertion, error) {
	asked, err := readPrivate(state)
	if err != nil {
		return authn.Assertion{}, err
	}
	raw, err := decode(r.PostForm[paramResponse])
	if err != nil {
		return authn.Assertion{}, err
	}
	idp, err := p.providers.Of(ctx, s.Tenant, c)
	if err != nil {
		return authn.Assertion{}, err
	}
	v := verification{idp: idp, endpoints: s.Endpoints, requestID: asked.RequestID, now: p.now()}
	assertion, err := v.verify(raw)
	if err != nil {
		return authn.Assertion{}, err
	}
	return v.person(assertion, c)
}

// decode takes a message out of its form field.
func decode(fields []string) ([]byte, error) {
	if len(fields) != 1 || fields[0] == "" {
		return nil, authn.Refuse(authn.Malformed, "The form does not hold exactly one message.")
	}
	if base64.StdEncoding.DecodedLen(len(fields[0])) > maxDocument+maxDocument/16 { // line breaks are allowed for
		return nil, authn.Refuse(authn.TooLarge, "The message is larger than %d bytes.", maxDocument)
	}
	raw, err := base64.StdEncoding.DecodeString(fields[0])
	if err != nil {
		return nil, authn.Refuse(authn.Malformed, "The message is not base64.").Because(err)
	}
	return raw, nil
}

// Metadata describes this side of a connection (SAML metadata §2.4.4).
func (p *Protocol) Metadata(ctx context.Context, tenant identity.TenantID, c tenants.Connection, e authn.Endpoints) (document []byte, mediaType string, err error) {
	certificate, err := p.keys.certificate(ctx, tenant, c.ID)
	if err != nil {
		return nil, "", err
	}
	sp, err := serviceProvider(e, &provider{})
	if err != nil {
		return nil, "", err
	}
	sp.MetadataValidDuration = metadataLife
	d := sp.Metadata()
	role := &d.SPSSODescriptors[0]
	role.KeyDescriptors = []crewjam.KeyDescriptor{{Use: "signing", KeyInfo: crewjam.KeyInfo{X509Data: crewjam.X509Data{
		X509Certificates: []crewjam.X509Certificate{{Data: base64.StdEncoding.EncodeToString(certificate)}}}}}}
	role.SingleLogoutServices = []crewjam.Endpoint{
		{Binding: crewjam.HTTPRedirectBinding, Location: e.Logout}, {Binding: crewjam.HTTPPostBinding, Location: e.Logout}}
	role.NameIDFormats = []crewjam.NameIDFormat{crewjam.PersistentNameIDFormat, crewjam.EmailAddressNameIDFormat, crewjam.UnspecifiedNameIDFormat}
	// The library also offers the artifact binding, which is not spoken here.
	role.AssertionConsumerServices = []crewjam.IndexedEndpoint{{Binding: crewjam.HTTPPostBinding, Location: e.Callback, Index: 1}}
	document, err = xml.MarshalIndent(d, "", "  ")
	if err != nil {
		return nil, "", fmt.Errorf("saml: write metadata: %w", err)
	}
	return append([]byte(xml.Header), document...), "application/samlmetadata+xml", nil
}

// serviceProvider is this side of a connection, as the library wants it.
func serviceProvider(e authn.Endpoints, idp *provider) (*crewjam.ServiceProvider, error) {
	acs, err := url.Parse(e.Callback)
	metadata, err2 := url.Parse(e.Metadata)
	if err := cmp.Or(err, err2); err != nil {
		return nil, fmt.Errorf("saml: our own address: %w", err)
	}
	return &crewjam.ServiceProvider{EntityID: e.Metadata, MetadataURL: *metadata, AcsURL: *acs, IDPMetadata: idp.metadata}, nil
}

// Forget drops what is known of a deleted tenant's providers.
func (p *Protocol) Forget(tenant identity.TenantID) { p.providers.Forget(tenant) }

// Close ends what is asked of providers.
func (p *Protocol) Close() { p.providers.Close() }
