package machines

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"gatehouse/audit"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/internal/keys"
	"gatehouse/internal/store"
	"gatehouse/internal/store/postgrestest"
)

const (
	acme   identity.TenantID = "ten_acme"
	globex identity.TenantID = "ten_globex"
)

func TestOnPostgres(t *testing.T) {
	postgrestest.Again(t, []func(*testing.T){
		TestServicesArePutAndDeleted, TestSecretsAreSealed, TestADeletionOfAnOldVersionDeletesNothing, TestTwoAtOnceNeverShareACredential, TestP1NoServiceWithoutItsRecord,
		TestP2WhatAServiceHasOpenEndsWithEveryChange, TestP3ServicesOfOneTenantAreNothingAtAnother,
	}, "TestServicesAreChecked")
}

type recorder struct {
	mu     sync.Mutex
	events []audit.Event
	broken error
	then   func() // right after the next record
}

func (r *recorder) Commit(_ context.Context, e audit.Event) (audit.Receipt, error) {
	r.mu.Lock()
	then, err := r.then, r.broken
	r.then = nil
	if err == nil {
		r.events = append(r.events, e)
	}
	r.mu.Unlock()
	if then != nil {
		then()
	}
	return audit.Receipt{}, err
}

// open notes what is closed, and what SQL says at that moment.
type open struct {
	s     *Service
	mu    sync.Mutex // changes of a tenant may be ended at once
	ended []string
	seen  []Machine
	err   error
}

func (o *open) End(ctx context.Context, tenant identity.TenantID, service string) error {
	all, err := o.s.All(ctx, tenant)
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ended, o.seen = append(o.ended, string(tenant)+" "+service), all
	return errors.Join(o.err, err)
}

type house struct {
	*Service
	t       *testing.T
	db      *store.DB
	journal *recorder
	open    *open
}

func newHouse(t *testing.T) *house {
	t.Helper()
	h := &house{t: t, journal: &recorder{}, open: &open{}}
	dir := t.TempDir()
	kek, err := keys.OpenFileKEK(filepath.Join(dir, "kek.key"), true)
	h.must(err)
	vault, err := keys.OpenDirVault(filepath.Join(dir, "keys"))
	h.must(err)
	ring := keys.NewRing(kek, vault)
	h.must(ring.Create(t.Context(), identity.Platform))
	h.db, err = store.Open(t.Context(), postgrestest.Or(t, "sqlite://"+filepath.Join(dir, "db")), store.Options{Keys: ring, Environment: "test"})
	h.must(err)
	t.Cleanup(func() { _ = h.db.Close() })
	for _, tenant := range []identity.TenantID{acme, globex} {
		h.must(ring.Create(t.Context(), tenant))
		h.must(h.db.Create(t.Context(), tenant))
	}
	h.Service = New(Config{Store: h.db, Keys: ring, Journal: h.journal, Streams: h.open})
	h.open.s = h.Service
	return h
}

func (h *house) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) put(m Machine) Machine {
	h.t.Helper()
	kept, err := h.Put(h.t.Context(), audit.SystemCause(), acme, m)
	h.must(err)
	return kept
}

func billing() Machine {
	return Machine{Name: "billing", Role: "viewer", Enabled: true, Credentials: []Credential{
		{JWT: &JWT{Issuer: "https://as.example", Claims: Claims{Audience: "app", ClientID: "billing"}, Types: []TokenType{TypeJWT}}},
		{Introspection: introspection("billing")},
	}}
}

func introspection(client string) *Introspection {
	return &Introspection{Endpoint: "https://as.example/introspect", AuthClientID: "gate", AuthClientSecret: "s3cret-of-ours", Claims: Claims{Audience: "app", ClientID: client}}
}

