package directory

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"

	"gatehouse/audit"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/internal/store"
)

const groupColumns = `id, display_name, external_id, source, connection_id, version, created_at, updated_at`

func scanGroup(row store.Row) (Group, error) {
	var g Group
	var created, updated int64
	err := row.Scan(&g.ID, &g.DisplayName, &g.ExternalID, &g.Source, &g.Connection, &g.Version, &created, &updated)
	g.CreatedAt, g.UpdatedAt = store.Time(created), store.Time(updated)
	return g, err
}

func errGroupNameTaken() error {
	return fault.New(fault.Conflict, "uniqueness", "Another group has this name.")
}

func loadGroup(ctx context.Context, tx *store.Tx, id identity.GroupID, withMembers bool) (Group, error) {
	g, err := store.One(ctx, tx, scanGroup, `SELECT `+groupColumns+` FROM groups WHERE id = $1`, id)
	if errors.Is(err, store.ErrNoRows) {
		return Group{}, fault.Wrap(err, fault.NotFound, "group-unknown", "There is no such group.")
	}
	if err == nil && withMembers {
		g.Members, err = membersOf(ctx, tx, id)
	}
	return g, err
}

func membersOf(ctx context.Context, tx *store.Tx, id identity.GroupID) ([]Member, error) {
	return store.All(ctx, tx, func(row store.Row) (m Member, err error) {
		err = row.Scan(&m.User, &m.Display)
		return m, err
	}, `SELECT u.id, u.display_name FROM group_members m JOIN users u ON u.id = m.user_id
		WHERE m.group_id = $1 ORDER BY u.id LIMIT `+strconv.Itoa(MaxMembers), id)
}

// Group reads one group; its members, sorted by id, only where asked for.
func (s *Service) Group(ctx context.Context, tenant identity.TenantID, id identity.GroupID, withMembers bool) (g Group, err error) {
	err = s.store.Tenant(tenant).Read(ctx, func(tx *store.Tx) error {
		g, err = loadGroup(ctx, tx, id, withMembers)
		return err
	})
	return g, err
}

// CreateGroup adds a group with its members; the id, version and times of g
// are set here. A name that is taken is a Conflict fault ("uniqueness"), a
// member that does not exist an Invalid one ("unknown-member").
func (s *Service) CreateGroup(ctx context.Context, cause audit.Cause, tenant identity.TenantID, g Group) (Group, error) {
	key, err := g.canonicalise()
	if err != nil {
		return Group{}, err
	}
	added := memberIDs(g.Members)
	err = s.change(ctx, tenant, func(tx *store.Tx) (*step, error) {
		if err := checkFree(ctx, tx, "groups", "name_key", key, "", errGroupNameTaken()); err != nil {
			return nil, err
		}
		if err := checkUsersExist(ctx, tx, added); err != nil {
			return nil, err
		}
		g.ID, g.Version, g.CreatedAt = identity.NewGroupID(), 1, now()
		g.UpdatedAt = g.CreatedAt
		return &step{events: []audit.Event{groupCreated(cause, tenant, &g, len(added))}, people: added, write: func(ctx context.Context, tx *store.Tx) error {
			if err := insertGroup(ctx, tx, &g, key); err != nil {
				return err
			}
			if err := addMembers(ctx, tx, g.ID, added); err != nil {
				return err
			}
			g.Members, err = membersOf(ctx, tx, g.ID)
			return err
		}}, nil
	})
	if err != nil {
		return Group{}, err
	}
	return g, nil
}

func groupEvent(cause audit.Cause, tenant identity.TenantID, kind audit.Type, g *Group) audit.Event {
	e := cause.Event(tenant, kind, audit.Success)
	e.Target = audit.Target{Kind: "group", ID: string(g.ID), Name: g.DisplayName}
	return e
}

func groupCreated(cause audit.Cause, tenant identity.TenantID, g *Group, members int) audit.Event {
	e := groupEvent(cause, tenant, audit.GroupCreated, g)
	e.Details = map[string]string{"source": string(g.Source), "members": strconv.Itoa(members)}
	return e
}

func checkUsersExist(ctx context.Context, tx *store.Tx, ids []identity.UserID) error {
	for _, id := range ids {
		n, err := store.One(ctx, tx, store.Scalar[int], `SELECT count(*) FROM users WHERE id = $1`, id)
		if err != nil {
			return err
		}
		if n == 0 {
			return invalid("unknown-member", "There is no person with the id %.64q.", id)
		}
	}
	return nil
}

func insertGroup(ctx context.Context, tx *store.Tx, g *Group, key string) error {
	n, err := tx.Exec(ctx, `INSERT INTO groups (id, display_name, name_key, external_id, source, connection_id, version, created_at, updated_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8) ON CONFLICT (name_key) DO NOTHING`,
		g.ID, g.DisplayName, key, g.ExternalID, g.Source, g.Connection, g.Version, store.Millis(g.CreatedAt))
	if err == nil && n == 0 {
		return errGroupNameTaken()
	}
	return err
}

// addMembers passes over a person who was deleted since the check: whoever
// deletes a person takes them out of every group, before or after.
func addMembers(ctx context.Context, tx *store.Tx, group identity.GroupID, users []identity.UserID) error {
	for _, user := range users {
		if _, err := tx.Exec(ctx, `INSERT INTO group_members (group_id, user_id) SELECT $1, id FROM users WHERE id = $2
			ON CONFLICT (group_id, user_id) DO NOTHING`, group, user); err != nil {
			return err
		}
	}
	return nil
}

func removeMembers(ctx context.Context, tx *store.Tx, group identity.GroupID, users []identity.UserID) error {
	for _, user := range users {
		if _, err := tx.Exec(ctx, `DELETE FROM group_members WHERE group_id = $1 AND user_id = $2`, group, user); err != nil {
			return err
		}
	}
	return nil
}

