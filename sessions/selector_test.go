package sessions_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"testing"
	"time"

	"gatehouse/audit"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/internal/store"
	"gatehouse/sessions"
)

// TestP2_EverySelector: each ends exactly what it means, in memory and in SQL,
// and says in its record what that was.
func TestP2_EverySelector(t *testing.T) {
	w := newWorld(t)
	ann, bob, cid := w.user(acme, "ann"), w.user(acme, "bob"), w.user(acme, "cid")
	w.exec(acme, `INSERT INTO groups (id, display_name, name_key, external_id, source, connection_id, version, created_at, updated_at)
		VALUES ('grp_1', 'Ops', 'ops', '', 'admin', '', 1, 0, 0), ('grp_2', 'Nobody', 'nobody', '', 'admin', '', 1, 0, 0),
			('grp_3', 'Staff', 'staff', '', 'admin', '', 1, 0, 0), ('grp_4', 'All', 'all', '', 'admin', '', 1, 0, 0)`)
	w.exec(acme, `INSERT INTO group_nestings (group_id, member_id) VALUES ('grp_3', 'grp_1'), ('grp_4', 'grp_3'), ('grp_3', 'grp_4')`) // a circle, with Ops in it
	w.exec(acme, `INSERT INTO group_members (group_id, user_id) VALUES ('grp_1', $1)`, bob)
	w.exec(acme, `INSERT INTO teams (id, name, display_name, version, created_at, updated_at) VALUES ('tea_1', 'pay', 'Pay', 1, 0, 0), ('tea_2', 'ship', 'Ship', 1, 0, 0)`)
	w.exec(acme, `INSERT INTO assignments (id, name, role, team_id, subject_kind, subject_id, version, created_at)
		VALUES ('asg_1', 'a', 'team_viewer', 'tea_1', 'user', $1, 1, 0), ('asg_2', 'b', 'team_viewer', 'tea_1', 'group', 'grp_1', 1, 0),
		('asg_3', 'c', 'viewer', NULL, 'user', $2, 1, 0), ('asg_4', 'd', 'team_viewer', 'tea_2', 'group', 'grp_4', 1, 0)`, ann, cid)
	w.exec(acme, `INSERT INTO identities (connection_id, subject, user_id, created_at, seen_at) VALUES ('con_oidc', 'sub-ann', $1, 0, 0)`, ann)
	at := func(user identity.UserID, ip string) sessions.NewSession {
		n := signIn(user)
		n.IP = netip.MustParseAddr(ip)
		n.IDPSubject, n.IDPSession = map[identity.UserID]string{ann: "sub-ann", bob: "sub-bob", cid: "sub-cid"}[user], ip
		return n
	}
	// What other providers call so is somebody else's.
	w.exec(acme, `INSERT INTO connections (id, name, type, spec, enabled, version, created_at, updated_at)
		VALUES ('con_other', 'other', 'oidc', '{}', TRUE, 1, 0, 0)`)
	elsewhere := at(ann, "192.0.2.7")
	elsewhere.Connection, elsewhere.IP = "con_other", netip.MustParseAddr("203.0.113.7")
	idp := func(subject string, ids ...string) func([]sessions.Created) sessions.Selector {
		return func([]sessions.Created) sessions.Selector {
			return sessions.Selector{Connection: "con_oidc", IDPSubject: subject, IDPSessions: ids}
		}
	}
	for _, step := range []struct {
		which  func(all []sessions.Created) sessions.Selector
		ends   []int // of ann, bob, cid, ann at home, and ann by another provider
		target audit.Target
	}{
		{func(all []sessions.Created) sessions.Selector { return sessions.Selector{Group: "grp_1"} }, []int{1}, audit.Target{Kind: "group", ID: "grp_1", Name: "Ops"}},
		{func(all []sessions.Created) sessions.Selector { return sessions.Selector{Group: "grp_2"} }, nil, audit.Target{Kind: "group", ID: "grp_2", Name: "Nobody"}},
		{func(all []sessions.Created) sessions.Selector { return sessions.Selector{Group: "grp_4"} }, []int{1}, audit.Target{Kind: "group", ID: "grp_4", Name: "All"}},
		{func(all []sessions.Created) sessions.Selector { return sessions.Selector{Team: "tea_2"} }, []int{1}, audit.Target{Kind: "team", ID: "tea_2", Name: "ship"}},
		{func(all []sessions.Created) sessions.Selector { return sessions.Selector{Team: "tea_1"} }, []int{0, 1, 3, 4}, audit.Target{Kind: "team", ID: "tea_1", Name: "pay"}},
		{func(all []sessions.Created) sessions.Selector {
			return sessions.Selector{Team: "tea_1", Except: all[0].Session.ID}
		}, []int{1, 3, 4}, audit.Target{Kind: "team", ID: "tea_1", Name: "pay"}},
		{func(all []sessions.Created) sessions.Selector {
			return sessions.Selector{Network: netip.MustParsePrefix("192.0.2.0/24")}
		}, []int{0, 1, 2}, audit.Target{Kind: "network", ID: "192.0.2.0/24"}},
		{func(all []sessions.Created) sessions.Selector {
			return sessions.Selector{Network: netip.MustParsePrefix("2001:db8::/32")}
		}, []int{3}, audit.Target{Kind: "network", ID: "2001:db8::/32"}},
		{func(all []sessions.Created) sessions.Selector {
			return sessions.Selector{Before: all[2].Session.CreatedAt}
		}, []int{0, 1}, audit.Target{Kind: "sign-ins-before"}},
		{func(all []sessions.Created) sessions.Selector { return sessions.Selector{User: ann} }, []int{0, 3, 4}, audit.Target{Kind: "user", ID: string(ann), Name: "ann"}},
		{func(all []sessions.Created) sessions.Selector { return sessions.Selector{Device: all[1].Device.ID} }, []int{1}, audit.Target{Kind: "device"}},
		{idp("sub-ann"), []int{0, 3}, audit.Target{Kind: "idp-subject", ID: "sub-ann", Name: "ann"}},
		{idp("sub-ann", "2001:db8::1", "192.0.2.8"), []int{3}, audit.Target{Kind: "idp-subject", ID: "sub-ann", Name: "ann"}},
		{idp("", "192.0.2.8", "192.0.2.9"), []int{1, 2}, audit.Target{Kind: "idp-session", ID: "192.0.2.8 192.0.2.9", Name: "oidc"}},
		{idp("sub-bob", "192.0.2.9"), nil, audit.Target{Kind: "idp-subject", ID: "sub-bob"}},
		{idp("nobody"), nil, audit.Target{Kind: "idp-subject", ID: "nobody"}},
		{func(all []sessions.Created) sessions.Selector { return sessions.Selector{Connection: "con_oidc"} }, []int{0, 1, 2, 3}, audit.Target{Kind: "connection", ID: "con_oidc", Name: "oidc"}},
		{func(all []sessions.Created) sessions.Selector { return sessions.Selector{All: true} }, []int{0, 1, 2, 3, 4}, audit.Target{Kind: "tenant", ID: string(acme)}},
	} {
		all := []sessions.Created{w.signIn(acme, at(ann, "192.0.2.7")), w.signIn(acme, at(bob, "192.0.2.8"))}
		w.later()
		all = append(all, w.signIn(acme, at(cid, "192.0.2.9")), w.signIn(acme, at(ann, "2001:db8::1")), w.signIn(acme, elsewhere))
		sel := step.which(all)
		what := fmt.Sprintf("%+v", sel)
		conns := make([]*conn, len(all))
		for i := range all {
			conns[i] = open(t, w.find(acme, all[i].Token))
		}
		done := w.revoke(acme, sel)
		if done.Sessions != len(step.ends) || done.Connections != len(step.ends) || len(done.Nodes) != 1 || !done.Nodes[0].Confirmed {
			t.Errorf("%s: %+v, want %d", what, done, len(step.ends))
		}
		e := w.journal.last()
		if step.target.ID == "" {
			step.target.ID = e.Target.ID
		}
		if step.target.Name == "" {
			step.target.Name = e.Target.Name
		}
		if e.Type != audit.SessionsRevoked || e.Target != step.target || e.Target.ID == "" {
			t.Errorf("%s: recorded as %+v", what, e.Target)
		}
		ends := map[int]bool{}
		for _, i := range step.ends {
			ends[i] = true
		}
		for _, restarted := range []bool{false, true} {
			if restarted {
				for _, c := range conns {
					if !c.left.Load() {
						c.leave()
					}
				}
				w.reopen()
			}
			for i := range all {
				_, err := w.Find(t.Context(), acme, all[i].Token)
				if fault.Is(err, fault.Unauthenticated) != ends[i] || !restarted && conns[i].told.Load() != ends[i] {
					t.Errorf("%s, restarted %t: session %d: %v", what, restarted, i, err)
				}
			}
		}
		w.revoke(acme, sessions.Selector{All: true})
	}
}

