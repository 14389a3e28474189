package authn_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse/audit"
	"gatehouse/internal/store"
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
