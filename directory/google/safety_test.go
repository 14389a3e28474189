package google_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"gatehouse/audit"
	"gatehouse/directory/brake"
	"gatehouse/directory/google"
	"gatehouse/directory/google/googletest"
	"gatehouse/internal/store"
)

// What Google does not say is not taken for anybody's leaving.
func TestAnAnswerThatIsNotUnderstoodTakesNobodyOut(t *testing.T) {
	h := newHouse(t)
	h.google.PageSize = 2
	h.staff(5)
	h.google.SetGroup("201", "all@acme.example", "All", "1000", "1001", "1002")
	h.a.put(google.Settings{})
	h.a.reads(google.SyncCounts{People: 5, Created: 5, Groups: 1, GroupsChanged: 1, MembersAdded: 3})
	h.google.DeleteUser("1004") // who would leave, if it were understood
	page := 0
	for name, mangle := range map[string]func(path string, body []byte) []byte{
		"cut short":       func(_ string, body []byte) []byte { return body[:len(body)-1] },
		"not JSON":        func(string, []byte) []byte { return []byte("<html>") },
		"empty":           func(string, []byte) []byte { return nil },
		"an empty object": func(string, []byte) []byte { return []byte("{}") },
		"another kind": func(_ string, body []byte) []byte {
			return bytes.Replace(body, []byte("#users"), []byte("#chromes"), 1)
		},
		"null":               func(string, []byte) []byte { return []byte("null") },
		"a list":             func(string, []byte) []byte { return []byte("[]") },
		"people in no list":  func(string, []byte) []byte { return []byte(`{"kind":"admin#directory#users","users":{"a":1}}`) },
		"a person in pieces": func(string, []byte) []byte { return []byte(`{"kind":"admin#directory#users","users":[7]}`) },
		"a person without id": func(string, []byte) []byte {
			return []byte(`{"kind":"admin#directory#users","users":[{"primaryEmail":"x@acme.example"}]}`)
		},
		"an id that is a path": func(string, []byte) []byte {
			return []byte(`{"kind":"admin#directory#users","users":[{"id":"../groups","primaryEmail":"x@acme.example"}]}`)
		},
		"a token that is none": func(string, []byte) []byte { return []byte(`{"kind":"admin#directory#users","nextPageToken":7}`) },
		"pages in a circle": func(_ string, body []byte) []byte {
			return []byte(`{"kind":"admin#directory#users","nextPageToken":"0"}`)
		},
		"too large": func(_ string, body []byte) []byte { return append(body, bytes.Repeat([]byte(" "), 1<<20)...) },
		"deep":      func(string, []byte) []byte { return []byte(strings.Repeat(`{"a":`, 100_000)) },
		"the second page is not there": func(_ string, body []byte) []byte {
			if page++; page%2 == 0 {
				return []byte("{}")
			}
			return body
		},
		"more than was asked for": func(string, []byte) []byte {
			return []byte(`{"kind":"admin#directory#users","users":[` + strings.Repeat(`{"id":"1","primaryEmail":"x@acme.example"},`, 201) + `{"id":"1","primaryEmail":"x@acme.example"}]}`)
		},
	} {
		t.Run(name, func(t *testing.T) {
			h.google.Mangle(func(path string, body []byte) []byte {
				if strings.HasSuffix(path, "/users") {
					return mangle(path, body)
				}
				return body
			})
			h.a.t = t
			h.a.fails("google-answer-unknown")
		})
	}
	h.a.t = t
	h.google.Mangle(func(path string, body []byte) []byte {
		if strings.HasSuffix(path, "/users") {
			return []byte(`{"kind":"admin#directory#users"}`)
		}
		return body
	})
	h.a.fails("google-nobody")
	h.google.Mangle(func(path string, body []byte) []byte {
		return bytes.ReplaceAll(body, []byte("C0acme"), []byte("C0other"))
	})
	h.a.fails("google-other-account")
	h.google.Mangle(nil)
	h.a.reads(google.SyncCounts{People: 4, Deactivated: 1, Groups: 1})

	// That all groups are gone is not believed either, nor members whose list breaks off.
	h.google.Mangle(func(path string, body []byte) []byte {
		if strings.HasSuffix(path, "/members") {
			return body[:len(body)-2]
		}
		return body
	})
	h.a.fails("google-answer-unknown")
	h.google.Mangle(nil)
	h.google.DeleteGroup("201")
	if o := h.a.read(); o.Result != google.Done || o.Message == "" {
		t.Errorf("%+v", o)
	}
	h.a.hasGroups("All: P 000 P 001 P 002")
}

