package authz

import (
	"context"
	"strconv"
	"strings"

	"gatehouse/internal/store"
)

// Given tells who is given roles, in the transactions of others: of whatever reach, in a
// team or account-wide. It stands for directory.Roles.
type Given struct{}

// GroupsGiven gives the ids of the groups that are given a role.
func (Given) GroupsGiven(ctx context.Context, tx *store.Tx) ([]string, error) {
	return store.All(ctx, tx, store.Scalar[string], `SELECT DISTINCT subject_id FROM assignments WHERE subject_kind = 'group'`)
}

// PeopleGiven gives those of some people, 500 at most, who are given one themselves.
func (Given) PeopleGiven(ctx context.Context, tx *store.Tx, among []string) ([]string, error) {
	if len(among) == 0 {
		return nil, nil
	}
	in, args := make([]string, len(among)), make([]any, len(among))
	for i, id := range among {
		in[i], args[i] = "$"+strconv.Itoa(i+1), id
	}
	return store.All(ctx, tx, store.Scalar[string], `SELECT DISTINCT subject_id FROM assignments WHERE subject_kind = 'user' AND subject_id IN (`+strings.Join(in, ", ")+`)`, args...)
}
