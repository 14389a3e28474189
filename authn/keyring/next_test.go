package keyring_test

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"gatehouse/authn/keyring"
	"gatehouse/identity"
)

// ways are what can be done with a prepared key.
var ways = map[string]func(*keyring.Ring, context.Context, []keyring.Key, func(context.Context, keyring.Key) error) error{
	"finish": func(r *keyring.Ring, ctx context.Context, keys []keyring.Key, record func(context.Context, keyring.Key) error) error {
		return r.Finish(ctx, acme, idp, keys, record)
	},
	"take back": func(r *keyring.Ring, ctx context.Context, keys []keyring.Key, record func(context.Context, keyring.Key) error) error {
		return r.TakeBack(ctx, acme, idp, keys, record)
	},
}

// TestARollOverIsFinishedOrTakenBack, as all nodes see it.
func TestARollOverIsFinishedOrTakenBack(t *testing.T) {
	h := newHouse(t)
	r, elsewhere := h.ring(0, lasting), h.ring(1, lasting)
	first := h.signs(r)
	prepare := func() keyring.Key {
		t.Helper()
		h.must(r.Prepare(t.Context(), acme, idp, h.all(r), h.clock().Add(30*day), noRecord))
		return h.all(r)[0]
	}
	for name, way := range ways {
		if err := way(r, t.Context(), h.all(r), noRecord); !errors.Is(err, keyring.ErrNonePrepared) {
			t.Errorf("%s where nothing is prepared: %v", name, err)
		}
		if err := way(r, t.Context(), nil, noRecord); !errors.Is(err, keyring.ErrNonePrepared) {
			t.Errorf("%s where there is no key: %v", name, err)
		}
	}
	taken := prepare()
	seen := h.all(elsewhere)
	h.must(r.TakeBack(t.Context(), acme, idp, h.all(r), noRecord))
	if all := h.all(elsewhere); states(all) != "signing*" || !bytes.Equal(all[0].Public, first.Public) || len(h.sealed(lasting, idp)) != 1 {
		t.Errorf("taken back: %s", states(all))
	}
	second := prepare()
	if bytes.Equal(second.Public, taken.Public) {
		t.Fatal("the one that was taken back is prepared again")
	}
	// A node that has seen the one before does nothing to this one.
	for name, way := range ways {
		if err := way(elsewhere, t.Context(), seen, noRecord); !errors.Is(err, keyring.ErrNonePrepared) {
			t.Errorf("%s what is gone: %v", name, err)
		}
	}
	if all := h.all(r); states(all) != "prepared* signing*" || !bytes.Equal(all[0].Public, second.Public) || !all[0].SignsAt.Equal(second.SignsAt) {
		t.Errorf("changed by who has seen another: %s", states(all))
	}
	// Another connection's, and another tenant's, stay as they are.
	for _, at := range []struct {
		tenant     identity.TenantID
		connection identity.ConnectionID
	}{{acme, other}, {globex, idp}} {
		if err := r.Finish(t.Context(), at.tenant, at.connection, h.all(r), noRecord); !errors.Is(err, keyring.ErrNonePrepared) {
			t.Errorf("finished at %v: %v", at, err)
		}
	}
	before := h.all(r)
	h.must(r.Finish(t.Context(), acme, idp, before, noRecord))
	if all := h.all(elsewhere); states(all) != "signing* retired" || !bytes.Equal(h.signs(elsewhere).Public, second.Public) || !all[0].SignsAt.Equal(h.clock()) {
		t.Errorf("finished: %s", states(all))
	}
	// It signs: it is neither finished once more, nor taken back.
	for name, way := range ways {
		if err := way(r, t.Context(), before, noRecord); !errors.Is(err, keyring.ErrNonePrepared) {
			t.Errorf("%s what signs: %v", name, err)
		}
	}
	if got := states(h.all(r)); got != "signing* retired" {
		t.Errorf("after that: %s", got)
	}
	// Its time has come by itself, between two looks.
	prepare()
	before = h.all(r)
	h.advance(30 * day)
	for name, way := range ways {
		if err := way(r, t.Context(), before, noRecord); !errors.Is(err, keyring.ErrNonePrepared) {
			t.Errorf("%s what has come to sign: %v", name, err)
		}
	}
}

func TestP1_NoRollOverEndsWithoutItsRecord(t *testing.T) {
	for name, way := range ways {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			r := h.ring(0, lasting)
			h.must(r.Prepare(t.Context(), acme, idp, h.all(r), h.clock().Add(day), noRecord))
			keys, broken := h.all(r), errors.New("disk full")
			err := way(r, t.Context(), keys, func(_ context.Context, key keyring.Key) error {
				if !bytes.Equal(key.Public, keys[0].Public) || !key.SignsAt.Equal(h.clock()) {
					t.Errorf("recorded as another: %+v", key)
				}
				return broken
			})
			if got := states(h.all(r)); !errors.Is(err, broken) || got != "prepared* signing*" {
				t.Errorf("without a record: %v, %s", err, got)
			}
			// What is recorded is done, for a caller who has left as well.
			ctx, leave := context.WithCancel(t.Context())
			h.must(way(r, ctx, keys, func(ctx context.Context, _ keyring.Key) error {
				if got := states(h.all(r)); got != "prepared* signing*" {
					t.Errorf("done before its record: %s", got)
				}
				leave()
				return ctx.Err()
			}))
			if got := states(h.all(r)); got == "prepared* signing*" {
				t.Errorf("recorded, and not done: %s", got)
			}
		})
	}
}
