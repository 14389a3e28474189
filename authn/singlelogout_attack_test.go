package authn_test

import (
	"bytes"
	"compress/flate"
	"crypto"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/beevik/etree"
	dsig "github.com/russellhaering/goxmldsig"

	"gatehouse/audit"
	"gatehouse/authn"
	"gatehouse/authn/saml/attacktest"
)

// logoutAttack makes a hostile message about a sign-out out of what an attacker
// can have: what the provider signs for others, and its signatures.
type logoutAttack struct {
	// wrong changes the message before it is signed.
	wrong func(*notice)
	// document changes the document before it is signed; for the POST binding after
	// does so afterwards.
	document, after func(*testing.T, *etree.Document)
	// bytes changes the bytes of the document: for the redirect binding before they
	// are signed.
	bytes func(string) string
	// query makes the query of the redirect binding out of the good one's parts;
	// form that of the POST binding.
	query func(t *testing.T, message, relay string) string
	form  func(url.Values)
	want  authn.Reason
}

const relayOf = "state"

func drops(param string) func(*testing.T, string, string) string {
	return func(t *testing.T, message, relay string) string {
		q := ourKey().query(t, "SAMLRequest", message, relay, dsig.RSASHA256SignatureMethod)
		var kept []string
		for pair := range strings.SplitSeq(q, "&") {
			if !strings.HasPrefix(pair, param+"=") {
				kept = append(kept, pair)
			}
		}
		return strings.Join(kept, "&")
	}
}

func adds(text string) func(*testing.T, string, string) string {
	return func(t *testing.T, message, relay string) string {
		return ourKey().query(t, "SAMLRequest", message, relay, dsig.RSASHA256SignatureMethod) + text
	}
}

// bomb is a megabyte of nothing that packs to a kilobyte.
func bomb(s string) string {
	return strings.Replace(s, "<saml:Issuer", strings.Repeat(" ", 1<<20)+"<saml:Issuer", 1)
}

func deep(s string) string {
	const levels = 40_000
	return strings.Replace(s, "<saml:Issuer", strings.Repeat("<a>", levels)+"<saml:Issuer", 1)
}

// ofBoth are wrong whatever the binding.
var ofBoth = map[string]logoutAttack{
	"wrong issuer":      {wrong: func(n *notice) { n.Issuer = "https://evil.example" }, want: authn.WrongIssuer},
	"no issuer":         {document: removes("saml:Issuer"), want: authn.WrongIssuer},
	"two issuers":       {document: doubles("saml:Issuer"), want: authn.WrongIssuer},
	"issuer's format":   {document: sets("saml:Issuer", "Format", persistentID), want: authn.WrongIssuer},
	"wrong destination": {wrong: func(n *notice) { n.Destination = "https://other.example" + slo }, want: authn.WrongDestination},
	"another tenant's":  {wrong: func(n *notice) { n.Destination = "https://globex.localhost" + slo }, want: authn.WrongDestination},
	"no destination":    {wrong: func(n *notice) { n.Destination = "" }, want: authn.WrongDestination},
	"old":               {wrong: func(n *notice) { n.Issued = time.Now().Add(-7 * time.Minute) }, want: authn.Expired},
	"over":              {wrong: func(n *notice) { n.Until = time.Now().Add(-2 * time.Minute) }, want: authn.Expired},
	"of the future":     {wrong: func(n *notice) { n.Issued = time.Now().Add(2 * time.Minute) }, want: authn.NotYetValid},
	"never issued":      {document: unsets("IssueInstant"), want: authn.Malformed},
	"issued sometime":   {document: sets("", "IssueInstant", "yesterday"), want: authn.Malformed},
	"ends sometime":     {document: sets("", "NotOnOrAfter", "tomorrow"), want: authn.Malformed},
	"version 1.1":       {wrong: func(n *notice) { n.Version = "1.1" }, want: authn.Malformed},
	"a long id":         {wrong: func(n *notice) { n.ID = "_" + strings.Repeat("i", 256) }, want: authn.Malformed},
	"an id twice":       {document: sets("saml:NameID", "Id", "_other"), wrong: func(n *notice) { n.ID = "_other" }, want: authn.Malformed},
	"an AuthnRequest":   {document: func(_ *testing.T, d *etree.Document) { d.Root().Tag = "AuthnRequest" }, want: authn.Malformed},
	"a message inside": {document: func(_ *testing.T, d *etree.Document) {
		d.Root().CreateElement("samlp:Extensions").CreateElement("samlp:LogoutRequest")
	}, want: authn.Malformed},
	"an encrypted id": {document: func(_ *testing.T, d *etree.Document) {
		d.Root().CreateElement("saml:EncryptedID").SetText("garbage")
	}, want: authn.Encrypted},
	"DTD":                {bytes: func(s string) string { return `<!DOCTYPE r [<!ENTITY x "boss">]>` + s }, want: authn.Malformed},
	"comment":            {bytes: replaceText(">gil<", ">gil<!---->.evil<"), want: authn.Malformed},
	"cut":                {bytes: func(s string) string { return s[:len(s)/2] }, want: authn.Malformed},
	"trailing document":  {bytes: func(s string) string { return s + "<x/>" }, want: authn.Malformed},
	"40,000 levels deep": {bytes: deep, want: authn.TooDeep},
	"ten thousand wide":  {bytes: replaceText("<saml:Issuer", strings.Repeat("<a/>", 10_000)+"<saml:Issuer"), want: authn.TooLarge},
	"a bomb":             {bytes: bomb, want: authn.TooLarge},
	"not XML":            {bytes: func(string) string { return "x" }, want: authn.Malformed},
	"nothing":            {bytes: func(string) string { return "" }, want: authn.Malformed},
}

