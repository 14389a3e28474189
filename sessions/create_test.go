package sessions_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse/audit"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/sessions"
)

func TestCreateAndFind(t *testing.T) {
	w := newWorld(t)
	ann := w.user(acme, "ann")
	from := signIn(ann)
	from.AuthAt = time.Now().Add(-time.Hour).Truncate(time.Millisecond)
	made := w.signIn(acme, from)
	live := w.find(acme, made.Token)
	p, s := live.Principal(), live.Session()
	if p.Kind != identity.KindUser || p.Tenant != acme || p.ID != string(ann) || p.User != ann ||
		p.Session != made.Session.ID || p.Device != made.Device.ID || p.Connection != "con_oidc" ||
		p.ACR != "2" || !slices.Equal(p.AMR, []string{"pwd", "otp"}) || !p.AuthTime.Equal(from.AuthAt) {
		t.Errorf("principal %+v", p)
	}
	if s.IP.String() != "192.0.2.7" || s.UserAgent != chrome || s.IDPSubject != "sub" || s.CreatedAt.IsZero() || s.SeenAt.IsZero() {
		t.Errorf("session %+v", s)
	}
	if got := w.find(acme, made.Token); got != live {
		t.Error("the same session was found as another value")
	}
	if w.journal.count(audit.SignInSucceeded) == 0 || w.journal.count(audit.DeviceNew) != 1 {
		t.Errorf("events %+v", w.journal.events)
	}
	live.SetMemo("headers")
	if live.Memo() != "headers" {
		t.Errorf("memo %v", live.Memo())
	}
	// After a restart it is the same session still.
	w.reopen()
	after := w.find(acme, made.Token).Session()
	if after.ID != made.Session.ID || !slices.Equal(after.AMR, s.AMR) || !after.CreatedAt.Equal(s.CreatedAt) || after.IP != s.IP {
		t.Errorf("after a restart: %+v, want %+v", after, s)
	}
}

// TestP1_NoSessionWithoutRecord: a journal that refuses leaves no session, no
// device and no revocation.
func TestP1_NoSessionWithoutRecord(t *testing.T) {
	w := newWorld(t)
	ann := w.user(acme, "ann")
	made := w.signIn(acme, signIn(ann))
	w.journal.broken = errBroken
	if _, err := w.Create(t.Context(), audit.SystemCause(), acme, signIn(ann)); err == nil {
		t.Error("signed in without a record")
	}
	known := signIn(ann)
	known.DeviceToken = made.DeviceToken
	if _, err := w.Create(t.Context(), audit.SystemCause(), acme, known); err == nil {
		t.Error("signed in on a known device without a record")
	}
	if _, err := w.Revoke(t.Context(), audit.SystemCause(), acme, sessions.Selector{User: ann}, "admin"); err == nil {
		t.Error("revoked without a record")
	}
	if _, err := w.UpdateDevice(t.Context(), audit.SystemCause(), acme, made.Device.ID, func(d *sessions.Device) error { d.Blocked = true; return nil }); err == nil {
		t.Error("blocked without a record")
	}
	w.journal.broken = nil
	items, _, err := w.List(t.Context(), acme, sessions.Filter{})
	if err != nil || len(items) != 1 || !items[0].EndedAt.IsZero() {
		t.Errorf("sessions %+v, %v; want the first alone, alive", items, err)
	}
	devices, _, err := w.Devices(t.Context(), acme, sessions.DeviceFilter{})
	if err != nil || len(devices) != 1 || devices[0].Blocked {
		t.Errorf("devices %+v, %v; want the first alone, not blocked", devices, err)
	}
}

func TestTokensThatAreNotOurs(t *testing.T) {
	w := newWorld(t)
	made := w.signIn(acme, signIn(w.user(acme, "ann")))
	last := made.Token[len(made.Token)-1]
	alphabet := "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	// The last character carries two bits that nobody reads: only 00 is right.
	twin := made.Token[:42] + string(alphabet[strings.IndexByte(alphabet, last)|1])
	for _, token := range []string{
		"", "x", made.Token[:42], made.Token + "=", made.Token + "A", strings.ToLower(made.Token), " " + made.Token[1:],
		made.Token[:42] + "\n", strings.Repeat("A", 43), strings.Repeat("\x00", 43), strings.Repeat("A", 1<<20), twin,
		base64.StdEncoding.EncodeToString([]byte(made.Token)),
	} {
		if _, err := w.Find(t.Context(), acme, token); !fault.Is(err, fault.Unauthenticated) {
			t.Errorf("%.50q: %v, want Unauthenticated", token, err)
		}
	}
	if _, err := w.Find(t.Context(), globex, made.Token); !fault.Is(err, fault.Unauthenticated) {
		t.Errorf("P3: acme's token at globex: %v, want Unauthenticated", err)
	}
}

