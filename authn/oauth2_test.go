package authn_test

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"gatehouse/audit"
	"gatehouse/authn/oauth2/oauth2test"
	"gatehouse/internal/httpkit"
	"gatehouse/sessions"
	"gatehouse/tenants"
)

// TestSignInByOAuth2 goes the whole way at a provider of GitHub's shape: the id
// that no float holds, the verified primary address, organisations and teams.
func TestSignInByOAuth2(t *testing.T) {
	w, hub := newWorld(t), oauth2test.New(t)
	hub.PerPage = 1 // so that addresses and teams have several pages
	w.connections.put(hub.Connection())
	b := w.browser()
	b.open("/reports?year=2026").has(t, http.StatusOK, "app /reports?year=2026 for ann@acme.example called Ann")
	asked := hub.Asked()
	if asked.Get("scope") != "read:user read:org" || asked.Get("redirect_uri") != w.url+"/.gatehouse/oauth2/hub/callback" ||
		asked.Get("code_challenge_method") != "S256" || len(asked.Get("code_challenge")) != 43 || len(asked.Get("state")) != 43 {
		t.Errorf("asked for %v", asked)
	}
	live, _, err := w.sessions.List(t.Context(), acme, sessions.Filter{State: sessions.StateLive})
	check(t, err)
	if len(live) != 1 || live[0].IDPSubject != "9007199254740993" || !live[0].AuthAt.IsZero() {
		t.Fatalf("session: %+v", live)
	}
	if got, want := w.groupsOf(t, live[0]), []string{"acme", "acme/ops", "acme/payments"}; !slices.Equal(got, want) {
		t.Errorf("in the groups %q, want %q", got, want)
	}
	if len(w.grants.given) != 1 || !strings.HasSuffix(w.grants.given[0], " member") {
		t.Errorf("default role: %v", w.grants.given)
	}

	// The next sign-in takes out of a team whoever has left it. No address there
	// counts any more, and the one that is known stays.
	left := oauth2test.Ann()
	left.Teams, left.Orgs, left.Name, left.Emails[1].Verified = left.Teams[:1], nil, "Ann A.", false
	hub.SignIn(left)
	other := w.browser()
	other.open("/").has(t, http.StatusOK, "for ann@acme.example called Ann A.")
	if got := w.groupsOf(t, live[0]); !slices.Equal(got, []string{"acme/ops"}) {
		t.Errorf("in the groups %q", got)
	}

	// Signing out ends here: there is nothing to end at the provider.
	b.post("/.gatehouse/logout", nil).has(t, http.StatusOK, "You are signed out")
	if b.cookie(httpkit.SessionCookie) != "" || len(w.journal.all(audit.SignedOut)) != 1 {
		t.Error("still signed in")
	}
}

func (w *world) groupsOf(t *testing.T, s sessions.Session) (names []string) {
	t.Helper()
	person, err := w.directory.Person(t.Context(), acme, s.User)
	check(t, err)
	for _, g := range person.Groups {
		names = append(names, g.Name)
	}
	slices.Sort(names)
	return names
}