// byRedirect are wrong in a query.
var byRedirect = map[string]logoutAttack{
	"unsigned":     {query: drops("Signature"), want: authn.SignatureMissing},
	"no algorithm": {query: drops("SigAlg"), want: authn.SignatureMissing},
	"no message":   {query: drops("SAMLRequest"), want: authn.Malformed},
	"relay taken":  {query: drops("RelayState"), want: authn.SignatureInvalid},
	"another key": {query: func(t *testing.T, message, relay string) string {
		return otherKey().query(t, "SAMLRequest", message, relay, dsig.RSASHA256SignatureMethod)
	}, want: authn.SignatureInvalid},
	"SHA-1": {query: func(t *testing.T, message, relay string) string {
		q := "SAMLRequest=" + url.QueryEscape(message) + "&RelayState=" + relay + "&SigAlg=" + url.QueryEscape(dsig.RSASHA1SignatureMethod)
		return q + "&Signature=" + url.QueryEscape(ourKey().signature(t, q, crypto.SHA1))
	}, want: authn.WrongAlgorithm},
	"HMAC": {query: func(t *testing.T, message, relay string) string {
		return ourKey().query(t, "SAMLRequest", message, relay, "http://www.w3.org/2001/04/xmldsig-more#hmac-sha256")
	}, want: authn.WrongAlgorithm},
	"another algorithm than signed": {query: func(t *testing.T, message, relay string) string {
		return ourKey().query(t, "SAMLRequest", message, relay, dsig.RSASHA512SignatureMethod)
	}, want: authn.SignatureInvalid},
	"ECDSA by an RSA key": {query: func(t *testing.T, message, relay string) string {
		return ourKey().query(t, "SAMLRequest", message, relay, dsig.ECDSASHA256SignatureMethod)
	}, want: authn.SignatureInvalid},
	"signed in another order": {query: func(t *testing.T, message, relay string) string {
		parts := []string{"SAMLRequest=" + url.QueryEscape(message), "RelayState=" + relay, "SigAlg=" + url.QueryEscape(dsig.RSASHA256SignatureMethod)}
		signature := ourKey().signature(t, parts[1]+"&"+parts[0]+"&"+parts[2], crypto.SHA256)
		return strings.Join(parts, "&") + "&Signature=" + url.QueryEscape(signature)
	}, want: authn.SignatureInvalid},
	"signed in other octets": {query: func(t *testing.T, message, relay string) string {
		q := ourKey().query(t, "SAMLRequest", message, relay, dsig.RSASHA256SignatureMethod)
		return strings.NewReplacer("%3d", "%3D", "%2b", "%2B", "%2f", "%2F", "%3a", "%3A").Replace(q)
	}, want: authn.SignatureInvalid},
	"signed as a response": {query: func(t *testing.T, message, relay string) string {
		q := ourKey().query(t, "SAMLResponse", message, relay, dsig.RSASHA256SignatureMethod)
		return strings.Replace(q, "SAMLResponse", "SAMLRequest", 1)
	}, want: authn.SignatureInvalid},
	"another message":       {query: swapped, want: authn.SignatureInvalid},
	"two messages":          {query: adds("&SAMLRequest=eA"), want: authn.Malformed},
	"two relay states":      {query: adds("&RelayState=evil"), want: authn.Malformed},
	"two signatures":        {query: adds("&Signature=eA"), want: authn.Malformed},
	"two algorithms":        {query: adds("&SigAlg=x"), want: authn.Malformed},
	"another spelling":      {query: adds("&SAML%52equest=eA"), want: authn.Malformed},
	"a response as well":    {query: adds("&SAMLResponse=eA"), want: authn.Malformed},
	"another encoding":      {query: adds("&SAMLEncoding=gzip"), want: authn.Malformed},
	"a signature of none":   {query: func(t *testing.T, m, relay string) string { return drops("Signature")(t, m, relay) + "&Signature=%21" }, want: authn.Malformed},
	"not base64":            {query: func(t *testing.T, _, relay string) string { return adds("")(t, "!", relay) }, want: authn.Malformed},
	"not packed":            {query: func(t *testing.T, _, relay string) string { return adds("")(t, "PHgvPg==", relay) }, want: authn.Malformed},
	"something after":       {query: func(t *testing.T, m, relay string) string { return adds("")(t, after(t, m), relay) }, want: authn.Malformed},
	"a long relay state":    {query: func(t *testing.T, m, _ string) string { return adds("")(t, m, strings.Repeat("r", 3000)) }, want: authn.TooLarge},
	"signed inside as well": {document: func(t *testing.T, d *etree.Document) { ourKey().sign(t, d.Root(), dsig.RSASHA256SignatureMethod) }, want: authn.SignatureAmbiguous},
	"signed inside only": {document: func(t *testing.T, d *etree.Document) { ourKey().sign(t, d.Root(), dsig.RSASHA256SignatureMethod) },
		query: drops("Signature"), want: authn.SignatureMissing},
}

