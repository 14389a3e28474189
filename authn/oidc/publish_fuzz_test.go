package oidc

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"gatehouse/authn"
	"gatehouse/tenants"
)

// publishes answers every request with the same, but for keys, and notes where it was
// asked.
type publishes struct {
	text  string
	asked []string
}

func (p *publishes) RoundTrip(r *http.Request) (*http.Response, error) {
	p.asked = append(p.asked, r.URL.String())
	text := p.text
	if len(p.asked) > 1 && !strings.Contains(r.URL.Host, "graph") {
		text = `{"keys":[]}`
	}
	return &http.Response{StatusCode: http.StatusOK, Request: r, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(text))}, nil
}

// FuzzDiscover: whatever a provider publishes, it is used only if it is that of the
// issuer who was asked, and leads nobody anywhere but over TLS.
func FuzzDiscover(f *testing.F) {
	const good = `{"issuer":"https://idp.example","authorization_endpoint":"https://idp.example/a","token_endpoint":"https://idp.example/t","jwks_uri":"https://idp.example/k","userinfo_endpoint":"https://idp.example/u"}`
	const entra = "https://login.microsoftonline.com/organizations/v2.0"
	for _, seed := range []string{good, strings.Replace(good, `"issuer":"https://idp.example"`, `"issuer":"`+strings.Replace(entra, "organizations", directoryID, 1)+`"`, 1),
		strings.Replace(good, "https://idp.example/k", "http://10.0.0.1/k", 1), strings.Replace(good, "https://idp.example/a", "javascript:alert(1)", 1),
		strings.Replace(good, "https://idp.example/t", "https://u:p@idp.example/t", 1), strings.Replace(good, `"issuer":"https://idp.example"`, `"issuer":"https://idp.example","Issuer":"https://evil.example"`, 1),
		strings.Replace(good, "idp.example\"", "idp.example/\"", 1), `{}`, `[]`, `null`, "<html>", good + good, strings.Repeat(`{"a":`, 100)} {
		f.Add(seed)
	}
	connections := []*tenants.OIDCSpec{{Issuer: "https://idp.example", ClientID: "gatehouse"}, {Issuer: entra, ClientID: "gatehouse", EntraTenants: []string{"5b1f4c1e-0000-4000-8000-000000000001"}}}
	p := &Protocol{client: &http.Client{Transport: &publishes{text: good}}, now: time.Now}
	if _, err := p.discover(f.Context(), tenants.Connection{OIDC: connections[0]}); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, spec := range connections {
			web := &publishes{text: text}
			p := &Protocol{client: &http.Client{Transport: web}, now: time.Now}
			found, err := p.discover(t.Context(), tenants.Connection{Name: "idp", Type: tenants.OIDC, OIDC: spec})
			if i := slices.IndexFunc(web.asked, func(address string) bool { return !safe(address) }); i >= 0 {
				t.Errorf("%s has us ask %q", text, web.asked[i])
			}
			if err != nil {
				if _, ok := errors.AsType[*authn.Refusal](err); !ok || found != nil {
					t.Errorf("%v, %v", found, err)
				}
				continue
			}
			wanted := spec.Issuer
			if template := spec.IssuerTemplate(); template != "" {
				wanted = template
			}
			e := found.Endpoint()
			if info := found.UserInfoEndpoint(); found.metadata.Issuer != wanted || !safe(e.AuthURL) || !safe(e.TokenURL) || !safe(found.metadata.JWKS) || info != "" && !safe(info) {
				t.Errorf("%s is used for %s", text, wanted)
			}
		}
	})
}

// FuzzGroupPages: of groups that are fetched, all are known or none; the token goes
// nowhere but to where they are, and no list of them goes on for ever.
func FuzzGroupPages(f *testing.F) {
	const at = "https://graph.example/groups"
	for _, seed := range []string{`{"value":[{"id":"g1","@odata.type":"#microsoft.graph.group"},{"id":"r","@odata.type":"#microsoft.graph.directoryRole"}]}`, `{"value":[]}`, `{"value":null}`, `{}`, `[]`,
		`{"value":[{"id":"g1"}],"@odata.nextLink":"https://graph.example/groups?page=2"}`, `{"value":[],"@odata.nextLink":"https://evil.example/graph"}`, `{"value":[],"@odata.nextLink":"http://graph.example/"}`,
		`{"value":[],"@odata.nextLink":"https://u:p@graph.example/"}`, `{"value":[],"@odata.nextLink":"//evil.graph/"}`, `{"value":[],"@odata.nextLink":"\u0000"}`, `{"value":[{"id":7}]}`, `{"value":[{"id":""}]}`} {
		f.Add(seed, `{"groups":"src1"}`)
	}
	control := claims{}
	p := &Protocol{client: &http.Client{Transport: &publishes{text: `{"value":[{"id":"g1"},{"id":"r","@odata.type":"#microsoft.graph.directoryRole"}]}`}}, now: time.Now}
	p.fetchGroups(f.Context(), &tenants.OIDCSpec{GroupsURL: at}, control, "groups", "the token")
	if !slices.Equal(control.list("groups"), []string{"g1"}) {
		f.Fatalf("%q", control["groups"])
	}
	f.Add(`{"value":[]}`, `{"groups":`)
	f.Add(`{"value":[]}`, `["groups"]`)
	f.Fuzz(func(t *testing.T, text, names string) {
		web := &publishes{text: text}
		p := &Protocol{client: &http.Client{Transport: web}, now: time.Now}
		said := claims{"_claim_names": json.RawMessage(names)}
		over := said.overage("groups")
		p.fetchGroups(t.Context(), &tenants.OIDCSpec{Issuer: "https://idp.example", GroupsURL: at}, said, "groups", "the token")
		groups := said.list("groups")
		if len(groups) > maxValues || slices.Contains(groups, "") || len(web.asked) > maxGroupPages {
			t.Errorf("%d requests, and %q", len(web.asked), groups)
		}
		for _, address := range web.asked {
			if !strings.HasPrefix(address, "https://graph.example") || strings.HasPrefix(address, "https://graph.example.") {
				t.Errorf("%s sends the token to %q", text, address)
			}
		}
		var page map[string]any
		if json.Unmarshal([]byte(text), &page) != nil && said["groups"] != nil && json.NewDecoder(strings.NewReader(text)).Decode(&page) != nil {
			t.Errorf("%q is read as %q", text, groups)
		}
		if said["groups"] != nil && groups == nil {
			t.Errorf("%q is read as none at all", text)
		}
		var named map[string]json.RawMessage
		if err := json.Unmarshal([]byte(names), &named); over && (err != nil || named["groups"] == nil) {
			t.Errorf("%q names groups elsewhere", names)
		}
	})
}