// TestP6_TokensAreHashesAtRest: neither token can be read from the database.
func TestP6_TokensAreHashesAtRest(t *testing.T) {
	w := newWorld(t)
	n := signIn(w.user(acme, "ann"))
	n.LogoutHint = "eyJhbGciOi.id.token"
	made := w.signIn(acme, n)
	for _, secret := range []string{made.Token, made.DeviceToken, n.LogoutHint} {
		raw, _ := base64.RawURLEncoding.DecodeString(secret)
		for _, table := range []string{"sessions WHERE token_hash", "sessions WHERE logout_hint", "devices WHERE token_hash"} {
			for _, form := range []any{secret, []byte(secret), raw} {
				if w.exec(acme, "UPDATE "+strings.Replace(table, " WHERE ", " SET id = id WHERE ", 1)+" = $1", form) != 0 {
					t.Errorf("%s holds the secret %.6s…", table, secret)
				}
			}
		}
	}
	hint, err := w.LogoutHint(t.Context(), acme, made.Session.ID)
	if err != nil || hint != n.LogoutHint {
		t.Errorf("logout hint %q, %v", hint, err)
	}
	if _, err := w.LogoutHint(t.Context(), globex, made.Session.ID); !fault.Is(err, fault.NotFound) {
		t.Errorf("P3: another tenant's hint: %v, want NotFound", err)
	}
}

func TestDeviceIsRecognised(t *testing.T) {
	w := newWorld(t)
	ann, bob := w.user(acme, "ann"), w.user(acme, "bob")
	first := w.signIn(acme, signIn(ann))
	if d := first.Device; !first.NewDevice || d.Name != "Chrome on Windows" || d.Kind != "desktop" || d.OS != "Windows" || d.Browser != "Chrome" {
		t.Errorf("device %+v", d)
	}
	again := signIn(ann)
	again.DeviceToken = first.DeviceToken
	second := w.signIn(acme, again)
	if second.NewDevice || second.Device.ID != first.Device.ID || second.DeviceToken != first.DeviceToken {
		t.Errorf("the same browser is another device: %+v", second)
	}
	again.User = bob // the same browser, another person
	third := w.signIn(acme, again)
	if !third.NewDevice || third.Device.ID == first.Device.ID || third.DeviceToken != first.DeviceToken {
		t.Errorf("another person's device: %+v", third)
	}
	// A token that we never gave is not adopted: whoever planted it knows it.
	planted := signIn(ann)
	planted.DeviceToken = strings.Repeat("A", 43)
	if made := w.signIn(acme, planted); made.DeviceToken == planted.DeviceToken || !made.NewDevice {
		t.Error("a planted device token was adopted")
	}
	if n := w.journal.count(audit.DeviceNew); n != 3 {
		t.Errorf("%d device.new events, want 3", n)
	}
}

func TestBlockedDevice(t *testing.T) {
	w := newWorld(t)
	ann := w.user(acme, "ann")
	made := w.signIn(acme, signIn(ann))
	block := func(d *sessions.Device) error { d.Blocked, d.ID, d.Kind = true, "dev_other", "toaster"; return nil }
	for range 2 { // the second is a retry
		got, err := w.UpdateDevice(t.Context(), audit.SystemCause(), acme, made.Device.ID, block)
		if err != nil || !got.Blocked || got.ID != made.Device.ID || got.Kind != "desktop" {
			t.Fatalf("%+v, %v", got, err)
		}
	}
	if _, err := w.Find(t.Context(), acme, made.Token); !fault.Is(err, fault.Unauthenticated) {
		t.Errorf("session on the blocked device: %v, want Unauthenticated", err)
	}
	again := signIn(ann)
	again.DeviceToken = made.DeviceToken
	if _, err := w.Create(t.Context(), audit.SystemCause(), acme, again); fault.As(err).Code != "device-blocked" || !fault.Is(err, fault.Denied) {
		t.Errorf("sign-in on the blocked device: %v, want Denied", err)
	}
	if _, err := w.UpdateDevice(t.Context(), audit.SystemCause(), acme, made.Device.ID, func(d *sessions.Device) error { d.Blocked = false; d.Name = "Ann's"; return nil }); err != nil {
		t.Fatal(err)
	}
	if got := w.signIn(acme, again); got.Device.Name != "Ann's" || got.Device.ID != made.Device.ID {
		t.Errorf("after unblocking: %+v", got.Device)
	}
	for _, name := range []string{"", " x", "a\nb", strings.Repeat("x", 101), "\xff"} {
		_, err := w.UpdateDevice(t.Context(), audit.SystemCause(), acme, made.Device.ID, func(d *sessions.Device) error { d.Name = name; return nil })
		if !fault.Is(err, fault.Invalid) {
			t.Errorf("name %q: %v, want Invalid", name, err)
		}
	}
	if _, err := w.Device(t.Context(), globex, made.Device.ID); !fault.Is(err, fault.NotFound) {
		t.Errorf("P3: another tenant's device: %v, want NotFound", err)
	}
}

