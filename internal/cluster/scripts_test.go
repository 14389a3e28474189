package cluster

import (
	"context"
	"errors"
	"maps"
	"testing"

	"gatehouse/internal/cluster/redistest"
)

// TestP2_EveryStepChecksTheEpoch takes each script through every way in which
// Redis can be another than it was.
func TestP2_EveryStepChecksTheEpoch(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	client, err := Connect(server.URL(), 1)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	b := &Redis{client: client, keys: keysOf("test"), life: newLife()}
	look := func() view {
		t.Helper()
		seen, _, err := b.look(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return seen
	}
	begin := func(epoch uint64, run string) error {
		_, err := b.run(context.Background(), initScript, []string{b.keys.bus()}, epoch, run)
		return err
	}
	steps := map[string]func(epoch uint64, run string) error{
		"renew": func(epoch uint64, run string) error {
			_, err := b.run(t.Context(), renewScript, []string{b.keys.bus(), b.keys.log(epoch), b.keys.acks("me")}, epoch, run, "me", 1, 0, 0, false)
			return err
		},
		"publish": func(epoch uint64, run string) error {
			_, err := b.run(t.Context(), publishScript, []string{b.keys.bus(), b.keys.log(epoch)}, epoch, run, "me", "id", "topic", "tenant", "body", "name")
			return err
		},
		"kept": func(epoch uint64, run string) error {
			_, err := b.run(t.Context(), keptScript, []string{b.keys.bus()}, epoch, run, "")
			return err
		},
		"unkeep": func(epoch uint64, run string) error {
			_, err := b.run(t.Context(), unkeepScript, []string{b.keys.bus()}, epoch, run, "name")
			return err
		},
		"ack": func(epoch uint64, run string) error {
			_, err := b.run(t.Context(), ackScript, []string{b.keys.bus(), b.keys.acks("you")}, epoch, run, "me", "id", "", "")
			return err
		},
		"leave": func(epoch uint64, run string) error {
			_, err := b.run(t.Context(), leaveScript, []string{b.keys.bus()}, epoch, run, "me")
			return err
		},
	}
	refused := func(when string, epoch uint64, run string) {
		t.Helper()
		for name, step := range steps {
			before := content(server, b.keys)
			if err := step(epoch, run); !errors.Is(err, errEpoch) {
				t.Errorf("%s, %s answers %v", when, name, err)
			}
			if after := content(server, b.keys); !maps.Equal(after, before) {
				t.Errorf("%s, %s has written", when, name)
			}
		}
	}

	run := look().server
	refused("before the first epoch", 1, run)
	if err := begin(1, run); err != nil {
		t.Fatal(err)
	}
	for name, step := range steps {
		if err := step(1, run); err != nil {
			t.Errorf("in the epoch, %s answers %v", name, err)
		}
	}
	refused("with another epoch", 2, run)
	refused("with another process", 1, "0123456789abcdef0123456789abcdef01234567")
	for name, err := range map[string]error{
		"again":              begin(1, run),
		"on another process": begin(2, "0123456789abcdef0123456789abcdef01234567"),
	} {
		if !errors.Is(err, errEpoch) {
			t.Errorf("an epoch that is begun %s gives %v", name, err)
		}
	}
	if err := begin(3, run); err != nil {
		t.Errorf("a later epoch gives %v", err)
	}
	if err := begin(2, run); !errors.Is(err, errEpoch) {
		t.Errorf("an epoch that comes too late gives %v", err)
	}
	refused("after the next epoch", 1, run)
	server.Do("FLUSHALL")
	refused("flushed", 3, run)
	if err := begin(4, run); err != nil {
		t.Fatal(err)
	}
	server.Do("SAVE")
	server.Kill()
	server.Restart()
	if again := look(); again.server == run || again.epoch != 4 {
		t.Fatalf("restarted, it shows %+v", again)
	}
	refused("restarted with its data", 4, run)

	replica := redistest.Replica(t, server)
	other, err := Connect(replica.URL(), 1)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Close() }()
	b.client = other
	if _, _, err := b.look(t.Context()); err == nil {
		t.Error("a replica is a candidate for an epoch")
	}
}

// content is all that stands in Redis, but for the key that looks write.
func content(s *redistest.Server, k keys) map[string]any {
	all := map[string]any{}
	names, _ := s.Do("KEYS", "*").([]any)
	for _, name := range names {
		if name, ok := name.(string); ok && name != k.probe() {
			all[name] = s.Do("DUMP", name)
		}
	}
	return all
}

// TestARenewalThatIsLateTakesNothingBack: of two, the one sent later stands.
func TestARenewalThatIsLateTakesNothingBack(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	client, err := Connect(server.URL(), 1)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	b := &Redis{client: client, keys: keysOf("test"), life: newLife()}
	seen, _, err := b.look(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.run(t.Context(), initScript, []string{b.keys.bus()}, 1, seen.server); err != nil {
		t.Fatal(err)
	}
	for _, count := range []int{9, 10, 2} {
		if _, err := b.run(t.Context(), renewScript, []string{b.keys.bus(), b.keys.log(1), b.keys.acks("me")}, 1, seen.server, "me", count, 0, 0, false); err != nil {
			t.Fatal(err)
		}
	}
	if _, got, err := b.look(t.Context()); err != nil || got.members["me"] != "10 0 0" {
		t.Errorf("the members are %v, %v", got.members, err)
	}
}
