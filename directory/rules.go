package directory

import (
	"context"
	"fmt"
	"strconv"

	"gatehouse/audit"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/internal/store"
)

// maxEmptied bounds the groups that are emptied, and recorded, in one step.
const maxEmptied = 100

// DropRules takes everybody out of the groups of a connection into which a rule of
// its alone has put them, save those that are still ruled as they were: what put
// somebody into another one has not been said of them. Whom the provider itself says to
// be in a group, or an admin has put there, stays. Sign-ins by what the connection was
// before put nobody back ([SignIn.Version]).
func (s *Service) DropRules(ctx context.Context, cause audit.Cause, tenant identity.TenantID, connection identity.ConnectionID, still []string) error {
	ruled := keysOf(still)
	return s.empty(ctx, cause, tenant, connection, "ruled", "rule-ended", func(g *Group) bool { return ruled[keyOf(g.DisplayName)] })
}

// DropConnection takes everybody out of the groups that a connection has filled: it is
// gone, and nothing will ever say again who is in them. The groups stay, since roles
// may hang on them.
func (s *Service) DropConnection(ctx context.Context, cause audit.Cause, tenant identity.TenantID, connection identity.ConnectionID) error {
	return s.empty(ctx, cause, tenant, connection, "TRUE", "connection-deleted", func(*Group) bool { return false })
}

// empty takes those members out of a connection's groups for whom a condition holds;
// not out of those to be spared.
func (s *Service) empty(ctx context.Context, cause audit.Cause, tenant identity.TenantID, connection identity.ConnectionID, members, reason string, spare func(*Group) bool) error {
	after, last := identity.GroupID(""), false
	for !last {
		err := s.change(ctx, tenant, func(tx *store.Tx) (*step, error) {
			found, err := store.All(ctx, tx, scanGroup, `SELECT `+groupColumns+` FROM groups WHERE source = $1 AND connection_id = $2 AND id > $3
				AND EXISTS (SELECT 1 FROM group_members WHERE group_id = id AND `+members+`) ORDER BY id LIMIT `+strconv.Itoa(maxEmptied),
				SourceSignIn, connection, after)
			if err != nil {
				return nil, err
			}
			last = len(found) < maxEmptied
			do := &step{people: Everybody} // more may come into them by other nodes meanwhile
			var emptied []identity.GroupID
			for _, g := range found {
				after = g.ID
				if spare(&g) {
					continue
				}
				n, err := store.One(ctx, tx, store.Scalar[int], `SELECT count(*) FROM group_members WHERE group_id = $1 AND `+members, g.ID)
				if err != nil {
					return nil, err
				}
				e := groupEvent(cause, tenant, audit.GroupChanged, &g)
				e.Connection, e.Reason = connection, reason
				e.Details = map[string]string{"changed": "members", "added": "0", "removed": strconv.Itoa(n)}
				do.events, emptied = append(do.events, e), append(emptied, g.ID)
				do.news.member(g.ID, Membership{Many: true})
			}
			if len(emptied) == 0 {
				return nil, nil
			}
			do.write = func(ctx context.Context, tx *store.Tx) error {
				for _, id := range emptied {
					if _, err := tx.Exec(ctx, `DELETE FROM group_members WHERE group_id = $1 AND `+members, id); err != nil {
						return err
					}
				}
				return moved(ctx, tx, emptied...)
			}
			return do, nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// keyOf is a group's name as it is compared; "" if no group can have it.
func keyOf(name string) string {
	g := Group{DisplayName: name}
	key, err := g.canonicalise()
	if err != nil {
		return ""
	}
	return key
}

func keysOf(names []string) map[string]bool {
	keys := make(map[string]bool, len(names))
	for _, name := range names {
		keys[keyOf(name)] = true
	}
	delete(keys, "")
	return keys
}

var errConnectionChanged = fault.New(fault.Denied, "connection-changed", "This way of signing in was changed while you signed in. Sign in again.")

// unchanged holds the connection as it was when the sign-in was verified until the
// transaction is over: whoever changes it afterwards finds the members that this
// puts into groups ([Service.DropRules]).
func (in *SignIn) unchanged(ctx context.Context, tx *store.Tx) error {
	if in.Version == 0 {
		return nil
	}
	n, err := tx.Exec(ctx, `UPDATE connections SET version = version WHERE id = $1 AND version = $2`, in.Connection, in.Version)
	if err != nil {
		return fmt.Errorf("hold the connection: %w", err)
	}
	if n == 0 {
		return errConnectionChanged
	}
	return nil
}
