package store

import (
	"context"
	"database/sql"

	"gatehouse/identity"
)

// namedAtOnce bounds how many names are read before they are written.
const namedAtOnce = 1000

// makeNameKeys makes the keys of names anew ([identity.NameKey]) that are not of ASCII
// alone; those were what they are. Two people, or groups, may have the same key by that
// who had none in common before. It stays with whoever had it, or else with the first, and
// the other keeps what theirs was: no name has that any more, so nobody is found by it.
func makeNameKeys(ctx context.Context, tx *sql.Tx, mine string) error {
	for _, in := range []struct{ table, name, key, free string }{
		{"users", "user_name", "user_key", ` AND NOT EXISTS (SELECT 1 FROM users WHERE ` + mine + ` AND user_key = $1)`},
		{"users", "display_name", "display_key", ""},
		{"groups", "display_name", "name_key", ` AND NOT EXISTS (SELECT 1 FROM groups WHERE ` + mine + ` AND name_key = $1)`},
		{"former_users", "search_key", "search_key", ""},
	} {
		type named struct{ id, name, key string }
		for after, last := "", false; !last; {
			some, err := rowsOf(ctx, tx, func(rows *sql.Rows, n *named) error { return rows.Scan(&n.id, &n.name, &n.key) },
				`SELECT id, `+in.name+`, `+in.key+` FROM `+in.table+` WHERE `+mine+` AND id > $1 AND octet_length(`+in.name+`) > length(`+in.name+`) ORDER BY id LIMIT $2`, after, namedAtOnce) // #nosec G202 -- names of ours
			if err != nil {
				return err
			}
			last = len(some) < namedAtOnce
			for _, n := range some {
				after = n.id
				key := identity.NameKey(n.name)
				if key == n.key {
					continue
				}
				if _, err := tx.ExecContext(ctx, `UPDATE `+in.table+` SET `+in.key+` = $1 WHERE `+mine+` AND id = $2 AND `+in.name+` = $3`+in.free, key, n.id, n.name); err != nil { // #nosec G202 -- names of ours
					return err
				}
			}
		}
	}
	return nil
}
