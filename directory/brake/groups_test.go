package brake_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"gatehouse/audit"
	"gatehouse/directory"
	"gatehouse/directory/brake"
	"gatehouse/identity"
	"gatehouse/internal/store"
)

// group makes one with these people in it.
func (h *house) group(name string, people ...identity.UserID) identity.GroupID {
	h.t.Helper()
	g := directory.Group{DisplayName: name, Source: directory.SourceSCIM}
	for _, id := range people {
		g.Members = append(g.Members, directory.Member{User: id})
	}
	g, err := h.a.directory.CreateGroup(h.t.Context(), system, h.tenant, g)
	must(h.t, err)
	return g.ID
}

// gives gives a group, or a person, a role.
func (h *house) gives(kind, id string) {
	h.t.Helper()
	must(h.t, h.a.db.Tenant(h.tenant).Write(h.t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(h.t.Context(), `INSERT INTO assignments (id, name, role, team_id, subject_kind, subject_id, version, created_at) VALUES ($1, $1, 'member', NULL, $2, $3, 1, 0)`,
			"asg_"+id, kind, id)
		return err
	}))
}

func (h *house) size(group identity.GroupID) int {
	h.t.Helper()
	sizes, err := h.a.directory.Sizes(h.t.Context(), h.tenant, []identity.GroupID{group}, 0)
	must(h.t, err)
	return sizes[group].People + sizes[group].Groups
}

func members[ID ~string](ids ...ID) string {
	all := make([]string, len(ids))
	for i, id := range ids {
		all[i] = `{"value":"` + string(id) + `"}`
	}
	return "[" + strings.Join(all, ",") + "]"
}

func (n *node) changesMembers(group identity.GroupID, op, members string) answer {
	n.t.Helper()
	return n.ask(http.MethodPatch, "/Groups/"+string(group), `{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[{"op":"`+op+`","path":"members","value":`+members+`}]}`, n.token)
}

func (n *node) replacesMembers(group identity.GroupID, name, members string) answer {
	n.t.Helper()
	return n.ask(http.MethodPut, "/Groups/"+string(group), `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group"],"displayName":"`+name+`","members":`+members+`}`, n.token)
}

// Whoever empties the group that lets people in takes everybody out as well, whatever the
// request by which they do it.
func TestEmptyingAGroupThatGivesARoleIsHeld(t *testing.T) {
	for name, empty := range map[string]func(h *house, g, inner identity.GroupID, all []identity.UserID) answer{
		"PUT": func(h *house, g, _ identity.GroupID, _ []identity.UserID) answer {
			return h.a.replacesMembers(g, "App", "[]")
		},
		"PUT of one": func(h *house, g, _ identity.GroupID, all []identity.UserID) answer {
			return h.a.replacesMembers(g, "App", members(all[0]))
		},
		"DELETE": func(h *house, g, _ identity.GroupID, _ []identity.UserID) answer {
			return h.a.ask(http.MethodDelete, "/Groups/"+string(g), "", h.token)
		},
		"PATCH replace": func(h *house, g, _ identity.GroupID, _ []identity.UserID) answer {
			return h.a.changesMembers(g, "replace", "[]")
		},
		"PATCH by name": func(h *house, g, _ identity.GroupID, all []identity.UserID) answer {
			return h.a.changesMembers(g, "remove", members(all...))
		},
		"a nested group": func(h *house, g, inner identity.GroupID, _ []identity.UserID) answer {
			return h.a.changesMembers(g, "remove", members(inner))
		},
		"the nested group, emptied": func(h *house, _, inner identity.GroupID, _ []identity.UserID) answer {
			return h.a.replacesMembers(inner, "Inner", "[]")
		},
		"the nested group, deleted": func(h *house, _, inner identity.GroupID, _ []identity.UserID) answer {
			return h.a.ask(http.MethodDelete, "/Groups/"+string(inner), "", h.token)
		},
		"Bulk": func(h *house, g, _ identity.GroupID, _ []identity.UserID) answer {
			got := h.a.ask(http.MethodPost, "/Bulk", `{"schemas":["urn:ietf:params:scim:api:messages:2.0:BulkRequest"],"Operations":[{"method":"DELETE","path":"/Groups/`+string(g)+`"}]}`, h.token)
			if strings.Contains(got.text, `"status":"429"`) {
				got.status = http.StatusTooManyRequests
			}
			return got
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t, fifth)
			h.t = t
			all := h.people(40)
			inner := h.group("Inner", all[20:]...)
			g := h.group("App", all[:20]...)
			must(t, func() error {
				_, err := h.a.directory.UpdateGroup(t.Context(), system, h.tenant, g, 0, func(_ *directory.Group, m *directory.MemberChange) error {
					m.Add(directory.GroupMember, string(inner))
					return nil
				})
				return err
			}())
			h.gives("group", string(g))
			got := empty(h, g, inner, all)
			h.a.wants(got, http.StatusTooManyRequests)
			if !strings.Contains(got.text, "A change of a group would have taken the last role from more than may go.") {
				t.Error(got.text)
			}
			h.stands(brake.Held, 0, 40, 8)
			if h.size(g) != 21 || h.size(inner) != 20 {
				t.Errorf("%d and %d are left", h.size(g), h.size(inner))
			}
			told := h.a.told(audit.BrakeHeld)
			if len(told) != 1 || told[0].Target.Kind != "group" || len(h.a.told(audit.GroupChanged)) != 1 || len(h.a.told(audit.GroupDeleted)) != 0 {
				t.Errorf("told as %+v", told)
			}
			h.b.wants(h.b.changesMembers(g, "remove", members(all[0])), http.StatusTooManyRequests)
			_, err := h.b.brake.Release(t.Context(), admin, h.tenant, 0, time.Time{})
			must(t, err)
			if got := empty(h, g, inner, all); got.status >= 300 {
				t.Errorf("after the release: %d %s", got.status, got.text)
			}
			if s := h.standing(); s.State != brake.Released || s.Departures < 19 {
				t.Errorf("it stands as %+v", s)
			}
		})
	}
}

