package directory_test

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"gatehouse/authz"
	"gatehouse/directory"
	"gatehouse/directory/feed"
	"gatehouse/internal/fault"
	"gatehouse/internal/store"
)

func TestUserFilters(t *testing.T) {
	b := newBench(t)
	ada := b.create(t, directory.User{UserName: "Ada@acme.example", Email: "ada@acme.example", OtherEmails: []string{"countess@home.example"},
		ExternalID: "EXT-1", DisplayName: "Ada Ünal", Active: true, Source: directory.SourceSCIM})
	b.create(t, directory.User{UserName: "bob%_@acme.example", DisplayName: "Bob", ExternalID: "ext-1", Source: directory.SourceAdmin})
	g, err := b.CreateGroup(t.Context(), cause, b.tenant, directory.Group{DisplayName: "ops", Members: []directory.Member{{User: ada.ID}}})
	must(t, err)

	is := func(a directory.Attr, op directory.Op, v any) directory.Filter {
		return directory.Compare{Attr: a, Op: op, Value: v}
	}
	hour := time.Hour
	for name, c := range map[string]struct {
		filter directory.Filter
		want   string
	}{
		"all":                   {nil, "ab"},
		"user name folds":       {is(directory.AttrUserName, directory.Equal, "ADA@ACME.example"), "a"},
		"user name differs":     {is(directory.AttrUserName, directory.NotEqual, "ADA@ACME.example"), "b"},
		"external id is exact":  {is(directory.AttrExternalID, directory.Equal, "ext-1"), "b"},
		"starts":                {is(directory.AttrUserName, directory.StartsWith, "ADA@"), "a"},
		"ends":                  {is(directory.AttrUserName, directory.EndsWith, "@Acme.Example"), "ab"},
		"ends, longer than all": {is(directory.AttrDisplayName, directory.EndsWith, strings.Repeat("b", 100)), ""},
		"contains":              {is(directory.AttrDisplayName, directory.Contains, "ÜN"), "a"},
		"contains exact":        {is(directory.AttrExternalID, directory.Contains, "T-"), "a"},
		"no wildcards":          {is(directory.AttrUserName, directory.Contains, "%_"), "b"},
		"percent is a letter":   {is(directory.AttrUserName, directory.StartsWith, "%"), ""},
		"contains nothing":      {is(directory.AttrUserName, directory.Contains, ""), "ab"},
		"quote":                 {is(directory.AttrUserName, directory.Equal, "' OR 1=1 --"), ""},
		"main address":          {is(directory.AttrEmail, directory.Equal, "ADA@acme.example"), "a"},
		"further address":       {is(directory.AttrEmail, directory.Equal, "countess@home.example"), "a"},
		"address present":       {is(directory.AttrEmail, directory.Present, nil), "a"},
		"no address":            {directory.Not{Of: is(directory.AttrEmail, directory.Present, nil)}, "b"},
		"active":                {is(directory.AttrActive, directory.Equal, true), "a"},
		"not active":            {is(directory.AttrActive, directory.NotEqual, true), "b"},
		"source":                {is(directory.AttrSource, directory.Equal, "scim"), "a"},
		"group":                 {is(directory.AttrGroup, directory.Equal, string(g.ID)), "a"},
		"id":                    {is(directory.AttrID, directory.Equal, string(ada.ID)), "a"},
		"after id":              {is(directory.AttrID, directory.Greater, string(ada.ID[:4])), "ab"},
		"made lately":           {is(directory.AttrCreated, directory.Greater, time.Now().Add(-hour)), "ab"},
		"made before":           {is(directory.AttrUpdated, directory.LessOrEqual, time.Now().Add(-hour)), ""},
		"both":                  {directory.All{is(directory.AttrActive, directory.Equal, true), is(directory.AttrUserName, directory.StartsWith, "b")}, ""},
		"either":                {directory.Any{is(directory.AttrActive, directory.Equal, true), is(directory.AttrUserName, directory.StartsWith, "b")}, "ab"},
		"neither":               {directory.Not{Of: directory.Any{is(directory.AttrActive, directory.Equal, true), is(directory.AttrUserName, directory.StartsWith, "b")}}, ""},
		"empty all":             {directory.All{}, "ab"},
		"empty any":             {directory.Any{}, ""},
	} {
		page, err := b.Users(t.Context(), b.tenant, directory.UserQuery{Filter: c.filter, Count: 10})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got := ""
		for _, u := range page.Items {
			got += strings.ToLower(u.UserName[:1])
		}
		if got != c.want || page.Total != len(c.want) {
			t.Errorf("%s: found %q (%d in all), want %q", name, got, page.Total, c.want)
		}
	}
	groups, err := b.Groups(t.Context(), b.tenant, directory.GroupQuery{Count: 5, WithMembers: true,
		Filter: is(directory.AttrMember, directory.Equal, string(ada.ID))})
	must(t, err)
	if groups.Total != 1 || len(groups.Items[0].Members) != 1 {
		t.Fatalf("%+v", groups)
	}
}

