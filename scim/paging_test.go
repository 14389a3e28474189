package scim_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

// walk reads a list by its cursors, and gives the names on each page.
func (b *bench) walk(t *testing.T, path, first, cursor string) (pages []string, last answer) {
	t.Helper()
	for at := first; ; {
		last = b.do(t, "GET", path+"&cursor="+at, "").wants(200)
		pages = append(pages, last.names("userName"))
		next, ok := last.at(cursor).(string)
		if !ok {
			return pages, last
		}
		if at = next; len(pages) > 1000 {
			t.Fatal("the list does not end")
		}
	}
}

func TestRFC9865_2_Cursors(t *testing.T) {
	l := newLibrary(t)
	const path = "/Users?sortBy=title&count=2&attributes=userName"
	first := l.do(t, "GET", path+"&cursor", "").wants(200).same(`4`, "totalResults").same(`2`, "itemsPerPage").same(`null`, "startIndex").same(`null`, "previousCursor")
	pages, last := l.walk(t, path, "", "nextCursor")
	if !slices.Equal(pages, []string{"ada dee", "bob cyd@acme.example"}) || first.names("userName") != pages[0] {
		t.Fatalf("%q", pages)
	}
	last.same(`4`, "totalResults") // as the first page has said
	l.user(t, "abe", `,"title":"AAA"`)
	back, before := l.walk(t, path, fmt.Sprint(last.at("previousCursor")), "previousCursor")
	if !slices.Equal(back, []string{"ada dee", "abe"}) {
		t.Fatalf("backwards %q", back)
	}
	if again, _ := l.walk(t, path, fmt.Sprint(before.at("nextCursor")), "nextCursor"); !slices.Equal(again, []string{"ada dee", "bob cyd@acme.example"}) {
		t.Errorf("and forwards %q", again)
	}
	for _, id := range strings.Fields(l.do(t, "GET", "/Users", "").names("id")) {
		l.do(t, "DELETE", "/Users/"+id, "").wants(204)
	}
	l.do(t, "GET", path+"&cursor="+fmt.Sprint(first.at("nextCursor")), "").wants(200).same(`[]`, "Resources").same(`null`, "nextCursor")
	gone := l.do(t, "GET", path+"&cursor="+fmt.Sprint(last.at("previousCursor")), "").wants(200).same(`[]`, "Resources")
	l.user(t, "eve", "")
	if got := l.do(t, "GET", path+"&cursor="+fmt.Sprint(gone.at("nextCursor")), "").wants(200); got.names("userName") != "eve" {
		t.Errorf("behind nothing is %s", got.raw)
	}
}

func TestRFC9865_2_1_Errors(t *testing.T) {
	l := newLibrary(t)
	next := func(query string) string {
		t.Helper()
		return fmt.Sprint(l.do(t, "GET", "/Users?count=1&cursor=&"+query, "").wants(200).at("nextCursor"))
	}
	plain, filtered, sorted := next(""), next("filter="+escape("title pr")), next("sortBy=title")
	for _, path := range []string{
		"/Users?cursor=x", "/Users?cursor=" + plain[:len(plain)-1], "/Users?cursor=" + plain + "A", "/Users?cursor=" + plain + "=", "/Users?cursor=" + strings.Repeat("A", 5000),
		"/Users?cursor=" + filtered, "/Users?cursor=" + sorted, "/Groups?cursor=" + plain, "?cursor=" + plain, "/Users?sortBy=title&sortOrder=descending&cursor=" + sorted,
		"/Users?sortBy=userName&cursor=" + sorted, "/Users?filter=" + escape("title  pr") + "&cursor=" + filtered,
	} {
		l.do(t, "GET", path, "").wants(400, "invalidCursor")
	}
	for _, count := range []string{"many", "1.5", "0x1", "--1"} {
		l.do(t, "GET", "/Users?cursor&count="+count, "").wants(400, "invalidCount")
	}
	for _, count := range []string{"100000", "99999999999"} { // no page has as many
		l.do(t, "GET", "/Users?cursor&count="+count, "").wants(200).same(`4`, "itemsPerPage")
	}
	l.do(t, "GET", "/Users?cursor&startIndex=1", "").wants(400, "invalidValue")
	l.do(t, "GET", "/Users?count=2&cursor="+plain, "").wants(200) // another count does no harm

	l.do(t, "GET", "/Users?cursor="+l.altered(t, plain, map[string]any{"u": 1}), "").wants(400, "expiredCursor")
	byTime := next("sortBy=meta.created")
	for _, key := range []string{"yesterday", "1e9"} { // of another order than the one that the column is in
		l.do(t, "GET", "/Users?sortBy=meta.created&cursor="+l.altered(t, byTime, map[string]any{"k": key}), "").wants(400, "invalidCursor")
	}
}

