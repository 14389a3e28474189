package authn_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"gatehouse/authn"
	"gatehouse/tenants"
)

const (
	contoso  = "72f988bf-86f1-41af-91ab-2d7cd011db47"
	fabrikam = "cc7d0b33-84c6-4368-a879-2e47139b7b1f"
	stranger = "00000000-0000-0000-0000-000000000001"
)

// asEntra has an issuer behave as Entra ID for many directories: its discovery names
// a template, and its id tokens the directory that they are of.
func (i *issuer) asEntra(directory string) tenants.Connection {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.front = map[string]http.HandlerFunc{"/organizations/v2.0/.well-known/openid-configuration": func(w http.ResponseWriter, _ *http.Request) {
		settings := i.settings()
		settings["issuer"] = i.URL + "/{tenantid}/v2.0"
		delete(settings, "authorization_response_iss_parameter_supported")
		reply(w, settings)
	}}
	i.answer = func(v url.Values) { v.Del("iss") }
	i.claims = func(c jwt.MapClaims) { c["tid"], c["iss"] = directory, i.URL+"/"+directory+"/v2.0" }
	c := i.connection()
	c.OIDC.Issuer, c.OIDC.EntraTenants, c.OIDC.GroupsURL = i.URL+"/organizations/v2.0", []string{contoso, fabrikam}, i.URL+"/graph"
	return c
}

func TestEntrasManyDirectories(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*issuer)
		want   authn.Reason // "": is signed in
	}{
		"a listed one":     {func(*issuer) {}, ""},
		"another one":      {func(i *issuer) { i.asEntra(fabrikam) }, ""},
		"one not listed":   {func(i *issuer) { i.asEntra(stranger) }, authn.WrongIssuer},
		"the template":     {func(i *issuer) { i.asEntra("{tenantid}") }, authn.WrongIssuer},
		"an empty one":     {func(i *issuer) { i.asEntra("") }, authn.WrongIssuer},
		"in capitals":      {func(i *issuer) { i.asEntra("72F988BF-86F1-41AF-91AB-2D7CD011DB47") }, authn.WrongIssuer},
		"the issuer's own": {func(i *issuer) { claimed("iss", i.URL+"/organizations/v2.0")(i) }, authn.WrongIssuer},
		"without its name": {func(i *issuer) { claimed("iss", i.URL+"/"+contoso+"/v2.0")(i) }, authn.WrongIssuer},
		"another's name": {func(i *issuer) {
			i.claims = func(c jwt.MapClaims) { c["tid"], c["iss"] = contoso, i.URL+"/"+fabrikam+"/v2.0" }
		}, authn.WrongIssuer},
		"a listed name, not its own": {func(i *issuer) {
			i.claims = func(c jwt.MapClaims) { c["tid"], c["iss"] = contoso, i.URL+"/"+stranger+"/v2.0" }
		}, authn.WrongIssuer},
		"an answer of one not listed": {func(i *issuer) { i.answer = func(v url.Values) { v.Set("iss", i.URL+"/"+stranger+"/v2.0") } }, authn.WrongIssuer},
		"an answer of a listed one":   {func(i *issuer) { i.answer = func(v url.Values) { v.Set("iss", i.URL+"/"+contoso+"/v2.0") } }, ""},
		"another template": {func(i *issuer) {
			i.front["/organizations/v2.0/.well-known/openid-configuration"] = func(w http.ResponseWriter, _ *http.Request) { reply(w, i.settings()) }
		}, authn.ProviderUnusable},
	} {
		t.Run(name, func(t *testing.T) {
			w, idp := newWorld(t), newIssuer(t)
			w.connections.put(idp.asEntra(contoso))
			c.change(idp)
			p := w.browser().open("/")
			if c.want == "" {
				p.has(t, http.StatusOK, "for ann@acme.example")
				return
			}
			p.has(t, p.status, "You are not signed in")
			if got := w.journal.lastRefusal(t); got != c.want {
				t.Errorf("reason %q, want %q", got, c.want)
			}
		})
	}
}

