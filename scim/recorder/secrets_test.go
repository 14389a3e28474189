package recorder_test

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"

	"gatehouse/scim/recorder"
)

const hush = "hunter2-is-secret"

// P6: in whatever form a password or a token comes, it is not kept, and what is beside it is.
func TestP6_SecretsAreTakenOutOfBodies(t *testing.T) {
	for name, c := range map[string]struct{ body, keeps string }{
		"an attribute":                {`{"userName":"ann","password":"hunter2-is-secret","title":"x"}`, `{"userName":"ann","password":"[left out]","title":"x"}`},
		"in another spelling":         {`{"userName":"ann","pass\u0077ord" : "hunter2-is-secret"}`, `"userName":"ann"`},
		"in capitals":                 {`{"PassWord":"hunter2-is-secret","userName":"ann"}`, `"userName":"ann"`},
		"an object":                   {`{"password":{"value":"hunter2-is-secret"},"userName":"ann"}`, `{"password":"[left out]","userName":"ann"}`},
		"a list":                      {`{"passwords":["x","hunter2-is-secret"],"userName":"ann"}`, `"userName":"ann"`},
		"escaped":                     {`{"password":"a\"hunter2-is-secret","userName":"ann"}`, `"userName":"ann"`},
		"an operation":                {`{"Operations":[{"op":"replace","path":"password","value":"hunter2-is-secret"},{"op":"add","path":"title","value":"x"}]}`, `{"op":"add","path":"title","value":"x"}`},
		"the value first":             {`{"Operations":[{"op":"replace","value":"hunter2-is-secret","path":"Password"}]}`, `"op":"replace","value":"[left out]"`},
		"two values":                  {`{"Operations":[{"op":"replace","path":"password","value":"hunter2-is-secret","value":"y"},{"op":"add","path":"title","value":"x"}]}`, `{"op":"add","path":"title","value":"x"}`},
		"two paths":                   {`{"Operations":[{"op":"replace","path":"password","value":"hunter2-is-secret","path":"title"}]}`, `"op":"replace"`},
		"under its URN":               {`{"Operations":[{"op":"replace","path":"urn:ietf:params:scim:schemas:core:2.0:User:password","value":"hunter2-is-secret"}]}`, `"op":"replace"`},
		"an operation without a path": {`{"Operations":[{"op":"replace","value":{"password":"hunter2-is-secret","active":false}}]}`, `"active":false`},
		"JSON in a text":              {`{"Operations":[{"op":"replace","value":"{\"password\":\"hunter2-is-secret\"}"}]}`, `"op":"replace"`},
		"in a bulk":                   {`{"Operations":[{"method":"POST","path":"/Users","bulkId":"a","data":{"userName":"ann","password":"hunter2-is-secret"}}]}`, `"path":"/Users","bulkId":"a"`},
		"without an end":              {`{"userName":"ann","password":"hunter2-is-secret`, `"userName":"ann"`},
		"with a comma too many":       {`{"userName":"ann","password":"hunter2-is-secret",}`, `"userName":"ann","password":"[left out]"`},
		"single quotes":               {`{"userName":"ann", 'password':'hunter2-is-secret'}`, `"userName":"ann"`},
		"no quotes":                   {`{userName: ann, password: hunter2-is-secret}`, `{`},
		"behind an error":             {`{"userName":ann,"pass\u0077ord":"hunter2-is-secret"}`, `{"userName":`},
		"a cut operation":             {`{"Operations":[{"op":"replace","value":"hunter2-is-secret","pa`, `{"Operations":[{"op":"replace"`},
		"a cut value":                 {`{"Operations":[{"op":"replace","value":"hunter2-is-secr`, `{"Operations":[{"op":"replace"`},
		"a form":                      {`userName=ann&password=hunter2-is-secret`, ``},
		"XML":                         {`<user><password>hunter2-is-secret</password></user>`, ``},
		"behind the body":             {`{"userName":"ann"} {"password":"hunter2-is-secret"}`, `{"userName":"ann"}`},
		"a token of ours":             {`{"userName":"ann","title":"gh_hunter2-is-secret00000000000000000"}`, `"userName":"ann"`},
		"what came as bearer":         {`{"userName":"ann","title":"bearer-hunter2-is-secret"}`, `"userName":"ann","title":"[left out]"`},
	} {
		t.Run(name, func(t *testing.T) {
			s := recorder.NewSecrets("bearer-hunter2-is-secret")
			got := s.Body([]byte(c.body))
			if strings.Contains(got, "hunter2") || !strings.Contains(got, c.keeps) {
				t.Errorf("of\n%s\nit keeps\n%s\nwant in it\n%s", c.body, got, c.keeps)
			}
			if json.Valid([]byte(c.body)) && !json.Valid([]byte(got)) {
				t.Errorf("JSON becomes none: %s", got)
			}
		})
	}
}

