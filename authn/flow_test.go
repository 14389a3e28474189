package authn_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"gatehouse/authn"
	"gatehouse/internal/httpkit"
	"gatehouse/internal/store"
)

// Whoever fills the table of steps drives out their own, from however many networks
// of theirs, and nobody else's, however old.
func TestAFullTableOfStepsDrivesOutWhoFillsIt(t *testing.T) {
	w, idp := newWorld(t), newIssuer(t)
	w.connections.put(idp.connection())
	const most, callback = 16384, "/.gatehouse/oidc/idp/callback?"
	b := w.browser()
	b.open("/.gatehouse/login?return_to=/nowhere").has(t, http.StatusOK)
	first := w.beginElsewhere(t, b)
	begin := func(ip string) {
		t.Helper()
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, w.url+"/.gatehouse/login?connection=idp", http.NoBody)
		passed := *httpkit.RequestFrom(w.passed(r).Context())
		passed.ClientIP = netip.MustParseAddr(ip)
		rec := httptest.NewRecorder()
		w.Handler().ServeHTTP(rec, r.WithContext(httpkit.WithRequest(r.Context(), &passed)))
		if rec.Code != http.StatusSeeOther && rec.Code != http.StatusFound {
			t.Fatalf("%s: %d %s", ip, rec.Code, rec.Body)
		}
	}
	begin("2001:db8:1:1::1")
	begin("2001:db8:1:2::1")
	count := func(where string) (n int64) {
		check(t, w.db.Tenant(acme).Read(t.Context(), func(tx *store.Tx) (err error) {
			n, err = store.One(t.Context(), tx, store.Scalar[int64], `SELECT count(*) FROM login_flows WHERE `+where)
			return err
		}))
		return n
	}
	const flood = `network_hash = (SELECT network_hash FROM login_flows GROUP BY network_hash ORDER BY count(*) DESC LIMIT 1)`
	if n := count(flood); n != 2 {
		t.Fatalf("%d steps are of one site, want 2", n)
	}
	others := count("0 = 0") + 100
	expires := store.Millis(time.Now().Add(time.Hour)) // after those that were begun above
	check(t, w.db.Tenant(acme).Write(t.Context(), func(tx *store.Tx) error {
		for i := range most - others + 100 {
			site := []byte("flood")
			if i < 100 {
				site = fmt.Append(nil, "elsewhere ", i/2)
			}
			if _, err := tx.Exec(t.Context(), `INSERT INTO login_flows (id_hash, browser_hash, network_hash, connection_id, state, created_at, expires_at)
				VALUES ($1, $2, $2, 'other', $2, 0, $3)`, fmt.Append(nil, i), site, expires+i); err != nil {
				return err
			}
		}
		return nil
	}))
	begin("2001:db8:2::1")
	if all, of := count("0 = 0"), count(flood); all != most-256+1 || of != most-others-256 {
		t.Errorf("%d steps are left, %d of them of the flood", all, of)
	}
	b.open(callback+first.Encode()).has(t, http.StatusOK)
}

// Whoever makes up states must not slow down a tenant's changes.
func TestAnUnknownStateWaitsForNoLock(t *testing.T) {
	w, idp := newWorld(t), newIssuer(t)
	w.connections.put(idp.connection())
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	check(t, w.db.Tenant(acme).Write(ctx, func(*store.Tx) error {
		query := url.Values{"code": {"c0de"}, "state": {strings.Repeat("A", 43)}, "iss": {idp.URL}}
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, w.url+"/.gatehouse/oidc/idp/callback?"+query.Encode(), nil)
		if err != nil {
			return err
		}
		b := w.browser()
		b.read(b.Do(req)).has(t, http.StatusForbidden, "not begun here")
		return nil
	}))
	if got := w.journal.lastRefusal(t); got != authn.Reason("unsolicited") {
		t.Errorf("reason %q", got)
	}
}
