package sessions_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/audit"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/internal/store"
	"gatehouse/sessions"
	"gatehouse/sessions/sessiontest"
)

func TestLocalRegistry(t *testing.T) {
	sessiontest.Registry(t, func(*testing.T) sessions.Registry {
		return sessions.NewLocal("n1", slog.New(slog.DiscardHandler))
	})
}

// conn is an open connection: it leaves once it is told to.
type conn struct {
	leave func()
	told  atomic.Bool
	left  atomic.Bool
}

func (c *conn) Terminate(string) {
	c.told.Store(true)
	c.left.Store(true)
	c.leave()
}

// passing is a request that is over by itself.
type passing struct{}

func (passing) Terminate(string) {}

func open(t *testing.T, live *sessions.Live) *conn {
	t.Helper()
	c := &conn{}
	var ok bool
	if c.leave, ok = live.Enter(c); !ok {
		t.Fatal("a live session was not entered")
	}
	return c
}

// TestP2_ExactlyTheirsClose: 200 sessions with 250 open connections; revoking
// one person's closes exactly theirs, before the call returns.
func TestP2_ExactlyTheirsClose(t *testing.T) {
	w := newWorld(t)
	users := make([]identity.UserID, 20)
	for i := range users {
		users[i] = w.user(acme, fmt.Sprint("u", i))
	}
	conns := map[identity.UserID][]*conn{}
	for i := range 200 {
		user := users[i%len(users)]
		live := w.find(acme, w.signIn(acme, signIn(user)).Token)
		conns[user] = append(conns[user], open(t, live))
		if i%4 == 0 {
			conns[user] = append(conns[user], open(t, live))
		}
	}
	victim := users[4]
	if n := len(w.Open(acme)); n != 200 {
		t.Errorf("%d sessions have connections, want 200", n)
	}
	done := w.revoke(acme, sessions.Selector{User: victim})
	if done.Sessions != 10 || done.Devices != 10 || done.Connections != len(conns[victim]) || !done.Confirmed() ||
		len(done.Nodes) != 1 || done.Nodes[0].ID != "n1" || done.Took <= 0 {
		t.Errorf("%+v, want 10 sessions, 10 devices, %d connections", done, len(conns[victim]))
	}
	for user, theirs := range conns {
		for _, c := range theirs {
			if c.left.Load() != (user == victim) {
				t.Fatalf("a connection of %s: closed %t", user, c.left.Load())
			}
		}
	}
	if again := w.revoke(acme, sessions.Selector{User: victim}); again.Sessions+again.Devices+again.Connections != 0 || !again.Confirmed() {
		t.Errorf("again: %+v, want zeros", again)
	}
	if n := w.journal.count(audit.SessionsRevoked); n != 2 {
		t.Errorf("%d records of two revocations", n)
	}
	for user, theirs := range conns {
		for _, c := range theirs {
			if user != victim {
				c.leave()
			}
		}
	}
}

// TestP2_NoRequestAfterTheReturn: over 1,000 trials, a client that hammers the
// session gets in no single time once the revocation has returned.
func TestP2_NoRequestAfterTheReturn(t *testing.T) {
	w := newWorld(t)
	tokens := w.copies(w.signIn(acme, signIn(w.user(acme, "ann"))).Session.ID, 1000)
	served := 0
	for id, token := range tokens {
		var over atomic.Bool
		var first sync.Once
		started := make(chan struct{})
		var late, before atomic.Int32
		var hammer sync.WaitGroup
		hammer.Go(func() {
			for {
				wasOver := over.Load()
				live, err := w.Find(context.Background(), acme, token)
				if err != nil && wasOver {
					return
				}
				if err != nil {
					continue
				}
				leave, ok := live.Enter(passing{})
				switch {
				case ok && wasOver:
					late.Add(1)
				case ok:
					before.Add(1)
				}
				leave()
				first.Do(func() { close(started) })
			}
		})
		<-started
		if _, err := w.Revoke(t.Context(), audit.SystemCause(), acme, sessions.Selector{Session: id}, "admin"); err != nil {
			t.Fatal(err)
		}
		over.Store(true)
		hammer.Wait()
		if n := late.Load(); n > 0 {
			t.Fatalf("%d requests got in after the revocation had returned", n)
		}
		served += int(before.Load())
	}
	if served == 0 {
		t.Error("no request got in before a revocation either: the test shows nothing")
	}
}

