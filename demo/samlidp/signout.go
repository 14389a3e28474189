package samlidp

import (
	"bytes"
	"compress/flate"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/beevik/etree"
	"github.com/crewjam/saml"
	dsig "github.com/russellhaering/goxmldsig"
)

const (
	sloPath     = "/slo"
	signOutPath = "/sign-out"
	signedOut   = "/signed-out"
	maxMessage  = 64 << 10
	logoutLife  = 5 * time.Minute
	partial     = "urn:oasis:names:tc:SAML:2.0:status:PartialLogout"
)

const signOutPage = `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>Sign out · Demo identity provider</title></head>
<body><h1>Sign out</h1>
<p>This ends your session at the demo identity provider, and at the apps that you have signed in to.</p>
<form method="post" action="` + signOutPath + `"><button type="submit">Sign out</button></form></body>
</html>
`

var errSignature = errors.New("the message is not signed with a key of the service's metadata")

func askToSignOut(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write([]byte(signOutPage)) // the reader may be gone
}

// signOut ends the browser's session, and then asks the services to end theirs,
// one after the other (SAML profiles §4.4.3).
func (p *Provider) signOut(w http.ResponseWriter, r *http.Request) {
	var visits []visit
	if c, err := r.Cookie(sessionCookie); err == nil {
		visits = p.leave(c.Value)
		http.SetCookie(w, &http.Cookie{Name: sessionCookie, Path: "/", MaxAge: -1, HttpOnly: true, SameSite: http.SameSiteLaxMode}) // #nosec G124 -- plain HTTP on loopback
	}
	p.goOn(w, r, visits)
}

// goOn asks the first service that can be asked; the others wait for its answer.
func (p *Provider) goOn(w http.ResponseWriter, r *http.Request, visits []visit) {
	for i, v := range visits {
		service, err := p.GetServiceProvider(r, v.service)
		if err != nil {
			continue
		}
		at, _ := logoutService(service)
		if at == "" {
			continue
		}
		now := time.Now().UTC()
		until := now.Add(logoutLife)
		request := &saml.LogoutRequest{ID: "_" + rand.Text(), Version: "2.0", IssueInstant: now, NotOnOrAfter: &until, Destination: at,
			Issuer: &saml.Issuer{Value: p.entityID()}, NameID: &saml.NameID{Format: string(saml.PersistentNameIDFormat), Value: v.nameID},
			SessionIndex: &saml.SessionIndex{Value: v.index}}
		relay := rand.Text()
		p.mu.Lock()
		if len(p.leaving) >= maxSessions {
			clear(p.leaving)
		}
		p.leaving[relay] = visits[i+1:]
		p.mu.Unlock()
		p.send(w, r, at, "SAMLRequest", request.Element(), relay)
		return
	}
	http.Redirect(w, r, signedOut, http.StatusSeeOther)
}

// singleLogout takes what services say by redirect: that somebody has signed out
// there, or that they have done as they were asked.
func (p *Provider) singleLogout(w http.ResponseWriter, r *http.Request) {
	var err error
	if r.URL.Query().Has("SAMLResponse") {
		err = p.answered(w, r)
	} else {
		err = p.asked(w, r)
	}
	if err != nil {
		p.log.Info("sign-out refused", "error", err)
		http.Error(w, "This message about a sign-out cannot be served.", http.StatusBadRequest)
	}
}

func (p *Provider) asked(w http.ResponseWriter, r *http.Request) error {
	var request saml.LogoutRequest
	service, err := p.receive(r, "SAMLRequest", &request, func() *saml.Issuer { return request.Issuer })
	if err != nil {
		return err
	}
	_, at := logoutService(service)
	switch now := time.Now(); {
	case request.Destination != p.sloURL() || request.NameID == nil || at == "":
		return errors.New("the request is not for here, or names nobody")
	case now.Before(request.IssueInstant.Add(-time.Minute)) || now.After(request.IssueInstant.Add(logoutLife)):
		return errors.New("the request is not of this moment")
	}
	left := visit{service: service.EntityID, nameID: request.NameID.Value}
	if request.SessionIndex != nil {
		left.index = request.SessionIndex.Value
	}
	status := saml.Status{StatusCode: saml.StatusCode{Value: saml.StatusSuccess}}
	if others := p.leaveFrom(left); len(others) > 0 {
		// The other services are not told: a demo that went round them all would
		// have little more to show.
		status.StatusCode.StatusCode = &saml.StatusCode{Value: partial}
	}
	response := &saml.LogoutResponse{ID: "_" + rand.Text(), Version: "2.0", IssueInstant: time.Now().UTC(), Destination: at,
		InResponseTo: request.ID, Issuer: &saml.Issuer{Value: p.entityID()}, Status: status}
	p.send(w, r, at, "SAMLResponse", response.Element(), r.URL.Query().Get("RelayState"))
	return nil
}

