package google

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"gatehouse/internal/fault"
	"gatehouse/internal/store"
)

// record is what is kept of the reading of one account, in one row.
type record struct {
	spec    spec
	sealed  []byte
	version uint64
	account string // customer id, as Google says it; empty before the first reading
	run     int64
	due     time.Time
	beat
	outcome *SyncOutcome
}

// spec is what stands in the row in the open.
type spec struct {
	Settings
	Account ServiceAccount `json:"account"`
}

// beat says who reads, and that they still do.
type beat struct {
	holder string // a reading; empty: there is none
	beats  int64
}

const recordColumns = `spec, key_sealed, version, account, run, due_at, holder, beats, outcome`

func scanRecord(row store.Row) (r record, err error) {
	var text, outcome string
	var due int64
	if err = row.Scan(&text, &r.sealed, &r.version, &r.account, &r.run, &due, &r.holder, &r.beats, &outcome); err != nil {
		return r, err
	}
	if r.due = store.Time(due); outcome != "" {
		r.outcome = &SyncOutcome{}
		err = json.Unmarshal([]byte(outcome), r.outcome)
	}
	return r, errors.Join(err, json.Unmarshal([]byte(text), &r.spec))
}

func errNone(cause error) error {
	return fault.Wrap(cause, fault.NotFound, "no-directory-sync", "No Google Workspace account is read here yet: put its settings, with the key of a service account.")
}

func load(ctx context.Context, tx *store.Tx) (record, error) {
	r, err := store.One(ctx, tx, scanRecord, `SELECT `+recordColumns+` FROM google_sync WHERE id = 1`)
	if errors.Is(err, store.ErrNoRows) {
		err = errNone(err)
	}
	return r, err
}

// maxSkips bounds the skipped that are shown.
const maxSkips = 100

func skips(ctx context.Context, tx *store.Tx) ([]SyncSkip, error) {
	scan := func(row store.Row) (s SyncSkip, err error) {
		err = row.Scan(&s.Kind, &s.Email, &s.Reason)
		return s, err
	}
	people, err := store.All(ctx, tx, scan, `SELECT '`+SkippedPerson+`', email, reason FROM google_people WHERE reason <> '' ORDER BY google_id LIMIT $1`, maxSkips)
	if err != nil {
		return nil, err
	}
	groups, err := store.All(ctx, tx, scan, `SELECT '`+SkippedGroup+`', email, reason FROM google_groups WHERE reason <> '' ORDER BY google_id LIMIT $1`, maxSkips-len(people))
	return append(people, groups...), err
}
