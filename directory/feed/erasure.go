package feed

import (
	"context"

	"gatehouse/identity"
	"gatehouse/internal/store"
)

// Erase takes the names of somebody who is deleted out of the changes that are kept. That
// they are gone, and who they were by their id, is still told.
func Erase(ctx context.Context, tx *store.Tx, id identity.UserID) error {
	_, err := tx.Exec(ctx, `UPDATE feed_changes SET name = '', external_id = '' WHERE target_id = $1 AND (name <> '' OR external_id <> '')`, id)
	return err
}
