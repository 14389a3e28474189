package cluster

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"gatehouse/identity"
)

// takeKept applies what is kept for those who join. It comes before verifying: what
// is not kept any more, SQL has got by then.
func (b *Redis) takeKept(t *term) error {
	kept, err := b.kept(t.ctx, t, "")
	if err != nil {
		return err
	}
	for _, m := range kept {
		over := make(chan error, 1)
		if !b.inbox.take(t.ctx, m, func(_ []byte, err error) { over <- err }) {
			continue
		}
		if err := <-over; err != nil { // a wait is bounded
			return fmt.Errorf("cluster: take in what was kept: %w", err)
		}
	}
	return nil
}

// kept reads what is kept under a name; "": all.
func (b *Redis) kept(ctx context.Context, t *term, name string) ([]Message, error) {
	answer, err := b.run(ctx, keptScript, []string{b.keys.bus()}, t.epoch.Number, t.epoch.Server, name)
	if err != nil {
		return nil, err
	}
	list, err := texts(answer)
	if err != nil || len(list)%2 != 0 || len(list) > 2*maxKept {
		return nil, errAnswer
	}
	all := make([]Message, 0, len(list)/2)
	for i := 0; i < len(list); i += 2 {
		head, body, _ := bytes.Cut([]byte(list[i+1]), []byte("\n"))
		var parts []string
		if err := json.Unmarshal(head, &parts); err != nil || len(parts) != 3 {
			return nil, errAnswer
		}
		m := Message{ID: parts[0], Topic: parts[1], Tenant: identity.TenantID(parts[2]), Body: body, Keep: list[i]}
		if m.check() != nil || m.ID == "" {
			return nil, errAnswer
		}
		all = append(all, m)
	}
	return all, nil
}

var errNoTerm = errors.New("cluster: this node has joined no epoch")

// Kept implements [Bus]. What was kept in another epoch is not any more.
func (b *Redis) Kept(ctx context.Context, name string) (bool, error) {
	t := b.current()
	if t == nil {
		return false, errNoTerm
	}
	kept, err := b.kept(ctx, t, name)
	return len(kept) > 0, err
}

// Unkeep implements [Bus].
func (b *Redis) Unkeep(ctx context.Context, name string) error {
	t := b.current()
	if t == nil {
		return errNoTerm
	}
	_, err := b.run(ctx, unkeepScript, []string{b.keys.bus()}, t.epoch.Number, t.epoch.Server, name)
	return err
}
