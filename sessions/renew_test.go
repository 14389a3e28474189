package sessions_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"gatehouse/audit"
	"gatehouse/internal/fault"
	"gatehouse/sessions"
)

func (w *world) renew(old *sessions.Live) (sessions.Created, error) {
	w.t.Helper()
	return w.Renew(context.Background(), audit.SystemCause(), old, sessions.Renewal{FactorAt: time.Now(), AMR: []string{"otp", "mfa"}})
}

// A session that a second factor was shown for is another one, with all that was
// known of the one before.
func TestARenewedSessionTakesThePlaceOfTheOldOne(t *testing.T) {
	w := newWorld(t)
	n := signIn(w.user(acme, "ann"))
	n.LogoutHint, n.IDPSession, n.AuthAt = "hint", "sid", time.Now().Add(-time.Hour)
	first := w.signIn(acme, n)
	old := w.find(acme, first.Token)
	if p := old.Principal(); !p.FactorTime.IsZero() {
		t.Errorf("a factor was shown at %v", p.FactorTime)
	}
	stream := open(t, old)
	made, err := w.renew(old)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Find(t.Context(), acme, first.Token); !fault.Is(err, fault.Unauthenticated) {
		t.Errorf("the old token: %v", err)
	}
	if !stream.left.Load() {
		t.Error("what the old session had open goes on")
	}
	live := w.find(acme, made.Token)
	was, is := old.Session(), live.Session()
	if is.ID == was.ID || made.Token == first.Token || time.Since(is.FactorAt) > time.Minute || !slices.Equal(is.AMR, []string{"pwd", "otp", "mfa"}) {
		t.Errorf("renewed as %+v", is)
	}
	is.ID, is.AMR, is.FactorAt, is.SeenAt = was.ID, was.AMR, was.FactorAt, was.SeenAt
	if is.CreatedAt != was.CreatedAt || is.AuthAt != was.AuthAt || is.Device != was.Device || is.DeviceHash != was.DeviceHash || is.IDPSession != was.IDPSession || is.ExpiresAt != was.ExpiresAt {
		t.Errorf("%+v\nis not what it was:\n%+v", is, was)
	}
	if hint, err := w.LogoutHint(t.Context(), acme, made.Session.ID); err != nil || hint != "hint" {
		t.Errorf("the hint is %q, %v", hint, err)
	}
	w.reopen()
	if kept := w.find(acme, made.Token).Principal(); kept.FactorTime != live.Principal().FactorTime || !slices.Equal(kept.AMR, []string{"pwd", "otp", "mfa"}) {
		t.Errorf("after a restart: %+v", kept)
	}
	if w.journal.count(audit.SessionSteppedUp) != 1 {
		t.Error("it is not in the journal")
	}
	// It is found by whoever ends sessions by their beginning.
	w.revoke(acme, sessions.Selector{Before: was.CreatedAt.Add(time.Millisecond)})
	if _, err := w.Find(t.Context(), acme, made.Token); !fault.Is(err, fault.Unauthenticated) {
		t.Errorf("ended by its beginning: %v", err)
	}
}

// Nobody comes back to life by a second factor: what ends the session, its person,
// its device or its connection before the new one has its row, prevents that.
func TestP2_NoSessionIsRenewedThatHasEnded(t *testing.T) {
	for name, end := range map[string]func(w *world, s sessions.Session){
		"revoked":     func(w *world, s sessions.Session) { w.revoke(acme, sessions.Selector{Session: s.ID}) },
		"everybody":   func(w *world, _ sessions.Session) { w.revoke(acme, sessions.Selector{All: true}) },
		"deactivated": func(w *world, s sessions.Session) { w.activate(acme, s.User, false) },
		"blocked":     func(w *world, _ sessions.Session) { w.exec(acme, `UPDATE devices SET blocked = TRUE`) },
		"closed":      func(w *world, _ sessions.Session) { w.enable(false) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			first := w.signIn(acme, signIn(w.user(acme, "ann")))
			old := w.find(acme, first.Token)
			w.journal.mu.Lock()
			w.journal.after = func(e audit.Event) {
				if e.Type == audit.SessionSteppedUp {
					end(w, old.Session())
				}
			}
			w.journal.mu.Unlock()
			if made, err := w.renew(old); !fault.Is(err, fault.Unauthenticated) {
				t.Fatalf("renewed: %+v, %v", made, err)
			}
			if live, _, err := w.List(t.Context(), acme, sessions.Filter{State: sessions.StateLive}); err != nil || len(live) > 1 || len(live) == 1 && live[0].ID != old.Session().ID {
				t.Errorf("%+v live, %v", live, err)
			}
		})
	}
}

func TestP1_NoSessionIsRenewedWithoutRecord(t *testing.T) {
	w := newWorld(t)
	first := w.signIn(acme, signIn(w.user(acme, "ann")))
	old := w.find(acme, first.Token)
	w.journal.mu.Lock()
	w.journal.broken = fault.New(fault.Unavailable, "journal-unavailable", "Not now.")
	w.journal.mu.Unlock()
	if _, err := w.renew(old); !fault.Is(err, fault.Unavailable) {
		t.Errorf("without a journal: %v", err)
	}
	if !w.find(acme, first.Token).Principal().FactorTime.IsZero() {
		t.Error("the old session has a factor")
	}
}

// Of several at once, as from two tabs, one takes the place.
func TestASessionIsRenewedOnce(t *testing.T) {
	w := newWorld(t)
	first := w.signIn(acme, signIn(w.user(acme, "ann")))
	old := w.find(acme, first.Token)
	var wg sync.WaitGroup
	tokens := make(chan string, 4)
	for range cap(tokens) {
		wg.Go(func() {
			if made, err := w.renew(old); err == nil {
				tokens <- made.Token
			} else if !fault.Is(err, fault.Unauthenticated) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if len(tokens) != 1 {
		t.Fatalf("%d sessions", len(tokens))
	}
	w.find(acme, <-tokens)
	if live, _, err := w.List(t.Context(), acme, sessions.Filter{State: sessions.StateLive}); err != nil || len(live) != 1 {
		t.Errorf("%d live, %v", len(live), err)
	}
}
