package directory_test

import (
	"context"
	"testing"

	"gatehouse/directory"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/internal/store"
)

// One name is one person's and one group's, however it is composed and as wide as it is
// written; it is kept as it came, and found in any of its forms.
func TestANameIsOneInAllOfItsForms(t *testing.T) {
	b := newBench(t)
	jose := b.create(t, directory.User{UserName: "Jose\u0301", DisplayName: "Jose\u0301 P", ExternalID: "e\u0301"})
	ada := b.create(t, directory.User{UserName: "ada@acme.example", ExternalID: "\u00e9"})
	staff, err := b.CreateGroup(t.Context(), cause, b.tenant, directory.Group{DisplayName: "A\u0308rzte"})
	must(t, err)
	b.took()
	for _, name := range []string{"jos\u00e9", "JOSE\u0301", "\uff2aos\u00e9", "\uff21da@acme.example", "ada\uff20acme.example"} {
		_, err := b.CreateUser(t.Context(), cause, b.tenant, directory.User{UserName: name})
		wantFault(t, err, fault.Conflict, "uniqueness")
	}
	_, err = b.CreateGroup(t.Context(), cause, b.tenant, directory.Group{DisplayName: "\u00e4rzte"})
	wantFault(t, err, fault.Conflict, "uniqueness")
	_, err = b.UpdateUser(t.Context(), cause, b.tenant, ada.ID, 0, func(u *directory.User) error { u.UserName = "JOS\u00c9"; return nil })
	wantFault(t, err, fault.Conflict, "uniqueness")
	wantSteps(t, b)

	for want, all := range map[identity.UserID][]directory.Filter{
		jose.ID: {
			directory.Compare{Attr: directory.AttrUserName, Value: "JOS\u00c9"},
			directory.Compare{Attr: directory.AttrUserName, Value: "Jose\u0301"},
			directory.Compare{Attr: directory.AttrUserName, Op: directory.StartsWith, Value: "\uff2a"},
			directory.Compare{Attr: directory.AttrUserName, Op: directory.EndsWith, Value: "e\u0301"},
			directory.Compare{Attr: directory.AttrDisplayName, Op: directory.Contains, Value: "S\u00c9 p"},
			directory.Compare{Attr: directory.AttrExternalID, Value: "e\u0301"},
		},
		ada.ID: {
			directory.Compare{Attr: directory.AttrUserName, Value: "\uff21da@acme.example"},
			directory.Compare{Attr: directory.AttrExternalID, Value: "\u00e9"}, // is exact
		},
	} {
		for _, f := range all {
			page, err := b.Users(t.Context(), b.tenant, directory.UserQuery{Filter: f, Count: 9})
			must(t, err)
			if len(page.Items) != 1 || page.Items[0].ID != want {
				t.Errorf("%+v finds %+v", f, page.Items)
			}
		}
	}
	if u, err := b.User(t.Context(), b.tenant, jose.ID); err != nil || u.UserName != "Jose\u0301" || u.DisplayName != "Jose\u0301 P" {
		t.Errorf("%+v, %v", u, err)
	}
	groups, err := b.Groups(t.Context(), b.tenant, directory.GroupQuery{Filter: directory.Compare{Attr: directory.AttrDisplayName, Value: "\u00c4RZTE"}, Count: 9})
	if must(t, err); len(groups.Items) != 1 || groups.Items[0].ID != staff.ID || groups.Items[0].DisplayName != "A\u0308rzte" {
		t.Errorf("%+v", groups.Items)
	}
}

// What would be refused in ASCII is not let in beside it.
func TestNoMappingLetsANameIn(t *testing.T) {
	b := newBench(t)
	for _, name := range []string{"\u0130rem", "I\u0307rem", "\u212aevin", "\u017fam", "a@b\uff20c", "ada\u3000l\uff20acme.example"} {
		_, err := b.CreateUser(t.Context(), cause, b.tenant, directory.User{UserName: name})
		if !fault.Is(err, fault.Invalid) {
			t.Errorf("%+q: %v", name, err)
		}
	}
	wantSteps(t, b)
	if got, err := directory.CanonicalEmail("I\u0307rem@acme.example"); err == nil {
		t.Errorf("an address with a dotted I is %+q", got)
	}
	b.create(t, directory.User{UserName: "Jane Doe"})
	b.create(t, directory.User{UserName: "i\u0307rem"})
}