// TestP8_RevokedStaysRevoked: after the answer, neither a restart nor one more
// brings a session back.
func TestP8_RevokedStaysRevoked(t *testing.T) {
	w := newWorld(t)
	ann := w.user(acme, "ann")
	made, kept := w.signIn(acme, signIn(ann)), w.signIn(acme, signIn(ann))
	done := w.revoke(acme, sessions.Selector{User: ann, Except: kept.Session.ID})
	if done.Sessions != 1 {
		t.Fatalf("%+v", done)
	}
	for range 2 {
		w.reopen()
		if _, err := w.Find(t.Context(), acme, made.Token); !fault.Is(err, fault.Unauthenticated) {
			t.Errorf("%v, want Unauthenticated", err)
		}
		w.find(acme, kept.Token)
	}
}

// TestP8_CrashBetweenDeactivationAndEnd: the directory had deactivated a person,
// or a device had been blocked, and the gateway died before the sessions were
// ended.
func TestP8_CrashBetweenDeactivationAndEnd(t *testing.T) {
	w := newWorld(t)
	ann, bob := w.user(acme, "ann"), w.user(acme, "bob")
	made, blocked, kept := w.signIn(acme, signIn(ann)), w.signIn(acme, signIn(bob)), w.signIn(acme, signIn(bob))
	w.activate(acme, ann, false)
	w.exec(acme, `UPDATE devices SET blocked = true WHERE id = $1`, blocked.Device.ID)
	w.reopen()
	w.find(acme, kept.Token) // the first use loads the tenant
	w.activate(acme, ann, true)
	w.exec(acme, `UPDATE devices SET blocked = false`)
	w.reopen()
	for _, token := range []string{made.Token, blocked.Token} {
		if _, err := w.Find(t.Context(), acme, token); !fault.Is(err, fault.Unauthenticated) {
			t.Errorf("%v, want Unauthenticated", err)
		}
	}
	for _, reason := range []string{sessions.ReasonUserInactive, sessions.ReasonDeviceBlocked} {
		if e := w.journal.revoked(reason); e.Count != 1 {
			t.Errorf("%s: %+v, want the end of one session", reason, e)
		}
	}
	w.find(acme, kept.Token)
}

// TestP2_CrashBetweenDisablingAndEnd: a connection had been disabled, and the
// gateway died before the sessions were ended.
func TestP2_CrashBetweenDisablingAndEnd(t *testing.T) {
	w := newWorld(t)
	made := w.signIn(acme, signIn(w.user(acme, "ann")))
	for _, enabled := range []bool{false, true} {
		w.enable(enabled)
		w.reopen()
		if _, err := w.Find(t.Context(), acme, made.Token); !fault.Is(err, fault.Unauthenticated) {
			t.Errorf("enabled %v: %v, want Unauthenticated", enabled, err)
		}
	}
	if e := w.journal.revoked(sessions.ReasonConnectionClosed); e.Count != 1 {
		t.Errorf("%+v, want the end of one session", e)
	}
}

