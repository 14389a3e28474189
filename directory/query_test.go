package directory_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"gatehouse/directory"
	"gatehouse/identity"
	"gatehouse/internal/fault"
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

func TestPaging(t *testing.T) {
	b := newBench(t)
	for i := range 7 {
		b.create(t, directory.User{UserName: "u" + string(rune('a'+i))})
	}
	var seen []identity.UserID
	for start := 0; ; start += 3 {
		page, err := b.Users(t.Context(), b.tenant, directory.UserQuery{Start: start, Count: 3})
		must(t, err)
		if page.Total != 7 {
			t.Fatalf("total %d", page.Total)
		}
		if len(page.Items) == 0 {
			break
		}
		for _, u := range page.Items {
			seen = append(seen, u.ID)
		}
	}
	if len(seen) != 7 || !slices.IsSorted(seen) || len(slices.Compact(seen)) != 7 {
		t.Fatalf("pages gave %v", seen)
	}
	page, err := b.Users(t.Context(), b.tenant, directory.UserQuery{})
	must(t, err)
	if page.Total != 7 || len(page.Items) != 0 {
		t.Fatalf("the count alone gave %+v", page)
	}
}
