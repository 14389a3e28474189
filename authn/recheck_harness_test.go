package authn_test

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"gatehouse/audit"
	"gatehouse/authn"
	"gatehouse/internal/store"
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
