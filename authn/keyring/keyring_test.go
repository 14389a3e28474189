package keyring_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse/authn/keyring"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/internal/keys"
	"gatehouse/internal/store/postgrestest"
)

func TestOnPostgres(t *testing.T) {
	postgrestest.Again(t, []func(*testing.T){
		TestTwoNodesMakeOneKey, TestManyAtOnceMakeOneKey, TestKeysRollOverByThemselves, TestNoProviderMissesAKey, TestKeysThatAreNotNotedToSign, TestKeysAreReplacedWhenSomebodySaysSo,
		TestP1_NoKeyWithoutItsRecord, TestP3_KeysStayInTheirTenant, TestP6_KeysAreSealed, TestAKeyThatCannotBeRead, TestKeysGoWithTheirConnection,
		TestP7_NoKeysWithoutTheStore, TestARollOverIsFinishedOrTakenBack, TestP1_NoRollOverEndsWithoutItsRecord,
	})
}

// TestTwoNodesMakeOneKey: each node has found none, or an old one alone, and made the
// next, before either keeps it. One is kept, and both sign with that.
func TestTwoNodesMakeOneKey(t *testing.T) {
	for name, kind := range map[string]keyring.Kind{"aging": aging, "lasting": lasting} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			both := func() (found [2][]keyring.Key) {
				kind := meeting(kind, 2)
				var nodes sync.WaitGroup
				for node := range 2 {
					nodes.Go(func() {
						var err error
						if found[node], err = h.ring(node, kind).All(context.Background(), acme, idp); err != nil {
							t.Error(err)
						}
					})
				}
				nodes.Wait()
				return found
			}
			found := both()
			if kind.Life > 0 {
				h.advance(kind.Life)
				found = both()
			}
			want := len(h.sealed(kind, idp))
			if kind.Life > 0 && want != 2 || kind.Life == 0 && want != 1 {
				t.Fatalf("%d keys are kept", want)
			}
			for node := range 2 {
				if len(found[node]) != want || !bytes.Equal(found[node][0].Public, found[0][0].Public) {
					t.Errorf("node %d found %d keys, or another one", node, len(found[node]))
				}
				if key := h.signs(h.ring(node, kind)); !bytes.Equal(key.Public, found[0][want-1].Public) {
					t.Errorf("node %d signs with another key", node)
				}
			}
		})
	}
}

// TestManyAtOnceMakeOneKey: making one takes a processor, and anybody may ask.
func TestManyAtOnceMakeOneKey(t *testing.T) {
	h := newHouse(t)
	made, kind := 0, aging
	kind.Public = func(private *rsa.PrivateKey, now time.Time) ([]byte, error) {
		made++ // by one at a time, says the race detector
		return public(private, now)
	}
	r := h.ring(0, kind)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if keys, err := r.All(context.Background(), acme, idp); err != nil || len(keys) != 1 {
				t.Errorf("%d keys: %v", len(keys), err)
			}
		})
	}
	all.Wait()
	if made != 1 {
		t.Errorf("%d were made", made)
	}
	// Whoever waits for one need not stay.
	begun, on := make(chan struct{}), make(chan struct{})
	kind.Public = func(private *rsa.PrivateKey, now time.Time) ([]byte, error) {
		close(begun)
		<-on
		return public(private, now)
	}
	r = h.ring(0, kind)
	ctx, leave := context.WithCancel(t.Context())
	all.Go(func() {
		_, _ = r.All(ctx, acme, other) // that its caller left is told to nobody
	})
	<-begun
	leave()
	if _, err := r.All(ctx, acme, other); !errors.Is(err, context.Canceled) {
		t.Errorf("waited on: %v", err)
	}
	// What is begun is done, so that it does not begin again and again.
	close(on)
	all.Wait()
	if n := len(h.sealed(kind, other)); n != 1 {
		t.Errorf("%d keys of whoever left", n)
	}
}