// Whoever names a device while somebody blocks it leaves it blocked.
func TestP2_NamingADeviceDoesNotUnblockIt(t *testing.T) {
	w := newWorld(t)
	ann := w.user(acme, "ann")
	made := w.signIn(acme, signIn(ann))
	update := func(change func(*sessions.Device)) sessions.Device {
		d, err := w.UpdateDevice(context.Background(), audit.SystemCause(), acme, made.Device.ID, func(d *sessions.Device) error { change(d); return nil })
		if err != nil {
			t.Error(err)
		}
		return d
	}
	rename := func(name string) sessions.Device { return update(func(d *sessions.Device) { d.Name = name }) }
	block := func(blocked bool) sessions.Device { return update(func(d *sessions.Device) { d.Blocked = blocked }) }
	blocked := func(name string) {
		t.Helper()
		d, err := w.Device(t.Context(), acme, made.Device.ID)
		if err != nil || !d.Blocked || d.Name != name {
			t.Errorf("the device is %+v, %v", d, err)
		}
		if _, err := w.Find(t.Context(), acme, made.Token); !fault.Is(err, fault.Unauthenticated) {
			t.Errorf("its session: %v, want Unauthenticated", err)
		}
		again := signIn(ann)
		again.DeviceToken = made.DeviceToken
		if _, err := w.Create(t.Context(), audit.SystemCause(), acme, again); fault.As(err).Code != "device-blocked" {
			t.Errorf("a sign-in: %v, want device-blocked", err)
		}
	}

	// The block falls between what the naming has read and its write.
	w.journal.after = func(e audit.Event) {
		if e.Reason == "renamed" {
			block(true)
		}
	}
	if d := rename("Ann's"); !d.Blocked || d.Name != "Ann's" {
		t.Errorf("the answer: %+v", d)
	}
	blocked("Ann's")

	// And the other way round: the name falls into the block.
	w.journal.after = nil
	block(false)
	w.journal.after = func(e audit.Event) {
		if e.Reason == "blocked" {
			rename("Ann's own")
		}
	}
	block(true)
	blocked("Ann's own")

	w.journal.after = nil
	for i := range 10 {
		block(false)
		name := fmt.Sprint("Ann's ", i)
		var group sync.WaitGroup
		group.Go(func() { rename(name) })
		group.Go(func() { block(true) })
		group.Wait()
		blocked(name)
	}
}

func TestReplacedSessionEnds(t *testing.T) {
	w := newWorld(t)
	ann, bob := w.user(acme, "ann"), w.user(acme, "bob")
	old := w.signIn(acme, signIn(ann))
	n := signIn(bob)
	n.Replaces = old.Token
	made := w.signIn(acme, n)
	if made.Token == old.Token {
		t.Error("the token was kept")
	}
	if _, err := w.Find(t.Context(), acme, old.Token); !fault.Is(err, fault.Unauthenticated) {
		t.Errorf("the replaced session: %v, want Unauthenticated", err)
	}
	if got, err := w.Get(t.Context(), acme, old.Session.ID); err != nil || got.EndReason != sessions.ReasonReplaced {
		t.Errorf("%+v, %v", got, err)
	}
	n.Replaces = made.Token
	if _, err := w.Create(t.Context(), audit.SystemCause(), globex, n); err == nil {
		t.Error("bob does not exist at globex")
	}
	w.find(acme, made.Token) // P3: acme's session is not globex's to replace
}

