package directory_test

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"gatehouse/audit"
	"gatehouse/authz"
	"gatehouse/directory"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/internal/store"
)

// identities are a person's, as "connection subject".
func (b *bench) identities(t *testing.T, user identity.UserID) (all []string) {
	t.Helper()
	held, err := b.Identities(t.Context(), b.tenant, user)
	must(t, err)
	for _, i := range held {
		all = append(all, string(i.Connection)+" "+i.Subject)
	}
	slices.Sort(all)
	return all
}

func (b *bench) wantIdentities(t *testing.T, user identity.UserID, want ...string) {
	t.Helper()
	if got := b.identities(t, user); !slices.Equal(got, want) {
		t.Fatalf("they have %q, want %q", got, want)
	}
}

// quiet is a journal that keeps nothing.
type quiet struct{}

func (quiet) Commit(context.Context, audit.Event) (audit.Receipt, error) {
	return audit.Receipt{}, nil
}

// node is the directory as another node has it.
func (b *bench) node() *directory.Service {
	return directory.New(directory.Config{Store: b.db, Journal: quiet{}, Sessions: b, Withdraw: authz.Withdraw})
}

// meanwhile has something happen on another node after the next record, before what it
// tells of.
func (b *bench) meanwhile(do func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.onCommit = func(audit.Event) { b.onCommit = nil; do() }
}

// Somebody whose tenant moves to another provider is linked by hand, and unlinked from
// the old one: each is a record of its own, which comes first and names the subject.
func TestLinkingAndUnlinking(t *testing.T) {
	b := newBench(t)
	ada, bob := b.signIn(t, okta("s1", "ada@acme.example")), b.signIn(t, okta("s2", "bob@acme.example"))
	entra := directory.SignIn{Connection: "con_entra", Subject: "e1|ä", Email: "ada@acme.example", EmailVerified: true, CreateMissing: true}
	_, _, err := b.SignIn(t.Context(), cause, b.tenant, entra)
	wantFault(t, err, fault.Denied, "account-exists")

	b.took()
	must(t, b.Link(t.Context(), cause, b.tenant, ada.ID, directory.Namer{}, entra.Connection, entra.Subject))
	wantSteps(t, b, "journal identity.linked")
	if e := b.lastEvent(); e.Target.ID != string(ada.ID) || e.Connection != entra.Connection || e.Details["subject"] != entra.Subject || e.Actor != cause.Actor {
		t.Errorf("recorded %+v", e)
	}
	must(t, b.Link(t.Context(), cause, b.tenant, ada.ID, directory.Namer{}, entra.Connection, entra.Subject)) // has nothing to do
	wantSteps(t, b)
	held, err := b.Identities(t.Context(), b.tenant, ada.ID)
	must(t, err)
	if len(held) != 2 || held[0].Subject != "s1" || held[0].SeenAt.IsZero() || held[1].Subject != entra.Subject || !held[1].SeenAt.IsZero() || held[1].LinkedAt.IsZero() {
		t.Errorf("they have %+v", held)
	}
	if u := b.signIn(t, entra); u.ID != ada.ID {
		t.Errorf("signed in as %+v", u)
	}
	if held, err = b.Identities(t.Context(), b.tenant, ada.ID); err != nil || held[1].SeenAt.IsZero() {
		t.Errorf("it was not seen: %+v, %v", held, err)
	}
	must(t, b.StillLinked(t.Context(), b.tenant, "con_okta", "s1", ada.ID))
	wantFault(t, b.StillLinked(t.Context(), b.tenant, "con_okta", "s1", bob.ID), fault.Denied, "identity-unlinked")

	// It is never moved, nor taken from somebody else.
	wantFault(t, b.Link(t.Context(), cause, b.tenant, bob.ID, directory.Namer{}, entra.Connection, entra.Subject), fault.Conflict, "uniqueness")
	_, err = b.Unlink(t.Context(), cause, b.tenant, bob.ID, entra.Connection, entra.Subject)
	wantFault(t, err, fault.NotFound, "identity-unknown")
	for _, subject := range []string{"", "a\x00b", "\xff", strings.Repeat("x", 1025)} {
		wantFault(t, b.Link(t.Context(), cause, b.tenant, bob.ID, directory.Namer{}, "con_entra", subject), fault.Invalid, "identity-invalid")
		_, err = b.Unlink(t.Context(), cause, b.tenant, bob.ID, "con_entra", subject)
		wantFault(t, err, fault.Invalid, "identity-invalid")
	}
	wantFault(t, b.Link(t.Context(), cause, b.tenant, "usr_nobody", directory.Namer{}, "con_entra", "e2"), fault.NotFound, "user-unknown")
	b.wantIdentities(t, bob.ID, "con_okta s2")

	b.took()
	for range 2 { // who was interrupted goes on
		unlinked, err := b.Unlink(t.Context(), cause, b.tenant, ada.ID, "con_okta", "s1")
		if err != nil || !unlinked {
			t.Fatalf("unlinked %v, %v", unlinked, err)
		}
	}
	if unlinked, err := b.Unlink(t.Context(), cause, b.tenant, ada.ID, "con_okta", "s7"); err != nil || unlinked {
		t.Fatalf("what nobody ever had: %v, %v", unlinked, err)
	}
	wantSteps(t, b, "journal identity.unlinked")
	if e := b.lastEvent(); e.Target.ID != string(ada.ID) || e.Connection != "con_okta" || e.Details["subject"] != "s1" {
		t.Errorf("recorded %+v", e)
	}
	b.wantIdentities(t, ada.ID, "con_entra e1|ä")
	wantFault(t, b.StillLinked(t.Context(), b.tenant, "con_okta", "s1", ada.ID), fault.Denied, "identity-unlinked")
	_, _, err = b.SignIn(t.Context(), cause, b.tenant, okta("s1", "ada@acme.example"))
	wantFault(t, err, fault.Denied, "account-exists")
	if unlinked, err := b.Unlink(t.Context(), cause, b.tenant, ada.ID, entra.Connection, entra.Subject); err != nil || !unlinked {
		t.Fatalf("the last: %v, %v", unlinked, err)
	}
	b.wantIdentities(t, ada.ID)
	must(t, b.Link(t.Context(), cause, b.tenant, bob.ID, directory.Namer{}, entra.Connection, entra.Subject)) // nobody's now
}

