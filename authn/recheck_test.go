package authn_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"gatehouse/audit"
	"gatehouse/authn"
	"gatehouse/directory"
	"gatehouse/identity"
	"gatehouse/internal/httpkit"
	"gatehouse/internal/store"
	"gatehouse/sessions"
	"gatehouse/tenants"
)

// offline is what an issuer knows of its refresh tokens. Each is good for once: who
// shows one again has stolen it, or lost the next (RFC 9700 §4.14.2).
type offline struct {
	tokens  map[string]string // the nonce of the sign-in, by token
	made    int
	renewed int
	reused  int
	keeps   bool                                              // its tokens are good for ever
	refuses string                                            // with this error
	bare    bool                                              // gives no id token
	claims  func(jwt.MapClaims)                               // changes the id token's
	instead func(w http.ResponseWriter, r *http.Request) bool // answers, if true
}

func (o *offline) begin(nonce string) string {
	o.made++
	token := fmt.Sprintf("refresh-%d", o.made)
	if o.tokens == nil {
		o.tokens = map[string]string{}
	}
	o.tokens[token] = nonce
	return token
}

// renew answers a refresh; i.mu is held.
func (i *issuer) renew(w http.ResponseWriter, r *http.Request) {
	o := i.offline
	if o.instead != nil && o.instead(w, r) {
		return
	}
	old := r.PostFormValue("refresh_token")
	nonce, ok := o.tokens[old]
	refused := o.refuses
	if !ok {
		o.reused++
		refused = "invalid_grant"
	}
	if refused != "" {
		replyError(w, http.StatusBadRequest, refused)
		return
	}
	o.renewed++
	answer := map[string]any{"access_token": "at", "token_type": "Bearer", "expires_in": 60}
	if !o.keeps {
		delete(o.tokens, old)
		answer["refresh_token"] = o.begin(nonce)
	}
	if !o.bare {
		claims := i.claimsNow()
		if o.claims != nil {
			o.claims(claims)
		}
		answer["id_token"] = i.idToken(claims)
	}
	reply(w, answer)
}

// replyError is RFC 6749 §5.2.
func replyError(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, `{"error":%q}`, code)
}

func (i *issuer) change(change func(*offline)) {
	i.mu.Lock()
	defer i.mu.Unlock()
	change(i.offline)
}

func (i *issuer) counts() (renewed, reused int) {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.offline.renewed, i.offline.reused
}

// rechecked is a connection whose people are asked about every hour.
func (i *issuer) rechecked() tenants.Connection {
	i.offline = &offline{}
	c := i.connection()
	c.OIDC.Recheck, c.OIDC.RecheckGrace = tenants.Duration(time.Hour), tenants.Duration(5*time.Hour)
	return c
}

// later moves the clocks of both sides.
func (w *world) later(i *issuer, d time.Duration) {
	w.advance(d)
	i.mu.Lock()
	defer i.mu.Unlock()
	i.ahead += d
}

// rechecking asks again until the test ends, as one of several nodes.
func (w *world) rechecking() {
	w.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	r := authn.NewRechecks(authn.RechecksConfig{Service: w.Service, Refreshes: w.sessions, Tenants: w.connections, Look: 20 * time.Millisecond})
	go func() { ended <- r.Run(ctx) }()
	w.t.Cleanup(func() {
		cancel()
		check(w.t, <-ended)
	})
}

// kept is how many refresh tokens there are.
func (w *world) kept() (n int64) {
	w.t.Helper()
	check(w.t, w.db.Tenant(acme).Read(w.t.Context(), func(tx *store.Tx) (err error) {
		n, err = store.One(w.t.Context(), tx, store.Scalar[int64], `SELECT count(*) FROM session_refreshes`)
		return err
	}))
	return n
}

// ended are the reasons for which sessions were.
func (w *world) ended() (reasons []string) {
	for _, e := range w.journal.all(audit.SessionsRevoked) {
		reasons = append(reasons, e.Reason)
	}
	return reasons
}