// TestOAuth2AsProvidersSpeakIt is the control: none of this is an attack.
func TestOAuth2AsProvidersSpeakIt(t *testing.T) {
	for name, c := range map[string]struct {
		provider   func(*oauth2test.Provider)
		connection func(*tenants.OAuth2Spec)
	}{
		"the secret in the form":          {nil, func(s *tenants.OAuth2Spec) { s.ClientAuth = tenants.ClientSecretPost }},
		"no PKCE":                         {nil, func(s *tenants.OAuth2Spec) { s.PKCE = tenants.WithoutPKCE }},
		"an issuer":                       {func(p *oauth2test.Provider) { p.Answer(func(v url.Values) { v.Set("iss", "https://hub.example") }) }, func(s *tenants.OAuth2Spec) { s.Issuer = "https://hub.example" }},
		"an issuer that nobody asked for": {func(p *oauth2test.Provider) { p.Answer(func(v url.Values) { v.Set("iss", "https://hub.example") }) }, nil},
		"more in the answer":              {func(p *oauth2test.Provider) { p.Answer(func(v url.Values) { v.Set("session_state", "x.y") }) }, nil},
		"a token answer in a form": {func(p *oauth2test.Provider) {
			p.Instead(oauth2test.Token, func(w http.ResponseWriter, r *http.Request) {
				p.Honest(httptest.NewRecorder(), r)
				w.Header().Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
				_, _ = io.WriteString(w, url.Values{"access_token": p.Tokens(), "token_type": {"Bearer"}, "scope": {""}}.Encode())
			})
		}, nil},
		"a media type of its own": {func(p *oauth2test.Provider) {
			p.Instead(oauth2test.User, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/vnd.github.v3+json; charset=utf-8")
				_, _ = io.WriteString(w, oauth2test.UserJSON(oauth2test.Ann()))
			})
		}, nil},
		"claims within": {func(p *oauth2test.Provider) {
			p.Instead(oauth2test.User, func(w http.ResponseWriter, _ *http.Request) {
				oauth2test.Reply(w, map[string]any{"data": map[string]any{"id": "x-1", "mail": "ann@acme.example", "confirmed": true, "display": "Ann"}})
			})
		}, func(s *tenants.OAuth2Spec) {
			s.EmailsURL, s.GroupsFrom = "", nil
			s.Claims = tenants.OAuth2Claims{Subject: "data.id", Email: "data.mail", EmailVerified: "data.confirmed", Name: "data.display"}
		}},
		"a query of its own": {nil, func(s *tenants.OAuth2Spec) {
			s.AuthorizationURL += "?allow_signup=false"
			s.EmailsURL += "?per_page=100"
		}},
		"links of other kinds": {func(p *oauth2test.Provider) {
			p.Instead(oauth2test.Orgs, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Link", `<https://docs.example/orgs>; rel="help"; title="a, b", </user/orgs>; rel=first`)
				oauth2test.Reply(w, []any{})
			})
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			w, hub := newWorld(t), oauth2test.New(t)
			connection := hub.Connection()
			if c.provider != nil {
				c.provider(hub)
			}
			if c.connection != nil {
				c.connection(connection.OAuth2)
			}
			w.connections.put(connection)
			w.browser().open("/").has(t, http.StatusOK, "for ann@acme.example called Ann")
		})
	}
}

// TestOnlyVerifiedAddressesCount: whoever is let in without one is known by their
// id alone.
func TestOnlyVerifiedAddressesCount(t *testing.T) {
	list := func(emails ...oauth2test.Email) func(*oauth2test.Provider, *tenants.OAuth2Spec) {
		return func(p *oauth2test.Provider, _ *tenants.OAuth2Spec) {
			who := oauth2test.Ann()
			who.Emails = emails
			p.SignIn(who)
		}
	}
	claim := func(verified string) func(*oauth2test.Provider, *tenants.OAuth2Spec) {
		return func(p *oauth2test.Provider, s *tenants.OAuth2Spec) {
			s.EmailsURL = ""
			p.Instead(oauth2test.User, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				_, _ = io.WriteString(w, `{"id":7,"login":"ann","email":"ann@acme.example"`+verified+`}`)
			})
		}
	}
	for name, c := range map[string]struct {
		say   func(*oauth2test.Provider, *tenants.OAuth2Spec)
		known bool
	}{
		"the primary one, verified":     {list(oauth2test.Email{Email: "ann@acme.example", Primary: true, Verified: true}), true},
		"the primary one, not verified": {list(oauth2test.Email{Email: "ann@acme.example", Primary: true}), false},
		"another one, verified":         {list(oauth2test.Email{Email: "ann@acme.example", Verified: true}), false},
		"the other one is verified":     {list(oauth2test.Email{Email: "ann@acme.example", Primary: true}, oauth2test.Email{Email: "b@acme.example", Verified: true}), false},
		"none":                          {list(), false},
		"a claim, true":                 {claim(`,"email_verified":true`), true},
		"a claim, false":                {claim(`,"email_verified":false`), false},
		"a claim as text":               {claim(`,"email_verified":"true"`), false},
		"a claim, 1":                    {claim(`,"email_verified":1`), false},
		"a claim in a list":             {claim(`,"email_verified":[true]`), false},
		"a claim without a word":        {claim(``), false},
	} {
		t.Run(name, func(t *testing.T) {
			w, hub := newWorld(t), oauth2test.New(t)
			connection := hub.Connection()
			c.say(hub, connection.OAuth2)
			w.connections.put(connection)
			w.browser().open("/").has(t, http.StatusOK, "app / for ")
			live, _, err := w.sessions.List(t.Context(), acme, sessions.Filter{State: sessions.StateLive})
			check(t, err)
			user, err := w.directory.User(t.Context(), acme, live[0].User)
			check(t, err)
			if (user.Email == "ann@acme.example") != c.known || !c.known && (user.Email != "" || user.UserName != live[0].IDPSubject) {
				t.Errorf("known as %q, %q", user.UserName, user.Email)
			}
		})
	}
}

