package gateway

import (
	"strings"
	"testing"

	"gatehouse/audit"
	"gatehouse/authn/saml/attacktest"
	"gatehouse/tenants"
)

// A SAML connection whose provider is about to be of no use is told of to the
// tenant, which has to see to it, and to whoever runs the gateway.
func TestAnEndingSAMLProviderIsToldOf(t *testing.T) {
	h := newHouse(t, nil)
	metadata := attacktest.Metadata("https://idp.example/sso", attacktest.OurKey()) // whose certificate is good for an hour
	made, err := h.Services().Tenants.PutConnection(t.Context(), cause, h.acme.ID, tenants.Connection{Name: "adfs", Type: tenants.SAML, Enabled: true,
		SAML: &tenants.SAMLSpec{IDPMetadata: tenants.MetadataSource{XML: metadata}}})
	must(t, err)
	h.rooms.samlWatch.Look(t.Context())
	h.soon("the alert", func() bool {
		_, told := h.shows(h.acme.ID)["saml-provider-ending"]
		return told
	})
	for name, shown := range map[string]string{"tenant": h.shows(h.acme.ID)["saml-provider-ending"].Means, "operator": h.shows(platform)["saml-provider-endingacme"].Means} {
		if !strings.Contains(shown, "Connection adfs: the last of the identity provider's certificates ends at") {
			t.Errorf("the %s is told %q", name, shown)
		}
	}
	if advice := h.shows(h.acme.ID)["saml-provider-ending"].Advice; !strings.Contains(advice, "give the connection") {
		t.Errorf("the tenant is advised %q", advice)
	}
	if _, text := h.ops("/readyz"); !strings.Contains(text, `"saml-provider-ending"`) {
		t.Errorf("readyz: %s", text)
	}

	state, err := samlKeys{h.rooms.saml}.State(t.Context(), h.acme.ID, made)
	must(t, err)
	if len(state.Keys) != 1 || state.Keys[0].State != "signing" || state.Provider == nil || len(state.Provider.Certificates) != 1 ||
		state.Provider.Certificates[0].SHA256 != attacktest.Fingerprint(attacktest.OurKey()) || state.Problem != "" {
		t.Errorf("state: %+v", state)
	}
	must(t, samlKeys{h.rooms.saml}.PrepareKey(t.Context(), cause, h.acme.ID, made, 0))
	var recorded map[string]string
	for e, err := range h.rooms.journal.Read(t.Context(), h.acme.ID, 0) {
		must(t, err)
		if e.Type == audit.ConnectionChanged && e.Details["change"] == "key-prepared" {
			recorded = e.Details
		}
	}
	if len(recorded["certificate"]) != 64 || recorded["signs_at"] == "" {
		t.Errorf("recorded as %q", recorded)
	}
	made.SAML.IDPMetadata.XML = "<html/>"
	made, err = h.Services().Tenants.PutConnection(t.Context(), cause, h.acme.ID, made)
	must(t, err)
	if state, err = (samlKeys{h.rooms.saml}).State(t.Context(), h.acme.ID, made); err != nil || state.Provider != nil || state.Problem == "" || len(state.Keys) != 2 || state.Keys[1].State != "retired" {
		t.Errorf("without metadata: %+v, %v", state, err)
	}
	must(t, h.Services().Tenants.DeleteConnection(t.Context(), cause, h.acme.ID, "adfs", 0))
	h.rooms.samlWatch.Look(t.Context())
	if len(h.rooms.samlWatch.Ending()) != 0 {
		t.Errorf("deleted: %+v", h.rooms.samlWatch.Ending())
	}
}
