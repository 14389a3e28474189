package sessions_test

import (
	"context"
	"io"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse/audit"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/sessions"
)

// expires reports the code of the refusal, empty while the session lives.
func (w *world) expires(token string) string {
	w.t.Helper()
	_, err := w.Find(context.Background(), acme, token)
	if err == nil {
		return ""
	}
	if !fault.Is(err, fault.Unauthenticated) {
		w.t.Errorf("%v, want Unauthenticated", err)
	}
	return fault.As(err).Code
}

// TestLimits: both limits hold by the settings of the moment.
func TestLimits(t *testing.T) {
	w := newWorld(t)
	ann := w.user(acme, "ann")
	made := w.signIn(acme, signIn(ann))
	id := made.Session.ID
	age := func(created, seen time.Duration) {
		now := time.Now()
		w.exec(acme, `UPDATE sessions SET created_at = $1, seen_at = $2 WHERE id = $3`,
			now.Add(-created).UnixMilli(), now.Add(-seen).UnixMilli(), id)
		w.reopen()
	}
	age(10*time.Hour, 7*time.Hour)
	w.limit(6*time.Hour, 168*time.Hour)
	if code := w.expires(made.Token); code != "session-expired" {
		t.Errorf("idle for 7 h of 6: %q", code)
	}
	w.limit(8*time.Hour, 9*time.Hour)
	if code := w.expires(made.Token); code != "session-expired" {
		t.Errorf("10 h old of 9: %q", code)
	}
	w.limit(8*time.Hour, 0)
	if got, err := w.Get(t.Context(), acme, id); err != nil || !got.ExpiresAt.IsZero() {
		t.Errorf("without an absolute limit: %v, %v", got.ExpiresAt, err)
	}
	if code := w.expires(made.Token); code != "" {
		t.Errorf("within the limits: %q", code)
	}
	w.limit(6*time.Hour, 168*time.Hour)
	if code := w.expires(made.Token); code != "" {
		t.Errorf("just used: %q", code)
	}
	if got, err := w.Get(t.Context(), acme, id); err != nil || time.Since(got.SeenAt) > time.Minute || got.ExpiresAt.Sub(got.CreatedAt) != 168*time.Hour {
		t.Errorf("%+v, %v", got, err)
	}
}

// TestLastSeenIsWrittenBehind: a clean stop loses nothing of it.
func TestLastSeenIsWrittenBehind(t *testing.T) {
	w := newWorld(t)
	made := w.signIn(acme, signIn(w.user(acme, "ann")))
	w.exec(acme, `UPDATE sessions SET seen_at = created_at - 3600000`)
	w.exec(acme, `UPDATE devices SET last_seen = first_seen - 3600000`)
	w.reopen()
	w.find(acme, made.Token)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	w.reopen()
	got, err := w.Get(t.Context(), acme, made.Session.ID)
	if err != nil || time.Since(got.SeenAt) > time.Minute {
		t.Errorf("seen %v, %v", got.SeenAt, err)
	}
	d, err := w.Device(t.Context(), acme, made.Device.ID)
	if err != nil || time.Since(d.LastSeen) > time.Minute {
		t.Errorf("device seen %v, %v", d.LastSeen, err)
	}
}

// TestSweepClosesStreams: whoever ran out is cut off without asking again.
func TestSweepClosesStreams(t *testing.T) {
	w := newWorld(t)
	made := w.signIn(acme, signIn(w.user(acme, "ann")))
	c := open(t, w.find(acme, made.Token))
	w.limit(time.Nanosecond, time.Nanosecond)
	w.Sweep(t.Context())
	if !c.left.Load() {
		t.Error("the stream of an expired session is open")
	}
	if e := w.journal.last(); e.Type != audit.SessionExpired || e.Target.Name != "ann" {
		t.Errorf("recorded %+v", e)
	}
	w.limit(0, 0)
	w.reopen()
	if code := w.expires(made.Token); code != "session-unknown" {
		t.Errorf("after a restart without limits: %q", code)
	}
	if got, err := w.Get(t.Context(), acme, made.Session.ID); err != nil || got.EndReason != sessions.ReasonExpired || w.journal.count(audit.SessionExpired) != 1 {
		t.Errorf("%+v, %v", got, err)
	}
}

