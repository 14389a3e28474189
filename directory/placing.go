package directory

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"gatehouse/audit"
	"gatehouse/identity"
	"gatehouse/internal/store"
)

// maxSignInGroups bounds the groups that one sign-in can bring.
const maxSignInGroups = 256

// placing is how one member comes to be in a group.
type placing struct {
	group Group
	ruled bool // by a rule alone
}

func scanPlacing(row store.Row) (p placing, err error) {
	var created, updated int64
	g := &p.group
	err = row.Scan(&g.ID, &g.DisplayName, &g.ExternalID, &g.Source, &g.Connection, &g.Version, &created, &updated, &p.ruled)
	g.CreatedAt, g.UpdatedAt = store.Time(created), store.Time(updated)
	return p, err
}

// place puts somebody into a group, or notes how they come to be in it.
func place(ctx context.Context, tx *store.Tx, group identity.GroupID, user identity.UserID, ruled bool) error {
	_, err := tx.Exec(ctx, `INSERT INTO group_members (group_id, user_id, ruled) SELECT $1, id, $3 FROM users WHERE id = $2
		ON CONFLICT (group_id, user_id) DO UPDATE SET ruled = excluded.ruled`, group, user, ruled)
	return err
}

// groupPlan is what changes in the groups that one connection's sign-ins bring.
// What another connection, SCIM or an admin made is theirs, whatever its name:
// roles may hang on it.
type groupPlan struct {
	create []placing // made, and joined
	join   []placing
	stay   []placing // by something else than until now: a rule, or the provider itself
	leave  []identity.GroupID
}

func (p *signInPlan) syncGroups(ctx context.Context, tx *store.Tx, cause audit.Cause, tenant identity.TenantID, in *SignIn) error {
	was, err := store.All(ctx, tx, scanPlacing, `SELECT `+groupColumns+`, ruled FROM groups JOIN group_members ON group_id = id
		WHERE user_id = $3 AND source = $1 AND connection_id = $2 ORDER BY id LIMIT 10000`, SourceSignIn, in.Connection, p.user.ID)
	if err != nil {
		return err
	}
	names, ruled, left := in.groups()
	var joined, taken []string
	is := make(map[identity.GroupID]bool)
	seen := make(map[string]bool)
	for _, name := range names {
		g := Group{DisplayName: name, Source: SourceSignIn, Connection: in.Connection}
		key, err := g.canonicalise()
		if err != nil || seen[key] {
			continue // a name that no group can have is a group that nobody is in
		}
		seen[key] = true
		found, err := store.One(ctx, tx, scanGroup, `SELECT `+groupColumns+` FROM groups WHERE name_key = $1`, key)
		i := slices.IndexFunc(was, func(m placing) bool { return m.group.ID == found.ID })
		switch {
		case errors.Is(err, store.ErrNoRows):
			g.ID, g.Version, g.CreatedAt = identity.NewGroupID(), 1, now()
			p.groups.create = append(p.groups.create, placing{g, ruled(key)})
			p.events = append(p.events, withConnection(groupCreated(cause, tenant, &g, 1), in))
		case err != nil:
			return err
		case found.Source != SourceSignIn || found.Connection != in.Connection:
			taken = append(taken, found.DisplayName) // SCIM, an admin or another connection says who is in it
		case i < 0:
			p.groups.join = append(p.groups.join, placing{found, ruled(key)})
			joined = append(joined, found.DisplayName)
		default:
			is[found.ID] = true
			// A provider that says nothing of groups has not taken back what it said.
			if in.Groups != nil && was[i].ruled != ruled(key) {
				p.groups.stay = append(p.groups.stay, placing{found, ruled(key)})
			}
		}
	}
	var out []string
	for _, m := range was {
		if !is[m.group.ID] && left(&m) {
			p.groups.leave = append(p.groups.leave, m.group.ID)
			out = append(out, m.group.DisplayName)
		}
	}
	if len(joined)+len(out) > 0 || len(taken) > 0 && len(p.events) > 0 {
		e := userEvent(cause, tenant, audit.UserChanged, &p.user)
		e.Details = map[string]string{"changed": "groups"}
		e.Message = fmt.Sprintf("Their groups at the identity provider changed: in %s, out of %s.", listed(joined), listed(out))
		if len(taken) > 0 {
			e.Message += " Left alone, since they come from elsewhere: " + listed(taken) + "."
		}
		p.events = append(p.events, withConnection(e, in))
	}
	return nil
}

// groups are the names of those that the person is in, as far as somebody says so;
// ruled tells whether a rule alone says so of a key, and left whether they leave a
// group that is not among them: where the provider says nothing of groups, only those
// that a rule says of, or has said of before.
func (in *SignIn) groups() (names []string, ruled func(key string) bool, left func(*placing) bool) {
	names = in.Groups[:min(len(in.Groups), maxSignInGroups):min(len(in.Groups), maxSignInGroups)]
	said, unsaid, rules := keysOf(names), keysOf(in.Unsaid), keysOf(slices.Collect(maps.Keys(in.Rules)))
	for _, name := range slices.Sorted(maps.Keys(in.Rules)) {
		if in.Rules[name] {
			names = append(names, name)
		}
	}
	return names, func(key string) bool { return !said[key] }, func(m *placing) bool {
		key := identity.NameKey(m.group.DisplayName)
		return !unsaid[key] && (in.Groups != nil || rules[key] || m.ruled)
	}
}

// listed joins names for a record, as many as it should hold.
func listed(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	if len(names) > 20 {
		names = append(names[:20:20], "...")
	}
	return strings.Join(names, ", ")
}

func (p *groupPlan) apply(ctx context.Context, tx *store.Tx, in *SignIn, user identity.UserID) error {
	if len(p.create)+len(p.join)+len(p.stay) > 0 { // all that it puts into a group, and back into one
		if err := in.unchanged(ctx, tx); err != nil {
			return err
		}
	}
	for _, m := range p.create {
		key, err := m.group.canonicalise()
		if err != nil {
			return err
		}
		if err := insertGroup(ctx, tx, &m.group, key); err != nil {
			return err
		}
	}
	for _, m := range slices.Concat(p.create, p.join, p.stay) {
		if err := place(ctx, tx, m.group.ID, user, m.ruled); err != nil {
			return err
		}
	}
	for _, m := range p.join {
		if err := moved(ctx, tx, m.group.ID); err != nil {
			return err
		}
	}
	for _, id := range p.leave {
		if _, err := tx.Exec(ctx, `DELETE FROM group_members WHERE group_id = $1 AND user_id = $2`, id, user); err != nil {
			return err
		}
	}
	return moved(ctx, tx, p.leave...)
}