// TestAnIdentityIsTheProvidersIdOfIt: a login name that somebody else has by now
// brings nobody back, and a new one is still the same person.
func TestAnIdentityIsTheProvidersIdOfIt(t *testing.T) {
	w, hub := newWorld(t), oauth2test.New(t)
	w.connections.put(hub.Connection())
	who := func() string {
		t.Helper()
		b := w.browser()
		b.open("/").has(t, http.StatusOK)
		live, err := w.sessions.Find(t.Context(), acme, b.cookie(httpkit.SessionCookie))
		check(t, err)
		return string(live.Principal().User)
	}
	ann := who()
	renamed := oauth2test.Ann()
	renamed.Login = "ann2"
	hub.SignIn(renamed)
	if who() != ann {
		t.Error("a new login name is another person")
	}
	next := oauth2test.Ann() // the nearest number that a float takes for the same
	next.ID, next.Emails = "9007199254740992", nil
	hub.SignIn(next)
	if who() == ann {
		t.Error("somebody with the same login name is the same person")
	}
}

// TestATokenIsTakenBackAfterUse, also where the sign-in is refused.
func TestATokenIsTakenBackAfterUse(t *testing.T) {
	w, hub := newWorld(t), oauth2test.New(t)
	connection := hub.Connection()
	connection.OAuth2.RevocationURL = hub.URL + oauth2test.Revoke
	w.connections.put(connection)
	w.browser().open("/").has(t, http.StatusOK)
	hub.Instead(oauth2test.Teams, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) })
	w.browser().open("/").has(t, http.StatusBadGateway)
	if len(hub.Revoked()) != 2 || len(hub.Tokens()) != 0 {
		t.Errorf("%d were taken back, %d are still good", len(hub.Revoked()), len(hub.Tokens()))
	}
	// That it cannot be taken back keeps nobody out.
	hub.Instead(oauth2test.Teams, hub.Honest)
	hub.Instead(oauth2test.Revoke, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	w.browser().open("/").has(t, http.StatusOK)
}

// TestP6_AccessTokensStayInside: neither page, journal nor log shows one, nor the
// client's secret, whatever goes wrong.
func TestP6_AccessTokensStayInside(t *testing.T) {
	var log bytes.Buffer
	w := newWorldWith(t, slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	const token = "gho_thetokenthatmustnotshow"
	var pages strings.Builder
	for _, attack := range oauth2test.Attacks() {
		hub := oauth2test.New(t)
		hub.NewToken = func() string { return token }
		attack.Do(hub, oauth2test.NewThief(t))
		connection := hub.Connection()
		connection.OAuth2.RevocationURL = hub.URL + "/nothing"
		if attack.Connection != nil {
			attack.Connection(connection.OAuth2)
		}
		w.connections.put(connection)
		pages.WriteString(w.browser().open("/").body)
	}
	w.journal.mu.Lock()
	events := fmt.Sprintf("%+v", w.journal.events)
	w.journal.mu.Unlock()
	if !strings.Contains(log.String(), "access token was not revoked") {
		t.Error("the log tells nothing")
	}
	for where, text := range map[string]string{"a page": pages.String(), "the journal": events, "the log": log.String()} {
		for _, secret := range []string{token, oauth2test.ClientSecret, url.QueryEscape(oauth2test.ClientSecret), "<script>"} {
			if strings.Contains(text, secret) {
				t.Errorf("%s shows %q", where, secret)
			}
		}
	}
}