// TestP2_AGroupOfMany: more people than the nodes are told of at once.
func TestP2_AGroupOfMany(t *testing.T) {
	w := newWorld(t)
	const people = 250
	w.exec(acme, `INSERT INTO groups (id, display_name, name_key, external_id, source, connection_id, version, created_at, updated_at)
		VALUES ('grp_1', 'Ops', 'ops', '', 'admin', '', 1, 0, 0)`)
	var tokens []string
	for i := range people {
		user := w.user(acme, fmt.Sprint("u", i))
		w.exec(acme, `INSERT INTO group_members (group_id, user_id) VALUES ('grp_1', $1)`, user)
		tokens = append(tokens, w.signIn(acme, signIn(user)).Token)
	}
	other := w.signIn(acme, signIn(w.user(acme, "other")))
	if done := w.revoke(acme, sessions.Selector{Group: "grp_1"}); done.Sessions != people || !done.Confirmed() || len(done.Nodes) != 1 {
		t.Errorf("%+v", done)
	}
	for _, token := range tokens {
		if _, err := w.Find(t.Context(), acme, token); !fault.Is(err, fault.Unauthenticated) {
			t.Fatalf("%v, want Unauthenticated", err)
		}
	}
	w.find(acme, other.Token)
}

// elsewhere is a registry whose sessions are all on other nodes.
type elsewhere struct{ sessions.Registry }