// Who is linked by a rule is recorded in the same words, with the rule.
func TestALinkByARuleNamesTheSubject(t *testing.T) {
	b := newBench(t)
	b.create(t, directory.User{UserName: "ada@acme.example", Active: true, Source: directory.SourceSCIM})
	b.create(t, directory.User{UserName: "bob", ExternalID: "s2", Active: true, Source: directory.SourceSCIM})
	byEmail, byID := okta("s1", "ada@acme.example"), okta("s2", "")
	byEmail.LinkByEmail, byID.LinkByExternalID = true, true
	for rule, in := range map[string]directory.SignIn{"email": byEmail, "external_id": byID} {
		u := b.signIn(t, in)
		if e := b.lastEvent(); e.Type != audit.IdentityLinked || e.Details["subject"] != in.Subject || e.Details["rule"] != rule || e.Connection != "con_okta" || e.Target.ID != string(u.ID) {
			t.Errorf("recorded %+v", e)
		}
	}
}

// With their last identity of a connection somebody leaves what it has put them into.
func TestUnlinkingLeavesTheGroupsOfTheConnection(t *testing.T) {
	b := newBench(t)
	in := okta("s1", "ada@acme.example")
	in.Groups, in.Rules = []string{"ops"}, map[string]bool{"finance": true}
	ada := b.signIn(t, in)
	admins, err := b.CreateGroup(t.Context(), cause, b.tenant, directory.Group{DisplayName: "Admins", Source: directory.SourceAdmin, Members: []directory.Member{{User: ada.ID}}})
	must(t, err)
	must(t, b.Link(t.Context(), cause, b.tenant, ada.ID, directory.Namer{}, "con_okta", "s2"))
	must(t, b.Link(t.Context(), cause, b.tenant, ada.ID, directory.Namer{}, "con_other", "o1"))
	b.signIn(t, directory.SignIn{Connection: "con_other", Subject: "o1", Groups: []string{"dev"}})
	for _, step := range []struct {
		connection identity.ConnectionID
		subject    string
		left       string
	}{{"con_okta", "s1", "Admins,dev,finance,ops"}, {"con_okta", "s2", "Admins,dev"}, {"con_other", "o1", "Admins"}} {
		_, err := b.Unlink(t.Context(), cause, b.tenant, ada.ID, step.connection, step.subject)
		must(t, err)
		u, err := b.User(t.Context(), b.tenant, ada.ID)
		must(t, err)
		if got := groupNames(u.Groups); got != step.left {
			t.Errorf("without %s %s: %s, want %s", step.connection, step.subject, got, step.left)
		}
		if p, err := b.Person(t.Context(), b.tenant, ada.ID); err != nil || len(p.Groups) != len(u.Groups) {
			t.Errorf("known with %+v, %v", p.Groups, err)
		}
	}
	if e := b.lastEvent(); e.Type != audit.UserChanged || e.Details["changed"] != "groups" || !strings.HasSuffix(e.Message, "out of dev.") {
		t.Errorf("recorded %+v", e)
	}
	if g, err := b.Group(t.Context(), b.tenant, admins.ID, true); err != nil || len(g.Members) != 1 {
		t.Errorf("%+v, %v", g, err)
	}
}