func TestKeysRollOverByThemselves(t *testing.T) {
	h := newHouse(t)
	r := h.ring(0, aging)
	first := h.signs(r)
	for _, step := range []struct {
		after time.Duration
		want  string
		first bool // signs
	}{
		{0, "signing*", true},
		{aging.Life - time.Second, "signing*", true},
		{time.Second, "prepared* signing*", true},
		{aging.Ahead - time.Second, "prepared* signing*", true},
		{time.Second, "signing* retired*", false},
		{aging.Behind - time.Second, "signing* retired*", false},
		{time.Second, "signing* retired", false},
		{aging.Life - aging.Ahead - aging.Behind, "prepared* signing*", false}, // the first is gone
	} {
		h.advance(step.after)
		if got := states(h.all(r)); got != step.want {
			t.Errorf("%v: %s, want %s", h.clock(), got, step.want)
		}
		if signs := h.signs(h.ring(1, aging)); bytes.Equal(signs.Public, first.Public) != step.first {
			t.Errorf("%v: another node signs with another key", h.clock())
		}
	}
}

// TestNoProviderMissesAKey: whenever one has fetched our keys, the one that signs
// within Ahead of that is among them; and what was signed is found for Behind after.
func TestNoProviderMissesAKey(t *testing.T) {
	h := newHouse(t)
	r := h.ring(0, aging)
	type moment struct {
		at        time.Time
		signs     string
		published []string
	}
	var past []moment
	signers := map[string]bool{}
	for end := h.clock().Add(3*aging.Life + 2*day); h.clock().Before(end); h.advance(12 * time.Hour) {
		now := moment{at: h.clock()}
		for _, key := range h.all(r) {
			if key.State == keyring.Signing {
				now.signs = string(key.Public)
			}
			if key.Published {
				now.published = append(now.published, string(key.Public))
			}
		}
		past, signers[now.signs] = append(past, now), true
		for _, then := range slices.Backward(past) {
			ago := now.at.Sub(then.at)
			if ago < aging.Ahead && !slices.Contains(then.published, now.signs) {
				t.Fatalf("%v: who fetched %v ago does not know what signs", now.at, ago)
			}
			if ago < aging.Behind && !slices.Contains(now.published, then.signs) {
				t.Fatalf("%v: what signed %v ago is not published", now.at, ago)
			}
			if ago > aging.Ahead+aging.Behind {
				break
			}
		}
	}
	if len(signers) != 4 || len(h.sealed(aging, idp)) != aging.Kept {
		t.Errorf("%d keys have signed, %d are kept", len(signers), len(h.sealed(aging, idp)))
	}
}

// TestKeysThatAreNotNotedToSign are rows from before that was noted: they sign when
// they would have.
func TestKeysThatAreNotNotedToSign(t *testing.T) {
	h := newHouse(t)
	r := h.ring(0, aging)
	h.all(r)
	h.exec(acme, `UPDATE oidc_keys SET signs_at = NULL`)
	if got := states(h.all(r)); got != "signing*" {
		t.Errorf("the first: %s", got)
	}
	h.advance(aging.Life)
	h.all(r)
	h.exec(acme, `UPDATE oidc_keys SET signs_at = NULL`)
	if got := states(h.all(r)); got != "prepared* signing*" {
		t.Errorf("the next: %s", got)
	}
	h.advance(aging.Ahead)
	if got := states(h.all(r)); got != "signing* retired*" {
		t.Errorf("a day later: %s", got)
	}
}

// TestKeysAreReplacedWhenSomebodySaysSo: those that do not age.
func TestKeysAreReplacedWhenSomebodySaysSo(t *testing.T) {
	h := newHouse(t)
	r := h.ring(0, lasting)
	if kept, err := r.Kept(t.Context(), acme, idp); err != nil || len(kept) != 0 || len(h.sealed(lasting, idp)) != 0 {
		t.Fatalf("before anybody asked: %d keys, %v", len(kept), err)
	}
	first := h.signs(r)
	h.advance(10 * 365 * day)
	if got := states(h.all(r)); got != "signing*" {
		t.Errorf("after ten years: %s", got)
	}
	before := h.all(r)
	prepare := func(keys []keyring.Key, overlap time.Duration) error {
		return r.Prepare(t.Context(), acme, idp, keys, h.clock().Add(overlap), noRecord)
	}
	h.must(prepare(before, 30*day))
	if all := h.all(r); states(all) != "prepared* signing*" || !bytes.Equal(h.signs(r).Public, first.Public) || !all[0].SignsAt.Equal(h.clock().Add(30*day)) {
		t.Errorf("prepared: %s, to sign at %v", states(all), all[0].SignsAt)
	}
	// One at a time, also for who has not seen it yet.
	for name, seen := range map[string][]keyring.Key{"seen": h.all(r), "not seen": before} {
		if err := prepare(seen, 0); !errors.Is(err, keyring.ErrPrepared) {
			t.Errorf("one more, %s: %v", name, err)
		}
	}
	h.advance(30 * day)
	if got := states(h.all(r)); got != "signing* retired" {
		t.Errorf("after the overlap: %s", got)
	}
	for range 3 {
		h.must(prepare(h.all(r), 0))
	}
	if got := states(h.all(r)); got != "signing* retired retired" || len(h.sealed(lasting, idp)) != lasting.Kept {
		t.Errorf("after five: %s, %d are kept", got, len(h.sealed(lasting, idp)))
	}
	// All that are kept open what was encrypted for them.
	opening, err := r.Opening(t.Context(), acme, idp)
	h.must(err)
	for i, key := range h.all(r) {
		if shown, err := public(opening[i], time.Time{}); err != nil || !bytes.Equal(shown, key.Public) || bytes.Equal(shown, first.Public) {
			t.Errorf("key %d opens as another: %v", i, err)
		}
	}
}

