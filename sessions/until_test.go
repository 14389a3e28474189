package sessions_test

import (
	"testing"
	"time"

	"gatehouse/sessions"
)

// A session ends with the identity provider's own, whatever the tenant's limits; so
// does one that takes its place, and a program's that was allowed in it.
func TestASessionEndsWithTheProviders(t *testing.T) {
	w := newWorld(t)
	w.limit(0, 0)
	ann := w.user(acme, "ann")
	end := time.Now().Add(time.Hour).UTC().Truncate(time.Millisecond)
	n := signIn(ann)
	n.Until = end
	first := w.signIn(acme, n)
	renewed, err := w.renew(w.find(acme, first.Token))
	if err != nil {
		t.Fatal(err)
	}
	p := signIn(ann)
	p.DeviceToken, p.Program = "", &sessions.Program{Name: "Gatehouse CLI", AllowedBy: renewed.Session.ID}
	program := w.signIn(acme, p)
	free := w.signIn(acme, signIn(ann))
	ends := func(what string, limit time.Duration, want time.Time) {
		t.Helper()
		w.limit(0, limit)
		for _, made := range []sessions.Created{renewed, program} {
			if got, err := w.Get(t.Context(), acme, made.Session.ID); err != nil || !got.ExpiresAt.Equal(want) || !got.Until.Equal(end) || !made.Session.Until.Equal(end) {
				t.Errorf("%s: ends at %v, want %v; the provider's at %v; %v", what, got.ExpiresAt, want, got.Until, err)
			}
		}
	}
	ends("without a limit", 0, end)
	ends("under a later limit", 168*time.Hour, end)
	w.limit(0, 10*time.Minute)
	if got, err := w.Get(t.Context(), acme, renewed.Session.ID); err != nil || !got.ExpiresAt.Equal(got.CreatedAt.Add(10*time.Minute)) {
		t.Errorf("under a sooner limit: %v, %v", got.ExpiresAt, err)
	}
	w.limit(0, 0)
	w.find(acme, renewed.Token)

	w.exec(acme, `UPDATE sessions SET until_at = $1 WHERE until_at <> 0`, time.Now().Add(-time.Second).UnixMilli())
	w.reopen()
	if code := w.expires(renewed.Token); code != "session-expired" {
		t.Errorf("after the provider's: %q", code)
	}
	if code := w.expires(free.Token); code != "" {
		t.Errorf("one of which the provider said nothing: %q", code)
	}
}