// TestP2_WhatIsUnlinkedIsKnownToBeOver: for whoever ends its sessions, also if the other
// nodes could not be told. Another node may have let the person in meanwhile, or been
// faster, or given the identity to somebody else.
func TestP2_WhatIsUnlinkedIsKnownToBeOver(t *testing.T) {
	b := newBench(t)
	in := okta("s1", "ada@acme.example")
	ada, bob := b.signIn(t, in), b.create(t, directory.User{UserName: "bob", Active: true})
	left := func() (n int) {
		must(t, b.db.Tenant(b.tenant).Read(t.Context(), func(tx *store.Tx) (err error) {
			n, err = store.One(t.Context(), tx, store.Scalar[int], `SELECT count(*) FROM unlinked_identities WHERE connection_id = 'con_okta' AND user_id = $1`, ada.ID)
			return err
		}))
		return n
	}
	in.Groups = []string{"ops"}
	b.meanwhile(func() {
		_, _, err := b.node().SignIn(t.Context(), cause, b.tenant, in)
		must(t, err)
	})
	unlinked, err := b.Unlink(t.Context(), cause, b.tenant, ada.ID, "con_okta", "s1")
	if err != nil || !unlinked || left() != 1 {
		t.Fatalf("unlinked %v, %v; known are %d", unlinked, err, left())
	}
	if u, err := b.User(t.Context(), b.tenant, ada.ID); err != nil || len(u.Groups) > 0 {
		t.Errorf("they are in %s, %v", groupNames(u.Groups), err)
	}

	must(t, b.Link(t.Context(), cause, b.tenant, ada.ID, directory.Namer{}, "con_okta", "s2"))
	b.meanwhile(func() {
		_, err := b.node().Unlink(t.Context(), cause, b.tenant, ada.ID, "con_okta", "s2")
		must(t, err)
		must(t, b.node().Link(t.Context(), cause, b.tenant, bob.ID, directory.Namer{}, "con_okta", "s2"))
	})
	unlinked, err = b.Unlink(t.Context(), cause, b.tenant, ada.ID, "con_okta", "s2")
	if wantFault(t, err, fault.NotFound, "identity-unknown"); unlinked {
		t.Error("what is somebody else's by now was unlinked")
	}
	b.wantIdentities(t, bob.ID, "con_okta s2")

	must(t, b.Link(t.Context(), cause, b.tenant, ada.ID, directory.Namer{}, "con_okta", "s3"))
	deaf := errors.New("nobody hears it")
	b.Service = directory.New(directory.Config{Store: b.db, Journal: b, Sessions: b, Withdraw: authz.Withdraw,
		Announce: func(context.Context, identity.TenantID, bool, []identity.UserID) error { return deaf }})
	if unlinked, err = b.Unlink(t.Context(), cause, b.tenant, ada.ID, "con_okta", "s3"); !errors.Is(err, deaf) || !unlinked {
		t.Errorf("untold: %v, %v", unlinked, err)
	}
}