func TestInactivePeopleDoNotSignIn(t *testing.T) {
	w := newWorld(t)
	ann := w.user(acme, "ann")
	w.activate(acme, ann, false)
	for _, user := range []identity.UserID{ann, "usr_nobody"} {
		if _, err := w.Create(t.Context(), audit.SystemCause(), acme, signIn(user)); !fault.Is(err, fault.Denied) {
			t.Errorf("%s: %v, want Denied", user, err)
		}
	}
}

// TestP2_ClosedConnectionsMakeNoSession: a sign-in that was under way when its
// connection was disabled, deleted or changed finishes after the revocation.
func TestP2_ClosedConnectionsMakeNoSession(t *testing.T) {
	w := newWorld(t)
	ann := w.user(acme, "ann")
	for change, code := range map[string]string{
		`UPDATE connections SET enabled = FALSE`: "connection-disabled",
		`DELETE FROM connections`:                "connection-disabled",
		`UPDATE connections SET version = 2`:     "connection-changed",
	} {
		w.journal.after = func(e audit.Event) {
			if e.Type == audit.DeviceNew { // Create is past what it looks at first
				w.journal.after = nil
				w.exec(acme, change)
				w.revoke(acme, sessions.Selector{Connection: "con_oidc"})
			}
		}
		if _, err := w.Create(t.Context(), audit.SystemCause(), acme, signIn(ann)); !fault.Is(err, fault.Denied) || fault.As(err).Code != code {
			t.Errorf("%s: %v, want %s", change, err, code)
		}
		if live, _, err := w.List(t.Context(), acme, sessions.Filter{State: sessions.StateLive}); err != nil || len(live) != 0 {
			t.Errorf("%s: %d live sessions, %v", change, len(live), err)
		}
		w.exec(acme, `INSERT INTO connections (id, name, type, spec, enabled, version, created_at, updated_at)
			VALUES ('con_oidc', 'oidc', 'oidc', '{}', TRUE, 1, 0, 0) ON CONFLICT (id) DO UPDATE SET enabled = TRUE, version = 1`)
	}
}

// TestP9_DeactivationWinsEveryRace: people are deactivated, as the directory
// does it, while they sign in; whoever won, nobody is in afterwards, not even
// after a restart and a re-activation.
func TestP9_DeactivationWinsEveryRace(t *testing.T) {
	w := newWorld(t)
	ann := w.user(acme, "ann")
	var tokens []string
	for trial := range 60 {
		w.activate(acme, ann, true)
		done := make(chan struct{}, 4)
		var race sync.WaitGroup
		got := make([]sessions.Created, 4)
		for i := range got {
			race.Go(func() {
				got[i], _ = w.Create(context.Background(), audit.SystemCause(), acme, signIn(ann))
				done <- struct{}{}
			})
		}
		for range trial % 4 { // so many have finished by then
			<-done
		}
		w.activate(acme, ann, false)
		if _, err := w.EndUser(t.Context(), audit.SystemCause(), acme, ann, "deactivated"); err != nil {
			t.Fatal(err)
		}
		race.Wait()
		for _, made := range got {
			if made.Token != "" {
				tokens = append(tokens, made.Token)
			}
		}
	}
	gone := func(when string) {
		t.Helper()
		for _, token := range tokens {
			if _, err := w.Find(t.Context(), acme, token); !fault.Is(err, fault.Unauthenticated) {
				t.Errorf("%s: %v, want Unauthenticated", when, err)
			}
		}
		live, _, err := w.List(t.Context(), acme, sessions.Filter{State: sessions.StateLive})
		if err != nil || len(live) != 0 {
			t.Errorf("%s: %d live sessions, %v", when, len(live), err)
		}
	}
	gone("at once")
	w.activate(acme, ann, true)
	w.reopen()
	gone("re-activated, restarted")
	t.Logf("%d of 240 sign-ins came first", len(tokens))
}