func TestServicesArePutAndDeleted(t *testing.T) {
	h := newHouse(t)
	made := h.put(billing())
	if !strings.HasPrefix(string(made.ID), identity.ServicePrefix) || made.Version != 1 || made.DisplayName != "billing" {
		t.Fatalf("%+v", made)
	}
	found, err := h.Named(t.Context(), acme, "billing")
	h.must(err)
	if !found.Same(made) || found.ID != made.ID || found.Version != 1 || !found.CreatedAt.Equal(made.CreatedAt) {
		t.Fatalf("%+v, want %+v", found, made)
	}
	wanted := found.clone()
	wanted.Role, wanted.Enabled, wanted.Version = "member", false, 7
	if _, err := h.Put(t.Context(), audit.SystemCause(), acme, wanted); !fault.Is(err, fault.Precondition) {
		t.Errorf("put over another version: %v", err)
	}
	wanted.Version = 1
	changed := h.put(wanted)
	if changed.ID != made.ID || changed.Version != 2 || changed.Enabled || changed.Role != "member" {
		t.Errorf("%+v", changed)
	}
	fresh := billing()
	fresh.Name, fresh.Credentials, fresh.Version = "other", nil, 1
	if _, err := h.Put(t.Context(), audit.SystemCause(), acme, fresh); !fault.Is(err, fault.Precondition) {
		t.Errorf("made over a version that is not there: %v", err)
	}
	if err := h.Delete(t.Context(), audit.SystemCause(), acme, "billing", 1); !fault.Is(err, fault.Precondition) {
		t.Errorf("deleted by another version: %v", err)
	}
	h.must(h.Delete(t.Context(), audit.SystemCause(), acme, "billing", 2))
	if err := h.Delete(t.Context(), audit.SystemCause(), acme, "billing", 0); !fault.Is(err, fault.NotFound) {
		t.Errorf("deleted twice: %v", err)
	}
	var told []string
	for _, e := range h.journal.events {
		told = append(told, string(e.Type)+" "+e.Details["change"]+" "+e.Details["role"])
		if text := fmt.Sprintf("%+v", e); strings.Contains(text, "s3cret") {
			t.Error("the journal holds a secret")
		}
	}
	if want := []string{"service.changed created viewer", "service.changed replaced member", "service.deleted  member"}; !slices.Equal(told, want) {
		t.Errorf("recorded %q", told)
	}
}

// A service that is changed after a deletion of what it was has looked at it stays, as
// it is now.
func TestADeletionOfAnOldVersionDeletesNothing(t *testing.T) {
	h := newHouse(t)
	kept := h.put(billing())
	h.journal.then = func() {
		changed := billing()
		changed.DisplayName = "Changed meanwhile"
		h.put(changed)
	}
	if err := h.Delete(t.Context(), audit.SystemCause(), acme, "billing", kept.Version); !fault.Is(err, fault.Precondition) {
		t.Errorf("%v", err)
	}
	now, err := h.Named(t.Context(), acme, "billing")
	h.must(err)
	if now.Version != kept.Version+1 || now.DisplayName != "Changed meanwhile" {
		t.Errorf("%+v", now)
	}
	h.must(h.Delete(t.Context(), audit.SystemCause(), acme, "billing", now.Version))
}

func TestSecretsAreSealed(t *testing.T) {
	h := newHouse(t)
	made := h.put(billing())
	h.must(h.db.Tenant(acme).Read(t.Context(), func(tx *store.Tx) error {
		text, err := store.One(t.Context(), tx, store.Scalar[string], `SELECT credentials FROM services`)
		if err == nil && (strings.Contains(text, "s3cret") || !strings.Contains(text, "introspect")) {
			t.Errorf("kept as %s", text)
		}
		sealed, err2 := store.One(t.Context(), tx, store.Scalar[[]byte], `SELECT secrets FROM services`)
		if err2 == nil && (len(sealed) == 0 || strings.Contains(string(sealed), "s3cret")) {
			t.Error("the secret is not sealed")
		}
		return errors.Join(err, err2)
	}))
	found, err := h.Named(t.Context(), acme, "billing")
	h.must(err)
	if got := found.Credentials[1].Introspection.AuthClientSecret; got != "s3cret-of-ours" {
		t.Errorf("opened as %q", got)
	}
	if text := fmt.Sprintf("%v %+v", found.Credentials[1].Introspection, *made.Credentials[1].Introspection); strings.Contains(text, "s3cret") {
		t.Errorf("printed as %s", text)
	}
}

