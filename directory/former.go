package directory

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"gatehouse/audit"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/internal/store"
)

// FormerUser is who somebody was that is deleted. It is nobody any more: it cannot sign
// in, has no role and no group, is not found among people, and whoever comes by the same
// names is somebody else.
type FormerUser struct {
	ID          identity.UserID
	UserName    string
	ExternalID  string
	Email       string
	DisplayName string
	Source      Source
	CreatedAt   time.Time
	DeletedAt   time.Time
	DeletedBy   audit.Actor
	Until       time.Time // when the record goes by itself
}

// FormerQuery asks for a page of former people, the last who were deleted first.
type FormerQuery struct {
	Search string // a part of one of their names, compared as names are; "": all
	After  string // [FormerPage.Next] of the page before
	Count  int    // at most [MaxPage]
}

// FormerPage is a page of former people; Next is "" for the last.
type FormerPage struct {
	Items []FormerUser
	Next  string
}

const formerColumns = `id, user_name, external_id, email, display_name, source, created_at, deleted_at, until_at, actor_kind, actor_id, actor_name`

func scanFormer(row store.Row) (f FormerUser, err error) {
	var created, deleted, until int64
	err = row.Scan(&f.ID, &f.UserName, &f.ExternalID, &f.Email, &f.DisplayName, &f.Source, &created, &deleted, &until,
		&f.DeletedBy.Kind, &f.DeletedBy.ID, &f.DeletedBy.Name)
	f.CreatedAt, f.DeletedAt, f.Until = store.Time(created), store.Time(deleted), store.Time(until)
	return f, err
}

// retained is who somebody was that is deleted now; false if the tenant keeps nothing.
func (s *Service) retained(cause audit.Cause, tenant identity.TenantID, u *User) (f FormerUser, keeps bool) {
	if s.retain == nil {
		return f, false
	}
	keep := s.retain(tenant)
	if keep <= 0 {
		return f, false
	}
	at := now()
	return FormerUser{ID: u.ID, UserName: u.UserName, ExternalID: u.ExternalID, Email: u.Email, DisplayName: u.DisplayName,
		Source: u.Source, CreatedAt: u.CreatedAt, DeletedAt: at, DeletedBy: cause.Actor, Until: at.Add(keep)}, true
}

// leave adds to a deletion that the record of who it was stays.
func (f *FormerUser) leave(do *step) {
	do.events[0].Details = map[string]string{"retained_until": f.Until.Format(time.RFC3339)}
	write := do.write
	do.write = func(ctx context.Context, tx *store.Tx) error {
		// Before the person goes: who was deleted by another node meanwhile left theirs.
		if _, err := tx.Exec(ctx, `INSERT INTO former_users (`+formerColumns+`, search_key)
			SELECT id, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13 FROM users WHERE id = $1
			ON CONFLICT (id) DO NOTHING`,
			f.ID, f.UserName, f.ExternalID, f.Email, f.DisplayName, f.Source, store.Millis(f.CreatedAt), store.Millis(f.DeletedAt), store.Millis(f.Until),
			string(f.DeletedBy.Kind), f.DeletedBy.ID, f.DeletedBy.Name, f.searchKey()); err != nil {
			return err
		}
		return write(ctx, tx)
	}
}

// searchKey is what a part is looked for in; no name has a line break.
func (f *FormerUser) searchKey() string {
	return identity.NameKey(strings.Join([]string{f.UserName, f.ExternalID, f.Email, f.DisplayName, string(f.ID)}, "\n"))
}

// FormerUsers lists who was deleted and is kept a record of.
func (s *Service) FormerUsers(ctx context.Context, tenant identity.TenantID, q FormerQuery) (page FormerPage, err error) {
	at, id, err := q.after()
	if err != nil {
		return page, err
	}
	count := min(max(q.Count, 1), MaxPage)
	err = s.store.Tenant(tenant).Read(ctx, func(tx *store.Tx) error {
		page.Items, err = store.All(ctx, tx, scanFormer, `SELECT `+formerColumns+` FROM former_users
			WHERE ($1 OR deleted_at < $2 OR deleted_at = $2 AND id < $3) AND ($4 = '' OR replace(search_key, $4, '') <> search_key)
			ORDER BY deleted_at DESC, id DESC LIMIT $5`, q.After == "", at, id, identity.NameKey(q.Search), count+1)
		return err
	})
	if err == nil && len(page.Items) > count {
		page.Items = page.Items[:count]
		last := &page.Items[count-1]
		page.Next = strconv.FormatInt(store.Millis(last.DeletedAt), 10) + "." + string(last.ID)
	}
	return page, err
}

