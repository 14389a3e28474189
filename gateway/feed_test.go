package gateway

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"gatehouse/authn/token"
	"gatehouse/authz"
)

// From SCIM to a receiver and to a reader who waits, through the whole gateway: who waits
// is told at once, and ends with the gateway.
func TestWhatSCIMChangesIsSentOn(t *testing.T) {
	h := newHouse(t, map[string]string{"egress.allow": `["127.0.0.0/8"]`})
	ctx, s := t.Context(), h.Services()
	came, answer := make(chan string, 100), make(chan int, 100)
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		select {
		case status := <-answer:
			w.WriteHeader(status)
		default:
		}
		came <- string(body)
	}))
	defer receiver.Close()
	secret := func(spec token.Spec) string {
		t.Helper()
		spec.Name, spec.Expires = "x", time.Now().Add(time.Hour)
		_, secret, err := s.Tokens.Create(ctx, cause, h.acme.ID, spec)
		must(t, err)
		return secret
	}
	provider, owner := "Bearer "+secret(token.Spec{Scope: token.ScopeSCIM}), "Bearer "+secret(token.Spec{Scope: token.ScopeAPI, Role: authz.Owner})
	api := func(method, path, body string) (int, string) {
		return h.ask(method, "/.gatehouse/api/v1/"+path, body, "Authorization", owner, "Content-Type", "application/json")
	}
	if status, text := api(http.MethodPut, "webhooks/hr", `{"url":"`+receiver.URL+`"}`); status != http.StatusOK {
		t.Fatal(status, text)
	}
	var now struct{ Cursor string }
	_, text := api(http.MethodGet, "directory/changes?from=now", "")
	must(t, json.Unmarshal([]byte(text), &now))
	waited := make(chan string, 1)
	go func() {
		_, text := api(http.MethodGet, "directory/changes?wait=30&cursor="+now.Cursor, "")
		waited <- text
	}()
	if status, text := h.ask(http.MethodPost, "/scim/v2/Users", `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"ada","title":"Baker"}`,
		"Authorization", provider, "Content-Type", "application/scim+json"); status != http.StatusCreated {
		t.Fatal(status, text)
	}
	for what, text := range map[string]string{"the reader": <-waited, "the receiver": <-came} {
		if !strings.Contains(text, `"user.created"`) || !strings.Contains(text, `"user_name":"ada"`) || !strings.Contains(text, `"title":"Baker"`) {
			t.Errorf("%s is told %s", what, text)
		}
	}

	answer <- http.StatusGone
	_, text = h.ask(http.MethodPost, "/scim/v2/Users", `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"bob"}`, "Authorization", provider, "Content-Type", "application/scim+json")
	if !strings.Contains(<-came, `"user_name":"bob"`) {
		t.Error(text)
	}
	alerts := func() string { _, text := api(http.MethodGet, "alerts", ""); return text }
	h.soon("the alert", func() bool {
		return strings.Contains(alerts(), `"webhook-stopped"`) && strings.Contains(alerts(), "hr")
	})
	if status, text := api(http.MethodPut, "webhooks/hr", `{"url":"`+receiver.URL+`"}`); status != http.StatusOK {
		t.Fatal(status, text)
	}
	if !strings.Contains(<-came, `"user_name":"bob"`) {
		t.Error("it does not go on where it was")
	}
	h.soon("its end", func() bool { return !strings.Contains(alerts(), "webhook-stopped") })

	// Who waits holds up no stop.
	_, text = api(http.MethodGet, "directory/changes?from=now", "")
	must(t, json.Unmarshal([]byte(text), &now))
	go func() {
		_, text := api(http.MethodGet, "directory/changes?wait=30&cursor="+now.Cursor, "")
		waited <- text
	}()
	h.soon("who waits", func() bool { return h.rooms.feed.Waiting(h.acme.ID) > 0 })
	began := time.Now()
	must(t, h.stop())
	if text := <-waited; time.Since(began) > 10*time.Second || !strings.Contains(text, `"items":[]`) {
		t.Errorf("after %s: %s", time.Since(began), text)
	}
	if strings.Contains(h.out.String(), "whsec_") {
		t.Error("a secret is in the log")
	}
}
