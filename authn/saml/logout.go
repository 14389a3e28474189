package saml

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/beevik/etree"
	crewjam "github.com/crewjam/saml"
	dsig "github.com/russellhaering/goxmldsig"

	"gatehouse/authn"
	"gatehouse/sessions"
	"gatehouse/tenants"
)

const (
	// maxLogoutAge is how old a message about a sign-out may be: it is made for the
	// moment.
	maxLogoutAge = 5 * time.Minute
	maxID        = 256
	maxIndex     = 256

	statusRequester   = statusPrefix + "Requester"
	statusUnknown     = statusPrefix + "UnknownPrincipal"
	statusPartial     = "PartialLogout"
	formatEntity      = "urn:oasis:names:tc:SAML:2.0:nameid-format:entity"
	kindLogoutRequest = "LogoutRequest"
	kindLogoutAnswer  = "LogoutResponse"
)

// Answers implements [authn.SingleLogout].
func (p *Protocol) Answers(r *http.Request) bool { return answers(r) }

// SignOutAsked implements [authn.SingleLogout]: single logout as a session
// participant is asked for it (SAML profiles §4.4.3.3).
func (p *Protocol) SignOutAsked(ctx context.Context, c tenants.Connection, s authn.Step, r *http.Request) (authn.SignOutRequest, error) {
	sent, err := readMessage(r, paramRequest)
	if err != nil {
		return authn.SignOutRequest{}, err
	}
	if _, err := admitLogout(sent, kindLogoutRequest, specOf(c).AllowSHA1); err != nil {
		return authn.SignOutRequest{}, err // before the provider is asked for anything
	}
	idp, err := p.provider(ctx, s.Tenant, c)
	if err != nil {
		return authn.SignOutRequest{}, err
	}
	v := verification{spec: specOf(c), idp: idp, endpoints: s.Endpoints, now: p.now()}
	root, err := v.logout(sent, kindLogoutRequest)
	if err != nil {
		return authn.SignOutRequest{}, err
	}
	key, err := p.signing(ctx, s.Tenant, c.ID)
	if err != nil {
		return authn.SignOutRequest{}, err
	}
	asked := v.whose(root)
	id, _ := root.attr("ID")
	asked.Answer = func() (authn.Departure, error) {
		return v.answer(id, sent.relay, asked.Refusal, key)
	}
	return asked, nil
}

// SignOutAnswered implements [authn.SingleLogout]: what became of a request of
// ours.
func (p *Protocol) SignOutAnswered(ctx context.Context, c tenants.Connection, s authn.Step, state []byte, r *http.Request) error {
	asked, err := readPrivate(state)
	if err != nil {
		return err
	}
	sent, err := readMessage(r, paramResponse)
	if err != nil {
		return err
	}
	idp, err := p.provider(ctx, s.Tenant, c)
	if err != nil {
		return err
	}
	v := verification{spec: specOf(c), idp: idp, endpoints: s.Endpoints, requestID: asked.RequestID, now: p.now()}
	root, err := v.logout(sent, kindLogoutAnswer)
	if err != nil {
		return err
	}
	if to, _ := root.attr("InResponseTo"); to != v.requestID {
		return authn.Refuse(authn.WrongRequest, "The response answers another request than the one that was made.")
	}
	first, second, err := statusOf(root)
	switch {
	case err != nil:
		return err
	case second == statusPrefix+statusPartial:
		return authn.Refuse(authn.PartialLogout, "The identity provider could not sign the person out everywhere.")
	case first != statusSuccess:
		return authn.Refuse(authn.ProviderRefused, "The identity provider answered the sign-out with the status %s.", statusName(second))
	}
	return nil
}

