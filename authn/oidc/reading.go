package oidc

import (
	"encoding/json"
	"strings"
	"time"

	"gatehouse/authn"
)

// reading is what has been read of an id token, for a test of the connection. Of one
// that was made for another sign-in it shows nothing of the person: whoever tries a
// connection may have come by somebody else's code.
func (v *idVerification) reading(t *idToken) (r authn.Reading) {
	parts := strings.Split(t.raw, ".")
	said := claims{}
	if len(t.raw) > maxToken || len(parts) != 3 || decodeSegment(parts[1], &said) != nil {
		return r
	}
	marks := []authn.Mark{
		{Name: "Issuer", Received: textsOf(said["iss"]), Expected: v.issuers.all()},
		{Name: "Audience", Received: textsOf(said["aud"]), Expected: []string{v.clientID}},
		{Name: "Authorised party", Received: textsOf(said["azp"])},
		{Name: "Class", Received: textsOf(said["acr"]), Expected: v.classes},
		{Name: "Issued at", Received: timeOf(said["iat"])}, {Name: "Valid from", Received: timeOf(said["nbf"])}, {Name: "Valid until", Received: timeOf(said["exp"])},
		{Name: "Algorithm", Received: []string{t.header.Algorithm}, Expected: v.idp.algorithms},
	}
	if said.text("nonce") == v.nonce {
		r.Claims, r.Believed = said.texts(), t.believed != nil
	}
	for i := range marks {
		marks[i].Believed = t.believed != nil
	}
	marks = append(marks, authn.Clock(v.now))
	r.Marks = marks
	return r
}

// timeOf reads a NumericDate for a page; what is none is shown as it came.
func timeOf(raw json.RawMessage) []string {
	var at float64
	if len(raw) == 0 || json.Unmarshal(raw, &at) != nil {
		return textsOf(raw)
	}
	return []string{seconds(at).UTC().Format(time.RFC3339)}
}

// all are the issuers that are believed.
func (i issuers) all() (all []string) {
	if i.template == "" {
		return []string{i.one}
	}
	for _, directory := range i.tenants {
		all = append(all, i.of(directory))
	}
	return all
}