// TestP2_CrashBetweenDeletionAndEnd: a connection, or a person, had been deleted,
// and the gateway died before the sessions were ended.
func TestP2_CrashBetweenDeletionAndEnd(t *testing.T) {
	w := newWorld(t)
	ann, bob := w.user(acme, "ann"), w.user(acme, "bob")
	gone, kept, other := w.signIn(acme, signIn(ann)), w.signIn(acme, signIn(bob)), w.signIn(acme, signIn(bob))
	w.exec(acme, `UPDATE sessions SET connection_id = 'con_deleted' WHERE id = $1`, other.Session.ID)
	w.exec(acme, `DELETE FROM users WHERE id = $1`, ann)
	w.reopen()
	w.find(acme, kept.Token)
	for _, token := range []string{gone.Token, other.Token} {
		if _, err := w.Find(t.Context(), acme, token); !fault.Is(err, fault.Unauthenticated) {
			t.Errorf("%v, want Unauthenticated", err)
		}
	}
	w.Purge(t.Context())
	for id, reason := range map[identity.SessionID]string{gone.Session.ID: sessions.ReasonUserInactive, other.Session.ID: sessions.ReasonConnectionClosed} {
		if s, err := w.Get(t.Context(), acme, id); err != nil || s.EndReason != reason {
			t.Errorf("%+v, %v, want it to have ended: %s", s, err, reason)
		}
		if e := w.journal.revoked(reason); e.Count != 1 {
			t.Errorf("%s: %+v, want the end of one session", reason, e)
		}
	}
	w.find(acme, kept.Token)
}

// TestP2_CrashBetweenNewCredentialsAndEnd: somebody had set other credentials for their
// local account, or lost it, and the gateway died, or could not go on, before what the
// old ones had made was ended.
func TestP2_CrashBetweenNewCredentialsAndEnd(t *testing.T) {
	for _, restarts := range []bool{true, false} {
		w := newWorld(t)
		w.exec(acme, `INSERT INTO connections (id, name, type, spec, enabled, version, created_at, updated_at)
			VALUES ('con_local', 'local', 'local', '{}', TRUE, 1, 0, 0)`)
		ann, bob := w.user(acme, "ann"), w.user(acme, "bob")
		local := func(user identity.UserID, generation string) sessions.Created {
			n := signIn(user)
			n.Connection, n.IDPSession = "con_local", "generation "+generation
			return w.signIn(acme, n)
		}
		w.exec(acme, `INSERT INTO local_accounts (user_id, generation, accepted_at) VALUES ($1, 7, 7)`, bob)
		old, other, lost, kept, elsewhere := local(ann, "7"), w.signIn(acme, signIn(ann)), local(ann, "7 password 3"), local(bob, "7"), w.signIn(acme, signIn(bob))
		if restarts {
			w.exec(acme, `INSERT INTO local_accounts (user_id, generation, accepted_at) VALUES ($1, 8, $2)`, ann, store.Millis(time.Now().Add(time.Second)))
			w.reopen()
			w.find(acme, kept.Token)
		} else {
			w.Purge(t.Context()) // they have no account
		}
		over := []sessions.Created{old, lost}
		if restarts { // whatever they had from before
			over = append(over, other)
		} else {
			w.find(acme, other.Token)
		}
		for _, made := range over {
			if _, err := w.Find(t.Context(), acme, made.Token); !fault.Is(err, fault.Unauthenticated) {
				t.Errorf("%v, want Unauthenticated", err)
			}
			if s, err := w.Get(t.Context(), acme, made.Session.ID); err != nil || s.EndReason != sessions.ReasonCredentialsReplaced {
				t.Errorf("%+v, %v", s, err)
			}
		}
		if e := w.journal.revoked(sessions.ReasonCredentialsReplaced); e.Count == 0 {
			t.Error("there is no record of it")
		}
		w.Purge(t.Context())
		w.find(acme, kept.Token)
		w.find(acme, elsewhere.Token)
		byPassword := local(bob, "7 password 3")
		w.Purge(t.Context())
		w.find(acme, byPassword.Token)
		w.exec(acme, `UPDATE local_accounts SET generation = 71 WHERE user_id = $1`, bob)
		longer := local(bob, "71 password 3")
		w.Purge(t.Context())
		w.find(acme, longer.Token)
		if _, err := w.Find(t.Context(), acme, byPassword.Token); !fault.Is(err, fault.Unauthenticated) {
			t.Errorf("of another generation: %v, want Unauthenticated", err)
		}
	}
}

