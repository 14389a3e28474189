package directory

import (
	"context"

	"gatehouse/identity"
	"gatehouse/internal/store"
)

// A group's version, and when it was changed last, move with every change of who is in it,
// whatever that comes by: a client that is told that the version is the same may go by the
// members that it has (RFC 7644 §3.14). They do not move while a member is renamed. A
// member is who its id says, and what it is called is the member's own and moves the
// member's version, which a weak validator allows for (RFC 9110 §8.8.1); moved by names, the
// version of a group of 100,000 would change all the time, and nobody's If-Match would
// ever hold.

// movedWithout moves the versions of the groups in which somebody, or a group, is a member
// itself, and which lose it in this transaction. What it costs goes by the number of these
// groups, and not by how many are in them.
func (t memberTable) movedWithout(ctx context.Context, tx *store.Tx, member string) error {
	_, err := tx.Exec(ctx, `UPDATE groups SET version = version + 1, updated_at = $1
		WHERE id IN (SELECT group_id FROM `+t.name+` WHERE `+t.column+` = $2)`, store.Millis(now()), member)
	return err
}

// moved moves the versions of groups whose members change in this transaction.
func moved(ctx context.Context, tx *store.Tx, groups ...identity.GroupID) error {
	for _, id := range groups {
		if _, err := tx.Exec(ctx, `UPDATE groups SET version = version + 1, updated_at = $1 WHERE id = $2`, store.Millis(now()), id); err != nil {
			return err
		}
	}
	return nil
}
