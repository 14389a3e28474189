package google

import (
	"context"
	"errors"
	"net/http"

	"gatehouse/identity"
	"gatehouse/internal/httpkit"
)

// SyncPreview is what a test has found.
type SyncPreview struct {
	People  []SyncFound `json:"people" doc:"The first of those who would be brought"`
	Groups  []SyncFound `json:"groups" doc:"The first groups"`
	Partial bool        `json:"partial,omitempty" doc:"Whether not everybody was looked at, and there may be more people than these"`
}

// SyncFound is somebody, or a group, as Google has it.
type SyncFound struct {
	Email   string `json:"email"`
	Name    string `json:"name,omitempty"`
	OrgUnit string `json:"org_unit,omitempty"`
	Active  bool   `json:"active"`
}

const (
	// maxFound bounds what a test shows of each.
	maxFound = 10
	// maxLooks bounds what a test asks in search of people: somebody waits for the answer.
	maxLooks = 25
)

// errEnough ends a list that needs not be read to its end.
var errEnough = errors.New("google: enough")

// Try reads the first people and groups by these settings, and does nothing with them.
// keyFile is as for [Service.Put]. What does not work is the error, with what to do.
func (s *Service) Try(ctx context.Context, tenant identity.TenantID, set Settings, keyFile []byte) (SyncPreview, error) {
	if err := set.check(); err != nil {
		return SyncPreview{}, err
	}
	k, err := s.key(ctx, tenant, keyFile)
	if err != nil {
		return SyncPreview{}, err
	}
	p := preview{reader: s.reader(k, set.Admin), set: &set, seen: map[string]bool{}}
	p.hasty = true
	ctx = httpkit.OnBehalf(ctx, tenant)
	steps := []func(context.Context) error{p.everybody, p.allGroups}
	if len(set.Groups) > 0 {
		steps = []func(context.Context) error{p.nobody, p.namedGroups, p.inGroups}
	}
	for _, step := range steps {
		if err := step(ctx); err != nil && !errors.Is(err, errEnough) {
			return SyncPreview{}, err
		}
	}
	return p.found, nil
}

// preview is one test. Each right that a reading needs is tried: to read people, groups,
// and the members of those.
type preview struct {
	*reader

	set   *Settings
	looks int
	next  []string        // ids of groups that were chosen, and of those in them
	seen  map[string]bool // ids of people and groups
	found SyncPreview
}

// looked is for each question in search of people: errEnough after the last one.
func (p *preview) looked() error {
	p.looks++
	if len(p.found.People) < maxFound && p.looks < maxLooks {
		return nil
	}
	p.found.Partial = len(p.found.People) < maxFound
	return errEnough
}

func (p *preview) person(u *user) {
	if len(p.found.People) < maxFound && !u.unread && p.set.within(u.OrgUnit) {
		p.found.People = append(p.found.People, SyncFound{Email: u.Primary, Name: u.Name.Full, OrgUnit: u.OrgUnit, Active: u.active()})
	}
}

func (p *preview) group(g *group) {
	p.found.Groups = append(p.found.Groups, SyncFound{Email: g.Email, Name: g.Name, Active: true})
}

// everybody looks for people in the whole account.
func (p *preview) everybody(ctx context.Context) error {
	return p.users(ctx, customer(p.set), func(people []user) error {
		for i := range people {
			p.person(&people[i])
		}
		return p.looked()
	})
}

// nobody tries whether people may be read.
func (p *preview) nobody(ctx context.Context) error {
	return p.users(ctx, customer(p.set), func([]user) error { return errEnough })
}

// allGroups shows the first groups, and tries whether the members of one may be read.
func (p *preview) allGroups(ctx context.Context) error {
	first := ""
	err := p.groups(ctx, customer(p.set), func(groups []group) error {
		for i := range groups[:min(len(groups), maxFound)] {
			p.group(&groups[i])
		}
		if len(groups) > 0 {
			first = groups[0].ID
		}
		return errEnough
	})
	if first == "" {
		return err
	}
	err = p.members(ctx, first, func([]member) error { return errEnough })
	if isMissing(err) {
		return nil // it went in this moment
	}
	return err
}

// namedGroups finds the groups that the settings name.
func (p *preview) namedGroups(ctx context.Context) error {
	for _, name := range p.set.Groups[:min(len(p.set.Groups), maxFound)] {
		g, err := p.reader.group(ctx, name)
		if isMissing(err) {
			err = errNoGroup(err, name)
		}
		if err != nil {
			return err
		}
		p.group(&g)
		p.next = append(p.next, g.ID)
	}
	p.found.Partial = len(p.set.Groups) > maxFound
	return nil
}

// inGroups looks for people in those groups, and in the groups in them.
func (p *preview) inGroups(ctx context.Context) error {
	for i := 0; i < len(p.next); i++ {
		if p.seen[p.next[i]] {
			continue
		}
		p.seen[p.next[i]] = true
		err := p.members(ctx, p.next[i], func(members []member) error {
			for _, m := range members {
				switch {
				case !isID(m.ID) || p.seen[m.ID]:
				case m.Type == "GROUP" && len(p.next) < maxFound+maxLooks:
					p.next = append(p.next, m.ID)
				case m.Type == "USER":
					p.seen[m.ID] = true
					if err := p.one(ctx, m.ID); err != nil {
						return err
					}
				}
			}
			return p.looked()
		})
		if err != nil && !isMissing(err) {
			return err
		}
	}
	return nil
}

// one looks at one person, who need not be of the account: Google has nobody of that id
// then, or shows them to nobody. That people may be read was tried before.
func (p *preview) one(ctx context.Context, id string) error {
	u, err := p.user(ctx, id)
	if no, ok := errors.AsType[*problem](err); ok && (no.status == http.StatusNotFound || no.status == http.StatusForbidden && !no.limited()) {
		return p.looked()
	}
	if err != nil {
		return err
	}
	p.person(&u)
	return p.looked()
}