// after is the place of a cursor; zero: the beginning.
func (q *FormerQuery) after() (at int64, id string, err error) {
	if q.After == "" {
		return 0, "", nil
	}
	millis, id, ok := strings.Cut(q.After, ".")
	if at, err = strconv.ParseInt(millis, 10, 64); !ok || err != nil || at <= 0 {
		return 0, "", invalid("cursor-invalid", "The cursor is not one of this list's; start at the first page.")
	}
	return at, id, nil
}

// FormerUser gives who somebody was; a NotFound fault if no record of them is kept.
func (s *Service) FormerUser(ctx context.Context, tenant identity.TenantID, id identity.UserID) (f FormerUser, err error) {
	err = s.store.Tenant(tenant).Read(ctx, func(tx *store.Tx) error {
		f, err = loadFormer(ctx, tx, id)
		return err
	})
	return f, err
}

func loadFormer(ctx context.Context, tx *store.Tx, id identity.UserID) (FormerUser, error) {
	f, err := store.One(ctx, tx, scanFormer, `SELECT `+formerColumns+` FROM former_users WHERE id = $1`, id)
	if errors.Is(err, store.ErrNoRows) {
		err = fault.Wrap(err, fault.NotFound, "former-user-unknown", "No record of such a person is kept.")
	}
	return f, err
}

// EraseFormerUser removes the record of somebody who is deleted, before its time. What
// the journal has recorded of them stays.
func (s *Service) EraseFormerUser(ctx context.Context, cause audit.Cause, tenant identity.TenantID, id identity.UserID) error {
	return s.change(ctx, tenant, func(tx *store.Tx) (*step, error) {
		if _, err := loadFormer(ctx, tx, id); err != nil {
			return nil, err
		}
		return s.erasure(cause, tenant, "by-hand", []identity.UserID{id}), nil
	})
}

const (
	// MaxFormer is how many records of deleted people are kept of a tenant by default.
	MaxFormer = 100_000
	// maxErased bounds the records that are removed in one step: for each, what provisioning
	// clients have sent is looked through.
	maxErased = 20
)

// EraseOverdue removes the records whose time is over, and then the oldest of more than a
// tenant may keep.
func (s *Service) EraseOverdue(ctx context.Context, tenant identity.TenantID) error {
	err := s.eraseAll(ctx, tenant, "retention-over", `SELECT id FROM former_users WHERE until_at <= $1 ORDER BY until_at LIMIT $2`, func() int64 { return store.Millis(now()) })
	if err != nil {
		return err
	}
	return s.eraseAll(ctx, tenant, "too-many-kept", `SELECT id FROM former_users ORDER BY deleted_at DESC, id DESC LIMIT $2 OFFSET $1`, func() int64 { return int64(s.maxFormer) })
}

// eraseAll removes the records that a query finds, a step at a time.
func (s *Service) eraseAll(ctx context.Context, tenant identity.TenantID, reason, query string, by func() int64) error {
	for erased := maxErased; erased == maxErased; {
		erased = 0
		err := s.change(ctx, tenant, func(tx *store.Tx) (*step, error) {
			ids, err := store.All(ctx, tx, store.Scalar[identity.UserID], query, by(), maxErased)
			if err != nil || len(ids) == 0 {
				return nil, err
			}
			erased = len(ids)
			return s.erasure(audit.SystemCause(), tenant, reason, ids), nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// erasure removes records, and what else names whom they are of. What is recorded of it names nobody.
func (s *Service) erasure(cause audit.Cause, tenant identity.TenantID, reason string, ids []identity.UserID) *step {
	do := &step{}
	for _, id := range ids {
		e := cause.Event(tenant, audit.UserErased, audit.Success)
		e.Target, e.Reason = audit.Target{Kind: "user", ID: string(id)}, reason
		do.events = append(do.events, e)
	}
	do.write = func(ctx context.Context, tx *store.Tx) error {
		for i, id := range ids {
			n, err := tx.Exec(ctx, `DELETE FROM former_users WHERE id = $1`, id)
			if err == nil {
				err = s.erase(ctx, tx, id)
			}
			if err != nil {
				return err
			}
			if n == 0 { // another node was faster
				do.unmade = append(do.unmade, do.events[i])
			}
		}
		return nil
	}
	return do
}
