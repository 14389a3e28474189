package directory

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"

	"gatehouse/audit"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/internal/store"
)

const userColumns = `id, user_name, external_id, email, display_name, active, source, attributes, version, created_at, updated_at`

func scanUser(row store.Row) (User, error) {
	var u User
	var attributes string
	var created, updated int64
	err := row.Scan(&u.ID, &u.UserName, &u.ExternalID, &u.Email, &u.DisplayName, &u.Active, &u.Source,
		&attributes, &u.Version, &created, &updated)
	u.Attributes = json.RawMessage(attributes)
	u.CreatedAt, u.UpdatedAt = store.Time(created), store.Time(updated)
	return u, err
}

func errUserUnknown(cause error) error {
	return fault.Wrap(cause, fault.NotFound, "user-unknown", "There is no such person.")
}

func errUserNameTaken() error {
	return fault.New(fault.Conflict, "uniqueness", "Another person has this user name.")
}

func errVersion() error {
	return fault.New(fault.Precondition, "version-changed", "Somebody else changed this in the meantime. Read it again and repeat the change.")
}

// loadUser reads one person with everything that User holds.
func loadUser(ctx context.Context, tx *store.Tx, id identity.UserID) (User, error) {
	u, err := loadUserAlone(ctx, tx, id)
	if err == nil {
		u.Groups, err = groupsOf(ctx, tx, id)
	}
	return u, err
}

// loadUserAlone leaves out the groups.
func loadUserAlone(ctx context.Context, tx *store.Tx, id identity.UserID) (User, error) {
	u, err := store.One(ctx, tx, scanUser, `SELECT `+userColumns+` FROM users WHERE id = $1`, id)
	if errors.Is(err, store.ErrNoRows) {
		return User{}, errUserUnknown(err)
	}
	if err != nil {
		return User{}, err
	}
	u.OtherEmails, err = store.All(ctx, tx, store.Scalar[string],
		`SELECT email FROM user_emails WHERE user_id = $1 AND email <> $2 ORDER BY email LIMIT 65`, id, u.Email)
	return u, err
}

// User reads one person, with their groups.
func (s *Service) User(ctx context.Context, tenant identity.TenantID, id identity.UserID) (u User, err error) {
	err = s.store.Tenant(tenant).Read(ctx, func(tx *store.Tx) error {
		u, err = loadUser(ctx, tx, id)
		return err
	})
	return u, err
}

// UserAlone reads one person without their groups, which may be many.
func (s *Service) UserAlone(ctx context.Context, tenant identity.TenantID, id identity.UserID) (u User, err error) {
	err = s.store.Tenant(tenant).Read(ctx, func(tx *store.Tx) error {
		u, err = loadUserAlone(ctx, tx, id)
		return err
	})
	return u, err
}

// CreateUser adds a person; the id, version and times of u are set here. A
// user name that is taken is a Conflict fault with the code "uniqueness".
func (s *Service) CreateUser(ctx context.Context, cause audit.Cause, tenant identity.TenantID, u User) (User, error) {
	made := s.CreateUsers(ctx, cause, tenant, []User{u}, 0)[0]
	if made.Err != nil {
		return User{}, made.Err
	}
	return made.User, nil
}

func userEvent(cause audit.Cause, tenant identity.TenantID, kind audit.Type, u *User) audit.Event {
	e := cause.Event(tenant, kind, audit.Success)
	e.Target = audit.Target{Kind: "user", ID: string(u.ID), Name: u.UserName}
	return e
}

func userCreated(cause audit.Cause, tenant identity.TenantID, u *User) audit.Event {
	e := userEvent(cause, tenant, audit.UserCreated, u)
	e.Details = map[string]string{"source": string(u.Source), "active": strconv.FormatBool(u.Active)}
	return e
}

// emailFree reports whether an address is nobody else's, as a user name or as
// one of their addresses; nor what their user name is compared by.
func emailFree(ctx context.Context, tx *store.Tx, email string, except identity.UserID) (bool, error) {
	n, err := store.One(ctx, tx, store.Scalar[int], `SELECT (SELECT count(*) FROM users WHERE user_key = $1 AND id <> $2)
		+ (SELECT count(*) FROM user_emails WHERE email IN ($1, $3) AND user_id <> $2)`, identity.NameKey(email), except, email)
	return n == 0, err
}

