package directory_test

import (
	"strings"
	"testing"

	"gatehouse/audit"
	"gatehouse/directory"
	"gatehouse/identity"
	"gatehouse/internal/fault"
)

func okta(subject, email string) directory.SignIn {
	return directory.SignIn{Connection: "con_okta", Subject: subject, Email: email, EmailVerified: true, Name: "Somebody", CreateMissing: true}
}

func (b *bench) signIn(t *testing.T, in directory.SignIn) directory.User {
	t.Helper()
	u, _, err := b.SignIn(t.Context(), cause, b.tenant, in)
	must(t, err)
	return u
}

func TestSignInMakesAPersonOnce(t *testing.T) {
	b := newBench(t)
	u, created, err := b.SignIn(t.Context(), cause, b.tenant, okta("s1", "Ada@Acme.Example"))
	must(t, err)
	if !created || u.Email != "ada@acme.example" || u.Source != directory.SourceSignIn || !u.Active {
		t.Fatalf("%+v, created %v", u, created)
	}
	if e := b.lastEvent(); e.Type != audit.UserCreated || e.Connection != "con_okta" {
		t.Fatalf("event %+v", e)
	}
	b.took()
	again, created, err := b.SignIn(t.Context(), cause, b.tenant, okta("s1", "ada@acme.example"))
	must(t, err)
	if created || again.ID != u.ID || again.Version != u.Version {
		t.Fatalf("%+v, created %v", again, created)
	}
	wantSteps(t, b)
}

