package oidc

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"gatehouse/authn"
	"gatehouse/tenants"
)

func read(t testing.TB, text string) claims {
	t.Helper()
	c := claims{}
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestClaimsAsText(t *testing.T) {
	got := read(t, `{"sub":"s","department":"R&D","employee":true,"level":7,"big":12345678901234567890,"share":0.50,
		"roles":["b","a"],"none":[],"nothing":null,"address":{"country":"CH"},"mixed":["a",1],"empty":"",
		"iss":"https://idp.example","aud":"gatehouse","nonce":"n","at_hash":"h","exp":1,"iat":1}`).texts()
	want := map[string][]string{"sub": {"s"}, "department": {"R&D"}, "employee": {"true"}, "level": {"7"}, "big": {"12345678901234567890"},
		"share": {"0.50"}, "roles": {"b", "a"}, "empty": {""}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestClaimsAreBounded(t *testing.T) {
	long := strings.Repeat("x", authn.MaxClaim)
	got := read(t, `{"long":"`+long+`","longer":"`+long+`y","some":["`+long+`y","b"],"`+long+`y":"c"}`).texts()
	if want := map[string][]string{"long": {long}, "some": {"b"}}; !reflect.DeepEqual(got, want) {
		t.Errorf("%d claims", len(got))
	}
	many := map[string][]string{}
	for i := range 30 {
		for j := range 100 {
			name := fmt.Sprintf("c%02d", i)
			many[name] = append(many[name], fmt.Sprint(j))
		}
	}
	text, err := json.Marshal(many)
	if err != nil {
		t.Fatal(err)
	}
	got = read(t, string(text)).texts()
	for i := range 30 { // those that come first by name
		if n, want := len(got[fmt.Sprintf("c%02d", i)]), 100; i < authn.MaxClaims/100 && n != want || i >= authn.MaxClaims/100 && n != 0 {
			t.Errorf("%d values of c%02d", n, i)
		}
	}
}

// FuzzClaims: what is read of claims is bounded, and never from a claim of the
// token's own.
func FuzzClaims(f *testing.F) {
	for _, seed := range []string{`{}`, `{"a":1e999,"b":["x"],"c":[[]],"d":{}}`, `{"sub":"s","aud":["a"],"nonce":"n"}`, `{"\ud800":"\ud800"}`, `null`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c := claims{}
		if json.Unmarshal([]byte(text), &c) != nil {
			return
		}
		n := 0
		for name, values := range c.texts() {
			n += len(values)
			if _, ok := c[name]; !ok || name == "nonce" || name == "aud" || len(values) == 0 {
				t.Errorf("%q: %q", name, values)
			}
			for _, v := range values {
				if len(v) > authn.MaxClaim {
					t.Errorf("%q has a value of %d bytes", name, len(v))
				}
			}
		}
		if n > authn.MaxClaims {
			t.Errorf("%d values", n)
		}
	})
}

// email_verified speaks of the claim email, and of the document that it stands in.
func TestWhatEmailVerifiedSpeaksOf(t *testing.T) {
	said := read(t, `{"email":"mallory@elsewhere.example","email_verified":true,"preferred_username":"owner@acme.example"}`)
	for name, want := range map[string]bool{"": true, "email": true, "preferred_username": false, "missing": false} {
		if a := said.assertion("mallory", tenants.AttributeMap{Email: name}); a.EmailVerified != want {
			t.Errorf("by the claim %q: %s, verified %v", name, a.Email, a.EmailVerified)
		}
	}
}
