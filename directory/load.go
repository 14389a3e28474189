package directory

import (
	"context"
	"fmt"
	"strings"

	"gatehouse/identity"
	"gatehouse/internal/store"
)

// maxGroupsShown bounds the groups of the people on one page together; a page of one
// person has them all.
const maxGroupsShown = 50_000

// loadUsers reads people with everything that User holds, those of a page at once;
// without their groups if those are not asked for.
func loadUsers(ctx context.Context, tx *store.Tx, ids []identity.UserID, withGroups bool) (map[identity.UserID]*User, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	in, args := among(ids)
	rows, err := store.All(ctx, tx, scanUser, `SELECT `+userColumns+` FROM users WHERE id IN (`+in+`)`, args...)
	if err != nil {
		return nil, err
	}
	users := make(map[identity.UserID]*User, len(rows))
	for i := range rows {
		users[rows[i].ID] = &rows[i]
	}
	type address struct {
		user  identity.UserID
		email string
	}
	emails, err := store.All(ctx, tx, func(row store.Row) (a address, err error) {
		err = row.Scan(&a.user, &a.email)
		return a, err
	}, `SELECT user_id, email FROM user_emails WHERE user_id IN (`+in+`) ORDER BY user_id, email`, args...)
	if err != nil {
		return nil, err
	}
	for _, a := range emails {
		if u := users[a.user]; u != nil && a.email != u.Email {
			u.OtherEmails = append(u.OtherEmails, a.email)
		}
	}
	if !withGroups {
		return users, nil
	}
	most := maxGroupsShown
	if len(users) == 1 {
		most = anyNumber
	}
	groups, err := groupsOfAll(ctx, tx, in, args, most)
	for id, u := range users {
		u.Groups = groups[id]
	}
	return users, err
}

// among gives parameters for some ids: one, or as many as a page can have, so that
// there are two statements and not two hundred.
func among[ID ~string](ids []ID) (list string, args []any) {
	n := 1
	if len(ids) > 1 {
		n = max(MaxPage, len(ids))
	}
	parameters := make([]string, n)
	for i := range n {
		parameters[i] = fmt.Sprintf("$%d", i+1)
		args = append(args, ids[min(i, len(ids)-1)])
	}
	return strings.Join(parameters, ", "), args
}
