package store

import (
	"context"
	"database/sql"
	"strings"
)

// lettersAtOnce is how many people are read at a time, each with up to 64 KiB.
const lettersAtOnce = 200

// smallLetters brings what people are found by into small letters as Go knows them, which
// is how it is written and asked for ([strings.ToLower]): what 00031 has filled has capital
// letters beyond ASCII, and nobody was found by these. text is how SQL is given it.
func smallLetters(text string) program {
	type person struct{ id, search string }
	return func(ctx context.Context, tx *sql.Tx, mine string) error {
		for after, last := "", false; !last; {
			people, err := rowsOf(ctx, tx, func(rows *sql.Rows, p *person) error { return rows.Scan(&p.id, &p.search) },
				`SELECT id, CAST(search AS TEXT) FROM users WHERE `+mine+` AND id > $1 AND octet_length(CAST(search AS TEXT)) > length(CAST(search AS TEXT)) ORDER BY id LIMIT $2`, after, lettersAtOnce) // #nosec G202 -- a text of ours
			if err != nil {
				return err
			}
			last = len(people) < lettersAtOnce
			for _, p := range people {
				after = p.id
				small := strings.ToLower(p.search)
				if small == p.search {
					continue
				}
				if _, err := tx.ExecContext(ctx, `UPDATE users SET search = `+text+` WHERE `+mine+` AND id = $2 AND CAST(search AS TEXT) = $3`, small, p.id, p.search); err != nil { // #nosec G202 -- a text of ours
					return err
				}
			}
		}
		return nil
	}
}