// A subject is a name that a provider gives: whoever another one calls so is somebody
// else, and whatever the first one has named stays with it.
func TestASubjectIsItsProviders(t *testing.T) {
	b := newBench(t)
	old, anew := directory.Namer{Issuer: "oidc https://old.example", Naming: "a"}, directory.Namer{Issuer: "oidc https://new.example", Naming: "b"}
	by := func(n directory.Namer, subject, email string) directory.SignIn {
		in := okta(subject, email)
		in.By = n
		return in
	}
	ada := b.signIn(t, by(old, "1", "ada@acme.example"))
	for _, n := range []directory.Namer{
		{Issuer: old.Issuer, Naming: "c"},                                    // other words for the same provider
		{Issuer: "oidc https://renamed.example", Naming: "c"}, {Naming: "c"}, // as the words allow
		{Issuer: old.Issuer, Naming: "c"}, old,
	} {
		if u := b.signIn(t, by(n, "1", "")); u.ID != ada.ID {
			t.Errorf("%+v: another person", n)
		}
	}

	_, _, err := b.SignIn(t.Context(), cause, b.tenant, by(anew, "1", "ada@acme.example"))
	wantFault(t, err, fault.Denied, "account-exists") // may be her, for all that is known
	strict := by(anew, "1", "eve@evil.example")
	strict.CreateMissing = false
	_, _, err = b.SignIn(t.Context(), cause, b.tenant, strict)
	wantFault(t, err, fault.Denied, "person-unknown")
	if u := b.signIn(t, by(old, "1", "")); u.ID != ada.ID {
		t.Error("pointed back, the provider is not believed any more")
	}

	// By hand she is linked anew, and nobody else is to what is hers.
	bob := b.create(t, directory.User{UserName: "bob", Active: true})
	wantFault(t, b.Link(t.Context(), cause, b.tenant, bob.ID, anew, "con_okta", "1"), fault.Conflict, "uniqueness")
	b.took()
	must(t, b.Link(t.Context(), cause, b.tenant, ada.ID, directory.Namer{Naming: anew.Naming}, "con_okta", "1"))
	must(t, b.Link(t.Context(), cause, b.tenant, ada.ID, directory.Namer{Naming: anew.Naming}, "con_okta", "1"))
	wantSteps(t, b, "journal identity.linked")
	if u := b.signIn(t, by(anew, "1", "")); u.ID != ada.ID {
		t.Error("linked by hand, another person comes")
	}
	// What was linked by hand, and never used, is the same provider's alone.
	must(t, b.Link(t.Context(), cause, b.tenant, bob.ID, directory.Namer{Naming: old.Naming}, "con_okta", "2"))
	if u := b.signIn(t, by(directory.Namer{Naming: "d"}, "2", "")); u.ID == bob.ID {
		t.Error("another provider's becomes whom an admin has linked")
	}

	// Whoever comes first by another provider has the name from then on, and that is told.
	b.took()
	eve := b.signIn(t, by(directory.Namer{Issuer: "oidc https://third.example", Naming: "e"}, "1", "eve@evil.example"))
	if eve.ID == ada.ID {
		t.Fatal("somebody else is ada")
	}
	wantSteps(t, b, "journal user.created", "journal identity.unlinked")
	if e := b.lastEvent(); e.Target.ID != string(ada.ID) || e.Reason != "another-provider" || e.Details["subject"] != "1" {
		t.Errorf("recorded %+v", e)
	}
	b.wantIdentities(t, ada.ID)

	// The rule that links by the address finds who is known by another provider alone.
	cat := b.create(t, directory.User{UserName: "cat@acme.example", Active: true, Source: directory.SourceSCIM})
	first := by(old, "cat", "cat@acme.example")
	first.LinkByEmail = true
	b.signIn(t, first)
	second := by(anew, "other", "cat@acme.example")
	second.LinkByEmail = true
	if u := b.signIn(t, second); u.ID != cat.ID {
		t.Error("another person")
	}
}

// What somebody loses with their last identity of a connection is lost whichever way it
// goes: on two nodes at once, or to whom another provider calls so.
func TestTheLastIdentityTakesTheGroupsAlong(t *testing.T) {
	b := newBench(t)
	old := directory.Namer{Issuer: "oidc https://old.example", Naming: "a"}
	in := okta("s1", "ada@acme.example")
	in.By, in.Groups = old, []string{"admins"}
	ada := b.signIn(t, in)
	must(t, b.Link(t.Context(), cause, b.tenant, ada.ID, old, "con_okta", "s2"))
	b.meanwhile(func() {
		_, err := b.node().Unlink(t.Context(), cause, b.tenant, ada.ID, "con_okta", "s2")
		must(t, err)
	})
	_, err := b.Unlink(t.Context(), cause, b.tenant, ada.ID, "con_okta", "s1")
	must(t, err)
	if p, err := b.Person(t.Context(), b.tenant, ada.ID); err != nil || len(p.Groups) > 0 {
		t.Errorf("unlinked on two nodes: %v, %v", p.Groups, err)
	}

	in.Subject, in.Email = "1", "bob@acme.example"
	bob := b.signIn(t, in)
	eve := okta("1", "eve@evil.example")
	eve.By = directory.Namer{Issuer: "oidc https://new.example", Naming: "b"}
	b.signIn(t, eve)
	if p, err := b.Person(t.Context(), b.tenant, bob.ID); err != nil || len(p.Groups) > 0 {
		t.Errorf("after another provider's: %v, %v", p.Groups, err)
	}
	if unlinked, err := b.Unlink(t.Context(), cause, b.tenant, bob.ID, "con_okta", "1"); unlinked || !fault.Is(err, fault.NotFound) {
		t.Errorf("what is eve's: %v, %v", unlinked, err)
	}
}

