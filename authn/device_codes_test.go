package authn_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse/audit"
	"gatehouse/internal/store"
	"gatehouse/tenants"
)

func TestPollingADeviceCode(t *testing.T) {
	w, _, b := deviceWorld(t)
	p := w.asks()
	now := func(want string) {
		t.Helper()
		if a := p.post(atToken, tokenForm(p.Device), nil); a.Error != want {
			t.Errorf("%q, want %q", a.Error, want)
		}
	}
	now("authorization_pending")
	now("slow_down") // 10 s from now on
	p.wants("slow_down")
	w.advance(9 * time.Second)
	p.wants("authorization_pending")
	b.allows(p.User)
	now("slow_down") // and what is allowed waits
	w.advance(20 * time.Second)
	if a := p.wants(""); a.Token == "" {
		t.Error("nothing came of it")
	}
	if got := w.reasons(); !slices.Equal(got, []string{"too-often", "too-often", "too-often"}) {
		t.Errorf("refused for %v", got)
	}

	flood := w.asks()
	for range 20 {
		if a := flood.post(atToken, tokenForm(flood.Device), nil); a.Error != "authorization_pending" && a.Error != "slow_down" {
			t.Errorf("%+v", a)
		}
	}
	w.advance(61 * time.Second) // and no longer
	if a := flood.post(atToken, tokenForm(flood.Device), nil); a.Error != "authorization_pending" {
		t.Errorf("a minute later: %q", a.Error)
	}

	late := w.asks()
	form := b.enters(late.User)
	w.advance(10*time.Minute - time.Second)
	late.wants("expired_token")
	b.decides(form, "allow").has(t, http.StatusForbidden, "took too long")
	b.post("/.gatehouse/device", url.Values{"user_code": {late.User}}).has(t, http.StatusForbidden, "too long")
	late.wants("expired_token")

	// Allowed in time, and asked for too late.
	late = w.asks()
	b.allows(late.User)
	w.advance(11 * time.Minute)
	late.wants("expired_token")
}

// Of one network the newest wait, and never more than some.
func TestProgramsThatAskAreBounded(t *testing.T) {
	w, _, _ := deviceWorld(t)
	first := w.asks()
	for range 64 {
		w.asks()
	}
	first.wants("invalid_grant")
	var n int64
	check(t, w.db.Tenant(acme).Read(t.Context(), func(tx *store.Tx) (err error) {
		n, err = store.One(t.Context(), tx, store.Scalar[int64], `SELECT count(*) FROM device_codes`)
		return err
	}))
	if n != 64 {
		t.Errorf("%d wait", n)
	}
}

// Strangers who ask in the network of somebody's program do not drive it out once it
// is allowed: what is over goes first, then what nobody has answered.
func TestStrangersDriveOutNothingThatIsAllowed(t *testing.T) {
	w, _, b := deviceWorld(t)
	allowed, waiting, denied := w.asks(), w.asks(), w.asks()
	b.allows(allowed.User)
	b.decides(b.enters(denied.User), "deny").has(t, http.StatusOK)
	for range 62 { // one more than there is room for
		w.asks()
	}
	denied.wants("invalid_grant")
	waiting.wants("authorization_pending")
	for range 64 {
		w.asks()
	}
	waiting.wants("invalid_grant")
	allowed.wants("")
}

// Over all networks there are so many, and what is over goes first, whoever asked for
// it; what is allowed goes last.
func TestATenantsProgramsAreBounded(t *testing.T) {
	w, _, _ := deviceWorld(t)
	states := func() (all []string) {
		check(t, w.db.Tenant(acme).Read(t.Context(), func(tx *store.Tx) (err error) {
			all, err = store.All(t.Context(), tx, store.Scalar[string], `SELECT state FROM device_codes WHERE client = 'old' ORDER BY state DESC`)
			return err
		}))
		return all
	}
	check(t, w.db.Tenant(acme).Write(t.Context(), func(tx *store.Tx) error {
		for i := range 2048 {
			client, state, expires := "", "pending", w.clock().Add(time.Minute)
			if i < 4 { // the allowed one is the oldest, and the used one the newest
				client, state, expires = "old", []string{"allowed", "pending", "pending", "used"}[i], expires.Add(time.Duration(i-3)*time.Second)
			}
			if _, err := tx.Exec(t.Context(), `INSERT INTO device_codes (device_hash, user_hash, network_hash, client, host, ip, user_agent, state, allowed_by, pace, polled_at, hasty, created_at, expires_at)
				VALUES ($1, $2, $3, $4, '', '', '', $5, '', 0, 0, FALSE, 0, $6)`, fmt.Append(nil, "d", i), fmt.Append(nil, "u", i), fmt.Append(nil, "n", i), client, state, store.Millis(expires)); err != nil {
				return err
			}
		}
		return nil
	}))
	for _, left := range [][]string{{"pending", "pending", "allowed"}, {"pending", "allowed"}, {"allowed"}, {"allowed"}} {
		w.connections.write(`UPDATE device_codes SET network_hash = device_hash`) // everybody comes from elsewhere
		w.asks()
		if got := states(); !slices.Equal(got, left) {
			t.Errorf("%v are left, want %v", got, left)
		}
	}
}