// TestP2_CrashBetweenUnlinkingAndEnd: an identity had been taken from somebody, and the
// gateway died, or could not go on, before what it had begun was ended. What others
// begin by it, or they themselves once they have it again, stays.
func TestP2_CrashBetweenUnlinkingAndEnd(t *testing.T) {
	for _, c := range []struct{ restarts, again bool }{{true, true}, {false, true}, {true, false}, {false, false}} {
		w := newWorld(t)
		ann, bob := w.user(acme, "ann"), w.user(acme, "bob")
		begun := func(user identity.UserID, subject string) sessions.Created {
			n := signIn(user)
			n.IDPSubject = subject
			return w.signIn(acme, n)
		}
		others := []sessions.Created{begun(ann, "a3"), begun(bob, "a1")} // by another one, and by whose it was later
		over, later := begun(ann, "a1"), begun(ann, "a1")
		w.exec(acme, `UPDATE sessions SET created_at = $1 WHERE id = $2`, store.Millis(over.Session.CreatedAt.Add(time.Millisecond)), later.Session.ID)
		program := w.signIn(acme, byProgram(ann, later)) // what is still open lets it in
		w.exec(acme, `UPDATE sessions SET idp_subject = 'a1' WHERE id = $1`, program.Session.ID)
		w.exec(acme, `INSERT INTO unlinked_identities (connection_id, subject, user_id, unlinked_at) VALUES ($1, 'a1', $2, $3)`,
			over.Session.Connection, ann, store.Millis(over.Session.CreatedAt))
		if c.again {
			w.exec(acme, `INSERT INTO identities (connection_id, subject, user_id, created_at, seen_at) VALUES ($1, 'a1', $2, 0, 0)`, over.Session.Connection, ann)
		}
		if c.restarts {
			w.reopen()
		} else {
			w.Purge(t.Context())
		}
		_, first := w.Find(t.Context(), acme, over.Token)
		_, second := w.Find(t.Context(), acme, later.Token)
		_, third := w.FindProgram(t.Context(), acme, program.Token)
		if !fault.Is(first, fault.Unauthenticated) || (second == nil) != c.again || (third == nil) != c.again {
			t.Errorf("%+v: %v, %v, %v", c, first, second, third)
		}
		want := int64(3)
		if c.again {
			want = 1
		}
		if e := w.journal.revoked(sessions.ReasonIdentityUnlinked); e.Count != want {
			t.Errorf("%+v: %+v, want the end of %d", c, e, want)
		}
		for _, o := range others {
			w.find(acme, o.Token)
		}
	}
}

// TestP2_CallerGoesAway: a revocation that has begun goes on without its caller.
func TestP2_CallerGoesAway(t *testing.T) {
	w := newWorld(t)
	made := w.signIn(acme, signIn(w.user(acme, "ann")))
	ctx, cancel := context.WithCancel(t.Context())
	w.journal.after = func(audit.Event) { cancel() }
	done, err := w.Revoke(ctx, audit.SystemCause(), acme, sessions.Selector{All: true}, "admin")
	if err != nil || done.Sessions != 1 {
		t.Errorf("%+v, %v", done, err)
	}
	w.reopen()
	if _, err := w.Find(t.Context(), acme, made.Token); !fault.Is(err, fault.Unauthenticated) {
		t.Errorf("%v, want Unauthenticated", err)
	}
}

// deaf is a stream that does not leave when it is told to.
type deaf struct{ told chan string }

func (d deaf) Terminate(reason string) { d.told <- reason }