// A person whose attributes are of no known form is skipped, and has not left.
func TestOnePersonThatIsNotUnderstood(t *testing.T) {
	h := newHouse(t)
	h.staff(3)
	h.a.put(google.Settings{})
	h.a.reads(google.SyncCounts{People: 3, Created: 3})
	h.google.SetUser("1001", "p001@acme.example", object{"phones": "none"})
	h.google.SetUser("1003", "not an address\u0000", nil)
	o := h.a.read()
	if o.Result != google.Done || o.Counts.Skipped != 2 || o.Counts.People != 4 {
		t.Fatalf("%+v", o)
	}
	h.a.has("p000@acme.example", "p001@acme.example", "p002@acme.example")
	if s := h.a.status().Skipped; len(s) != 2 || s[0].Reason == "" {
		t.Errorf("%+v", s)
	}
}

// A list that moves while it is read passes over somebody: Google is asked once more.
func TestWhoIsPassedOverHasNotLeft(t *testing.T) {
	h := newHouse(t)
	h.google.PageSize = 2
	h.staff(6)
	h.a.put(google.Settings{})
	h.a.reads(google.SyncCounts{People: 6, Created: 6})
	pages := 0
	h.google.Before(func(path string) {
		if strings.HasSuffix(path, "/users") {
			if pages++; pages == 2 {
				h.google.DeleteUser("1000") // so that 1002 slips to the first page
			}
		}
	})
	h.a.reads(google.SyncCounts{People: 6}) // 1000 was still there when it was read
	h.google.Before(nil)
	h.a.has("p000@acme.example", "p001@acme.example", "p002@acme.example", "p003@acme.example", "p004@acme.example", "p005@acme.example")
	h.a.reads(google.SyncCounts{People: 5, Deactivated: 1})
}

// What passes is tried again after a pause, for as long as Google wants, a few times.
func TestGoogleIsLeftAlone(t *testing.T) {
	h := newHouse(t)
	h.staff(2)
	h.a.put(google.Settings{})
	h.google.Fail(googletest.Failure{Status: 403, Reason: "userRateLimitExceeded"}, googletest.Failure{Status: 403, Reason: "quotaExceeded"},
		googletest.Failure{Status: 429, Reason: "rateLimitExceeded", RetryAfter: "40"}, googletest.Failure{Status: 503, Reason: "backendError", RetryAfter: "86400"})
	h.a.reads(google.SyncCounts{People: 2, Created: 2})
	p := h.paused()
	if len(p) != 4 || p[0] < time.Second/2 || p[0] > 2*time.Second || p[1] < time.Second || p[2] != 40*time.Second || p[3] != time.Minute {
		t.Errorf("pauses of %v", p)
	}
	for reason, want := range map[string]string{"quotaExceeded": "google-quota", "backendError": "google-unreachable", "forbidden": "google-forbidden", "accessNotConfigured": "google-api-off"} {
		status := map[string]int{"backendError": 500}[reason]
		if status == 0 {
			status = 403
		}
		h.google.Fail(repeat(googletest.Failure{Status: status, Reason: reason}, 20)...)
		h.a.fails(want)
		if p := len(h.paused()); (want == "google-forbidden" || want == "google-api-off") && p != 0 || p > 5 {
			t.Errorf("%s: %d pauses", reason, p)
		}
	}
	h.google.Fail()
	h.a.reads(google.SyncCounts{People: 2})
}

