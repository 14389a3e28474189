package routes_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"gatehouse/authz"
	"gatehouse/authz/routes"
)

func compile(t testing.TB, specs ...routes.Spec) *routes.Table {
	t.Helper()
	table, err := routes.Compile(specs)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func TestRoutes(t *testing.T) {
	r := compile(t,
		routes.Spec{Path: "/**", Access: "signed_in"},
		routes.Spec{Path: "/", Access: "public"},
		routes.Spec{Path: "/public/*", Access: "public"},
		routes.Spec{Path: "/api/teams/{team}/**", Permission: "alerts"},
		routes.Spec{Path: "/api/teams/{team}/reports/{id}", Permission: "reports:approve", Methods: []string{"POST"}},
		routes.Spec{Path: "/api/teams/{team}/reports/{id}", Permission: "reports"},
		routes.Spec{Path: "/api/teams/all/summary", Permission: "summary"},
		routes.Spec{Path: "/api/admin/**", Permission: "billing", StepUp: routes.Recent},
		routes.Spec{Path: "/api/keys", Permission: "billing", StepUp: routes.MFA, StepUpAge: 5 * time.Minute},
		routes.Spec{Path: "/hook", Access: "public", Methods: []string{"POST"}},
		routes.Spec{Path: "/a/b/y", Access: "public"},
		routes.Spec{Path: "/a/*/x", Permission: "star"},
	)
	for _, c := range []struct{ method, path, pattern, permission, team string }{
		{"GET", "/", "/", "", ""},
		{"GET", "/anything/else", "/**", "", ""},
		{"GET", "/public/ping", "/public/*", "", ""},
		{"GET", "/public/", "/**", "", ""},
		{"GET", "/public", "/**", "", ""},
		{"GET", "/public/a/b", "/**", "", ""},
		{"GET", "/Public/ping", "/**", "", ""},
		{"GET", "/api/teams/payments/alerts", "/api/teams/{team}/**", "alerts:read", "payments"},
		{"HEAD", "/api/teams/payments", "/api/teams/{team}/**", "alerts:read", "payments"},
		{"OPTIONS", "/api/teams/payments/", "/api/teams/{team}/**", "alerts:read", "payments"},
		{"POST", "/api/teams/payments/alerts", "/api/teams/{team}/**", "alerts:write", "payments"},
		{"PATCH", "/api/teams/payments/a/b/c", "/api/teams/{team}/**", "alerts:write", "payments"},
		{"DELETE", "/api/teams/payments/alerts/1", "/api/teams/{team}/**", "alerts:delete", "payments"},
		{"PROPFIND", "/api/teams/payments/alerts", "/api/teams/{team}/**", "alerts:write", "payments"},
		{"POST", "/api/teams/payments/reports/7", "/api/teams/{team}/reports/{id}", "reports:approve", "payments"},
		{"GET", "/api/teams/payments/reports/7", "/api/teams/{team}/reports/{id}", "reports:read", "payments"},
		{"GET", "/api/teams/all/summary", "/api/teams/all/summary", "summary:read", ""},
		{"GET", "/api/teams/all/other", "/api/teams/{team}/**", "alerts:read", "all"},
		{"GET", "/api/teams//x", "/**", "", ""},
		{"GET", "/api/admin", "/api/admin/**", "billing:read", ""},
		{"GET", "/api/admin/billing", "/api/admin/**", "billing:read", ""},
		{"POST", "/hook", "/hook", "", ""},
		{"GET", "/hook", "", "", ""}, // not opened by the wider /**
		{"GET", "/a/b/x", "/a/*/x", "star:read", ""},
		{"GET", "/a/b/y", "/a/b/y", "", ""},
		{"GET", "", "", "", ""},
		{"OPTIONS", "*", "", "", ""},
	} {
		got, ok := r.Match(c.method, c.path)
		if ok != (c.pattern != "") || got.Pattern != c.pattern || got.Permission.String() != c.permission || got.Team != c.team {
			t.Errorf("%s %s: %+v, %t; want %s %s %s", c.method, c.path, got, ok, c.pattern, c.permission, c.team)
		}
	}
	if got, _ := r.Match("GET", "/api/keys"); got.StepUp != routes.MFA || got.StepUpAge != 5*time.Minute {
		t.Errorf("a route that asks for a second factor: %+v", got)
	}
	if got, _ := r.Match("GET", "/api/admin/x"); got.StepUp != routes.Recent || got.Access != authz.NeedPermission {
		t.Errorf("%+v", got)
	}
	if _, ok := compile(t).Match("GET", "/"); ok {
		t.Error("an empty table let something through")
	}
}

func TestRoutesThatAreWrong(t *testing.T) {
	for _, c := range []struct {
		spec routes.Spec
		want string
	}{
		{routes.Spec{Path: "x", Access: "public"}, "begins with /"},
		{routes.Spec{Path: "", Access: "public"}, "begins with /"},
		{routes.Spec{Path: "/x"}, "either access or permission"},
		{routes.Spec{Path: "/x", Access: "public", Permission: "x"}, "either access or permission"},
		{routes.Spec{Path: "/x", Access: "signed_in", StepUp: "twice"}, "not known"},
		{routes.Spec{Path: "/x", Access: "public", StepUp: routes.MFA}, "is public"},
		{routes.Spec{Path: "/x", Access: "signed_in", StepUp: routes.Recent, StepUpAge: time.Minute}, "without step_up: mfa"},
		{routes.Spec{Path: "/x", Access: "signed_in", StepUp: routes.MFA, StepUpAge: -time.Minute}, "below 0"},
		{routes.Spec{Path: "/x", Access: "public", StepUp: routes.Recent}, "is public"},
		{routes.Spec{Path: "/x", Access: "open"}, "neither public nor signed_in"},
		{routes.Spec{Path: "/x", Permission: "*"}, "neither object"},
		{routes.Spec{Path: "/x", Permission: "x:"}, "neither object"},
		{routes.Spec{Path: "/x", Permission: "x:*"}, "neither object"},
		{routes.Spec{Path: "/x", Permission: "gatehouse.users"}, "gateway's own"},
		{routes.Spec{Path: "/x", Permission: "gatehouse"}, "gateway's own"},
		{routes.Spec{Path: "/**/x", Access: "public"}, "last segment"},
		{routes.Spec{Path: "/a*/x", Access: "public"}, "whole segments"},
		{routes.Spec{Path: "/{team}x", Access: "public"}, "whole segments"},
		{routes.Spec{Path: "/{}", Access: "public"}, "whole segments"},
		{routes.Spec{Path: "/{team}/{team}", Access: "public"}, "twice"},
		{routes.Spec{Path: "/a//b", Access: "public"}, "empty segment"},
		{routes.Spec{Path: "/a/../b", Access: "public"}, "dot segment"},
		{routes.Spec{Path: "/a%2fb", Access: "public"}, "character"},
		{routes.Spec{Path: "/a b", Access: "public"}, "character"},
		{routes.Spec{Path: "/a?b", Access: "public"}, "character"},
		{routes.Spec{Path: "/.gatehouse/x", Access: "public"}, "gateway itself"},
		{routes.Spec{Path: "/scim/v2/**", Access: "public"}, "gateway itself"},
		{routes.Spec{Path: strings.Repeat("/a", 65), Access: "public"}, "segments"},
		{routes.Spec{Path: "/x", Access: "public", Methods: []string{"get"}}, "method"},
		{routes.Spec{Path: "/taken", Access: "public"}, "twice"},
		{routes.Spec{Path: "/t/{id}", Access: "public"}, "twice"},
		{routes.Spec{Path: "/post", Access: "public", Methods: []string{"GET", "POST"}}, "twice for POST"},
	} {
		_, err := routes.Compile([]routes.Spec{{Path: "/taken", Access: "signed_in"}, {Path: "/t/*", Access: "signed_in"},
			{Path: "/post", Access: "signed_in", Methods: []string{"POST"}}, c.spec})
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "route "+c.spec.Path+":") {
			t.Errorf("%+v: %v, want %q", c.spec, err, c.want)
		}
	}
	_, err := routes.Compile([]routes.Spec{{Path: "x", Access: "public"}, {Path: "/y"}})
	if err == nil || strings.Count(err.Error(), "\n") != 1 {
		t.Errorf("not every problem at once: %v", err)
	}
}

