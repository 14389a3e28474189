package proxy

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/http/httpguts"

	"gatehouse/assertion"
	"gatehouse/audit"
	"gatehouse/identity"
)

// Every text makes a field value that arrives as it was sent and decodes to
// the text, and no text can pass for two items of a list.
func FuzzEncode(f *testing.F) {
	for _, seed := range []string{"mia", "Mía, the 1st", " a ", "100%", "a\r\nX: y", "a,b", "a:b", "\x00\xff", "", "日本"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got := encode(text)
		if !httpguts.ValidHeaderFieldValue(got) || strings.TrimSpace(got) != got || strings.ContainsAny(got, ",:") {
			t.Fatalf("%q is sent as %q", text, got)
		}
		back, err := url.PathUnescape(got)
		if err != nil || back != text {
			t.Fatalf("%q comes back as %q: %v", text, back, err)
		}
	})
}

func TestListsOfTheIdentity(t *testing.T) {
	if got := encodeList([]string{"ops", "a,b", "50%"}); got != "ops,a%2Cb,50%25" {
		t.Error(got)
	}
	if got := encodeTeams(map[string][]string{"pay": {"team_admin", "x:y"}, "ops": nil}); got != "pay:team_admin,pay:x%3Ay" {
		t.Error(got)
	}
}

// Somebody in hundreds of groups still gets through, and what is too long is
// missing as a whole and said to be.
func TestLongListsAreLeftOutWhole(t *testing.T) {
	many := func(name string) (list []string) {
		for i := range 200 {
			list = append(list, fmt.Sprintf("%s of the department %d", name, i))
		}
		return list
	}
	c := assertion.Claims{Groups: many("people"), Roles: []string{"member"}, Teams: map[string][]string{"pay": many("role")}}
	leaveOutLong(&c)
	if c.Groups != nil || c.Teams != nil || !slices.Equal(c.LeftOut, []string{"groups", "teams"}) || !slices.Equal(c.Roles, []string{"member"}) {
		t.Errorf("%+v", c)
	}
	// Longest of all in JSON, which writes each of these as six bytes.
	c = assertion.Claims{Groups: []string{strings.Repeat("<", maxList/2)}}
	if leaveOutLong(&c); c.Groups != nil {
		t.Error("a list stays that is too long for the assertion")
	}
}

func TestTheIdentitiesOfTokensAreBounded(t *testing.T) {
	kept := newTokenIdentities()
	for i := range maxTokens + 100 {
		kept.put(&identity.Principal{Tenant: "ten_1", ID: fmt.Sprint(i)}, &prepared{})
	}
	if n := len(kept.kept); n != maxTokens {
		t.Errorf("%d are kept", n)
	}
	if kept.get(&identity.Principal{Tenant: "ten_2", ID: fmt.Sprint(maxTokens + 99)}) != nil {
		t.Error("another tenant's token finds it")
	}
}

// However a client spells the host, it is forwarded as it was authorised, and
// the assertion names the one origin by which a verifier knows that host.
func TestP4P5_TheIssuerIsTheHostInOneSpelling(t *testing.T) {
	w := newWorld(t, nil)
	p := w.signIn("mia")
	set, err := assertion.ParseKeySet(w.minter.JWKS())
	w.must(err)
	verifier, err := assertion.NewVerifier(assertion.Options{Keys: set})
	w.must(err)
	for _, http2 := range []bool{false, true} {
		c := w.client(http2)
		for host, issuer := range map[string]string{
			"acme.test": "https://acme.test", "ACME.Test": "https://acme.test", "acme.test:443": "https://acme.test", "AcmE.test:443": "https://acme.test",
			"acme.test:8443": "https://acme.test:8443", "ACME.test:8443": "https://acme.test:8443",
		} {
			r := w.request(http.MethodGet, "https://acme.test/a", nil, &p)
			r.Host = host
			answer, err := c.Do(r)
			w.must(err)
			if body := w.body(answer); answer.StatusCode != http.StatusOK {
				t.Fatalf("%s: %d %s", host, answer.StatusCode, body)
			}
			s := w.app.take()[0]
			if got := s.values("Host"); !slices.Equal(got, []string{host}) {
				t.Errorf("%s arrived as %q", host, got)
			}
			at := &http.Request{Host: s.values("Host")[0], Header: http.Header{assertion.Header: s.values(assertion.Header)}}
			if claims, err := verifier.Request(at.WithContext(t.Context())); err != nil || claims.Issuer != issuer {
				t.Errorf("%s: issued by %q: %v", host, claims.Issuer, err)
			}
		}
	}
}

func TestP5_ASCIMTokenIsNobodyToTheApp(t *testing.T) {
	w := newWorld(t, nil)
	c := w.client(false)
	scim := []string{"Authorization", "Bearer " + scimToken}
	for path, want := range map[string]int{"/": http.StatusUnauthorized, "/admin/x": http.StatusUnauthorized, "/public/x": http.StatusOK,
		"/scim/v2/Users": http.StatusOK, "/.gatehouse/api/v1/me": http.StatusOK} {
		answer := w.get(c, path, nil, scim...)
		if body := w.body(answer); answer.StatusCode != want {
			t.Errorf("%s: %d %s", path, answer.StatusCode, body)
		}
		seen := w.app.take()
		if got := len(seen) > 0; got != (path == "/public/x") {
			t.Errorf("%s: the app saw it: %t", path, got)
		}
		for _, s := range seen {
			for _, name := range []string{"X-Gatehouse-User", "X-Gatehouse-Name", "X-Gatehouse-Assertion", "X-Gatehouse-Roles", "Authorization"} {
				if values := s.values(name); values != nil {
					t.Errorf("%s: the app got %s %q", path, name, values)
				}
			}
			if e := w.lastRecord(w.acme.ID); e.Type != audit.AccessAllowed || e.Actor.ID != "" {
				t.Errorf("recorded as %+v", e)
			}
		}
		if want == http.StatusUnauthorized {
			if e := w.lastRecord(w.acme.ID); e.Type != audit.AccessRefused || e.Reason != "scim-only" {
				t.Errorf("%s: recorded as %+v", path, e)
			}
		}
	}
}
