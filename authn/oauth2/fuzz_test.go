package oauth2

import (
	"bytes"
	"encoding/json"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"gatehouse/authn"
	"gatehouse/authn/oauth2/oauth2test"
	"gatehouse/tenants"
)

// FuzzAnswer: what is read of an answer reads the same when it is written again, is
// bounded, and names somebody by exactly what stands there.
func FuzzAnswer(f *testing.F) {
	ann := oauth2test.UserJSON(oauth2test.Ann())
	for _, seed := range []string{
		ann, `{"id":0}`, `{"id":-1}`, `{"id":1e3}`, `{"id":""}`, `{"id":{"id":1}}`, `{"id":9223372036854775808}`, `{"id":"\ud800"}`, `{"id":"ünï"}`,
		`{"id":1,"id":2}`, `{"id":1,"\u0069d":2}`, ann + ann, "{\"id\":\"\xff\"}", `[[[]]]`, `null`, ``, `{`, `{"a.b":1,"a":{"b":2},"id":7}`,
		strings.Repeat("[", 100), strings.Repeat(`{"a":`, 30), `{"id":1,"groups":["a",1,true]}`, `{"id":1.0}`, `{"id":01}`,
	} {
		f.Add([]byte(seed), false)
	}
	f.Add([]byte("access_token=a&token_type=bearer"), true)
	f.Add([]byte("access_token=a&access_token=b"), true)
	f.Add([]byte("a=%zz;b"), true)
	q := &inquiry{Protocol: &Protocol{checks: allChecks}, spec: tenants.OAuth2Spec{Claims: tenants.OAuth2Claims{Subject: "id"}}.Whole()}
	f.Fuzz(func(t *testing.T, raw []byte, form bool) {
		r := &reply{asked: askToken, status: 200, media: mediaJSON, body: raw}
		if form {
			r.media = mediaForm
		}
		d, err := q.read(r)
		_ = r.errorName()
		if err != nil {
			return
		}
		if d.depth > maxDepth || len(raw) > askToken.limit() || !utf8.Valid(raw) {
			t.Fatalf("read: %q", raw)
		}
		written, err := json.Marshal(d.value)
		if err != nil {
			t.Fatal(err)
		}
		again, err := q.read(&reply{asked: askGroups, status: 200, media: mediaJSON, body: written})
		if err != nil || !reflect.DeepEqual(again.value, d.value) {
			t.Fatalf("%q reads as %q: %v", raw, written, err)
		}
		said := at(d.value, "id")
		_, named := said.(string)
		s := subject{named: named, whole: isWhole(said), text: text(said)}
		if all(allChecks.subjects, s) == nil && !bytes.Contains(written, []byte(s.text)) && !named {
			t.Fatalf("%q is not in %q", s.text, raw)
		}
		n := 0
		for name, values := range q.claims(d.value, authn.Assertion{}) {
			n += len(values)
			for _, v := range values {
				if len(v) > authn.MaxClaim {
					t.Fatalf("%d bytes of %q", len(v), name)
				}
			}
			if len(values) == 1 && text(at(d.value, name)) != values[0] {
				if list, ok := at(d.value, name).([]any); !ok || len(list) != 1 {
					t.Fatalf("%q says %q, and leads to %v", name, values, at(d.value, name))
				}
			}
		}
		if n > authn.MaxClaims {
			t.Fatalf("%d claims", n)
		}
	})
}

// FuzzLink: wherever a list is said to go on, the token goes to the same host or
// nowhere.
func FuzzLink(f *testing.F) {
	for _, seed := range []string{
		`<https://api.hub.example/user/orgs?page=2>; rel="next", <https://api.hub.example/user/orgs?page=9>; rel="last"`,
		`<?page=2>; rel=next`, `<//evil.example/>; rel="next"`, `<https://evil.example>; rel="prev next"`, `</x>; rel="next`, `</x>;title="a,b;c=\"";REL=NEXT`,
		`<https://api.hub.example@evil.example/>; rel=next`, `<javascript:x>; rel=next`, `<>; rel=next`, `<a>;;rel=next`, `<a>; rel=next; rel=last`, `,,<a>`, `a`, `<`,
	} {
		f.Add(seed)
	}
	base, err := url.Parse("https://api.hub.example/user/orgs")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, field string) {
		p := &page{asked: askGroups, at: base, seen: []string{base.String()}, list: true}
		p.next, p.broken = nextPages(base, []string{field})
		if all(allChecks.pages, p) != nil {
			return
		}
		next := p.following()
		if next == nil {
			return
		}
		if next.Scheme != "https" || !strings.EqualFold(next.Host, "api.hub.example") || next.User != nil || !strings.Contains(strings.ToLower(field), "next") {
			t.Fatalf("%q leads to %s", field, next)
		}
		if again, err := url.Parse(next.String()); err != nil || !strings.EqualFold(again.Host, "api.hub.example") {
			t.Fatalf("%q leads to %s: %v", field, next, err)
		}
	})
}
