package authn_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	dsig "github.com/russellhaering/goxmldsig"

	"gatehouse/authn/setup"
	"gatehouse/internal/fault"
	"gatehouse/tenants"
)

// A connection is made to believe another provider, which calls somebody as the old one
// called somebody else: they are two. Pointed back, everybody is there again.
func TestASubjectOfAnotherProviderIsSomebodyElse(t *testing.T) {
	w, old, next := newWorld(t), newIssuer(t), newIssuer(t)
	w.connections.put(old.connection())
	w.browser().open("/x").has(t, http.StatusOK, "app /x for ann@acme.example")
	ann := w.user(t)
	w.connections.put(next.connection())
	w.browser().open("/x").has(t, http.StatusForbidden, "There is a person with your email address already")
	next.claims = func(c jwt.MapClaims) { c["email"], c["name"] = "eve@evil.example", "Eve" }
	w.connections.put(old.connection())
	w.browser().open("/x").has(t, http.StatusOK, "app /x for ann@acme.example")
	w.connections.put(next.connection())
	w.browser().open("/x").has(t, http.StatusOK, "app /x for eve@evil.example")
	if u := w.user(t); u == ann {
		t.Error("another provider's person is ann")
	}
}

// The same by SAML, where what the connection says may change as the provider's keys do.
func TestANameIDOfAnotherProviderIsSomebodyElse(t *testing.T) {
	w := newWorld(t)
	comes := func(c tenants.Connection, entity string) page {
		w.connections.put(c)
		b := w.browser()
		f := b.samlFlight()
		f.message.Issuer, f.message.AssertionIssuer = entity, entity
		doc := f.message.Document(t)
		ourKey().sign(t, assertionOf(doc), dsig.RSASHA256SignatureMethod)
		return b.postFromElsewhere(f.acs, f.form(bytesOf(t, doc)))
	}
	comes(samlConnection(ourKey()), idpEntity).has(t, http.StatusOK, "app /reports")
	ann := w.user(t)
	comes(samlConnection(ourKey(), otherKey()), idpEntity).has(t, http.StatusOK, "app /reports")
	if w.user(t) != ann {
		t.Error("with another key of the provider it is somebody else")
	}
	another := samlConnection(ourKey())
	another.SAML.IDPMetadata.XML = strings.ReplaceAll(another.SAML.IDPMetadata.XML, idpEntity, "https://another.example")
	comes(another, "https://another.example").has(t, http.StatusForbidden, "There is a person with your email address already")
}

// Whoever has a link chooses the provider: there must be nobody whom it could name.
func TestALinkIsForAConnectionThatKnowsNobody(t *testing.T) {
	w, old := newWorld(t), newIssuer(t)
	c := old.connection()
	c.Name = "corp"
	w.connections.put(c)
	w.browser().open("/x").has(t, http.StatusOK, "app /x for ann@acme.example")
	c.Enabled = false
	w.connections.put(c)
	_, _, err := w.setup.Create(t.Context(), operator, acme, "corp", setup.Terms{Unknown: tenants.RefuseUnknown}, time.Hour)
	if f := fault.As(err); err == nil || f.Code != "connection-known" {
		t.Errorf("%v", err)
	}
}
