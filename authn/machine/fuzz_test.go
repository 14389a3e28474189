package machine

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"gatehouse/authn"
	"gatehouse/machines"
)

// said is an authorization server that says the same of every token.
type said struct{ answer string }

// RoundTrip implements [http.RoundTripper].
func (s *said) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, Request: r, Body: io.NopCloser(strings.NewReader(s.answer))}, nil
}

// FuzzIntrospection: whatever an authorization server says, a token is a service's
// only if it says so clearly: active, for this app, of that client and not expired.
func FuzzIntrospection(f *testing.F) {
	const good = `{"active":true,"aud":"app","client_id":"billing","token_type":"Bearer","exp":4102444800,"iss":"https://as.example"}`
	for _, seed := range []string{good, `{"active":false}`, `{"active":"true","aud":"app","client_id":"billing"}`, `{"active":1,"aud":"app","client_id":"billing"}`, `{}`, `[]`, `null`, ``,
		strings.Replace(good, `"active"`, `"Active"`, 1), strings.Replace(good, `"active":true`, `"active":true,"active":false`, 1), strings.Replace(good, `"app"`, `["x","app"]`, 1),
		strings.Replace(good, `"app"`, `["app",1]`, 1), strings.Replace(good, `"aud"`, `"Aud"`, 1), strings.Replace(good, "4102444800", "1", 1), strings.Replace(good, "4102444800", "1e400", 1),
		strings.Replace(good, "4102444800", `"4102444800"`, 1), strings.Replace(good, "4102444800", "null", 1), strings.Replace(good, `"billing"`, `["billing"]`, 1),
		strings.Replace(good, `"billing"`, `"other","azp":"billing"`, 1), strings.Replace(good, "Bearer", "DPoP", 1), strings.Replace(good, `"exp"`, `"nbf"`, 1),
		strings.Replace(good, `"exp"`, `"cnf":{"x5t#S256":"AA"},"exp"`, 1), strings.Replace(good, `"exp"`, `"cnf":"x","exp"`, 1), good + good, strings.Repeat(`{"active":`, 100)} {
		f.Add(seed)
	}
	server := &said{good}
	client := machines.Claims{Audience: "app", ClientID: "billing"}
	k := &kept{all: []machines.Machine{{ID: "svc_billing", Name: "billing", Role: "viewer", Enabled: true, Version: 1, Credentials: []machines.Credential{
		{Introspection: &machines.Introspection{Endpoint: "https://as.example/introspect", AuthClientID: "gate", AuthClientSecret: "s", Claims: client}}}}}}
	v := New(Config{Services: k, Connections: k, Client: &http.Client{Transport: server}})
	f.Cleanup(v.Close)
	s, err := v.of(f.Context(), acme)
	if err != nil {
		f.Fatal(err)
	}
	if p, err := v.inquire(f.Context(), s, asker{tenant: s.tenant}, tokenKey("t"), "t"); err != nil || p.principal == nil {
		f.Fatal(p, err)
	}
	f.Fuzz(func(t *testing.T, answer string) {
		server.answer = answer
		now := time.Now()
		claims, err := v.ask(t.Context(), &s.asked[0], "t")
		if err != nil {
			if _, ok := errors.AsType[*authn.Refusal](err); !ok {
				t.Errorf("%v is no refusal", err)
			}
			return
		}
		if claims == nil {
			if !bytes.Contains([]byte(answer), []byte("false")) {
				t.Errorf("not active: %q", answer)
			}
			return
		}
		known, refusal := v.believe(s, s.asked[0].rules, claims)
		if refusal != nil {
			if known.principal != nil {
				t.Errorf("refused with %+v", known)
			}
			return
		}
		read := map[string]any{} // by exact names, as nobody but us
		if err := json.Unmarshal([]byte(answer), &read); err != nil {
			t.Fatalf("believed, and not JSON: %q", answer)
		}
		audience, many := read["aud"].([]any)
		if !many {
			audience = []any{read["aud"]}
		}
		expires, dated := read["exp"].(float64)
		switch {
		case read["active"] != true, !slices.Contains(audience, any("app")), !slices.Contains([]any{read["client_id"], read["azp"], read["appid"], read["cid"]}, any("billing")),
			read["exp"] != nil && !dated, dated && expires < float64(now.Add(-skew-time.Second).Unix()):
			t.Errorf("believed: %s", answer)
		case known.principal.ID != "svc_billing" || known.until.After(now.Add(introspectedFor+time.Minute)) || dated && known.principal.Expires.After(time.Unix(int64(min(expires, 1<<40)), 0).Add(skew)):
			t.Errorf("%+v until %v by %s", known.principal, known.until, answer)
		}
	})
}
