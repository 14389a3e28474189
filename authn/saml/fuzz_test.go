package saml

import (
	"fmt"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/beevik/etree"
	dsig "github.com/russellhaering/goxmldsig"

	"gatehouse/authn"
	"gatehouse/authn/saml/attacktest"
	"gatehouse/tenants"
)

// edit is what whoever carries a message can do to it: something is put in place of a
// part, and a piece of another message may be copied there as well. A fuzzer that
// changes edits, instead of messages, has signatures of this process to work with.
type edit struct {
	at, cut  uint16 // what is taken out
	from, n  uint16 // what of the other message is put there
	text     string // what else is
	in, with string // the messages
}

func (e edit) message() string {
	at := min(int(e.at), len(e.in))
	end := min(at+int(e.cut), len(e.in))
	from := min(int(e.from), len(e.with))
	return e.in[:at] + e.text + e.with[from:min(from+int(e.n), len(e.with))] + e.in[end:]
}

// index is where a part of a message begins.
func index(message, part string) uint16 { return uint16(max(0, strings.Index(message, part))) }

// FuzzResponse: however a message that the provider has signed is changed, nobody is
// believed to sign in but who was signed, with all that was; nor is it good for
// another request, or anywhere else. The seeds are all attacks and controls.
func FuzzResponse(f *testing.F) {
	now := time.Now()
	// The widest that a connection may be set.
	spec := tenants.SAMLSpec{AllowSHA1: true, AllowCBC: true, ClockSkew: tenants.MaxClockSkew}
	verify := func(t testing.TB, raw string, but func(*verification)) (authn.Assertion, error) {
		v := testVerification(t, spec, now)
		but(v)
		err := v.verify([]byte(raw))
		shown := v.reading()
		if err != nil {
			return authn.Assertion{}, err
		}
		p, err := v.person()
		if err == nil && (!shown.Believed || !reflect.DeepEqual(shown.Claims, p.Claims)) {
			t.Errorf("a test shows %+v of %+v", shown, p)
		}
		return p, err
	}
	asItIs := func(*verification) {}
	var sent []string
	var signed []authn.Assertion
	for _, a := range append(attacktest.Controls(), attacktest.Attacks()...) {
		raw := a.Forge(f, testFlight(now))
		if len(raw) > 12<<10 {
			continue // bombs, which have tests of their own
		}
		if p, err := verify(f, raw, asItIs); err == nil {
			signed = append(signed, p)
		}
		sent = append(sent, raw)
		f.Add(uint8(len(sent)-1), uint8(0), uint16(0), uint16(0), uint16(0), uint16(0), "")
	}
	if len(signed) < len(attacktest.Controls()) || len(sent) > 256 {
		f.Fatalf("%d of %d messages are good", len(signed), len(sent))
	}
	for which := range uint8(3) { // signed in each way
		good := sent[which]
		assertion := index(good, "<saml:Assertion")
		whole := index(good, "</saml:Assertion>") + uint16(len("</saml:Assertion>")) - assertion
		f.Add(which, which, index(good, "gil</saml:NameID>")+1, uint16(0), uint16(0), uint16(0), "<!---->")
		f.Add(which, which, index(good, "gil</saml:NameID>"), uint16(3), uint16(0), uint16(0), "ann")
		f.Add(which, which, index(good, "</saml:NameID>"), uint16(0), uint16(0), uint16(0), "<?x?>.evil")
		f.Add(which, which, assertion, uint16(0), assertion, whole, "")
		f.Add(which, which, index(good, "</samlp:Response>"), uint16(0), assertion, whole, "<samlp:Extensions>")
		f.Add(which, uint8(0), assertion, whole, assertion, whole, "")
		f.Add(which, which, index(good, "<ds:Signature"), uint16(0), uint16(0), uint16(0), "<saml:Advice>")
		f.Add(which, which, uint16(0), uint16(0), uint16(0), uint16(0), `<!DOCTYPE x [<!ENTITY e "gil">]>`)
	}
	f.Fuzz(func(t *testing.T, which, other uint8, at, cut, from, n uint16, text string) {
		raw := edit{at, cut, from, n, text, sent[int(which)%len(sent)], sent[int(other)%len(sent)]}.message()
		p, err := verify(t, raw, asItIs)
		if err != nil {
			refusedByName(t, err)
			return
		}
		if !slices.ContainsFunc(signed, func(s authn.Assertion) bool { return reflect.DeepEqual(s, p) }) {
			t.Fatalf("believed, and nobody has signed it: %+v\n%s", p, raw)
		}
		for where, but := range map[string]func(*verification){
			"request": func(v *verification) { v.requestID = "id-of-another" },
			"none":    func(v *verification) { v.requestID, v.unsolicited = "", true },
			"address": func(v *verification) { v.endpoints.Callback = "https://globex.example/acs" },
			"service": func(v *verification) { v.endpoints.Metadata = "https://globex.example/metadata" },
			"day":     func(v *verification) { v.now = now.Add(24 * time.Hour) },
		} {
			if p, err := verify(t, raw, but); err == nil {
				t.Fatalf("good for another %s: %+v\n%s", where, p, raw)
			}
		}
	})
}

