package authn_test

import (
	"fmt"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"gatehouse/authn"
	"gatehouse/authn/saml/attacktest"
)

var onPage = regexp.MustCompile(`(?:href|action|value|content)="([^"]*)"`)

// staysHere wants nothing on a page to lead to another host.
func (p page) staysHere(t *testing.T, base *url.URL, came string) {
	t.Helper()
	for _, found := range onPage.FindAllStringSubmatch(p.body, -1) {
		text := html.UnescapeString(strings.TrimPrefix(found[1], "0; url="))
		if !strings.ContainsAny(text, `/\:`) {
			continue
		}
		for _, reading := range []string{text, strings.NewReplacer("\t", "", "\n", "", "\r", "", `\`, "/").Replace(text)} { // as browsers read it
			if to, err := base.Parse(reading); err != nil || to.Host != base.Host || to.Scheme != base.Scheme {
				t.Errorf("%q: the page leads to %q", came, text)
			}
		}
	}
}

// TestEveryWayBackStaysHere takes every hostile target through every way on which one
// comes in: that of a sign-in by OpenID Connect, of one that a SAML provider begins,
// and of the pages of second factors.
func TestEveryWayBackStaysHere(t *testing.T) {
	w, idp := newWorld(t), newIssuer(t)
	w.connections.put(idp.connection())
	c := samlConnection(ourKey())
	c.SAML.IDPInitiated = true
	w.connections.put(c)
	base, err := url.Parse(w.url)
	check(t, err)
	home := func(b *browser, way, came, address string) {
		t.Helper()
		if p := b.look(address); p.status != http.StatusSeeOther || p.header.Get("Location") != "/" {
			t.Errorf("%s: %q led to %q (%d)", way, came, p.header.Get("Location"), p.status)
		}
	}
	in := w.browser()
	in.open("/.gatehouse/login?connection=idp").has(t, http.StatusOK, "app /")
	for n, came := range authn.HostileTargets {
		asked := url.Values{"connection": {"idp"}, "return_to": {came}}

		b := w.browser()
		begun := b.look("/.gatehouse/login?" + asked.Encode())
		answer := b.look(begun.header.Get("Location"))
		home(b, "OpenID Connect", came, answer.header.Get("Location"))

		b = w.browser()
		f, form := b.unasked(fmt.Sprint("_way", n), came, func(m *attacktest.Message) { m.Issued = time.Now() })
		resp := b.sendFromElsewhere(f.acs, form)
		check(t, resp.Body.Close())
		step, err := resp.Location()
		check(t, err)
		home(b, "SAML", came, step.String())

		asked.Del("connection")
		chooser := w.browser().look("/.gatehouse/login?" + asked.Encode())
		chooser.has(t, http.StatusOK, "Continue with")
		chooser.staysHere(t, base, came)
		in.look("/.gatehouse/mfa?"+asked.Encode()).staysHere(t, base, came)
	}
}