func TestP2_ARefusedRefreshEndsTheSession(t *testing.T) {
	for _, refusal := range []string{"invalid_grant", "interaction_required", "access_denied"} {
		t.Run(refusal, func(t *testing.T) {
			w, idp := newWorld(t), newIssuer(t)
			w.connections.put(idp.rechecked())
			b := w.browser()
			b.open("/").has(t, http.StatusOK)
			if scope := idp.lastAsked().Get("scope"); !strings.HasSuffix(scope, " offline_access") {
				t.Errorf("asked for %q", scope)
			}
			open := b.stream()
			w.rechecking()
			idp.change(func(o *offline) { o.refuses = refusal })
			w.later(idp, time.Hour)
			soon(t, "the end of the session", func() bool { return !b.signedIn() })
			soon(t, "its record", func() bool { return len(w.ended()) > 0 })
			if e := w.journal.all(audit.SessionsRevoked)[0]; e.Reason != "refresh-refused" || e.Actor.Kind != identity.KindIDP || e.Target.Kind != "session" {
				t.Errorf("recorded as %+v", e)
			}
			soon(t, "the end of what was open", open.cut.Load)
			if n := w.kept(); n != 0 {
				t.Errorf("%d refresh tokens are kept", n)
			}
			if renewed, reused := idp.counts(); renewed+reused != 0 {
				t.Errorf("%d renewed, %d reused", renewed, reused)
			}
		})
	}
}

func TestARecheckBringsUpToDate(t *testing.T) {
	for name, shape := range map[string]func(*issuer){
		"with rotation":    func(*issuer) {},
		"without rotation": func(i *issuer) { i.offline.keeps = true },
		"by userinfo": func(i *issuer) {
			i.offline.bare = true
			i.userinfo = map[string]any{"sub": "subject-1", "email": "ann@acme.example", "email_verified": true, "name": "Ann B.", "groups": []string{"dev"}}
		},
		"with the nonce of the sign-in": func(i *issuer) {
			i.offline.claims = func(c jwt.MapClaims) { c["nonce"] = i.nonce }
		},
	} {
		t.Run(name, func(t *testing.T) {
			w, idp := newWorld(t), newIssuer(t)
			w.connections.put(idp.rechecked())
			shape(idp)
			b := w.browser()
			b.open("/").has(t, http.StatusOK, "called Ann")
			before := b.cookie(httpkit.SessionCookie)
			idp.mu.Lock()
			idp.claims = func(c jwt.MapClaims) { c["name"], c["groups"] = "Ann B.", []string{"dev"} }
			idp.mu.Unlock()
			w.rechecking()
			for round := range 3 {
				w.later(idp, time.Hour)
				soon(t, "a refresh", func() bool { renewed, _ := idp.counts(); return renewed == round+1 })
				soon(t, "the end of it", func() bool { return w.held() == 0 })
			}
			b.open("/").has(t, http.StatusOK, "called Ann B.")
			if groups := w.groupsOfAnn(); !slices.Equal(groups, []string{"dev"}) {
				t.Errorf("in %v", groups)
			}
			if _, reused := idp.counts(); reused != 0 || b.cookie(httpkit.SessionCookie) != before || len(w.ended()) != 0 {
				t.Errorf("%d reused, ended for %v", reused, w.ended())
			}
		})
	}
}

// held is how many sessions are being asked about.
func (w *world) held() (n int64) {
	w.t.Helper()
	check(w.t, w.db.Tenant(acme).Read(w.t.Context(), func(tx *store.Tx) (err error) {
		n, err = store.One(w.t.Context(), tx, store.Scalar[int64], `SELECT count(*) FROM session_refreshes WHERE held_until > 0`)
		return err
	}))
	return n
}

func (w *world) groupsOfAnn() (names []string) {
	w.t.Helper()
	check(w.t, w.db.Tenant(acme).Read(w.t.Context(), func(tx *store.Tx) (err error) {
		names, err = store.All(w.t.Context(), tx, store.Scalar[string], `SELECT g.display_name FROM groups g JOIN group_members m ON m.group_id = g.id ORDER BY 1`)
		return err
	}))
	return names
}

