package authn_test

import (
	"net/http"
	"net/url"
	"testing"

	"gatehouse/audit"
	"gatehouse/internal/httpkit"
	"gatehouse/sessions"
)

// stepsUp has somebody show a second factor: their session is another one then.
func (w *world) stepsUp(b *browser) {
	w.t.Helper()
	live, err := w.sessions.Find(w.t.Context(), acme, b.cookie(httpkit.SessionCookie))
	check(w.t, err)
	made, err := w.sessions.Renew(w.t.Context(), audit.SystemCause(), live, sessions.Renewal{FactorAt: w.clock(), AMR: []string{"otp"}, Method: "totp"})
	check(w.t, err)
	u, err := url.Parse(w.url)
	check(w.t, err)
	b.Jar.SetCookies(u, []*http.Cookie{{Name: httpkit.SessionCookie, Value: made.Token, Path: "/", Secure: true}})
}

// A session that is renewed is the same sign-in: what was allowed in it stays so.
func TestAProgramThatIsAllowedOutlivesAStepUp(t *testing.T) {
	for name, renewed := range map[string]func(w *world, b *browser){
		"before the program asks": func(w *world, b *browser) { w.stepsUp(b) },
		"twice":                   func(w *world, b *browser) { w.stepsUp(b); w.stepsUp(b) },
		"while the program's session is made": func(w *world, b *browser) {
			w.journal.on(audit.SignInSucceeded, func() { w.stepsUp(b) })
		},
	} {
		t.Run(name, func(t *testing.T) {
			w, _, b := deviceWorld(t)
			p := w.asks()
			b.allows(p.User)
			renewed(w, b)
			token := p.wants("").Token
			p.wantsAs(token, http.StatusOK)
			live, err := w.sessions.FindProgram(t.Context(), acme, token)
			check(t, err)
			if live.Session().FactorAt.IsZero() {
				t.Error("the program's session does not know of the factor")
			}
		})
	}
}