func repeat(f googletest.Failure, n int) (all []googletest.Failure) {
	for range n {
		all = append(all, f)
	}
	return all
}

// Access that was taken away is said so, in words that help; an access token that ends
// early is only replaced.
func TestAccessThatIsTakenAway(t *testing.T) {
	h := newHouse(t)
	h.google.PageSize = 1
	h.staff(3)
	h.a.put(google.Settings{})
	pages := 0
	h.google.Before(func(path string) {
		if pages++; pages == 2 {
			h.google.Revoke()
		}
	})
	h.a.reads(google.SyncCounts{People: 3, Created: 3})
	h.google.Before(nil)
	h.google.Delegate(false)
	if o := h.a.fails("google-not-delegated"); !strings.Contains(o.Message, "1234567890") || !strings.Contains(o.Message, "admin.directory.group.member.readonly") {
		t.Error(o.Message)
	}
	if n := len(h.a.google.Failing()); n != 0 {
		t.Error("told of at once")
	}
	first := h.a.status().Last.Failing
	h.google.Delegate(true)
	h.google.DeleteKey()
	if o := h.a.fails("google-key-refused"); !o.Failing.Equal(*first) {
		t.Errorf("failing since %v, then %v", first, o.Failing)
	}
	if why := h.a.google.Failing()[h.tenant]; !strings.Contains(why, "key") {
		t.Errorf("%q", why)
	}
	failed := h.a.events(audit.SyncFailed)
	if len(failed) != 2 || failed[1].Reason != "google-key-refused" || failed[1].Outcome != audit.Failed {
		t.Errorf("%+v", failed)
	}
}

// The brake counts who is taken out by a reading, which then waits until somebody decides.
func TestTheBrakeHoldsAReading(t *testing.T) {
	h := newHouse(t)
	h.rules = brake.Rules{Share: 20, Window: time.Hour, Least: 3}
	h.staff(10)
	h.a.put(google.Settings{})
	h.a.reads(google.SyncCounts{People: 10, Created: 10})
	for i := range 8 {
		h.google.DeleteUser(fmt.Sprintf("1%03d", i))
	}
	h.google.SetUser("1009", "p009@acme.example", object{"suspended": true})
	h.google.SetUser("1008", "renamed@acme.example", nil)
	o := h.a.read()
	if o.Result != google.Held || o.Counts.Held != 6 || o.Counts.Deactivated != 3 || o.Counts.Changed != 1 || !strings.Contains(o.Message, "releases or rejects") {
		t.Fatalf("%+v", o)
	}
	if held := h.a.events(audit.BrakeHeld); len(held) != 1 || held[0].Actor.Name != "Google Workspace" {
		t.Errorf("%+v", held)
	}
	if active := len(h.a.people()); active != 10 {
		t.Error(active)
	}
	before := len(h.a.events(audit.AccessAllowed))
	if o = h.a.read(); o.Result != google.Held || o.Counts.Held != 6 || o.Counts.Deactivated != 0 {
		t.Fatalf("%+v", o)
	}
	if asked := len(h.a.events(audit.AccessAllowed)) - before; asked > 3 {
		t.Errorf("%d requests of a reading that is held", asked)
	}
	_, err := h.a.brake.Release(t.Context(), admin, h.tenant, 0, h.now().Add(48*time.Hour))
	must(t, err)
	h.a.reads(google.SyncCounts{People: 2, Deactivated: 6})
	_, err = h.a.brake.Reject(t.Context(), admin, h.tenant, 0, time.Time{})
	must(t, err)
	h.google.SetUser("1008", "renamed@acme.example", object{"suspended": true})
	if o = h.a.read(); o.Result != google.Held || o.Counts.Held != 1 {
		t.Fatalf("%+v", o)
	}
}

