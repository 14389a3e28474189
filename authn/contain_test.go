package authn

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/sessions"
	"gatehouse/tenants"
)

// broken panics as a library might that reads what a provider wrote.
type broken struct{}

func (broken) Recheck(context.Context, identity.TenantID, tenants.Connection, string) (Rechecked, error) {
	panic("a library's")
}

// An answer that makes a library panic is one that could not be read, and the gateway
// goes on.
func TestAPanicIsAProviderThatCannotBeAsked(t *testing.T) {
	var log bytes.Buffer
	r := NewRechecks(RechecksConfig{Service: &Service{log: slog.New(slog.NewTextHandler(&log, nil)), now: time.Now}})
	at := place{"ten_acme", "con_idp"}
	_, err := r.inquire(t.Context(), broken{}, tenants.Connection{Name: "idp"}, at, sessions.Refresh{Session: "ses_1"})
	if refusal, ok := errors.AsType[*Refusal](err); !ok || refusal.Reason != ProviderUnusable || endsFor(err) != "" {
		t.Errorf("%v", err)
	}
	if text := log.String(); !strings.Contains(text, "level=ERROR") || !strings.Contains(text, "a library's") || !strings.Contains(text, "contain_test.go") {
		t.Errorf("logged %s", text)
	}
	log.Reset()
	r.work.Go(func() {
		defer r.contain(t.Context(), at)
		panic("elsewhere")
	})
	r.work.Wait()
	if text := log.String(); !strings.Contains(text, "level=ERROR") || !strings.Contains(text, "elsewhere") || !r.rests(at, time.Now()) {
		t.Errorf("logged %s", text)
	}
}

// A connection that was changed between two looks at it is no word about the person.
func TestAChangedConnectionEndsNobodysSession(t *testing.T) {
	if reason := endsFor(fault.New(fault.Denied, string(connectionChanged), "It was changed.")); reason != "" {
		t.Errorf("ends for %q", reason)
	}
}