func TestP2_StreamThatStaysIsNotConfirmed(t *testing.T) {
	w := newWorld(t)
	ann := w.user(acme, "ann")
	made := w.signIn(acme, signIn(ann))
	d := deaf{told: make(chan string, 2)}
	leave, ok := w.find(acme, made.Token).Enter(d)
	if !ok {
		t.Fatal("a live session was not entered")
	}
	done, err := w.Revoke(t.Context(), audit.SystemCause(), acme, sessions.Selector{User: ann}, "admin")
	if !errors.Is(err, sessions.ErrUnconfirmed) || !fault.Is(err, fault.Unavailable) || done.Confirmed() || done.Sessions != 1 || done.Connections != 0 {
		t.Errorf("%+v, %v; want one session, unconfirmed", done, err)
	}
	if reason := <-d.told; reason != "admin" {
		t.Errorf("told %q", reason)
	}
	if n, err := w.EndUser(t.Context(), audit.SystemCause(), acme, ann, "deactivated"); n != 0 || !errors.Is(err, sessions.ErrUnconfirmed) {
		t.Errorf("again: %d, %v; want unconfirmed still", n, err)
	}
	leave()
	if n, err := w.EndUser(t.Context(), audit.SystemCause(), acme, ann, "deactivated"); n != 0 || err != nil {
		t.Errorf("after it left: %d, %v", n, err)
	}
	if len(d.told) != 0 {
		t.Error("told twice")
	}
}

func TestSelectorsAreChecked(t *testing.T) {
	w := newWorld(t)
	for _, sel := range []sessions.Selector{{}, {Except: "ses_x"}, {All: true, User: "usr_a"}, {Session: "ses_x", Device: "dev_x"}} {
		if _, err := w.Revoke(t.Context(), audit.SystemCause(), acme, sel, "admin"); !fault.Is(err, fault.Invalid) {
			t.Errorf("%+v: %v, want Invalid", sel, err)
		}
	}
}

// TestP3_RevocationStaysInItsTenant: ending everything at acme, or a session
// of globex by its id at acme, touches nobody at globex.
func TestP3_RevocationStaysInItsTenant(t *testing.T) {
	w := newWorld(t)
	theirs := w.signIn(globex, signIn(w.user(globex, "ann")))
	w.signIn(acme, signIn(w.user(acme, "ann")))
	if done, err := w.Revoke(t.Context(), audit.SystemCause(), acme, sessions.Selector{Session: theirs.Session.ID}, "admin"); !fault.Is(err, fault.NotFound) || done.Sessions != 0 {
		t.Errorf("%+v, %v, want NotFound", done, err)
	}
	if done := w.revoke(acme, sessions.Selector{All: true}); done.Sessions != 1 {
		t.Errorf("%+v", done)
	}
	w.find(globex, theirs.Token)
	if _, err := w.Get(t.Context(), acme, theirs.Session.ID); !fault.Is(err, fault.NotFound) {
		t.Errorf("globex's session by its id at acme: %v, want NotFound", err)
	}
	w.Forget(acme)
	w.find(globex, theirs.Token)
}

