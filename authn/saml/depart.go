package saml

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/beevik/etree"
	crewjam "github.com/crewjam/saml"
	dsig "github.com/russellhaering/goxmldsig"

	"gatehouse/authn"
	"gatehouse/internal/httpkit"
	"gatehouse/tenants"
)

// logoutLife is how long a request of ours may be heeded.
const logoutLife = 5 * time.Minute

// hint is what a provider wants to hear again when its session is to end: whom
// it named, exactly as it did, and in which session (SAML profiles §4.4.4.1).
type hint struct {
	Value           string `json:"value"`
	Format          string `json:"format,omitempty"`
	NameQualifier   string `json:"name_qualifier,omitempty"`
	SPNameQualifier string `json:"sp_name_qualifier,omitempty"`
	SPProvidedID    string `json:"sp_provided_id,omitempty"`
	Session         string `json:"session,omitempty"`
}

// hintOf gives the hint of a sign-in; "" where one of its parts is longer than
// any real one.
func hintOf(name *element, session string) (string, error) {
	of := func(attribute string) string { value, _ := name.attr(attribute); return value }
	h := hint{Format: of("Format"), NameQualifier: of("NameQualifier"), SPNameQualifier: of("SPNameQualifier"), SPProvidedID: of("SPProvidedID"), Session: session}
	if name != nil {
		h.Value = string(name.text)
	}
	for _, part := range []string{h.Value, h.Format, h.NameQualifier, h.SPNameQualifier, h.SPProvidedID, h.Session} {
		if len(part) > maxSubject {
			return "", nil
		}
	}
	text, err := json.Marshal(h)
	if err != nil {
		return "", fmt.Errorf("saml: keep who signed in: %w", err)
	}
	return string(text), nil
}

// SignOut makes a request that the provider end its session (SAML profiles
// §4.4.3.1), if it takes any and the sign-in left word of whom it knew.
func (p *Protocol) SignOut(ctx context.Context, c tenants.Connection, s authn.Step, kept string) (authn.Departure, error) {
	idp, err := p.provider(ctx, s.Tenant, c)
	if err != nil {
		return authn.Departure{}, err
	}
	binding, at, err := idp.logoutService(false)
	if err != nil || at == "" || kept == "" {
		return authn.Departure{}, err
	}
	var who hint
	if err := json.Unmarshal([]byte(kept), &who); err != nil {
		return authn.Departure{}, fmt.Errorf("saml: read who signed in: %w", err)
	}
	key, err := p.signing(ctx, s.Tenant, c.ID)
	if err != nil {
		return authn.Departure{}, err
	}
	now := p.now().UTC()
	until := now.Add(logoutLife)
	request := &crewjam.LogoutRequest{ID: newID(), Version: "2.0", IssueInstant: now, NotOnOrAfter: &until, Destination: at,
		Issuer: &crewjam.Issuer{Value: s.Endpoints.Metadata},
		NameID: &crewjam.NameID{Value: who.Value, Format: who.Format, NameQualifier: who.NameQualifier,
			SPNameQualifier: who.SPNameQualifier, SPProvidedID: who.SPProvidedID}}
	if who.Session != "" {
		request.SessionIndex = &crewjam.SessionIndex{Value: who.Session}
	}
	d, err := depart(binding, at, paramRequest, request.Element(), s.Token, key)
	if err != nil {
		return authn.Departure{}, err
	}
	d.Private, err = json.Marshal(private{RequestID: request.ID})
	if err != nil {
		return authn.Departure{}, fmt.Errorf("saml: keep request: %w", err)
	}
	return d, nil
}

// answer tells the provider what became of its request. It goes to the address
// of the metadata: none that a message names is trusted. A provider that takes
// no answers gets none.
func (v *verification) answer(request, relay string, refusal *authn.Refusal, key *signingKey) (authn.Departure, error) {
	binding, at, err := v.idp.logoutService(true)
	if err != nil || at == "" {
		return authn.Departure{}, err
	}
	response := &crewjam.LogoutResponse{ID: newID(), Version: "2.0", IssueInstant: v.now.UTC(), Destination: at, InResponseTo: request,
		Issuer: &crewjam.Issuer{Value: v.endpoints.Metadata}, Status: crewjam.Status{StatusCode: crewjam.StatusCode{Value: statusSuccess}}}
	if refusal != nil {
		response.Status.StatusCode.Value = statusRequester // SAML core §3.2.2.2
		if refusal.Reason == authn.SubjectUnusable {
			response.Status.StatusCode.StatusCode = &crewjam.StatusCode{Value: statusUnknown}
		}
	}
	return depart(binding, at, paramResponse, response.Element(), relay, key)
}

// logoutService is where a provider takes requests about sign-outs, or answers
// to its own (SAML metadata §2.2.2); "" if it takes none.
func (p *provider) logoutService(answer bool) (binding, at string, err error) {
	binding, at = p.service(preferred, func(role crewjam.IDPSSODescriptor) []crewjam.Endpoint { return role.SingleLogoutServices },
		func(s crewjam.Endpoint) string {
			if answer {
				return cmp.Or(s.ResponseLocation, s.Location)
			}
			return s.Location
		})
	if binding != "" && !usable(at) {
		return "", "", authn.Refuse(authn.ProviderUnusable, "The identity provider's metadata names no address for sign-out over TLS.")
	}
	return binding, at, nil
}