// FuzzLogoutRequest: however a request that the provider has signed is changed, it
// ends no sessions but those that were signed, and is answered with the RelayState
// that was; nor is it good elsewhere.
func FuzzLogoutRequest(f *testing.F) {
	now := time.Now()
	idp, err := testProvider()
	if err != nil {
		f.Fatal(err)
	}
	document := strings.Replace(logoutDocument, "2026-01-01T00:00:00Z", now.UTC().Format(time.RFC3339), 1)
	type sent struct {
		text     string
		redirect bool
	}
	read := func(s sent, but func(*verification)) (about string, err error) {
		m := message{raw: []byte(s.text)}
		if s.redirect {
			if m, err = redirected(s.text, paramRequest); err != nil {
				return "", err
			}
		}
		v := verification{idp: idp, endpoints: authn.Endpoints{Logout: "https://acme.example/slo"}, now: now}
		but(&v)
		root, err := v.logout(m, kindLogoutRequest)
		if err != nil {
			return "", err
		}
		asked := v.whose(root)
		if asked.Refusal == nil && (asked.Subject == "" || asked.Replay == "" || !asked.ReplayUntil.After(now)) {
			return "", fmt.Errorf("it names nobody, or could be shown again: %+v", asked)
		}
		return fmt.Sprintf("%+v %t %q", asked.SignedOut, asked.Refusal == nil, m.relay), nil
	}
	asItIs := func(*verification) {}
	var all []sent
	var signed []string
	add := func(document string, good bool) {
		query, err := pack("https://acme.example/slo", paramRequest, []byte(document), "back", &signingKey{private: attacktest.OurKey().Private()})
		if err != nil {
			f.Fatal(err)
		}
		_, query, _ = strings.Cut(query, "?")
		doc := etree.NewDocument()
		if err := doc.ReadFromString(document); err != nil {
			f.Fatal(err)
		}
		attacktest.OurKey().Sign(f, doc.Root(), dsig.RSASHA256SignatureMethod)
		posted, err := doc.WriteToString()
		if err != nil {
			f.Fatal(err)
		}
		for _, s := range []sent{{query, true}, {posted, false}} {
			about, err := read(s, asItIs)
			if good != (err == nil) {
				f.Fatalf("%s: %v", s.text, err)
			}
			if good {
				signed = append(signed, about)
			}
			all = append(all, s)
			f.Add(uint8(len(all)-1), uint8(0), uint16(0), uint16(0), uint16(0), uint16(0), "")
		}
	}
	swap := func(old, replacement string) string { return strings.Replace(document, old, replacement, 1) }
	add(document, true)
	add(swap("gil", "ann"), true)
	add(swap("<samlp:SessionIndex>s1</samlp:SessionIndex>", ""), true)
	add(swap("</samlp:SessionIndex>", "</samlp:SessionIndex><samlp:SessionIndex>s2</samlp:SessionIndex>"), true)
	add(swap("</saml:NameID>", "</saml:NameID><saml:NameID>ann</saml:NameID>"), true) // and is refused in the answer
	add(swap("https://acme.example/slo", "https://globex.example/slo"), false)
	add(swap("https://idp.acme.example/saml", "https://idp.evil.example/saml"), false)
	add(swap("LogoutRequest xmlns", `LogoutRequest NotOnOrAfter="2020-01-01T00:00:00Z" xmlns`), false)
	good := all[0].text
	f.Add(uint8(0), uint8(2), uint16(0), uint16(0), uint16(0), uint16(len(all[2].text)), "")                // one query before the other
	f.Add(uint8(0), uint8(0), index(good, "back"), uint16(4), uint16(0), uint16(0), url.QueryEscape("://")) // another way back
	f.Add(uint8(0), uint8(0), index(good, "&SigAlg"), uint16(0), uint16(0), uint16(0), "&SAMLEncoding=x")
	f.Add(uint8(0), uint8(2), index(good, "="), index(good, "&"), index(all[2].text, "="), index(all[2].text, "&"), "")
	good = all[1].text
	f.Add(uint8(1), uint8(1), index(good, "<samlp:SessionIndex>"), uint16(len("<samlp:SessionIndex>s1</samlp:SessionIndex>")), uint16(0), uint16(0), "")
	f.Add(uint8(1), uint8(1), index(good, "gil")+1, uint16(0), uint16(0), uint16(0), "<!---->")
	f.Add(uint8(1), uint8(3), index(good, "</samlp:LogoutRequest>"), uint16(0), uint16(0), uint16(len(all[3].text)), "")
	f.Fuzz(func(t *testing.T, which, other uint8, at, cut, from, n uint16, text string) {
		s := all[int(which)%len(all)]
		s.text = edit{at, cut, from, n, text, s.text, all[int(other)%len(all)].text}.message()
		about, err := read(s, asItIs)
		if err != nil {
			refusedByName(t, err)
			return
		}
		if !slices.Contains(signed, about) {
			t.Fatalf("heeded, and nobody has signed it: %s\n%s", about, s.text)
		}
		for where, but := range map[string]func(*verification){
			"address": func(v *verification) { v.endpoints.Logout = "https://globex.example/slo" },
			"day":     func(v *verification) { v.now = now.Add(24 * time.Hour) },
		} {
			if _, err := read(s, but); err == nil {
				t.Fatalf("good for another %s: %s", where, s.text)
			}
		}
	})
}
