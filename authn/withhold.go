package authn

import (
	"context"

	"gatehouse/identity"
	"gatehouse/internal/store"
	"gatehouse/sessions"
)

// Withhold drops sign-ins that wait for a second factor, in the transaction that ends
// the sessions of the same people: none of them is to become a session after that.
// Where sessions are selected by what a sign-in does not have yet, such as a device,
// it drops none.
func Withhold(ctx context.Context, tx *store.Tx, sel sessions.Selector) error {
	drop := func(condition string, args ...any) error {
		_, err := tx.Exec(ctx, `DELETE FROM login_flows WHERE user_id <> '' AND `+condition, args...)
		return err
	}
	switch {
	case sel.All:
		return drop("1 = 1")
	case sel.User != "":
		return drop("user_id = $1", sel.User)
	case sel.Connection != "" && sel.IDPSubject == "" && len(sel.IDPSessions) == 0:
		return drop("connection_id = $1", sel.Connection)
	case !sel.Before.IsZero():
		return drop("created_at < $1", store.Millis(sel.Before))
	}
	return withholdEach(ctx, tx, sel.Users, drop)
}

// withholdEach looks at who waits, who are few, and not at each of the people.
func withholdEach(ctx context.Context, tx *store.Tx, people []identity.UserID, drop func(string, ...any) error) error {
	if len(people) == 0 {
		return nil
	}
	waiting, err := store.All(ctx, tx, store.Scalar[identity.UserID], `SELECT DISTINCT user_id FROM login_flows WHERE user_id <> ''`)
	if err != nil || len(waiting) == 0 {
		return err
	}
	selected := make(map[identity.UserID]bool, len(people))
	for _, user := range people {
		selected[user] = true
	}
	for _, user := range waiting {
		if !selected[user] {
			continue
		}
		if err := drop("user_id = $1", user); err != nil {
			return err
		}
	}
	return nil
}
