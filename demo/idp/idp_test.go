package idp_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"gatehouse/demo/idp"
)

var accounts = idp.Accounts{{Subject: "1", Email: "member@acme.example", Password: "right"}, {Subject: "2", Email: "viewer@acme.example", Password: "other"}}

func TestCheck(t *testing.T) {
	for _, c := range []struct {
		username, password, subject string
	}{
		{"member@acme.example", "right", "1"}, {" MEMBER@acme.example ", "right", "1"}, {"viewer@acme.example", "other", "2"},
		{"member@acme.example", "other", ""}, {"member@acme.example", "", ""}, {"", "", ""}, {"nobody", "right", ""},
	} {
		got, ok := accounts.Check(c.username, c.password)
		if got.Subject != c.subject || ok != (c.subject != "") {
			t.Errorf("%q with %q: %+v", c.username, c.password, got)
		}
	}
	if _, ok := accounts.BySubject("3"); ok {
		t.Error("a stranger was found")
	}
}

func TestFormIsPlainAndEscaped(t *testing.T) {
	w := httptest.NewRecorder()
	err := idp.Write(w, idp.Form{Provider: "Demo", Action: "/login", Hidden: map[string]string{"id": `"><script>`}, Username: `"><b>`, Refused: true, Accounts: accounts})
	if err != nil {
		t.Fatal(err)
	}
	text := w.Body.String()
	for _, want := range []string{`name="username"`, `name="password"`, `method="post"`, `action="/login"`, "is wrong", `lang="en"`} {
		if !strings.Contains(text, want) {
			t.Errorf("the form lacks %s", want)
		}
	}
	if strings.Contains(text, "<script>") || strings.Contains(text, "<b>") || w.Code != http.StatusUnauthorized {
		t.Errorf("status %d: %s", w.Code, text)
	}
	if policy := w.Header().Get("Content-Security-Policy"); !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") {
		t.Errorf("policy %q", policy)
	}
}