// A connection knows people by identities, and by the groups that it has filled.
func TestWhetherAConnectionKnowsAnybody(t *testing.T) {
	b := newBench(t)
	knows := func(want bool) {
		t.Helper()
		if got, err := b.Knows(t.Context(), b.tenant, "con_okta"); err != nil || got != want {
			t.Errorf("knows somebody: %t, %v", got, err)
		}
	}
	other := okta("s1", "ada@acme.example")
	other.Connection = "con_other"
	b.signIn(t, other)
	knows(false)
	in := okta("s1", "bob@acme.example")
	bob := b.signIn(t, in)
	knows(true)
	in.Groups = []string{"ops"}
	b.signIn(t, in)
	_, err := b.Unlink(t.Context(), cause, b.tenant, bob.ID, "con_okta", "s1")
	must(t, err)
	knows(true) // roles may hang on the group
}

// A sign-in by the old provider that is under way does not undo a link to the new one.
func TestASignInLeavesTheLinkToAnotherProvider(t *testing.T) {
	b := newBench(t)
	in := okta("1", "ada@acme.example")
	in.By = directory.Namer{Issuer: "oidc https://old.example", Naming: "a"}
	ada := b.signIn(t, in)
	b.meanwhile(func() {
		must(t, b.node().Link(t.Context(), cause, b.tenant, ada.ID, directory.Namer{Naming: "b"}, "con_okta", "1"))
	})
	in.Name = "Ada Another Name" // which is recorded
	_, _, err := b.SignIn(t.Context(), cause, b.tenant, in)
	wantFault(t, err, fault.Denied, "identity-unlinked")
	in.By = directory.Namer{Issuer: "oidc https://new.example", Naming: "b"}
	if u := b.signIn(t, in); u.ID != ada.ID {
		t.Error("the link is undone")
	}
}

func TestAPersonsIdentitiesAreBounded(t *testing.T) {
	b := newBench(t)
	ada := b.create(t, directory.User{UserName: "ada", Active: true})
	for i := range 100 {
		must(t, b.Link(t.Context(), cause, b.tenant, ada.ID, directory.Namer{}, "con_okta", strconv.Itoa(i)))
	}
	wantFault(t, b.Link(t.Context(), cause, b.tenant, ada.ID, directory.Namer{}, "con_okta", "one more"), fault.Conflict, "too-many-identities")
	must(t, b.Link(t.Context(), cause, b.tenant, ada.ID, directory.Namer{}, "con_okta", "0"))
}

func TestP1_NoIdentityIsLinkedWithoutItsRecord(t *testing.T) {
	b := newBench(t)
	ada := b.signIn(t, okta("s1", "ada@acme.example"))
	b.journal = errors.New("the disk is full")
	if err := b.Link(t.Context(), cause, b.tenant, ada.ID, directory.Namer{}, "con_entra", "e1"); !errors.Is(err, b.journal) {
		t.Errorf("linked: %v", err)
	}
	if unlinked, err := b.Unlink(t.Context(), cause, b.tenant, ada.ID, "con_okta", "s1"); unlinked || !errors.Is(err, b.journal) {
		t.Errorf("unlinked %v: %v", unlinked, err)
	}
	b.wantIdentities(t, ada.ID, "con_okta s1")
}

func TestP3_IdentitiesAreTheirTenants(t *testing.T) {
	b := newBench(t)
	ada := b.signIn(t, okta("s1", "ada@acme.example"))
	_, err := b.Identities(t.Context(), b.other, ada.ID)
	wantFault(t, err, fault.NotFound, "user-unknown")
	wantFault(t, b.Link(t.Context(), cause, b.other, ada.ID, directory.Namer{}, "con_okta", "s9"), fault.NotFound, "user-unknown")
	_, err = b.Unlink(t.Context(), cause, b.other, ada.ID, "con_okta", "s1")
	wantFault(t, err, fault.NotFound, "user-unknown")
	mal, err := b.CreateUser(t.Context(), cause, b.other, directory.User{UserName: "mal", Active: true})
	must(t, err)
	must(t, b.Link(t.Context(), cause, b.other, mal.ID, directory.Namer{}, "con_okta", "s1")) // another one by the same names
	if u := b.signIn(t, okta("s1", "ada@acme.example")); u.ID != ada.ID {
		t.Errorf("signed in as %+v", u)
	}
	_, err = b.Unlink(t.Context(), cause, b.other, mal.ID, "con_okta", "s1")
	must(t, err)
	b.wantIdentities(t, ada.ID, "con_okta s1")
}