// What holds no secret stays as it was sent, byte for byte, JSON or not.
func TestWhatIsNoSecretStays(t *testing.T) {
	for _, body := range []string{
		``, `{}`, ` { "userName" : "ann" } `, `{"userName":"ann",}`, `{"userName":ann}`, `[1,2.5e3,true,null,"x"]`, `{"a":{"b":[{"value":"x","path":"y"}]}}`,
		`{"Operations":[{"op":"add","path":"members","value":[{"value":"usr_1"},{"va`, `{"Operations":[{"op":"add","value":{"members":[{"value":"usr_1"}`, `hello`, `{'a':'b'}`,
	} {
		if got := recorder.NewSecrets().Body([]byte(body)); got != body {
			t.Errorf("%q becomes %q", body, got)
		}
	}
	if got := recorder.NewSecrets().Body([]byte{0xff, 0xfe, 0x00}); got != "[3 bytes that are no text]" {
		t.Errorf("binary becomes %q", got)
	}
}

func TestP6_SecretsAreTakenOutOfTheRest(t *testing.T) {
	s := recorder.NewSecrets()
	s.Body([]byte(`{"password":"hunter2-is-secret"}`))
	if got := s.Text("It was hunter2-is-secret."); got != "It was [left out]." {
		t.Error(got)
	}
	if got := s.Query(`access_token=x&filter=userName%20eq%20%22hunter2-is-secret%22&count=3`); strings.Contains(got, "hunter2") || strings.Contains(got, "=x&") || !strings.Contains(got, "count=3") {
		t.Error(got)
	}
	if got := s.JSON("secretWord", "abcdefgh", 100); got != `"[left out]"` {
		t.Error(got)
	}
	if got := s.JSON("title", strings.Repeat("ä", 100), 50); !strings.HasSuffix(got, "bytes more)") || len(got) > 80 {
		t.Error(got)
	}
}

func TestP6_WhatIsComparedWithASecretIsLeftOut(t *testing.T) {
	for _, text := range []string{`password eq "x1"`, `title eq "y" and (passcode co "x1")`, `urn:a:User:pin sw "x1"`} {
		if got := recorder.NewSecrets().Text(text); strings.Contains(got, "x1") || !strings.Contains(got, "[left out]") {
			t.Error(got)
		}
		if got := recorder.NewSecrets().Query("filter=" + url.QueryEscape(text)); strings.Contains(got, "x1") {
			t.Error(got)
		}
		body, _ := json.Marshal(map[string]string{"filter": text})
		if got := recorder.NewSecrets().Body(body); strings.Contains(got, "x1") || !json.Valid([]byte(got)) {
			t.Error(got)
		}
	}
}

func TestP6_NamesOfSecrets(t *testing.T) {
	for name, want := range map[string]bool{"userPIN": true, "pin": true, "pin_code": true, "passcode": true, "clientSecret": true, "access_token": true, "tokens": true, "privateKey": true, "CLIENT_SECRET": true,
		"secretary": false, "shopping": false, "secretariat": false, "title": false} {
		if recorder.IsSecret(name) != want {
			t.Errorf("%s: %t", name, !want)
		}
	}
	const body = `{"op":"replace","path":"emails[type eq \"private\"].value","value":"ann@acme.example"}`
	if got := recorder.NewSecrets().Body([]byte(body)); got != body {
		t.Error(got)
	}
}

func FuzzP6_Body(f *testing.F) {
	f.Add(`{"password":"`, `","x":1}`)
	f.Add(`{"Operations":[{"value":"`, `","path":"password"}]}`)
	f.Add(`{"value":{"token":["`, `"]}}`)
	f.Fuzz(func(t *testing.T, before, after string) {
		body := before + hush + after
		got := recorder.NewSecrets().Body([]byte(body))
		if !json.Valid([]byte(body)) || !utf8.ValidString(body) {
			return
		}
		if !json.Valid([]byte(got)) {
			t.Errorf("JSON becomes none: %q of %q", got, body)
		}
		var v any
		if json.Unmarshal([]byte(body), &v) == nil && named(v, false) && strings.Contains(got, hush) {
			t.Errorf("%q keeps the secret: %q", body, got)
		}
	})
}

// named reports whether the secret is somewhere under a name of one.
func named(v any, secret bool) bool {
	switch v := v.(type) {
	case string:
		return secret && strings.Contains(v, hush)
	case []any:
		for _, v := range v {
			if named(v, secret) {
				return true
			}
		}
	case map[string]any:
		for name, v := range v {
			if named(v, secret || recorder.IsSecret(name)) {
				return true
			}
		}
	}
	return false
}

// BenchmarkLargeBody is a body as large as the service takes one.
func BenchmarkLargeBody(b *testing.B) {
	one := `{"method":"POST","path":"/Users","bulkId":"x","data":{"userName":"ada@acme.example","password":"hunter2hunter2","name":{"givenName":"Ada","familyName":"Lovelace"}}},`
	body := []byte(`{"Operations":[` + strings.Repeat(one, recorder.MaxSent/len(one)) + `{}]}`)
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		if text := recorder.NewSecrets("gtk_secret").Body(body); strings.Contains(text, "hunter2") {
			b.Fatal("it holds the secret")
		}
	}
}