// byPost are wrong in a form.
var byPost = map[string]logoutAttack{
	"stripped":          {after: func(_ *testing.T, d *etree.Document) { attacktest.Without(d.Root(), "Signature") }, want: authn.SignatureMissing},
	"another key":       {after: resigned(otherKey, dsig.RSASHA256SignatureMethod), want: authn.WrongKey},
	"SHA-1":             {after: resigned(ourKey, dsig.RSASHA1SignatureMethod), want: authn.WrongAlgorithm},
	"SHA-1 digest":      {after: algorithm("DigestMethod", "http://www.w3.org/2000/09/xmldsig#sha1"), want: authn.WrongAlgorithm},
	"changed after":     {after: func(_ *testing.T, d *etree.Document) { d.FindElement("//NameID").SetText("boss") }, want: authn.SignatureInvalid},
	"the whole file":    {after: func(_ *testing.T, d *etree.Document) { d.FindElement("//Reference").CreateAttr("URI", "") }, want: authn.SignatureAmbiguous},
	"another id":        {after: func(_ *testing.T, d *etree.Document) { d.FindElement("//Reference").CreateAttr("URI", "#_x") }, want: authn.SignatureAmbiguous},
	"two references":    {after: duplicate("Reference"), want: authn.SignatureAmbiguous},
	"two signatures":    {after: duplicate("Signature"), want: authn.SignatureAmbiguous},
	"XSLT":              {after: algorithm("Transforms/Transform[1]", "http://www.w3.org/TR/1999/REC-xslt-19991116"), want: authn.SignatureAmbiguous},
	"wrapped in itself": {after: wrapped, want: authn.Malformed},
	"wrapped by an object": {after: func(_ *testing.T, d *etree.Document) {
		e := attacktest.Evil(d.Root())
		original := d.Root()
		d.SetRoot(e)
		attacktest.WrapObject(e.SelectElement("Signature"), attacktest.Without(original, "Signature"))
	}, want: authn.Malformed},
	"signature elsewhere": {after: func(_ *testing.T, d *etree.Document) {
		d.FindElement("//NameID").AddChild(moved(d.Root(), "Signature"))
	}, want: authn.SignatureAmbiguous},
	"signed by the address": {after: func(_ *testing.T, d *etree.Document) { attacktest.Without(d.Root(), "Signature") },
		form: func(f url.Values) { f.Set("SigAlg", dsig.RSASHA256SignatureMethod); f.Set("Signature", "eA==") }, want: authn.SignatureMissing},
	"two messages":       {form: func(f url.Values) { f.Add("SAMLRequest", "eA==") }, want: authn.Malformed},
	"a response as well": {form: func(f url.Values) { f.Add("SAMLResponse", "eA==") }, want: authn.Malformed},
	"two relay states":   {form: func(f url.Values) { f.Add("RelayState", "evil") }, want: authn.Malformed},
	"a long relay state": {form: func(f url.Values) { f.Set("RelayState", strings.Repeat("r", 3000)) }, want: authn.TooLarge},
	"no message":         {form: func(f url.Values) { f.Del("SAMLRequest") }, want: authn.Malformed},
	"not base64":         {form: func(f url.Values) { f.Set("SAMLRequest", "!") }, want: authn.Malformed},
	"a large form":       {form: func(f url.Values) { f.Set("more", strings.Repeat("a", 600<<10)) }, want: authn.TooLarge},
	"signed at an assertion's place": {after: func(t *testing.T, d *etree.Document) {
		// What the provider signed for a sign-in is no sign-out.
		d.Root().Tag = "Response"
		attacktest.Without(d.Root(), "Signature")
		ourKey().sign(t, d.Root(), dsig.RSASHA256SignatureMethod)
	}, want: authn.Malformed},
}

