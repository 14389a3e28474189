package token

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse/audit"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/internal/httpkit"
	"gatehouse/internal/store"
	"gatehouse/internal/store/postgrestest"
)

const (
	acme   identity.TenantID = "ten_acme"
	globex identity.TenantID = "ten_globex"
)

// derived derives keys from names.
type derived struct{}

func (derived) Derive(_ context.Context, tenant identity.TenantID, purpose string, size int) ([]byte, error) {
	var key []byte
	for i := 0; len(key) < size; i++ {
		sum := sha256.Sum256(fmt.Appendf(nil, "%s %s %d", tenant, purpose, i))
		key = append(key, sum[:]...)
	}
	return key[:size], nil
}

type recorder struct {
	mu     sync.Mutex
	events []audit.Event
	broken error
	leave  context.CancelFunc // the caller goes away with the record; nil: stays
}

func (r *recorder) Commit(_ context.Context, e audit.Event) (audit.Receipt, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.broken == nil {
		r.events = append(r.events, e)
	}
	if r.leave != nil {
		r.leave()
	}
	return audit.Receipt{}, r.broken
}

func newService(t *testing.T) (*Service, *recorder) {
	t.Helper()
	db, err := store.Open(t.Context(), postgrestest.Or(t, "sqlite://"+t.TempDir()), store.Options{Keys: derived{}, Environment: "test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	for _, tenant := range []identity.TenantID{acme, globex} {
		if err := db.Create(t.Context(), tenant); err != nil {
			t.Fatal(err)
		}
	}
	journal := &recorder{}
	return New(Config{Store: db, Journal: journal}), journal
}

func create(t *testing.T, s *Service, scope Scope, role string) (Token, string) {
	t.Helper()
	tok, secret, err := s.Create(t.Context(), audit.SystemCause(), acme, Spec{Name: "ci", Scope: scope, Role: role, Expires: time.Now().Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	return tok, secret
}

func verifies(t *testing.T, s *Service, tenant identity.TenantID, secret string) *identity.Principal {
	t.Helper()
	p, err := s.Verify(t.Context(), tenant, secret)
	if err != nil && !fault.Is(err, fault.Unauthenticated) {
		t.Fatal(err)
	}
	return p
}

func TestTokensLiveUntilRevokedOrExpired(t *testing.T) {
	s, journal := newService(t)
	tok, secret := create(t, s, ScopeAPI, "viewer")
	if len(secret) != 46 || !strings.HasPrefix(secret, "gh_") {
		t.Fatalf("secret of %d characters", len(secret))
	}
	for range 2 { // from the store, and from the cache
		p := verifies(t, s, acme, secret)
		if p == nil || p.Kind != identity.KindAPIToken || p.Role != "viewer" || p.ID != string(tok.ID) || p.Tenant != acme || !p.Expires.Equal(tok.ExpiresAt) {
			t.Fatalf("principal %+v", p)
		}
	}
	scim, scimSecret := create(t, s, ScopeSCIM, "")
	if p := verifies(t, s, acme, scimSecret); p == nil || p.Kind != identity.KindSCIMToken || p.Role != "" || p.ID != string(scim.ID) {
		t.Fatalf("principal %+v", p)
	}
	for name, bad := range map[string]string{"empty": "", "prefix": "gh_", "changed": secret[:45] + "!", "longer": secret + "A", "other case": strings.ToUpper(secret)} {
		if verifies(t, s, acme, bad) != nil {
			t.Errorf("%s verifies", name)
		}
	}
	if err := s.Revoke(t.Context(), audit.SystemCause(), acme, tok.ID); err != nil {
		t.Fatal(err)
	}
	if verifies(t, s, acme, secret) != nil {
		t.Error("a revoked token verifies")
	}
	if err := s.Revoke(t.Context(), audit.SystemCause(), acme, tok.ID); err != nil {
		t.Errorf("revoking again: %v", err)
	}
	if err := s.Revoke(t.Context(), audit.SystemCause(), acme, "tok_none"); !fault.Is(err, fault.NotFound) {
		t.Errorf("revoking nothing: %v", err)
	}
	s.now = func() time.Time { return time.Now().Add(2 * time.Hour) }
	if verifies(t, s, acme, scimSecret) != nil {
		t.Error("an expired token verifies, out of the cache")
	}
	all, err := s.List(t.Context(), acme)
	if err != nil || len(all) != 2 {
		t.Fatalf("list: %+v, %v", all, err)
	}
	if n := len(journal.events); n != 3 {
		t.Errorf("%d events", n)
	}
	for _, e := range journal.events {
		if text := fmt.Sprintf("%+v", e); strings.Contains(text, secret) || strings.Contains(text, scimSecret) {
			t.Error("the journal holds a secret")
		}
	}
}

// open is what tokens have open; closing asks whether the token is void by then.
type open struct {
	verify func() error
	asked  []string
	calls  int
	stuck  error
}

func (o *open) End(_ context.Context, tenant identity.TenantID, principals ...string) error {
	if o.verify() == nil {
		return errors.New("closed while the token was still good")
	}
	for _, principal := range principals {
		o.asked = append(o.asked, string(tenant)+" "+principal)
	}
	o.calls++
	return o.stuck
}

func TestP2_RevokingClosesWhatTheTokenHasOpen(t *testing.T) {
	s, _ := newService(t)
	made, secret, err := s.Create(t.Context(), audit.Cause{}, acme, Spec{Name: "ci", Scope: ScopeAPI, Role: "viewer", Expires: time.Now().Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	streams := &open{stuck: fault.New(fault.Unavailable, "revocation-unconfirmed", "Later."),
		verify: func() error { _, err := s.Verify(t.Context(), acme, secret); return err }}
	s.streams = streams
	if err := s.Revoke(t.Context(), audit.Cause{}, acme, made.ID); fault.As(err).Code != "revocation-unconfirmed" {
		t.Errorf("with a stream that stays: %v", err)
	}
	streams.stuck = nil
	if err := s.Revoke(t.Context(), audit.Cause{}, acme, made.ID); err != nil {
		t.Errorf("again: %v", err)
	}
	if want := "ten_acme " + string(made.ID); len(streams.asked) != 2 || streams.asked[0] != want || streams.asked[1] != want {
		t.Errorf("closed %v", streams.asked)
	}
}

func TestP3TokensOfOneTenantAreNothingAtAnother(t *testing.T) {
	s, _ := newService(t)
	_, secret := create(t, s, ScopeAPI, "owner")
	if verifies(t, s, acme, secret) == nil || verifies(t, s, globex, secret) != nil {
		t.Error("the token is not its tenant's alone")
	}
}

func TestP1NoTokenWithoutItsRecord(t *testing.T) {
	s, journal := newService(t)
	tok, secret := create(t, s, ScopeAPI, "viewer")
	journal.broken = errors.New("disk full")
	_, _, err := s.Create(t.Context(), audit.SystemCause(), acme, Spec{Name: "x", Scope: ScopeSCIM, Expires: time.Now().Add(time.Hour)})
	if !fault.Is(err, fault.Unavailable) {
		t.Errorf("create: %v", err)
	}
	if err := s.Revoke(t.Context(), audit.SystemCause(), acme, tok.ID); !fault.Is(err, fault.Unavailable) {
		t.Errorf("revoke: %v", err)
	}
	if verifies(t, s, acme, secret) == nil {
		t.Error("an unrecorded revocation took effect")
	}
}

func TestSpecsAreChecked(t *testing.T) {
	s, _ := newService(t)
	later := time.Now().Add(time.Hour)
	for name, spec := range map[string]Spec{
		"no name":       {Scope: ScopeSCIM, Expires: later},
		"control":       {Name: "a\nb", Scope: ScopeSCIM, Expires: later},
		"scope":         {Name: "a", Scope: "root", Expires: later},
		"no role":       {Name: "a", Scope: ScopeAPI, Expires: later},
		"scim role":     {Name: "a", Scope: ScopeSCIM, Role: "owner", Expires: later},
		"never expires": {Name: "a", Scope: ScopeSCIM},
		"for ever":      {Name: "a", Scope: ScopeSCIM, Expires: later.Add(MaxLife)},
	} {
		if _, _, err := s.Create(t.Context(), audit.SystemCause(), acme, spec); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestLastUseIsWrittenBehind(t *testing.T) {
	s, _ := newService(t)
	tok, secret := create(t, s, ScopeAPI, "viewer")
	verifies(t, s, acme, secret)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Run(ctx); err != nil {
		t.Fatal(err)
	}
	all, err := s.List(t.Context(), acme)
	if err != nil || all[0].ID != tok.ID || all[0].LastUsedAt.IsZero() {
		t.Errorf("%+v, %v", all, err)
	}
}

func TestCacheForgetsWhatWasReadBefore(t *testing.T) {
	c := newCache()
	key := cacheKey{tenant: acme}
	turn := c.turn(acme)
	c.forget(acme)
	c.put(key, &identity.Principal{}, turn)
	if _, ok := c.get(key); ok {
		t.Error("what was read before the revocation came in after it")
	}
	turn = c.turn(acme)
	c.forgetAll()
	c.put(key, &identity.Principal{}, turn)
	if _, ok := c.get(key); ok {
		t.Error("what was read before all was forgotten came in after it")
	}
	for i := range maxCached + 10 {
		k := cacheKey{tenant: globex}
		k.hash[0], k.hash[1] = byte(i), byte(i>>8)
		c.put(k, &identity.Principal{}, c.turn(globex))
	}
	if len(c.entries[globex]) != maxCached || c.n != maxCached {
		t.Errorf("%d entries", len(c.entries[globex]))
	}
	key.hash[0] = 1
	c.put(key, &identity.Principal{}, c.turn(acme))
	c.put(cacheKey{tenant: globex}, &identity.Principal{}, c.turn(globex))
	c.put(cacheKey{tenant: globex, hash: digest{31: 1}}, &identity.Principal{}, c.turn(globex))
	if _, ok := c.get(key); !ok || c.n != maxCached {
		t.Error("a tenant with many tokens throws out another's")
	}
	if c.forget(globex); c.n != 1 {
		t.Errorf("%d entries are counted", c.n)
	}
	for i := range maxUses + 10 {
		c.used(acme, fmt.Sprint(i), time.Now())
	}
	if c.usesN != maxUses || len(c.takeUses()[acme]) != maxUses || c.usesN != 0 {
		t.Error("uses are not bounded")
	}
}

// What is journalled comes true, also when the caller goes away with the record.
func TestP1_WhatIsRecordedHappens(t *testing.T) {
	s, journal := newService(t)
	ctx, leave := context.WithCancel(t.Context())
	journal.leave = leave
	tok, secret, err := s.Create(ctx, audit.SystemCause(), acme, Spec{Name: "ci", Scope: ScopeSCIM, Expires: time.Now().Add(time.Hour)})
	if err != nil || verifies(t, s, acme, secret) == nil {
		t.Fatalf("the token does not verify: %v", err)
	}
	ctx, leave = context.WithCancel(t.Context())
	journal.leave = leave
	if err := s.Revoke(ctx, audit.SystemCause(), acme, tok.ID); err != nil || verifies(t, s, acme, secret) != nil {
		t.Errorf("the token still verifies: %v", err)
	}
}

// hurried is somebody whose network may ask for so much more.
type hurried int

func (h *hurried) Haste() error {
	if *h--; *h < 0 {
		return fault.New(fault.TooMany, "too-many-requests", "Wait.")
	}
	return nil
}

// A token that nobody knows yet costs a query, so it is counted before; one
// that is in use is not.
func TestUnknownTokensAreCountedBeforeTheyAreLookedUp(t *testing.T) {
	s, _ := newService(t)
	_, secret := create(t, s, ScopeAPI, "member")
	left := hurried(2)
	ctx := httpkit.WithRequest(t.Context(), &httpkit.Request{Stranger: &left})
	for range 3 {
		if _, err := s.Verify(ctx, acme, secret); err != nil {
			t.Fatal(err)
		}
	}
	made, _ := newSecret()
	for _, kind := range []fault.Kind{fault.Unauthenticated, fault.TooMany} {
		if _, err := s.Verify(ctx, acme, made); !fault.Is(err, kind) {
			t.Errorf("got %v", err)
		}
	}
	if _, err := s.Verify(ctx, acme, secret); err != nil {
		t.Error(err)
	}
}
