package sessions_test

import (
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/audit"
	"gatehouse/identity"
	"gatehouse/internal/store"
	"gatehouse/sessions"
)

// refreshed is a sign-in after which the provider is asked again.
func refreshed(user identity.UserID, due time.Time) sessions.NewSession {
	n := signIn(user)
	n.Refresh, n.RefreshDue = "a-refresh-token", due
	return n
}

func (w *world) due(tenant identity.TenantID, now time.Time) []identity.SessionID {
	w.t.Helper()
	due, err := w.DueRefreshes(w.t.Context(), tenant, "con_oidc", now, 10)
	if err != nil {
		w.t.Fatal(err)
	}
	return due
}

func (w *world) claim(session identity.SessionID, holder string, now time.Time) (sessions.Refresh, bool) {
	w.t.Helper()
	r, ok, err := w.ClaimRefresh(w.t.Context(), acme, session, holder, now, now.Add(time.Minute), time.Time{})
	if err != nil {
		w.t.Fatal(err)
	}
	return r, ok
}

func TestARefreshIsOneHoldersAtATime(t *testing.T) {
	w := newWorld(t)
	now := time.Now()
	ann := w.user(acme, "ann")
	made := w.signIn(acme, refreshed(ann, now.Add(time.Hour)))
	if due := w.due(acme, now); len(due) != 0 {
		t.Fatalf("due at once: %v", due)
	}
	later := now.Add(2 * time.Hour)
	if due := w.due(acme, later); len(due) != 1 || due[0] != made.Session.ID || len(w.due(globex, later)) != 0 {
		t.Fatalf("due: %v", due)
	}
	var mine atomic.Int64
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if _, ok, err := w.ClaimRefresh(t.Context(), acme, made.Session.ID, "x", later, later.Add(time.Minute), time.Time{}); err == nil && ok {
				mine.Add(1)
			}
		})
	}
	all.Wait()
	if n := mine.Load(); n != 1 {
		t.Fatalf("%d hold it", n)
	}
	if due := w.due(acme, later); len(due) != 0 {
		t.Errorf("due while it is held: %v", due)
	}

	// Whoever holds it dies; another goes on. What the first one says then is not heard.
	much := later.Add(2 * time.Minute)
	first, ok := w.claim(made.Session.ID, "first", much)
	if !ok || first.Secret != "a-refresh-token" || first.User != ann || first.CheckedAt.Before(now.Add(-time.Minute)) {
		t.Fatalf("claimed %+v, %t", first, ok)
	}
	much = much.Add(2 * time.Minute)
	second, ok := w.claim(made.Session.ID, "second", much)
	if !ok {
		t.Fatal("a lease that is over keeps others from it")
	}
	if kept, err := w.RotateRefresh(t.Context(), acme, &first, "of the dead"); err != nil || kept {
		t.Errorf("the first one's is kept: %t, %v", kept, err)
	}
	if kept, err := w.RotateRefresh(t.Context(), acme, &second, "the-next"); err != nil || !kept {
		t.Fatalf("kept: %t, %v", kept, err)
	}
	if err := w.PostponeRefresh(t.Context(), acme, second, much.Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	third, ok := w.claim(made.Session.ID, "third", much.Add(time.Minute))
	if !ok || third.Secret != "the-next" || third.Failures != 1 || !third.CheckedAt.Equal(first.CheckedAt) {
		t.Fatalf("then %+v, %t", third, ok)
	}
	if err := w.FinishRefresh(t.Context(), acme, third, much, much.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if again, ok := w.claim(made.Session.ID, "late", much.Add(time.Minute)); ok {
		t.Errorf("claimed again before it is due: %+v", again)
	}
	if _, ok, err := w.ClaimRefresh(t.Context(), acme, made.Session.ID, "late", much.Add(time.Minute), much.Add(time.Minute), much); err != nil || !ok {
		t.Errorf("stale, and not claimed: %v", err)
	}
	stale, err := w.StaleRefreshes(t.Context(), acme, "con_oidc", much.Add(-time.Second), much.Add(2*time.Minute), 10)
	if err != nil || len(stale) != 0 {
		t.Errorf("stale: %v, %v", stale, err)
	}
	if stale, err = w.StaleRefreshes(t.Context(), acme, "con_oidc", much, much.Add(2*time.Minute), 10); err != nil || len(stale) != 1 {
		t.Errorf("stale: %v, %v", stale, err)
	}
	if fourth, ok := w.claim(made.Session.ID, "fourth", much.Add(time.Hour)); !ok || fourth.Failures != 0 || fourth.CheckedAt.UnixMilli() != much.UnixMilli() {
		t.Errorf("at last %+v, %t", fourth, ok)
	}
}

// TestP6_ARefreshIsSealedAndGoesWithItsSession: however that ends.
func TestP6_ARefreshIsSealedAndGoesWithItsSession(t *testing.T) {
	w := newWorld(t)
	ann := w.user(acme, "ann")
	kept := func() (n int64) {
		t.Helper()
		err := w.db.Tenant(acme).Read(t.Context(), func(tx *store.Tx) (err error) {
			secrets, err := store.All(t.Context(), tx, store.Scalar[[]byte], `SELECT secret FROM session_refreshes`)
			for _, secret := range secrets {
				if strings.Contains(string(secret), "a-refresh-token") {
					t.Error("the token can be read")
				}
			}
			n = int64(len(secrets))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	for name, end := range map[string]func(made sessions.Created){
		"signed out": func(made sessions.Created) { w.revoke(acme, sessions.Selector{Session: made.Session.ID}) },
		"everybody":  func(sessions.Created) { w.revoke(acme, sessions.Selector{All: true}) },
		"replaced": func(made sessions.Created) {
			again := signIn(ann)
			again.Replaces = made.Token
			w.signIn(acme, again)
		},
		"deactivated": func(sessions.Created) {
			if _, err := w.EndUser(t.Context(), audit.SystemCause(), acme, ann, sessions.ReasonUserInactive); err != nil {
				t.Fatal(err)
			}
		},
		"deleted": func(made sessions.Created) {
			w.exec(acme, `DELETE FROM sessions WHERE id = $1`, made.Session.ID)
		},
	} {
		made := w.signIn(acme, refreshed(ann, time.Now()))
		if n := kept(); n != 1 {
			t.Fatalf("%s: %d are kept", name, n)
		}
		end(made)
		if n := kept(); n != 0 {
			t.Errorf("%s: %d are kept after the end", name, n)
		}
		if _, ok := w.claim(made.Session.ID, "x", time.Now()); ok {
			t.Errorf("%s: claimed after the end", name)
		}
	}
}

// What is kept to ask a provider again goes along to the session that takes the
// place of its own, also while it is being asked.
func TestARefreshGoesAlongWithARenewedSession(t *testing.T) {
	w := newWorld(t)
	now := time.Now()
	made := w.signIn(acme, refreshed(w.user(acme, "ann"), now.Add(time.Hour)))
	later := now.Add(2 * time.Hour)
	held, ok := w.claim(made.Session.ID, "x", later)
	if !ok {
		t.Fatal("not to be had")
	}
	renewed, err := w.renew(w.find(acme, made.Token))
	if err != nil {
		t.Fatal(err)
	}
	if kept, err := w.RotateRefresh(t.Context(), acme, &held, "the-next-token"); err != nil || !kept {
		t.Fatalf("the new token is not kept: %v, %v", kept, err)
	}
	if err := w.FinishRefresh(t.Context(), acme, held, later, later.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if due := w.due(acme, later.Add(time.Hour)); len(due) != 1 || due[0] != renewed.Session.ID {
		t.Fatalf("due: %v, renewed %s", due, renewed.Session.ID)
	}
	if again, ok := w.claim(renewed.Session.ID, "y", later.Add(time.Hour)); !ok || again.Secret != "the-next-token" {
		t.Errorf("kept %+v", again)
	}
	if _, ok := w.claim(made.Session.ID, "z", later.Add(time.Hour)); ok {
		t.Error("it is kept for the old session as well")
	}
}