// TestPurgeDeletesOnlyWhatIsLongOver.
func TestPurgeDeletesOnlyWhatIsLongOver(t *testing.T) {
	w := newWorld(t)
	ann := w.user(acme, "ann")
	old, blocked, alive := w.signIn(acme, signIn(ann)), w.signIn(acme, signIn(ann)), w.signIn(acme, signIn(ann))
	year := time.Now().Add(-401 * 24 * time.Hour).UnixMilli()
	w.exec(acme, `UPDATE sessions SET ended_at = $1 WHERE id IN ($2, $3)`, year, old.Session.ID, blocked.Session.ID)
	w.exec(acme, `UPDATE devices SET last_seen = $1`, year)
	w.exec(acme, `UPDATE devices SET last_seen = $1 WHERE id = $2`, time.Now().UnixMilli(), alive.Device.ID)
	w.exec(acme, `UPDATE devices SET blocked = TRUE WHERE id = $1`, blocked.Device.ID)
	w.reopen()
	w.find(acme, alive.Token)
	w.Purge(t.Context())
	if _, err := w.Get(t.Context(), acme, old.Session.ID); !fault.Is(err, fault.NotFound) {
		t.Errorf("a session that ended a year ago: %v", err)
	}
	if _, err := w.Device(t.Context(), acme, old.Device.ID); !fault.Is(err, fault.NotFound) {
		t.Errorf("a device whose cookie ran out: %v", err)
	}
	if _, err := w.Device(t.Context(), acme, blocked.Device.ID); err != nil {
		t.Errorf("a blocked device: %v", err)
	}
	w.find(acme, alive.Token)
}

// TestRunStopsWithItsContext, on a fake clock and without a tenant.
func TestRunStopsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := sessions.New(sessions.Config{Journal: &journal{}, Node: "n1", Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
			Limits: func(identity.TenantID) sessions.Limits { return sessions.Limits{Idle: 0, Absolute: 0} }})
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		var run sync.WaitGroup
		run.Go(func() {
			if err := s.Run(ctx); err != nil {
				t.Error(err)
			}
		})
		run.Wait()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestSessionsPerPerson: one more ends the oldest or is refused, also when many
// come at once; what has run out does not count, and a lower limit ends the
// oldest of those who are over it.
func TestSessionsPerPerson(t *testing.T) {
	w := newWorld(t)
	ann, bob := w.user(acme, "ann"), w.user(acme, "bob")
	w.limits = sessions.Limits{Idle: time.Hour, PerPerson: 2}
	live := func(made ...sessions.Created) (n int) {
		for _, m := range made {
			if _, err := w.Find(t.Context(), acme, m.Token); err == nil {
				n++
			}
		}
		return n
	}
	var all []sessions.Created
	for range 4 {
		all = append(all, w.signIn(acme, signIn(ann)))
		w.later()
	}
	other := w.signIn(acme, signIn(bob))
	if live(all[:2]...) != 0 || live(all[2:]...) != 2 || live(other) != 1 {
		t.Errorf("of four %d live, of the last two %d, and %d of another", live(all...), live(all[2:]...), live(other))
	}
	if e := w.journal.first(audit.SessionsRevoked); e.Reason != "session-limit" || e.Target.ID != string(all[0].Session.ID) {
		t.Errorf("recorded as %+v", e)
	}
	var crowd sync.WaitGroup
	for range 8 {
		crowd.Go(func() {
			if _, err := w.Create(context.Background(), audit.SystemCause(), acme, signIn(ann)); err != nil && fault.As(err).Code != "too-many-sessions" {
				t.Error(err)
			}
		})
	}
	crowd.Wait()
	count := func() int {
		items, _, err := w.List(t.Context(), acme, sessions.Filter{User: ann, State: sessions.StateLive, Limit: 100})
		if err != nil {
			t.Fatal(err)
		}
		return len(items)
	}
	if n := count(); n != 2 {
		t.Errorf("%d sessions after a crowd", n)
	}

	w.limits.Refuse = true
	_, err := w.Create(t.Context(), audit.SystemCause(), acme, signIn(ann))
	if f := fault.As(err); !fault.Is(err, fault.Denied) || f.Code != "too-many-sessions" {
		t.Errorf("a third: %v", err)
	}
	w.exec(acme, `UPDATE sessions SET seen_at = seen_at - 7200000 WHERE user_id = $1`, ann)
	w.signIn(acme, signIn(ann)) // those that ran out do not count
	again := signIn(ann)
	again.Replaces = w.signIn(acme, signIn(ann)).Token
	made := w.signIn(acme, again) // nor does the one that is replaced
	w.limits = sessions.Limits{PerPerson: 1}
	if err := w.Trim(t.Context(), audit.SystemCause(), acme); err != nil {
		t.Fatal(err)
	}
	if n := count(); n != 1 || live(made, other) != 2 {
		t.Errorf("%d sessions after the limit was lowered, and %d of the last two", n, live(made, other))
	}
}

// TestASessionKnowsItsDevice, also after a restart.
func TestASessionKnowsItsDevice(t *testing.T) {
	w := newWorld(t)
	made := w.signIn(acme, signIn(w.user(acme, "ann")))
	other := w.signIn(acme, signIn(w.user(acme, "bob")))
	for range 2 {
		live := w.find(acme, made.Token)
		if !live.On(made.DeviceToken) || live.On(other.DeviceToken) || live.On("") || live.On(made.Token) {
			t.Error("a session does not know its device")
		}
		w.reopen()
	}
}