func TestSignInGoesByConnectionAndSubjectNeverByEmail(t *testing.T) {
	b := newBench(t)
	ada := b.signIn(t, okta("s1", "ada@acme.example"))
	for name, in := range map[string]directory.SignIn{
		"other subject":    okta("s2", "ada@acme.example"),
		"other connection": {Connection: "con_other", Subject: "s1", Email: "ada@acme.example", EmailVerified: true, LinkByEmail: true, CreateMissing: true},
	} {
		_, _, err := b.SignIn(t.Context(), cause, b.tenant, in)
		if f := fault.As(err); f.Code != "account-exists" {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got := b.signIn(t, okta("s1", "changed@acme.example")); got.ID != ada.ID || got.Email != "changed@acme.example" || got.UserName != "changed@acme.example" {
		t.Errorf("the same identity under a new address: %+v", got)
	}
}

func TestSignInLinksOnlyWhatTheRuleAllows(t *testing.T) {
	b := newBench(t)
	provisioned := b.create(t, directory.User{UserName: "Ada@acme.example", DisplayName: "Ada", Active: true, Source: directory.SourceSCIM})
	link := okta("s1", "ada@acme.example")
	_, _, err := b.SignIn(t.Context(), cause, b.tenant, link)
	wantFault(t, err, fault.Denied, "account-exists")
	unverified := okta("s0", "ada@acme.example")
	unverified.LinkByEmail, unverified.EmailVerified = true, false
	if got := b.signIn(t, unverified); got.ID == provisioned.ID {
		t.Fatal("an unverified address was linked")
	}
	link.LinkByEmail = true
	if got := b.signIn(t, link); got.ID != provisioned.ID || got.DisplayName != "Ada" {
		t.Fatalf("linked %+v", got)
	}
	second := okta("s2", "ada@acme.example")
	second.LinkByEmail = true
	_, _, err = b.SignIn(t.Context(), cause, b.tenant, second)
	wantFault(t, err, fault.Denied, "account-exists") // one identity of a connection per person
}

func TestSignInRefusals(t *testing.T) {
	b := newBench(t)
	in := okta("s1", "ada@acme.example")
	in.CreateMissing = false
	_, _, err := b.SignIn(t.Context(), cause, b.tenant, in)
	wantFault(t, err, fault.Denied, "person-unknown")
	_, _, err = b.SignIn(t.Context(), cause, b.tenant, okta("", "ada@acme.example"))
	wantFault(t, err, fault.Denied, "identity-invalid")
	_, _, err = b.SignIn(t.Context(), cause, b.tenant, okta("bad\x00subject", "not an address"))
	wantFault(t, err, fault.Denied, "identity-invalid")

	u := b.signIn(t, okta("s1", "ada@acme.example"))
	_, err = b.UpdateUser(t.Context(), cause, b.tenant, u.ID, 0, func(u *directory.User) error { u.Active = false; return nil })
	must(t, err)
	_, _, err = b.SignIn(t.Context(), cause, b.tenant, okta("s1", "ada@acme.example"))
	wantFault(t, err, fault.Denied, "person-inactive")

	idle := b.create(t, directory.User{UserName: "idle@acme.example", Source: directory.SourceSCIM})
	in = okta("s9", "idle@acme.example")
	in.LinkByEmail = true
	_, _, err = b.SignIn(t.Context(), cause, b.tenant, in)
	wantFault(t, err, fault.Denied, "person-inactive")
	if _, err := b.User(t.Context(), b.tenant, idle.ID); err != nil {
		t.Fatal(err)
	}
}

func TestSignInUpdatesWhatItMay(t *testing.T) {
	b := newBench(t)
	b.create(t, directory.User{UserName: "taken@acme.example", Active: true})
	b.create(t, directory.User{UserName: "bob", Email: "bob@acme.example", OtherEmails: []string{"robert@acme.example"}, Active: true})
	u := b.signIn(t, okta("s1", "ada@acme.example"))

	unverified := okta("s1", "boss@acme.example")
	unverified.EmailVerified = false
	if got := b.signIn(t, unverified); got.Email != "ada@acme.example" {
		t.Errorf("an unverified address replaced one: %+v", got)
	}
	for _, email := range []string{"taken@acme.example", "bob@acme.example", "robert@acme.example", "a@b@c"} {
		if got := b.signIn(t, okta("s1", email)); got.ID != u.ID || got.UserName != "ada@acme.example" || got.Email != "ada@acme.example" {
			t.Errorf("%s became the address of %+v", email, got)
		}
	}
	_, _, err := b.SignIn(t.Context(), cause, b.tenant, okta("s2", "robert@acme.example"))
	wantFault(t, err, fault.Denied, "account-exists")
}

func TestSignInWithoutAnAddress(t *testing.T) {
	b := newBench(t)
	u := b.signIn(t, okta("G-1234", ""))
	if u.UserName != "G-1234" || u.Email != "" {
		t.Fatalf("%+v", u)
	}
}

func TestAnUnverifiedAddressNamesNobody(t *testing.T) {
	b := newBench(t)
	in := okta("G-1234", "boss@acme.example")
	in.EmailVerified = false
	u := b.signIn(t, in)
	if u.UserName != "G-1234" || u.Email != "" {
		t.Fatalf("an unverified address was believed: %+v", u)
	}
	if again := b.signIn(t, in); again.Email != "" || again.Version != u.Version {
		t.Fatalf("an unverified address was believed later: %+v", again)
	}
	b.create(t, directory.User{UserName: "boss@acme.example", Active: true}) // the address is still free
	if got := b.signIn(t, okta("G-1234", "new@acme.example")); got.UserName != "G-1234" || got.Email != "new@acme.example" {
		t.Fatalf("a verified address was not: %+v", got)
	}
}

// Whoever runs one connection must not fill the groups of another.
func TestSignInGroupsBelongToTheirConnection(t *testing.T) {
	b := newBench(t)
	ada := okta("s1", "ada@acme.example")
	ada.Groups = []string{"ops"}
	b.signIn(t, ada)
	mal := directory.SignIn{Connection: "con_other", Subject: "s1", CreateMissing: true, Groups: []string{"Ops", "dev"}}
	u := b.signIn(t, mal)
	if names := groupNames(u.Groups); names != "dev" {
		t.Fatalf("groups %q", names)
	}
	if e := b.lastEvent(); e.Target.ID != string(u.ID) || !strings.HasSuffix(e.Message, "come from elsewhere: ops.") {
		t.Errorf("event %+v", e)
	}
	must(t, b.Link(t.Context(), cause, b.tenant, u.ID, directory.Namer{}, "con_okta", "s2"))
	in := okta("s2", "mal@acme.example")
	in.Groups = []string{"ops"} // the other connection's "dev" is not this one's to end
	if u = b.signIn(t, in); groupNames(u.Groups) != "dev,ops" {
		t.Fatalf("groups %+v", u.Groups)
	}
	mal.Groups = []string{}
	if u = b.signIn(t, mal); groupNames(u.Groups) != "ops" {
		t.Errorf("groups %+v", u.Groups)
	}
}

func TestSignInSyncsItsOwnGroupsAlone(t *testing.T) {
	b := newBench(t)
	admins, err := b.CreateGroup(t.Context(), cause, b.tenant, directory.Group{DisplayName: "Admins", Source: directory.SourceSCIM})
	must(t, err)
	in := okta("s1", "ada@acme.example")
	in.Groups = []string{"ops", "OPS", "admins", "bad\x00name", "dev"}
	u := b.signIn(t, in)
	if names := groupNames(u.Groups); names != "dev,ops" {
		t.Fatalf("groups %q", names)
	}
	must(t, b.AddMembers(t.Context(), cause, b.tenant, admins.ID, []identity.UserID{u.ID}))

	in.Groups = []string{"dev", "new"}
	u = b.signIn(t, in)
	if names := groupNames(u.Groups); names != "Admins,dev,new" {
		t.Fatalf("groups %q", names)
	}
	if e := b.lastEvent(); e.Details["changed"] != "groups" || !strings.HasSuffix(e.Message, "out of ops.") {
		t.Errorf("event %+v", e)
	}
	in.Groups = nil // the provider says nothing of groups
	if u = b.signIn(t, in); groupNames(u.Groups) != "Admins,dev,new" {
		t.Errorf("groups %+v", u.Groups)
	}
	in.Groups = []string{} // the provider says: none
	if u = b.signIn(t, in); groupNames(u.Groups) != "Admins" {
		t.Errorf("groups %+v", u.Groups)
	}
}

// What a connection's rules say of groups counts beside what the provider says,
// and where that says nothing, for their own groups alone.
func TestSignInGoesByRules(t *testing.T) {
	b := newBench(t)
	in := okta("s1", "ada@acme.example")
	for _, step := range []struct {
		groups []string
		rules  map[string]bool
		want   string
	}{
		{[]string{"ops"}, map[string]bool{"finance": true, "sales": false}, "finance,ops"},
		{[]string{"ops", "Sales"}, map[string]bool{"finance": false, "sales": false}, "ops,Sales"},
		{nil, map[string]bool{"finance": true, "sales": false}, "finance,ops"},
		{nil, nil, "ops"}, // the rule is gone
		{nil, map[string]bool{"finance": true}, "finance,ops"},
		{nil, map[string]bool{"FINANCE": false}, "ops"},
		{[]string{}, map[string]bool{"sales": true}, "Sales"},
	} {
		in.Groups, in.Rules = step.groups, step.rules
		if got := groupNames(b.signIn(t, in).Groups); got != step.want {
			t.Errorf("%q by %v: %s, want %s", step.groups, step.rules, got, step.want)
		}
	}
}

// An externalId takes over whom SCIM provisioned under the provider's own name for
// them, if that is one person who has no identity of the connection.
func TestSignInLinksByExternalID(t *testing.T) {
	b := newBench(t)
	in := okta("00u1", "")
	in.LinkByExternalID, in.CreateMissing = true, false
	b.create(t, directory.User{UserName: "admin-made", ExternalID: "00u1", Active: true, Source: directory.SourceAdmin})
	_, _, err := b.SignIn(t.Context(), cause, b.tenant, in)
	wantFault(t, err, fault.Denied, "person-unknown")
	ada := b.create(t, directory.User{UserName: "ada", ExternalID: "00u1", Active: true, Source: directory.SourceSCIM})
	without := okta("00u1", "")
	without.CreateMissing = false
	_, _, err = b.SignIn(t.Context(), cause, b.tenant, without)
	wantFault(t, err, fault.Denied, "person-unknown")
	if got := b.signIn(t, in); got.ID != ada.ID {
		t.Fatalf("linked %+v", got)
	}
	twice := okta("00u2", "")
	twice.LinkByExternalID, twice.CreateMissing = true, false
	for _, name := range []string{"bob", "rob"} {
		b.create(t, directory.User{UserName: name, ExternalID: "00u2", Active: true, Source: directory.SourceSCIM})
	}
	_, _, err = b.SignIn(t.Context(), cause, b.tenant, twice)
	wantFault(t, err, fault.Denied, "person-unknown")
}

func groupNames(groups []identity.Group) string {
	names := ""
	for _, g := range groups {
		if names != "" {
			names += ","
		}
		names += g.Name
	}
	return names
}

// What nobody could come in with is known without looking who is here, and refused in
// the same words.
func TestWhatIsUsableIsKnownBeforehand(t *testing.T) {
	b := newBench(t)
	for _, try := range []struct{ subject, email, code string }{
		{"s1", "ada@acme.example", ""}, {"s1", "", ""}, {"", "ada@acme.example", "identity-invalid"},
		{"a@b@c", "", "identity-invalid"}, {"a@b@c", "ada@acme.example", ""}, {"a\x00", "", "identity-invalid"},
	} {
		in := okta(try.subject, try.email)
		foreseen := in.Usable()
		if _, _, err := b.Foresee(t.Context(), b.tenant, in); fault.As(foreseen).Code != fault.As(err).Code || (err == nil) != (foreseen == nil) {
			t.Errorf("%+v: foreseen %v, and it is %v", try, foreseen, err)
		}
		if (foreseen == nil) != (try.code == "") || try.code != "" && fault.As(foreseen).Code != try.code {
			t.Errorf("%+v: %v", try, foreseen)
		}
	}
}

func TestLink(t *testing.T) {
	b := newBench(t)
	ada := b.create(t, directory.User{UserName: "ada", Active: true, Source: directory.SourceAdmin})
	bob := b.create(t, directory.User{UserName: "bob", Active: true, Source: directory.SourceAdmin})
	must(t, b.Link(t.Context(), cause, b.tenant, ada.ID, directory.Namer{}, "con_okta", "s1"))
	must(t, b.Link(t.Context(), cause, b.tenant, ada.ID, directory.Namer{}, "con_okta", "s1"))
	wantFault(t, b.Link(t.Context(), cause, b.tenant, bob.ID, directory.Namer{}, "con_okta", "s1"), fault.Conflict, "uniqueness")
	in := okta("s1", "x@acme.example")
	in.CreateMissing = false
	if u := b.signIn(t, in); u.ID != ada.ID {
		t.Fatalf("signed in as %+v", u)
	}
}

func TestSubjectsByEmail(t *testing.T) {
	b := newBench(t)
	ada := b.create(t, directory.User{UserName: "ada", Email: "Ada@Acme.Example", OtherEmails: []string{"a.l@acme.example"}, Active: true, Source: directory.SourceSCIM})
	b.create(t, directory.User{UserName: "bob", Email: "bob@acme.example", Active: true, Source: directory.SourceSCIM})
	for subject, connection := range map[string]identity.ConnectionID{"s1": "con_okta", "s2": "con_okta", "s3": "con_other"} {
		must(t, b.Link(t.Context(), cause, b.tenant, ada.ID, directory.Namer{}, connection, subject))
	}
	for _, c := range []struct {
		connection  identity.ConnectionID
		email, want string
	}{
		{"con_okta", "ADA@acme.example", "s1 s2"}, {"con_okta", " a.l@Acme.example ", "s1 s2"}, {"con_other", "ada@acme.example", "s3"},
		{"con_none", "ada@acme.example", ""}, {"con_okta", "bob@acme.example", ""}, {"con_okta", "ada@acme.example@evil.example", ""},
		{"con_okta", "%@acme.example", ""}, {"con_okta", "", ""},
	} {
		got, err := b.SubjectsByEmail(t.Context(), b.tenant, c.connection, c.email)
		if err != nil || strings.Join(got, " ") != c.want {
			t.Errorf("%s at %s: %v, %v", c.email, c.connection, got, err)
		}
	}
}