// matches is the plain meaning of one pattern.
func matches(pattern, path []string) bool {
	switch {
	case len(pattern) > 0 && pattern[0] == "**":
		return true
	case len(pattern) == 0 || len(path) == 0:
		return len(pattern) == len(path)
	case pattern[0] == "*" || pattern[0] == "{team}":
		return path[0] != "" && matches(pattern[1:], path[1:])
	}
	return pattern[0] == path[0] && matches(pattern[1:], path[1:])
}

// moreSpecific orders patterns that match the same path, from the left.
func moreSpecific(a, b string) int {
	rank := func(s string) int { return slices.Index([]string{"{team}", "*", "**"}, s) + 1 }
	x, y := strings.Split(a[1:], "/"), strings.Split(b[1:], "/")
	for i := range min(len(x), len(y)) {
		if c := rank(x[i]) - rank(y[i]); c != 0 {
			return c
		}
	}
	return len(x) - len(y) // only the longer can end in **
}

// TestMatchIsTheMostSpecific: the tree finds what sorting all patterns and
// trying each finds.
func TestMatchIsTheMostSpecific(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		segment := rapid.SampledFrom([]string{"a", "b", "*", "{team}"})
		var patterns []string
		for range rapid.IntRange(0, 12).Draw(t, "routes") {
			segments := rapid.SliceOfN(segment, 0, 4).Draw(t, "segments")
			for i := range segments { // one team at most
				if slices.Contains(segments[:i], "{team}") && segments[i] == "{team}" {
					segments[i] = "*"
				}
			}
			if len(segments) == 0 || rapid.Bool().Draw(t, "rest") {
				segments = append(segments, "**")
			}
			if p := "/" + strings.Join(segments, "/"); !slices.Contains(patterns, p) {
				patterns = append(patterns, p)
			}
		}
		var specs []routes.Spec
		for _, p := range patterns {
			specs = append(specs, routes.Spec{Path: p, Access: "public"})
		}
		r, err := routes.Compile(specs)
		if err != nil {
			t.Fatal(err)
		}
		path := "/" + strings.Join(rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "c", ""}), 1, 5).Draw(t, "path"), "/")
		want := ""
		for _, p := range patterns {
			if matches(strings.Split(p[1:], "/"), strings.Split(path[1:], "/")) && (want == "" || moreSpecific(p, want) < 0) {
				want = p
			}
		}
		got, ok := r.Match("GET", path)
		if ok != (want != "") || got.Pattern != want {
			t.Fatalf("%v: %s matched %q, want %q", patterns, path, got.Pattern, want)
		}
		if at := slices.Index(strings.Split(got.Pattern, "/"), "{team}"); at >= 0 && got.Team != strings.Split(path, "/")[at] {
			t.Fatalf("%s by %s: team %q", path, got.Pattern, got.Team)
		}
	})
}

