package token

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"gatehouse/audit"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/internal/store"
	"gatehouse/internal/throttle"
	"gatehouse/tenants"
)

// okta is a connection that can be disabled and deleted.
const okta identity.ConnectionID = "con_okta"

type providers map[identity.ConnectionID]tenants.Connection

func (p providers) ConnectionByID(_ context.Context, _ identity.TenantID, id identity.ConnectionID) (tenants.Connection, error) {
	c, ok := p[id]
	if !ok {
		return tenants.Connection{}, fault.New(fault.NotFound, "no-such-connection", "There is no such connection.")
	}
	return c, nil
}

func withProviders(s *Service) providers {
	p := providers{okta: {ID: okta, Type: tenants.OIDC, Enabled: true}, "con_local": {ID: "con_local", Type: tenants.Local, Enabled: true}}
	s.connections = p
	return p
}

func issue(t *testing.T, s *Service, spec Spec) (Token, string) {
	t.Helper()
	if spec.Name == "" {
		spec.Name = "provider"
	}
	if spec.Expires.IsZero() {
		spec.Expires = s.now().Add(30 * 24 * time.Hour)
	}
	made, secret, err := s.Create(t.Context(), audit.SystemCause(), acme, spec)
	if err != nil {
		t.Fatal(err)
	}
	return made, secret
}

// later puts the service's clock forward.
func later(s *Service, d time.Duration) {
	from := s.now
	s.now = func() time.Time { return from().Add(d) }
}

func listed(t *testing.T, s *Service, id identity.TokenID) Token {
	t.Helper()
	all, err := s.List(t.Context(), acme)
	if err != nil {
		t.Fatal(err)
	}
	return all[slices.IndexFunc(all, func(x Token) bool { return x.ID == id })]
}