func TestP1_NoKeyWithoutItsRecord(t *testing.T) {
	h := newHouse(t)
	r := h.ring(0, lasting)
	keys, broken := h.all(r), errors.New("disk full")
	var recorded keyring.Key
	err := r.Prepare(t.Context(), acme, idp, keys, h.clock(), func(_ context.Context, made keyring.Key) error {
		if recorded = made; len(h.sealed(lasting, idp)) != 1 {
			t.Error("kept before its record")
		}
		return broken
	})
	if !errors.Is(err, broken) || len(h.sealed(lasting, idp)) != 1 {
		t.Errorf("without a record: %v, %d keys", err, len(h.sealed(lasting, idp)))
	}
	// What is recorded is done, for a caller who has left as well.
	ctx, leave := context.WithCancel(t.Context())
	h.must(r.Prepare(ctx, acme, idp, keys, h.clock(), func(ctx context.Context, made keyring.Key) error {
		recorded = made
		leave()
		return ctx.Err()
	}))
	if all := h.all(r); len(all) != 2 || !bytes.Equal(all[0].Public, recorded.Public) || !all[0].SignsAt.Equal(recorded.SignsAt) {
		t.Errorf("recorded is another than what is kept: %+v", all)
	}
}

func TestP3_KeysStayInTheirTenant(t *testing.T) {
	h := newHouse(t)
	r := h.ring(0, aging)
	ours := h.signs(r)
	theirs, _, err := r.Signing(t.Context(), globex, idp)
	h.must(err)
	beside, _, err := r.Signing(t.Context(), acme, other)
	h.must(err)
	if bytes.Equal(ours.Public, theirs.Public) || bytes.Equal(ours.Public, beside.Public) {
		t.Error("two connections have one key")
	}
	// A row that came to another place is no key there.
	moved := h.sealed(aging, idp)[0]
	h.exec(globex, `UPDATE oidc_keys SET private_key = $1 WHERE connection_id = $2`, moved, idp)
	h.exec(acme, `UPDATE oidc_keys SET private_key = $1 WHERE connection_id = $2`, moved, other)
	for _, at := range []struct {
		tenant     identity.TenantID
		connection identity.ConnectionID
	}{{globex, idp}, {acme, other}} {
		if _, private, err := r.Signing(t.Context(), at.tenant, at.connection); !errors.Is(err, keys.ErrSealed) || private != nil {
			t.Errorf("%s %s: %v", at.tenant, at.connection, err)
		}
	}
}

func TestP6_KeysAreSealed(t *testing.T) {
	for _, kind := range []keyring.Kind{aging, lasting} {
		h := newHouse(t)
		_, private, err := h.ring(0, kind).Signing(t.Context(), acme, idp)
		h.must(err)
		kept := h.sealed(kind, idp)[0]
		if bytes.Contains(kept, private.Primes[0].Bytes()) || bytes.Contains(kept, private.D.Bytes()) {
			t.Error("what is kept holds the key")
		}
		plain, err := h.keys.Open(t.Context(), acme, kind.Purpose+string(idp), kept)
		h.must(err)
		if parsed, err := x509.ParsePKCS8PrivateKey(plain); err != nil || !private.Equal(parsed) {
			t.Errorf("sealed is something else: %v", err)
		}
	}
}

