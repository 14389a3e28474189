package store

import (
	"context"
	"strings"

	"github.com/pressly/goose/v3"
)

// inGo is what some steps do after their SQL, by the names of their files: what must come
// out as the rooms write it, and SQL cannot say.
var inGo = map[string]func(context.Context, goose.Dialect, conn) error{"00053_search_letters.sql": smallLetters}

// letterBatch is how many people are read at a time, each with up to 64 KiB.
const letterBatch = 200

// smallLetters brings what people are found by into small letters as Go knows them, which
// is how it is written and asked for ([strings.ToLower]): what 00031 has filled has capital
// letters beyond ASCII, and nobody was found by these.
func smallLetters(ctx context.Context, dialect goose.Dialect, tx conn) error {
	find := `SELECT '', id, search FROM users WHERE ?1 = '' AND id > ?2 AND length(CAST(search AS BLOB)) > length(search) ORDER BY id LIMIT ?3`
	put := `UPDATE users SET search = ?3 WHERE ?1 = '' AND id = ?2`
	if dialect == goose.DialectPostgres {
		// Every tenant's are meant, so that the table's owner must see them for once.
		if _, err := tx.ExecContext(ctx, `ALTER TABLE users NO FORCE ROW LEVEL SECURITY`); err != nil {
			return err
		}
		find = `SELECT tenant_id, id, search::text FROM users WHERE (tenant_id, id) > ($1, $2) AND octet_length(search::text) > length(search::text)
			ORDER BY tenant_id, id LIMIT $3`
		put = `UPDATE users SET search = $3::text::jsonb WHERE tenant_id = $1 AND id = $2`
	}
	var last person
	for more := true; more; {
		people, err := peopleAfter(ctx, tx, find, last)
		if err != nil {
			return err
		}
		for _, p := range people {
			if small := strings.ToLower(p.search); small != p.search {
				if _, err := tx.ExecContext(ctx, put, p.tenant, p.id, small); err != nil {
					return err
				}
			}
			last = p
		}
		more = len(people) == letterBatch
	}
	if dialect == goose.DialectPostgres {
		_, err := tx.ExecContext(ctx, `ALTER TABLE users FORCE ROW LEVEL SECURITY`)
		return err
	}
	return nil
}

// person is whoever is found by something.
type person struct{ tenant, id, search string }

func peopleAfter(ctx context.Context, tx conn, find string, last person) (people []person, err error) {
	rows, err := tx.QueryContext(ctx, find, last.tenant, last.id, letterBatch)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var p person
		if err := rows.Scan(&p.tenant, &p.id, &p.search); err != nil {
			return nil, err
		}
		people = append(people, p)
	}
	return people, rows.Err()
}
