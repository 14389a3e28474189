package token

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"
	"time"

	"gatehouse/audit"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/internal/store"
)

// fill has n tokens be there, as nothing but SQL makes them.
func fill(t *testing.T, s *Service, n int, owner identity.UserID, created time.Time) (first identity.TokenID) {
	t.Helper()
	err := s.stores.Tenant(acme).Write(t.Context(), func(tx *store.Tx) error {
		for i := range n {
			id, at := identity.NewTokenID(), created.Add(time.Duration(i)*time.Millisecond)
			if i == 0 {
				first = id
			}
			hash := sha256.Sum256([]byte(id))
			if _, err := tx.Exec(t.Context(), `INSERT INTO tokens (id, name, scope, role, hash, created_by, created_at, expires_at, last_used_at, owner_id)
				VALUES ($1, 'ci', 'api', 'viewer', $2, '', $3, $4, 0, $5)`, string(id), hash[:], store.Millis(at), store.Millis(at.Add(30*24*time.Hour)), string(owner)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return first
}

// outcomes gives how many records say that something was done, and that it was not.
func outcomes(journal *recorder, kind audit.Type) (done, failed int) {
	for _, e := range journal.events {
		switch {
		case e.Type != kind:
		case e.Outcome == audit.Success:
			done++
		case e.Outcome == audit.Failed && e.Reason != "" && e.Message != "":
			failed++
		}
	}
	return done, failed
}

// Whoever makes the last token at the same moment as another finds no room, and where
// there are more than the list holds each of them can be revoked.
func TestThereAreSoManyTokens(t *testing.T) {
	s, journal := newService(t)
	first := fill(t, s, maxTokens-1, "", time.Now().Add(-time.Hour))
	journal.leave = func() {
		journal.leave = nil
		fill(t, s, 1, "", time.Now())
	}
	spec := Spec{Name: "ci", Scope: ScopeSCIM, Expires: time.Now().Add(time.Hour)}
	if _, _, err := s.Create(t.Context(), audit.SystemCause(), acme, spec); err == nil || fault.As(err).Code != "too-many-tokens" {
		t.Errorf("one too many: %v", err)
	}
	if done, failed := outcomes(journal, audit.TokenCreated); done != 1 || failed != 1 {
		t.Errorf("%d records of it, and %d that it was not done", done, failed)
	}
	if _, _, err := s.Create(t.Context(), audit.SystemCause(), acme, spec); err == nil || len(journal.events) != 2 {
		t.Errorf("when there was no room before: %v, %d records", err, len(journal.events))
	}
	fill(t, s, 1, "", time.Now())
	if found, err := s.Find(t.Context(), acme, first); err != nil || found.ID != first {
		t.Errorf("found %+v, %v", found, err)
	}
	person(t, s, "usr_ann", true)
	if _, err := s.TakeOver(t.Context(), audit.SystemCause(), acme, first, "usr_ann"); err != nil {
		t.Errorf("take over: %v", err)
	}
	if err := s.Revoke(t.Context(), audit.SystemCause(), acme, first); err != nil {
		t.Errorf("revoke: %v", err)
	}
}

// One person has no more than can end at once.
func TestAPersonHasSoManyTokens(t *testing.T) {
	s, _ := newService(t)
	person(t, s, "usr_ann", true)
	fill(t, s, maxOwned, "usr_ann", time.Now())
	spec := Spec{Name: "ci", Scope: ScopeAPI, Role: "viewer", Owner: "usr_ann", Expires: time.Now().Add(time.Hour)}
	if _, _, err := s.Create(t.Context(), audit.SystemCause(), acme, spec); err == nil || fault.As(err).Code != "too-many-tokens" {
		t.Errorf("one more: %v", err)
	}
	spec.Owner = ""
	nobodys, _ := issue(t, s, spec)
	if _, err := s.TakeOver(t.Context(), audit.SystemCause(), acme, nobodys.ID, "usr_ann"); err == nil || fault.As(err).Code != "too-many-tokens" {
		t.Errorf("one more, taken over: %v", err)
	}
	streams := &open{verify: func() error { return errBadToken }}
	s.streams = streams
	if err := s.EndUser(t.Context(), audit.SystemCause(), acme, "usr_ann"); err != nil || len(streams.asked) != maxOwned || streams.calls != 1 {
		t.Errorf("%d are closed by %d calls: %v", len(streams.asked), streams.calls, err)
	}
}

// Of what is recorded and then cannot be done, another record says so.
func TestP1_WhatCouldNotBeDoneIsRecorded(t *testing.T) {
	s, journal := newService(t)
	person(t, s, "usr_ann", true)
	person(t, s, "usr_bob", true)
	write := func(query string) func() {
		return func() {
			journal.leave = nil
			err := s.stores.Tenant(acme).Write(t.Context(), func(tx *store.Tx) error { _, err := tx.Exec(t.Context(), query); return err })
			if err != nil {
				t.Error(err)
			}
		}
	}
	spec := Spec{Name: "ci", Scope: ScopeAPI, Role: "viewer", Owner: "usr_ann", Expires: time.Now().Add(time.Hour)}
	anns, _ := issue(t, s, spec)
	feed, _ := issue(t, s, Spec{Scope: ScopeSCIM})
	client, secret := issue(t, s, Spec{Scope: ScopeSCIM, Client: true})
	for _, c := range []struct {
		kind      audit.Type
		meanwhile string
		try       func() error
	}{
		{audit.TokenTakenOver, `UPDATE users SET active = FALSE WHERE id = 'usr_bob'`, func() error {
			_, err := s.TakeOver(t.Context(), audit.SystemCause(), acme, anns.ID, "usr_bob")
			return err
		}},
		{audit.TokenRotated, fmt.Sprintf(`UPDATE tokens SET successor_id = 'x' WHERE id = '%s'`, feed.ID), func() error {
			_, _, err := s.Rotate(t.Context(), audit.SystemCause(), acme, feed.ID, time.Hour, time.Now().Add(48*time.Hour))
			return err
		}},
		{audit.TokenGranted, fmt.Sprintf(`UPDATE tokens SET revoked_at = 1 WHERE id = '%s'`, client.ID), func() error {
			_, _, _, err := s.Grant(t.Context(), audit.SystemCause(), acme, client.ClientID, secret, "")
			return err
		}},
		{audit.TokenCreated, `DELETE FROM users WHERE id = 'usr_ann'`, func() error {
			_, _, err := s.Create(t.Context(), audit.SystemCause(), acme, spec)
			return err
		}},
	} {
		journal.events, journal.leave = nil, write(c.meanwhile)
		err := c.try()
		if done, failed := outcomes(journal, c.kind); err == nil || done != 1 || failed != 1 {
			t.Errorf("%s: %v; %d records, and %d that it was not done", c.kind, err, done, failed)
		}
	}
}

// P2, P9: what a node that was killed could not tell ends on the others all the same:
// tokens of who has left, and those that are revoked and were told of to nobody.
func TestP9_WhatACrashLeavesEnds(t *testing.T) {
	s, journal := newService(t)
	person(t, s, "usr_ann", true)
	spec := Spec{Scope: ScopeAPI, Role: "viewer", Owner: "usr_ann"}
	anns, annSecret := issue(t, s, spec)
	unused, _ := issue(t, s, spec)
	revoked, revokedSecret := issue(t, s, Spec{Scope: ScopeSCIM})
	_, feed := issue(t, s, Spec{Scope: ScopeSCIM})
	for _, secret := range []string{annSecret, revokedSecret, feed} {
		if verifies(t, s, acme, secret) == nil {
			t.Fatal("a token is not good")
		}
	}
	streams := &open{verify: func() error { return errBadToken }}
	s.streams = streams
	s.look(t.Context())
	if len(streams.asked) != 0 {
		t.Errorf("closed %v", streams.asked)
	}
	person(t, s, "usr_ann", false)
	err := s.stores.Tenant(acme).Write(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(t.Context(), `UPDATE tokens SET revoked_at = $1 WHERE id = $2`, store.Millis(time.Now()), string(revoked.ID))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	s.look(t.Context())
	if verifies(t, s, acme, annSecret) != nil || verifies(t, s, acme, revokedSecret) != nil || verifies(t, s, acme, feed) == nil {
		t.Error("those that have ended are good, or the one that has not is not")
	}
	closed := strings.Join(streams.asked, " ")
	for _, id := range []identity.TokenID{anns.ID, unused.ID, revoked.ID} {
		if !strings.Contains(closed, string(id)) {
			t.Errorf("closed %s, not %s", closed, id)
		}
	}
	if streams.calls > 2 {
		t.Errorf("told one after the other: %v", streams.asked)
	}
	if done, _ := outcomes(journal, audit.TokenRevoked); done != 2 || listed(t, s, unused.ID).RevokedAt.IsZero() {
		t.Errorf("%d are recorded", done)
	}
}

// What nobody will ask for any more is removed, and what a crash has left is revoked
// where no node remembers it.
func TestTokensThatEndedLongAgoAreRemoved(t *testing.T) {
	s, _ := newService(t)
	s.tenants = func() []identity.TenantID { return []identity.TenantID{acme, globex} }
	person(t, s, "usr_ann", true)
	left, _ := issue(t, s, Spec{Scope: ScopeAPI, Role: "viewer", Owner: "usr_ann", Expires: time.Now().Add(300 * 24 * time.Hour)})
	expired, _ := issue(t, s, Spec{Scope: ScopeSCIM, Expires: time.Now().Add(time.Hour)})
	revoked, _ := issue(t, s, Spec{Scope: ScopeSCIM, Expires: time.Now().Add(300 * 24 * time.Hour)})
	client, secret := issue(t, s, Spec{Scope: ScopeSCIM, Client: true, Expires: time.Now().Add(300 * 24 * time.Hour)})
	grantTo(t, s, client, secret)
	if err := s.Revoke(t.Context(), audit.SystemCause(), acme, revoked.ID); err != nil {
		t.Fatal(err)
	}
	person(t, s, "usr_ann", false)
	there := func(id identity.TokenID) bool { _, err := s.Find(t.Context(), acme, id); return err == nil }
	access := func() (n int64) {
		err := s.stores.Tenant(acme).Read(t.Context(), func(tx *store.Tx) (err error) {
			n, err = store.One(t.Context(), tx, store.Scalar[int64], `SELECT count(*) FROM access_tokens`)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	later(s, 30*time.Minute)
	s.purge(t.Context())
	if !there(expired.ID) || !there(revoked.ID) || access() != 1 || listed(t, s, left.ID).RevokedAt.IsZero() {
		t.Error("something is removed that still counts, or not revoked")
	}
	later(s, 91*24*time.Hour)
	s.purge(t.Context())
	if there(expired.ID) || there(revoked.ID) || access() != 0 || !there(client.ID) {
		t.Error("what ended long ago is there, or what has not is gone")
	}
}