// A link and the first sign-in of the same identity at the same time make one person of
// it: whichever comes first, also on different nodes.
func TestALinkAndASignInMakeOnePerson(t *testing.T) {
	b := newBench(t)
	ada := b.create(t, directory.User{UserName: "ada", Active: true})
	people := func() int {
		t.Helper()
		page, err := b.Users(t.Context(), b.tenant, directory.UserQuery{Count: 1})
		must(t, err)
		return page.Total
	}
	for i, by := range []*directory.Service{b.Service, b.node(), b.Service, b.node()} {
		in := okta("at once "+strconv.Itoa(i), "")
		before := people()
		var u directory.User
		var signedIn, linked error
		var wg sync.WaitGroup
		wg.Go(func() { u, _, signedIn = b.SignIn(t.Context(), cause, b.tenant, in) })
		wg.Go(func() {
			linked = by.Link(t.Context(), cause, b.tenant, ada.ID, directory.Namer{}, in.Connection, in.Subject)
		})
		wg.Wait()
		made := people() - before
		switch {
		case linked == nil && signedIn == nil: // the link came first
			if u.ID != ada.ID || made != 0 {
				t.Errorf("%d people were made, and %s signed in", made, u.ID)
			}
		case linked == nil: // it came in between
			wantFault(t, signedIn, fault.Conflict, "uniqueness")
			if made != 0 {
				t.Errorf("%d people were made, and nobody signed in", made)
			}
		default:
			wantFault(t, linked, fault.Conflict, "uniqueness")
			if signedIn != nil || u.ID == ada.ID || made != 1 {
				t.Errorf("%d people were made, %s, %v", made, u.ID, signedIn)
			}
		}
	}

	// In either order, each between the other's record and its effect.
	before := people()
	b.meanwhile(func() {
		must(t, b.node().Link(t.Context(), cause, b.tenant, ada.ID, directory.Namer{}, "con_okta", "linked"))
	})
	_, _, err := b.SignIn(t.Context(), cause, b.tenant, okta("linked", ""))
	wantFault(t, err, fault.Conflict, "uniqueness")
	if made := people() - before; made != 0 || b.lastEvent().Outcome != audit.Failed {
		t.Errorf("%d people were made; recorded %+v", made, b.lastEvent())
	}
	var u directory.User
	b.meanwhile(func() { u, _, err = b.node().SignIn(t.Context(), cause, b.tenant, okta("made", "")) })
	wantFault(t, b.Link(t.Context(), cause, b.tenant, ada.ID, directory.Namer{}, "con_okta", "made"), fault.Conflict, "uniqueness")
	must(t, err)
	b.wantIdentities(t, u.ID, "con_okta made")
}

// An identity that another node unlinks during a sign-in by it is not linked again by
// that, and nothing of the sign-in stays.
func TestASignInDoesNotLinkAgainWhatIsUnlinked(t *testing.T) {
	b := newBench(t)
	ada := b.signIn(t, okta("s1", "ada@acme.example"))
	in := okta("s1", "ada@acme.example")
	in.Name, in.Groups = "Another", []string{"ops"}
	b.meanwhile(func() {
		_, err := b.node().Unlink(t.Context(), cause, b.tenant, ada.ID, "con_okta", "s1")
		must(t, err)
	})
	_, _, err := b.SignIn(t.Context(), cause, b.tenant, in)
	wantFault(t, err, fault.Denied, "identity-unlinked")
	b.wantIdentities(t, ada.ID)
	if u, err := b.User(t.Context(), b.tenant, ada.ID); err != nil || u.DisplayName != "Somebody" || len(u.Groups) != 0 {
		t.Errorf("%+v, %v", u, err)
	}
	if e := b.lastEvent(); e.Outcome != audit.Failed {
		t.Errorf("recorded %+v", e)
	}
}
