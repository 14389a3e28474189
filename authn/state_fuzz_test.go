package authn_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	dsig "github.com/russellhaering/goxmldsig"

	"gatehouse/audit"
	"gatehouse/internal/httpkit"
	"gatehouse/internal/store"
)

// underWay is a sign-in that a browser has begun: what it would answer with.
type underWay struct {
	method, path string
	form         url.Values
	field        string // of the token
	cookie       string
}

// begunSteps begins a sign-in of each protocol, and gives them with the provider's
// good answer.
func begunSteps(t testing.TB, w *world, idp *issuer) []underWay {
	t.Helper()
	b := w.browser()
	f := b.samlFlight()
	doc := f.message.Document(t)
	ourKey().sign(t, assertionOf(doc), dsig.RSASHA256SignatureMethod)
	saml := underWay{http.MethodPost, "/.gatehouse/saml/adfs/acs", f.form(bytesOf(t, doc)), "RelayState", b.cookie(httpkit.FlowCookie)}
	at, err := url.Parse(b.look("/.gatehouse/login?connection=idp").header.Get("Location"))
	check(t, err)
	back, err := url.Parse(b.look(at.String()).header.Get("Location"))
	check(t, err)
	return []underWay{{http.MethodGet, back.Path, back.Query(), "state", b.cookie(httpkit.FlowCookie)}, saml}
}

// answered is what comes of an answer with this token in a browser with this cookie.
func (u underWay) answered(w *world, token, cookie string) *httptest.ResponseRecorder {
	form := url.Values{}
	for name, values := range u.form {
		form[name] = values
	}
	form.Set(u.field, token)
	r := httptest.NewRequest(u.method, w.url+u.path, nil)
	if u.method == http.MethodPost {
		r = httptest.NewRequest(u.method, w.url+u.path, strings.NewReader(form.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	} else {
		r.URL.RawQuery = form.Encode()
	}
	r.Header.Set("Cookie", httpkit.FlowCookie+"="+cookie)
	rec := httptest.NewRecorder()
	w.Handler().ServeHTTP(rec, w.passed(r))
	return rec
}

func (w *world) stepsUnderWay(t testing.TB) (n int64) {
	t.Helper()
	check(t, w.db.Tenant(acme).Read(t.Context(), func(tx *store.Tx) (err error) {
		n, err = store.One(t.Context(), tx, store.Scalar[int64], `SELECT count(*) FROM login_flows`)
		return err
	}))
	return n
}

// FuzzState: a state or RelayState that is not the very one of a sign-in under way,
// however near to it, signs nobody in and uses nothing up, though the answer beside it
// is a good one and the browser is the one that began it; nor does the very one in a
// browser whose cookie is another.
func FuzzState(f *testing.F) {
	w, idp := newWorld(f), newIssuer(f)
	w.connections.put(idp.connection())
	w.connections.put(samlConnection(ourKey()))
	for _, of := range []uint8{0, 1} {
		for _, token := range []bool{true, false} {
			for _, seed := range []struct {
				at, cut uint8
				text    string
			}{
				{0, 0, " "}, {43, 0, " "}, {43, 0, "="}, {43, 0, "\x00"}, {43, 0, "%00"}, {42, 1, ""}, {0, 1, ""}, {0, 43, ""}, {0, 43, "A"}, {0, 43, strings.Repeat("A", 43)},
				{20, 1, "A"}, {20, 1, "+"}, {42, 1, "B"}, {42, 1, "C"}, {42, 1, "\u017f"}, {0, 0, "\ufeff"}, {43, 0, "&state=x"}, {43, 0, "; a=b"}, {43, 0, `"`}, {0, 43, "https://evil.example/"},
				{0, 43, strings.Repeat("A", 4096)}, {0, 43, "' OR 1=1 --"}, {0, 43, "%"}, {0, 43, "_"},
			} {
				f.Add(of, token, seed.at, seed.cut, seed.text)
			}
		}
	}
	all := begunSteps(f, w, idp)
	begun := w.stepsUnderWay(f)
	f.Fuzz(func(t *testing.T, of uint8, token bool, at, cut uint8, text string) {
		w.t = t
		w.from.Add(1) // or it would soon be too many sign-ins for one network
		u := all[int(of)%len(all)]
		state, cookie := u.form.Get(u.field), u.cookie
		changed := &cookie
		if token {
			changed = &state
		}
		was := *changed
		from := min(int(at), len(was))
		*changed = was[:from] + text + was[min(from+int(cut), len(was)):]
		if first, _, _ := strings.Cut(*changed, ";"); !token && strings.Trim(first, " \t") == was {
			return // the very same, with another cookie behind it
		}
		if *changed == was {
			return
		}
		rec := u.answered(w, state, cookie)
		for _, c := range rec.Result().Cookies() {
			if c.Name == httpkit.SessionCookie && c.MaxAge >= 0 {
				t.Errorf("signed in by %q, %q", state, cookie)
			}
		}
		if rec.Code < 400 || rec.Code >= 500 {
			t.Errorf("%q, %q: %d %s", state, cookie, rec.Code, rec.Body)
		}
		if token {
			if left := w.stepsUnderWay(t); left != begun {
				t.Errorf("%q has used up a sign-in of another: %d of %d are left", state, left, begun)
			}
			return
		}
		// Whoever knows the token uses it up; begin anew.
		all = begunSteps(t, w, idp)
		begun = w.stepsUnderWay(t)
	})
}

// TestTheVeryStateSignsIn is the control of FuzzState.
func TestTheVeryStateSignsIn(t *testing.T) {
	w, idp := newWorld(t), newIssuer(t)
	w.connections.put(idp.connection())
	w.connections.put(samlConnection(ourKey()))
	for _, u := range begunSteps(t, w, idp) {
		if rec := u.answered(w, u.form.Get(u.field), u.cookie); rec.Code >= 400 {
			t.Errorf("%s: %d %s", u.path, rec.Code, rec.Body)
		}
	}
	if refused := w.journal.all(audit.SignInRefused); len(refused) != 0 {
		t.Errorf("%+v", refused)
	}
}