// UpdateGroup lets edit change a copy of the group, members included, and
// stores the result, all or nothing; an error of edit is returned as it is.
// ifVersion, unless 0, must be the present version (fault Precondition). What
// edit does to ID, Version and the times is ignored.
func (s *Service) UpdateGroup(ctx context.Context, cause audit.Cause, tenant identity.TenantID, id identity.GroupID, ifVersion uint64, edit func(*Group) error) (after Group, err error) {
	err = s.change(ctx, tenant, func(tx *store.Tx) (*step, error) {
		before, err := loadGroup(ctx, tx, id, true)
		if err != nil {
			return nil, err
		}
		if ifVersion != 0 && ifVersion != before.Version {
			return nil, errVersion()
		}
		after = before
		after.Members = slices.Clone(before.Members)
		if err := edit(&after); err != nil {
			return nil, err
		}
		key, err := after.canonicalise()
		if err != nil {
			return nil, err
		}
		after.ID, after.CreatedAt = before.ID, before.CreatedAt
		added, removed := memberDiff(before.Members, after.Members)
		changed := changedGroupFields(&before, &after, len(added)+len(removed) > 0)
		if len(changed) == 0 {
			after = before
			return nil, nil
		}
		if err := checkFree(ctx, tx, "groups", "name_key", key, id, errGroupNameTaken()); err != nil {
			return nil, err
		}
		if err := checkUsersExist(ctx, tx, added); err != nil {
			return nil, err
		}
		after.Version, after.UpdatedAt = before.Version+1, now()
		e := groupEvent(cause, tenant, audit.GroupChanged, &after)
		e.Details = map[string]string{"changed": strings.Join(changed, ","),
			"added": strconv.Itoa(len(added)), "removed": strconv.Itoa(len(removed))}
		touched := slices.Concat(added, removed)
		if after.DisplayName != before.DisplayName { // people know their groups by name
			touched = Everybody
		}
		return &step{events: []audit.Event{e}, people: touched, write: func(ctx context.Context, tx *store.Tx) error {
			if err := replaceGroup(ctx, tx, &after, key, before.Version); err != nil {
				return err
			}
			if err := removeMembers(ctx, tx, id, removed); err != nil {
				return err
			}
			if err := addMembers(ctx, tx, id, added); err != nil {
				return err
			}
			after.Members, err = membersOf(ctx, tx, id)
			return err
		}}, nil
	})
	if err != nil {
		return Group{}, err
	}
	return after, nil
}

func replaceGroup(ctx context.Context, tx *store.Tx, g *Group, key string, was uint64) error {
	n, err := tx.Exec(ctx, `UPDATE groups SET display_name = $1, name_key = $2, external_id = $3, source = $4, version = $5, updated_at = $6
		WHERE id = $7 AND version = $8`,
		g.DisplayName, key, g.ExternalID, g.Source, g.Version, store.Millis(g.UpdatedAt), g.ID, was)
	if err == nil && n == 0 {
		return errVersion()
	}
	return err
}

func changedGroupFields(a, b *Group, members bool) (names differences) {
	names.add("display_name", a.DisplayName != b.DisplayName)
	names.add("external_id", a.ExternalID != b.ExternalID)
	names.add("source", a.Source != b.Source)
	names.add("members", members)
	return names
}

func memberIDs(members []Member) []identity.UserID {
	ids := make([]identity.UserID, 0, len(members))
	for _, m := range members {
		ids = append(ids, m.User)
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

func memberDiff(before, after []Member) (added, removed []identity.UserID) {
	was, is := memberIDs(before), memberIDs(after)
	for _, id := range is {
		if _, found := slices.BinarySearch(was, id); !found {
			added = append(added, id)
		}
	}
	for _, id := range was {
		if _, found := slices.BinarySearch(is, id); !found {
			removed = append(removed, id)
		}
	}
	return added, removed
}

// AddMembers puts people into a group; who is in it already stays.
func (s *Service) AddMembers(ctx context.Context, cause audit.Cause, tenant identity.TenantID, group identity.GroupID, users []identity.UserID) error {
	_, err := s.UpdateGroup(ctx, cause, tenant, group, 0, func(g *Group) error {
		for _, id := range users {
			g.Members = append(g.Members, Member{User: id})
		}
		slices.SortFunc(g.Members, func(a, b Member) int { return strings.Compare(string(a.User), string(b.User)) })
		g.Members = slices.CompactFunc(g.Members, func(a, b Member) bool { return a.User == b.User })
		return nil
	})
	return err
}

// RemoveMembers takes people out of a group; who is not in it is passed over.
func (s *Service) RemoveMembers(ctx context.Context, cause audit.Cause, tenant identity.TenantID, group identity.GroupID, users []identity.UserID) error {
	_, err := s.UpdateGroup(ctx, cause, tenant, group, 0, func(g *Group) error {
		g.Members = slices.DeleteFunc(g.Members, func(m Member) bool { return slices.Contains(users, m.User) })
		return nil
	})
	return err
}

// DeleteGroup removes a group and its roles; its members stay in the directory.
// For ifVersion see [Service.UpdateGroup].
func (s *Service) DeleteGroup(ctx context.Context, cause audit.Cause, tenant identity.TenantID, id identity.GroupID, ifVersion uint64) error {
	return s.change(ctx, tenant, func(tx *store.Tx) (*step, error) {
		g, err := loadGroup(ctx, tx, id, false)
		if err != nil {
			return nil, err
		}
		if ifVersion != 0 && ifVersion != g.Version {
			return nil, errVersion()
		}
		return s.deletion(cause, groupEvent(cause, tenant, audit.GroupDeleted, &g), "groups", ifVersion, Everybody), nil
	})
}