// A provider that cannot be asked, or that says nothing about the person, ends
// nobody's session, until it has been so for too long.
func TestP7_AProviderThatCannotBeAskedAgain(t *testing.T) {
	for name, c := range map[string]struct {
		answer func(w http.ResponseWriter, r *http.Request) bool
		want   authn.Reason
	}{
		"broken": {says500, authn.ProviderUnreachable},
		"too busy": {func(w http.ResponseWriter, _ *http.Request) bool {
			w.WriteHeader(http.StatusTooManyRequests)
			return true
		}, authn.ProviderUnreachable},
		"a page":          {func(w http.ResponseWriter, _ *http.Request) bool { _, _ = w.Write([]byte("<html>")); return true }, authn.ProviderUnreachable},
		"our fault":       {saysError("invalid_client"), authn.ProviderUnusable},
		"not for clients": {saysError("unauthorized_client"), authn.ProviderUnusable},
	} {
		t.Run(name, func(t *testing.T) {
			w, idp := newWorld(t), newIssuer(t)
			w.connections.put(idp.rechecked())
			b := w.browser()
			b.open("/").has(t, http.StatusOK)
			idp.change(func(o *offline) { o.instead = c.answer })
			w.rechecking()
			w.later(idp, time.Hour)
			failed := func() []audit.Event { return w.journal.all(audit.SessionRechecked) }
			soon(t, "the record of it", func() bool { return len(failed()) > 0 })
			if e := failed()[0]; e.Reason != string(c.want) || e.Outcome != audit.Failed || strings.Contains(e.Message, "refresh-1") {
				t.Errorf("recorded as %+v", e)
			}
			for range 3 {
				w.later(idp, time.Hour)
				soon(t, "the end of a try", func() bool { return w.held() == 0 })
				b.open("/").has(t, http.StatusOK)
			}
			if n := len(failed()); n != 1 {
				t.Errorf("recorded %d times", n)
			}
			w.later(idp, 2*time.Hour)
			soon(t, "the end of the session", func() bool { return !b.signedIn() })
			soon(t, "its record", func() bool { return slices.Contains(w.ended(), "recheck-overdue") })
		})
	}
}

func says500(w http.ResponseWriter, _ *http.Request) bool {
	w.WriteHeader(http.StatusInternalServerError)
	return true
}

func saysError(code string) func(w http.ResponseWriter, r *http.Request) bool {
	return func(w http.ResponseWriter, _ *http.Request) bool {
		replyError(w, http.StatusUnauthorized, code)
		return true
	}
}

// What comes of a refresh is believed as little as what comes of a sign-in (OpenID
// Connect Core §12.2). Whoever it is about, they are not signed in.
func TestHostileRefreshes(t *testing.T) {
	set := func(name string, value any) func(*issuer) {
		return func(i *issuer) { i.offline.claims = func(c jwt.MapClaims) { c[name] = value } }
	}
	for name, c := range map[string]struct {
		attack func(*issuer)
		ends   bool
		want   authn.Reason
	}{
		"about another":      {set("sub", "boss"), true, ""},
		"about nobody":       {set("sub", nil), true, ""},
		"of another issuer":  {set("iss", "https://evil.example"), false, authn.WrongIssuer},
		"for another":        {set("aud", "another"), false, authn.WrongAudience},
		"used by another":    {set("azp", "another"), false, authn.WrongAudience},
		"of another sign-in": {set("nonce", "another"), false, authn.WrongNonce},
		"expired":            {set("exp", 1), false, authn.Expired},
		"of a later time":    {set("iat", 1<<35), false, authn.NotYetValid},
		"signed by nobody":   {forged(t, map[string]any{"alg": "none"}, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType), false, authn.WrongAlgorithm},
		"of another key":     {segments(func(h, p, _ string) string { return h + "." + p + "." + strings.Repeat("A", 86) }), false, authn.WrongKey},
		"userinfo of another": {func(i *issuer) {
			i.offline.bare, i.userinfo = true, map[string]any{"sub": "boss", "email": "boss@acme.example"}
		}, true, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w, idp := newWorld(t), newIssuer(t)
			w.connections.put(idp.rechecked())
			b := w.browser()
			b.open("/").has(t, http.StatusOK)
			idp.mu.Lock()
			c.attack(idp)
			idp.mu.Unlock()
			w.rechecking()
			w.later(idp, time.Hour)
			if c.ends {
				soon(t, "the end of the session", func() bool { return !b.signedIn() })
				soon(t, "its record", func() bool { return slices.Equal(w.ended(), []string{"refresh-refused"}) })
				return
			}
			soon(t, "the record of it", func() bool { return len(w.journal.all(audit.SessionRechecked)) > 0 })
			if e := w.journal.all(audit.SessionRechecked)[0]; e.Reason != string(c.want) {
				t.Errorf("recorded as %+v", e)
			}
			// The token that came with it is kept all the same: the old one is used up.
			idp.mu.Lock()
			idp.sign, idp.offline.claims = nil, nil
			idp.mu.Unlock()
			w.later(idp, time.Hour)
			soon(t, "a refresh that is good", func() bool { renewed, _ := idp.counts(); return renewed >= 2 })
			soon(t, "the end of it", func() bool { return w.held() == 0 })
			if _, reused := idp.counts(); reused != 0 || !b.signedIn() {
				t.Errorf("%d reused, signed in %t", reused, b.signedIn())
			}
		})
	}
}