func (elsewhere) Partial() bool { return true }

func (elsewhere) End(context.Context, identity.TenantID, sessions.Selector, []sessions.TokenHash, string) (sessions.Ended, error) {
	return sessions.Ended{Nodes: []sessions.NodeConfirmation{{ID: "n2", Confirmed: true}}}, nil
}

// meanwhile has something happen before a tenant's data is asked for so often.
type meanwhile struct {
	sessions.Stores
	left    int
	happens func()
}

func (m *meanwhile) Tenant(id identity.TenantID) store.Tenant {
	if m.left--; m.left == 0 {
		m.happens()
	}
	return m.Stores.Tenant(id)
}

// TestP2_WhoLeavesAGroupThatIsBeingEnded: whoever was in it when its end began is
// out, though it takes more than one statement and they leave the group between two.
func TestP2_WhoLeavesAGroupThatIsBeingEnded(t *testing.T) {
	w := newWorld(t)
	user := w.user(acme, "ann")
	w.exec(acme, `INSERT INTO groups (id, display_name, name_key, external_id, source, connection_id, version, created_at, updated_at)
		VALUES ('grp_1', 'Ops', 'ops', '', 'admin', '', 1, 0, 0)`)
	w.exec(acme, `INSERT INTO group_members (group_id, user_id) VALUES ('grp_1', $1)`, user)
	w.copies(w.signIn(acme, signIn(user)).Session.ID, 1000)
	stores := &meanwhile{Stores: w.db, left: 3, happens: func() { w.exec(acme, `DELETE FROM group_members`) }} // the name, the first statement
	s := sessions.New(sessions.Config{Store: stores, Keys: testKeys{}, Journal: w.journal, Node: "n1",
		Registry: elsewhere{sessions.NewLocal("n1", slog.New(slog.DiscardHandler))}, Limits: func(identity.TenantID) sessions.Limits { return sessions.Limits{} }})
	done, err := s.Revoke(t.Context(), audit.SystemCause(), acme, sessions.Selector{Group: "grp_1"}, "admin")
	if err != nil || done.Sessions != 1001 || stores.left > 0 {
		t.Errorf("%+v, %v", done, err)
	}
	if n := w.exec(acme, `UPDATE sessions SET ended_at = 1 WHERE ended_at IS NULL`); n != 0 {
		t.Errorf("%d sessions live on in SQL", n)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// later waits until the next sign-in is of another millisecond.
func (w *world) later() {
	for now := time.Now().Truncate(time.Millisecond); time.Now().Truncate(time.Millisecond).Equal(now); {
	}
}

func TestSelectorsOfAnIdentityProvider(t *testing.T) {
	w := newWorld(t)
	for _, sel := range []sessions.Selector{
		{IDPSubject: "sub"}, {IDPSessions: []string{"s"}}, {User: "usr_1", IDPSubject: "sub"}, {All: true, IDPSessions: []string{"s"}},
		{Connection: "con_oidc", IDPSessions: []string{""}}, {Connection: "con_oidc", IDPSubject: "sub", IDPSessions: []string{"s", ""}},
		{Connection: "con_oidc", IDPSessions: make([]string, sessions.MaxIDPSessions+1)},
	} {
		if _, err := w.Revoke(t.Context(), audit.SystemCause(), acme, sel, "admin"); !fault.Is(err, fault.Invalid) {
			t.Errorf("%+v: %v", sel, err)
		}
	}
	if n := w.journal.count(audit.SessionsRevoked); n != 0 {
		t.Errorf("%d records", n)
	}
}