// RFC 9865 §2.1, RFC 7644 §3.4.2.4: of no page there is how many there are, at the
// beginning and further on.
func TestRFC9865_2_1_ACountOfNothing(t *testing.T) {
	l := newLibrary(t)
	first := l.do(t, "GET", "/Users?cursor&count=1", "").wants(200)
	second := l.do(t, "GET", "/Users?count=1&cursor="+fmt.Sprint(first.at("nextCursor")), "").wants(200)
	for _, at := range []string{"", fmt.Sprint(first.at("nextCursor")), fmt.Sprint(second.at("previousCursor"))} {
		for _, count := range []string{"0", "-1", "-99999999999"} {
			got := l.do(t, "GET", "/Users?cursor="+at+"&count="+count, "").wants(200).same(`4`, "totalResults").same(`0`, "itemsPerPage").same(`[]`, "Resources")
			if len(got.body) != 4 {
				t.Errorf("%s at %q: %s", count, at, got.raw)
			}
		}
	}
	l.do(t, "POST", "/Users/.search", search(`,"cursor":"","count":0`)).wants(200).same(`4`, "totalResults").same(`null`, "nextCursor")
	l.do(t, "GET", "/Groups?cursor&count=0", "").wants(200).same(`2`, "totalResults")
	l.do(t, "GET", "?cursor&count=0", "").wants(200).same(`6`, "totalResults")
}

// RFC 9865 §5: a cursor says nothing to who carries it, is good at every node, and one that
// none of them has made is none.
func TestRFC9865_5_CursorsAreSealed(t *testing.T) {
	l := newLibrary(t)
	first := l.do(t, "GET", "/Users?sortBy=title&count=1&cursor", "").wants(200)
	text := fmt.Sprint(first.at("nextCursor"))
	sealed, err := base64.RawURLEncoding.DecodeString(text)
	must(t, err)
	if strings.Contains(string(sealed), first.names("id")) || json.Valid(sealed) {
		t.Errorf("the cursor tells %q", sealed)
	}
	for i := range sealed {
		other := slices.Clone(sealed)
		other[i] ^= 1
		l.do(t, "GET", "/Users?sortBy=title&cursor="+base64.RawURLEncoding.EncodeToString(other), "").wants(400, "invalidCursor")
	}
	plain, err := l.keys.Open(t.Context(), l.acme.id, "scim-cursor", sealed)
	must(t, err)
	l.do(t, "GET", "/Users?sortBy=title&cursor="+base64.RawURLEncoding.EncodeToString(plain), "").wants(400, "invalidCursor")
	elsewhere, err := l.keys.Seal(t.Context(), l.acme.id, "something else", plain)
	must(t, err)
	l.do(t, "GET", "/Users?sortBy=title&cursor="+base64.RawURLEncoding.EncodeToString(elsewhere), "").wants(400, "invalidCursor")
	here := l.do(t, "GET", "/Users?sortBy=title&count=1&cursor="+text, "").wants(200)
	if there := l.another(t).do(t, "GET", "/Users?sortBy=title&count=1&cursor="+text, "").wants(200); there.names("id") != here.names("id") {
		t.Errorf("%s there, %s here", there.raw, here.raw)
	}
}

// altered gives a cursor in which something else stands, as if one of us had made it so.
func (b *bench) altered(t testing.TB, cursor string, changes map[string]any) string {
	t.Helper()
	sealed, err := base64.RawURLEncoding.DecodeString(cursor)
	must(t, err)
	plain, err := b.keys.Open(t.Context(), b.acme.id, "scim-cursor", sealed)
	must(t, err)
	said := make(map[string]any)
	must(t, json.Unmarshal(plain, &said))
	maps.Copy(said, changes)
	plain, err = json.Marshal(said)
	must(t, err)
	sealed, err = b.keys.Seal(t.Context(), b.acme.id, "scim-cursor", plain)
	must(t, err)
	return base64.RawURLEncoding.EncodeToString(sealed)
}

// A cursor is of one tenant; what another one would give is not to be had by it.
func TestP3_CursorsOfAnotherTenant(t *testing.T) {
	l := newLibrary(t)
	cursor := fmt.Sprint(l.do(t, "GET", "/Users?count=1&cursor", "").wants(200).at("nextCursor"))
	r := httptest.NewRequestWithContext(t.Context(), "GET", l.globex.origin+"/scim/v2/Users?count=1&cursor="+cursor, nil)
	r.Header.Set("Authorization", "Bearer "+l.globex.token)
	l.request(t, l.globex, r).wants(400, "invalidCursor")
	r = httptest.NewRequestWithContext(t.Context(), "POST", l.globex.origin+"/scim/v2/.search", strings.NewReader(search(`,"filter":"id pr"`)))
	r.Header.Set("Authorization", "Bearer "+l.globex.token)
	r.Header.Set("Content-Type", "application/scim+json")
	l.request(t, l.globex, r).wants(200).same(`0`, "totalResults")
}
