package authz_test

import (
	"context"
	"errors"
	"testing"

	"gatehouse/audit"
	"gatehouse/authz"
	"gatehouse/identity"
	"gatehouse/internal/fault"
)

// ledger is a journal that a guard writes to, for the part that no journal in
// memory can play: giving receipts.
type ledger struct {
	*audit.Journal
	*audit.Refusals
}

func newLedger(t *testing.T) ledger {
	t.Helper()
	j, err := audit.Open(audit.Options{Dir: t.TempDir(), Node: "n1", Keys: keys{}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := j.Close(); err != nil {
			t.Error(err)
		}
	})
	return ledger{j, audit.NewRefusals(j)}
}

func (l ledger) guard(d authz.Decider) authz.Guard {
	return authz.Guard{Decider: d, Journal: l.Journal, Refusals: l.Refusals}
}

func (l ledger) all(t *testing.T) (events []audit.Event) {
	t.Helper()
	for e, err := range l.Read(t.Context(), acme, 0) {
		if err != nil {
			t.Fatal(err)
		}
		events = append(events, e)
	}
	return events
}

func TestP1_TheGuardRecordsWhatItDecides(t *testing.T) {
	w := newWorld(t)
	read := authz.Query{Tenant: acme, Permission: authz.Permission{Object: "gatehouse.users", Action: "read"}}
	somebody := authz.Query{Tenant: acme, Access: authz.NeedSignIn}
	token := func(role string) *identity.Principal {
		return &identity.Principal{Kind: identity.KindAPIToken, Tenant: acme, ID: "tok_1", Name: "ci", Role: role}
	}
	for name, c := range map[string]struct {
		who    *identity.Principal
		query  authz.Query
		kind   fault.Kind // of the refusal
		code   string     // "": allowed
		reason string     // as recorded
	}{
		"allowed":           {who: token("owner"), query: read, reason: authz.ReasonRole},
		"no role":           {who: token("member"), query: read, kind: fault.Denied, code: "not-allowed", reason: authz.ReasonNoRole},
		"nobody":            {query: read, kind: fault.Unauthenticated, code: "sign-in-required", reason: authz.ReasonAnonymous},
		"nobody, to a page": {query: somebody, kind: fault.Unauthenticated, code: "sign-in-required", reason: authz.ReasonAnonymous},
		"another tenant's":  {who: &identity.Principal{Kind: identity.KindAPIToken, Tenant: globex, ID: "tok_2", Role: "owner"}, query: somebody, kind: fault.Denied, code: "not-allowed", reason: authz.ReasonWrongTenant},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLedger(t)
			e := audit.Event{Tenant: acme, Actor: audit.ActorOf(c.who), RequestID: "req_1"}
			err := l.guard(w).Admit(t.Context(), c.who, c.query, &e)
			all := l.all(t)
			if len(all) != 1 || all[0].Reason != c.reason || all[0].RequestID != "req_1" {
				t.Fatalf("recorded %+v", all)
			}
			if c.code == "" {
				if err != nil || all[0].Type != audit.AccessAllowed || all[0].Outcome != audit.Success || all[0].Role != "owner" {
					t.Errorf("%v, recorded as %+v", err, all[0])
				}
				return
			}
			f := fault.As(err)
			if f.Kind != c.kind || f.Code != c.code || f.Event != string(all[0].ID) || all[0].Type != audit.AccessRefused || all[0].Outcome != audit.Refused {
				t.Errorf("%v of event %s, recorded as %+v", err, f.Event, all[0])
			}
		})
	}
}

func TestP1_TheGuardRecordsOtherRefusals(t *testing.T) {
	l := newLedger(t)
	e := audit.Event{Tenant: acme, Actor: audit.Actor{Kind: identity.KindUser, ID: "usr_1"}, Type: audit.AccessAllowed, Outcome: audit.Success,
		Reason: authz.ReasonRole, Role: "owner"}
	err := l.guard(nil).Refuse(t.Context(), e, fault.New(fault.Denied, "not-yours", "This belongs to somebody else."))
	all := l.all(t)
	if len(all) != 1 || all[0].Type != audit.AccessRefused || all[0].Outcome != audit.Refused || all[0].Reason != "not-yours" || all[0].Role != "" {
		t.Fatalf("recorded %+v", all)
	}
	if f := fault.As(err); f.Code != "not-yours" || f.Event != string(all[0].ID) {
		t.Errorf("refused by %v of event %s", err, f.Event)
	}
}

// forgetful is a journal that fails, or gives nothing to show for a record.
type forgetful struct{ err error }

func (j forgetful) Write(context.Context, *audit.Event) (audit.Receipt, error) {
	return audit.Receipt{}, j.err
}

func (j forgetful) Record(context.Context, audit.Event) (audit.Receipt, error) {
	return audit.Receipt{}, j.err
}

// yes decides without a permit.
type yes struct{}

func (yes) Decide(context.Context, *identity.Principal, authz.Query) (authz.Permit, authz.Decision, error) {
	return authz.Permit{}, authz.Decision{Allowed: true}, nil
}

func TestP7_TheGuardLetsNobodyInWithoutProof(t *testing.T) {
	w := newWorld(t)
	operator := &identity.Principal{Kind: identity.KindOperator, ID: "root"}
	q := authz.Query{Tenant: acme, Access: authz.NeedSignIn}
	for name, j := range map[string]forgetful{"no journal": {errBroken}, "no receipt": {}} {
		g := authz.Guard{Decider: w, Journal: j, Refusals: j}
		if err := g.Admit(t.Context(), operator, q, &audit.Event{Tenant: acme}); err == nil || j.err != nil && !errors.Is(err, j.err) {
			t.Errorf("%s: %v", name, err)
		}
		if err := g.Admit(t.Context(), nil, q, &audit.Event{Tenant: acme}); err == nil || j.err != nil && !errors.Is(err, j.err) {
			t.Errorf("%s, refused: %v", name, err)
		}
	}
	l := newLedger(t)
	if err := l.guard(yes{}).Admit(t.Context(), operator, q, &audit.Event{Tenant: acme}); !fault.Is(err, fault.Denied) {
		t.Errorf("without a permit: %v", err)
	}
	if all := l.all(t); len(all) != 1 || all[0].Type != audit.AccessRefused {
		t.Errorf("recorded %+v", all)
	}
}