// P1: nothing is set without its record, and no reading counts as ended without it. P6:
// the key is in nothing that is told.
func TestP1_P6_SettingsAndTheirKey(t *testing.T) {
	h := newHouse(t)
	h.staff(1)
	set := google.Settings{Admin: h.google.Admin}
	for _, deaf := range []audit.Type{audit.SyncChanged, audit.SyncDeleted} {
		h.a.hears(deaf)
		_, err := h.a.google.Put(t.Context(), admin, h.tenant, set, h.google.Key(), 0)
		if (err == nil) != (deaf == audit.SyncDeleted) {
			t.Fatal(err)
		}
		if err := h.a.google.Remove(t.Context(), admin, h.tenant, 0); err == nil {
			t.Fatal("removed without a record")
		}
	}
	h.a.hears("")
	s := h.a.status()
	h.a.reads(google.SyncCounts{People: 1, Created: 1})
	text, err := json.Marshal([]any{h.a.status(), h.a.events(audit.SyncChanged, audit.SyncFinished)})
	must(t, err)
	if strings.Contains(string(text), "PRIVATE") || s.Email != "reader@acme.iam.gserviceaccount.com" || s.KeyID != "k1" || s.Version == 0 {
		t.Errorf("%s", text)
	}
	if _, err := h.a.google.Put(t.Context(), admin, h.tenant, set, nil, s.Version+1); err == nil {
		t.Error("a version that is none was changed")
	}
	if _, err := h.a.google.Put(t.Context(), admin, h.tenant, set, nil, s.Version); err != nil {
		t.Error("the key that is there is not kept: ", err)
	}
	must(t, h.a.google.Remove(t.Context(), admin, h.tenant, 0))
	h.a.has("p000@acme.example")
	if _, err := h.a.google.Status(t.Context(), h.tenant); err == nil {
		t.Error("it is still there")
	}
	// Set up anew, those who bear Google's id are known again.
	h.a.put(google.Settings{})
	h.a.reads(google.SyncCounts{People: 1, Changed: 1})
}