// Who has a name from before it would have been refused, or before it was another
// person's as well, is changed like anybody: above all, they are deactivated.
func TestWhoKeepsTheirNameKeepsItsKey(t *testing.T) {
	b := newBench(t)
	b.create(t, directory.User{UserName: "jos\u00e9"})
	_, err := b.CreateGroup(t.Context(), cause, b.tenant, directory.Group{DisplayName: "\u00e4rzte"})
	must(t, err)
	must(t, b.db.Tenant(b.tenant).Write(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(t.Context(), `INSERT INTO users (id, user_name, user_key, external_id, email, display_name, display_key, active, source, attributes, version, created_at, updated_at)
			VALUES ('usr_twin', $1, $1, '', '', '', '', TRUE, 'scim', '{}', 1, 0, 0), ('usr_dot', $2, $3, '', '', '', '', TRUE, 'scim', '{}', 1, 0, 0)`, "jose\u0301", "I\u0307rem", "i\u0307rem")
		if err == nil {
			_, err = tx.Exec(t.Context(), `INSERT INTO groups (id, display_name, name_key, external_id, source, connection_id, version, created_at, updated_at) VALUES ('grp_twin', $1, $1, '', 'scim', '', 1, 0, 0)`, "a\u0308rzte")
		}
		return err
	}))
	for _, id := range []identity.UserID{"usr_twin", "usr_dot"} {
		u, err := b.UpdateUser(t.Context(), cause, b.tenant, id, 0, func(u *directory.User) error { u.Active, u.DisplayName = false, "x"; return nil })
		if err != nil || u.Active || u.Version != 2 {
			t.Errorf("%s: %+v, %v", id, u, err)
		}
	}
	_, err = b.UpdateGroup(t.Context(), cause, b.tenant, "grp_twin", 0, func(g *directory.Group, _ *directory.MemberChange) error { g.ExternalID = " x "; return nil })
	must(t, err)
	if keys := b.keys(t); keys != "i\u0307rem jose\u0301 jos\u00e9 a\u0308rzte \u00e4rzte" {
		t.Errorf("the keys are %+q", keys)
	}
	_, err = b.UpdateUser(t.Context(), cause, b.tenant, "usr_twin", 0, func(u *directory.User) error { u.UserName = "JOSE\u0301"; return nil })
	wantFault(t, err, fault.Conflict, "uniqueness")
	_, err = b.UpdateUser(t.Context(), cause, b.tenant, "usr_twin", 0, func(u *directory.User) error { u.UserName = "Jose\u0301 2"; return nil })
	must(t, err)
	_, err = b.UpdateGroup(t.Context(), cause, b.tenant, "grp_twin", 0, func(g *directory.Group, _ *directory.MemberChange) error { g.DisplayName = "A\u0308rzte 2"; return nil })
	must(t, err)
	if keys := b.keys(t); keys != "i\u0307rem jos\u00e9 jos\u00e9 2 \u00e4rzte \u00e4rzte 2" {
		t.Errorf("the keys are %+q", keys)
	}
}

// keys are those of all names, in order, of the people before the groups.
func (b *bench) keys(t *testing.T) (all string) {
	t.Helper()
	must(t, b.db.Tenant(b.tenant).Read(context.Background(), func(tx *store.Tx) error {
		for _, query := range []string{`SELECT user_key FROM users ORDER BY user_key`, `SELECT name_key FROM groups ORDER BY name_key`} {
			keys, err := store.All(t.Context(), tx, store.Scalar[string], query)
			if err != nil {
				return err
			}
			for _, key := range keys {
				all += " " + key
			}
		}
		return nil
	}))
	return all[1:]
}

// A sign-in is linked to the person whose user name its address is, in whatever form the
// name came; and no address is taken for another one that is as wide.
func TestSignInLinksANameInAnyForm(t *testing.T) {
	b := newBench(t)
	jose := b.create(t, directory.User{UserName: "Jose\u0301@acme.example", Active: true, Source: directory.SourceSCIM})
	b.create(t, directory.User{UserName: "ada@acme.example", Active: true, Source: directory.SourceSCIM})
	link := okta("s1", "jos\u00e9@acme.example")
	link.LinkByEmail = true
	if got := b.signIn(t, link); got.ID != jose.ID || got.UserName != "Jose\u0301@acme.example" {
		t.Errorf("linked %+v", got)
	}
	wide := okta("s2", "\uff41da@acme.example")
	wide.LinkByEmail = true
	_, _, err := b.SignIn(t.Context(), cause, b.tenant, wide)
	wantFault(t, err, fault.Denied, "account-exists")
}
