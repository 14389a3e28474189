package samlidp

import (
	"crypto/rand"
	"encoding/base64"
	"net/http"

	"github.com/crewjam/saml"

	"gatehouse/demo/idp"
)

const basicName = "urn:oasis:names:tc:SAML:2.0:attrname-format:basic"

// signOn answers an AuthnRequest with the form, and the form with a signed
// response (SAML Profiles 2.0 §4.1).
func (p *Provider) signOn(w http.ResponseWriter, r *http.Request) {
	request, err := saml.NewIdpAuthnRequest(&p.server.IDP, r)
	if err == nil {
		now := request.Now
		request.Now = now.Add(-dither)
		err = request.Validate()
		request.Now = now
	}
	if err != nil {
		p.log.Info("authentication request refused", "error", err)
		http.Error(w, "This sign-in cannot be served or has expired. Go back to the app and start again.", http.StatusBadRequest)
		return
	}
	username := r.PostFormValue("username")
	account, ok := p.accounts.Check(username, r.PostFormValue("password"))
	if !ok {
		err = p.writeForm(w, request, username)
	} else {
		err = p.respond(w, r, request, account)
	}
	if err != nil {
		p.log.Error("sign-on", "error", err)
		http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
	}
}

func (p *Provider) writeForm(w http.ResponseWriter, request *saml.IdpAuthnRequest, username string) error {
	return idp.Write(w, idp.Form{Provider: "Demo identity provider (SAML)", Action: p.server.IDP.SSOURL.String(),
		Hidden: map[string]string{
			"SAMLRequest": base64.StdEncoding.EncodeToString(request.RequestBuffer),
			"RelayState":  request.RelayState,
		}, Username: username, Refused: username != "", Accounts: p.accounts})
}

func (p *Provider) respond(w http.ResponseWriter, r *http.Request, request *saml.IdpAuthnRequest, account idp.Account) error {
	// The mail address is in the library's uri form as well; these are the names
	// that a connection's attribute mapping is usually written with.
	session := &saml.Session{
		ID: rand.Text(), Index: rand.Text(), NameID: account.Subject,
		NameIDFormat: string(saml.PersistentNameIDFormat),
		CreateTime:   request.Now, ExpireTime: request.Now.Add(sessionLife),
		UserName: account.Email, UserEmail: account.Email, UserCommonName: account.Name,
		CustomAttributes: []saml.Attribute{
			attribute("mail", account.Email), attribute("displayName", account.Name), attribute("groups", account.Groups...),
		},
	}
	if err := (saml.DefaultAssertionMaker{}).MakeAssertion(request, session); err != nil {
		return err
	}
	p.enter(w, r, visit{service: request.ServiceProviderMetadata.EntityID, nameID: account.Subject, index: session.Index})
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	return request.WriteResponse(w)
}

func attribute(name string, values ...string) saml.Attribute {
	a := saml.Attribute{Name: name, FriendlyName: name, NameFormat: basicName}
	for _, value := range values {
		a.Values = append(a.Values, saml.AttributeValue{Type: "xs:string", Value: value})
	}
	return a
}
