package scim_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
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
	for _, count := range []string{"0", "-1", "many", "1.5", "99999999999"} {
		l.do(t, "GET", "/Users?cursor&count="+count, "").wants(400, "invalidCount")
	}
	l.do(t, "GET", "/Users?cursor&count=100000", "").wants(200)
	l.do(t, "GET", "/Users?cursor&startIndex=1", "").wants(400, "invalidValue")
	l.do(t, "GET", "/Users?count=2&cursor="+plain, "").wants(200) // another count does no harm

	l.do(t, "GET", "/Users?cursor="+forged(t, plain, map[string]any{"u": 1}), "").wants(400, "expiredCursor")
	byTime := next("sortBy=meta.created")
	for of, changes := range map[string][]map[string]any{
		plain:  {{"t": -1}, {"i": strings.Repeat("a", 65)}, {"i": "", "b": true}, {"i": "", "k": "x"}, {"k": strings.Repeat("a", 600)}, {"k": "\x00"}, {"x": 1}, {"L": "x"}},
		byTime: {{"k": "yesterday"}, {"k": "1e9"}},
	} {
		for _, change := range changes {
			query := map[bool]string{true: "sortBy=meta.created&"}[of == byTime]
			l.do(t, "GET", "/Users?"+query+"cursor="+forged(t, of, change), "").wants(400, "invalidCursor")
		}
	}
	for _, id := range []string{"' OR 1=1 --", "\U0010ffff", "usr_", l.readers} { // a position like any other
		l.do(t, "GET", "/Users?cursor="+forged(t, plain, map[string]any{"i": id}), "").wants(200)
	}
}

// forged gives a cursor in which something else stands.
func forged(t testing.TB, cursor string, changes map[string]any) string {
	t.Helper()
	data, err := base64.RawURLEncoding.DecodeString(cursor)
	must(t, err)
	var said struct {
		L string `json:"l"`
		K string `json:"k,omitempty"`
		I string `json:"i,omitempty"`
		B bool   `json:"b,omitempty"`
		T int    `json:"t"`
		U int64  `json:"u"`
	}
	must(t, json.Unmarshal(data, &said))
	change, err := json.Marshal(changes)
	must(t, err)
	must(t, json.Unmarshal(change, &said))
	data, err = json.Marshal(said)
	must(t, err)
	for _, more := range []string{"x", "L"} { // what a cursor does not have
		if v, ok := changes[more]; ok {
			data = append(data[:len(data)-1], fmt.Sprintf(`,%q:%q}`, more, fmt.Sprint(v))...)
		}
	}
	return base64.RawURLEncoding.EncodeToString(data)
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