// The record of a revocation says in words who or what was signed out, as it
// was called at that moment.
func TestRecordsNameWhatWasRevoked(t *testing.T) {
	w := newWorld(t)
	ann := w.user(acme, "ann")
	w.exec(acme, `UPDATE users SET display_name = 'Ann'`)
	made := w.signIn(acme, signIn(ann))
	for _, c := range []struct {
		sel  sessions.Selector
		want audit.Target
	}{
		{sessions.Selector{User: ann}, audit.Target{Kind: "user", ID: string(ann), Name: "Ann"}},
		{sessions.Selector{Session: made.Session.ID}, audit.Target{Kind: "session", ID: string(made.Session.ID), Name: "Chrome on Windows of Ann"}},
		{sessions.Selector{Device: made.Device.ID}, audit.Target{Kind: "device", ID: string(made.Device.ID), Name: "Chrome on Windows of Ann"}},
		{sessions.Selector{Connection: "con_oidc"}, audit.Target{Kind: "connection", ID: "con_oidc", Name: "oidc"}},
		{sessions.Selector{All: true}, audit.Target{Kind: "tenant", ID: string(acme)}},
		{sessions.Selector{User: "usr_gone"}, audit.Target{Kind: "user", ID: "usr_gone"}},
	} {
		w.revoke(acme, c.sel)
		if got := w.journal.last().Target; got != c.want {
			t.Errorf("recorded %+v, want %+v", got, c.want)
		}
	}
	w.exec(acme, `UPDATE users SET email = 'ann@acme.example'`)
	w.revoke(acme, sessions.Selector{User: ann})
	if got := w.journal.last().Target.Name; got != "ann@acme.example" {
		t.Errorf("recorded %q", got)
	}
	w.exec(acme, `DELETE FROM users`) // with the devices
	w.revoke(acme, sessions.Selector{Session: made.Session.ID})
	if got := w.journal.last().Target; got != (audit.Target{Kind: "session", ID: string(made.Session.ID)}) {
		t.Errorf("recorded %+v", got)
	}
}

func TestSignOutHasItsOwnEvent(t *testing.T) {
	w := newWorld(t)
	made := w.signIn(acme, signIn(w.user(acme, "ann")))
	sel := sessions.Selector{Session: made.Session.ID}
	if _, err := w.Revoke(t.Context(), audit.SystemCause(), acme, sel, sessions.ReasonSignedOut); err != nil {
		t.Fatal(err)
	}
	if e := w.journal.last(); e.Type != audit.SignedOut || e.Target.ID != string(made.Session.ID) {
		t.Errorf("%+v", e)
	}
	if got, err := w.Get(t.Context(), acme, made.Session.ID); err != nil || got.EndReason != sessions.ReasonSignedOut || time.Since(got.EndedAt) > time.Minute {
		t.Errorf("%+v, %v", got, err)
	}
}

// TestP2_CutEndsWhatCannotBeRead: without database and journal, what is served
// of a tenant ends all the same, and of no other.
func TestP2_CutEndsWhatCannotBeRead(t *testing.T) {
	w := newWorld(t)
	if err := w.Cut(t.Context(), "ten_nobody", "tenant-deleted"); err != nil {
		t.Errorf("of a tenant whom nobody has asked for: %v", err)
	}
	ann := w.signIn(acme, signIn(w.user(acme, "ann")))
	bob := w.signIn(globex, signIn(w.user(globex, "bob")))
	hers, his := open(t, w.find(acme, ann.Token)), open(t, w.find(globex, bob.Token))
	if err := w.db.Close(); err != nil {
		t.Fatal(err)
	}
	w.journal.broken = errBroken
	if err := w.Cut(t.Context(), acme, "tenant-deleted"); err != nil {
		t.Fatal(err)
	}
	if live, err := w.Find(t.Context(), acme, ann.Token); live != nil || !hers.left.Load() {
		t.Errorf("still signed in: %v", err)
	}
	if live, err := w.Find(t.Context(), globex, bob.Token); live == nil || his.left.Load() {
		t.Errorf("the other tenant: %v", err)
	}
	his.leave()
}

func TestP2_CutWaitsForStreams(t *testing.T) {
	w := newWorld(t)
	d := deaf{told: make(chan string, 2)}
	leave, ok := w.find(acme, w.signIn(acme, signIn(w.user(acme, "ann"))).Token).Enter(d)
	if !ok {
		t.Fatal("a live session was not entered")
	}
	if err := w.Cut(t.Context(), acme, "tenant-deleted"); !errors.Is(err, sessions.ErrUnconfirmed) || !fault.Is(err, fault.Unavailable) {
		t.Errorf("got %v", err)
	}
	leave()
	if err := w.Cut(t.Context(), acme, "tenant-deleted"); err != nil {
		t.Errorf("again: %v", err)
	}
}
