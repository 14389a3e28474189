package store_test

import (
	"testing"

	"gatehouse/internal/store"
)

func wantUsed(t *testing.T, url string, want bool) {
	t.Helper()
	if got, err := store.Used(t.Context(), url); err != nil || got != want {
		t.Errorf("used: %t, %v; want %t", got, err, want)
	}
}

func TestUsed(t *testing.T) {
	dir := t.TempDir()
	wantUsed(t, "sqlite://"+dir, false)
	open(t, dir, store.Options{Keys: fixedKeys("k")})
	wantUsed(t, "sqlite://"+dir, true)
	if _, err := store.Used(t.Context(), "mysql://db"); err == nil {
		t.Error("an unknown kind of database is looked into")
	}
}

func TestUsedOnPostgres(t *testing.T) {
	wantUsed(t, sharedServer(t).Empty(t).Application, false)
	database := sharedServer(t).Borrow(t)
	wantUsed(t, database.Application, false)
	db := openPostgres(t, database.Application, store.Options{})
	wantUsed(t, database.Application, false)
	create(t, db, acme)
	wantUsed(t, database.Application, true)
}