// TestAKeyThatCannotBeRead: it is said which and why, nothing of it is, and no other
// takes its place.
func TestAKeyThatCannotBeRead(t *testing.T) {
	h := newHouse(t)
	r := h.ring(0, aging)
	h.signs(r)
	seal := func(purpose string, plain []byte) []byte {
		sealed, err := h.keys.Seal(t.Context(), acme, purpose+string(idp), plain)
		h.must(err)
		return sealed
	}
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	h.must(err)
	another, err := x509.MarshalPKCS8PrivateKey(curve)
	h.must(err)
	kept := h.sealed(aging, idp)[0]
	for name, c := range map[string]struct {
		kept []byte
		code string
		says string
	}{
		"cut off":             {kept[:len(kept)-1], "sealed-value-unreadable", "open key 1 of con_idp"},
		"empty":               {[]byte{}, "sealed-value-unreadable", "open key 1 of con_idp"},
		"changed":             {append(slices.Clone(kept[:len(kept)-1]), kept[len(kept)-1]^1), "sealed-value-unreadable", "open key 1 of con_idp"},
		"of another purpose":  {seal("lasting.", another), "sealed-value-unreadable", "open key 1 of con_idp"},
		"no key at all":       {seal(aging.Purpose, []byte("PLAINTEXT")), "internal", "read key 1 of con_idp"},
		"another kind of key": {seal(aging.Purpose, another), "internal", "read key 1 of con_idp: it is a *ecdsa.PrivateKey"},
	} {
		h.exec(acme, `UPDATE oidc_keys SET private_key = $1`, c.kept)
		_, private, err := r.Signing(t.Context(), acme, idp)
		opening, err2 := r.Opening(t.Context(), acme, idp)
		for _, err := range []error{err, err2} {
			if err == nil || fault.As(err).Code != c.code || fault.As(err).Kind != fault.Internal || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "PLAINTEXT") {
				t.Errorf("%s: %v", name, err)
			}
		}
		if private != nil || opening != nil || len(h.sealed(aging, idp)) != 1 {
			t.Errorf("%s: a key came of it", name)
		}
	}
	// What is published needs no private key.
	if got := states(h.all(r)); got != "signing*" {
		t.Errorf("published: %s", got)
	}
}

func TestKeysGoWithTheirConnection(t *testing.T) {
	for _, kind := range []keyring.Kind{aging, lasting} {
		h := newHouse(t)
		r := h.ring(0, kind)
		keys := h.all(r)
		_, err := r.All(t.Context(), acme, other)
		h.must(err)
		h.exec(acme, `DELETE FROM connections WHERE id = $1`, idp)
		if len(h.sealed(kind, idp)) != 0 || len(h.sealed(kind, other)) != 1 {
			t.Error("a key has outlived its connection, or another's has not")
		}
		for _, connection := range []identity.ConnectionID{idp, "con_never"} {
			if all, err := r.All(t.Context(), acme, connection); !fault.Is(err, fault.NotFound) || all != nil {
				t.Errorf("%s: %v", connection, err)
			}
		}
		if err := r.Prepare(t.Context(), acme, idp, keys, h.clock(), noRecord); !errors.Is(err, keyring.ErrPrepared) {
			t.Errorf("the next of a connection that is gone: %v", err)
		}
		if n := len(h.sealed(kind, idp)) + len(h.sealed(kind, "con_never")); n != 0 {
			t.Errorf("%d keys of no connection", n)
		}
	}
}

func TestP7_NoKeysWithoutTheStore(t *testing.T) {
	h := newHouse(t)
	r := keyring.New(aging, lost{}, h.keys, h.clock)
	if _, _, err := r.Signing(t.Context(), acme, idp); !fault.Is(err, fault.Unavailable) {
		t.Errorf("no store: %v", err)
	}
	// Nor without the key that they are sealed with.
	r = keyring.New(aging, h.nodes[0], keyless{}, h.clock)
	if _, _, err := r.Signing(t.Context(), acme, idp); !fault.Is(err, fault.Unavailable) || len(h.sealed(aging, idp)) != 0 {
		t.Errorf("no key: %v, %d are kept", err, len(h.sealed(aging, idp)))
	}
}