// Somebody in too many groups for a token has those that the directory tells, or, if
// it does not, those that were known before: never none for want of an answer.
func TestGroupsThatAreTooManyForAToken(t *testing.T) {
	var stolen atomic.Int64
	thief := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { stolen.Add(1) }))
	defer thief.Close()
	page := func(next string, ids ...string) string {
		var objects string
		for n, id := range ids {
			if n > 0 {
				objects += ","
			}
			objects += fmt.Sprintf(`{"@odata.type":"#microsoft.graph.group","id":%q}`, id)
		}
		return `{"value":[` + objects + `],"@odata.nextLink":"` + next + `"}`
	}
	for name, c := range map[string]struct {
		graph func(i *issuer) http.HandlerFunc
		want  []string
	}{
		"two pages": {func(i *issuer) http.HandlerFunc {
			return func(w http.ResponseWriter, r *http.Request) {
				switch {
				case r.Header.Get("Authorization") != "Bearer at":
					w.WriteHeader(http.StatusUnauthorized)
				case r.URL.Query().Get("page") == "":
					says(page(i.URL+"/graph?page=2", "g1", "g2"))(w, r)
				default:
					says(page("", "g3"))(w, r)
				}
			}
		}, []string{"g1", "g2", "g3"}},
		"roles among them": {always(says(`{"value":[{"@odata.type":"#microsoft.graph.directoryRole","id":"r"},{"id":"g1"},{"id":""}]}`)), []string{"g1"}},
		"none":             {always(says(`{"value":[]}`)), nil},
		"not allowed":      {always(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }), []string{"ops"}},
		"no document":      {always(says(`<html>`)), []string{"ops"}},
		"no list":          {always(says(`{"error":{}}`)), []string{"ops"}},
		"half of it, and elsewhere": {func(*issuer) http.HandlerFunc {
			return says(page(thief.URL+"/graph", "g1"))
		}, []string{"ops"}},
		"half of it, and then nothing": {func(i *issuer) http.HandlerFunc {
			return func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Query().Get("page") != "" {
					hangs(w, r)
				}
				says(page(i.URL+"/graph?page=2", "g1"))(w, r)
			}
		}, []string{"ops"}},
		"without end":  {func(i *issuer) http.HandlerFunc { return says(page(i.URL+"/graph", "g1")) }, []string{"ops"}},
		"sent on":      {always(func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, thief.URL, http.StatusFound) }), []string{"ops"}},
		"hangs":        {always(hangs), []string{"ops"}},
		"far too many": {always(says(page("", slices.Repeat([]string{"g"}, 1001)...))), []string{"ops"}},
	} {
		for sign, overage := range map[string]func(jwt.MapClaims){
			"_claim_names": func(c jwt.MapClaims) {
				c["_claim_names"] = map[string]string{"groups": "src1"}
				c["_claim_sources"] = map[string]any{"src1": map[string]string{"endpoint": thief.URL}}
			},
			"hasgroups": func(c jwt.MapClaims) { c["hasgroups"] = true },
		} {
			t.Run(name+"/"+sign, func(t *testing.T) {
				w, idp := newWorld(t), newIssuer(t)
				w.connections.put(idp.asEntra(contoso))
				begun := time.Now()
				w.browser().open("/").has(t, http.StatusOK)
				if name == "hangs" { // and what does not hang is there by then
					w.egress.Timeout = max(time.Second, 10*time.Since(begun))
				}
				if groups := w.groupsOfAnn(); !slices.Equal(groups, []string{"ops"}) {
					t.Fatalf("in %v at first", groups)
				}
				idp.mu.Lock()
				idp.front["/graph"] = c.graph(idp)
				before := idp.claims
				idp.claims = func(c jwt.MapClaims) { before(c); delete(c, "groups"); overage(c) }
				idp.mu.Unlock()
				w.browser().open("/").has(t, http.StatusOK)
				if groups := w.groupsOfAnn(); !slices.Equal(groups, c.want) {
					t.Errorf("in %v, want %v", groups, c.want)
				}
				if stolen.Load() != 0 {
					t.Error("the token went elsewhere")
				}
			})
		}
	}
}