// Only who has no role any more has lost what counts, once, and not for ever.
func TestWhoLosesTheirLastRoleCounts(t *testing.T) {
	h := newHouse(t, fifth)
	all := h.people(40) // of whom 8 may go
	g, other, plain := h.group("App", all...), h.group("Other", all[30:35]...), h.group("Plain", all...)
	h.gives("group", string(g))
	h.gives("group", string(other))
	for _, id := range all[35:] {
		h.gives("user", string(id))
	}
	h.a.wants(h.a.replacesMembers(plain, "Plain", "[]"), http.StatusOK)
	h.a.wants(h.a.changesMembers(g, "remove", members(all[30:]...)), http.StatusNoContent)
	h.stands(brake.Open, 0, 40, 8)
	h.a.wants(h.a.changesMembers(g, "remove", members(all[:8]...)), http.StatusNoContent)
	h.stands(brake.Open, 8, 40, 8)
	h.a.takesOut(all[:8]) // who has lost it leaves now: they are counted already
	if s := h.standing(); s.Departures != 8 {
		t.Errorf("%d have left", s.Departures)
	}
	h.a.wants(h.a.changesMembers(g, "remove", members(all[8])), http.StatusTooManyRequests)
	h.passes(time.Second)
	_, err := h.a.brake.Reset(t.Context(), admin, h.tenant, 0)
	must(t, err)
	h.passes(time.Second)
	for range 3 { // there and back again, in a group or a group in it
		h.b.wants(h.b.changesMembers(g, "remove", members(all[10:16]...)), http.StatusNoContent)
		h.b.wants(h.b.changesMembers(g, "add", members(all[10:16]...)), http.StatusNoContent)
	}
	if s := h.standing(); s.Departures != 0 {
		t.Errorf("%d have left who are back", s.Departures)
	}
	must(t, h.a.directory.RemoveMembers(t.Context(), admin, h.tenant, g, all[10:30]))
	if s := h.standing(); s.State != brake.Open || s.Departures != 0 {
		t.Errorf("what an admin does is counted: %+v", s)
	}
	h.a.wants(h.a.replacesMembers(g, "App", members(all[9])), http.StatusOK) // only all[8] leaves
	if s := h.standing(); s.Departures != 1 {
		t.Errorf("%d have left, of 1", s.Departures)
	}
}

// Of a change that moves people from one group to another nobody has lost anything.
func TestWhoIsMovedHasARole(t *testing.T) {
	h := newHouse(t, fifth)
	all := h.people(30)
	one, two := h.group("One", all...), h.group("Two", all...)
	g := h.group("App")
	h.gives("group", string(g))
	h.a.wants(h.a.changesMembers(g, "add", members(one)), http.StatusNoContent)
	h.a.wants(h.a.changesMembers(g, "replace", members(two)), http.StatusNoContent)
	h.a.wants(h.a.changesMembers(g, "replace", members(all...)), http.StatusNoContent)
	h.a.wants(h.a.changesMembers(g, "replace", fmt.Sprintf(`[{"value":%q},{"value":%q}]`, one, all[0])), http.StatusNoContent)
	h.stands(brake.Open, 0, 30, 6)
	h.a.wants(h.a.changesMembers(g, "replace", members(all[:5]...)), http.StatusTooManyRequests)
}

// A group so large that who leaves it is not listed.
func TestEmptyingALargeGroupIsHeld(t *testing.T) {
	h := newHouse(t, brake.Rules{Share: 90, Window: time.Hour, Least: 3})
	all := h.people(1100)
	g := h.group("App", all...)
	h.gives("group", string(g))
	h.a.wants(h.a.replacesMembers(g, "App", members(all[:20]...)), http.StatusTooManyRequests)
	h.stands(brake.Held, 0, 1100, 990)
	_, err := h.a.brake.Reset(t.Context(), admin, h.tenant, 0)
	must(t, err)
	h.a.wants(h.a.replacesMembers(g, "App", members(all[:110]...)), http.StatusOK)
	h.stands(brake.Open, 990, 1100, 990)
}

// A group that a request has made and takes back has given nobody anything.
func TestAGroupThatIsTakenBackIsNoLoss(t *testing.T) {
	h := newHouse(t, fifth)
	g := h.group("App", h.people(20)...)
	h.gives("group", string(g))
	client := audit.Cause{Actor: audit.Actor{Kind: identity.KindSCIMToken, ID: "tok_1", Name: "okta"}, RequestID: "req_1"}
	if err := h.a.directory.DeleteGroup(t.Context(), client, h.tenant, g, 0); err == nil {
		t.Error("it is deleted")
	}
	must(t, h.a.directory.TakeBackGroup(t.Context(), client, h.tenant, g))
	h.stands(brake.Held, 0, 20, 4)
}
