package google

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"gatehouse/internal/store"
)

// chosen are the groups that the settings name, with all that are in them.
type chosen struct {
	groups []group
	people map[string]bool // by Google's id
	// everybody is whether the whole account is a member of one, which is not brought.
	everybody bool
}

const (
	// maxChosen and maxChosenPeople bound what is in the groups that were chosen: it is
	// kept in memory.
	maxChosen       = 2_000
	maxChosenPeople = 250_000
	// maxMembers is how many a group may have, which are kept in memory for one group at
	// a time.
	maxMembers = 250_000
)

// choose finds what is in the groups that the settings name.
func (r *run) choose(ctx context.Context) (*chosen, error) {
	c, seen := &chosen{people: map[string]bool{}}, map[string]bool{}
	next := slices.Clone(r.spec.Groups)
	for i := 0; i < len(next); i++ {
		g, err := r.api.group(ctx, next[i])
		if isMissing(err) {
			err = errNoGroup(err, next[i])
		}
		if err != nil {
			return nil, err
		}
		if seen[g.ID] {
			continue
		}
		seen[g.ID] = true
		c.groups = append(c.groups, g)
		err = r.api.members(ctx, g.ID, func(members []member) error {
			for _, m := range members {
				switch {
				case m.Type == "CUSTOMER":
					c.everybody = true
				case m.Type == "USER" && isID(m.ID):
					c.people[m.ID] = true
				case m.Type == "GROUP" && isID(m.ID) && !seen[m.ID]:
					next = append(next, m.ID)
				}
			}
			if len(next) > maxChosen || len(c.people) > maxChosenPeople {
				return invalid("groups", "The groups have more than %d groups or %d people in them: leave groups empty, and choose by org_units.", maxChosen, maxChosenPeople)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return c, nil
}

// stays reports whether somebody who is in none of the lists that were read is in the
// groups all the same. Google is asked about them in each one.
func (r *run) stays(ctx context.Context, u *user) (bool, error) {
	byLists := func() (bool, error) {
		c, err := r.chooseAgain(ctx)
		return err == nil && c.people[u.ID], err
	}
	if r.chosen.everybody {
		return byLists() // everybody is in them
	}
	for _, name := range r.spec.Groups {
		is, err := r.api.hasMember(ctx, name, u.ID)
		if p, refused := errors.AsType[*problem](err); refused && p.status == http.StatusBadRequest {
			return byLists() // it does not tell of people of another domain of the account
		}
		if isMissing(err) {
			err = errNoGroup(err, name)
		}
		if is || err != nil {
			return is, err
		}
	}
	return false, nil
}

// chooseAgain reads what is in the groups a second time, once in a reading.
func (r *run) chooseAgain(ctx context.Context) (_ *chosen, err error) {
	if r.again == nil {
		r.again, err = r.choose(ctx)
	}
	return r.again, err
}

// known is which of Google's groups one here is.
type known struct {
	google  string
	group   string // id here; empty: not brought
	digest  string // of its name, as it was written last
	members string // digest of who was in it
	gone    bool
	run     int64
}

const knownColumns = `google_id, group_id, digest, members, gone, run`

func scanKnown(row store.Row) (k known, err error) {
	var id sql.NullString
	err = row.Scan(&k.google, &id, &k.digest, &k.members, &k.gone, &k.run)
	k.group = id.String
	return k, err
}

// bringGroups has all groups be there, under the names they have now.
func (r *run) bringGroups(ctx context.Context) error {
	if r.chosen == nil {
		return r.api.groups(ctx, customer(&r.spec.Settings), func(groups []group) error { return r.bringPage(ctx, groups) })
	}
	return inPieces(r.chosen.groups, pageSize, func(groups []group) error { return r.bringPage(ctx, groups) })
}

func (r *run) bringPage(ctx context.Context, groups []group) error {
	before := map[string]known{}
	err := r.write(ctx, func(tx *store.Tx) error {
		ids := make([]string, len(groups))
		for i := range groups {
			ids[i] = groups[i].ID
		}
		rows, err := store.All(ctx, tx, scanKnown, `SELECT `+knownColumns+` FROM google_groups WHERE google_id IN `+among(1), fill(ids)...)
		if err != nil {
			return err
		}
		for _, k := range rows {
			before[k.google] = k
		}
		for _, g := range groups {
			if _, err := tx.Exec(ctx, `INSERT INTO google_groups (google_id, group_id, email, digest, members, gone, run, reason) VALUES ($1, NULL, $2, '', '', FALSE, $3, '')
				ON CONFLICT (google_id) DO UPDATE SET email = excluded.email, run = excluded.run, gone = FALSE, reason = ''`, g.ID, g.Email, r.run); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, g := range groups {
		k := before[g.ID]
		if k.run == r.run {
			continue // it has come before
		}
		if r.counts.Groups++; k.group == "" || k.digest != digest(g.Name) {
			if err := r.bringGroup(ctx, &g, k.group); err != nil {
				return err
			}
		}
		if before[g.ID] = (known{run: r.run}); ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return nil
}

// bringGroup makes a group, or renames it. Names need not be unique at Google: the second
// one has its address in it.
func (r *run) bringGroup(ctx context.Context, g *group, id string) error {
	before := id
	if id == "" {
		var err error // a reading that was cut off may have made it
		if id, err = r.freeGroup(ctx, g.ID); err != nil {
			return err
		}
	}
	reason := ""
	for _, name := range []string{g.Name, g.Name + " (" + g.Email + ")"} {
		var made struct {
			ID string `json:"id"`
			scimError
		}
		method, path, body := http.MethodPost, "/Groups", object{"schemas": []string{groupURN}, "displayName": name, "externalId": g.ID}
		if id != "" {
			method, path, body = http.MethodPatch, "/Groups/"+id, patchOf(object{"op": "replace", "path": "displayName", "value": name})
		}
		status, err := r.request(ctx, method, path, body, &made)
		if err != nil {
			return err
		}
		if status < 300 {
			if id == "" {
				id = made.ID
			}
			r.counts.GroupsChanged++
			return r.write(ctx, func(tx *store.Tx) error {
				_, err := tx.Exec(ctx, `UPDATE google_groups SET group_id = (SELECT id FROM groups WHERE id = $1), digest = $2 WHERE google_id = $3`, id, digest(g.Name), g.ID)
				return err
			})
		}
		if status == http.StatusNotFound && before != "" {
			return nil // somebody has deleted it here; it comes again
		}
		if reason = made.Detail; status != http.StatusConflict {
			break
		}
	}
	return r.skipGroup(ctx, g.ID, reason)
}

// freeGroup gives the id of the one that bears Google's id, and is none of this account's
// yet; empty if there is none.
func (r *run) freeGroup(ctx context.Context, google string) (string, error) {
	id, err := r.search(ctx, "/Groups", `externalId eq "`+google+`"`)
	if err != nil || id == "" {
		return "", err
	}
	linked := 0
	err = r.service.Store.Tenant(r.tenant).Read(ctx, func(tx *store.Tx) error {
		linked, err = store.One(ctx, tx, store.Scalar[int], `SELECT count(*) FROM google_groups WHERE group_id = $1`, id)
		return err
	})
	if err != nil || linked > 0 {
		return "", err
	}
	return id, nil
}

func (r *run) skipGroup(ctx context.Context, google, reason string) error {
	r.counts.Skipped++
	return r.write(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(ctx, `UPDATE google_groups SET reason = $1 WHERE google_id = $2`, reason, google)
		return err
	})
}

// missingGroups empties, or deletes, the groups that Google does not have any more. That
// there are none at all is not believed.
func (r *run) missingGroups(ctx context.Context) error {
	for after := ""; ; {
		var gone []known
		err := r.write(ctx, func(tx *store.Tx) (err error) {
			if _, err := tx.Exec(ctx, `DELETE FROM google_groups WHERE run < $1 AND group_id IS NULL`, r.run); err != nil {
				return err
			}
			gone, err = store.All(ctx, tx, scanKnown, `SELECT `+knownColumns+` FROM google_groups WHERE run < $1 AND google_id > $2 AND gone = FALSE ORDER BY google_id LIMIT $3`, r.run, after, piece)
			return err
		})
		if err != nil || len(gone) == 0 {
			return err
		}
		if r.counts.Groups == 0 {
			r.note = "Google says that the account has no groups any more. The groups here stay as they are; delete them if that is meant."
			return nil
		}
		after = gone[len(gone)-1].google
		for _, k := range gone {
			if err := r.leaveGroup(ctx, k); err != nil {
				return err
			}
		}
	}
}

func (r *run) leaveGroup(ctx context.Context, k known) error {
	g, err := r.api.group(ctx, k.google)
	switch {
	case err == nil && g.ID != k.google:
		return errAnswer(nil, "it is about another group")
	case err == nil && r.chosen == nil:
		return nil // it was made while the list was read, or is again
	case err == nil:
		c, err := r.chooseAgain(ctx)
		if err != nil || slices.ContainsFunc(c.groups, func(g group) bool { return g.ID == k.google }) {
			return err
		}
	case !isMissing(err):
		return err
	}
	method, body := http.MethodPatch, any(patchOf(object{"op": "remove", "path": "members"}))
	if r.spec.deletes() {
		method, body = http.MethodDelete, nil
	}
	var refused scimError
	status, err := r.request(ctx, method, "/Groups/"+k.group, body, &refused)
	if err != nil {
		return err
	}
	if status >= 300 && status != http.StatusNotFound {
		r.meets(status, refused.Detail)
		return r.skipGroup(ctx, k.google, refused.Detail)
	}
	r.counts.GroupsChanged++
	return r.write(ctx, func(tx *store.Tx) error {
		query := `UPDATE google_groups SET gone = TRUE, members = '', reason = '' WHERE google_id = $1`
		if r.spec.deletes() {
			query = `DELETE FROM google_groups WHERE google_id = $1`
		}
		_, err := tx.Exec(ctx, query, k.google)
		return err
	})
}

// fillGroups has every group have the members that it has at Google.
func (r *run) fillGroups(ctx context.Context) error {
	for after := ""; ; {
		var groups []known
		err := r.service.Store.Tenant(r.tenant).Read(ctx, func(tx *store.Tx) (err error) {
			groups, err = store.All(ctx, tx, scanKnown, `SELECT `+knownColumns+` FROM google_groups WHERE run = $1 AND google_id > $2 AND group_id IS NOT NULL ORDER BY google_id LIMIT $3`, r.run, after, piece)
			return err
		})
		if err != nil || len(groups) == 0 {
			return err
		}
		after = groups[len(groups)-1].google
		for _, k := range groups {
			if err := r.fill(ctx, k); err != nil {
				return fmt.Errorf("google: members of %s: %w", k.google, err)
			}
		}
	}
}