func removes(path string) func(*testing.T, *etree.Document) {
	return func(_ *testing.T, d *etree.Document) {
		el := d.FindElement("//" + path)
		el.Parent().RemoveChild(el)
	}
}

func doubles(path string) func(*testing.T, *etree.Document) {
	return func(_ *testing.T, d *etree.Document) {
		el := d.FindElement("//" + path)
		el.Parent().AddChild(el.Copy())
	}
}

func sets(path, name, value string) func(*testing.T, *etree.Document) {
	return func(_ *testing.T, d *etree.Document) {
		el := d.Root()
		if path != "" {
			el = d.FindElement("//" + path)
		}
		el.CreateAttr(name, value)
	}
}

func unsets(name string) func(*testing.T, *etree.Document) {
	return func(_ *testing.T, d *etree.Document) { d.Root().RemoveAttr(name) }
}

func resigned(key func() signer, method string) func(*testing.T, *etree.Document) {
	return func(t *testing.T, d *etree.Document) {
		attacktest.Without(d.Root(), "Signature")
		key().sign(t, d.Root(), method)
	}
}

// wrapped puts what was signed into an evil one's extensions.
func wrapped(_ *testing.T, d *etree.Document) {
	original := d.Root()
	e := attacktest.Evil(original)
	signature := moved(original, "Signature")
	attacktest.Without(e, "Signature")
	d.SetRoot(e)
	e.InsertChildAt(1, signature)
	e.CreateElement("samlp:Extensions").AddChild(original)
}

