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
		g.Members, err = membersOf(ctx, tx, id, MaxMembers)
	}
	return g, err
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
	var members MemberChange
	members.replaceBy(g.Members)
	return s.CreateGroupWith(ctx, cause, tenant, g, members)
}

// CreateGroupWith is [Service.CreateGroup] with the members that a change gives.
func (s *Service) CreateGroupWith(ctx context.Context, cause audit.Cause, tenant identity.TenantID, g Group, members MemberChange) (Group, error) {
	key, err := g.canonicalise()
	if err != nil {
		return Group{}, err
	}
	err = settle(ctx, 0, func() error {
		return s.change(ctx, tenant, func(tx *store.Tx) (*step, error) {
			if err := checkFree(ctx, tx, "groups", "name_key", key, "", errGroupNameTaken()); err != nil {
				return nil, err
			}
			plan, err := members.plan(ctx, tx, "")
			if err != nil {
				return nil, err
			}
			if plan.added() > s.maxMembers {
				return nil, errTooManyMembers(s.maxMembers)
			}
			g.ID, g.Version, g.CreatedAt = identity.NewGroupID(), 1, now()
			g.UpdatedAt = g.CreatedAt
			made := Effect{GroupAfter: &g}
			do := &step{events: []audit.Event{groupCreated(cause, tenant, &g, plan.added())}, people: plan.touched(), rows: plan.added(), write: func(ctx context.Context, tx *store.Tx) error {
				if err := insertGroup(ctx, tx, &g, key); err != nil {
					return err
				}
				if err := s.regained(ctx, tx, string(g.ID), &plan); err != nil {
					return err
				}
				if err := plan.write(ctx, tx, g.ID); err != nil {
					return err
				}
				if g.Members, err = membersOf(ctx, tx, g.ID, MaxMembers); err != nil {
					return err
				}
				made.Joined, _, err = plan.told(ctx, tx)
				return err
			}, effects: func() []Effect { return []Effect{made} }}
			do.news.member(g.ID, plan.membership())
			return do, nil
		})
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

func insertGroup(ctx context.Context, tx *store.Tx, g *Group, key string) error {
	n, err := tx.Exec(ctx, `INSERT INTO groups (id, display_name, name_key, external_id, source, connection_id, version, created_at, updated_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8) ON CONFLICT (name_key) DO NOTHING`,
		g.ID, g.DisplayName, key, g.ExternalID, g.Source, g.Connection, g.Version, store.Millis(g.CreatedAt))
	if err == nil && n == 0 {
		return errGroupNameTaken()
	}
	return err
}

// UpdateGroup lets edit change a copy of the group, without its members, and say what
// becomes of these, and stores the result, all or nothing; an error of edit is returned
// as it is. ifVersion, unless 0, must be the present version (fault Precondition). What
// edit does to ID, Version and the times is ignored. It is called again where another
// node was faster. The group is given back without its members.
func (s *Service) UpdateGroup(ctx context.Context, cause audit.Cause, tenant identity.TenantID, id identity.GroupID, ifVersion uint64, edit func(*Group, *MemberChange) error) (after Group, err error) {
	err = settle(ctx, ifVersion, func() error {
		after, err = s.updateGroup(ctx, cause, tenant, id, ifVersion, edit)
		return err
	})
	if err != nil {
		return Group{}, err
	}
	return after, nil
}

func (s *Service) updateGroup(ctx context.Context, cause audit.Cause, tenant identity.TenantID, id identity.GroupID, ifVersion uint64, edit func(*Group, *MemberChange) error) (after Group, err error) {
	err = s.change(ctx, tenant, func(tx *store.Tx) (*step, error) {
		before, err := loadGroup(ctx, tx, id, false)
		if err != nil {
			return nil, err
		}
		if ifVersion != 0 && ifVersion != before.Version {
			return nil, errVersion()
		}
		after = before
		members := MemberChange{stored: func() ([]Member, error) { return storedMembers(ctx, tx, id) }}
		if err := edit(&after, &members); err != nil {
			return nil, err
		}
		key, err := after.canonicaliseAfter(&before)
		if err != nil {
			return nil, err
		}
		after.ID, after.CreatedAt, after.Members = before.ID, before.CreatedAt, nil
		plan, err := members.plan(ctx, tx, id)
		if err != nil {
			return nil, err
		}
		fields := changedGroupFields(&before, &after)
		changed := slices.Clone(fields)
		changed.add("members", plan.added()+plan.removed() > 0)
		if len(changed) == 0 {
			after = before
			return nil, nil
		}
		if err := checkFree(ctx, tx, "groups", "name_key", key, id, errGroupNameTaken()); err != nil { // none has ""
			return nil, err
		}
		room, err := plan.roomFor(ctx, tx, id, s.maxMembers)
		if err != nil {
			return nil, err
		}
		after.Version, after.UpdatedAt = before.Version+1, now()
		e := groupEvent(cause, tenant, audit.GroupChanged, &after)
		e.Details = map[string]string{"changed": strings.Join(changed, ","),
			"added": strconv.Itoa(plan.added()), "removed": strconv.Itoa(plan.removed())}
		touched, made := plan.touched(), Effect{GroupBefore: &before, GroupAfter: &after}
		if after.DisplayName != before.DisplayName { // people know their groups by name
			touched = Everybody
		}
		do := &step{events: []audit.Event{e}, people: touched, rows: plan.added() + plan.removed(), write: func(ctx context.Context, tx *store.Tx) error {
			more := plan.added() - plan.removed()
			// Members who come and go by name hinder no others, whose changes may come between.
			if ifVersion == 0 && len(fields) == 0 && !plan.replaces && !room.counted {
				after.Version, err = nextVersion(ctx, tx, &after, more)
			} else {
				err = replaceGroup(ctx, tx, &after, key, before.Version, room.atMost+more)
			}
			if err != nil {
				return err
			}
			if err := s.regained(ctx, tx, string(id), &plan); err != nil {
				return err
			}
			if err := plan.write(ctx, tx, id); err != nil {
				return err
			}
			made.Joined, made.Left, err = plan.told(ctx, tx)
			return err
		}, effects: func() []Effect { return []Effect{made} }}
		do.news.member(id, plan.membership())
		return do, s.losing(ctx, tx, cause, tenant, e.Target, &plan, do)
	})
	return after, err
}

// maxSettled is how often a change is planned anew that others come before.
const maxSettled = 16

// settle makes a change that depends on no version again if another node was faster:
// its outcome then is that of having come after it.
func settle(ctx context.Context, ifVersion uint64, change func() error) (err error) {
	for range maxSettled {
		if err = change(); ifVersion != 0 || !fault.Is(err, fault.Precondition) || ctx.Err() != nil {
			return err
		}
	}
	return fault.Wrap(err, fault.Unavailable, "changes-under-way", "Other changes are under way here and take too long. Try again in a moment.")
}

// nextVersion notes a change of a group's members alone, whatever its version.
func nextVersion(ctx context.Context, tx *store.Tx, g *Group, more int) (uint64, error) {
	version, err := store.One(ctx, tx, store.Scalar[uint64], `UPDATE groups SET version = version + 1, updated_at = $1, members_at_most = members_at_most + $2
		WHERE id = $3 RETURNING version`, store.Millis(g.UpdatedAt), more, g.ID)
	if errors.Is(err, store.ErrNoRows) {
		err = errVersion()
	}
	return version, err
}

// replaceGroup writes what has become of a group; a key of "" stays what it is.
func replaceGroup(ctx context.Context, tx *store.Tx, g *Group, key string, was uint64, atMost int) error {
	n, err := tx.Exec(ctx, `UPDATE groups SET display_name = $1, name_key = coalesce(nullif($2, ''), name_key), external_id = $3, source = $4, version = $5, updated_at = $6, members_at_most = $7
		WHERE id = $8 AND version = $9`,
		g.DisplayName, key, g.ExternalID, g.Source, g.Version, store.Millis(g.UpdatedAt), atMost, g.ID, was)
	if err == nil && n == 0 {
		return errVersion()
	}
	return err
}

func changedGroupFields(a, b *Group) (names differences) {
	names.add("display_name", a.DisplayName != b.DisplayName)
	names.add("external_id", a.ExternalID != b.ExternalID)
	names.add("source", a.Source != b.Source)
	return names
}

// AddMembers puts people into a group; who is in it already stays.
func (s *Service) AddMembers(ctx context.Context, cause audit.Cause, tenant identity.TenantID, group identity.GroupID, users []identity.UserID) error {
	return s.changeMembers(ctx, cause, tenant, group, users, (*MemberChange).Add)
}

// RemoveMembers takes people out of a group; who is not in it is passed over.
func (s *Service) RemoveMembers(ctx context.Context, cause audit.Cause, tenant identity.TenantID, group identity.GroupID, users []identity.UserID) error {
	return s.changeMembers(ctx, cause, tenant, group, users, (*MemberChange).Remove)
}

func (s *Service) changeMembers(ctx context.Context, cause audit.Cause, tenant identity.TenantID, group identity.GroupID, users []identity.UserID, do func(*MemberChange, MemberKind, ...string)) error {
	_, err := s.UpdateGroup(ctx, cause, tenant, group, 0, func(_ *Group, members *MemberChange) error {
		for _, id := range users {
			do(members, PersonMember, string(id))
		}
		return nil
	})
	return err
}

// DeleteGroup removes a group and its roles, and takes it out of other groups; its
// members stay in the directory.
// For ifVersion see [Service.UpdateGroup].
func (s *Service) DeleteGroup(ctx context.Context, cause audit.Cause, tenant identity.TenantID, id identity.GroupID, ifVersion uint64) error {
	return s.deleteGroup(ctx, cause, tenant, id, ifVersion, s.losing)
}

// TakeBackGroup is [Service.DeleteGroup] for one that the same request has made, and that
// is not to be there after all: nobody has lost anything by it.
func (s *Service) TakeBackGroup(ctx context.Context, cause audit.Cause, tenant identity.TenantID, id identity.GroupID) error {
	return s.deleteGroup(ctx, cause, tenant, id, 0, nil)
}

// losing adds to the step by which people lose what a group gives them.
type losing func(context.Context, *store.Tx, audit.Cause, identity.TenantID, audit.Target, *memberPlan, *step) error

func (s *Service) deleteGroup(ctx context.Context, cause audit.Cause, tenant identity.TenantID, id identity.GroupID, ifVersion uint64, loses losing) error {
	return s.change(ctx, tenant, func(tx *store.Tx) (*step, error) {
		g, err := loadGroup(ctx, tx, id, false)
		if err != nil {
			return nil, err
		}
		if ifVersion != 0 && ifVersion != g.Version {
			return nil, errVersion()
		}
		do := s.deletion(cause, groupEvent(cause, tenant, audit.GroupDeleted, &g), "groups", ifVersion, Everybody)
		do.news.externalID = g.ExternalID
		if do.rows, err = peopleTable.count(ctx, tx, id); err != nil {
			return nil, err
		}
		gone := Effect{GroupBefore: &g}
		if gone.Left, err = leavingWith(ctx, tx, id); err != nil {
			return nil, err
		}
		do.effects = func() []Effect { return []Effect{gone} }
		end := do.write
		do.write = func(ctx context.Context, tx *store.Tx) error {
			if err := nestedTable.movedWithout(ctx, tx, string(id)); err != nil {
				return err
			}
			if _, err := peopleTable.sweep(ctx, tx, id, nil); err != nil {
				return err
			}
			return end(ctx, tx)
		}
		if loses == nil {
			return do, nil
		}
		return do, loses(ctx, tx, cause, tenant, do.events[0].Target, nil, do)
	})
}
