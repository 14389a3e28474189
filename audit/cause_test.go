package audit

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"unicode/utf8"

	"gatehouse/identity"
	"gatehouse/internal/httpkit"
)

func requestOf(q *httpkit.Request) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "https://acme.test/a%20b?code=secret", http.NoBody)
	r.Header.Set("User-Agent", "test/1.0")
	return r.WithContext(httpkit.WithRequest(r.Context(), q))
}

func TestAnEventSaysWhatIsKnownOfItsRequest(t *testing.T) {
	q := &httpkit.Request{ID: "req_1", Tenant: acme, ClientIP: netip.MustParseAddr("192.0.2.1")}
	r := requestOf(q)
	p := &identity.Principal{Kind: identity.KindUser, Tenant: acme, ID: "usr_1", Name: "Mia", Session: "ses_1", Device: "dev_1", Connection: "con_1"}
	var e Event
	e.Describe(r, p)
	cause := Cause{Actor: Actor{Kind: identity.KindUser, ID: "usr_1", Name: "Mia"}, Session: "ses_1", Device: "dev_1", Connection: "con_1",
		RequestID: "req_1", IP: q.ClientIP, UserAgent: "test/1.0"}
	if CauseOf(r, p) != cause || e.Cause() != cause {
		t.Errorf("causes %+v, %+v", CauseOf(r, p), e.Cause())
	}
	if e.Tenant != acme || e.Method != http.MethodGet || e.Host != "acme.test" || e.Path != "/a%20b" {
		t.Errorf("event %+v", e)
	}
	if next := cause.Event(acme, SignedOut, Success); next.Cause() != cause || next.Tenant != acme || next.Type != SignedOut || next.Outcome != Success {
		t.Errorf("follows %+v", next)
	}

	// Described again without a caller, as somebody who turned out to be nobody.
	q.Tenant = ""
	e.Describe(r, nil)
	if want := (Actor{Kind: identity.KindAnonymous}); e.Tenant != identity.Platform || e.Actor != want || e.Session != "" || e.Device != "" || e.Connection != "" {
		t.Errorf("event of nobody %+v", e)
	}
}

func TestWhatAClientWritesIsBounded(t *testing.T) {
	for _, c := range []struct {
		who  *identity.Principal
		most int
	}{{nil, 256}, {&identity.Principal{Kind: identity.KindUser}, 1024}} {
		// Each cut falls within a character.
		long := strings.Repeat("a", c.most-1) + strings.Repeat("ä", 5000)
		r := requestOf(&httpkit.Request{Tenant: acme})
		r.Method, r.Host, r.URL.Path, r.URL.RawPath = long, long, "/"+long, ""
		r.Header.Set("User-Agent", long)
		var e Event
		e.Describe(r, c.who)
		for name, got := range map[string]string{"method": e.Method, "host": e.Host, "user agent": e.UserAgent} {
			if got != long[:c.most-1] || !utf8.ValidString(got) {
				t.Errorf("%s of %d bytes", name, len(got))
			}
		}
		if len(e.Path) != c.most || !strings.HasPrefix(e.Path, "/aaa") {
			t.Errorf("path of %d bytes", len(e.Path))
		}
	}
}
