package google

import (
	"context"
	"database/sql"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"gatehouse/internal/store"
)

// person is whom of Google's people somebody here is.
type person struct {
	google    string
	user      string // id here; empty: not brought
	digest    string // of what was written last
	active    bool   // as it was written last
	gone      bool
	manager   string // address, as Google has it
	managerID string // as it was written last
	run       int64  // in which they were last seen
	reason    string // why they were not brought
}

const personColumns = `google_id, user_id, digest, active, gone, manager, manager_id, run, reason`

func scanPerson(row store.Row) (p person, err error) {
	var user sql.NullString
	err = row.Scan(&p.google, &user, &p.digest, &p.active, &p.gone, &p.manager, &p.managerID, &p.run, &p.reason)
	p.user = user.String
	return p, err
}

// among is a list of parameters from this one on, of one length, so that what is asked
// has the same text each time; fill gives their values behind others.
func among(from int) string {
	marks := make([]string, pageSize)
	for i := range marks {
		marks[i] = "$" + strconv.Itoa(from+i)
	}
	return "(" + strings.Join(marks, ", ") + ")"
}

func fill(ids []string, before ...any) []any {
	for i := range pageSize {
		id := ""
		if i < len(ids) {
			id = ids[i]
		}
		before = append(before, id)
	}
	return before
}

// change is what is to become of somebody.
type change struct {
	user   *user // nil: they are gone
	before person
	digest string
	active bool
	lost   bool // by a reading that was cut off, they may be there already
	do     operation
}

// leaves reports whether it takes them out, which the brake counts.
func (c *change) leaves() bool { return c.before.user != "" && c.before.active && !c.active }

// wanted reports whether somebody is to be brought.
func (r *run) wanted(u *user) bool {
	return r.spec.within(u.OrgUnit) && (r.chosen == nil || r.chosen.people[u.ID])
}

// bring has one page of people written, as far as they are others than before.
func (r *run) bring(ctx context.Context, people []user) error {
	changes, err := r.plan(ctx, people)
	if err != nil {
		return err
	}
	for i := range changes {
		if changes[i].lost {
			if err := r.find(ctx, &changes[i]); err != nil {
				return err
			}
		}
	}
	return r.carryOut(ctx, changes)
}

// carryOut has changes made, those last that take somebody out.
func (r *run) carryOut(ctx context.Context, changes []change) error {
	var staying, leaving []change
	for _, c := range changes {
		c.do = c.operation()
		if c.leaves() {
			leaving = append(leaving, c)
		} else {
			staying = append(staying, c)
		}
	}
	err := inPieces(staying, piece, func(part []change) error {
		results, err := r.bulk(ctx, operations(part), 0)
		if err != nil {
			return err
		}
		return r.settle(ctx, part, results)
	})
	if err != nil {
		return err
	}
	return r.depart(ctx, leaving)
}

// plan marks who was seen, and finds who is to be written. It is one transaction.
func (r *run) plan(ctx context.Context, people []user) (changes []change, err error) {
	err = r.write(ctx, func(tx *store.Tx) error {
		ids := make([]string, len(people))
		for i := range people {
			ids[i] = people[i].ID
		}
		rows, err := store.All(ctx, tx, scanPerson, `SELECT `+personColumns+` FROM google_people WHERE google_id IN `+among(1), fill(ids)...)
		if err != nil {
			return err
		}
		known := make(map[string]person, len(rows))
		for _, p := range rows {
			known[p.google] = p
		}
		var same []string
		for i := range people {
			u := &people[i]
			before, there := known[u.ID]
			if there && before.run == r.run || !u.unread && !r.wanted(u) {
				continue // it has come before, or counts as gone
			}
			r.counts.People++
			c := change{user: u, before: before, digest: digest(u.resource()), active: u.active(), lost: there && before.user == "" && before.reason == ""}
			before.run = r.run
			known[u.ID] = before
			if !u.unread && before.user != "" && c.digest == before.digest && c.active == before.active && !before.gone && u.manager() == before.manager {
				same = append(same, u.ID)
				continue
			}
			if u.unread {
				r.counts.Skipped++
				if err := markUnread(ctx, tx, u, r.run); err != nil {
					return err
				}
				continue
			}
			if err := mark(ctx, tx, u, r.run); err != nil {
				return err
			}
			if before.user == "" || c.digest != before.digest || c.active != before.active || before.gone {
				changes = append(changes, c)
			}
		}
		if len(same) == 0 {
			return nil
		}
		_, err = tx.Exec(ctx, `UPDATE google_people SET run = $1, reason = '' WHERE google_id IN `+among(2), fill(same, r.run)...)
		return err
	})
	return changes, err
}

