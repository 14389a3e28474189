package authn_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"gatehouse/authn"
	"gatehouse/internal/store"
)

func TestAFullTableOfStepsDrivesOutTheNetworksOwn(t *testing.T) {
	w, idp := newWorld(t), newIssuer(t)
	w.connections.put(idp.connection())
	const most, callback = 4096, "/.gatehouse/oidc/idp/callback?"
	expires := store.Millis(time.Now().Add(time.Minute)) // before those that begin below
	check(t, w.db.Tenant(acme).Write(t.Context(), func(tx *store.Tx) error {
		for i := range most - 1 {
			if _, err := tx.Exec(t.Context(), `INSERT INTO login_flows (id_hash, browser_hash, network_hash, connection_id, state, created_at, expires_at)
				VALUES ($1, $2, $2, 'other', $2, 0, $3)`, fmt.Append(nil, i), []byte("elsewhere"), expires); err != nil {
				return err
			}
		}
		return nil
	}))
	b := w.browser()
	first := w.beginElsewhere(t, b)
	w.beginElsewhere(t, b)
	b.open(callback+first.Encode()).has(t, http.StatusForbidden, "not begun here")
	others := int64(0)
	check(t, w.db.Tenant(acme).Read(t.Context(), func(tx *store.Tx) (err error) {
		others, err = store.One(t.Context(), tx, store.Scalar[int64], `SELECT count(*) FROM login_flows WHERE connection_id = 'other'`)
		return err
	}))
	if others != most-1 {
		t.Errorf("%d sign-ins of other networks are left, want all %d", others, most-1)
	}
}

// Whoever makes up states must not slow down a tenant's changes.
func TestAnUnknownStateWaitsForNoLock(t *testing.T) {
	w, idp := newWorld(t), newIssuer(t)
	w.connections.put(idp.connection())
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
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