// swapped puts another message under a good signature.
func swapped(t *testing.T, message, relay string) string {
	t.Helper()
	raw, err := base64.StdEncoding.DecodeString(message)
	check(t, err)
	document, err := io.ReadAll(flate.NewReader(bytes.NewReader(raw)))
	check(t, err)
	_, signed, _ := strings.Cut(ourKey().query(t, "SAMLRequest", message, relay, dsig.RSASHA256SignatureMethod), "&")
	other := bytes.Replace(document, []byte(">gil<"), []byte(">boss<"), 1)
	return "SAMLRequest=" + url.QueryEscape(packed(t, other)) + "&" + signed
}

// after packs something more behind a message.
func after(t *testing.T, message string) string {
	t.Helper()
	return packed(t, []byte("<x/>")) + message
}

func (a logoutAttack) forge(t *testing.T, w *world) *etree.Document {
	t.Helper()
	n := w.logoutRequest("gil", "s1")
	if a.wrong != nil {
		a.wrong(&n)
	}
	doc := n.document(t)
	if a.document != nil {
		a.document(t, doc)
	}
	return doc
}

func (a logoutAttack) text(t *testing.T, doc *etree.Document) string {
	t.Helper()
	raw := string(bytesOf(t, doc))
	if a.bytes == nil {
		return raw
	}
	changed := a.bytes(raw)
	if changed == raw {
		t.Fatal("the attack changes nothing")
	}
	return changed
}

func (a logoutAttack) redirect(t *testing.T, w *world) string {
	t.Helper()
	message := packed(t, []byte(a.text(t, a.forge(t, w))))
	if a.query == nil {
		a.query = adds("")
	}
	return a.query(t, message, relayOf)
}

func (a logoutAttack) post(t *testing.T, w *world) url.Values {
	t.Helper()
	doc := a.forge(t, w)
	ourKey().sign(t, doc.Root(), dsig.RSASHA256SignatureMethod)
	if a.after != nil {
		a.after(t, doc)
	}
	form := postForm("SAMLRequest", []byte(a.text(t, doc)), relayOf)
	if a.form != nil {
		a.form(form)
	}
	return form
}

func TestHostileLogoutRequestsEndNothing(t *testing.T) {
	w := newWorld(t)
	w.connections.put(samlWithLogout(ourKey()))
	b := w.browser()
	b.samlSignIn("adfs", "gil", "s1")
	open := b.stream()
	defer open.leave()
	try := func(t *testing.T, p page, want authn.Reason) {
		t.Helper()
		p.has(t, http.StatusBadRequest, "The sign-out was not completed", "<dt>Event</dt>")
		refused := w.journal.all(audit.SignOutRefused)
		if len(refused) == 0 {
			t.Fatal("not recorded")
		}
		if got := refused[len(refused)-1]; authn.Reason(got.Reason) != want || got.Target.Name != "adfs" {
			t.Errorf("recorded as %s (%s), want %s", got.Reason, got.Message, want)
		}
		if !b.signedIn() || open.cut.Load() || len(w.journal.all(audit.SessionsRevoked)) != 0 {
			t.Error("something was ended")
		}
		if p.header.Get("Location") != "" || strings.Contains(p.body, "evil.example") {
			t.Error("somebody is told, or quoted")
		}
	}
	for _, table := range []map[string]logoutAttack{ofBoth, byRedirect} {
		for name, a := range table {
			t.Run("redirect/"+name, func(t *testing.T) { try(t, b.look(slo+"?"+a.redirect(t, w)), a.want) })
		}
	}
	for _, table := range []map[string]logoutAttack{ofBoth, byPost} {
		for name, a := range table {
			t.Run("post/"+name, func(t *testing.T) {
				try(t, b.read(b.sendFromElsewhere(w.url+slo, a.post(t, w)), nil), a.want)
			})
		}
	}
	t.Run("a post in the address", func(t *testing.T) {
		try(t, b.read(b.sendFromElsewhere(w.url+slo+"?"+w.logoutRequest("gil", "s1").redirected(t, ""), nil), nil), authn.Malformed)
	})
	t.Run("nothing at all", func(t *testing.T) { try(t, b.look(slo), authn.Malformed) })

	// Who only looks ends nothing.
	resp, err := b.Head(w.url + slo + "?" + w.logoutRequest("gil", "s1").redirected(t, ""))
	check(t, err)
	check(t, resp.Body.Close())
	if !b.signedIn() {
		t.Error("HEAD ended the session")
	}
	b.send(w.logoutRequest("gil", "s1"), redirectBind, relayOf).has(t, http.StatusSeeOther)
	if !open.cut.Load() {
		t.Error("the good request ended nothing")
	}
}