// A program that leaves just as its session is made gets it when it asks again.
func TestAProgramThatLeavesAsksAgain(t *testing.T) {
	w, _, b := deviceWorld(t)
	p := w.asks()
	b.allows(p.User)
	w.connections.set(tenants.SessionSettings{RoleNetworks: map[string][]netip.Prefix{"owner": {netip.MustParsePrefix("203.0.113.0/24")}}})
	w.advance(6 * time.Second)
	r := httptest.NewRequest(http.MethodPost, atToken, strings.NewReader(tokenForm(p.Device).Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	ctx, leave := context.WithCancel(r.Context())
	defer leave()
	w.grants.mu.Lock()
	w.grants.asked = leave
	w.grants.mu.Unlock()
	got := httptest.NewRecorder()
	w.Handler().ServeHTTP(got, w.passed(r.WithContext(ctx)))
	if got.Code != http.StatusServiceUnavailable || ctx.Err() == nil {
		t.Fatalf("%d %s", got.Code, got.Body)
	}
	token := p.wants("").Token
	p.wantsAs(token, http.StatusOK)
	if n := len(w.journal.all(audit.SignInSucceeded)); n != 2 {
		t.Errorf("%d sign-ins are recorded", n)
	}
}

// Who enters what is right leaves nothing behind.
func TestARightCodeIsNoGuess(t *testing.T) {
	w, _, b := deviceWorld(t)
	p := w.asks()
	rows := func() (n int64) {
		check(t, w.db.Tenant(acme).Read(t.Context(), func(tx *store.Tx) (err error) {
			n, err = store.One(t.Context(), tx, store.Scalar[int64], `SELECT count(*) FROM device_guesses`)
			return err
		}))
		return n
	}
	for range 3 {
		b.enters(p.User)
	}
	if n := rows(); n != 0 {
		t.Errorf("%d are counted", n)
	}
	b.post("/.gatehouse/device", url.Values{"user_code": {"BBBB-BBBB"}}).has(t, http.StatusForbidden)
	b.enters(p.User)
	if n := rows(); n != 2 { // the person and the network
		t.Errorf("of one wrong code: %d", n)
	}
}

// Secrets are not at rest, and nowhere in the journal.
func TestP6_DeviceCodesAreHashesAtRest(t *testing.T) {
	w, _, p, token := signedIn(t)
	next := w.asks()
	text, err := json.Marshal(w.journal.events)
	check(t, err)
	var rows []string
	check(t, w.db.Tenant(acme).Read(t.Context(), func(tx *store.Tx) (err error) {
		rows, err = store.All(t.Context(), tx, func(row store.Row) (string, error) {
			var a, b []byte
			err := row.Scan(&a, &b)
			return string(a) + string(b), err
		}, `SELECT device_hash, user_hash FROM device_codes`)
		return err
	}))
	for _, secret := range []string{p.Device, token, next.Device, next.User, strings.ReplaceAll(next.User, "-", "")} {
		if strings.Contains(string(text), secret) || strings.Contains(strings.Join(rows, " "), secret) {
			t.Errorf("%s is there", secret)
		}
	}
	if len(rows) != 2 {
		t.Errorf("%d rows", len(rows))
	}
}

// However many ask at once, a code is good for one session.
func TestOnePollOfManyGetsTheToken(t *testing.T) {
	w, _, b := deviceWorld(t)
	p := w.asks()
	b.allows(p.User)
	w.advance(6 * time.Second)
	var all sync.WaitGroup
	answers := make([]answer, 8)
	for i := range answers {
		all.Go(func() { answers[i] = p.post(atToken, tokenForm(p.Device), nil) })
	}
	all.Wait()
	tokens := 0
	for _, a := range answers {
		switch {
		case a.Token != "":
			tokens++
		case a.Error != "slow_down" && a.Error != "invalid_grant":
			t.Errorf("%+v", a)
		}
	}
	if tokens != 1 || len(w.journal.all(audit.SignInSucceeded)) != 2 {
		t.Errorf("%d tokens, %d sign-ins", tokens, len(w.journal.all(audit.SignInSucceeded)))
	}
}
