package authn

import (
	"context"

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
	for _, user := range sel.Users {
		if err := drop("user_id = $1", user); err != nil {
			return err
		}
	}
	return nil
}