func TestFiltersThatAreRefused(t *testing.T) {
	b := newBench(t)
	deep := directory.Filter(directory.All{})
	for range 100 {
		deep = directory.Not{Of: deep}
	}
	for name, f := range map[string]directory.Filter{
		"deep":       deep,
		"long":       directory.Any(slices.Repeat([]directory.Filter{directory.Compare{Attr: directory.AttrID, Value: "x"}}, 501)),
		"attribute":  directory.Compare{Attr: directory.AttrMember, Value: "x"},
		"unknown":    directory.Compare{Attr: "password", Value: "x"},
		"type":       directory.Compare{Attr: directory.AttrActive, Value: "true"},
		"bool order": directory.Compare{Attr: directory.AttrActive, Op: directory.Greater, Value: true},
		"time text":  directory.Compare{Attr: directory.AttrCreated, Op: directory.Contains, Value: time.Now()},
		"no value":   directory.Compare{Attr: directory.AttrUserName},
		"operator":   directory.Compare{Attr: directory.AttrUserName, Op: 99, Value: "x"},
		"empty part": directory.All{nil},
		"huge value": directory.Compare{Attr: directory.AttrUserName, Value: strings.Repeat("x", 5000)},
	} {
		_, err := b.Users(t.Context(), b.tenant, directory.UserQuery{Filter: f, Count: 1})
		if fault.As(err).Code != "invalid-filter" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestPaging: pages from both ends are pieces of the whole list, whatever its order.
func TestPaging(t *testing.T) {
	b := newBench(t)
	for i := range 9 {
		u := directory.User{UserName: fmt.Sprint("u", i)}
		if i%3 > 0 { // the others have nothing to be sorted by
			u.DisplayName = fmt.Sprint("Name ", 9-i/3)
		}
		b.create(t, u)
	}
	for i := range 4 {
		_, err := b.CreateGroup(t.Context(), cause, b.tenant, directory.Group{DisplayName: fmt.Sprint("Name ", 7+i)})
		must(t, err)
	}
	named := func(f directory.Filter) *directory.Part {
		return &directory.Part{Filter: f, By: directory.Key{Attr: directory.AttrDisplayName}}
	}
	some := directory.Compare{Attr: directory.AttrUserName, Op: directory.NotEqual, Value: "u4"}
	for name, q := range map[string]directory.Query{
		"people":           {Users: &directory.Part{}},
		"people, back":     {Users: &directory.Part{}, Descending: true},
		"some":             {Users: &directory.Part{Filter: some}},
		"by name":          {Users: named(nil), Sorted: true},
		"by name, back":    {Users: named(nil), Sorted: true, Descending: true},
		"some, by name":    {Users: named(some), Sorted: true},
		"groups":           {Groups: &directory.Part{}},
		"both":             {Users: &directory.Part{}, Groups: &directory.Part{}},
		"both, by name":    {Users: named(nil), Groups: named(nil), Sorted: true},
		"both, some, back": {Users: named(some), Groups: named(nil), Sorted: true, Descending: true},
	} {
		q.Total, q.Count = true, directory.MaxPage
		whole, err := b.Find(t.Context(), b.tenant, q)
		must(t, err)
		n := len(whole.Items)
		if n < 4 || whole.Total != n || whole.More {
			t.Fatalf("%s: %d of %d, more %t", name, n, whole.Total, whole.More)
		}
		for q.Count = range n + 2 {
			for q.Start = range n + 3 {
				page, err := b.Find(t.Context(), b.tenant, q)
				must(t, err)
				from := min(q.Start, n)
				want := whole.Items[from:min(from+q.Count, n)]
				if !reflect.DeepEqual(append([]directory.Item{}, page.Items...), append([]directory.Item{}, want...)) || page.Total != n || page.More != (q.Count > 0 && q.Start+q.Count < n) {
					t.Errorf("%s, %d from %d: %d of %d, more %t", name, q.Count, q.Start, len(page.Items), page.Total, page.More)
				}
			}
		}
	}
}

// TestHowManyThereAreIsCountedOnce, until a change is noted, by whichever node.
func TestHowManyThereAreIsCountedOnce(t *testing.T) {
	b := newBench(t)
	noted := feed.New(feed.Config{Store: b.db})
	b.Service = directory.New(directory.Config{Store: b.db, Journal: b, Sessions: b, Withdraw: authz.Withdraw, Feed: noted})
	other := directory.New(directory.Config{Store: b.db, Journal: b, Sessions: b, Withdraw: authz.Withdraw, Feed: noted})
	counted := func(want int) {
		t.Helper()
		page, err := other.Users(t.Context(), b.tenant, directory.UserQuery{Start: 1, Count: 1})
		must(t, err)
		filtered, err := other.Users(t.Context(), b.tenant, directory.UserQuery{Filter: directory.Compare{Attr: directory.AttrUserName, Op: directory.StartsWith, Value: "u"}})
		must(t, err)
		groups, err := other.Groups(t.Context(), b.tenant, directory.GroupQuery{})
		must(t, err)
		if n := page.Total*100 + filtered.Total*10 + groups.Total; n != want {
			t.Errorf("counted %d, want %d", n, want)
		}
	}
	ada := b.create(t, directory.User{UserName: "u1"})
	counted(110)
	must(t, b.db.Tenant(b.tenant).Write(t.Context(), func(tx *store.Tx) error { // which nobody has noted
		_, err := tx.Exec(t.Context(), `INSERT INTO users (id, user_name, user_key, external_id, email, display_name, display_key, active, source, attributes, version, created_at, updated_at)
			VALUES ('usr_z', 'u2', 'u2', '', '', '', '', TRUE, 'scim', '{}', 1, 0, 0)`)
		return err
	}))
	counted(120)
	group, err := b.CreateGroup(t.Context(), cause, b.tenant, directory.Group{DisplayName: "g"})
	must(t, err)
	counted(221)
	must(t, other.DeleteUser(t.Context(), cause, b.tenant, ada.ID, 0))
	counted(111)
	must(t, b.DeleteGroup(t.Context(), cause, b.tenant, group.ID, 0))
	counted(110)
}
