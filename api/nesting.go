package api

import (
	"context"
	"slices"

	"gatehouse/identity"
)

// nest tells of each group which groups it is in itself.
type nest map[identity.GroupID][]identity.Group

func (a *API) nest(ctx context.Context, tenant identity.TenantID) (nest, error) {
	all, err := a.cfg.People.Nestings(ctx, tenant)
	if err != nil {
		return nil, err
	}
	n := nest{}
	for _, x := range all {
		n[x.Group.ID] = append(n[x.Group.ID], x.In)
	}
	return n, nil
}

// above gives the groups that a group is in: by itself, and through others as far up as
// it counts for its people. One that is reached in several ways, or in a circle, is there
// once, and the group itself never.
func (n nest) above(id identity.GroupID) []identity.Group {
	var found []identity.Group
	seen := map[identity.GroupID]bool{id: true}
	level := []identity.GroupID{id}
	for depth := 0; depth < identity.MaxGroupDepth && len(level) > 0; depth++ {
		var next []identity.GroupID
		for _, below := range level {
			for _, g := range n[below] {
				if !seen[g.ID] {
					seen[g.ID] = true
					next = append(next, g.ID)
					found = append(found, identity.Group{ID: g.ID, Name: g.Name, Indirect: depth > 0})
				}
			}
		}
		level = next
	}
	return found
}

// through names those of some groups that are in a group themselves.
func (n nest) through(group identity.GroupID, some []identity.Group) (names []string) {
	for _, s := range some {
		if slices.ContainsFunc(n[s.ID], func(in identity.Group) bool { return in.ID == group }) {
			names = append(names, s.Name)
		}
	}
	return names
}

// groupRef is a group that somebody, or another group, is in.
type groupRef struct {
	ID       identity.GroupID `json:"id"`
	Name     string           `json:"name"`
	Indirect bool             `json:"indirect,omitempty" doc:"Through other groups alone"`
	Through  []string         `json:"through,omitempty" doc:"Names of the groups by which it is indirect; only when one person or group is read"`
}

// refs shows groups with what they are reached through: by themselves or, all of them
// together, from one group.
func (n nest) refs(groups []identity.Group, from ...identity.Group) []groupRef {
	refs := make([]groupRef, len(groups))
	for i, g := range groups {
		refs[i] = groupRef{ID: g.ID, Name: g.Name, Indirect: g.Indirect}
		if g.Indirect {
			refs[i].Through = n.through(g.ID, append(slices.Clone(groups), from...))
		}
	}
	return refs
}
