package google

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"gatehouse/internal/store"
)

// fill has one group have the members that it has at Google, as far as they are here.
func (r *run) fill(ctx context.Context, k known) error {
	wanted, everybody, err := r.membersOf(ctx, k.google)
	if isMissing(err) {
		return nil // it went while the list was read
	}
	if errors.Is(err, errUncounted) {
		return r.skipGroup(ctx, k.google, "Google lists fewer members of it than it counts. It stays as it is.")
	}
	if err != nil {
		return err
	}
	if everybody {
		if err := r.skipGroup(ctx, k.google, "Everybody of the account is a member of it, which is not brought: its other members are. A dynamic group has them one by one."); err != nil {
			return err
		}
	}
	now := digest(wanted)
	if now == k.members {
		return nil
	}
	var there struct {
		Members []struct {
			Value string `json:"value"`
		} `json:"members"`
		scimError
	}
	status, err := r.request(ctx, http.MethodGet, "/Groups/"+k.group+"?attributes=members.value", nil, &there)
	if err != nil || status == http.StatusNotFound {
		return err
	}
	if status != http.StatusOK {
		return fmt.Errorf("google: status %d: %s", status, there.Detail)
	}
	have := make([]string, len(there.Members))
	for i, m := range there.Members {
		have[i] = m.Value
	}
	slices.Sort(have)
	refused := ""
	for _, step := range []struct {
		op    string
		ids   []string
		count *int
	}{{"remove", without(have, wanted), &r.counts.MembersRemoved}, {"add", without(wanted, have), &r.counts.MembersAdded}} {
		err := inPieces(step.ids, maxStep, func(ids []string) error {
			values := make([]object, len(ids))
			for i, id := range ids {
				values[i] = object{"value": id}
			}
			var answer scimError
			status, err := r.request(ctx, http.MethodPatch, "/Groups/"+k.group, patchOf(object{"op": step.op, "path": "members", "value": values}), &answer)
			switch {
			case err != nil:
				return err
			case status >= 300:
				refused = answer.Detail
				r.meets(status, refused)
			default:
				*step.count += len(ids)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	if refused != "" {
		return r.skipGroup(ctx, k.google, refused)
	}
	return r.write(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(ctx, `UPDATE google_groups SET members = $1 WHERE google_id = $2`, now, k.google)
		return err
	})
}

// maxStep is how many members one request adds or removes: it is far below 1 MiB.
const maxStep = 5000

// without gives what is in one sorted list and not in the other.
func without(list, other []string) (left []string) {
	for _, v := range list {
		if _, found := slices.BinarySearch(other, v); !found {
			left = append(left, v)
		}
	}
	return left
}

// membersOf gives the ids here, sorted, of who is in a group at Google. Whoever is not
// here is left out: people of other accounts, and those who are not to be brought.
// everybody is whether the whole account is a member.
func (r *run) membersOf(ctx context.Context, google string) (ids []string, everybody bool, err error) {
	err = r.api.members(ctx, google, func(members []member) error {
		var people, groups []string
		for _, m := range members {
			switch {
			case m.Type == "CUSTOMER":
				everybody = true
			case !isID(m.ID): // somebody who is known by their address alone
			case m.Type == "USER":
				people = append(people, m.ID)
			case m.Type == "GROUP":
				groups = append(groups, m.ID)
			}
		}
		return r.service.Store.Tenant(r.tenant).Read(ctx, func(tx *store.Tx) error {
			for query, of := range map[string][]string{
				`SELECT user_id FROM google_people WHERE user_id IS NOT NULL AND gone = FALSE AND google_id IN `:   people,
				`SELECT group_id FROM google_groups WHERE group_id IS NOT NULL AND gone = FALSE AND google_id IN `: groups,
			} {
				if len(of) == 0 {
					continue
				}
				found, err := store.All(ctx, tx, store.Scalar[string], query+among(1), fill(of)...)
				if err != nil {
					return err
				}
				ids = append(ids, found...)
			}
			if len(ids) > maxMembers {
				return errAnswer(nil, fmt.Sprintf("a group has more than %d members", maxMembers))
			}
			return nil
		})
	})
	slices.Sort(ids)
	return slices.Compact(ids), everybody, err
}
