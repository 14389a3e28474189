package directory_test

import (
	"testing"

	"gatehouse/directory"
	"gatehouse/internal/fault"
	"gatehouse/internal/store"
)

// A person has all of their groups, however many, where something is decided; a page of
// people has them as far as there is room, or is read without.
func TestPeopleInVeryManyGroups(t *testing.T) {
	b := newBench(t)
	var people [2]directory.User
	for i, name := range []string{"ada", "bob"} {
		people[i] = b.create(t, directory.User{UserName: name, Active: true, Source: directory.SourceSCIM})
	}
	const many = 25_001
	must(t, b.db.Tenant(b.tenant).Write(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(t.Context(), `INSERT INTO groups (id, display_name, name_key, external_id, source, connection_id, version, created_at, updated_at)
			WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $1)
			SELECT 'grp_' || CAST(i AS TEXT), 'g' || CAST(i AS TEXT), 'g' || CAST(i AS TEXT), '', 'scim', '', 1, 0, 0 FROM n`, many)
		if err == nil {
			_, err = tx.Exec(t.Context(), `INSERT INTO group_members (group_id, user_id) SELECT g.id, u.id FROM groups g CROSS JOIN users u`)
		}
		return err
	}))
	person, err := b.Person(t.Context(), b.tenant, people[0].ID)
	if err != nil || len(person.Groups) != many {
		t.Errorf("a person is in %d groups, %v", len(person.Groups), err)
	}
	alone, err := b.UserAlone(t.Context(), b.tenant, people[0].ID)
	if err != nil || alone.Groups != nil || alone.UserName != "ada" {
		t.Errorf("alone %d groups, %v", len(alone.Groups), err)
	}
	if _, err := b.UserAlone(t.Context(), b.other, people[0].ID); !fault.Is(err, fault.NotFound) {
		t.Errorf("another tenant reads %v", err)
	}
	find := func(q directory.Query) ([]directory.Item, error) {
		q.Users, q.Count = &directory.Part{}, 10
		page, err := b.Find(t.Context(), b.tenant, q)
		return page.Items, err
	}
	if _, err := find(directory.Query{}); fault.As(err).Code != "groups-too-many" {
		t.Errorf("a page of both answers %v", err)
	}
	if items, err := find(directory.Query{WithoutGroups: true}); err != nil || len(items) != 2 || items[0].User.Groups != nil {
		t.Errorf("without their groups it has %d, %v", len(items), err)
	}
	page, err := b.Find(t.Context(), b.tenant, directory.Query{Users: &directory.Part{}, Count: 1})
	if err != nil || len(page.Items) != 1 || len(page.Items[0].User.Groups) != many {
		t.Errorf("a page of one has %d, %v", len(page.Items), err)
	}
}

func TestWhatIndexesServe(t *testing.T) {
	is := func(a directory.Attr, op directory.Op) directory.Filter {
		return directory.Compare{Attr: a, Op: op, Value: "x"}
	}
	name, title := is(directory.AttrUserName, directory.Equal), directory.Value{Path: []string{"title"}, Op: directory.Equal, Value: "x"}
	for i, c := range []struct {
		of     directory.Part
		sorted bool
		want   bool
	}{
		{directory.Part{}, false, true}, {directory.Part{Filter: name}, false, true}, {directory.Part{Filter: title}, false, false},
		{directory.Part{Filter: directory.All{title, name}}, false, true}, {directory.Part{Filter: directory.Any{title, name}}, false, false}, {directory.Part{Filter: directory.Any{name, name}}, false, true},
		{directory.Part{Filter: directory.All{}}, false, false}, {directory.Part{Filter: directory.Any{}}, false, true}, {directory.Part{Filter: directory.Not{Of: name}}, false, false},
		{directory.Part{Filter: is(directory.AttrUserName, directory.NotEqual)}, false, false}, {directory.Part{Filter: is(directory.AttrUserName, directory.Contains)}, false, false}, {directory.Part{Filter: is(directory.AttrUserName, directory.StartsWith)}, false, true},
		{directory.Part{Filter: is(directory.AttrUpdated, directory.Greater)}, false, true}, {directory.Part{Filter: is(directory.AttrActive, directory.Equal)}, false, false}, {directory.Part{Filter: is(directory.AttrMember, directory.Equal)}, false, true},
		{directory.Part{Filter: directory.Compare{Attr: directory.AttrID, Op: directory.Contains, Value: "x", Before: "https://"}}, false, false},
		{directory.Part{By: directory.Key{Attr: directory.AttrDisplayName}}, true, true}, {directory.Part{By: directory.Key{Path: []string{"title"}}}, true, false}, {directory.Part{By: directory.Key{List: []string{"skills"}}}, true, false},
		{directory.Part{By: directory.Key{In: directory.AttrGroup, Attr: directory.AttrID}}, true, false}, {directory.Part{Filter: name, By: directory.Key{Path: []string{"title"}}}, true, true},
	} {
		if q := (directory.Query{Users: &c.of, Sorted: c.sorted}); q.Served() != c.want {
			t.Errorf("number %d is served: %v", i, !c.want)
		}
		if q := (directory.Query{Users: &directory.Part{}, Groups: &c.of, Sorted: c.sorted}); q.Served() != c.want {
			t.Errorf("number %d beside people is served: %v", i, !c.want)
		}
	}
}
