package google

import (
	"context"
	"net/http"

	"gatehouse/internal/store"
)

// managers has it written who reports to whom, once all who could be a manager are there.
func (r *run) managers(ctx context.Context) error {
	type pair struct{ google, user, manager string }
	for after := ""; ; {
		var pairs []pair
		err := r.service.Store.Tenant(r.tenant).Read(ctx, func(tx *store.Tx) (err error) {
			pairs, err = store.All(ctx, tx, func(row store.Row) (p pair, err error) {
				err = row.Scan(&p.google, &p.user, &p.manager)
				return p, err
			}, `SELECT p.google_id, p.user_id, COALESCE(m.user_id, '') FROM google_people p
				LEFT JOIN google_people m ON m.email = p.manager AND m.run = p.run AND m.user_id IS NOT NULL AND p.manager <> ''
				WHERE p.run = $1 AND p.google_id > $2 AND p.user_id IS NOT NULL AND p.manager_id <> COALESCE(m.user_id, '') ORDER BY p.google_id LIMIT $3`, r.run, after, piece)
			return err
		})
		if err != nil || len(pairs) == 0 {
			return err
		}
		after = pairs[len(pairs)-1].google
		all := make([]operation, len(pairs))
		for i, p := range pairs {
			o := object{"op": "remove", "path": enterpriseURN + ":manager"}
			if p.manager != "" {
				o = object{"op": "replace", "path": enterpriseURN + ":manager", "value": object{"value": p.manager}}
			}
			all[i] = operation{Method: http.MethodPatch, Path: "/Users/" + p.user, Data: patchOf(o)}
		}
		results, err := r.bulk(ctx, all, 0)
		if err != nil {
			return err
		}
		err = r.write(ctx, func(tx *store.Tx) error {
			for i := range results {
				if !results[i].good() {
					continue // with the next reading
				}
				if _, err := tx.Exec(ctx, `UPDATE google_people SET manager_id = $1 WHERE google_id = $2`, pairs[i].manager, pairs[i].google); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
}

// missing takes out who is not in the list that was read to its end, or is not to be
// brought any more. People come and go while it is read, so that Google is asked about
// each of them once more.
func (r *run) missing(ctx context.Context) error {
	for after := ""; ; {
		var gone []person
		err := r.write(ctx, func(tx *store.Tx) (err error) {
			// Who was never brought need not leave.
			if _, err := tx.Exec(ctx, `DELETE FROM google_people WHERE run < $1 AND user_id IS NULL`, r.run); err != nil {
				return err
			}
			gone, err = store.All(ctx, tx, scanPerson, `SELECT `+personColumns+` FROM google_people WHERE run < $1 AND google_id > $2 AND gone = FALSE ORDER BY google_id LIMIT $3`, r.run, after, piece)
			return err
		})
		if err != nil || len(gone) == 0 {
			return err
		}
		after = gone[len(gone)-1].google
		if r.held != "" {
			r.counts.Held += len(gone)
			continue
		}
		if err := r.leave(ctx, gone); err != nil {
			return err
		}
	}
}

// leave takes people out who are gone.
func (r *run) leave(ctx context.Context, gone []person) error {
	var there []user
	var leaving []change
	for _, p := range gone {
		u, err := r.api.user(ctx, p.google)
		if err == nil && u.ID != p.google {
			return errAnswer(nil, "it is about somebody else")
		}
		if err != nil && !isMissing(err) {
			return err
		}
		if err == nil && !u.unread && r.chosen != nil && !r.chosen.people[u.ID] && r.spec.within(u.OrgUnit) {
			if r.chosen.people[u.ID], err = r.stays(ctx, &u); err != nil {
				return err
			}
		}
		if err == nil && (u.unread || r.wanted(&u)) {
			there = append(there, u)
			continue
		}
		c := change{before: p, do: operation{Method: http.MethodPatch, Path: "/Users/" + p.user, Data: patchOf(object{"op": "replace", "path": "active", "value": false})}}
		if r.spec.deletes() {
			c.do = operation{Method: http.MethodDelete, Path: "/Users/" + p.user}
		}
		leaving = append(leaving, c)
	}
	if len(there) > 0 {
		if err := r.bring(ctx, there); err != nil {
			return err
		}
	}
	return r.depart(ctx, leaving)
}
