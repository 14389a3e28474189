package authn_test

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"gatehouse/audit"
	"gatehouse/authn/keyring"
	"gatehouse/authn/oidc"
	"gatehouse/internal/fault"
)

// knows has the issuer take assertions by the keys that it was given, and no others. by
// tells by which the last one was.
func (i *issuer) knows(w *world, set jose.JSONWebKeySet) (by func() string) {
	var mu sync.Mutex
	last := ""
	i.mu.Lock()
	defer i.mu.Unlock()
	i.front = map[string]http.HandlerFunc{"/token": func(w2 http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		check(w.t, r.ParseForm())
		_, kid, err := verified(set, r.PostForm, w.clock())
		if err != nil {
			replyError(w2, http.StatusUnauthorized, "invalid_client")
			return
		}
		last = kid
		r.SetBasicAuth(clientID, url.QueryEscape(clientSecret)) // what this issuer knows clients by otherwise
		i.redeem(w2, r)
	}}
	return func() string {
		mu.Lock()
		defer mu.Unlock()
		return last
	}
}

// oidcSide is our side of a connection, as another node would see it.
func (w *world) oidcSide(t *testing.T) *oidc.Protocol {
	t.Helper()
	p := oidc.New(oidc.Config{Store: w.db, Keys: w.keys, Journal: w.journal, Client: w.egress, Now: w.clock})
	t.Cleanup(p.Close)
	return p
}

// An admin rolls the key over, at a provider that was given our keys by hand: nothing is
// refused meanwhile, and the old key goes by itself.
func TestAnAdminRollsOurKeyOver(t *testing.T) {
	const day = 24 * time.Hour
	w, idp := newWorld(t), newIssuer(t)
	w.connections.put(idp.byKey())
	c, err := w.connections.Connection(t.Context(), acme, "idp")
	check(t, err)
	side := w.oidcSide(t)
	signIn := func(by func() string) string {
		w.browser().open("/").has(t, http.StatusOK, "for ann@acme.example")
		return by()
	}
	first := w.clientKeys()
	if got := signIn(idp.knows(w, first)); len(first.Keys) != 1 || got != first.Keys[0].KeyID {
		t.Fatalf("%d keys, and it signs with %q", len(first.Keys), got)
	}

	w.later(idp, 80*day) // soon the next one would be made by itself
	check(t, side.PrepareKey(t.Context(), audit.SystemCause(), acme, c, oidc.MaxOverlap))
	if err := side.PrepareKey(t.Context(), audit.SystemCause(), acme, c, 0); !errors.Is(err, keyring.ErrPrepared) {
		t.Errorf("one more: %v", err)
	}
	both := w.clientKeys()
	own, err := side.OwnKeys(t.Context(), acme, c)
	check(t, err)
	if len(both.Keys) != 2 || len(own) != 2 || own[0].State != keyring.Prepared || own[1].State != keyring.Signing || both.Keys[1].KeyID != own[0].JWK.KeyID || !own[0].JWK.IsPublic() {
		t.Fatalf("published %d, own %+v", len(both.Keys), own)
	}
	changed := w.journal.all(audit.ConnectionChanged)
	if len(changed) != 1 || changed[0].Details["change"] != "key-prepared" || changed[0].Details["key"] != own[0].JWK.KeyID || changed[0].Details["signs_at"] != own[0].SignsAt.UTC().Format(time.RFC3339) || changed[0].Connection != c.ID {
		t.Errorf("recorded as %+v", changed)
	}
	by := idp.knows(w, both)
	for range 2 { // in which the first one reaches the age at which it would be replaced
		if got := signIn(by); got != first.Keys[0].KeyID {
			t.Errorf("before its time it signs with %q", got)
		}
		w.later(idp, oidc.MaxOverlap/2-time.Hour)
	}
	w.later(idp, 3*time.Hour)
	if got := signIn(by); got != own[0].JWK.KeyID {
		t.Errorf("after the overlap it signs with %q", got)
	}
	if now := w.clientKeys(); len(now.Keys) != 2 {
		t.Errorf("%d are published at once after", len(now.Keys))
	}
	w.later(idp, day)
	if now := w.clientKeys(); len(now.Keys) != 1 || now.Keys[0].KeyID != own[0].JWK.KeyID {
		t.Errorf("a day later %d are published", len(now.Keys))
	}
	if own, err = side.OwnKeys(t.Context(), acme, c); err != nil || len(own) != 2 || own[1].State != keyring.Retired || own[1].Published {
		t.Errorf("own %+v, %v", own, err)
	}

	// At once, as when the old one has become known.
	check(t, side.PrepareKey(t.Context(), audit.SystemCause(), acme, c, 0))
	now := w.clientKeys()
	if got := signIn(idp.knows(w, now)); got == own[0].JWK.KeyID || !slices.ContainsFunc(now.Keys, func(k jose.JSONWebKey) bool { return k.KeyID == got }) {
		t.Errorf("it signs with %q", got)
	}
}

