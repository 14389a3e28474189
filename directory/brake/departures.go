package brake

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"gatehouse/directory"
	"gatehouse/identity"
	"gatehouse/internal/store"
)

// batch is how many people one statement names.
const batch = 500

// leave counts who leaves by a change and is not counted yet, as far as that matters
// where so many may: one too many is enough to know.
func (r *record) leave(ctx context.Context, tx *store.Tx, who directory.Leavers, limit int, from time.Time) (int, error) {
	people, err := who(ctx, tx, limit+1)
	if err != nil {
		return 0, err
	}
	leave := len(people)
	for some := range slices.Chunk(people, batch) {
		in, args := listed(some, store.Millis(from))
		counted, err := store.One(ctx, tx, store.Scalar[int], `SELECT count(*) FROM scim_departures WHERE left_at >= $1 AND user_id IN (`+in+`)`, args...)
		if err != nil {
			return 0, err
		}
		leave -= counted
	}
	return leave, nil
}

// add counts departures, those of before anew.
func (r *record) add(ctx context.Context, tx *store.Tx, people []identity.UserID, at time.Time) error {
	if err := forget(ctx, tx, r, people); err != nil {
		return err
	}
	rows := make([]string, len(people))
	args := []any{store.Millis(at)}
	for i, id := range people {
		args = append(args, id)
		rows[i] = "($" + strconv.Itoa(len(args)) + ", $1)"
	}
	_, err := tx.Exec(ctx, `INSERT INTO scim_departures (user_id, left_at) VALUES `+strings.Join(rows, ", "), args...)
	r.gone += len(people)
	return err
}

// forget takes back the departures of some people.
func forget[ID ~string](ctx context.Context, tx *store.Tx, r *record, people []ID) error {
	in, args := listed(people)
	n, err := tx.Exec(ctx, `DELETE FROM scim_departures WHERE user_id IN (`+in+`)`, args...)
	r.gone -= int(n)
	return err
}

// listed gives the places of ids behind other parameters, and all of the arguments.
func listed[ID ~string](ids []ID, before ...any) (places string, args []any) {
	args = before
	in := make([]string, len(ids))
	for i, id := range ids {
		args = append(args, string(id))
		in[i] = "$" + strconv.Itoa(len(args))
	}
	return strings.Join(in, ", "), args
}
