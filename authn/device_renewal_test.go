package authn_test

import (
	"net/http"
	"net/url"
	"slices"
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
	b.holds(made.Token)
}

// holds has a browser come with a session's cookie.
func (b *browser) holds(token string) {
	b.t.Helper()
	u, err := url.Parse(b.w.url)
	check(b.t, err)
	b.Jar.SetCookies(u, []*http.Cookie{{Name: httpkit.SessionCookie, Value: token, Path: "/", Secure: true}})
}

// signedInAs is the session of a program, by its token.
func (w *world) signedInAs(token string) sessions.Session {
	w.t.Helper()
	live, err := w.sessions.FindProgram(w.t.Context(), acme, token)
	check(w.t, err)
	return live.Session()
}

// A session that is renewed is the same sign-in: what was allowed in it stays so, and
// is no more than it was. However often that happens meanwhile, the program is signed
// in once, on one device.
func TestAProgramThatIsAllowedOutlivesAStepUp(t *testing.T) {
	for name, renewed := range map[string]func(w *world, b *browser){
		"before the program asks": func(w *world, b *browser) { w.stepsUp(b) },
		"twice":                   func(w *world, b *browser) { w.stepsUp(b); w.stepsUp(b) },
		"while the program's session is made": func(w *world, b *browser) {
			w.journal.on(audit.SignInSucceeded, func() { w.stepsUp(b) })
		},
		"twice while the program's session is made": func(w *world, b *browser) {
			w.journal.on(audit.DeviceNew, func() {
				w.stepsUp(b)
				w.journal.on(audit.SignInSucceeded, func() { w.stepsUp(b) })
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			w, _, b := deviceWorld(t)
			p := w.asks()
			b.allows(p.User)
			when := b.principal()
			renewed(w, b)
			token := p.wants("").Token
			p.wantsAs(token, http.StatusOK)
			now := b.principal()
			if now.Session == when.Session || now.FactorTime.IsZero() {
				t.Fatalf("the browser's session is not renewed: %+v", now)
			}
			if got := w.signedInAs(token); !got.FactorAt.IsZero() || !slices.Equal(got.AMR, when.AMR) || !got.AuthAt.Equal(when.AuthTime) || got.ACR != when.ACR {
				t.Errorf("allowed as %+v, signed in as %+v", when, got)
			}
			if in, devices := w.journal.all(audit.SignInSucceeded), w.journal.all(audit.DeviceNew); len(in) != 2 || len(devices) != 2 {
				t.Errorf("%d records of a sign-in and %d of a device, of a browser and a program", len(in), len(devices))
			}
			devices, _, err := w.sessions.Devices(t.Context(), acme, sessions.DeviceFilter{User: now.User})
			check(t, err)
			if len(devices) != 2 {
				t.Errorf("%d devices of a browser and a program", len(devices))
			}
			if got := w.reasons(); len(got) != 0 {
				t.Errorf("refused for %v", got)
			}
		})
	}
}

// Whoever has stolen a cookie may allow a program of their own with it. What the person
// proves after that is not the thief's: not by the old cookie, and not by the program.
func TestAThiefsProgramHasNothingOfALaterFactor(t *testing.T) {
	w, _, ann := deviceWorld(t)
	thief := w.browser()
	thief.holds(ann.cookie(httpkit.SessionCookie))
	stolen := w.asks()
	thief.allows(stolen.User)

	w.stepsUp(ann)
	if ann.principal().FactorTime.IsZero() {
		t.Fatal("the person has shown no factor")
	}
	thief.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	thief.open("/x").has(t, http.StatusSeeOther)
	if got := w.signedInAs(stolen.wants("").Token); !got.FactorAt.IsZero() || slices.Contains(got.AMR, "otp") {
		t.Errorf("the thief's program has shown a factor at %v, by %v", got.FactorAt, got.AMR)
	}
	for _, e := range w.journal.all(audit.SignInSucceeded) {
		if e.Details["protocol"] == "device" && e.Details["amr"] != "pwd" {
			t.Errorf("recorded with %q", e.Details["amr"])
		}
	}

	// What the person allows from now on has the factor that they have shown, and keeps
	// its time, however often they show one after that.
	own := w.asks()
	ann.allows(own.User)
	shown := ann.principal().FactorTime
	w.stepsUp(ann)
	if got := w.signedInAs(own.wants("").Token); !got.FactorAt.Equal(shown) || !slices.Contains(got.AMR, "otp") || ann.principal().FactorTime.Equal(shown) {
		t.Errorf("shown at %v, the program has %v, by %v", shown, got.FactorAt, got.AMR)
	}
}

// A node of before does not write down what was shown, nor did any: then nothing was.
func TestWhatWasAllowedAtANodeOfBeforeHasNoFactor(t *testing.T) {
	w, _, b := deviceWorld(t)
	w.stepsUp(b)
	p := w.asks()
	w.connections.write(`UPDATE device_codes SET state = 'allowed', allowed_by = $1`, b.principal().Session)
	token := p.wants("").Token
	p.wantsAs(token, http.StatusOK)
	if got := w.signedInAs(token); !got.FactorAt.IsZero() || len(got.AMR) > 0 || !got.AuthAt.IsZero() || got.ACR != "" {
		t.Errorf("signed in as %+v", got)
	}
}