// A program's session is found by its own token alone, has a device of its own and
// is made only while the one lives in which it was allowed.
func TestAProgramsSession(t *testing.T) {
	w := newWorld(t)
	user := w.user(acme, "ann")
	browser := w.signIn(acme, signIn(user))
	n := signIn(user)
	n.UserAgent, n.Program = "gatehouse/1.0 (darwin; arm64)", &sessions.Program{Name: "Gatehouse CLI", Host: "mac\u202e" + strings.Repeat("x", 200), AllowedBy: browser.Session.ID}
	made := w.signIn(acme, n)
	if made.Device.Kind != "cli" || made.Device.OS != "macOS" || made.Device.ID == browser.Device.ID || !strings.HasPrefix(made.Device.Name, "Gatehouse CLI on macxxx") {
		t.Errorf("device %+v", made.Device)
	}
	find := func() error {
		live, err := w.FindProgram(t.Context(), acme, made.Token)
		if err == nil && (!live.Session().Program || !live.Principal().Program || live.Session().ID != made.Session.ID) {
			t.Errorf("found %+v", live.Session())
		}
		return err
	}
	if err := find(); err != nil {
		t.Fatal(err)
	}
	w.reopen()
	if err := find(); err != nil {
		t.Errorf("from SQL: %v", err)
	}
	if n := testing.AllocsPerRun(100, func() { _, _ = w.FindProgram(context.Background(), acme, made.Token) }); n != 0 {
		t.Errorf("%v allocations to find it", n)
	}
	secret := strings.TrimPrefix(made.Token, "gh_cli_")
	for _, other := range []string{browser.Token, "gh_cli_" + browser.Token, secret, "gh_" + secret, made.Token + "A", made.DeviceToken, "gh_cli_" + secret[:42] + "\n", ""} {
		if _, err := w.FindProgram(t.Context(), acme, other); !fault.Is(err, fault.Unauthenticated) {
			t.Errorf("%q as a program's token: %v", other, err)
		}
	}
	for _, other := range []string{made.Token, secret} {
		if _, err := w.Find(t.Context(), acme, other); !fault.Is(err, fault.Unauthenticated) {
			t.Errorf("%q as a cookie: %v", other, err)
		}
	}
	w.revoke(acme, sessions.Selector{Session: browser.Session.ID})
	if err := find(); err != nil {
		t.Errorf("after the browser's end: %v", err)
	}
	_, err := w.Create(t.Context(), audit.SystemCause(), acme, n)
	if f := fault.As(err); f.Code != "allowing-session-over" {
		t.Errorf("allowed by a session that is over: %v", err)
	}
	other := w.signIn(acme, signIn(w.user(acme, "bob")))
	n.Program.AllowedBy = other.Session.ID
	_, err = w.Create(t.Context(), audit.SystemCause(), acme, n)
	if f := fault.As(err); f.Code != "allowing-session-over" {
		t.Errorf("allowed by somebody else's: %v", err)
	}
	w.revoke(acme, sessions.Selector{User: user})
	if err := find(); !fault.Is(err, fault.Unauthenticated) {
		t.Errorf("after its person's end: %v", err)
	}
}

// However many have signed in by one browser, it knows each of them, and nobody else.
func TestABrowserKnowsItsPeople(t *testing.T) {
	w := newWorld(t)
	ann := w.user(acme, "ann")
	made := w.signIn(acme, signIn(ann))
	for i := range 120 {
		other := w.user(acme, "other"+strconv.Itoa(i))
		w.exec(acme, `INSERT INTO devices (id, token_hash, user_id, name, kind, os, browser, blocked, first_seen, last_seen, last_ip)
			SELECT $1, token_hash, $2, name, kind, os, browser, FALSE, first_seen, last_seen, last_ip FROM devices WHERE id = $3`, "aaa_"+strconv.Itoa(i), other, made.Device.ID)
	}
	stranger := w.user(acme, "stranger")
	for user, want := range map[identity.UserID]bool{ann: true, stranger: false, "": false} {
		if known, err := w.Knows(t.Context(), acme, made.DeviceToken, user); err != nil || known != want {
			t.Errorf("%q: %v, %v", user, known, err)
		}
	}
	if known, err := w.Knows(t.Context(), globex, made.DeviceToken, ann); err != nil || known {
		t.Errorf("at another tenant: %v, %v", known, err)
	}
	if _, err := w.UpdateDevice(t.Context(), audit.SystemCause(), acme, made.Device.ID, func(d *sessions.Device) error { d.Blocked = true; return nil }); err != nil {
		t.Fatal(err)
	}
	if known, err := w.Knows(t.Context(), acme, made.DeviceToken, ann); err != nil || known {
		t.Errorf("a blocked one: %v, %v", known, err)
	}
}
