package authn

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"gatehouse/audit"
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

// Read implements [SignalReader].
func (broken) Read(context.Context, identity.TenantID, tenants.Connection, []string, string) (Signal, error) {
	panic("a library's")
}
func (broken) Forget(identity.TenantID) {}
func (broken) Close()                   {}

// records keeps the last record.
type records struct{ last audit.Event }

func (r *records) Record(_ context.Context, e audit.Event) (audit.Receipt, error) {
	r.last = e
	return audit.Receipt{}, nil
}

// A token that makes a library panic is one that could not be read: it is refused, in
// the journal too, and its transmitter told so.
func TestASignalThatPanicsIsRefused(t *testing.T) {
	var log bytes.Buffer
	var journal records
	s := &Service{log: slog.New(slog.NewTextHandler(&log, nil)), signals: broken{}, refusals: &journal}
	c := tenants.Connection{ID: "con_idp", Name: "idp", Signals: &tenants.Signals{Audience: "gatehouse"}}
	err := s.Heed(t.Context(), "ten_acme", c, Delivery{ID: "j"}, "a.b.c")
	if refusal, ok := errors.AsType[*Refusal](err); !ok || refusal.SETError().Code != "invalid_request" || refusal.SETError().Description != "The token could not be read." {
		t.Errorf("%v", err)
	}
	if journal.last.Type != audit.SignalRefused || journal.last.Reason != string(Malformed) {
		t.Errorf("recorded %+v", journal.last)
	}
	if text := log.String(); !strings.Contains(text, "level=ERROR") || !strings.Contains(text, "a library's") || !strings.Contains(text, "contain_test.go") || strings.Contains(text, "a.b.c") {
		t.Errorf("logged %s", text)
	}
}

// A connection that was changed between two looks at it is no word about the person.
func TestAChangedConnectionEndsNobodysSession(t *testing.T) {
	if reason := endsFor(fault.New(fault.Denied, string(connectionChanged), "It was changed.")); reason != "" {
		t.Errorf("ends for %q", reason)
	}
}