// mark keeps that somebody was seen.
func mark(ctx context.Context, tx *store.Tx, u *user, run int64) error {
	_, err := tx.Exec(ctx, `INSERT INTO google_people (google_id, user_id, email, digest, active, gone, manager, manager_id, run, reason)
		VALUES ($1, NULL, $2, '', FALSE, FALSE, $3, '', $4, '')
		ON CONFLICT (google_id) DO UPDATE SET email = excluded.email, manager = excluded.manager, run = excluded.run, reason = excluded.reason`,
		u.ID, u.email(), u.manager(), run)
	return err
}

// markUnread keeps that somebody was seen of whom nothing else is known: address and
// manager stay too.
func markUnread(ctx context.Context, tx *store.Tx, u *user, run int64) error {
	_, err := tx.Exec(ctx, `INSERT INTO google_people (google_id, user_id, email, digest, active, gone, manager, manager_id, run, reason)
		VALUES ($1, NULL, $2, '', FALSE, FALSE, '', '', $3, $4)
		ON CONFLICT (google_id) DO UPDATE SET run = excluded.run, reason = excluded.reason`,
		u.ID, u.email(), run, "What Google tells of them is not understood. They stay as they are.")
	return err
}

// operation is the request that makes somebody, or makes them what they are now. active
// is sent only where it is another one: what an admin has decided here stays.
func (c *change) operation() operation {
	body := c.user.resource()
	if c.before.managerID != "" {
		enterprise, _ := body[enterpriseURN].(object)
		if enterprise == nil {
			enterprise = object{}
		}
		enterprise["manager"] = object{"value": c.before.managerID}
		body[enterpriseURN] = enterprise
	}
	if c.before.user == "" {
		body["active"] = c.active
		return operation{Method: http.MethodPost, Path: "/Users", BulkID: c.user.ID, Data: body}
	}
	if c.active != c.before.active || c.before.gone {
		body["active"] = c.active
	}
	return operation{Method: http.MethodPut, Path: "/Users/" + c.before.user, Data: body}
}

func operations(changes []change) []operation {
	all := make([]operation, len(changes))
	for i := range changes {
		all[i] = changes[i].do
	}
	return all
}

// find looks whether somebody was made by a reading that was cut off before it knew.
func (r *run) find(ctx context.Context, c *change) error {
	id, err := r.free(ctx, `externalId eq "`+c.user.ID+`"`)
	if err == nil && id != "" {
		c.before.user, c.before.active, c.before.gone = id, true, true
	}
	return err
}

// free gives the id of somebody whom a filter finds, and who is nobody's of this account
// yet; empty if there is none.
func (r *run) free(ctx context.Context, filter string) (string, error) {
	id, err := r.search(ctx, "/Users", filter)
	if err != nil || id == "" {
		return "", err
	}
	linked := 0
	err = r.service.Store.Tenant(r.tenant).Read(ctx, func(tx *store.Tx) error {
		linked, err = store.One(ctx, tx, store.Scalar[int], `SELECT count(*) FROM google_people WHERE user_id = $1`, id)
		return err
	})
	if err != nil || linked > 0 {
		return "", err
	}
	return id, nil
}

// quoted is a text within a filter.
func quoted(s string) string {
	return strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s)
}

// search gives the id of the one that a filter finds; empty if it finds none, or several.
func (r *run) search(ctx context.Context, path, filter string) (string, error) {
	var found struct {
		Resources []struct {
			ID string `json:"id"`
		} `json:"Resources"`
	}
	status, err := r.request(ctx, http.MethodGet, path+"?attributes=id&count=2&filter="+url.QueryEscape(filter), nil, &found)
	if err != nil || status != http.StatusOK || len(found.Resources) != 1 {
		return "", err
	}
	return found.Resources[0].ID, nil
}