func TestSettingsAndKeysThatAreRefused(t *testing.T) {
	h := newHouse(t)
	good := h.google.Key()
	with := func(name string, v any) []byte {
		var file object
		must(t, json.Unmarshal(good, &file))
		file[name] = v
		text, err := json.Marshal(file)
		must(t, err)
		return text
	}
	for name, file := range map[string][]byte{
		"no JSON": []byte("-----BEGIN"), "large": append(bytes.Repeat([]byte(" "), 20<<10), good...), "no service account": with("type", "authorized_user"),
		"another endpoint": with("token_uri", "https://evil.example/token"), "no key": with("private_key", ""), "no private key": with("private_key", "-----BEGIN PUBLIC KEY-----\nAA==\n-----END PUBLIC KEY-----\n"),
		"no address": with("client_email", "x"), "a short key": with("private_key", shortKey), "nothing": nil,
	} {
		if _, err := h.a.google.Put(t.Context(), admin, h.tenant, google.Settings{Admin: h.google.Admin}, file, 0); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	for name, set := range map[string]google.Settings{
		"no admin": {}, "an id that is a path": {Admin: "a@acme.example", Customer: "../x"}, "a unit": {Admin: "a@acme.example", OrgUnits: []string{"Sales"}},
		"a group": {Admin: "a@acme.example", Groups: []string{"sales"}}, "too often": {Admin: "a@acme.example", Minutes: 1}, "too rarely": {Admin: "a@acme.example", Minutes: 1441}, "gone": {Admin: "a@acme.example", Gone: "shoot"},
	} {
		if _, err := h.a.google.Put(t.Context(), admin, h.tenant, set, good, 0); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

// Whom the brake has held leave as soon as somebody has decided that they may, and not
// when the account is due again.
func TestAReleaseHasTheReadingGoOn(t *testing.T) {
	h := newHouse(t)
	h.rules = brake.Rules{Share: 20, Window: time.Hour, Least: 3}
	h.staff(10)
	h.a.put(google.Settings{})
	h.a.reads(google.SyncCounts{People: 10, Created: 10})
	decide := func(decide func(*brake.Service) error) {
		t.Helper()
		must(t, decide(h.b.brake))
	}
	release := func(b *brake.Service) error {
		_, err := b.Release(t.Context(), admin, h.tenant, 0, time.Time{})
		return err
	}
	turn := func(n *node) *google.SyncOutcome {
		t.Helper()
		o, err := n.google.Turn(t.Context(), h.tenant)
		must(t, err)
		return o
	}
	decide(release)
	if o := turn(h.a); o != nil {
		t.Errorf("an account that nobody was held of is read: %+v", o)
	}
	decide(func(b *brake.Service) error {
		_, err := b.Reset(t.Context(), admin, h.tenant, 0)
		return err
	})
	h.pass(time.Second)
	for i := range 8 {
		h.google.DeleteUser(fmt.Sprintf("1%03d", i))
	}
	if o := h.a.read(); o.Result != google.Held || turn(h.a) != nil || turn(h.b) != nil {
		t.Fatalf("%+v", o)
	}
	decide(func(b *brake.Service) error {
		_, err := b.Reject(t.Context(), admin, h.tenant, 0, time.Time{})
		return err
	})
	if o := turn(h.b); o == nil || !strings.Contains(o.Message, "has decided") {
		t.Fatalf("after a rejection it still stands as before it: %+v", o)
	}
	decide(release)
	h.a.beforeSCIM(func(context.Context, string) { // somebody decides again while it is read
		h.a.beforeSCIM(nil)
		h.pass(time.Second)
		decide(release)
	})
	if o := turn(h.a); o == nil || o.Counts.Deactivated != 5 {
		t.Fatalf("it does not go on: %+v", o)
	}
	if o := turn(h.b); o == nil || turn(h.a) != nil || turn(h.b) != nil {
		t.Errorf("what was decided while it was read: %+v", o)
	}
	h.a.put(google.Settings{Paused: true})
	decide(release)
	if o := turn(h.a); o != nil {
		t.Errorf("read though it is paused: %+v", o)
	}
}

// Who empties a group at Google, or deletes it, takes the role from everybody in it.
func TestTheBrakeHoldsGroupsOfAReading(t *testing.T) {
	h := newHouse(t)
	h.rules = brake.Rules{Share: 20, Window: time.Hour, Least: 3}
	h.staff(10)
	var all []string
	for i := range 10 {
		all = append(all, fmt.Sprintf("1%03d", i))
	}
	h.google.SetGroup("201", "app@acme.example", "App", all...)
	h.google.SetGroup("202", "rest@acme.example", "Rest", "1000")
	h.a.put(google.Settings{Gone: google.Delete})
	if o := h.a.read(); o.Result != google.Done {
		t.Fatalf("%+v", o)
	}
	must(t, h.a.db.Tenant(h.tenant).Write(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(t.Context(), `INSERT INTO assignments (id, name, role, team_id, subject_kind, subject_id, version, created_at)
			SELECT 'asg_1', 'app', 'member', NULL, 'group', id, 1, 0 FROM groups WHERE display_name = 'App'`)
		return err
	}))
	before := h.a.groups()
	for _, change := range []func(){
		func() { h.google.SetGroup("201", "app@acme.example", "App", "1000") },
		func() { h.google.DeleteGroup("201") },
	} {
		change()
		if o := h.a.read(); o.Result != google.Held || o.Code != "mass-change-held" || o.Counts.MembersRemoved+o.Counts.GroupsChanged != 0 {
			t.Errorf("%+v", o)
		}
		h.a.hasGroups(before...)
	}
	_, err := h.b.brake.Release(t.Context(), admin, h.tenant, 0, time.Time{})
	must(t, err)
	if o, err := h.b.google.Turn(t.Context(), h.tenant); err != nil || o == nil || o.Result != google.Done {
		t.Fatalf("%+v %v", o, err)
	}
	h.a.hasGroups("Rest: P 000")
}