func FuzzRoutes(f *testing.F) {
	for _, seed := range []string{"/", "/**", "/a/{team}/**", "/a//b", "/%2e", "/{x}/*", "a", "/\x00", "/a/./b", "/{team}/{team}"} {
		f.Add(seed, "/a/b/c")
		f.Add(seed, seed)
	}
	f.Fuzz(func(t *testing.T, pattern, path string) {
		r, err := routes.Compile([]routes.Spec{{Path: pattern, Permission: "x"}})
		if err != nil {
			return
		}
		got, ok := r.Match("GET", path)
		if !ok {
			return
		}
		if got.Pattern != pattern || got.Permission.String() != "x:read" || !strings.HasPrefix(path, "/") ||
			strings.Contains(pattern, "{team}") != (got.Team != "") || strings.Contains(got.Team, "/") {
			t.Errorf("%q matched %q: %+v", pattern, path, got)
		}
	})
}

func manyRoutes(t testing.TB) *routes.Table {
	specs := []routes.Spec{{Path: "/**", Access: "signed_in"}, {Path: "/api/teams/{team}/**", Permission: "alerts"}}
	for i := range 200 {
		specs = append(specs, routes.Spec{Path: fmt.Sprintf("/api/things%d/*/parts", i), Permission: "things"})
	}
	return compile(t, specs...)
}

func TestMatchDoesNotAllocate(t *testing.T) {
	r := manyRoutes(t)
	if n := testing.AllocsPerRun(100, func() {
		if route, _ := r.Match("GET", "/api/teams/payments/alerts/7"); route.Team != "payments" {
			t.Error(route)
		}
	}); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}

func BenchmarkMatch(b *testing.B) {
	r := manyRoutes(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := r.Match("GET", "/api/teams/payments/alerts/7"); !ok {
			b.Fatal("no route")
		}
	}
}
