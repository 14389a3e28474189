package directory

import (
	"context"
	"errors"

	"gatehouse/audit"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/internal/store"
)

// maxTeams bounds the teams of a tenant, so that the list of them can be
// handed out whole.
const maxTeams = 1000

const teamColumns = `id, name, display_name, version, created_at, updated_at`

func scanTeam(row store.Row) (Team, error) {
	var t Team
	var created, updated int64
	err := row.Scan(&t.ID, &t.Name, &t.DisplayName, &t.Version, &created, &updated)
	t.CreatedAt, t.UpdatedAt = store.Time(created), store.Time(updated)
	return t, err
}

func errTeamNameTaken() error {
	return fault.New(fault.Conflict, "uniqueness", "Another team has this name.")
}

// Teams lists every team of the tenant by name.
func (s *Service) Teams(ctx context.Context, tenant identity.TenantID) (teams []Team, err error) {
	err = s.store.Tenant(tenant).Read(ctx, func(tx *store.Tx) error {
		teams, err = store.All(ctx, tx, scanTeam, `SELECT `+teamColumns+` FROM teams ORDER BY name LIMIT 1000`)
		return err
	})
	return teams, err
}

// Team reads one team.
func (s *Service) Team(ctx context.Context, tenant identity.TenantID, id identity.TeamID) (Team, error) {
	return s.teamBy(ctx, tenant, `id = $1`, string(id))
}

// TeamByName reads the team whose name stands in the app's paths.
func (s *Service) TeamByName(ctx context.Context, tenant identity.TenantID, name string) (Team, error) {
	return s.teamBy(ctx, tenant, `name = $1`, name)
}

func (s *Service) teamBy(ctx context.Context, tenant identity.TenantID, where, value string) (t Team, err error) {
	err = s.store.Tenant(tenant).Read(ctx, func(tx *store.Tx) error {
		t, err = loadTeam(ctx, tx, where, value)
		return err
	})
	return t, err
}

func loadTeam(ctx context.Context, tx *store.Tx, where, value string) (Team, error) {
	t, err := store.One(ctx, tx, scanTeam, `SELECT `+teamColumns+` FROM teams WHERE `+where, value)
	if errors.Is(err, store.ErrNoRows) {
		return Team{}, fault.Wrap(err, fault.NotFound, "team-unknown", "There is no such team.")
	}
	return t, err
}

func teamEvent(cause audit.Cause, tenant identity.TenantID, kind audit.Type, t *Team) audit.Event {
	e := cause.Event(tenant, kind, audit.Success)
	e.Target = audit.Target{Kind: "team", ID: string(t.ID), Name: t.Name}
	return e
}

// CreateTeam adds a team; the id, version and times of t are set here. A name
// that is taken is a Conflict fault ("uniqueness").
func (s *Service) CreateTeam(ctx context.Context, cause audit.Cause, tenant identity.TenantID, t Team) (Team, error) {
	if err := t.canonicalise(); err != nil {
		return Team{}, err
	}
	err := s.change(ctx, tenant, func(tx *store.Tx) (*step, error) {
		if err := checkFree(ctx, tx, "teams", "name", t.Name, "", errTeamNameTaken()); err != nil {
			return nil, err
		}
		n, err := store.One(ctx, tx, store.Scalar[int], `SELECT count(*) FROM teams`)
		if err != nil {
			return nil, err
		}
		if n >= maxTeams {
			return nil, invalid("too-many-teams", "A tenant can have at most %d teams.", maxTeams)
		}
		t.ID, t.Version, t.CreatedAt = identity.NewTeamID(), 1, now()
		t.UpdatedAt = t.CreatedAt
		return &step{events: []audit.Event{teamEvent(cause, tenant, audit.TeamCreated, &t)}, write: func(ctx context.Context, tx *store.Tx) error {
			n, err := tx.Exec(ctx, `INSERT INTO teams (id, name, display_name, version, created_at, updated_at)
				VALUES ($1, $2, $3, $4, $5, $5) ON CONFLICT (name) DO NOTHING`,
				t.ID, t.Name, t.DisplayName, t.Version, store.Millis(t.CreatedAt))
			if err == nil && n == 0 {
				return errTeamNameTaken()
			}
			return err
		}}, nil
	})
	if err != nil {
		return Team{}, err
	}
	return t, nil
}

// UpdateTeam lets edit change a copy of the team and stores the result; see
// [Service.UpdateGroup].
func (s *Service) UpdateTeam(ctx context.Context, cause audit.Cause, tenant identity.TenantID, id identity.TeamID, ifVersion uint64, edit func(*Team) error) (after Team, err error) {
	err = s.change(ctx, tenant, func(tx *store.Tx) (*step, error) {
		before, err := loadTeam(ctx, tx, `id = $1`, string(id))
		if err != nil {
			return nil, err
		}
		if ifVersion != 0 && ifVersion != before.Version {
			return nil, errVersion()
		}
		after = before
		if err := edit(&after); err != nil {
			return nil, err
		}
		if err := after.canonicalise(); err != nil {
			return nil, err
		}
		if after.Name == before.Name && after.DisplayName == before.DisplayName {
			after = before
			return nil, nil
		}
		if err := checkFree(ctx, tx, "teams", "name", after.Name, id, errTeamNameTaken()); err != nil {
			return nil, err
		}
		after.ID, after.Version, after.CreatedAt, after.UpdatedAt = before.ID, before.Version+1, before.CreatedAt, now()
		// Its name stands in the app's paths: what is open under it is another team's now.
		return &step{events: []audit.Event{teamEvent(cause, tenant, audit.TeamChanged, &after)}, people: Everybody, write: func(ctx context.Context, tx *store.Tx) error {
			n, err := tx.Exec(ctx, `UPDATE teams SET name = $1, display_name = $2, version = $3, updated_at = $4 WHERE id = $5 AND version = $6`,
				after.Name, after.DisplayName, after.Version, store.Millis(after.UpdatedAt), id, before.Version)
			if err == nil && n == 0 {
				return errVersion()
			}
			return err
		}}, nil
	})
	if err != nil {
		return Team{}, err
	}
	return after, nil
}

// DeleteTeam removes a team and the roles given for it; for ifVersion see
// [Service.UpdateGroup].
func (s *Service) DeleteTeam(ctx context.Context, cause audit.Cause, tenant identity.TenantID, id identity.TeamID, ifVersion uint64) error {
	return s.change(ctx, tenant, func(tx *store.Tx) (*step, error) {
		t, err := loadTeam(ctx, tx, `id = $1`, string(id))
		if err != nil {
			return nil, err
		}
		if ifVersion != 0 && ifVersion != t.Version {
			return nil, errVersion()
		}
		return s.deletion(cause, teamEvent(cause, tenant, audit.TeamDeleted, &t), "teams", ifVersion, Everybody), nil
	})
}