func TestTwoAtOnceNeverShareACredential(t *testing.T) {
	h := newHouse(t)
	h.put(billing())
	for name, c := range map[string]Credential{
		"the same token":   {JWT: &JWT{Issuer: "https://as.example", JWKSURL: "https://as.example/keys", Claims: Claims{Audience: "app", ClientID: "billing"}}},
		"the same answer":  {Introspection: introspection("billing")},
		"another endpoint": {Introspection: &Introspection{Endpoint: "https://other.example/", AuthClientID: "g", AuthClientSecret: "s", Claims: Claims{Audience: "a", Subject: "s"}}},
	} {
		if _, err := h.Put(t.Context(), audit.SystemCause(), acme, Machine{Name: "thief", Role: "owner", Enabled: true, Credentials: []Credential{c}}); !fault.Is(err, fault.Conflict) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Nor when both are put at the same time.
	var tries sync.WaitGroup
	failures := make([]error, 6)
	for i := range failures {
		tries.Go(func() {
			_, failures[i] = h.Put(t.Context(), audit.SystemCause(), acme, Machine{Name: fmt.Sprintf("m%d", i), Role: "viewer", Enabled: true, Credentials: []Credential{{Introspection: introspection("same")}}})
		})
	}
	tries.Wait()
	all, err := h.All(t.Context(), acme)
	h.must(err)
	for _, err := range failures {
		if err != nil && !fault.Is(err, fault.Conflict) {
			t.Error(err)
		}
	}
	if len(all) != 2 {
		t.Errorf("%d services", len(all))
	}
}

func TestP1NoServiceWithoutItsRecord(t *testing.T) {
	h := newHouse(t)
	h.put(billing())
	h.journal.broken = errors.New("the journal is full")
	wanted := billing()
	wanted.Role = "owner"
	if _, err := h.Put(t.Context(), audit.SystemCause(), acme, wanted); !fault.Is(err, fault.Unavailable) {
		t.Errorf("put: %v", err)
	}
	if err := h.Delete(t.Context(), audit.SystemCause(), acme, "billing", 0); !fault.Is(err, fault.Unavailable) {
		t.Errorf("deleted: %v", err)
	}
	found, err := h.Named(t.Context(), acme, "billing")
	h.must(err)
	if found.Role != "viewer" || len(h.open.ended) != 1 {
		t.Errorf("%+v, ended %q", found, h.open.ended)
	}
}

func TestP2WhatAServiceHasOpenEndsWithEveryChange(t *testing.T) {
	h := newHouse(t)
	made := h.put(billing())
	wanted := billing()
	wanted.Enabled = false
	h.put(wanted)
	if want := string(acme) + " " + string(made.ID); !slices.Equal(h.open.ended, []string{want, want}) || len(h.open.seen) != 1 || h.open.seen[0].Enabled {
		t.Fatalf("ended %q when it was %+v", h.open.ended, h.open.seen)
	}
	wanted = billing()
	wanted.Credentials = append(wanted.Credentials, Credential{JWT: &JWT{Connection: "okta", ConnectionID: "con_okta", Claims: Claims{Audience: "app", Subject: "s"}}})
	h.put(wanted)
	h.must(h.EndConnection(t.Context(), acme, "con_okta"))
	h.must(h.EndConnection(t.Context(), acme, "con_entra"))
	if n := len(h.open.ended); n != 4 {
		t.Errorf("ended %d times", n)
	}
	h.open.err = fault.New(fault.Unavailable, "nodes-unconfirmed", "Not now.")
	if err := h.Delete(t.Context(), audit.SystemCause(), acme, "billing", 0); !fault.Is(err, fault.Unavailable) || len(h.open.seen) != 0 {
		t.Errorf("%v, ended when there was %+v", err, h.open.seen)
	}
}

func TestP3ServicesOfOneTenantAreNothingAtAnother(t *testing.T) {
	h := newHouse(t)
	h.put(billing())
	if all, err := h.All(t.Context(), globex); err != nil || len(all) != 0 {
		t.Errorf("%+v, %v", all, err)
	}
	if err := h.Delete(t.Context(), audit.SystemCause(), globex, "billing", 0); !fault.Is(err, fault.NotFound) {
		t.Error(err)
	}
	theirs, err := h.Put(t.Context(), audit.SystemCause(), globex, billing()) // clashes with nobody's there
	h.must(err)
	ours, err := h.Named(t.Context(), acme, "billing")
	h.must(err)
	if ours.ID == theirs.ID {
		t.Error("one service for two tenants")
	}
}

func TestServicesAreChecked(t *testing.T) {
	claims := Claims{Audience: "app", Subject: "s"}
	for name, change := range map[string]func(*Machine){
		"a name with spaces":     func(m *Machine) { m.Name = "a b" },
		"no name":                func(m *Machine) { m.Name = "" },
		"no role":                func(m *Machine) { m.Role = "" },
		"control in its title":   func(m *Machine) { m.DisplayName = "a\nb" },
		"an empty credential":    func(m *Machine) { m.Credentials[0] = Credential{} },
		"two in one":             func(m *Machine) { m.Credentials[0].Introspection = introspection("x") },
		"too many":               func(m *Machine) { m.Credentials = make([]Credential, 11) },
		"one twice":              func(m *Machine) { m.Credentials = append(m.Credentials, m.Credentials[0]) },
		"no audience":            func(m *Machine) { m.Credentials[0].JWT.Audience = "" },
		"anybody's":              func(m *Machine) { m.Credentials[0].JWT.ClientID = "" },
		"no issuer":              func(m *Machine) { m.Credentials[0].JWT.Issuer = "" },
		"issuer and connection":  func(m *Machine) { m.Credentials[0].JWT.Connection = "okta" },
		"no id of a connection":  func(m *Machine) { m.Credentials[0].JWT = &JWT{Connection: "okta", Claims: claims} },
		"a plain issuer":         func(m *Machine) { m.Credentials[0].JWT.Issuer = "http://as.example" },
		"an issuer with a query": func(m *Machine) { m.Credentials[0].JWT.Issuer = "https://as.example?x" },
		"plain keys":             func(m *Machine) { m.Credentials[0].JWT.JWKSURL = "http://as.example/keys" },
		"keys of a connection": func(m *Machine) {
			m.Credentials[0].JWT = &JWT{Connection: "okta", ConnectionID: "con_okta", JWKSURL: "https://as.example/", Claims: claims}
		},
		"a type that there is not":   func(m *Machine) { m.Credentials[0].JWT.Types = []TokenType{"logout+jwt"} },
		"a plain endpoint":           func(m *Machine) { m.Credentials[1].Introspection.Endpoint = "http://as.example/" },
		"no secret":                  func(m *Machine) { m.Credentials[1].Introspection.AuthClientSecret = "" },
		"no client":                  func(m *Machine) { m.Credentials[1].Introspection.AuthClientID = "" },
		"introspection of anybody's": func(m *Machine) { m.Credentials[1].Introspection.Claims = Claims{Audience: "app"} },
		"an empty certificate":       func(m *Machine) { m.Credentials[0] = Credential{Certificate: &Certificate{}} },
		"no certificate":             func(m *Machine) { m.Credentials[0] = Credential{Certificate: &Certificate{Pinned: "hello"}} },
		"every certificate of a CA":  func(m *Machine) { m.Credentials[0] = Credential{Certificate: &Certificate{CA: "x"}} },
		"a wildcard": func(m *Machine) {
			m.Credentials[0] = Credential{Certificate: &Certificate{CA: "x", SANDNS: "*.example"}}
		},
		"a name that is no URI": func(m *Machine) { m.Credentials[0] = Credential{Certificate: &Certificate{CA: "x", SANURI: "billing"}} },
		"an authority that is none": func(m *Machine) {
			m.Credentials[0] = Credential{Certificate: &Certificate{CA: "x", SANDNS: "billing.example"}}
		},
		"a pinned name": func(m *Machine) {
			m.Credentials[0] = Credential{Certificate: &Certificate{Pinned: "x", SANDNS: "billing.example"}}
		},
	} {
		m := billing()
		change(&m)
		if err := m.check(); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	m := billing()
	if err := m.check(); err != nil {
		t.Error(err)
	}
}
