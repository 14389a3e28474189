package scim

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"gatehouse/directory"
	"gatehouse/identity"
	"gatehouse/internal/httpkit"
	"gatehouse/scim/recorder"
)

// What cannot be told of a request ends nothing, and is said in its place.
func TestAPanicWhileARequestIsKept(t *testing.T) {
	var log strings.Builder
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&log, nil)))
	t.Cleanup(func() { slog.SetDefault(before) })
	n := &note{request: httptest.NewRequestWithContext(t.Context(), "PUT", "/scim/v2/Users/usr_1", nil), gate: &httpkit.Request{ID: "req_1"}, status: 200,
		lines: func(*recorder.Secrets) []string { panic("hunter2") }}
	r := n.finish()
	if r.ID != "req_1" || r.Method != http.MethodPut || r.Status != 200 || r.Detail == "" {
		t.Errorf("kept as %+v", r)
	}
	if strings.Contains(log.String(), "hunter2") || !strings.Contains(log.String(), "req_1") {
		t.Errorf("logged: %s", log.String())
	}
}

// Whom a request concerns is known of all, however many they are.
func TestMoreChangesThanAreToldOfAreFound(t *testing.T) {
	n := &note{request: httptest.NewRequestWithContext(t.Context(), "POST", "/scim/v2/Bulk", nil), gate: &httpkit.Request{ID: "req_1"}, status: 200}
	for i := range recorder.MaxChanges + 2 {
		n.witness(directory.Effect{UserAfter: &directory.User{ID: identity.UserID(fmt.Sprint("usr_", i))}})
	}
	r := n.finish()
	if last := fmt.Sprint("usr_", recorder.MaxChanges+1); len(r.Changes) != recorder.MaxChanges || !slices.Contains(r.About, last) {
		t.Errorf("%d changes are told, and about %d", len(r.Changes), len(r.About))
	}
}