func insertUser(ctx context.Context, tx *store.Tx, u *User, key string) error {
	there, err := insertUsers(ctx, tx, []newcomer{{u, key}})
	if err == nil && !there[u.ID] {
		err = errUserNameTaken()
	}
	return err
}

// newcomer is somebody with the key of their user name.
type newcomer struct {
	*User
	key string
}

// insertUsers adds people, and gives those whose user name was free.
func insertUsers(ctx context.Context, tx *store.Tx, people []newcomer) (there map[identity.UserID]bool, err error) {
	there = make(map[identity.UserID]bool, len(people))
	err = inPieces(people, func(people []newcomer) error {
		var args []any
		for _, p := range people {
			created := store.Millis(p.CreatedAt)
			search, err := p.search()
			if err != nil {
				return err
			}
			args = append(args, p.ID, p.UserName, p.key, p.ExternalID, p.Email, p.DisplayName, identity.NameKey(p.DisplayName),
				p.Active, p.Source, string(p.Attributes), p.Version, created, created, search)
		}
		ids, err := store.All(ctx, tx, store.Scalar[identity.UserID], `INSERT INTO users (id, user_name, user_key, external_id, email, display_name, display_key,
				active, source, attributes, version, created_at, updated_at, search)
			VALUES `+values(len(people), 14)+` ON CONFLICT (user_key) DO NOTHING RETURNING id`, args...)
		for _, id := range ids {
			there[id] = true
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	var added []*User
	for _, p := range people {
		if there[p.ID] {
			added = append(added, p.User)
		}
	}
	return there, putEmails(ctx, tx, added...)
}

func putEmails(ctx context.Context, tx *store.Tx, people ...*User) error {
	var all [][2]string
	for _, u := range people {
		for _, email := range append([]string{u.Email}, u.OtherEmails...) {
			if email != "" {
				all = append(all, [2]string{string(u.ID), email})
			}
		}
	}
	return inPieces(all, func(emails [][2]string) error {
		var args []any
		for _, e := range emails {
			args = append(args, e[0], e[1])
		}
		_, err := tx.Exec(ctx, `INSERT INTO user_emails (user_id, email) VALUES `+values(len(emails), 2), args...)
		return err
	})
}

// UpdateUser lets edit change a copy of the person and stores the result, all
// or nothing; an error of edit is returned as it is. ifVersion, unless 0, must
// be the present version (fault Precondition). What edit does to ID, Version,
// the times and Groups is ignored. It is called again where another node was faster.
//
// An update that ends with Active == false ends the person's sessions before
// it returns, also when the person was inactive already: that makes repeating
// a call that was cut short do what the first should have done (P9).
func (s *Service) UpdateUser(ctx context.Context, cause audit.Cause, tenant identity.TenantID, id identity.UserID, ifVersion uint64, edit func(*User) error) (User, error) {
	u, err := s.updateUser(ctx, cause, tenant, id, ifVersion, edit)
	if err != nil && !errors.Is(err, errUntold) {
		return User{}, err
	}
	if !u.Active {
		err = errors.Join(err, s.endSessions(ctx, cause, tenant, id, "person-deactivated"))
	}
	return u, err
}

func (s *Service) updateUser(ctx context.Context, cause audit.Cause, tenant identity.TenantID, id identity.UserID, ifVersion uint64, edit func(*User) error) (after User, err error) {
	err = settle(ctx, ifVersion, func() error {
		after, err = s.updateUserOnce(ctx, cause, tenant, id, ifVersion, edit)
		return err
	})
	return after, err
}

func (s *Service) updateUserOnce(ctx context.Context, cause audit.Cause, tenant identity.TenantID, id identity.UserID, ifVersion uint64, edit func(*User) error) (after User, err error) {
	err = s.change(ctx, tenant, func(tx *store.Tx) (*step, error) {
		before, err := loadUser(ctx, tx, id)
		if err != nil {
			return nil, err
		}
		if ifVersion != 0 && ifVersion != before.Version {
			return nil, errVersion()
		}
		after = before
		after.OtherEmails, after.Attributes = slices.Clone(before.OtherEmails), slices.Clone(before.Attributes)
		if err := edit(&after); err != nil {
			return nil, err
		}
		key, err := after.canonicaliseAfter(&before)
		if err != nil {
			return nil, err
		}
		after.ID, after.Groups, after.CreatedAt = before.ID, before.Groups, before.CreatedAt
		changed := changedFields(&before, &after)
		if len(changed) == 0 {
			after = before
			return nil, nil
		}
		if err := checkFree(ctx, tx, "users", "user_key", key, id, errUserNameTaken()); err != nil { // nobody has ""
			return nil, err
		}
		after.Version, after.UpdatedAt = before.Version+1, now()
		do := &step{events: []audit.Event{userChanged(cause, tenant, &before, &after, changed)}, people: []identity.UserID{id}, write: func(ctx context.Context, tx *store.Tx) error {
			if after.Active && !before.Active {
				if err := s.retire(ctx, tx, id); err != nil {
					return err
				}
				if err := s.returned(ctx, tx, id); err != nil {
					return err
				}
			}
			return replaceUser(ctx, tx, &after, key, before.Version)
		}, effects: func() []Effect { return []Effect{{UserBefore: &before, UserAfter: &after}} }}
		if after.Active && !before.Active {
			// A crash may have left the deactivation without the end of the sessions;
			// none of them may come back to life with the person (P9).
			do.first = func() error { return s.endSessions(ctx, cause, tenant, id, "person-deactivated") }
		}
		if before.Active && !after.Active {
			err = s.oneLeaves(ctx, tx, cause, tenant, id, do)
		}
		return do, err
	})
	if err != nil && !errors.Is(err, errUntold) {
		return User{}, err
	}
	return after, err
}

// replaceUser writes what has become of somebody; a key of "" stays what it is.
func replaceUser(ctx context.Context, tx *store.Tx, u *User, key string, was uint64) error {
	search, err := u.search()
	if err != nil {
		return err
	}
	n, err := tx.Exec(ctx, `UPDATE users SET user_name = $1, user_key = coalesce(nullif($2, ''), user_key), external_id = $3, email = $4, display_name = $5,
			display_key = $6, active = $7, source = $8, attributes = $9, version = $10, updated_at = $11, search = $12
		WHERE id = $13 AND version = $14`,
		u.UserName, key, u.ExternalID, u.Email, u.DisplayName, identity.NameKey(u.DisplayName), u.Active, u.Source,
		string(u.Attributes), u.Version, store.Millis(u.UpdatedAt), search, u.ID, was)
	if err == nil && n == 0 {
		return errVersion() // another node was faster
	}
	if err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `DELETE FROM user_emails WHERE user_id = $1`, u.ID); err != nil {
		return err
	}
	return putEmails(ctx, tx, u)
}

// userChanged tells what became of "active" by the event's type, and of the
// rest by name.
func userChanged(cause audit.Cause, tenant identity.TenantID, before, after *User, changed []string) audit.Event {
	kind := audit.UserChanged
	if before.Active != after.Active {
		kind = audit.UserActivated
		if !after.Active {
			kind = audit.UserDeactivated
		}
	}
	e := userEvent(cause, tenant, kind, after)
	e.Details = map[string]string{"changed": strings.Join(changed, ",")}
	return e
}

func changedFields(a, b *User) (names differences) {
	names.add("user_name", a.UserName != b.UserName)
	names.add("external_id", a.ExternalID != b.ExternalID)
	names.add("email", a.Email != b.Email)
	names.add("other_emails", !slices.Equal(a.OtherEmails, b.OtherEmails))
	names.add("display_name", a.DisplayName != b.DisplayName)
	names.add("active", a.Active != b.Active)
	names.add("source", a.Source != b.Source)
	return append(names, changedAttributes(a.Attributes, b.Attributes)...)
}

func changedAttributes(a, b json.RawMessage) []string {
	if bytes.Equal(a, b) {
		return nil
	}
	var before, after map[string]json.RawMessage
	if json.Unmarshal(a, &before) != nil || json.Unmarshal(b, &after) != nil {
		return []string{"attributes"}
	}
	differs := make(map[string]struct{})
	for name, v := range before {
		if w, ok := after[name]; !ok || !bytes.Equal(v, w) {
			differs[name] = struct{}{}
		}
	}
	for name := range after {
		if _, ok := before[name]; !ok {
			differs[name] = struct{}{}
		}
	}
	names := slices.Sorted(maps.Keys(differs))
	return names[:min(len(names), 32)]
}

// DeleteUser removes a person and their roles, and ends their sessions before
// it returns, also when the person is gone already (fault NotFound): see
// [Service.UpdateUser], for ifVersion too.
func (s *Service) DeleteUser(ctx context.Context, cause audit.Cause, tenant identity.TenantID, id identity.UserID, ifVersion uint64) error {
	return s.deleteAnd(ctx, cause, tenant, id, ifVersion, s.oneLeaves)
}

// TakeBackUser is [Service.DeleteUser] for somebody whom the same request has made, and
// who is not to be there after all: nobody has left by it.
func (s *Service) TakeBackUser(ctx context.Context, cause audit.Cause, tenant identity.TenantID, id identity.UserID) error {
	return s.deleteAnd(ctx, cause, tenant, id, 0, nil)
}

// leaving adds to the step by which somebody leaves.
type leaving func(context.Context, *store.Tx, audit.Cause, identity.TenantID, identity.UserID, *step) error

func (s *Service) deleteAnd(ctx context.Context, cause audit.Cause, tenant identity.TenantID, id identity.UserID, ifVersion uint64, leaves leaving) error {
	err := s.deleteUser(ctx, cause, tenant, id, ifVersion, leaves)
	if err != nil && !fault.Is(err, fault.NotFound) && !errors.Is(err, errUntold) {
		return err
	}
	return errors.Join(err, s.endSessions(ctx, cause, tenant, id, "person-deleted"))
}

func (s *Service) deleteUser(ctx context.Context, cause audit.Cause, tenant identity.TenantID, id identity.UserID, ifVersion uint64, leaves leaving) error {
	return s.change(ctx, tenant, func(tx *store.Tx) (*step, error) {
		u, err := loadUser(ctx, tx, id)
		if err != nil {
			return nil, err
		}
		if ifVersion != 0 && ifVersion != u.Version {
			return nil, errVersion()
		}
		do := s.deletion(cause, userEvent(cause, tenant, audit.UserDeleted, &u), "users", ifVersion, []identity.UserID{id})
		do.news.externalID = u.ExternalID
		end := do.write
		do.write = func(ctx context.Context, tx *store.Tx) error {
			if err := peopleTable.movedWithout(ctx, tx, string(id)); err != nil {
				return err
			}
			return end(ctx, tx)
		}
		do.effects = func() []Effect { return []Effect{{UserBefore: &u}} }
		if leaves == nil { // they were never here
			return do, nil
		}
		if f, keeps := s.retained(cause, tenant, &u); keeps {
			f.leave(do)
		}
		if u.Active {
			return do, leaves(ctx, tx, cause, tenant, id, do)
		}
		do.write = unlessActive(id, do.write)
		return do, nil
	})
}

// unlessActive has somebody be deleted of whom the brake was not asked, as they were not
// active: if others have made them so since, it is asked after all.
func unlessActive(id identity.UserID, write func(context.Context, *store.Tx) error) func(context.Context, *store.Tx) error {
	return func(ctx context.Context, tx *store.Tx) error {
		active, err := store.One(ctx, tx, store.Scalar[int], `SELECT count(*) FROM users WHERE id = $1 AND active = TRUE`, id)
		if err == nil && active > 0 {
			err = ErrOvertaken
		}
		if err != nil {
			return err
		}
		return write(ctx, tx)
	}
}