func (p *Provider) answered(w http.ResponseWriter, r *http.Request) error {
	var response saml.LogoutResponse
	if _, err := p.receive(r, "SAMLResponse", &response, func() *saml.Issuer { return response.Issuer }); err != nil {
		return err
	}
	if code := response.Status.StatusCode.Value; code != saml.StatusSuccess {
		p.log.Warn("a service did not end its session", "status", code)
	}
	relay := r.URL.Query().Get("RelayState")
	p.mu.Lock()
	others, ok := p.leaving[relay]
	delete(p.leaving, relay)
	p.mu.Unlock()
	if !ok {
		return errors.New("the response answers nothing that was asked here")
	}
	p.goOn(w, r, others)
	return nil
}

// receive reads a message by redirect and verifies it with the key of the
// service that it says it is from (SAML bindings §3.4.4.1).
func (p *Provider) receive(r *http.Request, param string, message any, issuer func() *saml.Issuer) (*saml.EntityDescriptor, error) {
	q := r.URL.Query()
	packed, err := base64.StdEncoding.DecodeString(q.Get(param))
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(packed)), maxMessage))
	if err != nil {
		return nil, err
	}
	if err := xml.Unmarshal(text, message); err != nil { // #nosec G709 -- at most maxMessage, and believed only once it is verified
		return nil, err
	}
	if issuer() == nil {
		return nil, errors.New("the message names no issuer")
	}
	service, err := p.GetServiceProvider(r, issuer().Value)
	if err != nil {
		return nil, err
	}
	signature, err := base64.StdEncoding.DecodeString(q.Get("Signature"))
	if err != nil || q.Get("SigAlg") != dsig.RSASHA256SignatureMethod {
		return nil, errSignature
	}
	var over []string
	for _, name := range []string{param, "RelayState", "SigAlg"} {
		for pair := range strings.SplitSeq(r.URL.RawQuery, "&") {
			if strings.HasPrefix(pair, name+"=") {
				over = append(over, pair)
			}
		}
	}
	if !slices.ContainsFunc(signers(service), func(c *x509.Certificate) bool {
		return c.CheckSignature(x509.SHA256WithRSA, []byte(strings.Join(over, "&")), signature) == nil
	}) {
		return nil, errSignature
	}
	return service, nil
}

// signers are the certificates of a service's signing keys.
func signers(service *saml.EntityDescriptor) (found []*x509.Certificate) {
	for _, role := range service.SPSSODescriptors {
		for _, key := range role.KeyDescriptors {
			for _, text := range key.KeyInfo.X509Data.X509Certificates {
				der, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(text.Data), ""))
				if err != nil || key.Use == "encryption" {
					continue
				}
				if certificate, err := x509.ParseCertificate(der); err == nil {
					found = append(found, certificate)
				}
			}
		}
	}
	return found
}

// logoutService is where a service takes requests by redirect, and answers.
func logoutService(service *saml.EntityDescriptor) (requests, answers string) {
	for _, role := range service.SPSSODescriptors {
		for _, e := range role.SingleLogoutServices {
			if e.Binding == saml.HTTPRedirectBinding {
				if e.ResponseLocation != "" {
					return e.Location, e.ResponseLocation
				}
				return e.Location, e.Location
			}
		}
	}
	return "", ""
}

// send has the browser take a signed message along.
func (p *Provider) send(w http.ResponseWriter, r *http.Request, to, param string, el *etree.Element, relay string) {
	target, err := p.redirectTo(to, param, el, relay)
	if err != nil {
		p.log.Error("sign-out", "error", err)
		http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
		return
	}
	http.Redirect(w, r, target, http.StatusSeeOther) // #nosec G710 -- to an address of the service's metadata
}

func (p *Provider) redirectTo(to, param string, el *etree.Element, relay string) (string, error) {
	doc := etree.NewDocument()
	doc.SetRoot(el)
	var packed bytes.Buffer
	pack, err := flate.NewWriter(&packed, flate.BestCompression)
	if err == nil {
		_, err = doc.WriteTo(pack)
	}
	if err = errors.Join(err, pack.Close()); err != nil {
		return "", fmt.Errorf("saml provider: pack message: %w", err)
	}
	query := param + "=" + url.QueryEscape(base64.StdEncoding.EncodeToString(packed.Bytes()))
	if relay != "" {
		query += "&RelayState=" + url.QueryEscape(relay)
	}
	query += "&SigAlg=" + url.QueryEscape(dsig.RSASHA256SignatureMethod)
	sum := sha256.Sum256([]byte(query))
	signature, err := p.key.Sign(rand.Reader, sum[:], crypto.SHA256)
	if err != nil {
		return "", fmt.Errorf("saml provider: sign message: %w", err)
	}
	return to + "?" + query + "&Signature=" + url.QueryEscape(base64.StdEncoding.EncodeToString(signature)), nil
}

func (p *Provider) entityID() string { return p.MetadataURL() }

func (p *Provider) sloURL() string { return p.base + sloPath }