// A roll-over that has begun is taken back, or ended before its time.
func TestAnAdminEndsTheRollOverOfOurKey(t *testing.T) {
	w, idp := newWorld(t), newIssuer(t)
	w.connections.put(idp.byKey())
	c, err := w.connections.Connection(t.Context(), acme, "idp")
	check(t, err)
	side := w.oidcSide(t)
	first := w.clientKeys().Keys[0].KeyID
	for _, end := range []func() error{
		func() error { return side.FinishKey(t.Context(), audit.SystemCause(), acme, c) },
		func() error { return side.TakeBackKey(t.Context(), audit.SystemCause(), acme, c) },
	} {
		if err := end(); !fault.Is(err, fault.Conflict) {
			t.Errorf("without a next key: %v", err)
		}
	}
	next := func() string {
		check(t, side.PrepareKey(t.Context(), audit.SystemCause(), acme, c, 24*time.Hour))
		own, err := side.OwnKeys(t.Context(), acme, c)
		check(t, err)
		return own[0].JWK.KeyID
	}
	back := next()
	check(t, side.TakeBackKey(t.Context(), audit.SystemCause(), acme, c))
	if now := w.clientKeys(); len(now.Keys) != 1 || now.Keys[0].KeyID != first {
		t.Errorf("after %s was taken back there are %+v", back, now.Keys)
	}
	signs := next()
	check(t, side.FinishKey(t.Context(), audit.SystemCause(), acme, c))
	by := idp.knows(w, w.clientKeys())
	w.browser().open("/").has(t, http.StatusOK, "for ann@acme.example")
	if got := by(); got != signs {
		t.Errorf("it signs with %q", got)
	}
	var told []string
	for _, e := range w.journal.all(audit.ConnectionChanged) {
		told = append(told, e.Details["change"]+" "+e.Details["key"])
	}
	if want := []string{"key-prepared " + back, "key-taken-back " + back, "key-prepared " + signs, "key-finished " + signs}; !slices.Equal(told, want) {
		t.Errorf("recorded %q", told)
	}
}

// What cannot be done makes no key, and nothing is done that is not recorded.
func TestP1_NoKeyIsRolledOverWithoutItsRecord(t *testing.T) {
	w, idp := newWorld(t), newIssuer(t)
	w.connections.put(idp.byKey())
	c, err := w.connections.Connection(t.Context(), acme, "idp")
	check(t, err)
	side := w.oidcSide(t)
	w.clientKeys()
	for _, overlap := range []time.Duration{-time.Second, oidc.MaxOverlap + time.Second} {
		if err := side.PrepareKey(t.Context(), audit.SystemCause(), acme, c, overlap); !fault.Is(err, fault.Invalid) {
			t.Errorf("an overlap of %v: %v", overlap, err)
		}
	}
	bySecret := idp.connection()
	if err := side.PrepareKey(t.Context(), audit.SystemCause(), acme, bySecret, 0); !fault.Is(err, fault.NotFound) {
		t.Errorf("without private_key_jwt: %v", err)
	}
	w.journal.fail(errors.New("full"))
	if err := side.PrepareKey(t.Context(), audit.SystemCause(), acme, c, 0); !fault.Is(err, fault.Unavailable) {
		t.Errorf("without a journal: %v", err)
	}
	w.journal.mend()
	if now := w.clientKeys(); len(now.Keys) != 1 {
		t.Errorf("%d keys", len(now.Keys))
	}
	c.ID = "con_gone"
	if err := side.PrepareKey(t.Context(), audit.SystemCause(), acme, c, 0); !fault.Is(err, fault.NotFound) {
		t.Errorf("of a connection that is gone: %v", err)
	}
}