// TestOneNodeAsksAboutASession at a time: a provider that sees a refresh token twice
// takes the second one for a thief's.
func TestOneNodeAsksAboutASession(t *testing.T) {
	w, idp := newWorld(t), newIssuer(t)
	w.connections.put(idp.rechecked())
	browsers := make([]*browser, 12)
	for i := range browsers {
		browsers[i] = w.browser()
		browsers[i].open("/").has(t, http.StatusOK)
	}
	for range 4 {
		w.rechecking()
	}
	for round := range 3 {
		w.later(idp, time.Hour)
		soon(t, "a refresh of each", func() bool { renewed, _ := idp.counts(); return renewed == (round+1)*len(browsers) })
		soon(t, "the end of them", func() bool { return w.held() == 0 })
	}
	if _, reused := idp.counts(); reused != 0 {
		t.Errorf("%d tokens were used twice", reused)
	}
	for _, b := range browsers {
		if !b.signedIn() {
			t.Error("a session has ended")
		}
	}
}

func TestRecheckTakesARefreshToken(t *testing.T) {
	w, idp := newWorld(t), newIssuer(t)
	c := idp.rechecked()
	idp.offline = nil
	w.connections.put(c)
	b := w.browser()
	b.open("/").has(t, http.StatusForbidden, "not set up correctly")
	if got := w.journal.lastRefusal(t); got != authn.RefreshMissing || b.cookie(httpkit.SessionCookie) != "" {
		t.Errorf("reason %q", got)
	}
	w.connections.put(idp.connection()) // which asks for none
	b.open("/").has(t, http.StatusOK)
	if scope := idp.lastAsked().Get("scope"); strings.Contains(scope, "offline") || w.kept() != 0 {
		t.Errorf("asked for %q, %d kept", scope, w.kept())
	}
}

// Without a journal no session ends (P1), and the provider is asked once more.
func TestP1_ARefusedRefreshIsRecordedFirst(t *testing.T) {
	w, idp := newWorld(t), newIssuer(t)
	w.connections.put(idp.rechecked())
	b := w.browser()
	b.open("/").has(t, http.StatusOK)
	asked := make(chan struct{})
	var once sync.Once
	idp.change(func(o *offline) {
		o.instead = func(w http.ResponseWriter, _ *http.Request) bool {
			once.Do(func() { close(asked) })
			return saysError("invalid_grant")(w, nil)
		}
	})
	w.journal.fail(errors.New("disk full"))
	w.rechecking()
	w.later(idp, time.Hour)
	<-asked
	if !b.signedIn() {
		t.Error("the session has ended without a record")
	}
	w.journal.mend()
	w.later(idp, 10*time.Minute) // the lease is over
	soon(t, "the end of the session", func() bool { return !b.signedIn() })
}

// TestARecheckOfSomebodyWhoIsGone ends the session, as a sign-in would be refused.
func TestARecheckOfSomebodyWhoIsGone(t *testing.T) {
	w, idp := newWorld(t), newIssuer(t)
	w.connections.put(idp.rechecked())
	b := w.browser()
	b.open("/").has(t, http.StatusOK)
	// The identity is another person's by now.
	other, err := w.directory.CreateUser(t.Context(), audit.SystemCause(), acme, directory.User{UserName: "other", Active: true, Source: directory.SourceAdmin})
	check(t, err)
	check(t, w.db.Tenant(acme).Write(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(t.Context(), `UPDATE identities SET user_id = $1`, other.ID)
		return err
	}))
	w.rechecking()
	w.later(idp, time.Hour)
	soon(t, "the end of the session", func() bool { return !b.signedIn() })
	if !slices.Equal(w.ended(), []string{"refresh-refused"}) {
		t.Errorf("ended for %v", w.ended())
	}
}

// checked reports whether all have been asked about since so long after now.
func (w *world) checked(after time.Duration) bool {
	w.t.Helper()
	var late int64
	check(w.t, w.db.Tenant(acme).Read(w.t.Context(), func(tx *store.Tx) (err error) {
		late, err = store.One(w.t.Context(), tx, store.Scalar[int64], `SELECT count(*) FROM session_refreshes WHERE checked_at < $1`, store.Millis(time.Now().Add(after)))
		return err
	}))
	return late == 0
}

