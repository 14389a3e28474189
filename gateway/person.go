package gateway

import (
	"context"
	"encoding/json"

	"gatehouse/identity"
	"gatehouse/internal/cluster"
)

// purposePerson is what the answer to a question for somebody is sealed for: it stays
// in Redis for a while (P10).
const purposePerson = "gateway.person"

// person is what nodes tell each other of somebody.
type person struct {
	ID       identity.UserID `json:"id"`
	UserName string          `json:"user_name"`
	Email    string          `json:"email,omitempty"`
	Name     string          `json:"name,omitempty"`
	Active   bool            `json:"active"`
	Groups   []group         `json:"groups,omitempty"`
}

type group struct {
	ID       identity.GroupID `json:"id"`
	Name     string           `json:"name"`
	Indirect bool             `json:"indirect,omitempty"`
}

func tell(p *identity.Person) person {
	said := person{ID: p.ID, UserName: p.UserName, Email: p.Email, Name: p.Name, Active: p.Active}
	for _, g := range p.Groups {
		said.Groups = append(said.Groups, group(g))
	}
	return said
}

func (p *person) told() identity.Person {
	is := identity.Person{ID: p.ID, UserName: p.UserName, Email: p.Email, Name: p.Name, Active: p.Active}
	for _, g := range p.Groups {
		is.Groups = append(is.Groups, identity.Group(g))
	}
	return is
}

// Person asks the other nodes for somebody; false if none knows them. What they
// answer they knew when this node had taken in the same changes as they, save those
// that go through SQL: once that can be asked, their word counts no more
// ([directory.Service.GiveBack]).
func (n *nodes) Person(ctx context.Context, tenant identity.TenantID, id identity.UserID) (identity.Person, bool) {
	if !n.bus.Fresh() { // nor could anybody answer
		return identity.Person{}, false
	}
	select {
	case n.asking <- struct{}{}:
		defer func() { <-n.asking }()
	case <-ctx.Done():
		return identity.Person{}, false
	}
	body, err := json.Marshal(word{From: n.id, People: []identity.UserID{id}})
	if err != nil {
		return identity.Person{}, false
	}
	// One who does not answer keeps nobody from believing the others.
	said, err := n.bus.Publish(ctx, cluster.Message{Topic: topicPerson, Tenant: tenant, Body: body})
	if err != nil {
		n.log.DebugContext(ctx, "not every node was asked for a person", "error", err)
	}
	if n.bus.State().SQLReached { // it has just been asked, and what others knew before may be old
		return identity.Person{}, false
	}
	for _, c := range said {
		if !c.Confirmed || len(c.Report) == 0 {
			continue
		}
		var p person
		text, err := n.rooms.keys.Open(ctx, tenant, purposePerson, c.Report)
		if err == nil {
			err = json.Unmarshal(text, &p)
		}
		if err == nil && p.ID == id {
			return p.told(), true
		}
		n.log.WarnContext(ctx, "another node's answer to the question for a person makes no sense", "node", c.Node, "error", err)
	}
	return identity.Person{}, false
}

func (n *nodes) hearQuestion(_ context.Context, m cluster.Message) wait {
	return n.hear(m, func(w word) wait {
		if len(w.People) != 1 {
			return nil
		}
		p, ok := n.rooms.directory.Remembered(m.Tenant, w.People[0])
		if !ok {
			return nil
		}
		return func(ctx context.Context) ([]byte, error) {
			text, err := json.Marshal(tell(&p))
			if err != nil {
				return nil, err
			}
			report, err := n.rooms.keys.Seal(ctx, m.Tenant, purposePerson, text)
			if err != nil || len(report) > cluster.MaxReport || !n.Holds() {
				return nil, err
			}
			return report, nil
		}
	})
}