// admitLogout is the admission of a message about a sign-out: of the one plain
// form, with the signature where its binding has it and nowhere else.
func admitLogout(m message, kind string, sha1 bool) (*element, error) {
	root, err := scan(m.raw)
	if err != nil {
		return nil, err
	}
	if root.name.Space != nsProtocol || root.name.Local != kind {
		return nil, authn.Refuse(authn.Malformed, "The message is not a SAML 2.0 %s.", kind)
	}
	if version, _ := root.attr("Version"); version != "2.0" {
		return nil, authn.Refuse(authn.Malformed, "The %s is not of SAML version 2.0.", kind)
	}
	if id, _ := root.attr("ID"); id == "" || len(id) > maxID {
		return nil, authn.Refuse(authn.Malformed, "The %s has no id, or one that is too long.", kind)
	}
	if err := uniqueIDs(root); err != nil {
		return nil, err
	}
	signatures := root.all(nsSignature, "Signature")
	err = root.walk(func(e *element) error {
		switch {
		case strings.HasPrefix(e.name.Local, "Encrypted"):
			return authn.Refuse(authn.Encrypted, "The message holds an %s. Switch encryption off at the identity provider; the transport is encrypted already.", e.name.Local)
		case e.name.Local == "Signature" && !slices.Contains(signatures, e):
			return authn.Refuse(authn.SignatureAmbiguous, "There is a signature where none belongs.")
		case e != root && (e.name.Local == kindLogoutRequest || e.name.Local == kindLogoutAnswer):
			return authn.Refuse(authn.Malformed, "There is a message inside the message.")
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return root, signedOnce(root, signatures, m.detached != nil, sha1)
}

// signedOnce wants exactly one signature: in the address or in the document. A
// document that goes by an address must hold none (SAML bindings §3.4.4.1).
func signedOnce(root *element, signatures []*element, inAddress, sha1 bool) error {
	switch {
	case inAddress && len(signatures) > 0 || len(signatures) > 1:
		return authn.Refuse(authn.SignatureAmbiguous, "The message is signed more than once.")
	case inAddress:
		return nil
	case len(signatures) == 0:
		return authn.Refuse(authn.SignatureMissing, "The message is not signed.")
	}
	return pass(strict.signature, signed{signatures[0], root, sha1})
}

// logout verifies a message about a sign-out, which the library has no way to,
// and gives what was signed. Nothing else of it may be believed.
func (v *verification) logout(m message, kind string) (*element, error) {
	root, err := admitLogout(m, kind, v.spec.AllowSHA1)
	if err != nil {
		return nil, err
	}
	if m.detached != nil {
		err = m.detached.verify(v.idp.keys, v.now, v.spec.AllowSHA1)
	} else {
		root, err = v.enveloped(m.raw)
	}
	if err != nil {
		return nil, err
	}
	return root, v.checkLogout(root)
}

// enveloped verifies the signature in an admitted document and reads anew what
// it covers, in the form in which that was signed.
func (v *verification) enveloped(raw []byte) (root *element, err error) {
	defer guard(&err) // one message fails and not the gateway
	unreadable := authn.Refuse(authn.Malformed, "The message cannot be read.")
	doc := etree.NewDocument()
	if err := doc.ReadFromBytes(raw); err != nil || doc.Root() == nil {
		return nil, unreadable.Because(err)
	}
	covered, err := verifySignature(doc.Root(), v.idp.keys, v.now)
	if err != nil {
		return nil, err
	}
	canonical, err := dsig.MakeC14N10ExclusiveCanonicalizerWithPrefixList("").Canonicalize(covered)
	if err != nil {
		return nil, unreadable.Because(err)
	}
	return scan(canonical)
}

// checkLogout makes the checks that both messages have in common (SAML core
// §3.2, profiles §4.4.4).
func (v *verification) checkLogout(root *element) error {
	issuer := root.one(nsAssertion, "Issuer")
	if issuer == nil || string(issuer.text) != v.idp.metadata.EntityID || len(issuer.children) > 0 {
		return authn.Refuse(authn.WrongIssuer, "The issuer is not the identity provider of this connection.")
	}
	if format, ok := issuer.attr("Format"); ok && format != formatEntity {
		return authn.Refuse(authn.WrongIssuer, "The issuer is named in another format than an identity provider is.")
	}
	if to, _ := root.attr("Destination"); to != v.endpoints.Logout {
		return authn.Refuse(authn.WrongDestination, "The message was meant for another address.")
	}
	issued, err := moment(root, "IssueInstant")
	switch {
	case err != nil:
		return err
	case issued.IsZero():
		return authn.Refuse(authn.Malformed, "The message does not say when it was issued.")
	case v.ahead(issued):
		return authn.Refuse(authn.NotYetValid, "The message was issued in the future; one of the clocks is wrong.")
	case v.over(issued.Add(maxLogoutAge)):
		return authn.Refuse(authn.Expired, "The message was issued at %s, which is too long ago.", stamp(issued))
	}
	until, err := moment(root, "NotOnOrAfter")
	if err == nil && !until.IsZero() && v.over(until) {
		return authn.Refuse(authn.Expired, "The message ended at %s.", stamp(until))
	}
	return err
}

// moment reads a time (SAML core §1.3.3: in UTC, though some say where they are);
// zero if there is none.
func moment(e *element, name string) (time.Time, error) {
	text, ok := e.attr(name)
	if !ok {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return time.Time{}, authn.Refuse(authn.Malformed, "The %s is not a time.", name).Because(err)
	}
	return t, nil
}

// whose says which sessions a verified request is about (SAML core §3.7.1). One
// that names nobody clearly is answered, but ends nothing.
func (v *verification) whose(root *element) authn.SignOutRequest {
	id, _ := root.attr("ID")
	issued, _ := moment(root, "IssueInstant") // checked already
	asked := authn.SignOutRequest{SignedOut: authn.SignedOut{Replay: id, ReplayUntil: issued.Add(maxLogoutAge + 2*maxSkew)}}
	asked.Subject, asked.Refusal = whom(root)
	indexes := root.all(nsProtocol, "SessionIndex")
	if asked.Refusal == nil && len(indexes) > sessions.MaxIDPSessions {
		asked.Refusal = authn.Refuse(authn.TooLarge, "The request names more than %d sessions.", sessions.MaxIDPSessions)
	}
	for _, e := range indexes {
		index := strings.TrimSpace(string(e.text))
		if asked.Refusal == nil && (len(e.children) > 0 || !plain(index, maxIndex)) {
			asked.Refusal = authn.Refuse(authn.Malformed, "A SessionIndex is empty, too long, or holds something else than text.")
		}
		asked.Sessions = append(asked.Sessions, index)
	}
	return asked
}

// whom reads the NameID as a sign-in does ([verification.person]): that is what
// the person's sessions are kept under.
func whom(root *element) (string, *authn.Refusal) {
	for _, e := range root.children {
		known := e.name.Space == nsAssertion && (e.name.Local == "Issuer" || e.name.Local == "NameID") ||
			e.name.Space == nsProtocol && (e.name.Local == "Extensions" || e.name.Local == "SessionIndex") ||
			e.name.Space == nsSignature && e.name.Local == "Signature"
		if !known {
			return "", authn.Refuse(authn.SubjectUnusable, "The request holds an element that is not understood.")
		}
	}
	name := root.one(nsAssertion, "NameID")
	if name == nil || len(name.children) > 0 {
		return "", authn.Refuse(authn.SubjectUnusable, "The request does not have exactly one plain NameID.")
	}
	subject := name.plainText()
	format, _ := name.attr("Format")
	switch {
	case !plain(subject, maxSubject):
		return "", authn.Refuse(authn.SubjectUnusable, "The NameID is empty, too long, or holds control characters.")
	case format == string(crewjam.TransientNameIDFormat):
		return "", authn.Refuse(authn.SubjectUnusable, "The NameID is transient; nobody is signed in by one.")
	}
	return subject, nil
}

// plain reports whether a name can be one that is kept.
func plain(name string, limit int) bool {
	return name != "" && len(name) <= limit && !strings.ContainsFunc(name, unicode.IsControl)
}
