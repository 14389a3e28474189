package sessions_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"gatehouse/audit"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/sessions"
)

// byProgram is the sign-in of a program that was allowed in a session.
func byProgram(user identity.UserID, by sessions.Created) sessions.NewSession {
	n := signIn(user)
	n.Program = &sessions.Program{Name: "Gatehouse CLI", AllowedBy: by.Session.ID}
	return n
}

// A session that is not served any more lets no program in, whether or not its row
// says so; what comes of the try is not even a device.
func TestP2_ASessionThatIsOverAllowsNoProgram(t *testing.T) {
	const hour = int64(time.Hour / time.Millisecond)
	for name, end := range map[string]func(w *world, by sessions.Created) sessions.Registry{
		"ended": func(w *world, by sessions.Created) sessions.Registry {
			w.revoke(acme, sessions.Selector{Session: by.Session.ID})
			return nil
		},
		"not used for too long": func(w *world, _ sessions.Created) sessions.Registry {
			w.exec(acme, `UPDATE sessions SET seen_at = seen_at - $1`, 9*hour)
			return nil
		},
		"begun too long ago": func(w *world, _ sessions.Created) sessions.Registry {
			w.exec(acme, `UPDATE sessions SET created_at = created_at - $1`, 169*hour)
			return nil
		},
		"revoked, which SQL has not got yet": func(_ *world, by sessions.Created) sessions.Registry {
			return withholding(sessions.Selector{Session: by.Session.ID})
		},
		"revoked with all of its person's, a while ago": func(w *world, by sessions.Created) sessions.Registry {
			w.exec(acme, `UPDATE sessions SET created_at = created_at - $1`, hour)
			return withholding(sessions.Selector{User: by.Session.User, Until: time.Now().Add(-time.Minute)})
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			user := w.user(acme, "ann")
			by := w.signIn(acme, signIn(user))
			registry := end(w, by)
			s := sessions.New(sessions.Config{Store: w.db, Keys: testKeys{}, Journal: w.journal, Node: "n2", Registry: registry,
				Limits: func(identity.TenantID) sessions.Limits { return w.limits }})
			_, err := s.Create(t.Context(), audit.SystemCause(), acme, byProgram(user, by))
			if f := fault.As(err); err == nil || f.Code != "allowing-session-over" || f.Kind != fault.Denied {
				t.Errorf("a program is let in: %v", err)
			}
			if n, m := w.journal.count(audit.SignInSucceeded), w.journal.count(audit.DeviceNew); n != 1 || m != 1 {
				t.Errorf("%d sign-ins and %d devices are recorded", n, m)
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// withholding is a registry that goes by a revocation which SQL has not got.
func withholding(sel sessions.Selector) sessions.Registry {
	return &settling{Registry: sessions.NewLocal("n2", slog.New(slog.DiscardHandler)), over: make(chan bool, 1),
		u: sessions.Unsettled{ID: "u", Tenant: acme, Selector: sel, Reason: "admin"}}
}

// When a session was last used is written behind, and a session in use allows programs.
func TestASessionInUseAllowsPrograms(t *testing.T) {
	w := newWorld(t)
	user := w.user(acme, "ann")
	by := w.signIn(acme, signIn(user))
	w.exec(acme, `UPDATE sessions SET seen_at = seen_at - $1`, (8*time.Hour + 15*time.Second).Milliseconds())
	if _, err := w.FindProgram(t.Context(), acme, w.signIn(acme, byProgram(user, by)).Token); err != nil {
		t.Error(err)
	}
}

// What has taken the place of the session in which a program was allowed lets it in,
// as long as that lives and is the same person's.
func TestAProgramFollowsTheSessionThatAllowedIt(t *testing.T) {
	w := newWorld(t)
	ann, bob := w.user(acme, "ann"), w.user(acme, "bob")
	by := w.signIn(acme, signIn(ann))
	next, err := w.renew(w.find(acme, by.Token))
	if err != nil {
		t.Fatal(err)
	}
	other, over := w.signIn(acme, signIn(bob)), w.signIn(acme, signIn(ann))
	w.revoke(acme, sessions.Selector{Session: over.Session.ID})
	away := errors.New("away")
	for name, c := range map[string]struct {
		carried func(context.Context) (identity.SessionID, error)
		code    string
	}{
		"to the renewed one": {func(context.Context) (identity.SessionID, error) { return next.Session.ID, nil }, ""},
		"to itself":          {func(context.Context) (identity.SessionID, error) { return by.Session.ID, nil }, "allowing-session-over"},
		"to another's":       {func(context.Context) (identity.SessionID, error) { return other.Session.ID, nil }, "allowing-session-over"},
		"to one that is over": {func(context.Context) (identity.SessionID, error) {
			return over.Session.ID, nil
		}, "allowing-session-over"},
		"nowhere":            {nil, "allowing-session-over"},
		"nobody knows where": {func(context.Context) (identity.SessionID, error) { return "", away }, "away"},
	} {
		before := w.journal.count(audit.SignInSucceeded)
		n := byProgram(ann, by)
		n.Program.Carried = c.carried
		made, err := w.Create(t.Context(), audit.SystemCause(), acme, n)
		switch {
		case c.code == "":
			if err != nil || made.Session.User != ann {
				t.Errorf("%s: %+v, %v", name, made, err)
			}
			continue
		case c.code == "away" && !errors.Is(err, away), c.code != "away" && fault.As(err).Code != c.code:
			t.Errorf("%s: %v", name, err)
		}
		if n := w.journal.count(audit.SignInSucceeded) - before; n != 0 {
			t.Errorf("%s: recorded", name)
		}
		if n.Program.AllowedBy != by.Session.ID {
			t.Errorf("%s: what the caller asked for is changed", name)
		}
	}
}

// The oldest session makes room for a program, unless it is the one in which that was
// allowed: with it the program could not be there either.
func TestAProgramDoesNotEndTheSessionThatAllowsIt(t *testing.T) {
	w := newWorld(t)
	w.limits = sessions.Limits{PerPerson: 2}
	user := w.user(acme, "ann")
	by := w.signIn(acme, signIn(user))
	w.later()
	newer := w.signIn(acme, signIn(user))
	w.later()
	made := w.signIn(acme, byProgram(user, by))
	if _, err := w.FindProgram(t.Context(), acme, made.Token); err != nil {
		t.Errorf("the program: %v", err)
	}
	w.find(acme, by.Token)
	if !w.unauthenticated(newer.Token) {
		t.Error("nobody has made room")
	}

	// Where there is room for one, that is the person's own.
	w.limits = sessions.Limits{PerPerson: 1}
	before := w.journal.count(audit.SignInSucceeded)
	_, err := w.Create(t.Context(), audit.SystemCause(), acme, byProgram(user, by))
	if f := fault.As(err); f.Code != "too-many-sessions" {
		t.Errorf("where there may be one: %v", err)
	}
	w.find(acme, by.Token)
	if n := w.journal.count(audit.SignInSucceeded) - before; n != 0 {
		t.Error("recorded as signed in")
	}
}
