package google_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"strings"
	"testing"
	"time"

	"gatehouse/audit"
	"gatehouse/directory"
	"gatehouse/directory/google"
	"gatehouse/internal/store"
)

var shortKey = func() string {
	k, err := rsa.GenerateKey(rand.Reader, 1024) // #nosec G403 -- it is there to be refused
	if err != nil {
		panic(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		panic(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}()

// People whom somebody else has brought stay theirs, unless a rule says otherwise.
func TestWhoWasThereBefore(t *testing.T) {
	h := newHouse(t)
	h.staff(2)
	theirs, err := h.a.directory.CreateUser(t.Context(), admin, h.tenant, directory.User{UserName: "P000@acme.example", DisplayName: "Somebody", Active: true, Source: directory.SourceSCIM})
	must(t, err)
	h.a.put(google.Settings{})
	h.a.reads(google.SyncCounts{People: 2, Created: 1, Skipped: 1})
	if s := h.a.status().Skipped; len(s) != 1 || s[0].Email != "p000@acme.example" || !strings.Contains(s[0].Reason, "take_over") {
		t.Errorf("%+v", s)
	}
	if u := h.a.person("P000@acme.example"); u.Version != theirs.Version {
		t.Error("changed")
	}
	h.a.reads(google.SyncCounts{People: 2, Skipped: 1})
	h.a.put(google.Settings{TakeOver: true})
	h.a.reads(google.SyncCounts{People: 2, Changed: 1})
	if u := h.a.person("p000@acme.example"); u.ID != theirs.ID || u.ExternalID != "1000" || u.DisplayName != "P 000" {
		t.Errorf("%+v", u)
	}
	h.a.reads(google.SyncCounts{People: 2})

	// A new account with the address of one that was deleted is somebody else.
	h.google.DeleteUser("1001")
	h.google.SetUser("1999", "p001@acme.example", nil)
	h.a.reads(google.SyncCounts{People: 2, Deactivated: 1, Skipped: 1})
	h.a.has("-p001@acme.example", "p000@acme.example")
	must(t, h.a.directory.DeleteUser(t.Context(), admin, h.tenant, h.a.person("p001@acme.example").ID, 0))
	h.a.reads(google.SyncCounts{People: 2, Created: 1})
	h.a.has("p000@acme.example", "p001@acme.example")
}

// What an admin does here stays, as long as Google says nothing new; who is deleted here
// and not at Google comes again.
func TestWhatAdminsDoHere(t *testing.T) {
	h := newHouse(t)
	h.staff(3)
	h.a.put(google.Settings{})
	h.a.reads(google.SyncCounts{People: 3, Created: 3})
	_, err := h.a.directory.UpdateUser(t.Context(), admin, h.tenant, h.a.person("p000@acme.example").ID, 0, func(u *directory.User) error { u.Active = false; return nil })
	must(t, err)
	must(t, h.a.directory.DeleteUser(t.Context(), admin, h.tenant, h.a.person("p001@acme.example").ID, 0))
	h.google.SetUser("1000", "p000@acme.example", object{"name": object{"fullName": "New name"}})
	h.a.reads(google.SyncCounts{People: 3, Created: 1, Changed: 1})
	h.a.has("-p000@acme.example", "p001@acme.example", "p002@acme.example")
}

func TestOnlyAPartIsBrought(t *testing.T) {
	h := newHouse(t)
	h.google.SetUser("101", "ada@acme.example", object{"orgUnitPath": "/Sales/EMEA"})
	h.google.SetUser("102", "bob@acme.example", object{"orgUnitPath": "/sales"})
	h.google.SetUser("103", "cid@acme.example", object{"orgUnitPath": "/Salesforce"})
	h.google.SetUser("104", "dan@acme.example", object{"orgUnitPath": "/"})
	h.google.SetGroup("203", "inner@acme.example", "Inner", "103")
	h.google.SetGroup("201", "app@acme.example", "App", "101", "203", "*")
	h.google.SetGroup("202", "other@acme.example", "Other", "104")
	h.google.SetGroup("203", "inner@acme.example", "Inner", "103", "201") // in a circle
	h.a.put(google.Settings{OrgUnits: []string{"/Sales"}})
	o := h.a.read()
	h.a.has("ada@acme.example", "bob@acme.example")
	h.a.hasGroups("App: Given 101 Inner", "Inner: App", "Other:")
	if o.Result != google.Done || o.Counts.Skipped != 1 { // everybody as a member
		t.Errorf("%+v", o)
	}
	h.a.put(google.Settings{Groups: []string{"app@acme.example"}})
	h.a.read()
	h.a.has("-bob@acme.example", "ada@acme.example", "cid@acme.example")
	h.a.hasGroups("App: Given 101 Inner", "Inner: App Given 103", "Other:")
	h.a.put(google.Settings{Groups: []string{"app@acme.example"}, Gone: google.Delete})
	h.google.SetGroup("201", "app@acme.example", "App", "203")
	if o = h.a.read(); o.Counts.Deleted != 1 {
		t.Errorf("%+v", o)
	}
	h.a.has("-bob@acme.example", "cid@acme.example")
	h.a.put(google.Settings{Groups: []string{"none@acme.example"}})
	h.a.fails("google-no-such-group")
}

// Names of groups need not be unique at Google, and a group that was here before is not
// Google's.
func TestGroupsOfTheSameName(t *testing.T) {
	h := newHouse(t)
	h.staff(1)
	_, err := h.a.directory.CreateGroup(t.Context(), admin, h.tenant, directory.Group{DisplayName: "Admins", Source: directory.SourceSCIM})
	must(t, err)
	h.google.SetGroup("201", "admins@acme.example", "Admins", "1000")
	h.google.SetGroup("202", "devs@acme.example", "Devs")
	h.google.SetGroup("203", "devs2@acme.example", "Devs", "1000")
	h.a.put(google.Settings{})
	h.a.reads(google.SyncCounts{People: 1, Created: 1, Groups: 3, GroupsChanged: 3, MembersAdded: 2})
	h.a.hasGroups("Admins (admins@acme.example): P 000", "Admins:", "Devs (devs2@acme.example): P 000", "Devs:")
	h.a.reads(google.SyncCounts{People: 1, Groups: 3})
}

// One node reads at a time; one that dies in the middle is replaced, and what it has done
// is not done twice.
func TestNodesReadOneAtATime(t *testing.T) {
	h := newHouse(t)
	h.google.PageSize = 4
	h.staff(12)
	h.a.put(google.Settings{})
	dead, die := context.WithCancel(t.Context())
	pages := 0
	h.google.Before(func(path string) {
		if strings.HasSuffix(path, "/users") {
			if pages++; pages == 3 {
				h.google.Before(nil)
				if o, err := h.b.google.Turn(t.Context(), h.tenant); o != nil || err != nil {
					t.Errorf("two read: %+v, %v", o, err)
				}
				die()
			}
		}
	})
	h.pass(time.Hour)
	if o, err := h.a.google.Turn(dead, h.tenant); o != nil {
		t.Fatalf("%+v %v", o, err)
	}
	h.a.has("p000@acme.example", "p001@acme.example", "p002@acme.example", "p003@acme.example", "p004@acme.example", "p005@acme.example", "p006@acme.example", "p007@acme.example")
	h.b.reads(google.SyncCounts{People: 12, Created: 4})
	if made := len(h.a.events(audit.UserCreated)) + len(h.b.events(audit.UserCreated)); made != 12 {
		t.Errorf("%d were made", made)
	}
}

// A node that dies without a word leaves its reading to whoever sees it stand still, and
// finds out that it is not its own any more.
func TestAReadingThatStandsStillIsTakenOver(t *testing.T) {
	h := newHouse(t)
	h.google.PageSize = 4
	h.staff(8)
	h.a.put(google.Settings{})
	h.pass(time.Hour)
	release := make(chan struct{})
	reached := make(chan struct{})
	pages := 0
	h.google.Before(func(path string) {
		if pages++; pages == 2 {
			h.google.Before(nil)
			close(reached)
			<-release
		}
	})
	slow := make(chan error, 1)
	go func() {
		o, err := h.a.google.Turn(t.Context(), h.tenant)
		if o != nil {
			err = fmt.Errorf("it has ended: %+v", o)
		}
		slow <- err
	}()
	<-reached
	if o, err := h.b.google.Turn(t.Context(), h.tenant); o != nil || err != nil {
		t.Fatalf("%+v %v", o, err)
	}
	h.b.put(google.Settings{Minutes: 60}) // takes the reading away at once
	h.b.reads(google.SyncCounts{People: 8, Created: 4})
	close(release)
	must(t, <-slow)
	h.b.reads(google.SyncCounts{People: 8})
}

// Run reads what is due by itself, and what was asked for.
func TestRunReadsWhatIsDue(t *testing.T) {
	h := newHouse(t)
	h.staff(1)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- h.a.google.Run(ctx) }()
	h.a.put(google.Settings{})
	<-h.a.ended
	for h.a.status().Last == nil { // it is kept right after its record
	}
	h.google.SetUser("1000", "p000@acme.example", object{"suspended": true})
	if _, err := h.a.google.Ask(t.Context(), h.tenant); err != nil {
		t.Fatal(err)
	}
	<-h.a.ended
	h.a.has("-p000@acme.example")
	stop()
	must(t, <-ended)
	h.a.put(google.Settings{Paused: true})
	h.pass(time.Hour)
	if o, err := h.a.google.Turn(t.Context(), h.tenant); o != nil || err != nil {
		t.Errorf("%+v %v", o, err)
	}
	if _, err := h.a.google.Ask(t.Context(), h.tenant); err == nil {
		t.Error("read though it is paused")
	}
}

// Nothing is read of a tenant that is suspended, and a reading that is under way ends:
// what it has not come to, the first one after the resumption does.
func TestASuspendedTenantIsNotRead(t *testing.T) {
	h := newHouse(t)
	h.google.PageSize = 2
	h.staff(6)
	h.a.put(google.Settings{})
	pages := 0
	h.google.Before(func(path string) {
		if strings.HasSuffix(path, "/users") {
			if pages++; pages == 2 {
				h.suspended.Store(true)
			}
		}
	})
	if o, err := h.a.google.Turn(t.Context(), h.tenant); o != nil || err != nil {
		t.Fatalf("%+v %v", o, err)
	}
	h.a.has("p000@acme.example", "p001@acme.example")
	if s := h.a.status(); s.Running || s.Last != nil || pages > 2 {
		t.Errorf("after %d pages: %+v", pages, s)
	}
	h.google.Asked()
	for range 2 {
		if o, err := h.b.google.Turn(t.Context(), h.tenant); o != nil || err != nil {
			t.Errorf("%+v %v", o, err)
		}
	}
	if asked := h.google.Asked(); len(asked) > 0 {
		t.Errorf("asked for %q", asked)
	}
	h.suspended.Store(false)
	if o, err := h.b.google.Turn(t.Context(), h.tenant); err != nil || o == nil || o.Result != google.Done {
		t.Fatalf("%+v %v", o, err)
	}
	h.b.has("p000@acme.example", "p001@acme.example", "p002@acme.example", "p003@acme.example", "p004@acme.example", "p005@acme.example")
}

// Members are written by requests alone, and somebody's suspension may fall between two.
func TestASuspensionAmongMembers(t *testing.T) {
	h := newHouse(t)
	h.staff(2)
	h.google.SetGroup("201", "all@acme.example", "All", "1000", "1001")
	h.a.put(google.Settings{})
	h.google.Before(func(path string) {
		if strings.HasSuffix(path, "/members") {
			h.suspended.Store(true)
		}
	})
	if o, err := h.a.google.Turn(t.Context(), h.tenant); o != nil || err != nil {
		t.Fatalf("%+v %v", o, err)
	}
	h.a.hasGroups("All:")
}

// A node that was killed leaves its name, which stands still: after a lease another one
// takes over.
func TestANodeThatWasKilled(t *testing.T) {
	h := newHouse(t)
	h.staff(1)
	h.a.put(google.Settings{})
	h.pass(time.Hour)
	must(t, h.a.db.Tenant(h.tenant).Write(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(t.Context(), `UPDATE google_sync SET holder = 'killed', beats = 7`)
		return err
	}))
	turns := 0
	for began := time.Now(); ; turns++ {
		o, err := h.b.google.Turn(t.Context(), h.tenant)
		must(t, err)
		if o == nil {
			continue
		}
		if time.Since(began) < lease || turns == 0 {
			t.Errorf("taken over after %v", time.Since(began))
		}
		break
	}
	h.b.has("p000@acme.example")
}

// A group of very many is changed by what is different, and memory is bounded by one page.
func TestManyPeople(t *testing.T) {
	h := newHouse(t)
	h.staff(450)
	ids := make([]string, 450)
	for i := range ids {
		ids[i] = fmt.Sprintf("1%03d", i)
	}
	h.google.SetGroup("201", "all@acme.example", "All", ids...)
	h.a.put(google.Settings{})
	h.a.reads(google.SyncCounts{People: 450, Created: 450, Groups: 1, GroupsChanged: 1, MembersAdded: 450})
	h.google.SetGroup("201", "all@acme.example", "All", ids[1:]...)
	h.a.reads(google.SyncCounts{People: 450, Groups: 1, MembersRemoved: 1})
	h.a.reads(google.SyncCounts{People: 450, Groups: 1})
}