// signOnService is where a provider takes requests for authentication, by what the
// connection asks for.
func (p *provider) signOnService(wanted tenants.RequestBinding) (binding, at string, err error) {
	by := preferred
	if wanted != "" {
		by = []string{requestBindings[wanted]}
	}
	binding, at = p.service(by, func(role crewjam.IDPSSODescriptor) []crewjam.Endpoint { return role.SingleSignOnServices },
		func(s crewjam.Endpoint) string { return s.Location })
	switch {
	case binding == "" && wanted != "":
		return "", "", authn.Refuse(authn.ProviderUnusable, "The identity provider's metadata names no address for sign-in by %s, which the connection asks for.", bindingName(by[0]))
	case binding == "":
		return "", "", authn.Refuse(authn.ProviderUnusable, "The identity provider's metadata names no address for sign-in by HTTP-Redirect or HTTP-POST.")
	case !usable(at):
		return "", "", authn.Refuse(authn.ProviderUnusable, "The identity provider's metadata names an address for sign-in by %s that no browser is sent to: it is not over TLS, or not a plain address of a host.", bindingName(binding))
	}
	return binding, at, nil
}

// The bindings by which messages go: a redirect, which needs no page, before a form.
var (
	preferred       = []string{crewjam.HTTPRedirectBinding, crewjam.HTTPPostBinding}
	requestBindings = map[tenants.RequestBinding]string{tenants.RequestRedirect: crewjam.HTTPRedirectBinding, tenants.RequestPost: crewjam.HTTPPostBinding}
)

// bindingName is how people call a binding.
func bindingName(binding string) string {
	return strings.TrimPrefix(binding, "urn:oasis:names:tc:SAML:2.0:bindings:")
}

// service finds the first service of the first of these bindings that there is one
// of; "" if there is none.
func (p *provider) service(bindings []string, of func(crewjam.IDPSSODescriptor) []crewjam.Endpoint, address func(crewjam.Endpoint) string) (binding, at string) {
	for _, binding := range bindings {
		for _, role := range p.metadata.IDPSSODescriptors {
			for _, service := range of(role) {
				if service.Binding == binding {
					return binding, address(service)
				}
			}
		}
	}
	return "", ""
}

// maxLocation is longer than any real address of a provider.
const maxLocation = 2 << 10

// usable reports whether a browser may be sent to an address of the metadata. Its
// host stands in the policy of the page that holds the form.
func usable(address string) bool {
	u, err := url.Parse(address)
	return err == nil && len(address) <= maxLocation && u.Host != "" && u.User == nil && !strings.ContainsFunc(u.Host, unfit) &&
		(u.Scheme == "https" || httpkit.PlainLoopback(u.Scheme, u.Hostname()))
}

// unfit reports what a host in a policy of a page must not have (CSP §2.3.1): names in
// other letters are given in ASCII (RFC 5891).
func unfit(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune("*;,'\"", r) }

// depart has the browser take a message along, signed as its binding has it if
// there is a key (SAML bindings §3.4.4.1, §3.5.4).
func depart(binding, at, kind string, el *etree.Element, relay string, key *signingKey) (authn.Departure, error) {
	if binding == crewjam.HTTPPostBinding && key != nil {
		if err := key.signElement(el, 1); err != nil {
			return authn.Departure{}, err
		}
	}
	doc := etree.NewDocument()
	doc.SetRoot(el)
	raw, err := doc.WriteToBytes()
	if err != nil {
		return authn.Departure{}, fmt.Errorf("saml: write message: %w", err)
	}
	if binding == crewjam.HTTPPostBinding {
		form := url.Values{kind: {base64.StdEncoding.EncodeToString(raw)}}
		if relay != "" {
			form.Set(paramRelay, relay)
		}
		return authn.Departure{URL: at, Form: form}, nil
	}
	to, err := pack(at, kind, raw, relay, key)
	if err != nil {
		return authn.Departure{}, fmt.Errorf("saml: pack message: %w", err)
	}
	return authn.Departure{URL: to}, nil
}

// signElement puts a signature into an element, where the schema wants it: into a
// message after the issuer.
func (k *signingKey) signElement(el *etree.Element, at int) error {
	ctx, err := dsig.NewSigningContext(k.private, [][]byte{k.certificate})
	if err != nil {
		return fmt.Errorf("saml: sign message: %w", err)
	}
	ctx.Canonicalizer = dsig.MakeC14N10ExclusiveCanonicalizerWithPrefixList("")
	signature, err := ctx.ConstructSignature(el, true)
	if err != nil {
		return fmt.Errorf("saml: sign message: %w", err)
	}
	el.InsertChildAt(at, signature)
	return nil
}

// newID names a message: an xs:ID, which must not begin with a digit.
func newID() string { return "_" + rand.Text() }