func TestRotationHasAnOverlap(t *testing.T) {
	s, journal := newService(t)
	withProviders(s)
	told := 0
	s.announce = func(context.Context, identity.TenantID) error { told++; return errors.New("a node is away") }
	access := identity.Access{"users:read", "users:write"}
	old, oldSecret := issue(t, s, Spec{Name: "Okta", Scope: ScopeSCIM, Connection: okta, Access: access})
	verifies(t, s, acme, oldSecret) // it is remembered
	made, secret, err := s.Rotate(t.Context(), audit.SystemCause(), acme, old.ID, Overlap, s.now().Add(60*24*time.Hour))
	if err != nil || told != 1 {
		t.Fatalf("%v, told %d times", err, told)
	}
	if made.Name != old.Name || made.Connection != okta || made.Access.String() != access.String() || made.ID == old.ID {
		t.Errorf("the successor is %+v", made)
	}
	for _, one := range []string{oldSecret, secret} {
		if p := verifies(t, s, acme, one); p == nil || p.Connection != okta || p.Access.String() != access.String() {
			t.Errorf("during the overlap: %+v", p)
		}
	}
	if e := journal.events[len(journal.events)-1]; e.Type != audit.TokenRotated || e.Target.ID != string(old.ID) || e.Details["successor"] != string(made.ID) {
		t.Errorf("the record is %+v", e)
	}
	if shown := listed(t, s, old.ID); shown.Successor != made.ID || shown.ExpiresAt.After(s.now().Add(Overlap)) {
		t.Errorf("the old one is listed as %+v", shown)
	}
	// Its place is taken once.
	if _, _, err := s.Rotate(t.Context(), audit.SystemCause(), acme, old.ID, Overlap, s.now().Add(time.Hour)); fault.As(err).Code != "token-rotated" {
		t.Errorf("again: %v", err)
	}
	// The overlap can be ended early, or ends.
	third, thirdSecret, err := s.Rotate(t.Context(), audit.SystemCause(), acme, made.ID, time.Hour, s.now().Add(60*24*time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Revoke(t.Context(), audit.SystemCause(), acme, made.ID); err != nil || verifies(t, s, acme, secret) != nil || verifies(t, s, acme, thirdSecret) == nil {
		t.Errorf("after the overlap was ended: %v", err)
	}
	later(s, Overlap+time.Second)
	if verifies(t, s, acme, oldSecret) != nil || verifies(t, s, acme, thirdSecret) == nil {
		t.Error("after the overlap")
	}
	// And never outlasts what the old one was to be.
	short, _ := issue(t, s, Spec{Scope: ScopeSCIM, Expires: s.now().Add(time.Hour)})
	if _, _, err := s.Rotate(t.Context(), audit.SystemCause(), acme, short.ID, MaxOverlap, s.now().Add(time.Hour)); err != nil || !listed(t, s, short.ID).ExpiresAt.Equal(short.ExpiresAt) {
		t.Errorf("one that ends soon: %v, %+v", err, listed(t, s, short.ID))
	}
	robot, _ := issue(t, s, Spec{Scope: ScopeAPI, Role: "viewer"})
	for name, try := range map[string]func() error{
		"a long overlap": func() error {
			_, _, err := s.Rotate(t.Context(), audit.SystemCause(), acme, third.ID, MaxOverlap+1, s.now().Add(time.Hour))
			return err
		},
		"none": func() error {
			_, _, err := s.Rotate(t.Context(), audit.SystemCause(), acme, third.ID, 0, s.now().Add(time.Hour))
			return err
		},
		"an API token": func() error {
			_, _, err := s.Rotate(t.Context(), audit.SystemCause(), acme, robot.ID, Overlap, s.now().Add(time.Hour))
			return err
		},
		"one that is revoked": func() error {
			_, _, err := s.Rotate(t.Context(), audit.SystemCause(), acme, made.ID, Overlap, s.now().Add(time.Hour))
			return err
		},
		"nothing": func() error {
			_, _, err := s.Rotate(t.Context(), audit.SystemCause(), globex, third.ID, Overlap, s.now().Add(time.Hour))
			return err
		},
	} {
		if try() == nil {
			t.Errorf("%s is rotated", name)
		}
	}
	journal.broken = errors.New("disk full")
	if _, _, err := s.Rotate(t.Context(), audit.SystemCause(), acme, third.ID, Overlap, s.now().Add(time.Hour)); !fault.Is(err, fault.Unavailable) || listed(t, s, third.ID).Successor != "" {
		t.Errorf("P1 without its record: %v", err)
	}
}

func TestP2_TokensEndWithTheirConnection(t *testing.T) {
	s, journal := newService(t)
	known := withProviders(s)
	bound, secret := issue(t, s, Spec{Scope: ScopeSCIM, Connection: okta})
	client, clientSecret := issue(t, s, Spec{Scope: ScopeSCIM, Connection: okta, Client: true})
	_, free := issue(t, s, Spec{Scope: ScopeSCIM})
	access := grantTo(t, s, client, clientSecret)
	good := func() (n int) {
		for _, one := range []string{secret, access} {
			if verifies(t, s, acme, one) != nil {
				n++
			}
		}
		return n
	}
	if n := good(); n != 2 {
		t.Fatalf("%d of 2 are good", n)
	}
	streams := &open{verify: func() error { return errBadToken }}
	s.streams = streams
	known[okta] = tenants.Connection{ID: okta, Type: tenants.OIDC}
	if n := good(); n != 0 {
		t.Errorf("%d are good while it is disabled", n)
	}
	if _, _, _, err := s.Grant(t.Context(), audit.Cause{}, acme, client.ClientID, clientSecret, ""); !errors.Is(err, ErrClient) {
		t.Errorf("a client of a disabled connection: %v", err)
	}
	if found, err := s.Good(t.Context(), acme, []string{string(bound.ID)}); err != nil || found[string(bound.ID)] {
		t.Errorf("what is open by it may go on: %v, %v", found, err)
	}
	if err := s.EndConnection(t.Context(), acme, okta); err != nil || len(streams.asked) != 2 {
		t.Errorf("disabling closes %v: %v", streams.asked, err)
	}
	known[okta] = tenants.Connection{ID: okta, Type: tenants.OIDC, Enabled: true}
	if n := good(); n != 2 {
		t.Errorf("%d of 2 are good once it is enabled again", n)
	}
	streams.asked = nil
	if err := s.DropConnection(t.Context(), audit.SystemCause(), acme, okta); err != nil || good() != 0 || len(streams.asked) != 2 {
		t.Errorf("after its deletion %d are good, closed %v: %v", good(), streams.asked, err)
	}
	if verifies(t, s, acme, free) == nil {
		t.Error("a token of no connection ends with one")
	}
	revoked := 0
	for _, e := range journal.events {
		if e.Type == audit.TokenRevoked && e.Reason == "connection-deleted" && e.Details["connection"] == string(okta) {
			revoked++
		}
	}
	if revoked != 2 {
		t.Errorf("%d records", revoked)
	}
	for name, spec := range map[string]Spec{
		"no such connection": {Scope: ScopeSCIM, Connection: "con_none"}, "local accounts": {Scope: ScopeSCIM, Connection: "con_local"},
		"an API token": {Scope: ScopeAPI, Role: "viewer", Connection: okta}, "an API client": {Scope: ScopeAPI, Role: "viewer", Client: true},
		"limited API": {Scope: ScopeAPI, Role: "viewer", Access: identity.Access{"users:read"}}, "an unknown word": {Scope: ScopeSCIM, Access: identity.Access{"users:fire"}},
		"an owned one": {Scope: ScopeSCIM, Owner: "usr_x"},
	} {
		spec.Name, spec.Expires = "x", s.now().Add(time.Hour)
		if _, _, err := s.Create(t.Context(), audit.SystemCause(), acme, spec); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func grantTo(t *testing.T, s *Service, client Token, secret string) string {
	t.Helper()
	access, _, life, err := s.Grant(t.Context(), audit.Cause{}, acme, client.ClientID, secret, "")
	if err != nil || life != time.Hour {
		t.Fatalf("granted for %v: %v", life, err)
	}
	return access
}

func TestClientsGetAccessTokens(t *testing.T) {
	s, journal := newService(t)
	client, secret := issue(t, s, Spec{Scope: ScopeSCIM, Client: true, Access: identity.Access{"users:read", "users:write"}})
	access, may, _, err := s.Grant(t.Context(), audit.Cause{}, acme, client.ClientID, secret, "users:read")
	if err != nil || may.String() != "users:read" {
		t.Fatalf("%v: %v", may, err)
	}
	if p := verifies(t, s, acme, access); p == nil || p.Kind != identity.KindSCIMToken || p.ID != string(client.ID) || p.Access.String() != "users:read" {
		t.Errorf("its bearer is %+v", p)
	}
	whole := grantTo(t, s, client, secret)
	if p := verifies(t, s, acme, whole); p == nil || p.Access.String() != "users:read users:write" {
		t.Errorf("without a scope it is %+v", p)
	}
	if verifies(t, s, acme, secret) != nil || verifies(t, s, globex, whole) != nil {
		t.Error("P3 the client's secret is a token, or another tenant's is good")
	}
	_, token := issue(t, s, Spec{Scope: ScopeSCIM})
	for name, try := range map[string][3]string{
		"another secret": {client.ClientID, token, ""}, "no client": {"", secret, ""}, "another client": {"tok_x", secret, ""},
		"an access token": {client.ClientID, whole, ""}, "garbage": {client.ClientID, "x", ""},
	} {
		if _, _, _, err := s.Grant(t.Context(), audit.Cause{}, acme, try[0], try[1], try[2]); !errors.Is(err, ErrClient) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, scope := range []string{"groups:read", "users:read groups:read", "openid", strings.Repeat("users:read ", 100)} {
		if _, _, _, err := s.Grant(t.Context(), audit.Cause{}, acme, client.ClientID, secret, scope); !errors.Is(err, ErrAccess) {
			t.Errorf("scope %.20q: %v", scope, err)
		}
	}
	// Two secrets during the overlap, of one client.
	second, secondSecret, err := s.Rotate(t.Context(), audit.SystemCause(), acme, client.ID, Overlap, s.now().Add(60*24*time.Hour))
	if err != nil || second.ClientID != client.ClientID {
		t.Fatalf("%+v: %v", second, err)
	}
	by2 := grantTo(t, s, second, secondSecret)
	if verifies(t, s, acme, whole) == nil || verifies(t, s, acme, by2) == nil {
		t.Error("one of the two is not good")
	}
	if err := s.Revoke(t.Context(), audit.SystemCause(), acme, client.ID); err != nil || verifies(t, s, acme, whole) != nil || verifies(t, s, acme, access) != nil || verifies(t, s, acme, by2) == nil {
		t.Errorf("P2 after the first secret was revoked: %v", err)
	}
	later(s, time.Hour+time.Second)
	if verifies(t, s, acme, by2) != nil {
		t.Error("an access token outlives its hour")
	}
	for _, e := range journal.events {
		if text := fmt.Sprintf("%+v", e); strings.Contains(text, "gh_") {
			t.Error("P6 the journal holds a secret")
		}
	}
	// They are bounded, and the oldest go.
	for range maxAccess + 20 {
		later(s, time.Millisecond)
		by2 = grantTo(t, s, second, secondSecret)
	}
	var kept int64
	if err := s.stores.Tenant(acme).Read(t.Context(), func(tx *store.Tx) (err error) {
		kept, err = store.One(t.Context(), tx, store.Scalar[int64], `SELECT count(*) FROM access_tokens`)
		return err
	}); err != nil || kept > maxAccess || verifies(t, s, acme, by2) == nil {
		t.Errorf("%d are kept: %v", kept, err)
	}
	s.throttle = refusing{}
	if _, _, _, err := s.Grant(t.Context(), audit.Cause{}, acme, second.ClientID, secondSecret, ""); !fault.Is(err, fault.TooMany) || fault.As(err).RetryAfter != time.Minute {
		t.Errorf("too often: %v", err)
	}
	s.throttle, journal.broken = nil, errors.New("disk full")
	if _, _, _, err := s.Grant(t.Context(), audit.Cause{}, acme, second.ClientID, secondSecret, ""); !fault.Is(err, fault.Unavailable) {
		t.Errorf("P1 without its record: %v", err)
	}
}

type refusing struct{}

func (refusing) Allow(context.Context, string, throttle.Limit) (bool, time.Duration) {
	return false, time.Minute
}

// person makes somebody, or has them be active or not.
func person(t *testing.T, s *Service, id identity.UserID, active bool) {
	t.Helper()
	err := s.stores.Tenant(acme).Write(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(t.Context(), `INSERT INTO users (id, user_name, user_key, external_id, email, display_name, display_key, active, source, attributes, version, created_at, updated_at, search)
			VALUES ($1, $1, $1, '', '', '', '', $2, 'admin', '{}', 1, 1, 1, '{}') ON CONFLICT (user_key) DO UPDATE SET active = $2`, string(id), active)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestP9_APITokensEndWithTheirPerson(t *testing.T) {
	s, journal := newService(t)
	person(t, s, "usr_ann", true)
	person(t, s, "usr_bob", true)
	anns, annSecret := issue(t, s, Spec{Scope: ScopeAPI, Role: "viewer", Owner: "usr_ann"})
	taken, takenSecret := issue(t, s, Spec{Scope: ScopeAPI, Role: "viewer", Owner: "usr_ann"})
	_, nobodys := issue(t, s, Spec{Scope: ScopeAPI, Role: "viewer"})
	_, feed := issue(t, s, Spec{Scope: ScopeSCIM})
	for _, secret := range []string{annSecret, takenSecret, nobodys, feed} {
		if verifies(t, s, acme, secret) == nil {
			t.Fatal("a token of somebody active is not good")
		}
	}
	if got, err := s.TakeOver(t.Context(), audit.SystemCause(), acme, taken.ID, "usr_bob"); err != nil || got.Owner != "usr_bob" || listed(t, s, taken.ID).Owner != "usr_bob" {
		t.Fatalf("taken over: %+v, %v", got, err)
	}
	streams := &open{stuck: errors.New("a node is away"), verify: func() error { return errBadToken }}
	s.streams = streams
	person(t, s, "usr_ann", false)
	if err := s.EndUser(t.Context(), audit.SystemCause(), acme, "usr_ann"); err == nil {
		t.Error("with a stream that stays")
	}
	streams.stuck = nil
	if err := s.EndUser(t.Context(), audit.SystemCause(), acme, "usr_ann"); err != nil || len(streams.asked) < 1 || streams.asked[0] != "ten_acme "+string(anns.ID) {
		t.Errorf("closed %v: %v", streams.asked, err)
	}
	person(t, s, "usr_ann", true) // coming back revives none
	if verifies(t, s, acme, annSecret) != nil {
		t.Error("the token has outlived its person")
	}
	for _, secret := range []string{takenSecret, nobodys, feed} {
		if verifies(t, s, acme, secret) == nil {
			t.Error("a token ends with somebody whose it is not")
		}
	}
	revoked := 0
	for _, e := range journal.events {
		if e.Type == audit.TokenRevoked && e.Reason == "person-left" && e.Details["owner"] == "usr_ann" {
			revoked++
		}
	}
	if revoked != 1 {
		t.Errorf("%d records", revoked)
	}
	// Whoever is not active gets none, nor do those that a killed node has left behind
	// do anything.
	_, left := issue(t, s, Spec{Scope: ScopeAPI, Role: "viewer", Owner: "usr_bob"})
	person(t, s, "usr_bob", false)
	if _, _, err := s.Create(t.Context(), audit.SystemCause(), acme, Spec{Name: "x", Scope: ScopeAPI, Role: "viewer", Owner: "usr_bob", Expires: s.now().Add(time.Hour)}); !fault.Is(err, fault.Denied) {
		t.Errorf("for somebody inactive: %v", err)
	}
	if verifies(t, s, acme, left) != nil {
		t.Error("a token that was left is good")
	}
	for name, try := range map[string]func() (Token, error){
		"by somebody inactive": func() (Token, error) {
			return s.TakeOver(t.Context(), audit.SystemCause(), acme, taken.ID, "usr_bob2")
		},
		"by nobody":           func() (Token, error) { return s.TakeOver(t.Context(), audit.SystemCause(), acme, taken.ID, "") },
		"one that is revoked": func() (Token, error) { return s.TakeOver(t.Context(), audit.SystemCause(), acme, anns.ID, "usr_ann") },
		"none": func() (Token, error) {
			return s.TakeOver(t.Context(), audit.SystemCause(), globex, taken.ID, "usr_ann")
		},
	} {
		if _, err := try(); err == nil {
			t.Errorf("%s: it is taken over", name)
		}
	}
}

// A token that is in use, and ends soon, is told of until another one is in its place.
func TestATokenThatEndsSoonIsToldOf(t *testing.T) {
	s, _ := newService(t)
	w := NewWatch(s, func() []identity.TenantID { return []identity.TenantID{acme, globex} }, slog.New(slog.DiscardHandler))
	told := func() string {
		t.Helper()
		w.Look(t.Context(), w.tenants())
		var all []string
		for _, e := range w.Ending() {
			all = append(all, string(e.Tenant)+": "+e.Why)
		}
		return strings.Join(all, "\n")
	}
	use := func(secret string) {
		t.Helper()
		verifies(t, s, acme, secret)
		if err := s.flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	soon, secret := issue(t, s, Spec{Name: "Okta", Scope: ScopeSCIM, Expires: s.now().Add(13 * 24 * time.Hour)})
	_, robot := issue(t, s, Spec{Scope: ScopeAPI, Role: "viewer", Expires: s.now().Add(time.Hour)})
	_, later := issue(t, s, Spec{Scope: ScopeSCIM, Expires: s.now().Add(15 * 24 * time.Hour)})
	use(robot)
	use(later)
	if got := told(); got != "" {
		t.Errorf("nobody uses it: %s", got)
	}
	use(secret)
	if got := told(); !strings.HasPrefix(got, "ten_acme: ") || !strings.Contains(got, `"Okta" (`+string(soon.ID)+`) ends on `+soon.ExpiresAt.Format(time.DateOnly)) {
		t.Errorf("told: %s", got)
	}
	if _, _, err := s.Rotate(t.Context(), audit.SystemCause(), acme, soon.ID, Overlap, s.now().Add(60*24*time.Hour)); err != nil {
		t.Fatal(err)
	}
	if got := told(); got != "" {
		t.Errorf("rotated: %s", got)
	}
}
