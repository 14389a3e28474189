package gateway

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"

	"gatehouse/identity"
	"gatehouse/internal/cluster"
	"gatehouse/tenants"
)

func (n *nodes) hearEnd(_ context.Context, m cluster.Message) wait {
	return n.hear(m, func(w word) wait {
		n.rooms.tokens.Refresh(m.Tenant)
		n.rooms.machines.Refresh(m.Tenant)
		n.renewSoon(m.Tenant)
		return func(ctx context.Context) ([]byte, error) { return nil, n.endHere(ctx, m.Tenant, w.ended()) }
	})
}

// ended gives whose streams are to end; nobody: all of the tenant's.
func (w word) ended() []string {
	if w.Principal != "" {
		return []string{w.Principal}
	}
	return w.Principals
}

// endHere closes what is open here without a session, of some principals or, if there is
// none, of the whole tenant.
func (n *nodes) endHere(ctx context.Context, tenant identity.TenantID, principals []string) error {
	front := n.rooms.front
	switch {
	case front == nil: // nothing is served yet
		return nil
	case len(principals) == 0:
		return front.EndTenant(ctx, tenant)
	}
	return front.End(ctx, tenant, principals...)
}

// endStreams is [nodes.endHere] on every node. A node of an older version, which reads of
// one principal only, closes what the tenant has open where they are several.
func (n *nodes) endStreams(ctx context.Context, tenant identity.TenantID, principals []string) error {
	err := n.endHere(ctx, tenant, principals)
	if len(principals) <= 1 {
		return errors.Join(err, n.say(ctx, saying{topic: topicStreams, tenant: tenant, principal: strings.Join(principals, "")}, nil))
	}
	for some := range slices.Chunk(principals, maxNamed) {
		said := n.publish(ctx, saying{topic: topicStreams, tenant: tenant}, word{Principals: some})
		if said != nil {
			for _, principal := range some {
				n.owe(saying{topic: topicStreams, tenant: tenant, principal: principal})
			}
		}
		err = errors.Join(err, said)
	}
	return err
}

// reviewStreams asks SQL for whoever has something open without a session, and
// closes what is of those that may not any more. Nobody is waited for: nothing
// passes a stream that is cut.
func (n *nodes) reviewStreams(ctx context.Context) error {
	front := n.rooms.front
	if front == nil {
		return nil
	}
	for tenant, principals := range front.Sessionless() {
		if t, ok := n.rooms.tenants.ByID(tenant); !ok || t.Status != tenants.Active {
			n.cut(ctx, tenant, "")
			continue
		}
		ids := slices.DeleteFunc(slices.Collect(maps.Keys(principals)), func(id string) bool { return id == "" })
		good, err := n.rooms.good(ctx, tenant, ids)
		if err != nil {
			return err
		}
		for _, id := range ids {
			if !good[id] {
				n.cut(ctx, tenant, id)
			}
		}
	}
	return nil
}

// cut closes what is open without a session, and waits for nobody.
func (n *nodes) cut(ctx context.Context, tenant identity.TenantID, principal string) {
	nobody, cancel := context.WithCancel(ctx)
	cancel()
	var those []string
	if principal != "" {
		those = []string{principal}
	}
	if err := n.endHere(nobody, tenant, those); err != nil && !errors.Is(err, context.Canceled) {
		n.log.WarnContext(ctx, "something that was cut is still open", "tenant", tenant, "error", err)
	}
}