// depart does what takes people out, up to the one whom the brake holds. After that
// nobody is tried any more: somebody has to look first.
func (r *run) depart(ctx context.Context, leaving []change) error {
	for len(leaving) > 0 {
		if r.held != "" {
			r.counts.Held += len(leaving)
			return nil
		}
		part := leaving[:min(len(leaving), piece)]
		results, err := r.bulk(ctx, operations(part), 1)
		if err != nil {
			return err
		}
		if err := r.settle(ctx, part[:len(results)], results); err != nil {
			return err
		}
		leaving = leaving[len(results):]
	}
	return nil
}

// settle keeps what became of people.
func (r *run) settle(ctx context.Context, changes []change, results []result) error {
	var again []change // who were there under the same name, and are to be taken over
	err := r.write(ctx, func(tx *store.Tx) error {
		for i := range changes {
			c, done := &changes[i], &results[i]
			reason := ""
			switch {
			case done.good():
				if err := r.written(ctx, tx, c, done); err != nil {
					return err
				}
				continue
			case c.leaves() && (done.Status == "429" || done.Status == "403"):
				r.held = done.Response.Detail
				r.counts.Held++
				continue
			case done.Status == "404":
				// Somebody has deleted them here. Google still has them, so that they come again;
				// with them their row is gone.
				continue
			case done.Status == "429":
				return fmt.Errorf("google: too many requests: %s", done.Response.Detail)
			case done.Status == "409" && c.before.user == "" && (r.spec.TakeOver || c.before.reason == ""):
				again = append(again, *c)
				continue
			case done.Status == "409":
				reason = whyTaken
			default:
				reason = done.Response.Detail
			}
			r.counts.Skipped++
			if _, err := tx.Exec(ctx, `UPDATE google_people SET reason = $1 WHERE google_id = $2`, reason, c.before.googleOr(c.user)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil || len(again) == 0 {
		return err
	}
	return r.takeOver(ctx, again)
}

func (p *person) googleOr(u *user) string {
	if u != nil {
		return u.ID
	}
	return p.google
}

// written keeps that somebody is now what Google says.
func (r *run) written(ctx context.Context, tx *store.Tx, c *change, done *result) (err error) {
	id := c.before.user
	switch {
	case c.user == nil && r.spec.deletes():
		r.counts.Deleted++
		_, err = tx.Exec(ctx, `DELETE FROM google_people WHERE google_id = $1`, c.before.google)
		return err
	case c.user == nil:
		if c.leaves() {
			r.counts.Deactivated++
		}
		_, err = tx.Exec(ctx, `UPDATE google_people SET gone = TRUE, active = FALSE, reason = '' WHERE google_id = $1`, c.before.google)
		return err
	case id == "":
		r.counts.Created++
		id = done.id()
	case c.leaves():
		r.counts.Deactivated++
	default:
		r.counts.Changed++
	}
	// Somebody may have deleted them in this very moment.
	_, err = tx.Exec(ctx, `UPDATE google_people SET user_id = (SELECT id FROM users WHERE id = $1), digest = $2, active = $3, gone = FALSE, reason = '' WHERE google_id = $4`,
		id, c.digest, c.active, c.user.ID)
	return err
}

const whyTaken = "Somebody who was not brought from this account, or who has left it, has the user name. Rename or delete them, or set take_over."

// takeOver is for people whose user name somebody has: it is them if they bear Google's
// id, as those do whom an earlier synchronisation has brought; and by the rule that says
// so if nobody of this account has it.
func (r *run) takeOver(ctx context.Context, changes []change) error {
	var theirs []change
	for _, c := range changes {
		name := `userName eq "` + quoted(c.user.Primary) + `"`
		id, err := r.free(ctx, name+` and externalId eq "`+c.user.ID+`"`)
		if err == nil && id == "" && r.spec.TakeOver {
			id, err = r.free(ctx, name)
		}
		if err != nil {
			return err
		}
		if id == "" {
			r.counts.Skipped++
			if err := r.write(ctx, func(tx *store.Tx) error {
				_, err := tx.Exec(ctx, `UPDATE google_people SET reason = $1 WHERE google_id = $2`, whyTaken, c.user.ID)
				return err
			}); err != nil {
				return err
			}
			continue
		}
		// Whether they are active is Google's to say from now on.
		c.before.user, c.before.active, c.before.gone = id, true, true
		theirs = append(theirs, c)
	}
	return r.carryOut(ctx, theirs)
}