// Who may use a connection is asked again with everything else: somebody who may
// not any more is out. What an answer leaves out is no reason.
func TestP2_ARecheckHeedsTheRules(t *testing.T) {
	for name, try := range map[string]struct {
		then  func(jwt.MapClaims)
		ended bool
		in    []string
	}{
		"as before":                       {func(c jwt.MapClaims) { c["groups"], c["dept"] = []string{"app"}, "Tax" }, false, []string{"app", "money"}},
		"nothing said":                    {func(c jwt.MapClaims) { delete(c, "email"); delete(c, "groups") }, false, []string{"app", "money"}},
		"another group":                   {func(c jwt.MapClaims) { c["groups"], c["dept"] = []string{"other"}, "Tax" }, true, nil},
		"another domain":                  {func(c jwt.MapClaims) { c["groups"], c["email"] = []string{"app"}, "ann@globex.example" }, true, nil},
		"an address that nobody verified": {func(c jwt.MapClaims) { c["groups"], c["email_verified"] = []string{"app"}, false }, true, nil},
		"another claim":                   {func(c jwt.MapClaims) { c["groups"], c["dept"] = []string{"app"}, "Sales" }, false, []string{"app"}},
	} {
		t.Run(name, func(t *testing.T) {
			w, idp := newWorld(t), newIssuer(t)
			c := idp.rechecked()
			c.Admits = tenants.Admission{Domains: []string{"acme.example"}, Groups: []string{"app"}}
			c.GroupRules = []tenants.GroupRule{{Claim: "dept", Values: []string{"Tax"}, Group: "money"}}
			w.connections.put(c)
			idp.userinfo = map[string]any{"sub": "subject-1"}
			idp.claims = func(c jwt.MapClaims) { c["groups"], c["dept"] = []string{"app"}, "Tax" }
			b := w.browser()
			b.open("/").has(t, http.StatusOK, "called Ann")
			idp.mu.Lock()
			idp.claims = try.then
			idp.mu.Unlock()
			w.rechecking()
			w.later(idp, time.Hour)
			if try.ended {
				soon(t, "the end", func() bool { return len(w.ended()) == 1 })
				soon(t, "that nothing is served", func() bool { return !b.signedIn() })
				return
			}
			soon(t, "a refresh", func() bool { renewed, _ := idp.counts(); return renewed == 1 })
			soon(t, "the end of it", func() bool { return w.held() == 0 })
			groups := w.groupsOfAnn()
			slices.Sort(groups)
			if !slices.Equal(groups, try.in) || len(w.ended()) != 0 {
				t.Errorf("in %v, ended %v", groups, w.ended())
			}
		})
	}
}

// A provider whose next refresh token cannot be kept is not asked by the old one again,
// which it may take for a thief's: the session ends, and the journal says why.
func TestP7_ARefreshTokenThatCannotBeKeptEndsTheSession(t *testing.T) {
	w, idp := newWorld(t), newIssuer(t)
	w.connections.put(idp.rechecked())
	b := w.browser()
	b.open("/").has(t, http.StatusOK)
	asked := 0
	idp.change(func(o *offline) {
		o.instead = func(rw http.ResponseWriter, _ *http.Request) bool {
			asked++
			reply(rw, map[string]any{"access_token": "t0ken", "token_type": "Bearer", "refresh_token": strings.Repeat("r", sessions.MaxRefresh)})
			return true
		}
	})
	w.rechecking()
	w.later(idp, time.Hour)
	soon(t, "the end of the session", func() bool { return len(w.journal.all(audit.SessionsRevoked)) == 1 && w.kept() == 0 })
	if ended := w.journal.all(audit.SessionsRevoked)[0]; ended.Reason != sessions.ReasonRecheckOverdue {
		t.Errorf("ended for %s", ended.Reason)
	}
	said := w.journal.all(audit.SessionRechecked)
	if len(said) != 1 || said[0].Outcome != audit.Failed || said[0].Reason != string(authn.RefreshUnkeepable) {
		t.Errorf("recorded %+v", said)
	}
	idp.mu.Lock()
	defer idp.mu.Unlock()
	if asked != 1 {
		t.Errorf("asked %d times", asked)
	}
}