// What is signed but says nothing that can be done is answered (SAML core
// §3.2.2.2), and ends nothing.
func TestLogoutRequestsThatCannotBeHeededAreAnswered(t *testing.T) {
	w := newWorld(t)
	w.connections.put(samlWithLogout(ourKey()))
	b := w.browser()
	b.samlSignIn("adfs", "gil", "s1")
	many := make([]string, 21)
	for i := range many {
		many[i] = fmt.Sprint("s", i)
	}
	for name, c := range map[string]struct {
		wrong         func(*notice)
		document      func(*testing.T, *etree.Document)
		want          authn.Reason
		first, second string
	}{
		"nobody":               {wrong: func(n *notice) { n.NameID = " " }, want: authn.SubjectUnusable, second: "UnknownPrincipal"},
		"a transient name":     {wrong: func(n *notice) { n.Format = "urn:oasis:names:tc:SAML:2.0:nameid-format:transient" }, want: authn.SubjectUnusable, second: "UnknownPrincipal"},
		"a long name":          {wrong: func(n *notice) { n.NameID = strings.Repeat("n", 1025) }, want: authn.SubjectUnusable, second: "UnknownPrincipal"},
		"two names":            {document: doubles("saml:NameID"), want: authn.SubjectUnusable, second: "UnknownPrincipal"},
		"no name":              {document: removes("saml:NameID"), want: authn.SubjectUnusable, second: "UnknownPrincipal"},
		"a name in pieces":     {document: func(_ *testing.T, d *etree.Document) { d.FindElement("//NameID").CreateElement("b") }, want: authn.SubjectUnusable, second: "UnknownPrincipal"},
		"a BaseID":             {document: func(_ *testing.T, d *etree.Document) { d.Root().CreateElement("saml:BaseID") }, want: authn.SubjectUnusable, second: "UnknownPrincipal"},
		"too many sessions":    {wrong: func(n *notice) { n.Indexes = many }, want: authn.TooLarge},
		"a session of no name": {wrong: func(n *notice) { n.Indexes = []string{"s1", " "} }, want: authn.Malformed},
		"a long session":       {wrong: func(n *notice) { n.Indexes = []string{"s1", strings.Repeat("s", 257)} }, want: authn.Malformed},
	} {
		for _, binding := range []string{redirectBind, postBind} {
			t.Run(name+" "+binding, func(t *testing.T) {
				a := logoutAttack{wrong: c.wrong, document: c.document}
				var p page
				if binding == redirectBind {
					p = b.look(slo + "?" + a.redirect(t, w))
				} else {
					p = b.read(b.sendFromElsewhere(w.url+slo, a.post(t, w)), nil)
				}
				p.has(t, http.StatusSeeOther)
				answer := w.readRedirect(t, p.header.Get("Location"), "SAMLResponse")
				status := answer.Status.StatusCode
				if want := samlStatus + c.second; status.Value != samlStatus+"Requester" || (c.second != "" && status.StatusCode.Value != want) || answer.relay != relayOf {
					t.Errorf("answered %+v", answer)
				}
				refused := w.journal.all(audit.SignOutRefused)
				if got := refused[len(refused)-1]; authn.Reason(got.Reason) != c.want || !b.signedIn() || len(w.journal.all(audit.SessionsRevoked)) != 0 {
					t.Errorf("recorded as %s (%s), signed in %t", got.Reason, got.Message, b.signedIn())
				}
			})
		}
	}
}
