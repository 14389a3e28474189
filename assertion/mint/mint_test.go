package mint

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gatehouse/assertion"
	"gatehouse/identity"
	"gatehouse/internal/keys"
	"gatehouse/internal/store"
	"gatehouse/internal/store/postgrestest"
)

func config(t *testing.T) Config {
	t.Helper()
	dir := t.TempDir()
	kek, err := keys.OpenFileKEK(filepath.Join(dir, "kek.key"), true)
	if err != nil {
		t.Fatal(err)
	}
	vault, err := keys.OpenDirVault(filepath.Join(dir, "keys"))
	if err != nil {
		t.Fatal(err)
	}
	ring := keys.NewRing(kek, vault)
	if err := ring.Create(t.Context(), identity.Platform); err != nil {
		t.Fatal(err)
	}
	db, err := store.Open(t.Context(), postgrestest.Or(t, "sqlite://"+filepath.Join(dir, "db")), store.Options{Keys: ring, Environment: "test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return Config{System: db.System(), Keys: ring}
}

func minter(t *testing.T, c Config) *Minter {
	t.Helper()
	m, err := New(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// kids are the ids of the published keys.
func kids(t *testing.T, m *Minter) []string {
	t.Helper()
	var set struct {
		Keys []assertion.JWK `json:"keys"`
	}
	if err := json.Unmarshal(m.JWKS(), &set); err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, k := range set.Keys {
		ids = append(ids, k.ID)
	}
	return ids
}

func verify(t *testing.T, keySource *Minter, token string) (assertion.Claims, error) {
	t.Helper()
	set, err := assertion.ParseKeySet(keySource.JWKS())
	if err != nil {
		t.Fatal(err)
	}
	v, err := assertion.NewVerifier(assertion.Options{Keys: set})
	if err != nil {
		t.Fatal(err)
	}
	return v.Verify(t.Context(), token, assertion.Expected{Issuer: "https://acme.test"})
}

var someone = assertion.Claims{Issuer: "https://acme.test", Subject: "usr_1", TenantID: "ten_1", TenantName: "acme"}

func TestP5_WhatIsMintedVerifiesByThePublishedKeys(t *testing.T) {
	c := config(t)
	m := minter(t, c)
	token, expires, err := m.Mint(someone)
	if err != nil {
		t.Fatal(err)
	}
	rec := httptest.NewRecorder()
	m.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/.gatehouse/jwks.json", http.NoBody))
	if rec.Code != http.StatusOK || rec.Body.String() != string(m.JWKS()) {
		t.Errorf("published: %d %s", rec.Code, rec.Body)
	}
	got, err := verify(t, m, token)
	if err != nil {
		t.Fatal(err)
	}
	if got.Subject != "usr_1" || got.ID == "" || !got.Expires.Equal(expires) || time.Until(expires) > lifetime {
		t.Errorf("got %+v", got)
	}
	again, err := verify(t, minter(t, c), token)
	if err != nil || again.ID != got.ID {
		t.Errorf("after a restart: %v", err)
	}
}

func TestWhatNoVerifierTakesIsNotMinted(t *testing.T) {
	long := someone
	long.Groups = []string{strings.Repeat("x", assertion.MaxSize)}
	if token, _, err := minter(t, config(t)).Mint(long); err == nil {
		t.Errorf("minted %d bytes", len(token))
	}
}

func TestKeysRotateWithoutAGap(t *testing.T) {
	c := config(t)
	m := minter(t, c)
	first := kids(t, m)
	token, _, err := m.Mint(someone)
	if err != nil {
		t.Fatal(err)
	}
	// age makes every stored key older, as time would.
	age := func(by time.Duration) {
		err := c.System.Write(t.Context(), func(tx *store.Tx) error {
			_, err := tx.Exec(t.Context(), `UPDATE signing_keys SET created_at = created_at - $1`, by.Milliseconds())
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		m = minter(t, c)
	}
	signer := func() string { return m.ring.Load().signer.kid }
	age(rotateAfter + time.Hour)
	if got := kids(t, m); len(got) != 2 || signer() != first[0] {
		t.Fatalf("at the rotation: %v published, %s signs", got, signer())
	}
	age(lead)
	if got := kids(t, m); len(got) != 2 || signer() == first[0] {
		t.Fatalf("after the lead: %v published, %s signs", got, signer())
	}
	if _, err := verify(t, m, token); err != nil {
		t.Errorf("an assertion of the key before: %v", err)
	}
	age(overlap)
	if got := kids(t, m); len(got) != 1 || got[0] == first[0] {
		t.Fatalf("after the overlap: %v published", got)
	}
	if _, err := verify(t, m, token); err == nil {
		t.Error("the forgotten key is still published")
	}
}

func TestP6_TheStoreHoldsNoPrivateKeyInTheClear(t *testing.T) {
	c := config(t)
	m := minter(t, c)
	other := config(t)
	m.config.Keys = other.Keys
	if _, err := m.load(t.Context()); err == nil {
		t.Error("the key opens without the platform's data key")
	}
}

func TestASubstitutedKeyIsNotUsed(t *testing.T) {
	c := config(t)
	minter(t, c)
	err := c.System.Write(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(t.Context(), `UPDATE signing_keys SET kid = $1`, "another")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := New(t.Context(), c); err == nil {
		t.Error("a key under another's id is used")
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	m := minter(t, config(t))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := m.Run(ctx); err != nil {
		t.Error(err)
	}
}
