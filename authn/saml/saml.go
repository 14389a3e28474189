package saml

import (
	"cmp"
	"context"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/beevik/etree"
	crewjam "github.com/crewjam/saml"

	"gatehouse/audit"
	"gatehouse/authn"
	"gatehouse/authn/keyring"
	"gatehouse/identity"
	"gatehouse/tenants"
)

// Protocol is SAML 2.0. It implements [authn.Protocol], [authn.SingleLogout] and
// [authn.MetadataPublisher].
type Protocol struct {
	providers *authn.Providers[*provider]
	keys      *keyring.Ring
	journal   audit.Recorder
	client    *http.Client
	now       func() time.Time
}

// Config names what the protocol is built of. Store and Keys keep what it signs
// with, and Journal says when that changes; Client fetches metadata and must be the
// guarded one.
type Config struct {
	Store   authn.Stores
	Keys    authn.Keys
	Journal audit.Recorder
	Client  *http.Client
	// Now is the clock; nil means [time.Now].
	Now func() time.Time
}

// New makes the protocol. It must be closed.
func New(c Config) *Protocol {
	if c.Now == nil {
		c.Now = time.Now
	}
	p := &Protocol{client: c.Client, keys: keyring.New(ourKeys, c.Store, c.Keys, c.Now), journal: c.Journal, now: c.Now}
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

// Start makes an authentication request, for the redirect binding where the provider
// has it, else for a form (SAML bindings §3.4, §3.5), signed if the provider wants it so.
func (p *Protocol) Start(ctx context.Context, c tenants.Connection, s authn.Step) (authn.Departure, error) {
	idp, err := p.provider(ctx, s.Tenant, c)
	if err != nil {
		return authn.Departure{}, err
	}
	sp, err := serviceProvider(s.Endpoints, idp)
	if err != nil {
		return authn.Departure{}, err
	}
	spec := specOf(c)
	binding, at, err := idp.signOnService(spec.RequestBinding)
	if err != nil {
		return authn.Departure{}, err
	}
	request, err := sp.MakeAuthenticationRequest(at, binding, crewjam.HTTPPostBinding)
	if err != nil {
		return authn.Departure{}, fmt.Errorf("saml: make request: %w", err)
	}
	if s.MaxAge > 0 || spec.ForceAuthn {
		fresh := true
		request.ForceAuthn = &fresh // SAML core §3.4.1
	}
	request.NameIDPolicy.Format = nil // the provider's own choice; some choke on an unknown wish
	if format, asked := nameIDFormats[spec.NameIDFormat]; asked {
		request.NameIDPolicy.Format = &format
	}
	message := request.Element()
	if len(spec.AuthnContexts) > 0 {
		message.AddChild(requestedContext(spec.AuthnContexts))
	}
	var key *signingKey
	if spec.SignRequests || idp.wantsSignedRequests() {
		if key, err = p.signing(ctx, s.Tenant, c.ID); err != nil {
			return authn.Departure{}, err
		}
	}
	departure, err := depart(binding, at, paramRequest, message, s.Token, key)
	if err != nil {
		return authn.Departure{}, err
	}
	departure.Private, err = json.Marshal(private{RequestID: request.ID})
	if err != nil {
		return authn.Departure{}, fmt.Errorf("saml: keep request: %w", err)
	}
	return departure, nil
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
	idp, err := p.provider(ctx, s.Tenant, c)
	if err != nil {
		return authn.Assertion{}, err
	}
	return p.verify(ctx, c, s, idp, raw, func(v *verification) { v.requestID = asked.RequestID })
}

// FinishUnasked implements [authn.ProviderInitiated]: the response must not name a
// request, not even one of ours, whose sign-in would have brought its own token
// (SAML profiles §4.1.5). The RelayState is where to go (SAML bindings §3.5.3).
func (p *Protocol) FinishUnasked(ctx context.Context, c tenants.Connection, s authn.Step, r *http.Request) (a authn.Assertion, target string, allowed bool, err error) {
	if !specOf(c).IDPInitiated {
		return authn.Assertion{}, "", false, nil
	}
	raw, err := decode(r.PostForm[paramResponse])
	if err != nil {
		return authn.Assertion{}, "", true, err
	}
	idp, err := p.provider(ctx, s.Tenant, c)
	if err != nil {
		return authn.Assertion{}, "", true, err
	}
	a, err = p.verify(ctx, c, s, idp, raw, func(v *verification) { v.unsolicited = true })
	return a, s.Token, true, err
}

// verify verifies a response, and says who it is about. The keys of the metadata
// are asked for anew where none fits: the provider may have changed them since.
func (p *Protocol) verify(ctx context.Context, c tenants.Connection, s authn.Step, idp *provider, raw []byte, of func(*verification)) (authn.Assertion, error) {
	for again := false; ; again = true {
		v := &verification{rules: &strict, spec: specOf(c), idp: idp, endpoints: s.Endpoints, now: p.now(),
			keys: func() ([]*rsa.PrivateKey, error) { return p.keys.Opening(ctx, s.Tenant, c.ID) }}
		of(v)
		err := v.verify(raw)
		s.Reading.Take(v.reading)
		if err == nil {
			return v.person()
		}
		refusal, ok := errors.AsType[*authn.Refusal](err)
		if again || !ok || refusal.Reason != authn.WrongKey && refusal.Reason != authn.SignatureInvalid {
			return authn.Assertion{}, err
		}
		newer, asked := p.anew(ctx, s.Tenant, c)
		if !asked || newer.sameKeys(idp) {
			return authn.Assertion{}, err
		}
		idp = newer
	}
}

// nameIDFormats are the names of SAML core §8.3.
var nameIDFormats = map[tenants.NameIDFormat]string{
	tenants.NameIDPersistent:  string(crewjam.PersistentNameIDFormat),
	tenants.NameIDEmail:       string(crewjam.EmailAddressNameIDFormat),
	tenants.NameIDUnspecified: string(crewjam.UnspecifiedNameIDFormat),
}

// requestedContext asks for one of these classes (SAML core §3.3.2.2.1).
func requestedContext(classes []string) *etree.Element {
	el := etree.NewElement("samlp:RequestedAuthnContext")
	el.CreateAttr("Comparison", "exact")
	for _, class := range classes {
		el.CreateElement("saml:AuthnContextClassRef").SetText(class)
	}
	return el
}

// specOf is what a connection has been set to.
func specOf(c tenants.Connection) tenants.SAMLSpec {
	if c.SAML == nil {
		return tenants.SAMLSpec{}
	}
	return *c.SAML
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
